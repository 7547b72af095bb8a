"""Make a first manifest from the areas of a file, or from a folder of products."""

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import shapely
from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.geometry import Polygonal
from sedas_sync.geometry.polygons import TURN
from sedas_sync.manifest import Manifest
from sedas_sync.model.text import clipped, printable
from sedas_sync.operations.aoi_file import NamedArea, read_areas
from sedas_sync.operations.context import open_mirror
from sedas_sync.operations.init_folder import find_products
from sedas_sync.operations.init_template import Area, Choices, folder_manifest_text, manifest_text
from sedas_sync.operations.load import check_manifest
from sedas_sync.operations.search import search_archives

MAX_VERTICES = 100
"""Most vertices of an outline that is written into a manifest: people read it."""
MAX_AREAS = 40
"""Most areas that are written into a manifest."""
TOGETHER = "aoi"
"""Name of the AOI that is all areas of a file."""


_SANDBOX = "those of the sandbox are over Great Britain and Ireland, Fiji and Svalbard"
_STRAIGHT = 1e-5
"""Degrees, about a metre: corners nearer than this to an edge are left out of an outline with many."""
_COMMENT = 200
"""Columns of the longest comment with a feature's properties."""


class FirstManifest(Struct, frozen=True):
    """A first manifest."""

    text: str
    aois: tuple[str, ...]
    """Names of its areas."""
    warnings: tuple[str, ...] = ()


def from_box(box: str, target: Path, choices: Choices = Choices()) -> FirstManifest:  # noqa: B008  # immutable
    """Make a manifest for a box.

    Args:
        box: West, south, east and north in degrees, separated by commas or spaces.
        target: The manifest's future path.
        choices: What it selects.

    Raises:
        ManifestError: The box is not four such numbers, or what it selects is wrong.
    """
    numbers = box.replace(",", " ").split()
    area = Area(name="area", key="bbox", value=", ".join(numbers), comment="west south east north, degrees")
    try:
        values = [float(number) for number in numbers]
        text, manifest = _checked(manifest_text(choices, [area]), target)
    except ValueError:
        raise ManifestError(f"--bbox {box!r}: must be four numbers: west, south, east, north") from None
    return FirstManifest(text, tuple(manifest.aois), _if_wide(box, *values))


def _if_wide(box: str, west: float, south: float, east: float, north: float) -> tuple[str, ...]:  # noqa: ARG001
    """Return a warning if a box crosses the antimeridian and most longitudes: its west and east may be swapped."""
    width = east - west + (TURN if west > east else 0)
    if width <= TURN / 2 or (west <= east and west >= -TURN / 2 and east <= TURN / 2):
        return ()
    return (f"--bbox {box}: crosses the antimeridian, {width:g}° wide; are west and east swapped?",)


def from_file(source: str, target: Path, choices: Choices = Choices()) -> FirstManifest:  # noqa: B008  # immutable
    """Make a manifest for the areas of a file of any format that AOIs can have.

    For one area the manifest refers to the file. Several areas are written into it, each as an AOI with its name; if
    that is too much to read, they become one AOI that refers to the file. If the file's name cannot be in a manifest (a
    line break, bytes that are not UTF-8), its areas are written into it whatever their size. The properties of a
    feature become a comment. Outlines that are not valid are repaired, with a warning.

    The sandbox is searched, to find out whether it has scenes over the areas.

    Args:
        source: The file.
        target: The manifest's future path; the file's path is relative to it.
        choices: What the manifest selects.

    Raises:
        ManifestError: The file cannot be read, or has no areas.
    """
    try:
        areas, left_out = read_areas(source)
    except ValueError as error:
        raise ManifestError(str(error)) from None
    best, other = _attempts(areas, source, target)
    try:
        text, manifest = _checked(manifest_text(choices, best), target)
    except (ManifestError, UnicodeEncodeError):
        text, manifest = _checked(manifest_text(choices, other), target)
    warnings = [f"{source}: {left_out} features without a polygon were left out"] if left_out else []
    warnings += [f"{source}: {area.name}: {repair}" for area in areas for repair in area.repairs]
    return FirstManifest(text, tuple(manifest.aois), (*warnings, *_if_outside_the_sandbox(choices, manifest, source)))


