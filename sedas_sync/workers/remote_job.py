"""A download in another process or on another machine, which shares only the mirror's folder with the run.

`run_job(RemoteJob) -> RemoteOutcome` takes and returns plain data and raises nothing that a download can raise: an
error that an executor reports is always about the executor, usually a lost worker. Also, some executors log a failed
call with its arguments.

The folder is also how a run speaks to its workers. A scene's link and token are in a file that only its user can read,
and the job names that file. Another file of `.sedas-sync/workers/`, named after the token of the run, exists as long as
the run is active: a worker that does not find it has another folder under the same path, and one that sees it vanish
stops. A claim to each scene keeps a worker that was reported lost and is still alive from writing to the same files as
its successor (`sedas_sync.workers.claim`).
"""

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync import errors
from sedas_sync._version import __version__
from sedas_sync.files import safe_tree
from sedas_sync.files.threads import DaemonThread
from sedas_sync.transfer.fetch import DISK_ERRORS, disk_error, fetch
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped
from sedas_sync.transfer.shared_state import SharedState
from sedas_sync.workers.claim import FOLDER, WorkerLost, claimed, find_complete

CHECK_EVERY = 1.0
"""Seconds between two checks whether the run is active."""
IDLE = 60.0
"""Seconds after which a worker without jobs closes its connections."""

_RETRIES_REPORTED = 20
_PRIVATE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


class RemoteJob(Struct, frozen=True, kw_only=True):
    """A job for a worker, and what it needs to know of the run."""

    job: FetchJob
    """Its link has no secret in it if `link` names a file."""
    token: str
    """Of the run: the name of a file in the folder that run and workers share."""
    version: str
    """Of this package, in the process of the run."""
    number: int
    """Different for each job of a run, so that no executor returns a cached answer."""
    max_rate: float = 0.0
    """Bytes a second; 0: no limit."""
    link: str | None = None
    """The file with the job's link and its headers, relative to the mirror."""


class RemoteRetry(Struct, frozen=True):
    """A download that failed at the worker, and was tried again there."""

    attempt: int
    error: str
    delay: float


class RemoteOutcome(Struct, frozen=True, kw_only=True):
    """The result of a job, or its error."""

    worker: str
    seconds: float
    """How long the worker was busy with it."""
    result: FetchResult | None = None
    error: Exception | None = None
    retries: tuple[RemoteRetry, ...] = ()


class WorkerCheck(Struct, frozen=True, kw_only=True):
    """Whether a worker can do the jobs of a run."""

    worker: str
    problem: str | None = None
    """Why it cannot; None if it can."""


# -- in the process of the run -----------------------------------------------------------------------------------------


def announce_run(root: str, token: str) -> None:
    """Create the file that shows workers of the same user that the run is active.

    Raises:
        OSError: The file cannot be created.
        TransferError: A folder of the path is a symbolic link.
    """
    os.close(safe_tree.open_file(root, f"{FOLDER}/{token}", _NEW, _PRIVATE))


