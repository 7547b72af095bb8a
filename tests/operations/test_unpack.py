"""`[mirror] unpack = true`: products that archives send as zips are kept as folders."""

import csv
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import zipfile

import pytest
from effort import effort
from kills import killed
from noise_scenes import MAY

import sedas_sync as ss
from sedas_sync.sandbox import RowCatalogue, make_row
from sedas_sync.state import inspect

UNPACK = "unpack = true"
ID = "S2A_MSIL1C_20190502T110621_N0207_R137_T30UXC_20190502T132000"
OTHER = "S2A_MSIL1C_20190512T110621_N0207_R137_T30UXC_20190512T132000"


def tree(folder):
    """The files below a folder, outside the state folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".sedas-sync" not in path.parts
    }


def content(*zips):
    """What a mirror contains whose zips are unpacked."""
    found = {}
    for data in zips:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            found |= {info.filename: packed.read(info) for info in packed.infolist() if not info.is_dir()}
    return found


def partial(workspace):
    return sorted(path.name for path in (workspace.mirror / ".sedas-sync" / "partial").iterdir())


def downloads(sandbox, since=0):
    return [entry for entry in sandbox.log[since:] if entry.endpoint == "download"]


def product(scene_id, *, bands=3, size=20_000, ending=".SAFE", seed=0):
    """The zip of a product, whose entries are deflated."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(f"{scene_id}{ending}/manifest.safe", f"<xfdu n='{seed}'/>")
        for number in range(bands):
            data = random.Random(f"{scene_id}{seed}{number}").randbytes(size // 2) + bytes(size // 2)
            packed.writestr(f"{scene_id}{ending}/GRANULE/B{number:02}.jp2", data)
        packed.writestr(f"{scene_id}{ending}/HTML/", b"")
    return made.getvalue()


def offer(sandbox, place, products):
    """Let the sandbox offer these zips."""
    files, rows = {}, []
    for day, (scene_id, data) in enumerate(products.items(), 2):
        files[scene_id] = place / f"{scene_id}.offered"
        files[scene_id].write_bytes(data)
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        rows.append(make_row(scene_id, f"2019-05-{day:02}T11:00:00Z", filehash=digest))
    sandbox._catalogue = RowCatalogue(rows, files=files)


@pytest.fixture
def offered(workspace, sandbox):
    """Two products that the sandbox offers, and a manifest that unpacks them."""
    products = {ID: product(ID), OTHER: product(OTHER)}
    offer(sandbox, workspace.path, products)
    workspace.write(MAY, mirror=UNPACK)
    return products


@pytest.fixture
def zips(workspace):
    """The scenes of the sandbox's catalogue, in the mirror as zips."""
    workspace.write()
    assert workspace.run("apply").code == 0
    return workspace.files()


def test_scenes_are_fetched_and_unpacked(workspace, sandbox, offered, monkeypatch):
    plan = workspace.run("plan", "--json").json
    assert {one["action"] for one in plan["actions"]} == {"fetch"}
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 2), ran.err
    assert tree(workspace.mirror) == content(*offered.values())
    assert (workspace.mirror / f"{ID}.SAFE/HTML").is_dir(), "empty folders are part of a product"
    assert partial(workspace) == []
    fetched = {event["id"]: event for event in ran.events if event["event"] == "fetched"}
    assert {event["path"] for event in fetched.values()} == {f"{ID}.SAFE", f"{OTHER}.SAFE"}
    assert fetched[ID]["received"] == len(offered[ID])
    assert fetched[ID]["size"] == sum(map(len, content(offered[ID]).values()))

    since = len(sandbox.log)
    monkeypatch.setattr(inspect, "check", lambda *_, **__: pytest.fail("a file is read again"))
    again = workspace.run("apply", "--json")
    assert (again.code, again.summary["kept"], again.summary["bytes"]) == (0, 2, 0), again.err
    assert not downloads(sandbox, since)
    assert workspace.run("plan", "--exit-code").code == 0


