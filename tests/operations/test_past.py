"""What a mirror remembers: its runs, and what changed in the catalogue and on disk."""

import hashlib
import zipfile
from datetime import UTC, datetime, timedelta, timezone

import pytest
from clocks import Clock

import sedas_sync as ss
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

OLD = "S2A_MSIL1C_20260225T110621_N0207_R137_T30UXC_20260225T131402"
NEW = "S2A_MSIL1C_20260225T110621_N0500_R137_T30UXC_20260301T120000"


def changes(weeks):
    with weeks.mirror() as mirror:
        return [(one.kind.value, one.id, one.detail) for one in mirror.changes()]


def status(weeks):
    with weeks.mirror() as mirror:
        found = mirror.status()
    return found.unwanted, found.withdrawn, found.superseded


def test_what_comes_late_goes_and_comes_back(weeks):
    a, b, late = weeks.row("A", 3), weeks.row("B", 2), weeks.row("L", 10)
    weeks.offer(a, b)
    weeks.write("-60d")
    weeks.apply()
    assert changes(weeks) == [], "what the first search finds is not news"
    weeks.clock.move(days=1)
    fresh = weeks.row("F", 1)
    weeks.offer(a, b, late, fresh)
    weeks.apply()
    assert changes(weeks) == [("late", "L", "acquired 2026-02-19")]
    weeks.clock.move(days=1)
    weeks.offer(b, late, fresh)
    for _ in range(2):
        weeks.apply()
    assert changes(weeks)[1:] == [("withdrawn", "A", "")], "once, not in every run"
    assert status(weeks) == (1, 1, 0)
    weeks.offer(a, b, late, fresh)
    weeks.apply()
    assert changes(weeks)[2:] == [("back", "A", "was withdrawn")]
    assert status(weeks) == (0, 0, 0)
    weeks.clock.move(days=51)
    weeks.apply()
    assert changes(weeks)[3:] == [("pruned", "L", "")]


def test_a_withdrawn_scene_without_a_file_is_forgotten_by_a_prune(weeks):
    a, b, c = weeks.row("A", 3), weeks.row("B", 2), weeks.row("C", 4)
    weeks.offer(a, b, c)
    weeks.write("-60d")
    weeks.apply()
    weeks.offer(b)
    (weeks.path / "scenes" / "A.zip").unlink()
    with weeks.mirror() as mirror:
        summary = mirror.apply(mirror.plan())
        assert (summary.exit_code, mirror.verify().exit_code) == (0, 1)
        explained = mirror.why("A")
        assert (explained.pruning.reason.code.value, explained.pruning.removes) == ("lost", True)
        assert "its file is missing" in explained.next
        assert mirror.why("C").pruning.removes is False, "its file may be the last copy"
        plan = mirror.plan(prune=True)
        removed = [action for action in plan.actions if action.kind.value == "prune"]
        assert [(action.id, action.size) for action in removed] == [("A", 0)]
        assert mirror.apply(plan, max_prune=0).exit_code == 0, "no file is removed"
        assert mirror.verify().exit_code == 0
    assert weeks.here == {"B", "C"}
    weeks.offer(a, b, c)
    assert weeks.apply().fetched == 1, "it came back"


@pytest.mark.parametrize("rule", ["", 'reprocessed = "newest"\n'])
@pytest.mark.parametrize("listed", [True, False])
def test_a_reprocessed_scene_is_not_a_withdrawn_one(weeks, rule, listed):
    old, new = (make_row(name, "2026-02-25T11:06:21Z") for name in (OLD, NEW))
    weeks.offer(old)
    weeks.write("2026-02-01", rule)
    weeks.apply()
    weeks.offer(*[old] * listed, new)
    weeks.apply(prune=False)
    assert changes(weeks) == [("reprocessed", OLD, NEW)]
    superseded = not listed or rule != ""
    assert status(weeks) == (superseded, 0, superseded)


def test_files_that_changed_in_the_archive_and_files_that_were_damaged(weeks):
    def offer(version):
        target = weeks.path / "A.source"
        with zipfile.ZipFile(target, "w") as file:
            file.writestr("A.SAFE/manifest.safe", f"version {version}" * 100)
        filehash = hashlib.md5(target.read_bytes()).hexdigest()
        rows = [weeks.row("A", 3, filehash=filehash), weeks.row("B", 2)]
        weeks.sandbox._catalogue = RowCatalogue(rows, files={"A": target.read_bytes()})

    offer(1)
    weeks.write("-60d")
    weeks.apply()
    (weeks.path / "scenes" / "B.zip").write_bytes(b"work")
    offer(2)
    assert weeks.apply().fetched == 2
    assert sorted(changes(weeks)) == [("changed", "A", ""), ("replaced", "B", "")]


def test_a_run_counts_its_requests(weeks):
    weeks.offer(weeks.row("A", 3), weeks.row("B", 2, online=False))
    weeks.write("-60d")
    weeks.sandbox.order_delay = 3600
    calls = weeks.apply().calls
    asked = weeks.sandbox
    assert calls["login"] == sum(entry.endpoint == "login" for entry in asked.log)
    assert calls["search"] == sum(entry.endpoint == "search" for entry in asked.log)
    assert calls["order"] == 1
    assert weeks.apply().calls["poll"] == 1


