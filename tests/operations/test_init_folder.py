"""`init --from-folder`: a manifest that describes the products in a folder."""

import io
import random
import shutil
import zipfile

import pytest
import shapely
from products import over_harwell, unzip

from sedas_sync.geometry import footprint
from sedas_sync.operations.init_folder import find_products
from sedas_sync.operations.load import load_manifest


@pytest.fixture(scope="module")
def zips():
    """The zips of all scenes over Harwell in two weeks, by id."""
    return over_harwell("2019-04-30", "2019-05-12")


def fill(folder, zips):
    """Write every second product as a zip and the others as folders, under names of other tools."""
    folder.mkdir(parents=True)
    for number, (scene, data) in enumerate(zips.items()):
        if number % 2:
            (folder / f"{scene} (1).zip").write_bytes(data)
        else:
            unzip(data, folder / str(number), name=f"{scene}.SAFE")


def test_what_a_folder_has_matches_its_manifest(workspace, sandbox, zips):
    fill(workspace.path / "data" / "old", zips)
    (workspace.path / "data" / "old" / "notes.txt").write_text("mine")
    ran = workspace.run("init", "work.toml", "--from-folder", "data/old", "--json")
    assert ran.code == 0, ran.err
    manifest = load_manifest(workspace.path / "work.toml")
    assert (manifest.mirror.path, manifest.mirror.unpack) == ("data/old", len(zips) % 2 == 1)
    assert ran.json["aois"] == list(manifest.aois)
    assert len(manifest.aois) < len(manifest.datasets), "both types of one track have one area"
    optical = manifest.datasets["s2-l1c"]
    assert (optical.sensor, optical.product_type, optical.tile) == ("optical", "L1C", ("30UXC",))
    satellites = {scene[:3] for scene in zips if scene.startswith("S2")}
    names = {"S2A": "Sentinel-2A", "S2B": "Sentinel-2B"}
    assert optical.satellite == (names[satellites.pop()] if len(satellites) == 1 else None)
    days = sorted(scene[11:19] for scene in zips if scene.startswith("S2"))
    text = (workspace.path / "work.toml").read_text()
    assert f"start = {days[0][:4]}-{days[0][4:6]}-{days[0][6:]}" in text
    radar = {name: dataset for name, dataset in manifest.datasets.items() if name.startswith("s1-")}
    assert {dataset.product_type for dataset in radar.values()} == {"GRD", "SLC"}
    assert all(name.endswith(f"-orbit-{dataset.relative_orbit}") for name, dataset in radar.items())
    assert workspace.run("adopt", "work.toml").code == 0
    plan = workspace.run("plan", "work.toml", "--json").json["summary"]
    assert plan["keep"] + plan["adopt"] == len(zips), "everything there matches; zips are to be unpacked"
    assert plan["adopt"] == len(zips) // 2
    assert sandbox.downloads == 0


def test_areas_are_the_hulls_of_connected_footprints(tmp_path):
    here = over_harwell("2019-05-06", "2019-05-07", "Optical")
    fill(tmp_path / "old", here)
    found = find_products(str(tmp_path / "old"))
    assert [dataset.name for dataset in found.datasets] == ["s2-l1c"]
    (area,) = found.areas
    shape = footprint(area.value)
    assert shape.contains(shapely.Point(-1.315, 51.57))
    assert 0.5 < shape.area < 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--archive", "earth-search"], "has no whole products"),
        (["--sensor", "sar"], "takes the sensors and product types of the folder"),
        (["--bbox=0,0,1,1"], "give one of them"),
    ],
)
def test_options_that_contradict_a_folder(workspace, zips, arguments, problem):
    scene, data = next(iter(zips.items()))
    unzip(data, workspace.path / "old", name=scene)
    ran = workspace.run("init", "--from-folder", "old", *arguments)
    assert (ran.code, (workspace.path / "manifest.toml").exists()) == (2, False)
    assert problem in ran.err


def test_scenes_of_one_satellite_only(workspace, zips):
    few = {scene: data for scene, data in zips.items() if scene.startswith("S2B")}
    assert few
    fill(workspace.path / "old", few)
    assert workspace.run("init", "--from-folder", "old").code == 0
    manifest = load_manifest(workspace.path / "manifest.toml")
    assert {dataset.satellite for dataset in manifest.datasets.values()} == {"Sentinel-2B"}
    assert workspace.run("adopt").code == 0
    assert workspace.run("plan", "--json").json["summary"]["fetch"] == 0


