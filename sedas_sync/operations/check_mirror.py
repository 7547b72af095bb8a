"""Compare a mirror with its lock: `status` by sizes and times, `verify` by reading all files."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from sedas_sync.archives.lookup import paths_by_lock
from sedas_sync.errors import SedasSyncError
from sedas_sync.model.events import Step
from sedas_sync.model.scene import LocalScene, OrderState
from sedas_sync.operations.context import MirrorContext, archive_facts, filehash_of
from sedas_sync.operations.lock import matching_lock_or_warning
from sedas_sync.operations.lock_file import lock_path
from sedas_sync.operations.status import Status, status
from sedas_sync.operations.verify import LockedChecksums, VerifyReport, readers, verify


def compare_with_lock(context: MirrorContext) -> Status:
    """Compare the mirror with its lock, or else with its last `apply`; see `Mirror.status`."""
    manifest, state = context.manifest, context.state
    with state.index(write=False) as (index, warnings):
        state.check_owner(index)
        damaged = bool(warnings)
        context.step("looking at the mirror", index.count())
        lock = matching_lock_or_warning(context, warnings)
        found = status(
            state.root,
            index,
            manifest=manifest.source,
            archive=archive_facts(manifest),
            datasets=manifest.datasets,
            lock=None if lock is None else (str(lock_path(manifest.source)), lock),
            warnings=warnings,
            on_step=state.on_step,
        )
    if found.refreshed and not damaged:
        _store_times(context, found.refreshed)
    return found


def _store_times(context: MirrorContext, refreshed: Iterable[LocalScene]) -> None:
    """Store the new times of files, so that the next command need not read them again.

    Nothing depends on it: it is skipped if the mirror cannot be written, or another process works in it.
    """
    with suppress(SedasSyncError, OSError), context.state.locked(), context.state.index(write=True) as (index, _):
        known = ((item, index.local_scene(item.id)) for item in refreshed)
        index.put_times([item for item, now in known if now is not None and _is_same_file(item, now)])


def _is_same_file(one: LocalScene, other: LocalScene) -> bool:
    return (one.path, one.sha256, one.digest) == (other.path, other.sha256, other.digest)


def verify_mirror(
    context: MirrorContext, *, jobs: int | None, on_file: Callable[[int, int, int, int], None] | None
) -> VerifyReport:
    """Read all files and compare them with the index and the lock; see `Mirror.verify`."""
    manifest, state = context.manifest, context.state
    with state.index(write=False) as (index, warnings):
        state.check_owner(index)
        holdings = list(index.local_scenes())
        ordered = {order.id for order in index.orders() if order.state is OrderState.PENDING}
    damaged = bool(warnings)
    lock = matching_lock_or_warning(context, warnings)
    required = {}
    if lock is not None:
        paths = paths_by_lock(manifest, lock)
        required = {
            pin.id: LockedChecksums(paths.get(pin.id), pin.size, pin.sha256, pin.files)
            for pin in lock.scenes.values()
            if not manifest.datasets.keys().isdisjoint(pin.datasets)
        }
    ignored = all(policy == "ignore" for policy in filehash_of(manifest).values())

    def on_read(done: int, read: int, files: int, total: int) -> None:
        state.on_step(Step("reading files", read, total, "bytes", f"{done:,}/{files:,}"))

    return VerifyReport(
        manifest=manifest.source,
        mirror=str(state.root),
        files=verify(
            state.root,
            holdings,
            jobs=jobs or readers(),
            filehash="ignore" if ignored else "warn",
            locked=required,
            ordered=ordered,
            on_file=on_file or on_read,
        ),
        lock=None if lock is None else str(lock_path(manifest.source)),
        warnings=tuple(warnings),
        damaged_index=damaged,
    )
