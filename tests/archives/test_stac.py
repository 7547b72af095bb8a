"""STAC APIs: the archive contract, complete searches, items as scenes, and which host sees which secret."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from stac_server import CORE, CQL2_JSON, CQL2_TEXT, FILTER, NOW, QUERY, StacServer, basic

from sedas_sync.archives.stac import access
from sedas_sync.archives.stac.archive import StacArchive
from sedas_sync.archives.stac.filters import conditions, encode
from sedas_sync.archives.stac.items import UnusableItemError, item_of, scene_of_item
from sedas_sync.archives.stac.multihash import digest_of
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch
from sedas_sync.geometry import Aoi, footprint, footprints, from_bbox
from sedas_sync.model.files import scene_of_file
from sedas_sync.model.scene import Query
from sedas_sync.net import redact, session
from sedas_sync.net.credentials import Credentials
from sedas_sync.testing import ArchiveContract, Case, no_warning

AOI = "POLYGON((-1.4 51.5,-1.2 51.5,-1.2 51.6,-1.4 51.6,-1.4 51.5))"
MAY = Query(aoi=AOI, start=datetime(2023, 5, 1, tzinfo=UTC), stop=datetime(2023, 5, 31, 23, 59, 59, tzinfo=UTC))


@pytest.fixture
def server():
    with StacServer() as running:
        yield running


@pytest.fixture
def archive(server):
    with StacArchive(server.url, ["s2"], api=session.Api(retries=1, sleep=lambda _: None)) as opened:
        yield opened


def found(archive, query=MAY, warn=no_warning):
    return sorted(scene.id for scene in archive.find(query, warn=warn))


def filled(server, count=25):
    for number in range(count):
        server.add(f"S{number:03d}", day=1 + number % 28, files={"B04": b"x"})
    return [f"S{number:03d}" for number in range(count)]


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


def test_each_oddity_is_reported_once(server, archive):
    for number in range(30):
        server.add(f"S{number}", properties={"gsd": "10 m"})
    warned = []
    assert len(found(archive, warn=warned.append)) == 30
    assert warned == ["S0: its gsd is not a number, and counts as unknown (reported once)"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"assets": {"B04": {"href": "http://[::1/B04.tif", "roles": ["data"]}}}, "asset B04 has a link that is not"),
        ({"assets": {"B04": {"href": " ", "roles": ["data"]}}}, "no assets that are data"),
        ({"assets": {"preview": {"href": "p.png", "roles": ["thumbnail"]}}}, "no assets that are data"),
        ({"assets": None}, "no assets that are data"),
        ({"assets": {"B04": {"href": "s3://bucket/B04.tif", "roles": ["data"]}}}, "only at s3://"),
        ({"assets": {"all": {"href": "https://e.org/a.zarr", "type": "application/vnd+zarr"}}}, "a Zarr store"),
    ],
)
def test_item_of_which_nothing_can_be_downloaded_is_skipped_with_the_reason(server, archive, change, what):
    server.add("S1").update(change)
    (scene,) = archive.look_up(["S1"], warn=no_warning)
    assert (scene.online, scene.never) == (False, True)
    assert what in scene.offline


@pytest.mark.parametrize(
    ("properties", "field"),
    [
        ({"datetime": "0001-01-01T00:00:00+05:00"}, "start"),
        ({"datetime": "2023-05-01T00:00:00Z", "gsd": 10**400}, "resolution"),
        ({"eo:cloud_cover": -5}, "cloud_cover"),
        ({"eo:cloud_cover": 101}, "cloud_cover"),
        ({"sat:absolute_orbit": True}, "orbit"),
    ],
)
def test_impossible_value_is_unknown(properties, field):
    warnings = []
    assert getattr(read(warn=warnings.append, **properties), field) is None
    assert len(set(warnings)) == 1


def test_placeholders_are_unknown_without_a_warning():
    nothing = dict.fromkeys(("sar:instrument_mode", "platform", "grid:code"), "N/A")
    scene = read(**nothing, gsd=None, **{"eo:cloud_cover": -9999, "sar:polarizations": []})
    assert (scene.mode, scene.satellite, scene.tile, scene.cloud_cover, scene.polarisation) == (None,) * 5


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


# -- items -----------------------------------------------------------------------------------------------------------


def read(assets=None, patterns=(), geometry=None, warn=no_warning, **properties):
    item = {
        "id": "X", "collection": "c", "geometry": geometry, "links": [{"rel": "self", "href": "https://e.org/a/b/X.json"}],
        "properties": {"datetime": "2023-05-03T11:00:00Z", **properties},
        "assets": assets or {"B04": {"href": "./B04.tif", "roles": ["data"]}},
    }  # fmt: skip
    return scene_of_item(item_of(item), "https://e.org/", patterns, warn)


def names(*hrefs, patterns=(), **more):
    assets = {f"k{number}": {"href": href, "roles": ["data"], **more} for number, href in enumerate(hrefs)}
    return [asset.name for asset in read(assets, patterns).assets]


def test_item_becomes_a_scene():
    scene = read(
        {
            "vv": {"href": "./vv.tif", "roles": ["data"], "file:size": 3, "file:checksum": "1114" + 40 * "a"},
            "vh": {"href": "https://other.org/x/vh.tif?a=b", "roles": ["data"], "file:size": 4},
            "thumbnail": {"href": "../t.png", "roles": ["thumbnail"]},
        },
        geometry={"type": "Polygon", "coordinates": [[[0, 0, 5], [1, 0, 5], [1, 1, 5], [0, 0, 5]]]},
        **{
            "platform": "SENTINEL-1A", "instruments": ["c-sar"], "sat:orbit_state": "descending",
            "sat:relative_orbit": 51, "sat:absolute_orbit": 53498,
            "sar:polarizations": ["VV", "VH"], "sar:product_type": "GRD",
            "sar:instrument_mode": "IW", "start_datetime": "2023-05-03 10:59:00+00:00", "gsd": 10, "proj:epsg": 32633,
        },
    )  # fmt: skip
    assert (scene.sensor, scene.source_group, scene.product_type, scene.mode) == ("sar", "S1", "GRD", "IW")
    assert (scene.orbit, scene.relative_orbit, scene.orbit_direction) == (53498, 51, "DESCENDING")
    assert (scene.polarisation, scene.resolution, scene.size) == ("VV/VH", 10, 7)
    assert scene.start == datetime(2023, 5, 3, 10, 59, tzinfo=UTC)
    assert footprint(scene.footprint).area == 0.5
    assert [(asset.name, asset.key, asset.url) for asset in scene.assets] == [
        ("vh.tif", "vh", "https://other.org/x/vh.tif?a=b"),
        ("vv.tif", "vv", "https://e.org/a/b/vv.tif"),
    ]
    assert scene.assets[1].digest == "sha1:" + 40 * "a"
    assert scene.thumbnail_url == "https://e.org/a/t.png"
    assert scene.extra["proj:epsg"] == 32633
    assert scene.extra["item"] == "https://e.org/a/b/X.json"


@pytest.mark.parametrize(
    ("geometry", "bounds"),
    [
        ({"type": "MultiPolygon",
          "coordinates": [[[[0, 0], [1, 0], [1, 1], [0, 0]]], [[[5, 5], [6, 5], [6, 6], [5, 5]]]]},
         (0, 0, 6, 6)),
        ({"type": "Polygon", "coordinates": [[[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]]}, (-180, 0, 180, 1)),
        ({"type": "GeometryCollection", "geometries": [
            {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}]}, (0, 0, 1, 1)),
        ({"type": "Point", "coordinates": [3, 4]}, (3, 4, 3, 4)),
        ({"type": "LineString", "coordinates": [[3, 4], [5, 6]]}, (3, 4, 5, 6)),
        ({"type": "MultiPoint", "coordinates": [[3, 4], [5, 6, 7]]}, (3, 4, 5, 6)),
    ],
)  # fmt: skip
def test_footprints_of_every_kind(geometry, bounds):
    assert footprint(read(geometry=geometry).footprint).bounds == bounds


@pytest.mark.parametrize(
    ("bbox", "bounds", "area"),
    [
        ([179, 0, -179, 1], (-180, 0, 180, 1), 2),
        ([-170, -60, 170, 80], (-170, -60, 170, 80), 340 * 140),
        ([-170, -5, 170, 5], (-170, -5, 170, 5), 340 * 10),
        ([-179.95, -89.95, 179.95, 89.95], (-179.95, -89.95, 179.95, 89.95), 359.9 * 179.9),
        ([-180, -90, 0, 180, 90, 100], (-180, -90, 180, 90), 360 * 180),
        ([0, 0, 359, 10], (-180, 0, 180, 10), 3590),
        ([5, 6, 5, 6], (5, 6, 5, 6), 0),
        ([5, 6, 7, 6], (5, 6, 7, 6), 0),
    ],
)
def test_item_without_a_geometry_counts_by_its_box(bbox, bounds, area):
    item = {"id": "X", "geometry": None, "bbox": bbox, "properties": {}, "assets": {"a": {"href": "a.tif"}}}
    wkt = scene_of_item(item, "https://e.org/", (), no_warning).footprint
    for shape in (footprint(wkt), *footprints([wkt])):
        assert shape.bounds == bounds
        assert shape.area == pytest.approx(area)


def test_scenes_with_points_and_boxes_match_the_areas_that_they_meet(server, archive):
    """A search of the API, and the manifest's rules."""
    server.add("point")
    server.add("line")
    server.add("world")
    server.add("elsewhere")
    for item, geometry, bbox in zip(
        server.items[-4:],
        (
            {"type": "Point", "coordinates": [-1.31, 51.57]},
            {"type": "LineString", "coordinates": [[-2, 51.57], [0, 51.57]]},
            None,
            {"type": "Point", "coordinates": [10, 51.57]},
        ),
        ([-1.31, 51.57, -1.31, 51.57], [-2, 51.57, 0, 51.57], [-179.95, -89.95, 179.95, 89.95], [10, 51.57, 10, 51.57]),
        strict=True,
    ):
        item["geometry"], item["bbox"] = geometry, bbox
    aoi = Aoi(from_bbox(-1.4, 51.5, -1.2, 51.6))
    scenes = list(archive.find(MAY, warn=no_warning))
    met = aoi.intersects_each(footprints([scene.footprint for scene in scenes]))
    assert {scene.id for scene, is_met in zip(scenes, met, strict=True) if is_met} == {"point", "line", "world"}


