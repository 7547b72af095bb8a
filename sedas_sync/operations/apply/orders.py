"""Orders from the long-term archive within one run: placing, asking, and what becomes of them.

Driven by the loop of `sedas_sync.operations.apply.run`, in its thread; calls to the archive go through `call`, which
runs them on a thread of their own and hands the answer back to the loop. Nothing here waits.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import Any, Protocol

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.events import Event, Ordered, OrderReady, Retried
from sedas_sync.model.plan import Action
from sedas_sync.model.scene import Download, Order, OrderState, RemoteFile, Scene, Source
from sedas_sync.planning.compare import with_lost_as_failed
from sedas_sync.state.database import IndexUnwritableError
from sedas_sync.state.index import WritableIndex

MAX_REPLACEMENTS = 3
"""How often a failed order is placed again."""
MAX_LINK_REPLACEMENTS = 1
"""How often, in one run, a scene is ordered anew because its order's link is refused while the order stands."""
PLACED_AT_ONCE = 1
"""Calls that place orders, at the same time: a kill can lose the id of no more than these."""

_POLL_FIRST = 1.0
_POLL_GROWTH = 1.5
_POLL_MAX = 60.0
_QUOTA_FIRST = 1.0
_QUOTA_MAX = 60.0
_TOO_MANY = 429
_SERVER_ERROR = 500


@dataclass(slots=True)
class Task:
    """A scene on its way into the mirror."""

    action: Action
    scene: Scene
    """As it is known now: with the link of an order that is ready."""
    order: Order | None = None
    placed: int = 0
    """Orders placed for it, those of earlier runs that it came with included."""
    asset: RemoteFile | None = None
    """The one file that this is about, where the scene consists of several and each is fetched by itself."""
    download: Download | None = None
    relocations: int = 0
    """How often its link or token was refused since it had one."""
    moved: int = 0
    """Bytes of it that were here when its link or token was last refused."""
    losses: int = 0
    """How often the worker that fetched it was lost."""
    links_refused: int = 0
    """How often it was ordered anew for that."""
    began: float = 0.0
    archive: str = ""
    """The key of the archive it comes from."""
    elsewhere: tuple[Source, ...] = ()
    """Other archives that have it and were not tried yet, best first."""


Answered = Callable[[Any, BaseException | None], None]


class Loop(Protocol):
    """What the desk needs of the loop that drives it."""

    @property
    def halted(self) -> bool:
        """The run is coming to its end: nothing new is begun, nothing fails any more."""
        ...

    def call(self, task: Task | None, deed: Callable[[], Any], then: Answered) -> None:
        """Do something slow on a thread of its own, and handle its answer in the loop."""
        ...

    def ready(self, task: Task) -> None:
        """A scene can be fetched."""
        ...

    def fail(self, task: Task, why: str) -> None:
        """A scene has failed for this run."""
        ...

    def tell(self, event: Event) -> None:
        """Something has happened."""
        ...

    def warn(self, message: str) -> None:
        """Something looks wrong and stops nothing."""
        ...


@dataclass(slots=True)
class OrderBudget:
    """How many orders may still be placed in one run, with all archives together; None for no limit."""

    left: int | None = None