def hide_link(remote: RemoteJob) -> tuple[RemoteJob, str]:
    """Write the secrets of a job to a file for its worker; return the job without them, and the file.

    A scheduler stores a job, shows it, and sends it over networks that others may read; a worker that cannot decode a
    call writes it to its log.

    Raises:
        OSError: The file cannot be written.
        TransferError: A folder of the path is a symbolic link, or the file has no link that a worker could use.
    """
    path = f"{FOLDER}/{remote.token}.{remote.number}"
    download = remote.job.download
    if download.open is not None:
        raise errors.TransferError(
            f"{download.shown} can only be read in the process of the run, not by a worker: run without workers"
        )
    text = json.dumps({"url": download.url, "headers": dict(download.headers)})
    try:
        with os.fdopen(safe_tree.open_file(remote.job.root, path, _NEW, _PRIVATE), "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        with suppress(OSError, errors.TransferError):
            safe_tree.drop(remote.job.root, path)
        raise
    public = replace(download, url=download.shown, headers={})
    return replace(remote, job=replace(remote.job, download=public), link=path), path


# -- in the process of a worker ----------------------------------------------------------------------------------------


def check_worker(root: str, token: str, version: str) -> WorkerCheck:
    """Check whether this process can do jobs: it sees the run's token, may write, and has the same version."""
    try:
        problem = _problem(root, token, version)
    except (OSError, errors.TransferError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        problem = f"cannot write to the mirror {root}: {reason or error}"
    return WorkerCheck(worker=_name(), problem=problem)


def run_job(remote: RemoteJob) -> RemoteOutcome:
    """Do a job. Every `Exception` is returned as a value."""
    began, worker = time.monotonic(), _name()
    retries: list[RemoteRetry] = []
    result: FetchResult | None = None
    error: Exception | None = None
    try:
        run = _enter(remote)
        with run.share(remote) as shared, run.claim(remote.job, worker):
            shared.on_retry = lambda _, attempt, error, delay: retries.append(RemoteRetry(attempt, error, delay))
            result = replace(find_complete(remote.job) or fetch(_with_link(remote), shared), worker=worker)
    except errors.SedasSyncError as failure:
        error = failure if isinstance(failure, FetchStopped | WorkerLost) else _explain(worker, remote.job, failure)
    except KeyboardInterrupt:
        # Ctrl-C on a terminal reaches every process of the run, and only the run decides what to do.
        error = FetchStopped(f"{remote.job.id}: interrupted")
    except OSError as failure:
        text = f"the worker {worker} cannot work in the mirror: {failure.strerror or failure}"
        full = failure.errno in DISK_ERRORS
        error = disk_error(remote.job.root, failure) if full else errors.TransferError(text)
    except Exception as unexpected:  # noqa: BLE001  # an unexpected error fails one scene, with its name
        error = errors.SedasSyncError(f"unexpected {type(unexpected).__name__}: {unexpected}")
    return RemoteOutcome(
        worker=worker,
        seconds=time.monotonic() - began,
        result=result,
        error=error,
        retries=tuple(retries[-_RETRIES_REPORTED:]),
    )


def _with_link(remote: RemoteJob) -> FetchJob:
    """Return a job with its link.

    Raises:
        FetchStopped: The file of the link is gone, because the run no longer waits for the job.
        TransferError: The file cannot be read.
    """
    job = remote.job
    if remote.link is None:
        return job
    try:
        with safe_tree.reading(job.root, remote.link) as file:
            values = json.loads(file.read())
        return replace(job, download=replace(job.download, url=values["url"], headers=values["headers"]))
    except FileNotFoundError:
        raise FetchStopped(f"{job.id}: the run has ended, or has given the scene to another worker") from None
    except PermissionError:
        raise errors.TransferError(f"the worker {_name()} {_another_user(job.root, remote.link)}", fatal=True) from None
    except (ValueError, KeyError, TypeError):
        raise errors.TransferError(f"{remote.link}: has other content than the run wrote") from None


def _another_user(root: str, path: str) -> str:
    """Return the problem of a worker that may not read a file of the run."""
    found = safe_tree.stat(root, path)
    owner = "another user" if found is None else f"the user {safe_tree.user(found.st_uid)}"
    return (
        f"runs as the user {safe_tree.user(os.geteuid())} and may not read the links of this run, which is of {owner}: "
        "start the workers as the user who runs sedas-sync"
    )


def _explain(worker: str, job: FetchJob, error: errors.SedasSyncError) -> errors.SedasSyncError:
    """Add the worker to an error if it does not see the file of an archive that is a folder."""
    local = job.download.local
    if local is None or os.path.lexists(f"{local.root}/{local.path}"):
        return error
    return errors.TransferError(f"{error}; the worker {worker} has to see the archive's folder under the same path")


def _name() -> str:
    """Return the worker's own name under Dask, else `host:pid`."""
    dask = sys.modules.get("distributed.worker")
    if dask is not None:
        with suppress(ValueError, AttributeError):
            return str(dask.get_worker().name)
    return f"{socket.gethostname()}:{os.getpid()}"


def _problem(root: str, token: str, version: str) -> str | None:
    if version != __version__:
        return f"has sedas-sync {__version__}, and the run is of {version}"
    try:
        active = _is_active(root, token)
    except PermissionError:
        return _another_user(root, f"{FOLDER}/{token}")
    if not active:
        return f"does not see the mirror {root}: its folder has to be shared with every worker, under the same path"
    draft = f"{FOLDER}/{token}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}"
    os.close(safe_tree.open_file(root, draft, _NEW))
    safe_tree.drop(root, draft)
    return None


def _is_active(root: str, token: str) -> bool:
    """Return whether the run's token exists; if not, the run has ended, or this is another folder.

    The file is opened, because some network file systems ask their server only then.

    Raises:
        PermissionError: It is another user's.
    """
    try:
        os.close(safe_tree.open_file(root, f"{FOLDER}/{token}", os.O_RDONLY))
    except PermissionError:
        raise
    except (OSError, errors.TransferError):
        return False
    return True


class _RunOnWorker:
    """A run as a worker process knows it: whether it is active, and connections that stay open between jobs."""

    def __init__(self, root: str, token: str) -> None:
        self.stop = threading.Event()
        self._key = root, token
        self._spare: list[SharedState] = []
        self._busy = 0
        self._idle_since = time.monotonic()
        self._closed = False
        self._lock = threading.Lock()
        DaemonThread(self._watch)

    def enter(self) -> bool:
        """Begin a job, which `share` ends; return False if this was closed."""
        with self._lock:
            self._busy += not self._closed
            return not self._closed

    @contextmanager
    def share(self, remote: RemoteJob) -> Iterator[SharedState]:
        """Lend a job the connections that an earlier one left open."""
        with self._lock:
            shared = self._spare.pop() if self._spare else SharedState(max_rate=remote.max_rate, stop=self.stop)
        # The connections of other workers are not known here: a job takes only as many as the manifest asks for.
        shared.budget.limit = remote.job.policy.segments or 1
        try:
            yield shared
        finally:
            shared.close_folders()
            with self._lock:
                self._busy -= 1
                self._idle_since = time.monotonic()
                self._spare.append(shared)
                closed = self._closed
            if closed:
                self._close_spare()

    @contextmanager
    def claim(self, job: FetchJob, worker: str) -> Iterator[None]:
        """Hold the claim to a scene."""
        with claimed(job, who=worker, stop=self.stop, is_active=self._is_active):
            yield

    def _is_active(self) -> bool:
        try:
            return _is_active(*self._key)
        except PermissionError:
            return False

    def _watch(self) -> None:
        while self._is_active():
            time.sleep(CHECK_EVERY)
            if self._close_if_idle():
                break
        else:
            self.stop.set()
            with self._lock:
                self._closed = True
        with _runs_lock:
            if _runs.get((os.getpid(), self._key)) is self:
                del _runs[os.getpid(), self._key]
        self._close_spare()

    def _close_if_idle(self) -> bool:
        with self._lock:
            self._closed = not self._busy and time.monotonic() - self._idle_since > IDLE
            return self._closed

    def _close_spare(self) -> None:
        with self._lock:
            spare, self._spare = self._spare, []
        for shared in spare:
            shared.close()


_runs: dict[tuple[int, tuple[str, str]], _RunOnWorker] = {}
_runs_lock = threading.Lock()


def _enter(remote: RemoteJob) -> _RunOnWorker:
    """Return the run of a job in this process, which `share` ends.

    Raises:
        TransferError: This process cannot do the job.
    """
    run_key = remote.job.root, remote.token
    key = os.getpid(), run_key
    with _runs_lock:
        known = _runs.get(key)
        if known is not None and known.enter():
            return known
    # Not under the lock: the check is slow on a slow file system, and may be done twice.
    check = check_worker(*run_key, remote.version)
    if check.problem is not None:
        raise errors.TransferError(f"the worker {check.worker} {check.problem}", fatal=True)
    with _runs_lock:
        known = _runs.get(key)
        if known is None or not known.enter():
            known = _runs[key] = _RunOnWorker(*run_key)
            known.enter()
        return known
