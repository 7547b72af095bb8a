"""STAC APIs: the archive contract, complete searches, items as scenes, and which host sees which secret."""

import json
import math
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from stac_scenes import MAY, filled, found
from stac_server import CORE, CQL2_JSON, CQL2_TEXT, FILTER, QUERY, StacServer

from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.archives.stac.filters import conditions, encode
from sedas_sync.archives.stac.items import item_of, scene_of_item
from sedas_sync.errors import ArchiveError, IncompleteSearch
from sedas_sync.geometry import footprint
from sedas_sync.testing import ArchiveContract, Case, no_warning


class _Filled(ArchiveContract):
    @pytest.fixture
    def case(self, server):
        for number, kind in enumerate(("sar:instrument_mode", "eo:bands", "eo:bands")):
            properties = {kind: "IW"} if kind.startswith("sar") else {}
            server.add(f"S{number}", day=2 + number, properties=properties)
        server.add("outside", day=3, geometry={"type": "Point", "coordinates": [100, 10]})
        server.add("cold", day=9, properties={"order:status": "orderable"})
        with StacArchive(server.url, ["s2"]) as opened:
            yield Case(opened, MAY)


class TestByPost(_Filled):
    pass


class TestByGet(_Filled):
    @pytest.fixture
    def server(self):
        with StacServer(methods=("GET",)) as running:
            yield running


# -- searching -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("methods", [("GET",), ("GET", "POST")])
@pytest.mark.parametrize("paging", ["token", "merge"])
def test_every_page_is_followed(server, archive, methods, paging):
    server.methods, server.paging, server.most = methods, paging, 7
    ids = filled(server)
    assert found(archive) == ids
    assert server.count("/search") == 4
    assert {one.method for one in server.asked if one.path.startswith("/search")} == {methods[-1]}


def test_empty_page_with_a_next_link_is_not_the_end(server, archive):
    server.paging = "empty"
    ids = filled(server, 3)
    assert found(archive) == ids


@pytest.mark.parametrize("methods", [("GET",), ("GET", "POST")])
def test_repeated_page_fails_the_search(server, archive, methods):
    server.methods, server.paging, server.most = methods, "again", 10
    filled(server)
    with pytest.raises(IncompleteSearch, match="repeats a page"):
        found(archive)


def test_limit_that_is_refused_is_lowered(server, archive):
    server.strict, server.most = True, 20
    ids = filled(server)
    assert found(archive) == ids
    refused = [one.body["limit"] for one in server.asked if one.status == 400]
    assert refused == [100, 50, 25]


def test_both_ends_count_to_the_microsecond_and_later_starts_are_found(server, archive):
    noon = datetime(2023, 5, 3, 12, tzinfo=UTC)
    server.add("late", properties={"datetime": "2023-05-03T14:00:00Z", "start_datetime": "2023-05-03T12:00:00Z"})
    server.add("next", properties={"datetime": "2023-05-03T12:00:00.000001Z"})
    assert found(archive, replace(MAY, start=noon, stop=noon)) == ["late"]


@pytest.mark.parametrize(
    ("conforms", "methods", "said_as"),
    [
        ([CORE, FILTER, CQL2_JSON], ("GET", "POST"), "cql2-json"),
        ([CORE, FILTER, CQL2_TEXT], ("GET", "POST"), "cql2-text"),
        ([CORE, FILTER, CQL2_TEXT, CQL2_JSON], ("GET",), "cql2-text"),
        ([CORE, QUERY], ("GET", "POST"), None),
        ([CORE], ("GET", "POST"), None),
    ],
)
def test_clouds_and_filters_are_sent_as_the_server_understands_them(server, archive, conforms, methods, said_as):
    server.conforms, server.methods = conforms, methods
    server.add("clear", properties={"s2:baseline": "05.00", "n": 7})
    server.add("cloudy", properties={"eo:cloud_cover": 90.0, "s2:baseline": "05.00", "n": 7})
    server.add("unknown", properties={"eo:cloud_cover": None, "s2:baseline": "05.00", "n": 7})
    server.add("old", properties={"s2:baseline": "02.04", "n": 7})
    server.add("it's", properties={"s2:baseline": "05'1", "n": 12})
    server.add("bare")
    filters = {"s2:baseline": ("05.00", "05'1"), "n": {"lt": 10, "gte": 7}}
    query = replace(MAY, max_cloud_cover=50, filters=filters)
    answered = found(archive, query)
    assert [name for name in answered if name != "cloudy"] == ["clear", "unknown"]
    (asked,) = (one for one in server.asked if one.path.startswith("/search"))
    sent = json.dumps(asked.body) + asked.path
    if said_as:
        assert said_as in sent
        assert "cloudy" not in answered, "the server leaves it out"
    assert ("query" in sent) == (QUERY in conforms)


