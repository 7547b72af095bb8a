"""`sedas-sync sources`."""

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.shared import interruptible, opened_mirror, print_json


@click.command()
@manifest_argument
@global_options
def sources(manifest: str, common: Globals) -> None:
    """Show the satellites and source groups this account may search."""
    with opened_mirror(manifest, common) as mirror, interruptible():
        found = mirror.sources()
        if common.as_json:
            print_json({"schema": 1, "archives": found})
            return
        for archive in found:
            click.echo(f"{archive['archive']} ({archive['type']})")
            for title, key in (("satellites", "satellites"), ("source groups", "source_groups")):
                click.echo(f"  {title}: " + ", ".join(item["name"] for item in archive[key]))
