"""verify and its --repair, end to end."""

import os
import re
import sqlite3
import zipfile
from contextlib import closing

import pytest

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

MAY = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
OFFLINE = {"SEDAS_USERNAME": "", "SEDAS_PASSWORD": ""}


def rows(names, **more):
    return [make_row(name, f"2019-05-{day:02}T11:00:00Z", **more) for day, name in enumerate(names, 1)]


@pytest.fixture
def filled(workspace, sandbox):
    sandbox._catalogue = RowCatalogue(rows("ABCDEF"))
    workspace.write(MAY, transfer="retries = 0")
    assert workspace.run("apply").code == 0
    return workspace


def another_zip(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("other.txt", "a whole zip, and not the scene")


def flip(path, *, keep_time):
    """Change one byte in the middle of a file."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def harm(workspace):
    """One file of each kind of trouble; E is only touched, F is right."""
    scenes = workspace.mirror
    (scenes / "A.zip").unlink()
    another_zip(scenes / "B.zip")
    flip(scenes / "C.zip", keep_time=True)
    (scenes / "D.zip").write_bytes((scenes / "D.zip").read_bytes()[:-100])
    os.utime(scenes / "E.zip")
    (scenes / "notes.txt").write_text("a stranger's")


def test_a_mirror_that_is_right(filled, sandbox):
    sandbox.close()
    ran = filled.run("verify", "--json", **OFFLINE)
    assert ran.code == 0, ran.err
    document = ran.json
    assert set(document) == {
        "schema", "manifest", "mirror", "lock", "summary", "findings", "scenes", "warnings", "repair",
    }  # fmt: skip
    assert document["summary"] == {
        "ok": 6, "missing": 0, "changed": 0, "corrupt": 0, "unreadable": 0, "unknown": 0,
        "bytes": sum(len(content) for content in filled.files().values()),
    }  # fmt: skip
    assert document["findings"] == []
    assert document["repair"] is None
    assert [scene["id"] for scene in document["scenes"]] == list("ABCDEF")
    assert {scene["level"] for scene in document["scenes"]} == {"crc"}
    assert set(document["scenes"][0]) == {
        "id", "path", "size", "sha256", "locked_sha256", "level", "by_lock", "finding", "detail",
    }  # fmt: skip
    assert filled.run("verify", **OFFLINE).out == "Verified: 6 OK (6 by crc).\n"
    assert filled.run("verify", "-q", **OFFLINE).out == ""


def test_findings_are_named_and_nothing_is_touched(filled, sandbox):
    harm(filled)
    before = filled.files()
    sandbox.close()
    ran = filled.run("verify", "--json", **OFFLINE)
    assert ran.code == 1
    found = {(item["path"], item["finding"]) for item in ran.json["findings"]}
    assert found == {
        ("A.zip", "missing"), ("B.zip", "changed"), ("C.zip", "corrupt"), ("D.zip", "corrupt"),
        ("notes.txt", "unknown"),
    }  # fmt: skip
    assert {item["path"]: item["id"] for item in ran.json["findings"]}["notes.txt"] is None
    assert ran.json["summary"]["ok"] == 2
    plain = filled.run("verify", **OFFLINE)
    assert plain.code == 1
    assert "missing  A.zip" in plain.out
    assert "Verified: 2 OK (2 by crc), 1 missing, 1 changed, 2 corrupt, 1 unknown." in plain.out
    assert filled.files() == before


def test_a_strangers_file_is_told_and_is_no_failure(filled):
    (filled.mirror / "notes.txt").write_text("mine")
    (filled.mirror / "sub").mkdir()
    another_zip(filled.mirror / "sub" / "X.zip")
    ran = filled.run("verify", "--json")
    assert ran.code == 0
    assert [item["path"] for item in ran.json["findings"]] == ["notes.txt", "sub/X.zip"]


def test_a_damaged_zip_outside_the_index_fails_if_it_is_named_like_a_wanted_scene(filled):
    (filled.mirror / "sub").mkdir()
    another_zip(filled.mirror / "sub" / "X.zip")
    another_zip(filled.mirror / "sub" / "whole.zip")
    for path in (filled.mirror / "sub" / "X.zip", filled.mirror / "B.zip"):
        path.write_bytes(path.read_bytes()[:-20])
    with closing(sqlite3.connect(filled.mirror / ".sedas-sync" / "index.db")) as index, index:
        index.execute("DELETE FROM files WHERE id = 'B'")
    ran = filled.run("verify")
    assert ran.code == 1
    assert re.search(r"corrupt  B\.zip .*not in the index: `verify --repair` downloads the scene", ran.out)
    assert re.search(r"unknown  sub/X\.zip .*not in the index, and damaged: ", ran.out)
    assert "unknown  sub/whole.zip  (not in the index)" in ran.out
    assert filled.run("verify", "--repair").code == 0
    again = filled.run("verify", "--json")
    assert (again.code, [item["path"] for item in again.json["findings"]]) == (0, ["sub/X.zip", "sub/whole.zip"])
    assert {scene["id"] for scene in again.json["scenes"]} == set("ABCDEF")


def test_a_damaged_zip_that_is_not_in_its_place_stays_where_it_is(filled):
    own = filled.mirror / "own" / "B.zip"
    own.parent.mkdir()
    (filled.mirror / "B.zip").rename(own)
    own.write_bytes(own.read_bytes()[:-20])
    damaged = own.read_bytes()
    with closing(sqlite3.connect(filled.mirror / ".sedas-sync" / "index.db")) as index, index:
        index.execute("DELETE FROM files WHERE id = 'B'")
    assert filled.run("verify", "--repair").code == 0
    assert (filled.mirror / "B.zip").is_file()
    assert own.read_bytes() == damaged
    again = filled.run("verify")
    assert again.code == 0
    assert re.search(r"unknown  own/B\.zip .*not in the index, and damaged: ", again.out)


def test_the_level_that_each_scene_reaches(workspace, sandbox):
    import hashlib

    first = workspace.path / "first.zip"
    another_zip(first)
    digest = hashlib.md5(first.read_bytes()).hexdigest()
    offered = [
        make_row("A", "2019-05-01T11:00:00Z", vendorSpecific={"Filehash": digest}),
        make_row("B", "2019-05-02T11:00:00Z"),
    ]
    sandbox._catalogue = RowCatalogue(offered, files=lambda _: first)
    workspace.write(MAY, transfer='integrity = "size"')
    assert workspace.run("apply").code == 0
    levels = {scene["id"]: scene["level"] for scene in workspace.run("verify", "--json").json["scenes"]}
    assert levels == {"A": "digest", "B": "crc"}, "all bytes are read, whatever integrity apply stops at"


def test_repair_fetches_those_anew_and_nothing_else(filled, sandbox):
    right = filled.files()
    harm(filled)
    downloads, searches = sandbox.downloads, sandbox.searches
    ran = filled.run("verify", "--repair", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["repair"]["fetched"] == 4
    assert ran.json["summary"]["ok"] == 2, "the findings are those before the repair"
    assert sandbox.downloads == downloads + 4
    assert sandbox.searches == searches, "scenes are looked up by id"
    assert filled.files() == right
    assert (filled.mirror / "notes.txt").read_text() == "a stranger's"
    replaced = filled.mirror / ".sedas-sync" / "replaced"
    assert {file.name for file in replaced.iterdir()} == {"B.zip", "D.zip"}, "what somebody wrote is nobody's to delete"
    assert zipfile.ZipFile(replaced / "B.zip").namelist() == ["other.txt"]
    assert filled.run("verify").code == 0
    assert filled.run("plan", "--exit-code").code == 0
    again = filled.run("verify", "--repair", **OFFLINE)
    assert (again.code, sandbox.downloads) == (0, downloads + 4)


def test_repair_of_what_no_dataset_wants_any_more(filled, sandbox):
    filled.write(MAY.replace("2019-05-01", "2019-05-05"))
    right = filled.files()
    (filled.mirror / "A.zip").unlink()
    ran = filled.run("verify", "--repair")
    assert ran.code == 0, ran.err
    assert "1 fetched" in ran.out
    assert filled.files() == right


def test_repair_orders_what_is_in_the_long_term_archive(filled, sandbox):
    right = filled.files()
    sandbox._catalogue = RowCatalogue(rows("ABCDEF", online=False))
    sandbox.order_delay = 3600
    (filled.mirror / "A.zip").unlink()
    waiting = filled.run("verify", "--repair", "--no-wait", "--json")
    assert waiting.code == 3
    assert (waiting.json["repair"]["ordered"], waiting.json["repair"]["pending"]) == (1, 1)
    assert filled.run("verify", "--repair", "--no-wait").code == 3
    assert sandbox.orders == 1, "what is pending is not ordered twice"
    sandbox.order_delay = 0
    assert filled.run("verify", "--repair").code == 0
    assert sandbox.orders == 1
    assert filled.files() == right


def test_a_scene_that_the_archive_has_lost_is_a_failure_and_what_is_here_stays(filled, sandbox):
    sandbox._catalogue = RowCatalogue(rows("ABCDEF")[1:])
    flip(filled.mirror / "A.zip", keep_time=False)
    (filled.mirror / "B.zip").unlink()
    damaged = (filled.mirror / "A.zip").read_bytes()
    ran = filled.run("verify", "--repair", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.json["repair"]["failures"]] == ["A"]
    assert ran.json["repair"]["fetched"] == 1, "all others are done"
    assert (filled.mirror / "A.zip").read_bytes() == damaged


def test_a_repair_whose_download_fails(filled, sandbox):
    (filled.mirror / "A.zip").unlink()
    sandbox.faults = Faults(rules=(Rule("download", fail(404)),))
    ran = filled.run("verify", "--repair")
    assert ran.code == 1
    assert "failed: A" in ran.err
    assert filled.run("verify", "--repair", SEDAS_PASSWORD="wrong").code == 4


def test_a_link_or_folder_in_a_held_scenes_place_is_set_aside_by_a_repair(filled):
    right = filled.files()
    outside = filled.path / "outside"
    outside.write_bytes(b"mine")
    for name in ("A.zip", "B.zip"):
        (filled.mirror / name).unlink()
    (filled.mirror / "A.zip").symlink_to(outside)
    (filled.mirror / "B.zip").mkdir()
    (filled.mirror / "B.zip" / "notes.txt").write_text("mine too")
    found = {item["path"]: item["finding"] for item in filled.run("verify", "--json").json["findings"]}
    assert found == {"A.zip": "changed", "B.zip": "missing", "B.zip/notes.txt": "unknown"}
    assert filled.run("verify", "--repair").code == 0
    assert filled.files() == right
    assert outside.read_bytes() == b"mine"
    replaced = filled.mirror / ".sedas-sync" / "replaced"
    assert (replaced / "A.zip").is_symlink()
    assert (replaced / "B.zip" / "notes.txt").read_text() == "mine too"


def test_a_damaged_index_is_said_and_is_a_failure(filled):
    (filled.mirror / ".sedas-sync" / "index.db").write_bytes(b"no database" * 100)
    ran = filled.run("verify", "--json")
    assert ran.code == 1
    assert ran.json["summary"]["unknown"] == 6
    assert "damaged" in ran.err


def test_another_manifests_mirror_and_none_at_all(filled):
    filled.write(MAY, name="other.toml")
    for command in ("verify", "status", "adopt", "orders"):
        refused = filled.run(command, "other.toml")
        assert refused.code == 2, command
        assert "manifest.toml" in refused.err
    filled.write(MAY, name="empty.toml", mirror='path = "nowhere"')
    assert filled.run("verify", "empty.toml", "--json").json["summary"]["ok"] == 0
    assert not (filled.path / "nowhere").exists()
