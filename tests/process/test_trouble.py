"""Full disks, damaged indexes, logs that cannot be written: a run goes as far as it can, says why, loses no order."""

import json
import math
import os
import random
import shlex
import sqlite3
import subprocess
import zipfile
from pathlib import Path

import msgspec
import psutil
import pytest
from clocks import Clock, Weeks
from effort import effort

from sedas_sync.model.order import Order
from sedas_sync.sandbox import RowCatalogue, make_row

PAGE = 4096
MAY = '[dataset.named]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


def offer(sandbox, folder, online, archived, size=3000, ready_after=0.0):
    """Offer scenes of so many bytes; returns what the files have to be."""
    names = [*(f"ON{n:03}" for n in range(online)), *(f"LTA{n:03}" for n in range(archived))]
    files = {name: folder / f"{name}.file" for name in names}
    for name, file in files.items():
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(f"{name}.SAFE/data", random.Random(name).randbytes(size))
    rows = [
        make_row(name, f"2019-05-{day % 28 + 1:02}T11:00:00Z", online=name.startswith("ON"))
        for day, name in enumerate(names)
    ]
    sandbox._catalogue = RowCatalogue(rows, files=files)
    sandbox.order_delay = ready_after
    return {f"{name}.zip": file.read_bytes() for name, file in files.items()}


@pytest.fixture
def disk(tmp_path):
    """Mounts file systems of so many kilobytes; needs the right to."""
    mounted = []

    def make(place, kilobytes):
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("mounting a file system takes rights that are not there")
        mounted.append(place)

    yield make
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=False)


@pytest.mark.parametrize("kilobytes", [1500, 2500])
def test_a_disk_that_fills_up_ends_the_run_and_names_every_scene(workspace, sandbox, disk, kilobytes):
    right = offer(sandbox, workspace.path, online=12, archived=0, size=300_000)
    workspace.write(MAY, transfer="jobs = 1\nretries = 1")
    disk(workspace.mirror, kilobytes)
    ran = workspace.run("apply", "--json")
    assert ran.code == 1
    summary = json.loads(ran.out.splitlines()[-1])
    assert summary["event"] == "summary"
    assert summary["fetched"] + summary["failed"] == len(right)
    assert {failure["id"] for failure in summary["failures"]} == {
        event["id"] for line in ran.out.splitlines() if (event := json.loads(line))["event"] == "failed"
    }
    assert "unexpected error" not in ran.err
    subprocess.run(["mount", "-o", "remount,size=40m", str(workspace.mirror)], check=True)
    assert workspace.run("apply").code == 0
    assert workspace.files() == right


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_full_disk_is_reported_once_and_with_the_right_scenes(workspace, sandbox, disk, jobs):
    right = offer(sandbox, workspace.path, online=8, archived=0, size=300_000)
    workspace.write(MAY, transfer=f"jobs = {jobs}")
    disk(workspace.mirror, 1500)
    ran = workspace.run("apply")
    assert ran.code == 1
    (line,) = [line for line in ran.err.splitlines() if "the disk is full" in line]
    head, reason = line.removeprefix("failed: ").split(": ", 1)
    assert reason.startswith(f"{workspace.mirror}: the disk is full; free some space")
    assert {f"{scene_id}.zip" for scene_id in head.split(", ")} == right.keys() - workspace.files().keys()
    status = workspace.run("status", "--json").json
    assert (status["last_run"]["exit_code"], status["last_run"]["ended"] is None) == (1, False)
    for failure in status["failures"]:
        assert not any(name in failure["error"] for name in right)
    subprocess.run(["mount", "-o", "remount,size=40m", str(workspace.mirror)], check=True)
    again = workspace.run("apply", "--json")
    assert (again.code, again.summary["failed"]) == (0, 0)
    assert workspace.files() == right


def test_adopt_ends_at_the_first_scene_for_which_the_disk_has_no_room(workspace, sandbox, disk):
    right = offer(sandbox, workspace.path, online=8, archived=0, size=300_000)
    workspace.write(MAY)
    for name, data in right.items():
        (workspace.path / "old").mkdir(exist_ok=True)
        (workspace.path / "old" / name).write_bytes(data)
    disk(workspace.mirror, 1500)
    ran = workspace.run("adopt", "--from", "old", "--copy", "--json")
    assert ran.code == 1, ran.err
    *adopted, failed = ran.json["files"]
    assert adopted
    assert {file["result"] for file in adopted} == {"adopted"}
    assert (failed["result"], len(ran.json["files"]) < len(right)) == ("failed", True)
    assert f"{workspace.mirror}: the disk is full; free some space" in failed["detail"]
    status = workspace.run("status", "--json").json
    assert (status["last_run"]["exit_code"], status["last_run"]["ended"] is None) == (1, False)
    partial = workspace.mirror / ".sedas-sync" / "partial"
    assert not partial.exists() or not [file for file in partial.rglob("*") if file.is_file()]
    subprocess.run(["mount", "-o", "remount,size=40m", str(workspace.mirror)], check=True)
    assert workspace.run("adopt", "--from", "old", "--copy").code == 0
    assert workspace.files() == right


