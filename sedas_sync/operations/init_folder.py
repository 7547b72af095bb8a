"""Find the products in a folder and describe them as datasets. Reads names and footprints, and asks no archive."""

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from posixpath import basename
from typing import BinaryIO

import shapely
from msgspec import Struct
from shapely.geometry import MultiPolygon

from sedas_sync.errors import ManifestError, TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.unzip import BROKEN_ZIP
from sedas_sync.geometry import Footprint, footprint
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.files import above
from sedas_sync.model.product_listing import MAX_SIZE, NAMES, ProductListing, read_listing
from sedas_sync.model.scene import Scene
from sedas_sync.model.text import count, product_id
from sedas_sync.operations.init_template import Area, NewDataset
from sedas_sync.planning.product_name import described, relative_orbit_of, tile_of

_NAME = re.compile(r"S[1-6][A-DP_]_.*", re.IGNORECASE)
"""A name of a Sentinel product within the name of a file or folder."""
_INSET = 0.05
"""Degrees, about 5 km: areas are smaller by this, so that neighbours which only touch them do not match."""
_TOLERANCE = 0.01
"""Degrees: corners of an area nearer than this to an edge are left out."""
_GRID = 1e-4
"""Degrees, about 10 m: the precision of an area."""
_LONGEST = 90.0
"""Degrees: longer edges of an area are divided."""
_MOST_TILES = 60
"""Tiles that are written into a manifest; with more, the area alone counts."""


class FoundProducts(Struct, frozen=True):
    """The datasets and areas that describe a folder."""

    datasets: tuple[NewDataset, ...]
    areas: tuple[Area, ...]
    """Datasets of the same footprints share one."""
    folders: bool
    """Whether most products are extracted folders, not zips."""
    warnings: tuple[str, ...]


class _Product(Struct, frozen=True):
    """A product of the folder."""

    scene: Scene
    """As its name describes it."""
    footprint: Footprint | None
    is_folder: bool


def find_products(folder: str) -> FoundProducts:
    """Describe the products in a folder: one dataset for each product type, and for each track of Sentinel-1.

    Args:
        folder: The folder. Links below it are not followed.

    Raises:
        ManifestError: There is no product with a footprint.
    """
    groups: defaultdict[tuple[str, str, int], list[_Product]] = defaultdict(list)
    warnings: list[str] = []
    for product in _products(folder, warnings):
        scene = product.scene
        track = relative_orbit_of(scene) or 0 if scene.source_group == "S1" else 0
        groups[scene.source_group or "", scene.product_type or "", track].append(product)
    datasets, areas = [], dict[str, Area]()
    for (group, product_type, track), products in sorted(groups.items()):
        outlines = [product.footprint for product in products if product.footprint is not None]
        if not outlines:
            left_out = f"{count(len(products), 'product')} of type {product_type}"
            warnings.append(f"{folder}: {left_out} left out: no footprint can be read")
            continue
        name = re.sub(r"[^a-z0-9]+", "-", f"{group}-{product_type}{f'-orbit-{track}' if track else ''}".lower())
        area = _area(name, outlines)
        aoi = areas.setdefault(area.value, area).name
        datasets.append(_dataset(name, aoi, product_type, track, [product.scene for product in products]))
    if not datasets:
        raise ManifestError(f"{folder}: has no zips or folders of Sentinel products with a footprint")
    forms = [product.is_folder for products in groups.values() for product in products]
    return FoundProducts(tuple(datasets), tuple(areas.values()), sum(forms) * 2 > len(forms), tuple(warnings))


def _dataset(name: str, aoi: str, product_type: str, track: int, scenes: Sequence[Scene]) -> NewDataset:
    days = sorted(scene.start.date().isoformat() for scene in scenes if scene.start is not None)
    satellites = sorted({scene.satellite for scene in scenes if scene.satellite is not None})
    tiles = sorted({tile for scene in scenes if (tile := tile_of(scene)) is not None})
    return NewDataset(
        name=name,
        comment=f"{count(len({scene.id for scene in scenes}), 'scene')} of {', '.join(satellites)}",
        values={
            "aoi": aoi,
            "start": days[0],
            "end": days[-1],
            "sensor": scenes[0].sensor,
            "satellite": satellites[0] if len(satellites) == 1 else None,
            "product_type": product_type,
            "tile": tiles if len(tiles) <= _MOST_TILES else None,
            "relative_orbit": track,
        },
    )


