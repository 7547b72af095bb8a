"""Products that are one file, from the Copernicus Data Space to the mirror and back."""

import json
import random
from datetime import UTC, datetime

import pytest
from cdse_mirror import mirror_of
from cdse_server import CdseServer, Product, zipped

import sedas_sync as ss

START = datetime(2019, 5, 2, 10, 43, tzinfo=UTC)
NO2 = "S5P_OFFL_L2__NO2____20190502T104300_20190502T122430_08035_01_010302_20190508T123144"
OCTETS = {"Content-Type": "application/octet-stream"}


def netcdf(size=3000):
    return b"\x89HDF\r\n\x1a\n" + random.Random(size).randbytes(size)


def tropomi(name=f"{NO2}.nc", **changes):
    attributes = {"platformShortName": "SENTINEL-5P", "instrumentShortName": "TROPOMI", "productType": "L2__NO2___"}
    values = {"content": netcdf(), "collection": "SENTINEL-5P", "attributes": attributes, **changes}
    return Product(name, START, **values)


@pytest.fixture
def server():
    with CdseServer([tropomi()]) as running:
        yield running


@pytest.fixture
def mirror(workspace, server, monkeypatch):
    made = mirror_of(workspace, server, monkeypatch)
    made.write(archive='collections = ["SENTINEL-5P"]')
    return made


def fetched(ran):
    return [event for event in ran.events if event["event"] == "fetched"]


def test_product_that_is_one_file_has_its_own_name(mirror, server):
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert mirror.all_files() == {f"{NO2}.nc": server.products[0].bytes}
    assert [(one["path"], one["level"]) for one in fetched(ran)] == [(f"{NO2}.nc", "digest")]
    assert {action.kind for action in mirror.plan().actions} == {"keep"}
    before = len(server.requests("bytes"))
    assert mirror.here().summary["kept"] == 1
    for command in (("lock",), ("apply", "--locked"), ("verify",), ("status",)):
        assert mirror.run(*command).code == 0, command
    assert len(server.requests("bytes")) == before
    (mirror.workspace.mirror / f"{NO2}.nc").unlink()
    assert mirror.run("apply", "--locked").code == 0
    assert mirror.all_files() == {f"{NO2}.nc": server.products[0].bytes}


@pytest.mark.parametrize(
    ("name", "content", "headers", "path"),
    [
        # The catalogue's name shows no kind: what the server sends does.
        (NO2, netcdf(), {"Content-Disposition": f'attachment; filename="{NO2}.nc"', **OCTETS}, f"{NO2}.nc"),
        (NO2, netcdf(), {"Content-Type": "application/x-netcdf"}, f"{NO2}.nc"),
        (NO2, netcdf(), OCTETS, f"{NO2}.h5"),
        (NO2, zipped(NO2), OCTETS, f"{NO2}.zip"),
        ("LS08_OLI_GTC_1P", b"...", {"Content-Disposition": 'attachment; filename="x.TIFF"'}, "LS08_OLI_GTC_1P.TIFF"),
        ("GNSS_RINEX_2019", b"G01", {"Content-Disposition": 'attachment; filename="GNSS_RINEX_2019"'},
         "GNSS_RINEX_2019"),
        # The file is packed: its length and checksum are not those of the zip.
        (f"{NO2}.nc", zipped(NO2), {"Content-Disposition": f'attachment; filename="{NO2}.nc.zip"'}, f"{NO2}.zip"),
        ("LT05.tgz", b"\x1f\x8b\x08", {"Content-Type": "application/gzip"}, "LT05.tgz"),
        ("LC08.tar", b"...", OCTETS, "LC08.tar"),
    ],
)  # fmt: skip
def test_kind_of_the_file_that_arrives(mirror, server, name, content, headers, path):
    product = tropomi(name, content=content, headers=headers)
    if path.endswith(".zip"):
        product.changes = {"ContentLength": 77, "Checksum": [{"Algorithm": "MD5", "Value": 32 * "0"}]}
    server.products = [product]
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert mirror.all_files() == {path: content}
    again = mirror.here()
    assert (again.summary["kept"], again.summary["fetched"], again.summary.get("adopted", 0)) == (1, 0, 0), again.out
    assert mirror.run("verify").code == 0
    locked = mirror.run("lock", "--json")
    assert locked.code == 0, locked.err
    (mirror.workspace.mirror / path).unlink()
    assert mirror.run("apply", "--locked").code == 0
    assert mirror.all_files() == {path: content}