@pytest.mark.parametrize(
    ("assets", "patterns", "keys"),
    [
        ({"B04": ["data"], "visual": ["visual"], "thumb": ["thumbnail"]}, (), ["B04"]),
        (dict.fromkeys(("B04", "visual", "thumbnail", "metadata", "rendered_preview")), (), ["B04", "visual"]),
        ({"B04": [], "info": ["metadata"]}, (), ["B04"]),
        ({"B04": ["data"], "B8A": ["data"], "visual": ["visual"]}, ("visual", "B0*"), ["B04", "visual"]),
        ({"B04": ["data"], "thumbnail": ["thumbnail"]}, ("thumb*",), ["thumbnail"]),
        ({"B04": ["data"], "b04": ["data"]}, ("B04",), ["B04"]),
    ],
)  # fmt: skip
def test_selected_assets(assets, patterns, keys):
    given = {key: {"href": f"{key}-{n}.tif", "roles": roles} for n, (key, roles) in enumerate(assets.items())}
    assert sorted(asset.key for asset in read(given, patterns).assets) == keys


def test_item_without_selected_assets_is_skipped():
    scene = read(patterns=("B99",))
    assert scene.never
    assert scene.offline == "it has none of the assets B99"


TWINS = [
    # A JPEG 2000 beside a GeoTIFF, as in Earth Search.
    ({"red": "https://e.org/B04.tif image/tiff", "red-jp2": "https://e.org/B04.jp2 image/jp2"}, ["red"]),
    ({"red": "https://e.org/B04.tif image/tiff", "red-jp2": "s3://e/B04.jp2 image/jp2"}, ["red"]),
    ({"B04_cog": "https://e.org/c/B04.tif image/tiff", "B04": "https://e.org/B04.jp2 image/jp2"}, ["B04_cog"]),
    # The same file at two places.
    ({"red": "s3://e/B04.tif image/tiff", "red_https": "https://e.org/B04.tif image/tiff"}, ["red_https"]),
    ({"s3-red": "s3://e/B04.tif image/tiff", "red": "https://e.org/B04.tif image/tiff"}, ["red"]),
    # A zip of all beside its parts, as in the Copernicus Data Space.
    ({"B02": "https://e.org/B02.jp2 image/jp2", "Product": "https://e.org/$value application/zip"}, ["Product"]),
    ({"B02": "https://e.org/B02.jp2 image/jp2", "product": "s3://e/all.zip application/zip"}, ["B02"]),
    # No twins.
    ({"B02_10m": "https://e.org/a.jp2 image/jp2", "B02_20m": "https://e.org/b.jp2 image/jp2"}, ["B02_10m", "B02_20m"]),
    ({"mask": "https://e.org/mask.zip application/zip", "B02": "https://e.org/B02.tif image/tiff"}, ["B02", "mask"]),
]


