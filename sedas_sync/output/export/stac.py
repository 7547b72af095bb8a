"""Scenes as STAC 1.1: an Item for each scene, a Collection for each dataset, and one Catalog.

Items are written one at a time, so that a catalogue of 100,000 scenes needs memory only for its links. No time of the
export is written: the same scenes give the same bytes.

No document has a `self` link: such a link is absolute, and a catalogue that is used locally should have relative links
only (STAC best practices, "Use of links").
"""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import pystac
from msgspec import Struct, field

from sedas_sync.errors import SedasSyncError
from sedas_sync.files.threads import Pool
from sedas_sync.geometry.geojson import Box, bounding_box
from sedas_sync.model.events import Failure, OnStep, ignore_step
from sedas_sync.output.export.catalogue import COLLECTION, FILES, ITEMS, QUICKLOOKS, ROOT
from sedas_sync.output.export.inventory import ExportEntry
from sedas_sync.output.export.items import MirrorLinks, StacItem, items_of, picture_name, product_type_of
from sedas_sync.output.export.tables import Tally
from sedas_sync.output.export.texts import (
    LICENCE_OF_SENTINEL,
    catalogue_description,
    catalogue_title,
    collection_description,
    collection_title,
    mission_of,
)
from sedas_sync.planning.product_name import parse_name

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
_KEYWORDS = 20
"""The number of keywords after which a collection takes no more: each tile is one."""
_SUMMARISED = ("platform", "constellation", "instruments", "product:type", "processing:level", "sar:polarizations")


class ItemGroup(Struct, frozen=True, kw_only=True):
    """The scenes of one collection."""

    id: str
    dataset: str | None
    """None for the scenes that no dataset wants."""
    entries: Sequence[ExportEntry]
    """By id."""
    products: Sequence[str]
    """Missions and product types of the scenes, sorted."""
    areas: Sequence[str] = ()
    """The names of the dataset's areas."""
    bbox: Box | None = None
    """The extent of a collection without scenes."""

    @property
    def title(self) -> str:
        """The collection's title."""
        return collection_title(self.dataset or "Further scenes", self.products, self.areas)


class _Seen(Struct):
    """What a collection states of its items."""

    links: list[pystac.Link] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    """The earliest and the latest; empty without scenes."""
    values: dict[str, set[str]] = field(default_factory=dict)
    clouds: list[float] = field(default_factory=list)
    bands: dict[str, dict[str, Any]] = field(default_factory=dict)
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    keywords: dict[str, None] = field(default_factory=dict)
    quicklooks: int = 0
    """The number of quick-looks that are beside their items."""

    def add(self, made: StacItem) -> None:
        item, properties = made.item, made.item.properties
        self.quicklooks += made.picture is not None
        if made.box is not None:
            self.boxes.append(made.box)
        times = [*self.times, *made.times]
        self.times = [min(times), max(times)]
        for name in _SUMMARISED:
            value = properties.get(name)
            if value is not None:
                self.values.setdefault(name, set()).update([value] if isinstance(value, str) else value)
        if (cloud := properties.get("eo:cloud_cover")) is not None:
            self.clouds = [min([cloud, *self.clouds]), max([cloud, *self.clouds])]
        for asset in item.assets.values():
            self.bands.update({band["name"]: band for band in asset.extra_fields.get("bands", ())})
        self.providers.update({provider["name"]: provider for provider in properties.get("providers", ())})
        if len(self.keywords) < _KEYWORDS:
            self.keywords.update(dict.fromkeys(properties.get("keywords", ())))


