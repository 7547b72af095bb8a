"""Scenes of several files, from a STAC API: folders that appear whole or not at all."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cdse_server import zipped
from stac_server import NOW, StacServer

DATASET = '[dataset.bands]\naoi = "harwell"\nstart = 2023-05-01\nend = 2023-05-31\n'


@pytest.fixture
def stac():
    with StacServer() as running:
        yield running


@pytest.fixture
def place(workspace, stac):
    """A folder with a manifest for two scenes of two files each."""
    stac.add("S1", day=1)
    stac.add("S2", day=2)

    def write(archive="", dataset=DATASET, mirror=""):
        (workspace.path / "manifest.toml").write_text(
            f'version = 1\n[archive]\ntype = "stac"\nurl = "{stac.url}"\ncollections = "s2"\n{archive}\n'
            "[aoi.harwell]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n"
            f"[transfer]\nretries = 0\n[mirror]\n{mirror}\n{dataset}"
        )

    workspace.manifest = write
    write()
    return workspace


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and ".sedas-sync" not in path.parts
    }


def offered(stac, *ids):
    return {
        f"{path.split('/')[2]}/{path.split('/')[3]}": data
        for path, data in stac.files.items()
        if not ids or path.split("/")[2] in ids
    }


def partial(place):
    return sorted(path.name for path in (place.mirror / ".sedas-sync" / "partial").iterdir())


def test_plan_apply_and_nothing_more(place, stac):
    plan = place.run("plan", "--json").json
    sizes = {"S1": sum(map(len, offered(stac, "S1").values())), "S2": sum(map(len, offered(stac, "S2").values()))}
    assert {action["id"]: (action["action"], action["path"], action["size"]) for action in plan["actions"]} == {
        name: ("fetch", name, size) for name, size in sizes.items()
    }
    ran = place.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert (ran.summary["fetched"], ran.summary["bytes"]) == (2, sum(sizes.values()))
    assert tree(place.mirror) == offered(stac)
    assert partial(place) == []
    assert {event["total"] for event in ran.events if event["event"] == "progress"} <= {2}
    fetched = {event["id"]: event for event in ran.events if event["event"] == "fetched"}
    listing = "".join(
        f"{hashlib.sha256(data).hexdigest()}  {name.partition('/')[2]}\n"
        for name, data in sorted(offered(stac, "S1").items())
    )
    assert fetched["S1"]["sha256"] == hashlib.sha256(listing.encode()).hexdigest()
    assert fetched["S1"]["level"] == "digest"
    asked = len(stac.asked)
    again = place.run("apply", "--json")
    assert (again.code, again.summary["kept"], again.summary["fetched"]) == (0, 2, 0)
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])
    status = place.run("status", "--json").json
    assert (status["summary"]["held"], status["summary"]["bytes"], status["summary"]["unknown"]) == (
        2,
        sum(sizes.values()),
        0,
    )
    verified = place.run("verify", "--json").json
    assert (verified["summary"]["ok"], verified["summary"]["unknown"]) == (4, 0)


def test_a_folder_appears_whole_or_not_at_all(place, stac):
    stac.faults["/data/S1/visual.tif"] = [404]
    ran = place.run("apply", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["S1"]
    assert ran.summary["failures"][0]["error"].startswith("visual.tif: HTTP 404")
    assert tree(place.mirror) == offered(stac, "S2")
    assert partial(place) == ["S1.scene"]
    held = place.run("status", "--json").json
    assert held["summary"]["partial_bytes"] == len(stac.files["/data/S1/B04.tif"])
    assert place.run("plan", "--json").json["summary"]["resume"] == 1
    asked = len(stac.asked)
    assert place.run("apply").code == 0
    assert tree(place.mirror) == offered(stac)
    assert [one.path for one in stac.asked[asked:] if one.path.startswith("/data")] == ["/data/S1/visual.tif"]
    assert partial(place) == []


def test_a_file_that_comes_after_its_scene_has_failed_is_not_fetched_again(place, stac):
    stac.files["/data/S1/B04.tif"] = bytes(4 << 20)
    for item in stac.items:
        for asset in item["assets"].values():
            del asset["file:size"], asset["file:checksum"]
    stac.faults |= {"/data/S1/visual.tif": [500], "/data/S1/B04.tif": ["late"]}
    ran = place.run("apply", "--json")
    assert ran.code == 1
    asked = len(stac.asked)
    assert place.run("apply").code == 0
    assert tree(place.mirror) == offered(stac)
    assert [one.path for one in stac.asked[asked:] if one.path.startswith("/data")] == ["/data/S1/visual.tif"]


def test_a_cut_file_goes_on_where_it_ended(place, stac):
    stac.add("big", day=3, files={"B04": os.urandom(1 << 20)}, checksums=False)
    stac.faults["/data/big/B04.tif"] = ["cut"]
    assert place.run("apply").code == 1
    ran = place.run("apply", "--json")
    assert ran.code == 0
    last = [one for one in stac.asked if one.path == "/data/big/B04.tif"][-1]
    assert last.headers["Range"].startswith("bytes=")
    assert last.headers["Range"] != "bytes=0-"
    assert tree(place.mirror) == offered(stac)
    level = next(event["level"] for event in ran.events if event["event"] == "fetched")
    assert level == "size", "nothing but the length was promised"


@pytest.mark.parametrize("statement", ["file:checksum", "file:size"])
def test_what_differs_from_the_catalogue_never_gets_in(place, stac, statement):
    wrong = {"file:checksum": "1220" + 64 * "0", "file:size": 7}[statement]
    stac.items[0]["assets"]["B04"][statement] = wrong
    ran = place.run("apply", "--json")
    assert ran.code == 1
    assert "B04.tif" in ran.summary["failures"][0]["error"]
    assert tree(place.mirror) == offered(stac, "S2")


def test_a_signature_that_is_refused_is_renewed(place, stac):
    stac.signed = True
    stac.token_life = 3600 + datetime.now(UTC).timestamp() - NOW
    place.manifest(f'auth = "planetary-computer"\nsign_url = "{stac.url}/sas"\ntrusted_hosts = ["127.0.0.1"]')
    stac.faults["/data/S1/B04.tif"] = [403]
    ran = place.run("apply", "--json", "-vv")
    assert ran.code == 0, ran.err
    assert stac.tokens == 2
    assert tree(place.mirror) == offered(stac)
    assert "secret" not in ran.out + ran.err
    assert not any(b"secret" in file.read_bytes() for file in place.mirror.rglob("*") if file.is_file())


def test_damaged_and_missing_files_are_fetched_alone(place, stac):
    place.run("apply")
    (place.mirror / "S1" / "B04.tif").write_bytes(b"damaged")
    (place.mirror / "S2" / "visual.tif").unlink()
    (place.mirror / "S1" / "notes.txt").write_text("mine")
    plan = place.run("plan", "--json").json
    assert plan["summary"]["replace"] == 2
    asked = len(stac.asked)
    ran = place.run("apply", "--json")
    assert ran.code == 0
    assert sorted(one.path for one in stac.asked[asked:] if one.path.startswith("/data")) == [
        "/data/S1/B04.tif",
        "/data/S2/visual.tif",
    ]
    assert tree(place.mirror) == {**offered(stac), "S1/notes.txt": b"mine"}
    assert (place.mirror / ".sedas-sync" / "replaced" / "S1-B04.tif").read_bytes() == b"damaged"
    assert place.run("plan", "--json").json["summary"]["keep"] == 2


def test_a_touched_file_is_read_and_kept(place, stac):
    place.run("apply")
    os.utime(place.mirror / "S1" / "B04.tif", ns=(1, 1))
    asked = len(stac.asked)
    ran = place.run("apply", "--json")
    assert (ran.summary["kept"], ran.code) == (2, 0)
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])


def test_verify_finds_bit_rot_and_repairs_that_file(place, stac):
    place.run("apply")
    rotten = place.mirror / "S1" / "B04.tif"
    times = rotten.stat()
    rotten.write_bytes(b"?" + rotten.read_bytes()[1:])
    os.utime(rotten, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert place.run("plan", "--json").json["summary"]["keep"] == 2, "size and time are what they were"
    report = place.run("verify", "--json")
    assert report.code == 1
    assert [(item["path"], item["finding"], item["id"]) for item in report.json["findings"]] == [
        ("S1/B04.tif", "corrupt", "S1")
    ]
    asked = len(stac.asked)
    assert place.run("verify", "--repair").code == 0
    assert [one.path for one in stac.asked[asked:] if one.path.startswith("/data")] == ["/data/S1/B04.tif"]
    assert tree(place.mirror) == offered(stac)
    assert place.run("verify").code == 0


def test_other_assets_are_fetched_and_dropped(place, stac):
    place.manifest('assets = "B04"')
    place.run("apply")
    assert sorted(tree(place.mirror)) == ["S1/B04.tif", "S2/B04.tif"]
    place.manifest('assets = ["B*", "vis?al"]')
    assert "visual.tif is missing" in place.run("plan").out
    asked = len(stac.asked)
    place.run("apply")
    assert tree(place.mirror) == offered(stac)
    assert not any("B04" in one.path for one in stac.asked[asked:])
    place.manifest('assets = "visual"')
    place.run("apply")
    assert sorted(tree(place.mirror)) == ["S1/visual.tif", "S2/visual.tif"]


@pytest.mark.parametrize("change", ["gone", "s3"])
def test_a_file_that_the_catalogue_loses_stays(place, stac, change):
    assert place.run("apply").code == 0
    before = tree(place.mirror)
    if change == "gone":
        del stac.items[0]["assets"]["visual"]
    else:
        stac.items[0]["assets"]["visual"]["href"] = "s3://bucket/visual.tif"
    for command in (["apply"], ["lock"], ["apply", "--locked"], ["verify"]):
        assert place.run(*command).code == 0
        assert tree(place.mirror) == before
    place.manifest('assets = "B04"')
    assert place.run("apply").code == 0
    # Only what the item still has can be unselected.
    assert [path for path in tree(place.mirror) if "visual" in path] == (["S1/visual.tif"] if change == "gone" else [])


def test_a_new_layout_moves_the_folder_with_all_that_is_in_it(place, stac):
    place.run("apply")
    (place.mirror / "S1" / "notes.txt").write_text("mine")
    place.manifest(mirror='layout = "{satellite}/{start:%Y}/{id}"')
    asked = len(stac.asked)
    assert place.run("apply").code == 0
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])
    moved = {f"sentinel-2a/2023/{name}": data for name, data in offered(stac).items()}
    assert tree(place.mirror) == {**moved, "sentinel-2a/2023/S1/notes.txt": b"mine"}
    assert place.run("verify").code == 0


def test_a_folder_moves_out_of_itself_and_into_itself(place, stac):
    """The new place of a folder is one that it lies in, and the other way round, also where its files change too."""
    place.run("apply")
    asked = len(stac.asked)
    place.manifest(mirror='layout = "{id}/{id}"')
    assert place.run("apply").code == 0
    nested = {f"{name.partition('/')[0]}/{name}": data for name, data in offered(stac).items()}
    assert tree(place.mirror) == nested
    (place.mirror / "S1" / "notes.txt").write_text("mine")
    place.manifest()
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["failed"]) == (0, 2, 0)
    assert tree(place.mirror) == offered(stac)
    replaced = place.mirror / ".sedas-sync" / "replaced"
    assert {str(path.relative_to(replaced)) for path in replaced.rglob("*.t*")} == {"S1/notes.txt"}
    place.manifest(mirror='layout = "{id}/{id}"')
    place.run("apply")
    place.manifest('assets = "visual"')
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["warnings"]) == (0, 0)
    assert sorted(tree(place.mirror)) == ["S1/visual.tif", "S2/visual.tif"]
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])
    assert place.run("verify").code == 0


def test_a_kill_while_a_folder_steps_aside_loses_nothing(place, stac):
    place.manifest(mirror='layout = "{id}/{id}"')
    place.run("apply")
    asked = len(stac.asked)
    place.manifest()
    script = """
