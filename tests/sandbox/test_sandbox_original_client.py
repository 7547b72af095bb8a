"""The service's own client, sedas_pyapi 0.5.0, works with the sandbox."""

import gc
import time
import zipfile
from types import SimpleNamespace
from urllib.error import HTTPError

import pytest
from sandbox_client import HARWELL
from sedas_pyapi.bulk_download import SeDASBulkDownload
from sedas_pyapi.sedas_api import SeDASAPI

from sedas_sync.sandbox import Faults, Sandbox

EXAMPLE = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
WINDOW = ("2019-04-30T00:00:00Z", "2019-05-12T23:59:59Z")

# The client never closes what it reads.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected():
    """Collect the client's unclosed answers while their warnings are still ignored."""
    yield
    gc.collect()


@pytest.fixture
def sandbox():
    with Sandbox(order_delay=0.2) as sandbox:
        yield sandbox


def original(sandbox, password="sandbox"):
    api = SeDASAPI("sandbox", password)
    api.base_url = sandbox.url
    api.authentication_url = f"{sandbox.url}authentication"
    api.search_url = f"{sandbox.url}search"
    api.sensor_url = f"{sandbox.url}sensors"
    api.headers = dict(SeDASAPI.headers)
    return api


def test_logs_in(sandbox):
    api = original(sandbox)
    api.login()
    assert api._token
    assert api._token_time


def test_is_refused_with_a_wrong_password(sandbox):
    with pytest.raises(HTTPError) as caught:
        original(sandbox, "wrong").login()
    assert caught.value.code == 401


def test_searches_optical(sandbox):
    products = original(sandbox).search_optical(HARWELL, *WINDOW, maxCloudPercent=50)["products"]
    assert len(products) >= 2
    assert {product["sensorType"] for product in products} == {"Optical"}
    assert all(product["cloudCoveragePercent"] <= 50 for product in products)


@pytest.mark.parametrize("kind", ["SLC", "GRD"])
def test_searches_sar(sandbox, kind):
    products = original(sandbox).search_sar(HARWELL, *WINDOW, sarProductType=kind)["products"]
    assert products
    assert {product["productType"] for product in products} == {kind}


def test_looks_up_the_product_of_its_own_example(sandbox):
    [product] = original(sandbox).search_product(EXAMPLE)
    assert product["supplierId"] == EXAMPLE
    assert original(sandbox).search_product("S2A_MSIL1C_NEVER") == []


def test_lists_groups_and_satellites(sandbox):
    api = original(sandbox)
    assert [group["name"] for group in api.list_sensor_groups()] == ["S1", "S2"]
    names = [satellite["name"] for satellite in api.list_satellites()]
    assert names == ["Sentinel-1A", "Sentinel-1B", "Sentinel-2A", "Sentinel-2B"]


def test_logs_in_again_when_its_token_is_refused(sandbox):
    api = original(sandbox)
    api.login()
    sandbox.revoke_tokens()
    api._token_time = api._token_time.replace(year=2000)  # which to this client means: still good
    assert api.search_product(EXAMPLE)
    assert [entry.status for entry in sandbox.log if entry.endpoint == "look_up"] == [401, 200]


def test_does_not_know_the_other_word_for_an_expired_token(sandbox):
    api = original(sandbox)
    api.login()
    sandbox.revoke_tokens()
    sandbox.faults = Faults(refusal=400)
    api._token_time = api._token_time.replace(year=2000)
    with pytest.raises(HTTPError) as caught:
        api.search_product(EXAMPLE)
    assert caught.value.code == 400


def test_orders_and_polls(sandbox):
    api = original(sandbox)
    product = next(p for p in api.search(HARWELL, *WINDOW)["products"] if "downloadUrl" not in p)
    order = api.request(product)
    assert api.is_request_ready("1302") is None
    deadline = time.monotonic() + 20
    while not (url := api.is_request_ready(order)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert url.endswith("&ltarequest=true")


def test_downloads_in_bulk_from_both_archives(sandbox, tmp_path, monkeypatch):
    hurried = SimpleNamespace(sleep=lambda seconds: time.sleep(seconds / 20))
    monkeypatch.setattr("sedas_pyapi.bulk_download.time", hurried)  # it sleeps for 5 s between its polls
    api = original(sandbox)
    found = api.search(HARWELL, *WINDOW)["products"]
    chosen = [p for p in found if "downloadUrl" in p][:2] + [p for p in found if "downloadUrl" not in p][:2]
    bulk = SeDASBulkDownload(api, str(tmp_path), parallel=2)
    try:
        bulk.add(chosen)
        deadline = time.monotonic() + 60
        files = [tmp_path / f"{product['supplierId']}.zip" for product in chosen]
        while not (bulk.is_done() and all(file.exists() for file in files)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        bulk.shutdown()  # its download threads stay in an endless get(); they are daemons
    for file in files:
        with zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
    assert sandbox.orders == 2
    assert sandbox.downloads == 4
