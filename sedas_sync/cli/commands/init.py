"""`sedas-sync init`."""

from pathlib import Path

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.shared import as_argument, print_json
from sedas_sync.errors import ManifestError
from sedas_sync.template import TEMPLATE


@click.command()
@manifest_argument
@global_options
def init(manifest: str, common: Globals) -> None:
    """Write a commented manifest to begin with."""
    target = Path(manifest)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise ManifestError(f"{target}: is already there, and is left as it is") from None
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written: {error.strerror}") from None
    if common.as_json:
        print_json({"schema": 1, "manifest": str(target)})
    else:
        click.echo(f"Wrote {target}. Next: `sedas-sync plan{as_argument(manifest)}`.")