def test_zips_that_are_there_are_unpacked_without_a_download(workspace, sandbox, zips):
    workspace.write(mirror=UNPACK)
    plan = workspace.run("plan", "--json").json
    assert {(one["action"], one["reason"]) for one in plan["actions"]} == {
        ("adopt", "its zip is in the mirror and will be unpacked")
    }
    since = len(sandbox.log)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["fetched"]) == (0, len(zips), 0), ran.err
    assert not downloads(sandbox, since)
    assert tree(workspace.mirror) == content(*zips.values())
    assert partial(workspace) == []
    again = workspace.run("apply", "--json")
    assert (again.code, again.summary["kept"], again.summary["adopted"]) == (0, len(zips), 0)


def test_untracked_zips_are_unpacked_in_one_run(workspace, sandbox, offered):
    workspace.mirror.mkdir()
    for name, data in offered.items():
        (workspace.mirror / f"{name}.zip").write_bytes(data)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["fetched"]) == (0, 2, 0), ran.err
    assert not downloads(sandbox)
    assert tree(workspace.mirror) == content(*offered.values())
    assert workspace.run("apply", "--json").summary["kept"] == 2


def test_a_zip_that_was_unpacked_by_hand_is_not_unpacked_again(workspace, sandbox, offered):
    workspace.write(MAY)
    workspace.run("apply")
    for name in offered:
        with zipfile.ZipFile(workspace.mirror / f"{name}.zip") as packed:
            packed.extractall(workspace.mirror)
    changed = workspace.mirror / f"{OTHER}.SAFE/GRANULE/B01.jp2"
    changed.write_bytes(bytes(changed.stat().st_size))
    (workspace.mirror / f"{ID}.SAFE/B01.aux.xml").write_text("<mine/>")
    before = (workspace.mirror / f"{ID}.SAFE/manifest.safe").stat()
    workspace.write(MAY, mirror=UNPACK)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["fetched"]) == (0, 2, 0), ran.err
    assert os.path.samestat((workspace.mirror / f"{ID}.SAFE/manifest.safe").stat(), before)
    assert tree(workspace.mirror) == {f"{ID}.SAFE/B01.aux.xml": b"<mine/>"} | content(*offered.values())
    replaced = workspace.mirror / ".sedas-sync/replaced"
    assert [path.name for path in replaced.iterdir()] == [f"{OTHER}.SAFE"], "the folder that was changed"


def test_folders_that_are_right_stay_folders_which_is_said_once(workspace, sandbox, offered):
    workspace.run("apply")
    workspace.write(MAY)
    offer(sandbox, workspace.path, offered | {"S2A_NEW": product("S2A_NEW")})
    told = "2 scenes on disk stay folders: `[mirror] unpack` is false now, and new scenes stay zips"
    assert told in workspace.run("plan").err
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["kept"], ran.summary["fetched"]) == (0, 2, 1)
    assert [event["message"] for event in ran.events if event["event"] == "warning"] == [told]
    assert list(workspace.files()) == ["S2A_NEW.zip"]
    assert told not in workspace.run("plan").err


@pytest.mark.parametrize("unpack", [UNPACK, ""])
@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_damaged_folder_is_replaced_and_keeps_the_files_of_its_user(workspace, sandbox, offered, unpack, harm):
    workspace.run("apply")
    band = workspace.mirror / f"{ID}.SAFE/GRANULE/B01.jp2"
    if harm == "gone":
        band.unlink()
    else:
        band.write_bytes(b"cut")
    mine = {f"{ID}.SAFE/GRANULE/B01.jp2.aux.xml": b"<mine/>", f"{ID}.SAFE/out/ndvi.tif": b"II"}
    (workspace.mirror / f"{ID}.SAFE/out").mkdir()
    for name, data in mine.items():
        (workspace.mirror / name).write_bytes(data)
    workspace.write(MAY, mirror=unpack)
    plan = workspace.run("plan", "--json").json
    assert {one["id"]: one["action"] for one in plan["actions"]} == {ID: "replace"}
    since = len(sandbox.log)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 1), ran.err
    assert len(downloads(sandbox, since)) == 1
    assert tree(workspace.mirror) == content(*offered.values()) | mine, "a folder stays a folder"
    assert partial(workspace) == []


