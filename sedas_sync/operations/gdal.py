"""Read the layers of vector files with GDAL, which the extra `vector` installs."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import shapely
from msgspec import Struct
from shapely.geometry.base import BaseGeometry

from sedas_sync.files.extras import load_extra
from sedas_sync.geometry import OnRepair
from sedas_sync.model.text import named

_CLOSED = 0.0005
"""Degrees within which the ends of a GPS track are the same place: about 50 m."""
_BY_FOLDER = frozenset({".kml"})
"""Formats whose layers are folders of one map, and are read together."""
_POINTS_OF_LINES = frozenset({"route_points", "track_points"})
"""Layers of a GPX file that repeat the others."""
_IN_MEMORY = re.compile(r"pyogrio_[0-9a-f]{32}")
"""The name of a file in memory."""


class _Format(NamedTuple):
    """A format of vector files."""

    name: str
    begin: bytes = b""
    """The first bytes."""
    element: str = ""
    """The first element, if it is XML."""


FORMATS: Mapping[str, _Format] = {
    ".gpkg": _Format("GeoPackage", b"SQLite format 3\0"),
    ".shp": _Format("shapefile", b"\0\0\x27\x0a"),
    ".fgb": _Format("FlatGeobuf file", b"fgb"),
    ".kml": _Format("KML file", element="kml"),
    ".gml": _Format("GML file", element="featurecollection"),
    ".gpx": _Format("GPX file", element="gpx"),
    ".parquet": _Format("GeoParquet file", b"PAR1"),
    ".geoparquet": _Format("GeoParquet file", b"PAR1"),
    ".geojson": _Format("GeoJSON file"),
    ".json": _Format("GeoJSON file"),
}
"""By the extension."""


class Layer(Struct, frozen=True):
    """The features of one layer, in the order of the file."""

    shapes: list[BaseGeometry | None]
    """Their geometries in the layer's reference system, without height."""
    crs: str | None
    rows: list[dict[str, Any]]
    """Their attributes by name; empty if they were not asked for."""


class Content(Struct, frozen=True):
    """A file that GDAL can read."""

    kind: str
    """The extension."""
    source: Path | bytes
    crs: str | None = None
    """The reference system, if GDAL does not know it."""


def layer_numbers(content: Content, wanted: str | None, stem: str, *, lines: bool) -> list[int]:
    """Return the numbers of the layers to read; a layer without a name has that of the file.

    Args:
        content: The file.
        wanted: The name of the only layer; None for all with polygons.
        stem: The file's name without its extension.
        lines: Whether layers with points and lines are read too.

    Raises:
        ValueError: There is no such layer, or it is not clear which is meant.
    """
    pyogrio = _pyogrio(content)
    try:
        listed = [(str(name), kind) for name, kind in pyogrio.list_layers(content.source)]
    except pyogrio.errors.DataSourceError:
        raise _damaged(content) from None
    # GDAL calls a layer without a name like the file, which is in memory and has a new name each time it is opened.
    listed = [(stem if _IN_MEMORY.fullmatch(name) else name, kind) for name, kind in listed]
    numbers = {name: number for number, (name, _) in enumerate(listed)}
    found = {name: str(kind) for name, kind in listed if kind is not None and name not in _POINTS_OF_LINES}
    if wanted is not None:
        if wanted not in found:
            raise ValueError(f'it has no layer "{wanted}" with geometries; its layers are {named(list(found))}')
        return [numbers[wanted]]
    mixed = {"Unknown", "GeometryCollection"}
    closed = content.kind == ".gpx"
    names = [
        name
        for name, kind in found.items()
        if lines or "Polygon" in kind or kind in mixed or (closed and "LineString" in kind)
    ]
    if not names:
        kinds = ", ".join(f"{name}: {kind}" for name, kind in found.items()) or "no layer with geometries"
        raise ValueError(f"it has no polygon ({kinds})")
    if len(names) > 1 and content.kind not in _BY_FOLDER and not closed:
        raise ValueError(
            f'it has several layers with polygons ({named(names)}); name one of them with layer = "{names[0]}"'
        )
    return [numbers[name] for name in names]


