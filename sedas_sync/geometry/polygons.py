"""Polygons of longitude and latitude: rings that cross the antimeridian or go around a pole."""

from collections.abc import Iterator
from itertools import pairwise
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


def interpretations(rings: Rings) -> Iterator[Polygon]:
    """Yield the possible meanings of a polygon, the most likely first; only one without the antimeridian."""
    shell, *holes = rings
    if not any(_has_jump(ring) for ring in rings):
        yield Polygon(shell, holes)
        return
    for seam in (True, False):
        try:
            outer = Polygon(unwrapped(shell, seam=seam))
            inner = [_moved_into(outer, unwrapped(hole, seam=seam)) for hole in holes]
        except ValueError:
            continue
        yield Polygon(outer.exterior, inner)


def unwrapped(ring: Ring, *, seam: bool) -> Ring:
    """Continue the longitudes of a closed ring beyond ±180 where it crosses the antimeridian.

    A step of more than 180 degrees is the short way around. A step of exactly 360 degrees is no step if `seam` is
    true (180 and -180 are one meridian), and once around the globe along a parallel if it is false. A ring that goes
    around the globe is closed over its pole.

    Raises:
        ValueError: The ring goes around the globe and has positions on both sides of the equator.
    """
    result, offset = [ring[0]], 0.0
    for (before, _), (x, y) in pairwise(ring):
        step = x - before
        if abs(step) > HALF_TURN and (seam or abs(step) < TURN):
            offset -= TURN if step > 0 else -TURN
        result.append((x + offset, y))
    if offset:
        result += _over_the_pole(result)
    return result


def within_world(shape: Polygonal) -> Polygonal:
    """Split a polygon at the antimeridian, and bring longitudes beyond ±180 back."""
    if shape.is_empty:
        return shape
    west, _, east, _ = shape.bounds
    if west >= -HALF_TURN and east <= HALF_TURN:
        return shape
    turns = range(floor((west + 180) / 360), ceil((east - 180) / 360) + 1)
    parts = [_shifted(shapely.intersection(shape, box(360 * n - 180, -90, 360 * n + 180, 90)), 360 * n) for n in turns]
    parts = [part for part in parts if part.area > 0]
    return parts[0] if len(parts) == 1 else polygonal(shapely.union_all(parts))


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


def _has_jump(ring: Ring) -> bool:
    return any(abs(b[0] - a[0]) > HALF_TURN for a, b in pairwise(ring))


def _over_the_pole(ring: Ring) -> Ring:
    latitudes = [y for _, y in ring]
    if min(latitudes) < 0 < max(latitudes) or abs(ring[-1][0] - ring[0][0]) > TURN:
        raise ValueError("a ring goes around the globe, and it is unclear which pole it encloses")
    pole = POLE if max(latitudes) > 0 else -POLE
    return [(ring[-1][0], pole), (ring[0][0], pole), ring[0]]


def _moved_into(shell: Polygon, hole: Ring) -> Ring:
    """Move a hole by whole turns into its shell, if that is possible."""
    for turn in (0.0, TURN, -TURN):
        moved = [(x + turn, y) for x, y in hole]
        if shell.is_valid and shell.covers(Polygon(moved)):
            return moved
    return hole


def _shifted(shape: BaseGeometry, turn: float) -> Polygonal:
    west, east = np.array([-180.0, -90.0]), np.array([180.0, 90.0])
    return polygonal(shapely.transform(shape, lambda xy: np.clip(xy - (turn, 0), west, east)))
