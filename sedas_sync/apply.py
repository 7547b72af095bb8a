"""Carrying out a plan: order → fetch → record → tell.

`Run.events` is a generator: it drives everything from the thread that consumes it, writes the index from there alone,
and yields what happens. Workers only fetch, place or poll; they return values and never sleep on an order. Deciding
what to do is `sedas_sync.plan`'s; nothing is done here that the plan does not say, but for what its orders and links
turn out to need.
"""

import queue
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from sedas_sync import folder
from sedas_sync.archives import Archive
from sedas_sync.errors import ArchiveError, AuthenticationError, SedasSyncError, TransferError
from sedas_sync.events import (
    Adopted,
    Event,
    Failed,
    Failure,
    Fetched,
    Ordered,
    OrderReady,
    Progress,
    Retried,
    Skipped,
    Started,
    Summary,
    Transfer,
    Warned,
)
from sedas_sync.fetch import Got, Job, Live, Policy, Stopped, fetch
from sedas_sync.index import STATE, Index, facts_of
from sedas_sync.integrity import Filehash
from sedas_sync.layout import Layout
from sedas_sync.model import Action, Download, Holding, Kind, Order, OrderState, Scene
from sedas_sync.plan import TRANSFERS, Plan, settled

MAX_REPLACEMENTS = 3
"""How often a failed order is placed again."""
MAX_RELOCATIONS = 2
"""How often a refused link or token is asked for again, a scene."""
_POLL_FIRST = 1.0
_POLL_GROWTH = 1.5
_POLL_MAX = 60.0
_QUOTA_WAIT = 60.0
_API_THREADS = 4
_TICK = 0.5
_GRACE = 10.0
_PROGRESS_EVERY = 0.2

_PLAIN = Layout.parse("{id}")


def partial_path(scene: Scene) -> str:
    """Where a download under way of this scene is kept, relative to the mirror."""
    return f"{STATE}/partial/{_PLAIN.path(scene, dataset='', archive='')}.part"


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


@dataclass(slots=True)
class _Task:
    """A scene on its way into the mirror."""

    action: Action
    scene: Scene
    order: Order | None = None
    placed: int = 0
    """Orders placed for it in this run and, for those it came with, before."""
    download: Download | None = None
    relocations: int = 0
    began: float = 0.0

    @property
    def archive(self) -> str:
        """The key of the archive it comes from."""
        want = self.action.want
        return "" if want is None else want.archive


_Handler = Callable[[Any, BaseException | None], None]


