"""STAC items as scenes. Pure.

Source of the fields: STAC 1.1 item and common metadata, and the extensions eo, sar, sat, grid, product, processing,
file, order and storage. All other properties are kept in `extra`.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from sys import intern
from typing import Any

from msgspec.structs import replace

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.archives.stac.files import files_of, joined, selected, unavailable_reason
from sedas_sync.model.files import total_size
from sedas_sync.model.satellites import group_of
from sedas_sync.model.scene import Scene, Sensor
from sedas_sync.model.times import from_iso

_SAR = frozenset({"c-sar", "sar", "x-sar", "l-sar", "s-sar", "palsar", "palsar-2", "asar", "sar-x", "sar-c"})
_OPTICAL = frozenset({"msi", "oli", "oli_tirs", "etm", "etm+", "tm", "mss", "modis", "aster", "hrv", "naomi", "olci"})
_READ = frozenset(
    {
        "datetime", "start_datetime", "end_datetime", "platform", "gsd", "eo:cloud_cover", "sat:orbit_state",
        "sat:absolute_orbit", "sat:relative_orbit", "sar:instrument_mode", "sar:polarizations",
    }
)  # fmt: skip
_MGRS = "MGRS-"


class UnusableItemError(ValueError):
    """An item that cannot be used; the message is the reason."""


def item_of(feature: Any) -> dict[str, Any]:
    """Return a feature if it is an item with all parts that are read here.

    Raises:
        UnusableItemError: It is not.
    """
    if not isinstance(feature, dict):
        raise UnusableItemError("it is not an object")
    if not isinstance(feature.get("id"), str) or not feature["id"].strip():
        raise UnusableItemError("it has no id")
    for part in ("properties", "assets"):
        if not isinstance(feature.get(part), dict):
            raise UnusableItemError(f"its {part} are not an object")
    return feature


def scene_of_item(item: Mapping[str, Any], base: str, patterns: Sequence[str]) -> Scene:
    """Convert an item to a scene.

    Args:
        item: From `item_of`.
        base: URL of the item, if it does not state its own.
        patterns: Which assets are its files; see `sedas_sync.archives.stac.files.selected`.

    Raises:
        UnusableItemError: A necessary field cannot be read, or no asset is selected.
    """
    properties = item["properties"]
    own = _self(item, base)
    try:
        files = files_of(item, own, patterns)
    except ValueError:
        raise UnusableItemError("the link of one of its assets is not valid") from None
    if not files:
        raise UnusableItemError(
            f"it has none of the assets {', '.join(patterns)}" if patterns else "it has no assets that are data"
        )
    offline = unavailable_reason(item, selected(item["assets"], patterns))
    platform = _word(properties, "platform")
    polarisations = properties.get("sar:polarizations")
    whole = Scene(
        id=item["id"],
        start=_time(properties, "start_datetime") or _time(properties, "datetime"),
        stop=_time(properties, "end_datetime") or _time(properties, "datetime"),
        footprint=_footprint(item),
        sensor=_sensor(properties),
        satellite=platform,
        instrument=_instrument(properties),
        mode=_word(properties, "sar:instrument_mode"),
        source_group=_group(platform, _word(properties, "constellation")),
        product_type=_first(properties, "product:type", "sar:product_type", "s2:product_type", "processing:level"),
        orbit=_whole(properties, "sat:absolute_orbit"),
        orbit_direction=(_word(properties, "sat:orbit_state") or "").upper() or None,
        relative_orbit=_whole(properties, "sat:relative_orbit"),
        tile=_tile(properties),
        polarisation="/".join(map(str, polarisations)) if isinstance(polarisations, list) and polarisations else None,
        cloud_cover=_number(properties, "eo:cloud_cover"),
        resolution=_number(properties, "gsd"),
        assets=files,
        download_url=files[0].url if offline is None else None,
        offline=None if offline is None else f"{offline}; this API takes no orders: order it at its provider",
        thumbnail_url=_picture(item, own, "thumbnail"),
        quicklook_url=_picture(item, own, "overview"),
        extra=LazyJson(_rest(item, own)),
    )
    size = total_size(whole)
    return whole if size is None else replace(whole, size=size)


def _self(item: Mapping[str, Any], base: str) -> str:
    links = item.get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self" and isinstance(link.get("href"), str):
            return _joined(base, link["href"]) or base
    return base


def _joined(base: str, href: str) -> str | None:
    try:
        return joined(base, href)
    except ValueError:
        return None


def _rest(item: Mapping[str, Any], own: str) -> dict[str, Any]:
    rest = {name: value for name, value in item["properties"].items() if name not in _READ}
    if isinstance(item.get("collection"), str):
        rest["collection"] = item["collection"]
    return {**rest, "item": own}


def _picture(item: Mapping[str, Any], own: str, role: str) -> str | None:
    """Return the link of a picture, by the role of its asset or else its name."""
    for key, asset in item["assets"].items():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            roles = asset.get("roles")
            if role in (roles if isinstance(roles, list) and roles else [key]):
                return _joined(own, asset["href"])
    return None


# -- properties ----------------------------------------------------------------------------------------------------


def _word(properties: Mapping[str, Any], name: str) -> str | None:
    """Return a text property; equal texts are stored once."""
    value = properties.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise UnusableItemError(f"{name} is not a string")
    return intern(value)


def _first(properties: Mapping[str, Any], *names: str) -> str | None:
    return next((found for name in names if (found := _word(properties, name)) is not None), None)


def _number(properties: Mapping[str, Any], name: str) -> float | None:
    value = properties.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnusableItemError(f"{name} is not a number")
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        raise UnusableItemError(f"{name} is out of range") from None


def _whole(properties: Mapping[str, Any], name: str) -> int | None:
    value = _number(properties, name)
    return None if value is None else int(value)


def _time(properties: Mapping[str, Any], name: str) -> datetime | None:
    value = properties.get(name)
    if value is None:
        return None
    try:
        return from_iso(value)
    except (AttributeError, ValueError, OverflowError):
        raise UnusableItemError(f"{name} is not a time") from None


def _instrument(properties: Mapping[str, Any]) -> str | None:
    instruments = properties.get("instruments")
    words = [word for word in instruments if isinstance(word, str)] if isinstance(instruments, list) else []
    return intern("/".join(words)) if words else None


def _sensor(properties: Mapping[str, Any]) -> Sensor | None:
    instruments = {word.lower() for word in (_instrument(properties) or "").split("/")}
    names = {name.partition(":")[0] for name in properties}
    if instruments & _SAR or "sar" in names:
        return "sar"
    if instruments & _OPTICAL or "eo" in names:
        return "optical"
    return None


def _group(platform: str | None, constellation: str | None) -> str | None:
    return group_of(platform or constellation or "") or constellation


def _tile(properties: Mapping[str, Any]) -> str | None:
    code = _first(properties, "grid:code", "s2:mgrs_tile")
    if code is None:
        return None
    tile = code.removeprefix(_MGRS)
    return tile if code.startswith(_MGRS) or "grid:code" not in properties else None


# -- geometry ------------------------------------------------------------------------------------------------------


def _footprint(item: Mapping[str, Any]) -> str | None:
    """Return the item's geometry as WKT, or else its bbox; None if it has neither."""
    geometry = item.get("geometry")
    if geometry is None:
        return _box(item.get("bbox"))
    try:
        return _wkt(geometry)
    except (TypeError, KeyError, ValueError, OverflowError, RecursionError):
        raise UnusableItemError("its geometry is not GeoJSON") from None


