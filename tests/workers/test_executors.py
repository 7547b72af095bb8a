"""Any executor of `concurrent.futures` downloads: threads, processes, and such as lose what they have."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import pickle
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from msgspec.structs import replace
from noise_scenes import MAY, offer
from other_users import NOBODY, as_root, as_user, common  # noqa: F401  # a fixture

import sedas_sync as ss
from sedas_sync.model.events import Progress
from sedas_sync.model.scene import Download, LocalSource
from sedas_sync.operations.apply import fetcher
from sedas_sync.operations.apply.downloads import MAX_LOSSES
from sedas_sync.sandbox import Faults, Rule
from sedas_sync.sandbox.faults import fail, slow
from sedas_sync.state.staging import partial_path
from sedas_sync.transfer.job import FetchJob, FetchStopped
from sedas_sync.workers import claim, remote_job
from sedas_sync.workers import pool as worker_pool
from sedas_sync.workers.claim import WorkerLost
from sedas_sync.workers.pool import FOLDER, WorkerPool, window_after
from sedas_sync.workers.remote_job import RemoteJob, RemoteOutcome, announce_run, check_worker, hide_link, run_job

TOKEN = "0123456789abcdef" * 2


class Changing(ThreadPoolExecutor):
    """Threads that do something else with some of the jobs."""

    def __init__(self, change):
        super().__init__(3)
        self.change = change
        self.jobs = []

    def submit(self, fn, *args):
        if fn is not run_job:
            return super().submit(fn, *args)
        self.jobs.append(args[0])
        return super().submit(self.change, len(self.jobs), args[0])


class Losing(ThreadPoolExecutor):
    """Threads whose first jobs come to nothing, each in another way."""

    def __init__(self, losses):
        super().__init__(3)
        self.losses = losses
        self.jobs = []

    def submit(self, fn, *args):
        if fn is run_job:
            self.jobs.append(args[0])
            if len(self.jobs) <= self.losses:
                lost = Future()
                if len(self.jobs) % 3 == 1:
                    lost.cancel()
                    lost.set_running_or_notify_cancel()
                elif len(self.jobs) % 3 == 2:
                    lost.set_exception(MemoryError("the worker was taken away"))
                else:
                    lost.set_result("what an executor of another kind makes of it")
                return lost
        return super().submit(fn, *args)


@pytest.fixture
def mirror(workspace, monkeypatch):
    for name, value in workspace.env.items():
        monkeypatch.setenv(name, value)

    def opened(transfer=""):
        return ss.Mirror(ss.load_manifest(workspace.write(MAY, transfer=transfer)))

    return opened


def applied(mirror, executor, **options):
    events = []
    with mirror as opened:
        summary = opened.apply(opened.plan(), executor=executor, on_event=events.append, **options)
    return summary, events


def of(events, kind):
    return [event for event in events if event.event == kind]


def spawned(count):
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


def test_processes_download_and_events_name_the_worker(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=6, archived=2, size=50_000)
    with spawned(2) as pool:
        summary, events = applied(mirror(), pool, jobs=4)
    assert (summary.fetched, summary.exit_code) == (8, 0)
    assert workspace.files() == right
    workers = {event.worker for event in of(events, "fetched")}
    assert all(int(worker.rpartition(":")[2]) != os.getpid() for worker in workers)
    told = [event for event in events if isinstance(event, Progress)][-1].workers
    assert {worker.worker for worker in told} <= workers
    assert not (workspace.mirror / FOLDER).exists()


def test_a_broken_pool_ends_the_run_and_the_next_run_continues(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=6, archived=0, size=300_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(400_000)),))
    with spawned(2) as pool:
        killed = []

        def listen(event):
            if event.event == "fetched" and not killed:
                killed.append(next(iter(pool._processes)))
                os.kill(killed[0], signal.SIGKILL)

        with mirror() as opened:
            summary = opened.apply(opened.plan(), executor=pool, jobs=3, on_event=listen)
    assert (summary.exit_code, summary.fetched + summary.failed) == (1, 6)
    assert "the executor takes no work: BrokenProcessPool" in summary.failures[0].error
    sandbox.faults = Faults()
    again, _ = applied(mirror(), None)
    assert (again.exit_code, again.failed) == (0, 0)
    assert workspace.files() == right


def test_the_scene_of_a_lost_worker_goes_to_another_with_a_new_token(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=3, archived=0, size=10_000)
    with Losing(3) as pool:
        summary, events = applied(mirror(), pool, jobs=1)
    assert (summary.exit_code, summary.fetched) == (0, 3)
    assert workspace.files() == right
    said = [event.error for event in of(events, "retry")]
    assert said == [
        "its worker was lost: the call was cancelled",
        "its worker was lost: MemoryError: the worker was taken away",
        "its worker did not answer",
    ]
    assert len({job.number for job in pool.jobs}) == 6


def test_a_scene_fails_if_every_worker_is_lost_with_it(workspace, sandbox, mirror):
    offer(sandbox, workspace.path, online=1, archived=0, size=10_000)
    with Losing(99) as pool:
        summary, _ = applied(mirror(), pool)
    assert len(pool.jobs) == MAX_LOSSES + 1
    assert (summary.exit_code, summary.failed) == (1, 1)
    assert f"tried {MAX_LOSSES + 1} times" in summary.failures[0].error


def test_a_refused_token_is_renewed_and_the_scene_submitted_again(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=2, archived=0, size=10_000)
    tokens = []

    def change(number, job):
        tokens.append(json.loads((workspace.mirror / job.link).read_text())["headers"]["Authorization"])
        if number == 1:
            sandbox.revoke_tokens()
        return run_job(job)

    with Changing(change) as pool:
        summary, events = applied(mirror(), pool, jobs=1)
    assert (summary.exit_code, summary.fetched) == (0, 2)
    assert workspace.files() == right
    assert tokens[0] != tokens[-1]
    assert of(events, "retry")


@pytest.mark.parametrize(
    ("waited", "passed", "refused", "window"),
    [
        (0.1, False, False, 8),
        (5.0, True, False, 7),
        (11.0, True, False, 6),
        (5.0, True, True, 6),
        (11.0, False, False, 7),
        (11.0, False, True, 7),
    ],
)
def test_fewer_jobs_are_submitted_if_they_wait_in_a_queue(waited, passed, refused, window):
    assert window_after(7, 9, waited=waited, passed=passed, refused=refused) == window
    assert window_after(1, 1, waited=waited, passed=passed, refused=refused) == 1


class Holding(Executor):
    """Whose futures the test completes."""

    def __init__(self):
        self.futures = []

    def submit(self, fn, *args):
        self.futures.append(Future())
        return self.futures[-1]


def test_a_token_expired_in_a_queue_if_other_jobs_were_done_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(worker_pool, "_ON_ITS_WAY", 0.0)
    held = Holding()
    mine = WorkerPool(held, tmp_path, jobs=3, max_rate=0, on_retry=lambda *_: None)
    job = FetchJob(id="S2A", download=Download(url="http://host.example"), root=str(tmp_path), path="a", partial="b")
    refused = RemoteOutcome(worker="w", seconds=0.0, error=ss.TransferError("HTTP 401", status=401, relocate=True))
    first, second, third = (mine.submit(job) for _ in range(3))
    for future in held.futures:
        future.set_result(refused)
    assert (first.early, second.early, third.early, mine.window) == (False, True, True, 1)
    last = mine.submit(job)
    held.futures[-1].set_result(refused)
    assert (last.early, mine.window) == (False, 2)


def test_tokens_that_expire_in_the_queue_of_an_executor_fail_no_scene(workspace, sandbox, mirror, monkeypatch):
    monkeypatch.setattr(WorkerPool, "_adapt_window", lambda *_, **__: True)
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)

    def change(number, job):
        if number < 5:
            sandbox.revoke_tokens()
        return run_job(job)

    with Changing(change) as pool:
        summary, _ = applied(mirror(), pool)
    assert (summary.exit_code, summary.fetched, len(pool.jobs)) == (0, 1, 5), summary.failures


def test_retries_at_a_worker_are_reported_when_it_answers(workspace, sandbox, mirror):
    offer(sandbox, workspace.path, online=1, archived=0, size=10_000)
    sandbox.faults = Faults(rules=(Rule("download", fail(503), times=2),))

    def change(_, job):
        hasty = replace(job.job.policy, backoff=0.001)
        return run_job(replace(job, job=replace(job.job, policy=hasty)))

    with Changing(change) as pool:
        summary, events = applied(mirror(), pool)
    assert summary.exit_code == 0
    assert [event.attempt for event in of(events, "retry")] == [1, 2]


def test_jobs_limit_the_jobs_in_flight_and_share_the_rate(workspace, sandbox, mirror):
    offer(sandbox, workspace.path, online=8, archived=0, size=10_000)
    lock, busy, most = threading.Lock(), [0], [0]

    def change(_, job):
        with lock:
            busy[0] += 1
            most[0] = max(most)
            most.append(busy[0])
        try:
            return run_job(job)
        finally:
            with lock:
                busy[0] -= 1

    with Changing(change) as pool:
        summary, _ = applied(mirror('max_rate = "6MB"'), pool, jobs=2)
    assert summary.fetched == 8
    assert max(most) <= 2
    assert {job.max_rate for job in pool.jobs} == {3_000_000}


@pytest.mark.parametrize(("segments", "several"), [('"auto"', False), ("4", True)])
def test_a_worker_uses_the_segments_of_the_manifest(workspace, sandbox, mirror, segments, several):
    right = offer(sandbox, workspace.path, online=1, archived=0, size=6_000_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(20_000_000)),))
    with ThreadPoolExecutor(1) as pool:
        summary, _ = applied(mirror(f"segments = {segments}"), pool)
    assert summary.exit_code == 0
    assert workspace.files() == right
    assert (sum(entry.endpoint == "download" for entry in sandbox.log) > 1) == several


class Knowing(ThreadPoolExecutor):
    """Knows its workers: one hangs when all are asked, and there are none until that was said."""

    def __init__(self):
        super().__init__(1)
        self.said = threading.Event()

    def everywhere(self, fn, *args):
        self.said.wait(20)
        return {}

    def workers(self):
        return 0

    def submit(self, fn, *args):
        return super().submit(lambda: fn(*args) if self.said.wait(20) else None)


def test_a_run_warns_of_workers_that_do_not_answer_and_waits(workspace, sandbox, mirror, monkeypatch):
    monkeypatch.setattr(worker_pool, "_FIRST_ANSWER", 0.05)
    monkeypatch.setattr(fetcher, "_SILENCE", 0.05)
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    warnings = []

    def listen(event):
        if event.event == "warning":
            warnings.append(event.message)
        if len(warnings) == 2:
            pool.said.set()

    with Knowing() as pool, mirror() as opened:
        summary = opened.apply(opened.plan(), executor=pool, on_event=listen)
    assert (summary.exit_code, summary.fetched) == (0, 1)
    assert warnings == [
        "not every worker has answered yet: each is checked again with its first scene",
        "no worker is left: scenes wait for the next one",
    ]


# -- a worker that does not see the folder ---------------------------------------------------------------------------


class ElsewhereMounted(ThreadPoolExecutor):
    """Workers that have another folder under the mirror's path."""

    def __init__(self, other, *, first=0):
        super().__init__(1)
        self.other, self.first = other, first

    def submit(self, fn, *args):
        if fn is check_worker and not self.first:
            return super().submit(fn, str(self.other), *args[1:])
        if fn is run_job:
            self.first -= 1
            if self.first < 0:
                moved = replace(args[0], job=replace(args[0].job, root=str(self.other)))
                return super().submit(fn, moved)
        return super().submit(fn, *args)


