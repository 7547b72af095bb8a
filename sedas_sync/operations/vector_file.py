"""The vector files that an AOI can be read from; the extra `vector` reads them, with GDAL.

GDAL looks at the content of a file, and some of its formats refer to other files and to URLs. So a file is read only if
it begins as the format of its extension does, and files in a zip are read from memory.
"""

import io
import re
import warnings
import zipfile
from pathlib import Path, PurePosixPath

from sedas_sync.geometry import OnRepair
from sedas_sync.model.text import named
from sedas_sync.operations import gdal
from sedas_sync.operations.gdal import FORMATS, Content, Layer
from sedas_sync.operations.geoparquet import as_geopackage

_MAX_UNPACKED = 512 * 1024 * 1024
"""Largest content of a zip that is read."""
_HEAD = 64 * 1024
"""Bytes of an XML file in which its first element must be."""
ZIPS = frozenset({".zip", ".kmz"})
"""Extensions of files with another file in them."""
_PARQUET = frozenset({".parquet", ".geoparquet"})
_SIDECARS = (".shp", ".shx", ".dbf", ".prj", ".cpg")


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
        ValueError: An extra is not installed, the file is damaged or has another format, or there is no such layer.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what GDAL leaves out
        content = _content(path)
        return [
            gdal.read_layer(content, number, where, on_repair, lines=lines, attributes=attributes)
            for number in gdal.layer_numbers(content, layer, path.stem, lines=lines)
        ]


# -- contents ----------------------------------------------------------------------------------------------------------


def _content(path: Path) -> Content:
    """Return a file, or the file in a zip, after a look at its first bytes."""
    kind = path.suffix.lower()
    if kind in ZIPS:
        return _unpacked(path)
    if not FORMATS[kind].element and kind not in _PARQUET:
        with path.open("rb") as opened:
            content = _checked(Content(kind, path), opened.read(_HEAD))
        if kind == ".shp":
            files = {file.suffix.lower() for file in path.parent.iterdir() if file.stem == path.stem}
            _check_shapefile(path.name, files)
        return content
    # XML and GeoParquet come from memory: GDAL would write a file beside GML.
    return _in_memory(kind, path.read_bytes())


def _in_memory(kind: str, data: bytes) -> Content:
    content = _checked(Content(kind, data), data)
    return content if kind not in _PARQUET else Content(".gpkg", *as_geopackage(data))


def _checked(content: Content, begin: bytes) -> Content:
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


# -- zips --------------------------------------------------------------------------------------------------------------


def _unpacked(path: Path) -> Content:
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
        raise ValueError(f"it has several files with areas ({named(found)}); unpack it and name one of them")
    if not found:
        what = "a KML file" if path.suffix.lower() == ".kmz" else "a shapefile or another vector file"
        raise ValueError(f"it does not contain {what}, but {named(names) or 'nothing'}")
    return found[0]


def _member(packed: zipfile.ZipFile, name: str, names: list[str]) -> Content:
    kind = PurePosixPath(name).suffix.lower()
    if kind != ".shp":
        return _in_memory(kind, packed.read(name))
    base = name[: -len(kind)]
    parts = {ending: n for n in names if (ending := _ending_after(base, n)) in _SIDECARS}
    _check_shapefile(PurePosixPath(name).name, set(parts))
    _checked(Content(kind, b""), packed.open(name).read(_HEAD))
    alone = io.BytesIO()
    with zipfile.ZipFile(alone, "w") as target:
        for ending, part in parts.items():
            target.writestr(f"area{ending}", packed.read(part))
    return Content(kind, alone.getvalue())


def _ending_after(base: str, name: str) -> str:
    return name[len(base) :].lower() if name.lower().startswith(base.lower()) else ""
