"""Workers that are not threads of this process: any `concurrent.futures.Executor`.

The executor belongs to the caller; only its method `submit` is used. This module decides how many jobs it has at once,
and when they stop. An executor that knows its workers has the methods `everywhere` and `workers` (see
`sedas_sync.workers.dask`); the workers of any other are known only from their answers.
"""

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYetError
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sedas_sync._version import __version__
from sedas_sync.errors import ManifestError, SedasSyncError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.threads import call_aside
from sedas_sync.model.events import Worker
from sedas_sync.transfer.job import FetchJob, FetchResult
from sedas_sync.workers.claim import FOLDER, WorkerLost, clear
from sedas_sync.workers.remote_job import (
    RemoteJob,
    RemoteOutcome,
    RemoteRetry,
    WorkerCheck,
    announce_run,
    check_worker,
    hide_link,
    run_job,
)

_FIRST_ANSWER = 30.0
"""Seconds to wait for the first answer of an executor before the run begins without it."""
_STEP = 0.2
_SHORT_WAIT = 1.0
"""Seconds in a queue after which an executor may get one more job."""
_ON_ITS_WAY = 0.3
"""Seconds that an answer may need to arrive."""
_LONG_WAIT = 10.0
"""Seconds in a queue, while other jobs were done, after which an executor gets fewer jobs."""

OnRetry = Callable[[str, RemoteRetry], None]


@runtime_checkable
class WorkerAware(Protocol):
    """An executor that knows its workers."""

    def everywhere(self, fn: Callable[..., Any], *args: Any) -> Mapping[str, Any]:
        """Call a function on every worker; return results and exceptions by worker."""
        ...

    def workers(self) -> int:
        """Return the number of workers."""
        ...


class WorkerPool:
    """The workers of one run.

    Args:
        executor: Does the jobs.
        root: The mirror's folder; its state folder exists, and the caller holds the mirror's lock.
        jobs: At once; the rate is divided among them.
        max_rate: Bytes a second over all of them; 0: no limit.
        on_retry: Called with the id of a job for each try that failed at a worker, when the job has ended; from any
            thread.
    """

    def __init__(self, executor: Executor, root: Path, *, jobs: int, max_rate: int, on_retry: OnRetry) -> None:
        self._executor = executor
        self._root = root
        self._rate = max_rate / jobs
        self._on_retry = on_retry
        self._token = secrets.token_hex(16)
        self._jobs = jobs
        self.window = jobs
        """How many jobs to submit at once: the link and token of a job expire if it waits in a queue for long."""
        self._links: dict[Future[Any], str] = {}
        """For each job that is under way, the file of its link."""
        self._number = 0
        self._done: deque[float] = deque(maxlen=jobs)
        self._lock = threading.Lock()
        self._speeds: dict[str, _WorkerSpeed] = {}

    def start(self, stopped: Callable[[], bool]) -> str | None:
        """Show workers that the run is active, and check those that answer.

        Args:
            stopped: Returns whether the run was stopped.

        Returns:
            A warning, if not every worker answered.

        Raises:
            ManifestError: A worker does not see the mirror's folder, may not write to it, or has another version.
            SedasSyncError: The executor cannot run anything.
        """
        try:
            clear(str(self._root))
            announce_run(str(self._root), self._token)
        except OSError as error:
            raise SedasSyncError(f"{self._root / FOLDER}: {error.strerror or error}") from error
        try:
            checks = self._check(stopped)
        except BaseException:
            self.stop()
            raise
        problems = [f"the worker {check.worker} {check.problem}" for check in checks or () if check.problem is not None]
        if problems:
            self.stop()
            raise ManifestError(problems)
        if checks or stopped():
            return None
        if checks is None and isinstance(self._executor, WorkerAware):
            return "not every worker has answered yet: each is checked again with its first scene"
        return "no worker has answered yet: scenes wait for the first one"

    def _check(self, stopped: Callable[[], bool]) -> list[WorkerCheck] | None:
        """Return the checks of all workers, or of one if the executor does not know them; None if none answered."""
        arguments = str(self._root), self._token, __version__
        if not isinstance(self._executor, WorkerAware):
            future = self._submit(check_worker, *arguments)
            answer = _wait_for(future, stopped)
            future.cancel()
            return None if answer is None else [_check_of("", answer)]
        answers = _wait_for(call_aside(self._executor.everywhere, check_worker, *arguments), stopped)
        if isinstance(answers, BaseException):
            raise SedasSyncError(f"the executor's workers cannot be checked: {_first_line(answers)}") from answers
        return None if answers is None else [_check_of(worker, answer) for worker, answer in answers.items()]

    def check_for_workers(self) -> str | None:
        """Ask the executor for its workers; return a warning if none is left. May take a while."""
        gone = isinstance(self._executor, WorkerAware) and not self._executor.workers()
        return "no worker is left: scenes wait for the next one" if gone else None

    def submit(self, job: FetchJob) -> "PendingFetch":
        """Give a job to a worker. The future raises the error of the download, or `WorkerLost` if the worker failed.

        Raises:
            SedasSyncError: The executor takes no jobs, or the file for the link cannot be written.
        """
        self._number += 1
        remote = RemoteJob(
            job=job,
            token=self._token,
            version=__version__,
            number=self._number,
            max_rate=self._rate,
        )
        pending = PendingFetch()
        since = time.monotonic()
        try:
            remote, link = hide_link(remote)
        except OSError as error:
            raise SedasSyncError(f"{self._root / FOLDER}: cannot be written: {error.strerror or error}") from error
        try:
            future = self._submit(run_job, remote)
        except SedasSyncError:
            self._delete(link)
            raise
        self._links[future] = link
        future.add_done_callback(lambda done: self._ended(job, done, since, pending))
        return pending

    def _submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._executor.submit(function, *arguments)
        except Exception as error:
            raise SedasSyncError(f"the executor takes no work: {_first_line(error)}") from error

    def _ended(self, job: FetchJob, done: Future[Any], since: float, pending: "PendingFetch") -> None:
        self._delete(self._links.pop(done, None))
        outcome: RemoteOutcome | None = None
        error: BaseException | None
        if done.cancelled():
            error = WorkerLost("its worker was lost: the call was cancelled")
        elif (error := done.exception()) is None and isinstance(answer := done.result(), RemoteOutcome):
            outcome, error = answer, answer.error
            refused = isinstance(error, TransferError) and error.relocate
            pending.early = self._adapt_window(since, outcome.seconds, refused=refused) and refused
        elif error is None:
            error = WorkerLost("its worker did not answer")
        elif not isinstance(error, WorkerLost):
            error = WorkerLost(f"its worker was lost: {_first_line(error)}")
        for retry in outcome.retries if outcome is not None else ():
            self._on_retry(job.id, retry)
        with suppress(InvalidStateError):
            if outcome is not None and outcome.result is not None:
                pending.set_result(outcome.result)
            else:
                pending.set_exception(error or WorkerLost("its worker did not answer"))

    def _adapt_window(self, since: float, seconds: float, *, refused: bool) -> bool:
        """Adapt the window after a job that was submitted at `since` and took so many seconds.

        Returns:
            Whether the window became smaller.
        """
        now = time.monotonic()
        began = now - seconds
        waited = began - since
        with self._lock:
            # The answer of another job may be on its way while its worker has begun the next one.
            passed = waited > _ON_ITS_WAY and any(since < other < began + _ON_ITS_WAY for other in self._done)
            self._done.append(now)
            before = self.window
            self.window = window_after(before, self._jobs, waited=waited, passed=passed, refused=refused)
            return self.window < before

    def stop(self) -> None:
        """Show workers that the run ends, and cancel jobs that none of them has begun."""
        self._delete(f"{FOLDER}/{self._token}")
        for future, link in tuple(self._links.items()):
            self._delete(link)
            future.cancel()
        remove_run_folder(self._root)

    def _delete(self, path: str | None) -> None:
        """Delete a file that workers read; if that fails, the next run tries again."""
        if path is not None:
            with suppress(OSError, TransferError):
                safe_tree.drop(str(self._root), path)

    # -- what each worker did ----------------------------------------------------------------------------------------

    def count(self, result: FetchResult) -> None:
        """Count a scene for its worker."""
        now = time.monotonic()
        speed = self._speeds.setdefault(result.worker or "", _WorkerSpeed(now - result.seconds))
        speed.scenes += 1
        speed.received += result.received
        speed.until = now

    @property
    def workers(self) -> tuple[Worker, ...]:
        """What each worker has done so far."""
        return tuple(
            Worker(worker=name, scenes=speed.scenes, bytes=speed.received, rate=round(speed.rate))
            for name, speed in sorted(self._speeds.items())
        )


