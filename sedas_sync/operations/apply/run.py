"""Carrying out a plan: order → fetch → record → tell.

`Run.events` is a generator: it drives everything from the thread that consumes it, writes the index from there alone,
and yields what happens. Workers only fetch, place or poll; they return values and never sleep on an order. Deciding
what to do is `sedas_sync.planning.compare`'s; nothing is done here that the plan does not say, but for what its orders
and links turn out to need.
"""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import DISK_FULL, AuthenticationError, SedasSyncError, TransferError, sentence
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import Filehash
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.events import (
    Event,
    Failed,
    Failure,
    Fetched,
    Progress,
    Retried,
    Skipped,
    Started,
    Summary,
    Transfer,
    Warned,
    exit_code_of,
)
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan, kept_until
from sedas_sync.model.scene import Download, LocalScene, Order, Scene, SceneId
from sedas_sync.model.text import size
from sedas_sync.model.threads import Pool
from sedas_sync.operations.apply.assembly import SceneAssembler
from sedas_sync.operations.apply.file_moves import FileMover
from sedas_sync.operations.apply.limits import ConnectionLimits
from sedas_sync.operations.apply.orders import PLACED_AT_ONCE, Answered, OrderQueues, Task
from sedas_sync.state.index import WritableIndex
from sedas_sync.state.staging import partial_path
from sedas_sync.transfer import FetchJob, FetchResult, FetchStopped, Policy, SharedState, fetch, partial_of
from sedas_sync.transfer.answers import allowed_connections
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error
from sedas_sync.transfer.partial import remove_stale_notes
from sedas_sync.workers.claim import clear, fetch_claimed
from sedas_sync.workers.pool import FOLDER, WorkerLost, WorkerPool, remove_run_folder
from sedas_sync.workers.remote_job import RemoteRetry

MAX_RELOCATIONS = 2
"""How often a refused link or token is asked for again, a scene."""
MAX_LOSSES = 3
"""How often a scene is given to another worker when the one that had it was lost."""
_TOKEN_STATUSES = (400, 401, 403)
"""What a download server answers to a token it does not take."""
_API_THREADS = PLACED_AT_ONCE + 3
_FOR_WORKERS = TRANSFERS | {ActionKind.ORDER, ActionKind.WAIT}
_TICK = 0.5
_DRAINED_AT_ONCE = 50
_SILENCE = 30.0
"""Seconds without a word from workers after which it is asked whether there are any."""
_GRACE = 10.0
_PROGRESS_EVERY = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run needs to know besides its plan."""

    jobs: int = 4
    policy: Policy = field(default_factory=Policy)
    max_rate: int = 0
    """Bytes a second over all downloads; 0 for no limit."""
    order_timeout: float = 86400.0
    """Seconds."""
    max_orders: int = 0
    """0 for no limit."""
    wait: bool = True
    """Wait for orders that are not ready."""
    filehash: Mapping[str, Filehash] = field(default_factory=dict)
    """For each archive's key: warn, enforce or ignore."""


