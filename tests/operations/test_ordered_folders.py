"""Scenes of several files that have to be ordered: each file gets its own bytes."""

from datetime import UTC, datetime

import pytest
from faultserver import FaultServer, Served
from msgspec.structs import replace

import sedas_sync as ss
from sedas_sync.errors import ArchiveError
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.scene import Download, Reach, RemoteFile, Scene

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("red.tif", "green.tif", "blue.tif")
OFFLINE = Scene(id="S", start=NOW, assets=tuple(RemoteFile(name=name) for name in NAMES))


class ColdStore:
    """An archive of one scene of three files. Its order has one link, which is a listing, not the bytes.

    Args:
        url: of the files' server.
        lists_links: whether the catalogue has a link for each file once the order is ready.
    """

    identity = "cold store"

    def __init__(self, url, *, lists_links):
        self.url, self.lists_links = url, lists_links
        self.orders = self
        self.placed = 0
        self.located = []

    @property
    def scene(self):
        if not (self.placed and self.lists_links):
            return OFFLINE
        files = tuple(replace(file, url=f"{self.url}/{file.name}") for file in OFFLINE.assets)
        return replace(OFFLINE, assets=files, download_url=files[0].url)

    def find(self, query, *, warn):
        yield self.scene

    def look_up(self, ids, *, warn):
        if "S" in ids:
            yield self.scene

    def locate(self, scene, file=None, *, refused=None):
        self.located.append((scene.download_url, file.name, file.url))
        if refused is not None:
            raise ArchiveError("no other link")
        return Download(url=file.url or f"{self.url}/{file.name}", reach=Reach(api=self.url))

    def place(self, scene):
        self.placed += 1
        return Order(order="1", id=scene.id, placed=NOW, archive=self.identity)

    def poll(self, orders):
        for order in orders:
            yield replace(order, polls=order.polls + 1, state=OrderState.READY, download_url=f"{self.url}/listing")

    def stop(self): ...

    def close(self): ...


@pytest.fixture
def server():
    with FaultServer() as running:
        for name in (*NAMES, "listing"):
            running.paths[f"/{name}"] = Served(f"bytes of {name}".encode(), kind="image/tiff")
        yield running


@pytest.mark.parametrize("lists_links", [True, False], ids=["links in the catalogue", "links by name"])
def test_each_file_of_an_ordered_scene_has_its_own_bytes(server, tmp_path, lists_links):
    archive = ColdStore(server.url(""), lists_links=lists_links)
    (done,) = ss.fetch([OFFLINE], tmp_path, archive=archive)
    assert {path.name: path.read_text() for path in done.path.iterdir()} == {name: f"bytes of {name}" for name in NAMES}
    assert archive.placed == 1
    assert sorted(name for _, name, _ in archive.located) == sorted(NAMES)
    if lists_links:
        assert all(url == f"{server.url('')}/{name}" for _, name, url in archive.located)
    else:
        assert {link for link, _, _ in archive.located} == {f"{server.url('')}/listing"}