class OrderQueue:
    """The orders of one run with one archive.

    Args:
        loop: drives the desk.
        archive: takes the orders.
        index: open for writing; an order is on disk before anything else happens with it.
        now: gives the present instant, UTC.
        allowance: how many may be placed.
        wait: ask for orders until they are ready, not only once before the run.
        place: which of the desks of a run it is.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        archive: Archive,
        index: WritableIndex,
        now: Callable[[], datetime],
        allowance: OrderBudget,
        wait: bool,
        place: int = 0,
    ) -> None:
        self._slot = place
        self._loop = loop
        self._archive = archive
        self._index = index
        self._now = now
        self._allowance = allowance
        self._wait = wait
        self._to_place: deque[Task] = deque()
        self._waiting: dict[str, Task] = {}
        self._placing = 0
        self._place_at = 0.0
        self._quota_wait = _QUOTA_FIRST
        self._polling = False
        self._poll_at = 0.0
        self._asked_at = 0.0
        self._interval = _POLL_FIRST
        self._was_idle = True
        self.placed = 0
        """Orders placed in this run."""

    # -- what the loop asks ------------------------------------------------------------------------------------------

    @property
    def pending(self) -> list[Task]:
        """Scenes whose orders are waited for, or wait for their turn."""
        return [*self._to_place, *self._waiting.values()]

    @property
    def oldest(self) -> datetime | None:
        """When the oldest order that is waited for was placed."""
        return min((task.order.placed for task in self._waiting.values() if task.order), default=None)

    @property
    def worth_waiting(self) -> bool:
        """Whether time alone may bring this run further."""
        if self._to_place and self._may_place and (self._wait or monotonic() >= self._place_at):
            return True
        return bool(self._waiting) and self._wait

    @property
    def due(self) -> float:
        """Seconds until there is something to do here; infinity where only an answer can bring it."""
        times = []
        if self._waiting and self._wait and not self._polling:
            times.append(self._poll_at)
        if self._to_place and self._may_place and self._placing < PLACED_AT_ONCE:
            times.append(self._place_at)
        return max(0.0, min(times) - monotonic()) if times else float("inf")

    @property
    def _may_place(self) -> bool:
        return self._allowance.left is None or self._allowance.left > 0

    # -- what the loop brings ----------------------------------------------------------------------------------------

    def take(self, task: Task) -> None:
        """Order a scene; one that comes with a failed order has it placed again."""
        order = task.order
        if order is None:
            self._to_place.append(task)
        else:
            self.place_again(task, f"order {order.order} failed: {order.detail or 'no reason given'}")

    def await_order(self, task: Task) -> None:
        """Wait for an order that was placed before."""
        if task.order is not None:
            self._waiting[task.order.order] = task
            self._schedule(first=True)

    def place_again(self, task: Task, why: str) -> None:
        """Order a scene anew whose order has come to nothing; too often is a failure."""
        if task.placed > MAX_REPLACEMENTS:
            # Forgotten, so that a later run begins anew instead of failing for ever.
            self._index.drop_order(task.action.id)
            self._loop.fail(task, f"{why} (ordered {task.placed} times)")
            return
        self._tell_retry(task, task.placed, why, 0.0)
        task.scene = replace(task.scene, download_url=None)
        task.order = None
        self._to_place.append(task)

    def link_refused(self, task: Task, why: str) -> None:
        """Order a scene anew whose order stands and whose link does not work; once, since it may be no fault of it."""
        if task.links_refused >= MAX_LINK_REPLACEMENTS:
            self._loop.fail(task, why)
            return
        task.links_refused += 1
        self.place_again(task, why)

    def step(self, *, idle: bool) -> None:
        """Do what is due.

        Args:
            idle: no download is under way. When the last one ends, orders are asked for at once.
        """
        now = monotonic()
        while self._to_place and self._may_place and self._placing < PLACED_AT_ONCE and now >= self._place_at:
            self._place(self._to_place.popleft())
        ran_dry = idle and not self._was_idle and now - self._asked_at >= _POLL_FIRST
        self._was_idle = idle
        if not self._waiting or self._polling or not self._wait:
            return
        if now >= self._poll_at or ran_dry:
            self._poll()

    # -- placing -----------------------------------------------------------------------------------------------------

    def _place(self, task: Task) -> None:
        orders = self._archive.orders
        if orders is None:
            self._loop.fail(task, "it is offline, and the archive takes no orders")
            return
        self._placing += 1
        if self._allowance.left is not None:
            self._allowance.left -= 1

        def place() -> Order:
            # An order that could not be remembered would be placed again by the next run.
            self._index.reserve_order(self._slot)
            order = replace(orders.place(task.scene), id=task.action.id, attempts=task.placed + 1)
            # The loop may be busy with downloads: between the answer and its turn a kill must not lose the order.
            self._index.add_order(order)
            return order

        self._loop.call(task, place, lambda order, error: self._placed(task, order, error))

    def _placed(self, task: Task, order: Order | None, error: BaseException | None) -> None:
        self._placing -= 1
        if order is None:
            if self._allowance.left is not None:
                self._allowance.left += 1
            self._refused(task, error)
            return
        self._quota_wait = _QUOTA_FIRST
        task.placed += 1
        task.order = order
        self.placed += 1
        self._loop.tell(Ordered(time=self._now(), id=task.action.id, order=order.order))
        if order.state is OrderState.READY:
            self._take_ready(task, order)
        else:
            self._waiting[order.order] = task
            self._schedule(first=True)

    def _refused(self, task: Task, error: BaseException | None) -> None:
        if self._loop.halted:
            self._to_place.append(task)
        elif isinstance(error, ArchiveError) and (error.status == _TOO_MANY or error.retry_after is not None):
            # A quota: nothing is wrong with this order, it waits its turn.
            wait = error.retry_after if error.retry_after is not None else self._quota_wait
            self._quota_wait = min(_QUOTA_MAX, 2 * self._quota_wait)
            self._place_at = monotonic() + wait
            self._to_place.appendleft(task)
            self._tell_retry(task, 1, str(error), wait)
        else:
            self._loop.fail(task, f"{_what_became_of_it(error)}: {error}")

    # -- asking ------------------------------------------------------------------------------------------------------

    def _schedule(self, *, first: bool = False) -> None:
        if first:
            self._interval = _POLL_FIRST
        # Jitter only shortens, so that the longest interval stays what it says.
        due = monotonic() + self._interval * random.uniform(0.9, 1.0)  # noqa: S311  # no secret depends on it
        self._poll_at = min(self._poll_at, due) if first and self._poll_at > monotonic() else due
        self._interval = min(_POLL_MAX, self._interval * _POLL_GROWTH)

    def _poll(self) -> None:
        self._polling = True
        orders = self._archive.orders
        asked = [task.order for task in self._waiting.values() if task.order is not None]

        def ask() -> list[Order]:
            return [] if orders is None else list(orders.poll(asked))

        self._loop.call(None, ask, self._polled)

    def _polled(self, answers: list[Order] | None, error: BaseException | None) -> None:
        self._polling = False
        self._asked_at = monotonic()
        if answers is None:
            if not self._loop.halted:
                self._loop.warn(f"orders could not be asked for: {error}")
            if isinstance(error, AuthenticationError):
                # Time changes nothing about that; they are kept, and the run ends once the rest is done.
                self._wait = False
            answers = []
        for order in map(with_lost_as_failed, answers):
            task = self._waiting.get(order.order)
            if task is None:
                continue
            task.order = order
            self._index.update_order(order)
            if order.state is OrderState.READY:
                self._take_ready(task, order)
            elif order.state is OrderState.FAILED:
                del self._waiting[order.order]
                self.take(task)
        self._schedule()

    def _take_ready(self, task: Task, order: Order) -> None:
        self._waiting.pop(order.order, None)
        self._index.update_order(order)
        age = max(0.0, (self._now() - order.placed).total_seconds())
        self._loop.tell(OrderReady(time=self._now(), id=task.action.id, order=order.order, age_seconds=round(age, 3)))
        task.scene = replace(task.scene, download_url=order.download_url)
        task.relocations = 0
        task.download = None
        self._loop.ready(task)

    def _tell_retry(self, task: Task, attempt: int, why: str, delay: float) -> None:
        self._loop.tell(
            Retried(time=self._now(), id=task.action.id, attempt=attempt, error=why, delay_seconds=round(delay, 1))
        )


def _what_became_of_it(error: BaseException | None) -> str:
    """Say what is known of an order that brought this instead of an answer; a broken connection refuses nothing."""
    if isinstance(error, IndexUnwritableError):
        return "it was not ordered"
    answered = isinstance(error, ArchiveError) and error.status is not None and error.status < _SERVER_ERROR
    return "the order was refused" if answered or isinstance(error, AuthenticationError) else "ordering it failed"


class OrderQueues:
    """The orders of one run with all archives: a quota or an outage of one holds up no other.

    Args:
        loop: drives the desks.
        archives: by their keys in the manifest.
        index: open for writing.
        now: gives the present instant, UTC.
        max_orders: at most so many are placed, with all archives together; 0 for no limit.
        wait: ask for orders until they are ready, not only once before the run.
    """

    def __init__(
        self,
        loop: Loop,
        *,
        archives: Mapping[str, Archive],
        index: WritableIndex,
        now: Callable[[], datetime],
        max_orders: int,
        wait: bool,
    ) -> None:
        allowance = OrderBudget(max_orders or None)
        self._desks = {
            key: OrderQueue(loop, archive=archive, index=index, now=now, allowance=allowance, wait=wait, place=place)
            for place, (key, archive) in enumerate(archives.items())
        }

    def __iter__(self) -> Iterator[OrderQueue]:
        return iter(self._desks.values())

    def of(self, task: Task) -> OrderQueue:
        """The desk of the archive that a scene comes from."""
        return self._desks[task.archive]

    @property
    def placed(self) -> int:
        """Orders placed in this run."""
        return sum(desk.placed for desk in self)

    @property
    def pending(self) -> list[Task]:
        """Scenes whose orders are waited for, or wait for their turn."""
        return [task for desk in self for task in desk.pending]

    @property
    def oldest(self) -> datetime | None:
        """When the oldest order that is waited for was placed."""
        return min((desk.oldest for desk in self if desk.oldest is not None), default=None)

    @property
    def worth_waiting(self) -> bool:
        """Whether time alone may bring this run further."""
        return any(desk.worth_waiting for desk in self)

    @property
    def due(self) -> float:
        """Seconds until there is something to do at a desk; infinity where only an answer can bring it."""
        return min((desk.due for desk in self), default=float("inf"))

    def step(self, *, idle: bool) -> None:
        """Do what is due at each desk; `idle` says that no download is under way."""
        for desk in self:
            desk.step(idle=idle)
