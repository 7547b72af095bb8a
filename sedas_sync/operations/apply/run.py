"""Carries out a plan: the loop that waits, and performs the effects of the state machines.

`Run.events` is a generator. It runs in the thread of its consumer, writes the index only there, and yields events. The
machines decide (`orders`, `assembly`, `downloads`, `file_moves`, `unpacks`), and `perform` carries out their effects.
Nothing is done that the plan does not contain, except what its orders and links require.
"""

import queue
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from time import monotonic

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, is_stopped, orders_of
from sedas_sync.errors import AuthenticationError
from sedas_sync.files.disk_space import free_space
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.events import Event, Failed, Progress, Skipped, Started, exit_code_of
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.order import OrderState
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.scene import DesiredScene
from sedas_sync.model.text import size
from sedas_sync.operations.apply import effects as do
from sedas_sync.operations.apply.assembly import SceneAssembler
from sedas_sync.operations.apply.downloads import DownloadQueue
from sedas_sync.operations.apply.file_moves import FileMoves
from sedas_sync.operations.apply.leftovers import discard_partial, recover_folders
from sedas_sync.operations.apply.options import RunOptions
from sedas_sync.operations.apply.orders import OrderQueues
from sedas_sync.operations.apply.perform import Performer, Result
from sedas_sync.operations.apply.removals import Removals, remove_old
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.operations.apply.unpacks import UnpackQueue, must_be_unpacked
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.prune import clock_doubt
from sedas_sync.state.connection import INDEX
from sedas_sync.state.index import WritableIndex
from sedas_sync.transfer.partial import remove_stale_notes

_TICK = 0.5
_DRAINED_AT_ONCE = 50
_GRACE = 10.0
"""Seconds that a run which ends waits for answers of archives and workers."""
_PROGRESS_EVERY = 0.2


