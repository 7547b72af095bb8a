"""Workers that are not threads of this process: whatever runs calls for a `concurrent.futures.Executor`.

The executor is the caller's and is used for nothing but `submit`: how many errands it has at once, and who is to be
stopped, is decided here. One that knows its workers says so by the methods `everywhere` and `workers` (see
`sedas_sync.workers.dask`); any other shows only with its answers who they are.
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
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.events import Worker
from sedas_sync.transfer import FetchJob, FetchResult
from sedas_sync.workers.claim import WorkerLost, clear
from sedas_sync.workers.remote_job import (
    RemoteJob,
    RemoteOutcome,
    RemoteRetry,
    WorkerCheck,
    begin,
    look,
    run,
    without_link,
)

__all__ = ["WorkerLost", "WorkerPool"]

FOLDER = f"{STATE}/workers"
"""What a run and its workers share, relative to the mirror."""
_FIRST_ANSWER = 30.0
"""Seconds that the first answer of an executor is waited for before the work begins without it."""
_STEP = 0.2
_BEGUN_AT_ONCE = 1.0
_ON_ITS_WAY = 0.3
_QUEUED = 10.0
"""Seconds after which an errand that nobody has begun, while others were done, was handed out too early."""

Told = Callable[[str, RemoteRetry], None]


@runtime_checkable
class WorkerAware(Protocol):
    """An executor that knows its workers."""

    def everywhere(self, fn: Callable[..., Any], *args: Any) -> Mapping[str, Any]:
        """Call a function in every worker that there is now; returns answers and exceptions by worker."""
        ...

    def workers(self) -> int:
        """How many workers there are now."""
        ...


class WorkerPool:
    """The workers of one run.

    Args:
        executor: who does the work.
        root: the mirror's folder; its state folder is there, and the mirror's lock is held.
        jobs: errands at once; the rate is divided among them.
        max_rate: bytes a second over all of them; 0: no limit.
        on_retry: told of each try that failed at a worker, when its errand has ended; from any thread.
    """

    def __init__(self, executor: Executor, root: Path, *, jobs: int, max_rate: int, on_retry: Told) -> None:
        self._executor = executor
        self._root = root
        self._share = max_rate / jobs
        self._on_retry = on_retry
        self._token = secrets.token_hex(16)
        self._jobs = self.window = jobs
        """How many errands are worth handing out at once: what waits in an executor's queue has a link and a token that
        grow old there."""
        self._errands: dict[Future[Any], str] = {}
        """What is under way, and where its link is."""
        self._number = 0
        self._done: deque[float] = deque(maxlen=jobs)
        self._lock = threading.Lock()
        self._paces: dict[str, _Pace] = {}

    def start(self, halted: Callable[[], bool]) -> str | None:
        """Tell workers that the run goes on, and ask those that can be asked whether they can work for it.

        Returns what there is to say about them.

        Raises:
            ManifestError: a worker does not see the mirror's folder, may not write to it, or is of another version.
            SedasSyncError: the executor cannot run anything.
        """
        try:
            clear(str(self._root), FOLDER)
            begin(str(self._root), FOLDER, self._token)
        except OSError as error:
            raise SedasSyncError(f"{self._root / FOLDER}: {error.strerror or error}") from error
        try:
            seen = self._asked(halted)
        except BaseException:
            self.stop()
            raise
        problems = [f"the worker {one.worker} {one.problem}" for one in seen or () if one.problem is not None]
        if problems:
            self.stop()
            raise ManifestError(problems)
        if seen or halted():
            return None
        if seen is None and isinstance(self._executor, WorkerAware):
            return "not every worker has answered yet: each is asked again with its first scene"
        return "no worker has answered yet: scenes wait for the first one"

    def _asked(self, halted: Callable[[], bool]) -> list[WorkerCheck] | None:
        """What workers say of themselves; None where they said nothing for a while."""
        question = str(self._root), FOLDER, self._token, __version__
        if not isinstance(self._executor, WorkerAware):
            asked = self._submitted(look, *question)
            answer = _awaited(asked, halted)
            asked.cancel()
            return None if answer is None else [_seen("", answer)]
        answers = _awaited(_aside(self._executor.everywhere, look, *question), halted)
        if isinstance(answers, BaseException):
            raise SedasSyncError(f"the executor's workers cannot be asked: {_first_line(answers)}") from answers
        return None if answers is None else [_seen(worker, answer) for worker, answer in answers.items()]

    def absence(self) -> str | None:
        """What there is to say where no worker is left; takes its time."""
        gone = isinstance(self._executor, WorkerAware) and not self._executor.workers()
        return "no worker is left: scenes wait for the next one" if gone else None

    def submit(self, job: FetchJob) -> Future[FetchResult]:
        """Give a job to a worker. The future raises the fetch's error, or `WorkerLost` if the worker failed.

        Raises:
            SedasSyncError: the executor takes no more work, or the link cannot be put where workers read it.
        """
        self._number += 1
        errand = RemoteJob(
            job=job,
            state=FOLDER,
            token=self._token,
            version=__version__,
            number=self._number,
            max_rate=self._share,
        )
        mine = PendingFetch()
        since = time.monotonic()
        try:
            errand, link = without_link(errand)
        except OSError as error:
            raise SedasSyncError(f"{self._root / FOLDER}: cannot be written: {error.strerror or error}") from error
        try:
            theirs = self._submitted(run, errand)
        except SedasSyncError:
            self._forget(link)
            raise
        self._errands[theirs] = link
        theirs.add_done_callback(lambda done: self._arrived(job, done, since, mine))
        return mine

    def _submitted(self, deed: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._executor.submit(deed, *arguments)
        except Exception as error:
            raise SedasSyncError(f"the executor takes no work: {_first_line(error)}") from error

    def _arrived(self, job: FetchJob, done: Future[Any], since: float, mine: "PendingFetch") -> None:
        self._forget(self._errands.pop(done, None))
        outcome: RemoteOutcome | None = None
        error: BaseException | None
        if done.cancelled():
            error = WorkerLost("its worker was lost: the call was cancelled")
        elif (error := done.exception()) is None and isinstance(answer := done.result(), RemoteOutcome):
            outcome, error = answer, answer.error
            refused = isinstance(error, TransferError) and error.relocate
            mine.early = self._time(since, outcome.seconds, refused=refused) and refused
        elif error is None:
            error = WorkerLost("its worker gave no answer")
        elif not isinstance(error, WorkerLost):
            error = WorkerLost(f"its worker was lost: {_first_line(error)}")
        for retry in outcome.retries if outcome is not None else ():
            self._on_retry(job.id, retry)
        with suppress(InvalidStateError):
            if outcome is not None and outcome.got is not None:
                mine.set_result(outcome.got)
            else:
                mine.set_exception(error or WorkerLost("its worker gave no answer"))

    def _time(self, since: float, seconds: float, *, refused: bool) -> bool:
        """Have fewer errands wait for a worker, or more, after one that was handed out `since` and took so long.

        Returns whether they have become fewer.
        """
        now = time.monotonic()
        began = now - seconds
        waited = began - since
        with self._lock:
            # An answer may be on its way while its worker has begun the next errand.
            passed = waited > _ON_ITS_WAY and any(since < other < began + _ON_ITS_WAY for other in self._done)
            self._done.append(now)
            before = self.window
            self.window = window_after(before, self._jobs, waited=waited, passed=passed, refused=refused)
            return self.window < before

    def stop(self) -> None:
        """Let workers know that the run ends, and take back what none of them has begun."""
        self._forget(f"{FOLDER}/{self._token}")
        for errand, link in tuple(self._errands.items()):
            self._forget(link)
            errand.cancel()
        remove_run_folder(self._root)

    def _forget(self, path: str | None) -> None:
        """Delete a file that workers read; what cannot be deleted the next run tries again."""
        if path is not None:
            with suppress(OSError, TransferError):
                safe_tree.drop(str(self._root), path)

    # -- who did how much --------------------------------------------------------------------------------------------

    def count(self, got: FetchResult) -> None:
        """Count a scene to its worker."""
        now = time.monotonic()
        pace = self._paces.setdefault(got.worker or "", _Pace(now - got.seconds))
        pace.scenes += 1
        pace.received += got.received
        pace.until = now

    @property
    def workers(self) -> tuple[Worker, ...]:
        """What each has done so far."""
        return tuple(
            Worker(worker=name, scenes=pace.scenes, bytes=pace.received, rate=round(pace.rate))
            for name, pace in sorted(self._paces.items())
        )


class PendingFetch(Future[FetchResult]):
    """The answer to an errand."""

    early = False
    """Whether its link or token was refused after it had waited for a worker, and fewer shall wait from now on."""


def window_after(window: int, most: int, *, waited: float, passed: bool, refused: bool) -> int:
    """How many errands to hand out at once, from how long the one that just came back had waited for a worker.

    Args:
        window: how many it has been.
        most: how many it may be.
        waited: seconds.
        passed: whether others were done meanwhile; where none was, it waited for the first worker to come.
        refused: whether its link or token was.
    """
    if passed and (refused or waited > _QUEUED):
        return max(1, window - 1)
    return min(most, window + 1) if waited < _BEGUN_AT_ONCE else window


def _aside(deed: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """Call a function on a thread that nobody has to wait for."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(deed(*arguments))
        except BaseException as error:  # noqa: BLE001  # whatever it is belongs to the future
            future.set_exception(error)

    threading.Thread(target=call, name="sedas-sync-ask", daemon=True).start()
    return future


