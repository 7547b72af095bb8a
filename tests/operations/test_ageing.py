"""Mirrors with relative dates over weeks: what leaves because time passed, and what leaves because of an edit."""

import os
import shutil

import pytest
from clocks import Clock, Weeks

import sedas_sync as ss
from sedas_sync.model.reason import ReasonCode
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, Sandbox, make_row
from sedas_sync.sandbox.faults import fail

DAYS = 60


@pytest.fixture
def weeks(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "SEDAS_USERNAME", "sandbox")
    monkeypatch.setitem(os.environ, "SEDAS_PASSWORD", "sandbox")
    clock = Clock("2026-03-01")
    first = Clock("2026-02-01")
    rows = []
    for number in range(DAYS):
        rows.append(make_row(f"D{number:02}", f"{first.now:%Y-%m-%dT11:00:00Z}"))
        first.move(days=1)
    with Sandbox(catalogue=RowCatalogue(rows), clock=clock.posix) as sandbox:
        yield Weeks(tmp_path, sandbox, clock)


def test_what_ages_does_not_count_against_the_limit(weeks):
    weeks.write("-20d")
    assert weeks.apply().fetched == 20
    weeks.clock.move(days=14)
    with weeks.mirror() as mirror:
        plan = mirror.plan(prune=True)
    gone = [action for action in plan.actions if action.kind is ss.ActionKind.PRUNE]
    assert {action.reason.code for action in gone} == {ReasonCode.AGED}
    summary = weeks.apply()
    assert (summary.exit_code, summary.pruned, summary.fetched) == (0, 14, 14)
    assert weeks.here == {f"D{number:02}" for number in range(22, 42)}


def test_what_aged_while_nothing_was_removed_goes_later(weeks):
    weeks.write("-20d")
    weeks.apply()
    for _ in range(7):
        weeks.clock.move(days=2)
        weeks.apply(prune=False)
    summary = weeks.apply()
    assert (summary.exit_code, summary.pruned) == (0, 14)


def test_an_edit_of_the_date_counts_and_the_oldest_go_first(weeks):
    weeks.write("-20d")
    weeks.apply()
    weeks.write("-5d")
    for left in (15, 10):
        summary = weeks.apply()
        assert (summary.exit_code, summary.pruned, len(weeks.here)) == (1, 5, left)
        assert weeks.here == {f"D{number:02}" for number in range(28 - left, 28)}
    assert weeks.apply().exit_code == 0
    assert weeks.apply(max_prune=0).pruned == 0


def test_an_edit_of_another_rule_counts_too(weeks):
    weeks.write("-20d")
    weeks.apply()
    weeks.write("-20d", 'satellite = "Sentinel-2B"\n')
    weeks.clock.move(days=1)
    summary = weeks.apply()
    assert (summary.exit_code, summary.pruned) == (1, 5)


def test_what_aged_out_of_a_lost_index_is_adopted_and_pruned(weeks):
    weeks.write("-20d")
    weeks.apply()
    shutil.rmtree(weeks.path / "scenes" / ".sedas-sync")
    (weeks.path / "scenes" / "notes-of-mine.txt").write_text("mine")
    weeks.clock.move(days=7)
    assert (weeks.apply().pruned, len(weeks.here)) == (0, 27), "nothing is known of the seven that are too old"
    with weeks.mirror() as mirror:
        assert mirror.adopt().counts == {
            "adopted": 0,
            "held": 0,
            "wrong": 0,
            "incomplete": 0,
            "unwanted": 8,
            "failed": 0,
        }
        done = mirror.adopt(known=True)
        assert (done.exit_code, done.counts["adopted"], done.counts["unwanted"]) == (0, 7, 1)
        assert mirror.verify().counts["unknown"] == 1
    summary = weeks.apply(max_prune=7)
    assert (summary.exit_code, summary.pruned, len(weeks.here)) == (0, 7, 20)
    assert (weeks.path / "scenes" / "notes-of-mine.txt").read_text() == "mine"


def test_adopt_all_names_a_look_up_that_failed(weeks):
    weeks.write("-20d")
    weeks.apply()
    (weeks.path / "scenes" / "STRANGER.zip").write_bytes(b"?")
    weeks.sandbox.faults = Faults(rules=(Rule("look_up", fail(500)),))
    with weeks.mirror() as mirror:
        done = mirror.adopt(known=True)
    assert (done.exit_code, [failure.id for failure in done.failures]) == (1, ["STRANGER"])