def read_layer(
    content: Content, layer: int, where: str | None, on_repair: OnRepair | None, *, lines: bool, attributes: bool
) -> Layer:
    """Read one layer; see `sedas_sync.operations.vector_file.read_layers`.

    Raises:
        ValueError: The file is damaged, or `where` is not a condition.
    """
    pyogrio = _pyogrio(content)
    try:
        # GDAL does not compare attributes that are not read: no feature would match.
        columns: list[str] | None = None if attributes or where is not None else []
        meta, _, wkb, values = pyogrio.raw.read(
            content.source, layer=layer, columns=columns, where=where, datetime_as_string=True
        )
    except (pyogrio.errors.DataSourceError, pyogrio.errors.GeometryError):
        raise _damaged(content) from None
    except (ValueError, pyogrio.errors.DataLayerError):
        if where is None:
            raise _damaged(content) from None
        names = pyogrio.read_info(content.source, layer=layer)["fields"].tolist()
        raise ValueError(
            f"where = {json.dumps(where, ensure_ascii=False)} is not a condition in SQL for its attributes "
            f"{named(names)}; write for example \"{names[0] if names else 'name'} = 'value'\""
        ) from None
    shapes = shapely.force_2d(_geometries(wkb, on_repair)).tolist() if wkb is not None else []
    if where is not None and not shapes:
        raise ValueError(f"no feature matches where = {json.dumps(where, ensure_ascii=False)}")
    if content.kind == ".gpx" and not lines:
        shapes = [None if shape is None else _closed(shape) for shape in shapes]
    names = meta["fields"].tolist()
    rows: list[dict[str, Any]] = [{} for _ in shapes]
    for name, column in zip(names, values, strict=True):
        for row, value in zip(rows, column.tolist(), strict=True):
            row[name] = value
    return Layer(shapes, content.crs or meta["crs"], rows)


def _pyogrio(content: Content) -> Any:
    return load_extra("pyogrio", "vector", f"reading a {FORMATS[content.kind].name}", ValueError)


def _damaged(content: Content) -> ValueError:
    """Return the error of a file that GDAL cannot read."""
    return ValueError(f"it cannot be read: it is a damaged {FORMATS[content.kind].name}")


def _geometries(wkb: Any, on_repair: OnRepair | None) -> Any:
    """Return the geometries of features. GEOS refuses to read open rings.

    Raises:
        ValueError: A ring is open, or has too few positions.
    """
    try:
        return shapely.from_wkb(wkb)
    except shapely.errors.GEOSException:
        readable = shapely.from_wkb(wkb, on_invalid="ignore")
        broken = [
            number for number, (shape, data) in enumerate(zip(readable, wkb, strict=True), 1) if data and not shape
        ]
        what = f"feature {named(list(map(str, broken)))}: a ring is open or has fewer than four positions"
        if on_repair is None:
            raise ValueError(
                f"{what}; its last position must repeat the first. To repair it, set repair = true in the table of the "
                'AOI, or use "Fix geometries" in QGIS'
            ) from None
        on_repair(f"{what}; it is closed")
        return shapely.from_wkb(wkb, on_invalid="fix")


def _closed(shape: BaseGeometry) -> BaseGeometry:
    """Return the polygons that closed lines enclose; lines that are not closed are left out."""
    polygons = []
    for line in shapely.get_parts(shape).tolist():
        positions = shapely.get_coordinates(line)
        if len(positions) > 3 and abs(positions[0] - positions[-1]).max() < _CLOSED:  # noqa: PLR2004 - a triangle, closed
            polygons.append(shapely.Polygon([*positions, positions[0]]))
    return shapely.MultiPolygon(polygons)
