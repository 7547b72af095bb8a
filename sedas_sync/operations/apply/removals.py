"""The end of a run: remove the files that no longer match, if everything else succeeded, and what is old."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import cache

from sedas_sync.errors import SedasSyncError, sentence
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import REPLACED
from sedas_sync.model.disk import FileState
from sedas_sync.model.events import Event, Pruned
from sedas_sync.model.history import Change, ChangeKind
from sedas_sync.model.plan import Action, ActionKind, Plan, kept_until
from sedas_sync.model.reason import ReasonCode
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import count
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.planning.prune import once_per_tuple
from sedas_sync.state.history import add_changes
from sedas_sync.state.index import WritableIndex
from sedas_sync.state.inspect import state_of, states_of
from sedas_sync.state.replaced import remove_replaced
from sedas_sync.state.staging import forget


class Removals:
    """Removes what a plan removes.

    Args:
        root: The mirror's folder.
        index: Open for writing.
        reports: Takes events.
        stopped: Returns whether the run was stopped.
        disk_full: The error of every scene that was not downloaded because the disk is full; None if it is not full.
    """

    def __init__(
        self,
        root: str,
        index: WritableIndex,
        reports: Reports,
        *,
        stopped: Callable[[], bool],
        disk_full: str | None = None,
    ) -> None:
        self._root = root
        self._index = index
        self._reports = reports
        self._stopped = stopped
        self._disk_full = disk_full

    def remove_unwanted(self, plan: Plan) -> Iterator[Event]:
        """Remove scenes, partial downloads and orders that the plan removes; yield the events.

        Args:
            plan: With its prune actions.
        """
        prunes = plan.by_kind[ActionKind.PRUNE]
        # A scene whose orders are paused was not tried: for weeks it says nothing about this run.
        paused = {a.id for a in plan.by_kind[ActionKind.WAIT] if a.reason.code is ReasonCode.ORDER_FAILING}

        def failed() -> list[str]:
            return [failure.error for failure in self._reports.failures if failure.id not in paused]

        if failures := failed():
            # What left a window of dates does not depend on the downloads that fit only when it is gone.
            full = set(failures) == {self._disk_full}
            aged = [action for action in prunes if full and action.reason.code is ReasonCode.AGED]
            if kept := len(prunes) - len(aged):
                self._reports.warn(f"{kept} files that no longer match are kept, because something else failed")
            prunes = aged
        yield from self._reports.take()
        complete = cache(self._is_complete)
        missing = once_per_tuple(lambda ids: tuple(scene_id for scene_id in ids if not complete(scene_id)))
        for action in prunes:
            if self._stopped():
                return
            if scenes := missing(action.after):
                self._reports.warn(f"{action.path}: {kept_until(scenes)}", action.id)
            else:
                self._prune(action)
            yield from self._reports.take()
        if not self._stopped() and not failed():
            self._forget_unwanted(plan)

    def _is_complete(self, scene_id: SceneId) -> bool:
        """Return whether a scene is in the mirror, complete and unchanged."""
        local = self._index.local_scene(scene_id)
        try:
            return local is not None and states_of(self._root, local) == {FileState.INTACT}
        except (SedasSyncError, OSError):
            return False

    def _prune(self, action: Action) -> None:
        """Remove the files of a scene that are unchanged since their download."""
        local = self._index.local_scene(action.id)
        if local is None or local.path != action.path:
            return
        try:
            state = state_of(self._root, local, self._stopped)
            if state is FileState.DAMAGED:
                self._reports.warn(
                    f"{local.path}: was changed after its download; it is kept and no longer tracked", local.id
                )
            elif state is FileState.INTACT:
                for file in local.files:
                    with suppress(FileNotFoundError):
                        safe_tree.remove(self._root, file.path)
        except InterruptedError:
            return
        except (SedasSyncError, OSError) as error:
            self._index.put_error(action.id, sentence(error), self._reports.now())
            self._reports.fail(action.id, sentence(error))
            return
        self._index.drop_file(local.id)
        self._index.drop_order(local.id)
        if state is not FileState.DAMAGED:
            add_changes(self._index, [Change(time=self._reports.now(), kind=ChangeKind.PRUNED, id=local.id)])
            self._reports.emit(Pruned(time=self._reports.now(), id=local.id, path=local.path, size=local.size))

    def _forget_unwanted(self, plan: Plan) -> None:
        """Remove partial downloads and orders of scenes that no longer match, and their last errors."""
        for scene_id in plan.unwanted_orders:
            self._index.drop_order(scene_id)
        for path in plan.unwanted_downloads:
            try:
                forget(self._root, path)
            except (SedasSyncError, OSError) as error:
                self._reports.warn(f"{path}: cannot be removed: {sentence(error)}")
        if plan.unwanted_downloads:
            self._index.drop_errors(but={action.id for action in plan.actions})


def remove_old(root: str, before: datetime, reports: Reports) -> None:
    """Delete what was moved to `replaced/` before a time."""
    removed = 0
    try:
        for _ in remove_replaced(root, before):
            removed += 1
    except (SedasSyncError, OSError) as error:
        reports.warn(f"{REPLACED}: cannot be tidied: {sentence(error)}")
    if removed:
        reports.warn(f"{count(removed, 'old file')} in {REPLACED} removed, see keep_replaced")