def test_other_archives_and_dates(workspace, zips):
    fill(workspace.path / "old", zips)
    ran = workspace.run("init", "--from-folder", "old", "--archive", "cdse", "--start", "-30d", "--end", "2030-01-01")
    assert ran.code == 0, ran.err
    assert "Next: `sedas-sync adopt --dry-run`" in ran.out
    text = (workspace.path / "manifest.toml").read_text()
    assert 'type = "cdse"' in text
    assert 'start = "-30d"' in text
    assert "end = 2030-01-01" in text
    assert workspace.run("validate").code == 0


def test_folders_that_cannot_be_described(workspace, tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "notes.zip").write_bytes(b"mine")
    ran = workspace.run("init", "--from-folder", "old")
    assert ran.code == 2
    assert "has no zips or folders of Sentinel products with a footprint" in ran.err
    orbit = "S1A_OPER_AUX_POEORB_OPOD_20210301T130653_V20140406T225944_20140408T005944.EOF"
    (tmp_path / "old" / orbit).write_bytes(b"<xml/>")
    broken = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
    (tmp_path / "old" / f"{broken}.zip").write_bytes(b"PK\x03\x04 and no more")
    assert workspace.run("init", "--from-folder", "old").code == 2
    (scene, data), *_ = over_harwell("2019-05-06", "2019-05-07", "Optical").items()
    unzip(data, tmp_path / "old", name=f"{scene}.SAFE")
    ran = workspace.run("init", "--from-folder", "old", "--json")
    assert ran.code == 0, ran.err
    assert [warning.partition("old: ")[2] for warning in ran.json["warnings"]] == [
        "1 product of type AUX_POEORB left out: no footprint can be read"
    ]
    shutil.rmtree(tmp_path / "old")


@pytest.mark.parametrize(
    "corners",
    [
        [(51, 179), (51, -179), (53, -179), (53, 179)],
        [(85, -170), (88, -80), (88, 80), (85, 170)],
        [(70, -180), (70, 180), (80, 180), (80, -180)],
        [(10, -100), (10, 100), (20, 100), (20, -100)],
        [(10, 20), (10, 20.00003), (10.00003, 20.00003), (10.00003, 20)],
        [(10, 179.99998), (10, 180), (10.00002, 180), (10.00002, 179.99998)],
    ],
    ids=["antimeridian", "pole", "belt", "wide", "tiny", "tiny at the antimeridian"],
)
def test_any_footprint_gives_a_valid_manifest(workspace, corners):
    name = "S3A_OL_1_EFR____20190506T110621_20190506T110921_20190507T120000_0179_044_222_2160_LN1_O_NT_002.SEN3"
    ring = " ".join(f"{y} {x}" for y, x in [*corners, corners[0]])
    folder = workspace.path / "old" / name
    folder.mkdir(parents=True)
    (folder / "xfdumanifest.xml").write_text(
        f'<XFDU><footPrint><posList>{ring}</posList></footPrint><byteStream size="1"><fileLocation href="a.nc"/>'
        "</byteStream></XFDU>"
    )
    ran = workspace.run("init", "--from-folder", "old", "--archive", "cdse")
    assert ran.code == 0, ran.err
    assert 'product_type = "OL_1_EFR"' in (workspace.path / "manifest.toml").read_text()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_damaged_zip_is_left_out(workspace, method):
    (scene, data), *_ = over_harwell("2019-05-06", "2019-05-07", "Optical").items()
    unzip(data, workspace.path / "old", name=f"{scene}.SAFE")
    radar = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.writestr(f"{radar}.SAFE/manifest.safe", random.Random(1).randbytes(5000).hex())
    bad = bytearray(packed.getvalue())
    start = bad.index(b"manifest.safe") + len("manifest.safe")
    bad[start : start + 200] = b"\xff" * 200
    (workspace.path / "old" / f"{radar}.zip").write_bytes(bad)
    ran = workspace.run("init", "--from-folder", "old", "--json")
    assert ran.code == 0, ran.err
    assert "1 product of type GRD left out" in ran.json["warnings"][0]