def test_workers_that_do_not_see_the_mirror_are_refused_before_the_run(workspace, sandbox, mirror, tmp_path):
    offer(sandbox, workspace.path, online=2, archived=2, size=1000)
    (tmp_path / "other").mkdir()
    with ElsewhereMounted(tmp_path / "other") as pool, pytest.raises(ss.ManifestError, match="has to be shared"):
        applied(mirror(), pool)
    assert sandbox.orders == 0
    assert not workspace.files()
    assert not (workspace.mirror / FOLDER).exists()
    assert not list((tmp_path / "other").iterdir())


def test_an_executor_that_cannot_be_checked_is_refused(workspace, sandbox, mirror):
    class Cancelling(ThreadPoolExecutor):
        def submit(self, fn, *args):
            cancelled = Future()
            cancelled.cancel()
            return cancelled

    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    with Cancelling(1) as pool, pytest.raises(ss.ManifestError, match="cannot run sedas-sync"):
        applied(mirror(), pool)
    over = ThreadPoolExecutor(1)
    over.shutdown()
    with pytest.raises(ss.SedasSyncError, match="the executor takes no work: RuntimeError"):
        applied(mirror(), over)
    assert not (workspace.mirror / FOLDER).exists()


def test_a_later_worker_that_does_not_see_the_mirror_ends_the_run(workspace, sandbox, mirror, tmp_path):
    offer(sandbox, workspace.path, online=4, archived=0, size=1000)
    (tmp_path / "other").mkdir()
    with ElsewhereMounted(tmp_path / "other", first=2) as pool:
        summary, _ = applied(mirror(), pool, jobs=1)
    assert (summary.exit_code, summary.fetched, summary.failed) == (1, 2, 2)
    assert "has to be shared with every worker" in summary.failures[0].error
    assert not list((tmp_path / "other").iterdir())


