"""STAC items as scenes. Pure.

Source of the fields: STAC 1.1 item and common metadata, and the extensions eo, sar, sat, grid, product, processing,
file, order and storage. All other properties are kept in `extra`.

A field that cannot be read is unknown, and reported. It never costs the scene.
"""

import re
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any

from msgspec.structs import replace

from sedas_sync.archives.lazy_json import LazyJson
from sedas_sync.archives.lenient import Properties, Report, UnusableError, are_degrees, wkt_of
from sedas_sync.archives.s3_config import S3Config
from sedas_sync.archives.stac.files import Choice, choose, joined, unavailable_reason
from sedas_sync.archives.stac.sensors import sensor_of
from sedas_sync.archives.stac.storage import PLACES, Storage, storage_of
from sedas_sync.model.files import total_size
from sedas_sync.model.satellites import group_of, spelled
from sedas_sync.model.scene import Scene
from sedas_sync.model.text import named

_READ = frozenset(
    {
        "datetime", "start_datetime", "end_datetime", "platform", "gsd", "eo:cloud_cover", "sat:orbit_state",
        "sat:absolute_orbit", "sat:relative_orbit", "sar:instrument_mode", "sar:polarizations",
    }
)  # fmt: skip
_TILE = re.compile(r"(?:MGRS-|T)?(\d{1,2}[C-X][A-Z]{2})")


def item_of(feature: Any) -> dict[str, Any]:
    """Return a feature if it is an item with all parts that are read here.

    Raises:
        UnusableError: It is not.
    """
    if not isinstance(feature, dict):
        raise UnusableError("it is not an object")
    if not isinstance(feature.get("id"), str) or not feature["id"].strip():
        raise UnusableError("it has no id")
    if not isinstance(feature.get("properties"), dict):
        raise UnusableError("its properties are not an object")
    return feature if isinstance(feature.get("assets"), dict) else {**feature, "assets": {}}


def scene_of_item(
    item: Mapping[str, Any], base: str, patterns: Sequence[str], report: Report, buckets: S3Config | None = None
) -> Scene:
    """Convert an item to a scene.

    Args:
        item: From `item_of`.
        base: URL of the item, if it does not state its own.
        patterns: Which assets are its files; see `sedas_sync.archives.stac.files.choose`.
        report: Called for each field that cannot be read and each asset that cannot be downloaded.
        buckets: How files in buckets are downloaded; None if they are not.
    """
    read = Properties(item["properties"], report)
    own = _self(item, base)
    choice = choose(item, own, patterns, buckets)
    never = None if choice.fetchable else _why_nothing(choice, patterns)
    if never is None:
        for key, problem in choice.problems.items():
            report(f"its asset {key} cannot be downloaded and is left out: {problem}")
    offline = unavailable_reason(item, choice.keys)
    if offline is not None:
        offline = f"{offline}; this API takes no orders: order it at its provider"
    platform, constellation = read.word("platform"), read.word("constellation")
    instruments = tuple(read.words("instruments")) or tuple(filter(None, (read.word("instrument"),)))
    product_type = read.first("product:type", "sar:product_type", "s2:product_type", "processing:level")
    whole = Scene(
        id=item["id"],
        start=read.time("start_datetime") or read.time("datetime"),
        stop=read.time("end_datetime") or read.time("datetime"),
        footprint=_footprint(item, report),
        sensor=sensor_of(item["properties"], instruments, (constellation, platform), product_type),
        satellite=platform,
        instrument=intern("/".join(instruments)) or None,
        mode=read.word("sar:instrument_mode"),
        source_group=group_of(spelled(platform or constellation or "")) or constellation,
        product_type=product_type,
        orbit=read.whole("sat:absolute_orbit"),
        orbit_direction=(read.word("sat:orbit_state") or "").upper() or None,
        relative_orbit=read.whole("sat:relative_orbit"),
        tile=_tile(read),
        polarisation="/".join(read.words("sar:polarizations")) or None,
        cloud_cover=read.percent("eo:cloud_cover"),
        resolution=read.number("gsd"),
        assets=choice.files,
        unselected=choice.unselected,
        download_url=choice.files[0].url if choice.fetchable and offline is None else None,
        offline=never or offline,
        never=never is not None,
        thumbnail_url=_picture(item, own, "thumbnail"),
        quicklook_url=_picture(item, own, "overview"),
        requester_pays=buckets is not None
        and buckets.requester_pays
        and any(storage.requester_pays is not False for storage in choice.storages.values()),
        extra=LazyJson(_rest(item, own, choice.storages)),
    )
    size = total_size(whole)
    return whole if size is None else replace(whole, size=size)


def _why_nothing(choice: Choice, patterns: Sequence[str]) -> str:
    """Explain why nothing of an item can ever be downloaded."""
    if not choice.keys:
        return f"it has none of the assets {named(patterns)}" if patterns else "it has no assets that are data"
    by_problem: dict[str, list[str]] = {}
    for key, problem in choice.problems.items():
        by_problem.setdefault(problem, []).append(key)
    return "; ".join(
        f"{'its asset' if len(keys) == 1 else 'its assets'} {named(keys)} cannot be downloaded: {problem}"
        for problem, keys in by_problem.items()
    )


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


def _rest(item: Mapping[str, Any], own: str, storages: Mapping[str, Storage]) -> dict[str, Any]:
    rest = {name: value for name, value in item["properties"].items() if name not in _READ}
    if isinstance(item.get("collection"), str):
        rest["collection"] = item["collection"]
    # Links need them, and some items state them in their assets.
    common = storage_of(rest).place
    places = {key: list(one.place) for key, one in storages.items() if one.place != common}
    if places:
        rest[PLACES] = places
    return {**rest, "item": own}


def _picture(item: Mapping[str, Any], own: str, role: str) -> str | None:
    """Return the link of a picture, by the role of its asset or else its name."""
    for key, asset in item["assets"].items():
        if isinstance(asset, dict) and isinstance(asset.get("href"), str):
            roles = asset.get("roles")
            if role in (roles if isinstance(roles, list) and roles else [key]):
                return _joined(own, asset["href"])
    return None


def _tile(read: Properties) -> str | None:
    """Return the MGRS tile; a code of another grid is not one."""
    match = _TILE.fullmatch(read.first("grid:code", "s2:mgrs_tile") or "")
    return match[1] if match else None


# -- geometry ------------------------------------------------------------------------------------------------------


def _footprint(item: Mapping[str, Any], report: Report) -> str | None:
    """Return the item's geometry as WKT, or else its bbox; None if it has neither."""
    geometry = item.get("geometry")
    if geometry is not None:
        if (wkt := wkt_of(geometry)) is not None:
            return wkt
        report("its geometry is not GeoJSON in degrees, or is empty, and its bbox is used")
    return _box(item)


def bbox_of(item: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Return west, south, east and north of an item's bbox; None if it has no valid one."""
    bbox = item.get("bbox")
    if not isinstance(bbox, list) or len(bbox) not in (4, 6) or not all(isinstance(x, int | float) for x in bbox):
        return None
    half = len(bbox) // 2
    west, south, east, north = bbox[0], bbox[1], bbox[half], bbox[half + 1]
    return (west, south, east, north) if are_degrees(west, south) and are_degrees(east, north) else None


def _box(item: Mapping[str, Any]) -> str | None:
    if (bbox := bbox_of(item)) is None:
        return None
    west, south, east, north = bbox
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