def test_runs_that_could_not_begin_are_in_the_history(weeks):
    weeks.offer(weeks.row("A", 3))
    weeks.write("-60d")
    weeks.apply()
    weeks.clock.move(days=1)
    weeks.sandbox.faults = Faults(rules=(Rule("login", fail(401)),))
    with weeks.mirror() as mirror, pytest.raises(ss.AuthenticationError):
        mirror.sync()
    with weeks.mirror() as mirror:
        last, first = mirror.history()
        assert (first.exit_code, first.succeeded) == (0, True)
        assert (last.command, last.exit_code, last.succeeded) == ("apply", 4, False)
        assert "refused the credentials" in last.summary["failures"][0]["error"]
        assert mirror.status().last_success == first
        an_hour_ago = weeks.clock.now - timedelta(hours=1)
        # A time without a zone is UTC, and other zones are the same time.
        for since in (
            an_hour_ago,
            an_hour_ago.replace(tzinfo=None),
            an_hour_ago.astimezone(timezone(-timedelta(hours=9))),
        ):
            assert mirror.history(since) == [last]


# -- the commands ----------------------------------------------------------------------------------------------------

RULES = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


@pytest.fixture
def applied(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-02T11:00:00Z"), make_row("B", "2019-05-03T11:00:00Z")])
    workspace.write(RULES, transfer="retries = 0")
    assert workspace.run("apply").code == 0
    return workspace


def test_history_lists_runs_with_their_reasons(applied, sandbox):
    sandbox.faults = Faults(rules=(Rule("search", fail(500)),))
    assert applied.run("apply").code == 1
    last, first = applied.run("history", "--json").json["runs"]
    assert (first["command"], first["exit_code"], first["fetched"], first["reason"]) == ("apply", 0, 2, None)
    assert first["calls"]["search"] >= 1
    assert (last["exit_code"], last["failed"]) == (1, 1)
    assert last["reason"].startswith("d: ")
    shown = applied.run("history").out
    assert "2 fetched" in shown
    assert "1 failed: d: " in shown
    assert applied.run("history", "--since", "0s").out == "No runs.\n"
    assert applied.run("history", "--since", "yesterday").code == 2


def test_changes_lists_what_happened(applied, sandbox):
    assert applied.run("changes").out == "No changes.\n"
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-02T11:00:00Z")])
    applied.run("apply")
    (change,) = applied.run("changes", "--json").json["changes"]
    assert (change["kind"], change["id"]) == ("withdrawn", "B")
    assert applied.run("changes", "--since", "1h").out.endswith("1 withdrawn.\n")
    note = "of these, 1 withdrawn from the catalogue, 0 superseded"
    assert note in applied.run("status").out


def test_metrics_are_written_after_every_run(applied, sandbox):
    file = applied.path / "sedas.prom"

    def values():
        lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
        return {
            line.partition("{")[0] + line.partition("state")[2].partition("}")[0]: float(line.split()[-1])
            for line in lines
        }

    assert applied.run("apply", "--metrics", "sedas.prom").code == 0
    good = values()
    assert good["sedas_sync_last_exit_code"] == 0
    assert good['sedas_sync_scenes="downloaded"'] == good['sedas_sync_scenes="wanted"'] == 2
    assert abs(good["sedas_sync_last_success_timestamp_seconds"] - datetime.now(UTC).timestamp()) < 600
    assert good["sedas_sync_bytes"] == sum(map(len, applied.files().values()))
    sandbox.faults = Faults(rules=(Rule("login", fail(401)),))
    assert applied.run("apply", "--metrics", "sedas.prom").code == 4
    bad = values()
    assert bad["sedas_sync_last_exit_code"] == 4
    assert bad["sedas_sync_last_success_timestamp_seconds"] == good["sedas_sync_last_success_timestamp_seconds"]
    for arguments in (("--dry-run",), ()):
        assert applied.run("apply", "--metrics", "none/sedas.prom", *arguments).code == 2


def test_status_fails_if_no_run_was_successful_for_long(workspace, sandbox, monkeypatch):
    workspace.write(RULES, transfer="retries = 0")
    never = workspace.run("status", "--max-age", "26h", "-q")
    assert (never.code, never.err) == (1, "failed: no apply has ever succeeded\n")
    sandbox.order_delay = 3600
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-02T11:00:00Z", online=False)])
    assert workspace.run("apply", "--no-wait").code == 3, "all that can be done now is done"
    assert workspace.run("status", "--max-age", "26h").code == 0
    assert workspace.run("status", "--json").json["last_success"] is not None
    late = workspace.run("status", "--max-age", "0s", "--json")
    assert late.code == 1
    assert "no apply has succeeded in the last 0.0 s" in late.err
    for key, value in workspace.env.items():
        monkeypatch.setenv(key, value)
    clock = Clock(f"{datetime.now(UTC) + timedelta(days=400):%Y-%m-%d}")
    with ss.Mirror(ss.load_manifest(workspace.path / "manifest.toml"), clock=clock) as mirror:
        assert mirror.apply(mirror.plan(), wait=False).exit_code == 3
    ahead = workspace.run("status", "--max-age", "26h", "-q")
    assert ahead.code == 1
    assert f"ended at {clock.now:%Y-%m-%d %H:%M:%S} UTC, which is in the future" in ahead.err
