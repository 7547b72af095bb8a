"""What every archive must do: one test suite for all implementations, for pytest.

A module that tests an archive subclasses `ArchiveContract` and provides the fixture `case`::

    import pytest
    from sedas_sync.archives.plugin import Query
    from sedas_sync.testing import ArchiveContract, Case

    class TestMyArchive(ArchiveContract):
        @pytest.fixture
        def case(self) -> Case:
            return Case(MyArchive(...), Query(...))

It needs pytest, which the package does not install.
"""

import io
from dataclasses import dataclass
from datetime import UTC, timedelta
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from sedas_sync.archives.protocol import (
    Archive,
    Orders,
    Warn,
    calls_of,
    connections_of,
    interrupt,
    is_stopped,
    known_orders_of,
    list_files,
    locate_file,
    orders_of,
    server_time_of,
    sources_of,
)
from sedas_sync.errors import ArchiveError
from sedas_sync.files.threads import Pool
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.scene import Query, Scene
from sedas_sync.model.text import product_id


@dataclass
class Case:
    """An archive to test, and a query that finds at least two online scenes."""

    archive: Archive
    query: Query


def no_warning(sentence: str) -> None:
    """Fail the test."""
    raise AssertionError(f"unexpected warning: {sentence}")


def any_warning(sentence: str) -> None:
    """Accept a warning."""
    assert sentence