import os, sys
from sedas_sync.files import safe_tree
real = safe_tree.move_folder
def move(root, old, new):
    if old.endswith(".moving"):
        os._exit(9)
    real(root, old, new)
safe_tree.move_folder = move
sys.argv = ["sedas-sync", "apply"]
from sedas_sync.__main__ import main
main()
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=place.path, env=place.environment()).returncode == 9
    assert place.run("apply").code == 0
    assert tree(place.mirror) == offered(stac)
    assert not list((place.mirror / ".sedas-sync").glob("partial/*"))
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])


def test_a_kill_while_an_old_place_is_cleared_loses_nothing(place, stac):
    """The folder is in its new place with other files than it had, and one file of its old place is gone."""
    without_statements(stac)
    place.run("apply")
    stac.add("S1b", day=9)
    stac.files["/data/S1/extra.tif"] = b"extra" * 20
    stac.items[0]["assets"]["extra"] = {"href": "../../../../data/S1/extra.tif", "roles": ["data"]}
    place.manifest(mirror='layout = "{id}-x"')
    script = """
import os, sys
from sedas_sync.files import safe_tree
real = safe_tree.remove
def remove(root, path):
    real(root, path)
    if path.startswith("S1/"):
        os._exit(9)
safe_tree.remove = remove
sys.argv = ["sedas-sync", "apply"]
from sedas_sync.__main__ import main
main()
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=place.path, env=place.environment()).returncode == 9
    assert (place.mirror / "S1" / "visual.tif").exists()
    asked = len(stac.asked)
    assert place.run("apply").code == 0
    assert not any(one.path.startswith("/data/S1/") for one in stac.asked[asked:] if one.method == "GET")
    assert tree(place.mirror) == {name.replace("/", "-x/"): data for name, data in offered(stac).items()}
    assert place.run("verify").code == 0


def test_prune_takes_what_it_knows_and_no_more(place, stac):
    place.run("apply")
    (place.mirror / "S1" / "notes.txt").write_text("mine")
    place.manifest(dataset=DATASET.replace("2023-05-01", "2023-05-02").replace("05-31", "05-30") + 'exclude = ["S2"]\n')
    ran = place.run("apply", "--prune", "--json")
    assert ran.code == 0, ran.err
    assert ran.summary["pruned"] == 2
    assert tree(place.mirror) == {"S1/notes.txt": b"mine"}
    assert not (place.mirror / "S2").exists()


def test_prune_takes_downloads_under_way_of_scenes_that_are_not_wanted(place, stac):
    stac.faults |= {"/data/S1/visual.tif": [404] * 3, "/data/S2/visual.tif": [404] * 6}
    assert place.run("apply").code == 1
    parts = partial(place)
    assert len(parts) == 2
    (place.mirror / ".sedas-sync" / "partial" / "mine.txt").write_text("mine")
    place.manifest(dataset=DATASET + 'exclude = ["S1"]\n')
    assert place.run("apply").code == 1, "S2 fails again"
    assert partial(place) == sorted([*parts, "mine.txt"])
    stac.faults.clear()
    assert "1 partial download (100 B) of scenes that no longer match" in place.run("plan", "--prune").err
    ran = place.run("apply", "--prune", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["pruned"]) == (0, 1, 0)
    assert partial(place) == ["mine.txt"]
    assert place.run("status", "--json").json["summary"]["failed"] == 0
    assert tree(place.mirror) == offered(stac, "S2")


def test_every_file_is_exported(place, stac):
    place.run("apply")
    sums = place.run("export", "--format", "sha256sums")
    assert sums.code == 0, sums.err
    checked = subprocess.run(["sha256sum", "--check", "--strict"], cwd=place.mirror, input=sums.out, text=True)
    assert checked.returncode == 0
    assert sorted(line.split("  ")[1] for line in sums.out.splitlines()) == sorted(offered(stac))
    links = place.run("export", "--format", "urls").out
    assert [line for line in links.splitlines() if line.startswith("http")] == [
        f"{stac.url}{path}" for path in sorted(stac.files)
    ]
    assert "  out=S1/B04.tif\n" in links
    assert place.run("export", "--format", "stac").code == 0
    (item,) = (json.loads(path.read_text()) for path in place.path.glob("stac/*/items/S1.json"))
    assert set(item["assets"]) == {"B04", "visual"}
    assert item["assets"]["B04"]["href"].endswith("/scenes/S1/B04.tif")
    shown = place.run("export", "--format", "geojson").json
    assert [feature["properties"]["path"] for feature in shown["features"]] == ["S1", "S2"]
    assert place.run("report", "--json").json["scenes"] == 2
    (place.mirror / "S1" / "visual.tif").unlink()
    assert "S1/visual.tif is gone" in place.run("export", "--format", "csv").err
    assert place.run("status", "--json").json["summary"]["changed"] == 1


def test_what_stands_in_the_way_is_set_aside(place, stac):
    place.mirror.mkdir()
    (place.mirror / "S1").write_text("a file")
    (place.mirror / "S2").mkdir()
    (place.mirror / "S2" / "B04.tif").write_text("something else")
    ran = place.run("apply", "--json")
    assert ran.code == 0
    assert tree(place.mirror) == offered(stac)
    replaced = place.mirror / ".sedas-sync" / "replaced"
    assert ((replaced / "S1").read_text(), (replaced / "S2" / "B04.tif").read_text()) == ("a file", "something else")


def test_nothing_is_written_through_a_link(place, stac, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    place.mirror.mkdir()
    (place.mirror / "S1").symlink_to(outside)
    assert place.run("apply").code == 0
    assert list(outside.iterdir()) == []
    assert (place.mirror / ".sedas-sync" / "replaced" / "S1").is_symlink()
    assert tree(place.mirror) == offered(stac)


def test_a_lost_index_is_rebuilt_from_folders_that_the_catalogue_can_vouch_for(place, stac):
    place.run("apply")
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (place.mirror / ".sedas-sync" / name).unlink(missing_ok=True)
    asked = len(stac.asked)
    ran = place.run("apply", "--json")
    assert (ran.summary["adopted"], ran.code) == (2, 0)
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])


def without_statements(stac):
    for item in stac.items:
        for asset in item["assets"].values():
            del asset["file:size"], asset["file:checksum"]


@pytest.mark.parametrize("command", ["apply", "adopt", "saved"])
def test_a_lost_index_is_rebuilt_by_the_lengths_that_the_server_announces(place, stac, command):
    without_statements(stac)
    place.run("apply")
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (place.mirror / ".sedas-sync" / name).unlink(missing_ok=True)
    (place.mirror / "S2" / "B04.tif").write_bytes(b"of another length")
    asked = len(stac.asked)
    if command == "adopt":
        assert {item["file"]: item["result"] for item in place.run("adopt", "--json").json["files"]} == {
            "S1": "adopted",
            "S2": "wrong",
        }
    elif command == "saved":
        assert place.run("plan", "--out", "p.json").code == 0
    ran = place.run("apply", "--json", *(["--plan", "p.json"] if command == "saved" else []))
    assert (ran.code, ran.summary["fetched"], ran.summary["adopted"] + ran.summary["kept"]) == (0, 1, 1), ran.err
    got = {one.path for one in stac.asked[asked:] if one.path.startswith("/data") and one.method == "GET"}
    assert got == {"/data/S2/B04.tif", "/data/S2/visual.tif"}
    assert tree(place.mirror) == offered(stac)


def test_an_address_that_cannot_be_asked_has_no_size_and_stops_no_plan(place, stac):
    without_statements(stac)
    stac.items[0]["assets"]["B04"]["href"] = "http://127.0.0.1:1/B04.tif"
    plan = place.run("plan", "--sizes", "--json")
    assert (plan.code, plan.json["summary"]["bytes"]) == (0, None)
    assert {action["id"]: action["size"] for action in plan.json["actions"]} == {"S1": None, "S2": 500}


def test_an_index_of_the_first_format_is_carried_on(place, stac):
    place.run("apply")
    db = sqlite3.connect(place.mirror / ".sedas-sync" / "index.db")
    db.executescript(
        "DROP INDEX folders; ALTER TABLE files DROP COLUMN parts; DELETE FROM files; PRAGMA user_version = 1;"
    )
    db.close()
    assert place.run("status", "--json").json["summary"]["held"] == 0
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"]) == (0, 2)
    assert place.run("status", "--json").json["summary"]["held"] == 2


def test_scene_that_can_never_be_downloaded_is_skipped(place, stac):
    for asset in stac.items[0]["assets"].values():
        asset["href"] = "s3://bucket/B04.tif"
    plan = place.run("plan", "--json").json
    (skip,) = (action for action in plan["actions"] if action["action"] == "skip")
    assert skip["id"] == "S1"
    assert (
        skip["reason"]
        == "its assets B04, visual cannot be downloaded: the address is s3://; set `s3 = {}` in the archive's table"
    )
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"], ran.summary["pending"]) == (0, 1, 0)
    assert place.run("lock").code == place.run("apply", "--locked").code == place.run("verify").code == 0


@pytest.mark.parametrize(
    ("asset", "data", "problem"),
    [
        ({"type": "application/zip"}, b"", None),
        ({"type": "application/zip"}, b"cut", "a.zip: the download is not the scene: the zip is damaged"),
        ({}, b"cut", "a: the download is not the scene: the zip is damaged"),
        ({"type": "application/zip"}, b"page", "a.zip: the server sent an HTML page instead of the scene"),
    ],
)
def test_zip_is_known_by_its_media_type_or_first_bytes(place, stac, asset, data, problem):
    """A link such as `…/$value` has no name of a zip."""
    whole = zipped("product")
    stac.items.clear()
    stac.file_type = "application/octet-stream"
    item = stac.add("S1", files={})
    stac.files["/data/S1/$value"] = {b"": whole, b"cut": whole[:-30], b"page": b"<html></html>"}[data]
    item["assets"]["a"] = {"href": f"{stac.url}/data/S1/$value", "roles": ["data"], **asset}
    ran = place.run("apply")
    assert ran.code == (0 if problem is None else 1)
    assert (problem or "") in ran.err


def test_what_has_to_be_ordered_elsewhere_waits(place, stac):
    stac.items[0]["properties"]["order:status"] = "orderable"
    plan = place.run("plan", "--json").json
    (wait,) = (action for action in plan["actions"] if action["action"] == "wait")
    assert "it must be ordered (order:status is orderable)" in wait["reason"]
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["pending"], ran.summary["fetched"]) == (3, 1, 1)
    assert place.run("plan", "--exit-code").code == 0
    stac.items[0]["properties"]["order:status"] = "succeeded"
    assert place.run("apply").code == 0
    assert tree(place.mirror) == offered(stac)


def test_the_lock_pins_every_file_and_reproduces_them(place, stac):
    place.run("apply")
    assert place.run("lock").code == 0
    first, one, _ = (place.path / "manifest.lock").read_text().splitlines()
    pin = json.loads(one)
    files = {name.partition("/")[2]: data for name, data in offered(stac, "S1").items()}
    assert pin["id"] == "S1"
    assert pin["files"] == {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    assert json.loads(first)["archives"]["archive"]["collections"] == ["s2"]
    again = place.run("apply", "--locked", "--json")
    assert (again.summary["kept"], again.code) == (2, 0)
    place.manifest(mirror='path = "other"')
    stac.add("S3", day=3)
    stac.items[1]["assets"]["extra"] = {"href": "/data/S1/extra.tif", "roles": ["data"]}
    ran = place.run("apply", "--locked", "--json")
    assert ran.code == 0, ran.out
    assert tree(place.path / "other") == tree(place.mirror) == {**offered(stac, "S1"), **offered(stac, "S2")}
    assert place.run("apply", "--locked").code == 0
    assert place.run("lock", "--check").code == 10
    stac.files["/data/S2/B04.tif"] = b"other bytes" * 20
    stac.items[1]["assets"]["B04"].update({"file:size": 220, "file:checksum": None})
    place.manifest(mirror='path = "third"')
    ran = place.run("apply", "--locked", "--json")
    assert ran.code == 1
    assert "the lock file has" in ran.summary["failures"][0]["error"]
    assert tree(place.path / "third") == offered(stac, "S1")
    place.manifest('assets = "B04"')
    assert "archive.assets" in place.run("apply", "--locked").err


def test_a_locked_file_that_the_archive_has_no_more_is_a_failure(place, stac):
    place.run("lock")
    del stac.items[1]["assets"]["visual"]
    ran = place.run("apply", "--locked", "--json")
    assert (ran.code, ran.summary["fetched"]) == (1, 1)
    assert ran.summary["failures"] == [{"id": "S2", "error": "the archive no longer has its files visual.tif"}]


def test_sizes_that_the_catalogue_does_not_say_are_asked_for(place, stac):
    stac.add("S3", day=3, checksums=False)
    plan = place.run("plan", "--json").json
    assert next(action["size"] for action in plan["actions"] if action["id"] == "S3") is None
    sized = place.run("plan", "--json", "--sizes").json
    assert sized["summary"]["bytes"] == sum(map(len, stac.files.values()))


@pytest.mark.parametrize("moment", ["staged", "between", "placed"])
def test_a_kill_at_any_moment_of_the_commit_loses_nothing(place, stac, moment):
    """Puts the folders as a kill leaves them: before the rename, between two, and before the index has its row."""
    for item in stac.items:
        for asset in item["assets"].values():
            del asset["file:size"], asset["file:checksum"]
    place.run("apply")
    (place.mirror / "S1" / "notes.txt").write_text("mine")
    (place.mirror / "S1" / "B04.tif").write_bytes(b"damaged")
    script = f"""
