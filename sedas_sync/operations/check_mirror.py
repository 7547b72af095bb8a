"""Verify a mirror: read all files, and compare them with the index and the lock."""

from collections.abc import Callable

from sedas_sync.archives.lookup import paths_by_lock
from sedas_sync.model.events import Step
from sedas_sync.model.scene import OrderState
from sedas_sync.operations.context import MirrorContext, filehash_of
from sedas_sync.operations.lock_file import lock_path, matching_lock_or_warning
from sedas_sync.operations.verify import LockedChecksums, VerifyReport, readers, verify


def verify_mirror(
    context: MirrorContext,
    *,
    jobs: int | None = None,
    on_file: Callable[[int, int, int, int], None] | None = None,
) -> VerifyReport:
    """Read all files of the mirror and compare them with the index, and with the lock if there is one.

    Works offline and changes nothing. A lock that does not match the manifest is ignored with a warning.

    Args:
        context: the mirror.
        jobs: number of files that are read at once.
        on_file: called with the files and bytes that have been read, and the totals of both.

    Raises:
        ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
    """
    manifest, state = context.manifest, context.state
    with state.index(write=False) as (index, warnings):
        state.check_owner(index)
        holdings = list(index.local_scenes())
        ordered = {order.id for order in index.orders() if order.state is OrderState.PENDING}
    damaged = bool(warnings)
    lock = matching_lock_or_warning(context.manifest, warnings)
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