class ArchiveContract:
    """The suite. Tests of orders and of offline scenes are skipped if an archive has none, which is allowed."""

    footprints = True
    """Whether every scene has a footprint."""
    warns = False
    """Whether every search has a warning."""

    @pytest.fixture
    def warn(self) -> Warn:
        return any_warning if self.warns else no_warning

    @pytest.fixture
    def archive(self, case: Case) -> Archive:
        return case.archive

    @pytest.fixture
    def scenes(self, warn: Warn, case: Case) -> list[Scene]:
        return list(case.archive.find(case.query, warn=warn))

    @pytest.fixture
    def orders(self, archive: Archive) -> Orders:
        orders = orders_of(archive)
        if orders is None:
            pytest.skip("this archive has no orders")
        return orders

    @pytest.fixture
    def offline(self, archive: Archive, scenes: list[Scene]) -> Scene:
        found = [scene for scene in scenes if not scene.online and not scene.planned]
        if not found and orders_of(archive) is None:
            pytest.skip("this archive has no offline scenes")
        return found[0]

    def test_identity_is_a_name_and_does_not_change(self, archive: Archive) -> None:
        assert archive.identity
        assert archive.identity == archive.identity.strip()

    def test_find_yields_each_scene_once(self, scenes: list[Scene]) -> None:
        assert len(scenes) >= 2
        assert len({scene.id for scene in scenes}) == len(scenes)

    def test_found_scenes_have_all_required_fields(self, scenes: list[Scene], case: Case) -> None:
        for scene in scenes:
            assert scene.id
            assert scene.start is not None
            assert scene.start.tzinfo is UTC
            assert scene.footprint or not self.footprints
            assert scene.id == product_id(scene.id), "ids have no extension, so that archives agree on them"
            assert scene.sensor in ("optical", "sar", None)
            assert scene.online == (scene.download_url is not None)

    def test_second_search_finds_the_same(self, warn: Warn, archive: Archive, case: Case, scenes: list[Scene]) -> None:
        assert {scene.id for scene in archive.find(case.query, warn=warn)} == {scene.id for scene in scenes}

    def test_both_ends_of_the_time_are_included(
        self, warn: Warn, archive: Archive, case: Case, scenes: list[Scene]
    ) -> None:
        last, name = max((scene.start, scene.id) for scene in scenes if scene.start is not None)
        moment = replace(case.query, start=last, stop=last)
        assert name in {found.id for found in archive.find(moment, warn=warn)}

    def test_nothing_outside_the_time_is_found(
        self, warn: Warn, archive: Archive, case: Case, scenes: list[Scene]
    ) -> None:
        first = min(scene.start for scene in scenes if scene.start is not None)
        before = replace(case.query, stop=first - timedelta(seconds=1))
        assert not {scene.id for scene in archive.find(before, warn=warn)} & {scene.id for scene in scenes}

    def test_end_before_start_finds_nothing(self, warn: Warn, archive: Archive, case: Case) -> None:
        query = replace(case.query, stop=case.query.start - timedelta(days=1))
        assert list(archive.find(query, warn=warn)) == []

    def test_search_by_sensor_finds_all_scenes_of_it(
        self, warn: Warn, archive: Archive, case: Case, scenes: list[Scene]
    ) -> None:
        for sensor in ("optical", "sar"):
            found = {scene.id for scene in archive.find(replace(case.query, sensor=sensor), warn=warn)}
            assert {scene.id for scene in scenes if scene.sensor == sensor} <= found

    def test_look_up_finds_what_a_search_found(self, archive: Archive, scenes: list[Scene]) -> None:
        found = {scene.id: scene for scene in archive.look_up([scene.id for scene in scenes], warn=no_warning)}
        assert set(found) == {scene.id for scene in scenes if not scene.planned}
        for scene in scenes:
            if not scene.planned:
                assert replace(found[scene.id], extra={}) == replace(scene, extra={})

    def test_look_up_skips_unknown_ids(self, archive: Archive, scenes: list[Scene]) -> None:
        asked = ["no such scene", scenes[0].id, "../etc/passwd?&#", scenes[0].id]
        assert [scene.id for scene in archive.look_up(asked, warn=no_warning)] == [scenes[0].id]

    def test_look_up_of_nothing(self, archive: Archive) -> None:
        assert list(archive.look_up([], warn=no_warning)) == []

    def test_online_scene_is_located(self, archive: Archive, scenes: list[Scene]) -> None:
        scene = list_files(archive, next(scene for scene in scenes if scene.online))
        for file in scene.files:
            download = locate_file(archive, scene, file)
            assert download.open or urlsplit(download.url).scheme in ("http", "https", "file")
            # A nominal size is for plans. It is not the size of the file.
            assert download.size == (None if scene.nominal else file.size)
            assert download.digest == file.digest
            assert not any(value in repr(download) for value in download.headers.values())

    def test_opened_files_start_at_the_byte_that_is_asked_for(self, archive: Archive, scenes: list[Scene]) -> None:
        scene = list_files(archive, next(scene for scene in scenes if scene.online))
        download = locate_file(archive, scene, scene.files[0])
        if download.open is None:
            pytest.skip("this archive's files are links")
        with download.open(0, 16) as stream:
            first = stream.read(16)
        assert download.size is None or len(first) == min(16, download.size)
        try:
            with download.open(8, 8) as stream:
                assert stream.read(8) == first[8:]
        except io.UnsupportedOperation:
            return
        assert locate_file(archive, scene, scene.files[0]).url == download.url, "the file has one name"

    def test_files_of_a_scene_have_unique_safe_names(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            names = [asset.name for asset in scene.assets]
            assert len({name.casefold() for name in names}) == len(names)
            assert not any(part in ("", ".", "..") for name in names for part in name.split("/"))

    def test_refused_download_gets_another_link_or_an_error(self, archive: Archive, scenes: list[Scene]) -> None:
        scene = list_files(archive, next(scene for scene in scenes if scene.online))
        refused = locate_file(archive, scene, scene.files[0])
        try:
            again = locate_file(archive, scene, scene.files[0], refused)
        except ArchiveError:
            return
        assert (again.url, dict(again.headers)) != (refused.url, dict(refused.headers))

    def test_offline_scene_is_not_located(self, archive: Archive, offline: Scene) -> None:
        with pytest.raises(ArchiveError):
            locate_file(archive, offline, offline.files[0])

    def test_offline_scene_states_a_reason_if_nothing_can_be_ordered(self, archive: Archive, offline: Scene) -> None:
        assert offline.offline or orders_of(archive) is not None

    def test_order_is_placed_and_known(self, archive: Archive, orders: Orders, offline: Scene) -> None:
        order = orders.place(offline)
        assert order.id == offline.id
        assert order.order
        assert order.archive == archive.identity
        assert order.state is OrderState.PENDING
        (polled,) = orders.poll([order])
        assert (polled.order, polled.polls, polled.missing) == (order.order, 1, 0)

    def test_every_order_is_polled_once_and_unknown_ones_are_missing(self, orders: Orders, offline: Scene) -> None:
        placed = orders.place(offline)
        unknown = Order(order="999999999", id="gone", placed=placed.placed, missing=1)
        polled = {order.order: order for order in orders.poll([unknown, placed])}
        assert len(polled) == 2
        assert polled["999999999"].missing == 2
        assert polled[placed.order].missing == 0

    def test_data_of_an_order_is_kept(self, orders: Orders, offline: Scene) -> None:
        placed = orders.place(offline)
        stored = Order.from_json(placed.to_json())
        assert stored.data == placed.data
        (polled,) = orders.poll([stored])
        assert (polled.order, polled.missing) == (placed.order, 0)

    def test_poll_of_nothing(self, orders: Orders) -> None:
        assert list(orders.poll([])) == []

    def test_capabilities_have_valid_values(self, archive: Archive, scenes: list[Scene]) -> None:
        assert scenes
        connections, time, calls = connections_of(archive), server_time_of(archive), calls_of(archive)
        assert connections is None or connections > 0
        assert time is None or time.tzinfo is not None
        assert all(isinstance(name, str) and count >= 0 for name, count in calls.items())
        assert not is_stopped(archive)
        assert all(isinstance(order, Order) for order in known_orders_of(archive))
        for listed in sources_of(archive):
            assert all(source.name for source in listed)

    def test_interrupted_archive_can_be_used_again(
        self, warn: Warn, archive: Archive, case: Case, scenes: list[Scene]
    ) -> None:
        if not interrupt(archive):
            pytest.skip("this archive can only be stopped")
        assert {scene.id for scene in archive.find(case.query, warn=warn)} == {scene.id for scene in scenes}

    def test_used_from_several_threads(self, warn: Warn, archive: Archive, case: Case, scenes: list[Scene]) -> None:
        with Pool(4) as pool:
            runs = list(pool.map(lambda _: {s.id for s in archive.find(case.query, warn=warn)}, range(4)))
        assert all(run == {scene.id for scene in scenes} for run in runs)
