"""Orders from the long-term archive: when to place them, when to poll them, and what follows from the answers.

State machines without I/O: see `sedas_sync.operations.apply.effects`.
"""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.events import Ordered, OrderReady, Warned
from sedas_sync.model.order import Order, OrderState
from sedas_sync.operations.apply.effects import (
    Answered,
    Effect,
    Emit,
    Fail,
    MachineEvent,
    Now,
    OrderExpired,
    OrderLinkRefused,
    OrderNeeded,
    OrderPending,
    PlaceOrder,
    PollOrders,
    SaveOrder,
    SceneReady,
    StopRequested,
    Task,
    TimePassed,
    retry,
)
from sedas_sync.planning.compare import failed_if_missing
from sedas_sync.planning.order_pauses import paused_until
from sedas_sync.state.database import IndexUnwritableError

MAX_LINK_REPLACEMENTS = 1
"""How often, in one run, a scene is ordered again because the link of a valid order is refused."""
PLACED_AT_ONCE = 1
"""Concurrent place-order calls per archive; a crash can lose at most this many order ids."""

_POLL_FIRST = 1.0
_POLL_GROWTH = 1.5
_POLL_MAX = 60.0
_QUOTA_FIRST = 1.0
_QUOTA_MAX = 60.0
_TOO_MANY = 429
_SERVER_ERROR = 500


@dataclass(slots=True)
class OrderBudget:
    """How many orders may still be placed in this run, over all archives; None for no limit."""

    left: int | None = None


