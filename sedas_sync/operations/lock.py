"""The lock file of a manifest, and plans to be saved."""

from collections.abc import Iterable, Mapping
from contextlib import suppress

from sedas_sync.errors import LockMismatch, ManifestError, SedasSyncError
from sedas_sync.files.threads import Pool, readers
from sedas_sync.files.unzip import contents_in
from sedas_sync.model.arguments import one_or_more
from sedas_sync.model.files import contents_of, is_packed_product
from sedas_sync.model.local import LocalScene
from sedas_sync.model.plan import ActionKind, Plan
from sedas_sync.model.scene import SceneId
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.lock_file import lock_path, read_lock, write_lock
from sedas_sync.operations.saved_plan import SavedPlan, mirror_settings
from sedas_sync.planning.lock import Lock, head_of, lock_scenes
from sedas_sync.planning.lock_changes import LockUpdate, changes, differences, mismatches
from sedas_sync.planning.lock_text import LockDamagedError
from sedas_sync.state.inspect import hashed, with_crcs

_HINT = "run `sedas-sync lock --check` to see what would change, or `sedas-sync lock` to update it"


def matching_lock(context: MirrorContext) -> Lock:
    """Return the manifest's lock file.

    Raises:
        LockMismatch: The lock file does not match the manifest; each difference is named.
        ManifestError: There is no lock file, or it is not valid.
    """
    if context.lock is not None:
        return context.lock
    path, lock = lock_path(context.manifest.name), read_lock(context.manifest)
    if lock is None:
        raise ManifestError(f"{path}: there is no lock file; create it with `sedas-sync lock`")
    if found := mismatches(context.manifest, lock):
        raise LockMismatch([f"{path}: {difference}" for difference in found], hint=_HINT)
    context.lock = lock
    return lock


def check_old_lock(context: MirrorContext, *, write: bool = True) -> tuple[str, ...]:
    """Check that the lock file can be updated; return a warning if the file is not valid and is replaced.

    Args:
        context: The mirror.
        write: Whether the lock file is to be written; if not, an invalid file is an error.

    Raises:
        ManifestError: The lock file cannot be read, or was written by a newer version of this package.
    """
    return _old_lock(context, write=write)[1]


def update_lock(context: MirrorContext, plan: Plan, *, applied: bool = False, write: bool = True) -> LockUpdate:
    """Lock the scenes of a plan, with the checksums of those on disk.

    A lock file with the same content is not written again, whatever its relative dates meant. A file that is not a lock
    file, such as one with merge conflicts, is replaced if `write`, and else an error.

    Args:
        context: The mirror.
        plan: A plan of the whole manifest.
        applied: Whether it was carried out, so that its downloads have checksums now.
        write: Whether to write the lock file; if not, only the changes are returned.

    Raises:
        SedasSyncError: The plan's search failed, is incomplete, or was spared by `recheck`.
        ManifestError: The lock file cannot be read or written.
    """
    if plan.failures or not plan.search_complete:
        raise SedasSyncError("the lock file is not changed: the search failed or is incomplete")
    if plan.not_asked:
        names = ", ".join(plan.not_asked)
        raise SedasSyncError(f"the lock file is not changed: {names} was not searched; plan with `refresh=True`")
    before, _ = _old_lock(context, write=write)
    with context.state.index(write=False) as index:
        wants = {action.id: action.wanted for action in plan.actions if action.wanted is not None}
        local_scenes = index.local_scenes_of(wants) if applied else {}
    head = head_of(context.manifest, context.clock())
    intact = _intact(plan, local_scenes)
    root = str(context.state.root)
    read_now = [hashed(root, local) for local in intact.values() if local.sha256 is None and not local.packed]
    with Pool(readers()) as pool:
        reading = [pool.submit(with_crcs, root, local) for local in intact.values() if _is_unread(local)]
        read_now += [future.result() for future in reading]
    if read_now:
        intact |= {local.id: local for local in read_now}
        if write:
            with context.state.index(write=True) as writable:
                writable.put_times(read_now)
    after = lock_scenes(head, plan.actions, intact, before, _contents(root, intact, before))
    found = () if before is None else differences(head, before.head)
    moved = changes(Lock(head=head, scenes={}) if before is None else before, after)
    news = before is None or bool(found or moved)
    if news and write:
        write_lock(context.manifest, after)
    path = str(lock_path(context.manifest.name))
    return LockUpdate(path=path, lock=after, differences=found, changes=moved, news=news)


def _is_unread(local: LocalScene) -> bool:
    """Return whether only the CRCs of a folder can show what its zip contains, and they are not known yet."""
    return local.packed is not None and local.packed.sha256 is None and contents_of(local) is None


def _contents(root: str, intact: Mapping[SceneId, LocalScene], before: Lock | None) -> dict[SceneId, str | None]:
    """Return what zips on disk contain that the lock file does not have yet."""
    known = {} if before is None else {pin.id: pin.sha256 for pin in before.scenes.values() if pin.contents is not None}
    zips = [local for local in intact.values() if is_packed_product(local) and known.get(local.id) != local.sha256]
    with Pool(readers()) as pool:
        reading = {local.id: pool.submit(contents_in, root, local.path) for local in zips}
        found = {}
        for scene_id, future in reading.items():
            # A zip that was removed meanwhile has its checksum in the lock file all the same.
            with suppress(OSError):
                found[scene_id] = future.result()
    return found


def _old_lock(context: MirrorContext, *, write: bool) -> tuple[Lock | None, tuple[str, ...]]:
    """Return the lock file, and a warning if the file is not a lock file and is replaced."""
    try:
        return read_lock(context.manifest), ()
    except LockDamagedError as error:
        if not write:
            raise
        return None, (f"{error.what}; replacing it with a new lock file, with checksums of the scenes on disk",)


def _intact(plan: Plan, local_scenes: Mapping[SceneId, LocalScene]) -> dict[SceneId, LocalScene]:
    """Return the local scenes whose bytes are right before or after a plan was applied.

    Args:
        plan: The plan.
        local_scenes: The scenes of the index after it was applied; empty before.
    """
    intact = {}
    for action in plan.actions:
        now = local_scenes.get(action.id)
        if action.kind in (ActionKind.KEEP, ActionKind.ADOPT) and action.local is not None:
            intact[action.id] = action.local
        elif now is not None and now != action.local:
            # It was downloaded since the plan was made.
            intact[action.id] = now
    return intact


def to_save(context: MirrorContext, plan: Plan, datasets: str | Iterable[str] = ()) -> SavedPlan:
    """Return a plan with what it was made from.

    Args:
        context: The mirror.
        plan: The plan.
        datasets: The datasets that it is limited to.
    """
    return SavedPlan.of(
        plan,
        head=head_of(context.manifest, context.clock()),
        mirror=mirror_settings(context.manifest.mirror),
        datasets=one_or_more(datasets),
    )
