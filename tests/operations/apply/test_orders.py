"""The order queue with a fake clock: no archive, no disk, no waiting."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from state_machines import START, Clock, events_of, of, order, task

from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.model.order import OrderState
from sedas_sync.operations.apply.effects import (
    Answered,
    Fail,
    OrderExpired,
    OrderLinkRefused,
    OrderNeeded,
    OrderPending,
    PlaceOrder,
    PollOrders,
    SaveOrder,
    SceneReady,
    StopRequested,
    TimePassed,
)
from sedas_sync.operations.apply.orders import OrderBudget, OrderQueue, OrderQueues
from sedas_sync.planning.order_pauses import ORDERS_AT_ONCE, next_order, paused_until


@pytest.fixture
def ordered_soon():
    """Nothing: the intervals are those of a real run."""


@pytest.fixture
def clock():
    return Clock()


def queue(**options):
    return OrderQueue("a", jitter=lambda _low, high: high, **options)


def tick(clock, machine, *, after=0.0, idle=True):
    clock.seconds += after
    return clock.tell(machine, TimePassed(idle=idle))


def placed(clock, machine, name="L", **more):
    """Order a scene and have the archive take the order."""
    one = task(name, online=False)
    clock.tell(machine, OrderNeeded(one))
    assert tick(clock, machine) == [PlaceOrder(one)]
    return one, clock.tell(machine, Answered(PlaceOrder(one), order(name, **more)))


def test_an_order_is_on_disk_before_it_is_reported(clock):
    one, effects = placed(clock, queue())
    assert effects[0] == SaveOrder(order("L"))
    assert [event.event for event in events_of(effects)] == ["order"]
    assert one.orders_placed == 1


def test_one_order_at_a_time_is_placed(clock):
    machine = queue()
    first, second = task("A", online=False), task("B", online=False)
    clock.tell(machine, OrderNeeded(first))
    clock.tell(machine, OrderNeeded(second))
    assert tick(clock, machine) == [PlaceOrder(first)]
    assert tick(clock, machine) == []
    assert set(machine.unfinished) == {first, second}
    clock.tell(machine, Answered(PlaceOrder(first), order("A")))
    assert of(tick(clock, machine), PlaceOrder) == [PlaceOrder(second)]


def test_an_order_that_is_ready_at_once_is_downloaded(clock):
    one, effects = placed(clock, queue(), state=OrderState.READY, download_url="http://x/ready")
    assert effects[-1] == SceneReady(one)
    assert one.scene.download_url == "http://x/ready"
    assert [event.event for event in events_of(effects)] == ["order", "order_ready"]


def test_polls_come_at_growing_intervals(clock):
    machine = queue()
    placed(clock, machine)
    intervals = []
    for _ in range(14):
        intervals.append(round(machine.due(clock.now), 2))
        assert tick(clock, machine, after=intervals[-1] - 0.01) == []
        assert tick(clock, machine, after=0.02) == [PollOrders("a", (order("L"),))]
        assert machine.due(clock.now) == float("inf"), "only an answer can bring the run further"
        clock.tell(machine, Answered(PollOrders("a", ()), (order("L"),)))
    assert intervals[:4] == [1.0, 1.5, 2.25, 3.38]
    assert intervals[-1] == 60.0


def test_orders_are_polled_at_once_when_the_last_download_ends(clock):
    machine = queue()
    placed(clock, machine)
    for _ in range(8):
        tick(clock, machine, after=machine.due(clock.now))
        clock.tell(machine, Answered(PollOrders("a", ()), (order("L"),)))
    tick(clock, machine, idle=False)
    assert machine.due(clock.now) > 10
    assert tick(clock, machine, after=2.0, idle=False) == []
    assert of(tick(clock, machine), PollOrders)


def test_a_ready_order_brings_its_link(clock):
    machine = queue()
    one, _ = placed(clock, machine)
    one.link_failures = 2
    tick(clock, machine, after=1.0)
    ready = order("L", state=OrderState.READY, download_url="http://x/ready")
    effects = clock.tell(machine, Answered(PollOrders("a", ()), (ready,)))
    assert (effects[0], effects[-1]) == (SaveOrder(ready), SceneReady(one))
    assert (one.link_failures, one.scene.download_url) == (0, "http://x/ready")
    assert events_of(effects)[0].age_seconds == 1.0
    assert not machine.pending


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (ArchiveError("too many", status=429), [1.0, 2.0, 4.0]),
        (ArchiveError("too many", status=429, retry_after=7.0), [7.0, 7.0, 7.0]),
        (ArchiveError("busy", status=503, retry_after=3.0), [3.0, 3.0, 3.0]),
    ],
)
def test_a_quota_delays_an_order_and_fails_nothing(clock, error, waits):
    machine = queue()
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    for wait in waits:
        assert of(tick(clock, machine), PlaceOrder)
        (retried,) = events_of(clock.tell(machine, Answered(PlaceOrder(one), error=error)))
        assert retried.delay_seconds == machine.due(clock.now) == wait
        assert tick(clock, machine, after=wait - 0.1) == []
        clock.seconds += 0.2
    assert tick(clock, machine) == [PlaceOrder(one)]
    clock.tell(machine, Answered(PlaceOrder(one), order("L")))
    assert one.orders_placed == 1


def test_a_quota_is_not_waited_for_without_waiting(clock):
    machine = queue(wait=False)
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    tick(clock, machine)
    clock.tell(machine, Answered(PlaceOrder(one), error=ArchiveError("too many", status=429, retry_after=7.0)))
    assert not machine.worth_waiting(clock.now)
    assert machine.pending == (one,)


def test_a_quota_of_one_archive_does_not_delay_another(clock):
    machine = OrderQueues([("a", True), ("b", True)], max_orders=0, wait=True)
    one, other = task("A", online=False), task("B", archive="b", online=False)
    clock.tell(machine, OrderNeeded(one))
    clock.tell(machine, OrderNeeded(other))
    assert tick(clock, machine) == [PlaceOrder(one), PlaceOrder(other)]
    clock.tell(machine, Answered(PlaceOrder(one), error=ArchiveError("too many", status=429, retry_after=60.0)))
    clock.tell(machine, Answered(PlaceOrder(other), order("B")))
    assert machine.due(clock.now) < 2
    assert set(machine.pending) == {one, other}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ArchiveError("no", status=404), "the order was refused: no"),
        (ArchiveError("trouble", status=502), "ordering it failed: trouble"),
        (AuthenticationError("not you"), "the order was refused: not you"),
    ],
)
def test_a_refused_order_fails_the_scene(clock, error, reason):
    machine = queue(budget=OrderBudget(1))
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    tick(clock, machine)
    assert clock.tell(machine, Answered(PlaceOrder(one), error=error)) == [Fail(one, reason)]
    clock.tell(machine, OrderNeeded(one))
    assert of(tick(clock, machine), PlaceOrder), "an order that was not placed does not count"


def test_a_failed_order_is_placed_again_at_most_three_times(clock):
    machine = queue()
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    effects = []
    for attempt in range(1, ORDERS_AT_ONCE + 1):
        assert tick(clock, machine) == [PlaceOrder(one)]
        clock.tell(machine, Answered(PlaceOrder(one), order("L", number=f"O{attempt}", attempts=attempt)))
        assert of(tick(clock, machine, after=2.0), PollOrders)
        failed = order("L", number=f"O{attempt}", state=OrderState.FAILED, detail="Cancelled")
        effects = clock.tell(machine, Answered(PollOrders("a", ()), (failed,)))
        assert [event.attempt for event in events_of(effects)] == ([attempt] if attempt < ORDERS_AT_ONCE else [])
    kept, failed = effects[1:]
    assert (kept.order.state, kept.order.attempts, kept.order.detail) == (OrderState.FAILED, 4, "Cancelled")
    assert failed == Fail(one, "order O4 failed: Cancelled (ordered 4 times); it is ordered again after 2026-05-02")
    assert not machine.pending
    assert not machine.worth_waiting(clock.now)


def test_orders_of_earlier_runs_count(clock):
    machine = queue()
    one = task("L", online=False, order=order("L", state=OrderState.FAILED, attempts=4), orders_placed=4)
    _, failed = clock.tell(machine, OrderNeeded(one))
    assert failed.error.startswith("order O-L failed: no reason given (ordered 4 times); it is ordered again after ")


@pytest.mark.parametrize(("attempts", "days"), [(4, 1), (5, 7), (6, 30), (9, 30)])
def test_a_scene_whose_orders_fail_is_ordered_again_after_longer_and_longer_pauses(clock, attempts, days):
    failed = order("L", state=OrderState.FAILED, attempts=attempts)
    assert next_order(failed) == START + timedelta(days=days)
    machine = queue()
    clock.seconds += days * 86400
    one = task("L", online=False, order=failed, orders_placed=attempts)
    clock.tell(machine, OrderNeeded(one))
    assert tick(clock, machine) == [PlaceOrder(one)]


def test_a_failed_order_from_the_future_delays_nothing(clock):
    failed = replace(order("L", state=OrderState.FAILED, attempts=9), placed=START + timedelta(days=300))
    assert paused_until(failed, START) is None
    machine, one = queue(), task("L", online=False, order=failed, orders_placed=9)
    clock.tell(machine, OrderNeeded(one))
    assert tick(clock, machine) == [PlaceOrder(one)]


@pytest.mark.parametrize("one", [order("L", attempts=9), order("L", state=OrderState.FAILED, attempts=3)])
def test_other_orders_have_no_pause(one):
    assert next_order(one) is None


def test_an_order_that_is_missing_in_three_answers_is_placed_again(clock):
    machine = queue()
    one = task("L", online=False, order=order("L"), orders_placed=1)
    clock.tell(machine, OrderPending(one))
    for missing in (1, 2):
        tick(clock, machine, after=5.0)
        clock.tell(machine, Answered(PollOrders("a", ()), (order("L", missing=missing),)))
        assert machine.pending == (one,)
    tick(clock, machine, after=5.0)
    effects = clock.tell(machine, Answered(PollOrders("a", ()), (order("L", missing=3),)))
    assert "not found in the last 3 responses" in events_of(effects)[0].error
    assert tick(clock, machine) == [PlaceOrder(one)]


def test_a_link_that_is_refused_while_the_order_is_valid_is_ordered_again_once(clock):
    machine = queue()
    one, _ = placed(clock, machine, state=OrderState.READY, download_url="http://x/ready")
    clock.tell(machine, OrderLinkRefused(one, "the link does not work"))
    assert tick(clock, machine) == [PlaceOrder(one)]
    clock.tell(machine, Answered(PlaceOrder(one), order("L", state=OrderState.READY, download_url="http://x/ready")))
    assert clock.tell(machine, OrderLinkRefused(one, "the link does not work")) == [Fail(one, "the link does not work")]


def test_an_expired_order_is_placed_again(clock):
    machine = queue()
    one, _ = placed(clock, machine, state=OrderState.READY, download_url="http://x/ready")
    (retried,) = events_of(clock.tell(machine, OrderExpired(one, "the link has expired")))
    assert retried.error == "the link has expired"
    assert (one.order, one.scene.download_url) == (None, None)
    assert tick(clock, machine) == [PlaceOrder(one)]


def test_a_limit_of_orders_is_for_all_archives(clock):
    machine = OrderQueues([("a", True), ("b", True)], max_orders=1, wait=True)
    one, other = task("A", online=False), task("B", archive="b", online=False)
    clock.tell(machine, OrderNeeded(one))
    clock.tell(machine, OrderNeeded(other))
    assert tick(clock, machine) == [PlaceOrder(one)]
    clock.tell(machine, Answered(PlaceOrder(one), order("A", state=OrderState.READY, download_url="u")))
    assert tick(clock, machine) == []
    assert not machine.worth_waiting(clock.now)
    assert machine.pending == (other,)


def test_an_archive_without_orders_fails_the_scene(clock):
    one = task("L", online=False)
    (failed,) = clock.tell(queue(takes_orders=False), OrderNeeded(one))
    assert failed == Fail(one, "it is offline, and the archive takes no orders")


def test_polls_that_are_refused_end_the_waiting_and_lose_no_order(clock):
    machine = queue()
    one, _ = placed(clock, machine)
    tick(clock, machine, after=1.0)
    effects = clock.tell(machine, Answered(PollOrders("a", ()), error=AuthenticationError("not you")))
    assert [event.event for event in events_of(effects)] == ["warning"]
    assert not machine.worth_waiting(clock.now)
    assert machine.pending == (one,)


def test_a_poll_that_fails_is_a_warning_and_is_repeated(clock):
    machine = queue()
    placed(clock, machine)
    tick(clock, machine, after=1.0)
    (warning,) = events_of(clock.tell(machine, Answered(PollOrders("a", ()), error=ArchiveError("down"))))
    assert warning.message == "orders could not be polled: down"
    assert of(tick(clock, machine, after=machine.due(clock.now)), PollOrders)


# -- a stop in each state --------------------------------------------------------------------------------------------


def test_a_stop_before_an_order_is_placed_leaves_it_for_later(clock):
    machine = queue()
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    clock.tell(machine, StopRequested())
    assert tick(clock, machine, after=100.0) == []
    assert machine.unfinished == (one,)


@pytest.mark.parametrize("error", [ArchiveError("stopped"), ArchiveError("too many", status=429)])
def test_a_stop_while_an_order_is_placed_fails_nothing(clock, error):
    machine = queue()
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    tick(clock, machine)
    clock.tell(machine, StopRequested())
    assert machine.unfinished == (one,)
    assert clock.tell(machine, Answered(PlaceOrder(one), error=error)) == []
    assert machine.unfinished == (one,)


def test_an_order_that_was_placed_when_the_run_stopped_is_kept(clock):
    machine = queue()
    one = task("L", online=False)
    clock.tell(machine, OrderNeeded(one))
    tick(clock, machine)
    clock.tell(machine, StopRequested())
    assert SaveOrder(order("L")) in clock.tell(machine, Answered(PlaceOrder(one), order("L")))
    assert machine.pending == (one,)
    assert tick(clock, machine, after=100.0) == []


def test_a_stop_while_orders_are_polled_warns_of_nothing(clock):
    machine = queue()
    one, _ = placed(clock, machine)
    tick(clock, machine, after=1.0)
    clock.tell(machine, StopRequested())
    assert clock.tell(machine, Answered(PollOrders("a", ()), error=ArchiveError("stopped"))) == []
    assert machine.pending == (one,)
