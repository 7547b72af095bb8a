"""`sedas-sync sources`."""

import sys

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.session import event_view, interruptible, opened_mirror, print_json
from sedas_sync.model.events import Step
from sedas_sync.output import text
from sedas_sync.output.style import look_of


@click.command()
@manifest_argument
@global_options
def sources(manifest: str, common: Globals) -> None:
    """Show the satellites and source groups this account may search."""
    with opened_mirror(manifest, common) as mirror, event_view(common, json_lines=False) as view, interruptible(view):
        view.step(Step("asking the archive"))
        found = mirror.sources()
        view.close()
        if common.as_json:
            print_json({"schema": 1, "archives": found})
            return
        click.echo(text.sources(found, look_of(sys.stdout)))
