"""Footprints as RFC 7946 has them: wound to the right, split at the antimeridian, with their bounding boxes."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import shapely
from shapely import MultiPolygon
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from sedas_sync.geometry import Polygonal, footprints
from sedas_sync.geometry.wkt import HALF_TURN

Box = tuple[float, float, float, float]
"""West, south, east, north, degrees; west is greater than east where it crosses the antimeridian."""


class Outline(NamedTuple):
    """A geometry object of GeoJSON, and its bounding box."""

    geometry: dict[str, Any]
    bbox: Box


def outlines(texts: Sequence[str | None]) -> list[Outline | None]:
    """Read footprints given as WKT.

    Returns:
        One for each text, in order; None for what is missing or makes no sense.
    """
    # WKT is ASCII; some of what is not cannot even be handed to the library that reads it.
    readable = [text if text is not None and text.isascii() and "\0" not in text else None for text in texts]
    return [None if shape is None else _outline(shape) for shape in footprints(readable)]


def bounding_box(boxes: Iterable[Box]) -> Box | None:
    """Find the box around boxes (RFC 7946, section 5.2); None around nothing.

    It crosses the antimeridian only where something in it does; it is the whole way round where no meridian is free.
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


def box_of(shape: Polygonal) -> Box:
    """The bounding box of a geometry within ±180/±90 that is not empty."""
    parts = shape.geoms if isinstance(shape, MultiPolygon) else (shape,)
    box = bounding_box(part.bounds for part in parts)
    if box is None:
        raise ValueError("it is empty")
    return box


def _outline(shape: Polygonal) -> Outline:
    return Outline(mapping(_wound(shape)), box_of(shape))


def _wound(shape: Polygonal) -> Polygonal:
    """The outer rings counter-clockwise, the inner ones clockwise."""
    if isinstance(shape, MultiPolygon):
        return MultiPolygon([orient(part) for part in shape.geoms])
    if shape.interiors:
        return orient(shape)
    return shape if shape.exterior.is_ccw else shapely.reverse(shape)