def end_of(process, sandbox):
    """Wait for a process for as long as it computes or asks the archive, however slow the machine is."""
    before = None
    while True:
        try:
            return process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            now = len(sandbox.log), round(psutil.Process(process.pid).cpu_times().user, 1)
            if now == before:
                process.kill()
                pytest.fail(f"it hangs: {process.communicate()}")
            before = now


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("megabytes", "segments"),
    list(zip([60, 165, 260], [1, 4, 4], strict=True))
    + effort([], list(zip([100, 130, 150, 180, 190, 200, 220, 400], [4, 1, 4, 4, 1, 1, 1, 1], strict=True))),
)
def test_too_little_memory_is_an_error_and_nothing_hangs(workspace, sandbox, megabytes, segments):
    right = offer(sandbox, workspace.path, online=6, archived=2, size=9_000_000)
    workspace.write(MAY, transfer=f"jobs = 4\nsegments = {segments}")
    command = ["sh", "-c", f'ulimit -v {megabytes * 1024}; exec "$@"', "-", *workspace.command("apply")]
    process = subprocess.Popen(
        command, cwd=workspace.path, env=workspace.environment(), text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    _, errors = end_of(process, sandbox)
    assert process.returncode in (0, 1), errors
    assert "Traceback" not in errors
    if process.returncode:
        assert "memory" in errors.lower()
        assert all(right[name] == content for name, content in workspace.files().items())
        assert workspace.run("apply").code == 0
    assert workspace.files() == right


@pytest.fixture
def odd(workspace):
    """The same workspace, in a folder whose name is no UTF-8."""
    workspace.path /= os.fsdecode(b"f\xff")
    try:
        workspace.path.mkdir()
    except OSError:
        pytest.skip("this file system takes names of UTF-8 alone")
    return workspace


COMMANDS = [
    ("validate",), ("plan",), ("apply",), ("apply",), ("lock",), ("status",), ("verify",), ("adopt",), ("orders",),
    ("report",), ("search",), ("sources",), ("why", "ON000"), ("apply", "--locked"), ("apply", "--locked"),
    ("export", "--format", "geojson"), ("export", "--format", "csv"), ("export", "--format", "urls"),
]  # fmt: skip


@pytest.mark.parametrize("manifest", [os.fsdecode(b"g\xff.toml"), *effort([], ["manifest.toml"])])
def test_file_names_that_are_not_utf8(odd, sandbox, manifest):
    right = offer(sandbox, odd.path, online=1, archived=0)
    odd.write(MAY, name=manifest)
    for command in COMMANDS:
        for options in ((),) if command[0] == "export" else ((), ("--json",)):
            # One `apply` is a process, whose arguments and streams are those of the system.
            ran = (odd.own_process if (command, options) == (("apply",), ("--json",)) else odd).run(
                *command, manifest, *options
            )
            assert ran.code == 0, (command, options, ran.err)
            assert "Traceback" not in ran.err
            if options:
                for document in ran.out.splitlines() if command[0] == "apply" else [ran.out]:
                    json.dumps(json.loads(document), ensure_ascii=False).encode()
    assert odd.files() == right


def test_no_order_is_placed_that_cannot_be_saved(workspace, sandbox, disk):
    offer(sandbox, workspace.path, online=0, archived=4)
    workspace.write(MAY, transfer="retries = 1")
    disk(workspace.mirror, 400)
    assert workspace.run("plan").code == 0
    # Whatever is left is taken, but for what the index needs to be opened.
    state = workspace.mirror / ".sedas-sync"
    state.mkdir()
    with (workspace.mirror / "ballast").open("wb", buffering=0) as file:
        while os.statvfs(workspace.mirror).f_bavail > 40:
            file.write(bytes(PAGE))
    ran = workspace.run("apply", "--no-wait", "--json")
    subprocess.run(["mount", "-o", "remount,size=40m", str(workspace.mirror)], check=True)
    known = {order["id"] for order in workspace.run("orders", "--json").json}
    again = workspace.run("apply", "--no-wait", "--json")
    summary = json.loads(again.out.splitlines()[-1])
    assert ran.code in (1, 3)
    assert summary["ordered"] == 4 - len(known), "what was ordered is known, and is not ordered again"


@pytest.fixture
def weeks(workspace, sandbox, monkeypatch):
    """A mirror of the last 30 days, and its clock."""
    for key, value in workspace.env.items():
        monkeypatch.setenv(key, value)
    clock = Clock("2026-03-01")
    sandbox._clock = clock.posix
    return Weeks(workspace.path, sandbox, clock)


def offer_days(weeks, **ages):
    """Offer scenes of 300 kB each that are so many days old."""
    files = {name: weeks.path / f"{name}.file" for name in ages}
    for name, file in files.items():
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(f"{name}.SAFE/data", random.Random(name).randbytes(300_000))
    weeks.sandbox._catalogue = RowCatalogue([weeks.row(name, days) for name, days in ages.items()], files=files)


def test_what_left_the_window_makes_room_on_a_full_disk(weeks, disk):
    offer_days(weeks, A=29, B=28, C=20)
    weeks.write("-30d")
    disk(weeks.path / "scenes", 1500)
    assert weeks.apply().fetched == 3
    weeks.clock.move(days=5)
    offer_days(weeks, A=34, B=33, C=25, D=2, E=1)
    full = weeks.apply()
    assert (full.failed > 0, full.pruned, full.exit_code) == (True, 2, 1)
    assert weeks.here >= {"C"}
    assert weeks.apply().exit_code == 0
    assert weeks.here == {"C", "D", "E"}


def test_other_removals_wait_until_the_disk_has_room(weeks, disk):
    offer_days(weeks, A=29, B=28, C=20)
    weeks.write("-30d")
    disk(weeks.path / "scenes", 1500)
    assert weeks.apply().fetched == 3
    offer_days(weeks, A=29, B=28, C=20, D=2, E=1)
    weeks.write("-27d")
    full = weeks.apply()
    assert (full.failed > 0, full.pruned) == (True, 0), "the manifest was edited"
    assert weeks.here >= {"A", "B", "C"}


def test_a_first_run_without_any_room_says_so(workspace, sandbox, disk):
    offer(sandbox, workspace.path, online=1, archived=0)
    workspace.write(MAY)
    disk(workspace.mirror, 8)
    (workspace.mirror / "ballast").write_bytes(bytes(PAGE))
    ran = workspace.run("apply")
    assert ran.code == 1
    assert "the disk is full" in ran.err
    assert str(workspace.mirror) in ran.err
    assert "unexpected error" not in ran.err


def zero(workspace, what):
    """Wipe the first page of a table, or of an index beside one."""
    file = workspace.mirror / ".sedas-sync" / "index.db"
    db = sqlite3.connect(file)
    (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (what,)).fetchone()
    db.close()
    with file.open("r+b") as opened:
        opened.seek((page - 1) * PAGE)
        opened.write(bytes(PAGE))


PARTS = ["meta", "files", "sqlite_autoindex_files_2", "errors", "runs", "wanted", "absent"]


@pytest.mark.parametrize("page", PARTS)
def test_no_damaged_page_of_the_index_loses_an_order(workspace, sandbox, page):
    right = offer(sandbox, workspace.path, online=3, archived=1, ready_after=3600)
    workspace.write(MAY)
    assert workspace.run("apply", "--no-wait").code == 3
    (order,) = workspace.run("orders", "--json").json
    zero(workspace, page)
    ran = workspace.run("apply", "--no-wait", "--json")
    summary = json.loads(ran.out.splitlines()[-1])
    assert ran.code == 3, ran.err
    assert summary["fetched"] == 0
    assert summary["kept"] + summary["adopted"] == len(right) - 1
    assert summary["warnings"] >= 1
    assert summary["ordered"] == 0
    assert [item["order"] for item in workspace.run("orders", "--json").json] == [order["order"]]
    after = workspace.run("apply", "--no-wait", "--json")
    assert json.loads(after.out.splitlines()[-1])["kept"] == len(right) - 1


def test_a_damaged_order_journal_is_reported_and_its_other_orders_are_kept(workspace, sandbox):
    offer(sandbox, workspace.path, online=0, archived=2, ready_after=3600)
    workspace.write(MAY)
    assert workspace.run("apply", "--no-wait").code == 3
    journal = workspace.mirror / ".sedas-sync" / "orders.jsonl"
    first, second = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"\xff" * 20 + first[20:] + second)
    known = workspace.run("orders", "--json")
    assert "1 lines cannot be read" in known.err
    assert [item["id"] for item in known.json] == [json.loads(second)["id"]]
    ran = workspace.run("apply", "--no-wait", "--json")
    assert (ran.code, ran.summary["ordered"], ran.summary["warnings"]) == (3, 1, 1)
    assert len(workspace.run("orders", "--json").json) == 2
    assert workspace.run("orders").err == ""


