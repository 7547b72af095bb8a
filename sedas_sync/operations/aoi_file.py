"""Read an AOI from a file: GeoJSON, WKT and, with the extra `vector`, the formats of `vector_file`."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from anyascii import anyascii
from msgspec import Struct, field

from sedas_sync import geometry
from sedas_sync.geometry import OnRepair, Polygonal
from sedas_sync.geometry.areas import Part, parts_of
from sedas_sync.geometry.geojson import read_geojson, read_geojson_paths
from sedas_sync.geometry.polygons import Ring
from sedas_sync.geometry.wkt import NoPolygonError, paths_of
from sedas_sync.operations.gdal import FORMATS, Layer
from sedas_sync.operations.reference_systems import in_degrees
from sedas_sync.operations.vector_file import ZIPS, read_layers

MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is read; a larger one is a mistake, not an AOI."""

_WKT, _GEOJSON = ".wkt", frozenset({".geojson", ".json"})
_KNOWN = (_WKT, *FORMATS, *ZIPS)


def read_aoi(
    path: str | Path,
    *,
    layer: str | None = None,
    where: str | None = None,
    buffer_km: float | None = None,
    quotable: bool = True,
    on_repair: OnRepair | None = None,
) -> Polygonal:
    """Read the union of all polygons in a file.

    All formats but GeoJSON and WKT need the extra `sedas-sync[vector]`. Other reference systems are converted.

    Args:
        path: The file.
        layer: The layer to read, if it has several.
        where: Read only features for which this condition in SQL is true.
        buffer_km: Add all places within this distance, of points and lines too.
        quotable: Whether errors may quote the file. One outside the manifest's folder may be a secret of somebody else.
        on_repair: Repair outlines that are not valid, and report each repair here.

    Returns:
        The AOI within ±180/±90.

    Raises:
        ValueError: The file is missing, cannot be read, or has no AOI.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in _KNOWN:
        raise ValueError(f"{path} has an unknown extension; known are {', '.join(sorted(_KNOWN))}")
    _check_file(path)
    try:
        if kind == _WKT:
            if layer is not None or where is not None:
                raise ValueError("a WKT file has no features, so layer and where cannot be used")  # noqa: TRY301 - as below
            return geometry.from_wkt(_read_text(path), buffer_km=buffer_km, on_repair=on_repair)
        if kind in _GEOJSON and layer is None and where is None:
            found = [_polygons_and_paths(_geojson(_read_text(path)), lines=buffer_km is not None)]
        else:
            layers = read_layers(path, layer=layer, where=where, lines=buffer_km is not None, on_repair=on_repair)
            found = [(parts_of(one.shapes), paths_of(one.shapes), one.crs) for one in layers]
        return _area(found, buffer_km, on_repair)
    except Exception as error:
        if not quotable:
            raise ValueError(
                f"{path}: it has no AOI that can be read; details are not shown, because it is outside the manifest's "
                "folder: copy it there to see what is wrong"
            ) from None
        if isinstance(error, ValueError | OSError):
            raise ValueError(f"{path}: {error}") from None  # noqa: TRY004 - what a file says, not a type
        raise


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise ValueError(f"{path} {'is not a file' if path.exists() else 'does not exist'}")


_Found = tuple[Sequence[Part], Sequence[Ring], str | None]
"""Polygons, points and lines, and their reference system."""


def _area(found: Iterable[_Found], buffer_km: float | None, on_repair: OnRepair | None) -> Polygonal:
    """Return the area of polygons, points and lines in any reference system."""
    parts: list[Part] = []
    paths: list[Ring] = []
    continuous = False
    for polygons, lines, crs in found:
        converted, bent = in_degrees(polygons, crs)
        parts += converted
        continuous = continuous or bent
        if buffer_km is not None:
            # A line of one position has no length to divide.
            ends = [Part([line if len(line) > 1 else line * 2]) for line in lines]
            paths += [part.rings[0] for part in in_degrees(ends, crs)[0]]
    if not parts and not paths:
        raise ValueError("it has no polygon; set buffer_km to search around points and lines")
    return geometry.from_parts(parts, paths, buffer_km=buffer_km, on_repair=on_repair, continuous=continuous)


def _read_text(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"it has {size // 1024**2} MiB; an AOI has at most {MAX_BYTES // 1024**2} MiB")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 (at byte {error.start})") from None


def _polygons_and_paths(content: Mapping[str, Any], *, lines: bool) -> _Found:
    try:
        parts = read_geojson(content)
    except NoPolygonError:
        if not lines:
            raise
        parts = []
    return parts, read_geojson_paths(content) if lines else (), _crs(content)


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


class NamedArea(Struct, frozen=True):
    """The polygons of one feature."""

    name: str
    """Made of A-Z, a-z, 0-9, `-` and `_`; unique in the file."""
    shape: Polygonal
    properties: Mapping[str, Any] = field(default_factory=dict)
    """The feature's attributes, by name."""
    repairs: tuple[str, ...] = ()
    """What was done to outlines that were not valid, one sentence each."""


_NAMING = ("name", "title", "label", "id", "code", "fid")
"""Properties that give features their names, in any letter case; the first that all of them have is used."""
_NAME_LENGTH = 64


