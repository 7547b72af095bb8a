"""Polygons of longitude and latitude within the world."""

from collections.abc import Iterator
from math import ceil, floor

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon, box
from shapely.geometry.base import BaseGeometry

Polygonal = Polygon | MultiPolygon
Position = tuple[float, float]
"""Longitude, latitude; degrees."""
Ring = list[Position]
Rings = list[Ring]
"""One polygon: its shell, then its holes."""

TURN = 360.0
"""Degrees of longitude around the globe."""
HALF_TURN = 180.0
POLE = 90.0
MIN_POSITIONS = 4
"""Positions of a closed triangle."""


def within_world(shape: Polygonal) -> Polygonal:
    """Split polygons at the antimeridian, and bring longitudes beyond ±180 back."""
    west, _, east, _ = shape.bounds
    if shape.is_empty or (west >= -HALF_TURN and east <= HALF_TURN):
        return shape
    parts = [polygonal(part) for part in by_turns(shape)]
    parts = [part for part in parts if part.area > 0]
    return parts[0] if len(parts) == 1 else polygonal(shapely.union_all(parts))


def by_turns(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    """Yield the parts of a shape that are in one turn around the globe each, moved to within ±180."""
    west, _, east, _ = shape.bounds
    for n in range(floor((west + HALF_TURN) / TURN), ceil((east - HALF_TURN) / TURN) + 1):
        middle = TURN * n
        turn = box(middle - HALF_TURN, -POLE, middle + HALF_TURN, POLE)
        yield _shifted(shapely.intersection(shape, turn), middle)


def polygonal(shape: BaseGeometry) -> Polygonal:
    """Return the polygons of a geometry as one; empty if it has none."""
    if isinstance(shape, Polygon | MultiPolygon):
        return shape
    polygons = list(polygons_of(shape))
    united = polygons[0] if len(polygons) == 1 else shapely.union_all(polygons)
    return united if isinstance(united, Polygon | MultiPolygon) else Polygon()


def polygons_of(shape: BaseGeometry) -> Iterator[Polygon]:
    """Yield all polygons in a geometry that are not empty."""
    for part in shapely.get_parts(shape).tolist():
        if isinstance(part, Polygon) and not part.is_empty:
            yield part
        elif hasattr(part, "geoms"):
            yield from polygons_of(part)


def rings_of(polygon: Polygon) -> Rings:
    """Return the positions of a polygon's rings, empty ones left out."""
    return [positions_of(ring) for ring in (polygon.exterior, *polygon.interiors) if not ring.is_empty]


def positions_of(shape: BaseGeometry) -> Ring:
    """Return the positions of a ring, a line or a point."""
    return [(x, y) for x, y in shapely.get_coordinates(shape).tolist()]


def shown(position: Position) -> str:
    """Return a position as text."""
    return f"{position[0]:.10g} {position[1]:.10g}"


def _shifted(shape: BaseGeometry, turn: float) -> BaseGeometry:
    lowest, highest = (-HALF_TURN, -POLE), (HALF_TURN, POLE)
    return shapely.transform(shape, lambda xy: np.clip(xy - (turn, 0), lowest, highest))
