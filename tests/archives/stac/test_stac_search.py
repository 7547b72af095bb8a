"""Searches with STAC APIs that page, count or answer in their own ways: complete, or reported as incomplete."""

from datetime import UTC, datetime

import pytest
from stac_server import HARWELL, StacServer

from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch
from sedas_sync.model.scene import Query
from sedas_sync.net import session

AOI = "POLYGON((-1.4 51.5,-1.2 51.5,-1.2 51.6,-1.4 51.6,-1.4 51.5))"
MAY = Query(aoi=AOI, start=datetime(2023, 5, 1, tzinfo=UTC), stop=datetime(2023, 5, 31, 23, 59, 59, tzinfo=UTC))


@pytest.fixture
def archive(server):
    with StacArchive(server.url, ["s2"], api=session.Api(retries=0, sleep=lambda _: None)) as opened:
        yield opened


def filled(server, count=25, day=lambda number: 1 + number % 28):
    for number in range(count):
        server.add(f"S{number:03d}", day=day(number), files={"B04": b"x"})
    return [f"S{number:03d}" for number in range(count)]


def found(archive, warnings=None):
    warned = []
    scenes = sorted(scene.id for scene in archive.find(MAY, warn=warned.append))
    assert warned == [] if warnings is None else [warnings in sentence for sentence in warned] == [True]
    return scenes


# -- the end of a search ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [3, 10, 12, 20, 25, 100])
@pytest.mark.parametrize("methods", [("GET",), ("GET", "POST")])
def test_page_as_long_as_a_limit_without_link_and_count_is_not_the_end(server, archive, methods, most):
    """Whether the limit is the server's own or the one that was asked for."""
    server.matched, server.paging, server.most, server.methods = None, "never", most, methods
    ids = filled(server, 120 if most >= 10 else 25)
    assert found(archive) == ids


def test_page_that_loses_its_link_is_not_the_end(server, archive):
    server.matched, server.paging, server.most = None, "loses", 10
    ids = filled(server)
    assert found(archive) == ids


def test_items_that_nothing_splits_are_reported_as_incomplete(server, archive):
    server.matched, server.paging, server.most = None, "never", 10
    filled(server, 30, day=lambda _: 7)
    with pytest.raises(IncompleteSearch, match=r"2023-05-07T10:59:59\.024000Z/2023-05-07T11:00:01\.024000Z"):
        found(archive)


def test_server_that_ignores_times_is_reported_as_incomplete(server, archive, monkeypatch):
    server.matched, server.paging, server.most = None, "never", 10
    filled(server, 30)
    monkeypatch.setattr("stac_server._fits_core", lambda *_: True)
    with pytest.raises(IncompleteSearch):
        found(archive)


def test_many_items_of_one_time_are_complete_if_the_server_pages(server, archive):
    server.matched = None
    ids = filled(server, 30, day=lambda _: 7)
    assert found(archive) == ids


def test_search_that_is_shorter_than_another_is_one_request(server, archive):
    server.matched = None
    ids = filled(server, 20)
    assert found(archive) == ids
    assert server.count("/search") == 3
    server.items.pop()
    assert found(archive) == ids[:-1]
    assert server.count("/search") == 4
    server.items[3:] = []
    assert found(archive) == ids[:3]
    assert server.count("/search") == 5


def test_items_that_the_server_counts_and_does_not_send_are_asked_for_again(server, archive):
    server.paging, server.most = "loses", 10
    ids = filled(server)
    assert found(archive) == ids


@pytest.mark.parametrize("most", [7, 100])
def test_count_that_is_not_met_is_an_estimate_if_the_parts_bring_no_more(server, archive, most):
    server.matched, server.most = 1000, most
    ids = filled(server)
    assert found(archive, "states that 1000 items match, and sent 25") == ids
    assert server.count("/search") < 20


@pytest.mark.parametrize("count", [99, 101])
def test_count_that_is_met_needs_no_further_request(server, archive, count):
    ids = filled(server, count)
    assert found(archive) == ids
    assert server.count("/search") == (1 if count < 100 else 2)


@pytest.mark.parametrize("matched", [0, -1, 7, 100])
def test_count_of_something_else_is_not_believed(server, archive, matched):
    """Some servers state 0 or -1 for a count that they did not make, or count the items of the page."""
    server.matched, server.paging = matched, "never"
    ids = filled(server, 150)
    assert found(archive) == ids


def test_older_context_extension_counts_too(server, archive):
    """Some servers state `numberMatched` as null besides."""
    server.counts, server.matched = ("context",), 5
    server.add("S1")
    assert found(archive, "states that 5 items match, and sent 1") == ["S1"]


@pytest.mark.parametrize("methods", [("GET",), ("GET", "POST")])
@pytest.mark.parametrize("matched", ["right", None])
def test_empty_page_that_leads_to_itself_is_the_end(server, archive, methods, matched):
    server.paging, server.most, server.methods, server.matched = "itself", 5, methods, matched
    ids = filled(server, 12)
    assert found(archive) == ids


