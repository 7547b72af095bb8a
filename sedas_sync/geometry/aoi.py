"""Areas of interest: reading them strictly, and comparing footprints with them."""

from collections.abc import Iterable, Mapping, Sequence
from math import acos, asin, atan2, cos, degrees, hypot, isfinite, pi, radians, sin
from re import search
from typing import Any

import numpy as np
import shapely
from shapely import Polygon, box
from shapely.validation import explain_validity

from sedas_sync.geometry.geojson import read_geojson
from sedas_sync.geometry.polygons import (
    HALF_TURN,
    MIN_POSITIONS,
    POLE,
    TURN,
    Polygonal,
    Position,
    Ring,
    Rings,
    interpretations,
    polygonal,
    polygons_of,
    unwrapped,
    within_world,
)
from sedas_sync.geometry.wkt import read_wkt

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the earth (IUGG)."""
MAX_RADIUS_KM = 10_000.0
"""Maximum radius of an AOI around a point: a hemisphere."""

_CIRCLE = 720
"""Vertices of a circle: its area is right to a hundred-thousandth."""
_TOLERANCE = 1e-9
"""Degrees by which positions may exceed ±180 and ±90, because other software rounds."""


class Aoi:
    """An AOI that is compared with many footprints.

    Its geometry is prepared, which makes `intersects` many times faster. Use an instance from one thread at a time.
    """

    __slots__ = ("_area", "_geometry")

    def __init__(self, geometry: Polygonal) -> None:
        self._geometry = geometry
        self._area: float | None = None
        shapely.prepare(geometry)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Aoi) and self.wkt == other.wkt

    def __hash__(self) -> int:
        return hash(self.wkt)

    def __repr__(self) -> str:
        return f"Aoi({self.wkt[:60]!r}…)"

    @property
    def geometry(self) -> Polygonal:
        """Within ±180/±90, split at the antimeridian."""
        return self._geometry

    @property
    def wkt(self) -> str:
        """The outline as WKT; it does not depend on the first vertex and the direction."""
        return str(shapely.to_wkt(shapely.normalize(self._geometry), rounding_precision=9))

    def intersects(self, footprint: Polygonal) -> bool:
        """Return whether a footprint has a point in common with the AOI; touching counts, as in OGC's `intersects`.

        Touching across the antimeridian does not count.
        """
        return bool(shapely.intersects(self._geometry, footprint))

    def intersects_each(self, footprints: Iterable[Polygonal | None]) -> list[bool]:
        """Return `intersects` for many footprints at once, which is much faster; None does not intersect."""
        shapes = np.array(list(footprints), dtype=object)
        answers: list[bool] = shapely.intersects(self._geometry, shapes).tolist()
        return answers

    def coverage(self, footprint: Polygonal) -> float:
        """Return the percentage of the AOI's area, on the sphere, that a footprint covers."""
        if not self.intersects(footprint):
            return 0.0
        if footprint.covers(self._geometry):
            return 100.0
        if self._area is None:
            self._area = _area(self._geometry)
        shared = _area(polygonal(shapely.intersection(self._geometry, footprint)))
        return max(0.0, min(100.0, 100.0 * shared / self._area))


def _area(shape: Polygonal) -> float:
    """Return the area on the unit sphere, exact for edges that are straight in degrees."""
    return sum(_ring_area(p.exterior) - sum(map(_ring_area, p.interiors)) for p in polygons_of(shape))


def _ring_area(ring: shapely.LinearRing) -> float:
    """Integrate the sine of latitude over longitude (Green's theorem), in closed form for each edge.

    A constant is subtracted from the sine. It cancels out around a ring, and keeps the result exact for small rings.
    """
    longitude, latitude = np.radians(shapely.get_coordinates(ring)).T
    middle, half = (latitude[1:] + latitude[:-1]) / 2, np.diff(latitude) / 2
    heights = np.sin(middle) * np.sinc(half / pi) - sin(latitude[0])
    return abs(float(np.sum(np.diff(longitude) * heights)))


# ------------------------------------------------------------------------------------------------- reading


def from_wkt(text: str) -> Polygonal:
    """Read an AOI from WKT: the union of all polygons of a POLYGON, MULTIPOLYGON or GEOMETRYCOLLECTION.

    Raises:
        ValueError: The text is not WKT or contains no polygon, or a polygon is empty, open, crosses itself, is outside
            ±180/±90, or has latitude and longitude swapped.
    """
    return _united(read_wkt(text))


def from_geojson(mapping: Mapping[str, Any]) -> Polygonal:
    """Read an AOI from a GeoJSON object of any type: the union of all its polygons.

    Raises:
        ValueError: As for `from_wkt`.
    """
    return _united(read_geojson(mapping))


