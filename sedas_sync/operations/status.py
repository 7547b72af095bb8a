"""What a mirror holds against its lock, or else its last apply: from the index and one look at the folder. Offline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.events import Failure, OnStep, ignore_step, iso
from sedas_sync.model.scene import LocalScene, Order, SceneId
from sedas_sync.planning.lock import Lock, LockedScene
from sedas_sync.state.index import Index, RunRecord
from sedas_sync.state.inspect import compare
from sedas_sync.state.staging import SUFFIX, bytes_downloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStatus:
    """How far one dataset is."""

    dataset: str
    wanted: int | None
    """Scenes that the lock has for it, or that it wanted when it was last applied; None where it never was."""
    held: int
    changed: int
    """Held files that are not what the index remembers."""
    missing: int
    pending: int
    """Of those missing, how many are ordered from the long-term archive."""
    bytes: int
    differs: int = 0
    """Held files that are not, as the index remembers them, what the lock demands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialDownload:
    """A download that was begun."""

    path: str
    size: int
    """Bytes of it that are here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a mirror holds."""

    manifest: str
    mirror: str
    archive: Mapping[str, str | None]
    datasets: tuple[DatasetStatus, ...]
    wanted: int
    """Scenes of the lock, or that any dataset wanted when it was last applied."""
    held: int
    """Files of the index that are there, wanted or not."""
    changed: int
    missing: int
    """Wanted scenes that are not there."""
    unwanted: int
    """Held files that are not in the lock, or that no dataset wanted when the manifest was last applied."""
    unknown: int
    """Files that the index does not know."""
    bytes: int
    free: int
    orders: tuple[Order, ...]
    partials: tuple[PartialDownload, ...]
    failures: tuple[Failure, ...]
    """The last error of each scene that failed since it was last fetched, and of each search that failed last."""
    last_run: RunRecord | None
    lock: str | None = None
    """The lock that is counted against; None where it is the last apply."""
    differs: int = 0
    """Held files that are not, as the index remembers them, what the lock demands."""
    refreshed: tuple[LocalScene, ...] = ()
    """Held files of another time than the index remembers, with this time: they were read, and are right."""
    warnings: tuple[str, ...] = ()

    @property
    def partial_bytes(self) -> int:
        """Bytes of downloads that were begun."""
        return sum(partial.size for partial in self.partials)

    @property
    def _in_doubt(self) -> bool:
        """Whether the last run may have left something undone that nothing else here tells of."""
        run = self.last_run
        failed = {failure.id for failure in self.failures}
        return not failed.isdisjoint(item.dataset for item in self.datasets) or (
            run is not None and (run.ended is None or bool((run.summary or {}).get("failed")))
        )

    def to_json(self, now: datetime) -> dict[str, Any]:
        """Return the status as JSON data; ages are counted to `now`."""
        run = self.last_run
        counted = [item for item in self.datasets if item.wanted is not None]
        return {
            "schema": 1,
            "manifest": self.manifest,
            "mirror": self.mirror,
            "archive": dict(self.archive),
            "lock": self.lock,
            "summary": {
                "wanted": self.wanted,
                "held": self.held,
                "changed": self.changed,
                "refreshed": len(self.refreshed),
                "differs": self.differs,
                "missing": self.missing,
                "unwanted": self.unwanted,
                "unknown": self.unknown,
                "pending": len(self.orders),
                "partials": len(self.partials),
                "failed": len(self.failures),
                "bytes": self.bytes,
                "partial_bytes": self.partial_bytes,
                "free": self.free,
                "up_to_date": len(counted) == len(self.datasets)
                and not self._in_doubt
                and not any(item.missing or item.changed or item.differs for item in counted),
            },
            "datasets": [
                {
                    "dataset": item.dataset,
                    "wanted": item.wanted,
                    "held": item.held,
                    "changed": item.changed,
                    "differs": item.differs,
                    "missing": item.missing,
                    "pending": item.pending,
                    "bytes": item.bytes,
                }
                for item in self.datasets
            ],
            "orders": [order_json(order, now) for order in self.orders],
            "partials": [{"path": partial.path, "size": partial.size} for partial in self.partials],
            "failures": [{"id": failure.id, "error": failure.error} for failure in self.failures],
            "last_run": None
            if run is None
            else {
                "command": run.command,
                "started": iso(run.started),
                "ended": None if run.ended is None else iso(run.ended),
                "exit_code": run.exit_code,
                "summary": run.summary,
            },
            "warnings": list(self.warnings),
        }


def order_json(order: Order, now: datetime) -> dict[str, Any]:
    """Return an order as JSON data, with its age at `now`."""
    return {
        "order": order.order,
        "id": order.id,
        "state": order.state.value,
        "placed": iso(order.placed),
        "age_seconds": max(0.0, round((now - order.placed).total_seconds(), 3)),
        "polls": order.polls,
    }