class Run:
    """One carrying-out of a plan.

    Args:
        plan: what to do.
        root: the mirror's folder.
        archives: by their keys in the manifest.
        index: open for writing; the caller holds the mirror's lock.
        options: transfer settings.
        now: gives the present instant, UTC.
        executor: runs `fetch` jobs; threads of this process where None. The caller owns one it hands in.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        root: Path,
        archives: Mapping[str, Archive],
        index: Index,
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
        self.interrupted = False
        self.auth_failed = False
        self._halt = threading.Event()
        self._workers: Executor | None = None
        self._live: Live | None = None
        self._api: Executor | None = None
        self._halted_at: float | None = None
        self._abort: str | None = None
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._out: deque[Event] = deque()
        self._ready: deque[_Task] = deque()
        self._to_place: deque[_Task] = deque()
        self._waiting: dict[str, _Task] = {}
        self._moving: dict[str, tuple[int, int | None]] = {}
        self._transfers: dict[Future[Got], _Task] = {}
        self._calls: set[Future[Any]] = set()
        self._polling = False
        self._placing = 0
        self._orders_left = options.max_orders or None
        self._place_after = 0.0
        self._poll_interval = _POLL_FIRST
        self._poll_at = 0.0
        self._count = dict.fromkeys(("fetched", "kept", "adopted", "ordered", "pending", "skipped"), 0)
        self._warnings = 0
        self._failures: list[Failure] = []
        self._bytes = 0
        self._received = 0
        self._done = 0
        self._started = monotonic()
        self._progress_at = 0.0

    def stop(self) -> None:
        """Ask the run to end in order; may be called from a signal handler or another thread."""
        self.interrupted = True
        self._halt.set()
        for archive in self.archives.values():
            archive.stop()
        self._inbox.put(lambda: None)

    def events(self) -> Iterator[Event]:
        """Carry the plan out; the last event is the `Summary`."""
        self._started = monotonic()
        own = ThreadPoolExecutor(self.options.jobs, "fetch") if self.executor is None else None
        live = Live(
            stop=self._halt,
            jobs=self.options.jobs,
            max_rate=self.options.max_rate,
            on_bytes=self._on_bytes,
            on_retry=self._on_retry,
        )
        self._live = live if own is not None else None
        self._workers = own or self.executor
        self._api = ThreadPoolExecutor(_API_THREADS, "orders")
        try:
            yield self._start()
            self._take_up()
            yield from self._told()
            while self._busy():
                self._feed()
                yield from self._told()
                self._receive()
                self._report_progress()
                yield from self._told()
        finally:
            self._halt.set()
            for future in (*self._transfers, *self._calls):
                future.cancel()
            self._api.shutdown(wait=False, cancel_futures=True)
            if own is not None:
                own.shutdown(wait=True, cancel_futures=True)
            live.close()
        self._settle()
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
            free=folder.free_space(str(self.root)),
        )

    def _take_up(self) -> None:
        """Sort the plan's actions into the queues, and do at once what needs no archive."""
        self._room()
        for warning in self.plan.warnings:
            self._warn(warning)
        for failure in self.plan.failures:
            self._failures.append(failure)
            self._tell(Failed(time=self.now(), id=failure.id, error=failure.error))
        for order in self.plan.polled:
            self.index.put_order(order, durable=False)
        for held in self.plan.refreshed:
            self.index.put_file(held, self.now())
        by_kind: dict[Kind, list[Action]] = {kind: [] for kind in Kind}
        for action in self.plan.actions:
            by_kind[action.kind].append(action)
        self._count["kept"] = len(by_kind[Kind.KEEP])
        self._count["skipped"] = len(by_kind[Kind.SKIP])
        for action in by_kind[Kind.SKIP]:
            self._tell(Skipped(time=self.now(), id=action.id, reason=action.reason))
        self._adopt_all(by_kind[Kind.ADOPT])
        for kind in (Kind.RESUME, Kind.REPLACE, Kind.FETCH, Kind.ORDER, Kind.WAIT):
            for action in by_kind[kind]:
                if action.want is not None:
                    self._queue(action, action.want.scene)
        if self._waiting:
            self._schedule_poll(first=True)

    def _queue(self, action: Action, scene: Scene) -> None:
        task = _Task(action=action, scene=scene, order=action.order)
        order = action.order
        if action.kind is Kind.WAIT and order is not None:
            task.placed = order.attempts
            self._waiting[order.order] = task
        elif action.kind is Kind.ORDER:
            task.placed = 0 if order is None else order.attempts
            if order is None:
                self._to_place.append(task)
            else:
                self._place_again(task, f"order {order.order} failed: {order.detail or 'no reason given'}")
        else:
            if order is not None and order.download_url is not None:
                task.placed = order.attempts
                task.scene = replace(scene, download_url=order.download_url)
            self._ready.append(task)

    def _room(self) -> None:
        free = folder.free_space(str(self.root))
        needed = sum(action.size or 0 for action in self.plan.actions if action.kind in TRANSFERS)
        if needed > free:
            self._warn(
                f"{needed} bytes are to be fetched and only {free} are free in {self.root}: the disk will fill up"
            )

    def _settle(self) -> None:
        """Account for what was not finished: failed where the run had to give up, pending otherwise."""
        undone = [*self._ready, *self._transfers.values(), *self._to_place, *self._waiting.values()]
        for task in undone:
            if self._abort is not None:
                self._fail(task, self._abort)
            else:
                self._count["pending"] += 1

    def _summary(self) -> Summary:
        summary = Summary(
            time=self.now(),
            **self._count,
            failed=len(self._failures),
            warnings=self._warnings,
            bytes=self._bytes,
            seconds=round(monotonic() - self._started, 3),
            failures=tuple(self._failures),
        )
        return replace(summary, exit_code=self._exit_code(summary))

    def _exit_code(self, summary: Summary) -> int:
        if self.interrupted:
            return 130
        if self.auth_failed:
            return AuthenticationError.exit_code
        if summary.failed:
            return 1
        return 3 if summary.pending else 0

    # -- the loop ----------------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        if self._halt.is_set():
            # An order that is being placed is worth waiting for, a slow server is not.
            self._halted_at = self._halted_at or monotonic()
            return bool(self._transfers or (self._calls and monotonic() - self._halted_at < _GRACE))
        if self._ready or self._transfers or self._calls:
            return True
        if self._to_place and self._may_place() and (self.options.wait or monotonic() >= self._place_after):
            return self._in_time()
        return bool(self._waiting) and self.options.wait and self._in_time()

    def _in_time(self) -> bool:
        return monotonic() - self._started < self.options.order_timeout

    def _may_place(self) -> bool:
        return self._orders_left is None or self._orders_left > 0

    def _feed(self) -> None:
        if self._halt.is_set():
            return
        now = monotonic()
        while self._to_place and self._may_place() and self._placing < _API_THREADS and now >= self._place_after:
            self._place(self._to_place.popleft())
        if self._waiting and not self._polling and now >= self._poll_at and self.options.wait:
            self._poll()
        window = 2 * self.options.jobs
        while self._ready and len(self._transfers) < window and not self._halt.is_set():
            self._submit(self._ready.popleft())

    def _receive(self) -> None:
        """Handle what workers have sent; waits for the first of it until something else is due."""
        due = _TICK
        if self._waiting and self.options.wait and not self._polling:
            due = min(due, self._poll_at - monotonic())
        if self._to_place and self._may_place() and self._placing < _API_THREADS:
            due = min(due, self._place_after - monotonic())
        try:
            self._inbox.get(timeout=max(0.001, due))()
            while True:
                self._inbox.get_nowait()()
        except queue.Empty:
            return

    def _call(self, deed: Callable[[], Any], then: _Handler) -> None:
        """Do something slow on a thread of its own, and handle its answer in the loop."""
        if self._api is None:
            raise RuntimeError("the run has not begun")
        future = self._api.submit(deed)
        self._calls.add(future)

        def done(future: Future[Any]) -> None:
            self._inbox.put(lambda: self._called(future, then))

        future.add_done_callback(done)

    def _called(self, future: Future[Any], then: _Handler) -> None:
        self._calls.discard(future)
        if future.cancelled():
            return
        error = future.exception()
        if isinstance(error, AuthenticationError):
            self._give_up(str(error), authentication=True)
        then(None if error is not None else future.result(), error)

    def _give_up(self, why: str, *, authentication: bool = False) -> None:
        """End the run early: no other scene would fare better."""
        self._abort = self._abort or why
        self.auth_failed = self.auth_failed or authentication
        self._halt.set()

    # -- orders ------------------------------------------------------------------------------------------------------

    def _place(self, task: _Task) -> None:
        orders = self.archives[task.archive].orders
        if orders is None:
            self._fail(task, "the archive has it offline and takes no orders")
            return
        self._placing += 1
        if self._orders_left is not None:
            self._orders_left -= 1
        self._call(lambda: orders.place(task.scene), lambda order, error: self._placed(task, order, error))

    def _placed(self, task: _Task, order: Order | None, error: BaseException | None) -> None:
        self._placing -= 1
        if order is None:
            if self._orders_left is not None:
                self._orders_left += 1
            self._refused(task, error)
            return
        task.placed += 1
        task.order = replace(order, attempts=task.placed)
        self.index.put_order(task.order)
        self._count["ordered"] += 1
        self._tell(Ordered(time=self.now(), id=task.action.id, order=order.order))
        if task.order.state is OrderState.READY:
            self._take_ready(task, task.order)
            return
        self._waiting[order.order] = task
        self._schedule_poll(first=True)

    def _refused(self, task: _Task, error: BaseException | None) -> None:
        if self._halt.is_set():
            self._to_place.append(task)
        elif isinstance(error, ArchiveError) and (error.status == 429 or error.retry_after is not None):  # noqa: PLR2004
            # A quota: nothing is wrong with this order, it waits its turn.
            wait = error.retry_after if error.retry_after is not None else _QUOTA_WAIT
            self._place_after = monotonic() + wait
            self._to_place.appendleft(task)
            self._tell(
                Retried(time=self.now(), id=task.action.id, attempt=1, error=str(error), delay_seconds=round(wait, 1))
            )
        else:
            self._fail(task, f"the order was refused: {_sentence(error)}")

    def _schedule_poll(self, *, first: bool = False) -> None:
        if first:
            self._poll_interval = _POLL_FIRST
        # Jitter only shortens, so that the longest interval stays what it says.
        due = monotonic() + self._poll_interval * random.uniform(0.75, 1.0)  # noqa: S311  # no secret depends on it
        self._poll_at = min(self._poll_at, due) if first and self._poll_at > monotonic() else due
        self._poll_interval = min(_POLL_MAX, self._poll_interval * _POLL_GROWTH)

    def _poll(self) -> None:
        self._polling = True
        by_archive: dict[str, list[Order]] = {}
        for task in self._waiting.values():
            if task.order is not None:
                by_archive.setdefault(task.archive, []).append(task.order)

        def ask() -> list[Order]:
            answers: list[Order] = []
            for key, asked in by_archive.items():
                orders = self.archives[key].orders
                if orders is not None:
                    answers.extend(orders.poll(asked))
            return answers

        self._call(ask, self._polled)

    def _polled(self, answers: list[Order] | None, error: BaseException | None) -> None:
        self._polling = False
        if answers is None:
            if not self._halt.is_set():
                self._warn(f"orders could not be asked for: {_sentence(error)}")
            answers = []
        for order in map(settled, answers):
            task = self._waiting.get(order.order)
            if task is None:
                continue
            task.order = order
            if order.state is OrderState.READY:
                self._take_ready(task, order)
            elif order.state is OrderState.FAILED:
                self._order_failed(task, order)
            else:
                self.index.put_order(order, durable=False)
        self._schedule_poll()

    def _take_ready(self, task: _Task, order: Order) -> None:
        self._waiting.pop(order.order, None)
        self.index.put_order(order, durable=False)
        age = (self.now() - order.placed).total_seconds()
        self._tell(OrderReady(time=self.now(), id=task.action.id, order=order.order, age_seconds=round(age, 3)))
        task.scene = replace(task.scene, download_url=order.download_url)
        task.relocations = 0
        task.download = None
        self._ready.append(task)

    def _order_failed(self, task: _Task, order: Order) -> None:
        self._waiting.pop(order.order, None)
        self.index.put_order(order, durable=False)
        self._place_again(task, f"order {order.order} failed: {order.detail or 'no reason given'}")

    def _place_again(self, task: _Task, why: str) -> None:
        if task.placed > MAX_REPLACEMENTS:
            # Forgotten, so that a later run begins anew instead of failing for ever.
            self.index.drop_order(task.action.id)
            self._fail(task, f"{why} (ordered {task.placed} times)")
            return
        self._tell(Retried(time=self.now(), id=task.action.id, attempt=task.placed, error=why, delay_seconds=0.0))
        task.scene = replace(task.scene, download_url=None)
        self._to_place.append(task)

    # -- transfers ---------------------------------------------------------------------------------------------------

    def _submit(self, task: _Task) -> None:
        action = task.action
        try:
            if task.download is None:
                task.download = self.archives[task.archive].locate(task.scene)
            if action.kind is not Kind.REPLACE or action.held is None or action.held.path != action.path:
                self._clear_the_way(action.path)
        except AuthenticationError as error:
            self._give_up(str(error), authentication=True)
            self._ready.appendleft(task)
            return
        except (SedasSyncError, OSError) as error:
            self._fail(task, _sentence(error))
            return
        job = Job(
            id=action.id,
            download=task.download,
            root=str(self.root),
            path=action.path,
            partial=partial_path(task.scene),
            policy=replace(self.options.policy, filehash=self.options.filehash.get(task.archive, "warn")),
            replace=action.kind is Kind.REPLACE,
        )
        task.began = task.began or monotonic()
        if self._workers is None:
            raise RuntimeError("the run has not begun")
        future = (
            self._workers.submit(fetch, job) if self._live is None else self._workers.submit(fetch, job, self._live)
        )
        self._transfers[future] = task
        future.add_done_callback(lambda future: self._inbox.put(lambda: self._transferred(future)))

    def _clear_the_way(self, path: str) -> None:
        """Set aside whatever stands where a scene is to go; the plan has found that it is not the scene."""
        if folder.stat(str(self.root), path) is not None:
            kept = folder.set_aside(str(self.root), path)
            self._warn(f"{path}: something else stood in the scene's place; it is now {kept}")

    def _transferred(self, future: Future[Got]) -> None:
        task = self._transfers.pop(future)
        self._moving.pop(task.action.id, None)
        if future.cancelled():
            self._ready.append(task)
            return
        error = future.exception()
        if error is None:
            self._record(task, future.result())
        elif isinstance(error, Stopped):
            self._ready.append(task)
        elif isinstance(error, TransferError) and error.fatal:
            self._ready.append(task)
            self._give_up(str(error))
        elif isinstance(error, TransferError) and error.relocate and task.relocations < MAX_RELOCATIONS:
            task.relocations += 1
            self._relocate(task, error)
        else:
            self._fail(task, _sentence(error))

    def _relocate(self, task: _Task, error: TransferError) -> None:
        """Ask again where the bytes are: the token or the link was refused."""
        refused = task.download
        archive = self.archives[task.archive]
        task.download = None
        self._tell(
            Retried(time=self.now(), id=task.action.id, attempt=task.relocations, error=str(error), delay_seconds=0.0)
        )

        def ask() -> Download | Order:
            if task.order is not None and archive.orders is not None and error.status not in (401, 403):
                return next(iter(archive.orders.poll([task.order])))
            return archive.locate(task.scene, refused=refused)

        self._call(ask, lambda answer, trouble: self._relocated(task, refused, error, answer, trouble))

    def _relocated(
        self,
        task: _Task,
        refused: Download | None,
        first: TransferError,
        answer: Download | Order | None,
        trouble: BaseException | None,
    ) -> None:
        if answer is None:
            if not self._halt.is_set():
                self._fail(task, f"{first}; {_sentence(trouble)}")
            else:
                self._ready.append(task)
            return
        if isinstance(answer, Download):
            task.download = answer
        else:
            task.order = answer
            fresh = answer.download_url
            if fresh is None or (refused is not None and fresh == refused.url):
                self._place_again(task, f"the link of order {answer.order} has expired")
                return
            task.scene = replace(task.scene, download_url=fresh)
        self._ready.appendleft(task)

    def _record(self, task: _Task, got: Got) -> None:
        scene = task.scene
        self._received += got.received
        self._bytes += got.size
        held = Holding(
            id=scene.id,
            path=got.path,
            size=got.size,
            mtime_ns=got.mtime_ns,
            sha256=got.sha256,
            level=got.level,
            archive=self.archives[task.archive].identity,
            digest=scene.digest,
            facts=facts_of(scene),
        )
        self.index.put_file(held, self.now())
        replaced = task.action.held
        if task.action.kind is Kind.REPLACE and replaced is not None and replaced.path != got.path:
            folder.remove(str(self.root), replaced.path)
        if task.order is not None:
            self.index.drop_order(scene.id)
        self._count["fetched"] += 1
        self._done += 1
        for warning in got.warnings:
            self._warn(warning, scene.id)
        self._tell(
            Fetched(
                time=self.now(),
                id=scene.id,
                path=got.path,
                size=got.size,
                sha256=got.sha256,
                level=got.level.value,
                received=got.received,
                seconds=round(monotonic() - task.began, 3),
            )
        )

    def _adopt_all(self, actions: list[Action]) -> None:
        """Take files into the index and move those that the layout puts elsewhere.

        A file may have to wait until another has left its place; what is left when nothing moves any more stands in a
        circle and goes by way of the partial folder.
        """
        leaving = {action.held.path for action in actions if action.held is not None}
        while actions:
            blocked = []
            for action in actions:
                held = action.held
                if held is not None and held.path != action.path and action.path in leaving:
                    blocked.append(action)
                    continue
                self._adopt(action)
                if held is not None:
                    leaving.discard(held.path)
            if len(blocked) == len(actions):
                first = blocked[0]
                if first.held is None or first.want is None:
                    break
                aside = partial_path(first.want.scene) + ".moving"
                folder.move(str(self.root), first.held.path, aside)
                leaving.discard(first.held.path)
                blocked[0] = replace(first, held=replace(first.held, path=aside))
            actions = blocked

    def _adopt(self, action: Action) -> None:
        held = action.held
        if held is None or action.want is None:
            return
        try:
            if held.path != action.path:
                self._clear_the_way(action.path)
                folder.move(str(self.root), held.path, action.path)
        except (SedasSyncError, OSError) as error:
            self._fail(_Task(action=action, scene=action.want.scene), _sentence(error))
            return
        self.index.put_file(replace(held, path=action.path, facts=facts_of(action.want.scene)), self.now())
        self.index.drop_order(action.id)
        self._count["adopted"] += 1
        self._tell(Adopted(time=self.now(), id=action.id, path=action.path, size=held.size))

    # -- telling -----------------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self._out.append(event)

    def _told(self) -> Iterator[Event]:
        while self._out:
            yield self._out.popleft()

    def _warn(self, message: str, scene_id: str | None = None) -> None:
        self._warnings += 1
        self._tell(Warned(time=self.now(), message=message, id=scene_id))

    def _fail(self, task: _Task, error: str) -> None:
        self._done += 1
        self._failures.append(Failure(id=task.action.id, error=error))
        self.index.put_error(task.action.id, error, self.now())
        self._tell(Failed(time=self.now(), id=task.action.id, error=error))

    def _on_bytes(self, scene_id: str, done: int, total: int | None) -> None:
        self._moving[scene_id] = (done, total)

    def _on_retry(self, scene_id: str, attempt: int, error: str, delay: float) -> None:
        event = Retried(time=self.now(), id=scene_id, attempt=attempt, error=error, delay_seconds=round(delay, 2))
        self._inbox.put(lambda: self._tell(event))

    def _report_progress(self) -> None:
        moment = monotonic()
        if moment < self._progress_at:
            return
        self._progress_at = moment + _PROGRESS_EVERY
        active = tuple(
            Transfer(id=scene_id, done=done, total=total) for scene_id, (done, total) in list(self._moving.items())
        )
        ages = [(self.now() - task.order.placed).total_seconds() for task in self._waiting.values() if task.order]
        self._tell(
            Progress(
                time=self.now(),
                done=self._done,
                total=self._done + len(self._ready) + len(self._transfers) + len(self._to_place) + len(self._waiting),
                bytes=self._bytes + sum(transfer.done for transfer in active),
                bytes_total=self.plan.bytes,
                pending=len(self._waiting) + len(self._to_place),
                oldest_order_seconds=round(max(ages), 1) if ages else None,
                active=active,
            )
        )


def _sentence(error: BaseException | None) -> str:
    """What to tell of an error; one that nobody foresaw is named with its type."""
    if error is None or isinstance(error, SedasSyncError):
        return str(error)
    if isinstance(error, OSError):
        return str(error)
    return f"unexpected {type(error).__name__}: {error}"
