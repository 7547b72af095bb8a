"""A fetch in another process or on another machine, which sees the mirror's folder and nothing else of the run.

`run(Errand) -> Outcome` takes and returns plain data, and raises nothing that a fetch can do: what an executor reports
of an errand by itself is always about the executor, a worker that was lost above all. Besides, some log a failed
call with its arguments.

The folder is also how a run speaks to its workers. A file of `.sedas-sync/workers/` named by the run's token says that
the run goes on: a worker that has never seen it has another folder under the same name, and one that sees it vanish
stops. A claim to each scene keeps a worker that was given up, and still lives, from writing beside its successor
(`sedas_sync.transfer.claim`).
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync import errors, folder
from sedas_sync.transfer.claim import Lost, claimed, left_behind
from sedas_sync.transfer.engine import FULL, fetch, takes_nothing
from sedas_sync.transfer.job import Got, Job, Stopped
from sedas_sync.transfer.live import Live
from sedas_sync.transfer.sealed import seal, unseal

__all__ = ["Errand", "Lost", "Outcome", "Retry", "Seen", "look", "run", "sealed_errand"]

LOOK_EVERY = 1.0
"""Seconds between two looks at whether the run goes on."""
IDLE = 60.0
"""Seconds after which a worker without errands lets go of its connections."""

_RETRIES_TOLD = 20
_KEY_MOST = 64


class Errand(Struct, frozen=True, kw_only=True):
    """A job for a worker somewhere, and what it has to know of the run."""

    job: Job
    """Its link shows no secret where it is sealed."""
    state: str
    """The folder that run and workers share, relative to the mirror."""
    token: str
    """The run's, in that folder."""
    version: str
    """Of this package, where the errand was made."""
    number: int
    """No two errands of a run are alike, lest an executor take an answer it has for the one it is asked for."""
    max_rate: float = 0.0
    """Bytes a second; 0: no limit."""
    sealed: bytes = b""
    """The job's link, to be read with the key that the run's token holds."""


class Retry(Struct, frozen=True):
    """A try that failed at the worker, and was followed by another."""

    attempt: int
    error: str
    delay: float


class Outcome(Struct, frozen=True, kw_only=True):
    """How an errand ended: with a scene in its place, or with an error."""

    worker: str
    seconds: float
    """How long it was in the worker's hands."""
    got: Got | None = None
    error: Exception | None = None
    retries: tuple[Retry, ...] = ()


class Seen(Struct, frozen=True, kw_only=True):
    """What a worker says when it is asked whether it can do errands."""

    worker: str
    problem: str | None = None
    """Why it cannot; None where it can."""


def sealed_errand(errand: Errand, key: bytes) -> Errand:
    """The same errand, to be read by nobody but who sees the folder."""
    shown, hidden = seal(errand.job.download, key)
    return replace(errand, job=replace(errand.job, download=shown), sealed=hidden)


