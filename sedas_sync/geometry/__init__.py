"""AOIs and footprints on the sphere of longitude and latitude: reading, meeting, coverage.

Everything here lives in EPSG:4326 with longitude first, as one `Polygon` or `MultiPolygon` within
±180/±90. What crosses the antimeridian is split there. Edges are straight in degrees, as GeoJSON (RFC
7946, section 3.1.1) and the catalogues treat them, so that the same polygon means the same region here
and at the archive. A pair of neighbouring positions more than 180 degrees of longitude apart is read as
crossing the antimeridian, the short way round; a ring that winds around the globe encloses the pole of
its hemisphere.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import acos, asin, atan2, ceil, cos, degrees, floor, hypot, isfinite, pi, radians, sin
from re import search as find
from typing import Any

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from sedas_sync.geometry import wkt as _rings
from sedas_sync.geometry.query_polygons import MAX_QUERIES, MAX_VERTICES, QueryPolygon, query_polygons
from sedas_sync.geometry.wkt import HALF_TURN, POLE, TURN

__all__ = [
    "MAX_QUERIES",
    "MAX_VERTICES",
    "Aoi",
    "Polygonal",
    "QueryPolygon",
    "coverage",
    "footprint",
    "footprints",
    "from_bbox",
    "from_circle",
    "from_geojson",
    "from_wkt",
    "meets",
    "query_polygons",
]

Polygonal = Polygon | MultiPolygon

EARTH_RADIUS_KM = 6371.0088
"""Mean radius of the earth (IUGG)."""
MAX_RADIUS_KM = 10_000.0
"""Largest radius of an AOI around a point: a hemisphere."""

_CIRCLE = 720
"""Vertices of a circle: its area is right to a hundred-thousandth."""


# ---------------------------------------------------------------------------------------------------- AOIs


def from_wkt(text: str) -> Polygonal:
    """Read an AOI from WKT: the union of all polygons of a POLYGON, MULTIPOLYGON or GEOMETRYCOLLECTION.

    Raises:
        ValueError: it is not WKT, holds no polygon, or is empty, open, self-crossing, outside ±180/±90,
        or has
            latitude and longitude swapped.
    """
    return _aoi(_rings.read_wkt(text))


def from_geojson(mapping: Mapping[str, Any]) -> Polygonal:
    """Read an AOI from a GeoJSON object of any type: the union of all its polygons.

    Raises:
        ValueError: as for `from_wkt`.
    """
    return _aoi(_rings.read_geojson(mapping))


def from_bbox(west: float, south: float, east: float, north: float) -> Polygonal:
    """Make an AOI of a box in degrees; `west` greater than `east` crosses the antimeridian.

    Raises:
        ValueError: it is outside ±180/±90 or has no area.
    """
    corners = [(west, south), (east, south), (east, north), (west, north), (west, south)]
    _rings.check([[corners]])
    if south > north:
        raise ValueError(f"its south ({south:g}) is north of its north ({north:g}); the order is west south east north")
    if south == north or west == east:
        raise ValueError("it has no area")
    return _within_world(box(west, south, east + 360 if west > east else east, north))


def from_circle(longitude: float, latitude: float, radius_km: float) -> Polygonal:
    """Make an AOI of all places within a distance of a point: a small circle on the sphere.

    It is right anywhere, at the poles and over the antimeridian too. Its outline has its vertices on the
    circle.

    Raises:
        ValueError: the point is outside ±180/±90, or the radius not above 0 and at most `MAX_RADIUS_KM`.
    """
    _rings.check([[[(longitude, latitude)] * 4]])
    if not (isfinite(radius_km) and 0 < radius_km <= MAX_RADIUS_KM):
        raise ValueError(f"the radius {radius_km:g} km is not above 0 and at most {MAX_RADIUS_KM:g} km")
    north, radius = radians(abs(latitude)), radius_km / EARTH_RADIUS_KM
    ring = _cap(north, radius) if north + radius >= pi / 2 else _disc(north, radius)
    sign = -1 if latitude < 0 else 1
    degree = [(longitude + degrees(x), sign * degrees(min(y, pi / 2))) for x, y in ring]
    return _within_world(Polygon(degree))


def _disc(latitude: float, radius: float) -> list[tuple[float, float]]:
    """The circle around (0, latitude) where it encloses no pole; radians.

    Its parameter is the sine of the longitude's share of the widest one, which is smooth where meridians
    touch the circle, however near it comes to a pole.
    """
    widest = asin(min(1.0, sin(radius) / cos(latitude)))
    ring = []
    for n in range(_CIRCLE):
        t = 2 * pi * (n + 0.5) / _CIRCLE
        longitude = widest * sin(t)
        south, north = _crossings(latitude, radius, longitude)
        ring.append((longitude, north if cos(t) > 0 else south))
    return ring


def _cap(latitude: float, radius: float) -> list[tuple[float, float]]:
    """The circle around (0, latitude) where it encloses the north pole, closed over that pole; radians."""
    longitudes = [pi * (2 * n / _CIRCLE - 1) for n in range(_CIRCLE + 1)]
    edge = [(longitude, _crossings(latitude, radius, longitude)[0]) for longitude in longitudes]
    return [*edge, (pi, pi / 2), (-pi, pi / 2)]


def _crossings(latitude: float, radius: float, longitude: float) -> tuple[float, float]:
    """Latitudes, south first, where a meridian crosses the circle around (0, latitude); radians."""
    a, b = sin(latitude), cos(latitude) * cos(longitude)
    middle, half = atan2(a, b), acos(min(1.0, cos(radius) / hypot(a, b)))
    return middle - half, middle + half


def _aoi(polygons: Sequence[_rings.Rings]) -> Polygonal:
    parts = [_within_world(_strict_polygon(rings)) for rings in _rings.check(polygons)]
    return parts[0] if len(parts) == 1 else _polygonal(shapely.union_all(parts))


def _strict_polygon(rings: _rings.Rings) -> Polygon:
    readings = list(_readings(rings))
    good = next((polygon for polygon in readings if polygon.is_valid and polygon.area > 0), None)
    if good is not None:
        return good
    if not readings:
        _rings.unwrapped(rings[0], seam=True)  # tells which pole is in doubt
    raise ValueError(_mistake(readings[0]))


def _readings(rings: _rings.Rings) -> Iterator[Polygon]:
    """What a polygon may mean, the likeliest first; one thing unless it jumps over the antimeridian."""
    shell, *holes = rings
    if not any(_rings.has_jump(ring) for ring in rings):
        yield Polygon(shell, holes)
        return
    for seam in (True, False):
        try:
            outer = Polygon(_rings.unwrapped(shell, seam=seam))
            inner = [_beside(outer, _rings.unwrapped(hole, seam=seam)) for hole in holes]
        except ValueError:
            continue
        yield Polygon(outer.exterior, inner)


def _beside(shell: Polygon, hole: _rings.Ring) -> _rings.Ring:
    """The hole, moved by whole turns into its shell where there is such a place."""
    for turn in (0.0, 360.0, -360.0):
        moved = [(x + turn, y) for x, y in hole]
        if shell.is_valid and shell.covers(Polygon(moved)):
            return moved
    return hole


def _mistake(polygon: Polygon) -> str:
    if polygon.convex_hull.area == 0:
        return "it has no area"
    reason = explain_validity(polygon)
    where = find(r"\[(\S+) (\S+)\]", reason)
    if where and "Self-intersection" in reason:
        longitude = (float(where[1]) + 180) % 360 - 180
        place = f"longitude {longitude:.6g}, latitude {float(where[2]):.6g}"
        return f"its outline crosses or touches itself near {place}"
    return f"it is not a valid polygon: {reason}"


# ---------------------------------------------------------------------------------------------- footprints


def footprint(wkt: str) -> Polygonal:
    """Read a scene's footprint leniently: open rings are closed, crossings untangled, longitudes wrapped.

    Raises:
        ValueError: it makes no sense: it is not WKT, holds no polygon, has no area, or is outside the
        world.
    """
    parts = []
    for rings in _rings.read_wkt(wkt):
        shell, *holes = [_mended(ring) for ring in rings]
        parts += [] if len(shell) < 4 else [_lenient_polygon([shell, *(h for h in holes if len(h) >= 4)])]  # noqa: PLR2004 - a closed triangle
    shape = _polygonal(parts[0] if len(parts) == 1 else shapely.union_all(parts))
    if shape.area == 0:
        raise ValueError("it has no area")
    return shape


def footprints(texts: Sequence[str | None]) -> list[Polygonal | None]:
    """Read many footprints at once, many times as fast as one by one.

    Returns:
        One geometry for each text, in order; None for what is missing or makes no sense.
    """
    with np.errstate(invalid="ignore"):  # NaN and infinity are odd, and the slow way tells why
        shapes = shapely.from_wkt(np.array(texts, dtype=object), on_invalid="ignore")
        positions, owner = shapely.get_coordinates(shapes, return_index=True)
        longitude, latitude = positions.T
        odd = np.zeros(len(shapes), dtype=bool)
        odd[owner[~((np.abs(longitude) <= HALF_TURN) & (np.abs(latitude) <= POLE))]] = True
        odd[owner[1:][(owner[1:] == owner[:-1]) & (np.abs(np.diff(longitude)) > HALF_TURN)]] = True
        plain = (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON) & ~odd & ~shapely.has_z(shapes)
        plain &= shapely.is_valid(shapes) & (shapely.area(shapes) > 0)
    return [
        shape if is_plain else _footprint_or_none(text)
        for text, shape, is_plain in zip(texts, shapes.tolist(), plain.tolist(), strict=True)
    ]


def _footprint_or_none(text: str | None) -> Polygonal | None:
    try:
        return footprint(text) if text else None
    except ValueError:
        return None


def _mended(ring: _rings.Ring) -> _rings.Ring:
    for x, y in ring:
        if not (isfinite(x) and isfinite(y)):
            raise ValueError("a coordinate is not a finite number")
        if abs(x) > TURN or abs(y) > POLE + 1e-6:  # longitudes from 0 to 360 are in use
            raise ValueError(f"the position {x:.10g} {y:.10g} is outside the world")
    ring = [(x, max(-90.0, min(90.0, y))) for x, y in ring]
    return ring if not ring or ring[0] == ring[-1] else [*ring, ring[0]]


def _lenient_polygon(rings: _rings.Rings) -> Polygonal:
    readings = list(_readings(rings)) or [Polygon(rings[0], rings[1:])]
    good = next((polygon for polygon in readings if polygon.is_valid and polygon.area > 0), None)
    if good is not None:
        return _within_world(good)
    return _within_world(_polygonal(shapely.make_valid(readings[0])))


# --------------------------------------------------------------------------------- the world and its parts


def _within_world(shape: Polygonal) -> Polygonal:
    """Bring longitudes beyond ±180 back, split at the antimeridian."""
    if shape.is_empty:
        return shape
    west, _, east, _ = shape.bounds
    if west >= -HALF_TURN and east <= HALF_TURN:
        return shape
    turns = range(floor((west + 180) / 360), ceil((east - 180) / 360) + 1)
    parts = [_shifted(shapely.intersection(shape, box(360 * n - 180, -90, 360 * n + 180, 90)), 360 * n) for n in turns]
    parts = [part for part in parts if part.area > 0]
    return parts[0] if len(parts) == 1 else _polygonal(shapely.union_all(parts))


def _shifted(shape: BaseGeometry, turn: float) -> Polygonal:
    west, east = np.array([-180.0, -90.0]), np.array([180.0, 90.0])
    return _polygonal(shapely.transform(shape, lambda xy: np.clip(xy - (turn, 0), west, east)))


def _polygonal(shape: BaseGeometry) -> Polygonal:
    """The polygons of a geometry; an empty one where there are none."""
    if isinstance(shape, Polygon | MultiPolygon):
        return shape
    polygons = list(_polygons(shape))
    return polygons[0] if len(polygons) == 1 else _flat(shapely.union_all(polygons))


def _flat(shape: BaseGeometry) -> Polygonal:
    return shape if isinstance(shape, Polygon | MultiPolygon) else Polygon()


def _polygons(shape: BaseGeometry) -> Iterator[Polygon]:
    for part in shapely.get_parts(shape).tolist():
        if isinstance(part, Polygon) and not part.is_empty:
            yield part
        elif hasattr(part, "geoms"):
            yield from _polygons(part)


# ------------------------------------------------------------------------------------ meeting and coverage


def meets(aoi: Polygonal, footprint: Polygonal) -> bool:
    """Say whether a footprint and an AOI have a point in common; touching counts, as in OGC's `intersects`.

    Both must lie within ±180/±90. A touch across the antimeridian, without overlap, does not count.
    """
    return bool(aoi.intersects(footprint))


def coverage(aoi: Polygonal, footprint: Polygonal) -> float:
    """Percent of the AOI's area that lies under the footprint: areas on the sphere, not square degrees."""
    return Aoi(aoi).coverage(footprint)


