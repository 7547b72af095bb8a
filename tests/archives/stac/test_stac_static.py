"""Static STAC catalogues: read whole, filtered here, requested again only where they changed."""

import json
import sys
from datetime import UTC, datetime

import pytest
from static_server import StaticServer, item, linked

from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError
from sedas_sync.model.scene import Query
from sedas_sync.net import session
from sedas_sync.testing import ArchiveContract, Case, no_warning

AOI = "POLYGON((-1.4 51.5,-1.2 51.5,-1.2 51.6,-1.4 51.6,-1.4 51.5))"
MAY = Query(aoi=AOI, start=datetime(2023, 5, 1, tzinfo=UTC), stop=datetime(2023, 5, 31, 23, 59, 59, tzinfo=UTC))
ITEMS = [item("S1", day=2, n=1), item("S2", day=3, n=2), item("far", day=3, west=40), item("S3", day=9, n=2)]


def files():
    """A catalogue as Maxar and Umbra publish them: files in folders, with relative links."""
    return {
        "/stac/catalog.json": linked("Catalog", ("child", "./a/collection.json"), ("child", "b/catalog.json")),
        "/stac/a/collection.json": linked(
            "Collection", ("root", "../catalog.json"), ("item", "./S1/S1.json"), ("item", "S2/S2.json")
        ),
        "/stac/b/catalog.json": linked(
            "Catalog", ("parent", "../catalog.json"), ("child", "../catalog.json"), ("item", "far.json"),
            ("item", "S3.json#x"),
        ),
        "/stac/a/S1/S1.json": ITEMS[0], "/stac/a/S2/S2.json": ITEMS[1], "/stac/b/far.json": ITEMS[2],
        "/stac/b/S3.json": ITEMS[3],
        "/stac/a/S1/data.tif": b"1" * 50, "/stac/a/S2/data.tif": b"2" * 60, "/stac/b/data.tif": b"3" * 70,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEDAS_SYNC_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def server():
    with StaticServer(files()) as running:
        yield running


def opened(server, path="/stac/catalog.json", **more):
    return StacArchive(server.url + path, (), api=session.Api(retries=0, sleep=lambda _: None), **more)


def found(server, query=MAY, path="/stac/catalog.json", warn=no_warning):
    with opened(server, path) as archive:
        return sorted(scene.id for scene in archive.find(query, warn=warn))


class TestFiles(ArchiveContract):
    @pytest.fixture
    def case(self, server):
        with opened(server) as archive:
            yield Case(archive, MAY)


@pytest.mark.parametrize("path", ["/stac/catalog.json", "/stac/a/collection.json", "/stac/a/S1/S1.json"])
def test_every_item_below_a_file_is_found(server, path):
    ids = {"catalog": ["S1", "S2", "S3"], "collection": ["S1", "S2"], "S1": ["S1"]}
    assert found(server, path=path) == ids[path.rpartition("/")[2].removesuffix(".json")]


def test_it_is_filtered_here(server):
    from msgspec.structs import replace

    assert found(server, replace(MAY, stop=datetime(2023, 5, 3, tzinfo=UTC))) == ["S1"]
    assert found(server, replace(MAY, filters={"n": 2})) == ["S2", "S3"]


@pytest.mark.parametrize(
    ("collections", "ids"), [(["root"], ["S1", "S2", "S3"]), (["a"], ["S1", "S2"]), (["c"], ["S3"]), (["x"], [])]
)
def test_collections_are_those_that_an_item_is_in_at_any_depth(server, collections, ids):
    """At Maxar, the item's own collection is a pass, and the collection around it is the event."""
    for path, name in (("catalog", "root"), ("a/collection", "a"), ("b/catalog", "b")):
        server.files[f"/stac/{path}.json"]["id"] = name
    server.files["/stac/b/S3.json"] = {**ITEMS[3], "collection": "c"}
    with StacArchive(f"{server.url}/stac/catalog.json", collections) as archive:
        assert sorted(scene.id for scene in archive.find(MAY, warn=no_warning)) == ids


def test_catalogue_without_an_end_is_given_up(server, monkeypatch):
    monkeypatch.setattr("sedas_sync.archives.stac.static.MOST_FILES", 5)
    with pytest.raises(IncompleteSearch, match="it has more than 5 files"):
        found(server)


def test_links_are_relative_to_the_file_that_has_them(server):
    with opened(server) as archive:
        links = {scene.id: scene.download_url for scene in archive.find(MAY, warn=no_warning)}
    assert links == {
        "S1": f"{server.url}/stac/a/S1/data.tif",
        "S2": f"{server.url}/stac/a/S2/data.tif",
        "S3": f"{server.url}/stac/b/data.tif",
    }


def test_files_that_have_not_changed_are_not_sent_again(server):
    assert found(server) == ["S1", "S2", "S3"]
    # The catalogue's own file is the landing page too.
    assert (server.count(200), server.count(304)) == (8, 0)
    server.asked.clear()
    server.files["/stac/b/S3.json"] = item("S4", day=9)
    assert found(server) == ["S1", "S2", "S4"]
    assert (server.count(200), server.count(304)) == (2, 6)


def test_it_is_read_once_for_all_searches_of_a_run(server):
    with opened(server) as archive:
        for _ in range(3):
            assert len(list(archive.find(MAY, warn=no_warning))) == 3
        assert len(list(archive.look_up(["S1", "none"], warn=no_warning))) == 1
    assert len(server.asked) == 8


def test_damaged_cache_is_ignored(server, cache):
    found(server)
    (file,) = cache.rglob("*.sqlite")
    file.write_bytes(b"not a database" * 100)
    assert found(server) == ["S1", "S2", "S3"]


def test_files_that_are_gone_are_forgotten_and_a_failure_forgets_nothing(server, cache):
    import sqlite3

    def known():
        (file,) = cache.rglob("*.sqlite")
        database = sqlite3.connect(file)
        try:
            return {url.rpartition("/")[2] for (url,) in database.execute("SELECT url FROM documents")}
        finally:
            database.close()

    found(server)
    everything = known()
    server.statuses["/stac/b/catalog.json"] = 500
    with pytest.raises(IncompleteSearch):
        found(server)
    assert known() == everything
    server.statuses.clear()
    server.files["/stac/catalog.json"] = linked("Catalog", ("child", "a/collection.json"))
    assert found(server) == ["S1", "S2"]
    assert known() == {"catalog.json", "collection.json", "S1.json", "S2.json"}


def test_cache_that_another_process_writes_is_not_waited_for(server, cache):
    import sqlite3

    found(server)
    (file,) = cache.rglob("*.sqlite")
    database = sqlite3.connect(file)
    try:
        database.execute("BEGIN EXCLUSIVE")
        assert found(server) == ["S1", "S2", "S3"]
    finally:
        database.close()


@pytest.mark.parametrize("value", ["off", ""])
def test_without_a_cache(server, cache, monkeypatch, value):
    monkeypatch.setenv("SEDAS_SYNC_CACHE", value)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    assert found(server) == found(server) == ["S1", "S2", "S3"]
    assert server.count(304) == 0
    assert not cache.exists()


def test_file_that_fails_makes_the_search_incomplete(server):
    server.statuses["/stac/a/collection.json"] = 500
    with opened(server) as archive:
        scenes = []
        with pytest.raises(IncompleteSearch, match=r"/stac/a/collection\.json: .*status 500"):
            scenes.extend(scene.id for scene in archive.find(MAY, warn=no_warning))


@pytest.mark.parametrize("content", [None, b"<html>", [1]])
def test_catalogue_that_is_none_makes_the_search_incomplete(server, content):
    server.files["/stac/b/catalog.json"] = content
    if content is None:
        del server.files["/stac/b/catalog.json"]
    with pytest.raises(IncompleteSearch, match=r"/stac/b/catalog\.json (does not exist|is not JSON|is no catalogue)"):
        found(server)


def test_item_that_does_not_exist_is_reported(server):
    del server.files["/stac/b/S3.json"]
    warned = []
    assert found(server, warn=warned.append) == ["S1", "S2"]
    assert warned == ["the catalogue links to 1 item that it does not have"]


def test_refused_file_is_about_the_login(server):
    server.statuses["/stac/b/catalog.json"] = 403
    with pytest.raises(AuthenticationError, match="set `auth`"):
        found(server)


def test_item_collection_with_pages(server):
    server.files["/stac/items.json"] = {
        "type": "FeatureCollection", "features": [ITEMS[0]], "links": [{"rel": "next", "href": "items-2.json"}]
    }  # fmt: skip
    server.files["/stac/items-2.json"] = {"type": "FeatureCollection", "features": ITEMS[1:]}
    assert found(server, path="/stac/items.json") == ["S1", "S2", "S3"]


def test_page_that_is_neither_api_nor_catalogue(server):
    server.files["/stac/other.json"] = {"hello": "world"}
    with pytest.raises(ArchiveError, match="no link to item search, and no items"):
        found(server, path="/stac/other.json")


# -- GeoParquet --------------------------------------------------------------------------------------------------------


@pytest.fixture
def parquet(server, tmp_path):
    import rustac

    for number, given in enumerate(ITEMS):
        one = json.loads(json.dumps(given))
        one["assets"]["data"]["href"] = f"{server.url}/stac/a/S{number}/data.tif"
        one["collection"] = "c"
        server.files.setdefault("/list", []).append(one)
    rustac.write_sync(str(tmp_path / "items.parquet"), server.files["/list"], format="geoparquet")
    server.files["/stac/items.parquet"] = (tmp_path / "items.parquet").read_bytes()
    return "/stac/items.parquet"


def test_geoparquet_file(server, parquet):
    assert found(server, path=parquet) == ["S1", "S2", "S3"]
    assert found(server, path=parquet) == ["S1", "S2", "S3"]
    assert server.count(304) == 1


def test_geoparquet_that_cannot_be_read(server, parquet):
    server.files[parquet] = b"PAR1 and nothing else"
    with pytest.raises(ArchiveError, match="cannot be read as STAC GeoParquet"):
        found(server, path=parquet)


def test_geoparquet_names_the_extra(server, parquet, monkeypatch):
    monkeypatch.setitem(sys.modules, "rustac", None)
    with pytest.raises(ManifestError, match=r"a GeoParquet file, needs .*sedas-sync\[stac-geoparquet\]"):
        found(server, path=parquet)


# -- from the manifest to the mirror -----------------------------------------------------------------------------------


def test_mirror_of_a_static_catalogue(workspace, server, cache):
    environ = {"SEDAS_SYNC_CACHE": str(cache)}
    (workspace.path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "stac"\nurl = "{server.url}/stac/catalog.json"\n'
        "[aoi.harwell]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n"
        '[dataset.all]\naoi = "harwell"\nstart = 2023-05-01\nend = 2023-05-31\n'
    )

    def run(*command):
        return workspace.run(*command, **environ)

    assert run("validate").code == 0
    assert run("plan", "--json").json["summary"]["fetch"] == 3
    assert run("apply").code == 0
    assert (workspace.mirror / "S1" / "data.tif").read_bytes() == b"1" * 50
    again = run("apply", "--json")
    assert (again.code, again.summary["kept"], again.summary["fetched"]) == (0, 3, 0)
    assert run("lock").code == run("apply", "--locked").code == run("verify").code == 0
    server.statuses["/stac/b/catalog.json"] = 500
    assert run("lock").code == 1, "a catalogue that was not read whole removes nothing"


def test_search_needs_collections(workspace):
    (workspace.path / "manifest.toml").write_text(
        'version = 1\n[archive]\ntype = "stac"\nurl = "https://e.org/v1"\n'
        '[aoi.a]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n[dataset.d]\naoi = "a"\nstart = 2023-05-01\n'
    )
    ran = workspace.run("validate")
    assert ran.code == 2
    assert "archive.collections: missing; only a static catalogue" in ran.err