def test_verify_finds_a_changed_band_and_repair_mends_it(workspace, offered):
    workspace.run("apply")
    band = workspace.mirror / f"{ID}.SAFE/GRANULE/B01.jp2"
    was, data = band.stat(), bytearray(band.read_bytes())
    data[7] ^= 1
    band.write_bytes(data)
    os.utime(band, ns=(was.st_atime_ns, was.st_mtime_ns))
    (workspace.mirror / f"{ID}.SAFE/mine.aux.xml").write_text("<mine/>")
    found = workspace.run("verify", "--json")
    bad = [one for one in found.json["findings"] if one["finding"] != "unknown"]
    assert (found.code, [one["path"] for one in bad]) == (1, [f"{ID}.SAFE/GRANULE/B01.jp2"])
    assert [one["path"] for one in found.json["findings"] if one["finding"] == "unknown"] == [f"{ID}.SAFE/mine.aux.xml"]
    mended = workspace.run("verify", "--repair")
    assert mended.code == 0, mended.err
    assert tree(workspace.mirror) == content(*offered.values()) | {f"{ID}.SAFE/mine.aux.xml": b"<mine/>"}
    assert workspace.run("verify").code == 0, "a file that the user added is no failure"
    assert partial(workspace) == []


def test_a_scene_that_changed_in_the_archive_is_replaced(workspace, sandbox, offered):
    workspace.run("apply")
    offer(sandbox, workspace.path, offered | {ID: product(ID, bands=2, seed=1)})
    ran = workspace.run("apply", "--json", "--yes")
    assert (ran.code, ran.summary["fetched"], ran.summary["kept"]) == (0, 1, 1), ran.err
    assert tree(workspace.mirror) == content(product(ID, bands=2, seed=1), offered[OTHER])


def test_a_lock_of_zips_is_met_by_their_folders(workspace, sandbox, offered):
    workspace.write(MAY)
    workspace.run("apply")
    workspace.run("lock")
    lock = workspace.path / "manifest.lock"
    of_zips = lock.read_text()
    workspace.write(MAY, mirror=UNPACK)
    since = len(sandbox.log)
    ran = workspace.run("apply", "--locked", "--json")
    assert (ran.code, ran.summary["adopted"]) == (0, 2), ran.err
    again = workspace.run("apply", "--locked", "--json")
    assert (again.code, again.summary["kept"]) == (0, 2), again.err
    assert not downloads(sandbox, since)
    verified = workspace.run("verify", "--json")
    assert verified.code == 0
    # The files have the level at which their zips were proved.
    assert {file["level"] for file in verified.json["scenes"]} == {"digest"}
    assert workspace.run("lock", "--check").code == 0, "the same scenes"
    status = workspace.run("status", "--json").json["summary"]
    assert (status["held"], status["differs"]) == (2, 0)
    assert lock.read_text() == of_zips

    lock.unlink()
    workspace.run("lock")
    pins = [json.loads(line) for line in lock.read_text().splitlines()[1:]]
    for pin, old in zip(pins, map(json.loads, of_zips.splitlines()[1:]), strict=True):
        files = pin.pop("unpacked")
        assert pin == old
        assert files.keys() == {name.partition("/")[2] for name in content(offered[pin["id"]])}
    shutil.rmtree(workspace.mirror)
    workspace.write(MAY)
    assert workspace.run("apply", "--locked").code == 0, "a lock of folders is met by their zips"
    assert workspace.run("verify").code == 0
    assert workspace.files().keys() == {f"{name}.zip" for name in offered}