def status(
    root: Path,
    index: Index,
    *,
    manifest: str,
    archive: Mapping[str, str | None],
    datasets: Iterable[str],
    lock: tuple[str, Lock] | None = None,
    warnings: Iterable[str] = (),
    on_step: OnStep = ignore_step,
) -> Status:
    """Look at the index and the folder; files are read only where their size is right and their time is another.

    Args:
        root: the mirror's folder; it may not exist.
        index: open for reading.
        manifest: where the manifest is.
        archive: type and URL of the archive.
        datasets: the names of the manifest's datasets.
        lock: where it is and what it says, to be counted against instead of the last apply.
        warnings: what was wrong with index and lock.
        on_step: told how many of the files that have to be read have been.
    """
    datasets = tuple(datasets)
    pins: Mapping[SceneId, LockedScene] = {} if lock is None else lock[1].scenes
    wanted = index.wanted() if lock is None else _pinned(datasets, pins)
    orders = tuple(index.orders())
    holdings = {held.id: held for held in index.holdings()}
    expected = [path for held in holdings.values() for path in held.paths]
    here = safe_tree.listing(str(root), expected) if root.is_dir() else {}
    present = {scene_id: held for scene_id, held in holdings.items() if _is_here(held, here)}
    compared = compare(root, present.values(), here, on_step)
    changed = compared.changed
    differs = {scene_id for scene_id, held in present.items() if scene_id in pins and _differs(held, pins[scene_id])}
    known = {file.path for held in holdings.values() for file in held.files}
    asked_for = {scene_id for ids in wanted.values() for scene_id in ids}
    ordered = {order.id for order in orders}

    def of_dataset(name: str) -> DatasetStatus:
        ids = wanted.get(name, ())
        return _of_dataset(name, ids if name in wanted else None, present, changed, differs, ordered)

    return Status(
        manifest=manifest,
        mirror=str(root),
        archive=archive,
        datasets=tuple(of_dataset(name) for name in datasets),
        wanted=len(asked_for),
        held=len(present),
        changed=len(changed),
        missing=len(asked_for - present.keys()),
        unwanted=len(present.keys() - asked_for) if wanted else 0,
        unknown=len(here.keys() - known),
        bytes=sum(here[file.path].size for held in present.values() for file in held.files if file.path in here),
        free=safe_tree.free_space(str(root)),
        orders=orders,
        partials=tuple(_partials(root)),
        failures=tuple(Failure(id=scene_id, error=why) for scene_id, why in sorted(index.last_errors().items())),
        last_run=index.last_run(),
        lock=None if lock is None else lock[0],
        differs=len(differs),
        refreshed=tuple(compared.refreshed),
        warnings=(*warnings, *compared.warnings),
    )


def _pinned(datasets: Iterable[str], pins: Mapping[SceneId, LockedScene]) -> dict[str, tuple[SceneId, ...]]:
    """The scenes of a lock, by the datasets of the manifest."""
    found: dict[str, list[SceneId]] = {name: [] for name in datasets}
    for pin in pins.values():
        for name in pin.datasets:
            if name in found:
                found[name].append(pin.id)
    return {name: tuple(ids) for name, ids in found.items()}


def _differs(held: LocalScene, pin: LockedScene) -> bool:
    if pin.sha256 is not None:
        return held.sha256 != pin.sha256
    return pin.size not in (None, held.size)


def _is_here(held: LocalScene, here: Mapping[str, safe_tree.TreeEntry]) -> bool:
    """Whether anything of a scene is here; of a folder with a gap it is said that it is changed."""
    return any(path in here for path in held.paths)


def _of_dataset(
    name: str,
    ids: Iterable[SceneId] | None,
    present: Mapping[SceneId, LocalScene],
    changed: set[SceneId],
    differs: set[SceneId],
    ordered: set[SceneId],
) -> DatasetStatus:
    wanted = set(ids or ())
    held = wanted & present.keys()
    missing = wanted - held
    return DatasetStatus(
        dataset=name,
        wanted=None if ids is None else len(wanted),
        held=len(held),
        changed=len(held & changed),
        missing=len(missing),
        pending=len(missing & ordered),
        bytes=sum(present[scene_id].size for scene_id in held),
        differs=len(held & differs),
    )


def _partials(root: Path) -> Iterable[PartialDownload]:
    try:
        names = safe_tree.names(str(root), f"{STATE}/partial")
    except (OSError, TransferError):
        return
    for name in names:
        if not name.endswith((".part", SUFFIX)):
            continue
        path = f"{STATE}/partial/{name}"
        size = bytes_downloaded(str(root), path)
        if size:
            yield PartialDownload(path=path, size=size)
