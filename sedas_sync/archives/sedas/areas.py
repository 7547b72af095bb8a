"""Splits of the area of a query, so that each part has fewer scenes."""

import re
from collections.abc import Collection, Iterator

import shapely

_POINT = re.compile(r"(-?[\d.]+(?:[eE][-+]?\d+)?)\s+(-?[\d.]+(?:[eE][-+]?\d+)?)")

Box = tuple[float, float, float, float]
"""West, south, east and north."""


def split_area(wkt: str, footprints: Collection[str | None]) -> list[str]:
    """Split an area along a meridian or a parallel so that neither side meets all footprints.

    Returns:
        Plain POLYGONs that together cover the area; empty if there is no such line.
    """
    area = _bounds(wkt)
    boxes = list(map(_bounds, footprints))
    if area is None or len(boxes) < 2:  # noqa: PLR2004 - one footprint cannot be split
        return []
    best: tuple[int, int, float] | None = None
    for axis in (0, 1):
        low, high = area[axis], area[axis + 2]
        # A row without a footprint may be on either side.
        extents = [(box[axis], box[axis + 2]) if box else (low, high) for box in boxes]
        edges = sorted({edge for extent in extents for edge in extent if low < edge < high})
        for line in _lines([low, *edges, high]):
            most = max(sum(west <= line for west, _ in extents), sum(east >= line for _, east in extents))
            if most < len(extents) and (best is None or most < best[0]):
                best = (most, axis, line)
    return [] if best is None else _halves(wkt, area, best[1], best[2])


def _bounds(wkt: str | None) -> Box | None:
    """Return the bounding box of the points in a WKT, without building a geometry."""
    points = _POINT.findall(wkt or "")
    if not points:
        return None
    try:
        longitudes, latitudes = [float(x) for x, _ in points], [float(y) for _, y in points]
    except ValueError:
        return None
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def _lines(edges: list[float]) -> Iterator[float]:
    """Yield lines in the middle between neighbouring edges, at most a few hundred."""
    step = max(1, len(edges) // 200)
    for left, right in zip(edges[:-1:step], edges[1::step], strict=False):
        middle = (left + right) / 2
        if left < middle < right:
            yield middle


def _halves(wkt: str, area: Box, axis: int, line: float) -> list[str]:
    overlap = 1e-9
    west, south, east, north = area
    if axis == 0:
        sides = ((west, south, line + overlap, north), (line - overlap, south, east, north))
    else:
        sides = ((west, south, east, line + overlap), (west, line - overlap, east, north))
    try:
        whole = shapely.from_wkt(wkt)
        pieces = [whole.intersection(shapely.box(*side)) for side in sides]
    except shapely.errors.ShapelyError:
        return []
    polygons = [
        polygon
        for piece in pieces
        for polygon in getattr(piece, "geoms", [piece])
        if polygon.geom_type == "Polygon" and not polygon.is_empty
    ]
    return [shapely.to_wkt(polygon, rounding_precision=-1) for polygon in polygons]