def test_a_lock_of_zips_is_met_by_folders_that_were_adopted(workspace, sandbox, zips):
    workspace.run("lock")
    pins = (workspace.path / "manifest.lock").read_text()
    shutil.rmtree(workspace.mirror)
    workspace.mirror.mkdir()
    for data in zips.values():
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            packed.extractall(workspace.mirror)
    adopted = workspace.run("adopt", "--json")
    assert adopted.code == 0, adopted.err
    checked = workspace.run("lock", "--check", "--json")
    assert checked.code == 0, checked.out
    assert workspace.run("lock").code == 0
    assert (workspace.path / "manifest.lock").read_text() == pins
    since = len(sandbox.log)
    ran = workspace.run("apply", "--locked", "--json")
    assert (ran.code, ran.summary["kept"], ran.summary["fetched"]) == (0, len(zips), 0), ran.err
    assert not downloads(sandbox, since)
    assert workspace.run("verify").code == 0
    assert workspace.run("status", "--json").json["summary"]["differs"] == 0
    first, *others = pins.splitlines()
    changed = [re.sub('"contents": "[0-9a-f]*"', f'"contents": "{"0" * 64}"', line) for line in others]
    (workspace.path / "manifest.lock").write_text("\n".join([first, *changed]) + "\n")
    plan = workspace.run("plan", "--locked", "--json")
    assert {one["action"] for one in plan.json["actions"]} <= {"replace", "order"}
    assert workspace.run("verify").code == 1


def test_a_lock_of_adopted_folders_is_met_by_their_zips(workspace, zips):
    of_zips = shutil.copytree(workspace.mirror, workspace.path / "zips", ignore=shutil.ignore_patterns(".sedas-sync"))
    shutil.rmtree(workspace.mirror)
    for data in zips.values():
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            packed.extractall(workspace.mirror)
    assert workspace.run("adopt").code == 0
    assert workspace.run("lock").code == 0
    lock = workspace.path / "manifest.lock"
    pins = lock.read_text()
    shutil.rmtree(workspace.mirror)
    shutil.copytree(of_zips, workspace.mirror)
    assert workspace.run("adopt").code == 0
    checked = workspace.run("lock", "--check", "--json")
    assert checked.code == 0, checked.out
    assert lock.read_text() == pins


def test_a_lock_with_another_zip_replaces_the_folder(workspace, sandbox, offered):
    workspace.run("apply")
    workspace.run("lock")
    lock = workspace.path / "manifest.lock"
    new = product(ID, seed=1)
    offer(sandbox, workspace.path, offered | {ID: new})
    workspace.run("apply", "--yes", "--relock")
    assert workspace.run("apply", "--locked").code == workspace.run("verify").code == 0
    lines = lock.read_text()
    for pin in map(json.loads, lines.splitlines()[1:]):
        if pin["id"] == ID:
            lines = lines.replace(json.dumps(pin["unpacked"])[1:-1], "")
            lock.write_text(lines.replace(pin["sha256"], "0" * 64).replace(pin["contents"], "1" * 64))
    found = workspace.run("verify", "--json")
    assert found.code == 1
    assert {one["path"]: one["detail"] for one in found.json["findings"] if one["finding"] == "changed"}.keys() == {
        f"{ID}.SAFE"
    }


def test_the_layout_moves_a_folder_with_what_is_in_it(workspace, sandbox, offered):
    workspace.run("apply")
    (workspace.mirror / f"{ID}.SAFE/mine.ovr").write_bytes(b"mine")
    workspace.write(MAY, mirror=UNPACK + '\nlayout = "{start:%Y}/x-{id}"')
    since = len(sandbox.log)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["fetched"]) == (0, 2, 0), ran.err
    assert not downloads(sandbox, since)
    expected = {f"2019/x-{name}": data for name, data in content(*offered.values()).items()}
    assert tree(workspace.mirror) == expected | {f"2019/x-{ID}.SAFE/mine.ovr": b"mine"}
    assert workspace.run("apply", "--json").summary["kept"] == 2