def linked(assets, **more):
    pairs = {key: text.split(" ") for key, text in assets.items()}
    return {key: {"href": href, "type": kind, "roles": ["data"], **more} for key, (href, kind) in pairs.items()}


@pytest.mark.parametrize(("assets", "keys"), TWINS)
def test_one_of_twins_is_taken(assets, keys):
    ignored = []
    assert [asset.key for asset in read(linked(assets), warn=ignored.append).assets] == keys
    both = read(linked(assets), patterns=("*",), warn=ignored.append).assets
    assert {asset.key for asset in both} == {key for key, text in assets.items() if text.startswith("https")}


def test_twins_by_title_and_bands_and_by_file():
    bands = {"title": "Red", "eo:bands": [{"name": "B04"}]}
    formats = {"a": "https://e.org/4.jp2 image/jp2", "b": "https://e.org/4.tif image/tiff"}
    assert [one.key for one in read(linked(formats, **bands)).assets] == ["b"]
    sums = {"file:checksum": "1114" + 40 * "a"}
    same = {"a": "https://e.org/x/4.tif image/tiff", "b": "https://f.org/y/4.tif image/tiff"}
    assert [one.key for one in read(linked(same, **sums)).assets] == ["a"]
    other = {"a": "https://e.org/x/4.tif image/tiff", "b": "https://f.org/y/5.tif image/tiff"}
    assert [one.key for one in read(linked(other, **sums)).assets] == ["a", "b"], "two empty masks are not twins"