class OrderQueue:
    """The orders of one run with one archive.

    Args:
        archive: Its key.
        takes_orders: Whether the archive has an order service.
        budget: Shared by the queues of a run.
        wait: Poll orders until they are ready.
        jitter: Returns a random number between two others.
    """

    def __init__(
        self,
        archive: str,
        *,
        takes_orders: bool = True,
        budget: OrderBudget | None = None,
        wait: bool = True,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._archive = archive
        self._takes_orders = takes_orders
        self._budget = budget or OrderBudget()
        self._wait = wait
        self._jitter = jitter
        self._stopping = False
        self._to_place: deque[Task] = deque()
        self._placing: set[Task] = set()
        self._place_at = 0.0
        self._quota_wait = _QUOTA_FIRST
        self._waiting: dict[str, Task] = {}
        self._polling = False
        self._poll_at = 0.0
        self._polled_at = 0.0
        self._interval = _POLL_FIRST
        self._was_idle = True

    @property
    def pending(self) -> tuple[Task, ...]:
        """Scenes whose orders are not ready, or not placed yet."""
        return (*self._to_place, *self._waiting.values())

    @property
    def unfinished(self) -> tuple[Task, ...]:
        """The same, with those whose orders are being placed."""
        return (*self.pending, *self._placing)

    @property
    def unplaced(self) -> int:
        """How many scenes have no order yet, or one that is being placed."""
        return len(self._to_place) + len(self._placing)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest pending order was placed."""
        return min((task.order.placed for task in self._waiting.values() if task.order), default=None)

    def worth_waiting(self, now: Now) -> bool:
        """Return whether time alone may bring this run further."""
        if self._to_place and self._may_place and (self._wait or now.seconds >= self._place_at):
            return True
        return bool(self._waiting) and self._wait

    def due(self, now: Now) -> float:
        """Return the seconds until `TimePassed` has an effect; infinity if only an answer can have one."""
        times = []
        if self._waiting and self._wait and not self._polling:
            times.append(self._poll_at)
        if self._to_place and self._may_place and len(self._placing) < PLACED_AT_ONCE:
            times.append(self._place_at)
        return max(0.0, min(times) - now.seconds) if times else float("inf")

    @property
    def _may_place(self) -> bool:
        return self._budget.left is None or self._budget.left > 0

    def handle(self, event: MachineEvent, now: Now) -> Iterator[Effect | MachineEvent]:
        """Yield what follows from an event about this archive."""
        match event:
            case TimePassed(idle) if not self._stopping:
                yield from self._place_due(now)
                yield from self._poll_due(now, idle=idle)
            case OrderNeeded(task):
                yield from self._need(task, now)
            case OrderPending(task):
                self._await(task, now)
            case OrderExpired(task, reason):
                yield from self._place_again(task, reason, now)
            case OrderLinkRefused(task, reason):
                yield from self._link_refused(task, reason, now)
            case Answered(PlaceOrder(task), Order() as order):
                yield from self._placed(task, order, now)
            case Answered(PlaceOrder(task), error=error):
                yield from self._not_placed(task, error, now)
            case Answered(PollOrders(), orders, error):
                yield from self._polled(orders if isinstance(orders, tuple) else (), error, now)
            case StopRequested():
                self._stopping = True
            case _:
                pass

    # -- placing -----------------------------------------------------------------------------------------------------

    def _need(self, task: Task, now: Now) -> Iterator[Effect | MachineEvent]:
        order = task.order
        if not self._takes_orders:
            yield Fail(task, "it is offline, and the archive takes no orders")
        elif order is None:
            self._to_place.append(task)
        else:
            reason = f"order {order.order} failed: {order.detail or 'no reason given'}"
            yield from self._place_again(task, reason, now)

    def _place_again(self, task: Task, reason: str, now: Now) -> Iterator[Effect | MachineEvent]:
        if task.order is not None:
            failed = replace(task.order, state=OrderState.FAILED, attempts=task.orders_placed)
            again = paused_until(failed, now.time)
            if again is not None:
                # The order stays in the journal, so that later runs know how often the scene was ordered.
                yield SaveOrder(replace(failed, detail=task.order.detail or reason))
                yield Fail(
                    task, f"{reason} (ordered {task.orders_placed} times); it is ordered again after {again:%Y-%m-%d}"
                )
                return
        yield retry(task, task.orders_placed, reason, now)
        task.scene = replace(task.scene, download_url=None)
        task.order = None
        self._to_place.append(task)

    def _link_refused(self, task: Task, reason: str, now: Now) -> Iterator[Effect | MachineEvent]:
        if task.orders_refused >= MAX_LINK_REPLACEMENTS:
            yield Fail(task, reason)
            return
        task.orders_refused += 1
        yield from self._place_again(task, reason, now)

    def _place_due(self, now: Now) -> Iterator[Effect]:
        while (
            self._to_place and self._may_place and len(self._placing) < PLACED_AT_ONCE and now.seconds >= self._place_at
        ):
            task = self._to_place.popleft()
            self._placing.add(task)
            if self._budget.left is not None:
                self._budget.left -= 1
            yield PlaceOrder(task)

    def _placed(self, task: Task, order: Order, now: Now) -> Iterator[Effect | MachineEvent]:
        self._placing.discard(task)
        self._quota_wait = _QUOTA_FIRST
        task.orders_placed += 1
        task.order = order
        yield SaveOrder(order)
        yield Emit(Ordered(time=now.time, id=task.action.id, order=order.order))
        if order.state is OrderState.READY:
            yield from self._ready(task, order, now)
        else:
            self._await(task, now)

    def _not_placed(self, task: Task, error: BaseException | None, now: Now) -> Iterator[Effect | MachineEvent]:
        self._placing.discard(task)
        if self._budget.left is not None:
            self._budget.left += 1
        if self._stopping:
            self._to_place.append(task)
        elif isinstance(error, ArchiveError) and (error.status == _TOO_MANY or error.retry_after is not None):
            # A quota: this order is right, and is placed later.
            wait = error.retry_after if error.retry_after is not None else self._quota_wait
            self._quota_wait = min(_QUOTA_MAX, 2 * self._quota_wait)
            self._place_at = now.seconds + wait
            self._to_place.appendleft(task)
            yield retry(task, 1, str(error), now, delay=wait)
        else:
            yield Fail(task, f"{_what_failed(error)}: {error}")

    # -- polling -----------------------------------------------------------------------------------------------------

    def _await(self, task: Task, now: Now) -> None:
        if task.order is not None:
            self._waiting[task.order.order] = task
            self._schedule(now, first=True)

    def _schedule(self, now: Now, *, first: bool = False) -> None:
        if first:
            self._interval = _POLL_FIRST
        # Jitter only shortens the interval, so that _POLL_MAX is the longest one.
        due = now.seconds + self._interval * self._jitter(0.9, 1.0)
        self._poll_at = min(self._poll_at, due) if first and self._poll_at > now.seconds else due
        self._interval = min(_POLL_MAX, self._interval * _POLL_GROWTH)

    def _poll_due(self, now: Now, *, idle: bool) -> Iterator[Effect]:
        # When the last download ends, orders are polled at once.
        downloads_ended = idle and not self._was_idle and now.seconds - self._polled_at >= _POLL_FIRST
        self._was_idle = idle
        if not self._waiting or self._polling or not self._wait:
            return
        if now.seconds >= self._poll_at or downloads_ended:
            self._polling = True
            yield PollOrders(self._archive, tuple(task.order for task in self._waiting.values() if task.order))

    def _polled(
        self, orders: tuple[Order, ...], error: BaseException | None, now: Now
    ) -> Iterator[Effect | MachineEvent]:
        self._polling = False
        self._polled_at = now.seconds
        if error is not None:
            if not self._stopping:
                yield Emit(Warned(time=now.time, message=f"orders could not be polled: {error}"))
            if isinstance(error, AuthenticationError):
                # Waiting does not help. The orders are kept, and the run ends after the downloads.
                self._wait = False
        for order in map(failed_if_missing, orders):
            task = self._waiting.get(order.order)
            if task is None:
                continue
            task.order = order
            yield SaveOrder(order)
            if order.state is OrderState.READY:
                yield from self._ready(task, order, now)
            elif order.state is OrderState.FAILED:
                del self._waiting[order.order]
                yield from self._need(task, now)
        self._schedule(now)

    def _ready(self, task: Task, order: Order, now: Now) -> Iterator[Effect | MachineEvent]:
        self._waiting.pop(order.order, None)
        age = max(0.0, (now.time - order.placed).total_seconds())
        yield Emit(OrderReady(time=now.time, id=task.action.id, order=order.order, age_seconds=round(age, 3)))
        task.scene = replace(task.scene, download_url=order.download_url)
        task.link_failures = 0
        task.download = None
        yield SceneReady(task)


def _what_failed(error: BaseException | None) -> str:
    """Return how an order failed: only an answer of the archive is a refusal, a broken connection is not."""
    if isinstance(error, IndexUnwritableError):
        return "it was not ordered"
    answered = isinstance(error, ArchiveError) and error.status is not None and error.status < _SERVER_ERROR
    return "the order was refused" if answered or isinstance(error, AuthenticationError) else "ordering it failed"


class OrderQueues:
    """The orders of one run with all archives: a quota or an outage of one does not delay the others.

    Args:
        archives: For each key, whether the archive takes orders.
        max_orders: At most this many orders are placed over all archives; 0 for no limit.
        wait: Poll orders until they are ready.
    """

    def __init__(self, archives: Iterable[tuple[str, bool]], *, max_orders: int, wait: bool) -> None:
        budget = OrderBudget(max_orders or None)
        self._queues = {
            key: OrderQueue(key, takes_orders=takes_orders, budget=budget, wait=wait) for key, takes_orders in archives
        }

    def handle(self, event: MachineEvent, now: Now) -> Iterator[Effect | MachineEvent]:
        """Yield what follows from an event."""
        match event:
            case (
                OrderNeeded(task)
                | OrderPending(task)
                | OrderExpired(task)
                | OrderLinkRefused(task)
                | Answered(PlaceOrder(task))
            ):
                yield from self._queues[task.archive].handle(event, now)
            case Answered(PollOrders(archive)):
                yield from self._queues[archive].handle(event, now)
            case TimePassed() | StopRequested():
                for queue in self._queues.values():
                    yield from queue.handle(event, now)
            case _:
                pass

    @property
    def pending(self) -> tuple[Task, ...]:
        """Scenes whose orders are not ready, or not placed yet."""
        return tuple(task for queue in self._queues.values() for task in queue.pending)

    @property
    def unfinished(self) -> tuple[Task, ...]:
        """The same, with those whose orders are being placed."""
        return tuple(task for queue in self._queues.values() for task in queue.unfinished)

    @property
    def unplaced(self) -> int:
        """How many scenes have no order yet, or one that is being placed."""
        return sum(queue.unplaced for queue in self._queues.values())

    @property
    def oldest(self) -> datetime | None:
        """When the oldest pending order was placed."""
        return min((queue.oldest for queue in self._queues.values() if queue.oldest is not None), default=None)

    def worth_waiting(self, now: Now) -> bool:
        """Return whether time alone may bring this run further."""
        return any(queue.worth_waiting(now) for queue in self._queues.values())

    def due(self, now: Now) -> float:
        """Return the seconds until `TimePassed` has an effect; infinity if only an answer can have one."""
        return min((queue.due(now) for queue in self._queues.values()), default=float("inf"))
