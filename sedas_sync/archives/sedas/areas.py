"""Cutting the area of a question, so that each part has fewer scenes."""

import re
from collections.abc import Collection, Iterator
from typing import Any

_POINT = re.compile(r"(-?[\d.]+(?:[eE][-+]?\d+)?)\s+(-?[\d.]+(?:[eE][-+]?\d+)?)")


def _bounds(wkt: object) -> tuple[float, float, float, float] | None:
    """West, south, east and north of the points of a WKT, without building a geometry."""
    points = _POINT.findall(wkt) if isinstance(wkt, str) else []
    if not points:
        return None
    try:
        longitudes, latitudes = [float(x) for x, _ in points], [float(y) for _, y in points]
    except ValueError:
        return None
    return min(longitudes), min(latitudes), max(longitudes), max(latitudes)


def cut_area(wkt: str, rows: Collection[Any]) -> list[str]:
    """Cut an area along a meridian or a parallel so that neither side meets all of the rows' footprints.

    Returns plain POLYGONs that together cover the area; none where no such line exists.
    """
    area = _bounds(wkt)
    boxes = [_bounds(row.get("coordinatesWKT")) if isinstance(row, dict) else None for row in rows]
    if area is None or len(boxes) < 2:  # noqa: PLR2004 - one footprint cannot be parted
        return []
    best: tuple[int, int, float] | None = None
    for axis in (0, 1):
        low, high = area[axis], area[axis + 2]
        # A footprint that is not known may lie on either side.
        spans = [(box[axis], box[axis + 2]) if box else (low, high) for box in boxes]
        inside = sorted({edge for span in spans for edge in span if low < edge < high})
        for line in _between([low, *inside, high]):
            most = max(sum(span[0] <= line for span in spans), sum(span[1] >= line for span in spans))
            if most < len(spans) and (best is None or most < best[0]):
                best = (most, axis, line)
    if best is None:
        return []
    _, axis, line = best
    return _halves(wkt, area, axis, line)


def _between(edges: list[float]) -> Iterator[float]:
    """Lines in the middle between neighbouring edges, at most some hundred of them."""
    step = max(1, len(edges) // 200)
    for left, right in zip(edges[:-1:step], edges[1::step], strict=False):
        middle = (left + right) / 2
        if left < middle < right:
            yield middle


def _halves(wkt: str, area: tuple[float, float, float, float], axis: int, line: float) -> list[str]:
    import shapely  # noqa: PLC0415 - slow to import, and seldom needed

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
