"""The data of a report: a pure function of the manifest and the index.

It reads no clock and no file: the same mirror gives the same document.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from enum import StrEnum
from itertools import chain
from math import isfinite
from typing import Any

import numpy as np
import shapely
from msgspec import Struct, field

from sedas_sync import geometry
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.events import OnStep, Step, ignore_step, iso
from sedas_sync.model.history import RunRecord, short_command
from sedas_sync.model.local import NO_FACTS, LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.output.report.shapes import AOI_DECIMALS, outlines, sheet
from sedas_sync.planning.lock import Lock, LockedScene
from sedas_sync.planning.product_name import parse_name, relative_orbit_of, tile_of

_AT_ONCE = 2000
"""Footprints that are decoded at once."""
_SHOWN_ELSEWHERE = frozenset({"name", "archive", "aoi", "start", "end", "products", "recheck"})


class State(StrEnum):
    """The state of a scene in the report."""

    HELD = "held"
    PENDING = "pending"
    """Ordered from the long-term archive, and not on disk yet."""
    MISSING = "missing"
    FAILED = "failed"
    """Not on disk, and the last attempt failed."""


class Memory(Struct, frozen=True, kw_only=True):
    """The content of the index of a mirror, and which of its files are on disk."""

    local_scenes: Sequence[LocalScene] = ()
    """Scenes of the index that are on disk."""
    changed: frozenset[SceneId] = frozenset()
    """Of those, scenes whose files differ from the index."""
    wanted: Mapping[str, Sequence[SceneId]] = field(default_factory=dict)
    """Scenes of each dataset that have to be on disk."""
    awaited: Mapping[SceneId, str] = field(default_factory=dict)
    """Metadata of wanted scenes that are not downloaded."""
    orders: Sequence[Order] = ()
    errors: Mapping[SceneId, str] = field(default_factory=dict)
    """The last error of each scene that failed since it was last downloaded."""
    lock: Lock | None = None
    """It describes scenes that are not on disk."""
    lock_decides: bool = False
    """Whether the lock file alone says what is wanted."""
    last_run: RunRecord | None = None
    unknown: int = 0
    """Files on disk that are not in the index."""
    partials: int = 0
    """Partial downloads."""
    quicklooks: Mapping[SceneId, str] = field(default_factory=dict)
    """Small pictures of scenes: WebP as base64."""


def document(
    manifest: Manifest, memory: Memory, *, name: str, text: str | None = None, on_step: OnStep = ignore_step
) -> dict[str, Any]:
    """Return the data of a report as JSON data.

    Args:
        manifest: The manifest of the mirror.
        memory: The content of the index.
        name: The name of the report.
        text: The text of the manifest.
        on_step: Called with the number of footprints drawn.
    """
    scenes = _scenes(manifest, memory)
    used = {name for dataset in manifest.datasets.values() for name in dataset.aoi}
    aois = {name: aoi for name, aoi in manifest.aois.items() if name in used}
    areas = [aoi.geometry for aoi in aois.values()]
    west = sheet(chain(areas, (shape for part in _shapes(scenes) for _, shape in part if shape is not None)))
    may_cover = [frozenset(map(list(aois).index, dataset.aoi)) for dataset in manifest.datasets.values()]
    for number, part in enumerate(_shapes(scenes)):
        on_step(Step("drawing footprints", number * _AT_ONCE, len(scenes)))
        for record, shape in part:
            if shape is not None:
                record["outline"] = outlines(shape, west)
        _add_areas(part, areas, may_cover)
    records = [record for _, record in scenes]
    run = memory.last_run
    return {
        "name": name,
        "as_of": None if run is None else iso(run.ended or run.started),
        "against": "lock" if memory.lock_decides else "apply",
        "last_run": None if run is None else {"command": short_command(run.command), "exit_code": run.exit_code},
        "mirror": manifest.mirror.path,
        "archives": [archive.type for archive in manifest.archives.values()],
        "summary": {**_counts(records), "unknown": memory.unknown, "partials": memory.partials},
        "datasets": [
            _dataset(d, n, records, known=d.name in memory.wanted) for n, d in enumerate(manifest.datasets.values())
        ],
        "aois": [{"name": n, "outline": outlines(aoi.geometry, west, AOI_DECIMALS)} for n, aoi in aois.items()],
        "west": west,
        "scenes": records,
        "orders": _orders(memory),
        "failures": [{"id": scene, "error": error} for scene, error in sorted(memory.errors.items())],
        "manifest": text,
    }


# ------------------------------------------------------------------------------------------------------- scenes


_Drawn = Sequence[tuple[dict[str, Any], geometry.Footprint | None]]


def _shapes(scenes: Sequence[tuple[str | None, dict[str, Any]]]) -> Iterator[_Drawn]:
    """Yield the scenes' records with their footprints. Few are decoded at once, since they take much memory."""
    for first in range(0, len(scenes), _AT_ONCE):
        part = scenes[first : first + _AT_ONCE]
        shapes = geometry.footprints([footprint for footprint, _ in part])
        yield [(record, shape) for (_, record), shape in zip(part, shapes, strict=True)]


