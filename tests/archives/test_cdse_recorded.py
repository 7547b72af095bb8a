"""Rows that the Copernicus Data Space has answered, from search to verify."""

import pytest
from cdse_mirror import mirror_of
from cdse_server import CdseServer, recorded_product
from recorded import recorded, recorded_json

AUXILIARY, GRD, MSI = "cdsetool_s1_aux_page_*.json", "eodag_creodias_s1_grd.json", "eodag_cop_dataspace_s2_l1c.json"


def products(pattern):
    pages = [recorded_json("cdse", page.name) for page in sorted(recorded("cdse").glob(pattern))]
    rows = {row["Id"]: row for page in pages for row in page["value"]}
    return [recorded_product(row) for row in rows.values()]


@pytest.fixture
def server():
    with CdseServer([one for pattern in (AUXILIARY, GRD, MSI) for one in products(pattern)]) as running:
        yield running


@pytest.fixture
def mirror(workspace, server, monkeypatch):
    return mirror_of(workspace, server, monkeypatch)


def manifest(mirror, dataset, aoi=""):
    """Write a manifest with one dataset."""
    mirror.write()
    file = mirror.workspace.path / "manifest.toml"
    file.write_text(file.read_text().partition("[aoi.harwell]")[0] + f"{aoi}\n[dataset.d]\n{dataset}\n")


IN_A = 'aoi = "a"\n'
APRIL = "start = 2014-04-06\nend = 2014-04-14"


@pytest.mark.parametrize(
    ("aoi", "dataset", "count", "ending"),
    [
        ("", f'{APRIL}\nproduct_type = "AUX_POEORB"', 8, ".EOF"),
        ("", f'{APRIL}\nproduct_type = "AUX_INS"\nreprocessed = "all"', 9, ".zip"),
        # Their names, and their files in the archive, have no ending.
        ("", f'{APRIL}\nproduct_type = "AUX_GNSSRD"', 8, ""),
        ("", 'products = ["S1A_OPER_AUX_POEORB_OPOD_20210301T130653_V20140406T225944_20140408T005944"]', 1, ".EOF"),
        # These rows have neither a length nor a checksum.
        ("[aoi.a]\nbbox = [-106, 26, -99, 43]", f"{IN_A}start = 2014-10-04\nend = 2014-10-04", 10, ".zip"),
        ("[aoi.a]\nbbox = [141, 12, 145, 15]", f"{IN_A}start = 2020-08-08\nend = 2020-08-08", 2, ".zip"),
    ],
)  # fmt: skip
def test_recorded_rows_from_search_to_verify(mirror, server, aoi, dataset, count, ending):
    manifest(mirror, dataset, aoi)
    planned = mirror.plan()
    assert (len(planned.actions), planned.failures) == (count, ())
    first = mirror.here()
    assert (first.code, first.summary["fetched"], first.summary["warnings"]) == (0, count, len(planned.warnings)), (
        first.out
    )
    files = mirror.all_files()
    contents = {one.name.removesuffix(".SAFE").removesuffix(".EOF"): one.bytes for one in server.products}
    assert all(name.endswith(ending) for name in files)
    assert files == {name: contents[name.removesuffix(ending)] for name in files}
    before = len(server.requests("bytes"))
    again = mirror.here()
    assert (again.code, again.summary["kept"]) == (0, count)
    assert mirror.run("lock").code == 0
    assert mirror.run("apply", "--locked").code == 0
    assert mirror.run("verify").code == 0
    assert len(server.requests("bytes")) == before
    for file in files:
        (mirror.workspace.mirror / file).unlink()
    assert mirror.run("apply", "--locked").code == 0
    assert mirror.all_files() == files


def test_every_recorded_row_is_usable(mirror, server):
    manifest(mirror, "start = 2014-01-01\nend = 2021-01-01")
    ran = mirror.run("search", "--json")
    assert ran.code == 0, ran.err
    assert "cannot be used" not in ran.err
    found = {scene["id"] for scene in ran.json["scenes"]}
    assert found == {one.name.removesuffix(".SAFE") for one in server.products if "AUX" not in one.name}
