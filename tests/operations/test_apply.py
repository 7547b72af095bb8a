"""apply, end to end: the command against a server on loopback."""

import json
import os
import pty
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

import sedas_sync as ss
from sedas_sync.output.documents.base import OrderEntry
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import error, fail, slow

KEYS = {
    "event", "time", "fetched", "kept", "adopted", "ordered", "pending", "unfinished", "unordered", "skipped", "pruned",
    "failed", "warnings", "bytes", "seconds", "failures", "exit_code", "calls",
}  # fmt: skip
NAMED = '[dataset.named]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


def rows(*names, online=True, **more):
    return [make_row(name, f"2019-05-{day:02}T11:00:00Z", online=online, **more) for day, name in enumerate(names, 1)]


def whole(path):
    with zipfile.ZipFile(path) as file:
        return file.testzip() is None


def test_apply_makes_the_folder_match_the_manifest_and_a_second_apply_does_nothing(workspace, sandbox):
    workspace.write()
    plan = workspace.run("plan", "--json").json
    todo = plan["summary"]
    assert todo["fetch"] >= 2
    assert todo["order"] >= 2
    assert not workspace.mirror.exists(), "a plan creates no mirror"
    assert not sandbox.orders, "a plan orders nothing"

    first = workspace.run("apply", "--json")
    assert first.code == 0, first.err
    assert set(first.summary) == KEYS
    assert first.summary["fetched"] == todo["fetch"] + todo["order"]
    assert first.summary["ordered"] == todo["order"] == sandbox.orders
    wanted = {action["id"] for action in plan["actions"]}
    assert {file.removesuffix(".zip") for file in workspace.files()} == wanted
    assert all(whole(file) for file in workspace.mirror.glob("*.zip"))
    assert {event["id"] for event in first.events if event["event"] == "fetched"} == wanted

    before = sandbox.orders, sandbox.downloads
    second = workspace.own_process.run("apply", "--json")
    assert second.code == 0
    assert second.summary["kept"] == len(wanted)
    assert second.summary["fetched"] == second.summary["ordered"] == 0
    assert (sandbox.orders, sandbox.downloads) == before, "nothing is asked for twice"
    assert workspace.run("plan", "--exit-code").code == 0
    assert workspace.run("orders", "--json").json == []


def test_only_deleted_and_damaged_files_are_downloaded_again(workspace, sandbox):
    """The directory is the truth, the index a memory of it: a file that is gone is fetched again."""
    sandbox_rows(sandbox, workspace, *"ABCD")
    workspace.run("apply")
    right = workspace.files()
    (workspace.mirror / "A.zip").unlink()
    damaged = workspace.mirror / "B.zip"
    damaged.write_bytes(right["B.zip"][:-1] + b"?")
    (workspace.mirror / "C.zip").write_bytes(b"short")
    os.utime(workspace.mirror / "D.zip")

    plan = workspace.run("plan", "--json", "--exit-code")
    assert plan.code == 10
    assert {action["id"]: action["action"] for action in plan.json["actions"]} == {
        "A": "fetch", "B": "replace", "C": "replace",
    }  # fmt: skip
    again = workspace.run("apply", "--json")
    assert again.code == 0
    assert (again.summary["fetched"], again.summary["kept"]) == (3, 1)
    assert workspace.files() == right
    downloads = sandbox.downloads
    assert workspace.run("apply", "--json").summary["kept"] == 4
    assert sandbox.downloads == downloads


def sandbox_rows(sandbox, workspace, *names, manifest=NAMED, online=True, transfer="", **more):
    """Let the sandbox offer just these scenes, and write a manifest that wants them all."""
    use(sandbox, RowCatalogue(rows(*names, online=online, **more)))
    workspace.write(manifest, transfer=transfer)


def use(sandbox, catalogue):
    sandbox._catalogue = catalogue


ENDING = [(signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGUSR1, 138), (signal.SIGTERM, 143)]