def from_bbox(west: float, south: float, east: float, north: float) -> Polygonal:
    """Return the AOI of a box in degrees; if `west` is greater than `east`, it crosses the antimeridian.

    Raises:
        ValueError: The box is outside ±180/±90 or has no area.
    """
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    _checked([[corners]])
    if south > north:
        raise ValueError(f"its south ({south:g}) is north of its north ({north:g}); the order is west south east north")
    if south == north or west == east:
        raise ValueError("it has no area")
    return within_world(box(west, south, east + TURN if west > east else east, north))


def from_circle(longitude: float, latitude: float, radius_km: float) -> Polygonal:
    """Return the AOI of all places within a distance of a point, a small circle on the sphere.

    The result is also right at the poles and across the antimeridian. Its vertices are on the circle.

    Raises:
        ValueError: The point is outside ±180/±90, or the radius is not above 0 and at most `MAX_RADIUS_KM`.
    """
    _checked([[[(longitude, latitude)] * MIN_POSITIONS]])
    if not (isfinite(radius_km) and 0 < radius_km <= MAX_RADIUS_KM):
        raise ValueError(f"the radius {radius_km:g} km is not above 0 and at most {MAX_RADIUS_KM:g} km")
    north, radius = radians(abs(latitude)), radius_km / EARTH_RADIUS_KM
    ring = _circle_with_pole(north, radius) if north + radius >= pi / 2 else _circle(north, radius)
    sign = -1 if latitude < 0 else 1
    return within_world(Polygon([(longitude + degrees(x), sign * degrees(min(y, pi / 2))) for x, y in ring]))


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
    middle, half = atan2(a, b), acos(min(1.0, cos(radius) / hypot(a, b)))
    return middle - half, middle + half


# ------------------------------------------------------------------------------------------------ checking


def _united(polygons: Sequence[Rings]) -> Polygonal:
    parts = [within_world(_valid_polygon(rings)) for rings in _checked(polygons)]
    return parts[0] if len(parts) == 1 else polygonal(shapely.union_all(parts))


def _checked(polygons: Sequence[Rings]) -> list[Rings]:
    """Check rings and positions, and return the polygons with positions rounded to the edge of the world.

    Raises:
        ValueError: A ring is empty, open or too short, or a position is not a number, is outside ±180/±90, or has
            latitude and longitude swapped.
    """
    for ring in (ring for rings in polygons for ring in rings):
        _check_ring(ring)
    positions = [position for rings in polygons for ring in rings for position in ring]
    outside = next((p for p in positions if abs(p[0]) > HALF_TURN + _TOLERANCE or abs(p[1]) > POLE + _TOLERANCE), None)
    if outside is None:
        return [[[_clamped(p) for p in ring] for ring in rings] for rings in polygons]
    problem = f"the position {_shown(outside)} is outside ±180/±90"
    if all(abs(x) <= POLE and abs(y) <= HALF_TURN for x, y in positions):
        raise ValueError(f"{problem}; are latitude and longitude swapped? Longitude comes first")
    if abs(outside[1]) <= POLE and all(-HALF_TURN <= x <= TURN for x, _ in positions):
        raise ValueError(f"{problem}; longitudes run from -180 to 180, so write {outside[0] - TURN:g}")
    raise ValueError(f"{problem} (longitude, then latitude, in degrees)")


def _check_ring(ring: Ring) -> None:
    if not ring:
        raise ValueError("a ring is empty")
    for x, y in ring:
        if not (isfinite(x) and isfinite(y)):
            raise ValueError("a coordinate is not a finite number")
    if ring[0] != ring[-1]:
        raise ValueError(
            f"a ring is open: it begins at {_shown(ring[0])} and ends at {_shown(ring[-1])}; "
            "the last position must repeat the first"
        )
    if len(ring) < MIN_POSITIONS:
        raise ValueError(f"a ring has {len(ring)} positions; a closed ring has at least {MIN_POSITIONS}")


def _clamped(position: Position) -> Position:
    return max(-HALF_TURN, min(HALF_TURN, position[0])), max(-POLE, min(POLE, position[1]))


def _shown(position: Position) -> str:
    return f"{position[0]:.10g} {position[1]:.10g}"


def _valid_polygon(rings: Rings) -> Polygon:
    possible = list(interpretations(rings))
    valid = next((polygon for polygon in possible if polygon.is_valid and polygon.area > 0), None)
    if valid is not None:
        return valid
    if not possible:
        unwrapped(rings[0], seam=True)  # raises the error that explains why
    raise ValueError(_mistake(possible[0]))


def _mistake(polygon: Polygon) -> str:
    if polygon.convex_hull.area == 0:
        return "it has no area"
    reason = explain_validity(polygon)
    where = search(r"\[(\S+) (\S+)\]", reason)
    if where and "Self-intersection" in reason:
        longitude = (float(where[1]) + 180) % 360 - 180
        place = f"longitude {longitude:.6g}, latitude {float(where[2]):.6g}"
        return f"its outline crosses or touches itself near {place}"
    return f"it is not a valid polygon: {reason}"
