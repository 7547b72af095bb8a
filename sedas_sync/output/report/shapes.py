"""Outlines to draw, on one sheet of longitudes, so that an outline across the antimeridian is in one piece.

A sheet is 360 degrees wide. It begins where it cuts no shape, if possible: longitudes west of its edge are written 360
degrees further east. A footprint that was split at the antimeridian is joined again.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry import Footprint
from sedas_sync.geometry.polygons import polygons_of

Rings = list[list[float]]
"""A polygon: its shell, then its holes; each `[longitude, latitude, longitude, latitude, …]`, not closed."""

WEST, TURN = -180.0, 360.0
DECIMALS = 4
"""Decimals of a degree: 11 m, a pixel or two at the closest zoom of the page."""
AOI_DECIMALS = 5
"""Fields are small: 1 m."""
_TOLERANCE = 2.0
"""How far an outline may be from the shape, in its last decimal."""
_THIN = 1e-3
"""Degrees around a line or a point that are drawn."""
_TOUCH = 1e-6


def sheet(shapes: Iterable[Footprint]) -> float:
    """Return the western edge of a sheet that cuts no shape; -180 if that is one, or if there is none.

    Args:
        shapes: Within ±180/±90.
    """
    spans = sorted((part.bounds[0], part.bounds[2]) for shape in shapes for part in shapely.get_parts(shape).tolist())
    if not spans or spans[0][0] > WEST + _TOUCH or max(east for _, east in spans) < WEST + TURN - _TOUCH:
        return WEST
    gaps = list(_gaps(spans))
    if not gaps:
        return WEST
    west, east = max(gaps, key=lambda gap: gap[1] - gap[0])
    return float(round((west + east) / 2, DECIMALS))


def _gaps(spans: Sequence[tuple[float, float]]) -> Iterable[tuple[float, float]]:
    reached = spans[0][1]
    for (_, east), (west, _) in pairwise(spans):
        reached = max(reached, east)
        if west > reached + _TOUCH:
            yield reached, west


def on_sheet(shape: Footprint, west: float) -> Footprint:
    """Put a shape on the sheet that begins at `west`."""
    if west == WEST:
        return shape
    parts = [_moved(part, west) for part in shapely.get_parts(shape).tolist()]
    joined: Footprint = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    return joined


def _moved(part: BaseGeometry, west: float) -> BaseGeometry:
    left, _, right, _ = part.bounds
    if (left + right) / 2 >= west:
        return part
    return shapely.transform(part, lambda xy: xy + np.array([TURN, 0.0]))


def outlines(shape: Footprint, west: float, decimals: int = DECIMALS) -> list[Rings]:
    """Return a shape as polygons of numbers, without vertices that cannot be seen. Lines get a width."""
    placed = on_sheet(shape, west)
    if not isinstance(placed, Polygon | MultiPolygon):
        placed = placed.buffer(_THIN, quad_segs=1)
    simple = placed.simplify(_TOLERANCE / 10**decimals)
    if not simple.is_empty and isinstance(simple, Polygon | MultiPolygon):
        placed = simple
    return [[_ring(ring, decimals) for ring in (part.exterior, *part.interiors)] for part in polygons_of(placed)]


def _ring(ring: Any, decimals: int) -> list[float]:
    numbers = np.round(shapely.get_coordinates(ring)[:-1], decimals).ravel().tolist()
    return [int(number) if number == int(number) else number for number in numbers]


def box_of(outline: Iterable[Rings]) -> tuple[float, float, float, float]:
    """Return west, south, east and north of an outline."""
    shells = [rings[0] for rings in outline]
    x, y = [value for ring in shells for value in ring[::2]], [value for ring in shells for value in ring[1::2]]
    return min(x), min(y), max(x), max(y)