def _awaited(future: Future[Any], halted: Callable[[], bool]) -> Any:
    """The result of a future, or its exception as a value; None where there is neither for a while."""
    until = time.monotonic() + _FIRST_ANSWER
    while time.monotonic() < until and not halted():
        with suppress(NotYetError):
            try:
                error = future.exception(_STEP)
            except CancelledError as cancelled:
                return cancelled
            return future.result() if error is None else error
    return None


def remove_run_folder(root: Path) -> None:
    """Take away what runs and workers share, unless a worker still holds a claim there."""
    with suppress(OSError, TransferError):
        safe_tree.drop_folder(str(root), FOLDER)


class _Pace:
    """How fast a worker is: what it has received, over the time since its first scene was begun."""

    def __init__(self, since: float) -> None:
        self.scenes = 0
        self.received = 0
        self.since = self.until = since

    @property
    def rate(self) -> float:
        return self.received / (self.until - self.since) if self.until > self.since else 0.0


def _seen(worker: str, answer: object) -> WorkerCheck:
    """What a worker said; one that could not be asked cannot work either."""
    if isinstance(answer, WorkerCheck):
        return WorkerCheck(worker=worker or answer.worker, problem=answer.problem)
    said = _first_line(answer) if isinstance(answer, BaseException) else repr(answer)
    return WorkerCheck(worker=worker or "that was asked first", problem=f"cannot run sedas-sync {__version__}: {said}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
