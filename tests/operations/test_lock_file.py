"""verify and status judge by the lock where there is one."""

import hashlib
import shutil
import sqlite3
import zipfile

import pytest

from sedas_sync.sandbox import RowCatalogue, make_row

RULES = 'aoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
DATASET = f"[dataset.d]\n{RULES}"
OFFLINE = {"SEDAS_USERNAME": "", "SEDAS_PASSWORD": ""}


def row(name, **more):
    return make_row(name, f"2019-05-{1 + ord(name) - ord('A'):02}T11:00:00Z", **more)


def zipped(folder, name, version=1):
    target = folder / f".{name}-{version}"
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(zipfile.ZipInfo("noise.bin"), hashlib.sha256(f"{name}{version}".encode()).digest() * 500)
    return target.read_bytes()


@pytest.fixture
def workspace(workspace):
    return workspace


@pytest.fixture
def put(workspace, sandbox):
    """Give the sandbox a catalogue: names of scenes, and which version of their bytes it has."""

    def change(names, version=1, **more):
        files = {name: zipped(workspace.path, name, version) for name in names}
        sandbox._catalogue = RowCatalogue([row(name, **more) for name in names], files=files)
        return files

    return change


@pytest.fixture
def locked(workspace, put):
    """A mirror of four scenes, and its lock with digests."""
    put("ABCD")
    workspace.write(DATASET, transfer="retries = 0")
    assert workspace.run("apply", "--update-lock").code == 0
    return workspace


def findings(ran):
    return {item["id"] or item["path"]: item["finding"] for item in ran.json["findings"]}


# -- verify ----------------------------------------------------------------------------------------------------------


def test_verify_proves_by_the_lock_and_says_so(locked, sandbox):
    """`plan --locked`, `verify` and `status` read it too."""
    sandbox.close()
    ran = locked.run("verify", "--json", **OFFLINE)
    assert ran.code == 0, ran.err
    assert ran.json["lock"] == str(locked.path / "manifest.lock") or ran.json["lock"] == "manifest.lock"
    for scene in ran.json["scenes"]:
        assert scene["locked_sha256"] == scene["sha256"]
        assert (scene["level"], scene["by_lock"]) == ("digest", True)
    assert locked.run("verify", **OFFLINE).out == "Verified: 4 OK (4 by lock).\n"


def test_a_file_that_an_apply_replaced_is_right_until_the_lock_is_applied(locked, put):
    """Without `--locked` the manifest decides, and the lock file only adds checksums."""
    put("ABCD", version=2)
    (locked.mirror / "B.zip").unlink()
    assert locked.run("apply").code == 0
    ran = locked.run("verify", "--json")
    assert (ran.code, findings(ran)) == (0, {})
    assert [scene["by_lock"] for scene in ran.json["scenes"]] == [True, False, True, True]
    (warning,) = ran.json["warnings"]
    assert "1 scene changed or removed by an apply since" in warning
    assert locked.run("status", "--json").json["summary"]["up_to_date"] is True

    assert locked.run("apply", "--locked").code == 1, "the archive has other bytes"
    ran = locked.run("verify", "--json")
    assert ran.code == 1
    assert findings(ran) == {"B": "changed"}
    assert "the lock file has" in ran.json["findings"][0]["detail"]

    refused = locked.run("verify", "--repair", "--json")
    assert refused.code == 1, "the archive has other bytes than the lock, and those are not put in place"
    assert [failure["id"] for failure in refused.json["repair"]["failures"]] == ["B"]
    right = put("ABCD")
    assert locked.run("verify", "--repair").code == 0
    assert locked.files()["B.zip"] == right["B"]
    assert locked.run("verify").code == 0


def test_a_locked_scene_that_was_never_fetched_is_missing(locked, put, sandbox):
    files = put("ABCDE")
    assert locked.run("lock").code == 0
    ran = locked.run("verify", "--json", **OFFLINE)
    assert ran.code == 1
    assert findings(ran) == {"E": "missing"}
    (found,) = ran.json["findings"]
    assert (found["path"], found["size"], found["sha256"], found["level"]) == ("E.zip", 0, None, None)
    assert "it is in the lock file" in found["detail"]
    assert ran.json["summary"]["missing"] == 1
    searches = sandbox.searches
    assert locked.run("verify", "--repair").code == 0
    assert sandbox.searches == searches
    assert locked.files()["E.zip"] == files["E"]
    assert locked.run("status", "--json").json["summary"]["up_to_date"] is True


def test_a_missing_scene_whose_place_the_lock_does_not_tell(locked, put):
    layout = 'layout = "{satellite}/{id}"'
    files = put("ABCDE")
    locked.write(DATASET, mirror=layout)
    assert locked.run("lock").code == 0
    ran = locked.run("verify", "--json")
    assert [(item["id"], item["path"]) for item in ran.json["findings"]] == [("E", None)]
    assert "missing  E  (it is in the lock file" in locked.run("verify").out
    assert locked.run("verify", "--repair").code == 0
    assert (locked.mirror / "Sentinel-2A" / "E.zip").read_bytes() == files["E"]


