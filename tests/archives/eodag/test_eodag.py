"""Providers of eodag as archives, with eodag's own configurations and recorded answers."""

import itertools
import threading
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

pytest.importorskip("eodag", reason="needs the extra eodag")

from effort import effort
from eodag_providers import API_KEY, SECRET_KEY, CopernicusDataSpace, EarthSearch, Geodes, Wekeo
from replay_server import ReplayServer

from sedas_sync.archives.eodag.archive import EodagArchive
from sedas_sync.archives.eodag.kind import KIND, EodagConfig
from sedas_sync.archives.eodag.links import _names
from sedas_sync.archives.eodag.provider import Provider
from sedas_sync.archives.protocol import orders_of
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError, StoppedError
from sedas_sync.model.order import MOST_DATA
from sedas_sync.model.scene import Query
from sedas_sync.testing import ArchiveContract, Case, any_warning, no_warning

APRIL = Query(
    aoi="POLYGON((-102 52,-100 52,-100 54,-102 54,-102 52))",
    start=datetime(2025, 4, 1, tzinfo=UTC),
    stop=datetime(2025, 4, 30, tzinfo=UTC),
)


@pytest.fixture(scope="module", autouse=True)
def own_configuration(tmp_path_factory):
    """eodag reads no configuration of this user, and other tests use its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EODAG_CFG_DIR", str(tmp_path_factory.getbasetemp() / "eodag"))
        yield


def opened(monkeypatch, server, provider, product_type, **keys):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    config = EodagConfig(type="eodag", provider=provider, product_type=product_type, **keys)
    return EodagArchive(Provider(provider, product_type), config)


def open_geodes(monkeypatch, server, **keys):
    return opened(monkeypatch, server, "geodes", "S2_MSI_L1C", **keys)


class SharedContract(ArchiveContract):
    """One archive and one search for all tests: eodag takes most of a second for them, and no test changes them."""

    @pytest.fixture(scope="class")
    @classmethod
    def scenes(cls, case):
        return list(case.archive.find(case.query, warn=no_warning))


class TestGeodes(SharedContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls):
        with pytest.MonkeyPatch.context() as patch, Geodes(days=(2, 3, 4, 5)) as server:
            server.offline.add(server.items[0]["properties"]["identifier"])
            yield Case(open_geodes(patch, server), APRIL)


def test_a_search_that_eodag_ends_early_is_asked_again_in_parts(monkeypatch):
    with Geodes(days=range(1, 8), most=3) as server:
        archive = open_geodes(monkeypatch, server)
        found = [scene.id for scene in archive.find(APRIL, warn=no_warning)]
        assert sorted(found) == sorted(server.zips)
        assert len(found) == len(set(found))


@pytest.mark.parametrize("matched", effort([2, 0], [3, 2, 0, -1]))
def test_a_count_that_is_wrong_ends_no_search(monkeypatch, matched):
    with Geodes(days=range(1, 8), most=3) as server:
        server.matched = matched
        found = [scene.id for scene in open_geodes(monkeypatch, server).find(APRIL, warn=no_warning)]
        assert sorted(found) == sorted(server.zips)


def test_pages_that_repeat_themselves_end(monkeypatch):
    with Geodes(days=range(1, 7), most=3) as server:
        archive = open_geodes(monkeypatch, server)
        whole = archive._search

        def repeating(*arguments):
            result = whole(*arguments)
            pages = [list(result), list(result)[::-1]]
            result.next_page = lambda **_: itertools.cycle(reversed(pages))
            return result

        monkeypatch.setattr(archive, "_search", repeating)
        found = {scene.id for scene in archive.find(APRIL, warn=no_warning)}
        assert found == set(server.zips)


def test_a_count_that_is_never_met_is_an_incomplete_search(monkeypatch):
    with Geodes() as server:
        server.matched = 5
        found = []
        with pytest.raises(IncompleteSearch, match="geodes states that more scenes match than it sent"):
            found.extend(open_geodes(monkeypatch, server).find(APRIL, warn=no_warning))
    assert not found or len(found) == 3


def test_what_a_product_becomes(monkeypatch):
    with Geodes(days=[2]) as server:
        archive = open_geodes(monkeypatch, server)
        (scene,) = archive.find(APRIL, warn=no_warning)
        (name,) = server.zips
        assert (scene.id, scene.satellite, scene.tile, scene.relative_orbit) == (name, "S2A", "14ULD", 141)
        assert (scene.product_type, scene.sensor, round(scene.cloud_cover)) == ("S2MSI1C", "optical", 68)
        assert (scene.size, scene.nominal, scene.files[0].name) == (len(server.zips[name]), False, "")
        download = archive.locate(scene)
        assert dict(download.headers) == {"X-API-Key": API_KEY}
        assert API_KEY not in repr(download) + repr(scene)


def test_scene_on_tape_states_a_reason(monkeypatch):
    with Geodes(days=[2]) as server:
        server.offline.update(server.zips)
        archive = open_geodes(monkeypatch, server)
        (scene,) = archive.find(APRIL, warn=no_warning)
        assert "geodes does not have it online, and eodag cannot order it" in scene.offline
        assert orders_of(archive) is None


def test_filters_are_passed_on_and_checked_by_eodag(monkeypatch):
    with Geodes(days=[2]) as server:
        archive = open_geodes(monkeypatch, server)
        assert len(list(archive.find(replace(APRIL, filters={"eo:cloud_cover": 90}), warn=no_warning))) == 1
        assert not list(archive.find(replace(APRIL, filters={"eo:cloud_cover": 10}), warn=no_warning))
        with pytest.raises(ArchiveError, match="geodes, a search"):
            list(archive.find(replace(APRIL, filters={"eo:cloud_cover": "many"}), warn=no_warning))


def test_the_login_goes_only_to_the_provider(monkeypatch):
    with Geodes(days=[2]) as server:
        server.login_at = "http://127.0.0.1"
        archive = open_geodes(monkeypatch, server)
        (scene,) = archive.find(APRIL, warn=no_warning)
        assert dict(archive.locate(scene).headers) == {"X-API-Key": API_KEY}
        # eodag compares only the beginning of a link with the address of a login.
        for host in ("127.0.0.1.example.org", "download.example.org"):
            url = f"http://{host}/a.zip"
            foreign = archive.locate(replace(scene, download_url=url))
            assert (foreign.url, dict(foreign.headers)) == (url, {})
        elsewhere = replace(scene, download_url="http://127.0.0.1.example.org/a.zip")
        with pytest.raises(
            ArchiveError, match=r"asked without the login: name it in trusted_hosts, and in .* EODAG_HOST"
        ):
            archive.locate(elsewhere, refused=archive.locate(elsewhere))
        # A manifest alone adds no host.
        withheld = open_geodes(monkeypatch, server, trusted_hosts=["127.0.0.1.example.org"]).locate(elsewhere)
        assert (dict(withheld.headers), withheld.trusted_hosts) == ({}, ())
        monkeypatch.setenv("EODAG_HOST", "127.0.0.1.example.org")
        assert not archive.locate(elsewhere).headers
        trusting = open_geodes(monkeypatch, server, trusted_hosts=["127.0.0.1.example.org"])
        assert dict(trusting.locate(elsewhere).headers) == {"X-API-Key": API_KEY}


@pytest.mark.parametrize(
    ("pattern", "address", "named"),
    [
        ("https://geodes-portal.cnes.fr", "https://geodes-portal.cnes.fr/a.zip", True),
        ("https://geodes-portal.cnes.fr", "https://geodes-portal.cnes.fr:8443/a.zip", True),
        ("https://geodes-portal.cnes.fr", "https://geodes-portalxcnes.fr/a.zip", False),
        ("https://geodes-portal.cnes.fr", "https://geodes-portal.cnes.fr.example.org/a.zip", False),
        (r"https://[-\w\.]+.wekeo2.eu", "https://gateway.prod.wekeo2.eu/a", True),
        (r"https://[-\w\.]+.wekeo2.eu", "https://a-wekeo2.eu/a", False),
        (r"https://[-\w]+.creodias.eu", "https://zipper.creodias.eu/a", True),
        (r"https://[-\w]+creodias.eu", "https://my-creodias.eu/a", False),
        ("https?://[a-z]+.meteoblue.com", "http://my.meteoblue.com/a", True),
        (r"https://[-\w\.]+.blob.core.windows.net", "https://sentinel.blob.core.windows.net/a", True),
        ("https://.*.example.org", "https://evil.net/a.example.org", False),
        ("https://[a-z.]+.eu", "https://evil.eu/a", False),
        ("http://127.0.0.1", "http://127.0.0.1:8000/a", True),
        ("http://127.0.0.1", "http://10.0.0.1/a", False),
    ],
)
def test_which_addresses_the_pattern_of_a_login_names(pattern, address, named):
    assert _names(pattern, address) is named


def test_stop_ends_a_call_that_hangs(monkeypatch):
    go_on = threading.Event()
    with Geodes(days=[2]) as server:
        archive = open_geodes(monkeypatch, server)
        asked = threading.Event()

        def hang(_):
            asked.set()
            go_on.wait(60)
            return 200, {"products": []}

        server.answers["/fastavailability"] = hang
        stopper = threading.Thread(target=lambda: (asked.wait(60), archive.stop()))
        stopper.start()
        with pytest.raises(StoppedError):
            list(archive.find(APRIL, warn=no_warning))
        stopper.join()
        go_on.set()


@pytest.mark.parametrize(
    ("provider", "product_type", "error", "message"),
    [
        ("geodess", "S2_MSI_L1C", ManifestError, "eodag has no provider 'geodess'.*did you mean geodes?"),
        ("wekeo_mian", "S2_MSI_L1C", ManifestError, "eodag has no provider 'wekeo_mian'.*did you mean wekeo_main?"),
        ("wekeo_main", "S2_MSI_L1C", AuthenticationError, "no credentials for the provider 'wekeo_main'.*__AUTH"),
        ("geodes", "S2_MSI_L1D", ManifestError, "no product type 'S2_MSI_L1D'; did you mean S2_MSI_L1C"),
    ],
)
def test_what_eodag_does_not_know(provider, product_type, error, message):
    with pytest.raises(error, match=message):
        Provider(provider, product_type)


def test_a_configuration_that_does_not_exist_is_a_mistake(monkeypatch, tmp_path):
    monkeypatch.setenv("EODAG_CFG_FILE", str(tmp_path / "none.yml"))
    with pytest.raises(ManifestError, match=r"EODAG_CFG_FILE names .*none\.yml, which is not a file"):
        Provider("geodes", "S2_MSI_L1C")


@pytest.mark.parametrize("name", ["self", "search_plugin", "limit"])
def test_arguments_of_eodag_are_no_filters(name):
    assert [where for where, _ in KIND.filters({name: 1, "eo:cloud_cover": 3})] == [name]


def test_a_provider_without_a_catalogue_cannot_be_mirrored(monkeypatch):
    monkeypatch.setenv("EODAG__COP_CDS__AUTH__CREDENTIALS__APIKEY", "x")
    with pytest.raises(ManifestError, match="the provider 'cop_cds' cannot be mirrored: it makes files to order"):
        Provider("cop_cds", "ERA5_SL")


# -- other providers ---------------------------------------------------------------------------------------------------


PACIFIC = Query(
    aoi="POLYGON((137 13,154 13,154 24,137 24,137 13))",
    start=datetime(2020, 8, 8, tzinfo=UTC),
    stop=datetime(2020, 8, 16, tzinfo=UTC),
)


def test_copernicus_data_space_gives_a_token_in_the_link_and_another_one_if_it_is_refused(monkeypatch):
    with CopernicusDataSpace() as server:
        archive = opened(monkeypatch, server, "cop_dataspace", "S2_MSI_L1C")
        found = list(archive.find(PACIFIC, warn=no_warning))
        assert sorted(scene.id for scene in found) == sorted(server.zips)
        assert all(scene.digest is not None and not scene.nominal for scene in found)
        first = archive.locate(found[0])
        assert "token=" in first.url
        assert "token" not in first.shown
        assert archive.locate(found[0]).url == first.url
        again = archive.locate(found[0], refused=first)
        assert (again.url != first.url, server.logins) == (True, 2)


class TestCopernicusDataSpace(SharedContract):
    @pytest.fixture(scope="class")
    @classmethod
    def case(cls):
        with pytest.MonkeyPatch.context() as patch, CopernicusDataSpace() as server:
            yield Case(opened(patch, server, "cop_dataspace", "S2_MSI_L1C"), PACIFIC)


def test_wrong_password_is_an_authentication_error(monkeypatch):
    with CopernicusDataSpace() as server:
        archive = opened(monkeypatch, server, "cop_dataspace", "S2_MSI_L1C")
        (scene, _) = archive.find(PACIFIC, warn=no_warning)
        monkeypatch.setenv("EODAG__COP_DATASPACE__AUTH__CREDENTIALS__PASSWORD", "wrong")
        wrong = EodagArchive(Provider("cop_dataspace", "S2_MSI_L1C"), archive._config)
        with pytest.raises(AuthenticationError, match="cop_dataspace, the login"):
            wrong.locate(scene)


FEBRUARY = Query(aoi=None, start=datetime(2024, 2, 1, tzinfo=UTC), stop=datetime(2024, 2, 28, tzinfo=UTC))


def test_objects_of_a_bucket_have_signed_links_and_are_paid_for_only_if_the_manifest_says_so(monkeypatch):
    with EarthSearch() as server:
        archive = opened(monkeypatch, server, "earth_search", "S2_MSI_L1C", assets=["B02", "B04"])
        (scene,) = archive.find(FEBRUARY, warn=no_warning)
        assert scene.id == "S2B_MSIL1C_20240206T131259_N0510_R081_T27VWK_20240206T133903"
        assert [file.key for file in scene.files] == ["B02", "B04"]
        download = archive.locate(scene, scene.files[0])
        assert download.url.startswith(
            f"http://127.0.0.1:{server.port}/v1/sentinel-s2-l1c/tiles/27/V/WK/2024/2/6/0/B02.jp2?"
        )
        assert "X-Amz-Signature=" in download.url
        assert SECRET_KEY not in download.url
        assert download.shown.endswith("B02.jp2")
        assert "%2Fus-west-2%2Fs3%2F" in download.url
        assert not download.headers
        with pytest.raises(ArchiveError, match="the bucket refused it; if its readers pay, set requester_pays = true"):
            archive.locate(scene, scene.files[0], refused=download)
        paying = opened(monkeypatch, server, "earth_search", "S2_MSI_L1C", assets=["B02"], requester_pays=True)
        (scene,) = paying.find(FEBRUARY, warn=no_warning)
        assert scene.requester_pays
        paid = paying.locate(scene, scene.files[0])
        assert dict(paid.headers) == {"x-amz-request-payer": "requester"}
        assert "SignedHeaders=host%3Bx-amz-request-payer" in paid.url


def test_links_are_signed_for_the_region_of_the_bucket(monkeypatch):
    with EarthSearch() as server:
        archive = opened(monkeypatch, server, "earth_search", "S2_MSI_L1C", assets=["B02", "B04"])
        (scene,) = archive.find(FEBRUARY, warn=no_warning)
        # As on AWS: eodag has no address of a bucket, and a bucket states its region also if it is closed.
        monkeypatch.delenv("EODAG__EARTH_SEARCH__AUTH__S3_ENDPOINT")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.port}")
        server.answers["/sentinel-s2-l1c"] = lambda _: (403, b"", {"x-amz-bucket-region": "eu-central-1"})
        elsewhere = EodagArchive(Provider("earth_search", "S2_MSI_L1C"), archive._config)
        for file in scene.files:
            assert "%2Feu-central-1%2Fs3%2F" in elsewhere.locate(scene, file).url
        assert sum(one.path == "/sentinel-s2-l1c" for one in server.asked) == 1


def test_scenes_of_the_usgs_are_objects_that_their_readers_pay_for(monkeypatch):
    with ReplayServer(service="usgs-landsatlook") as server:
        server.paging = "token"
        monkeypatch.setenv("EODAG__USGS_SATAPI_AWS__SEARCH__API_ENDPOINT", f"{server.url}/search")
        for name, value in EarthSearch.account.items():
            monkeypatch.setenv(name, value)
        config = EodagConfig(
            type="eodag",
            provider="usgs_satapi_aws",
            product_type="LANDSAT_C2L2_SR",
            assets=["B4*", "red"],
            requester_pays=True,
        )
        archive = EodagArchive(Provider("usgs_satapi_aws", "LANDSAT_C2L2_SR"), config)
        always = Query(aoi=None, start=datetime(2013, 1, 1, tzinfo=UTC), stop=datetime(2026, 1, 1, tzinfo=UTC))
        found = {scene.id: scene for scene in archive.find(always, warn=any_warning)}
        assert set(found) == {item["id"] for item in server.items if item["collection"] == "landsat-c2l2-sr"}
        scene = next(iter(found.values()))
        assert scene.files[0].url.startswith("s3://usgs-landsat/collection02/level-2/")
        archive._links._buckets._regions["usgs-landsat"] = "us-west-2"
        paid = archive.locate(scene, scene.files[0])
        assert paid.url.startswith("https://usgs-landsat.s3.amazonaws.com/collection02/level-2/")
        assert dict(paid.headers) == {"x-amz-request-payer": "requester"}


@pytest.mark.parametrize(("length", "state"), [(0, "ready"), (4000, "ready"), (9000, "pending")])
def test_an_order_with_long_links_is_kept(monkeypatch, tmp_path, length, state):
    with Wekeo() as server:
        server.tail, server.polls = "q" * length, 0
        for name, value in server.configuration(tmp_path).items():
            monkeypatch.setenv(name, value)
        config = EodagConfig(type="eodag", provider="wekeo_main", product_type="S2_MSI_L1C")
        archive = EodagArchive(Provider("wekeo_main", "S2_MSI_L1C"), config)
        scene = next(archive.look_up(server.zips, warn=no_warning))
        order = orders_of(archive).place(scene)
        assert (order.id, order.order) == (scene.id, f"order-1{server.tail}")
        assert len(order.data) <= MOST_DATA
        # Without the link for the state, the catalogue states when a scene is online.
        assert [polled.state for polled in orders_of(archive).poll([order])] == [state]
