"""Proof in threads, and what limits the pace of a download."""

import hashlib
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from effort import effort
from faultserver import NEAR, FaultServer, Served, make_zip
from hypothesis import given, settings
from hypothesis import strategies as st
from thread_count import ended, threads

from sedas_sync.files import integrity, zip_stream
from sedas_sync.files.folder_cache import FolderCache
from sedas_sync.files.integrity import Digester, Proof, read_on
from sedas_sync.model.local import ProofLevel
from sedas_sync.model.scene import Download
from sedas_sync.transfer import pace, partial, prove
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, Policy
from sedas_sync.transfer.pace import MEASURE, Meter
from sedas_sync.transfer.prove import PROCESSORS, Follower
from sedas_sync.transfer.shared_state import SharedState

DATA = make_zip(300_000, entries=4)


def open_partial(root):
    part = partial.PartialFile(str(root), "S.part", FolderCache())
    part.start(partial.Note("i", len(DATA), None, None, None, None))
    return part


@settings(max_examples=40, deadline=None)
@given(pieces=st.lists(st.integers(1, 5000), max_size=60), enforced=st.booleans())
def test_follower_reads_all_bytes_once(tmp_path_factory, pieces, enforced):
    sha256 = hashlib.sha256(DATA).hexdigest()
    proof = Proof(level="crc", sha256=sha256 if enforced else None)
    part = open_partial(tmp_path_factory.mktemp("follower"))
    follower = Follower(part, proof)
    at = 0
    for size in pieces:
        part.append(DATA[at : at + size])
        at += len(DATA[at : at + size])
        follower.notify()
    follower.finish()
    assert {digester.position for digester in proof.digesters} == {at}
    part.append(DATA[at:])
    proof.catch_up(part.file, len(DATA))
    checked = proof.finish(part.file)
    part.close()
    assert (checked.problems, checked.level) == ((), ProofLevel.DIGEST if enforced else ProofLevel.CRC)
    assert checked.sha256 == sha256


def test_writer_waits_for_a_slow_digester(tmp_path, monkeypatch):
    monkeypatch.setattr(prove, "_LAG", 2)
    proof, part = Proof(level="size"), open_partial(tmp_path)
    may, seen = threading.Event(), []

    def slowly(view):
        may.wait(10)
        seen.append(bytes(view))

    proof.digesters = (Digester(slowly),)
    follower = Follower(part, proof)
    with ThreadPoolExecutor(1) as pool:
        part.append(b"abc")
        waiting = pool.submit(follower.notify)
        assert not waiting.done()
        may.set()
        waiting.result(10)
        follower.finish()
    part.close()
    assert b"".join(seen) == b"abc"


def test_digesters_at_different_positions_catch_up(tmp_path):
    seen = [[], [], []]
    digesters = [Digester(lambda view, mine=mine: mine.append(bytes(view))) for mine in seen]
    part = open_partial(tmp_path)
    part.append(DATA)
    for number, digester in enumerate(digesters):
        read_on(part.file, 100_000 * number // 2, digester)
    read_on(part.file, len(DATA), *digesters)
    assert [b"".join(mine) for mine in seen] == [DATA] * 3
    with pytest.raises(EOFError):
        read_on(part.file, len(DATA) + 1, *digesters)
    part.close()


def test_failure_of_a_digester_is_raised_in_the_writer(tmp_path):
    proof, part = Proof(level="size"), open_partial(tmp_path)

    def fails(view):
        raise MemoryError

    proof.digesters = (Digester(fails),)
    follower = Follower(part, proof)
    part.append(b"a")
    follower.notify()
    with pytest.raises(MemoryError):
        follower.finish()
    part.close()


# -- fetches


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running


def job(server, root, name, **policy):
    return FetchJob(
        id=name,
        download=Download(url=server.url(f"/{name}.zip"), reach=NEAR),
        root=str(root),
        path=f"{name}.zip",
        partial=f".sedas-sync/partial/{name}.part",
        policy=Policy(**{"backoff": 0.0, "stall_timeout": 2.0, "segments": 1, **policy}),
    )


@pytest.mark.parametrize("processors", effort([1, 64], [1, 2, 64]))
@pytest.mark.parametrize("fault", ["ok", "cut:9000000", "flip", "reset:9500000", "chunked"])
def test_scene_is_proved_with_any_number_of_threads(server, tmp_path, monkeypatch, processors, fault):
    monkeypatch.setattr(prove, "PROCESSORS", processors)
    data = make_zip(10_000_000, entries=3)  # More than is worth a thread, in several steps.
    live = SharedState(jobs=4)
    before = threads()
    for name in "ABC":
        server.paths[f"/{name}.zip"] = Served(data, faults=[fault])
    try:
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda name: fetch(job(server, tmp_path, name), live), "ABC"))
    finally:
        live.close()
    assert {got.sha256 for got in done} == {hashlib.sha256(data).hexdigest()}
    assert all((tmp_path / got.path).read_bytes() == data for got in done)
    assert ended(before)


