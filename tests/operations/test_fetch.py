"""`fetch`: orders placed before, and every way to end it early."""

import threading
import time

import pytest

import sedas_sync as ss
from sedas_sync.errors import StoppedError
from sedas_sync.events import Ordered
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

START = "2019-05-02T11:00:00Z"


@pytest.fixture
def archive(sandbox):
    with ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as opened:
        yield opened


def put(sandbox, *rows):
    sandbox._catalogue = RowCatalogue(rows)


def until_ready(archive, order):
    while order.state is ss.OrderState.PENDING:
        (order,) = archive.order_status([order])
    return order


def test_scene_that_was_ordered_by_hand_is_not_ordered_again(archive, sandbox, tmp_path):
    put(sandbox, make_row("A", START, online=False))
    scene = archive.product("A")
    until_ready(archive, archive.order(scene))
    (done,) = ss.fetch([scene], tmp_path, archive=archive)
    assert done.path.is_file()
    assert sandbox.orders == 1


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("ready", [True, False])
def test_order_of_another_process_is_used(archive, sandbox, tmp_path, ready, saved):
    put(sandbox, make_row("A", START, online=False))
    order = archive.order(archive.product("A"))
    if ready:
        order = until_ready(archive, order)
    with ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as other:
        (done,) = ss.fetch(
            [other.product("A")], tmp_path, archive=other, orders={"A": order.order} if saved else [order]
        )
    assert done.path.is_file()
    assert sandbox.orders == 1


def test_state_of_an_order_by_its_saved_id(archive, sandbox):
    put(sandbox, make_row("A", START, online=False))
    order = archive.order(archive.product("A"))
    (known,) = archive.order_status([order.order])
    assert (known.id, known.order) == ("A", order.order)
    with ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox") as other:
        (polled,) = other.order_status([order.order])
        assert polled.order == order.order
        assert polled.missing == 0


def test_order_that_is_not_ready_is_left_for_a_later_call(archive, sandbox, tmp_path):
    sandbox.order_delay = 3600
    put(sandbox, make_row("A", START), make_row("B", START, online=False))
    scenes = [archive.product(name) for name in "AB"]
    assert [done.scene.id for done in ss.fetch(scenes, tmp_path, archive=archive, wait=False)] == ["A"]
    sandbox.order_delay = 0.0
    assert [done.scene.id for done in ss.fetch(scenes, tmp_path, archive=archive, order_timeout=60)] == ["A", "B"]
    assert sandbox.orders == 1


def test_order_timeout_ends_the_call(archive, sandbox, tmp_path):
    sandbox.order_delay = 3600
    put(sandbox, make_row("A", START, online=False))
    assert list(ss.fetch([archive.product("A")], tmp_path, archive=archive, order_timeout=0.3)) == []


def ended(run):
    """Run in another thread; return its error and the seconds from the call of `end` to its end."""
    result = []

    def body():
        try:
            result.append(list(run()))
        except StoppedError as error:
            result.append(error)

    thread = threading.Thread(target=body)
    thread.start()

    def end(action):
        began = time.monotonic()
        action()
        thread.join(30)
        assert not thread.is_alive()
        return result[0], time.monotonic() - began

    return end


@pytest.mark.parametrize("how", ["event", "stop", "close"])
def test_call_that_waits_for_an_order_ends_soon(archive, sandbox, tmp_path, how):
    sandbox.order_delay = 3600
    put(sandbox, make_row("A", START, online=False))
    scene, stop = archive.product("A"), threading.Event()
    placed = threading.Event()
    end = ended(
        lambda: ss.fetch(
            [scene],
            tmp_path,
            archive=archive,
            stop=stop,
            on_event=lambda event: placed.set() if isinstance(event, Ordered) else None,
        )
    )
    assert placed.wait(30)
    error, seconds = end({"event": stop.set, "stop": archive.stop, "close": archive.close}[how])
    assert isinstance(error, StoppedError)
    assert error.exit_code == 130
    assert seconds < 5
    if how == "event":
        assert archive.product("A").id == "A", "only the call was stopped, not the archive"
    else:
        with pytest.raises(StoppedError):
            archive.product("A")


def test_stop_ends_a_call_that_waits_for_a_retry(archive, sandbox, tmp_path):
    put(sandbox, make_row("A", START, online=False))
    scene, stop = archive.product("A"), threading.Event()
    asked = threading.Event()
    sandbox.faults = Faults(rules=(Rule("order", fail(503, retry_after=100)),))
    sandbox._listen = lambda entry: asked.set() if entry.status == 503 else None
    end = ended(lambda: ss.fetch([scene], tmp_path, archive=archive, stop=stop))
    assert asked.wait(30)
    error, seconds = end(stop.set)
    assert isinstance(error, StoppedError)
    assert seconds < 5


def test_stop_that_was_set_before_counts(archive, sandbox, tmp_path):
    put(sandbox, make_row("A", START))
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoppedError):
        list(ss.fetch([archive.product("A")], tmp_path, archive=archive, stop=stop))
    assert not list(tmp_path.glob("*.zip"))


class Failing(ss.SedasArchive):
    """An archive of a program: `located` is called with the id of each scene before its link is returned."""

    located = None

    def locate(self, scene, *arguments, **named):
        self.located(scene.id)
        return super().locate(scene, *arguments, **named)


def test_any_exception_of_an_archive_fails_one_scene(manifest, sandbox):
    put(sandbox, make_row("A", START), make_row("B", START))

    def fail_a(scene_id):
        if scene_id == "A":
            raise ValueError("boom")

    archive = Failing(url=sandbox.url, username="sandbox", password="sandbox")
    archive.located = fail_a
    with archive, ss.Mirror(manifest, archives={"archive": archive}) as mirror:
        done = mirror.sync()
        assert done.fetched == 1
        (failure,) = done.failures
        assert (failure.id, failure.error) == ("A", "unexpected ValueError: boom")


def test_an_archive_that_is_stopped_leaves_its_scenes_to_the_next_run(manifest, sandbox):
    put(sandbox, make_row("A", START), make_row("B", START))
    archive = Failing(url=sandbox.url, username="sandbox", password="sandbox")

    def stop(_scene_id):
        archive.stop()
        raise StoppedError("stopped")

    archive.located = stop
    with archive, ss.Mirror(manifest, archives={"archive": archive}) as mirror:
        done = mirror.sync()
        assert (done.exit_code, done.fetched, done.failures) == (130, 0, ())