@pytest.mark.parametrize("unpack", [UNPACK, ""])
def test_a_lost_index_is_rebuilt_from_folders(workspace, sandbox, zips, unpack):
    workspace.write(mirror=UNPACK)
    workspace.run("apply")
    before = tree(workspace.mirror)
    first, second, *_ = sorted(path for path in workspace.mirror.iterdir() if path.suffix == ".SAFE")
    second.rename(second.with_suffix(""))
    (first / "mine.ovr").write_bytes(b"mine")
    (workspace.mirror / ".sedas-sync/index.db").unlink()
    workspace.write(mirror=unpack)
    since = len(sandbox.log)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"]) == (0, len(zips)), ran.err
    assert not downloads(sandbox, since)
    plain = {name.replace(second.name, second.stem): data for name, data in before.items()}
    assert tree(workspace.mirror) == plain | {f"{first.name}/mine.ovr": b"mine"}
    assert workspace.run("apply", "--json").summary["kept"] == len(zips)
    assert workspace.run("verify").code == 0


def test_a_saved_plan_is_for_zips_or_for_folders(workspace, offered):
    assert workspace.run("plan", "--out", "p.json").code == 0
    workspace.write(MAY)
    refused = workspace.run("apply", "--plan", "p.json")
    assert (refused.code, "mirror.unpack is false, the plan has true" in refused.err) == (2, True)
    workspace.write(MAY, mirror=UNPACK)
    assert workspace.run("apply", "--plan", "p.json").code == 0
    assert tree(workspace.mirror) == content(*offered.values())


def test_zips_move_and_are_unpacked_at_once(workspace, offered):
    workspace.write(MAY)
    workspace.run("apply")
    workspace.write(MAY, mirror=UNPACK + '\nlayout = "{start:%Y}/{id}"')
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"]) == (0, 2), ran.err
    assert tree(workspace.mirror) == {f"2019/{name}": data for name, data in content(*offered.values()).items()}


def test_prune_removes_the_files_of_a_folder_and_no_others(workspace, sandbox, offered):
    workspace.run("apply")
    (workspace.mirror / f"{ID}.SAFE/mine.ovr").write_bytes(b"mine")
    offer(sandbox, workspace.path, {OTHER: offered[OTHER]})
    workspace.write(MAY + f'exclude = ["{ID}"]\n', mirror=UNPACK)
    ran = workspace.run("apply", "--prune", "--yes", "--json")
    assert (ran.code, ran.summary["pruned"]) == (0, 1), ran.err
    assert tree(workspace.mirror) == content(offered[OTHER]) | {f"{ID}.SAFE/mine.ovr": b"mine"}


@pytest.mark.parametrize(
    ("name", "ending", "folder"),
    [
        ("S3A_OL_1_EFR____20190502T110621.SEN3", "", "S3A_OL_1_EFR____20190502T110621.SEN3"),
        ("S3A_OL_1_EFR____20190502T110621", ".SEN3", "S3A_OL_1_EFR____20190502T110621.SEN3"),
        ("LC08_L1TP_202024_20190502", "", "LC08_L1TP_202024_20190502"),
    ],
)
def test_a_folder_has_the_ending_of_its_product(workspace, sandbox, name, ending, folder):
    offer(sandbox, workspace.path, {name: product(name, ending=ending)})
    workspace.write(MAY, mirror=UNPACK)
    assert workspace.run("apply").code == 0
    assert {path.split("/")[0] for path in tree(workspace.mirror)} == {folder}
    assert workspace.run("apply", "--json").summary["kept"] == 1


def test_only_products_that_are_folders_are_unpacked(workspace, sandbox):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr("S5P_OFFL_L2.nc", b"CDF\x01")
    offer(sandbox, workspace.path, {"S5P_OFFL_L2.nc": packed.getvalue(), "aux.zip": packed.getvalue()})
    workspace.write(MAY, mirror=UNPACK)
    assert workspace.run("apply").code == 0
    assert all(name.endswith(".zip") for name in tree(workspace.mirror))
    assert workspace.run("apply", "--json").summary["kept"] == 2


def test_a_zip_that_cannot_be_unpacked_stays_a_zip_and_fails(workspace, sandbox, offered):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as target:
        target.writestr(f"{ID}.SAFE/../../outside", b"")
    offer(sandbox, workspace.path, {ID: packed.getvalue(), OTHER: offered[OTHER]})
    for _ in range(2):
        since = len(sandbox.log)
        ran = workspace.run("apply", "--json")
        (failure,) = ran.summary["failures"]
        assert (ran.code, failure["id"]) == (1, ID)
        assert "leads out of the folder" in failure["error"]
    assert not downloads(sandbox, since), "it is not downloaded again"
    assert tree(workspace.mirror) == content(offered[OTHER]) | {f"{ID}.zip": packed.getvalue()}
    assert not (workspace.path / "outside").exists()
    workspace.write(MAY)
    assert workspace.run("apply").code == 0, "as a zip it is right"


