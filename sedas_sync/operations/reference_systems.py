"""Bring polygons from any reference system to longitude and latitude."""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sedas_sync.files.extras import load_extra
from sedas_sync.geometry.areas import Part

_Positions = NDArray[np.float64]
_Convert = Callable[[_Positions], _Positions]

_SAME_AS_WGS84 = {"4326", "4258", "4269", "7844"}
"""EPSG codes of WGS 84, ETRS89, NAD83 and GDA2020. PROJ converts between them without a change of coordinates."""
_EPSG = re.compile(r"(?:epsg:|urn:ogc:def:crs:epsg:[^:]*:|https?://www\.opengis\.net/def/crs/epsg/[^/]+/)(\d+)")
_CRS84 = re.compile(r"(?:ogc:|urn:ogc:def:crs:ogc:[^:]*:|https?://www\.opengis\.net/def/crs/ogc/[^/]+/)?crs84")

_TOLERANCE = 3.0
"""Metres by which the middle of an edge in degrees may be beside the middle of the edge in the projection."""
_METRES = 111_195.0
"""Metres in a degree of latitude, on the mean radius of the earth."""
_FIRST_PIECES = 64
"""The edges of an outline are first divided by this share of its extent, so that no bend is missed."""
_WIDEST = 90.0
"""Degrees of longitude of the longest edge of a converted outline."""
_DIVISIONS = 24
"""How often an edge is halved at most: an edge through a pole has no end."""


def in_degrees(parts: Sequence[Part], crs: str | None) -> tuple[list[Part], bool]:
    """Return polygons in longitude and latitude.

    Edges that are straight in a projection are bent in degrees. They get more positions, so that the outline is right
    to 10 m.

    Args:
        parts: The polygons, with easting or longitude first.
        crs: Their reference system, in any form that PROJ reads; None is longitude and latitude.

    Returns:
        The polygons, and whether they come from a projection, so that no edge is longer than 90 degrees of longitude.

    Raises:
        ValueError: The reference system is not known, an extra is not installed, or a position is outside its area.
    """
    if crs is None or _is_longitude_latitude(crs):
        return list(parts), False
    convert, name, bent = _transformer_of(crs)
    return [_converted(part, convert, name, bent=bent) for part in parts], bent


def _transformer_of(crs: str) -> tuple[_Convert, str, bool]:
    """Return what converts positions of a reference system to longitude and latitude.

    Args:
        crs: The reference system, in any form that PROJ reads.

    Returns:
        The function, the name of the reference system, and whether it is a projection.

    Raises:
        ValueError: The reference system is not known, or an extra is not installed.
    """
    purpose = f"its coordinates are in {crs[:60]}; converting them"
    pyproj = load_extra("pyproj", "vector", purpose, ValueError)
    try:
        source = pyproj.CRS.from_user_input(crs)
        # Without `always_xy` PROJ expects latitude first in WGS 84; files and this package have longitude first.
        transformer = pyproj.Transformer.from_crs(source, "EPSG:4326", always_xy=True)
    except pyproj.exceptions.ProjError:
        raise ValueError(f"its reference system is not known: {crs[:60]}") from None
    return (
        lambda positions: np.column_stack(transformer.transform(positions[:, 0], positions[:, 1])),
        source.name,
        not source.is_geographic,
    )


def _is_longitude_latitude(crs: str) -> bool:
    name = crs.strip().lower()
    epsg = _EPSG.fullmatch(name)
    return epsg[1] in _SAME_AS_WGS84 if epsg else bool(_CRS84.fullmatch(name))


def _converted(part: Part, convert: _Convert, system: str, *, bent: bool) -> Part:
    rings = [np.array(ring) for ring in part.rings if ring]
    if not all(np.isfinite(ring).all() for ring in rings):
        return part  # the check of positions reports it
    converted = [_divided(_counter_clockwise(ring), convert) if bent else convert(ring) for ring in rings]
    for before, after in zip(rings, converted, strict=True):
        if not np.isfinite(after).all():
            place = f"{part.place}: " if part.place else ""
            raise ValueError(f"{place}it has positions outside the area of {system}, such as {_shown(before, convert)}")
    return Part([[(x, y) for x, y in ring.tolist()] for ring in converted], part.place)


def _counter_clockwise(ring: _Positions) -> _Positions:
    """Return a ring so that its direction shows which pole it encloses if it goes around the globe."""
    x, y = (ring - ring[0]).T
    twice_area = float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))
    return ring if twice_area >= 0 else ring[::-1]


def _divided(ring: _Positions, convert: _Convert) -> _Positions:
    """Convert a ring, and halve each edge until its middle is right."""
    length = np.ptp(ring, axis=0).max() / _FIRST_PIECES
    pieces = np.maximum(1, np.ceil(np.abs(np.diff(ring, axis=0)).max(axis=1) / length)) if length > 0 else np.ones(1)
    starts = np.repeat(np.arange(len(pieces)), pieces.astype(int))
    share = np.concatenate([np.arange(n) / n for n in pieces])[:, None]
    ring = np.vstack([ring[starts] * (1 - share) + ring[starts + 1] * share, ring[-1:]])
    for _ in range(_DIVISIONS):
        middles = (ring[1:] + ring[:-1]) / 2
        bad = np.flatnonzero(_are_bent(convert(ring), convert(middles)))
        if not len(bad):
            break
        ring = np.insert(ring, bad + 1, middles[bad], axis=0)
    return convert(ring)


def _are_bent(ends: _Positions, middles: _Positions) -> NDArray[np.bool_]:
    """Return for each edge whether its middle in the projection is not its middle in degrees."""
    with np.errstate(invalid="ignore"):
        width = (np.diff(ends[:, 0]) + 180) % 360 - 180
        beside = (middles[:, 0] - ends[:-1, 0] - width / 2 + 180) % 360 - 180
        above = middles[:, 1] - (ends[1:, 1] + ends[:-1, 1]) / 2
        away = np.hypot(beside * np.cos(np.radians(middles[:, 1])), above) * _METRES
        found: NDArray[np.bool_] = (away > _TOLERANCE) | (np.abs(width) > _WIDEST)
    return found


def _shown(ring: _Positions, convert: _Convert) -> str:
    outside = ring[~np.isfinite(convert(ring)).all(axis=1)]
    x, y = outside[0] if len(outside) else ring[0]
    return f"{x:.10g} {y:.10g}"
