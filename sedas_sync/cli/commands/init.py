"""`sedas-sync init`."""

from pathlib import Path

import click

from sedas_sync.cli.messages import as_argument
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.errors import ManifestError
from sedas_sync.operations.init import from_geojson
from sedas_sync.operations.init_template import OWN_AREA, manifest_text
from sedas_sync.output.documents.catalogue import InitDocument


def run(manifest: str, *, geojson: str | None, common: Globals) -> None:
    """Write a commented manifest to start from."""
    target = Path(manifest)
    exists = ManifestError(f"{target}: already exists and is not changed")
    text, aois, left_out = manifest_text(), [OWN_AREA], 0
    if geojson is not None:
        if target.exists():
            raise exists
        start = from_geojson(geojson, target)
        text, aois, left_out = start.text, list(start.aois), start.left_out
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise exists from None
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written: {error.strerror}") from None
    if left_out and not common.quiet:
        click.echo(f"warning: {geojson}: {left_out} features without a polygon were left out", err=True)
    if common.as_json:
        print_document(InitDocument(manifest=str(target), aois=tuple(aois)))
    elif not common.quiet:
        over = "" if geojson is None else f" over {', '.join(aois)}"
        click.echo(f"Wrote {target}{over}. Next: `sedas-sync plan{as_argument(manifest)}`.")
