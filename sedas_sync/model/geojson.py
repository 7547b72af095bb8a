"""Footprints as GeoJSON geometries, without a geometry library."""

import json
import re
from typing import Any

_TYPES = {
    "POINT": "Point",
    "LINESTRING": "LineString",
    "POLYGON": "Polygon",
    "MULTIPOINT": "MultiPoint",
    "MULTILINESTRING": "MultiLineString",
    "MULTIPOLYGON": "MultiPolygon",
}
_WKT = re.compile(r"\s*(?:SRID=\d+;)?\s*([A-Za-z]+)\s*(?:Z|M|ZM)?\s*(\(.*\))\s*", re.DOTALL | re.IGNORECASE)
_POSITION = re.compile(r"([-+.\deE]+)\s+([-+.\deE]+)[^,()]*")


def geometry_of_wkt(text: str) -> dict[str, Any] | None:
    """Return a WKT geometry as a GeoJSON geometry, with its first two dimensions; None if it is empty or not WKT.

    >>> geometry_of_wkt("POLYGON((0 0,1 0,1 1,0 0))")
    {'type': 'Polygon', 'coordinates': [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]]}
    >>> geometry_of_wkt("POINT(1 2)")
    {'type': 'Point', 'coordinates': [1.0, 2.0]}
    """
    match = _WKT.fullmatch(text)
    if match is None or (kind := _TYPES.get(match[1].upper())) is None:
        return None
    brackets = _POSITION.sub(lambda m: f"[{float(m[1])!r},{float(m[2])!r}]", match[2])
    try:
        coordinates = json.loads(brackets.replace("(", "[").replace(")", "]"))
    except ValueError:
        return None
    return {"type": kind, "coordinates": coordinates[0] if kind == "Point" else coordinates}