def test_server_that_fails_on_a_filter_is_asked_without(server, archive):
    server.conforms = [CORE, FILTER, CQL2_JSON, "broken filter"]
    server.add("clear", properties={"n": 1})
    server.add("other", properties={"n": 2})
    assert found(archive, replace(MAY, filters={"n": 1})) == ["clear"]
    assert found(archive, replace(MAY, filters={"n": 1})) == ["clear"]
    assert [one.status for one in server.asked if one.path == "/search"] == [400, 200, 200]


@pytest.mark.parametrize(
    ("filters", "what"),
    [
        ({"n": {"below": 3}}, "eq, neq, lt, lte, gt, gte, in"),
        ({"n": []}, "must be"),
        ({"n": {}}, "must be"),
        ({"n": {"in": 3}}, "must be"),
        ({"n": {"lt": [3]}}, "must be"),
        ({"n": datetime(2023, 1, 1, tzinfo=UTC)}, "must be"),
    ],
)
def test_invalid_filters_are_mistakes(filters, what):
    with pytest.raises(ValueError, match=what):
        conditions(filters)


def test_conditions_in_every_language():
    wanted = conditions({"a": 1, "b": ("x", "y"), "c": {"gt": 0.5, "neq": True}})
    assert encode(wanted, "query") == {
        "query": {"a": {"eq": 1}, "b": {"in": ["x", "y"]}, "c": {"gt": 0.5, "neq": True}}
    }
    assert encode(wanted, "cql2-text")["filter"] == '"a" = 1 AND "b" IN (\'x\', \'y\') AND "c" > 0.5 AND "c" <> TRUE'
    assert encode(wanted[:1], "cql2-json")["filter"] == {"op": "=", "args": [{"property": "a"}, 1]}
    assert encode((), "cql2-json") == {}


@pytest.mark.parametrize(
    ("landing", "what"),
    [
        ({"links": []}, "landing page of a STAC API"),
        ([], "landing page"),
        ({"links": [{"rel": "search"}]}, "landing page"),
    ],
)
def test_landing_page_that_is_not_an_api_is_reported(server, archive, landing, what, monkeypatch):
    monkeypatch.setattr(StacServer, "landing", lambda _: landing)
    with pytest.raises(ArchiveError, match=what):
        found(archive)


@pytest.mark.parametrize("fault", [404, 500])
def test_failed_search_is_reported(server, archive, fault):
    server.most = 10
    filled(server)
    list(archive.look_up(["S000"], warn=no_warning))
    server.faults["/search"] = [fault] * 8
    with pytest.raises(ArchiveError, match=str(fault)):
        found(archive)


def test_long_outline_becomes_a_box_in_a_get_request(server, archive):
    server.methods = ("GET",)
    server.add("S1")
    ring = ",".join(f"{-1.4 + 0.0001 * n} 51.5" for n in range(700))
    query = replace(MAY, aoi=f"POLYGON(({ring},-1.2 51.6,-1.4 51.5))")
    assert found(archive, query) == ["S1"]
    assert "bbox=-1.4" in server.asked[-1].path


def test_what_cannot_be_read_is_unknown_and_the_scene_stays(server, archive):
    server.add("good")
    server.add("start", properties={"datetime": "2023-05-03t11:00:00z", "start_datetime": "yesterday"})
    server.add("cloud", properties={"eo:cloud_cover": "many", "gsd": "10 m", "platform": ["S2A"], "instruments": "msi"})
    server.add("shape", geometry={"type": "Polygon", "coordinates": 3})
    warned = []
    scenes = {scene.id: scene for scene in archive.find(MAY, warn=warned.append)}
    assert scenes.keys() == {"good", "start", "cloud", "shape"}
    assert scenes["start"].start == datetime(2023, 5, 3, 11, tzinfo=UTC)
    assert (scenes["cloud"].cloud_cover, scenes["cloud"].resolution, scenes["cloud"].satellite) == (None, None, None)
    assert footprint(scenes["shape"].footprint).bounds == (-1.5, 51.4, -1.1, 51.8)
    for part in (
        "start: its start_datetime is not a time", "cloud: its eo:cloud_cover is not a number",
        "its gsd is not a number", "its platform is not a string", "its instruments is not a list",
        "geometry is not GeoJSON",
    ):  # fmt: skip
        assert any(part in sentence for sentence in warned), part
    assert len(warned) == 6