import os, sys
from sedas_sync.files import safe_tree
real = safe_tree.move_folder
count = 0
def move(root, old, new):
    global count
    if {moment!r} == "staged" or ({moment!r} == "between" and count == 1):
        os._exit(9)
    real(root, old, new)
    count += 1
    if {moment!r} == "placed" and count == 2:
        os._exit(9)
safe_tree.move_folder = move
sys.argv = ["sedas-sync", "apply"]
from sedas_sync.__main__ import main
main()
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=place.path, env=place.environment()).returncode == 9
    asked = len(stac.asked)
    assert place.run("apply").code == 0
    assert not any(one.path.startswith("/data/S1") for one in stac.asked[asked:])
    assert tree(place.mirror) == {**offered(stac), "S1/notes.txt": b"mine"}
    assert partial(place) == []
    assert place.run("verify").code == 0


def test_a_sedas_and_a_stac_dataset_together(workspace, sandbox, stac):
    stac.add("S1", day=1)
    workspace.env |= {"SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"}
    manifest = (
        f'version = 1\n[archives.uk]\ntype = "sedas"\nurl = "{workspace.url}"\n'
        f'[archives.bands]\ntype = "stac"\nurl = "{stac.url}"\ncollections = ["s2"]\nassets = ["B*", "visual"]\n'
        "[aoi.harwell]\nbbox = [-1.4, 51.5, -1.2, 51.6]\n"
        '[dataset.zips]\narchive = "uk"\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-06\nsensor = "optical"\n'
        + DATASET
        + 'archive = "bands"\n'
    )
    (workspace.path / "manifest.toml").write_text(manifest)
    planned = workspace.run("plan", "--json").json
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert ran.summary["fetched"] == len(planned["actions"]) > 2
    assert "S1/B04.tif" in tree(workspace.mirror)
    assert sum(name.endswith(".zip") for name in tree(workspace.mirror)) == len(planned["actions"]) - 1
    assert workspace.run("lock").code == 0
    again = workspace.run("apply", "--json")
    assert (again.summary["kept"], again.summary["fetched"]) == (len(planned["actions"]), 0)
    assert workspace.run("verify").code == 0
    (workspace.path / "manifest.toml").write_text(manifest + '[mirror]\npath = "copy"\n')
    ran = workspace.run("apply", "--locked", "--json")
    assert ran.code == 0, ran.out
    assert tree(workspace.path / "copy") == tree(workspace.mirror)