def test_an_index_of_an_older_version_is_rebuilt_and_its_orders_are_kept(workspace, sandbox):
    """Up to format 2 orders were rows of the index."""
    right = offer(sandbox, workspace.path, online=2, archived=1, ready_after=3600)
    workspace.write(MAY)
    assert workspace.run("apply", "--no-wait").code == 3
    (order,) = workspace.run("orders", "--json").json
    state = workspace.mirror / ".sedas-sync"
    written = msgspec.json.decode((state / "orders.jsonl").read_bytes(), type=Order)
    values = {name: getattr(written, name) for name in Order.__struct_fields__}
    values |= {"placed": written.placed.isoformat(), "state": written.state.value}
    (state / "orders.jsonl").unlink()
    with sqlite3.connect(state / "index.db") as db:
        columns = ", ".join(f'"{name}"' for name in values)
        db.execute("DROP TABLE absent")
        db.execute(f"CREATE TABLE orders ({columns})")
        db.execute(f"INSERT INTO orders ({columns}) VALUES ({', '.join('?' * len(values))})", list(values.values()))
        db.execute("PRAGMA user_version = 2")
    db.close()
    looked = workspace.run("status")
    assert "older sedas-sync (index format 2); apply rebuilds it" in looked.err
    downloads, placed = sandbox.downloads, sandbox.orders
    ran = workspace.run("apply", "--no-wait", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["ordered"], ran.summary["warnings"]) == (3, 2, 0, 1), ran.err
    assert (sandbox.downloads, sandbox.orders) == (downloads, placed)
    assert [item["order"] for item in workspace.run("orders", "--json").json] == [order["order"]]
    assert len(workspace.files()) == len(right) - 1
    assert workspace.run("status").err == ""


