"""Footprints of scenes, read leniently: catalogues have open rings, crossing outlines and longitudes beyond 180."""

from collections.abc import Iterable, Sequence

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry.areas import NoAreaError, area_of, check_degrees
from sedas_sync.geometry.polygons import HALF_TURN, POLE, Ring, by_turns
from sedas_sync.geometry.rings import path_shape
from sedas_sync.geometry.wkt import NoPolygonError, read_paths, read_wkt

Footprint = BaseGeometry
"""Polygons, or lines or points if a catalogue has no outline with an area."""


def footprint(wkt: str) -> Footprint:
    """Read a footprint: open rings are closed, crossing outlines repaired, longitudes brought within ±180.

    Points and lines count only if there is no polygon. Polygons without area count as lines or points.
    Lines cross the antimeridian the short way.

    Raises:
        ValueError: The text is not WKT, is empty, or is outside the world.
    """
    try:
        parts = read_wkt(wkt, close_rings=True)
    except NoPolygonError:
        return _of_paths(read_paths(wkt))
    try:
        return area_of(parts, on_repair=_ignore)
    except NoAreaError:
        return _of_paths(rings[0] for rings, _ in parts if rings and rings[0])


def footprints(texts: Sequence[str | None]) -> list[Footprint | None]:
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


def _footprint_or_none(text: str | None) -> Footprint | None:
    try:
        return footprint(text) if text else None
    except ValueError:
        return None


def _ignore(_: str) -> None:
    """Receive repairs. Footprints have so many that nobody wants to read them."""


def _of_paths(paths: Iterable[Ring]) -> Footprint:
    """Return lines, and points for paths of one place."""
    shapes: list[BaseGeometry] = []
    for path in paths:
        check_degrees(path)
        shapes += by_turns(path_shape(path))
    whole: BaseGeometry = shapely.union_all(shapes)
    if whole.is_empty:
        raise ValueError("it is empty")
    return whole