class Run:
    """One carrying-out of a plan.

    Args:
        plan: what to do.
        root: the mirror's folder.
        archives: by their keys in the manifest.
        index: open for writing; the caller holds the mirror's lock.
        options: transfer settings.
        now: gives the present instant, UTC.
        executor: whose workers fetch; threads of this process where None. The caller owns one it hands in.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        root: Path,
        archives: Mapping[str, Archive],
        index: WritableIndex,
        options: Options,
        now: Callable[[], datetime],
        executor: Executor | None = None,
    ) -> None:
        self.plan = plan
        self.root = root
        self.archives = archives
        self.index = index
        self.options = options
        self.now = now
        self.executor = executor
        self.stopped_with: int | None = None
        """The exit code of whoever asked the run to end."""
        self.auth_failed = False
        self._halt = threading.Event()
        self._crew: WorkerPool | None = None
        self._heard_at = 0.0
        """When an errand was last handed out, or came back."""
        self._alone = False
        """Whether it was said since then that no worker is left."""
        self._strays = False
        """Whether workers of an earlier run may be at scenes that are fetched here."""
        self._fetch: Callable[[FetchJob], Future[FetchResult]]
        self._api: Executor | None = None
        self._halted_at: float | None = None
        self._abort: str | None = None
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._out: deque[Event] = deque()
        self._ready: deque[Task] = deque()
        self._moving: dict[str, tuple[int, int | None]] = {}
        self._transfers: dict[Future[FetchResult], Task] = {}
        self._arranger = FileMover(self, str(root), index, now)
        self._gatherer = SceneAssembler(self, str(root), self._arranger.clear_the_way)
        self._to_record: list[LocalScene] = []
        self._calls: dict[Future[Any], tuple[Task | None, Answered]] = {}
        self._desks = OrderQueues(
            self, archives=archives, index=index, now=now, max_orders=options.max_orders, wait=options.wait
        )
        self._allowance = ConnectionLimits(
            archives,
            jobs=options.jobs,
            policy=options.policy,
            filehash=options.filehash,
            elsewhere=executor is not None,
        )
        self._said = self._allowance.said
        self._count = dict.fromkeys(("fetched", "kept", "pending", "skipped"), 0)
        self._warnings = 0
        self._failures: list[Failure] = []
        self._bytes = 0
        self._done = 0
        self._index_said = len(index.warnings)
        self._index_full: str | None = None
        """That the index found the disk full; a run that ends for the same reason says it once, for everything."""
        self._started = monotonic()
        self._progress_at = 0.0

    @property
    def interrupted(self) -> bool:
        """Whether the run was asked to end."""
        return self.stopped_with is not None

    def stop(self, exit_code: int = 130) -> None:
        """Ask the run to end in order; may be called from a signal handler or another thread.

        Args:
            exit_code: what the process will end with.
        """
        self.stopped_with = exit_code if self.stopped_with is None else self.stopped_with
        self._halt.set()
        for archive in self.archives.values():
            archive.stop()
        self._inbox.put(lambda: None)

    def muster(self) -> None:
        """Find out whether the workers of an executor can work in this mirror, before anything is done.

        Raises:
            ManifestError: they cannot; names those that were asked, and why.
            SedasSyncError: the executor cannot run anything.
        """
        if self.executor is None or not any(action.kind in _FOR_WORKERS for action in self.plan.actions):
            self._strays = clear(str(self.root), FOLDER)
            return
        self._crew = WorkerPool(
            self.executor,
            self.root,
            jobs=self._allowance.jobs,
            max_rate=self.options.max_rate,
            on_retry=self._on_retry_elsewhere,
        )
        said = self._crew.muster(lambda: self.halted)
        self._said = (*self._said, said) if said is not None else self._said

    def events(self) -> Iterator[Event]:
        """Carry the plan out; the last event is the `Summary`."""
        self._started = monotonic()
        own = Pool(self._allowance.jobs, "fetch")
        live = SharedState(
            stop=self._halt,
            jobs=self._allowance.jobs,
            max_rate=self.options.max_rate,
            on_bytes=self._on_bytes,
            on_retry=self._on_retry,
        )
        if self._crew is not None:
            self._fetch = self._crew.submit
        elif self._strays:
            self._fetch = lambda job: own.submit(fetch_claimed, job, live, FOLDER, "this run")
        else:
            self._fetch = lambda job: own.submit(fetch, job, live)
        self._api = Pool(_API_THREADS, "orders")
        try:
            yield self._start()
            self._take_up()
            yield from self._told()
            while self._busy():
                self._feed()
                yield from self._told()
                self._receive()
                self._report_progress()
                self._look_for_workers()
                self._warn_of_index()
                yield from self._told()
        finally:
            self._halt.set()
            for future in (*self._transfers, *self._calls):
                future.cancel()
            self._api.shutdown(wait=False, cancel_futures=True)
            if self._crew is not None:
                self._crew.dismiss()
            own.shutdown(wait=True, cancel_futures=True)
            live.close()
            if self._strays:
                remove_run_folder(self.root)
        self._settle()
        yield from self._prune()
        self._warn_of_index()
        if self._index_full is not None and self._abort is None:
            self.warn(self._index_full)
        yield from self._told()
        yield self._summary()

    # -- beginning and end -----------------------------------------------------------------------------------------

    def _start(self) -> Event:
        todo = {kind.value: count for kind, count in self.plan.counts.items() if count}
        return Started(
            time=self.now(),
            manifest=self.plan.manifest,
            mirror=self.plan.mirror,
            todo=todo,
            bytes=self.plan.bytes,
            free=safe_tree.free_space(str(self.root)),
        )

    def _take_up(self) -> None:
        """Sort the plan's actions into the queues, and do at once what needs no archive."""
        remove_stale_notes(str(self.root), f"{STATE}/partial")
        self._room()
        for warning in (*self._said, *self.plan.warnings):
            self.warn(warning)
        for failure in self.plan.failures:
            self._failures.append(failure)
            self.tell(Failed(time=self.now(), id=failure.id, error=failure.error))
        for order in self.plan.polled:
            self.index.update_order(order)
        self.index.put_times(self.plan.refreshed)
        by_kind: dict[ActionKind, list[Action]] = {kind: [] for kind in ActionKind}
        for action in self.plan.actions:
            by_kind[action.kind].append(action)
        self._count["kept"] = len(by_kind[ActionKind.KEEP])
        self._count["skipped"] = len(by_kind[ActionKind.SKIP])
        for action in by_kind[ActionKind.SKIP]:
            self.tell(Skipped(time=self.now(), id=action.id, reason=action.reason))
        left = self._arranger.recover()
        self._arranger.adopt_all(by_kind[ActionKind.ADOPT])
        for action in (*by_kind[ActionKind.KEEP], *by_kind[ActionKind.ADOPT]) if left else ():
            if action.want is not None and partial_path(action.want.scene) in left:
                safe_tree.discard(str(self.root), partial_path(action.want.scene))
        for kind in (ActionKind.RESUME, ActionKind.REPLACE, ActionKind.FETCH, ActionKind.ORDER, ActionKind.WAIT):
            for action in by_kind[kind]:
                if action.want is not None:
                    self._queue(action, action.want.scene)

    def _queue(self, action: Action, scene: Scene) -> None:
        order = action.order
        task = _task(action, scene)
        if action.kind is ActionKind.WAIT and order is None:
            # Nothing of ours can hasten it: a later run asks again.
            self._count["pending"] += 1
        elif action.kind is ActionKind.WAIT:
            self._desks.of(task).await_order(task)
        elif action.kind is ActionKind.ORDER:
            self._desks.of(task).take(task)
        else:
            if order is not None:
                task.scene = replace(task.scene, download_url=order.download_url)
            self._ready.append(task)

    def _room(self) -> None:
        free = safe_tree.free_space(str(self.root))
        needed = sum(action.size or 0 for action in self.plan.actions if action.kind in TRANSFERS)
        if needed > free:
            self.warn(
                f"{size(needed)} are to be fetched and only {size(free)} are free in {self.root}: make room, or "
                "the run stops when the disk is full, and goes on later"
            )

    def _settle(self) -> None:
        """Account for what was not finished: failed where the run had to give up, pending otherwise."""
        asked = [task for task, _ in self._calls.values() if task is not None]
        gathered = {task.action.id for task in self._gatherer.tasks}
        single = [t for t in (*self._transfers.values(), *asked) if t.asset is None and t.action.id not in gathered]
        for task in (*self._ready, *single, *self._gatherer.tasks, *self._desks.pending):
            if self._abort is not None:
                self.fail(task, self._abort)
            else:
                self._count["pending"] += 1

    def _prune(self) -> Iterator[Event]:
        """Remove what is no longer wanted, last and only if everything else went well."""
        prunes = [action for action in self.plan.actions if action.kind is ActionKind.PRUNE]
        if prunes and (self._failures or self.interrupted):
            self.warn(f"{len(prunes)} files that are no longer wanted stay, since not everything else was done")
            prunes = []
        yield from self._told()
        here: dict[SceneId, bool] = {}
        lacking: dict[int, list[SceneId]] = {}
        for action in prunes:
            if self.interrupted:
                return
            # Many wait for the same scenes, each of which is looked at once.
            if id(action.after) not in lacking:
                here.update((i, self._arranger.has(i)) for i in action.after if i not in here)
                lacking[id(action.after)] = [scene_id for scene_id in action.after if not here[scene_id]]
            if missing := lacking[id(action.after)]:
                self.warn(f"{action.path}: {kept_until(missing)}", action.id)
            else:
                self._arranger.prune(action)
            yield from self._told()
        if not (self._failures or self.interrupted):
            self._arranger.forget(self.plan.unwanted_downloads, but={action.id for action in self.plan.actions})

    def _warn_of_index(self) -> None:
        for warning in self.index.warnings[self._index_said :]:
            if DISK_FULL in warning:
                self._index_full = warning
            else:
                self.warn(warning)
        self._index_said = len(self.index.warnings)

    def _summary(self) -> Summary:
        summary = Summary(
            time=self.now(),
            **self._count,
            adopted=self._arranger.adopted,
            ordered=self._desks.placed,
            pruned=self._arranger.pruned,
            failed=len(self._failures),
            warnings=self._warnings,
            bytes=self._bytes,
            seconds=round(monotonic() - self._started, 3),
            failures=tuple(self._failures),
        )
        return replace(summary, exit_code=self._exit_code(summary))

    def _exit_code(self, summary: Summary) -> int:
        if self.stopped_with is not None:
            return self.stopped_with
        if self.auth_failed:
            return AuthenticationError.exit_code
        if summary.failures:
            return exit_code_of(summary.failures)
        if self.plan.refused or self.index.unwritten:
            return SedasSyncError.exit_code
        return 3 if summary.pending else 0

    # -- the loop ----------------------------------------------------------------------------------------------------

    @property
    def halted(self) -> bool:
        """The run is coming to its end: nothing new is begun, nothing fails any more."""
        return self._halt.is_set()

    def _busy(self) -> bool:
        if self.halted:
            # An order that is being placed is worth waiting for, a slow server is not.
            if self._halted_at is None:
                self._halted_at = monotonic()
                if self._crew is not None:
                    self._crew.dismiss()
            # Threads of our own always come to their end, workers elsewhere may be gone.
            ours = self._transfers if self._crew is None else ()
            return bool(ours or ((self._calls or self._transfers) and monotonic() - self._halted_at < _GRACE))
        if self._ready or self._transfers or self._calls or self._gatherer:
            return True
        return self._desks.worth_waiting and monotonic() - self._started < self.options.order_timeout

    def _feed(self) -> None:
        if self.halted:
            return
        self._desks.step(idle=not self._ready and not self._transfers)
        # A thread that has ended a job finds its next one waiting; with workers, jobs in flight are all there are.
        window = self._crew.window if self._crew is not None else 2 * self._allowance.jobs
        while len(self._transfers) < window and not self.halted and (task := self._next_ready()) is not None:
            self._submit(task)

    def _next_ready(self) -> Task | None:
        """Take the first scene, or file of a scene that is begun, whose archive allows one more download now."""
        full = self._allowance.full(task.archive for task in self._transfers.values())
        file = self._gatherer.next(full)
        while file is None and not self.halted:
            task = self._take_ready(full)
            if task is None or not task.scene.assets:
                return task
            self._gatherer.begin(task)
            file = self._gatherer.next(full)
        return file

    def _take_ready(self, full: AbstractSet[str]) -> Task | None:
        if not full:
            return self._ready.popleft() if self._ready else None
        if len(full) == len(self.archives):
            return None
        for position, task in enumerate(self._ready):
            if task.archive not in full:
                del self._ready[position]
                return task
        return None

    def _put_back(self, task: Task) -> None:
        """Have it fetched after all: first of those that wait."""
        if task.asset is None:
            self._ready.appendleft(task)
        else:
            self._gatherer.put_back(task)

    def _receive(self) -> None:
        """Handle what workers have sent; waits for the first of it until something else is due."""
        try:
            first = self._inbox.get(timeout=max(0.001, min(_TICK, self._desks.due)))
        except queue.Empty:
            self._look_for_lost()
            return
        # What has come in meanwhile shares one commit.
        with self.index.together():
            try:
                first()
                for _ in range(_DRAINED_AT_ONCE):
                    self._inbox.get_nowait()()
            except queue.Empty:
                pass
            finally:
                done, self._to_record = self._to_record, []
                self.index.put_files(done, self.now())
        self._gatherer.clean()

    def _look_for_lost(self) -> None:
        """Handle what has ended and could not say so, for want of memory."""
        for future in [future for future in self._transfers if future.done()]:
            self._transferred(future)
        for future, (_, then) in [item for item in self._calls.items() if item[0].done()]:
            self._called(future, then)
        done, self._to_record = self._to_record, []
        self.index.put_files(done, self.now())

    def call(self, task: Task | None, deed: Callable[[], Any], then: Answered) -> None:
        """Do something slow on a thread of its own, and handle its answer in the loop."""
        if self._api is None:
            raise RuntimeError("the run has not begun")
        future = self._api.submit(deed)
        self._calls[future] = task, then
        future.add_done_callback(lambda future: self._inbox.put(lambda: self._called(future, then)))

    def _called(self, future: Future[Any], then: Answered) -> None:
        if future.cancelled() or self._calls.pop(future, None) is None:
            return
        error = future.exception()
        if isinstance(error, AuthenticationError):
            # What else is under way may still be allowed; what is not will say so by itself.
            self.auth_failed = True
        elif error is not None and not isinstance(error, SedasSyncError):
            error = SedasSyncError(sentence(error))
        then(None if error is not None else future.result(), error)

    def _give_up(self, why: str) -> None:
        """End the run early: no other scene would fare better."""
        self._abort = self._abort or why
        self._halt.set()

    def _with_room(self, why: str) -> str:
        """The same, with the room that the scenes still to come take, where that is what is missing."""
        left = (self.plan.bytes or 0) - self._bytes
        if DISK_FULL not in why or left <= 0:
            return why
        return f"{why} ({size(left)} still to come, {size(safe_tree.free_space(str(self.root)))} free)"

    def ready(self, task: Task) -> None:
        """A scene can be fetched."""
        self._ready.append(task)

    # -- transfers ---------------------------------------------------------------------------------------------------

    def _submit(self, task: Task) -> None:
        action = task.action
        gives_way: safe_tree.Replace = False
        try:
            if task.download is None:
                task.download = self.archives[task.archive].locate(task.scene)
            if task.asset is None and (action.blocked or action.held is not None):
                ours = action.held if action.kind is ActionKind.REPLACE else None
                gives_way = self._arranger.clear_the_way(action.path, ours=ours)
        except (SedasSyncError, OSError) as error:
            self.auth_failed = self.auth_failed or (isinstance(error, AuthenticationError) and not task.elsewhere)
            self.fail(task, error)
            return
        job = self._job(task, task.download, gives_way)
        if job is None:
            return
        task.began = task.began or monotonic()
        try:
            future = self._fetch(job)
        except SedasSyncError as error:
            if task.asset is not None:
                self._gatherer.landed(task, None)
            self._put_back(task)
            self._give_up(str(error))
            return
        self._heard_at = monotonic()
        self._transfers[future] = task
        future.add_done_callback(lambda future: self._inbox.put(lambda: self._transferred(future)))

    def _job(self, task: Task, download: Download, gives_way: safe_tree.Replace) -> FetchJob | None:
        action = task.action
        if task.asset is not None:
            return self._gatherer.job(task, download, self._allowance.policies[task.archive])
        return FetchJob(
            id=action.id,
            download=download,
            root=str(self.root),
            path=action.path,
            partial=partial_path(task.scene),
            policy=self._allowance.policies[task.archive],
            sha256=None if action.want is None else action.want.sha256,
            replace=gives_way,
        )

    def _transferred(self, future: Future[FetchResult]) -> None:
        task = self._transfers.pop(future, None)
        if task is None:
            return
        self._heard_at, self._alone = monotonic(), False
        if task.asset is not None:
            self._gatherer.landed(task, None if future.cancelled() or future.exception() else future.result())
        moved, _ = self._moving.pop(task.action.id, (0, None))
        if future.cancelled():
            self._put_back(task)
            return
        error = future.exception()
        if error is None and self._crew is not None:
            self._crew.count(future.result())
        if error is None and task.asset is not None:
            self._gatherer.came(task, future.result())
        elif error is None:
            self._record(task, future.result())
        elif isinstance(error, FetchStopped | WorkerLost):
            self._lost(task, error)
        elif isinstance(error, TransferError) and error.fatal:
            self._put_back(task)
            if not self.halted:
                self._give_up(self._with_room(str(error)))
        elif isinstance(error, TransferError) and error.relocate and getattr(future, "early", False):
            # It grew old in the executor's queue, which says nothing of the next one.
            self._relocate(task, error)
        elif isinstance(error, TransferError) and error.relocate and self._may_relocate(task, moved):
            task.relocations += 1
            self._relocate(task, error)
        else:
            self.fail(task, sentence(error))

    def _lost(self, task: Task, error: FetchStopped | WorkerLost) -> None:
        """Leave a scene where the run ends; else give it to another worker, with a link and a token of now."""
        if self.halted:
            self._put_back(task)
            return
        task.losses += 1
        if task.losses > MAX_LOSSES:
            self.fail(task, f"{error} (given up after {task.losses} tries)")
            return
        task.download = None
        self.tell(Retried(time=self.now(), id=task.action.id, attempt=task.losses, error=str(error), delay_seconds=0.0))
        if task.asset is None:
            # Whoever may still be at it has the longest time to let go.
            self._ready.append(task)
        else:
            self._put_back(task)

    def _may_relocate(self, task: Task, moved: int) -> bool:
        """Whether a refused link or token is worth asking for again.

        One that brought bytes was good: a large scene may outlive any number of tokens that live for minutes.
        """
        if self._crew is not None:
            part = partial_of(str(self.root), partial_path(task.scene))
            moved = 0 if part is None else part.bytes
        if moved > task.moved:
            task.moved, task.relocations = moved, 0
        return task.relocations < MAX_RELOCATIONS

    def _relocate(self, task: Task, error: TransferError) -> None:
        """Ask again where the bytes are: the token or the link was refused."""
        refused = task.download
        archive = self.archives[task.archive]
        task.download = None
        attempt = max(1, task.relocations)
        self.tell(Retried(time=self.now(), id=task.action.id, attempt=attempt, error=str(error), delay_seconds=0.0))

        def ask() -> Download | Order | Scene:
            # A first refusal of this kind is about the token; a second one, and any other, is about the link.
            about_the_link = error.status not in _TOKEN_STATUSES or task.relocations > 1
            if task.order is not None and archive.orders is not None and about_the_link:
                return next(iter(archive.orders.poll([task.order])))
            if about_the_link:
                for now in archive.look_up([task.scene.id], warn=lambda _: None):
                    if not now.online and not now.planned:
                        return now
            return archive.locate(task.scene, refused=refused)

        self.call(task, ask, lambda answer, trouble: self._relocated(task, refused, error, answer, trouble))

    def _relocated(
        self,
        task: Task,
        refused: Download | None,
        first: TransferError,
        answer: Download | Order | Scene | None,
        trouble: BaseException | None,
    ) -> None:
        if answer is None:
            if not self.halted:
                self.fail(task, f"{first}; {sentence(trouble)}")
            else:
                self._put_back(task)
            return
        if isinstance(answer, Scene):
            if task.asset is not None and self._gatherer.drop(task) is None:
                return
            task.asset = None
            # It has left the rolling archive since it was searched for.
            task.scene = answer
            if answer.offline is None:
                self._desks.of(task).take(task)
            else:
                self._count["pending"] += 1
                self.warn(f"{answer.id}: {answer.offline}", answer.id)
            return
        if isinstance(answer, Download):
            task.download = answer
        else:
            task.order = answer
            if answer.download_url is None:
                self._desks.of(task).place_again(task, f"the link of order {answer.order} has expired: {first}")
                return
            if task.relocations >= MAX_RELOCATIONS and refused is not None and answer.download_url == refused.url:
                self._desks.of(task).link_refused(task, f"the link of order {answer.order} does not work: {first}")
                return
            task.scene = replace(task.scene, download_url=answer.download_url)
        self._put_back(task)

    def _record(self, task: Task, got: FetchResult) -> None:
        scene, want = task.scene, task.action.want
        self._bytes += got.size
        held = LocalScene(
            id=task.action.id,
            path=got.path,
            size=got.size,
            mtime_ns=got.mtime_ns,
            sha256=got.sha256,
            level=got.level,
            archive=self.archives[task.archive].identity,
            digest=scene.digest,
            # Rules judge by them, and all rules go by the description of the archive that is listed first.
            facts=metadata_of(scene if want is None or len(want.sources) == 1 else want.scene),
        )
        self._in_place(task, held, got.received, got.warnings, worker=got.worker)

    def _in_place(
        self, task: Task, held: LocalScene, received: int, warnings: Iterable[str], *, worker: str | None = None
    ) -> None:
        """A scene is complete, proved and where it belongs."""
        self._to_record.append(held)
        replaced = task.action.held
        if task.action.kind is ActionKind.REPLACE and replaced is not None and replaced.path != held.path:
            self._arranger.clear_old_place(replaced, held.path)
        want = task.action.want
        if task.order is not None or (want is not None and len(want.sources) > 1):
            self.index.drop_order(held.id)
        self._count["fetched"] += 1
        self._done += 1
        for warning in warnings:
            self.warn(warning, held.id)
        self.tell(
            Fetched(
                time=self.now(),
                id=held.id,
                archive=task.archive,
                path=held.path,
                size=held.size,
                sha256=held.sha256,
                level=held.level.value,
                received=received,
                seconds=round(monotonic() - task.began, 3),
                worker=worker,
            )
        )

    def gathered(self, task: Task, held: LocalScene, size: int, received: int, warnings: list[str]) -> None:
        """A scene of several files is complete, proved and where it belongs."""
        self._moving.pop(held.id, None)
        self._bytes += size
        self._in_place(task, replace(held, archive=self.archives[task.archive].identity), received, warnings)

    # -- telling -----------------------------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Something has happened."""
        self._out.append(event)

    def _told(self) -> Iterator[Event]:
        while self._out:
            yield self._out.popleft()

    def warn(self, message: str, scene_id: str | None = None) -> None:
        """Something looks wrong and stops nothing."""
        self._warnings += 1
        self.tell(Warned(time=self.now(), message=message, id=scene_id))

    def fail(self, task: Task, why: str | BaseException | None) -> None:
        """A scene cannot be had from its archive: try the next one that has it, or call it failed for this run."""
        if isinstance(why, OSError) and why.errno in DISK_ERRORS:
            self._give_up(self._with_room(str(disk_error(str(self.root), why))))
            why = self._abort or ""
        elif not isinstance(why, str):
            why = sentence(why)
        given_up = self._gatherer.drop(task)
        if given_up is None:
            return
        self._moving.pop(task.action.id, None)
        whose, task = given_up
        if why != self._abort:
            why = f"{whose}{why}"
        if task.elsewhere and self._abort is None and not self.halted:
            self._try_elsewhere(task, why)
            return
        self._done += 1
        self.failed(task.action.id, why)

    def _try_elsewhere(self, task: Task, why: str) -> None:
        place, *others = task.elsewhere
        tried = f"archive {task.archive}: {why}"
        self.tell(
            Retried(
                time=self.now(),
                id=task.action.id,
                attempt=1,
                error=f"{tried}; archive {place.archive} has it too",
                delay_seconds=0.0,
            )
        )
        next_task = Task(
            action=task.action, scene=place.scene, archive=place.archive, elsewhere=tuple(others), began=task.began
        )
        if place.scene.online:
            self._ready.append(next_task)
        elif place.scene.offline is not None:
            self.fail(next_task, f"{place.scene.offline} ({tried})")
        else:
            self._desks.of(next_task).take(next_task)

    def failed(self, scene_id: SceneId, why: str) -> None:
        """Nothing can bring this scene, or take its file away, in this run."""
        self._failures.append(Failure(id=scene_id, error=why))
        self.index.put_error(scene_id, why, self.now())
        self.tell(Failed(time=self.now(), id=scene_id, error=why))

    def _on_bytes(self, job_id: str, done: int, total: int | None) -> None:
        scene_id, done, total = self._gatherer.moved(job_id, done, total)
        self._moving[scene_id] = (done, total)

    def _on_retry(self, job_id: str, attempt: int, error: str, delay: float) -> None:
        scene_id, name = self._gatherer.file_of(job_id)
        error = f"{name}: {error}" if name else error
        event = Retried(time=self.now(), id=scene_id, attempt=attempt, error=error, delay_seconds=round(delay, 2))
        self._inbox.put(lambda: self.tell(event))

    def _on_retry_elsewhere(self, job_id: str, retry: RemoteRetry) -> None:
        self._on_retry(job_id, retry.attempt, retry.error, retry.delay)
        allowed = allowed_connections(retry.error)
        if allowed:
            scene_id, _ = self._gatherer.file_of(job_id)
            self._inbox.put(lambda: self._hold_to(scene_id, allowed))

    def _hold_to(self, scene_id: SceneId, allowed: int) -> None:
        """Hand out fewer scenes of a service at once: none of the workers knows how many connections others have."""
        keys = {task.archive for task in self._transfers.values() if task.action.id == scene_id}
        for said in filter(None, [self._allowance.hold_to(key, allowed) for key in keys]):
            self.warn(said)

    def _look_for_workers(self) -> None:
        """Where nothing has come from them for a while, say so if there are none."""
        moment = monotonic()
        if self._crew is None or not self._transfers or moment - self._heard_at < _SILENCE:
            return
        self._heard_at = moment
        self.call(None, self._crew.absence, lambda said, _: self._warn_of_absence(said))

    def _warn_of_absence(self, said: str | None) -> None:
        if said is not None and not self._alone:
            self._alone = True
            self.warn(said)

    def _report_progress(self) -> None:
        moment = monotonic()
        if moment < self._progress_at:
            return
        self._progress_at = moment + _PROGRESS_EVERY
        active = tuple(
            Transfer(id=scene_id, done=done, total=total) for scene_id, (done, total) in list(self._moving.items())
        )
        pending, oldest = self._desks.pending, self._desks.oldest
        asked = [task for task, _ in self._calls.values()]
        tasks = (*self._transfers.values(), *asked, *self._gatherer.tasks, *pending)
        # A scene of several files is in more than one of these at a time.
        going = {task.action.id for task in tasks if task is not None}
        self.tell(
            Progress(
                time=self.now(),
                done=self._done,
                total=self._done + len(self._ready) + len(going),
                bytes=self._bytes + sum(transfer.done for transfer in active),
                bytes_total=self.plan.bytes,
                pending=len(pending),
                oldest_order_seconds=None
                if oldest is None
                else max(0.0, round((self.now() - oldest).total_seconds(), 1)),
                active=active,
                workers=() if self._crew is None else self._crew.workers,
            )
        )


def _task(action: Action, scene: Scene) -> Task:
    """What a plan's action sets going: the scene as the archive describes it that is to give it."""
    want, order = action.want, action.order
    sources = () if want is None else want.sources
    return Task(
        action=action,
        scene=sources[0].scene if sources else scene,
        order=order,
        placed=0 if order is None else order.attempts,
        archive=sources[0].archive if sources else "",
        elsewhere=sources[1:],
    )