@pytest.mark.parametrize(("number", "code"), ENDING)
def test_an_interrupted_apply_stops_in_order_and_the_same_command_continues(workspace, sandbox, number, code):
    big = zip_of(workspace.path, 3_000_000)
    use(sandbox, RowCatalogue(rows(*"ABC"), files=dict.fromkeys("ABC", big)))
    workspace.write(NAMED, transfer="jobs = 2\nsegments = 1")
    sandbox.faults = Faults(rules=(Rule("download", slow(1_000_000)),))
    process = workspace.start("apply", "--json")
    partials = workspace.mirror / ".sedas-sync" / "partial"
    wait_for(lambda: sum(part.stat().st_size for part in partials.glob("*.part")) > 500_000)
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "everything so far is kept. To continue, run `sedas-sync apply" in err
    summary = json.loads(out.splitlines()[-1])
    assert (summary["event"], summary["exit_code"]) == ("summary", code)
    assert workspace.run("status", "--json").json["last_run"]["exit_code"] == code
    assert not list(workspace.mirror.glob("*.zip")), "nothing unfinished stands under a final name"

    plan = workspace.run("plan", "--json").json
    assert plan["summary"]["resume"] >= 1
    sandbox.faults = Faults()
    again = workspace.run("apply", "--json")
    assert again.code == 0
    assert workspace.files() == dict.fromkeys(("A.zip", "B.zip", "C.zip"), big.read_bytes())
    assert sandbox.bytes_sent < 1.2 * 3 * big.stat().st_size


@pytest.mark.parametrize(("command", "ending"), list(zip(["apply", "plan", "lock", "search"], ENDING, strict=True)))
def test_a_command_without_changes_ends_at_once_on_a_signal(workspace, sandbox, command, ending):
    number, code = ending
    begun, ended = threading.Event(), threading.Event()

    def wait(_request, _answer):
        begun.set()
        ended.wait(20)
        return error(503, "too late")

    workspace.write(NAMED)
    sandbox.faults = Faults(rules=(Rule("search", wait),))
    process = workspace.start(command)
    assert begun.wait(20)
    process.send_signal(number)
    try:
        _, err = process.communicate(timeout=10)
    finally:
        ended.set()
    assert process.returncode == code
    assert "Traceback" not in err