@pytest.mark.parametrize("how", ["--link", "--copy", "--move"])
def test_folders_that_are_there_are_adopted(place, stac, how):
    place.run("apply")
    place.mirror.rename(place.path / "old")
    shutil.rmtree(place.path / "old" / ".sedas-sync")
    (place.path / "old" / "S2").rename(place.path / "old" / "my S2 of May")
    (place.path / "old" / "S1" / "notes.txt").write_text("mine")
    stac.add("S3", day=3)
    (place.path / "old" / "S3").mkdir()
    (place.path / "old" / "S3" / "B04.tif").write_bytes(stac.files["/data/S3/B04.tif"])
    asked = len(stac.asked)
    ran = place.run("adopt", "--from", "old", "--json", *([] if how == "--link" else [how]))
    assert ran.code == 1, "one is not whole"
    assert {item["file"]: (item["result"], item["id"]) for item in ran.json["files"]} == {
        "S1": ("adopted", "S1"),
        "my S2 of May": ("adopted", "S2"),
        "S3": ("wrong", "S3"),
    }
    assert tree(place.mirror) == offered(stac, "S1") | offered(stac, "S2")
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])
    assert (place.path / "old" / "S1" / "B04.tif").exists() == (how != "--move")
    assert (place.path / "old" / "S1" / "notes.txt").exists()
    assert place.run("plan", "--json").json["summary"]["keep"] == 2
    assert place.run("verify").code == 0


