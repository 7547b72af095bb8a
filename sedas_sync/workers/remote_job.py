"""A fetch in another process or on another machine, which sees the mirror's folder and nothing else of the run.

`run(Errand) -> Outcome` takes and returns plain data, and raises nothing that a fetch can do: what an executor reports
of an errand by itself is always about the executor, a worker that was lost above all. Besides, some log a failed
call with its arguments.

The folder is also how a run speaks to its workers. A scene's link and token lie in a file there that only its user can
read, and the errand names that file. Another file of `.sedas-sync/workers/`, named by the run's token, says that the
run goes on: a worker that has never seen it has another folder under the same name, and one that sees it vanish stops.
A claim to each scene keeps a worker that was given up, and still lives, from writing beside its successor
(`sedas_sync.workers.claim`).
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error, fetch
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped
from sedas_sync.transfer.shared_state import SharedState
from sedas_sync.workers.claim import WorkerLost, claimed, left_behind

__all__ = [
    "RemoteJob",
    "RemoteOutcome",
    "RemoteRetry",
    "WorkerCheck",
    "WorkerLost",
    "begin",
    "look",
    "run",
    "without_link",
]

LOOK_EVERY = 1.0
"""Seconds between two looks at whether the run goes on."""
IDLE = 60.0
"""Seconds after which a worker without errands lets go of its connections."""

_RETRIES_TOLD = 20
_PRIVATE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class RemoteJob(Struct, frozen=True, kw_only=True):
    """A job for a worker somewhere, and what it has to know of the run."""

    job: FetchJob
    """Its link has no secret in it where `link` says where that is."""
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
    link: str | None = None
    """The file with the job's link and its headers, relative to the mirror."""


class RemoteRetry(Struct, frozen=True):
    """A try that failed at the worker, and was followed by another."""

    attempt: int
    error: str
    delay: float


class RemoteOutcome(Struct, frozen=True, kw_only=True):
    """How an errand ended: with a scene in its place, or with an error."""

    worker: str
    seconds: float
    """How long it was in the worker's hands."""
    got: FetchResult | None = None
    error: Exception | None = None
    retries: tuple[RemoteRetry, ...] = ()


class WorkerCheck(Struct, frozen=True, kw_only=True):
    """What a worker says when it is asked whether it can do errands."""

    worker: str
    problem: str | None = None
    """Why it cannot; None where it can."""


def begin(root: str, state: str, token: str) -> None:
    """Say that a run goes on, to workers of the same user.

    Raises:
        OSError: the file cannot be made.
        TransferError: a folder on the way is a symbolic link.
    """
    os.close(safe_tree.open_file(root, f"{state}/{token}", _NEW, _PRIVATE))


