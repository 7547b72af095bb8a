"""Compare a mirror with its lock file, or with its last apply, by its index and its folder. Offline."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sedas_sync.errors import SedasSyncError, TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import Failure, OnStep, Step, ignore_step, iso
from sedas_sync.model.scene import LocalScene, Order, SceneId
from sedas_sync.operations.lock_file import lock_path, matching_lock_or_warning
from sedas_sync.planning.lock import Lock, LockedScene
from sedas_sync.state.index import Index, RunRecord
from sedas_sync.state.inspect import compare_with_index
from sedas_sync.state.mirror_state import MirrorState
from sedas_sync.state.staging import SUFFIX, bytes_downloaded


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetStatus:
    """The state of one dataset."""

    dataset: str
    wanted: int | None
    """Its scenes in the lock file, or when it was last applied; None if it never was."""
    held: int
    changed: int
    """Files on disk that differ from the index."""
    missing: int
    pending: int
    """Missing scenes that are ordered from the long-term archive."""
    bytes: int
    differs: int = 0
    """Files whose index rows differ from the lock file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialDownload:
    """A partial download."""

    path: str
    size: int
    """Its bytes on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a mirror."""

    manifest: str
    mirror: str
    archive: Mapping[str, str | None]
    datasets: tuple[DatasetStatus, ...]
    wanted: int
    """Scenes in the lock file, or that datasets wanted when they were last applied."""
    held: int
    """Scenes of the index that are on disk, wanted or not."""
    changed: int
    missing: int
    """Wanted scenes that are not on disk."""
    unwanted: int
    """Scenes on disk that are not in the lock file, or that matched no dataset when it was last applied."""
    unknown: int
    """Files that are not in the index."""
    bytes: int
    free: int
    orders: tuple[Order, ...]
    partials: tuple[PartialDownload, ...]
    failures: tuple[Failure, ...]
    """The last error of each scene that failed since its last download, and of each search that failed."""
    last_run: RunRecord | None
    lock: str | None = None
    """The lock file that the mirror is compared with; None if it is the last apply."""
    differs: int = 0
    """Files whose index rows differ from the lock file."""
    refreshed: tuple[LocalScene, ...] = ()
    """Scenes whose mtime differs from the index, with the new mtime: they were read and are right."""
    warnings: tuple[str, ...] = ()

    @property
    def partial_bytes(self) -> int:
        """Bytes of partial downloads."""
        return sum(partial.size for partial in self.partials)

    @property
    def _in_doubt(self) -> bool:
        """Whether the last run may have missed something that the counts do not show."""
        run = self.last_run
        failed = {failure.id for failure in self.failures}
        return not failed.isdisjoint(item.dataset for item in self.datasets) or (
            run is not None and (run.ended is None or bool((run.summary or {}).get("failed")))
        )

    @property
    def up_to_date(self) -> bool:
        """Whether every dataset was applied, the last run had no failure, and nothing is missing or changed."""
        counted = [item for item in self.datasets if item.wanted is not None]
        return (
            len(counted) == len(self.datasets)
            and not self._in_doubt
            and not any(item.missing or item.changed or item.differs for item in counted)
        )


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


def mirror_status(manifest: Manifest, mirror: MirrorState) -> Status:
    """Compare a mirror with its lock file, or else with what its last apply wanted.

    Works offline, and while another process changes the mirror. A lock file that does not match the manifest is
    ignored, with a warning. A file whose time differs from the index is read, as a plan does; if its bytes are right,
    the index takes the new time, unless another process is working in the mirror.

    Raises:
        ManifestError: the mirror belongs to another manifest, or the lock file cannot be read.
    """
    with mirror.index(write=False) as (index, warnings):
        mirror.check_owner(index)
        damaged = index.damaged
        mirror.on_step(Step("looking at the mirror", index.count()))
        lock = matching_lock_or_warning(manifest, warnings)
        found = status(
            mirror.root,
            index,
            manifest=manifest.source,
            archive=manifest.first_archive,
            datasets=manifest.datasets,
            lock=None if lock is None else (str(lock_path(manifest.source)), lock),
            warnings=warnings,
            on_step=mirror.on_step,
        )
    if found.refreshed and not damaged:
        _save_times(mirror, found.refreshed)
    return found