def test_a_scene_that_was_locked_since_belongs_to_its_dataset(locked, put):
    rules = RULES.replace("2019-05-31", "2019-05-04")
    later = RULES.replace("2019-05-01", "2019-05-05")
    locked.write(f"[dataset.d]\n{rules}[dataset.later]\n{later}", mirror='layout = "{dataset}/{satellite}/{id}"')
    assert locked.run("apply", "--update-lock").code == 0
    files = put("ABCDE")
    assert locked.run("lock").code == 0
    assert locked.run("verify", "--repair").code == 0
    assert (locked.mirror / "later" / "Sentinel-2A" / "E.zip").read_bytes() == files["E"]


def test_a_scene_that_left_need_not_be_there_and_has_to_be_right_if_it_is(locked, put):
    locked.write(f"[dataset.d]\n{RULES}latest = 3\n", transfer="retries = 0")
    assert locked.run("lock").code == 0
    assert locked.run("apply").code == 0
    put("ABCDE")
    assert locked.run("apply").code == 0
    summary = locked.run("status", "--json").json["summary"]
    assert (summary["wanted"], summary["unwanted"], summary["missing"]) == (3, 2, 0), "A and B left"
    by_lock = {scene["id"]: scene["by_lock"] for scene in locked.run("verify", "--json").json["scenes"]}
    assert by_lock == {"A": False, "B": True, "C": True, "D": True, "E": False}, "the lock file has B, C and D"
    (locked.mirror / "B.zip").unlink()
    assert locked.run("verify", "--repair").code == 0
    assert locked.run("report", "--json").json["scenes"] == 5


def test_what_a_prune_removed_is_not_missing(locked, put):
    """A repair would fetch it, and the next prune would remove it again."""
    rules = RULES + "latest = 3\n"
    locked.write(f"[dataset.d]\n{rules}", transfer="retries = 0")
    assert locked.run("lock").code == 0
    assert locked.run("apply", "--prune").code == 0
    put("ABCDE")
    pruned = locked.run("apply", "--prune", "--json")
    assert (pruned.code, pruned.summary["pruned"]) == (0, 1)
    (warning,) = (event["message"] for event in pruned.events if event["event"] == "warning")
    assert warning.startswith("B: to be removed, and in manifest.lock")
    ran = locked.run("verify", "--json")
    assert (ran.code, findings(ran)) == (0, {})
    assert "1 scene changed or removed" in ran.json["warnings"][0]
    assert locked.run("status", "--json").json["summary"]["missing"] == 0
    assert set(locked.files()) == {"C.zip", "D.zip", "E.zip"}
    assert locked.run("report", "--json").json["scenes"] == 3, "B is not missing"
    put("ABCDEF")
    again = locked.run("apply", "--prune", "--update-lock", "--json")
    assert not [event for event in again.events if event["event"] == "warning"], "the lock file is updated"
    assert locked.run("verify", "--json").json["warnings"] == []


def test_a_pending_order_is_told(locked, put, sandbox):
    sandbox.order_delay = 3600
    put("ABCDE", online=False)
    locked.run("lock")
    assert locked.run("apply", "--locked", "--no-wait").code == 3
    ran = locked.run("verify", "--json")
    assert (ran.code, findings(ran)) == (3, {"E": "missing"})
    assert "order" in ran.json["findings"][0]["detail"]
    (locked.mirror / "A.zip").unlink()
    assert locked.run("verify").code == 1, "not everything that is missing is on order"


def test_without_its_index_a_mirror_is_judged_by_the_lock_alone(locked, sandbox):
    sandbox.close()
    shutil.rmtree(locked.mirror / ".sedas-sync")
    assert locked.run("verify", **OFFLINE).out == "Verified: 4 OK (4 by lock).\n"
    file = locked.mirror / "C.zip"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    (locked.mirror / "D.zip").write_bytes((locked.mirror / "A.zip").read_bytes())
    (locked.mirror / "notes.txt").write_text("mine")
    ran = locked.run("verify", "--json", **OFFLINE)
    assert ran.code == 1
    assert findings(ran) == {"C": "corrupt", "D": "changed", "notes.txt": "unknown"}
    assert not (locked.mirror / ".sedas-sync").exists(), "verify changes nothing"


def test_a_repair_sets_aside_what_stands_in_a_locked_scenes_place(locked, put):
    files = put("ABCD")
    shutil.rmtree(locked.mirror / ".sedas-sync")
    (locked.mirror / "D.zip").write_bytes(b"somebody's own work")
    assert locked.run("verify", "--repair").code == 0
    assert locked.files()["D.zip"] == files["D"]
    (aside,) = (locked.mirror / ".sedas-sync" / "replaced").iterdir()
    assert aside.read_bytes() == b"somebody's own work"


