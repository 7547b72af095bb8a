"""Read the polygons of WKT texts, with mistakes in words."""

import re
from collections.abc import Iterable, Iterator

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.areas import Part, open_ring
from sedas_sync.geometry.polygons import Ring, Rings, positions_of, rings_of

_WGS84 = 4326
_SRID = re.compile(r"\s*SRID\s*=\s*(\d+)\s*;", re.IGNORECASE)
_POSITIONS = re.compile(r"\(([^()]*)\)")
"""The positions of a ring, a line or a point."""
_RING = re.compile(r"(?<=[(,])\s*\(([^()]*)\)")
"""The positions of a ring."""
_MARK = re.compile(
    r"[()]|(?:SRID\s*=\s*\d+\s*;\s*)?\b(?:(?:MULTI)?(?:POLYGON|LINESTRING|POINT)|GEOMETRYCOLLECTION)|\b0[01][0-9A-F]{16,}",
    re.IGNORECASE,
)
"""A bracket, or the beginning of a geometry."""
_AROUND = " \t\r\n;,\"'`"
"""What may be around a geometry: it comes from a table or a program."""
_HEX = re.compile(r"0[01][0-9A-F]{16,}", re.IGNORECASE)
_MAX_HEX = 100_000
"""Maximum digits of WKB, because GEOS crashes on deep nesting."""
_MAX_DEPTH = 32
"""Maximum nesting of collections; very deep ones crash GEOS."""
_MIN_POSITIONS = 3
"""Positions of a closed ring that GEOS reads."""


class OpenRingError(ValueError):
    """A ring is open."""


class NoPolygonError(ValueError):
    """There is no polygon, but points or lines."""


def read_wkt(text: str, *, close_rings: bool = False) -> list[Part]:
    """Read all polygons of WKT: those of POLYGON, MULTIPOLYGON and GEOMETRYCOLLECTION, one after the other.

    Upper and lower case are equal, `SRID=4326;` may precede a geometry, quotes around it and `;` after it do not
    matter, and Z and M are dropped. WKB in hexadecimal is read too, as PostGIS prints it. Points and lines beside
    polygons are ignored. Positions are not checked.

    Args:
        text: The WKT.
        close_rings: Close open rings instead of raising an error.

    Raises:
        OpenRingError: It has an open ring.
        NoPolygonError: It has only points and lines.
        ValueError: The text is not WKT, has another SRID, or is empty.
    """
    others: list[str] = []
    polygons = [
        rings for geometry in _geometries(text, close_rings=close_rings) for rings in _polygons(geometry, others)
    ]
    return some_polygons(numbered(polygons, "polygon"), others)


def read_paths(text: str) -> list[Ring]:
    """Read the positions of all points and lines of WKT; a point is a path of one position.

    Raises:
        ValueError: The text is not WKT, or has another SRID.
    """
    return paths_of(_geometries(text))


def paths_of(shapes: Iterable[BaseGeometry | None]) -> list[Ring]:
    """Return the positions of all points and lines in geometries; a point is a path of one position."""
    found = [part for shape in shapes if shape is not None for part in _simple_parts(shape)]
    return [positions_of(part) for part in found if not (isinstance(part, shapely.Polygon) or part.is_empty)]


def numbered(polygons: list[Rings], what: str) -> list[Part]:
    """Return polygons with their numbers, if there are several."""
    return [Part(rings, f"{what} {n}" if len(polygons) > 1 else "") for n, rings in enumerate(polygons, start=1)]


def some_polygons(parts: list[Part], others: list[str]) -> list[Part]:
    """Return polygons if one of them is not empty.

    Raises:
        NoPolygonError: There are none; `others` are the types of the other geometries.
        ValueError: All are empty.
    """
    found = any(part.rings and part.rings[0] for part in parts)
    if not found and others:
        types = ", ".join(dict.fromkeys(others))
        raise NoPolygonError(f"it contains no polygon, but {types}; set buffer_km to search around points and lines")
    if not found:
        raise ValueError("it is empty")
    return parts


def _geometries(text: str, *, close_rings: bool = False) -> Iterator[BaseGeometry]:
    for one in _statements(text):
        bare = one.strip(_AROUND)
        yield _from_hex(bare) if _HEX.fullmatch(bare) else _from_text(bare, close_rings=close_rings)


def _statements(text: str) -> Iterator[str]:
    """Split a text at the beginning of each geometry that is not in a collection."""
    depth, begin = 0, 0
    for mark in _MARK.finditer(text):
        if mark[0] in "()":
            depth += 1 if mark[0] == "(" else -1
        elif depth == 0 and text[begin : mark.start()].strip(_AROUND):
            yield text[begin : mark.start()]
            begin = mark.start()
    yield text[begin:]


def _from_text(text: str, *, close_rings: bool) -> BaseGeometry:
    srid = _SRID.match(text)
    if srid:
        _check_srid(int(srid[1]))
    body = text[srid.end() :] if srid else text
    _check_text(body)
    try:
        return _parsed(body)
    except (shapely.errors.ShapelyError, NotImplementedError) as error:
        mistake = _explained(body, error)
    if not close_rings:
        raise mistake
    try:
        return _parsed(_RING.sub(_closed, body))
    except (shapely.errors.ShapelyError, NotImplementedError):
        raise mistake from None


def _parsed(text: str) -> BaseGeometry:
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are reported with the positions
        return shapely.force_2d(shapely.from_wkt(text))


def _from_hex(text: str) -> BaseGeometry:
    if len(text) > _MAX_HEX:
        raise ValueError("it is WKB in hexadecimal and too long; write it as WKT (ST_AsText of PostGIS)")
    try:
        with np.errstate(invalid="ignore", over="ignore"):
            geometry = shapely.from_wkb(text)
    except shapely.errors.ShapelyError as error:
        raise ValueError(f"it looks like WKB in hexadecimal, but is not: {_of_geos(error)}") from None
    _check_srid(int(shapely.get_srid(geometry)) or _WGS84)
    return shapely.force_2d(geometry)


def _check_srid(srid: int) -> None:
    if srid != _WGS84:
        raise ValueError(f"its coordinates are in EPSG:{srid}; only EPSG:4326 (longitude latitude) is supported")


def _polygons(geometry: BaseGeometry, others: list[str]) -> Iterator[Rings]:
    for part in _simple_parts(geometry):
        if isinstance(part, shapely.Polygon):
            yield rings_of(part)
        elif not part.is_empty:
            others.append(part.geom_type.upper())


def _simple_parts(geometry: BaseGeometry) -> Iterator[BaseGeometry]:
    for part in getattr(geometry, "geoms", ()):
        yield from _simple_parts(part)
    if not hasattr(geometry, "geoms"):
        yield geometry


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


def _explained(text: str, error: Exception) -> ValueError:
    """Return a mistake that GEOS found, in words."""
    if "closed" not in str(error):
        return ValueError(f"it is not WKT: {_of_geos(error)}")
    for ring in _rings(text):
        if not np.isfinite(ring).all():
            return ValueError("a coordinate is not a finite number")
        if ring[0] != ring[-1]:
            return OpenRingError(open_ring(ring))
    return OpenRingError("a ring is open")


def _of_geos(error: Exception) -> str:
    return str(error).rpartition("Exception: ")[2].strip()


def _rings(text: str) -> Iterator[Ring]:
    """Yield the rings of a text that GEOS has parsed."""
    for ring in _RING.findall(text):
        positions = [position.split() for position in ring.split(",")]
        yield [(float(x), float(y)) for x, y, *_ in positions]