def _save_times(mirror: MirrorState, refreshed: Iterable[LocalScene]) -> None:
    """Save the new times of files in the index, so that the next run need not read them again.

    Nothing depends on it: it is skipped if the mirror cannot be written, or another process is working in it.
    """
    with suppress(SedasSyncError, OSError), mirror.locked(), mirror.index(write=True) as (index, _):
        known = ((item, index.local_scene(item.id)) for item in refreshed)
        index.put_times([item for item, now in known if now is not None and _is_same_file(item, now)])


def _is_same_file(one: LocalScene, other: LocalScene) -> bool:
    return (one.path, one.sha256, one.digest) == (other.path, other.sha256, other.digest)


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
    """Return the state of a mirror. Files are read only if their size is right and their mtime is not.

    Args:
        root: The mirror's folder; it may not exist.
        index: Open for reading.
        manifest: The manifest's path.
        archive: Type and URL of the archive.
        datasets: The names of the manifest's datasets.
        lock: Path and content of the lock file to compare with instead of the last apply.
        warnings: Problems with index and lock file.
        on_step: Called with the number of files that were read.
    """
    datasets = tuple(datasets)
    pins: Mapping[SceneId, LockedScene] = {} if lock is None else lock[1].scenes
    wanted = index.wanted() if lock is None else _pinned(datasets, pins)
    orders = tuple(index.orders())
    recorded = {scene.id: scene for scene in index.local_scenes()}
    expected = [path for scene in recorded.values() for path in scene.paths]
    here = tree_listing.listing(str(root), expected) if root.is_dir() else {}
    present = {scene_id: scene for scene_id, scene in recorded.items() if _is_on_disk(scene, here)}
    compared = compare_with_index(root, present.values(), here, on_step)
    changed = compared.changed
    differs = {scene_id for scene_id, scene in present.items() if scene_id in pins and _differs(scene, pins[scene_id])}
    known = {file.path for scene in recorded.values() for file in scene.files}
    wanted_ids = {scene_id for ids in wanted.values() for scene_id in ids}
    ordered = {order.id for order in orders}

    def of_dataset(name: str) -> DatasetStatus:
        ids = wanted.get(name, ())
        return _of_dataset(name, ids if name in wanted else None, present, changed, differs, ordered)

    return Status(
        manifest=manifest,
        mirror=str(root),
        archive=archive,
        datasets=tuple(of_dataset(name) for name in datasets),
        wanted=len(wanted_ids),
        held=len(present),
        changed=len(changed),
        missing=len(wanted_ids - present.keys()),
        unwanted=len(present.keys() - wanted_ids) if wanted else 0,
        unknown=len(here.keys() - known),
        bytes=sum(here[file.path].size for scene in present.values() for file in scene.files if file.path in here),
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
    """Return the scenes of a lock file, by the manifest's datasets."""
    found: dict[str, list[SceneId]] = {name: [] for name in datasets}
    for pin in pins.values():
        for name in pin.datasets:
            if name in found:
                found[name].append(pin.id)
    return {name: tuple(ids) for name, ids in found.items()}


def _differs(scene: LocalScene, pin: LockedScene) -> bool:
    if pin.sha256 is not None:
        return scene.sha256 != pin.sha256
    return pin.size not in (None, scene.size)


def _is_on_disk(scene: LocalScene, here: Mapping[str, TreeEntry]) -> bool:
    """Return whether any file of a scene is on disk; a folder with a missing file counts as changed."""
    return any(file.path in here for file in scene.files)


def _of_dataset(
    name: str,
    ids: Iterable[SceneId] | None,
    present: Mapping[SceneId, LocalScene],
    changed: set[SceneId],
    differs: set[SceneId],
    ordered: set[SceneId],
) -> DatasetStatus:
    wanted = set(ids or ())
    on_disk = wanted & present.keys()
    missing = wanted - on_disk
    return DatasetStatus(
        dataset=name,
        wanted=None if ids is None else len(wanted),
        held=len(on_disk),
        changed=len(on_disk & changed),
        missing=len(missing),
        pending=len(missing & ordered),
        bytes=sum(present[scene_id].size for scene_id in on_disk),
        differs=len(on_disk & differs),
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
