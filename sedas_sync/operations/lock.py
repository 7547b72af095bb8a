"""What a manifest stood for, kept in files: its lock, and plans that were saved."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path

from sedas_sync.errors import LockMismatch, ManifestError, SedasSyncError
from sedas_sync.manifest import Manifest
from sedas_sync.model.plan import ActionKind, Plan
from sedas_sync.model.scene import LocalScene, SceneId
from sedas_sync.operations.lock_file import lock_path, read_lock, write_lock
from sedas_sync.planning.lock import (
    Lock,
    LockDamagedError,
    LockUpdate,
    changes,
    differences,
    head_of,
    lock_scenes,
    mismatches,
)
from sedas_sync.planning.saved_plan import SavedPlan
from sedas_sync.state.mirror_state import MirrorState

_ANEW = "`sedas-sync lock --check` says what a lock of today would change, `sedas-sync lock` writes it"


class LockFiles:
    """The lock of a manifest, and its saved plans.

    Args:
        manifest: what they are held against.
        home: its mirror.
        clock: gives the present instant, UTC.
    """

    def __init__(self, manifest: Manifest, home: MirrorState, clock: Callable[[], datetime]) -> None:
        self._manifest = manifest
        self._home = home
        self._clock = clock
        self._checked_lock: Lock | None = None

    def checked(self) -> Lock:
        """The manifest's lock, which says what the manifest says.

        Raises:
            LockMismatch: it was made from something else, each difference named.
            ManifestError: there is no lock, or the file is none.
        """
        if self._checked_lock is None:
            path, lock = lock_path(self._manifest.source), read_lock(self._manifest)
            if lock is None:
                raise ManifestError(f"{path}: there is no lock; `sedas-sync lock` writes it")
            if said := mismatches(self._manifest, lock):
                raise LockMismatch([f"{path}: {difference}" for difference in said], hint=_ANEW)
            self._checked_lock = lock
        return self._checked_lock

    def lock_that_fits(self, warnings: list[str]) -> Lock | None:
        """The manifest's lock for a look; None, with a warning, where it says something else than the manifest.

        Raises:
            ManifestError: the file is no lock, or cannot be read.
        """
        if Path(self._manifest.source).suffix == ".lock":
            return None
        lock = read_lock(self._manifest)
        if lock is None or not (said := mismatches(self._manifest, lock)):
            return lock
        more = f", and {len(said) - 1} more" if len(said) > 1 else ""
        warnings.append(
            f"{lock_path(self._manifest.source)}: is left out of account, since the manifest says something else by "
            f"now ({said[0]}{more}); `sedas-sync lock` brings it up to date"
        )
        return None

    def check_old(self, *, write: bool = True) -> tuple[str, ...]:
        """See that the lock there is can be brought up to date; gives a warning where it is to be replaced unread.

        Args:
            write: without it, only what would change is asked for, and a file that is no lock is a mistake.

        Raises:
            ManifestError: it cannot be read, or is of a newer version of this package.
        """
        try:
            read_lock(self._manifest)
        except LockDamagedError as error:
            if not write:
                raise
            return (f"{error.what}; a new lock is written in its place, with digests of what the mirror holds",)
        return ()

    def _old(self, *, write: bool) -> Lock | None:
        try:
            return read_lock(self._manifest)
        except LockDamagedError:
            if not write:
                raise
            return None

    def relock(self, plan: Plan, *, applied: bool = False, write: bool = True) -> LockUpdate:
        """Pin the scenes of a plan in the lock, with the digests of those that the mirror holds.

        A lock that says the same already is left as it is, whenever its relative dates were made absolute. A file that
        is no lock, such as one with the marks of a merge, is replaced where `write`, and else a mistake.

        Args:
            plan: of the whole manifest.
            applied: whether it was carried out, so that what it fetched is pinned with its digest.
            write: without it, only say what would change.

        Raises:
            SedasSyncError: the plan's search failed or stayed incomplete.
            ManifestError: the lock cannot be read or written.
        """
        if plan.failures or not plan.search_complete:
            raise SedasSyncError("the lock is left as it is, since the search failed or stayed incomplete")
        before = self._old(write=write)
        with self._home.index(write=False) as (index, _):
            wants = {action.id: action.want for action in plan.actions if action.want is not None}
            held = {holding.id: holding for holding in index.holdings_of(wants)} if applied else {}
        head = head_of(self._manifest, self._clock())
        after = lock_scenes(head, plan.actions, _intact(plan, held), before)
        said = () if before is None else differences(head, before.head)
        moved = changes(Lock(head=head, scenes={}) if before is None else before, after)
        news = before is None or bool(said or moved)
        if news and write:
            write_lock(self._manifest, after)
        return LockUpdate(
            path=str(lock_path(self._manifest.source)), lock=after, differences=said, changes=moved, news=news
        )

    def save(self, plan: Plan, *, datasets: Iterable[str] = ()) -> SavedPlan:
        """A plan with what it was made from, to be written to a file.

        Args:
            plan: from `plan`.
            datasets: those that it was narrowed to.
        """
        return SavedPlan(
            head=head_of(self._manifest, self._clock()),
            mirror={"path": self._manifest.mirror.path, "layout": str(self._manifest.mirror.layout)},
            datasets=tuple(datasets),
            plan=plan,
        )


def _intact(plan: Plan, held: Mapping[SceneId, LocalScene]) -> dict[SceneId, LocalScene]:
    """The files whose bytes are the scenes' of a plan, before or after it was applied."""
    intact = {}
    for action in plan.actions:
        now = held.get(action.id)
        if action.kind in (ActionKind.KEEP, ActionKind.ADOPT) and action.held is not None:
            intact[action.id] = action.held
        elif now is not None and now != action.held:
            # It was put in place since the plan was made.
            intact[action.id] = now
    return intact
