"""Performs effects: the only place where the decisions of the state machines become I/O."""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from msgspec import convert

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import AuthenticationError, SedasSyncError, TransferError, sentence
from sedas_sync.files.disk_space import free_space
from sedas_sync.files.threads import Pool
from sedas_sync.model.events import Ordered, Retried
from sedas_sync.model.history import Change, ChangeKind
from sedas_sync.model.plan import NEEDS_ARCHIVE, ActionKind, Plan
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import size
from sedas_sync.operations.apply import effects as do
from sedas_sync.operations.apply.archive_calls import LOGIN_REFUSED, ArchiveCalls
from sedas_sync.operations.apply.connection_limits import ConnectionLimits
from sedas_sync.operations.apply.fetcher import Fetcher, FetchRetry
from sedas_sync.operations.apply.mirror_files import MirrorFiles
from sedas_sync.operations.apply.options import RunOptions
from sedas_sync.operations.apply.orders import PLACED_AT_ONCE
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.operations.apply.unpacker import Unpacker
from sedas_sync.operations.apply.unpacks import AT_ONCE
from sedas_sync.operations.context import MirrorContext, filehash_of
from sedas_sync.state.history import add_changes
from sedas_sync.state.index import WritableIndex
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error
from sedas_sync.transfer.job import Policy

_API_THREADS = PLACED_AT_ONCE + 3 + AT_ONCE
Result = Future[Any] | FetchRetry | None
"""What another thread reports: the end of its work, or a download that is tried again. None only wakes the run."""


