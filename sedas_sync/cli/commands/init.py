"""`sedas-sync init`."""

from pathlib import Path

import click

from sedas_sync.cli.messages import as_argument, print_warnings
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.errors import ManifestError
from sedas_sync.operations.init import from_file
from sedas_sync.operations.init_template import OWN_AREA, manifest_text
from sedas_sync.output.documents.catalogue import InitDocument


def run(manifest: str, *, source: str | None, common: Globals) -> None:
    """Write a commented manifest to start from."""
    target = Path(manifest)
    exists = ManifestError(f"{target}: already exists and is not changed")
    text = manifest_text()
    aois: tuple[str, ...] = (OWN_AREA,)
    warnings: tuple[str, ...] = ()
    if source is not None:
        if target.exists():
            raise exists
        start = from_file(source, target)
        text, aois, warnings = start.text, start.aois, start.warnings
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise exists from None
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written: {error.strerror}") from None
    print_warnings(warnings, common)
    if common.as_json:
        print_document(InitDocument(manifest=str(target), aois=aois, warnings=warnings))
    elif not common.quiet:
        over = "" if source is None else f" over {', '.join(aois)}"
        click.echo(f"Wrote {target}{over}. Next: `sedas-sync plan{as_argument(manifest)}`.")
