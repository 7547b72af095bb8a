"""What the rings of a polygon enclose: as written, across the antimeridian, or around a pole.

Edges are straight in degrees, as RFC 7946 (section 3.1.1) defines them, so a ring is read as it is written. A ring with
an edge over more than 180 degrees of longitude has a second reading, because much software writes rings that cross the
antimeridian so: every long edge goes the short way. `polygon_of` chooses, and refuses to guess. The page "Areas" of the
documentation states the rule.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import shapely
from antimeridian import fix_polygon
from msgspec import Struct
from msgspec.structs import replace
from shapely import LineString, MultiPolygon, Point, Polygon
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.polygons import (
    HALF_TURN,
    POLE,
    TURN,
    Polygonal,
    Position,
    Ring,
    Rings,
    polygonal,
    polygons_of,
    shown,
    within_world,
)
from sedas_sync.geometry.sphere import area_text

SNAP = 1e-9
"""Degrees within which a longitude is the antimeridian; other software rounds."""

_WIDEST = 90.0
"""Degrees of longitude of the widest area that is assumed to cross the antimeridian."""
_DETAILED = 4.0
"""The long edges of a detailed outline become at least this times shorter than it is wide, if they go the short way."""
_TALL = 2.0
"""A reading across the antimeridian that is more than this times taller than wide is not assumed."""
_VERY_TALL = 30.0
"""The same of a footprint, which may be a narrow scene."""
_HIGH = 45.0
"""Degrees of latitude; a lower polygon may be that tall if it is not a plain box: a swath, a coast."""
_SYMMETRIC = 1e-6
"""Degrees by which the ends of a grid of the globe may differ."""
_MANY = 20
"""People write rings with fewer positions by hand, and longer ones with software."""
_SHOWN = 9
"""Most positions of a ring that an error quotes."""


class InDoubtError(ValueError):
    """A ring has two readings, and nothing shows which of them is meant."""


class _Readings(Struct, frozen=True):
    """The two readings of a polygon."""

    written: Polygon
    across: Polygonal
    around: bool
    """Whether its shell goes around the globe and encloses a pole if it is read across."""
    positions: int
    crossing: float
    """Degrees of longitude of the longest long edge, the short way."""
    lenient: bool

    @property
    def looks_across(self) -> bool:
        """Whether the shape of the two polygons shows that the ring crosses the antimeridian."""
        across, written = self.across, self.written
        if self.around:
            _, south, _, north = written.bounds
            one_hemisphere = south >= 0 or north <= 0
            if one_hemisphere or written.is_valid:
                return one_hemisphere or across.area < written.area
            return self.positions > _MANY
        west, south, east, north = across.bounds
        width, height = east - west, north - south
        if (width > _WIDEST and not self._is_detailed) or across.convex_hull.area >= written.convex_hull.area:
            return False
        tall = height > _TALL * width
        if self.lenient:
            # A scene may be narrow. A grid of the globe ends at the same longitude in the east and in the west.
            return not (tall and _is_box(written) and (_is_symmetric(written) or height > _VERY_TALL * width))
        return not (tall and (_is_box(written) or height > _HIGH))

    @property
    def direction_agrees(self) -> bool:
        """Whether the ring's direction does not contradict its shape. Outer rings are counter-clockwise in RFC 7946.

        Software writes rings in either direction, so a detailed outline that looks as if it crosses may have either.
        """
        across, written = _is_counter_clockwise(self.across), _is_counter_clockwise(self.written)
        if self.around:
            return (across and not written) or not self.looks_across
        return (across or self._is_detailed) if self.looks_across else not across

    @property
    def _is_detailed(self) -> bool:
        west, _, east, _ = self.across.bounds
        return bool(self.crossing <= (east - west) / _DETAILED)


def polygon_of(rings: Rings, *, lenient: bool = False) -> Polygonal:
    """Return what a polygon's closed rings enclose, with longitudes that may continue beyond ±180.

    The result may be invalid: it is then the more likely reading.

    Args:
        rings: The shell, then its holes.
        lenient: Choose the more likely reading if there is doubt.

    Raises:
        InDoubtError: It can be read in two ways. The message explains both, and how to write each.
    """
    if not any(map(_has_long_edge, rings)):
        return _plain(rings)
    rings = [list(map(_snapped, ring)) for ring in rings]
    written = _plain(rings)
    if all(abs(a[1]) == POLE and a[1] == b[1] for ring in rings for a, b in _long_edges(ring)):
        return written  # An edge along a pole is a point: both readings are the same place.
    try:
        across, around = _across(rings)
    except ValueError:
        return written
    crossing = max((TURN - abs(b[0] - a[0]) for a, b in _long_edges(rings[0])), default=0.0)
    readings = _Readings(written, across, around, len(rings[0]), crossing, lenient)
    possible = [polygon for polygon in (written, across) if polygon.is_valid and polygon.area > 0]
    if len(possible) == 1:
        return possible[0]
    if possible and not lenient and not readings.direction_agrees:
        raise InDoubtError(_doubt(rings[0], readings))
    if not readings.looks_across:
        return written
    return (_cut(written) or across) if lenient and around and not possible else across


def continuous_polygon_of(rings: Rings) -> Polygonal:
    """Return what rings enclose whose neighbouring positions are near each other, because an outline was densified.

    Every long edge crosses the antimeridian. The shell is counter-clockwise, so that its direction shows which pole it
    encloses if it goes around the globe.
    """
    return _across(rings)[0] if any(map(_has_long_edge, rings)) else _plain(rings)


def continued(ring: Ring) -> tuple[Ring, int]:
    """Continue longitudes beyond ±180 so that each edge goes the short way.

    Returns:
        The positions, and the turns around the globe from the first to the last: positive eastwards.
    """
    result, turns = ring[:1], 0
    for (before, _), (x, y) in pairwise(ring):
        if abs(x - before) > HALF_TURN:
            turns += -1 if x > before else 1
        result.append((x + turns * TURN, y))
    return result, turns


def path_shape(path: Ring) -> BaseGeometry:
    """Return a line that crosses the antimeridian the short way; a point if all positions are one."""
    positions, _ = continued(path)
    return LineString(positions) if len(set(positions)) > 1 else Point(positions[0])


# -- the reading across the antimeridian -------------------------------------------------------------------------------


def _across(rings: Rings) -> tuple[Polygonal, bool]:
    """Return the reading of a polygon in which long edges go the short way, and whether it encloses a pole.

    Raises:
        ValueError: A ring goes around the globe more than once.
    """
    (shell, around), *holes = [_enclosing(ring) for ring in rings]
    outer = Polygon(shell)
    polygon: Polygonal = Polygon(shell, [_moved_into(outer, hole) for hole, over_pole in holes if not over_pole])
    caps = [Polygon(hole) for hole, over_pole in holes if over_pole]
    if caps and polygon.is_valid and all(cap.is_valid for cap in caps):
        # A hole over the pole of its shell has an edge in common with it, and may begin on another meridian.
        polygon = within_world(polygon)
        for cap in map(within_world, caps):
            if polygon.covers(cap):
                polygon = polygonal(polygon.difference(cap))
            else:  # not valid, because the hole is not in its shell
                polygon = MultiPolygon([*polygons_of(polygon), *polygons_of(cap)])
    return polygon, around


def _enclosing(ring: Ring) -> tuple[Ring, bool]:
    """Continue a ring's longitudes; close it over a pole if it goes around the globe.

    The pole is the one of the ring's hemisphere, or else the one to the left of its direction.
    """
    result, turns = continued(ring)
    if not turns:
        return result, False
    if abs(turns) > 1:
        raise ValueError("a ring goes around the globe more than once")
    latitudes = [y for _, y in ring]
    north = min(latitudes) >= 0 or (max(latitudes) > 0 and turns > 0)
    pole = POLE if north else -POLE
    return [*result, (result[-1][0], pole), (result[0][0], pole), result[0]], True


def _moved_into(shell: Polygon, hole: Ring) -> Ring:
    """Move a hole by whole turns into its shell, if that is possible."""
    for turn in (0.0, TURN, -TURN):
        moved = [(x + turn, y) for x, y in hole]
        if shell.is_valid and shell.covers(Polygon(moved)):
            return moved
    return hole


def _plain(rings: Rings) -> Polygon:
    shell, *holes = map(np.array, rings)  # shapely reads arrays faster than lists
    return Polygon(shell, holes)


def _has_long_edge(ring: Ring) -> bool:
    return bool(np.abs(np.diff(np.array(ring)[:, 0])).max(initial=0.0) > HALF_TURN)


def _snapped(position: Position) -> Position:
    x, y = position
    if abs(abs(x) - HALF_TURN) < SNAP:
        return (HALF_TURN if x > 0 else -HALF_TURN), y
    return position


def _is_box(polygon: Polygon) -> bool:
    west, south, east, north = polygon.bounds
    return bool(polygon.area > (1 - SNAP) * (east - west) * (north - south))


def _is_symmetric(polygon: Polygon) -> bool:
    west, _, east, _ = polygon.bounds
    return bool(abs(west + east) < _SYMMETRIC)


def _is_counter_clockwise(shape: Polygonal) -> bool:
    return bool(shapely.is_ccw(shape.exterior)) if isinstance(shape, Polygon) else True


def _cut(polygon: Polygon) -> Polygonal | None:
    """Return the parts between the antimeridian's crossings of a ring around the globe that crosses itself.

    The swath of a whole orbit overlaps itself. A plane cannot show that, but the parts can.

    Returns:
        The parts, or None if they make no polygon.
    """
    try:
        cut: Polygonal = fix_polygon(polygon, great_circle=False, fix_winding=True)
    except (ValueError, AssertionError, RecursionError):
        return None
    return cut


# -- the error ---------------------------------------------------------------------------------------------------------


def _doubt(ring: Ring, readings: _Readings) -> str:
    (a, b), *more = _long_edges(ring)
    middle = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
    edges = "each edge that long" if more else "that edge"
    pole = "north" if readings.across.bounds[3] == POLE else "south"
    other = f"around the {pole} pole" if readings.around else "the short way"
    outline = shapely.get_coordinates(readings.across).tolist()
    if len(outline) <= _SHOWN:
        spelled = f"write ({', '.join(shown(position) for position in outline)})"
    else:
        moved = next(new for new, old in zip(outline, ring, strict=False) if tuple(new) != old)
        spelled = f"continue the longitudes: {shown(moved)} in place of {shown(b)}"
    return (
        f"its edge from {shown(a)} to {shown(b)} covers {abs(b[0] - a[0]):.6g}° of longitude, so it has two "
        f"readings: as written, {_extent(readings.written)}, or {other}, {_extent(readings.across)}. For the first, "
        f"put a position in the middle of {edges}, such as {shown(middle)}. For the second, {spelled}. With "
        f"repair = true it is the {'second' if replace(readings, lenient=True).looks_across else 'first'}"
    )


def _long_edges(ring: Ring) -> Iterator[tuple[Position, Position]]:
    return ((a, b) for a, b in pairwise(ring) if abs(b[0] - a[0]) > HALF_TURN)


def _extent(shape: Polygonal) -> str:
    west, _, east, _ = shape.bounds
    return f"longitudes {west:.6g} to {east:.6g} ({area_text(shape)})"
