"""Compare a mirror with its lock file, or with its last apply, by its index and its folder. Offline."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from sedas_sync.errors import SedasSyncError
from sedas_sync.files.disk_space import free_space
from sedas_sync.files.safe_tree import STATE
from sedas_sync.manifest import Manifest
from sedas_sync.model import html
from sedas_sync.model.events import Failure, Step
from sedas_sync.model.files import meets_lock
from sedas_sync.model.history import RunRecord, SceneState
from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import ListedOrder
from sedas_sync.model.plan import left_alone
from sedas_sync.model.results import Count
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import count, size
from sedas_sync.model.times import to_iso
from sedas_sync.operations.lock_file import lock_path, matching_lock_or_warning, wanted_scenes
from sedas_sync.planning.lock import Lock, LockedScene
from sedas_sync.state.history import departed, last_run, last_success
from sedas_sync.state.index import Index
from sedas_sync.state.inspect import Inspection, inspect_mirror
from sedas_sync.state.mirror_state import MirrorState
from sedas_sync.state.replaced import replaced_files
from sedas_sync.state.staging import bytes_downloaded, partial_names


class DatasetStatus(Struct, frozen=True, kw_only=True):
    """The state of one dataset."""

    dataset: str
    wanted: Count | None
    """Scenes it has in the lock file, or wanted when it was last applied; null if it never was."""
    held: Count
    """Of those, files on disk."""
    changed: Count
    """Of those, files that differ from the index."""
    differs: Count = 0
    """Of those, files with other bytes than in the lock file."""
    missing: Count
    """Wanted scenes that are not on disk."""
    pending: Count
    """Of the missing scenes, those that are ordered."""
    bytes: Count
    """Size of the files on disk."""


class PartialDownload(Struct, frozen=True, kw_only=True):
    """A partial download."""

    path: str
    """Its file below the mirror."""
    size: Count


class Status(Struct, frozen=True, kw_only=True):
    """The state of a mirror.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            status = mirror.status()
            print(status.up_to_date, status.missing, status.bytes, status.free)
    """

    manifest: str
    """The manifest's file, as the user wrote it."""
    mirror: str
    """The folder."""
    archive: Mapping[str, str | None]
    """Type and URL of the first archive."""
    datasets: tuple[DatasetStatus, ...]
    """Each dataset with its own counts."""
    wanted: int
    """Scenes in the lock file, or that datasets wanted when they were last applied."""
    held: int
    """Scenes of the index that are on disk, wanted or not."""
    changed: int
    """Scenes whose files are not what was downloaded."""
    unreadable: int
    """Scenes of the index that cannot be read, so that it is not known whether they are on disk."""
    missing: int
    """Wanted scenes that are not on disk."""
    unwanted: int
    """Scenes on disk that are not in the lock file, or that no dataset wanted when it was last applied."""
    unknown: int
    """Files that are not in the index."""
    bytes: int
    """Size of all scenes on disk."""
    free: int | None
    """Free bytes of the disk; None if it does not state them."""
    orders: tuple[ListedOrder, ...]
    """Orders, oldest first."""
    partials: tuple[PartialDownload, ...]
    """Downloads that were interrupted."""
    replaced: tuple[int, int]
    """Files in `replaced/`, and their bytes."""
    withdrawn: int
    """Of the unwanted files, those that match and that the catalogue no longer lists."""
    superseded: int
    """Of the unwanted files, those of which the catalogue has a later processing."""
    failures: tuple[Failure, ...]
    """The last error of each scene that failed since its last download, of each search that failed, and of what cannot
    be read now."""
    last_run: RunRecord | None
    """The last run, if there was one."""
    last_success: RunRecord | None = None
    """The last apply that did all that could be done."""
    lock: str | None = None
    """The lock file that the mirror is compared with; None if it is the last apply."""
    lock_decides: bool = False
    """Whether the lock file alone says what is wanted."""
    differs: int = 0
    """Files whose index rows differ from the lock file."""
    refreshed: tuple[LocalScene, ...] = ()
    """Scenes whose mtime differs from the index, with the new mtime: they were read and are right."""
    warnings: tuple[str, ...] = ()
    """What the user should know."""

    @property
    def awaited(self) -> tuple[ListedOrder, ...]:
        """Orders from which wanted scenes are to come."""
        return tuple(order for order in self.orders if order.awaited)

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
            and not self.unreadable
            and not any(item.missing or item.changed or (item.differs and self.lock_decides) for item in counted)
        )

    def _repr_html_(self) -> str:
        """Return the status for a notebook: the datasets, and what is under way or went wrong, folded."""
        heads = ["dataset", "wanted", "on disk", "changed", "missing", "ordered", "size"]
        rows = [
            [item.dataset, item.wanted, item.held, item.changed, item.missing, item.pending, size(item.bytes)]
            for item in self.datasets
        ]
        total = f"{self.mirror}: {count(self.held, 'scene')}, {size(self.bytes)}; {size(self.free)} free"
        orders = [[order.id, order.order, order.state.value, to_iso(order.placed)] for order in self.orders]
        partials = [[partial.path, size(partial.size)] for partial in self.partials]
        problems = [*(f"{failure.id}: {failure.error}" for failure in self.failures), *self.warnings]
        return "".join(
            [
                html.paragraph(f"{total}; {'up to date' if self.up_to_date else 'not up to date'}"),
                html.table(heads, rows),
                html.listed("order", html.table(["scene", "order", "state", "placed"], orders), len(orders)),
                html.listed("partial download", html.table(["path", "size"], partials), len(partials)),
                html.listed("problem", "".join(map(html.paragraph, problems)), len(problems)),
            ]
        )