def look(root: str, state: str, token: str, version: str) -> Seen:
    """Say whether this process can do errands for a run: sees its token, may write, and is of the same version."""
    worker = _name()
    try:
        problem = _problem(root, state, token, version)
    except (OSError, errors.TransferError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        problem = f"cannot write to the mirror {root}: {reason or error}"
    return Seen(worker=worker, problem=problem)


def run(errand: Errand) -> Outcome:
    """Do an errand. Every `Exception` comes back as a value."""
    began, worker = time.monotonic(), _name()
    retries: list[Retry] = []
    got: Got | None = None
    error: Exception | None = None
    try:
        here = _here(errand)
        with here.lent_live(errand) as live, here.claimed(errand.job, worker):
            live.on_retry = lambda _, attempt, error, delay: retries.append(Retry(attempt, error, delay))
            got = replace(left_behind(errand.job) or fetch(here.job(errand), live), worker=worker)
    except errors.SedasSyncError as failure:
        error = failure if isinstance(failure, Stopped | Lost) else _as_seen_by(worker, errand.job, failure)
    except KeyboardInterrupt:
        # Ctrl-C on a terminal is for every process of the run, and it is the run that knows what to do.
        error = Stopped(f"{errand.job.id}: interrupted")
    except OSError as failure:
        said = f"the worker {worker} cannot work in the mirror: {failure.strerror or failure}"
        full = failure.errno in FULL
        error = takes_nothing(errand.job.root, failure) if full else errors.TransferError(said)
    except Exception as unforeseen:  # noqa: BLE001  # what nobody foresaw fails one scene, and says so
        error = errors.SedasSyncError(f"unexpected {type(unforeseen).__name__}: {unforeseen}")
    seconds = time.monotonic() - began
    return Outcome(worker=worker, seconds=seconds, got=got, error=error, retries=tuple(retries[-_RETRIES_TOLD:]))


def _as_seen_by(worker: str, job: Job, error: errors.SedasSyncError) -> errors.SedasSyncError:
    """The error, with the worker named where it does not see the file of an archive that is a folder."""
    local = job.download.local
    if local is None or os.path.lexists(f"{local.root}/{local.path}"):
        return error
    return errors.TransferError(f"{error}; the worker {worker} has to see the archive's folder under the same path")


def _name() -> str:
    """The worker's own name where it runs under Dask, else `host:pid`."""
    dask = sys.modules.get("distributed.worker")
    if dask is not None:
        with suppress(ValueError, AttributeError):
            return str(dask.get_worker().name)
    return f"{socket.gethostname()}:{os.getpid()}"


def _problem(root: str, state: str, token: str, version: str) -> str | None:
    from sedas_sync import __version__  # noqa: PLC0415  # the package's own, once it is whole

    if version != __version__:
        return f"has sedas-sync {__version__}, and the run is of {version}"
    if _key(root, state, token) is None:
        return f"does not see the mirror {root}: its folder has to be shared with every worker, under the same path"
    draft = f"{state}/{token}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    with folder.parent(root, draft) as (here, last):
        os.close(os.open(last, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666, dir_fd=here))
        os.unlink(last, dir_fd=here)
    return None


def _key(root: str, state: str, token: str) -> bytes | None:
    """What the run's token holds; None where it is not there: the run has ended, or this is another folder.

    It is opened, since some network file systems ask their server only then.
    """
    try:
        with folder.parent(root, f"{state}/{token}") as (here, last):
            file = os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
            try:
                return os.read(file, _KEY_MOST)
            finally:
                os.close(file)
    except (OSError, errors.TransferError):
        return None


# -- what the errands of one run share in a process ------------------------------------------------------------------


class _Here:
    """One run, as a worker process knows it: whether it goes on, and connections from errand to errand."""

    def __init__(self, root: str, state: str, token: str) -> None:
        self.stop = threading.Event()
        self._place = root, state, token
        self._key = b""
        self._spare: list[Live] = []
        self._busy = 0
        self._idle_since = time.monotonic()
        self._closed = False
        self._lock = threading.Lock()
        threading.Thread(target=self._watch, name="sedas-sync-watch", daemon=True).start()

    def enter(self) -> bool:
        """Begin an errand, which `lent_live` ends; False where this has been closed meanwhile."""
        with self._lock:
            self._busy += not self._closed
            return not self._closed

    @contextmanager
    def lent_live(self, errand: Errand) -> Iterator[Live]:
        """What one errand needs, with the connections that an earlier one left open."""
        with self._lock:
            live = self._spare.pop() if self._spare else Live(max_rate=errand.max_rate, stop=self.stop)
        # How many connections all errands have together is not known here: only what was asked for is taken.
        live.budget.limit = errand.job.policy.segments or 1
        try:
            yield live
        finally:
            live.rest()
            with self._lock:
                self._busy -= 1
                self._idle_since = time.monotonic()
                self._spare.append(live)
                closed = self._closed
            if closed:
                self._close_spare()

    def claimed(self, job: Job, worker: str) -> AbstractContextManager[None]:
        """Hold the claim to a scene."""
        _, state, _ = self._place
        return claimed(job, state, who=worker, stop=self.stop, goes_on=self._goes_on)

    def job(self, errand: Errand) -> Job:
        """What an errand is about, with its link.

        Raises:
            TransferError: it was sealed for another run.
        """
        if not errand.sealed:
            return errand.job
        return replace(errand.job, download=unseal(errand.job.download, errand.sealed, self._key))

    def _goes_on(self) -> bool:
        key = _key(*self._place)
        self._key = key or self._key
        return key is not None

    def _watch(self) -> None:
        while self._goes_on():
            time.sleep(LOOK_EVERY)
            if self._closed_as_idle():
                break
        else:
            self.stop.set()
            with self._lock:
                self._closed = True
        with _register:
            if _runs.get((os.getpid(), self._place)) is self:
                del _runs[os.getpid(), self._place]
        self._close_spare()

    def _closed_as_idle(self) -> bool:
        with self._lock:
            self._closed = not self._busy and time.monotonic() - self._idle_since > IDLE
            return self._closed

    def _close_spare(self) -> None:
        with self._lock:
            spare, self._spare = self._spare, []
        for live in spare:
            live.close()


_runs: dict[tuple[int, tuple[str, str, str]], _Here] = {}
_register = threading.Lock()


def _here(errand: Errand) -> _Here:
    """This process's share in the run of an errand, which has been entered.

    Raises:
        TransferError: this process cannot work for it.
    """
    place = errand.job.root, errand.state, errand.token
    key = os.getpid(), place
    with _register:
        known = _runs.get(key)
        if known is not None and known.enter():
            return known
    # A look is slow on a slow file system, and may well be taken twice.
    seen = look(*place, errand.version)
    if seen.problem is not None:
        raise errors.TransferError(f"the worker {seen.worker} {seen.problem}", fatal=True)
    with _register:
        known = _runs.get(key)
        if known is None or not known.enter():
            known = _runs[key] = _Here(*place)
            known.enter()
        return known
