"""GeoJSON (RFC 7946): reading polygons, and writing footprints with their bounding boxes."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.areas import Part
from sedas_sync.geometry.footprint import footprints
from sedas_sync.geometry.polygons import HALF_TURN, Position, Ring, Rings
from sedas_sync.geometry.wkt import numbered, some_polygons

_MAX_DEPTH = 32
"""Maximum nesting of collections."""
_OTHER_TYPES = frozenset({"Point", "MultiPoint", "LineString", "MultiLineString"})

Box = tuple[float, float, float, float]
"""West, south, east, north in degrees; if west is greater than east, it crosses the antimeridian."""


class Outline(NamedTuple):
    """A geometry object of GeoJSON, and its bounding box."""

    geometry: dict[str, Any]
    bbox: Box


# ------------------------------------------------------------------------------------------------- reading


def read_geojson(value: Mapping[str, Any]) -> list[Part]:
    """Read all polygons of a GeoJSON object of any type, in collections too. Positions are not checked.

    Raises:
        ValueError: The object is not GeoJSON, is empty, or contains no polygon.
    """
    others: list[str] = []
    if isinstance(value, Mapping) and value.get("type") == "FeatureCollection":
        features = enumerate(_items(value.get("features"), "FeatureCollection"), start=1)
        parts = [Part(rings, f"feature {n}") for n, feature in features for rings in _polygons(feature, others, 1)]
    else:
        parts = numbered(_polygons(value, others, 0), "polygon")
    return some_polygons(parts, others)


def _polygons(value: Any, others: list[str], depth: int) -> list[Rings]:
    if depth > _MAX_DEPTH:
        raise ValueError("collections are nested too deeply")
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        raise ValueError("it is not GeoJSON: an object with a type is missing")  # noqa: TRY004 - a wrong type in a file is not a programming error
    if kind == "Feature":
        geometry = value.get("geometry")
        return [] if geometry is None else _polygons(geometry, others, depth + 1)
    if kind in {"FeatureCollection", "GeometryCollection"}:
        members = value.get("features" if kind == "FeatureCollection" else "geometries")
        parts = (_polygons(member, others, depth + 1) for member in _items(members, kind))
        return list(chain.from_iterable(parts))
    if kind == "Polygon":
        return [_rings(value.get("coordinates"))]
    if kind == "MultiPolygon":
        return [_rings(rings) for rings in _items(value.get("coordinates"), kind)]
    if kind not in _OTHER_TYPES:
        raise ValueError(f"it is not GeoJSON: {kind[:20]!r} is not a type of geometry")
    others.append(kind)
    return []


def read_geojson_paths(value: Mapping[str, Any]) -> list[Ring]:
    """Read the positions of all points and lines of a GeoJSON object whose polygons were read.

    Returns:
        The paths; a point is a path of one position.

    Raises:
        ValueError: A point or a line is not GeoJSON.
    """
    kind, coordinates = value.get("type"), value.get("coordinates")
    if kind == "Point":
        return [[_position(coordinates)]]
    if kind in {"MultiPoint", "LineString"}:
        path = [_position(position) for position in _items(coordinates, kind)]
        return [path] if kind == "LineString" and path else [[position] for position in path]
    if kind == "MultiLineString":
        lines = [[_position(position) for position in _items(line, kind)] for line in _items(coordinates, kind)]
        return [line for line in lines if line]
    members = [value.get("geometry"), *value.get("features", ()), *value.get("geometries", ())]
    return [path for member in members if member is not None for path in read_geojson_paths(member)]


def _rings(rings: Any) -> Rings:
    return [_ring(_items(ring, "Polygon")) for ring in _items(rings, "Polygon")]


def _ring(positions: list[Any]) -> Ring:
    try:
        plain = all(type(p[0]) is float and type(p[1]) is float for p in positions)  # the usual case, and fast
    except (TypeError, LookupError):
        plain = False
    return [(p[0], p[1]) for p in positions] if plain else list(map(_position, positions))


def _position(position: Any) -> Position:
    numbers = _items(position, "position")
    if len(numbers) < 2 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers[:2]):  # noqa: PLR2004 - longitude and latitude
        raise ValueError("it is not GeoJSON: a position is not two numbers")
    try:
        return float(numbers[0]), float(numbers[1])
    except OverflowError:
        raise ValueError("a coordinate is not a finite number") from None


def _items(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"it is not GeoJSON: a {what} has no list of its parts")  # noqa: TRY004 - a wrong type in a file is not a programming error
    return list(value)


# ------------------------------------------------------------------------------------------------- writing


def outlines(texts: Sequence[str | None]) -> list[Outline | None]:
    """Convert footprints from WKT: split at the antimeridian, outer rings counter-clockwise.

    Returns:
        One outline for each text, in order; None if the text is missing or cannot be read.
    """
    return [
        None if shape is None else Outline(mapping(shapely.orient_polygons(shape)), box_of(shape))
        for shape in footprints(texts)
    ]


def bounding_box(boxes: Iterable[Box]) -> Box | None:
    """Return the box around boxes (RFC 7946, section 5.2), or None if there are none.

    It crosses the antimeridian only if one of the boxes does. It spans all longitudes if no meridian is free.
    """
    spans: list[tuple[float, float]] = []
    souths, norths = [], []
    for west, south, east, north in boxes:
        spans += [(west, east)] if west <= east else [(west, HALF_TURN), (-HALF_TURN, east)]
        souths.append(south)
        norths.append(north)
    if not spans:
        return None
    spans.sort()
    first, reach = spans[0]
    width, west, east = 0.0, first, max(end for _, end in spans)
    if first == -HALF_TURN and east == HALF_TURN:
        for begin, end in spans:
            if begin - reach > width:
                width, west, east = begin - reach, begin, reach
            reach = max(reach, end)
    return west, min(souths), east, max(norths)


def box_of(shape: BaseGeometry) -> Box:
    """Return the bounding box of a geometry within ±180/±90 that is not empty."""
    box = bounding_box(part.bounds for part in shapely.get_parts(shape).tolist())
    if box is None:
        raise ValueError("it is empty")
    return box
