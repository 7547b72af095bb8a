"""Areas of interest: reading them strictly, and comparing footprints with them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from shapely import box

from sedas_sync.geometry.areas import OnRepair, Part, area_of, check_degrees, with_remedy
from sedas_sync.geometry.buffer import buffered
from sedas_sync.geometry.footprint import Footprint
from sedas_sync.geometry.geojson import read_geojson, read_geojson_paths
from sedas_sync.geometry.polygons import TURN, Polygonal, Ring, polygonal, within_world
from sedas_sync.geometry.sphere import area_km2
from sedas_sync.geometry.wkt import NoPolygonError, OpenRingError, read_paths, read_wkt


class Aoi:
    """An AOI that is compared with many footprints.

    Its geometry is prepared, which makes `intersects` many times faster. Use an instance from one thread at a time.
    """

    __slots__ = ("_area", "geometry", "repairs")

    def __init__(self, geometry: Polygonal, *, repairs: Sequence[str] = ()) -> None:
        self.geometry = geometry
        """Within ±180/±90, split at the antimeridian."""
        self.repairs = tuple(repairs)
        """What was done to outlines that were not valid, one sentence each."""
        self._area: float | None = None
        shapely.prepare(geometry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aoi) and self.wkt == other.wkt

    def __hash__(self) -> int:
        return hash(self.wkt)

    def __repr__(self) -> str:
        return f"Aoi({self.wkt[:60]!r}…)"

    @property
    def wkt(self) -> str:
        """The outline as WKT; it does not depend on the first vertex and the direction."""
        return str(shapely.to_wkt(shapely.normalize(self.geometry), rounding_precision=9))

    def intersects(self, footprint: Footprint) -> bool:
        """Return whether a footprint has a point in common with the AOI; touching counts, as in OGC's `intersects`.

        Touching across the antimeridian does not count.
        """
        return bool(shapely.intersects(self.geometry, footprint))

    def intersects_each(self, footprints: Iterable[Footprint | None]) -> list[bool]:
        """Return `intersects` for many footprints at once, which is much faster; None does not intersect."""
        shapes = np.array(list(footprints), dtype=object)
        answers: list[bool] = shapely.intersects(self.geometry, shapes).tolist()
        return answers

    def coverage(self, footprint: Footprint) -> float:
        """Return the percentage of the AOI's area, on the sphere, that a footprint covers."""
        if not self.intersects(footprint):
            return 0.0
        if footprint.covers(self.geometry):
            return 100.0
        if self._area is None:
            self._area = area_km2(self.geometry)
        shared = area_km2(polygonal(shapely.intersection(self.geometry, footprint)))
        return max(0.0, min(100.0, 100.0 * shared / self._area))


# ------------------------------------------------------------------------------------------------- reading


def from_wkt(text: str, *, buffer_km: float | None = None, on_repair: OnRepair | None = None) -> Polygonal:
    """Read an AOI from WKT: the union of all polygons in it.

    Args:
        text: One or more of POLYGON, MULTIPOLYGON and GEOMETRYCOLLECTION; with `buffer_km` also points and lines.
        buffer_km: Add all places within this distance.
        on_repair: Repair outlines that are not valid, and report each repair here.

    Raises:
        ValueError: The text is not WKT or contains no polygon, or as for `areas.area_of`.
    """
    try:
        parts = read_wkt(text)
    except OpenRingError as mistake:
        if on_repair is None:
            raise ValueError(with_remedy(str(mistake))) from None
        parts = read_wkt(text, close_rings=True)
        on_repair(f"{mistake}; it is closed")
    except NoPolygonError:
        if buffer_km is None:
            raise
        parts = []
    return from_parts(
        parts, read_paths(text) if buffer_km is not None else (), buffer_km=buffer_km, on_repair=on_repair
    )


def from_geojson(
    mapping: Mapping[str, Any], *, buffer_km: float | None = None, on_repair: OnRepair | None = None
) -> Polygonal:
    """Read an AOI from a GeoJSON object of any type: the union of all its polygons.

    Args:
        mapping: The object.
        buffer_km: Add all places within this distance, of points and lines too.
        on_repair: Repair outlines that are not valid, and report each repair here.

    Raises:
        ValueError: As for `from_wkt`.
    """
    try:
        parts = read_geojson(mapping)
    except NoPolygonError:
        if buffer_km is None:
            raise
        parts = []
    paths = read_geojson_paths(mapping) if buffer_km is not None else ()
    return from_parts(parts, paths, buffer_km=buffer_km, on_repair=on_repair)


def from_parts(
    parts: Sequence[Part],
    paths: Sequence[Ring] = (),
    *,
    buffer_km: float | None = None,
    on_repair: OnRepair | None = None,
    continuous: bool = False,
) -> Polygonal:
    """Return the AOI of polygons as they were written, and of points and lines if there is a buffer.

    Args:
        parts: The polygons, in degrees.
        paths: Points and lines, in degrees.
        buffer_km: Add all places within this distance.
        on_repair: As for `areas.area_of`.
        continuous: As for `areas.area_of`.

    Raises:
        ValueError: As for `areas.area_of`, or a position of a path is not in the world.
    """
    if buffer_km is None:
        return area_of(parts, on_repair=on_repair, continuous=continuous)
    for path in paths:
        check_degrees(path)
    area = area_of(parts, on_repair=on_repair, continuous=continuous) if parts or not paths else None
    return buffered(area, paths, buffer_km)


def from_bbox(west: float, south: float, east: float, north: float) -> Polygonal:
    """Return the AOI of a box in degrees; if `west` is greater than `east`, it crosses the antimeridian.

    Raises:
        ValueError: The box is not in the world, is more than once around it, or has no area.
    """
    check_degrees([(west, south), (east, north)])
    if south > north:
        raise ValueError(f"its south ({south:g}) is north of its north ({north:g}); the order is west south east north")
    area = box(west, south, east + TURN if west > east else east, north)
    shape = within_world(area)
    if shape.area == 0:
        raise ValueError("it has no area")
    return shape