SECRETS = ("X-Amz", "Signature", "=abc", "ann:", "pw@", "Authorization", "Token secret", "secret")
SECRET = Download(
    url="https://ann:pw@host.example/S2A.zip?X-Amz-Signature=abc", headers={"Authorization": "Token secret"}
)


def job_of(root, download=SECRET):
    job = FetchJob(id="S2A", download=download, root=str(root), path="S2A.zip", partial=".sedas-sync/partial/S2A.part")
    return RemoteJob(job=job, token=TOKEN, version=ss.__version__, number=1)


def test_the_repr_and_pickle_of_a_job_have_no_secret(tmp_path):
    job, link = hide_link(job_of(tmp_path))
    # Some log what they cannot unpickle as it came.
    for told in (repr(job), str(pickle.dumps(job, 0)), str(pickle.dumps(job))):
        assert "https://host.example/S2A.zip" in told
        assert not any(secret in told for secret in SECRETS)
    assert stat.S_IMODE((tmp_path / link).stat().st_mode) == 0o600
    assert remote_job._with_link(job).download == SECRET


def test_jobs_carry_no_secret_and_leave_no_file(workspace, sandbox, mirror):
    offer(sandbox, workspace.path, online=6, archived=0, size=10_000)
    told, modes, open_links = [], set(), []

    def change(number, job):
        told.append(pickle.dumps(job) + repr(job).encode())
        files = list((workspace.mirror / FOLDER).iterdir())
        modes.update(stat.S_IMODE(file.stat().st_mode) for file in files if not file.name.endswith(".lock"))
        open_links.append(sum(TOKENED.fullmatch(file.name) is not None for file in files))
        if number == 2:
            raise RuntimeError("killed")
        return run_job(job)

    with Changing(change) as pool:
        summary, _ = applied(mirror(), pool, jobs=1)
    assert (summary.exit_code, summary.fetched, len(told)) == (0, 6, 7), summary.failures
    assert sandbox._tokens
    assert not any(secret.encode() in piece for piece in told for secret in ("Authorization", *sandbox._tokens))
    assert modes == {0o600}
    assert set(open_links) == {1}, "the link of a job goes when it ends"
    assert not (workspace.mirror / FOLDER).exists()