class Run:
    """One run of a plan.

    Args:
        plan: What to do.
        context: The mirror, whose lock the caller holds.
        archives: Of the plan's scenes, by their keys in the manifest.
        index: Open for writing.
        options: How the plan is carried out.
    """

    def __init__(
        self,
        plan: Plan,
        context: MirrorContext,
        *,
        archives: Mapping[str, Archive],
        index: WritableIndex,
        options: RunOptions,
    ) -> None:
        self._plan = plan
        self._bytes_planned = plan.bytes
        self._context = context
        self._root = context.state.root
        self._archives = archives
        self._index = index
        self._stopping = False
        """Whether the machines know that the run ends."""
        self._stopping_since = 0.0
        self._actions = plan.by_kind
        self._orders = OrderQueues(
            ((key, orders_of(archive) is not None) for key, archive in archives.items()),
            max_orders=context.manifest.transfer.max_orders,
            wait=options.get("wait", True),
        )
        self._assembler = SceneAssembler()
        self._downloads = DownloadQueue()
        self._unpack = context.manifest.mirror.unpack
        records = map(_record_on_disk, self._actions[ActionKind.ADOPT])
        self._zips = [record for record in records if record and must_be_unpacked(record, unpack=self._unpack)]
        unpacked = {record.local.id for record in self._zips}
        self._moves = FileMoves(action for action in self._actions[ActionKind.ADOPT] if action.id not in unpacked)
        self._unpacks = UnpackQueue()
        self._machines = (self._orders, self._assembler, self._downloads, self._moves, self._unpacks)
        self._reports = Reports(kept=len(self._actions[ActionKind.KEEP]), failures=plan.failures, now=context.clock)
        self._performer = Performer(
            plan, context, archives=archives, index=index, options=options, reports=self._reports
        )
        self._stop, self._inbox = self._performer.stop, self._performer.inbox
        self._limits, self._fetcher, self._disk = self._performer.limits, self._performer.fetcher, self._performer.disk
        self._warnings = self._limits.warnings
        self._index_warnings = len(index.warnings)
        # Before the run is recorded, because its own start would confirm the clock.
        self.clock_doubt = clock_doubt(context)
        self._began = monotonic()
        self._progress_at = 0.0

    def stop(self, exit_code: int = 130) -> None:
        """Request the run to end in order; may be called from a signal handler or another thread."""
        self._context.record_stop(exit_code)
        self._stop.set()
        for archive in self._archives.values():
            archive.stop()
        self._inbox.put(None)

    def prepare(self) -> None:
        """Check that the workers of an executor can work in this mirror, before anything is done.

        Raises:
            ManifestError: They cannot; names the workers and the reasons.
            SedasSyncError: The executor cannot run anything.
        """
        warning = self._fetcher.prepare()
        if warning is not None:
            self._warnings = (*self._warnings, warning)

    def events(self) -> Iterator[Event]:
        """Carry out the plan; the last event is the `Summary`."""
        self._began = monotonic()
        try:
            yield self._started()
            self._begin()
            yield from self._reports.take()
            while self._busy():
                self._start_downloads()
                yield from self._reports.take()
                self._receive()
                self._report_progress()
                self._performer.check_workers()
                self._warn_of_index()
                yield from self._reports.take()
        finally:
            self._stop.set()
            self._performer.close()
        self._count_unfinished()
        yield from Removals(
            str(self._root),
            self._index,
            self._reports,
            stopped=lambda: self._context.stopped_with is not None,
            disk_full=self._performer.abort_reason if self._performer.disk_is_full else None,
        ).remove_unwanted(self._plan)
        self._tidy()
        self._warn_of_index()
        for refusal in self._plan.left_undone:
            self._reports.fail(refusal.id, refusal.error)
        if self._index.unwritten is not None and not (self._performer.abort_reason and self._reports.failures):
            self._reports.fail(INDEX, str(self._index.unwritten))
        yield from self._reports.take()
        calls = self._context.archives.take_calls()
        yield self._reports.summary(monotonic() - self._began, self._exit_code(), calls)

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _now(self) -> do.Now:
        return do.Now(monotonic(), self._reports.now())

    def _busy(self) -> bool:
        self._notice_stop()
        if self._stopping:
            # Threads of this process always end; archives and workers may never answer.
            own = self._downloads.running and not self._fetcher.remote
            return bool(own or (self._performer.pending and monotonic() - self._stopping_since < _GRACE))
        if self._downloads.ready or self._performer.pending or self._assembler.unfinished or self._unpacks.unfinished:
            return True
        return (
            self._orders.worth_waiting(self._now())
            and monotonic() - self._began < self._context.manifest.transfer.order_timeout
        )

    def _notice_stop(self) -> None:
        if not self._stop.is_set() and any(is_stopped(archive) for archive in self._archives.values()):
            self.stop()
        if self._stop.is_set() and not self._stopping:
            self._stopping, self._stopping_since = True, monotonic()
            self._fetcher.stop_workers()
            self._handle(do.StopRequested())

    def _start_downloads(self) -> None:
        downloads = self._downloads
        self._notice_stop()
        self._handle(do.TimePassed(idle=not downloads.ready and not downloads.running))
        while len(downloads.running) < self._fetcher.window and not self._stop.is_set():
            full = self._limits.full(task.archive for task in downloads.running)
            if len(full) == len(self._archives):
                return
            task = self._assembler.next_file(full) or downloads.next(full)
            if task is None:
                return
            if task.scene.is_folder:
                self._handle(*self._assembler.begin(task, self._now()))
            else:
                downloads.begin(task, self._now())
                self._handle(do.Fetch(task))
            # An archive that somebody stops puts its scenes back, and they would be started again at once.
            self._notice_stop()

    def _receive(self) -> None:
        """Handle results of other threads; waits for the first one until something is due."""
        try:
            first = self._inbox.get(timeout=max(0.001, min(_TICK, self._orders.due(self._now()))))
        except queue.Empty:
            # A thread that has no memory left cannot report its end.
            for future in [future for future in self._performer.pending if future.done()]:
                self._take(future)
            self._disk.save()
        else:
            # All results that have arrived share one commit of the index.
            with self._index.together():
                try:
                    self._take(first)
                    with suppress(queue.Empty):
                        for _ in range(_DRAINED_AT_ONCE):
                            self._take(self._inbox.get_nowait())
                finally:
                    self._disk.save()
        self._disk.clean()

    def _take(self, item: Result) -> None:
        self._notice_stop()
        self._handle(*self._performer.result(item))

    def _handle(self, *items: do.Effect | do.MachineEvent) -> None:
        """Perform effects and pass events to the machines, until nothing follows from them."""
        todo = deque(items)
        now = self._now()
        while todo:
            item = todo.popleft()
            if isinstance(item, do.Effect):
                todo.extend(self._performer.perform(item))
            else:
                for machine in self._machines:
                    todo.extend(machine.handle(item, now))

    # -- beginning and end -------------------------------------------------------------------------------------------

    def _started(self) -> Started:
        plan = self._plan
        return Started(
            time=self._reports.now(),
            manifest=plan.manifest,
            mirror=plan.mirror,
            todo={kind.value: count for kind, count in plan.counts.items() if count},
            bytes=self._bytes_planned,
            free=free_space(str(self._root)),
        )

    def _begin(self) -> None:
        """Do what needs no archive, and give the scenes of the plan to the machines."""
        plan, root = self._plan, str(self._root)
        remove_stale_notes(root, f"{STATE}/partial")
        free = free_space(root)
        sizes = [action.size or 0 for action in plan.of(TRANSFERS)]
        # For a while a zip and its folder exist side by side.
        needed = sum(sizes) + (max(sizes, default=0) if self._unpack else 0)
        if free is not None and needed > free:
            self._reports.warn(
                f"{size(needed)} have to be downloaded and only {size(free)} are free in {root}: make room, or the run "
                "stops when the disk is full, and the next one continues"
            )
        for warning in (*self._warnings, *plan.warnings):
            self._reports.warn(warning)
        for failure in plan.failures:
            self._reports.emit(Failed(time=self._reports.now(), id=failure.id, error=failure.error))
        for order in plan.polled:
            self._index.update_order(order)
        self._index.put_times(plan.refreshed)
        for action in self._actions[ActionKind.SKIP]:
            self._reports.emit(Skipped(time=self._reports.now(), id=action.id, reason=action.reason))
        recover_folders(root, self._index, self._reports)
        self._handle(*self._moves.start())
        on_disk = (*self._actions[ActionKind.KEEP], *self._actions[ActionKind.ADOPT])
        discard_partial(root, on_disk, {record.local.id for record in self._zips})
        self._handle(*map(do.ZipReady, self._zips))
        self._disk.forget_past(self._actions[ActionKind.KEEP])
        for kind in (ActionKind.RESUME, ActionKind.REPLACE, ActionKind.FETCH, ActionKind.ORDER, ActionKind.WAIT):
            self._handle(*(_first_event(action) for action in self._actions[kind] if action.wanted is not None))

    def _count_unfinished(self) -> None:
        """Count what was not finished: failed if the run had to end, pending otherwise."""
        assembled = {task.action.id for task in self._assembler.unfinished}
        others = [task for task in self._downloads.unfinished if task.file is None and task.action.id not in assembled]
        downloads = (*others, *self._assembler.unfinished)
        for task in (*downloads, *self._orders.unfinished, *self._unpacks.unfinished):
            if self._performer.abort_reason is not None:
                self._handle(do.GiveUp(task.action.id, self._performer.abort_reason))
            else:
                self._reports.pending += 1
        if self._performer.abort_reason is None:
            self._reports.unfinished = len(downloads)
            self._reports.unordered = self._orders.unplaced

    def _tidy(self) -> None:
        """Remove what the manifest lets go in time: only what is old by a clock that nothing contradicts."""
        keep = self._context.manifest.mirror.keep_replaced
        if keep is not None and self._context.stopped_with is None and self.clock_doubt is None:
            remove_old(str(self._root), self._reports.now() - timedelta(seconds=keep), self._reports)
        self._index.compact()

    def _exit_code(self) -> int:
        if self._context.stopped_with is not None:
            return self._context.stopped_with
        if self._performer.auth_failed:
            return AuthenticationError.exit_code
        if self._reports.failures:
            return exit_code_of(self._reports.failures)
        return 3 if self._reports.pending else 0

    # -- reports -----------------------------------------------------------------------------------------------------

    def _warn_of_index(self) -> None:
        """Report problems of the index, except that it cannot be written, which is a failure at the end of the run."""
        for warning in self._index.warnings[self._index_warnings :]:
            if warning != str(self._index.unwritten):
                self._reports.warn(warning)
        self._index_warnings = len(self._index.warnings)

    def _report_progress(self) -> None:
        if monotonic() < self._progress_at:
            return
        self._progress_at = monotonic() + _PROGRESS_EVERY
        active = self._fetcher.active(self._assembler.bytes_of)
        oldest, now = self._orders.oldest, self._reports.now()
        tasks = (*self._downloads.active, *self._assembler.unfinished, *self._orders.unfinished)
        self._reports.emit(
            Progress(
                time=now,
                done=self._reports.done,
                # A scene of several files is in more than one of these at a time.
                total=self._reports.done + len(self._downloads.ready) + len({task.action.id for task in tasks}),
                bytes=self._reports.bytes + sum(transfer.done for transfer in active),
                bytes_total=self._bytes_planned,
                pending=len(self._orders.pending),
                oldest_order_seconds=None if oldest is None else max(0.0, round((now - oldest).total_seconds(), 1)),
                active=active,
                workers=self._fetcher.workers,
            )
        )


