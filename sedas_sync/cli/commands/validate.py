"""`sedas-sync validate`."""

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.session import print_json
from sedas_sync.errors import ManifestError


@click.command()
@manifest_argument
@global_options
def validate(manifest: str, common: Globals) -> None:
    """Check a manifest without the network."""
    from sedas_sync.operations.load import load_manifest  # noqa: PLC0415  # only where it is needed: start-up is short

    try:
        checked = load_manifest(manifest)
    except ManifestError as error:
        if common.as_json:
            print_json({"schema": 1, "manifest": manifest, "valid": False, "problems": list(error.problems)})
        raise
    if common.as_json:
        print_json(
            {"schema": 1, "manifest": manifest, "valid": True, "problems": [], "datasets": list(checked.datasets)}
        )
    elif not common.quiet:
        count = len(checked.datasets)
        click.echo(f"{manifest}: valid, {count} dataset{'' if count == 1 else 's'}")
