"""`sedas-sync init`."""

import re
from pathlib import Path

import click

from sedas_sync.cli.messages import as_argument, print_warnings
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.errors import ManifestError
from sedas_sync.operations.init import FirstManifest, from_box, from_file, from_folder
from sedas_sync.operations.init_template import OWN_AREA, Choices, manifest_text
from sedas_sync.operations.load import check_manifest
from sedas_sync.output.documents.catalogue import InitDocument


def run(
    manifest: str,
    *,
    source: str | None,
    box: str | None,
    folder: str | None,
    archive: str,
    start: str | None,
    end: str | None,
    sensor: str | None,
    product_type: str | None,
    common: Globals,
) -> None:
    """Write a commented manifest to start from."""
    if sum(one is not None for one in (source, box, folder)) > 1:
        raise ManifestError("--aoi, --bbox and --from-folder are ways to give the area: give one of them")
    if folder is not None and (sensor, product_type) != (None, None):
        raise ManifestError("--from-folder takes the sensors and product types of the folder: omit them")
    target = Path(manifest)
    exists = ManifestError(f"{target}: already exists and is not changed")
    if target.exists():
        raise exists
    choices = Choices(archive=archive, start=start, end=end, sensor=sensor, product_type=product_type)
    try:
        first = _made(source, box, folder, target, choices)
    except ManifestError as error:
        raise ManifestError(tuple(dict.fromkeys(_of_option(one, manifest) for one in error.problems))) from None
    text, aois, warnings = first.text, first.aois, first.warnings
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise exists from None
    except FileNotFoundError:
        raise ManifestError(f"{target}: the folder {target.parent} does not exist") from None
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written: {error.strerror}") from None
    print_warnings(warnings, common)
    if common.as_json:
        print_document(InitDocument(manifest=str(target), aois=aois, warnings=warnings))
    elif not common.quiet:
        over = "" if source is None and box is None and folder is None else f" over {', '.join(aois)}"
        following = "plan" if folder is None else "adopt --dry-run"
        click.echo(f"Wrote {target}{over}. Next: `sedas-sync {following}{as_argument(manifest)}`.")


def _of_option(problem: str, manifest: str) -> str:
    """Name the option in a mistake of the manifest, which is not written."""
    keys = rf"{re.escape(str(Path(manifest)))}: (?:dataset\.\w+\.(start|end|product_type)|aoi\.area\.(bbox)): "
    found = re.match(keys, problem)
    return problem if found is None else f"--{(found[1] or found[2]).replace('_', '-')}: {problem[found.end() :]}"


def _made(source: str | None, box: str | None, folder: str | None, target: Path, choices: Choices) -> FirstManifest:
    """Make the manifest from the option that gives the area; from none of them, for an example area."""
    if source is not None:
        return from_file(source, target, choices)
    if box is not None:
        return from_box(box, target, choices)
    if folder is not None:
        return from_folder(folder, target, choices)
    first = FirstManifest(manifest_text(choices), (OWN_AREA,))
    check_manifest(first.text, target)
    return first
