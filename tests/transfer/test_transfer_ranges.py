"""Several connections for one scene, and the limits that scenes share."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from faultserver import NEAR, FaultServer, Served, download, make_zip

from sedas_sync import errors
from sedas_sync.files.folder_cache import FolderCache
from sedas_sync.model.scene import Download
from sedas_sync.transfer import partial
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchStopped, Policy
from sedas_sync.transfer.partial import partial_of
from sedas_sync.transfer.rate import ConnectionBudget, Rate
from sedas_sync.transfer.shared_state import SharedState

DATA = make_zip(24_000_000, entries=7)
PART = ".sedas-sync/partial/S.part"


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


def job(server, root, *, name="S", path="/scene.zip", segments=None, **policy):
    policy = Policy(**{"backoff": 0.0, "stall_timeout": 2.0, "segments": segments, **policy})
    partial = f".sedas-sync/partial/{name}.part"
    return FetchJob(
        id=name,
        download=Download(url=server.url(path), reach=NEAR),
        root=str(root),
        path=f"{name}.zip",
        partial=partial,
        policy=policy,
    )


def right(root, name="S"):
    return (Path(root) / f"{name}.zip").read_bytes() == DATA


def test_server_that_limits_each_connection_gets_all_free_ones(server, tmp_path):
    server.paths["/scene.zip"] = Served(DATA, rate=6e6)
    began = time.monotonic()
    got = download(job(server, tmp_path), jobs=6)
    assert time.monotonic() - began < 3.0
    assert right(tmp_path)
    assert got.received == len(DATA)
    # The server notices a closed connection with a delay.
    assert server.open_most >= 3


def test_fast_server_gets_one_connection(server, tmp_path):
    server.paths["/scene.zip"] = Served(make_zip(3_000_000))
    download(job(server, tmp_path), jobs=8)
    assert server.open_most == 1


@pytest.mark.parametrize(("segments", "jobs", "most"), [(1, 8, 1), (3, 1, 3), (None, 1, 1), (None, 0, 1)])
def test_number_of_connections(server, tmp_path, segments, jobs, most):
    server.paths["/scene.zip"] = Served(DATA, rate=20e6)
    download(job(server, tmp_path, segments=segments), jobs=jobs)
    # The server counts a connection until it notices that the client has closed it.
    assert most <= server.open_most <= most + (most > 1)
    assert right(tmp_path)


def test_server_without_ranges_gets_one_request(server, tmp_path):
    server.paths["/scene.zip"] = Served(DATA, ranges=False, rate=30e6)
    download(job(server, tmp_path, segments=4), jobs=8)
    assert len(server.seen) == 1
    assert right(tmp_path)


@pytest.mark.parametrize(
    "faults",
    [
        ["ok", "cut:100000", "reset:200000", "drop", "garbage"],
        ["ok", "status:503", "status:429:0", "status:408", "status:500"],
        ["cut:3000000", "cut:1000", "cut:1000", "cut:1000", "cut:1000", "cut:1000"],
        ["ok", "ignore-range", "ignore-range", "ignore-range"],
        ["ok", "wrong-start"],
        ["ok", "ok", "wrong-total"],
        ["ok", "lying-range", "ok"],
        ["ok", "ok", "stall:10000"],
        ["ok", "flip"],
        ["ok", "gzip"],
        ["ok", "short:1000"],
        ["ok", "html", "json", "empty"],
        ["ok", "chunked", "chunked", "chunked-cut:1000"],
        ["ok", "416", "416"],
    ],
)
def test_bytes_are_right_whatever_one_connection_meets(server, tmp_path, faults):
    server.paths["/scene.zip"] = Served(DATA, faults=faults, rate=60e6)
    download(job(server, tmp_path, segments=4, stall_timeout=0.5))
    assert right(tmp_path)
    assert list((tmp_path / ".sedas-sync/partial").iterdir()) == []


def test_file_that_changes_during_range_requests_is_downloaded_again(server, tmp_path):
    other = make_zip(24_000_000, seed=9, entries=7)
    served = server.paths["/scene.zip"] = Served(DATA, rate=10e6)

    def change():
        while len(server.seen) < 4:
            time.sleep(0.005)
        served.data, served.etag, served.rate = other, '"v2"', 0

    thread = threading.Thread(target=change)
    thread.start()
    download(job(server, tmp_path, segments=4))
    thread.join()
    assert (tmp_path / "S.zip").read_bytes() == other


@pytest.mark.parametrize("then", [1, 3])
def test_partial_file_with_gaps_is_resumed_by_one_or_several_connections(server, tmp_path, then):
    served = server.paths["/scene.zip"] = Served(DATA, rate=8e6)
    stop = threading.Event()

    def halt():
        while server.sent < len(DATA) // 2:
            time.sleep(0.005)
        stop.set()

    thread = threading.Thread(target=halt)
    thread.start()
    with pytest.raises(FetchStopped):
        download(job(server, tmp_path, segments=4), stop=stop)
    thread.join()
    here = partial_of(str(tmp_path), PART)
    assert here is not None
    assert (here.total, here.bytes < len(DATA), here.bytes > len(DATA) // 3) == (len(DATA), True, True)
    assert (tmp_path / PART).stat().st_size > here.bytes
    served.rate = 0
    got = download(job(server, tmp_path, segments=then))
    assert (got.resumed_from, got.received) == (here.bytes, len(DATA) - here.bytes)
    assert right(tmp_path)


def test_waiting_scene_gets_a_connection(server, tmp_path):
    server.paths["/scene.zip"] = Served(DATA, rate=3e6)
    small = make_zip(50_000)
    server.paths["/small.zip"] = Served(small)
    live = SharedState(jobs=3)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(fetch, job(server, tmp_path), live)
        while server.open_now < 3:
            time.sleep(0.005)
        began = time.monotonic()
        for number in range(2):
            pool.submit(fetch, job(server, tmp_path, name=f"T{number}", path="/small.zip"), live).result()
        assert time.monotonic() - began < 1.5
        first.result()
    assert right(tmp_path)
    live.close()


def test_progress_is_reported_regularly_and_at_the_end(server, tmp_path):
    server.paths["/scene.zip"] = Served(DATA, rate=40e6)
    reports = []
    download(job(server, tmp_path, segments=3), on_bytes=lambda *arguments: reports.append(arguments))
    assert reports[-1] == ("S", len(DATA), len(DATA))
    assert {name for name, _, _ in reports} == {"S"}
    assert len(reports) <= 30
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)


# -- shared limits


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


def test_rate_limits_all_scenes_together(server, tmp_path):
    data = make_zip(1_000_000)
    server.paths["/scene.zip"] = Served(data)
    clock = Clock()
    live = SharedState(max_rate=200_000, clock=clock, wait=clock.wait)
    for number in range(3):
        fetch(job(server, tmp_path, name=f"S{number}"), live)
    passed = clock.now - 100.0
    assert passed == pytest.approx(3 * len(data) / 200_000, rel=0.03)
    live.close()


def test_unused_rate_is_not_saved():
    clock = Clock()
    rate = Rate(1000, clock)
    assert rate.pay(500) <= 0.5
    clock.now += 3600
    assert rate.pay(1000) == pytest.approx(1.0 - Rate.BURST)


def test_budget_counts():
    budget = ConnectionBudget(2)
    budget.acquire()
    assert (budget.spare, budget.running) == (1, 1)
    assert budget.try_acquire()
    assert not budget.try_acquire()
    taken = threading.Event()
    thread = threading.Thread(target=lambda: (budget.acquire(), taken.set()))
    thread.start()
    while not budget.wanted:
        time.sleep(0.001)
    budget.release()
    assert taken.wait(5)
    thread.join()
    assert not budget.try_acquire()
    assert not ConnectionBudget(0).try_acquire()


# -- notes


@pytest.mark.parametrize(
    ("lines", "stretches"),
    [
        (b"0 5\n5 9\n", [(0, 9)]),
        (b"0 5\n7 9\n", [(0, 5), (7, 9)]),
        (b"7 9\n0 5\n3 6\n", [(0, 6), (7, 9)]),
        (b"0 5\n7 9", [(0, 5)]),
        (b"0 5\n57 9\n", [(0, 5)]),
        (b"0 5\nx y\n8 99\n9 9\n-1 3\n7 9\n", [(0, 5), (7, 9)]),
    ],
)
def test_torn_line_of_a_note_is_ignored(tmp_path, lines, stretches):
    note = partial.Note("i", 20, None, None, None, None)
    part = partial.PartialFile(str(tmp_path), "S.part", FolderCache())
    part.start(note)
    part.append(memoryview(bytes(20)))
    part.close()
    with (tmp_path / "S.meta").open("ab") as file:
        file.write(lines)
    part = partial.PartialFile(str(tmp_path), "S.part", FolderCache())
    assert part.contiguous == stretches[0][1]
    assert part.missing() == [*zip([s[1] for s in stretches], [*[s[0] for s in stretches[1:]], 20], strict=True)]
    part.close()


def test_a_note_is_flushed_before_the_bytes_that_need_it(tmp_path, monkeypatch):
    """After a power cut an empty note would leave bytes that nobody can resume."""
    flushed, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (flushed.append(os.fstat(file).st_ino), fsync(file)))
    part = partial.PartialFile(str(tmp_path), "S.part", FolderCache())
    part.start(partial.Note("i", 20, None, None, None, None))
    part.append(bytes(10))
    assert flushed == [(tmp_path / "S.meta").stat().st_ino]
    part.append(bytes(10))
    assert len(flushed) == 1
    part.close()


def test_a_run_that_ends_late_leaves_the_partial_file_of_the_next_one(tmp_path):
    late, next_one = (partial.PartialFile(str(tmp_path), "S.part", FolderCache()) for _ in range(2))
    late.close()
    next_one.start(partial.Note("i", 20, None, None, None, None))
    next_one.append(bytes(20))
    assert next_one.commit("S.zip").st_size == 20
    next_one.close()
    assert [path.name for path in tmp_path.iterdir()] == ["S.zip"]


def test_incomplete_scene_is_not_committed(server, tmp_path):
    server.paths["/scene.zip"] = Served(DATA, faults=["cut:5000000"] + ["status:500"] * 50)
    with pytest.raises(errors.TransferError):
        download(job(server, tmp_path, segments=4, retries=1))
    assert not (tmp_path / "S.zip").exists()
    assert partial_of(str(tmp_path), PART) is not None


def test_complete_partial_file_returns_its_connection_once(server, tmp_path):
    server.paths["/scene.zip"] = Served(DATA)
    wanted = job(server, tmp_path)
    known = partial.Note(partial.identity("S", wanted.download.url), None, '"v1"', None, None, '"v1"')
    part = partial.PartialFile(str(tmp_path), PART, FolderCache())
    part.start(known)
    part.append(memoryview(DATA))
    part.close()
    live = SharedState()
    got = fetch(wanted, live)
    assert (got.received, len(server.seen)) == (0, 1)
    assert right(tmp_path)
    fetch(job(server, tmp_path, name="T"), live)
    assert server.accepted == 1
    live.close()