def test_a_size_in_the_lock_counts_where_it_has_no_digest(locked):
    text = (locked.path / "manifest.lock").read_text().splitlines()
    sizes = [len(content) for _, content in sorted(locked.files().items())]
    text[1] = f'{{"id": "A", "datasets": ["d"], "size": {sizes[0]}}}'
    text[2] = f'{{"id": "B", "datasets": ["d"], "size": {sizes[1] + 1}}}'
    text[3] = '{"id": "C", "datasets": ["d"]}'
    (locked.path / "manifest.lock").write_text("\n".join(text) + "\n")
    ran = locked.run("verify", "--json")
    assert findings(ran) == {"B": "changed"}
    assert {scene["id"]: scene["level"] for scene in ran.json["scenes"]} == {
        "A": "crc", "B": None, "C": "crc", "D": "digest",
    }  # fmt: skip


def test_a_lock_that_does_not_fit_is_said_and_left_out(locked, put):
    locked.write(DATASET.replace("2019-05-01", "2019-05-02"))
    for command in ("verify", "status"):
        ran = locked.run(command, "--json")
        assert ran.code == 0
        assert ran.json["lock"] is None
        (warning,) = ran.json["warnings"]
        assert "dataset.d.start is 2019-05-02, the lock file has 2019-05-01" in warning
        assert "warning: " in ran.err
    assert locked.run("verify", "--json").json["scenes"][0]["level"] == "crc"


@pytest.mark.parametrize("command", ["verify", "status"])
def test_a_lock_that_cannot_be_read_is_a_mistake(locked, command):
    (locked.path / "manifest.lock").write_text("<<<<<<< ours\n")
    ran = locked.run(command)
    assert ran.code == 2
    assert "manifest.lock: line 1" in ran.err


# -- status ----------------------------------------------------------------------------------------------------------


def test_status_counts_against_the_lock(locked, put, sandbox):
    """What the mirror holds against what the last apply wanted, or against the lock, per dataset."""
    locked.write(DATASET + '[dataset.named]\nproducts = ["A", "E", "F"]\n')
    put("ABCDEF")
    assert locked.run("lock").code == 0
    sandbox.close()
    ran = locked.run("status", "--json", **OFFLINE)
    assert ran.code == 0
    counted = {item["dataset"]: (item["wanted"], item["held"], item["missing"]) for item in ran.json["datasets"]}
    assert counted == {"d": (6, 4, 2), "named": (3, 1, 2)}
    summary = ran.json["summary"]
    assert (summary["wanted"], summary["missing"], summary["unwanted"], summary["up_to_date"]) == (6, 2, 0, False)
    shown = locked.run("status", **OFFLINE).out
    assert "manifest.lock" in shown
    (locked.path / "manifest.lock").unlink()
    assert locked.run("status", "--json", **OFFLINE).json["summary"]["wanted"] == 4, "the last apply's"


def test_status_before_anything_was_fetched(workspace, put):
    put("AB")
    workspace.write(DATASET)
    workspace.run("lock")
    (dataset,) = workspace.run("status", "--json", **OFFLINE).json["datasets"]
    assert (dataset["wanted"], dataset["held"], dataset["missing"]) == (2, 0, 2)
    assert not workspace.mirror.exists()


def test_status_names_files_that_are_not_what_the_lock_demands(locked, put):
    put("ABCD", version=2)
    (locked.mirror / "B.zip").unlink()
    locked.run("apply")
    locked.run("apply", "--locked")
    ran = locked.run("status", "--json").json
    assert (ran["summary"]["differs"], ran["datasets"][0]["differs"]) == (1, 1)
    assert ran["summary"]["up_to_date"] is False
    assert "1 file with other bytes than in the lock file" in locked.run("status").out


def test_status_names_files_outside_the_lock(locked, put):
    put("ABCDE")
    locked.run("apply")
    assert locked.run("status", "--json").json["summary"]["unwanted"] == 0, "the last apply wanted it"
    locked.run("apply", "--locked")
    assert locked.run("status", "--json").json["summary"]["unwanted"] == 1
    assert "1 file not in the lock" in locked.run("status").out


def test_scenes_of_a_dataset_that_was_removed_are_unwanted(workspace, put):
    put("AB")
    workspace.write(f'{DATASET}[dataset.named]\nproducts = ["B"]\n'.replace("2019-05-31", "2019-05-01"))
    assert workspace.run("apply").code == 0
    workspace.write(DATASET.replace("2019-05-31", "2019-05-01"))
    summary = workspace.run("status", "--json").json["summary"]
    assert (summary["wanted"], summary["unwanted"]) == (1, 1)


def test_looks_write_nothing(locked):
    index = locked.mirror / ".sedas-sync" / "index.db"

    def rows():
        with sqlite3.connect(index) as db:
            return db.execute("SELECT * FROM files").fetchall(), db.execute("SELECT * FROM runs").fetchall()

    before = rows()
    locked.run("verify")
    locked.run("status")
    assert rows() == before