def test_a_folder_of_the_mirror_is_adopted_where_it_belongs(place, stac):
    place.mirror.mkdir()
    (place.mirror / "old").mkdir()
    (place.mirror / "old" / "S1").mkdir()
    for name in ("B04.tif", "visual.tif"):
        (place.mirror / "old" / "S1" / name).write_bytes(stac.files[f"/data/S1/{name}"])
    assert place.run("adopt").code == 0
    assert tree(place.mirror) == offered(stac, "S1")
    assert place.run("plan", "--json").json["summary"]["keep"] == 1


class Over(list):
    """Faults of a link whose signature ends with the first request."""

    def __init__(self, status, asset):
        super().__init__([status])
        self.asset = asset

    def pop(self, *_):
        self.asset["href"] = self.asset["href"].replace("?sig=old", "?sig=new")
        return super().pop()


@pytest.mark.parametrize("status", [403, 404])
def test_a_link_that_the_catalogue_signed_and_that_is_over_is_asked_for_anew(place, stac, status):
    """Storage that signs its links refuses one that is over with 403, and no token was ever sent along."""
    asset = stac.items[0]["assets"]["B04"]
    path = "/data/S1/B04.tif"
    asset["href"] += "?sig=old"
    stac.faults[path] = Over(status, asset)
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 2), ran.out
    assert [one.path.partition("?")[2] for one in stac.asked if one.path.startswith(path)] == ["sig=old", "sig=new"]