def test_asset_that_cannot_be_downloaded_beside_others_is_left_out_with_a_warning():
    warnings = []
    scene = read(
        linked({"red": "https://e.org/4.tif image/tiff", "snow": "s3://e/SNW.jp2 image/jp2"}), warn=warnings.append
    )
    assert [asset.key for asset in scene.assets] == ["red"]
    assert warnings == ["its asset snow is only at s3://, and only http and https can be used, and is left out"]


@pytest.mark.parametrize(
    ("asset", "name"),
    [
        ({"href": "https://e.org/Products(1)/$value", "type": "application/zip"}, "k.zip"),
        ({"href": "https://e.org/Products(1)/$value", "title": "S2A.SAFE.zip"}, "S2A.SAFE.zip"),
        ({"href": "https://e.org/Products(1)/$value", "title": "The whole product, v1.zip"}, "k"),
        ({"href": "https://e.org/1/$value", "title": "a.zip", "file:local_path": "S2A.SAFE/b.jp2"}, "S2A.SAFE/b.jp2"),
        ({"href": "https://e.org/download/28c4c7e921615d", "type": "image/tiff; application=geotiff"}, "k.tif"),
        ({"href": "https://e.org/download/1.5"}, "k"),
        ({"href": "s3://e/x/B04.jp2", "alternate": {"https": {"href": "https://e.org/$value"}}}, "B04.jp2"),
    ],
)
def test_files_without_a_name_in_their_link(asset, name):
    assert [file.name for file in read({"k": {"roles": ["data"], **asset}}).assets] == [name]


def test_key_with_an_ending_names_a_file():
    """As at CNES GEODES, where links end in a hash and keys are paths."""
    key = "2025/S2A/S2A_MSIL1C_20250402T175741.zip"
    assert [file.name for file in read({key: {"roles": ["data"], "href": "https://e.org/28c4"}}).assets] == [
        "S2A_MSIL1C_20250402T175741.zip"
    ]