@pytest.mark.parametrize("matched", ["right", None])
def test_server_that_gives_no_page_beyond_a_number_is_asked_in_parts(server, archive, matched):
    """As those on Elasticsearch, beyond 10,000 items."""
    server.most, server.last, server.matched = 10, 40, matched
    ids = filled(server, 120)
    assert found(archive) == ids


def test_page_that_cannot_be_had_is_reported(server, archive):
    server.most, server.last, server.matched = 10, 10, None
    filled(server, 30, day=lambda _: 7)
    with pytest.raises(
        IncompleteSearch, match=r"for the time 2023-05-07T10:59:59\.024000Z.*Result window is too large"
    ):
        found(archive)
    with pytest.raises(ArchiveError, match="Result window is too large"):
        list(archive.look_up([f"S{number:03d}" for number in range(30)], warn=pytest.fail))


def test_ids_that_a_cut_answer_lacks_are_asked_for_again(server, archive):
    server.matched, server.paging, server.most = None, "never", 10
    ids = filled(server)
    assert sorted(scene.id for scene in archive.look_up([*ids, "unknown"], warn=pytest.fail)) == ids


# -- the first page --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 504, 400])
def test_first_page_that_is_too_large_is_halved(server, archive, status):
    ids = filled(server, 40)
    # A 400 may be about `intersects` too, which is left out first.
    server.faults["/search"] = [status] * (3 if status == 400 else 2)
    assert found(archive) == ids
    asked = [one.body["limit"] for one in server.asked if one.path == "/search"]
    assert asked[-1] == 25
    assert [one.status for one in server.asked].count(status) == (3 if status == 400 else 2)


def test_search_that_fails_for_another_reason_leaves_the_next_one_alone(server, archive):
    ids = filled(server, 3)
    server.faults["/search"] = [400] * 9
    with pytest.raises(ArchiveError, match="400"):
        found(archive)
    del server.faults["/search"]
    assert found(archive) == ids
    assert server.asked[-1].body["limit"] == 100
    assert "intersects" in server.asked[-1].body


def test_few_items_of_one_time_from_a_server_without_pages_are_complete(server, archive, monkeypatch):
    """It ignores limits, so it has none of that length."""
    server.matched = None
    ids = filled(server, 3, day=lambda _: 7)
    monkeypatch.setattr("stac_server._Handler._search", _whole)
    assert found(archive) == ids


def _whole(handler, question):
    return handler._send(200, {"type": "FeatureCollection", "features": handler.stac.items, "links": []})


def test_gateway_that_always_fails_ends_the_search(server, archive):
    server.faults["/search"] = [504] * 20
    with pytest.raises(ArchiveError, match="504"):
        found(archive)
    assert server.count("/search") == 7


@pytest.mark.parametrize("methods", [("GET",), ("GET", "POST")])
def test_server_that_refuses_intersects_is_asked_with_a_box(server, archive, methods):
    server.methods, server.refuses = methods, ("intersects",)
    server.add("S1")
    server.add("far", geometry={"type": "Polygon", "coordinates": [[[x + 9, y] for x, y in HARWELL[0]]]})
    assert found(archive) == ["S1"]
    assert found(archive) == ["S1"]
    statuses = [one.status for one in server.asked if one.path.startswith("/search")]
    assert statuses == [400, 200, 200]


def test_only_links_to_json_are_searched(server, archive, monkeypatch):
    """As GeoServer and FedEO list pages and OpenSearch descriptions beside it."""
    links = [
        {"rel": "search", "href": f"{server.url}/page", "type": "text/html", "method": "POST"},
        {"rel": "search", "href": f"{server.url}/description", "type": "application/opensearchdescription+xml"},
        {"rel": "search", "href": f"{server.url}/search", "type": "application/geo+json", "method": "GET"},
    ]
    monkeypatch.setattr(StacServer, "landing", lambda _: {"type": "Catalog", "links": links})
    server.add("S1")
    assert found(archive) == ["S1"]


# -- logins ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/search"])
def test_page_of_a_login_names_auth(server, archive, path):
    server.faults[path] = ["login"]
    with pytest.raises(AuthenticationError, match="with the page of a login; if it needs a login, set `auth`"):
        found(archive)


def test_redirect_to_a_login_names_auth(server, archive):
    server.faults["/search"] = ["https://sso.example.org/oauth/authorize?client=1"]
    with pytest.raises(AuthenticationError, match="the page of a login; if it needs a login, set `auth`"):
        found(archive)


# -- lock files ------------------------------------------------------------------------------------------------------


def test_lock_removes_nothing_after_an_answer_that_may_be_cut(workspace, server):
    (workspace.path / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "stac"\nurl = "{server.url}"\ncollections = "s2"\n'
        "[aoi.harwell]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n"
        '[dataset.may]\naoi = "harwell"\nstart = 2023-05-01\nend = 2023-05-31\n'
    )
    filled(server, 30, day=lambda _: 7)
    assert workspace.run("lock").code == 0
    lock = (workspace.path / "manifest.lock").read_text()
    assert lock.count("S0") >= 30
    server.matched, server.paging, server.most = None, "never", 10
    ran = workspace.run("lock")
    assert ran.code == 1
    assert "the search is incomplete: the server sent 10 items" in ran.err
    assert (workspace.path / "manifest.lock").read_text() == lock