def _box(bbox: Any) -> str | None:
    if not isinstance(bbox, list) or len(bbox) not in (4, 6) or not all(isinstance(x, int | float) for x in bbox):
        return None
    half = len(bbox) // 2
    west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
    if west == east and south == north:
        return f"POINT ({west!r} {south!r})"
    if west == east or south == north:
        return f"LINESTRING ({west!r} {south!r}, {east!r} {north!r})"
    if west <= east:
        return f"POLYGON {_rectangle(west, south, east, north)}"
    return f"MULTIPOLYGON ({_rectangle(west, south, 180, north)}, {_rectangle(-180, south, east, north)})"


def _rectangle(west: float, south: float, east: float, north: float) -> str:
    # With positions in the middle, no edge is so long that it could cross the antimeridian.
    middle = (west + east) / 2
    corners = ((west, south), (middle, south), (east, south), (east, north), (middle, north), (west, north))
    return "((" + ", ".join(f"{x!r} {y!r}" for x, y in (*corners, corners[0])) + "))"


def _wkt(geometry: Any) -> str:
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return f"GEOMETRYCOLLECTION ({', '.join(map(_wkt, geometry['geometries']))})"
    depth = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}[kind]
    text = _positions(geometry["coordinates"], depth)
    return f"{kind.upper()} {text if depth else f'({text})'}"


def _positions(coordinates: Any, depth: int) -> str:
    if depth:
        return f"({', '.join([_positions(part, depth - 1) for part in coordinates])})"
    x, y = coordinates[0], coordinates[1]
    return f"{float(x)!r} {float(y)!r}"
