"""What grows in a mirror over the years, and what is done about it."""

import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from clocks import Clock, Weeks

from sedas_sync.model.history import Change, ChangeKind
from sedas_sync.sandbox import Sandbox
from sedas_sync.state import history
from sedas_sync.state.index import WritableIndex


@pytest.fixture
def weeks(tmp_path, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    # Real time: the age of files in `replaced/` is counted from it.
    clock = Clock(f"{datetime.now(UTC):%Y-%m-%d}")
    clock.move(days=1)
    with Sandbox(clock=clock.posix) as sandbox:
        yield Weeks(tmp_path, sandbox, clock)


def replaced(weeks):
    with weeks.mirror() as mirror:
        return mirror.status().replaced


@pytest.mark.parametrize(("keep", "left"), [("", 2), ('keep_replaced = "90d"\n', 0)])
def test_replaced_files_are_counted_and_removed_when_they_are_old(weeks, keep, left):
    weeks.offer(weeks.row("A", 5), weeks.row("B", 4))
    weeks.write("-1000d", mirror=keep)
    weeks.apply()
    (weeks.path / "scenes" / "A.zip").write_bytes(b"work")
    (weeks.path / "scenes" / "B.zip").unlink()
    (weeks.path / "scenes" / "B.zip").mkdir()
    (weeks.path / "scenes" / "B.zip" / "notes").write_bytes(b"more work")
    assert weeks.apply().fetched == 2
    assert replaced(weeks) == (2, 13)
    weeks.clock.move(days=88)
    weeks.apply()
    assert replaced(weeks) == (2, 13)
    weeks.clock.move(days=3)
    weeks.apply()
    assert replaced(weeks)[0] == left


def test_a_clock_that_is_wrong_removes_nothing_from_replaced(weeks):
    weeks.offer(weeks.row("A", 5))
    weeks.write("2020-01-01", mirror='keep_replaced = "90d"\n')
    weeks.apply()
    (weeks.path / "scenes" / "A.zip").write_bytes(b"work")
    weeks.apply()
    ahead = Clock(f"{weeks.clock.now + timedelta(days=400):%Y-%m-%d}")
    Weeks(weeks.path, weeks.sandbox, ahead).apply()
    assert replaced(weeks)[0] == 1, "the archive's clock shows another year"


def test_runs_and_changes_are_bounded(tmp_path):
    (tmp_path / ".sedas-sync").mkdir()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with WritableIndex(tmp_path) as index:
        with index.together():
            for number in range(1100):
                now += timedelta(hours=1)
                history.begin_run(index, f"apply {number}", now)
        assert len(history.runs(index)) == 1000
        assert history.last_run(index).command == "apply 1099"
        history.add_changes(index, [Change(time=now, kind=ChangeKind.PRUNED, id="A")])
        history.begin_run(index, "apply", now + timedelta(days=300))
        assert (len(history.runs(index)), len(history.changes(index))) == (1000, 1)
        history.begin_run(index, "apply", now + timedelta(days=401))
        history.begin_run(index, "apply", now + timedelta(days=402))
        assert (len(history.runs(index)), len(history.changes(index))) == (3, 0)


def test_a_clock_that_is_ahead_forgets_no_run(weeks):
    weeks.offer(weeks.row("A", 3))
    weeks.write("-30d")
    for _ in range(2):
        weeks.apply()
        weeks.clock.move(days=1)
    with weeks.mirror() as mirror, mirror._context.state.index(write=True) as index:
        history.add_changes(index, [Change(time=weeks.clock.now, kind=ChangeKind.PRUNED, id="A")])
    ahead = Clock("2036-01-01")
    for _ in range(2):
        Weeks(weeks.path, weeks.sandbox, ahead).apply(prune=False)
        ahead.move(days=1)
    weeks.apply()
    with weeks.mirror() as mirror:
        assert len(mirror.history()) == 5
        assert ChangeKind.PRUNED in {change.kind for change in mirror.changes()}


def test_a_clock_that_is_ahead_once_forgets_no_run_without_an_archive(tmp_path):
    (tmp_path / ".sedas-sync").mkdir()
    now = datetime(2026, 1, 1, tzinfo=UTC)
    with WritableIndex(tmp_path) as index:
        for days in (0, 1, 4000, 2, 3):
            history.begin_run(index, f"apply {days}", now + timedelta(days=days))
        assert len(history.runs(index)) == 5


def test_an_index_that_is_mostly_empty_is_compacted(tmp_path):
    (tmp_path / ".sedas-sync").mkdir()
    with WritableIndex(tmp_path) as index:
        with index.together():
            for number in range(2000):
                index.put_error(f"S{number}", "x" * 1000, datetime(2026, 1, 1, tzinfo=UTC))
        index.compact()
        ((full,),) = index.rows("PRAGMA page_count")
        index.drop_errors(but=frozenset())
        index.compact()
        ((rest,),) = index.rows("PRAGMA page_count")
    assert full > 256 > rest
    assert sqlite3.connect(tmp_path / ".sedas-sync" / "index.db").execute("PRAGMA quick_check").fetchone() == ("ok",)