def test_links_of_a_killed_run_are_deleted_by_the_next_run(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=2, archived=0, size=1_000_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(200_000)),))
    workspace.write(MAY)
    killed = subprocess.Popen([sys.executable, "-c", KILLED], cwd=workspace.path, env=workspace.environment())
    shared = workspace.mirror / FOLDER
    until = time.monotonic() + 30
    while not (shared.is_dir() and any(TOKENED.fullmatch(file.name) for file in shared.iterdir())):
        assert time.monotonic() < until
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    links = [file for file in shared.iterdir() if TOKENED.fullmatch(file.name)]
    assert links
    assert {stat.S_IMODE(file.stat().st_mode) for file in links} == {0o600}
    (shared / "notes.txt").write_text("mine")
    sandbox.faults = Faults()
    summary, _ = applied(mirror(), None)
    assert (summary.exit_code, workspace.files()) == (0, right), summary.failures
    assert [file.name for file in shared.iterdir()] == ["notes.txt"], "what no run has put there stays"


TOKENED = re.compile(r"[0-9a-f]{32}\.[0-9]+")
KILLED = """
from concurrent.futures import ThreadPoolExecutor
import sedas_sync as ss

with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror, ThreadPoolExecutor(2) as pool:
    mirror.apply(mirror.plan(), executor=pool)
"""


@as_root
def test_the_error_for_a_worker_of_another_user_says_what_to_do(common):  # noqa: F811  # the fixture
    place = common.path
    announce_run(str(place), TOKEN)
    job, _ = hide_link(job_of(place))
    (place / "job").write_bytes(pickle.dumps(job))
    asked = "from sedas_sync.workers.remote_job import check_worker; "
    asked += f"print(check_worker({str(place)!r}, {TOKEN!r}, {ss.__version__!r}))"
    said = as_user(NOBODY, asked, cwd=place)
    expected = "may not read the links of this run, which is of the user root: start the workers as the user who runs"
    assert expected in said.out, said.err
    # One that could read the run's token when it was asked.
    (place / FOLDER / TOKEN).chmod(0o644)
    (place / FOLDER).chmod(0o777)
    done = "import pickle, sys; from sedas_sync.workers.remote_job import run_job; "
    done += "print(run_job(pickle.load(sys.stdin.buffer)).error)"
    said = as_user(NOBODY, done, cwd=place, stdin=place / "job")
    assert expected in said.out, said.err