@pytest.mark.parametrize("proved", [False, True])
def test_a_zip_of_another_product_is_not_unpacked_unless_its_checksum_is_right(workspace, proved):
    source, data = workspace.path / "source", product(OTHER)
    source.mkdir()
    (source / f"{ID}.zip").write_bytes(data)
    archive = '[archive]\ntype = "directory"\npath = "source"\n'
    workspace.write(MAY, mirror=UNPACK)
    text = (workspace.path / "manifest.toml").read_text()
    (workspace.path / "manifest.toml").write_text(re.sub(r"\[archive\]\n(?:[^\[\n].*\n)*", archive, text))
    if proved:
        assert workspace.run("lock").code == 0
        lock = workspace.path / "manifest.lock"
        pin = lock.read_text()
        lock.write_text(pin.replace('"size"', f'"sha256": "{hashlib.sha256(data).hexdigest()}", "size"', 1))
    ran = workspace.run("apply", "--json", *(["--locked"] if proved else []))
    if proved:
        assert ran.code == 0, ran.out
        return
    (failure,) = ran.summary["failures"]
    assert failure["error"].endswith(f"{ID}.zip cannot be unpacked: it contains {OTHER}")
    assert tree(workspace.mirror) == {f"{ID}.zip": data}


def test_something_else_at_the_path_of_the_folder_is_kept(workspace, offered):
    (workspace.mirror / f"{ID}.SAFE").mkdir(parents=True)
    (workspace.mirror / f"{ID}.SAFE/mine").write_bytes(b"mine")
    (workspace.mirror / f"{OTHER}.SAFE").symlink_to(workspace.path)
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert tree(workspace.mirror) == content(*offered.values())
    replaced = workspace.mirror / ".sedas-sync/replaced"
    assert (replaced / f"{ID}.SAFE/mine").read_bytes() == b"mine"
    assert (replaced / f"{OTHER}.SAFE").is_symlink()


def test_workers_fetch_and_the_run_unpacks(workspace, offered):
    from concurrent.futures import ThreadPoolExecutor

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        for key, value in workspace.env.items():
            patch.setenv(key, value)
        with ss.Mirror(ss.load_manifest(str(workspace.path / "manifest.toml"))) as mirror:
            assert mirror.apply(mirror.plan(), executor=pool).fetched == 2
    assert tree(workspace.mirror) == content(*offered.values())


def test_exports_and_the_report_show_folders(workspace, offered):
    workspace.run("apply")
    inside = content(*offered.values())

    def export(how):
        ran = workspace.run("export", "--format", how, "--out", workspace.path / how)
        assert ran.code == 0, ran.err
        return workspace.path / how

    sums = export("sha256sums").read_text()
    assert sums.splitlines() == [f"{hashlib.sha256(inside[name]).hexdigest()}  {name}" for name in sorted(inside)]
    links = export("urls").read_text()
    assert set(re.findall("out=(.*)", links)) == {f"{name}.zip" for name in offered}
    sha256 = {hashlib.sha256(data).hexdigest() for data in offered.values()}
    assert set(re.findall("checksum=sha-256=(.*)", links)) == sha256
    rows = list(csv.DictReader(io.StringIO(export("csv").read_text())))
    assert {row["path"]: int(row["size"]) for row in rows} == {
        f"{name}.SAFE": sum(map(len, content(data).values())) for name, data in offered.items()
    }
    (item,) = export("stac").rglob(f"{ID}.json")
    assets = json.loads(item.read_text())["assets"].values()
    assert {(item.parent / asset["href"]).resolve() for asset in assets} == {
        workspace.mirror / name for name in content(offered[ID])
    }
    assert workspace.run("report", "--out", workspace.path / "report.html").code == 0


