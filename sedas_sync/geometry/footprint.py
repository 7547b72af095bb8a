"""Footprints of scenes, read leniently: catalogues have open rings, crossing outlines and longitudes beyond 180."""

from collections.abc import Sequence
from math import isfinite

import numpy as np
import shapely
from shapely import Polygon

from sedas_sync.geometry.polygons import (
    HALF_TURN,
    MIN_POSITIONS,
    POLE,
    TURN,
    Polygonal,
    Ring,
    Rings,
    interpretations,
    polygonal,
    within_world,
)
from sedas_sync.geometry.wkt import read_wkt


def footprint(wkt: str) -> Polygonal:
    """Read a footprint: open rings are closed, crossing outlines repaired, longitudes brought within ±180.

    Raises:
        ValueError: The text is not WKT, contains no polygon, has no area, or is outside the world.
    """
    parts = []
    for rings in read_wkt(wkt, close_rings=True):
        shell, *holes = [_checked(ring) for ring in rings]
        if len(shell) >= MIN_POSITIONS:
            parts.append(_repaired([shell, *(hole for hole in holes if len(hole) >= MIN_POSITIONS)]))
    shape = polygonal(parts[0] if len(parts) == 1 else shapely.union_all(parts))
    if shape.area == 0:
        raise ValueError("it has no area")
    return shape


def footprints(texts: Sequence[str | None]) -> list[Polygonal | None]:
    """Read many footprints at once, which is much faster than one by one.

    Returns:
        One geometry for each text, in order; None if the text is missing or cannot be read.
    """
    plain_texts = np.array([text if text and _is_polygon(text) else None for text in texts], dtype=object)
    with np.errstate(invalid="ignore", over="ignore"):  # shapes with NaN and infinity are not plain
        shapes = shapely.from_wkt(plain_texts, on_invalid="ignore")
        positions, owner = shapely.get_coordinates(shapes, return_index=True)
        longitude, latitude = positions.T
        odd = np.zeros(len(shapes), dtype=bool)
        odd[owner[~((np.abs(longitude) <= HALF_TURN) & (np.abs(latitude) <= POLE))]] = True
        odd[owner[1:][(owner[1:] == owner[:-1]) & (np.abs(np.diff(longitude)) > HALF_TURN)]] = True
        plain = (shapely.get_type_id(shapes) == shapely.GeometryType.POLYGON) & ~odd & ~shapely.has_z(shapes)
        plain &= shapely.is_valid(shapes) & (shapely.area(shapes) > 0)
    return [
        shape if is_plain else _footprint_or_none(text)
        for text, shape, is_plain in zip(texts, shapes.tolist(), plain.tolist(), strict=True)
    ]


def _is_polygon(text: str) -> bool:
    """Whether GEOS can read a text without the checks of `read_wkt`."""
    return text.lstrip()[:7].upper() == "POLYGON" and text.isascii() and "\0" not in text


def _footprint_or_none(text: str | None) -> Polygonal | None:
    try:
        return footprint(text) if text else None
    except ValueError:
        return None


def _checked(ring: Ring) -> Ring:
    for x, y in ring:
        if not (isfinite(x) and isfinite(y)):
            raise ValueError("a coordinate is not a finite number")
        if abs(x) > TURN or abs(y) > POLE + 1e-6:  # some catalogues have longitudes from 0 to 360
            raise ValueError(f"the position {x:.10g} {y:.10g} is outside the world")
    return [(x, max(-POLE, min(POLE, y))) for x, y in ring]


def _repaired(rings: Rings) -> Polygonal:
    possible = list(interpretations(rings)) or [Polygon(rings[0], rings[1:])]
    valid = next((polygon for polygon in possible if polygon.is_valid and polygon.area > 0), None)
    return within_world(polygonal(shapely.make_valid(possible[0])) if valid is None else valid)
