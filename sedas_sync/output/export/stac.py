"""Scenes as STAC 1.1: an Item for each scene, a Collection for each dataset, and one Catalog.

Items are written one at a time, so that a catalogue of 100,000 scenes needs memory only for its links. No time of the
export is written: the same scenes give the same bytes.

A field of an extension is written only if its value is known and the extension allows it.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from importlib import import_module
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import quote

import pystac

from sedas_sync.errors import ManifestError
from sedas_sync.files.threads import Pool
from sedas_sync.geometry.geojson import Box, Outline, bounding_box, outlines
from sedas_sync.model.events import Failure, OnStep, ignore_step
from sedas_sync.model.local import LocalFile, LocalScene
from sedas_sync.model.scene import Scene
from sedas_sync.model.times import to_iso
from sedas_sync.output.export.catalogue import COLLECTION, ITEMS, MARK, ROOT
from sedas_sync.output.export.inventory import ExportEntry
from sedas_sync.output.export.tables import Tally, in_batches
from sedas_sync.planning.product_name import NameFacts, parse_name, relative_orbit_of, tile_of

_EXTENSIONS = {
    "eo": "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "file": "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "grid": "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    "processing": "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "product": "https://stac-extensions.github.io/product/v1.1.0/schema.json",
    "proj": "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "sar": "https://stac-extensions.github.io/sar/v1.0.0/schema.json",
    "sat": "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
}
"""By the prefix of their fields, in the versions that pystac reads."""

_SHA256 = "1220"
"""The prefix of a SHA-256 multihash: its code, and its length of 32 bytes."""
_TYPES = {
    ".zip": "application/zip",
    ".tif": "image/tiff; application=geotiff",
    ".nc": "application/netcdf",
    ".eof": "application/xml",
}
_CHANNELS = ("HH", "HV", "VH", "VV")
_BANDS = {"sentinel-1": "C", "novasar": "S"}
"""Frequency bands of radar missions, as the STAC SAR extension writes them."""
_SAR_LEVELS = {"RAW": "L0", "SLC": "L1", "GRD": "L1", "OCN": "L2"}
"""Levels of Sentinel-1 product types (Sentinel-1 product definition)."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_SUMMARISED = ("platform", "constellation", "instruments", "product:type", "processing:level", "sar:polarizations")
_MGRS = re.compile(r"(0[1-9]|[1-5]\d|60)[C-HJ-NP-X][A-HJ-NP-Z]{2}")
_SOUTHERN_BANDS = "CDEFGHJKLM"


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemGroup:
    """The scenes of one collection."""

    id: str
    title: str
    description: str
    entries: Sequence[ExportEntry]
    """By id."""
    bbox: Box | None = None
    """The extent of a collection without scenes."""


@dataclass(slots=True)
class _Seen:
    """What a collection says about its items."""

    links: list[pystac.Link] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    values: dict[str, set[str]] = field(default_factory=dict)
    clouds: list[float] = field(default_factory=list)

    def add(self, item: pystac.Item, box: Box | None, first: datetime, last: datetime) -> None:
        if box is not None:
            self.boxes.append(box)
        self.first = first if self.first is None else min(self.first, first)
        self.last = last if self.last is None else max(self.last, last)
        for name in _SUMMARISED:
            value = item.properties.get(name)
            if value is not None:
                self.values.setdefault(name, set()).update([value] if isinstance(value, str) else value)
        if (cloud := item.properties.get("eo:cloud_cover")) is not None:
            self.clouds = [min([cloud, *self.clouds]), max([cloud, *self.clouds])]


def write(
    folder: Path,
    groups: Sequence[ItemGroup],
    *,
    name: str,
    to_mirror: str,
    content: str,
    on_step: OnStep = ignore_step,
) -> list[Failure]:
    """Write a whole catalogue into an empty folder.

    Args:
        folder: the empty folder.
        groups: its collections; no scene is in two of them.
        name: the name of the catalogue.
        to_mirror: the mirror's folder relative to the catalogue's, with forward slashes.
        content: the value of `MARK`.
        on_step: called with the number of items written.

    Returns:
        The scenes that STAC cannot describe, and why.
    """
    places = _names(group.id for group in groups)
    left_out = []
    tally = Tally("writing items", sum(len(group.entries) for group in groups), on_step)
    for group in groups:
        place = folder / places[group.id]
        (place / ITEMS).mkdir(parents=True)
        seen = _Seen()
        left_out += _write_items(place, group, seen, f"../../{to_mirror}", tally, name=name)
        _write(place / COLLECTION, _collection(group, seen, name))
    _write(folder / ROOT, _root(groups, places, name, content))
    return left_out


