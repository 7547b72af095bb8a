"""Scenes as STAC items.

A field of an extension is written only if its value is known and the extension allows it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import pystac
from msgspec import Struct

from sedas_sync.geometry.geojson import Box, Outline, outlines
from sedas_sync.model.events import Failure
from sedas_sync.model.local import LocalFile
from sedas_sync.model.satellites import instruments
from sedas_sync.model.scene import Scene
from sedas_sync.model.times import to_iso
from sedas_sync.output.export.inventory import ExportEntry
from sedas_sync.output.export.product_assets import (
    GRIDS_WITHIN,
    ProductAsset,
    assets_of_product,
    find_tile_metadata,
    grids_of,
    media_type,
)
from sedas_sync.output.export.tables import in_batches
from sedas_sync.output.export.texts import keywords_of, providers_of, title_of
from sedas_sync.output.product_files import UNREADABLE, OpenProduct, open_product
from sedas_sync.planning.product_name import NameFacts, parse_name, relative_orbit_of, tile_of

_EXTENSIONS = {
    "alternate": "https://stac-extensions.github.io/alternate-assets/v1.2.0/schema.json",
    "eo": "https://stac-extensions.github.io/eo/v2.0.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "product": "https://stac-extensions.github.io/product/v1.1.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "raster": "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "sar": "https://stac-extensions.github.io/sar/v1.3.0/schema.json",
    "sat": "https://stac-extensions.github.io/sat/v1.1.0/schema.json",
}
"""By the prefix of their fields."""

_SHA256 = "1220"
"""The prefix of a SHA-256 multihash: its code, and its length of 32 bytes."""
_CHANNELS = ("HH", "HV", "VH", "VV")
_BANDS = {"sentinel-1": "C", "novasar": "S"}
"""Frequency bands of radar missions, as the STAC SAR extension writes them."""
_SAR_LEVELS = {"RAW": "L0", "SLC": "L1", "GRD": "L1", "OCN": "L2"}
"""Levels of Sentinel-1 product types (Sentinel-1 product definition)."""
_MGRS = re.compile(r"(0[1-9]|[1-5]\d|60)[C-HJ-NP-X][A-HJ-NP-Z]{2}")
_SOUTHERN_BANDS = "CDEFGHJKLM"
_LARGEST_PICTURE = 1 << 20
"""Bytes of a quick-look that is copied out of a zip."""


class MirrorLinks(Struct, frozen=True, kw_only=True):
    """How items lead to the files of the mirror."""

    root: str
    """The mirror, to look into its products."""
    to_mirror: str
    """The mirror as seen from an item, with forward slashes: the beginning of each link to a file."""
    in_table: bool = False
    """Whether items become rows of a table, which has a column for each asset.

    Files of a product that have no key of their own are left out then, and no quick-look can be beside the item.
    """


class StacItem(NamedTuple):
    """An item, with what its collection states of it."""

    item: pystac.Item
    box: Box | None
    times: tuple[datetime, datetime]
    picture: bytes | None
    """The quick-look of a zipped product, to be written beside the item."""


def items_of(entries: Iterable[ExportEntry], links: MirrorLinks, left_out: list[Failure]) -> Iterator[StacItem]:
    """Yield the items of scenes; scenes that STAC cannot describe are added to `left_out`."""
    for some in in_batches(entries):
        scenes = [entry.scene for entry in some]
        shapes = outlines([scene.footprint for scene in scenes])
        for entry, scene, shape in zip(some, scenes, shapes, strict=True):
            first, last = _times(scene)
            if first is None or last is None:
                left_out.append(Failure(id=entry.id, error="its time is not known, and STAC requires one"))
                continue
            named = parse_name(scene.id)
            assets, picture = _assets(entry, scene, named, links)
            item = _item(entry, scene, named, shape, (first, last))
            for key, asset in assets.items():
                item.add_asset(key, asset)
            item.stac_extensions = _extensions(item)
            yield StacItem(item, None if shape is None else shape.bbox, (first, last), picture)


def product_type_of(scene: Scene, named: NameFacts) -> str | None:
    """Return the product type as the catalogue states it, else as the name does."""
    return scene.product_type or named.product_type


def picture_name(stem: str, asset: pystac.Asset) -> str:
    """Return the name of the file of a quick-look that is beside its item."""
    return f"{stem}{'.png' if asset.media_type == pystac.MediaType.PNG else '.jpg'}"


def _item(
    entry: ExportEntry, scene: Scene, named: NameFacts, shape: Outline | None, times: tuple[datetime, datetime]
) -> pystac.Item:
    product_type, tile = product_type_of(scene, named), tile_of(scene)
    fields = {**_common(scene), **_of_extensions(scene, named)}
    properties: dict[str, Any] = {
        "title": title_of(
            scene,
            product_type=product_type,
            tile=tile,
            relative_orbit=relative_orbit_of(scene),
            version=fields.get("processing:version"),
        ),
        "keywords": keywords_of(scene, product_type=product_type, tile=tile),
        "providers": providers_of(scene, entry.local.archive),
    }
    properties = {name: value for name, value in properties.items() if value}
    properties |= fields
    first, last = times
    if last > first:
        properties |= {"start_datetime": to_iso(first), "end_datetime": to_iso(last)}
    properties |= {"sedas_sync:datasets": list(entry.datasets), "sedas_sync:level": entry.local.level.value}
    return pystac.Item(
        id=scene.id,
        geometry=None if shape is None else shape.geometry,
        bbox=None if shape is None else list(shape.bbox),
        datetime=first,
        properties=properties,
    )


def _extensions(item: pystac.Item) -> list[str]:
    """Return the extensions whose fields an item has."""
    names = {*item.properties, "file:"}
    for asset in item.assets.values():
        names.update(asset.extra_fields)
        names.update(name for band in asset.extra_fields.get("bands", ()) for name in band)
    prefixes = {name.partition(":")[0] for name in names if ":" in name or name == "alternate"}
    return [_EXTENSIONS[prefix] for prefix in sorted(prefixes & {*_EXTENSIONS})]


# -- assets ------------------------------------------------------------------------------------------------------------


def _assets(
    entry: ExportEntry, scene: Scene, named: NameFacts, links: MirrorLinks
) -> tuple[dict[str, pystac.Asset], bytes | None]:
    """Return the assets of a scene, and the quick-look that is written beside its item."""
    local, picture = entry.local, None
    found: list[ProductAsset] = []
    sizes: Mapping[str, int] = {}
    zipped = False
    try:
        with open_product(links.root, local) as product:
            sizes, zipped = product.sizes, product.in_zip
            found = list(assets_of_product(sizes, baseline=named.baseline, grids=_grids(product)))
            picture = _picture(product, found) if zipped and not links.in_table else None
    except UNREADABLE:
        # A product that is no zip file after all, or is damaged: its file is described without its content.
        pass
    if not zipped:
        keys = {asset.name: asset.key for asset in scene.assets if asset.key}
        described = {asset.file: asset for asset in found}
        leave_out = links.in_table and any(asset.known for asset in found)
        made = {}
        for file in local.files:
            asset = described.get(file.name) if file.name else None
            if leave_out and asset and not asset.known and file.name not in keys:
                continue
            key = keys.get(file.name) or (asset.key if asset else file.name) or "product"
            fields = asset.fields if asset else {"type": media_type(file.path), "roles": ["data"]}
            made[key] = _file_asset(file, fields, f"{links.to_mirror}/{quote(file.path)}")
        return made, None
    (file,) = local.files
    href = f"{links.to_mirror}/{quote(file.path)}"
    made = {"product": _file_asset(file, {"type": media_type(file.path), "roles": ["data"]}, href)}
    for asset in found:
        if asset.known:
            inside = f"/vsizip/{links.to_mirror}/{file.path}/{asset.file}"
            made[asset.key] = _zipped_asset(asset, href, inside, sizes[asset.file])
    if picture is not None:
        # The writer knows the name of the item's file, and with it the address.
        made["thumbnail"] = next(_as_asset(asset.fields, "") for asset in found if asset.key == "thumbnail")
    return made, picture


def _grids(product: OpenProduct) -> Mapping[int, Any]:
    metadata = find_tile_metadata(product.sizes)
    return {} if metadata is None else grids_of(product.read(metadata, GRIDS_WITHIN))


def _picture(product: OpenProduct, found: Iterable[ProductAsset]) -> bytes | None:
    """Return the quick-look if it is small enough for a thumbnail."""
    file = next((asset.file for asset in found if asset.key == "thumbnail"), None)
    if file is None or product.sizes[file] > _LARGEST_PICTURE:
        return None
    return product.read(file, _LARGEST_PICTURE)


def _file_asset(file: LocalFile, fields: Mapping[str, Any], href: str) -> pystac.Asset:
    """Return a file of the mirror as an asset."""
    own = {"file:size": file.size}
    checksum = {} if file.sha256 is None else {"file:checksum": _SHA256 + file.sha256}
    return _as_asset({"title": file.path.rpartition("/")[2], **fields, **own, **checksum}, href)


def _zipped_asset(asset: ProductAsset, href: str, inside: str, size: int) -> pystac.Asset:
    """Return a file inside a zip as an asset: its link is that of the zip, and GDAL's path to the file an alternate."""
    alternate = {"href": inside, "alternate:name": "GDAL", "type": asset.fields["type"], "file:size": size}
    return _as_asset({**asset.fields, "type": media_type(".zip"), "alternate": {"vsizip": alternate}}, href)


