"""Performs effects: the only place where the decisions of the state machines become I/O."""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import Any

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import AuthenticationError, SedasSyncError, TransferError, sentence
from sedas_sync.files import safe_tree
from sedas_sync.model.events import Fetched, Retried
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import size
from sedas_sync.model.threads import Pool
from sedas_sync.operations.apply import effects as do
from sedas_sync.operations.apply.calls import ArchiveCalls
from sedas_sync.operations.apply.disk import MirrorFiles
from sedas_sync.operations.apply.fetcher import Fetcher, FetchRetry
from sedas_sync.operations.apply.limits import ConnectionLimits
from sedas_sync.operations.apply.orders import PLACED_AT_ONCE
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.state.index import WritableIndex
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error

_API_THREADS = PLACED_AT_ONCE + 3

Result = Future[Any] | FetchRetry | None
"""What another thread reports: the end of its work, or a download that is tried again. None only wakes the run."""


class Performer:
    """Performs the effects of one run.

    Args:
        root: the mirror's folder.
        archives: by their keys in the manifest.
        index: open for writing.
        limits: of the downloads at once.
        fetcher: runs the downloads.
        disk: the files of the mirror.
        reports: takes events.
        inbox: takes what other threads report.
        stop: set when the run ends.
        bytes_planned: the size of all downloads of the run.
    """

    def __init__(
        self,
        root: Path,
        *,
        archives: Mapping[str, Archive],
        index: WritableIndex,
        limits: ConnectionLimits,
        fetcher: Fetcher,
        disk: MirrorFiles,
        reports: Reports,
        inbox: "queue.SimpleQueue[Result]",
        stop: threading.Event,
        bytes_planned: int,
    ) -> None:
        self._root = root
        self._archives = archives
        self._index = index
        self._limits = limits
        self._fetcher = fetcher
        self._disk = disk
        self._reports = reports
        self._inbox = inbox
        self._stop = stop
        self._bytes_planned = bytes_planned
        self._calls = ArchiveCalls(archives, index)
        self._threads = Pool(_API_THREADS, "orders")
        self.pending: dict[Future[Any], do.Effect | None] = {}
        """Effects that other threads perform; None for the check for workers."""
        self.abort_reason: str | None = None
        """Why the run ends early."""
        self.auth_failed = False

    def perform(self, effect: do.Effect) -> Iterable[do.Effect | do.MachineEvent]:  # noqa: C901, PLR0912  # one a kind
        """Perform an effect; return what follows from it at once."""
        match effect:
            case do.Emit(event):
                self._reports.emit(event)
            case do.Fetch(task):
                return self._fetch(effect, task)
            case do.PlaceOrder(task):
                self._call(effect, self._calls.place, task)
            case do.PollOrders():
                self._call(effect, self._calls.poll, effect)
            case do.RenewLink():
                self._call(effect, self._calls.renew, effect)
            case do.Commit(task):
                self._call(effect, self._disk.commit, task)
            case do.SaveOrder(order):
                self._index.update_order(order)
            case do.ForgetOrder(scene_id):
                self._index.drop_order(scene_id)
            case do.Stage(task):
                return (self._disk.stage(task),)
            case do.KeepFile():
                return (self._disk.keep_file(effect),)
            case do.RecordFetch():
                return (self._disk.record_of(effect),)
            case do.RecordScene():
                self._record(effect)
            case do.Move(action):
                return self._disk.move(action)
            case do.MoveAside(action):
                return self._disk.move_aside(action)
            case do.Fail(task, error):
                return (self._fail(task, error),)
            case do.GiveUp(scene_id, error):
                self._give_up(scene_id, error)
            case do.LeavePending():
                self._reports.pending += 1
            case do.Abort(error):
                self._abort(error)
        return ()

    def check_workers(self) -> None:
        """Check whether the executor has workers, if they have been silent for a while."""
        if self._fetcher.silent():
            self._call(None, self._fetcher.absence)

    def close(self) -> None:
        """End what other threads do; the stop event is set."""
        for future in self.pending:
            future.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._fetcher.close()

    # -- results of other threads ------------------------------------------------------------------------------------

    def result(self, item: Result) -> tuple[do.MachineEvent, ...]:
        """Turn what another thread reports into events."""
        if isinstance(item, FetchRetry):
            self._retried(item)
        elif item is not None and item in self.pending:
            effect = self.pending.pop(item)
            if effect is not None:
                return self._ended(effect, item)
            if not item.exception() and (absence := self._fetcher.report_absence(item.result())) is not None:
                self._reports.warn(absence)
        return ()

    def _retried(self, retry: FetchRetry) -> None:
        self._reports.emit(
            Retried(
                time=self._reports.now(),
                id=retry.id,
                attempt=retry.attempt,
                error=retry.error,
                delay_seconds=round(retry.delay, 2),
            )
        )
        if retry.allowed is not None and (warning := self._limits.reduce(retry.archive, retry.allowed)) is not None:
            self._reports.warn(warning)

    def _ended(self, effect: do.Effect, future: Future[Any]) -> tuple[do.MachineEvent, ...]:
        if isinstance(effect, do.Fetch):
            return (self._fetcher.ended(future),)
        if future.cancelled():
            return ()
        error = future.exception()
        # Other calls that are under way may still be allowed; each of them reports its own refusal.
        self.auth_failed = self.auth_failed or isinstance(error, AuthenticationError)
        if error is not None and not isinstance(error, SedasSyncError | OSError):
            error = SedasSyncError(sentence(error))
        result = None if error is not None else future.result()
        match effect:
            case do.PlaceOrder(task):
                return (do.PlaceEnded(task, result, error),)
            case do.PollOrders(archive):
                return (do.PollEnded(archive, result or (), error),)
            case do.RenewLink():
                return (do.LinkRenewed(effect, result, error),)
            case do.Commit(task):
                return (do.CommitEnded(task, result, error),)
            case _:
                raise AssertionError(effect)

    # -- effects -----------------------------------------------------------------------------------------------------

    def _call(self, effect: do.Effect | None, function: Callable[..., Any], *arguments: object) -> None:
        future = self._threads.submit(function, *arguments)
        self.pending[future] = effect
        future.add_done_callback(self._inbox.put)

    def _fetch(self, effect: do.Fetch, task: do.Task) -> tuple[do.MachineEvent, ...]:
        try:
            download = task.download or self._archives[task.archive].locate(task.scene)
            job = self._disk.job(task, download, self._limits.policies[task.archive])
        except (SedasSyncError, OSError) as error:
            last = not (task.whole or task).other_sources
            self.auth_failed = self.auth_failed or (isinstance(error, AuthenticationError) and last)
            return (do.FetchNotBegun(task, error),)
        try:
            future = self._fetcher.submit(task, download, job)
        except SedasSyncError as error:
            return (do.FetchEnded(task, download, error=TransferError(str(error), fatal=True)),)
        self.pending[future] = effect
        future.add_done_callback(self._inbox.put)
        return ()

    def _record(self, effect: do.RecordScene) -> None:
        task, local = effect.task, effect.local
        self._disk.record(effect)
        self._reports.bytes += effect.bytes
        for warning in effect.warnings:
            self._reports.warn(warning, local.id)
        self._reports.emit(
            Fetched(
                time=self._reports.now(),
                id=local.id,
                archive=task.archive,
                path=local.path,
                size=local.size,
                sha256=local.sha256,
                level=local.level.value,
                received=effect.received,
                seconds=round(monotonic() - task.began, 3),
                worker=effect.worker,
            )
        )

    def _fail(self, task: do.Task, error: str | BaseException) -> do.MachineEvent:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            self._abort(disk_error(str(self._root), error))
            return do.PutBack(task)
        reason = error if isinstance(error, str) else sentence(error)
        return do.SourceFailed(task, reason) if task.file is None else do.FileFailed(task, reason)

    def _give_up(self, scene_id: SceneId, error: str | BaseException) -> None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            error = self._abort(disk_error(str(self._root), error))
        reason = error if isinstance(error, str) else sentence(error)
        self._disk.give_up(scene_id, reason)

    def _abort(self, error: SedasSyncError) -> str:
        """End the run early; return the first reason."""
        reason, left = str(error), self._bytes_planned - self._reports.bytes
        if error.disk_full and left > 0:
            free = safe_tree.free_space(str(self._root))
            reason = f"{reason} ({size(left)} still to come, {size(free)} free)"
        self.abort_reason = self.abort_reason or reason
        self._stop.set()
        return self.abort_reason