def write_geoparquet(
    file: Path, groups: Sequence[ItemGroup], *, to_mirror: str, on_step: OnStep = ignore_step
) -> list[Failure]:
    """Write the items of all groups into one STAC GeoParquet file. All of them are in memory at once.

    Args:
        file: the file to write.
        groups: the collections.
        to_mirror: the mirror's folder, as the beginning of each asset's link.
        on_step: called with the number of items made.

    Returns:
        The scenes that STAC cannot describe, and why.
    """
    left_out: list[Failure] = []
    tally = Tally("writing items", sum(len(group.entries) for group in groups), on_step)
    items = [
        one.item.to_dict(include_self_link=False, transform_hrefs=False)
        for group in groups
        for one in _items(group, to_mirror, tally, left_out)
    ]

    async def save() -> None:
        await rustac().write(str(file), items, format="geoparquet")

    # In a thread of its own, because a notebook has a running event loop in this one.
    with Pool(1) as pool:
        pool.submit(lambda: asyncio.run(save())).result()
    return left_out


def rustac() -> ModuleType:
    """Return the package that writes GeoParquet.

    Raises:
        ManifestError: the extra `stac-geoparquet` is not installed.
    """
    try:
        return import_module("rustac")
    except ImportError:
        raise ManifestError(
            'GeoParquet needs the extra "stac-geoparquet": pip install "sedas-sync[stac,stac-geoparquet]"'
        ) from None


def _write_items(
    place: Path, group: ItemGroup, seen: _Seen, to_mirror: str, tally: Tally, *, name: str
) -> list[Failure]:
    names = _names(entry.id for entry in group.entries)
    left_out: list[Failure] = []
    for made in _items(group, to_mirror, tally, left_out):
        made.item.add_links(_around(name, group.title))
        file = f"{ITEMS}/{names[made.item.id]}.json"
        seen.links.append(pystac.Link("item", f"./{file}", media_type=pystac.MediaType.GEOJSON, title=made.item.id))
        seen.add(made.item, made.box, *made.times)
        _write(place / file, made.item.to_dict(include_self_link=False, transform_hrefs=False))
    return left_out


# -- items -------------------------------------------------------------------------------------------------------------


class _Made(NamedTuple):
    """An item, with what its collection states of it."""

    item: pystac.Item
    box: Box | None
    times: tuple[datetime, datetime]


def _items(group: ItemGroup, to_mirror: str, tally: Tally, left_out: list[Failure]) -> Iterator[_Made]:
    """Yield the items of a collection; scenes that STAC cannot describe are added to `left_out`."""
    for some in in_batches(tally(group.entries)):
        scenes = [entry.scene for entry in some]
        shapes = outlines([scene.footprint for scene in scenes])
        for entry, scene, shape in zip(some, scenes, shapes, strict=True):
            first, last = _times(scene)
            if first is None or last is None:
                left_out.append(Failure(id=entry.id, error="its time is not known, and STAC requires one"))
                continue
            item = _item(scene, shape, (first, last))
            item.collection_id = group.id
            item.properties |= {
                "sedas_sync:datasets": list(entry.datasets),
                "sedas_sync:level": entry.held.level.value,
            }
            keys = {asset.name: asset.key for asset in scene.assets}
            for held, name in zip(entry.held.files, _keys(entry.held, keys), strict=True):
                item.add_asset(name, _asset(held, f"{to_mirror}/{quote(held.path)}"))
            yield _Made(item, None if shape is None else shape.bbox, (first, last))


def _item(scene: Scene, shape: Outline | None, times: tuple[datetime, datetime]) -> pystac.Item:
    properties = {**_common(scene), **_of_extensions(scene, parse_name(scene.id))}
    prefixes = {key.partition(":")[0] for key in properties if ":" in key}
    first, last = times
    if last > first:
        properties |= {"start_datetime": to_iso(first), "end_datetime": to_iso(last)}
    return pystac.Item(
        id=scene.id,
        geometry=None if shape is None else shape.geometry,
        bbox=None if shape is None else list(shape.bbox),
        datetime=first,
        properties=properties,
        stac_extensions=[_EXTENSIONS[prefix] for prefix in sorted(prefixes | {"file"})],
    )


def _keys(held: LocalScene, known: Mapping[str, str]) -> list[str]:
    """Return the keys of a scene's files: those of the archive's catalogue if there are several files."""
    return [known.get(file.name) or file.name or "product" for file in held.files]


def _asset(held: LocalFile, href: str) -> pystac.Asset:
    _, dot, extension = held.path.rpartition(".")
    return pystac.Asset(
        href,
        title=held.path.rpartition("/")[2],
        media_type=_TYPES.get((dot + extension).lower()),
        roles=["data"],
        extra_fields={
            "file:size": held.size,
            **({} if held.sha256 is None else {"file:checksum": _SHA256 + held.sha256}),
        },
    )


