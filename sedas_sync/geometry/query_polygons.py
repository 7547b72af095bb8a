"""The polygons that a catalogue is searched with: few, simple, and together never smaller than the AOI.

Servers reject long polygons, and some do not understand polygons of several parts. Scenes that a catalogue returns
beyond the AOI are removed afterwards with the exact geometry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import ceil, floor
from typing import cast

import shapely
from shapely import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

MAX_QUERIES = 16
"""Maximum number of polygons for one AOI; the nearest parts are merged."""
MAX_VERTICES = 50
"""Maximum vertices of a polygon."""
DECIMALS = 6
"""Decimals of a degree in a polygon: 0.1 m."""

_WORLD = box(-180, -90, 180, 90)
_CHEAP = 0.25
"""Parts are merged if that adds less than this share to their area."""
_CELLS = 8
"""Very many parts are first grouped into this number squared of neighbourhoods."""
_BUFFERED = 500
"""Maximum vertices of an outline that is buffered, because the time for that grows faster than linearly."""
_ROOM = 4
"""Vertices kept free for rounding outwards, which may split an acute corner in two."""


@dataclass(frozen=True, slots=True)
class QueryPolygon:
    """One polygon to search a catalogue with."""

    wkt: str
    """A single closed POLYGON without holes within ±180/±90, with at most six decimals."""
    exact: bool
    """Whether it is exactly the AOI, so that the coverage that the catalogue states is right."""


def query_polygons(geometry: Polygon | MultiPolygon) -> tuple[QueryPolygon, ...]:
    """Cover an AOI with at most `MAX_QUERIES` polygons of at most `MAX_VERTICES` vertices.

    A polygon without holes, with few vertices and at most six decimals is not changed. Everything else is enlarged:
    holes are filled, long outlines simplified, coordinates rounded, always outwards, and near parts are merged.
    `geometry` must be within ±180/±90.
    """
    parts = _parts(geometry)
    shells = _merged([Polygon(part.exterior) for part in parts])
    outlines = [_outline(shell) for shell in shells]
    whole = len(parts) == 1 and not parts[0].interiors and outlines[0] is shells[0]
    return tuple(QueryPolygon(_wkt(outline), exact=whole) for outline in outlines)


def _parts(geometry: Polygon | MultiPolygon) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry).tolist() if isinstance(part, Polygon)]


def _merged(shells: list[Polygon]) -> list[Polygon]:
    if len(shells) > _CELLS**2:
        shells = [_hull(group) for group in _neighbourhoods(shells)]
    left = dict(enumerate(shells))
    costs = {(i, j): _cost(left[i], left[j]) for i, j in combinations(left, 2)}
    while costs:
        (i, j), cost = min(costs.items(), key=lambda item: item[1])
        if cost > _CHEAP and len(left) <= MAX_QUERIES:
            break
        merged, name = _united(left.pop(i), left.pop(j)), max(i, j, *left, 0) + 1
        costs = {pair: cost for pair, cost in costs.items() if not {i, j} & {*pair}}
        costs |= {(other, name): _cost(shell, merged) for other, shell in left.items()}
        left[name] = merged
    return list(left.values())


def _neighbourhoods(shells: list[Polygon]) -> Iterator[list[Polygon]]:
    by_longitude = sorted(shells, key=lambda shell: shell.bounds)
    for column in _chunks(by_longitude, _CELLS):
        yield from _chunks(sorted(column, key=lambda shell: shell.bounds[1]), _CELLS)


def _chunks(items: list[Polygon], number: int) -> Iterator[list[Polygon]]:
    edges = [len(items) * n // number for n in range(number + 1)]
    return (items[a:b] for a, b in pairwise(edges) if b > a)


def _cost(a: Polygon, b: Polygon) -> float:
    """Return the area that merging adds, as a share of both areas (in square degrees, which is good enough)."""
    if a.covers(b) or b.covers(a):
        return 0.0
    area: float = shapely.union(a, b).area if a.intersects(b) else a.area + b.area
    return float(_hull([a, b]).area) / area - 1


def _united(a: Polygon, b: Polygon) -> Polygon:
    if a.covers(b):
        return a
    return b if b.covers(a) else _hull([a, b])


def _hull(shells: list[Polygon]) -> Polygon:
    return cast(Polygon, shapely.convex_hull(MultiPolygon(shells)))


def _outline(shell: Polygon) -> Polygon:
    """Return the shell itself, or else the smallest polygon that covers it and fits the limits."""
    if _vertices(shell) <= MAX_VERTICES and _is_on_grid(shell):
        return shell
    for candidate in _candidates(shell):
        rounded = _rounded_outwards(candidate, shell)
        if rounded is not None:
            return rounded
    return _frame(shell)


def _frame(shell: Polygon) -> Polygon:
    west, south, east, north = shell.bounds
    scale = 10**DECIMALS
    frame: Polygon = box(
        max(-180.0, floor(west * scale) / scale),
        max(-90.0, floor(south * scale) / scale),
        min(180.0, ceil(east * scale) / scale),
        min(90.0, ceil(north * scale) / scale),
    )
    return frame


def _candidates(shell: Polygon) -> Iterator[Polygon]:
    if _vertices(shell) <= MAX_VERTICES:
        yield shell
    hull = _hull([shell])
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
        rounded = Polygon([corners[0], *(b for a, b in pairwise(corners) if a != b)])
        if _vertices(rounded) <= MAX_VERTICES and rounded.is_valid and rounded.covers(target):
            return rounded
    return None


def _vertices(polygon: Polygon) -> int:
    return len(polygon.exterior.coords) - 1


def _is_on_grid(polygon: Polygon) -> bool:
    return all(round(value, DECIMALS) == value for position in polygon.exterior.coords for value in position)


def _wkt(polygon: Polygon) -> str:
    ring = ", ".join(f"{_decimal(x)} {_decimal(y)}" for x, y in polygon.exterior.coords)
    return f"POLYGON (({ring}))"


def _decimal(value: float) -> str:
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
