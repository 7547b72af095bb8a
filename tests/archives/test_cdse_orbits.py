"""Orbit files and other auxiliary files of the Copernicus Data Space."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from cdse_mirror import mirror_of
from cdse_server import CdseServer, grd, msi, orbit_file, zipped

import sedas_sync as ss

START = datetime(2019, 5, 2, 6, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MIDNIGHT = datetime(2019, 5, 1, 22, 59, 42, tzinfo=UTC)


def restituted(before=timedelta(hours=2), satellite="A"):
    made = timedelta(hours=4)
    return orbit_file(START - before, hours=3.28, kind="AUX_RESORB", satellite=satellite, made=made)


@pytest.fixture
def server():
    with CdseServer([grd(START), grd(START + 3 * DAY), msi(START)]) as running:
        yield running


@pytest.fixture
def mirror(workspace, server, monkeypatch):
    made = mirror_of(workspace, server, monkeypatch)
    made.write('source_group = "S1"\norbits = "precise"')
    return made


def names(mirror):
    return {name.removesuffix(".zip") for name in mirror.all_files()}


def wanted(*products):
    return {product.name.removesuffix(".SAFE") for product in products}


def test_each_scene_has_its_orbit_file(mirror, server):
    scenes, first, second = server.products[:2], orbit_file(MIDNIGHT), orbit_file(MIDNIGHT + 3 * DAY)
    others = [orbit_file(MIDNIGHT + DAY), orbit_file(MIDNIGHT, satellite="B"), restituted()]
    server.products += [first, second, *others]
    planned = mirror.run("plan", "--json").json
    assert {action["id"] for action in planned["actions"]} == wanted(*scenes, first, second)
    assert {tuple(action["datasets"]) for action in planned["actions"]} == {("harwell",)}
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert names(mirror) == wanted(*scenes, first, second)
    assert mirror.all_files()[first.name] == first.bytes
    assert {action.kind for action in mirror.plan().actions} == {"keep"}
    assert mirror.run("lock").code == 0
    (mirror.workspace.mirror / second.name).unlink()
    server.products.append(grd(START + DAY))
    assert mirror.run("apply", "--locked").code == 0
    assert names(mirror) == wanted(*scenes, first, second)
    assert mirror.run("verify").code == 0
    why = mirror.run("why", first.name, "--json").json
    assert why["datasets"] == [{"dataset": "harwell", "wanted": True, "rule": None, "detail": None}]
    assert mirror.run("why", others[1].name, "--json").json["datasets"][0]["wanted"] is False


def test_restituted_file_serves_until_the_precise_one_appears(mirror, server):
    late, quick, precise = server.products.pop(1), restituted(), orbit_file(MIDNIGHT)
    server.products.append(quick)
    assert mirror.here().code == 0
    assert names(mirror) == wanted(server.products[0], quick)
    server.products += [precise, late]
    planned = mirror.run("plan", "--prune", "--json").json
    assert {action["id"]: action["action"] for action in planned["actions"]} == {
        precise.name: "fetch", late.name.removesuffix(".SAFE"): "fetch", quick.name: "prune",
    }  # fmt: skip
    assert f"superseded by {precise.name}" in json.dumps(planned)
    assert any("no orbit file covers 1 scene yet" in warning for warning in planned["warnings"])
    assert mirror.run("apply", "--prune").code == 0
    assert names(mirror) == wanted(server.products[0], late, precise)


def test_orbit_files_go_with_their_scenes(mirror, server):
    first, second = orbit_file(MIDNIGHT), orbit_file(MIDNIGHT + 3 * DAY)
    server.products += [first, second]
    assert mirror.here().code == 0
    mirror.write('source_group = "S1"\norbits = "precise"\nlatest = 1')
    assert mirror.run("apply", "--prune").code == 0
    assert names(mirror) == wanted(server.products[1], second)
    mirror.write('source_group = "S1"')
    assert mirror.run("apply", "--prune", "--max-prune", "99").code == 0
    assert names(mirror) == wanted(*server.products[:2])


def test_failed_search_for_orbits_makes_the_plan_incomplete(mirror, server):
    server.products.append(restituted())
    assert mirror.here().code == 0
    search = server.search
    broken = (500, {"detail": "broken"}, {})
    server.search = lambda asked: broken if "Intersects" not in asked.options["$filter"] else search(asked)
    mirror.write('source_group = "S1"\norbits = "precise"', transfer="retries = 0")
    planned = mirror.run("plan", "--prune", "--json")
    assert planned.code == 1
    assert not planned.json["search_complete"]
    assert {action["action"] for action in planned.json["actions"]} <= {"keep"}


def test_named_products_have_orbit_files_too(mirror, server):
    orbit = orbit_file(MIDNIGHT)
    server.products.append(orbit)
    text = (mirror.workspace.path / "manifest.toml").read_text().partition("[aoi.harwell]")[0]
    scene = server.products[0].name
    manifest = mirror.workspace.path / "manifest.toml"
    manifest.write_text(f'{text}[dataset.named]\nproducts = ["{scene}"]\norbits = "restituted"\n')
    server.products.append(restituted())
    assert mirror.here().code == 0
    assert names(mirror) == wanted(server.products[0], server.products[-1])


# -- without a search area --------------------------------------------------------------------------------------------


def test_auxiliary_files_without_an_aoi(mirror, server):
    orbits = [orbit_file(MIDNIGHT + number * DAY) for number in range(3)]
    calibration = orbit_file(MIDNIGHT)
    calibration.name, calibration.content = "S1A_AUX_INS_V20190502T010000_G20190502T142540.SAFE", zipped("AUX")
    calibration.attributes["productType"] = "AUX_INS"
    server.products += [*orbits, calibration]
    text = (mirror.workspace.path / "manifest.toml").read_text().partition("[aoi.harwell]")[0]
    manifest = mirror.workspace.path / "manifest.toml"
    period = "start = 2019-05-02\nend = 2019-05-03\n"
    manifest.write_text(f'{text}[dataset.orbits]\n{period}product_type = "AUX_POEORB"\n')
    assert {action.id for action in mirror.plan().actions} == wanted(orbits[1], orbits[2])
    assert mirror.here().code == 0
    assert names(mirror) == wanted(orbits[1], orbits[2])
    assert not any("Intersects" in one.options.get("$filter", "") for one in server.requests("catalogue"))
    assert mirror.run("report").code == 0, "nothing is drawn: there are neither footprints nor AOIs"
    manifest.write_text(f'{text}[dataset.everything]\n{period}source_group = "S1"\n')
    assert {action.id for action in mirror.plan().actions} == wanted(server.products[0])


@pytest.mark.parametrize("spelling", ["with", "without"])
def test_orbit_file_by_its_name(mirror, server, spelling):
    orbit = orbit_file(MIDNIGHT)
    server.products.append(orbit)
    name = orbit.name if spelling == "with" else orbit.name.removesuffix(".EOF")
    text = (mirror.workspace.path / "manifest.toml").read_text().partition("[aoi.harwell]")[0]
    (mirror.workspace.path / "manifest.toml").write_text(f'{text}[dataset.named]\nproducts = ["{name}"]\n')
    ran = mirror.here()
    assert ran.code == 0, ran.out
    assert mirror.all_files() == {orbit.name: orbit.bytes}


def test_orbit_files_from_a_folder(mirror, server, tmp_path):
    scene, orbit = server.products[0], orbit_file(MIDNIGHT)
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / f"{scene.name}.zip").write_bytes(scene.bytes)
    (shelf / orbit.name).write_bytes(orbit.bytes)
    (shelf / "notes.nc").write_bytes(b"CDF")
    text = f'version = 1\n[archive]\ntype = "directory"\npath = "{shelf}"\n[dataset.all]\nstart = 2019-05-01\n'
    manifest = mirror.workspace.path / "manifest.toml"
    manifest.write_text(f"{text}end = 2019-05-04\n")
    with ss.Mirror(ss.load_manifest(manifest)) as opened:
        assert {action.id for action in opened.plan().actions} == wanted(scene)
    manifest.write_text(f'{text}end = 2019-05-04\norbits = "precise"\n')
    with ss.Mirror(ss.load_manifest(manifest)) as opened:
        assert opened.apply(opened.plan()).exit_code == 0
    assert mirror.all_files() == {f"{scene.name.removesuffix('.SAFE')}.zip": scene.bytes, orbit.name: orbit.bytes}
