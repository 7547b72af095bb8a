"""The end of a run: remove the files that no longer match, if everything else succeeded, and what is old."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cache

from sedas_sync.errors import SedasSyncError, sentence
from sedas_sync.files.safe_tree import REPLACED
from sedas_sync.model.events import Event
from sedas_sync.model.plan import ActionKind, Plan, kept_until
from sedas_sync.model.reason import ReasonCode
from sedas_sync.model.text import count
from sedas_sync.operations.apply.disk import MirrorFiles
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.planning.prune import once_per_tuple
from sedas_sync.state.replaced import remove_replaced


def remove_unwanted(plan: Plan, disk: MirrorFiles, reports: Reports, *, stopped: Callable[[], bool]) -> Iterator[Event]:
    """Remove scenes and partial downloads that the plan removes; yield the events.

    Args:
        plan: with its prune actions.
        disk: the files of the mirror.
        reports: takes events.
        stopped: returns whether the run was stopped.
    """
    prunes = [action for action in plan.actions if action.kind is ActionKind.PRUNE]
    # A scene whose orders are paused was not tried: for weeks it says nothing about this run.
    paused = {action.id for action in plan.actions if action.reason.code is ReasonCode.ORDER_FAILING}

    def blocked() -> bool:
        return stopped() or any(failure.id not in paused for failure in reports.failures)

    if prunes and blocked():
        reports.warn(f"{len(prunes)} files that no longer match are kept, because something else failed")
        prunes = []
    yield from reports.take()
    complete = cache(disk.is_complete)
    missing = once_per_tuple(lambda ids: tuple(scene_id for scene_id in ids if not complete(scene_id)))
    for action in prunes:
        if stopped():
            return
        if scenes := missing(action.after):
            reports.warn(f"{action.path}: {kept_until(scenes)}", action.id)
        else:
            disk.prune(action, stopped)
        yield from reports.take()
    if not blocked():
        disk.forget_orders(plan.unwanted_orders)
        disk.remove_partial(plan.unwanted_downloads, wanted={action.id for action in plan.actions})


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
