"""From polygons as people and catalogues write them to one valid area on the globe.

Every format comes through `area_of`: positions are checked, `rings` decides what the rings enclose, and outlines that
are not valid are refused or repaired.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry
from shapely.validation import explain_validity

from sedas_sync.geometry.polygons import (
    HALF_TURN,
    MIN_POSITIONS,
    POLE,
    TURN,
    Polygonal,
    Position,
    Ring,
    Rings,
    polygonal,
    polygons_of,
    rings_of,
    shown,
    within_world,
)
from sedas_sync.geometry.rings import SNAP, InDoubtError, continuous_polygon_of, polygon_of
from sedas_sync.geometry.sphere import area_text

OnRepair = Callable[[str], None]
"""Receives one sentence for each repair."""

_REMEDY = 'To repair it, set repair = true in the table of the AOI, or use "Fix geometries" in QGIS'

_FARTHEST = HALF_TURN + TURN
"""The largest longitude that is read: maps that repeat the world have a copy on either side."""
_LATITUDE_TOLERANCE = 1e-6
"""Degrees by which latitudes may exceed ±90, because other software rounds."""
_METRES = 1000.0
"""Coordinates beyond this are metres in a projection, not degrees."""
_LISTED = 50
"""Most polygons that one message names."""


class Part(NamedTuple):
    """One polygon as it was written."""

    rings: Rings
    """The shell, then its holes; not checked."""
    place: str = ""
    """Where it was written, such as `feature 3`; empty if it is the only one."""


class _Mistake(ValueError):
    """A mistake in a polygon that can be repaired."""

    def __init__(self, text: str, *, in_doubt: bool = False) -> None:
        super().__init__(text)
        self.in_doubt = in_doubt


class NoAreaError(ValueError):
    """The polygons are lines or points: they have no area."""


def area_of(parts: Sequence[Part], *, on_repair: OnRepair | None = None, continuous: bool = False) -> Polygonal:
    """Return the union of polygons within ±180/±90; polygons without positions are left out.

    Args:
        parts: The polygons, longitude first, in degrees.
        on_repair: Repair what is not valid and report it here, instead of raising an error: close open rings, untangle
            outlines with `shapely.make_valid`, drop what has no area, choose the more likely of two readings.
        continuous: Neighbouring positions are near each other; see `rings.continuous_polygon_of`.

    Raises:
        NoAreaError: Nothing with an area is left.
        ValueError: A position is not in the world or not in degrees, or all polygons are empty. Without `on_repair`
            also: a polygon is open, crosses itself, has no area, or can be read in two ways; all of them are named.
    """
    repairs = [_at(part, "it is empty; it is left out") for part in parts if not (part.rings and part.rings[0])]
    parts = [Part([ring for ring in rings if ring], place) for rings, place in parts if rings and rings[0]]
    if not parts:
        raise ValueError("it is empty")
    _check_positions(parts)
    shapes: list[Polygonal] = []
    mistakes: list[tuple[Part, _Mistake]] = []
    for part in parts:
        try:
            shapes.append(within_world(_strictly_read(part.rings, continuous=continuous)))
        except _Mistake as mistake:
            if on_repair is None:
                mistakes.append((part, mistake))
            else:
                shape, done = _repaired(part.rings, continuous=continuous)
                shapes.append(shape)
                repairs.append(_at(part, f"{mistake}; {done}"))
    if mistakes:
        text = "; ".join(_limited([_at(part, str(mistake)) for part, mistake in mistakes]))
        # A ring in doubt is valid as it is, and its message explains what to do.
        raise ValueError(text if all(mistake.in_doubt for _, mistake in mistakes) else with_remedy(text))
    if on_repair is not None:
        for repair in _limited(repairs):
            on_repair(repair)
    shapes = [shape for shape in shapes if shape.area > 0]
    if not shapes:
        raise NoAreaError("it has no area")
    return shapes[0] if len(shapes) == 1 else polygonal(shapely.union_all(shapes))


def parts_of(shapes: Iterable[BaseGeometry | None]) -> list[Part]:
    """Return the polygons in the geometries of features, in the order of their file."""
    return [
        Part(rings_of(polygon), f"feature {n}")
        for n, shape in enumerate(shapes, start=1)
        if shape is not None
        for polygon in polygons_of(shape)
    ]


def check_degrees(positions: Sequence[Position]) -> None:
    """Check positions that are not those of a polygon.

    Raises:
        ValueError: As for `area_of`.
    """
    _check_positions([Part([list(positions)])])


def open_ring(ring: Ring) -> str:
    """Return the sentence about an open ring."""
    return (
        f"a ring is open: it begins at {shown(ring[0])} and ends at {shown(ring[-1])}; "
        "the last position must repeat the first"
    )


def with_remedy(mistake: str) -> str:
    """Return mistakes that can be repaired, followed by what to do."""
    return f"{mistake}. {_REMEDY}"


def _limited(sentences: list[str]) -> Iterator[str]:
    yield from sentences[:_LISTED]
    if len(sentences) > _LISTED:
        yield f"and {len(sentences) - _LISTED} more"


def _at(part: Part, sentence: str) -> str:
    return f"{part.place}: {sentence}" if part.place else sentence


# -- reading one polygon -----------------------------------------------------------------------------------------------


def _strictly_read(rings: Rings, *, continuous: bool) -> Polygonal:
    for ring in rings:
        if ring[0] != ring[-1]:
            raise _Mistake(open_ring(ring))
        if len(ring) < MIN_POSITIONS:
            raise _Mistake(f"a ring has {len(ring)} positions; a closed ring has at least {MIN_POSITIONS}")
    rings = list(map(_in_world, rings))
    try:
        polygon = continuous_polygon_of(rings) if continuous else polygon_of(rings)
    except InDoubtError as doubt:
        raise _Mistake(str(doubt), in_doubt=True) from None
    if polygon.is_valid and polygon.area > 0:
        return polygon
    raise _Mistake(_what_is_wrong(polygon))


def _repaired(rings: Rings, *, continuous: bool) -> tuple[Polygonal, str]:
    """Return a polygon that is valid, or empty, and what was done."""
    closed = [[*ring, ring[0]] if ring[0] != ring[-1] else ring for ring in rings]
    shell, *holes = map(_in_world, closed)
    if len(shell) < MIN_POSITIONS:
        return shapely.Polygon(), "it is left out"
    right = [shell, *(hole for hole in holes if len(hole) >= MIN_POSITIONS)]
    polygon = continuous_polygon_of(right) if continuous else polygon_of(right, lenient=True)
    if polygon.is_valid and polygon.area > 0:
        return within_world(polygon), f"it is read as {area_text(polygon)}"
    shape = within_world(polygonal(shapely.make_valid(polygon)))
    if shape.area == 0:
        return shape, "it is left out"
    return shape, f"repaired; its area was {area_text(polygon)} and is {area_text(shape)}"


def _what_is_wrong(shape: BaseGeometry) -> str:
    if shape.convex_hull.area == 0:
        return "it has no area"
    reason = explain_validity(shape)
    where = re.search(r"\[(\S+) (\S+)\]", reason)
    if where and "Self-intersection" in reason:
        longitude = (float(where[1]) + HALF_TURN) % TURN - HALF_TURN
        return f"its outline crosses or touches itself near longitude {longitude:.6g}, latitude {float(where[2]):.6g}"
    return f"it is not a valid polygon: {reason}"


# -- positions ---------------------------------------------------------------------------------------------------------


def _check_positions(parts: Sequence[Part]) -> None:
    """Check that all positions are in degrees, and that each ring is in one turn around the globe.

    Raises:
        ValueError: One is not.
    """
    extents = [(part, ring, _extent(ring)) for part in parts for ring in part.rings]
    for part, _, extent in extents:
        if not all(map(isfinite, extent)):
            raise ValueError(_at(part, "a coordinate is not a finite number"))
    for part, ring, (west, south, east, north) in extents:
        if max(-west, east) > _FARTHEST or max(-south, north) > POLE + _LATITUDE_TOLERANCE:
            outside = next(p for p in ring if abs(p[0]) > _FARTHEST or abs(p[1]) > POLE + _LATITUDE_TOLERANCE)
            raise ValueError(_at(part, f"the position {shown(outside)} {_outside(outside, ring, parts)}"))
        if east - west > TURN + _LATITUDE_TOLERANCE:
            raise ValueError(
                _at(
                    part,
                    f"it extends from longitude {west:.10g} to {east:.10g}, which is more than once around the globe",
                )
            )


def _extent(ring: Ring) -> tuple[float, float, float, float]:
    """Return west, south, east and north; not finite if one of the positions is not."""
    positions = np.array(ring)
    (west, south), (east, north) = positions.min(axis=0).tolist(), positions.max(axis=0).tolist()
    return west, south, east, north


def _outside(position: Position, ring: Ring, parts: Sequence[Part]) -> str:
    everywhere = [p for part in parts for other in part.rings for p in other]
    if max(map(abs, position)) > _METRES:
        return (
            "is not in degrees. If these are metres, convert them to longitude and latitude (EPSG:4326), or use a file "
            "that states its reference system: a GeoPackage, a shapefile with its .prj, GeoJSON with a crs"
        )
    if all(abs(x) <= POLE and abs(y) <= HALF_TURN for x, y in everywhere):
        return "is outside ±180/±90; are latitude and longitude swapped? Longitude comes first"
    if abs(position[1]) <= POLE:
        longitudes = [x for x, _ in ring]
        turns = round((min(longitudes) + max(longitudes)) / 2 / TURN)
        move = f"subtract {turns * TURN:g} from" if turns > 0 else f"add {-turns * TURN:g} to"
        return f"is outside ±180/±90; to move the whole outline, {move} each of its longitudes"
    return "is outside ±180/±90 (longitude, then latitude, in degrees)"


def _in_world(ring: Ring) -> Ring:
    """Return a ring without the errors of rounding at the edge of the world."""
    west, south, east, north = _extent(ring)
    if max(-west, east) <= HALF_TURN and max(-south, north) <= POLE:
        return ring
    edge = HALF_TURN + SNAP
    return [(max(-HALF_TURN, min(HALF_TURN, x)) if abs(x) <= edge else x, max(-POLE, min(POLE, y))) for x, y in ring]