def _add_areas(scenes: _Drawn, areas: Sequence[geometry.Footprint], of_dataset: Sequence[frozenset[int]]) -> None:
    """Add to each record the AOIs that the scene touches, of its datasets, or of all if no dataset wants it.

    A scene without a footprint is over the AOI of its datasets if they have only one.
    """
    touched: list[set[int]] = [set() for _ in scenes]
    # The tree leaves out footprints that are None.
    tree = shapely.STRtree(np.array([shape for _, shape in scenes], dtype=object))
    # A manifest need not have AOIs.
    met = tree.query(areas, predicate="intersects").tolist() if areas else ((), ())
    for area, scene in zip(*met, strict=True):
        touched[scene].add(area)
    for (record, shape), found in zip(scenes, touched, strict=True):
        asked = frozenset[int]().union(*(of_dataset[number] for number in record["datasets"]))
        if shape is None:
            record["areas"] = list(asked) if len(asked) == 1 else []
        else:
            record["areas"] = sorted(found & asked if record["datasets"] else found)


def _scenes(manifest: Manifest, memory: Memory) -> list[tuple[str | None, dict[str, Any]]]:
    """Return every scene that is wanted or on disk, oldest first: its footprint as WKT, and its record."""
    number = {name: index for index, name in enumerate(manifest.datasets)}
    datasets: dict[SceneId, list[int]] = {}
    for name in manifest.datasets:
        for scene_id in memory.wanted.get(name, ()):
            datasets.setdefault(scene_id, []).append(number[name])
    on_disk = {local.id: local for local in memory.local_scenes}
    orders = {order.id: order for order in memory.orders}
    pins = {} if memory.lock is None else memory.lock.scenes
    found = []
    for scene_id in dict.fromkeys((*datasets, *on_disk)):
        local, order, error = on_disk.get(scene_id), orders.get(scene_id), memory.errors.get(scene_id)
        facts = memory.awaited.get(scene_id) if local is None else local.facts
        scene = _scene(scene_id, facts, pins.get(scene_id))
        state = _state(local, order, error)
        record = {
            "id": scene_id,
            "datasets": datasets.get(scene_id, []),
            "state": state.value,
            **_facts(scene),
            **_file(local, changed=scene_id in memory.changed),
            **({"picture": memory.quicklooks[scene_id]} if scene_id in memory.quicklooks else {}),
        }
        found.append((scene.footprint, record))
    found.sort(key=lambda item: (item[1].get("start", ""), item[1]["id"]))
    return found


def _state(local: LocalScene | None, order: Order | None, error: str | None) -> State:
    if local is not None:
        return State.HELD
    if order is not None and order.state is OrderState.PENDING:
        return State.PENDING
    if error is not None or (order is not None and order.state is OrderState.FAILED):
        return State.FAILED
    return State.MISSING if order is None else State.PENDING


