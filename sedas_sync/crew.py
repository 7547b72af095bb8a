"""Workers that are not threads of this process: whatever runs calls for a `concurrent.futures.Executor`.

The executor is the caller's and is used for nothing but `submit`: how many errands it has at once, and who is to be
stopped, is decided here. One that can call a function in every worker at once says so by a method `everywhere`
(see `sedas_sync.cluster`); any other shows only with its answers who its workers are.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from concurrent.futures import TimeoutError as NotYetError
from contextlib import suppress
from pathlib import Path
from typing import Any

from sedas_sync import __version__
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.events import Worker
from sedas_sync.memory import STATE
from sedas_sync.transfer import Got, Job
from sedas_sync.transfer.remote import Errand, Lost, Outcome, Retry, Seen, look, run, tidy

__all__ = ["Crew", "Lost"]

FOLDER = f"{STATE}/workers"
"""What a run and its workers share, relative to the mirror."""
_FIRST_ANSWER = 30.0
"""Seconds that the first answer of an executor is waited for before the work begins without it."""
_STEP = 0.2

Told = Callable[[str, Retry], None]


class Crew:
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
        self._errands: set[Future[Outcome]] = set()
        self._number = 0
        self._paces: dict[str, _Pace] = {}

    def muster(self, halted: Callable[[], bool]) -> str | None:
        """Tell workers that the run goes on, and ask those that can be asked whether they can work for it.

        Returns what there is to say about them.

        Raises:
            ManifestError: a worker does not see the mirror's folder, may not write to it, or is of another version.
            SedasSyncError: the executor cannot run anything.
        """
        folder = self._root / FOLDER
        folder.mkdir(exist_ok=True)
        # Workers of a run that came to no end stop when they miss its token.
        tidy(str(folder))
        (folder / self._token).touch()
        try:
            seen = self._asked(halted)
        except SedasSyncError:
            self.dismiss()
            raise
        problems = [f"the worker {one.worker} {one.problem}" for one in seen if one.problem is not None]
        if problems:
            self.dismiss()
            raise ManifestError(problems)
        return None if seen or halted() else "no worker has answered yet: scenes wait for the first one"

    def _asked(self, halted: Callable[[], bool]) -> list[Seen]:
        question = str(self._root), FOLDER, self._token, __version__
        everywhere: Callable[..., Mapping[str, Any]] | None = getattr(self._executor, "everywhere", None)
        if everywhere is not None:
            return [_seen(worker, answer) for worker, answer in everywhere(look, *question).items()]
        future = self._submitted(look, *question)
        until = time.monotonic() + _FIRST_ANSWER
        while time.monotonic() < until and not halted():
            with suppress(NotYetError):
                try:
                    error = future.exception(_STEP)
                except CancelledError as cancelled:
                    error = cancelled
                return [_seen("", future.result() if error is None else error)]
        future.cancel()
        return []

    def submit(self, job: Job) -> Future[Got]:
        """Give a job to a worker. The future's error is the fetch's, or `Lost` where the worker's was no fetch at all.

        Raises:
            SedasSyncError: the executor takes no more work.
        """
        self._number += 1
        errand = Errand(
            job=job,
            state=FOLDER,
            token=self._token,
            version=__version__,
            number=self._number,
            max_rate=self._share,
        )
        mine: Future[Got] = Future()
        theirs = self._submitted(run, errand)
        self._errands.add(theirs)
        theirs.add_done_callback(lambda done: self._arrived(job, done, mine))
        return mine

    def _submitted(self, deed: Callable[..., Any], *arguments: Any) -> Future[Any]:
        try:
            return self._executor.submit(deed, *arguments)
        except Exception as error:
            raise SedasSyncError(f"the executor takes no work: {_first_line(error)}") from error

    def _arrived(self, job: Job, done: Future[Outcome], mine: Future[Got]) -> None:
        self._errands.discard(done)
        error: BaseException | None
        if done.cancelled():
            error, outcome = Lost("its worker was lost: the call was cancelled"), None
        elif (error := done.exception()) is not None:
            error, outcome = Lost(f"its worker was lost: {_first_line(error)}"), None
        else:
            outcome = done.result()
            error = outcome.error
        for retry in outcome.retries if outcome is not None else ():
            self._on_retry(job.id, retry)
        with suppress(InvalidStateError):
            if outcome is not None and outcome.got is not None:
                mine.set_result(outcome.got)
            else:
                mine.set_exception(error or Lost("its worker gave no answer"))

    def dismiss(self) -> None:
        """Let workers know that the run ends, and take back what none of them has begun."""
        (self._root / FOLDER / self._token).unlink(missing_ok=True)
        for errand in tuple(self._errands):
            errand.cancel()
        with suppress(OSError):
            # Unless a worker still holds a scene's lock there.
            (self._root / FOLDER).rmdir()

    # -- who did how much --------------------------------------------------------------------------------------------

    def count(self, got: Got) -> None:
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


class _Pace:
    """How fast a worker is: what it has received, over the time since its first scene was begun."""

    def __init__(self, since: float) -> None:
        self.scenes = 0
        self.received = 0
        self.since = self.until = since

    @property
    def rate(self) -> float:
        return self.received / (self.until - self.since) if self.until > self.since else 0.0


def _seen(worker: str, answer: object) -> Seen:
    """What a worker said; one that could not be asked cannot work either."""
    if isinstance(answer, Seen):
        return Seen(worker=worker or answer.worker, problem=answer.problem)
    said = _first_line(answer) if isinstance(answer, BaseException) else repr(answer)
    return Seen(worker=worker or "that was asked first", problem=f"cannot run sedas-sync {__version__}: {said}")


def _first_line(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
