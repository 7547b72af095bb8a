"""What `docs/reference/python.md` promises for threads, asyncio, forks and process pools."""

import asyncio
import multiprocessing
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import msgspec
import pytest

import sedas_sync as ss
from sedas_sync.events import Progress
from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.faults import slow

LIMIT = 60
"""Seconds after which a test is sure to hang."""


@pytest.fixture
def manifest(workspace, sandbox, monkeypatch):
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)
    sandbox._catalogue = RowCatalogue([make_row(name, "2019-05-02T11:00:00Z") for name in "ABC"])
    return ss.load_manifest(workspace.write())


class UnderWay:
    """A listener that knows when downloads are under way."""

    def __init__(self):
        self.event = threading.Event()

    def __call__(self, event):
        if isinstance(event, Progress) and event.active:
            self.event.set()


def endless(sandbox):
    sandbox.faults = Faults(rules=(Rule("download", slow(10)),))


def test_mirror_in_asyncio(manifest, sandbox):
    async def main():
        with ss.Mirror(manifest) as mirror:
            plan = await asyncio.to_thread(mirror.plan)
            result = await asyncio.to_thread(mirror.apply, plan)
            assert result.fetched == 3
            plans = await asyncio.gather(*(asyncio.to_thread(mirror.plan) for _ in range(4)))
            assert [plan.changes for plan in plans] == [0] * 4

    asyncio.run(main())


def test_stop_ends_a_run_that_asyncio_has_given_up(manifest, sandbox):
    endless(sandbox)
    listener = UnderWay()

    async def main():
        with ss.Mirror(manifest) as mirror:
            task = asyncio.create_task(asyncio.to_thread(mirror.sync, on_event=listener))
            assert await asyncio.to_thread(listener.event.wait, LIMIT)
            mirror.stop()
            return await asyncio.wait_for(task, LIMIT)

    assert asyncio.run(main()).interrupted


def test_threads_read_while_one_writes(manifest, sandbox):
    endless(sandbox)
    listener = UnderWay()
    with ss.Mirror(manifest) as mirror, ThreadPoolExecutor(2) as pool:
        running = pool.submit(mirror.sync, on_event=listener)
        assert listener.event.wait(LIMIT)
        assert len(mirror.plan().actions) == 3
        assert mirror.status().wanted == 3
        assert len(mirror.search().scenes) == 3
        assert not mirror.verify().bad
        with pytest.raises(ss.MirrorLocked, match="another thread of this process is at work here"):
            mirror.apply(mirror.plan())
        with pytest.raises(ss.MirrorLocked):
            mirror.adopt()
        sandbox.faults = Faults()
        mirror.stop()
        assert running.result(LIMIT).interrupted


def test_threads_that_write_take_turns(manifest, sandbox):
    with ss.Mirror(manifest) as mirror, ThreadPoolExecutor(4) as pool:
        plan = mirror.plan()
        runs = [pool.submit(mirror.apply, plan, lock_timeout=LIMIT) for _ in range(4)]
        done = [run.result(LIMIT) for run in runs]
    assert sorted(result.fetched for result in done) == [0, 0, 0, 3]
    assert {result.exit_code for result in done} == {0}
    assert sandbox.downloads == 3


def in_child(mirror, results):
    try:
        plan = mirror.plan()
        results.put((plan.changes, mirror.apply(plan, lock_timeout=LIMIT).exit_code, mirror.status().up_to_date))
    except BaseException as error:  # noqa: BLE001  # the parent waits for an answer
        results.put(repr(error))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_mirror_after_a_fork(manifest, sandbox):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    with ss.Mirror(manifest) as mirror:
        assert mirror.plan().changes == 3, "connections are kept from here on"
        children = [context.Process(target=in_child, args=(mirror, results)) for _ in range(2)]
        for child in children:
            child.start()
        plans = [mirror.plan() for _ in range(5)]
        answers = [results.get() for _ in children]
        for child in children:
            child.join(LIMIT)
            assert child.exitcode == 0
        assert [len(plan.actions) for plan in plans] == [3] * 5
        assert {answer[1:] for answer in answers} == {(0, True)}, answers
        assert mirror.plan().changes == 0
    assert sandbox.downloads == 3, "the children took turns"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_child_of_a_fork_neither_has_nor_keeps_the_lock(manifest, sandbox):
    context = multiprocessing.get_context("fork")
    results, end = context.SimpleQueue(), context.Event()

    def child(mirror):
        try:
            mirror.apply(plan)
        except ss.MirrorLocked:
            results.put("locked")
        end.wait(LIMIT)

    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        with mirror.locked():
            process = context.Process(target=child, args=(mirror,))
            process.start()
            assert results.get() == "locked"
        assert mirror.apply(plan).fetched == 3, "while the child lives"
        end.set()
        process.join(LIMIT)


def planned(manifest):
    with ss.Mirror(manifest) as mirror:
        return mirror.plan()


def test_manifest_in_a_pool_of_spawned_processes(manifest, sandbox):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        plans = list(pool.map(planned, [manifest, pickle.loads(pickle.dumps(manifest))], timeout=LIMIT))
    first, second = (msgspec.structs.replace(plan, made=None, searched={}) for plan in plans)
    assert first == second
    with ss.Mirror(manifest) as mirror:
        assert mirror.apply(plans[0]).fetched == 3
