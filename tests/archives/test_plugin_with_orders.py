"""The example of a plug-in with a login, pages, orders and scenes of several files."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from ground_station import FILES, SQUARE, GroundStation
from msgspec.structs import replace

import sedas_sync as ss
from sedas_sync.archives.plugin import IncompleteSearch, Query
from sedas_sync.archives.registry import TYPES, Types
from sedas_sync.testing import ArchiveContract, Case

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "plugin_orders"))
import sedas_sync_ground_station as plugin

QUERY = Query(aoi=SQUARE, start=datetime(2019, 5, 1, tzinfo=UTC), stop=datetime(2019, 5, 31, tzinfo=UTC))
DATASET = (
    '[aoi.here]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n[dataset.d]\naoi = "here"\nstart = 2019-05-01\nend = 2019-05-31\n'
)


@pytest.fixture
def station():
    server = GroundStation()
    yield server
    server.close()


@pytest.fixture
def opened(station):
    client = plugin.Client(station.url, "ann", "secret", retries=2, timeout=10)
    client.stopped.wait = lambda _seconds: client.stopped.is_set()
    return plugin.GroundStation(client)


class TestContract(ArchiveContract):
    @pytest.fixture
    def case(self, opened):
        return Case(opened, QUERY)


@pytest.fixture
def mirror(station, tmp_path, monkeypatch):
    monkeypatch.setitem(TYPES._known, "ground-station", plugin.TYPE)
    monkeypatch.setenv("STATION_USERNAME", "ann")
    monkeypatch.setenv("STATION_PASSWORD", "secret")
    (tmp_path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "ground-station"\nurl = "{station.url}"\n[transfer]\nretries = 1\n{DATASET}'
    )
    with ss.Mirror(ss.load_manifest(tmp_path / "manifest.toml")) as mirror:
        yield mirror


def test_the_entry_point_is_the_type(station):
    class Point:
        name, value, dist = "ground-station", "sedas_sync_ground_station:TYPE", None

        def load(self):
            return plugin.TYPE

    assert Types(entry_points=lambda: [Point()])["ground-station"] is plugin.TYPE


def test_an_ordered_scene_of_several_files_is_downloaded_once_its_order_is_ready(mirror, station):
    first = mirror.sync(wait=False)
    assert (first.fetched, first.ordered, first.pending) == (4, 1, 1)
    assert [(order.id, order.order) for order in mirror.orders()] == [("GS_5", "1")]
    while (last := mirror.sync(wait=False)).pending:
        last.raise_for_failures()
    assert len(station.orders) == 1
    for name in FILES:
        assert (mirror.root / "GS_5" / name).read_bytes() == station.content("GS_5", name)
    assert mirror.plan().changes == 0
    assert not mirror.verify().bad


def test_an_archive_gets_the_data_of_its_orders_back(mirror, monkeypatch):
    placed, polled = plugin.StationOrders.place, plugin.StationOrders.poll
    seen = []

    def place(self, scene):
        return replace(placed(self, scene), data=f"tape 7 of {scene.id}")

    def poll(self, orders):
        asked = list(orders)
        seen.extend(order.data for order in asked)
        yield from polled(self, asked)

    monkeypatch.setattr(plugin.StationOrders, "place", place)
    monkeypatch.setattr(plugin.StationOrders, "poll", poll)
    mirror.sync(wait=False)
    with ss.Mirror(ss.load_manifest(mirror.root.parent / "manifest.toml")) as later:
        (order,) = later.orders()
        assert order.data == "tape 7 of GS_5"
        assert "tape 7" not in repr(order)
        later.sync(wait=False)
    assert set(seen) == {"tape 7 of GS_5"}


def test_a_token_that_expires_is_replaced(opened, station):
    (scene, *_) = opened.find(QUERY, warn=print)
    refused = opened.locate(scene, scene.files[0])
    station.tokens.clear()
    assert len(list(opened.find(QUERY, warn=print))) == 5
    again = opened.locate(scene, scene.files[0], refused=refused)
    assert again.headers["Authorization"] == "Bearer token-2"
    assert "token-2" not in repr(again)


def test_a_page_that_fails_for_good_is_an_incomplete_search(opened, station):
    station.failures["scenes"] = [503]
    assert len(list(opened.find(QUERY, warn=print))) == 5
    search = opened.find(QUERY, warn=print)
    found = [next(search), next(search)]
    station.failures["scenes"] = [503, 503, 503]
    with pytest.raises(IncompleteSearch, match="page 2 is missing, after 2 scenes"):
        found.extend(search)
    assert len(found) == 2


def test_an_order_is_never_sent_twice_and_a_quota_is_named(opened, station):
    scene = next(scene for scene in opened.find(QUERY, warn=print) if not scene.online)
    for status in (503, 429):
        station.failures["orders"] = [status]
        with pytest.raises(ss.ArchiveError) as caught:
            opened.orders.place(scene)
        assert caught.value.status == status
    assert station.orders == {}


def test_wrong_credentials_and_stop_end_calls(station, opened):
    with pytest.raises(ss.AuthenticationError):
        list(plugin.GroundStation(plugin.Client(station.url, "bob", "x", retries=0, timeout=9)).find(QUERY, warn=print))
    opened.stop()
    with pytest.raises(ss.ArchiveError, match="stopped"):
        list(opened.find(QUERY, warn=print))
