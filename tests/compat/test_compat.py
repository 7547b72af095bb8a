"""Scripts of the original client, with two imports changed, against the sandbox."""

import builtins
import getpass
import queue
import re
import threading
import zipfile
from importlib.metadata import metadata

import pytest
from thread_count import ended, threads

from sedas_sync.compat import SeDASAPI, SeDASBulkDownload
from sedas_sync.errors import AuthenticationError
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

AOI = "POLYGON ((-1.3295 51.5881,-1.3013 51.5872,-1.3020 51.5621,-1.3300 51.5622,-1.3295 51.5881))"
PERIOD = "2019-04-30T00:00:00Z", "2019-05-12T23:59:59Z"
EXAMPLE = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
SATELLITES = ("Sentinel-1A", "Sentinel-1B", "Sentinel-2A", "Sentinel-2B")
PRINTED = {
    "creating-a-client": ("name", []),
    "search-for-an-optical-aoi-with-cloud-cover-filters": ("sensorType", ["Optical"] * 4),
    "search-for-a-sar-aoi": ("sensorType", ["SAR"] * 18),
    "list-the-source-groups-available-to-the-user": ("name", ["S1", "S2", *SATELLITES]),
    "list-the-satellites-available-to-the-user": ("name", [*SATELLITES]),
    "filtering-on-a-group-of-sources": ("sensorType", ["Optical"] * 7),
    "filtering-on-a-specific-satellite": ("satelliteName", ["Sentinel-1A"] * 8),
    "search-for-a-single-product": ("supplierId", [EXAMPLE]),
}
"""By the title of the example: a field of the JSON that it prints, and the field's values."""
DOWNLOADED = {"download-a-single-product": ["GRDH"], "bulk-download-many-products": ["SLC"] * 9}
"""By the title of the example: the product types of the files that it downloads."""
IMPORTS = {
    "from sedas_pyapi.sedas_api import": "from sedas_sync.compat import",
    "from sedas_pyapi.bulk_download import": "from sedas_sync.compat import",
}


def readme_examples():
    # Not the payload: another package may have installed a finder whose metadata has none.
    text = metadata("sedas_pyapi")["Description"]
    found = re.findall(r"### (.+?)\n.*?```python\n(.*?)```", text, re.DOTALL)
    return {re.sub(r"\W+", "-", title.lower()): code for title, code in found}


@pytest.fixture
def client(sandbox, monkeypatch):
    monkeypatch.setattr(SeDASAPI, "base_url", sandbox.url)
    sedas = SeDASAPI("sandbox", "sandbox")
    yield sedas
    sedas.archive.close()


def offline(name):
    return make_row(name, "2019-05-02T11:00:00Z", online=False)


@pytest.mark.parametrize("title", [*PRINTED, *DOWNLOADED])
def test_example_of_the_original_readme_runs(title, sandbox, monkeypatch, tmp_path, capsys):
    code = readme_examples()[title]
    monkeypatch.setattr(SeDASAPI, "base_url", sandbox.url)
    monkeypatch.setattr(builtins, "input", lambda _: "sandbox")
    monkeypatch.setattr(getpass, "getpass", lambda _: "sandbox")
    for old, new in {**IMPORTS, "/output/path/": f"{tmp_path}/", "time.sleep(5)": "time.sleep(0.1)"}.items():
        code = code.replace(old, new)
    exec(compile(code, "example.py", "exec"), {"__name__": "__main__"})
    field, values = PRINTED.get(title, ("name", []))
    assert sorted(re.findall(rf'"{field}": "(.+?)"', capsys.readouterr().out)) == sorted(values)
    files = list(tmp_path.glob("*.zip"))
    assert sorted(file.name.split("_")[2] for file in files) == DOWNLOADED.get(title, [])
    assert all(zipfile.ZipFile(file).testzip() is None for file in files)


def test_every_example_of_the_original_readme_is_run():
    assert readme_examples().keys() == PRINTED.keys() | DOWNLOADED.keys()