def mirror_status(mirror: MirrorState) -> Status:
    """Compare a mirror with its lock file, or else with what its last apply wanted.

    The lock file decides what is wanted if the last apply was a locked one, or if there was none. Otherwise what the
    last apply wanted counts too, and scenes of the lock file that no longer match do not.

    Works offline, and while another process changes the mirror. A lock file that does not match the manifest is
    ignored, with a warning. A file whose time differs from the index is read, as a plan does; if its bytes are right,
    the index takes the new time, unless another process is working in the mirror.

    Raises:
        ManifestError: The mirror belongs to another manifest, or the lock file cannot be read.
    """
    with mirror.index(write=False) as index:
        warnings = index.warnings
        mirror.check_owner(index)
        damaged = index.damaged
        mirror.on_step(Step("looking at the mirror", index.count()))
        lock = matching_lock_or_warning(mirror.manifest, warnings)
        folder = inspect_mirror(mirror.root, {}, index.local_scenes(), on_step=mirror.on_step)
        found = _status(mirror.manifest, mirror.root, index, lock, folder, warnings)
    if found.refreshed and not damaged:
        _save_times(mirror, found.refreshed)
    return found


def _save_times(mirror: MirrorState, refreshed: Iterable[LocalScene]) -> None:
    """Save the new times of files in the index, so that the next run need not read them again.

    Nothing depends on it: it is skipped if the mirror cannot be written, or another process is working in it.
    """
    with suppress(SedasSyncError, OSError), mirror.locked(), mirror.index(write=True) as index:
        known = ((item, index.local_scene(item.id)) for item in refreshed)
        same = (item for item, now in known if now and item.has_same_file(now) and item.digest == now.digest)
        index.put_times(list(same))


def _status(
    manifest: Manifest, root: Path, index: Index, lock: Lock | None, folder: Inspection, warnings: Iterable[str]
) -> Status:
    pins: Mapping[SceneId, LockedScene] = {} if lock is None else lock.scenes
    departed_scenes = departed(index)
    wanted = wanted_scenes(manifest, index, lock)
    orders = index.listed_orders()
    present, changed = folder.present, folder.changed
    differs = {scene_id for scene_id, scene in present.items() if scene_id in pins and _differs(scene, pins[scene_id])}
    wanted_ids = {scene_id for ids in wanted.values() for scene_id in ids}
    unwanted = Counter(departed_scenes.get(scene_id) for scene_id in present.keys() - wanted_ids)
    ordered = {order.id for order in orders if order.awaited}
    errors = index.last_errors() | {failure.id: failure.error for failure in left_alone(folder.problems)}

    def of_dataset(name: str) -> DatasetStatus:
        ids = set(wanted.get(name, ()))
        held = ids & present.keys()
        return DatasetStatus(
            dataset=name,
            wanted=len(ids) if name in wanted else None,
            held=len(held),
            changed=len(held & changed),
            missing=len(ids - held),
            pending=len((ids - held) & ordered),
            bytes=sum(present[scene_id].size for scene_id in held),
            differs=len(held & differs),
        )

    return Status(
        manifest=manifest.name,
        mirror=str(root),
        archive=manifest.first_archive,
        datasets=tuple(of_dataset(name) for name in manifest.datasets),
        wanted=len(wanted_ids),
        held=len(present),
        changed=len(changed),
        unreadable=len(folder.problems),
        missing=len(wanted_ids - present.keys()),
        unwanted=unwanted.total() if wanted else 0,
        withdrawn=unwanted[SceneState.WITHDRAWN],
        superseded=unwanted[SceneState.SUPERSEDED],
        replaced=replaced_files(str(root)),
        unknown=folder.unknown,
        bytes=folder.bytes,
        free=free_space(str(root)),
        orders=orders,
        partials=tuple(_partials(str(root))),
        failures=tuple(Failure(id=scene_id, error=why) for scene_id, why in sorted(errors.items())),
        last_run=last_run(index),
        last_success=last_success(index),
        lock=None if lock is None else str(lock_path(manifest.name)),
        lock_decides=lock is not None and index.lock_decides,
        differs=len(differs),
        refreshed=tuple(folder.refreshed),
        warnings=(*warnings, *folder.warnings, *_without_scenes(manifest.datasets, wanted)),
    )


def _without_scenes(datasets: Iterable[str], wanted: Mapping[str, Sequence[SceneId]]) -> Iterator[str]:
    """Yield a warning for each dataset that is known to match nothing."""
    for name in datasets:
        if name in wanted and not wanted[name]:
            yield f"dataset {name}: no scene matched at the last search; `sedas-sync plan` gives likely causes"


def _differs(scene: LocalScene, pin: LockedScene) -> bool:
    here, right = scene.delivered, meets_lock(scene, pin)
    if right is not None:
        return not right
    return None not in (pin.size, here.size) and pin.size != here.size


def _partials(root: str) -> Iterator[PartialDownload]:
    for name in partial_names(root):
        path = f"{STATE}/partial/{name}"
        if size := bytes_downloaded(root, path):
            yield PartialDownload(path=path, size=size)
