"""Orders over weeks: those that always fail, and those of scenes that nobody wants any more."""

import json

import pytest
from clocks import Clock, Weeks
from effort import effort

from sedas_sync.output.documents.base import OrderEntry
from sedas_sync.output.text import orders as as_text
from sedas_sync.sandbox import Faults, Sandbox


@pytest.fixture
def weeks(tmp_path, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    clock = Clock("2026-03-01")
    with Sandbox(clock=clock.posix, order_delay=86400) as sandbox:
        yield Weeks(tmp_path, sandbox, clock)


def listed(weeks):
    with weeks.mirror() as mirror:
        return mirror.orders()


def test_an_order_that_always_fails_is_placed_less_and_less_often(weeks):
    weeks.offer(weeks.row("GOOD", 1), weeks.row("BAD", 2, online=False))
    weeks.sandbox.faults = Faults(failed_orders=("BAD",))
    weeks.write("2026-01-01")
    days_with_orders = []
    alike = effort({*range(14, 40), *range(44, 70)}, set())
    for day in range(74):
        if day in alike:
            weeks.clock.move(days=1)
            continue
        summary = weeks.apply()
        days_with_orders += [day] * summary.ordered
        if day > 3:
            assert summary.exit_code == 1 or summary.ordered, "the scene is named as failing until it is ordered again"
        weeks.clock.move(days=1)
    assert days_with_orders == [0, 1, 2, 3, 4, 11, 41, 71]
    (order,) = listed(weeks)
    assert (order.attempts, order.wanted, order.state) == (8, True, "failed")
    assert "failed 8 times" in as_text([order], weeks.clock.now)
    with weeks.mirror() as mirror:
        assert mirror.plan().changes == 0, "the plan does not promise an order that apply does not place"
        assert [failure.id for failure in mirror.status().failures] == ["BAD"]
    weeks.sandbox.faults = Faults()
    weeks.clock.move(days=33)
    weeks.apply()
    weeks.clock.move(days=2)
    assert weeks.apply().fetched == 1
    assert listed(weeks) == []


def test_orders_of_scenes_that_aged_out_are_marked_and_forgotten_by_a_prune(weeks):
    weeks.sandbox.order_delay = 1e9
    weeks.offer(weeks.row("OLD", 9, online=False), weeks.row("NEW", 1, online=False))
    weeks.write("-10d")
    assert (weeks.apply().ordered, weeks.apply().exit_code) == (2, 3)
    weeks.clock.move(days=3)
    weeks.apply(prune=False)
    old, new = sorted(listed(weeks), key=lambda order: order.id != "OLD")
    assert (old.wanted, new.wanted) == (False, True)
    assert OrderEntry.at(old, weeks.clock.now).wanted is False
    assert "no longer wanted" in as_text([old, new], weeks.clock.now)
    with weeks.mirror() as mirror:
        status = mirror.status()
    assert [order.id for order in status.awaited] == ["NEW"]
    assert status.datasets[0].pending == 1
    weeks.apply()
    assert [order.id for order in listed(weeks)] == ["NEW"]


def test_the_order_of_a_damaged_file_is_forgotten_too(weeks):
    weeks.sandbox.order_delay = 1e9
    weeks.offer(weeks.row("A", 9), weeks.row("B", 1))
    weeks.write("-10d")
    weeks.apply()
    (weeks.path / "scenes" / "A.zip").write_bytes(b"work of somebody")
    weeks.offer(weeks.row("A", 9, online=False), weeks.row("B", 1))
    assert weeks.apply().ordered == 1
    weeks.clock.move(days=3)
    assert weeks.apply().exit_code == 0
    assert listed(weeks) == []


@pytest.mark.parametrize("known", [True, False])
def test_orders_that_a_lost_index_has_forgotten_are_looked_up(weeks, known):
    weeks.sandbox.order_delay = 1e9
    old, new = weeks.row("OLD", 9, online=False), weeks.row("NEW", 1)
    weeks.offer(old, new)
    weeks.write("-10d")
    assert weeks.apply().ordered == 1
    for file in (weeks.path / "scenes" / ".sedas-sync").glob("index.db*"):
        file.unlink()
    weeks.clock.move(days=3)
    weeks.offer(*[old] * known, new)
    assert weeks.apply().exit_code == 0
    assert len(listed(weeks)) == (not known)


def test_the_order_of_a_withdrawn_scene_stays(weeks):
    weeks.sandbox.order_delay = 1e9
    weeks.offer(weeks.row("A", 5, online=False), weeks.row("B", 1))
    weeks.write("-100d")
    weeks.apply()
    weeks.offer(weeks.row("B", 1))
    for _ in range(2):
        weeks.apply()
    (order,) = listed(weeks)
    assert order.wanted is False, "no search returns it"
    weeks.offer(weeks.row("A", 5, online=False), weeks.row("B", 1))
    assert weeks.apply().ordered == 0, "it is back, and its order counts again"
    with weeks.mirror() as mirror:
        assert mirror.forget_unwanted_orders() == ()


@pytest.mark.parametrize("lost", [False, True])
def test_the_order_of_a_scene_that_no_archive_has_is_forgotten_after_30_days(weeks, lost):
    weeks.sandbox.order_delay = 1e9
    weeks.offer(weeks.row("A", 5, online=False), weeks.row("B", 1))
    weeks.write("-100d")
    weeks.apply()
    weeks.offer(weeks.row("B", 1))
    for file in (weeks.path / "scenes" / ".sedas-sync").glob("index.db*") if lost else ():
        file.unlink()
    for days, kept in ((29, 1), (2, 0)):
        weeks.clock.move(days=days)
        assert weeks.apply().exit_code == 0
        assert len(listed(weeks)) == kept


def test_a_status_counts_many_orders_and_lists_few(workspace, sandbox):
    weeks = Weeks(workspace.path, sandbox, Clock("2019-05-10"))
    sandbox.order_delay = 3600
    workspace.write('[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n')
    for names, lists in (("ABC", True), ("ABCD", False)):
        weeks.offer(*(weeks.row(name, day, online=False) for day, name in enumerate(names, 1)))
        assert workspace.run("apply", "--no-wait").code == 3
        shown = workspace.run("status").out
        assert f"{len(names)} orders, the oldest " in shown
        assert (": `orders` lists them" in shown) is not lists
        assert shown.count("pending") == (len(names) if lists else 0)


def test_unwanted_orders_are_listed_and_forgotten_by_the_command(workspace, sandbox):
    both = 'aoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
    sandbox.order_delay = 3600
    weeks = Weeks(workspace.path, sandbox, Clock("2019-05-10"))
    weeks.offer(weeks.row("A", 5, online=False), weeks.row("B", 1, online=False))
    workspace.write(f"[dataset.d]\n{both}")
    assert workspace.run("apply", "--no-wait").code == 3
    workspace.write(f'[dataset.d]\n{both}exclude = ["A"]\n')
    assert workspace.run("apply", "--no-wait").code == 3
    assert [order["id"] for order in workspace.run("orders", "--unwanted", "--json").json] == ["A"]
    assert "no longer wanted" in workspace.run("orders").out
    assert "1 order of scenes that are no longer wanted" in workspace.run("status").out
    assert workspace.run("status", "--json").json["summary"]["pending"] == 1
    assert workspace.run("orders", "--forget").code == 2
    assert workspace.run("orders", "--forget", "A", "--unwanted").code == 2
    assert workspace.run("orders", "--forget", "--unwanted").out == "Forgot 1 order.\n"
    assert [order["id"] for order in json.loads(workspace.run("orders", "--json").out)] == ["B"]


def test_a_scene_whose_orders_are_paused_does_not_keep_others_from_being_removed(weeks):
    weeks.offer(weeks.row("OLD", 12), weeks.row("BAD", 2, online=False))
    weeks.sandbox.faults = Faults(failed_orders=("BAD",))
    weeks.write("-20d")
    for _ in range(7):
        weeks.apply()
        weeks.clock.move(days=1)
    weeks.clock.move(days=2)
    summary = weeks.apply()
    assert [failure.id for failure in summary.failures] == ["BAD"]
    assert summary.pruned == 1
