"""Make a first manifest from the areas of a GeoJSON file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sedas_sync.errors import ManifestError
from sedas_sync.operations.init_template import Area, manifest_text
from sedas_sync.operations.load import check_manifest

if TYPE_CHECKING:  # shapely takes longer to import than everything else, and a plain `init` does not need it
    from sedas_sync.operations.aoi_file import NamedArea

MAX_VERTICES = 100
"""Most vertices of an outline that is written into a manifest: people read it."""
MAX_AREAS = 40
"""Most areas that are written into a manifest."""
TOGETHER = "aoi"
"""Name of the AOI that is all areas of a file."""


@dataclass(frozen=True, slots=True)
class Start:
    """A first manifest."""

    text: str
    aois: tuple[str, ...]
    """Names of its areas."""
    left_out: int = 0
    """Features of the file that have no polygon."""


def from_geojson(source: str, target: Path) -> Start:
    """Make a manifest for the areas of a GeoJSON file.

    For one area the manifest refers to the file. Several areas are written into it, each as an AOI with its name; if
    that is too much to read, they become one AOI that refers to the file. If the file's name cannot be in a manifest (a
    line break, bytes that are not UTF-8), its areas are written into it in any size.

    Args:
        source: The GeoJSON file.
        target: The manifest's future path; the file's path is relative to it.

    Raises:
        ManifestError: The file cannot be read, or has no areas.
    """
    from sedas_sync.operations.aoi_file import read_areas  # noqa: PLC0415  # see TYPE_CHECKING above

    try:
        areas, left_out = read_areas(source)
    except ValueError as error:
        raise ManifestError(str(error)) from None
    best, other = _attempts(areas, source, target)
    try:
        return _checked(best, target, left_out)
    except (ManifestError, UnicodeEncodeError):
        return _checked(other, target, left_out)


def _checked(areas: Sequence[Area], target: Path, left_out: int) -> Start:
    text = manifest_text(areas)
    text.encode()  # raises for a name that is not UTF-8
    check_manifest(text, target)
    return Start(text, tuple(area.name for area in areas), left_out)


def _attempts(areas: "Sequence[NamedArea]", source: str, target: Path) -> tuple[list[Area], list[Area]]:
    """Return two ways to write the areas into a manifest, the better first."""
    import shapely  # noqa: PLC0415  # see TYPE_CHECKING above

    path = os.path.relpath(os.path.realpath(source), os.path.realpath(target.parent)).replace(os.sep, "/")
    name = areas[0].name if len(areas) == 1 else TOGETHER
    comment = "" if len(areas) == 1 else f"all {len(areas)} areas of the file together"
    by_file = [Area(name=name, key="file", value=path, comment=comment)]
    inline = [
        Area(name=area.name, key="wkt", value=shapely.to_wkt(area.shape, rounding_precision=-1)) for area in areas
    ]
    readable = len(areas) <= MAX_AREAS and all(
        shapely.get_num_coordinates(area.shape) <= MAX_VERTICES for area in areas
    )
    return (inline, by_file) if len(areas) > 1 and readable else (by_file, inline)