SENSORS = [
    ({"instruments": ["msi"], "sar:instrument_mode": "INS-NOBS"}, "optical"),
    ({"instruments": ["C-SAR"], "eo:cloud_cover": 0, "eo:bands": [{"name": "vv"}]}, "sar"),
    ({"instruments": ["OLI", "TIRS"], "sar:polarizations": None}, "optical"),
    ({"instrument": "PALSAR-2", "eo:cloud_cover": None}, "sar"),
    ({"instruments": ["sral"], "eo:cloud_cover": None}, None),
    ({"instruments": ["c-sar", "msi"], "sar:instrument_mode": "IW"}, None),
    ({"constellation": "Sentinel-1", "eo:cloud_cover": 3}, "sar"),
    ({"constellation": "Umbra", "platform": "Umbra-08"}, "sar"),
    ({"platform": "LANDSAT_8", "sar:instrument_mode": "n/a"}, "optical"),
    ({"platform": "S2A"}, "optical"),
    ({"product:type": "GRD"}, "sar"),
    ({"product:type": "S2MSI1C", "sar:looks_range": 0}, "optical"),
    ({"sar:instrument_mode": "SPOTLIGHT", "eo:cloud_cover": None}, "sar"),
    ({"sar:instrument_mode": None, "sar:polarizations": [], "eo:cloud_cover": 20}, "optical"),
    ({"sar:instrument_mode": "", "eo:cloud_cover": -9999}, None),
    ({"sar:instrument_mode": "IW", "eo:cloud_cover": 20}, None),
]


@pytest.mark.parametrize(("properties", "sensor"), SENSORS)
def test_instrument_then_satellite_then_product_then_fields_decide_on_the_sensor(properties, sensor):
    assert read(**properties).sensor == sensor


@pytest.mark.parametrize(("code", "tile"), [("MGRS-30UXC", "30UXC"), ("T14ULD", "14ULD"), ("WRS2-044033", None)])
def test_tile(code, tile):
    assert read(**{"grid:code": code}).tile == tile


def test_file_names_are_safe_and_unique():
    assert names("a/B04.tif", "b/B04.tif", "c/b04.TIF") == ["k0-B04.tif", "k1-B04.tif", "k2-b04.TIF"]
    assert names("a/..%2F..%2Fetc%2Fpasswd") == [name for name in names("a/..%2F..%2Fetc%2Fpasswd") if "/" not in name]
    assert not names("a/.hidden")[0].startswith(".")
    assert names("a/") == ["k0"]
    assert names("https://x.org/one.tif?sig=1", "https://x.org/one.tif?sig=1") == ["one.tif"]
    assert names("x.org/same/?f=tif&b=1", "x.org/same/?f=tif&b=2") == ["k0", "k1"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("GRANULE/IMG_DATA/T30.jp2", "GRANULE/IMG_DATA/T30.jp2"), ("./a/b.xml", "a/b.xml"), ("../up.tif", "B04.tif"),
        ("/abs.tif", "B04.tif"), ("a//b.tif", "B04.tif"), ("a/.git/b", "B04.tif"), ("CON", "B04.tif"), (3, "B04.tif"),
    ],
)  # fmt: skip
def test_local_path_of_the_catalogue_is_used_if_safe(path, name):
    assert names("x/B04.tif", **{"file:local_path": path}) == [name]


def test_file_and_a_folder_do_not_share_a_name():
    assets = {
        "a": {"href": "x/a", "roles": ["data"], "file:local_path": "data"},
        "b": {"href": "x/b", "roles": ["data"], "file:local_path": "data/b"},
    }
    assert [asset.name for asset in read(assets).assets] == ["a-data", "b-b"]


def test_file_name_does_not_depend_on_other_assets():
    assets = {key: {"href": f"{key}/band.tif", "roles": ["data"]} for key in ("B04", "B08")}
    assert [asset.name for asset in read(assets, ("B04",)).assets] == ["B04-band.tif"]


