"""Plans that are carried out after another run, and `sync`, which leaves no time between plan and apply."""

import threading

import pytest

import sedas_sync as ss
from sedas_sync.events import Ordered
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import fail

ROWS = [make_row(name, "2019-05-02T11:00:00Z", online=name != "C") for name in "ABC"]


@pytest.fixture
def manifest(workspace, sandbox, monkeypatch):
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)
    sandbox._catalogue = RowCatalogue(ROWS)
    return ss.load_manifest(workspace.write())


def test_plan_of_before_another_run_downloads_nothing_again(manifest, sandbox):
    with ss.Mirror(manifest) as first, ss.Mirror(manifest) as second:
        plan = second.plan()
        assert plan.changes == 3
        first.sync()
        downloads, orders = sandbox.downloads, sandbox.orders
        result = second.apply(plan, lock_timeout=60)
        assert (result.kept, result.fetched, result.failed, result.exit_code) == (3, 0, 0, 0)
        assert (sandbox.downloads, sandbox.orders) == (downloads, orders)
        assert second.status().up_to_date


def test_plan_downloads_what_another_run_has_damaged(manifest, sandbox):
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        mirror.sync()
        (mirror.root / plan.actions[0].path).write_bytes(b"damaged")
        result = mirror.apply(plan)
        assert (result.kept, result.fetched + result.failed) == (2, 1)
        assert mirror.sync().exit_code == 0
        assert not mirror.verify().bad


def test_apply_that_waits_for_the_lock_uses_what_the_other_run_has_done(manifest, sandbox):
    held, done = threading.Event(), threading.Event()

    def other():
        with ss.Mirror(manifest) as mirror, mirror.locked():
            held.set()
            done.wait(60)
            for _ in mirror._runner.run(mirror.plan(), {}):
                pass

    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        thread = threading.Thread(target=other)
        thread.start()
        assert held.wait(60)
        with pytest.raises(ss.MirrorLocked):
            mirror.apply(plan)
        done.set()
        result = mirror.apply(plan, lock_timeout=60)
        thread.join()
        assert (result.kept, result.fetched) == (3, 0)


def test_kept_scene_loses_its_old_error_partial_and_order(manifest, sandbox, workspace):
    with ss.Mirror(manifest) as mirror:
        mirror.sync()
        plan = mirror.plan()
        with mirror.locked(), mirror._state.index(write=True) as index:
            index.put_error("A", "an old error", plan.actions[0].wanted.scene.start)
            index.add_order(ss.Order(order="1", id="B", placed=plan.actions[0].wanted.scene.start))
        partial = mirror.root / ".sedas-sync" / "partial" / "A.zip.part"
        partial.write_bytes(b"old")
        assert mirror.apply(plan).kept == 3
        assert not partial.exists()
        assert mirror.orders() == []
        status = mirror.status()
        assert not status.failures
        assert status.up_to_date


@pytest.mark.parametrize("how", ["close", "stop"])
def test_mirror_that_is_closed_or_stopped_ends_its_run(manifest, sandbox, how):
    sandbox.order_delay = 3600
    ordered, results = threading.Event(), []

    def listen(event):
        if isinstance(event, Ordered):
            ordered.set()

    mirror = ss.Mirror(manifest)
    thread = threading.Thread(target=lambda: results.append(mirror.sync(on_event=listen)))
    thread.start()
    assert ordered.wait(60)
    getattr(mirror, how)()
    thread.join(30)
    assert not thread.is_alive()
    assert results[0].interrupted
    assert results[0].exit_code == 130
    mirror.close()


def test_closed_mirror_says_so(manifest):
    mirror = ss.Mirror(manifest)
    mirror.close()
    mirror.close()
    for use in (mirror.plan, mirror.status, mirror.verify, mirror.orders, mirror.sync, mirror.locked, mirror.search):
        with pytest.raises(ss.SedasSyncError, match="closed"):
            use()


def test_stop_before_the_first_use_counts(manifest, sandbox):
    with ss.Mirror(manifest) as mirror:
        mirror.stop()
        with pytest.raises(ss.StoppedError):
            mirror.plan()
    assert not sandbox.searches


def test_a_search_that_is_asked_again_reports_its_try(manifest, sandbox):
    sandbox.faults = Faults(rules=(Rule("search", fail(503), times=1),))
    steps = []
    with ss.Mirror(manifest) as mirror:
        mirror.on_step = steps.append
        assert len(mirror.plan().actions) == 3
    (note,) = {step.note for step in steps if step.what == "searching sedas" and step.note}
    assert note == "try 2 of 6: status 503"


def test_sync_reports_failures_in_its_summary(manifest, sandbox):
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={"A"}),))
    with ss.Mirror(manifest) as mirror:
        result = mirror.sync()
        assert not result.ok
        with pytest.raises(ss.TransferError, match="A: "):
            result.raise_for_failures()
        sandbox.faults = Faults()
        assert mirror.sync().ok
