"""Performs effects: the only place where the decisions of the state machines become I/O."""

import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from time import monotonic
from typing import Annotated, Any, TypedDict

from msgspec import Meta, convert
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, list_files, locate_file, orders_of
from sedas_sync.errors import ArchiveError, AuthenticationError, SedasSyncError, TransferError, sentence
from sedas_sync.files import safe_tree
from sedas_sync.files.threads import Pool
from sedas_sync.model.arguments import Jobs
from sedas_sync.model.events import Adopted, Fetched, Ordered, Retried, Summary
from sedas_sync.model.history import Change, ChangeKind
from sedas_sync.model.order import Order
from sedas_sync.model.plan import NEEDS_ARCHIVE, ActionKind, Plan
from sedas_sync.model.scene import Download, Scene, SceneId
from sedas_sync.model.text import size
from sedas_sync.operations.apply import effects as do
from sedas_sync.operations.apply.disk import MirrorFiles
from sedas_sync.operations.apply.fetcher import Fetcher, FetchRetry
from sedas_sync.operations.apply.limits import ConnectionLimits
from sedas_sync.operations.apply.orders import PLACED_AT_ONCE
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.operations.apply.unpacks import AT_ONCE, is_unpacked
from sedas_sync.operations.context import MirrorContext, filehash_of
from sedas_sync.planning.limits import Confirm
from sedas_sync.state.history import add_changes
from sedas_sync.state.index import WritableIndex
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error
from sedas_sync.transfer.job import Policy

_API_THREADS = PLACED_AT_ONCE + 3 + AT_ONCE
_NO_LOGIN, _NO_RIGHT, _GONE = 401, 403, 404
_LOGIN_REFUSED = {
    _NO_LOGIN: "the server of the file does not accept this account's login",
    _NO_RIGHT: "this account has no right to download it",
}
"""What HTTP statuses of a server mean that refuses a login."""

Result = Future[Any] | FetchRetry | None
"""What another thread reports: the end of its work, or a download that is tried again. None only wakes the run."""


class RunOptions(TypedDict, total=False):
    """How a plan is carried out."""

    wait: bool
    """Wait for orders, at most the manifest's `order_timeout`; true by default."""
    jobs: Jobs | None
    """Concurrent downloads, instead of the manifest's."""
    executor: Executor | None
    """Any of `concurrent.futures` whose workers see the mirror's folder under the same path. The caller shuts it down.
    By default threads of this process."""
    take_over: bool
    """Take the mirror from the manifest it belongs to."""
    max_prune: int | str | None
    """How many files may be removed without a confirmation: a number, or a share such as `"20%"`. By default a tenth of
    the mirror, at least 5."""
    max_download: Annotated[int, Meta(ge=0)] | None
    """Bytes that the run may have to download, instead of the manifest's; 0 is no limit."""
    confirm: Confirm
    """Called with the number of removals and of scenes on disk if there are more. By default nobody can be asked, and
    only the oldest are removed."""
    confirm_replacing: Confirm
    """The same for replacements, if they are more than a fifth of the mirror."""
    finish: Callable[[Summary], Summary]
    """Called with the summary before the index stores it, and returns the one to store, for example with failures of
    what was done with the scenes."""
    command: str
    """The command that the index stores for the run; `apply` by default."""