def test_commands_that_only_read_report_a_damaged_index_and_keep_it(workspace, sandbox):
    offer(sandbox, workspace.path, online=1, archived=1, ready_after=3600)
    workspace.write(MAY)
    assert workspace.run("apply", "--no-wait").code == 3
    (order,) = workspace.run("orders", "--json").json
    zero(workspace, "meta")
    before = (workspace.mirror / ".sedas-sync" / "index.db").read_bytes()
    for command in (("orders",), ("why", order["id"]), ("status",), ("plan",), ("history",), ("changes",)):
        ran = workspace.run(*command)
        assert "the index is damaged" in ran.err, command
        assert "apply rebuilds it" in ran.err, command
        assert ran.code in (0, 1), command
    assert (workspace.mirror / ".sedas-sync" / "index.db").read_bytes() == before
    assert [item["order"] for item in workspace.run("orders", "--json").json] == [order["order"]]
    gone = workspace.run("orders", "--forget", order["order"])
    assert gone.code == 0, gone.err
    assert "was renamed to" in gone.err
    assert workspace.run("orders", "--json").json == []


def test_a_log_that_cannot_be_written_stops_nothing(workspace, sandbox):
    right = offer(sandbox, workspace.path, online=1, archived=0)
    workspace.write(MAY)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            workspace.command("apply"), cwd=workspace.path, env=workspace.environment(), stdout=subprocess.PIPE,
            stderr=full, timeout=60, check=False,
        )  # fmt: skip
        version = subprocess.run(
            workspace.command("--version"), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 0
    assert workspace.files() == right
    assert version.returncode == 1
    assert "Traceback" not in version.stderr


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_stop_nothing(workspace, sandbox, closed):
    right = offer(sandbox, workspace.path, online=1, archived=0)
    workspace.write(MAY)
    done = subprocess.run(
        f"{shlex.join(workspace.command('apply', '-vv'))} {closed}", shell=True, cwd=workspace.path,
        env=workspace.environment(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stderr == b""
    assert workspace.files() == right
    assert workspace.run("verify").code == 0


def test_a_malformed_number_of_seconds_is_a_usage_error(workspace):
    for value in (math.nan, -1):
        ran = workspace.run("apply", "--lock-timeout", str(value))
        assert ran.code == 2
        assert "--lock-timeout" in ran.err