def write(
    folder: Path,
    groups: Sequence[ItemGroup],
    *,
    name: str,
    root: str,
    to_mirror: str,
    marks: Mapping[str, str],
    on_step: OnStep = ignore_step,
) -> list[Failure]:
    """Write a whole catalogue into an empty folder.

    Args:
        folder: The empty folder.
        groups: Its collections; no scene is in two of them.
        name: The name of the catalogue.
        root: The mirror.
        to_mirror: The mirror's folder relative to the catalogue's, with forward slashes.
        marks: Fields of the root that tell our catalogues from others.
        on_step: Called with the number of items written.

    Returns:
        The scenes that STAC cannot describe, and why.
    """
    # A collection called `files` would be in the folder of a self-contained catalogue's files.
    places = _names((group.id for group in groups), taken={FILES})
    title = catalogue_title(list(dict.fromkeys(area for group in groups for area in group.areas)))
    left_out: list[Failure] = []
    times: list[datetime] = []
    scenes = quicklooks = 0
    tally = Tally("writing items", sum(len(group.entries) for group in groups), on_step)
    links = MirrorLinks(root=root, to_mirror=f"../../{to_mirror}")
    for group in groups:
        place = folder / places[group.id]
        (place / ITEMS).mkdir(parents=True)
        seen = _Seen()
        _write_items(place, group, seen, items_of(tally(group.entries), links, left_out), title)
        times += seen.times
        scenes += len(seen.links)
        quicklooks += seen.quicklooks
        (place / COLLECTION).write_bytes(_encoded(_collection(group, seen, title)))
    products = {product for group in groups for product in group.products}
    catalog = pystac.Catalog(
        id=name,
        title=title,
        description=catalogue_description(scenes, products, times),
        extra_fields={**marks, QUICKLOOKS: quicklooks},
    )
    (folder / ROOT).write_bytes(_encoded(_root(catalog, groups, places)))
    return left_out


def write_geoparquet(
    file: Path, groups: Sequence[ItemGroup], *, root: str, to_mirror: str, on_step: OnStep = ignore_step
) -> list[Failure]:
    """Write the items of all groups into one STAC GeoParquet file. All of them are in memory at once.

    Args:
        file: The file to write.
        groups: The collections.
        root: The mirror.
        to_mirror: The mirror's folder, as the beginning of each asset's link.
        on_step: Called with the number of items made.

    Returns:
        The scenes that STAC or GeoParquet cannot describe, and why.

    Raises:
        SedasSyncError: There is no scene to write.
    """
    left_out: list[Failure] = []
    tally = Tally("writing items", sum(len(group.entries) for group in groups), on_step)
    links = MirrorLinks(root=root, to_mirror=to_mirror, in_table=True)
    items = []
    for group in groups:
        for made in items_of(tally(group.entries), links, left_out):
            if made.item.geometry is None:
                left_out.append(Failure(id=made.item.id, error="its footprint is not known, and GeoParquet needs one"))
                continue
            made.item.collection_id = group.id
            items.append(json.loads(_encoded(made.item.to_dict(include_self_link=False, transform_hrefs=False))))

    if not items:
        raise SedasSyncError("no scene with a footprint is in the mirror; a GeoParquet file needs one")

    async def save() -> None:
        await import_module("rustac").write(str(file), items, format="geoparquet")

    # In a thread of its own, because a notebook has a running event loop in this one.
    with Pool(1) as pool:
        pool.submit(lambda: asyncio.run(save())).result()
    return left_out


def _write_items(place: Path, group: ItemGroup, seen: _Seen, made: Iterable[StacItem], catalogue: str) -> None:
    names = _names(entry.id for entry in group.entries)
    around = _around(catalogue, group.title)
    for one in made:
        item, stem = one.item, names[one.item.id]
        item.collection_id = group.id
        item.links = [*around]
        if one.picture is not None:
            picture = picture_name(stem, item.assets["thumbnail"])
            item.assets["thumbnail"].href = f"./{picture}"
            (place / ITEMS / picture).write_bytes(one.picture)
        title = item.properties["title"]
        seen.links.append(pystac.Link("item", f"./{ITEMS}/{stem}.json", pystac.MediaType.GEOJSON, title))
        seen.add(one)
        document = item.to_dict(include_self_link=False, transform_hrefs=False)
        (place / ITEMS / f"{stem}.json").write_bytes(_encoded(document))


def _around(catalogue: str, collection: str) -> list[pystac.Link]:
    """Return the links of an item to what contains it."""
    targets = {"root": f"../../{ROOT}", "parent": f"../{COLLECTION}", "collection": f"../{COLLECTION}"}
    return [
        pystac.Link(name, target, media_type=pystac.MediaType.JSON, title=catalogue if name == "root" else collection)
        for name, target in targets.items()
    ]


# -- collections and catalog -------------------------------------------------------------------------------------------