# -- what a run has to survive ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("began_as", ["nothing", "zip", "damaged folder"])
def test_kills_leave_the_zip_or_the_folder(workspace, sandbox, began_as):
    seed = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1 << 30)
    print(f"KILL_SEED={seed}")
    chance = random.Random(seed)
    data = product(ID, bands=5)
    offer(sandbox, workspace.path, {ID: data})
    right, mine = content(data), {}
    start, last = workspace.path / "start", 80

    def begin():
        workspace.write(MAY, mirror="" if began_as == "zip" else UNPACK)
        if began_as != "nothing":
            assert workspace.run("apply").code == 0
        if began_as == "damaged folder":
            (workspace.mirror / f"{ID}.SAFE/GRANULE/B01.jp2").unlink()
            (workspace.mirror / f"{ID}.SAFE/mine.ovr").write_bytes(b"mine")
            mine[f"{ID}.SAFE/mine.ovr"] = b"mine"
        workspace.write(MAY, mirror=UNPACK)
        if workspace.mirror.exists():
            workspace.mirror.rename(start)

    begin()
    for _ in range(effort(3, 50)):
        shutil.rmtree(workspace.mirror, ignore_errors=True)
        if start.exists():
            shutil.copytree(start, workspace.mirror, copy_function=shutil.copy2)
        moment, since = chance.randint(1, last), len(sandbox.log)
        if not killed(workspace, moment, "apply"):
            last = min(last, moment)
        left = tree(workspace.mirror)
        zipped, folder = left.pop(f"{ID}.zip", data), {name: left[name] for name in left if name not in mine}
        note = f"moment {moment}, seed {seed}"
        assert zipped == data, note
        if began_as != "damaged folder":
            assert folder in ({}, right), f"half a folder: {note}"
        done = len(downloads(sandbox, since))
        had = bool(done) and ((workspace.mirror / f"{ID}.zip").exists() or folder == right)
        since = len(sandbox.log)
        ran = workspace.run("apply", "--json")
        assert ran.code == 0, (note, ran.err)
        if had or began_as == "zip":
            assert not downloads(sandbox, since), f"downloaded again: {note}"
        assert tree(workspace.mirror) == right | mine, note
        assert partial(workspace) == [], note
        assert workspace.run("apply", "--json").summary["kept"] == 1, note
        assert workspace.run("verify").code == 0, note


def test_a_full_disk_leaves_the_zip_and_the_next_run_goes_on(workspace, sandbox, offered):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr(f"{ID}.SAFE/large", bytes(3_000_000))
    offer(sandbox, workspace.path, {ID: packed.getvalue()})
    # A limit on the size of files is the full disk that needs no disk: writes beyond it fail in the same way.
    limited = subprocess.run(
        workspace.command("apply", "--json"),
        cwd=workspace.path,
        env=workspace.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: (
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        ),
    )
    assert limited.returncode == 1, limited.stderr
    assert "File too large" in json.loads(limited.stdout.splitlines()[-1])["failures"][0]["error"]
    assert tree(workspace.mirror) == {f"{ID}.zip": packed.getvalue()}
    assert partial(workspace) == [], "the room is free again"
    since = len(sandbox.log)
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"]) == (0, 1), ran.err
    assert not downloads(sandbox, since)
    assert tree(workspace.mirror) == content(packed.getvalue())


def test_a_folder_that_cannot_be_written_leaves_the_zip(workspace, offered):
    workspace.write(MAY)
    workspace.run("apply")
    workspace.write(MAY, mirror=UNPACK + '\nlayout = "taken/{id}"')
    (workspace.mirror / "taken").write_bytes(b"a file where a folder has to be")
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["failed"]) == (1, 2)
    assert tree(workspace.mirror).keys() == {"taken", *(f"{name}.zip" for name in offered)}
    (workspace.mirror / "taken").unlink()
    assert workspace.run("apply").code == 0
    assert tree(workspace.mirror) == {f"taken/{name}": data for name, data in content(*offered.values()).items()}