@pytest.mark.parametrize(
    ("properties", "more", "why"),
    [
        ({"order:status": "orderable"}, {}, "must be ordered"),
        ({"order:status": "pending"}, {}, "its order is pending"),
        ({"order:status": "succeeded"}, {}, None),
        ({}, {"order:status": "shipping"}, "being delivered"),
        ({"order:status": "orderable"}, {"order:status": "succeeded"}, None),
        ({"storage:tier": "Glacier Deep Archive", "storage:platform": "AWS"}, {}, "cold storage"),
        ({"storage:tier": "Archive", "storage:platform": "GCP"}, {}, None),
        ({"storage:tier": "Glacier Instant Retrieval"}, {}, None),
        ({}, {"storage:tier": "archive"}, "cold storage"),
        ({"storage:tier": "Hot"}, {}, None),
    ],
)  # fmt: skip
def test_unavailable_files_make_a_scene_offline(properties, more, why):
    scene = read({"B04": {"href": "a.tif", "roles": ["data"], **more}}, **properties)
    assert scene.online == (why is None)
    assert why is None or why in scene.offline


def test_http_link_is_preferred_to_a_bucket():
    asset = {"href": "s3://eodata/a.tif", "roles": ["data"], "alternate": {"https": {"href": "https://e.org/a.tif"}}}
    assert read({"a": asset}).assets[0].url == "https://e.org/a.tif"


def test_link_that_is_not_http_is_not_located(archive):
    scene = read({"a": {"href": "s3://eodata/a.tif", "roles": ["data"]}})
    with pytest.raises(ArchiveError, match="X is not online: its asset a is only at s3://"):
        archive.locate(scene_of_file(scene, scene.files[0]))


@pytest.mark.parametrize(
    ("feature", "what"),
    [
        (None, "is not an object"),
        ({"id": " "}, "has no id"),
        ({"id": 3}, "has no id"),
        ({"id": "X"}, "properties are not an object"),
    ],
)
def test_what_is_not_an_item(feature, what):
    with pytest.raises(UnusableItemError, match=what):
        item_of(feature)


@pytest.mark.parametrize(
    ("multihash", "digest"),
    [
        ("1220" + hashlib.sha256(b"x").hexdigest(), "sha256:" + hashlib.sha256(b"x").hexdigest()),
        ("90e40210" + hashlib.blake2b(b"x", digest_size=16).hexdigest(),
         "blake2b:" + hashlib.blake2b(b"x", digest_size=16).hexdigest()),
        ("1620" + hashlib.sha3_256(b"x").hexdigest(), "sha3_256:" + hashlib.sha3_256(b"x").hexdigest()),
        ("DD3CC7ED9A831BFE915C87E45638C48C", "dd3cc7ed9a831bfe915c87e45638c48c"), (32 * "x", None),
        ("d50110" + hashlib.md5(b"x").hexdigest(), "md5:" + hashlib.md5(b"x").hexdigest()),
        ("1220" + 62 * "0", None), ("1221" + 64 * "0", None), ("ff", None), ("", None), (None, None), (7, None),
        ("not hex", None), ("7f20" + 64 * "0", None),
    ],
)  # fmt: skip
def test_multihashes(multihash, digest):
    assert digest_of(multihash) == digest


# -- access ----------------------------------------------------------------------------------------------------------


def file_of(server, archive):
    server.add("S1")
    (scene,) = archive.find(MAY, warn=no_warning)
    return scene_of_file(scene, scene.files[0])


def test_bearer_token_goes_to_the_archive_only(server):
    token = access.bearer("archive", server.url, ["data.example.org", "evil.example.org"],
                          {"STAC_TOKEN": "top-secret-token", "STAC_HOST": "data.example.org"})  # fmt: skip
    server.authorization = "Bearer top-secret-token"
    with StacArchive(server.url, ["s2"], access=token) as archive:
        file = file_of(server, archive)
        assert dict(archive.locate(file).headers) == {"Authorization": "Bearer top-secret-token"}
        assert "top-secret-token" not in repr(archive.locate(file))
        assert redact.redact("x top-secret-token x") == "x *** x"
        for url, seen in (
            ("https://data.example.org/a.tif", True), ("http://data.example.org/a.tif", False),
            ("https://evil.example.org/a.tif", False), ("http://127.0.0.1:1/a.tif", False),
        ):  # fmt: skip
            assert bool(archive.locate(replace(file, download_url=url)).headers) == seen, url