def test_download_of_a_file_is_resumed(mirror, server):
    server.products = [tropomi(NO2, content=netcdf(3 << 20), headers=OCTETS)]
    server.cuts = [1 << 20, 2 << 20]
    mirror.write(archive='collections = ["SENTINEL-5P"]', transfer="retries = 0")
    assert mirror.here().code == 1
    (partial,) = mirror.workspace.mirror.rglob("*.meta")
    assert json.loads(partial.read_text())["kind"] == ".h5"
    server.cuts = []
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert mirror.all_files() == {f"{NO2}.h5": server.products[0].bytes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Checksum": [{"Algorithm": "MD5", "Value": 32 * "0"}]}, "its md5 is"),
        ({"ContentLength": 77}, "the catalogue states 77"),
    ],
)
def test_nothing_but_length_and_checksum_proves_a_file(mirror, server, changes, message):
    server.products[0].changes = changes
    ran = mirror.here()
    assert ran.code == 1
    assert message in ran.out
    assert mirror.all_files() == {}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"<!DOCTYPE html><title>Log in</title>", OCTETS),
        (b"<html>Log in</html>", {"Content-Disposition": f'attachment; filename="{NO2}.nc"'}),
        (b"Log in", {"Content-Type": "text/html"}),
        (b'{"detail": "no"}', {"Content-Type": "application/json"}),
    ],
)
@pytest.mark.parametrize("name", [NO2, f"{NO2}.nc"])
def test_a_page_is_not_a_product(mirror, server, name, content, headers):
    server.products = [tropomi(name, content=content, headers=headers)]
    ran = mirror.here()
    assert ran.code == (4 if b"Log in" in content else 1)
    assert "instead of the scene" in ran.out
    assert mirror.all_files() == {}


def test_files_are_adopted_and_mirrored_again(mirror, server, tmp_path):
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / f"old-{NO2}.nc").write_bytes(server.products[0].bytes)
    (shelf / f"{NO2}.txt").write_bytes(b"notes")
    ran = mirror.run("adopt", "--from", shelf, "--json")
    assert ran.code == 0, ran.err
    assert mirror.all_files() == {f"{NO2}.nc": server.products[0].bytes}
    assert not server.requests("bytes")
    text = '[archive]\ntype = "directory"\npath = "scenes"\n[mirror]\npath = "copy"\n[dataset.all]\n'
    copy = mirror.workspace.path / "copy.toml"
    copy.write_text(f'version = 1\n{text}products = ["{NO2}"]\n')
    with ss.Mirror(ss.load_manifest(copy)) as opened:
        assert opened.apply(opened.plan()).exit_code == 0
    assert (mirror.workspace.path / "copy" / f"{NO2}.nc").read_bytes() == server.products[0].bytes


@pytest.mark.parametrize("name", [f"{NO2}.nc", "GNSS_RINEX_2019"])
def test_mirror_of_a_mirror_keeps_the_kinds_that_arrived(mirror, server, name):
    product = tropomi("GNSS_RINEX_2019" if name.startswith("GNSS") else NO2, content=b"G01 2019")
    product.headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    server.products = [product]
    assert mirror.here().code == 0
    assert mirror.all_files() == {name: product.bytes}
    copy = mirror.workspace.path / "copy.toml"
    text = (
        '[archive]\ntype = "directory"\npath = "scenes"\n[mirror]\npath = "copy"\n[dataset.all]\nstart = 2019-01-01\n'
    )
    copy.write_text(f"version = 1\n{text}")
    with ss.Mirror(ss.load_manifest(copy)) as opened:
        assert opened.apply(opened.plan()).exit_code == 0
        assert [action.kind for action in opened.plan().actions] == ["keep"]
    assert (mirror.workspace.path / "copy" / name).read_bytes() == product.bytes


def test_another_kind_replaces_the_file(mirror, server):
    """The archive packs a product differently than before: the old file goes when the new one is complete."""
    contents = {".zip": zipped(NO2), ".nc": b"CDF\x01" + bytes(99)}
    for ending in (".zip", ".nc", ".zip"):
        headers = {"Content-Disposition": f'attachment; filename="{NO2}{ending}"'}
        server.products = [tropomi(NO2, content=contents[ending], headers=headers)]
        server._rows.clear()
        assert mirror.here().code == 0
        assert mirror.all_files() == {f"{NO2}{ending}": contents[ending]}
        assert {action.kind for action in mirror.plan().actions} == {"keep"}


NAMELESS = {"Content-Type": "application/x-netcdf"}


def test_own_file_at_the_name_that_a_download_gets_is_set_aside_by_the_next_run(mirror, server):
    """Only the download shows the ending, so nobody could know of the file before."""
    server.products = [tropomi(NO2, headers=NAMELESS)]
    own = mirror.workspace.mirror / f"{NO2}.nc"
    own.parent.mkdir()
    own.write_bytes(b"my own work")
    ran = mirror.here()
    assert (ran.code, own.read_bytes()) == (1, b"my own work")
    before = len(server.requests("bytes"))
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert mirror.all_files() == {f"{NO2}.nc": server.products[0].bytes}
    assert [path.read_bytes() for path in (own.parent / ".sedas-sync/replaced").iterdir()] == [b"my own work"]
    assert len(server.requests("bytes")) - before <= 1, "what was downloaded is not downloaded again"


def test_product_that_a_lost_worker_put_in_place_is_adopted(mirror, server):
    server.products = [tropomi(NO2, headers=NAMELESS)]
    there = mirror.workspace.mirror / f"{NO2}.nc"
    there.parent.mkdir()
    there.write_bytes(server.products[0].bytes)
    (there.parent / f"{NO2}.tar").write_bytes(b"my own work")
    ran = mirror.here()
    assert (ran.code, ran.summary["adopted"], fetched(ran)) == (0, 1, [])
    assert mirror.all_files().keys() == {f"{NO2}.nc", f"{NO2}.tar"}
    assert mirror.here().summary["kept"] == 1
