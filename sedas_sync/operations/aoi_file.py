"""Read an AOI from a file: GeoJSON, WKT and, with the extra `vector`, GeoPackages and shapefiles."""

import json
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import shapely

from sedas_sync import geometry
from sedas_sync.geometry import OnRepair, Polygonal
from sedas_sync.geometry.areas import Part, area_of, parts_of
from sedas_sync.geometry.geojson import read_geojson
from sedas_sync.operations.reference_systems import in_degrees

MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is read; a larger one is a mistake, not an AOI."""

_TEXT = {".geojson", ".json", ".wkt"}
_VECTOR = {".gpkg", ".shp", ".zip"}
_GEOPACKAGE, _SHAPEFILE = b"SQLite format 3\0", b"\0\0\x27\x0a"
"""The first bytes of the formats."""


def read_aoi(path: str | Path, *, quotable: bool = True, on_repair: OnRepair | None = None) -> Polygonal:
    """Read the union of all polygons in a file.

    `.gpkg`, `.shp` and `.zip` (of a shapefile) need the extra `sedas-sync[vector]` and one layer with polygons, which
    are transformed to EPSG:4326.

    Args:
        path: The file.
        quotable: Whether errors may quote the file. One outside the manifest's folder may be a secret of somebody else.
        on_repair: Repair outlines that are not valid, and report each repair here.

    Returns:
        The AOI within ±180/±90.

    Raises:
        ValueError: The file is missing, cannot be read, or has no AOI.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in _TEXT | _VECTOR:
        allowed = ", ".join(sorted(_TEXT | _VECTOR))
        raise ValueError(f"{path} has an unknown extension; known are {allowed}")
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ValueError(f"{path} {what}")
    if kind in _VECTOR and (find_spec("pyogrio") is None or find_spec("pyproj") is None):
        raise ValueError(f"{path}: reading this kind of file needs the extra sedas-sync[vector] (pyogrio and pyproj)")
    try:
        if kind in _VECTOR:
            return _read_vector(path, on_repair)
        text = _read_text(path)
        return geometry.from_wkt(text, on_repair=on_repair) if kind == ".wkt" else _from_json(text, on_repair)
    except Exception as error:
        if not quotable:
            raise ValueError(
                f"{path}: it has no AOI that can be read; details are not shown, because it is outside the manifest's "
                "folder: copy it there to see what is wrong"
            ) from None
        if isinstance(error, ValueError | OSError):
            raise ValueError(f"{path}: {error}") from None  # noqa: TRY004 - what a file says, not a type
        raise


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size // 1024**2} MiB; an AOI has at most {MAX_BYTES // 1024**2} MiB")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (at byte {error.start})") from None


def _from_json(text: str, on_repair: OnRepair | None) -> Polygonal:
    content = _geojson(text)
    return _area(read_geojson(content), _crs(content), on_repair)


def _area(parts: Sequence[Part], crs: str | None, on_repair: OnRepair | None) -> Polygonal:
    """Return the area of polygons in any reference system."""
    converted, continuous = in_degrees(parts, crs)
    return area_of(converted, on_repair=on_repair, continuous=continuous)


def _geojson(text: str) -> Mapping[str, Any]:
    try:
        content: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("it is not GeoJSON: it is nested too deep") from None
    if not isinstance(content, Mapping):
        raise ValueError("it is not GeoJSON: an object with a type is missing")  # noqa: TRY004 - in a file
    return content


def _crs(content: Mapping[str, Any]) -> str | None:
    """Return the name of the reference system, which GeoJSON before RFC 7946 could have; None if there is none."""
    crs = content.get("crs")
    if crs is None:
        return None
    properties = crs.get("properties") if isinstance(crs, Mapping) else None
    name = properties.get("name") if isinstance(properties, Mapping) else None
    if not isinstance(name, str):
        raise ValueError("its crs has no name; write the name of the reference system, such as EPSG:4326, or remove it")  # noqa: TRY004 - in a file
    return name


# -- areas of a file ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedArea:
    """The polygons of one feature."""

    name: str
    """Made of A-Z, a-z, 0-9, `-` and `_`; unique in the file."""
    shape: Polygonal


_NAMING = ("name", "title", "label", "id", "code", "fid")
"""Properties that give features their names, in any letter case; the first that all of them have is used."""
_NAME_LENGTH = 64


