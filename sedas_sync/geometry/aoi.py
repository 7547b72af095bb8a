"""Areas of interest: reading them strictly, and comparing footprints with them."""

from collections.abc import Iterable, Mapping, Sequence
from math import asin, atan2, cos, degrees, inf, isfinite, nextafter, pi, radians, sin, sqrt
from typing import Any

import numpy as np
import shapely
from shapely import Polygon, box

from sedas_sync.geometry.areas import OnRepair, Part, area_of, check_degrees, with_remedy
from sedas_sync.geometry.buffer import buffered
from sedas_sync.geometry.footprint import Footprint
from sedas_sync.geometry.geojson import read_geojson, read_geojson_paths
from sedas_sync.geometry.polygons import TURN, Polygonal, Ring, polygonal, within_world
from sedas_sync.geometry.sphere import EARTH_RADIUS_KM, area_km2
from sedas_sync.geometry.wkt import NoPolygonError, OpenRingError, read_paths, read_wkt

MAX_RADIUS_KM = 10_000.0
"""Maximum radius of an AOI around a point: a hemisphere."""

_CIRCLE = 720
"""Vertices of a circle: its area is right to a hundred-thousandth."""


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


def from_circle(longitude: float, latitude: float, radius_km: float) -> Polygonal:
    """Return the AOI of all places within a distance of a point, a small circle on the sphere.

    The result is also right at the poles and across the antimeridian. Its vertices are on the circle; another version
    must not move them, because lock files have the outline.

    Raises:
        ValueError: The point is not in the world, or the radius is not above 0 and at most `MAX_RADIUS_KM`.
    """
    check_degrees([(longitude, latitude)])
    if not (isfinite(radius_km) and 0 < radius_km <= MAX_RADIUS_KM):
        raise ValueError(f"the radius {radius_km:g} km is not above 0 and at most {MAX_RADIUS_KM:g} km")
    north, radius = radians(abs(latitude)), radius_km / EARTH_RADIUS_KM
    ring = _circle_with_pole(north, radius) if north + radius >= pi / 2 else _circle(north, radius)
    sign = -1 if latitude < 0 else 1
    polygon = Polygon([(longitude + degrees(x), sign * degrees(min(y, pi / 2))) for x, y in ring])
    return within_world(polygon if polygon.is_valid else _around(polygon))


def _around(polygon: Polygon) -> Polygon:
    """Return a box around a circle that is so small that its vertices fall together."""
    west, south, east, north = polygon.bounds
    return box(nextafter(west, -inf), nextafter(south, -inf), nextafter(east, inf), nextafter(north, inf))


def _circle(latitude: float, radius: float) -> Ring:
    """Return the circle around (0, latitude) if it does not enclose a pole; radians.

    Its parameter is the sine of the longitude's share of the widest one. That is smooth where meridians touch the
    circle, however near a pole it is.
    """
    widest = asin(min(1.0, sin(radius) / cos(latitude)))
    ring = []
    for n in range(_CIRCLE):
        t = 2 * pi * (n + 0.5) / _CIRCLE
        longitude = widest * sin(t)
        south, north = _crossings(latitude, radius, longitude)
        ring.append((longitude, north if cos(t) > 0 else south))
    return ring


def _circle_with_pole(latitude: float, radius: float) -> Ring:
    """Return the circle around (0, latitude) if it encloses the north pole, closed over that pole; radians."""
    longitudes = [pi * (2 * n / _CIRCLE - 1) for n in range(_CIRCLE + 1)]
    edge = [(longitude, _crossings(latitude, radius, longitude)[0]) for longitude in longitudes]
    return [*edge, (pi, pi / 2), (-pi, pi / 2)]


def _crossings(latitude: float, radius: float, longitude: float) -> tuple[float, float]:
    """Return the latitudes, south first, where a meridian crosses the circle around (0, latitude); radians."""
    a, b = sin(latitude), cos(latitude) * cos(longitude)
    # The cosine of a small angle is 1, so the angle comes from its sine.
    reach, aside = sin(radius), cos(latitude) * abs(sin(longitude))
    middle, half = atan2(a, b), atan2(sqrt(max(0.0, (reach - aside) * (reach + aside))), cos(radius))
    return middle - half, middle + half