def test_a_file_of_which_only_the_length_is_checked_is_not_read(server, tmp_path, monkeypatch):
    monkeypatch.setattr(prove, "PROCESSORS", 64)
    monkeypatch.setattr(prove, "Follower", None)
    monkeypatch.setattr(integrity, "read_on", None)
    data = make_zip(20_000_000, entries=3)
    server.paths["/A.zip"] = Served(data)
    done = fetch(job(server, tmp_path, "A", integrity="size"))
    assert (done.sha256, done.level, done.size) == (None, ProofLevel.SIZE, len(data))
    assert (tmp_path / done.path).read_bytes() == data


def test_folder_deleted_between_two_scenes_is_created_again(server, tmp_path):
    live = SharedState(jobs=1)
    for name in "AB":
        server.paths[f"/{name}.zip"] = Served(DATA)
        fetch(job(server, tmp_path, name), live)
        shutil.rmtree(tmp_path / ".sedas-sync")
    live.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["A.zip", "B.zip"]


# -- what limits the pace


def windows(meter, count, rate, waiting):
    now, position, answers = 0.0, 0, []
    window = MEASURE * 1.001
    for _ in range(count):
        now, position = now + window, position + int(rate * window)
        meter.waited(waiting * window)
        measured = meter.pace(now, position)
        assert measured == pytest.approx(rate, rel=0.01)
        answers.append(meter.is_slow(measured, measured, 1 << 30))
    return answers


@pytest.fixture
def idle(monkeypatch):
    monkeypatch.setattr(pace.time, "process_time", lambda: 0.0)


@pytest.mark.usefixtures("idle")
def test_slow_server_is_recognised_at_once_and_a_faster_one_later():
    assert windows(Meter(0.0, 0), 1, 8e6, 0.99) == [True]
    assert windows(Meter(0.0, 0), 20, 150e6, 0.9).index(True) in range(14, 17)
    assert not any(windows(Meter(0.0, 0), 50, 250e6, 0.9))


@pytest.mark.usefixtures("idle")
def test_own_processing_time_is_not_blamed_on_the_server():
    assert not any(windows(Meter(0.0, 0), 50, 8e6, 0.3))


def test_busy_process_is_not_blamed_on_the_server(monkeypatch):
    spent = iter(range(1000))
    monkeypatch.setattr(pace.time, "process_time", lambda: next(spent) * MEASURE * PROCESSORS * 0.7)
    assert not any(windows(Meter(0.0, 0), 50, 8e6, 0.9))


# -- with and without isal


@pytest.mark.parametrize("inflate", ["isal", "zlib"])
def test_either_inflater_proves_a_zip_and_sees_damage(monkeypatch, inflate):
    import zlib

    fast = pytest.importorskip("isal.isal_zlib") if inflate == "isal" else zlib
    monkeypatch.setattr(zip_stream, "inflater", fast)
    monkeypatch.setattr(zip_stream, "crc32", fast.crc32)
    monkeypatch.setattr(zip_stream, "INFLATE_ERRORS", (zlib.error, fast.error))
    whole = zip_stream.ZipStream()
    whole.update(memoryview(DATA))
    assert len(whole.passed) >= 4
    for at in range(100, len(DATA) - 5000, len(DATA) // 23):
        damaged = bytearray(DATA)
        damaged[at] ^= 0x10
        stream = zip_stream.ZipStream()
        stream.update(memoryview(damaged))
        assert stream.passed != whole.passed