def read_areas(path: str | Path) -> tuple[list[NamedArea], int]:
    """Read the features of a GeoJSON file as one area each.

    An area is named after a property that is different for each feature, else by its number.

    Returns:
        The areas in the order of the file, and the number of features without a polygon, which are left out.

    Raises:
        ValueError: The file is missing, cannot be read, has no polygon, or one of its polygons is not an AOI.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")
    try:
        return _areas(_geojson(_read_text(path)))
    except RecursionError:
        raise ValueError(f"{path}: it is not GeoJSON: it is nested too deep") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None


def _areas(content: Mapping[str, Any]) -> tuple[list[NamedArea], int]:
    listed = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(listed, list):
        raise ValueError("it is not GeoJSON: a FeatureCollection without a list of features")  # noqa: TRY004 - in a file
    features = [feature for feature in listed if isinstance(feature, Mapping)]
    polygonal = [feature for feature in features if any(_polygon_found(feature))]
    if not polygonal:
        raise ValueError("it has no polygon")
    areas, crs = [], _crs(content)
    for number, (feature, name) in enumerate(zip(polygonal, _feature_names(polygonal), strict=True), 1):
        try:
            areas.append(NamedArea(name, _area(read_geojson(feature), crs, None)))
        except ValueError as error:
            raise ValueError(f"feature {number} ({name}): {error}") from None
    return areas, len(listed) - len(polygonal)


def _polygon_found(value: Mapping[str, Any]) -> Iterator[bool]:
    yield value.get("type") in {"Polygon", "MultiPolygon"}
    several = value.get("geometries")
    for part in [value.get("geometry"), *(several if isinstance(several, list) else ())]:
        if isinstance(part, Mapping):
            yield from _polygon_found(part)


def _feature_names(features: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return unique names of the features."""
    rows = [_properties(feature) for feature in features]
    for key in _NAMING:
        names = [_plain_name(row.get(key)) for row in rows]
        if all(names) and len({name.casefold() for name in names}) == len(names):
            return names
    return ["aoi"] if len(rows) == 1 else [f"aoi-{number}" for number in range(1, len(rows) + 1)]


def _properties(feature: Mapping[str, Any]) -> dict[str, Any]:
    found = feature.get("properties")
    named = {key.lower(): value for key, value in found.items()} if isinstance(found, Mapping) else {}
    return {"id": feature.get("id"), **named}


def _plain_name(value: Any) -> str:
    """Return a property as a name in a manifest; empty if no character of it is allowed."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    letters = unicodedata.normalize("NFKD", str(value)).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", letters).strip("-")[:_NAME_LENGTH].strip("-")


# -- vector formats ----------------------------------------------------------------------------------------------------


def _read_vector(path: Path, on_repair: OnRepair | None) -> Polygonal:
    import pyogrio.errors  # noqa: PLC0415 - only the extra has it
    import pyogrio.raw  # noqa: PLC0415

    _check_format(path)
    try:
        layer = _layer(path)
        meta, _, shapes, _ = pyogrio.raw.read(path, layer=layer, columns=[])
    except pyogrio.errors.DataSourceError as error:
        raise ValueError(f"it cannot be read: {error}") from None
    if shapes is None:
        raise ValueError("it has no polygon")
    return _area(parts_of(shapely.from_wkb(shapes)), meta["crs"], on_repair)


def _check_format(path: Path) -> None:
    """Check that a file has the format of its extension.

    GDAL looks at the content only, and some of its formats refer to other files and to URLs.

    Raises:
        ValueError: It has another format.
    """
    kind = path.suffix.lower()
    if kind == ".zip":
        try:
            with zipfile.ZipFile(path) as packed:
                begins = [
                    packed.open(name).read(len(_SHAPEFILE))
                    for name in packed.namelist()
                    if name.lower().endswith(".shp")
                ]
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
            raise ValueError("it cannot be read: it is not a zip file") from None
        right = bool(begins) and all(begin == _SHAPEFILE for begin in begins)
    else:
        expected = _SHAPEFILE if kind == ".shp" else _GEOPACKAGE
        with path.open("rb") as opened:
            right = opened.read(len(expected)) == expected
    if not right:
        raise ValueError(f"it cannot be read: it is not a {'GeoPackage' if kind == '.gpkg' else 'shapefile'}")


def _layer(path: Path) -> str:
    """Return the name of the only layer with polygons.

    Raises:
        ValueError: There is none, or there are several.
    """
    import pyogrio  # noqa: PLC0415 - only the extra has it

    layers = [(str(name), str(kind)) for name, kind in pyogrio.list_layers(path) if kind is not None]
    names = [name for name, kind in layers if "Polygon" in kind or kind in {"Unknown", "GeometryCollection"}]
    if len(names) > 1:
        raise ValueError(f"it has several layers with polygons ({', '.join(names)}); an AOI file has one")
    if not names:
        kinds = ", ".join(f"{name}: {kind}" for name, kind in layers) or "no layer with geometries"
        raise ValueError(f"it has no polygon ({kinds})")
    return names[0]