def test_next_link_to_another_host_does_not_see_the_token(server):
    with StacServer() as other:
        token = access.bearer("mine", server.url, (), {"STAC_MINE_TOKEN": "top-secret-token"})
        filled(server, 3)
        other.items, server.most, server.elsewhere = server.items, 2, other.url
        with StacArchive(server.url, ["s2"], access=token) as archive:
            assert len(found(archive)) == 3
        assert [one.headers.get("Authorization") for one in server.asked] == ["Bearer top-secret-token"] * 2
        assert [one.headers.get("Authorization") for one in other.asked] == [None]


def test_missing_token_is_reported(server):
    with pytest.raises(AuthenticationError, match=r"set STAC_MINE_TOKEN .* or STAC_TOKEN"):
        access.bearer("mine", server.url, (), {"STAC_MINE_TOKEN": " "})


def test_token_that_is_not_a_header_value_is_rejected():
    with pytest.raises(AuthenticationError, match="STAC_TOKEN is not a token") as caught:
        access.bearer("archive", "http://127.0.0.1:1", (), {"STAC_TOKEN": "se\ncret"})
    assert "cret" not in str(caught.value)


def test_basic_authentication(server):
    server.authorization = basic("ann", "pässword")
    right = access.basic(Credentials("ann", "pässword"), server.url, ())
    with StacArchive(server.url, ["s2"], access=right) as archive:
        assert dict(archive.locate(file_of(server, archive)).headers) == {"Authorization": server.authorization}
    wrong = access.basic(Credentials("ann", "wrong"), server.url, ())
    with StacArchive(server.url, ["s2"], access=wrong) as archive, pytest.raises(AuthenticationError, match="401"):
        found(archive)


class TestSigned:
    @pytest.fixture
    def now(self):
        return [datetime.fromtimestamp(NOW, UTC)]

    @pytest.fixture
    def archive(self, server, now):
        server.signed = True
        api = session.Api()
        signing = access.PlanetaryComputer(api, f"{server.url}/sas/", ["127.0.0.1"], lambda: now[0], {})
        with StacArchive(server.url, ["s2"], access=signing, api=api) as opened:
            yield opened

    def test_links_are_signed_when_they_are_used_with_one_token_a_container(self, server, archive):
        file = file_of(server, archive)
        assert server.tokens == 0
        first = archive.locate(file)
        assert first.url == f"{file.download_url}?st=1&se=2&sp=rl&sig=secret1"
        assert archive.locate(file).url == first.url
        assert server.tokens == 1
        assert server.asked[-1].path == "/sas/127/data"

    def test_token_is_renewed_before_it_ends(self, server, archive, now):
        file = file_of(server, archive)
        archive.locate(file)
        now[0] += timedelta(seconds=server.token_life - 61)
        archive.locate(file)
        assert server.tokens == 1
        now[0] += timedelta(seconds=2)
        server.token_life = 7200
        assert archive.locate(file).url.endswith("sig=secret2")

    def test_refused_token_is_renewed_at_once(self, server, archive):
        file = file_of(server, archive)
        refused = archive.locate(file)
        assert archive.locate(file, refused=refused).url.endswith("sig=secret2")

    def test_signed_or_other_links_are_unchanged(self, server, archive):
        file = file_of(server, archive)
        for url in ("https://e.org/c/a.tif", "https://x.blob.core.windows.net/c/a.tif?st=1&se=2&sp=r&sig=3",
                    "https://blob.core.windows.net.evil.org/c/a.tif"):  # fmt: skip
            assert archive.locate(replace(file, download_url=url)).url == url
        assert server.tokens == 0

    def test_expired_token_is_rejected(self, server, archive):
        server.token_life = -5
        with pytest.raises(ArchiveError, match="an expired token"):
            archive.locate(file_of(server, archive))


def test_expired_link_is_replaced(server, archive):
    server.add("S1")
    path = server.items[0]["assets"]["B04"]["href"]
    server.items[0]["assets"]["B04"]["href"] = path + "?sig=old"
    (scene,) = archive.find(MAY, warn=no_warning)
    file = scene_of_file(scene, scene.files[0])
    refused = archive.locate(file)
    server.items[0]["assets"]["B04"]["href"] = path + "?sig=new"
    assert archive.locate(file, refused=refused).url == refused.url.replace("old", "new")
