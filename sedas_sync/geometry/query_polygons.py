"""The polygons that a catalogue is searched with: few, simple, and together never smaller than the AOI.

Servers reject long polygons, and some do not understand polygons of several parts. Scenes that a catalogue returns
beyond the AOI are removed afterwards with the exact geometry.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, floor
from typing import cast

import shapely
from msgspec import Struct
from shapely import Polygon, box
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.grouping import SMALL_KM2, grouped, in_cells, rough_km2
from sedas_sync.geometry.polygons import HALF_TURN, MIN_POSITIONS, Polygonal, Position, polygons_of

MAX_QUERIES = 64
"""Maximum number of polygons for the AOIs of a dataset; the nearest parts are joined."""
MAX_VERTICES = 50
"""Maximum vertices of a polygon."""
DECIMALS = 6
"""Decimals of a degree in a polygon: 0.1 m."""

_WORLD = box(-180, -90, 180, 90)
_MAX_GROWTH = 2.9
"""The outlines together should have less than this multiple of the area of the AOIs."""
_GROWTHS = (1.8, 1.3, 1.05)
"""How much joining may add to the area, each tried if the outlines of the joined parts are too large."""
_LONG = 200
"""Vertices of an outline that is simplified before it is compared with others."""
_TINY = 1e-5
"""Degrees; a box is searched around a smaller polygon."""
_BUFFERED = 500
"""Maximum vertices of an outline that is buffered, because the time for that grows faster than linearly."""
_ROOM = 4
"""Vertices kept free for rounding outwards, which may split an acute corner in two."""


class QueryPolygon(Struct, frozen=True):
    """One polygon to search a catalogue with."""

    wkt: str
    """A single closed POLYGON without holes within ±180/±90, with at most six decimals."""
    exact: bool
    """Whether it is exactly one of the AOIs, so that the coverage that the catalogue states is right."""


def query_polygons(areas: Sequence[Polygonal]) -> tuple[QueryPolygon, ...]:
    """Cover AOIs with at most `MAX_QUERIES` polygons of at most `MAX_VERTICES` vertices.

    A polygon without holes, with few vertices and at most six decimals is not changed, if no other one is near it.
    Everything else is enlarged: holes are filled, long outlines simplified, coordinates rounded, always outwards, and
    near parts are joined.

    Args:
        areas: One or more areas within ±180/±90.
    """
    parts = [list(polygons_of(area)) for area in areas]
    whole = {id(area[0]) for area in parts if len(area) == 1 and not area[0].interiors}
    shells = [part if id(part) in whole else Polygon(part.exterior) for area in parts for part in area]
    few = in_cells(shells)
    simple = [shell if _is_simple(shell) else _outline(shell) for shell in few]
    limit = max(_MAX_GROWTH * sum(map(rough_km2, few)), SMALL_KM2)
    outlines: list[Polygon] = []
    for growth in _GROWTHS:
        outlines = [_outline(group) for group in grouped(simple, MAX_QUERIES, growth)]
        if sum(map(rough_km2, outlines)) < limit:
            break
    return tuple(QueryPolygon(_wkt(outline), exact=id(outline) in whole) for outline in outlines)


def _outline(shell: Polygon) -> Polygon:
    """Return the shell itself, or else the smallest polygon that covers it and fits the limits."""
    if _vertices(shell) <= MAX_VERTICES and _is_on_grid(shell):
        return shell
    west, south, east, north = shell.bounds
    if max(east - west, north - south) < _TINY:
        return _frame(shell)
    for candidate in _candidates(shell):
        rounded = _rounded_outwards(candidate, shell)
        if rounded is not None:
            return rounded
    return _frame(shell)


def _frame(shell: Polygon) -> Polygon:
    """Return the box around a polygon, at least one unit of the last decimal wide and high."""
    west, south, east, north = shell.bounds
    (west, east), (south, north) = _rounded_span(west, east, 180), _rounded_span(south, north, 90)
    frame: Polygon = box(west, south, east, north)
    return frame


def _rounded_span(low: float, high: float, end: int) -> tuple[float, float]:
    scale = 10**DECIMALS
    first, last = floor(low * scale), ceil(high * scale)
    if first == last:
        first, last = (first, last + 1) if first < end * scale else (first - 1, last)
    return max(first, -end * scale) / scale, min(last, end * scale) / scale


def _candidates(shell: Polygon) -> Iterator[Polygon]:
    if _vertices(shell) <= MAX_VERTICES:
        yield shell
    hull = shell.convex_hull
    if not isinstance(hull, Polygon):
        return
    simpler = sorted((*_simplified(shell), *_simplified(hull), hull), key=lambda polygon: polygon.area)
    yield from (polygon for polygon in simpler if _vertices(polygon) <= MAX_VERTICES)


def _simplified(shell: Polygon) -> Iterator[Polygon]:
    """Buffer an outline by more than simplifying can remove again, in growing steps until it is short."""
    west, south, east, north = shell.bounds
    extent = max(east - west, north - south)
    for step in range(8):
        tolerance = extent / 1000 * 2**step
        coarse = cast(Polygon, shell.simplify(tolerance / 8))
        if _vertices(coarse) > _BUFFERED:
            continue
        grown = coarse.buffer(tolerance, join_style="mitre", mitre_limit=2)
        simple = _in_world(Polygon(grown.exterior).simplify(0.8 * tolerance))
        if simple is not None and _vertices(simple) <= MAX_VERTICES - _ROOM:
            yield simple
            return


def _in_world(polygon: BaseGeometry) -> Polygon | None:
    """Return the part within ±180/±90, without holes; None if that is not one valid polygon."""
    inside = shapely.intersection(polygon, _WORLD) if polygon.is_valid else None
    return Polygon(inside.exterior) if isinstance(inside, Polygon) and inside.area > 0 else None


def _rounded_outwards(polygon: Polygon, target: Polygon) -> Polygon | None:
    """Round a polygon to six decimals so that it covers the target; None if that fails."""
    for margin in (0.0, 2e-6, 1e-5, 1e-4):
        grown = _in_world(polygon.buffer(margin, join_style="mitre", mitre_limit=2)) if margin else polygon
        if grown is None:
            continue
        corners = [(round(x, DECIMALS), round(y, DECIMALS)) for x, y in grown.exterior.coords]
        ring = [corners[0], *(b for a, b in pairwise(corners) if a != b)]
        if len(ring) < MIN_POSITIONS:
            continue
        rounded = Polygon(ring)
        if _vertices(rounded) <= MAX_VERTICES and rounded.is_valid and rounded.covers(target):
            return rounded
    return None


def _is_simple(shell: Polygon) -> bool:
    """Return whether a polygon can be compared with others fast and without rounding errors."""
    west, south, east, north = shell.bounds
    return _vertices(shell) <= _LONG and max(east - west, north - south) >= _TINY


def _vertices(polygon: Polygon) -> int:
    return len(polygon.exterior.coords) - 1


def _is_on_grid(polygon: Polygon) -> bool:
    return all(round(value, DECIMALS) == value for position in polygon.exterior.coords for value in position)


def _wkt(polygon: Polygon) -> str:
    ring = ", ".join(f"{_decimal(x)} {_decimal(y)}" for x, y in _without_long_edges(polygon))
    return f"POLYGON (({ring}))"


def _without_long_edges(polygon: Polygon) -> Iterator[Position]:
    """Yield the positions of a polygon, with one more in the middle of each edge over more than 180 degrees.

    Some servers read longer edges the short way, across the antimeridian. The middle is rounded outwards.
    """
    ring, scale = [(x, y) for x, y in polygon.exterior.coords], 10**DECIMALS
    for (x1, y1), (x2, y2) in pairwise(ring):
        yield x1, y1
        if abs(x2 - x1) > HALF_TURN:
            x = round((x1 + x2) / 2, DECIMALS)
            y = (y1 + (y2 - y1) * (x - x1) / (x2 - x1)) * scale
            yield x, (floor(y) if (x2 > x1) == polygon.exterior.is_ccw else ceil(y)) / scale
    yield ring[-1]


def _decimal(value: float) -> str:
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