def test_a_file_that_is_refused_says_nothing_of_a_token_where_there_is_none(place, stac):
    stac.faults["/data/S1/B04.tif"] = [403, 403, 403]
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["failed"]) == (4, 1)
    assert "HTTP 403" in ran.out
    assert "token" not in ran.summary["failures"][0]["error"]


@pytest.fixture
def shelved(workspace, stac):
    """A STAC API that gives scenes as folders, and a shelf that has the same scenes as zips."""
    shelf = workspace.path / "shelf"
    shelf.mkdir()
    for day, name in enumerate(("S1", "S2"), 1):
        stac.add(name, day=day)
        with zipfile.ZipFile(shelf / f"{name}.zip", "w") as file:
            file.writestr(f"{name}.SAFE/manifest.safe", name)

    def write(archives):
        (workspace.path / "manifest.toml").write_text(
            f'version = 1\n[archives.stac]\ntype = "stac"\nurl = "{stac.url}"\ncollections = "s2"\n'
            '[archives.shelf]\ntype = "directory"\npath = "shelf"\n[transfer]\nretries = 0\n'
            f'[dataset.named]\narchive = {archives}\nproducts = ["S1", "S2"]\n'
        )

    workspace.manifest = write
    return workspace


def test_a_folder_stays_one_while_the_archive_that_gave_it_is_asked(shelved, stac):
    shelved.manifest('["stac", "shelf"]')
    assert shelved.run("apply").code == 0
    assert tree(shelved.mirror) == offered(stac)
    shelved.manifest('["shelf", "stac"]')
    assert shelved.run("plan", "--json").json["summary"]["keep"] == 2, "nothing moves with who describes it"
    shelved.manifest('["stac", "shelf"]')
    stac.conforms, stac.faults = [], {"/": [500] * 99, "": [500] * 99, "/search": [500] * 99}
    assert shelved.run("apply", "--json").summary["kept"] == 2, "nor with who is down"
    assert tree(shelved.mirror) == offered(stac)
    shelved.manifest('"shelf"')
    (first, _) = shelved.run("plan", "--json").json["actions"]
    assert (first["action"], first["path"]) == ("replace", "S1.zip")
    assert first["reason"] == "a folder in the mirror, one file in the archive"
    assert shelved.run("apply", "--json").summary["fetched"] == 2
    assert sorted(tree(shelved.mirror)) == ["S1.zip", "S2.zip"]
    assert shelved.run("plan", "--exit-code").code == 0


