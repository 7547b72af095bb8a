"""Threads for systems with little memory: a start that cannot succeed fails, and nothing waits for ever."""

import subprocess
import sys
import threading

import pytest
from thread_count import ended, threads

from sedas_sync.files.threads import DaemonThread, Pool, call_aside

FULL = """
import resource
from sedas_sync.files.threads import DaemonThread, Pool, call_aside

# Later threads take over the stacks of these, so that the system gives a thread, but no memory for its first call.
for _ in range(3):
    DaemonThread(int).join()
pool = Pool(2)
assert pool.submit(int).result() == 0
# Room for the objects of the calls, between others that stay: a new thread needs whole pages, and finds none there.
spare, kept = [], []
for size in range(16, 1024, 16):
    for _ in range(100):
        spare.append(bytes(size))
        kept.append(bytes(size))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used, used))
taken = []
for size in 1 << 20, 1 << 15, 1 << 12:
    try:
        while True:
            taken.append(bytearray(size))
    except MemoryError:
        pass
spare.clear()
failed = 0
for start in (lambda: DaemonThread(int), lambda: call_aside(int), lambda: Pool(1).submit(int)):
    try:
        start()
    except (MemoryError, RuntimeError):
        failed += 1
waiting = [pool.submit(int) for _ in range(3)]
del taken
print(failed, [future.result() for future in waiting])
"""


def test_without_memory_a_start_fails_and_a_pool_goes_on_with_its_threads():
    done = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "3 [0, 0, 0]\n"


def test_calls_of_a_pool_run_at_once_and_it_waits_for_them():
    before, meeting, results = threads(), threading.Barrier(3), []

    def call(number):
        meeting.wait(10)
        return number

    with Pool(3) as pool:
        futures = [pool.submit(call, number) for number in range(6)]
        futures[0].add_done_callback(results.append)
    assert [future.result() for future in futures] == list(range(6))
    assert results == futures[:1]
    assert ended(before)
    with pytest.raises(RuntimeError):
        pool.submit(int)


def test_a_pool_starts_a_thread_only_if_none_is_free():
    before = threads()
    with Pool(8) as pool:
        for _ in range(50):
            pool.submit(int).result()
        assert threads() - before <= 2  # the last call's thread may not be free yet


def test_a_pool_that_is_shut_down_cancels_what_has_not_begun():
    go_on = threading.Event()
    pool = Pool(1)
    first, second = pool.submit(go_on.wait, 10), pool.submit(int)
    while not first.running():
        pass
    pool.shutdown(wait=False, cancel_futures=True)
    assert second.cancelled()
    go_on.set()
    assert first.result()


def test_an_error_of_a_thread_is_reported_by_the_hook(monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    DaemonThread(lambda: divmod(1, 0)).join()
    (only,) = reported
    assert only.exc_type is ZeroDivisionError


def test_errors_reach_the_caller():
    with Pool(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 1, 0).result()
    with pytest.raises(ZeroDivisionError):
        call_aside(divmod, 1, 0).result(10)
