"""Read the features of vector files with GDAL, which the extra `vector` brings.

GDAL looks at the content of a file, and some of its formats refer to other files and to URLs. So a file is read only if
it begins as the format of its extension does, and files in a zip are read from memory.
"""

import io
import json
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import shapely
from shapely.geometry.base import BaseGeometry

from sedas_sync.geometry import OnRepair

_MAX_UNPACKED = 512 * 1024 * 1024
"""Largest content of a zip that is read."""
_HEAD = 64 * 1024
"""Bytes of an XML file in which its first element must be."""
_CLOSED = 0.0005
"""Degrees within which the ends of a GPS track are the same place: about 50 m."""
_LISTED = 8
"""Most names that an error lists."""


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
ZIPS = frozenset({".zip", ".kmz"})
"""Extensions of files with another file in them."""
_PARQUET = frozenset({".parquet", ".geoparquet"})
_BY_FOLDER = frozenset({".kml"})
"""Formats whose layers are folders of one map, and are read together."""
_POINTS_OF_LINES = frozenset({"route_points", "track_points"})
"""Layers of a GPX file that repeat the others."""
_IN_MEMORY = re.compile(r"pyogrio_[0-9a-f]{32}")
"""The name of a file in memory."""
_SIDECARS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


@dataclass(frozen=True, slots=True)
class Layer:
    """The features of one layer, in the order of the file."""

    shapes: list[BaseGeometry | None]
    """Their geometries in the layer's reference system, without height."""
    crs: str | None
    rows: list[dict[str, Any]]
    """Their attributes by name; empty if they were not asked for."""


@dataclass(frozen=True, slots=True)
class _Content:
    """A file that GDAL can read."""

    kind: str
    """The extension."""
    source: Path | bytes
    crs: str | None = None
    """The reference system, if GDAL does not know it."""


def read_layers(
    path: Path,
    *,
    layer: str | None = None,
    where: str | None = None,
    lines: bool = False,
    attributes: bool = False,
    on_repair: OnRepair | None = None,
) -> list[Layer]:
    """Read the features of a vector file that have polygons.

    Closed tracks and routes of a GPX file are polygons.

    Args:
        path: The file, or a zip with one.
        layer: Its layer; by default the only one with polygons, or all folders of a KML file.
        where: Read only features for which this condition in SQL is true.
        lines: Read points and lines too.
        attributes: Read the attributes too.
        on_repair: Close open rings, and report each feature that has one here.

    Raises:
        ValueError: A package is not installed, the file is damaged or has another format, or there is no such layer.
    """
    _check_extra(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what GDAL leaves out
        content = _content(path)
        return [
            _read(content, number, where, on_repair, lines=lines, attributes=attributes)
            for number in _layers(content, layer, path.stem, lines=lines)
        ]


def _check_extra(path: Path) -> None:
    if find_spec("pyogrio") is None or find_spec("pyproj") is None:
        raise ValueError("reading this kind of file needs the extra sedas-sync[vector] (pyogrio and pyproj)")
    if path.suffix.lower() in _PARQUET and find_spec("pyarrow") is None:
        raise ValueError("reading GeoParquet needs the extra sedas-sync[vector-parquet] (pyarrow)")


# -- layers and features -----------------------------------------------------------------------------------------------


def _layers(content: _Content, wanted: str | None, stem: str, *, lines: bool) -> list[int]:
    """Return the numbers of the layers to read; a layer without a name has that of the file."""
    import pyogrio  # noqa: PLC0415 - only the extra has it

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
            raise ValueError(f'it has no layer "{wanted}" with geometries; its layers are {_listed(found)}')
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
            f'it has several layers with polygons ({_listed(names)}); name one of them with layer = "{names[0]}"'
        )
    return [numbers[name] for name in names]


def _read(
    content: _Content, layer: int, where: str | None, on_repair: OnRepair | None, *, lines: bool, attributes: bool
) -> Layer:
    import pyogrio.errors  # noqa: PLC0415 - only the extra has it
    import pyogrio.raw  # noqa: PLC0415

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
            f"{_listed(names)}; write for example \"{names[0] if names else 'name'} = 'value'\""
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
        what = f"feature {_listed(map(str, broken))}: a ring is open or has fewer than four positions"
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


# -- contents ----------------------------------------------------------------------------------------------------------


def _content(path: Path) -> _Content:
    """Return a file, or the file in a zip, after a look at its first bytes."""
    kind = path.suffix.lower()
    if kind in ZIPS:
        return _unpacked(path)
    if not FORMATS[kind].element and kind not in _PARQUET:
        with path.open("rb") as opened:
            content = _checked(_Content(kind, path), opened.read(_HEAD))
        if kind == ".shp":
            files = {file.suffix.lower() for file in path.parent.iterdir() if file.stem == path.stem}
            _check_shapefile(path.name, files)
        return content
    # XML and GeoParquet come from memory: GDAL would write a file beside GML.
    return _in_memory(kind, path.read_bytes())


def _in_memory(kind: str, data: bytes) -> _Content:
    content = _checked(_Content(kind, data), data)
    return _as_geopackage(data) if kind in _PARQUET else content