def from_folder(folder: str, target: Path, choices: Choices = Choices()) -> FirstManifest:  # noqa: B008  # immutable
    """Make a manifest that describes the products of a folder, which becomes its mirror.

    The products are read, not searched for: their names, and the footprints in zips and in extracted folders.

    Args:
        folder: The folder.
        target: The manifest's future path; the folder's path is relative to it.
        choices: The archive, and dates that replace those of the products.

    Raises:
        ManifestError: The folder has no products, or they cannot be described.
    """
    found = find_products(folder)
    path = _relative(folder, target)
    text, manifest = _checked(
        folder_manifest_text(choices, path, found.areas, found.datasets, unpack=found.folders), target
    )
    warnings = (*found.warnings, *_if_outside_the_sandbox(choices, manifest, folder))
    return FirstManifest(text, tuple(manifest.aois), warnings)


def _if_outside_the_sandbox(choices: Choices, manifest: Manifest, source: str) -> tuple[str, ...]:
    """Return a warning if the manifest is for the sandbox, which has no scenes over its areas."""
    if choices.archive != "sandbox" or _has_scenes(manifest):
        return ()
    none = f"{source}: the archive (type sandbox) has no scenes over these areas; {_SANDBOX}"
    return (f"{none}. Choose another archive with --archive",)


def _checked(text: str, target: Path) -> tuple[str, Manifest]:
    text.encode()  # raises for a name that is not UTF-8
    return text, check_manifest(text, target)


def _has_scenes(manifest: Manifest) -> bool:
    """Return whether the archive has any scene over the areas of a manifest; True if that cannot be found out."""
    name, dataset = next(iter(manifest.datasets.items()))
    any_scene = dataset.model_copy(update={"sensor": "all", "max_cloud_cover": None, "product_type": None})
    context = open_mirror(replace(manifest, datasets={name: any_scene}))
    try:
        with closing(context.archives):
            found = search_archives(context)
    except SedasSyncError:
        return True
    return bool(found.wants) or not found.complete


def _attempts(areas: Sequence[NamedArea], source: str, target: Path) -> tuple[list[Area], list[Area]]:
    """Return two ways to write the areas into a manifest, the better first."""
    path = _relative(source, target)
    name = areas[0].name if len(areas) == 1 else TOGETHER
    comment = _comment(areas[0].properties) if len(areas) == 1 else f"all {len(areas)} areas of the file together"
    repair = any(area.repairs for area in areas)
    by_file = [Area(name=name, key="file", value=path, comment=comment, repair=repair)]
    shapes = [_with_fewer_corners(area.shape) for area in areas]
    inline = [
        Area(
            name=area.name,
            key="wkt",
            value=shapely.to_wkt(shape, rounding_precision=-1),
            comment=_comment(area.properties),
        )
        for area, shape in zip(areas, shapes, strict=True)
    ]
    readable = len(areas) <= MAX_AREAS and all(shapely.get_num_coordinates(shape) <= MAX_VERTICES for shape in shapes)
    return (inline, by_file) if len(areas) > 1 and readable else (by_file, inline)


def _relative(path: str, target: Path) -> str:
    """Return a path as it is written in the manifest `target`."""
    return os.path.relpath(os.path.realpath(path), os.path.realpath(target.parent)).replace(os.sep, "/")


def _with_fewer_corners(shape: Polygonal) -> Polygonal:
    """Return an outline without the corners that the edges of a projected one were divided at, if it has too many."""
    if shapely.get_num_coordinates(shape) <= MAX_VERTICES:
        return shape
    simple = shapely.simplify(shape, _STRAIGHT)
    return simple if simple.is_valid and simple.geom_type == shape.geom_type else shape


def _comment(properties: Mapping[str, Any]) -> str:
    """Return the properties of a feature on one line."""
    plain = [
        f"{key} = {value}" for key, value in properties.items() if isinstance(value, str | int | float) and value != ""
    ]
    text = printable(", ".join(plain).encode("utf-8", "replace").decode())
    return clipped(text, _COMMENT)