@pytest.mark.parametrize(
    "geometry",
    [
        {"type": "Polygon", "coordinates": []},
        {"type": "MultiPolygon", "coordinates": [[[]]]},
        {"type": "GeometryCollection", "geometries": []},
        {"type": "Point", "coordinates": [math.nan, 51]},
        {"type": "Circle", "coordinates": [0, 51]},
        {"type": "Point", "coordinates": [500_000, 5_700_000]},
        {"type": "Polygon", "coordinates": [[[0, 0], [1e308, 0], [0, 1e308], [0, 0]]]},
    ],
)
def test_bbox_counts_if_the_geometry_is_not_one(server, geometry):
    item, warned = server.add("S1", geometry=geometry), []
    scene = scene_of_item(item_of(item), server.url, (), warned.append)
    assert footprint(scene.footprint).bounds == (-1.5, 51.4, -1.1, 51.8)
    assert warned == ["its geometry is not GeoJSON in degrees, or is empty, and its bbox is used"]


@pytest.mark.parametrize("size", [True, 0, -5, "5000", 5000.5, [1], None])
def test_size_that_is_not_a_positive_number_is_unknown(server, size):
    item = server.add("S1")
    for asset in item["assets"].values():
        asset["file:size"] = size
    scene = scene_of_item(item_of(item), server.url, (), lambda _: None)
    assert scene.assets
    assert {asset.size for asset in scene.assets} == {None}


def test_parts_of_the_wrong_type_cost_no_scene(server, archive):
    oddities = {"collection": ["s2"], "links": {}, "bbox": "all", "stac_extensions": None, "geometry": None}
    for number, (part, value) in enumerate(oddities.items()):
        server.add(f"S{number}")[part] = value
    server.heeds_collections = False
    assert len(found(archive)) == len(oddities)


def test_each_oddity_is_reported_once(server, archive):
    for number in range(30):
        server.add(f"S{number}", properties={"gsd": "10 m"})
    warned = []
    assert len(found(archive, warn=warned.append)) == 30
    assert warned == ["S0: its gsd is not a number, and counts as unknown (reported once)"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (
            {"assets": {"B04": {"href": "http://[::1/B04.tif", "roles": ["data"]}}},
            "its asset B04 cannot be downloaded: the link is not valid",
        ),
        ({"assets": {"B04": {"href": " ", "roles": ["data"]}}}, "no assets that are data"),
        ({"assets": {"preview": {"href": "p.png", "roles": ["thumbnail"]}}}, "no assets that are data"),
        ({"assets": None}, "no assets that are data"),
        (
            {"assets": {"B04": {"href": "s3://bucket/B04.tif", "roles": ["data"]}}},
            "its asset B04 cannot be downloaded: the address is s3://; set `s3 = {}` in the archive's table",
        ),
        (
            {"assets": {"all": {"href": "https://e.org/a.zarr", "type": "application/vnd+zarr"}}},
            "its asset all cannot be downloaded: a Zarr store",
        ),
    ],
)
def test_item_of_which_nothing_can_be_downloaded_is_skipped_with_the_reason(server, archive, change, what):
    server.add("S1").update(change)
    (scene,) = archive.look_up(["S1"], warn=no_warning)
    assert (scene.online, scene.never) == (False, True)
    assert what in scene.offline


def test_invalid_links_of_pictures_and_item_are_ignored():
    item = item_of(
        {
            "id": "S1",
            "properties": {"datetime": "2023-05-01T00:00:00Z"},
            "links": [{"rel": "self", "href": "http://[::1"}],
            "assets": {
                "B04": {"href": "B04.tif", "roles": ["data"]},
                "thumbnail": {"href": "", "roles": ["thumbnail"]},
            },
        }
    )
    scene = scene_of_item(item, "https://example.org/items/S1", (), no_warning)
    assert scene.assets[0].url == "https://example.org/items/B04.tif"


def test_invalid_next_link_fails_the_search(server, archive, monkeypatch):
    monkeypatch.setattr("stac_server._Handler._next", lambda *_: {"rel": "next", "href": "http://[::1"})
    server.most = 1
    server.add("S1")
    server.add("S2")
    with pytest.raises(ArchiveError, match="is not a valid URL"):
        found(archive)


def test_one_id_in_two_collections_is_reported(server):
    server.add("same")
    server.add("same", collection="other")
    warned = []
    with StacArchive(server.url, ["s2", "other"]) as archive:
        assert found(archive, warn=warned.append) == ["same"]
    assert "is in the collections s2 and other" in warned[0]


def test_other_collections_are_left_out(server, archive):
    server.heeds_collections = False
    server.add("ours")
    server.add("theirs", collection="other")
    server.add("ours, and theirs", collection="other")
    assert found(archive) == ["ours"]


def test_ids_with_commas_are_looked_up_by_get_too(server, archive):
    server.methods = ("GET",)
    server.add("a,b")
    server.add("c")
    assert sorted(scene.id for scene in archive.look_up(["a,b", "c", "d,e"], warn=no_warning)) == ["a,b", "c"]
