"""Read the polygons of WKT texts, with mistakes in words."""

import re
from collections.abc import Iterator

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.polygons import Ring, Rings

_SRID = re.compile(r"\s*SRID\s*=\s*(\d+)\s*;", re.IGNORECASE)
_POSITIONS = re.compile(r"\(([^()]*)\)")
"""The positions of a ring, a line or a point."""
_RING = re.compile(r"(?<=[(,])\s*\(([^()]*)\)")
"""The positions of a ring."""
_MAX_DEPTH = 32
"""Maximum nesting of collections; very deep ones crash GEOS."""
_MIN_POSITIONS = 3
"""Positions of a closed ring that GEOS reads."""


def read_wkt(text: str, *, close_rings: bool = False) -> list[Rings]:
    """Read all polygons of a WKT text: a POLYGON, a MULTIPOLYGON, or those of a GEOMETRYCOLLECTION.

    Upper and lower case are equal, `SRID=4326;` may precede the text, and Z and M are dropped. Points and lines in a
    collection are ignored. Positions are not checked.

    Args:
        text: The WKT.
        close_rings: Close open rings instead of raising an error.

    Raises:
        ValueError: The text is not WKT, has another SRID, is empty, has an open ring, or contains no polygon.
    """
    srid = _SRID.match(text)
    if srid and srid[1] != "4326":
        raise ValueError(f"its coordinates are in EPSG:{srid[1]}; only EPSG:4326 (longitude latitude) is supported")
    body = text[srid.end() :] if srid else text
    _check_text(body)
    if close_rings:
        body = _RING.sub(_closed, body)
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are reported with the positions
            geometry = shapely.force_2d(shapely.from_wkt(body))
    except (shapely.errors.ShapelyError, NotImplementedError) as error:
        raise ValueError(_explain(body, error)) from None
    others: list[str] = []
    polygons = list(_polygons(geometry, others))
    return some_polygons(polygons, others)


def some_polygons(polygons: list[Rings], others: list[str]) -> list[Rings]:
    """Return the polygons that are not empty.

    Raises:
        ValueError: There are none; `others` are the types of the other geometries.
    """
    found = [rings for rings in polygons if rings]
    if not found and others:
        raise ValueError(f"it contains no polygon, but {', '.join(dict.fromkeys(others))}")
    if not found:
        raise ValueError("it is empty")
    return found


def _polygons(geometry: BaseGeometry, others: list[str]) -> Iterator[Rings]:
    if isinstance(geometry, shapely.Polygon):
        yield [[(x, y) for x, y in ring.coords] for ring in (geometry.exterior, *geometry.interiors) if ring.coords]
    elif isinstance(geometry, shapely.MultiPolygon | shapely.GeometryCollection):
        for part in geometry.geoms:
            yield from _polygons(part, others)
    elif not geometry.is_empty:
        others.append(geometry.geom_type.upper())


def _check_text(text: str) -> None:
    """Check what GEOS accepts or cannot survive.

    Raises:
        ValueError: The text is not ASCII, has a NUL, is nested too deeply, or has positions of several dimensions.
    """
    foreign = re.search(r"[^\x01-\x7f]", text)
    if foreign:
        raise ValueError(f"it is not WKT: it contains the character {foreign[0]!a}")
    depth = 0
    for bracket in re.findall(r"[()]", text):
        depth += 1 if bracket == "(" else -1
        if depth > _MAX_DEPTH:
            raise ValueError("collections are nested too deeply")
    for positions in _POSITIONS.findall(text):
        first, *others = positions.split(",")
        width = len(first.split())
        for position in others:
            # Two positions without a comma between them look like one with Z and M.
            numbers = len(position.split())
            if numbers != width and "EMPTY" not in positions.upper():
                raise ValueError(
                    f"it is not WKT: {position.strip()[:40]!r} has {numbers} numbers, the first position {width} "
                    "(is a comma missing?)"
                )


def _closed(ring: re.Match[str]) -> str:
    positions = ring[1].split(",")
    while len(positions) < _MIN_POSITIONS or positions[0].split() != positions[-1].split():
        positions.append(positions[0])
    return f"({','.join(positions)})"


def _explain(text: str, error: Exception) -> str:
    """Describe a mistake that GEOS found."""
    message = str(error)
    if "closed" not in message:
        return f"it is not WKT: {message.rpartition('Exception: ')[2].strip()}"
    for ring in _rings(text):
        if not np.isfinite(ring).all():
            return "a coordinate is not a finite number"
        if ring[0] != ring[-1]:
            first, last = (f"{x:.10g} {y:.10g}" for x, y in (ring[0], ring[-1]))
            return f"a ring is open: it begins at {first} and ends at {last}; the last position must repeat the first"
    return "a ring is open"


def _rings(text: str) -> Iterator[Ring]:
    """Yield the rings of a text that GEOS has parsed."""
    for ring in _RING.findall(text):
        positions = [position.split() for position in ring.split(",")]
        yield [(float(x), float(y)) for x, y, *_ in positions]