class Performer:
    """Performs the effects of one run.

    Args:
        plan: What the run does.
        context: The mirror.
        archives: Of the plan's scenes, by their keys in the manifest.
        index: Open for writing.
        options: How the plan is carried out.
        reports: Takes events.
    """

    def __init__(
        self,
        plan: Plan,
        context: MirrorContext,
        *,
        archives: Mapping[str, Archive],
        index: WritableIndex,
        options: RunOptions,
        reports: Reports,
    ) -> None:
        root = self._root = context.state.root
        self._index = index
        self._reports = reports
        self._bytes_planned = plan.bytes or 0
        self.inbox: queue.SimpleQueue[Result] = queue.SimpleQueue()
        """Takes what other threads report."""
        self.stop = threading.Event()
        """Set when the run ends."""
        transfer, executor = context.manifest.transfer, options.get("executor")
        self.limits = ConnectionLimits(
            archives,
            jobs=options.get("jobs") or transfer.jobs,
            policy=convert(transfer, Policy, from_attributes=True),
            filehash=filehash_of(context.manifest),
            remote=executor is not None,
        )
        self.fetcher = Fetcher(
            root,
            jobs=self.limits.jobs,
            max_rate=transfer.max_rate,
            executor=executor if plan.of(NEEDS_ARCHIVE) else None,
            stop=self.stop,
            on_retry=self.inbox.put,
        )
        self.disk = MirrorFiles(str(root), index, archives=archives, reports=reports)
        self._calls = ArchiveCalls(archives, index)
        unpack = context.manifest.mirror.unpack
        self._unpacker = Unpacker(str(root), index, self.disk, unpack=unpack, stopped=self.stop.is_set)
        self._threads = Pool(_API_THREADS)
        self.pending: dict[Future[Any], do.Effect | None] = {}
        """Effects that other threads perform; None for the check for workers."""
        self.abort_reason: str | None = None
        """Why the run ends early."""
        self.disk_is_full = False
        """Whether the run ends early because the disk is full."""
        self.auth_failed = False

    def perform(self, effect: do.Effect) -> Iterable[do.Effect | do.MachineEvent]:  # noqa: C901, PLR0912  # one a kind
        """Perform an effect; return what follows from it at once."""
        match effect:
            case do.Emit(event):
                if isinstance(event, Ordered):
                    self._index.drop_error(event.id)  # which is no longer the state of the scene
                self._reports.emit(event)
            case do.Fetch(task):
                return self._fetch(effect, task)
            case do.PlaceOrder(task):
                self._call(effect, self._calls.place, task)
            case do.PollOrders():
                self._call(effect, self._calls.poll, effect)
            case do.RenewLink():
                self._call(effect, self._calls.renew, effect)
            case do.LookUp(task):
                self._call(effect, self._calls.look_up, task)
            case do.Commit(task):
                self._call(effect, self.disk.commit, task)
            case do.SaveOrder(order):
                self._index.update_order(order)
            case do.Stage(task):
                return (self.disk.stage(task),)
            case do.KeepFile():
                return (self.disk.keep_file(effect),)
            case do.RecordFetch():
                return (self._unpacker.after_placing(self.disk.record_of(effect)),)
            case do.Unpack():
                return self._unpack(effect)
            case do.RecordScene():
                self._record(effect)
            case do.Move(action):
                return self.disk.move(action)
            case do.MoveAside(action):
                return self.disk.move_aside(action)
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
        if self.fetcher.begin_check_if_due():
            self._call(None, self.fetcher.check_for_workers)

    def close(self) -> None:
        """End what other threads do; the stop event is set."""
        for future in self.pending:
            future.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.fetcher.close()

    # -- results of other threads ------------------------------------------------------------------------------------

    def result(self, item: Result) -> tuple[do.MachineEvent, ...]:
        """Turn what another thread reports into events."""
        if isinstance(item, FetchRetry):
            self._retried(item)
        elif item is not None and item in self.pending:
            effect = self.pending.pop(item)
            if effect is not None:
                return self._ended(effect, item)
            if not item.exception() and (warning := self.fetcher.once_per_silence(item.result())) is not None:
                self._reports.warn(warning)
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
        if retry.allowed is not None and (warning := self.limits.reduce(retry.archive, retry.allowed)) is not None:
            self._reports.warn(warning)

    def _ended(self, effect: do.Effect, future: Future[Any]) -> tuple[do.MachineEvent, ...]:
        if isinstance(effect, do.Fetch):
            return (self.fetcher.ended(future),)
        if future.cancelled():
            return ()
        error = future.exception()
        # Other calls that are under way may still be allowed; each of them reports its own refusal.
        last = not isinstance(effect, do.RenewLink) or effect.task.is_last_source
        self.auth_failed = self.auth_failed or (isinstance(error, AuthenticationError) and last)
        if error is not None and not isinstance(error, SedasSyncError | OSError):
            error = SedasSyncError(sentence(error))
        result = None if error is not None else future.result()
        if isinstance(effect, do.PlaceOrder | do.PollOrders | do.RenewLink | do.LookUp | do.Commit | do.Unpack):
            return (do.Answered(effect, result, error),)
        raise AssertionError(effect)

    # -- effects -----------------------------------------------------------------------------------------------------

    def _call(self, effect: do.Effect | None, function: Callable[..., Any], *arguments: object) -> None:
        future = self._threads.submit(function, *arguments)
        self.pending[future] = effect
        future.add_done_callback(self.inbox.put)

    def _fetch(self, effect: do.Fetch, task: do.Task) -> tuple[do.MachineEvent, ...]:
        try:
            download = task.download or self._calls.locate(task)
            job = self.disk.job(task, download, self.limits.policies[task.archive])
        except Exception as error:  # noqa: BLE001  # an archive of a program may raise anything
            refused = isinstance(error, AuthenticationError) and task.is_last_source
            self.auth_failed = self.auth_failed or refused
            return (do.FetchEnded(task, None, error=error),)
        try:
            future = self.fetcher.submit(task, download, job)
        except SedasSyncError as error:
            return (do.FetchEnded(task, download, error=TransferError(str(error), fatal=True)),)
        self.pending[future] = effect
        future.add_done_callback(self.inbox.put)
        return ()

    def _unpack(self, effect: do.Unpack) -> tuple[do.MachineEvent, ...]:
        try:
            self._call(effect, self._unpacker.prepare(effect.record))
        except (SedasSyncError, OSError) as error:
            return (do.Answered(effect, error=error),)
        return ()

    def _record(self, effect: do.RecordScene) -> None:
        task, local = effect.task, effect.local
        self.disk.record(effect)
        if task.action.kind is ActionKind.REPLACE:
            kind = ChangeKind.CHANGED if task.action.replaces else ChangeKind.REPLACED
            add_changes(self._index, [Change(time=self._reports.now(), kind=kind, id=local.id)])
        self._reports.recorded(effect)

    def _fail(self, task: do.Task, error: str | BaseException) -> do.MachineEvent:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            self._abort(disk_error(str(self._root), error))
            return do.PutBack(task)
        # The link of an order expires with these statuses too.
        last = task.is_last_source and task.order is None
        if isinstance(error, TransferError) and error.status in LOGIN_REFUSED and last:
            self.auth_failed = True
        reason = error if isinstance(error, str) else sentence(error)
        return do.TaskFailed(task, reason)

    def _give_up(self, scene_id: SceneId, error: str | BaseException) -> None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            error = self._abort(disk_error(str(self._root), error))
        reason = error if isinstance(error, str) else sentence(error)
        self.disk.give_up(scene_id, reason)

    def _abort(self, error: SedasSyncError) -> str:
        """End the run early; return the first reason."""
        reason, left = str(error), self._bytes_planned - self._reports.bytes
        if error.disk_full and left > 0:
            free = free_space(str(self._root))
            reason = f"{reason} ({size(left)} still to come, {size(free)} free)"
        if self.abort_reason is None:
            self.abort_reason, self.disk_is_full = reason, error.disk_full
        self.stop.set()
        return self.abort_reason
