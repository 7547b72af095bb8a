"""`sedas-sync export`, and `apply --export`, as a user runs them."""

import csv
import io
import json
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pystac
import pystac_client
import pytest
from products import fill_from_sandbox
from stac_schemas import problems, schema_map
from workspaces import FORTNIGHT, OPTICAL, Workspace

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

BOTH = OPTICAL + f"[dataset.all]\n{FORTNIGHT}"


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A mirror whose optical scenes belong to two datasets, made once; its archive is gone."""
    folder = tmp_path_factory.mktemp("template")
    fill_from_sandbox(folder, BOTH)
    return folder


@pytest.fixture
def applied(template, tmp_path):
    """A copy of it."""
    shutil.copytree(template, tmp_path / "work")
    return Workspace(tmp_path / "work", "")


@pytest.fixture
def mirror(applied):
    """It, from Python."""
    import sedas_sync as ss

    with ss.Mirror(ss.load_manifest(applied.path / "manifest.toml")) as opened:
        yield opened


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def item_ids(folder):
    return sorted(item.id for item in pystac.read_file(folder / "catalog.json").get_items(recursive=True))


@pytest.mark.filterwarnings("ignore::pystac_client.warnings.NoConformsTo")
@pytest.mark.filterwarnings("ignore::pystac_client.warnings.FallbackToPystac")
def test_a_stac_catalogue_of_the_mirror(applied, tmp_path):
    done = applied.run("export", "--format", "stac", "--json")
    held = sorted(file.stem for file in applied.mirror.glob("*.zip"))
    assert (done.code, done.json["scenes"], done.json["written"]) == (0, len(held), True)
    place = applied.path / "stac"
    (tmp_path / "schemas").mkdir()
    assert problems(place, schema_map(tmp_path / "schemas")) == []
    catalogue = pystac_client.Client.open(str(place / "catalog.json"))
    assert [collection.id for collection in catalogue.get_collections()] == ["optical", "all"]
    items = list(catalogue.get_items(recursive=True))
    assert sorted(item.id for item in items) == held, "each scene once, though several datasets want some"
    for item in items:
        asset = item.assets["product"]
        content = Path(asset.get_absolute_href()).read_bytes()
        assert asset.ext.file.size == len(content)
        assert asset.ext.file.checksum == "1220" + sha256(content).hexdigest()
        if "sar:polarizations" in item.properties:
            assert item.ext.sar.polarizations == ["VV", "VH"]
        else:
            assert item.ext.proj.code == "EPSG:32630"
            assert 0 <= item.ext.eo.cloud_cover <= 100
        assert item.ext.sat.relative_orbit >= 1
    shared = [item for item in items if item.properties["sedas_sync:datasets"] == ["optical", "all"]]
    assert {item.collection_id for item in shared} == {"optical"}


def test_the_same_scenes_give_the_same_bytes_anywhere(applied, mirror):
    import sedas_sync as ss

    mirror.export("stac")
    first = contents(applied.path / "stac")
    mirror.export("stac")
    assert contents(applied.path / "stac") == first
    moved = applied.path / "elsewhere"
    moved.mkdir()
    for name in ("manifest.toml", "scenes"):
        shutil.move(applied.path / name, moved / name)
    ss.Mirror(ss.load_manifest(moved / "manifest.toml")).export("stac")
    assert contents(moved / "stac") == first


def test_a_catalogue_anywhere_finds_the_scenes(applied, mirror):
    mirror.export("stac", applied.path / "a/b/c")
    items = list(pystac.read_file(applied.path / "a/b/c/catalog.json").get_items(recursive=True))
    assert sorted(item.id for item in items) == sorted(file.stem for file in applied.mirror.glob("*.zip"))
    assert items
    for item in items:
        assert Path(item.assets["product"].get_absolute_href()).is_file()


def test_apply_updates_the_catalogue(workspace):
    workspace.write(BOTH)
    first = workspace.run("apply", "--export", "stac", "--json")
    place = workspace.path / "stac"
    assert first.code == 0
    assert first.summary["fetched"] == len(item_ids(place)) == 25
    next((place / "all" / "items").iterdir()).unlink()
    again = workspace.run("apply", "--export", "stac")
    assert again.code == 0
    assert "Wrote 25 scenes to stac." in again.err
    assert len(item_ids(place)) == 25, "a damaged catalogue is written anew though there was nothing to do"
    workspace.write(OPTICAL)
    assert workspace.run("lock").code == workspace.run("apply", "--locked").code == 0
    shutil.rmtree(place)
    assert workspace.run("apply", "--locked", "--export", "stac").code == 0
    assert len(item_ids(place)) == 25, "what no dataset wants any more is still in the mirror"
    assert pystac.read_file(place / "catalog.json").get_child("other").title.startswith("Further scenes")


def test_apply_refuses_to_overwrite_other_files_before_it_starts(workspace):
    workspace.write(OPTICAL)
    (workspace.path / "stac").mkdir()
    (workspace.path / "stac" / "thesis.tex").write_text("mine")
    refused = workspace.run("apply", "--export", "stac")
    assert refused.code == 2
    assert "nothing was changed" in refused.err
    assert not workspace.mirror.exists()
    assert workspace.run("apply", "--dry-run", "--export", "stac").code == 2


def test_a_catalogue_that_cannot_be_written_fails_the_run(workspace):
    """A folder of someone else appears while the run is under way: the scenes are there, and the catalogue is not."""
    workspace.write(OPTICAL)
    ran = workspace.run("apply", "--export", "stac", "--exec", f"mkdir -p {workspace.path}/stac/x")
    assert ran.code == 1
    assert "error: the catalogue was not written: " in ran.err
    assert len(workspace.files()) == 4


@pytest.mark.parametrize(
    ("hidden", "arguments", "extra"),
    [
        ("pystac", ("export", "--format", "stac"), "stac"),
        ("pystac", ("apply", "--export", "stac"), "stac"),
        ("pystac", ("export", "--format", "geoparquet", "--out", "x.parquet"), "stac-geoparquet"),
        ("rustac", ("export", "--format", "geoparquet", "--out", "x.parquet"), "stac-geoparquet"),
    ],
)
def test_error_names_the_extra_of_a_format(applied, monkeypatch, hidden, arguments, extra):
    monkeypatch.setitem(sys.modules, hidden, None)
    ran = applied.run(*arguments)
    assert ran.code == 2
    assert f"needs the extra \"{extra}\": pip install 'sedas-sync[{extra}]'" in ran.err


def test_geojson_opens_in_gdal(applied):
    pyogrio = pytest.importorskip("pyogrio")
    out = applied.path / "scenes.geojson"
    done = applied.run("export", "--format", "geojson", "--out", out)
    assert done.out == f"Wrote 25 scenes to {out}.\n"
    assert applied.run("export", "--format", "geojson").out == out.read_text()
    about = pyogrio.read_info(out)
    assert (about["features"], about["geometry_type"], about["crs"]) == (25, "Polygon", "EPSG:4326")
    assert {"id", "path", "sha256", "start", "cloud_cover"} <= {*about["fields"]}


def test_csv_has_a_line_a_scene(applied):
    lines = list(csv.DictReader(io.StringIO(applied.run("export", "--format", "csv").out)))
    files = applied.files()
    assert {line["path"] for line in lines} == {*files}
    assert {line["datasets"] for line in lines} == {"optical all", "all"}
    assert all(int(line["size"]) == len(files[line["path"]]) for line in lines)


def test_sha256sum_checks_the_mirror(applied):
    listed = applied.path / "SHA256SUMS"
    assert applied.run("export", "--format", "sha256sums", "--out", listed).code == 0
    check = ["sha256sum", "--check", "--strict", "--quiet", str(listed)]
    assert subprocess.run(check, cwd=applied.mirror).returncode == 0
    next(applied.mirror.glob("*.zip")).write_bytes(b"x")
    assert subprocess.run(check, cwd=applied.mirror, capture_output=True).returncode == 1
    assert applied.run("export", "--format", "sha256sums").out == listed.read_text(), "it says what should be there"


def test_links_for_aria2_contain_no_secret(workspace):
    workspace.write(BOTH)
    assert workspace.run("apply", "--no-wait").code == 3
    done = workspace.run("export", "--format", "urls")
    assert done.code == 0
    assert "Token" not in done.out.replace("needs a token", "")
    entries = [line for line in done.out.splitlines() if line.startswith("http")]
    places = [line.removeprefix("  out=") for line in done.out.splitlines() if line.startswith("  out=")]
    assert sorted(places) == sorted(workspace.files())
    assert len(entries) == len(places) == done.out.count("needs a token")
    assert done.out.count("in the long-term archive") == 25 - len(entries) > 0
    digests = {f"  checksum=sha-256={sha256(content).hexdigest()}" for content in workspace.files().values()}
    assert digests == {line for line in done.out.splitlines() if line.startswith("  checksum=")}
    workspace.url = "http://127.0.0.1:1/api/"
    workspace.write(BOTH, transfer="retries = 0")
    failed = workspace.run("export", "--format", "urls", "--out", "links")
    assert failed.code == 1
    assert "failed: archive: " in failed.err


@pytest.mark.parametrize("how", ["geojson", "csv", "stac", "sha256sums"])
def test_export_does_not_create_a_mirror(tmp_path, how):
    import sedas_sync as ss

    made = Workspace(tmp_path, "http://127.0.0.1:1/api/").write(BOTH)
    assert ss.Mirror(ss.load_manifest(made)).export(how, tmp_path / "out").scenes == 0
    assert not (tmp_path / "scenes").exists()


def test_files_that_are_gone_or_changed_are_left_out_and_listed(applied):
    gone, changed, *_ = sorted(applied.mirror.glob("*.zip"))
    gone.unlink()
    changed.write_bytes(b"x")
    done = applied.run("export", "--format", "stac", "--json")
    assert {item["id"] for item in done.json["left_out"]} == {gone.stem, changed.stem}
    assert done.json["scenes"] == len(item_ids(applied.path / "stac")) == 23
    assert f"left out {gone.stem}" in done.err


def test_refuses_to_overwrite_files_of_the_mirror(applied, mirror):
    from sedas_sync import ManifestError

    scene = next(applied.mirror.glob("*.zip"))
    before = contents(applied.path)
    refused = applied.run("export", "--format", "csv", "--out", scene)
    assert refused.code == 2
    assert "is not changed" in refused.err
    for out in (applied.path / "manifest.toml", applied.path / "manifest.lock", applied.mirror / ".sedas-sync/x"):
        with pytest.raises(ManifestError, match="is not changed"):
            mirror.export("csv", out)
    for out in (applied.mirror, applied.path, applied.path / "manifest.toml"):
        with pytest.raises(ManifestError):
            mirror.export("stac", out)
    with pytest.raises(ManifestError, match="is a folder"):
        mirror.export("csv", applied.mirror)
    after = contents(applied.path)
    assert {name: text for name, text in after.items() if "index.db" not in name} == {
        name: text for name, text in before.items() if "index.db" not in name
    }


def test_json_cannot_share_standard_output(applied):
    assert applied.run("export", "--format", "csv", "--json").code == 2
    assert applied.run("export").code == 2


def test_a_damaged_index_gives_an_error_instead_of_an_empty_catalogue(applied, mirror):
    mirror.export("stac")
    before = contents(applied.path / "stac")
    (applied.mirror / ".sedas-sync" / "index.db").write_bytes(b"no database at all, whatever it may be called")
    for suffix in ("-wal", "-shm"):
        (applied.mirror / ".sedas-sync" / f"index.db{suffix}").unlink(missing_ok=True)
    assert applied.run("export", "--format", "stac").code == 1
    assert contents(applied.path / "stac") == before


def test_python_exports_to_a_path_and_to_an_open_file(mirror):
    from sedas_sync import ManifestError

    buffer = io.BytesIO()
    assert mirror.export("geojson", buffer).out is None
    assert len(json.loads(buffer.getvalue())["features"]) == 25
    assert mirror.export("stac").scenes == 25
    assert not mirror.export("stac", unless_fresh=True).written
    with pytest.raises(ManifestError, match="a folder, not a file"):
        mirror.export("stac", buffer)
    with pytest.raises(ManifestError, match="needs a file"):
        mirror.export("csv")


@pytest.mark.parametrize("how", ["stac", "csv", "geojson", "report", "status"])
def test_long_steps_report_progress(mirror, applied, how):
    steps = []
    mirror.on_step = steps.append
    if how in ("report", "status"):
        getattr(mirror, how)()
    else:
        mirror.export(how, applied.path / how)
    assert {step.unit for step in steps} == {"scene"}
    assert all(step.total is None or step.done <= step.total for step in steps)
    assert steps[-1].total or steps[-1].done


def test_links_before_the_first_apply_come_from_the_lock_file_or_a_search(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row(name, f"2019-05-0{n}T11:00:00Z") for n, name in enumerate("AB", 1)])
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n')
    searched = workspace.run("export", "--format", "urls")
    assert searched.code == 0
    assert [line.strip() for line in searched.out.splitlines() if "out=" in line] == ["out=A.zip", "out=B.zip"]
    assert not workspace.mirror.exists(), "an export makes no mirror"
    assert workspace.run("lock").code == 0
    sandbox._catalogue = RowCatalogue([make_row(name, f"2019-05-0{n}T11:00:00Z") for n, name in enumerate("ABC", 1)])
    assert workspace.run("export", "--format", "urls").out.count("out=") == 2, "the lock file decides"
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-30\n')
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    failed = workspace.run("export", "--format", "urls")
    assert failed.code == 1
    assert "status 500" in failed.err


def test_geoparquet_has_the_items_of_the_catalogue(applied):
    rustac = pytest.importorskip("rustac")
    assert applied.run("export", "--format", "stac").code == 0
    ran = applied.run("export", "--format", "geoparquet", "--out", "scenes.parquet", "--json")
    assert ran.code == 0, ran.err
    items = rustac.read_sync(str(applied.path / "scenes.parquet"), format="geoparquet", set_self_link=False)["features"]
    catalogue = {
        item.id: item for item in pystac.read_file(applied.path / "stac" / "catalog.json").get_items(recursive=True)
    }
    assert ran.json["scenes"] == len(items) == len(catalogue)
    for item in items:
        asset = item["assets"]["product"]
        file = applied.path / asset["href"]
        assert sha256(file.read_bytes()).hexdigest() == asset["file:checksum"][4:]
        assert item["properties"]["sedas_sync:level"] == catalogue[item["id"]].properties["sedas_sync:level"]
    assert applied.run("export", "--format", "geoparquet").code == 2