def test_a_worker_of_another_version_is_refused(tmp_path):
    assert "and the run is of 0.0.1" in check_worker(str(tmp_path), "token", "0.0.1").problem


def test_a_worker_that_may_not_write_is_refused(tmp_path, monkeypatch):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "token").touch()
    assert check_worker(str(tmp_path), "token", ss.__version__).problem is None
    assert [file.name for file in (tmp_path / FOLDER).iterdir()] == ["token"]
    real = os.open

    def refused(path, flags, *args, **kwargs):
        if flags & os.O_EXCL:
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, **kwargs)

    monkeypatch.setattr(os, "open", refused)
    assert "cannot write to the mirror" in check_worker(str(tmp_path), "token", ss.__version__).problem


def test_a_worker_that_cannot_work_is_named_with_its_scene(tmp_path):
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "token").touch()
    download = Download(url="S2A.zip", local=LocalSource(root=str(tmp_path / "archive"), path="S2A.zip"))
    job = FetchJob(id="S2A", download=download, root=str(tmp_path), path="S2A.zip", partial="S2A.part")
    job = RemoteJob(job=job, token="token", version=ss.__version__, number=1)
    outcome = run_job(job)
    assert str(outcome.error).endswith(
        f"; the worker {outcome.worker} has to see the archive's folder under the same path"
    )
    held_lock(tmp_path, "S2A.part").mkdir()
    outcome = run_job(job)
    assert str(outcome.error) == f"the worker {outcome.worker} cannot work in the mirror: Is a directory"


# -- workers that are thought to be lost -----------------------------------------------------------------------------


def held_lock(mirror, partial):
    return mirror / FOLDER / f"{hashlib.sha256(partial.encode()).hexdigest()[:32]}.lock"


def test_a_scene_that_a_lost_worker_completed_is_not_downloaded_again(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=1, archived=0, size=10_000)

    def change(number, job):
        if number == 1:
            assert run_job(job).result is not None
            # Killed between the rename and its answer: the lock's file is what is left of it.
            held_lock(workspace.mirror, job.job.partial).touch()
            raise RuntimeError("killed")
        return run_job(job)

    with Changing(change) as pool:
        summary, events = applied(mirror(), pool)
    assert (summary.exit_code, summary.fetched) == (0, 1)
    assert workspace.files() == right
    assert sandbox.bytes_sent == sum(map(len, right.values()))
    assert of(events, "fetched")[0].received == 0


def test_two_workers_never_download_one_scene(workspace, sandbox, mirror, monkeypatch):
    monkeypatch.setattr(claim, "PATIENCE", 0.2)
    right = offer(sandbox, workspace.path, online=1, archived=0, size=10_000)
    held = []

    def change(number, job):
        path = held_lock(workspace.mirror, job.job.partial)
        if number == 1:
            held.append(os.open(path, os.O_RDWR | os.O_CREAT))
            fcntl.flock(held[0], fcntl.LOCK_EX)
        outcome = run_job(job)
        if number == 1:
            assert isinstance(outcome.error, WorkerLost)
            os.close(held[0])
        return outcome

    with Changing(change) as pool:
        summary, events = applied(mirror(), pool)
    assert (summary.exit_code, summary.fetched) == (0, 1)
    assert workspace.files() == right
    assert "still at work" in of(events, "retry")[0].error