def _scene(scene_id: SceneId, facts: str | None, pin: LockedScene | None) -> Scene:
    """Return a scene from its stored metadata, else from the lock file, else from its id alone."""
    try:
        known = scene_from_metadata(facts or NO_FACTS)
    except (ValueError, TypeError):
        known = Scene(id=scene_id)
    if known.start is not None or known.footprint is not None:
        return known
    if pin is not None:
        return Scene(id=scene_id, start=pin.start, footprint=pin.footprint, size=pin.size)
    return Scene(id=scene_id)


def _facts(scene: Scene) -> dict[str, Any]:
    named = parse_name(scene.id)
    start = None if scene.start is None else scene.start.astimezone(UTC)
    cloud = scene.cloud_cover
    known = {
        "start": None if start is None else f"{start:%Y-%m-%dT%H:%M:%S}Z",
        "cloud": round(cloud, 1) if cloud is not None and isfinite(cloud) else None,
        "sensor": scene.sensor,
        "satellite": scene.satellite or named.mission,
        "product": scene.product_type or named.product_type,
        "mode": scene.mode,
        "polarisation": scene.polarisation or "/".join(named.polarisation) or None,
        "direction": scene.orbit_direction,
        "relative_orbit": relative_orbit_of(scene),
        "tile": tile_of(scene),
        "size": scene.size,
    }
    return {key: value for key, value in known.items() if value is not None}


def _file(local: LocalScene | None, *, changed: bool) -> dict[str, Any]:
    if local is None:
        return {}
    found = {"path": local.path, "size": local.size, "checked": local.level.value, "sha256": local.sha256}
    files = {"files": len(local.members)} if local.is_folder else {}
    return {**found, **files, **({"changed": True} if changed else {})}


# ------------------------------------------------------------------------------------------------------ numbers


def _counts(scenes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    wanted = held = size = changed = unwanted = 0
    others = {State.PENDING.value: 0, State.MISSING.value: 0, State.FAILED.value: 0}
    for scene in scenes:
        wanted += bool(scene["datasets"])
        changed += bool(scene.get("changed"))
        if scene["state"] != State.HELD:
            others[scene["state"]] += 1
            continue
        size += scene["size"]
        held += bool(scene["datasets"])
        unwanted += not scene["datasets"]
    return {"wanted": wanted, "held": held, **others, "bytes": size, "changed": changed, "unwanted": unwanted}


def _dataset(dataset: Dataset, number: int, scenes: Iterable[Mapping[str, Any]], *, known: bool) -> dict[str, Any]:
    mine = [scene for scene in scenes if number in scene["datasets"]]
    starts = [scene["start"] for scene in mine if "start" in scene]
    return {
        "dataset": dataset.name,
        "known": known,
        "rules": _rules(dataset),
        **{key: value for key, value in _counts(mine).items() if key != "unwanted"},
        "first": min(starts, default=None),
        "last": max(starts, default=None),
    }


def _rules(dataset: Dataset) -> list[list[str]]:
    """Return the rules of a dataset that differ from their defaults, as pairs of key and value."""
    if dataset.products:
        return [["products", str(len(dataset.products))]]
    rules = [["aoi", ", ".join(dataset.aoi)], ["start", dataset.start_spec or ""], ["end", dataset.end_spec or ""]]
    for key, plain in Dataset.model_fields.items():
        value = getattr(dataset, key)
        if key not in _SHOWN_ELSEWHERE and value != plain.get_default(call_default_factory=True):
            rules.append([key, _written(value)])
    return rules


def _written(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_written(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(_written, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _orders(memory: Memory) -> list[dict[str, Any]]:
    """Return the orders, the oldest first."""
    return [
        {
            "order": order.order,
            "id": order.id,
            "state": order.state.value,
            "detail": order.detail,
            "placed": iso(order.placed),
            "polls": order.polls,
        }
        for order in sorted(memory.orders, key=lambda order: (order.placed, order.id))
    ]