def _around(catalogue: str, collection: str) -> list[pystac.Link]:
    """Return the links of an item to what contains it."""
    targets = {"root": f"../../{ROOT}", "parent": f"../{COLLECTION}", "collection": f"../{COLLECTION}"}
    return [
        pystac.Link(name, target, media_type=pystac.MediaType.JSON, title=catalogue if name == "root" else collection)
        for name, target in targets.items()
    ]


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
    if scene.instrument:
        values["instruments"] = [_word(scene.instrument)]
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
    product_type = scene.product_type or named.product_type
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
    """Return the fields of the SAR extension: all of them, which it requires, or none."""
    mission = f"{named.mission or ''} {scene.satellite or ''}".lower().replace("s1", "sentinel-1")
    band = next((band for name, band in _BANDS.items() if name in mission), None)
    channels = named.polarisation or tuple(re.findall(r"[A-Z]+", (scene.polarisation or "").upper()))
    if not (scene.mode and band and product_type and channels and {*channels} <= {*_CHANNELS}):
        return {}
    return {
        "sar:instrument_mode": scene.mode,
        "sar:frequency_band": band,
        "sar:polarizations": list(dict.fromkeys(channels)),
        "sar:product_type": product_type,
    }


def _word(text: str) -> str:
    """Return a name as STAC writes it: in lower case, without spaces."""
    return "-".join(text.lower().split()) or text


# -- collections and catalog -------------------------------------------------------------------------------------------


def _collection(group: ItemGroup, seen: _Seen, name: str) -> dict[str, Any]:
    box = bounding_box(seen.boxes) or group.bbox or (-180.0, -90.0, 180.0, 90.0)
    summaries: dict[str, Any] = {name: sorted(values) for name, values in seen.values.items()}
    if seen.clouds:
        summaries["eo:cloud_cover"] = {"minimum": seen.clouds[0], "maximum": seen.clouds[-1]}
    collection = pystac.Collection(
        id=group.id,
        title=group.title,
        description=group.description,
        license="other",
        extent=pystac.Extent(pystac.SpatialExtent([list(box)]), pystac.TemporalExtent([[seen.first, seen.last]])),
        summaries=pystac.Summaries(dict(sorted(summaries.items()))),
    )
    collection.clear_links()
    for relation in ("root", "parent"):
        collection.add_link(pystac.Link(relation, f"../{ROOT}", media_type=pystac.MediaType.JSON, title=name))
    collection.add_links(seen.links)
    return collection.to_dict(include_self_link=False, transform_hrefs=False)


def _root(groups: Iterable[ItemGroup], places: Mapping[str, str], name: str, content: str) -> dict[str, Any]:
    catalog = pystac.Catalog(
        id=name,
        title=name,
        description=f"The satellite scenes in the mirror of the manifest `{name}`: one collection for each dataset.",
        extra_fields={MARK: content},
    )
    catalog.clear_links()
    catalog.add_link(pystac.Link("root", f"./{ROOT}", media_type=pystac.MediaType.JSON, title=name))
    for group in groups:
        target = f"./{places[group.id]}/{COLLECTION}"
        catalog.add_link(pystac.Link("child", target, media_type=pystac.MediaType.JSON, title=group.title))
    return catalog.to_dict(include_self_link=False, transform_hrefs=False)


def _names(ids: Iterable[str]) -> dict[str, str]:
    """Return a file name for each id: unique, and safe for a URL and any file system."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for one in ids:
        name = one
        if _PLAIN.fullmatch(one) is None or one.casefold() in taken:
            digest = sha256(one.encode("utf-8", "surrogatepass")).hexdigest()[:12]
            name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', one)[:180]}~{digest}"
        taken.add(name.casefold())
        names[one] = name
    return names


def _write(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document with one member a line, which is fast and can be read and compared."""
    members = ",\n".join(f" {json.dumps(key)}: {json.dumps(value)}" for key, value in document.items())
    path.write_bytes(f"{{\n{members}\n}}\n".encode())


# -- groups ------------------------------------------------------------------------------------------------------------


def groups_of(entries: Iterable[ExportEntry], datasets: Mapping[str, Box | None]) -> list[ItemGroup]:
    """Group scenes into collections: each with the first dataset that matches it, and one for the others.

    Args:
        entries: the scenes, by id.
        datasets: the extent of each dataset, in the order of the manifest.
    """
    rank = {name: number for number, name in enumerate(datasets)}
    ordered = sorted(entries, key=lambda entry: (rank[entry.datasets[0]] if entry.datasets else len(rank), entry.id))
    sorted_out = {name: list(some) for name, some in groupby(ordered, lambda e: e.datasets[0] if e.datasets else None)}
    rest = sorted_out.pop(None, [])
    groups = [
        ItemGroup(
            id=name,
            title=name,
            description=f"The scenes of the dataset `{name}` that match no earlier dataset in the manifest.",
            entries=sorted_out.get(name, []),
            bbox=box,
        )
        for name, box in datasets.items()
    ]
    if rest:
        name = next(name for name in _free_names() if name not in datasets)
        description = "Scenes that no dataset of the manifest wanted when it was last applied."
        groups.append(ItemGroup(id=name, title="Further scenes", description=description, entries=rest))
    return groups


def _free_names() -> Iterator[str]:
    name = "other"
    while True:
        yield name
        name += "-"