def test_answers_have_the_form_of_the_original(client):
    answer = client.search_optical(AOI, *PERIOD, maxCloudPercent=50)
    assert answer["products"]
    assert {row["sensorType"] for row in answer["products"]} == {"Optical"}
    radar = client.search_sar(AOI, *PERIOD, satellite_name="Sentinel-1A")
    assert {row["satelliteName"] for row in radar["products"]} == {"Sentinel-1A"}
    group = client.search(AOI, *PERIOD, source_group="S2")["products"]
    assert {row["supplierId"] for row in answer["products"]} <= {row["supplierId"] for row in group}
    (product,) = client.search_product(EXAMPLE)
    assert product["supplierId"] == EXAMPLE
    assert client.search_product("NOWHERE") == []
    assert "S2" in [group["name"] for group in client.list_sensor_groups()]
    assert "Sentinel-2A" in [satellite["name"] for satellite in client.list_satellites()]


def test_wrong_password_is_an_error(sandbox, monkeypatch):
    monkeypatch.setattr(SeDASAPI, "base_url", sandbox.url)
    with pytest.raises(AuthenticationError):
        SeDASAPI("sandbox", "wrong").login()
    with pytest.raises(AuthenticationError):
        SeDASAPI("", "").login()


def test_download_goes_to_the_path_that_is_asked_for(client, tmp_path):
    (product,) = client.search_product(EXAMPLE)
    client.download(product, str(tmp_path / "mine.zip"))
    assert zipfile.ZipFile(tmp_path / "mine.zip").testzip() is None
    assert [path.name for path in tmp_path.iterdir()] == ["mine.zip"]
    with client.download_request(product) as stream:
        assert stream.read() == (tmp_path / "mine.zip").read_bytes()
    with pytest.raises(AttributeError, match="no download url"):
        client.download({"supplierId": EXAMPLE}, str(tmp_path / "other.zip"))


def test_product_is_ordered_once(client, sandbox, tmp_path):
    sandbox._catalogue = RowCatalogue([offline("A")])
    (product,) = client.search_product("A")
    number = client.request(product)
    assert client.request(product) == number
    while (link := client.is_request_ready(number)) is None:
        pass
    client.download({**product, "downloadUrl": link}, str(tmp_path / "A.zip"))
    bulk(client, tmp_path, [product])
    assert sandbox.orders == 1


def bulk(client, folder, products):
    done = queue.Queue()
    downloader = SeDASBulkDownload(client, str(folder), parallel=3, done_queue=done)
    downloader.add(products)
    got = []
    while not downloader.is_done():
        got.append(done.get(timeout=60))
    downloader.shutdown()
    return downloader, got


def test_bulk_download_gives_every_result_to_a_script_that_waits_for_each(client, sandbox, tmp_path):
    sandbox._catalogue = RowCatalogue([*(make_row(n, "2019-05-02T11:00:00Z") for n in "ABC"), offline("D")])
    products = [client.search_product(name)[0] for name in "ABCD"]
    _, got = bulk(client, tmp_path, products)
    assert sorted(one["search"]["supplierId"] for one in got) == list("ABCD")
    assert all(zipfile.ZipFile(one["path"]).testzip() is None for one in got)
    downloads = sandbox.downloads
    assert len(bulk(client, tmp_path, products)[1]) == 4
    assert (sandbox.downloads, sandbox.orders) == (downloads, 1)


def test_bulk_download_gives_up_on_what_fails(client, sandbox, tmp_path):
    sandbox._catalogue = RowCatalogue([make_row(name, "2019-05-02T11:00:00Z") for name in "AB"])
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"A"}),))
    downloader, got = bulk(client, tmp_path, [client.search_product(name)[0] for name in "AB"])
    assert list(downloader.failures) == ["A"]
    assert {one["search"]["supplierId"]: "error" in one for one in got} == {"A": True, "B": False}
    assert [path.name for path in tmp_path.glob("*.zip")] == ["B.zip"]


def test_shutdown_ends_a_bulk_download_that_waits_for_an_order(client, sandbox, tmp_path):
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue([offline("A")])
    found, before = client.search_product("A"), threads()
    downloader = SeDASBulkDownload(client, str(tmp_path))
    downloader.add(found)
    until(lambda: sandbox.orders)
    downloader.shutdown()
    assert ended(before)


def until(condition):
    wake = threading.Event()
    for _ in range(600):
        if condition():
            return
        wake.wait(0.1)
    raise TimeoutError