def test_a_run_under_nohup_survives_its_terminal(workspace, sandbox):
    big = zip_of(workspace.path, 1_000_000)
    use(sandbox, RowCatalogue(rows("A"), files={"A": big}))
    workspace.write(NAMED)
    sandbox.faults = Faults(rules=(Rule("download", slow(500_000)),))
    process = subprocess.Popen(
        ["nohup", *workspace.command("apply")], cwd=workspace.path, env=workspace.environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for(lambda: sandbox.bytes_sent)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert workspace.files() == {"A.zip": big.read_bytes()}


def test_a_terminal_that_goes_away_ends_the_run_in_order(workspace, sandbox):
    big = zip_of(workspace.path, 3_000_000)
    use(sandbox, RowCatalogue(rows(*"AB"), files=dict.fromkeys("AB", big)))
    workspace.write(NAMED)
    sandbox.faults = Faults(rules=(Rule("download", slow(500_000)),))
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(workspace.path)
        os.execve(sys.executable, workspace.command("apply", "--yes"), workspace.environment(TERM="xterm"))
    try:
        wait_for(lambda: sandbox.bytes_sent > 500_000)
    finally:
        os.close(terminal)
    # A shell passes the hang-up on to its jobs, so that it comes twice.
    os.kill(pid, signal.SIGHUP)
    until = time.monotonic() + 20
    ended, status = 0, 0
    while not ended and time.monotonic() < until:
        ended, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    assert os.waitstatus_to_exitcode(status) == 129
    assert workspace.run("status", "--json").json["last_run"]["exit_code"] == 129
    assert workspace.run("plan", "--json").json["summary"]["resume"] >= 1


def zip_of(folder, size):
    """A zip with so many bytes of noise."""
    target = folder / f"noise-{size}.zip"
    with zipfile.ZipFile(target, "w") as file:
        file.writestr("noise.bin", os.urandom(size))
    return target


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come"
        time.sleep(0.02)


def test_a_killed_apply_continues_and_never_orders_twice(workspace, sandbox):
    """A later run takes an order up again, never orders twice what is pending."""
    big = zip_of(workspace.path, 2_000_000)
    offered = [*rows("A", "B"), *rows("L", "M", online=False)]
    use(sandbox, RowCatalogue(offered, files=dict.fromkeys("ABLM", big)))
    sandbox.order_delay = 1.0
    workspace.write(NAMED, transfer="segments = 1")
    sandbox.faults = Faults(rules=(Rule("download", slow(1_500_000)),))
    process = workspace.start("apply")
    partial = workspace.mirror / ".sedas-sync" / "partial"
    wait_for(lambda: sandbox.orders == 2 and any(part.stat().st_size > 100_000 for part in partial.glob("*.part")))
    process.kill()
    process.communicate()
    sandbox.faults = Faults()
    again = workspace.run("apply", "--json")
    assert again.code == 0, again.err
    assert sandbox.orders == 2, "the orders of the first run were taken up"
    assert workspace.files() == {f"{name}.zip": big.read_bytes() for name in "ABLM"}


def test_no_wait_places_orders_once_and_exits_with_3(workspace, sandbox):
    sandbox.order_delay = 3600
    sandbox_rows(sandbox, workspace, "L", "M", online=False)
    first = workspace.run("apply", "--no-wait", "--json")
    assert first.code == 3
    assert (first.summary["ordered"], first.summary["pending"], first.summary["failed"]) == (2, 2, 0)
    second = workspace.run("apply", "--no-wait", "--json")
    assert second.code == 3
    assert (second.summary["ordered"], second.summary["pending"]) == (0, 2)
    assert sandbox.orders == 2
    ledger = workspace.run("orders", "--json").json
    assert [set(order) for order in ledger] == [set(OrderEntry.__struct_fields__)] * 2
    assert {(order["id"], order["state"], order["polls"]) for order in ledger} == {
        ("L", "pending", 1),
        ("M", "pending", 1),
    }
    plan = workspace.run("plan", "--json", "--exit-code")
    assert plan.code == 0, "waiting is no change"
    assert plan.json["summary"]["wait"] == 2
    sandbox.order_delay = 0
    third = workspace.run("apply", "--no-wait", "--json")
    assert third.code == 0
    assert third.summary["fetched"] == 2
    assert sandbox.orders == 2


def test_an_order_that_takes_longer_than_a_run_may_wait(workspace, sandbox):
    sandbox.order_delay = 3600
    sandbox_rows(sandbox, workspace, "L", online=False, transfer='order_timeout = "1s"')
    ran = workspace.run("apply", "--json")
    assert ran.code == 3
    assert ran.summary["pending"] == 1


def test_a_limit_of_orders_a_run(workspace, sandbox):
    sandbox_rows(sandbox, workspace, "L", "M", "N", online=False, transfer="max_orders = 2")
    first = workspace.run("apply", "--json")
    assert first.code == 3
    assert (first.summary["ordered"], first.summary["fetched"], first.summary["pending"]) == (2, 2, 1)
    assert workspace.run("apply", "--json").code == 0


@pytest.mark.parametrize(("status", "said"), [(404, "the order was refused: "), (502, "ordering it failed: ")])
def test_only_an_answer_of_the_archive_is_a_refused_order(workspace, sandbox, status, said):
    sandbox.faults = Faults(rules=(Rule("order", fail(status)),))
    sandbox_rows(sandbox, workspace, "L", online=False)
    (failure,) = workspace.run("apply", "--json").summary["failures"]
    assert failure["error"].startswith(said)


@pytest.mark.parametrize("status", [401, 403])
def test_orders_whose_polls_are_refused_are_not_waited_for(workspace, sandbox, status):
    sandbox.faults = Faults(rules=(Rule("poll", fail(status)),))
    sandbox_rows(sandbox, workspace, "L", "M", online=False, transfer='order_timeout = "40s"')
    begun = time.monotonic()
    ran = workspace.run("apply", "--json")
    assert time.monotonic() - begun < 35
    assert (ran.code, ran.summary["pending"], ran.summary["ordered"]) == (4, 2, 2)
    assert sandbox.logins == 2
    sandbox.faults = Faults()
    assert workspace.run("apply", "--json").summary["fetched"] == 2
    assert sandbox.orders == 2, "both were kept"


def test_a_failed_order_is_placed_again_three_times_and_then_fails(workspace, sandbox):
    sandbox.faults = Faults(failed_orders={"L"}, failed_state="Cancelled")
    sandbox_rows(sandbox, workspace, "L", online=False)
    workspace.write(NAMED, transfer='order_timeout = "60s"')
    ran = workspace.run("apply", "--json")
    assert ran.code == 1
    assert sandbox.orders == 4
    (failure,) = ran.summary["failures"]
    assert failure["id"] == "L"
    assert "Cancelled" in failure["error"]


def test_an_order_the_archive_has_forgotten_is_placed_again(workspace, sandbox):
    sandbox.order_delay = 3600
    sandbox_rows(sandbox, workspace, "L", online=False)
    workspace.run("apply", "--no-wait")
    sandbox.faults = Faults(unknown_orders={"L"})
    for _ in range(2):
        assert workspace.run("apply", "--no-wait").code == 3
    assert sandbox.orders == 1, "an answer without the order may be a passing fault"
    assert workspace.run("apply", "--no-wait").code == 3
    assert sandbox.orders == 2


def test_failures_are_reported_and_everything_else_is_done(workspace, sandbox):
    sandbox_rows(sandbox, workspace, *"ABC", transfer="retries = 1")
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"B"}),))
    ran = workspace.run("apply", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["B"]
    assert "404" in ran.summary["failures"][0]["error"]
    assert set(workspace.files()) == {"A.zip", "C.zip"}
    plain = workspace.run("apply")
    assert plain.code == 1
    assert "failed: B: " in plain.err
    sandbox.faults = Faults()
    assert workspace.run("apply").code == 0


def test_a_named_product_the_archive_does_not_know_is_a_failure(workspace, sandbox):
    sandbox_rows(sandbox, workspace, "A", manifest='[dataset.named]\nproducts = ["A", "NOWHERE"]\n')
    ran = workspace.run("apply", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["NOWHERE"]
    assert set(workspace.files()) == {"A.zip"}


def test_a_failed_search_does_not_delay_other_datasets(workspace, sandbox):
    use(sandbox, RowCatalogue(rows("A")))
    both = NAMED + '[dataset.broken]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\nsatellite = "No such"\n'
    workspace.write(both, transfer="retries = 0")
    from sedas_sync.sandbox.faults import error

    def refuse(request, answer):
        return error(500, "Internal trouble") if "satelliteName" in (request.json or {}) else answer(request)

    sandbox.faults = Faults(rules=(Rule("search", refuse),))
    ran = workspace.run("apply", "--json")
    assert ran.code == 1
    assert [failure["id"] for failure in ran.summary["failures"]] == ["broken"]
    assert set(workspace.files()) == {"A.zip"}
    plan = workspace.run("plan", "--json")
    assert plan.json["search_complete"] is False
    assert plan.code == 1


BROKEN = '[dataset.broken]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\nsatellite = "No such"\n'


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_search_does_not_delay_other_datasets(workspace, sandbox, status):
    """A search that fails: the other datasets and all that was found are applied, nothing is pruned."""
    from sedas_sync.sandbox.faults import error

    use(sandbox, RowCatalogue(rows("A", "OLD")))
    workspace.write(NAMED)
    assert workspace.run("apply").code == 0
    use(sandbox, RowCatalogue(rows("A", "B")))
    workspace.write(NAMED + 'exclude = ["OLD"]\n' + BROKEN, transfer="retries = 0")

    def refuse(request, answer):
        return error(status, "not for you") if "satelliteName" in (request.json or {}) else answer(request)

    sandbox.faults = Faults(rules=(Rule("search", refuse),))
    plan = workspace.run("plan", "--json", "--out", "p.json")
    assert (plan.code, plan.json["search_complete"]) == (4, False)
    assert [failure["id"] for failure in plan.json["failures"]] == ["broken"]
    assert workspace.run("search", "--json").code == 4
    locking = workspace.run("lock")
    assert (locking.code, (workspace.path / "manifest.lock").exists()) == (4, False)
    assert "failed: broken: " in locking.err
    ran = workspace.run("apply", "--plan", "p.json", "--json")
    assert (ran.code, ran.summary["exit_code"], ran.summary["fetched"]) == (4, 4, 1)
    assert [failure["id"] for failure in ran.summary["failures"]] == ["broken"]
    (workspace.mirror / "B.zip").unlink()
    ran = workspace.run("apply", "--json", "--prune", "--update-lock")
    assert (ran.code, ran.summary["exit_code"], ran.summary["fetched"], ran.summary["pruned"]) == (4, 4, 1, 0)
    assert not (workspace.path / "manifest.lock").exists()
    assert set(workspace.files()) == {"A.zip", "B.zip", "OLD.zip"}

    sandbox.faults = Faults(rules=(Rule("search", fail(status)),))
    refused = workspace.run("apply", "--json")
    assert (refused.code, refused.json["exit_code"]) == (4, 4), (
        "where every search is refused there is nothing to be done"
    )


def test_planned_acquisitions_are_skipped_and_are_no_change(workspace, sandbox):
    planned = make_row(
        "X", "2019-05-09T11:00:00Z", online=False, type="PLANNEDACQ", acqPlanId="PLAN-7", supplierId=None
    )
    use(sandbox, RowCatalogue([*rows("A"), planned]))
    workspace.write(NAMED)
    ran = workspace.run("apply", "--json")
    assert ran.code == 0
    assert (ran.summary["skipped"], ran.summary["failed"], ran.summary["fetched"]) == (1, 0, 1)
    assert not sandbox.orders
    plan = workspace.run("plan", "--json", "--exit-code")
    assert plan.code == 0
    (action,) = plan.json["actions"]
    assert (action["action"], action["id"]) == ("skip", "PLAN-7")


def test_an_untracked_file_is_adopted_if_it_is_the_scene_and_else_set_aside(workspace, sandbox):
    """An untracked file at a wanted scene's path is checked: right, it is adopted; wrong, it is moved."""
    sandbox_rows(sandbox, workspace, *"ABCD")
    workspace.run("apply")
    right = workspace.files()
    shutil.rmtree(workspace.mirror)
    workspace.mirror.mkdir()
    outside = workspace.path / "outside"
    outside.write_bytes(b"mine")
    (workspace.mirror / "A.zip").write_bytes(right["A.zip"])
    (workspace.mirror / "B.zip").write_bytes(b"holiday photographs")
    (workspace.mirror / "C.zip").symlink_to(outside)
    (workspace.mirror / "D.zip").mkdir()
    (workspace.mirror / "D.zip" / "notes.txt").write_text("mine too")
    downloads = sandbox.downloads
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert (ran.summary["adopted"], ran.summary["fetched"]) == (1, 3)
    assert sandbox.downloads == downloads + 3
    assert workspace.files() == right
    assert outside.read_bytes() == b"mine"
    replaced = workspace.mirror / ".sedas-sync" / "replaced"
    assert (replaced / "B.zip").read_bytes() == b"holiday photographs"
    assert (replaced / "C.zip").is_symlink()
    assert (replaced / "D.zip" / "notes.txt").read_text() == "mine too"


def test_a_link_or_folder_at_the_path_of_a_scene_is_set_aside_and_never_followed(workspace, sandbox):
    """A symbolic link there is moved the same way, never followed."""
    sandbox_rows(sandbox, workspace, *"AB")
    workspace.run("apply")
    right = workspace.files()
    mine = workspace.path / "mine.zip"
    mine.write_bytes(b"mine")
    for name in ("A.zip", "B.zip"):
        (workspace.mirror / name).unlink()
    (workspace.mirror / "A.zip").symlink_to(mine)
    (workspace.mirror / "B.zip").mkdir()
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert workspace.files() == right
    assert not (workspace.mirror / "A.zip").is_symlink()
    assert mine.read_bytes() == b"mine"
    assert (workspace.mirror / ".sedas-sync" / "replaced" / "A.zip").is_symlink()
    assert (workspace.mirror / ".sedas-sync" / "replaced" / "B.zip").is_dir()


def test_a_lost_or_damaged_index_is_rebuilt_from_the_folder(workspace, sandbox):
    """The index is a cache of truth, and can be rebuilt from the folder."""
    sandbox_rows(sandbox, workspace, *"ABC")
    workspace.run("apply")
    downloads = sandbox.downloads
    state = workspace.mirror / ".sedas-sync"
    (state / "index.db").unlink()
    assert workspace.run("apply", "--json").summary["adopted"] == 3
    (state / "index.db").write_bytes(b"this is no database" * 100)
    planned = workspace.run("plan", "--json")
    assert planned.json["summary"]["adopt"] == 3
    assert "damaged" in planned.err
    ran = workspace.run("apply", "--json")
    assert (ran.code, ran.summary["adopted"], ran.summary["warnings"]) == (0, 3, 1)
    assert sandbox.downloads == downloads
    assert workspace.run("plan", "--exit-code").code == 0


def test_an_index_rebuilt_during_a_run_has_the_metadata_of_kept_scenes(workspace, sandbox):
    """Rules are judged by them when the catalogue does not list a scene any more."""
    sandbox_rows(sandbox, workspace, *"ABC")
    workspace.run("apply")
    path = workspace.mirror / ".sedas-sync" / "index.db"
    with closing(sqlite3.connect(path)) as db:
        before = dict(db.execute("SELECT id, facts FROM files"))
    archive = ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox")
    manifest = ss.load_manifest(workspace.path / "manifest.toml")
    with archive, ss.Mirror(manifest, archives={"archive": archive}) as mirror:
        plan = mirror.plan()
        path.write_bytes(b"this is no database" * 100)
        assert mirror.apply(plan).kept == 3
    with closing(sqlite3.connect(path)) as db:
        assert dict(db.execute("SELECT id, facts FROM files")) == before


def test_an_index_of_a_newer_version_is_left_alone(workspace, sandbox):
    sandbox_rows(sandbox, workspace, "A")
    workspace.run("apply")
    with sqlite3.connect(workspace.mirror / ".sedas-sync" / "index.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    ran = workspace.run("apply")
    assert ran.code == 2
    assert "newer sedas-sync" in ran.err


def test_a_changed_layout_moves_files_and_fetches_nothing(workspace, sandbox):
    """A changed layout moves files; nothing is fetched again."""
    sandbox_rows(sandbox, workspace, *"ABC")
    workspace.run("apply")
    right, downloads = workspace.files(), sandbox.downloads
    workspace.write(NAMED, mirror='layout = "{satellite}/{start:%Y/%m}/{id}"')
    assert workspace.run("plan", "--exit-code").code == 10
    ran = workspace.run("apply", "--json")
    assert ran.code == 0
    assert sandbox.downloads == downloads
    moved = workspace.mirror / "Sentinel-2A" / "2019" / "05"
    assert {file.name: file.read_bytes() for file in moved.iterdir()} == right
    assert not workspace.files()
    assert workspace.run("plan", "--exit-code").code == 0


def test_a_mirror_and_its_manifest_can_be_moved_as_a_whole(workspace, sandbox):
    """A mirror can be moved or renamed as a whole."""
    sandbox_rows(sandbox, workspace, *"AB")
    workspace.run("apply")
    moved = workspace.path / "elsewhere"
    moved.mkdir()
    for name in ("scenes", "manifest.toml"):
        shutil.move(workspace.path / name, moved / name)
    workspace.path = moved
    assert workspace.run("apply", "--json").summary["kept"] == 2


def test_a_mirror_belongs_to_one_manifest(workspace, sandbox):
    """Another manifest is refused with exit 2 that names the first; `apply --take-over` hands it over."""
    sandbox_rows(sandbox, workspace, *"AB")
    workspace.run("apply")
    workspace.write(NAMED, name="other.toml")
    for command in ("apply", "plan"):
        refused = workspace.run(command, "other.toml")
        assert refused.code == 2
        assert "manifest.toml" in refused.err
        assert "--take-over" in refused.err
    assert workspace.run("apply", "other.toml", "--take-over").code == 0
    assert workspace.run("apply").code == 2


def test_a_dry_run_plans_as_if_the_mirror_were_taken_over(workspace, sandbox):
    sandbox_rows(sandbox, workspace, "A")
    workspace.run("apply")
    workspace.write(NAMED, name="other.toml")
    assert workspace.run("apply", "other.toml", "--dry-run").code == 2
    dry = workspace.run("apply", "other.toml", "--dry-run", "--take-over", "--json")
    assert (dry.code, dry.json["summary"]["keep"]) == (0, 1)
    assert workspace.run("plan").code == 0, "nothing was taken over"


def test_a_plan_that_cannot_be_saved_is_refused_before_the_search(workspace, sandbox):
    sandbox_rows(sandbox, workspace, "A")
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    ran = workspace.run("plan", "--out", workspace.path / "nowhere" / "plan.json")
    assert ran.code == 2
    assert "does not exist" in ran.err


def test_a_note_without_a_partial_file_is_deleted(workspace, sandbox):
    sandbox_rows(sandbox, workspace, *"AB")
    assert workspace.run("apply").code == 0
    partials = workspace.mirror / ".sedas-sync" / "partial"
    for name in ("A", "B"):
        (partials / f"{name}.meta").write_text("{}\n")
    (workspace.mirror / "B.zip").write_bytes(b"damaged")
    assert workspace.run("verify", "--repair").code == 0
    assert not list(partials.iterdir())


def test_the_error_names_another_active_process(workspace, sandbox, go_on):
    """`apply.lock`: with who holds it."""
    use(sandbox, RowCatalogue(rows("A")))
    workspace.write(NAMED)
    first = workspace.start("apply")
    wait_for(lambda: list((workspace.mirror / ".sedas-sync" / "partial").glob("A*")))
    second = workspace.run("apply")
    assert second.code == 5
    assert str(first.pid) in second.err
    assert workspace.run("plan").code == 0, "a plan reads beside it"
    threading.Timer(0.5, go_on.set).start()
    patient = workspace.run("apply", "--lock-timeout", "30", "--json")
    assert patient.code == 0
    assert patient.summary["kept"] == 1
    first.communicate(timeout=20)
    assert first.returncode == 0


def test_the_second_of_two_first_runs_ends_before_its_search(workspace, sandbox):
    searched, go_on = [], threading.Event()

    def wait(request, answer):
        searched.append(request)
        go_on.wait(20)
        return answer(request)

    use(sandbox, RowCatalogue(rows("A")))
    sandbox.faults = Faults(rules=(Rule("search", wait),))
    workspace.write(NAMED)
    first = workspace.start("apply")
    try:
        wait_for(lambda: searched)
        second = workspace.run("apply")
        assert (second.code, len(searched)) == (5, 1)
        assert str(first.pid) in second.err
    finally:
        go_on.set()
        first.communicate(timeout=30)
    assert first.returncode == 0
    assert set(workspace.files()) == {"A.zip"}


def test_refused_and_missing_credentials(workspace):
    workspace.write()
    refused = workspace.run("apply", SEDAS_PASSWORD="wrong")
    assert refused.code == 4
    assert "wrong" not in refused.err
    missing = workspace.run("plan", SEDAS_USERNAME="", SEDAS_PASSWORD="")
    assert missing.code == 4
    for looked_at in ("SEDAS_USERNAME", "netrc", "keyring"):
        assert looked_at in missing.err


def test_credentials_from_netrc(workspace):
    workspace.write()
    (workspace.path / ".netrc").write_text("machine 127.0.0.1 login sandbox password sandbox\n")
    (workspace.path / ".netrc").chmod(0o600)
    assert workspace.run("plan", SEDAS_USERNAME="", SEDAS_PASSWORD="").code == 0


def test_a_token_revoked_during_the_run_is_renewed_once(workspace, sandbox):
    sandbox_rows(sandbox, workspace, *"ABCDEFGH", transfer="jobs = 4")
    from sedas_sync.sandbox.faults import error

    sandbox.faults = Faults(
        rules=(Rule("download", lambda _request, _answer: revoked(sandbox, error), after=2, times=1),)
    )
    ran = workspace.run("apply", "--json")
    assert ran.code == 0, ran.err
    assert ran.summary["fetched"] == 8
    assert sandbox.logins == 2


def revoked(sandbox, error):
    sandbox.revoke_tokens()
    return error(401, "Not authorised")


@pytest.mark.parametrize("where", ["stderr", "file"])
def test_no_secret_reaches_a_log(workspace, sandbox, where):
    sandbox_rows(sandbox, workspace, "A")
    ran = workspace.run("apply", "-vv", "--log-file", "run.log")
    assert ran.code == 0
    text = ran.err + ran.out if where == "stderr" else (workspace.path / "run.log").read_text()
    assert "POST" in text, "HTTP is logged"
    for token in sandbox._tokens:
        assert token not in text
    assert '"sandbox"' not in text


def test_a_hostile_catalogue_harms_nothing(workspace, sandbox):
    """Names from the archive are made safe, and nothing is written outside the mirror."""
    hostile = [
        "../../../escape", "/etc/absolute", "a/b/c", "C:\\windows", "CON", "x" * 300, "line\nbreak\x1b[31m", "..",
        ".hidden", "nul.zip", "trailing. ", "\u202egpj.exe", "",
    ]  # fmt: skip
    offered = rows(*hostile, "GOOD", "Case", "cASE")
    offered += [
        make_row("NOWHERE", "2019-05-03T11:00:00Z", footprint="POLYGON((what"),
        make_row("NEVER", "not a date"),
        {"supplierId": 7, "start": [], "type": {}},
        {"supplierId": "LIST", "start": "2019-05-03T11:00:00Z", "coordinatesWKT": ["POLYGON"]},
    ]
    content = zip_of(workspace.path, 1000)
    use(sandbox, RowCatalogue(offered, files=lambda _: content))
    workspace.write(NAMED)
    outside = set(workspace.path.iterdir())
    ran = workspace.run("apply", "--json")
    assert ran.code in (0, 1), ran.err
    assert ran.summary["warnings"] >= 4
    for path in set(workspace.path.iterdir()) - outside - {workspace.mirror}:
        pytest.fail(f"{path} was written outside the mirror")
    for file in workspace.mirror.rglob("*"):
        inside = file.relative_to(workspace.mirror).parts
        assert len(file.name.encode()) <= 255
        assert file.name.isprintable()
        if inside[0] != ".sedas-sync":
            assert len(inside) == 1, "an id never makes a folder"
    assert "\x1b" not in ran.err
    assert "GOOD.zip" in workspace.files()
    folded = [name.casefold() for name in workspace.files()]
    assert len(set(folded)) == len(folded), "two scenes never share a name, whatever the file system makes of case"
    again = workspace.run("apply", "--json")
    assert again.summary["fetched"] == 0


@pytest.mark.parametrize(
    "body", [b"not json", b"null", b"[]", b'{"products": {}}', b'{"products": [null, 3, "x"]}', b""]
)
def test_a_malformed_search_answer(workspace, sandbox, body):
    from sedas_sync.sandbox.faults import say

    sandbox_rows(sandbox, workspace, "A", transfer="retries = 0")
    sandbox.faults = Faults(rules=(Rule("search", say(body)),))
    ran = workspace.run("apply", "--json")
    if b"null, 3" in body:
        assert ran.code == 0, "a row that cannot be used is a warning"
        assert ran.summary["warnings"] >= 1
    else:
        assert ran.code == 1
        assert ran.summary["failures"][0]["id"] == "named"
    assert not workspace.files()


def test_apply_of_one_dataset(workspace, sandbox):
    use(sandbox, RowCatalogue([*rows("A"), *rows("B", satellite="Sentinel-1A")]))
    workspace.write(
        '[dataset.o]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\nsensor = "optical"\n'
        '[dataset.r]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\nsensor = "SAR"\n'
    )
    assert workspace.run("apply", "--dataset", "r").code == 0
    assert set(workspace.files()) == {"B.zip"}
    unknown = workspace.run("apply", "--dataset", "x")
    assert unknown.code == 2
    assert "o, r" in unknown.err


def test_the_embedded_sandbox_is_the_same_archive_in_every_process(tmp_path, workspace):
    text = (Path(__file__).parents[2] / "examples" / "quickstart.toml").read_text().replace("../demo/scenes", "scenes")
    (workspace.path / "manifest.toml").write_text(text)
    first = workspace.run("apply", "--json", SEDAS_USERNAME="", SEDAS_PASSWORD="")
    assert first.code == 0, first.err
    assert first.summary["fetched"] >= 3
    assert first.summary["ordered"] >= 1
    second = workspace.own_process.run("apply", "--json")
    assert (second.summary["fetched"], second.summary["kept"]) == (0, first.summary["fetched"])
