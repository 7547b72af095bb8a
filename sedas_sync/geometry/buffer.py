"""Areas around points, lines and polygons, on the sphere.

A geometry is cut into cells. Each piece is grown in an azimuthal equidistant projection around its own middle (Snyder,
Map Projections, USGS 1987, page 191), in which distances near the middle are right, and brought back. This is right at
the poles and across the antimeridian too.
"""

from collections.abc import Callable, Iterator, Sequence
from math import cos, floor, radians

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely import Polygon, box
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.polygons import POLE, TURN, Polygonal, Ring, polygonal, polygons_of, rings_of, within_world
from sedas_sync.geometry.rings import continuous_polygon_of, path_shape
from sedas_sync.geometry.sphere import EARTH_RADIUS_KM

MAX_BUFFER_KM = 500.0
"""Maximum width of a buffer."""

_Positions = NDArray[np.float64]

_CELL = 4.0
"""Degrees of latitude of a cell, and of longitude at the equator."""
_WIDEST = 30.0
"""Degrees of longitude of the widest cell, near a pole."""
_STEP = 0.25
"""Degrees of the longest edge that is projected: edges are straight in degrees."""
_STEP_KM = 25.0
"""Longest edge that is brought back."""
_QUADRANT = 8
"""Edges of a quarter of a circle."""
_MARGIN = 1.007
"""An outline is this much wider: its arcs have corners, and the projection shortens distances by up to 0.2 percent."""


def buffered(area: Polygonal | None, paths: Sequence[Ring], km: float) -> Polygonal:
    """Return all places within a distance of an area and of paths, right to one percent of the distance.

    Args:
        area: Within ±180/±90.
        paths: Points and lines, in degrees; a point is a path of one position. An edge over more than 180 degrees of
            longitude goes the short way.
        km: The distance.

    Raises:
        ValueError: The distance is more than `MAX_BUFFER_KM`.
    """
    if km > MAX_BUFFER_KM:
        raise ValueError(f"a buffer of {km:g} km is wider than {MAX_BUFFER_KM:g} km")
    shapes = list(map(path_shape, paths))
    if area is not None:
        shapes.append(area)
    grown = [_grown(piece, km) for shape in shapes for piece in _pieces(shape)]
    return polygonal(shapely.union_all(grown if area is None else [*grown, area]))


def _pieces(shape: BaseGeometry) -> Iterator[BaseGeometry]:
    """Cut a geometry into cells."""
    west, south, east, north = shape.bounds
    for row in range(floor(south / _CELL), floor(north / _CELL) + 1):
        low, high = row * _CELL, (row + 1) * _CELL
        nearest = min(abs(low), abs(high)) if low * high >= 0 else 0.0
        width = _CELL / max(cos(radians(min(nearest, POLE))), _CELL / _WIDEST)
        for column in range(floor(west / width), floor(east / width) + 1):
            cell = box(column * width, low, (column + 1) * width, high)
            piece = shapely.intersection(shape, cell)
            if not piece.is_empty:
                yield piece


def _grown(piece: BaseGeometry, km: float) -> Polygonal:
    west, south, east, north = piece.bounds
    there, back = _projection((west + east) / 2, (south + north) / 2)
    flat = shapely.transform(shapely.segmentize(piece, _STEP), there)
    wide = shapely.segmentize(flat.buffer(km * _MARGIN, quad_segs=_QUADRANT), _STEP_KM)
    shapes = [_returned(polygon, back) for polygon in polygons_of(wide)]
    return shapes[0] if len(shapes) == 1 else polygonal(shapely.union_all(shapes))


def _returned(polygon: Polygon, back: Callable[[_Positions], _Positions]) -> Polygonal:
    shape = continuous_polygon_of(rings_of(shapely.transform(shapely.orient_polygons(polygon), back)))
    return within_world(shape if shape.is_valid else polygonal(shapely.make_valid(shape)))


def _projection(
    longitude: float, latitude: float
) -> tuple[Callable[[_Positions], _Positions], Callable[[_Positions], _Positions]]:
    """Return the projection from degrees to kilometres around a place, and its inverse within ±180/±90."""
    middle = radians(latitude)
    sine, cosine = np.sin(middle), np.cos(middle)

    def there(positions: _Positions) -> _Positions:
        x, y = np.radians(positions).T
        x = x - radians(longitude)
        east, north = np.cos(y) * np.sin(x), cosine * np.sin(y) - sine * np.cos(y) * np.cos(x)
        up = sine * np.sin(y) + cosine * np.cos(y) * np.cos(x)
        aside = np.hypot(east, north)
        scale = EARTH_RADIUS_KM * np.arctan2(aside, up) / np.where(aside > 0, aside, 1.0)
        return np.column_stack([east * scale, north * scale])

    def back(positions: _Positions) -> _Positions:
        x, y = positions.T
        distance = np.hypot(x, y)
        angle = distance / EARTH_RADIUS_KM
        unit = np.where(distance > 0, distance, 1.0)
        east, north, up = np.sin(angle) * x / unit, np.sin(angle) * y / unit, np.cos(angle)
        latitudes = np.arctan2(up * sine + north * cosine, np.hypot(east, up * cosine - north * sine))
        longitudes = np.degrees(np.arctan2(east, up * cosine - north * sine)) + longitude
        return np.column_stack([(longitudes + TURN / 2) % TURN - TURN / 2, np.degrees(latitudes)])

    return there, back