def test_checksums_that_the_catalogue_states_by_another_algorithm_fetch_nothing(place, stac):
    """`file:checksum` from SHA-256 to SHA-1: each file is compared by the new one; only what has changed is fetched."""
    assert place.run("apply").code == 0
    for item in stac.items:
        for name, asset in item["assets"].items():
            digest = hashlib.sha1(stac.files[f"/data/{item['id']}/{name}.tif"]).hexdigest()
            asset["file:checksum"] = f"1114{digest}"
    asked = len(stac.asked)
    assert place.run("plan", "--exit-code").code == 0
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["kept"], ran.summary["fetched"]) == (0, 2, 0)
    assert not any(one.path.startswith("/data") for one in stac.asked[asked:])
    data = bytes(reversed(stac.files["/data/S1/B04.tif"]))
    stac.files["/data/S1/B04.tif"] = data
    for item in stac.items:
        for name, asset in item["assets"].items():
            content = data if (item["id"], name) == ("S1", "B04") else stac.files[f"/data/{item['id']}/{name}.tif"]
            asset["file:checksum"] = "1220" + hashlib.sha256(content).hexdigest()
    asked = len(stac.asked)
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["kept"], ran.summary["fetched"]) == (0, 1, 1)
    assert {one.path for one in stac.asked[asked:] if one.path.startswith("/data")} == {"/data/S1/B04.tif"}
    assert tree(place.mirror) == offered(stac)


def test_files_of_a_public_bucket_are_downloaded_through_rewritten_links(place, stac):
    for item in stac.items:
        for asset in item["assets"].values():
            asset["href"] = asset["href"].replace("../../../..", "s3://bucket")
    place.manifest()
    assert place.run("plan", "--json").json["summary"]["skip"] == 2
    place.manifest(f'rewrite = {{ "s3://bucket/" = "{stac.url}/" }}')
    ran = place.run("apply", "--json")
    assert (ran.code, ran.summary["fetched"]) == (0, 2), ran.err
    assert tree(place.mirror) == offered(stac)
    assert place.run("lock").code == 0
    place.manifest(f'rewrite = {{ "s3://" = "{stac.url}/other/" }}')
    assert place.run("apply", "--locked").code == 0, "another address of the same bytes needs no other lock file"
