"""The Copernicus Data Space as an archive, against a server that follows its documentation."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import shapely
from cdse_server import CdseServer, Fault, Product, grd, msi
from msgspec.structs import replace

from sedas_sync.archives.cdse.archive import CdseArchive
from sedas_sync.archives.cdse.kind import KIND, CdseConfig
from sedas_sync.archives.opening import Opening, open_archive
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError
from sedas_sync.model.scene import Query
from sedas_sync.net import redact, session
from sedas_sync.net.credentials import Credentials
from sedas_sync.testing import ArchiveContract, Case, no_warning

AOI = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))"
START = datetime(2019, 4, 30, tzinfo=UTC)
QUERY = Query(aoi=AOI, start=START, stop=datetime(2019, 5, 12, 23, 59, 59, tzinfo=UTC))
JANE = Credentials("jane@example.org", "a-long-password", "the test")
ELSEWHERE = "POLYGON ((10 10, 11 10, 11 11, 10 11, 10 10))"


def a_fortnight():
    times = [START + timedelta(hours=11 + 7 * number, milliseconds=24) for number in range(12)]
    return [msi(when) for when in times[::2]] + [grd(when) for when in times[1::2]]


@pytest.fixture
def server():
    with CdseServer(a_fortnight()) as running:
        yield running


@pytest.fixture
def opened(server):
    """Open clients of the server, each like a separate process."""
    archives = []

    def make(account=JANE, **options):
        settings = {
            "login_url": server.login_url, "trusted_hosts": ["127.0.0.1"], "environ": {}, "now": lambda: server.clock,
            "api": session.Api(retries=2, environ={}, sleep=lambda seconds: None),
        }  # fmt: skip
        archive = CdseArchive(server.url, credentials=lambda: account, **{**settings, **options})
        archives.append(archive)
        return archive

    yield make
    for archive in archives:
        archive.close()


@pytest.fixture
def archive(opened):
    return opened()


def found(archive, query=QUERY, warn=no_warning, **changes):
    return list(archive.find(replace(query, **changes), warn=warn))


def ids(scenes):
    return {scene.id for scene in scenes}


def names(products):
    return {product.name.removesuffix(".SAFE") for product in products}


class TestContract(ArchiveContract):
    @pytest.fixture
    def case(self, server, opened):
        server.products[3].online = False
        return Case(opened(), QUERY)


# -- searches --------------------------------------------------------------------------------------------------------


def many(count, *, begin=START, over=timedelta(days=12), same=()):
    """A catalogue of small rows, with `same` (number, time) runs that share one start."""
    step = over / count
    products = [
        Product(f"P{number:06d}.SAFE", begin + number * step, content=b"PK", checksums=()) for number in range(count)
    ]
    for run, (length, when) in enumerate(same):
        products += [
            Product(f"Q{run}-{number:06d}.SAFE", when, content=b"PK", checksums=()) for number in range(length)
        ]
    return products


def test_every_scene_of_a_catalogue_beyond_the_cap_is_found_once(server, archive):
    """12,600 scenes, 600 of them at one instant, with pages of 1,000 and a `$skip` up to 10,000."""
    server.products = many(12_000, same=[(600, START + timedelta(days=5, microseconds=7))])
    scenes = found(archive)
    assert Counter(scene.id for scene in scenes) == Counter(names(server.products))
    asked = server.requests("catalogue", "/Products")
    assert len(asked) < 30
    assert all(int(one.options.get("$skip", 0)) <= 10_000 for one in asked)
    assert all(one.options["$orderby"] == "ContentDate/Start asc" for one in asked)
    assert not any("$count" in one.options for one in asked)


def test_more_than_a_page_at_one_instant_is_read_by_skip(server, archive):
    when = START + timedelta(days=3)
    server.products = many(300, same=[(1_500, when)])
    assert len(found(archive)) == 1_800
    assert max(int(one.options.get("$skip", 0)) for one in server.asked) >= 1_000


def test_more_than_the_cap_at_one_instant_is_reported_and_the_rest_is_found(server, archive):
    server.products = many(100, same=[(11_100, START + timedelta(days=3))])
    scenes = {}
    search = archive.find(QUERY, warn=no_warning)
    with pytest.raises(IncompleteSearch, match="more than 10000 scenes began at 2019-05-03T00:00:00"):
        scenes.update((scene.id, scene) for scene in search)
    assert len([name for name in scenes if name.startswith("P")]) == 100
    assert len(scenes) > 10_000
    assert max(int(one.options.get("$skip", 0)) for one in server.asked) <= 10_000


def test_missing_next_link_does_not_prove_the_end(server, archive):
    server.products = many(2_200)
    server.next_links = False
    assert len(found(archive)) == 2_200


def test_smaller_page_does_not_prove_the_end(server, archive):
    server.products = many(500)
    server.pages_of = 100
    assert len(found(archive)) == 500


def test_silently_cut_pages_lose_nothing(server, archive):
    """Answers are shorter than requested and have no link to the next page."""
    server.products = many(450)
    server.pages_of, server.next_links = 100, False
    assert len(found(archive)) == 450
    assert len(server.asked) <= 12


def test_more_of_one_instant_than_a_silently_cut_page(server, archive):
    server.products = [msi(MIDDLE, tile=f"{number:03}XX") for number in range(70)]
    server.pages_of, server.next_links = 20, False
    assert len(found(archive)) == 70


def test_short_answer_takes_two_requests(server, archive):
    assert len(found(archive)) == 12
    assert [one.options.get("$skip") for one in server.asked] == [None, "12"]


def test_catalogue_that_ignores_skip_is_incomplete(server, archive):
    server.takes_skip = False
    with pytest.raises(IncompleteSearch, match=r"ignores \$skip"):
        found(archive)


def test_unsorted_answer_is_incomplete(server, archive):
    server.products = many(1_500)
    server.sorts = False
    with pytest.raises(IncompleteSearch, match="did not sort"):
        found(archive)


def test_scene_withdrawn_during_the_search_hides_no_other(server, archive):
    """Pages counted from the start would shift by one row."""
    server.products = many(2_500)
    kept = names(server.products[500:])
    scenes = []
    search = archive.find(QUERY, warn=no_warning)
    scenes.append(next(search))
    del server.products[:500]
    scenes.extend(search)
    assert kept <= ids(scenes)


def test_times_are_sent_with_a_zone_and_rounded_outwards(server, archive):
    stop = datetime(2019, 5, 12, 23, 59, 59, 999_999, tzinfo=UTC)
    found(archive, start=START + timedelta(microseconds=1700), stop=stop)
    condition = server.asked[0].options["$filter"]
    assert "ContentDate/Start ge 2019-04-30T00:00:00.001Z" in condition
    assert "ContentDate/Start le 2019-05-13T00:00:00.000Z" in condition


def test_search_needs_no_account(server, opened):
    def nobody():
        raise AuthenticationError("nobody is there")

    archive = opened()
    archive._login.token._find = nobody
    assert len(found(archive)) == 12
    assert list(archive.look_up([found(archive)[0].id], warn=no_warning))
    assert not server.requests("login")
    assert not any("authorization" in one.headers for one in server.asked)


def test_stopped_search_ends(server, archive):
    server.products = many(2_500)
    search = archive.find(QUERY, warn=no_warning)
    next(search)
    archive.stop()
    with pytest.raises(ArchiveError, match="stopped"):
        list(search)


# -- filters ----------------------------------------------------------------------------------------------------------


def alone(archive, server, product, **changes):
    """Whether a query finds the scene."""
    server.products = [product]
    return bool(found(archive, **changes))


MIDDLE = START + timedelta(days=2)


@pytest.mark.parametrize(
    ("changes", "fitting", "other"),
    [
        ({"sensor": "sar"}, grd(MIDDLE), msi(MIDDLE)),
        ({"sensor": "optical"}, msi(MIDDLE), grd(MIDDLE)),
        ({"source_group": "S2"}, msi(MIDDLE), grd(MIDDLE)),
        ({"source_group": "S1"}, grd(MIDDLE), msi(MIDDLE)),
        ({"satellite": "Sentinel-2B"}, msi(MIDDLE, satellite="B"), msi(MIDDLE, satellite="A")),
        ({"satellite": "Sentinel-1A"}, grd(MIDDLE), msi(MIDDLE)),
        ({"product_type": "L1C"}, msi(MIDDLE), msi(MIDDLE, level="L2A")),
        ({"product_type": "S2MSI2A"}, msi(MIDDLE, level="L2A"), msi(MIDDLE)),
        ({"product_type": "GRD"}, grd(MIDDLE), msi(MIDDLE)),
        ({"product_type": "IW_GRDH_1S"}, grd(MIDDLE), msi(MIDDLE)),
        ({"max_cloud_cover": 20.0}, msi(MIDDLE, cloud=20.0), msi(MIDDLE, cloud=20.01)),
        ({"max_cloud_cover": 20.0}, msi(MIDDLE, cloud=None), msi(MIDDLE, cloud=80.0)),
        ({"max_cloud_cover": 20.0}, grd(MIDDLE), msi(MIDDLE, cloud=80.0)),
        ({"orbit_direction": "ASCENDING"}, grd(MIDDLE), grd(MIDDLE, direction="DESCENDING")),
        ({"relative_orbit": 137}, msi(MIDDLE), msi(MIDDLE, orbit=8)),
        ({"polarisation": ("VV",)}, grd(MIDDLE, channels="VV"), grd(MIDDLE, channels="HH")),
        ({"polarisation": ("VV",)}, grd(MIDDLE, channels="VV&VH"), grd(MIDDLE, channels="HH&HV")),
        ({"polarisation": ("VH", "VV")}, grd(MIDDLE, channels="VV&VH"), grd(MIDDLE, channels="VV")),
        ({"tile": ("30UXC", "31UCT")}, msi(MIDDLE), msi(MIDDLE, tile="30UWC")),
        ({"filters": {"orbitNumber": 40210}}, msi(MIDDLE), grd(MIDDLE)),
        ({"filters": {"cloudCover": 12.5}}, msi(MIDDLE), msi(MIDDLE, cloud=12.0)),
        ({"filters": {"cloudCover": 12}}, msi(MIDDLE, cloud=12.0), msi(MIDDLE)),
        ({"filters": {"processorVersion": ("05.00", "05.01")}}, msi(MIDDLE), grd(MIDDLE)),
        ({"filters": {"$filter": "startswith(Name,'S2') or Online eq false"}}, msi(MIDDLE), grd(MIDDLE)),
        ({"filters": {"origin": "O'Neil"}}, Product("S2X.SAFE", MIDDLE, attributes={"origin": "O'Neil"}), msi(MIDDLE)),
        ({}, msi(MIDDLE), msi(MIDDLE, wkt=ELSEWHERE)),
    ],
)
def test_filters_select_matching_items(server, archive, changes, fitting, other):
    assert alone(archive, server, fitting, **changes)
    assert not alone(archive, server, other, **changes)


def test_collections_of_the_manifest_limit_the_search(server, opened):
    landsat = Product("LC08_L1TP_204024", MIDDLE, collection="LANDSAT-8-ESA")
    server.products.append(landsat)
    assert ids(found(opened(collections=["LANDSAT-8-ESA"]))) == {"LC08_L1TP_204024"}
    assert len(found(opened())) == 12


def test_refused_optional_conditions_are_dropped(server, archive):
    server.refuses_attributes = True
    assert ids(found(archive, max_cloud_cover=5.0)) == names(server.products)
    before = len(server.asked)
    found(archive, max_cloud_cover=5.0)
    assert len(server.asked) == before + 2, "what there is, and whether anything follows it"


def test_optional_conditions_that_break_the_service_are_dropped(server, archive):
    """The service has answered `not` with 500 at times; repeating the request does not help."""
    search = server.search
    server.search = lambda asked: (500, b"", {}) if "not (" in asked.options["$filter"] else search(asked)
    assert ids(found(archive, max_cloud_cover=5.0)) == names(server.products)
    assert sum("not (Attributes" in one.options.get("$filter", "") for one in server.asked) == 1


@pytest.mark.parametrize("spelling", ["05.10", "5.10"])
@pytest.mark.parametrize("stated", ["05.10", "5.10"])
def test_versions_of_processors_in_either_spelling(server, archive, spelling, stated):
    server.products = [msi(MIDDLE), msi(MIDDLE)]
    server.products[0].attributes["processorVersion"] = stated
    server.products[1].attributes["processorVersion"] = "05.11"
    assert ids(found(archive, filters={"processorVersion": spelling})) == names(server.products[:1])


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"product_type": "OL_1_EFR"}, "S3A_OL_1_EFR____X.SEN3"),
        ({"product_type": "OL_1_EFR___"}, "S3A_OL_1_EFR____X.SEN3"),
        ({"product_type": "NO2"}, "S5P_OFFL_L2__NO2____X.nc"),
        ({"satellite": "Sentinel-5P"}, "S5P_OFFL_L2__NO2____X.nc"),
        ({"satellite": "Landsat-8"}, "LC08_L1TP_204024"),
        ({"satellite": "landsat 8"}, "LC08_L1TP_204024"),
        ({"product_type": "GRD-COG"}, "S1A_IW_GRDH_1SDV_X_COG.SAFE"),
    ],
)
def test_near_misses_are_found(server, archive, query, name):
    collections = {"S3A": "SENTINEL-3", "S5P": "SENTINEL-5P", "LC08": "LANDSAT-8", "S1A": "SENTINEL-1"}
    types = {"S3A": "OL_1_EFR___", "S5P": "L2__NO2___", "LC08": "L1TP", "S1A": "IW_GRDH_1S-COG"}
    key = name.partition("_")[0]
    product = Product(name, MIDDLE, collection=collections[key], attributes={"productType": types[key]})
    server.products = [msi(MIDDLE), grd(MIDDLE), product]
    assert ids(found(archive, **query)) == {name.removesuffix(".SAFE")}


@pytest.mark.parametrize("satellite", ["Sentinel-9", "Landsat-6"])
def test_satellite_that_does_not_exist_is_searched_for_in_the_usual_collections(server, archive, satellite):
    found(archive, satellite=satellite)
    condition = server.asked[0].options["$filter"]
    assert condition.startswith("(Collection/Name eq 'SENTINEL-1' or Collection/Name eq 'SENTINEL-2') and ")


@pytest.mark.parametrize("spelling", ["SENTINEL-3", "SENTINEL3", "sentinel_3"])
def test_collections_in_other_spellings(server, opened, spelling):
    product = Product("S3A_OL_1_EFR____X.SEN3", MIDDLE, collection="SENTINEL-3")
    server.products.append(product)
    assert ids(found(opened(collections=[spelling]))) == {product.name}


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ("S3A_OL_1_EFR____X", "S3A_OL_1_EFR____X.SEN3"),
        ("S3A_OL_1_EFR____X.SEN3", "S3A_OL_1_EFR____X.SEN3"),
        ("S5P_OFFL_L2__NO2____X", "S5P_OFFL_L2__NO2____X.nc"),
        ("S5P_OFFL_L2__NO2____X.nc", "S5P_OFFL_L2__NO2____X"),
        ("Copernicus_DSM_10_N45", "Copernicus_DSM_10_N45.DEM"),
        ("S6A_P4_1B_LR_X", "S6A_P4_1B_LR_X.SEN6"),
        ("LS08_X", "LS08_X.TIFF"),
    ],
)
def test_ids_are_found_with_and_without_endings(server, archive, asked, name):
    server.products = [Product(name, MIDDLE)]
    assert [scene.id for scene in archive.look_up([asked], warn=pytest.fail)] == [name]


def test_filter_of_the_user_that_is_refused_fails_the_search(server, archive):
    with pytest.raises(ArchiveError, match=r"status 400.*Invalid filter"):
        found(archive, filters={"$filter": "Colour eq 'red'"})


def test_long_outline_is_simplified_outwards(server, archive):
    ragged = shapely.Point(-1.3, 51.6).buffer(0.05, quad_segs=400)
    server.products = [
        msi(MIDDLE),
        msi(MIDDLE, wkt="POLYGON ((-1.27 51.63,-1.2 51.63,-1.2 51.7,-1.27 51.7,-1.27 51.63))"),
    ]
    assert len(found(archive, aoi=shapely.to_wkt(ragged))) == 2
    sent = server.asked[0].options["$filter"].partition("SRID=4326;")[2].partition("'")[0]
    assert shapely.from_wkt(sent).covers(ragged)
    assert len(server.asked[0].options["$filter"]) < 4000


# -- rows -------------------------------------------------------------------------------------------------------------


def test_row_becomes_a_scene(server, archive):
    product = msi(MIDDLE, cloud=0.25, length=1_234)
    server.products = [product]
    (scene,) = found(archive)
    assert scene.id == product.name.removesuffix(".SAFE")
    assert (scene.start, scene.stop) == (product.start, product.stop)
    assert shapely.from_wkt(scene.footprint).equals(product.shape)
    assert (scene.sensor, scene.satellite, scene.source_group) == ("optical", "Sentinel-2A", "S2")
    assert (scene.instrument, scene.product_type, scene.orbit) == ("MSI", "S2MSI1C", 40210)
    assert (scene.orbit_direction, scene.cloud_cover) == ("DESCENDING", 0.25)
    assert (scene.size, scene.nominal) == (1_234, True)
    assert scene.digest == next(item["Value"] for item in product.row(expand=False)["Checksum"])
    assert scene.online
    assert scene.extra["S3Path"].startswith("/eodata/SENTINEL-2/")
    assert scene.extra["Attributes"]["relativeOrbitNumber"] == 137
    assert scene.extra["EvictionDate"].startswith("9999")


def test_radar_row(server, archive):
    server.products = [grd(MIDDLE)]
    (scene,) = found(archive)
    assert (scene.sensor, scene.satellite, scene.source_group, scene.mode) == ("sar", "Sentinel-1A", "S1", "IW")
    assert (scene.polarisation, scene.product_type) == ("VV/VH", "IW_GRDH_1S")


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        ({"length": 0}, {"size": None}),
        ({"checksums": ()}, {"digest": None}),
        ({"online": False}, {"download_url": None}),
        ({"changes": {"Footprint": ...}}, {}),
        ({"changes": {"Attributes": ...}}, {"cloud_cover": None, "sensor": None}),
        ({"changes": {"Colour": "red"}}, {}),
        ({"changes": {"ContentLength": ..., "Checksum": ..., "S3Path": ..., "GeoFootprint": ...}}, {"size": None}),
    ],
)
def test_row_with_missing_fields(server, archive, product, expected):
    server.products = [msi(MIDDLE, **product)]
    (scene,) = found(archive)
    assert {name: getattr(scene, name) for name in expected} == expected
    assert shapely.from_wkt(scene.footprint).equals(server.products[0].shape)
    if "Colour" in product.get("changes", {}):
        assert scene.extra["Colour"] == "red"


def test_blake3_without_md5_has_its_name(server, archive):
    server.products = [msi(MIDDLE, checksums=("BLAKE3",))]
    (scene,) = found(archive)
    assert scene.digest.startswith("blake3:")
    assert len(scene.digest) == len("blake3:") + 64


@pytest.mark.parametrize(
    "changes",
    [
        {"Id": ...}, {"Id": "../../etc"}, {"Name": None}, {"Name": "..."}, {"Name": "a\nb"}, {"ContentDate": None},
        {"ContentDate": {"Start": "yesterday"}},
    ],
)  # fmt: skip
def test_row_that_cannot_be_used_is_left_out_with_a_warning(server, archive, changes):
    server.products = [msi(MIDDLE, changes=changes), msi(MIDDLE)]
    warnings = []
    assert len(found(archive, warn=warnings.append)) == 1
    (warning,) = warnings
    assert "cannot be used and is left out" in warning


@pytest.mark.parametrize(
    ("changes", "field", "reported"),
    [
        ({"ContentLength": "much"}, "size", "its ContentLength is not a number, and counts as unknown"),
        ({"ContentLength": -3}, "size", None),
        ({"Online": "yes"}, "offline", "its Online is not true or false, and counts as unknown"),
        ({"ContentDate": {"Start": "2019-04-30T11:06:21Z", "End": "later"}}, "stop", "its End is not a time"),
        ({"Footprint": "over there", "GeoFootprint": None}, "footprint", "its footprint is not valid"),
        ({"Footprint": "POLYGON ((", "GeoFootprint": {"type": "Point"}}, "footprint", "its footprint is not valid"),
        ({"Footprint": "POLYGON (())", "GeoFootprint": None}, "footprint", "its footprint is not valid"),
        ({"Attributes": [{"Name": "cloudCover", "Value": "cloudy"}]}, "cloud_cover", "its cloudCover is not a number"),
        (
            {"Attributes": [{"Name": "cloudCover", "Value": 101.0}]},
            "cloud_cover",
            "its cloudCover is not from 0 to 100",
        ),
        ({"Attributes": [{"Name": "cloudCover", "Value": -1.0}]}, "cloud_cover", None),
        (
            {"Attributes": [{"Name": "orbitDirection", "Value": 3}]},
            "orbit_direction",
            "its orbitDirection is not a string",
        ),
    ],
)
def test_field_that_cannot_be_read_is_unknown_and_the_scene_stays(server, archive, changes, field, reported):
    server.products = [msi(MIDDLE, changes=changes)]
    warnings = []
    (scene,) = found(archive, warn=warnings.append)
    assert getattr(scene, field) is None
    assert [reported in warning for warning in warnings] == ([] if reported is None else [True])


def test_online_scene_wins_over_another_of_the_same_name(server, archive):
    one, other = Product("TWICE.SAFE", MIDDLE, online=False), Product("TWICE.SAFE", MIDDLE)
    other.id = other.id[::-1].replace("-", "0")[:8] + other.id[8:]
    server.products = [one, other]
    for products in ([one, other], [other, one]):
        server.products = products
        (scene,) = found(archive)
        assert scene.online
        (scene,) = archive.look_up(["TWICE"], warn=no_warning)
        assert scene.online


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"<html>maintenance</html>", b'{"value": null}', b'{"value": {}}', b"{"]
)
def test_invalid_answer_fails_the_search(server, archive, body):
    server.faults = [Fault("catalogue", "Products", 200, body, times=9)]
    with pytest.raises(ArchiveError):
        found(archive)


def test_temporary_error_is_retried(server, archive):
    server.faults = [Fault("catalogue", "Products", 503, b"", {"Retry-After": "1"}, times=2)]
    assert len(found(archive)) == 12


# -- look-up by name --------------------------------------------------------------------------------------------------


def test_many_names_in_one_request(server, archive):
    wanted = sorted(names(server.products))
    assert ids(archive.look_up(wanted, warn=no_warning)) == set(wanted)
    assert len(server.asked) == 1
    assert server.asked[0].path.endswith("OData.CSC.FilterList")


def test_look_up_cut_to_a_page_is_repeated_in_small_requests(server, archive):
    server.products = [msi(START + timedelta(hours=number)) for number in range(110)]
    server.pages_of = 20
    wanted = sorted(names(server.products))
    assert ids(archive.look_up(wanted, warn=no_warning)) == set(wanted)


def test_names_of_other_missions_keep_their_ending(server, archive):
    server.products = [Product("S5P_OFFL_L2__NO2____20190502T1.nc", MIDDLE, collection="SENTINEL-5P")]
    (scene,) = archive.look_up(["S5P_OFFL_L2__NO2____20190502T1.nc"], warn=no_warning)
    assert scene.id == "S5P_OFFL_L2__NO2____20190502T1.nc"


def test_deleted_scene_is_reported_with_its_reason(server, archive):
    gone = server.products.pop()
    server.deleted[gone.name] = "Duplicated product"
    warnings = []
    name = gone.name.removesuffix(".SAFE")
    assert list(archive.look_up([name], warn=warnings.append)) == []
    assert warnings == [f"{name}: was deleted from the archive on 2026-03-01: Duplicated product"]


def test_list_of_deleted_products_is_not_needed(server, archive):
    server.faults = [Fault("catalogue", "DeletedProducts", 404, b"", times=9)]
    assert list(archive.look_up(["S2A_NOT_THERE"], warn=no_warning)) == []


# -- the login --------------------------------------------------------------------------------------------------------


def scene_of(archive):
    return found(archive)[0]


def test_one_login_serves_all_threads(server, archive):
    scene = scene_of(archive)
    with ThreadPoolExecutor(16) as pool:
        tokens = {
            archive.locate(scene).headers["Authorization"] for _ in pool.map(lambda _: archive.locate(scene), range(64))
        }
    assert len(tokens) == 1
    assert (server.logins, server.refreshes) == (1, 0)


def test_token_is_renewed_before_its_end_by_the_refresh_token(server, archive):
    scene = scene_of(archive)
    first = archive.locate(scene).headers
    server.clock = 600 * 0.8
    assert archive.locate(scene).headers == first
    server.clock = 600 - 59
    assert archive.locate(scene).headers != first
    assert (server.logins, server.refreshes, len(server.sessions)) == (1, 1, 1)


def test_margin_is_at_most_a_fifth_of_a_short_life(server, archive):
    server.access_life = 100
    scene = scene_of(archive)
    first = archive.locate(scene).headers
    server.clock = 79
    assert archive.locate(scene).headers == first
    server.clock = 81
    assert archive.locate(scene).headers != first


def test_expired_session_logs_in_again(server, archive):
    scene = scene_of(archive)
    archive.locate(scene)
    server.clock = 3700
    archive.locate(scene)
    assert (server.logins, server.refreshes) == (2, 0)


def test_session_ended_by_the_server_logs_in_again(server, archive):
    scene = scene_of(archive)
    archive.locate(scene)
    server.sessions.clear()
    server.clock = 590
    archive.locate(scene)
    assert server.logins == 2


def test_refused_token_is_replaced_once_and_not_in_a_loop(server, archive):
    scene = scene_of(archive)
    first = archive.locate(scene)
    second = archive.locate(scene, refused=first)
    assert second.headers != first.headers
    for _ in range(3):
        with pytest.raises(ArchiveError, match="refuses the download even with a new token"):
            archive.locate(scene, refused=second)
    assert (server.logins, server.refreshes) == (1, 1)


def test_threads_refused_with_one_token_share_the_next(server, archive):
    scene = scene_of(archive)
    refused = archive.locate(scene)
    with ThreadPoolExecutor(8) as pool:
        headers = list(pool.map(lambda _: archive.locate(scene, refused=refused).headers["Authorization"], range(32)))
    assert len(set(headers)) == 1
    assert server.refreshes == 1


def test_wrong_credentials_are_reported_and_not_retried(server, opened):
    archive = opened(Credentials("jane@example.org", "not-her-password", "the test"))
    scene = scene_of(archive)
    for _ in range(3):
        with pytest.raises(AuthenticationError, match=r"refused the credentials of 'jane@.*\(from the test\)"):
            archive.locate(scene)
    assert len(server.requests("login")) == 1


def test_login_answered_with_a_page_is_not_repeated_for_every_scene(server, archive):
    server.faults = [Fault("login", "token", 200, b"<html>Please accept our terms</html>")]
    scene = scene_of(archive)
    for _ in range(3):
        with pytest.raises(ArchiveError, match="not JSON"):
            archive.locate(scene)
    assert len(server.requests("login")) == 1
    server.clock = 61
    assert archive.locate(scene).headers


def test_code_of_a_second_factor_is_sent(server, opened):
    server.totp = "123456"
    with pytest.raises(AuthenticationError, match="CDSE_TOTP"):
        opened().locate(scene_of(opened()))
    assert opened(environ={"CDSE_TOTP": "123456"}).locate(scene_of(opened())).headers


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"access_token": 3}', b'{"access_token": "two words"}'])
def test_login_without_a_token_is_an_error(server, archive, body):
    server.faults = [Fault("login", "token", 200, body)]
    with pytest.raises(ArchiveError, match="the login"):
        archive.locate(scene_of(archive))


def test_failed_login_is_retried_later(server, archive):
    scene = scene_of(archive)
    server.faults = [Fault("login", "token", 502, b"", times=3)]
    with pytest.raises(ArchiveError, match="502"):
        archive.locate(scene)
    assert archive.locate(scene).headers


def test_no_secret_is_shown(server, archive, caplog):
    caplog.set_level("DEBUG")
    download = archive.locate(scene_of(archive))
    token = download.headers["Authorization"].removeprefix("Bearer ")
    shown = [repr(archive), repr(download), repr(archive._login.token._tokens), caplog.text]
    assert not any(secret in text for text in shown for secret in (token, "refresh.session", JANE.password))
    assert token not in redact.redact(f"the server said {token}")


# -- one session for all processes ------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return {"XDG_RUNTIME_DIR": str(folder)}


def kept(environ):
    return [path for path in (Path(environ["XDG_RUNTIME_DIR"]) / "sedas-sync").iterdir() if path.suffix == ".json"]


def test_processes_share_one_session(server, opened, shared):
    scene = scene_of(opened())
    headers = {opened(environ=shared).locate(scene).headers["Authorization"] for _ in range(5)}
    assert (len(headers), server.logins) == (1, 1)
    server.clock = 590
    headers = {opened(environ=shared).locate(scene).headers["Authorization"] for _ in range(5)}
    assert (len(headers), server.logins, server.refreshes) == (1, 1, 1)


def test_processes_at_the_same_time_log_in_once(server, opened, shared):
    archives = [opened(environ=shared) for _ in range(8)]
    scene = scene_of(archives[0])
    with ThreadPoolExecutor(8) as pool:
        headers = set(pool.map(lambda one: one.locate(scene).headers["Authorization"], archives))
    assert (len(headers), server.logins) == (1, 1)


def test_token_file_is_private_and_has_no_password(server, opened, shared):
    archive = opened(environ=shared)
    archive.locate(scene_of(archive))
    (file,) = kept(shared)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert set(json.loads(file.read_text())) == {
        "access_token", "access_good_until", "refresh_token", "refresh_good_until", "after_refusal",
    }  # fmt: skip
    assert JANE.password not in file.read_text()
    assert JANE.username not in file.name + file.read_text()


def test_accounts_do_not_share(server, opened, shared):
    server.passwords["joe@example.org"] = "another-password"
    scene = scene_of(opened())
    jane = opened(environ=shared).locate(scene).headers
    joe = opened(Credentials("joe@example.org", "another-password"), environ=shared).locate(scene).headers
    assert jane != joe
    assert len(kept(shared)) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.write_text("{"), lambda file: file.write_text("[]"), lambda file: file.chmod(0o644),
        lambda file: (file.unlink(), file.symlink_to("/dev/null")), lambda file: file.write_bytes(b"\xff"),
        lambda file: file.write_text('{"access_token": "planted token", "access_good_until": 1e12}'),
        lambda file: file.write_text('{"access_token": "planted", "access_good_until": 1e12, "x": ' + "[" * 100_000),
    ],
)  # fmt: skip
def test_token_file_of_another_user_is_not_read(server, opened, shared, spoil):
    scene = scene_of(opened())
    opened(environ=shared).locate(scene)
    (file,) = kept(shared)
    spoil(file)
    opened(environ=shared).locate(scene)
    assert server.logins == 2


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": "/nowhere/at/all"}, {"SEDAS_SYNC_TOKENS": "off"}])
def test_nothing_is_written_without_a_private_folder(server, opened, environ, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive = opened(environ=environ)
    archive.locate(scene_of(archive))
    assert list(tmp_path.rglob("*")) == []


def test_folder_readable_by_others_is_not_used(server, opened, tmp_path):
    tmp_path.chmod(0o755)
    archive = opened(environ={"XDG_RUNTIME_DIR": str(tmp_path)})
    archive.locate(scene_of(archive))
    assert list(tmp_path.iterdir()) == []


def test_off_wins_over_the_runtime_folder(server, opened, shared):
    archive = opened(environ={**shared, "SEDAS_SYNC_TOKENS": "off"})
    archive.locate(scene_of(archive))
    assert not (Path(shared["XDG_RUNTIME_DIR"]) / "sedas-sync").exists()


def test_named_folder_is_used(server, opened, tmp_path):
    folder = tmp_path / "tokens"
    archive = opened(environ={"SEDAS_SYNC_TOKENS": str(folder)})
    archive.locate(scene_of(archive))
    assert [path.suffix for path in folder.iterdir() if path.name.startswith("tokens-")].count(".json") == 1


# -- hosts of the token -----------------------------------------------------------------------------------------------


def test_plain_http_addresses_are_refused():
    for options in ({"url": "http://catalogue.example.org/odata/v1/"}, {"login_url": "http://login.example.org/token"}):
        with pytest.raises(ManifestError, match="cannot be used"):
            CdseArchive(credentials=lambda: JANE, **options)


def test_password_goes_to_no_host_that_the_environment_does_not_name(monkeypatch):
    for name, value in {"CDSE_USERNAME": "jane", "CDSE_PASSWORD": "secret", "HOME": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    login = "https://identity.example.org/token"
    config = CdseConfig(type="cdse", login_url=login, trusted_hosts=["identity.example.org"])
    archive = open_archive(Opening(config=config, kind=KIND))
    with archive, pytest.raises(AuthenticationError, match=r"set CDSE_HOST=identity\.example\.org"):
        archive._login.token.current()


def test_offline_scene_has_advice_and_no_link(server, archive):
    server.products[0].online = False
    scene = next(scene for scene in found(archive) if not scene.online)
    assert "Data Workspace" in scene.offline
    with pytest.raises(ArchiveError, match="not online"):
        archive.locate(scene)


def test_scene_that_went_offline_is_distinguished_from_a_refused_token(server, archive):
    scene = next(scene for scene in found(archive) if scene.id in names(server.products[:1]))
    second = archive.locate(scene, refused=archive.locate(scene))
    server.products[0].online = False
    with pytest.raises(ArchiveError, match=r"not online any more.*Data Workspace"):
        archive.locate(scene, refused=second)


def test_concurrent_use_and_stop(server, archive):
    """A stop from another thread ends a wait for a retry."""
    patient = CdseArchive(server.url, credentials=lambda: JANE, login_url=server.login_url,
                          trusted_hosts=["127.0.0.1"], environ={})  # fmt: skip
    server.faults = [Fault("catalogue", "Products", 503, b"", {"Retry-After": "200"}, times=99)]
    threading.Timer(0.2, patient.stop).start()
    with pytest.raises(ArchiveError, match="stopped"):
        found(patient)
    patient.close()