def _as_asset(fields: Mapping[str, Any], href: str) -> pystac.Asset:
    known = {"title", "type", "roles"}
    return pystac.Asset(
        href,
        title=fields["title"],
        media_type=fields.get("type"),
        roles=fields.get("roles"),
        extra_fields={name: value for name, value in fields.items() if name not in known},
    )


# -- properties --------------------------------------------------------------------------------------------------------


def _times(scene: Scene) -> tuple[datetime | None, datetime | None]:
    """Return start and end of the acquisition; an end before the start is ignored."""
    first = scene.start or scene.stop
    last = scene.stop if first is not None and scene.stop is not None and scene.stop > first else first
    return first, last


def _common(scene: Scene) -> dict[str, Any]:
    """Return the fields of STAC's common metadata."""
    values: dict[str, Any] = {}
    if scene.satellite:
        values["platform"] = _word(scene.satellite)
        if found := re.fullmatch(r"(sentinel-\d)[a-d]", values["platform"]):
            values["constellation"] = found[1]
    if names := instruments(scene.instrument or ""):
        values["instruments"] = sorted(map(_word, names))
    if scene.resolution is not None and scene.resolution > 0:
        values["gsd"] = scene.resolution
    return values


def _of_extensions(scene: Scene, named: NameFacts) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if scene.cloud_cover is not None and 0 <= scene.cloud_cover <= 100:  # noqa: PLR2004  # percent
        values["eo:cloud_cover"] = scene.cloud_cover
    if scene.orbit_direction in ("ASCENDING", "DESCENDING"):
        values["sat:orbit_state"] = scene.orbit_direction.lower()
    if scene.orbit is not None and scene.orbit > 0:
        values["sat:absolute_orbit"] = scene.orbit
    if (relative_orbit := relative_orbit_of(scene)) is not None and relative_orbit > 0:
        values["sat:relative_orbit"] = relative_orbit
    product_type = product_type_of(scene, named)
    if product_type:
        values["product:type"] = product_type
    if level := _level(scene, product_type):
        values["processing:level"] = level
    if named.baseline is not None:
        values["processing:version"] = f"{named.baseline // 100:02}.{named.baseline % 100:02}"
    if (tile := tile_of(scene)) is not None and _MGRS.fullmatch(tile):
        values |= _grid(tile)
    if scene.sensor != "optical":
        values |= _radar(scene, named, product_type)
    return values


