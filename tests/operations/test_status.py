"""status, end to end, and mirrors that cannot be written."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest

import sedas_sync as ss
from sedas_sync.model.order import ListedOrder
from sedas_sync.output.documents.base import OrderEntry
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail, slow
from sedas_sync.state.process_lock import lock

MAY = 'aoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
TWO = f'[dataset.optical]\n{MAY}sensor = "optical"\n[dataset.radar]\n{MAY}sensor = "sar"\n'
OFFLINE = {"SEDAS_USERNAME": "", "SEDAS_PASSWORD": ""}


@pytest.fixture
def mixed(workspace, sandbox):
    """Two online scenes, one that fails, one in the long-term archive, and one of the other sensor."""
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue(
        [
            make_row("A", "2019-05-01T11:00:00Z"),
            make_row("B", "2019-05-02T11:00:00Z"),
            make_row("BROKEN", "2019-05-03T11:00:00Z"),
            make_row("LTA", "2019-05-04T11:00:00Z", online=False),
            make_row("R", "2019-05-05T11:00:00Z", satellite="Sentinel-1A"),
        ]
    )
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"BROKEN"}),))
    workspace.write(TWO, transfer="retries = 0")
    assert workspace.run("apply", "--no-wait").code == 1
    return workspace


def test_status_of_a_mirror_that_is_under_way(mixed, sandbox):
    sandbox.close()
    (mixed.mirror / "stranger.txt").write_text("mine")
    ran = mixed.run("status", "--json", **OFFLINE)
    assert ran.code == 0, ran.err
    document = ran.json
    assert set(document) == {
        "schema", "manifest", "mirror", "archive", "lock", "summary", "datasets", "orders", "partials", "failures",
        "last_success", "last_run", "warnings",
    }  # fmt: skip
    size = {name: len(content) for name, content in mixed.files().items()}
    assert document["datasets"] == [
        {
            "dataset": "optical", "wanted": 4, "held": 2, "changed": 0, "differs": 0, "missing": 2, "pending": 1,
            "bytes": size["A.zip"] + size["B.zip"],
        },
        {
            "dataset": "radar", "wanted": 1, "held": 1, "changed": 0, "differs": 0, "missing": 0, "pending": 0,
            "bytes": size["R.zip"],
        },
    ]  # fmt: skip
    free = document["summary"].pop("free")
    assert free > 0
    assert document["summary"] == {
        "wanted": 5, "held": 3, "changed": 0, "refreshed": 0, "differs": 0, "unreadable": 0, "missing": 2,
        "unwanted": 0, "unknown": 1, "pending": 1, "partials": 0, "failed": 1, "bytes": sum(size.values()),
        "partial_bytes": 0, "up_to_date": False, "withdrawn": 0, "superseded": 0, "replaced": 0, "replaced_bytes": 0,
    }  # fmt: skip
    assert [set(order) for order in document["orders"]] == [set(OrderEntry.__struct_fields__)]
    assert document["orders"][0]["id"] == "LTA"
    assert [failure["id"] for failure in document["failures"]] == ["BROKEN"]
    assert document["last_run"]["command"] == "apply"
    assert document["last_run"]["exit_code"] == 1
    assert document["last_run"]["summary"]["fetched"] == 3
    shown = mixed.run("status", **OFFLINE)
    assert shown.code == 0
    for word in ("optical", "LTA", "failed: BROKEN", "exit code 1", "1 file not in the index"):
        assert word in shown.out


def test_what_was_deleted_or_changed_since(mixed):
    (mixed.mirror / "A.zip").unlink()
    (mixed.mirror / "B.zip").write_bytes(b"short")
    summary = mixed.run("status", "--json").json["summary"]
    assert (summary["held"], summary["changed"], summary["missing"]) == (2, 1, 3)


def test_up_to_date_and_then_unwanted(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z"), make_row("B", "2019-05-09T11:00:00Z")])
    workspace.write(f"[dataset.d]\n{MAY}")
    workspace.run("apply")
    assert workspace.run("status", "--json").json["summary"]["up_to_date"] is True
    workspace.write(f"[dataset.d]\n{MAY.replace('05-01', '05-05')}")
    assert workspace.run("status", "--json").json["summary"]["unwanted"] == 0, "not applied yet"
    workspace.run("apply")
    assert workspace.run("status", "--json").json["summary"]["unwanted"] == 1
    assert "1 file that matched no dataset" in workspace.run("status").out


def test_a_dataset_by_itself_leaves_what_the_others_wanted(mixed):
    mixed.run("apply", "--no-wait", "--dataset", "radar")
    datasets = {item["dataset"]: item["wanted"] for item in mixed.run("status", "--json").json["datasets"]}
    assert datasets == {"optical": 4, "radar": 1}
    mixed.write(TWO.replace("radar", "sar"))
    datasets = {item["dataset"]: item["wanted"] for item in mixed.run("status", "--json").json["datasets"]}
    assert datasets == {"optical": 4, "sar": None}
    assert "never applied" in mixed.run("status").out


def test_a_failed_search_does_not_make_status_forget_what_was_wanted(mixed, sandbox):
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    assert mixed.run("apply", "--no-wait").code == 1
    assert mixed.run("status", "--json").json["summary"]["wanted"] == 5


def test_a_failed_search_is_told_and_the_mirror_is_not_up_to_date(workspace, sandbox):
    mixed = workspace
    sandbox._catalogue = RowCatalogue(
        [make_row("A", "2019-05-01T11:00:00Z"), make_row("R", "2019-05-05T11:00:00Z", satellite="Sentinel-1A")]
    )
    mixed.write(TWO, transfer="retries = 0")
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    assert mixed.run("apply").code == 1
    said = mixed.run("status", "--json").json
    assert [(item["dataset"], item["wanted"]) for item in said["datasets"]] == [("optical", None), ("radar", None)]
    assert [failure["id"] for failure in said["failures"]] == ["optical", "radar"]
    assert said["summary"]["up_to_date"] is False
    assert "never applied" in mixed.run("status").out
    sandbox.faults = Faults()
    assert mixed.run("apply", "--dataset", "radar").code == 0
    said = mixed.run("status", "--json").json
    assert [failure["id"] for failure in said["failures"]] == ["optical"], "the other search was asked again"
    assert mixed.run("apply").code == 0
    said = mixed.run("status", "--json").json["summary"]
    assert (said["failed"], said["up_to_date"]) == (0, True)
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    assert mixed.run("apply").code == 1
    said = mixed.run("status", "--json").json
    assert (said["summary"]["missing"], said["summary"]["up_to_date"]) == (0, False)
    assert all(item["wanted"] for item in said["datasets"]), "what was wanted is not forgotten"


def test_an_order_of_the_future_has_no_negative_age():
    placed = datetime(2030, 1, 1, tzinfo=UTC)
    order = ListedOrder(id="A", order="1", placed=placed, archive="a")
    assert OrderEntry.at(order, placed - timedelta(hours=1)).age_seconds == 0.0


def test_status_before_anything(workspace):
    workspace.write()
    ran = workspace.run("status", "--json", **OFFLINE)
    assert ran.code == 0
    assert ran.json["last_run"] is None
    assert not workspace.mirror.exists()
    assert "Never applied." in workspace.run("status", **OFFLINE).out


def test_status_and_verify_while_another_process_applies(workspace, sandbox):
    import random
    import time
    import zipfile

    big = workspace.path / "big"
    with zipfile.ZipFile(big, "w") as file:
        file.writestr("noise", random.Random(1).randbytes(1_500_000))
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z")], files={"A": big})
    workspace.write(f"[dataset.d]\n{MAY}", transfer="segments = 1")
    sandbox.faults = Faults(rules=(Rule("download", slow(50_000)),))
    process = workspace.start("apply")
    end = time.monotonic() + 20
    while sandbox.bytes_sent < 100_000 and time.monotonic() < end:
        time.sleep(0.02)
    document = workspace.run("status", "--json").json
    assert document["last_run"]["ended"] is None
    assert (document["summary"]["wanted"], document["summary"]["partials"]) == (1, 1)
    assert document["summary"]["partial_bytes"] == document["partials"][0]["size"] > 0
    assert "under way or killed" in workspace.run("status").out
    assert workspace.run("verify").code == 0
    assert workspace.run("verify", "--repair").code == 5
    assert workspace.run("adopt").code == 5
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 143
    sandbox.faults = Faults()
    assert workspace.run("apply").code == 0
    assert workspace.run("status", "--json").json["summary"]["up_to_date"] is True


@pytest.fixture
def readonly(workspace, sandbox):
    """A mirror on a file system that is mounted read-only."""
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z"), make_row("B", "2019-05-02T11:00:00Z")])
    workspace.write(f"[dataset.d]\n{MAY}")
    workspace.run("apply")
    target = str(workspace.mirror)
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount")
    for command in (["mount", "--bind", target, target], ["mount", "-o", "remount,bind,ro", target]):
        if subprocess.run(command, capture_output=True).returncode:
            subprocess.run(["umount", target], capture_output=True)
            pytest.skip("nothing can be mounted here")
    yield workspace
    subprocess.run(["umount", target], check=True)


@pytest.fixture
def unwritable(workspace, sandbox):
    """A mirror that its user may read and not write, run by somebody who is not root."""
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z"), make_row("B", "2019-05-02T11:00:00Z")])
    workspace.write(f"[dataset.d]\n{MAY}")
    workspace.run("apply")
    folders = [workspace.mirror, *(path for path in workspace.mirror.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield workspace
    for folder in folders:
        folder.chmod(0o755)


def works_without_writing(workspace):
    assert workspace.run("status", "--json").json["summary"]["up_to_date"] is True
    assert workspace.run("verify", "--json").json["summary"]["ok"] == 2
    assert workspace.run("plan", "--json").json["summary"]["keep"] == 2
    assert workspace.run("orders", "--json").json == []
    assert workspace.run("why", "A").code == 0


def test_a_read_only_mirror_can_be_looked_at(readonly):
    works_without_writing(readonly)
    refused = readonly.run("apply")
    assert refused.code in (1, 2)
    assert "ead-only" in refused.err


def test_a_mirror_without_the_right_to_write_can_be_looked_at(unwritable):
    works_without_writing(unwritable)


def test_status_and_plan_agree_on_files_of_another_time(workspace, sandbox):
    """After `cp -r` or `touch` the bytes decide, for a plan and for every command beside it."""
    mirror = workspace
    sandbox._catalogue = RowCatalogue(
        [make_row(name, f"2019-05-0{day}T11:00:00Z") for day, name in enumerate("ABC", 1)]
    )
    mirror.write(f"[dataset.d]\n{MAY}")
    assert mirror.run("apply").code == 0
    copied = mirror.path / "copied"
    shutil.copytree(mirror.mirror, copied, copy_function=shutil.copyfile)
    shutil.rmtree(mirror.mirror)
    copied.rename(mirror.mirror)
    content = bytearray((mirror.mirror / "C.zip").read_bytes())
    content[len(content) // 2] ^= 1
    (mirror.mirror / "C.zip").write_bytes(content)
    plan = {action["id"]: action["action"] for action in mirror.run("plan", "--json", "--all").json["actions"]}
    assert plan == {"A": "keep", "B": "keep", "C": "replace"}
    page = mirror.run("report", "--json", **OFFLINE)
    assert page.code == 0, page.err
    before = (mirror.mirror / ".sedas-sync" / "index.db").read_bytes()
    with lock(mirror.mirror, timeout=0, now=datetime.now(UTC)):
        summary = mirror.run("status", "--json", **OFFLINE).json["summary"]
        assert (summary["held"], summary["changed"], summary["refreshed"]) == (3, 1, 2)
    assert (mirror.mirror / ".sedas-sync" / "index.db").read_bytes() == before, "another process was at work"
    assert "2 scenes with another file time" in mirror.run("status", **OFFLINE).out
    with closing(sqlite3.connect(mirror.mirror / ".sedas-sync" / "index.db")) as index:
        times = dict(index.execute("SELECT path, mtime_ns FROM files"))
    assert times["A.zip"] == (mirror.mirror / "A.zip").stat().st_mtime_ns, "so that nobody reads it again"
    summary = mirror.run("status", "--json", **OFFLINE).json["summary"]
    assert (summary["changed"], summary["refreshed"], summary["up_to_date"]) == (1, 0, False)
    found = mirror.run("verify", "--json", **OFFLINE).json["findings"]
    assert [item["id"] for item in found] == ["C"]


def test_status_reads_touched_files_in_a_mirror_that_cannot_be_written(workspace, sandbox):
    mirror = workspace
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z")])
    mirror.write(f"[dataset.d]\n{MAY}")
    assert mirror.run("apply").code == 0
    os.utime(mirror.mirror / "A.zip", ns=(1, 1))
    index = mirror.mirror / ".sedas-sync" / "index.db"
    index.chmod(0o444)
    try:
        ran = mirror.run("status", "--json", **OFFLINE)
    finally:
        index.chmod(0o644)
    assert ran.code == 0, ran.err
    assert (ran.json["summary"]["changed"], ran.json["summary"]["refreshed"]) == (0, 1)


def test_what_was_touched_after_the_plan_still_gives_way_to_its_successor(workspace, sandbox):
    """The bytes say whose file it is, not its time: nothing of ours lands in `replaced/`."""
    mirror = workspace
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z", filehash="0" * 32)])
    mirror.write(f"[dataset.d]\n{MAY}")
    assert mirror.run("apply").code == 0
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-01T11:00:00Z", filehash="1" * 32)])
    archive = ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox")
    with ss.Mirror(ss.load_manifest(mirror.path / "manifest.toml"), archives={"archive": archive}) as opened:
        plan = opened.plan()
        assert [action.kind for action in plan.actions] == [ss.ActionKind.REPLACE]
        os.utime(mirror.mirror / "A.zip", ns=(1, 1))
        assert opened.apply(plan).fetched == 1
    assert list((mirror.mirror / ".sedas-sync" / "replaced").iterdir()) == []