def _checked(content: _Content, begin: bytes) -> _Content:
    """Return the content if it begins as its format does.

    Raises:
        ValueError: It has another format.
    """
    expected = FORMATS[content.kind]
    right = begin.startswith(expected.begin)
    if expected.element:
        found = re.match(rb"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*)*<(?:[\w.-]+:)?([\w.-]+)", _text_of(begin), re.DOTALL)
        # GDAL looks for the elements of its own formats anywhere.
        right = bool(found and found[1].decode().lower() == expected.element) and not re.search(
            rb"<\s*(?:OGR|VRT)", begin
        )
    if not right:
        raise ValueError(f"it cannot be read: it is not a {expected.name}")
    return content


def _text_of(begin: bytes) -> bytes:
    """Return the beginning of an XML file in UTF-8, without a byte order mark."""
    if begin[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return begin[: len(begin) // 2 * 2].decode("utf-16", "ignore").encode()
    return begin.removeprefix(b"\xef\xbb\xbf")


def _check_shapefile(name: str, endings: set[str]) -> None:
    if ".shx" not in endings:
        index = str(PurePosixPath(name).with_suffix(".shx"))
        raise ValueError(
            f"{name} has no index ({index}); a shapefile consists of several files: "
            "keep .shp, .shx, .dbf and .prj together"
        )


def _damaged(content: _Content) -> ValueError:
    return ValueError(f"it cannot be read: it is a damaged {FORMATS[content.kind].name}")


def _listed(names: Any) -> str:
    shown = list(names)
    return ", ".join(shown[:_LISTED]) + (f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else "")


# -- zips --------------------------------------------------------------------------------------------------------------


def _unpacked(path: Path) -> _Content:
    """Return the only vector file in a zip, wherever in it."""
    try:
        with zipfile.ZipFile(path) as packed:
            members = [info for info in packed.infolist() if not info.is_dir() and not _is_clutter(info.filename)]
            if sum(info.file_size for info in members) > _MAX_UNPACKED:
                raise ValueError(f"its files have more than {_MAX_UNPACKED // 1024**2} MiB together")
            name = _only_vector_file(path, [info.filename for info in members])
            return _member(packed, name, [info.filename for info in members])
    except zipfile.BadZipFile:
        raise ValueError("it cannot be read: it is not a zip file") from None
    except RuntimeError:
        raise ValueError("it cannot be read: it is encrypted; unpack it first") from None
    except NotImplementedError:
        raise ValueError("it cannot be read: it is packed by an unknown method; unpack it first") from None


def _is_clutter(name: str) -> bool:
    """Whether macOS added the file."""
    return name.startswith("__MACOSX/") or PurePosixPath(name).name.startswith(".")


def _only_vector_file(path: Path, names: list[str]) -> str:
    readable = {".kml"} if path.suffix.lower() == ".kmz" else FORMATS.keys() - {".json"}
    found = [name for name in names if PurePosixPath(name).suffix.lower() in readable]
    if len(found) > 1:
        # A KMZ file begins with its first KML file.
        if path.suffix.lower() == ".kmz":
            return found[0]
        raise ValueError(f"it has several files with areas ({_listed(found)}); unpack it and name one of them")
    if not found:
        what = "a KML file" if path.suffix.lower() == ".kmz" else "a shapefile or another vector file"
        raise ValueError(f"it does not contain {what}, but {_listed(names) or 'nothing'}")
    return found[0]


def _member(packed: zipfile.ZipFile, name: str, names: list[str]) -> _Content:
    kind = PurePosixPath(name).suffix.lower()
    if kind != ".shp":
        return _in_memory(kind, packed.read(name))
    base = name[: -len(kind)]
    parts = {ending: n for n in names if (ending := _ending_after(base, n)) in _SIDECARS}
    _check_shapefile(PurePosixPath(name).name, set(parts))
    _checked(_Content(kind, b""), packed.open(name).read(_HEAD))
    alone = io.BytesIO()
    with zipfile.ZipFile(alone, "w") as target:
        for ending, part in parts.items():
            target.writestr(f"area{ending}", packed.read(part))
    return _Content(kind, alone.getvalue())


def _ending_after(base: str, name: str) -> str:
    return name[len(base) :].lower() if name.lower().startswith(base.lower()) else ""


# -- GeoParquet --------------------------------------------------------------------------------------------------------


def _as_geopackage(data: bytes) -> _Content:
    """Convert a GeoParquet file, which the usual builds of GDAL do not read, so that `where` means the same in it."""
    import pyarrow as pa  # noqa: PLC0415 - only the extra has it
    import pyarrow.parquet as pq  # noqa: PLC0415
    import pyogrio  # noqa: PLC0415

    try:
        table = pq.read_table(pa.BufferReader(data))
        geo = json.loads((table.schema.metadata or {})[b"geo"])
        column = geo["columns"][geo["primary_column"]]
        encoding, crs = column["encoding"], column.get("crs")
    except (KeyError, TypeError, json.JSONDecodeError):
        raise ValueError("it cannot be read: it is a Parquet file without a geometry column (GeoParquet)") from None
    except pa.ArrowException:
        raise ValueError("it cannot be read: it is a damaged GeoParquet file") from None
    if encoding.upper() != "WKB":
        raise ValueError(f"its geometries have the encoding {encoding}; write them as WKB")
    name = geo["primary_column"]
    plain = [field.name for field in table.schema if field.name == name or not pa.types.is_nested(field.type)]
    target = io.BytesIO()
    pyogrio.write_arrow(
        table.select(plain), target, driver="GPKG", layer="areas", geometry_name=name, geometry_type="Unknown"
    )
    return _Content(".gpkg", target.getvalue(), "OGC:CRS84" if crs is None else json.dumps(crs))
