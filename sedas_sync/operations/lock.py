"""The lock of a manifest, and plans to be saved."""

from collections.abc import Iterable, Mapping

from sedas_sync.errors import LockMismatch, ManifestError, SedasSyncError
from sedas_sync.model.plan import ActionKind, Plan
from sedas_sync.model.scene import LocalScene, SceneId
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.lock_file import lock_path, read_lock, write_lock
from sedas_sync.planning.lock import Lock, head_of, lock_scenes
from sedas_sync.planning.lock_changes import LockUpdate, changes, differences, mismatches
from sedas_sync.planning.lock_text import LockDamagedError
from sedas_sync.planning.saved_plan import SavedPlan

_HINT = "`sedas-sync lock --check` says what a lock of today would change, `sedas-sync lock` writes it"


def matching_lock(context: MirrorContext) -> Lock:
    """Return the manifest's lock.

    Raises:
        LockMismatch: the lock does not match the manifest; each difference is named.
        ManifestError: there is no lock, or the file is not a lock.
    """
    if context.lock is not None:
        return context.lock
    path, lock = lock_path(context.manifest.name), read_lock(context.manifest)
    if lock is None:
        raise ManifestError(f"{path}: there is no lock; `sedas-sync lock` writes it")
    if found := mismatches(context.manifest, lock):
        raise LockMismatch([f"{path}: {difference}" for difference in found], hint=_HINT)
    context.lock = lock
    return lock


def check_old_lock(context: MirrorContext, *, write: bool = True) -> tuple[str, ...]:
    """Check that the lock can be updated; returns a warning if the file is not a lock and is replaced.

    Args:
        context: the mirror.
        write: whether the lock is to be written; if not, a file that is not a lock is an error.

    Raises:
        ManifestError: the lock cannot be read, or was written by a newer version of this package.
    """
    return _old_lock(context, write=write)[1]


def update_lock(context: MirrorContext, plan: Plan, *, applied: bool = False, write: bool = True) -> LockUpdate:
    """Lock the scenes of a plan, with the checksums of those on disk.

    A lock with the same content is not written again, whatever its relative dates meant. A file that is not a lock,
    such as one with merge conflicts, is replaced if `write`, and else an error.

    Args:
        context: the mirror.
        plan: a plan of the whole manifest.
        applied: whether it was carried out, so that its downloads have checksums now.
        write: whether to write the lock; if not, only the changes are returned.

    Raises:
        SedasSyncError: the plan's search failed or is incomplete.
        ManifestError: the lock cannot be read or written.
    """
    if plan.failures or not plan.search_complete:
        raise SedasSyncError("the lock file is not changed: the search failed or is incomplete")
    before, _ = _old_lock(context, write=write)
    with context.state.index(write=False) as (index, _):
        wants = {action.id: action.want for action in plan.actions if action.want is not None}
        held = {holding.id: holding for holding in index.local_scenes_of(wants)} if applied else {}
    head = head_of(context.manifest, context.clock())
    after = lock_scenes(head, plan.actions, _intact(plan, held), before)
    found = () if before is None else differences(head, before.head)
    moved = changes(Lock(head=head, scenes={}) if before is None else before, after)
    news = before is None or bool(found or moved)
    if news and write:
        write_lock(context.manifest, after)
    path = str(lock_path(context.manifest.name))
    return LockUpdate(path=path, lock=after, differences=found, changes=moved, news=news)


def _old_lock(context: MirrorContext, *, write: bool) -> tuple[Lock | None, tuple[str, ...]]:
    """Return the lock, and a warning if the file is not a lock and is replaced."""
    try:
        return read_lock(context.manifest), ()
    except LockDamagedError as error:
        if not write:
            raise
        return None, (f"{error.what}; a new lock is written in its place, with digests of what the mirror holds",)


def _intact(plan: Plan, held: Mapping[SceneId, LocalScene]) -> dict[SceneId, LocalScene]:
    """Return the local scenes whose bytes are right before or after a plan was applied.

    Args:
        plan: the plan.
        held: the scenes of the index after it was applied; empty before.
    """
    intact = {}
    for action in plan.actions:
        now = held.get(action.id)
        if action.kind in (ActionKind.KEEP, ActionKind.ADOPT) and action.held is not None:
            intact[action.id] = action.held
        elif now is not None and now != action.held:
            # It was downloaded since the plan was made.
            intact[action.id] = now
    return intact


def to_save(context: MirrorContext, plan: Plan, datasets: Iterable[str] = ()) -> SavedPlan:
    """Return a plan with what it was made from.

    Args:
        context: the mirror.
        plan: the plan.
        datasets: the datasets that it is limited to.
    """
    mirror = context.manifest.mirror
    return SavedPlan(
        head=head_of(context.manifest, context.clock()),
        mirror={"path": mirror.path, "layout": str(mirror.layout)},
        datasets=tuple(datasets),
        plan=plan,
    )
