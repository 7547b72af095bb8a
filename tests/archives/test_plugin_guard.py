"""Archives of other packages: any exception or invalid result is an error of that archive only."""

from datetime import UTC, datetime

import pytest

import sedas_sync as ss
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
from sedas_sync.archives.registry import Opening, open_archive
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch
from sedas_sync.manifest import ArchiveConfig
from sedas_sync.manifest.archive_types import ArchiveType
from sedas_sync.model.scene import Download, Query, Scene

MAY = Query(
    aoi="POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))",
    start=datetime(2019, 5, 1, tzinfo=UTC),
    stop=datetime(2019, 5, 31, tzinfo=UTC),
)
SCENE = Scene(id="A", start=MAY.start, footprint=MAY.aoi, download_url="https://example.org/A.zip")


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
        ("locate", None, "it returned NoneType instead of a Download"),
    ],
)
def test_invalid_results_become_archive_errors(method, value, message):
    archive = guarded(**{method: lambda: value})
    with pytest.raises(ArchiveError, match=message):
        find(archive) if method == "find" else archive.locate(SCENE)


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
    ],
)
def test_invalid_orders_are_archive_errors(method, value, message):
    package = Foreign()
    package.orders = type("Desk", (), {"place": lambda *_: value, "poll": lambda *_: value})()
    orders = orders_of(GuardedArchive(package, "foreign"))
    with pytest.raises(ArchiveError, match=message):
        orders.place(SCENE) if method == "place" else list(orders.poll([]))


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
