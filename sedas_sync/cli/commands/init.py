"""`sedas-sync init`."""

from pathlib import Path

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.session import as_argument, print_json
from sedas_sync.errors import ManifestError


@click.command()
@manifest_argument
@click.option(
    "--from-geojson", "geojson", type=click.Path(dir_okay=False), help="Take the areas of this file, one a feature."
)
@global_options
def init(manifest: str, geojson: str | None, common: Globals) -> None:
    """Write a commented manifest to begin with."""
    target = Path(manifest)
    text, aois, left_out = _start(target, geojson)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ManifestError(f"{target}: is already there, and is left as it is") from None
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written: {error.strerror}") from None
    if left_out and not common.quiet:
        click.echo(f"warning: {geojson}: {left_out} features have no polygon, and were left out", err=True)
    if common.as_json:
        print_json({"schema": 1, "manifest": str(target), "aois": list(aois)})
    elif not common.quiet:
        over = "" if geojson is None else f" over {', '.join(aois)}"
        click.echo(f"Wrote {target}{over}. Next: `sedas-sync plan{as_argument(manifest)}`.")


def _start(target: Path, geojson: str | None) -> tuple[str, tuple[str, ...], int]:
    """The text to write, the names of its areas, and how many features were left out."""
    if geojson is None:
        from sedas_sync.operations.init_template import OWN_AREA, manifest_text  # noqa: PLC0415  # only where it is needed

        return manifest_text(), (OWN_AREA,), 0
    from sedas_sync.operations.init import from_geojson  # noqa: PLC0415  # only where it is needed: start-up is short

    if target.exists():
        raise ManifestError(f"{target}: is already there, and is left as it is")
    start = from_geojson(geojson, target)
    return start.text, start.aois, start.left_out