def read_areas(path: str | Path) -> tuple[list[NamedArea], int]:
    """Read the features of a file as one area each.

    An area is named after a property that is different for each feature, else by its number. Outlines that are not
    valid are repaired. A file whose extension is not known is read as GeoJSON.

    Returns:
        The areas in the order of the file, and the number of features without a polygon, which are left out.

    Raises:
        ValueError: The file is missing, cannot be read, has no polygon, or one of its polygons is not an AOI.
    """
    path = Path(path)
    _check_file(path)
    kind = path.suffix.lower()
    try:
        if kind == _WKT:
            repairs: list[str] = []
            shape = geometry.from_wkt(_read_text(path), on_repair=repairs.append)
            return [NamedArea("aoi", shape, repairs=tuple(repairs))], 0
        if kind in (FORMATS.keys() | ZIPS) - _GEOJSON:
            return _areas(_features_of_layers(read_layers(path, attributes=True)))
        return _areas(_features_of_geojson(_geojson(_read_text(path))))
    except RecursionError:
        raise ValueError(f"{path}: it is not GeoJSON: it is nested too deep") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None


class _Feature(Struct, frozen=True):
    """One feature of a file."""

    parts: Callable[[], Sequence[Part]]
    """Returns its polygons. Raises a ValueError if it is not valid."""
    crs: str | None
    properties: Mapping[str, Any]
    has_polygon: bool


def _features_of_layers(layers: Iterable[Layer]) -> list[_Feature]:
    features = []
    for layer in layers:
        for shape, row in zip(layer.shapes, layer.rows, strict=True):
            parts = [Part(part.rings) for part in parts_of([shape])]
            features.append(_Feature(partial(list, parts), layer.crs, row, has_polygon=bool(parts)))
    return features


def _features_of_geojson(content: Mapping[str, Any]) -> list[_Feature]:
    listed = content.get("features") if content.get("type") == "FeatureCollection" else [content]
    if not isinstance(listed, list):
        raise ValueError("it is not GeoJSON: a FeatureCollection without a list of features")  # noqa: TRY004 - in a file
    crs = _crs(content)
    return [
        _Feature(partial(read_geojson, feature), crs, _properties(feature), has_polygon=any(_polygon_found(feature)))
        if isinstance(feature, Mapping)
        else _Feature(list, crs, {}, has_polygon=False)
        for feature in listed
    ]


def _areas(features: Sequence[_Feature]) -> tuple[list[NamedArea], int]:
    polygonal = [feature for feature in features if feature.has_polygon]
    if not polygonal:
        raise ValueError("it has no polygon")
    areas = []
    names = _feature_names([feature.properties for feature in polygonal])
    for number, (feature, name) in enumerate(zip(polygonal, names, strict=True), 1):
        repairs: list[str] = []
        try:
            shape = _area([(feature.parts(), (), feature.crs)], None, repairs.append)
        except ValueError as error:
            raise ValueError(f"feature {number} ({name}): {error}") from None
        areas.append(NamedArea(name, shape, feature.properties, tuple(repairs)))
    return areas, len(features) - len(polygonal)


def _polygon_found(value: Mapping[str, Any]) -> Iterator[bool]:
    yield value.get("type") in {"Polygon", "MultiPolygon"}
    several = value.get("geometries")
    for part in [value.get("geometry"), *(several if isinstance(several, list) else ())]:
        if isinstance(part, Mapping):
            yield from _polygon_found(part)


def _feature_names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return unique names of features, from their properties; a feature without a name gets its number.

    The best property is different for each feature. If there is none, names that several features have are numbered.
    """
    lowered = [{key.lower(): value for key, value in row.items()} for row in rows]
    numbered = ["area"] if len(rows) == 1 else [f"area-{number}" for number in range(1, len(rows) + 1)]
    best, repeated = numbered, list[str]()
    for key in _NAMING:
        given = [_plain_name(row.get(key)) for row in lowered]
        names = [name or number for name, number in zip(given, numbered, strict=True)]
        if len({name.casefold() for name in names}) < len(names):
            repeated = repeated or names
            continue
        if all(given):
            return names
        if best is numbered and any(given):
            best = names
    return _numbered(repeated) if best is numbered and repeated else best


def _numbered(names: Sequence[str]) -> list[str]:
    """Return names with a number at the end of each that was there before, such as `North-field-2`."""
    taken = {name.casefold() for name in names}
    seen = set[str]()
    unique = []
    for name in names:
        new, number = name, 1
        while name.casefold() in seen and new.casefold() in taken:
            number += 1
            new = f"{name[: _NAME_LENGTH - len(str(number)) - 1]}-{number}"
        taken.add(new.casefold())
        seen.add(name.casefold())
        unique.append(new)
    return unique


def _properties(feature: Mapping[str, Any]) -> dict[str, Any]:
    found = feature.get("properties")
    return {**({"id": feature["id"]} if "id" in feature else {}), **(found if isinstance(found, Mapping) else {})}


def _plain_name(value: Any) -> str:
    """Return a property as a name in a manifest, transliterated; empty if no character of it can be in one."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return re.sub(r"[^A-Za-z0-9_]+", "-", anyascii(str(value))).strip("-")[:_NAME_LENGTH].strip("-")