class Performer:
    """Performs the effects of one run.

    Args:
        plan: what the run does.
        context: the mirror.
        archives: of the plan's scenes, by their keys in the manifest.
        index: open for writing.
        options: how the plan is carried out.
        reports: takes events.
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
        self._archives = archives
        self._index = index
        self._reports = reports
        self._bytes_planned = plan.bytes or 0
        self.unpack = context.manifest.mirror.unpack
        """Whether zips of products are unpacked."""
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
            executor=executor if any(action.kind in NEEDS_ARCHIVE for action in plan.actions) else None,
            stop=self.stop,
            on_retry=self.inbox.put,
        )
        self.disk = MirrorFiles(str(root), index, archives=archives, reports=reports)
        self._slots = {key: slot for slot, key in enumerate(archives)}
        self._threads = Pool(_API_THREADS)
        self.pending: dict[Future[Any], do.Effect | None] = {}
        """Effects that other threads perform; None for the check for workers."""
        self.abort_reason: str | None = None
        """Why the run ends early."""
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
                self._call(effect, self._place, task)
            case do.PollOrders():
                self._call(effect, self._poll, effect)
            case do.RenewLink():
                self._call(effect, self._renew, effect)
            case do.LookUp(task):
                self._call(effect, self._look_up, task)
            case do.Commit(task):
                self._call(effect, self.disk.commit, task)
            case do.SaveOrder(order):
                self._index.update_order(order)
            case do.Stage(task):
                return (self.disk.stage(task),)
            case do.KeepFile():
                return (self.disk.keep_file(effect),)
            case do.RecordFetch():
                return (self._placed(self.disk.record_of(effect)),)
            case do.Unpack(record):
                return self._begin_unpacking(effect, record)
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
        if self.fetcher.silent():
            self._call(None, self.fetcher.absence)

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
            if not item.exception() and (absence := self.fetcher.report_absence(item.result())) is not None:
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
        if retry.allowed is not None and (warning := self.limits.reduce(retry.archive, retry.allowed)) is not None:
            self._reports.warn(warning)

    def _ended(self, effect: do.Effect, future: Future[Any]) -> tuple[do.MachineEvent, ...]:
        if isinstance(effect, do.Fetch):
            return (self.fetcher.ended(future),)
        if future.cancelled():
            return ()
        error = future.exception()
        # Other calls that are under way may still be allowed; each of them reports its own refusal.
        elsewhere = isinstance(effect, do.RenewLink) and bool((effect.task.whole or effect.task).other_sources)
        self.auth_failed = self.auth_failed or (isinstance(error, AuthenticationError) and not elsewhere)
        if error is not None and not isinstance(error, SedasSyncError | OSError):
            error = SedasSyncError(sentence(error))
        result = None if error is not None else future.result()
        if isinstance(effect, do.PlaceOrder | do.PollOrders | do.RenewLink | do.LookUp | do.Commit | do.Unpack):
            return (do.Answered(effect, result, error),)
        raise AssertionError(effect)

    # -- calls to archives, each in a thread of its own --------------------------------------------------------------

    def _place(self, task: do.Task) -> Order:
        """Place an order; it is in the order journal when this returns.

        Raises:
            IndexUnwritableError: there is no room to write the order, so it was not placed.
            ArchiveError: the archive refused it.
        """
        orders = orders_of(self._archives[task.archive])
        if orders is None:
            raise RuntimeError(f"the archive {task.archive} takes no orders")
        slot = self._slots[task.archive]
        # Reserved first: an order that cannot be written down would be placed again by the next run.
        self._index.reserve_order(slot)
        order = replace(orders.place(task.scene), id=task.action.id, attempts=task.placed + 1)
        # Written in this thread: the run may be busy with downloads, and may be killed before it handles the answer.
        self._index.add_order(order)
        return order

    def _poll(self, request: do.PollOrders) -> tuple[Order, ...]:
        """Request the state of orders.

        Raises:
            ArchiveError: the archive does not answer.
        """
        orders = orders_of(self._archives[request.archive])
        return () if orders is None else tuple(orders.poll(request.orders))

    def _renew(self, request: do.RenewLink) -> Download | Order | Scene:
        """Request another link or token.

        Returns:
            The link; the order as it is now; or the scene, if it is no longer online.

        Raises:
            ArchiveError: the archive has no link.
            AuthenticationError: the server of the file refused the login, and there is no other.
        """
        task = request.task
        archive = self._archives[task.archive]
        orders = orders_of(archive) if request.from_order else None
        if orders is not None and task.order is not None:
            return next(iter(orders.poll([task.order])))
        if request.look_up:
            reasons: list[str] = []
            found = tuple(archive.look_up([task.scene.id], warn=reasons.append))
            for scene in found:
                if not scene.online and not scene.planned:
                    return scene
            if not found and reasons:
                # The archive states why it does not know the scene any more.
                raise ArchiveError("; ".join(reasons))
        try:
            return self._locate(task, request.refused)
        except ArchiveError as error:
            status = request.cause.status
            if status not in _LOGIN_REFUSED or error.status == _GONE:
                raise
            message = f"{error}: {_LOGIN_REFUSED[status]}"
            raise AuthenticationError(message, forbidden=status != _NO_LOGIN) from error

    def _look_up(self, task: do.Task) -> Scene | None:
        """Return a scene as its archive lists it now, with its files if only these are missing.

        Raises:
            ArchiveError: the archive does not answer.
        """
        if task.scene.unlisted:
            return list_files(self._archives[task.archive], task.scene)
        return next(iter(self._archives[task.archive].look_up([task.scene.id], warn=lambda _: None)), None)

    def _locate(self, task: do.Task, refused: Download | None = None) -> Download:
        scene = (task.whole or task).scene
        return locate_file(self._archives[task.archive], scene, task.file or scene.files[0], refused)

    # -- effects -----------------------------------------------------------------------------------------------------

    def _call(self, effect: do.Effect | None, function: Callable[..., Any], *arguments: object) -> None:
        future = self._threads.submit(function, *arguments)
        self.pending[future] = effect
        future.add_done_callback(self.inbox.put)

    def _fetch(self, effect: do.Fetch, task: do.Task) -> tuple[do.MachineEvent, ...]:
        try:
            download = task.download or self._locate(task)
            job = self.disk.job(task, download, self.limits.policies[task.archive])
        except (SedasSyncError, OSError) as error:
            last = not (task.whole or task).other_sources
            self.auth_failed = self.auth_failed or (isinstance(error, AuthenticationError) and last)
            return (do.FetchEnded(task, None, error=error),)
        try:
            future = self.fetcher.submit(task, download, job)
        except SedasSyncError as error:
            return (do.FetchEnded(task, download, error=TransferError(str(error), fatal=True)),)
        self.pending[future] = effect
        future.add_done_callback(self.inbox.put)
        return ()

    def _placed(self, record: do.RecordScene) -> do.RecordScene | do.ZipReady:
        """Return what follows when a scene that is one file is in place."""
        if not is_unpacked(record, unpack=self.unpack):
            return record
        held = record.task.action.local
        if held is None or held.packed is None:
            # Until it is unpacked the scene is its zip. The row of an older folder stays: it proves what is replaced.
            self.disk.record(record)
        return do.ZipReady(record)

    def _begin_unpacking(self, effect: do.Unpack, record: do.RecordScene) -> tuple[do.MachineEvent, ...]:
        try:
            unpacking = self.disk.unpacking(record)
        except (SedasSyncError, OSError) as error:
            return (do.Answered(effect, error=error),)

        def run() -> do.RecordScene:
            local, warnings = unpacking.run(self.stop.is_set)
            return replace(record, local=local, warnings=(*record.warnings, *warnings))

        self._call(effect, run)
        return ()

    def _record(self, effect: do.RecordScene) -> None:
        task, local = effect.task, effect.local
        self.disk.record(effect)
        if task.action.kind is ActionKind.ADOPT:
            for warning in effect.warnings:
                self._reports.warn(warning, local.id)
            self._reports.emit(Adopted(time=self._reports.now(), id=local.id, path=local.path, size=local.size))
            return
        if task.action.kind is ActionKind.REPLACE:
            kind = ChangeKind.CHANGED if task.action.replaces else ChangeKind.REPLACED
            add_changes(self._index, [Change(time=self._reports.now(), kind=kind, id=local.id)])
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
        # The link of an order expires with these statuses too.
        last = not (task.whole or task).other_sources and task.order is None
        if isinstance(error, TransferError) and error.status in _LOGIN_REFUSED and last:
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
            free = safe_tree.free_space(str(self._root))
            reason = f"{reason} ({size(left)} still to come, {size(free)} free)"
        self.abort_reason = self.abort_reason or reason
        self.stop.set()
        return self.abort_reason