class PendingFetch(Future[FetchResult]):
    """The future of a job."""

    early = False
    """Whether its link or token was refused because it had waited in a queue, which is shorter from now on."""


def window_after(window: int, most: int, *, waited: float, passed: bool, refused: bool) -> int:
    """Return how many jobs to submit at once, given how long the last one waited for a worker.

    Args:
        window: The number so far.
        most: The highest number.
        waited: Seconds.
        passed: Whether other jobs were finished since; if not, the job waited for the first worker to start.
        refused: Whether its link or token was refused.
    """
    if passed and (refused or waited > _LONG_WAIT):
        return max(1, window - 1)
    return min(most, window + 1) if waited < _SHORT_WAIT else window


def _wait_for(future: Future[Any], stopped: Callable[[], bool]) -> Any:
    """Return the result of a future, or its exception as a value; None if there is neither for a while."""
    until = time.monotonic() + _FIRST_ANSWER
    while time.monotonic() < until and not stopped():
        with suppress(NotYetError):
            try:
                error = future.exception(_STEP)
            except CancelledError as cancelled:
                return cancelled
            return future.result() if error is None else error
    return None


def remove_run_folder(root: Path) -> None:
    """Remove the folder that runs and workers share, unless a worker holds a claim there."""
    with suppress(OSError, TransferError):
        safe_tree.drop_folder(str(root), FOLDER)


class _WorkerSpeed:
    """What a worker has received since its first scene was begun."""

    def __init__(self, since: float) -> None:
        self.scenes = 0
        self.received = 0
        self.since = self.until = since

    @property
    def rate(self) -> float:
        return self.received / (self.until - self.since) if self.until > self.since else 0.0


def _check_of(worker: str, answer: object) -> WorkerCheck:
    """Return the check of a worker; one that did not answer with a check cannot work either."""
    if isinstance(answer, WorkerCheck):
        return WorkerCheck(worker=worker or answer.worker, problem=answer.problem)
    text = _first_line(answer) if isinstance(answer, BaseException) else repr(answer)
    return WorkerCheck(worker=worker or "that was asked first", problem=f"cannot run sedas-sync {__version__}: {text}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
