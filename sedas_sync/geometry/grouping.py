"""Join polygons that are near each other, so that few searches cover many of them.

A catalogue returns all scenes that meet an outline. If a scene is a square of side s, their number grows with the area
of the outline grown by a scene: `area + (width + height) * s + s²`. Two polygons are joined if the outline of both has
fewer scenes than the two outlines. A search for each field of a farm would return the same scenes again and again; a
search of the sea between two archipelagos would return many that neither needs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import groupby
from math import cos, radians
from typing import NamedTuple

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon

from sedas_sync.geometry.polygons import polygons_of

SCENE_KM = 100.0
"""Side of a scene: that of a Sentinel-2 tile. Most scenes of other satellites are larger."""
SMALL_KM2 = 3000.0
"""Area that all outlines together may have, however small the polygons are: less than a third of a scene."""

_KM = 111.195
"""Kilometres of a degree of latitude."""
_MANY = 128
"""Maximum number of polygons that are compared in pairs."""
_SMALLEST_CELL = 1 / 64
"""Side in degrees of the cells that very many small polygons are first grouped by; doubled until they are few."""
_NEIGHBOURS = 4
"""Nearest neighbours that a polygon may be joined with."""
_NEGLIGIBLE = 1e-3
"""Square degrees, about 12 km²: a hull that adds less is good enough."""
_OVERLAP = 1e-4
"""Degrees that a bridge reaches into the larger polygon, at least."""


class _Pair(NamedTuple):
    """Two polygons that may be joined."""

    cost: float
    """How much more scenes one search has than two, as an area in km²; negative if it has fewer."""
    one: int
    other: int
    growth: float
    """Area that joining adds, in km²."""


def grouped(polygons: Sequence[Polygon], most: int, growth: float) -> list[Polygon]:
    """Join near polygons while that saves scenes, and further if there are more than `most`.

    Args:
        polygons: Not very many (`in_cells`), without holes, within ±180/±90.
        most: Maximum number of results.
        growth: Joining ends before the results together have more than this multiple of the area of the polygons, if
            that is more than `SMALL_KM2`.

    Returns:
        Polygons without holes that together cover all of these. One that was not joined is the same object.
    """
    left = dict(enumerate(polygons))
    total = sum(map(rough_km2, left.values()))
    limit = max(growth * total, SMALL_KM2)
    pairs = list({(pair.one, pair.other): pair for number in left for pair in _pairs(number, left)}.values())
    heapify(pairs)
    while pairs:
        pair = heappop(pairs)
        if pair.one not in left or pair.other not in left:
            continue
        if len(left) <= most and (pair.cost > 0 or total + pair.growth > limit):
            continue
        number = max(left) + 1
        left[number] = _joined(left.pop(pair.one), left.pop(pair.other))
        total += pair.growth
        for found in _pairs(number, left):
            heappush(pairs, found)
    return list(left.values())


def in_cells(polygons: Sequence[Polygon]) -> list[Polygon]:
    """Replace small polygons of the same neighbourhood by their hull if there are very many polygons.

    `grouped` compares polygons in pairs, which would take long.
    """
    shapes, cell = list(polygons), _SMALLEST_CELL
    while len(shapes) > _MANY:
        west, south, east, north = shapely.bounds(shapes).T
        small = np.maximum(east - west, north - south) <= cell
        columns = np.floor((west + east) / 2 / cell).astype(int).tolist()
        rows = np.floor((south + north) / 2 / cell).astype(int).tolist()
        # A large polygon is a group of its own.
        keys = [(x, y, 0) if s else (0, 0, n + 1) for n, (x, y, s) in enumerate(zip(columns, rows, small, strict=True))]
        order = sorted(range(len(shapes)), key=keys.__getitem__)
        groups = [[shapes[n] for n in group] for _, group in groupby(order, key=keys.__getitem__)]
        shapes = [_hull(group) if len(group) > 1 else group[0] for group in groups]
        cell *= 2
    return shapes


def _pairs(number: int, left: Mapping[int, Polygon]) -> Iterator[_Pair]:
    """Yield the pairs of a polygon with its nearest neighbours."""
    others = [other for other in left if other != number]
    if not others:
        return
    distances = shapely.distance(left[number], np.array([left[other] for other in others], dtype=object))
    for n in np.argsort(distances, kind="stable")[:_NEIGHBOURS].tolist():
        one, other = sorted((number, others[n]))
        a, b = left[one], left[other]
        joined = _joined(a, b)
        cost = _scenes(joined) - _scenes(a) - _scenes(b)
        yield _Pair(cost, one, other, rough_km2(joined) - rough_km2(a) - rough_km2(b))


def _joined(a: Polygon, b: Polygon) -> Polygon:
    """Return a polygon without holes that covers both: their hull, or the larger one with a bridge to the other."""
    hull = _hull([a, b])
    if hull.area - a.area - b.area < _NEGLIGIBLE:
        return hull
    small, large = sorted((a, b), key=lambda polygon: float(polygon.area))
    near = shapely.intersection(large, small.buffer(2 * small.distance(large) + _OVERLAP, quad_segs=2))
    bridge = _hull([small, *polygons_of(near)])
    both = shapely.union(large, bridge)
    if not isinstance(both, Polygon):
        return hull
    filled = Polygon(both.exterior)
    return filled if filled.area < hull.area else hull


def _hull(polygons: Iterable[Polygon]) -> Polygon:
    hull = shapely.convex_hull(MultiPolygon(list(polygons)))
    # The hull of a sliver may be a line.
    return hull if isinstance(hull, Polygon) else hull.buffer(_OVERLAP, quad_segs=1)


def rough_km2(polygon: Polygon) -> float:
    """Return the area in km²; good to a few percent, which is enough to compare costs."""
    _, south, _, north = polygon.bounds
    return float(polygon.area) * _KM**2 * cos(radians((south + north) / 2))


def _scenes(polygon: Polygon) -> float:
    """Return the area in km² of a polygon that is grown by a scene; the number of scenes is proportional to it."""
    west, south, east, north = polygon.bounds
    width, height = (east - west) * _KM * cos(radians((south + north) / 2)), (north - south) * _KM
    return rough_km2(polygon) + (width + height) * SCENE_KM + SCENE_KM**2