def without_link(errand: RemoteJob) -> tuple[RemoteJob, str]:
    """Put what may be secret in an errand into a file for its worker; returns the errand without it, and the file.

    A scheduler keeps what it is given, shows it, and sends it over wires that others see; a worker that cannot make
    sense of a call writes it to its log as it came.

    Raises:
        OSError: the file cannot be written.
        TransferError: a folder on the way is a symbolic link.
    """
    path = f"{errand.state}/{errand.token}.{errand.number}"
    download = errand.job.download
    text = json.dumps({"url": download.url, "headers": dict(download.headers)})
    try:
        with os.fdopen(safe_tree.open_file(errand.job.root, path, _NEW, _PRIVATE), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        with suppress(OSError, errors.TransferError):
            safe_tree.drop(errand.job.root, path)
        raise
    shown = replace(download, url=download.shown, headers={})
    return replace(errand, job=replace(errand.job, download=shown), link=path), path


def _with_link(errand: RemoteJob) -> FetchJob:
    """What an errand is about, with its link.

    Raises:
        Stopped: its file is gone, since nobody waits for the errand any more.
        TransferError: the file cannot be read.
    """
    job = errand.job
    if errand.link is None:
        return job
    try:
        with os.fdopen(safe_tree.open_file(job.root, errand.link, os.O_RDONLY), "rb") as file:
            values = json.loads(file.read())
        return replace(job, download=replace(job.download, url=values["url"], headers=values["headers"]))
    except FileNotFoundError:
        raise FetchStopped(f"{job.id}: the run has ended, or has given the scene to another worker") from None
    except PermissionError:
        raise errors.TransferError(f"the worker {_name()} {_another_user(job.root, errand.link)}", fatal=True) from None
    except (ValueError, KeyError, TypeError):
        raise errors.TransferError(f"{errand.link}: is not what the run has written there") from None


def _another_user(root: str, path: str) -> str:
    """What to say of a worker that may not read what the run has written for it."""
    found = safe_tree.stat(root, path)
    owner = "another user" if found is None else f"the user {safe_tree.user(found.st_uid)}"
    return (
        f"runs as the user {safe_tree.user(os.geteuid())} and may not read the links of this run, which is of {owner}: "
        "start the workers as the user who runs sedas-sync"
    )


def look(root: str, state: str, token: str, version: str) -> WorkerCheck:
    """Say whether this process can do errands for a run: sees its token, may write, and is of the same version."""
    worker = _name()
    try:
        problem = _problem(root, state, token, version)
    except (OSError, errors.TransferError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        problem = f"cannot write to the mirror {root}: {reason or error}"
    return WorkerCheck(worker=worker, problem=problem)


def run(errand: RemoteJob) -> RemoteOutcome:
    """Do an errand. Every `Exception` comes back as a value."""
    began, worker = time.monotonic(), _name()
    retries: list[RemoteRetry] = []
    got: FetchResult | None = None
    error: Exception | None = None
    try:
        here = _here(errand)
        with here.lent_live(errand) as live, here.claimed(errand.job, worker):
            live.on_retry = lambda _, attempt, error, delay: retries.append(RemoteRetry(attempt, error, delay))
            got = replace(left_behind(errand.job) or fetch(_with_link(errand), live), worker=worker)
    except errors.SedasSyncError as failure:
        error = failure if isinstance(failure, FetchStopped | WorkerLost) else _as_seen_by(worker, errand.job, failure)
    except KeyboardInterrupt:
        # Ctrl-C on a terminal is for every process of the run, and it is the run that knows what to do.
        error = FetchStopped(f"{errand.job.id}: interrupted")
    except OSError as failure:
        said = f"the worker {worker} cannot work in the mirror: {failure.strerror or failure}"
        full = failure.errno in DISK_ERRORS
        error = disk_error(errand.job.root, failure) if full else errors.TransferError(said)
    except Exception as unforeseen:  # noqa: BLE001  # what nobody foresaw fails one scene, and says so
        error = errors.SedasSyncError(f"unexpected {type(unforeseen).__name__}: {unforeseen}")
    seconds = time.monotonic() - began
    return RemoteOutcome(worker=worker, seconds=seconds, got=got, error=error, retries=tuple(retries[-_RETRIES_TOLD:]))


def _as_seen_by(worker: str, job: FetchJob, error: errors.SedasSyncError) -> errors.SedasSyncError:
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
    from sedas_sync._version import __version__  # noqa: PLC0415  # the package's own, once it is whole

    if version != __version__:
        return f"has sedas-sync {__version__}, and the run is of {version}"
    try:
        there = _goes_on(root, state, token)
    except PermissionError:
        return _another_user(root, f"{state}/{token}")
    if not there:
        return f"does not see the mirror {root}: its folder has to be shared with every worker, under the same path"
    draft = f"{state}/{token}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    os.close(safe_tree.open_file(root, draft, _NEW))
    safe_tree.drop(root, draft)
    return None


def _goes_on(root: str, state: str, token: str) -> bool:
    """Whether the run's token is there; if not, the run has ended, or this is another folder.

    It is opened, since some network file systems ask their server only then.

    Raises:
        PermissionError: it is there, and another user's.
    """
    try:
        os.close(safe_tree.open_file(root, f"{state}/{token}", os.O_RDONLY))
    except PermissionError:
        raise
    except (OSError, errors.TransferError):
        return False
    return True


# -- what the errands of one run share in a process ------------------------------------------------------------------


class _Here:
    """One run, as a worker process knows it: whether it goes on, and connections from errand to errand."""

    def __init__(self, root: str, state: str, token: str) -> None:
        self.stop = threading.Event()
        self._place = root, state, token
        self._spare: list[SharedState] = []
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
    def lent_live(self, errand: RemoteJob) -> Iterator[SharedState]:
        """What one errand needs, with the connections that an earlier one left open."""
        with self._lock:
            live = self._spare.pop() if self._spare else SharedState(max_rate=errand.max_rate, stop=self.stop)
        # How many connections all errands have together is not known here: only what was asked for is taken.
        live.budget.limit = errand.job.policy.segments or 1
        try:
            yield live
        finally:
            live.close_folders()
            with self._lock:
                self._busy -= 1
                self._idle_since = time.monotonic()
                self._spare.append(live)
                closed = self._closed
            if closed:
                self._close_spare()

    def claimed(self, job: FetchJob, worker: str) -> AbstractContextManager[None]:
        """Hold the claim to a scene."""
        _, state, _ = self._place
        return claimed(job, state, who=worker, stop=self.stop, goes_on=self._goes_on)

    def _goes_on(self) -> bool:
        try:
            return _goes_on(*self._place)
        except PermissionError:
            return False

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


def _here(errand: RemoteJob) -> _Here:
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