def _task_of(action: Action, want: DesiredScene) -> do.Task:
    source, *others = want.sources
    return do.Task(
        action=action,
        scene=source.scene,
        archive=source.archive,
        other_sources=tuple(others),
        order=action.order,
        orders_placed=0 if action.order is None else action.order.attempts,
    )


def _record_on_disk(action: Action) -> do.RecordScene | None:
    """Return a scene that is on disk as what the index has to store; None if it is not known."""
    if action.wanted is None or action.local is None:
        return None
    local = replace(action.local, facts=metadata_of(action.wanted.scene))
    return do.RecordScene(_task_of(action, action.wanted), local, bytes=0, received=0)


def _first_event(action: Action) -> do.MachineEvent | do.Effect:
    """Return the event with which the machines begin an action."""
    order = action.order
    if action.wanted is None:
        raise AssertionError(action)
    task = _task_of(action, action.wanted)
    if action.kind is ActionKind.WAIT:
        # Without an order in the journal, only a later run can find the scene online.
        if order is None:
            return do.LeavePending(action.id)
        # The queue reports an order that has failed too often, and when it is placed again.
        return do.OrderNeeded(task) if order.state is OrderState.FAILED else do.OrderPending(task)
    if action.kind is ActionKind.ORDER:
        return do.OrderNeeded(task)
    if order is not None:
        task.scene = replace(task.scene, download_url=order.download_url)
    return do.SceneReady(task)