class Aoi:
    """An AOI that many footprints are held against.

    It is prepared once, which makes `meets` many times as fast. Preparation is shared state: use an
    instance from one thread at a time.
    """

    __slots__ = ("_area", "_geometry", "_queries")

    def __init__(self, geometry: Polygonal) -> None:
        self._geometry = geometry
        self._area: float | None = None
        self._queries: tuple[QueryPolygon, ...] | None = None
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
        """The same text for the same outline, whichever vertex it starts from and way it runs round."""
        return str(shapely.to_wkt(shapely.normalize(self._geometry), rounding_precision=9))

    @property
    def queries(self) -> tuple[QueryPolygon, ...]:
        """The polygons to search a catalogue with; see `query_polygons`."""
        if self._queries is None:
            self._queries = query_polygons(self._geometry)
        return self._queries

    def meets(self, footprint: Polygonal) -> bool:
        """Say whether a footprint has a point in common with the AOI; touching counts."""
        return bool(shapely.intersects(self._geometry, footprint))

    def meets_each(self, footprints: Iterable[Polygonal | None]) -> list[bool]:
        """Answer `meets` for many footprints at once, much faster; None meets nothing."""
        shapes = np.array(list(footprints), dtype=object)
        answers: list[bool] = shapely.intersects(self._geometry, shapes).tolist()
        return answers

    def coverage(self, footprint: Polygonal) -> float:
        """Percent of the AOI's area under the footprint, on the sphere; 0 to 100."""
        if not self.meets(footprint):
            return 0.0
        if footprint.covers(self._geometry):
            return 100.0
        if self._area is None:
            self._area = _area(self._geometry)
        shared = _area(_polygonal(shapely.intersection(self._geometry, footprint)))
        return max(0.0, min(100.0, 100.0 * shared / self._area))


def _area(shape: Polygonal) -> float:
    """Area on the unit sphere, exact for edges that are straight in degrees."""
    return sum(_ring_area(p.exterior) - sum(map(_ring_area, p.interiors)) for p in _polygons(shape))


def _ring_area(ring: shapely.LinearRing) -> float:
    """Green's theorem: the integral of the sine of latitude over longitude, in closed form on each edge.

    A constant is taken off the sine, which changes nothing around a ring but keeps small rings from
    cancelling.
    """
    longitude, latitude = np.radians(shapely.get_coordinates(ring)).T
    middle, half = (latitude[1:] + latitude[:-1]) / 2, np.diff(latitude) / 2
    heights = np.sin(middle) * np.sinc(half / pi) - sin(latitude[0])
    return abs(float(np.sum(np.diff(longitude) * heights)))
