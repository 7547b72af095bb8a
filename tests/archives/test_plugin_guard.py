"""Archives of other packages: any exception or invalid result is an error of that archive only."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

import sedas_sync as ss
from sedas_sync.archives.opening import Opening, open_archive
from sedas_sync.archives.plugin_guard import GuardedArchive
from sedas_sync.archives.protocol import (
    calls_of,
    connections_of,
    interrupt,
    is_stopped,
    known_orders_of,
    orders_of,
    server_time_of,
    sources_of,
)
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, StoppedError
from sedas_sync.manifest import ArchiveConfig
from sedas_sync.manifest.archive_types import ArchiveType
from sedas_sync.model.order import Order
from sedas_sync.model.scene import Download, Query, RemoteFile, Scene
from sedas_sync.state.order_journal import OrderJournal

MAY = Query(
    aoi="POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))",
    start=datetime(2019, 5, 1, tzinfo=UTC),
    stop=datetime(2019, 5, 31, tzinfo=UTC),
)
SCENE = Scene(id="A", start=MAY.start, footprint=MAY.aoi, download_url="https://example.org/A.zip")

ORDER = Order(order="7", id="A", placed=MAY.start)


class Foreign:
    """An archive as a package may provide it."""

    identity = "foreign"
    orders = None
    connections = 3

    def find(self, _query, *, warn):
        warn("something")
        yield SCENE

    def look_up(self, _ids, *, warn):  # as the protocol has it
        yield SCENE

    def locate(self, scene, *, refused=None):  # as the protocol has it
        return Download(url=scene.download_url)

    def stop(self):
        raise RuntimeError("stop")

    def close(self):
        raise RuntimeError("close")


def guarded(**methods):
    def method(call):
        return lambda *_args, **_kwargs: call()

    made = {name: method(call) for name, call in methods.items()}
    return GuardedArchive(type("Package", (Foreign,), made)(), "foreign")


def fail(error):
    def call():
        raise error

    return call


def find(archive):
    return list(archive.find(MAY, warn=lambda _: None))


def test_valid_results_are_returned():
    archive = guarded()
    assert (archive.identity, archive.orders, archive.connections) == ("foreign", None, 3)
    assert find(archive) == list(archive.look_up(["A"], warn=print)) == [SCENE]
    assert archive.locate(SCENE).url == SCENE.download_url
    assert not any(sources_of(archive))
    assert not interrupt(archive)


def test_errors_in_stop_and_close_are_ignored():
    guarded().stop()
    guarded().close()


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyError("boom"), SystemExit(7)])
def test_any_exception_becomes_an_archive_error(error):
    with pytest.raises(ArchiveError, match=rf"archive type foreign failed in find: {type(error).__name__}"):
        find(guarded(find=fail(error)))
    with pytest.raises(ArchiveError, match="failed in look_up"):
        list(guarded(look_up=fail(error)).look_up(["A"], warn=print))
    with pytest.raises(ArchiveError, match="failed in locate"):
        guarded(locate=fail(error)).locate(SCENE)


@pytest.mark.parametrize("error", [AuthenticationError("no"), IncompleteSearch("some"), ArchiveError("down")])
def test_errors_of_sedas_sync_are_not_changed(error):
    with pytest.raises(type(error)) as caught:
        find(guarded(find=fail(error)))
    assert caught.value is error


def test_scenes_found_before_a_failure_are_yielded():
    def some():
        yield SCENE
        raise RuntimeError("boom")

    found = []
    with pytest.raises(ArchiveError, match="boom"):
        found.extend(iter(guarded(find=some).find(MAY, warn=print)))
    iterator = guarded(find=some).find(MAY, warn=print)
    assert next(iterator) == SCENE


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("find", None, "'NoneType' object is not iterable"),
        ("find", [{"id": "A"}], "it returned dict instead of a Scene"),
        ("find", [Scene(id="A", start=datetime(2019, 5, 1))], "the start of scene 'A' has no time zone"),  # noqa: DTZ001
        ("find", [Scene(id=5)], "`id` of its Scene is not valid: expected `str`, got `int`"),
        ("find", [Scene(id=None)], "`id` of its Scene is not valid"),
        (
            "find",
            [Scene(id="A", size="12")],
            r"`size` of its Scene 'A' is not valid: expected `int \| null`, got `str`",
        ),
        ("find", [Scene(id="A", footprint=5)], "`footprint` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", footprint=b"x")], "`footprint` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", cloud_cover="x")], "`cloud_cover` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", digest=5)], "`digest` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", assets=5)], "`assets` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", assets=[1])], r"`assets\[0\]` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", assets=(RemoteFile(name=5),))], r"`assets\[0\].name` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", extra=5)], "`extra` of its Scene 'A' is not valid"),
        ("find", [Scene(id="A", extra={"a": object()})], "a field of its Scene 'A' cannot be written as JSON"),
        ("find", [Scene(id="A", listing=("*",))], "scene 'A' has a listing, but the archive has no `list_files`"),
        ("locate", None, "it returned NoneType instead of a Download"),
        ("locate", Download(url=None), "`url` of its Download is not valid"),
        ("locate", Download(url="tape:7", size="5"), "`size` of its Download is not valid"),
        ("locate", Download(url="tape:7", headers={"a": 5}), "`headers.*` of its Download is not valid"),
        ("locate", Download(url="tape:7", reach=None), "`reach` of its Download is not valid"),
    ],
)
def test_invalid_results_become_archive_errors(method, value, message):
    archive = guarded(**{method: lambda: value})
    with pytest.raises(ArchiveError, match=message):
        find(archive) if method == "find" else archive.locate(SCENE)


def test_a_scene_that_is_not_valid_leaves_the_others():
    some = [Scene(id=5), SCENE, Scene(id="B", size="12"), Scene(id="C", assets=[RemoteFile(name="a")])]
    found = []
    with pytest.raises(IncompleteSearch, match="`id` of its Scene"):
        found.extend(iter(guarded(find=lambda: some).find(MAY, warn=print)))
    assert found == [SCENE, Scene(id="C", assets=(RemoteFile(name="a"),))]


def test_values_of_any_type_do_not_crash_the_caller():
    warnings = []

    class Package(Foreign):
        calls = {"search": 2, 1: "x", "poll": "many"}  # noqa: RUF012  # as a package may have it

        def find(self, _query, *, warn):
            warn(5)
            warn(None)
            yield SCENE

    archive = GuardedArchive(Package(), "foreign")
    assert (list(archive.find(MAY, warn=warnings.append)), warnings) == ([SCENE], ["5", "None"])
    assert archive.calls == {"search": 2}
    Package.connections = "x"
    with pytest.raises(ArchiveError, match="failed in connections: it returned str instead of an int"):
        connections_of(archive)


def test_a_reader_that_stops_early_is_no_error():
    scenes = guarded(find=lambda: [SCENE, SCENE]).find(MAY, warn=print)
    assert next(scenes) == SCENE
    scenes.close()


def test_only_an_archive_that_was_stopped_may_raise_that_it_was():
    archive = guarded(find=fail(StoppedError("stopped")), look_up=fail(StoppedError("stopped")))
    with pytest.raises(ArchiveError, match="failed in find: StoppedError") as caught:
        find(archive)
    assert not isinstance(caught.value, StoppedError)
    archive.stop()
    with pytest.raises(StoppedError):
        find(archive)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()])
def test_an_exception_that_ends_programs_is_an_archive_error_in_a_thread(error):
    with ThreadPoolExecutor(1) as pool, pytest.raises(ArchiveError, match=f"failed in find: {type(error).__name__}"):
        pool.submit(find, guarded(find=fail(error))).result()


def test_ctrl_c_is_not_an_error_of_the_package():
    with pytest.raises(KeyboardInterrupt):
        find(guarded(find=fail(KeyboardInterrupt())))


def test_orders_are_guarded_too():
    class Desk:
        def place(self, _scene):
            raise RuntimeError("boom")

        def poll(self, _orders):
            raise RuntimeError("boom")

    package = Foreign()
    package.orders = Desk()
    orders = GuardedArchive(package, "foreign").orders
    with pytest.raises(ArchiveError, match=r"failed in orders\.place: RuntimeError: boom"):
        orders.place(SCENE)
    with pytest.raises(ArchiveError, match=r"failed in orders\.poll"):
        list(orders.poll([]))


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("connections", connections_of),
        ("orders", orders_of),
        ("known_orders", known_orders_of),
        ("satellites", sources_of),
        ("source_groups", sources_of),
    ],
)
def test_a_capability_that_fails_is_an_archive_error(name, read):
    boom = fail(RuntimeError("boom"))
    lists = {"satellites": list, "source_groups": list} if name in ("satellites", "source_groups") else {}
    made = {key: (lambda _self, call=call: call()) for key, call in lists.items()}
    made[name] = (lambda _self: boom()) if lists else property(lambda _self: boom())
    archive = GuardedArchive(type("Package", (Foreign,), made)(), "foreign")
    with pytest.raises(ArchiveError, match=f"archive type foreign failed in {name}: RuntimeError: boom"):
        read(archive)


@pytest.mark.parametrize(
    ("name", "read", "instead"),
    [("server_time", server_time_of, None), ("calls", calls_of, {}), ("stopped", is_stopped, False)],
)
@pytest.mark.parametrize("value", [RuntimeError("boom"), "a text", datetime(2019, 5, 1)])  # noqa: DTZ001
def test_information_that_a_package_gets_wrong_is_ignored(name, read, instead, value):
    def get(_self):
        if isinstance(value, Exception):
            raise value
        return value

    archive = GuardedArchive(type("Package", (Foreign,), {name: property(get)})(), "foreign")
    assert read(archive) == instead


def test_interrupt_that_fails_leaves_the_archive_to_be_stopped():
    assert not interrupt(guarded(interrupt=fail(RuntimeError("boom"))))
    assert interrupt(guarded(interrupt=lambda: None))


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("place", None, "orders.place: it returned NoneType instead of an Order"),
        ("poll", ["7"], "orders.poll: it returned str instead of an Order"),
        ("place", replace(ORDER, data=5), "orders.place: `data` of its Order 'A' is not valid"),
        ("place", replace(ORDER, order=5), "`order` of its Order 'A' is not valid"),
        ("place", replace(ORDER, state="weird"), "`state` of its Order 'A' is not valid"),
        ("place", replace(ORDER, placed=datetime(2019, 5, 1)), "the placed of order 'A' has no time zone"),  # noqa: DTZ001
        ("poll", [replace(ORDER, polls="x")], "orders.poll: `polls` of its Order 'A' is not valid"),
    ],
)
def test_invalid_orders_are_archive_errors(method, value, message):
    package = Foreign()
    package.orders = type("Desk", (), {"place": lambda *_: value, "poll": lambda *_: value})()
    orders = orders_of(GuardedArchive(package, "foreign"))
    with pytest.raises(ArchiveError, match=message):
        orders.place(SCENE) if method == "place" else list(orders.poll([]))


@pytest.mark.parametrize(
    ("wrong", "usable"),
    [
        ({"data": 5, "detail": "queued"}, {"detail": "queued"}),
        ({"order": 7, "data": "tape 3"}, {"data": "tape 3"}),
        ({"order": 1}, {"order": "1"}),
        ({"state": "weird", "polls": "x"}, {}),
        ({"id": None}, {}),
    ],
)
def test_an_order_with_wrong_fields_is_kept_and_not_placed_again(tmp_path, wrong, usable):
    (tmp_path / "manifest.toml").write_text(
        'version = 1\n[archive]\ntype = "directory"\npath = "."\n[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n'
        '[dataset.d]\naoi = "here"\nstart = 2019-05-01\nend = 2019-05-31\n[transfer]\nretries = 0\n'
    )
    placed, polled = [], []

    class Orders:
        def place(self, scene):
            placed.append(scene.id)
            return replace(ORDER, **wrong)

        def poll(self, orders):
            polled.extend(orders)
            return orders

    package = Foreign()
    package.orders = Orders()
    package.find = lambda *_, **__: [replace(SCENE, download_url=None)]
    errors = []
    for code in (1, 3):
        archives = {"archive": GuardedArchive(package, "foreign")}
        with ss.Mirror(ss.load_manifest(tmp_path / "manifest.toml"), archives=archives) as mirror:
            result = mirror.sync(wait=False)
            assert result.exit_code == code
            errors += [failure.error for failure in result.failures]
            (order,) = mirror.orders()
    (error,) = errors
    assert "is not valid" in error
    number = str(wrong.get("order", 7))
    assert f"order {number} is kept" in error
    assert placed == ["A"]
    assert {order.order, *(one.order for one in polled)} == {number}
    assert {name: getattr(order, name) for name in usable} == usable


def test_an_order_can_be_read_again_whatever_the_package_returns(tmp_path):
    (tmp_path / ".sedas-sync").mkdir()
    odd = timezone(timedelta(hours=1, seconds=30))
    package = Foreign()
    made = replace(ORDER, placed=MAY.start.astimezone(odd), detail="a\nb\ud800", data="\0\n")
    package.orders = type("Desk", (), {"place": lambda *_: made, "poll": lambda *_: []})()
    journal = OrderJournal(tmp_path)
    journal.add(orders_of(GuardedArchive(package, "foreign")).place(SCENE))
    journal.close()
    again = OrderJournal(tmp_path)
    assert (again.orders(), again.unreadable) == ([made], 0)


def test_an_open_that_cannot_be_called_is_an_archive_error():
    with pytest.raises(ArchiveError, match="failed in locate: the `open` of its Download cannot be called"):
        guarded(locate=lambda: Download(url="tape:7", open="file")).locate(SCENE)


def test_failing_opener_is_an_archive_error():
    def opener(_opening):
        raise RuntimeError("boom")

    kind = ArchiveType(name="foreign", opener=opener)
    with pytest.raises(ArchiveError, match="archive type foreign failed in its opener: RuntimeError: boom"):
        open_archive(Opening(config=ArchiveConfig(type="foreign"), kind=kind))


def test_failing_search_does_not_stop_other_searches(tmp_path):
    (tmp_path / "shelf").mkdir()
    (tmp_path / "manifest.toml").write_text(
        'version = 1\n[archives.bad]\ntype = "directory"\npath = "shelf"\n'
        '[archives.good]\ntype = "directory"\npath = "shelf"\n[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n'
        '[dataset.b]\narchive = "bad"\naoi = "here"\nstart = 2019-05-01\nend = 2019-05-31\n'
        '[dataset.g]\narchive = "good"\naoi = "here"\nstart = 2019-05-01\nend = 2019-05-31\n'
    )
    archives = {"bad": guarded(find=fail(TypeError("boom"))), "good": guarded()}
    with ss.Mirror(ss.load_manifest(tmp_path / "manifest.toml"), archives=archives) as mirror:
        plan = mirror.plan()
    assert [action.id for action in plan.actions] == ["A"]
    assert [failure.id for failure in plan.failures] == ["b"]
    assert not plan.search_complete