class Stray:
    """A worker of a run that was killed: it has a job, and nobody waits for its answer."""

    def __init__(self, workspace, sandbox, scene):
        state = workspace.mirror / ".sedas-sync"
        (state / "partial").mkdir(parents=True)
        (state / "workers").mkdir()
        (state / "workers" / TOKEN).touch()
        archive = ss.SedasArchive(url=sandbox.url, username="sandbox", password="sandbox")
        job = FetchJob(
            id=scene,
            download=archive.locate(archive.product(scene)),
            root=str(workspace.mirror),
            path=f"{scene}.zip",
            partial=partial_path(ss.Scene(id=scene)),
        )
        self.job = RemoteJob(job=job, token=TOKEN, version=ss.__version__, number=1)
        self.outcome = None
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        self.outcome = run_job(self.job)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._thread.join()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_starts_while_workers_of_a_killed_run_are_active(workspace, sandbox, mirror, monkeypatch, workers):
    """Two never write to one partial file, whoever fetches in the run that comes next."""
    monkeypatch.setattr(remote_job, "CHECK_EVERY", 0.02)
    right = offer(sandbox, workspace.path, online=2, archived=0, size=400_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(200_000), times=1),))
    with Stray(workspace, sandbox, "ON000") as stray, ThreadPoolExecutor(2) as pool:
        part = workspace.mirror / stray.job.job.partial
        while not (part.exists() and part.stat().st_size):
            time.sleep(0.005)
        summary, _ = applied(mirror(), pool if workers else None)
    assert isinstance(stray.outcome.error, FetchStopped)
    assert (summary.exit_code, summary.fetched) == (0, 2), summary.failures
    assert workspace.files() == right
    assert sandbox.bytes_sent < 1.5 * sum(map(len, right.values()))
    assert not (workspace.mirror / FOLDER).exists()


def test_the_next_run_takes_the_scene_that_a_worker_of_a_killed_run_completed(workspace, sandbox, mirror):
    right = offer(sandbox, workspace.path, online=1, archived=0, size=10_000)
    opened = mirror()
    with opened:
        plan = opened.plan()
        with Stray(workspace, sandbox, "ON000"):
            pass
        summary = opened.apply(plan)
    assert (summary.exit_code, summary.fetched) == (0, 1), summary.failures
    assert workspace.files() == right
    assert sandbox.bytes_sent == sum(map(len, right.values()))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_error_names_a_worker_that_is_paused_forever(workspace, sandbox, mirror, monkeypatch, workers):
    monkeypatch.setattr(claim, "PATIENCE", 0.05)
    right = offer(sandbox, workspace.path, online=2, archived=0, size=1000)
    path = held_lock(workspace.mirror, partial_path(ss.Scene(id="ON000")))
    path.parent.mkdir(parents=True)
    path.write_text("node7:4242")
    with path.open() as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        summary, _ = applied(mirror(), pool if workers else None)
        assert (summary.exit_code, summary.fetched, summary.failed) == (1, 1, 1)
        assert summary.failures[0].error.startswith("node7:4242 was thought to be lost, and is still at work on it")
        assert path.exists()
    assert applied(mirror(), None)[0].exit_code == 0
    assert workspace.files() == right
    assert not path.parent.exists()


def test_a_job_that_starts_after_its_run_changes_nothing(workspace, sandbox):
    offer(sandbox, workspace.path, online=1, archived=0, size=1000)
    with Stray(workspace, sandbox, "ON000") as first:
        pass
    assert first.outcome.result is not None
    (workspace.mirror / "ON000.zip").unlink()
    (workspace.mirror / FOLDER / TOKEN).unlink()
    assert isinstance(run_job(first.job).error, FetchStopped)
    (workspace.mirror / FOLDER).rmdir()
    assert isinstance(run_job(first.job).error, FetchStopped)
    assert not workspace.files()
    assert not (workspace.mirror / FOLDER).exists()


def test_workers_of_a_killed_run_stop(workspace, sandbox, mirror, monkeypatch):
    monkeypatch.setattr(remote_job, "CHECK_EVERY", 0.02)
    offer(sandbox, workspace.path, online=1, archived=0, size=400_000)
    sandbox.faults = Faults(rules=(Rule("download", slow(100_000)),))
    outcomes = []

    def change(_, job):
        token = workspace.mirror / FOLDER / job.token
        threading.Timer(0.3, token.unlink, [True]).start()
        outcomes.append(run_job(job))
        return outcomes[-1]

    with Changing(change) as pool:
        summary, _ = applied(mirror(), pool)
    assert isinstance(outcomes[0].error, FetchStopped)
    assert (summary.fetched, summary.exit_code) == (0, 1)


def test_a_lost_answer_costs_no_second_download(workspace, sandbox, mirror):
    """A scheduler does a job again whose answer went down with its worker, though the scene is in its place."""
    right = offer(sandbox, workspace.path, online=2, archived=0, size=10_000)

    def change(number, job):
        if number == 1:
            assert run_job(job).result is not None
        return run_job(job)

    with Changing(change) as pool:
        summary, events = applied(mirror(), pool)
    assert (summary.exit_code, summary.fetched) == (0, 2), summary.failures
    assert workspace.files() == right
    assert sandbox.bytes_sent == sum(map(len, right.values()))
    assert sorted(event.received > 0 for event in of(events, "fetched")) == [False, True]
