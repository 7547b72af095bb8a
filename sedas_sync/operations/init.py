"""A manifest to begin with, over the areas of a GeoJSON file."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sedas_sync.errors import ManifestError
from sedas_sync.operations.init_template import Area, manifest_text
from sedas_sync.operations.load import check_manifest

if TYPE_CHECKING:  # shapely takes longer to import than all the rest, and a plain `init` never needs it
    from sedas_sync.operations.aoi_file import NamedArea

MAX_VERTICES = 100
"""Longest outline that is written into a manifest: people read it."""
MAX_AREAS = 40
"""Most areas that are written into a manifest."""
TOGETHER = "aoi"
"""What the areas of a file are called that are taken together."""


@dataclass(frozen=True, slots=True)
class Start:
    """A manifest to begin with."""

    text: str
    aois: tuple[str, ...]
    """Names of its areas."""
    left_out: int = 0
    """Features of the file that have no polygon."""


def from_geojson(source: str, target: Path) -> Start:
    """Make a manifest over the areas of a GeoJSON file.

    One area stays where it is, and the manifest refers to its file. Several become AOIs of their own, written out by
    name; where that would be more than people read, they are taken together, by their file. What the file is called
    may not fit into a manifest (a line break, bytes that are no text): then its areas are written out whatever
    their size.

    Args:
        source: the GeoJSON file.
        target: where the manifest will stand; the file is named relative to it.

    Raises:
        ManifestError: the file cannot be read, or its areas are none.
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
    text.encode()  # a name of bytes that are no text ends here
    check_manifest(text, target)
    return Start(text, tuple(area.name for area in areas), left_out)


def _attempts(areas: "Sequence[NamedArea]", source: str, target: Path) -> tuple[list[Area], list[Area]]:
    """Two ways to say where the areas are, the better first."""
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