def _collection(group: ItemGroup, seen: _Seen, catalogue: str) -> dict[str, Any]:
    box = bounding_box(seen.boxes) or group.bbox or (-180.0, -90.0, 180.0, 90.0)
    summaries: dict[str, Any] = {name: sorted(values) for name, values in seen.values.items()}
    if seen.clouds:
        summaries["eo:cloud_cover"] = {"minimum": seen.clouds[0], "maximum": seen.clouds[-1]}
    if seen.bands:
        summaries["bands"] = [seen.bands[name] for name in sorted(seen.bands)]
    collection = pystac.Collection(
        id=group.id,
        title=group.title,
        description=collection_description(group.dataset, len(seen.links), group.products, group.areas, seen.times),
        license="other",
        keywords=list(seen.keywords) or None,
        providers=[pystac.Provider.from_dict(provider) for provider in seen.providers.values()] or None,
        extent=pystac.Extent(
            pystac.SpatialExtent([list(box)]), pystac.TemporalExtent([[*(seen.times or (None, None))]])
        ),
        summaries=pystac.Summaries(dict(sorted(summaries.items()))),
    )
    collection.clear_links()
    for relation in ("root", "parent"):
        collection.add_link(pystac.Link(relation, f"../{ROOT}", media_type=pystac.MediaType.JSON, title=catalogue))
    if any(product.startswith("Sentinel-") for product in group.products):
        collection.add_link(pystac.Link("license", LICENCE_OF_SENTINEL, title="Terms of use of Sentinel data"))
    collection.add_links(seen.links)
    return collection.to_dict(include_self_link=False, transform_hrefs=False)


def _root(catalog: pystac.Catalog, groups: Iterable[ItemGroup], places: Mapping[str, str]) -> dict[str, Any]:
    catalog.clear_links()
    catalog.add_link(pystac.Link("root", f"./{ROOT}", media_type=pystac.MediaType.JSON, title=catalog.title))
    for group in groups:
        target = f"./{places[group.id]}/{COLLECTION}"
        catalog.add_link(pystac.Link("child", target, media_type=pystac.MediaType.JSON, title=group.title))
    return catalog.to_dict(include_self_link=False, transform_hrefs=False)


def _names(ids: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a file name for each id: unique, not one of `taken`, and safe for a URL and any file system."""
    names: dict[str, str] = {}
    taken = {*taken}
    for one in ids:
        name = one
        if _PLAIN.fullmatch(one) is None or one.casefold() in taken:
            digest = sha256(one.encode("utf-8", "surrogatepass")).hexdigest()[:12]
            name = f"{re.sub(r'[^A-Za-z0-9_-]', '_', one)[:180]}~{digest}"
        taken.add(name.casefold())
        names[one] = name
    return names


def _encoded(document: Mapping[str, Any]) -> bytes:
    """Return a JSON document with one member a line, which is fast and can be read and compared.

    Lone surrogates, which a catalogue's texts can contain, become question marks: some readers refuse them.
    """
    encode = json.JSONEncoder(ensure_ascii=False).encode
    members = ",\n".join(f" {encode(key)}: {encode(value)}" for key, value in document.items())
    return f"{{\n{members}\n}}\n".encode("utf-8", "replace")


# -- groups ------------------------------------------------------------------------------------------------------------


def groups_of(
    entries: Iterable[ExportEntry], datasets: Mapping[str, Box | None], areas: Mapping[str, Sequence[str]] | None = None
) -> list[ItemGroup]:
    """Group scenes into collections: each with the first dataset that matches it, and one for the others.

    Args:
        entries: The scenes, by id.
        datasets: The extent of each dataset, in the order of the manifest.
        areas: The names of each dataset's areas.
    """
    by_dataset: dict[str | None, list[ExportEntry]] = {name: [] for name in datasets}
    for entry in entries:
        by_dataset.setdefault(entry.datasets[0] if entry.datasets else None, []).append(entry)
    rest = "other"
    while rest in datasets:
        rest += "-"
    return [
        ItemGroup(
            id=rest if name is None else name,
            dataset=name,
            entries=some,
            products=_products(some),
            areas=() if name is None else (areas or {}).get(name, ()),
            bbox=None if name is None else datasets[name],
        )
        for name, some in by_dataset.items()
    ]


def _products(entries: Iterable[ExportEntry]) -> list[str]:
    found = set()
    for entry in entries:
        scene = entry.scene
        found.add(mission_of(scene, product_type_of(scene, parse_name(scene.id))))
    return sorted(filter(None, found))