def _area(name: str, outlines: Sequence[Footprint]) -> Area:
    """Return an area around footprints: the hull of each connected part."""
    parts = shapely.get_parts(shapely.union_all(outlines))
    hull = shapely.union_all([shapely.convex_hull(part) for part in parts])
    hull = shapely.simplify(hull, _TOLERANCE)
    inner = hull.buffer(-_INSET, join_style="mitre")
    shape = hull if inner.is_empty or len(shapely.get_parts(inner)) < len(shapely.get_parts(hull)) else inner
    # An edge over half of the globe could be read the other way around.
    shape = shapely.segmentize(shapely.union_all([_on_grid(part) for part in shapely.get_parts(shape)]), _LONGEST)
    return Area(
        name=name,
        key="wkt",
        value=shapely.to_wkt(shape, rounding_precision=4),
        comment="around the footprints of the products in the folder",
    )


def _on_grid(part: Footprint) -> Footprint:
    """Return a part of an area with rounded corners; one that is smaller than the grid is enlarged."""
    rounded: Footprint = shapely.set_precision(part, _GRID)
    return (
        rounded
        if rounded.area > 0
        else shapely.set_precision(shapely.clip_by_rect(part.buffer(_GRID), -180, -90, 180, 90), _GRID)
    )


def _products(folder: str, warnings: list[str]) -> Iterator[_Product]:
    """Yield the products in a folder whose names say what they are and when they were acquired."""
    unreadable: tree_listing.Unreadable = {}
    listed = tree_listing.scan(folder, unreadable=unreadable)
    entries = sorted(entry for entry in listed if entry.is_file and STATE not in entry.path.split("/"))
    warnings += tree_listing.left_out(unreadable)
    lists = {entry.path.rpartition("/")[0]: entry.path for entry in entries if basename(entry.path) in NAMES}
    lists.pop("", None)
    for place, path in lists.items():
        if (scene := _scene(basename(place))) is not None:
            yield _Product(scene, _outline(_listing(folder, path)), is_folder=True)
    for entry in entries:
        within = any(place in lists for place in above(entry.path))
        if not within and ending_of(entry.path) and (scene := _scene(basename(entry.path))) is not None:
            zipped = entry.path.lower().endswith(ZIP)
            yield _Product(scene, _outline(_listing(folder, entry.path)) if zipped else None, is_folder=False)


def _scene(name: str) -> Scene | None:
    """Return a product as its name describes it; None if it does not."""
    match = _NAME.search(name)
    scene = None if match is None else described(product_id(match[0]).upper())
    return None if scene is None or scene.start is None or scene.product_type is None else scene


def _listing(folder: str, path: str) -> ProductListing | None:
    """Read the list of a product's files: a file, or in a zip; None if that fails."""
    try:
        with safe_tree.reading(folder, path) as file:
            return read_listing(_from_zip(file) if path.lower().endswith(ZIP) else file.read(MAX_SIZE + 1))
    except (OSError, TransferError, *BROKEN_ZIP):
        return None


def _from_zip(file: BinaryIO) -> bytes:
    """Return the list in the top folder of a zip; nothing if there is none."""
    with zipfile.ZipFile(file) as archive:
        name = next((name for name in archive.namelist() if name.count("/") == 1 and basename(name) in NAMES), None)
        if name is None:
            return b""
        with archive.open(name) as listing:
            return listing.read(MAX_SIZE + 1)


def _outline(listing: ProductListing | None) -> Footprint | None:
    """Return the footprint of a product; None if it has none with an area."""
    if listing is None or not listing.footprint:
        return None
    with suppress(ValueError):
        shape = footprint(MultiPolygon([(ring, ()) for ring in listing.footprint]).wkt)
        return shape if shape.area > 0 else None
    return None