def _level(scene: Scene, product_type: str | None) -> str | None:
    if product_type is None:
        return None
    if scene.sensor == "sar":
        return _SAR_LEVELS.get(product_type.upper())
    found = re.search(r"L\d[A-Z]?(?![A-Za-z0-9])", product_type)
    return found[0] if found else None


def _grid(tile: str) -> dict[str, str]:
    """Return the MGRS tile, and the UTM zone of its products (Sentinel-2 products specification)."""
    zone, band = int(tile[:2]), tile[2]
    half = 327 if band in _SOUTHERN_BANDS else 326
    return {"grid:code": f"MGRS-{tile}", "proj:code": f"EPSG:{half}{zone:02}"}


def _radar(scene: Scene, named: NameFacts, product_type: str | None) -> dict[str, Any]:
    """Return the fields of the SAR extension: all that are written here, or none."""
    mission = f"{named.mission or ''} {scene.satellite or ''}".lower().replace("s1", "sentinel-1")
    band = next((band for name, band in _BANDS.items() if name in mission), None)
    channels = named.polarisation or tuple(re.findall(r"[A-Z]+", (scene.polarisation or "").upper()))
    if not (scene.mode and band and product_type and channels and {*channels} <= {*_CHANNELS}):
        return {}
    return {
        "sar:instrument_mode": scene.mode,
        "sar:frequency_band": band,
        "sar:polarizations": list(dict.fromkeys(channels)),
    }


def _word(text: str) -> str:
    """Return a name as STAC writes it: in lower case, without spaces."""
    return "-".join(text.lower().split()) or text
