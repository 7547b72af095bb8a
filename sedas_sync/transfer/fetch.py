"""One download: from a link to a proved file at its final path.

`fetch(FetchJob) -> FetchResult` takes and returns plain data, so it runs in a thread, in another process or on another
machine. It knows no archive and no index. The order of the steps makes a kill at any moment harmless:

1. Resume: the bytes of an earlier call are kept if their note belongs to the same file (`incoming`, `partial`).
2. Attempt: one request asks for the missing bytes (`answers`), and its body goes to the partial file. An answer that is
   not a range of the same file starts at the first byte again.
3. Ranges: if the server is slow and connections are free, several connections fetch the rest (`ranges`).
   Received bytes are written and counted before more are read (`receive`).
4. Proof: length, checksums and the zip are checked while the bytes arrive, in the same thread or in others (`prove`).
   A failed attempt is repeated after a pause, or ends the download (`attempts`).
5. Commit: the partial file is flushed, renamed to its final path, and its folder is flushed.

A file of this machine is linked or copied instead of steps 2 and 3 (`local_copy`). `shared_state` has the connections,
limits and buffers that all downloads of a process share.
"""

import atexit
import errno
import os

from sedas_sync import errors
from sedas_sync.errors import DISK_FULL
from sedas_sync.files.integrity import FileCheck
from sedas_sync.model.scene import LocalSource
from sedas_sync.net import connections
from sedas_sync.net.connections import ConnectionFailed
from sedas_sync.net.policy import PermanentError
from sedas_sync.transfer import local_copy
from sedas_sync.transfer.answers import FileRequests
from sedas_sync.transfer.attempts import AttemptFailed, Attempts, DamagedFile, RemoteFileChanged
from sedas_sync.transfer.incoming import IncomingFile
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped
from sedas_sync.transfer.ranges import RangeFetch
from sedas_sync.transfer.shared_state import SharedState

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors of a file system that accepts no more data, of any scene."""


def disk_error(root: str, error: OSError) -> errors.TransferError:
    """Return the error for a file system that accepts no more data, of any scene."""
    full = errors.is_disk_full(error)
    reason = DISK_FULL if full else f"nothing more can be written: {error.strerror}"
    found = errors.TransferError(f"{root}: {reason}", fatal=True)
    found.disk_full = full
    return found


_of_process: dict[int, SharedState] = {}


def fetch(job: FetchJob, shared: SharedState | None = None) -> FetchResult:
    """Download a file, prove it and commit it.

    Blocks until that is done or cannot be done. Several calls may run at once, each with its own `partial` and `path`.

    Raises:
        FetchStopped: `shared.stop` was set; the received bytes are kept.
        TransferError: The bytes did not arrive; what was received is kept. `relocate`: the link or token was refused,
            and a new one may help. `fatal`: the disk is full.
        IntegrityError: The bytes arrived and are not the scene; nothing is kept.
    """
    own = shared is None
    shared = shared or _state_of_process()
    shared.budget.acquire()
    try:
        if job.download.local is not None:
            return _copy(job, job.download.local, shared)
        return _download(job, shared)
    except InterruptedError as error:
        raise FetchStopped(f"{job.id}: stopped") from error
    except PermanentError as error:
        raise errors.TransferError(str(error)) from error
    except MemoryError as error:
        raise errors.TransferError(errors.TOO_LITTLE) from error
    except OSError as error:
        if error.errno in DISK_ERRORS:
            raise disk_error(job.root, error) from error
        raise errors.TransferError(f"{job.path}: {error.strerror or type(error).__name__}") from error
    finally:
        shared.budget.release()
        if own:
            # It is unknown which call is the last, and an open folder would prevent unmounting.
            shared.folders.close()


def _state_of_process() -> SharedState:
    """Return the shared state of calls without one: the connections of this process."""
    shared = _of_process.get(os.getpid())
    if shared is None:
        shared = _of_process.setdefault(os.getpid(), SharedState())
        atexit.register(shared.close)
    return shared


def _copy(job: FetchJob, source: LocalSource, shared: SharedState) -> FetchResult:
    """Link or copy a file of this machine."""
    began, job = shared.clock(), local_copy.with_own_ending(job, source)
    checked, found, copied, resumed = local_copy.copy(job, source, shared)
    return _result(job, job.path, checked, found, received=copied, resumed_from=resumed, seconds=shared.clock() - began)


def _download(job: FetchJob, shared: SharedState) -> FetchResult:
    """Resume, try until the file is proved, and commit it."""
    began = shared.clock()
    if job.download.open is None:
        connections.split(job.download.url)
    incoming = IncomingFile(job, shared)
    try:
        resumed = incoming.resume()
        requests, attempts = FileRequests(job, shared), Attempts(job, shared, resumed)
        checked = None
        while checked is None:
            checked = _attempt(incoming, requests, attempts, job, shared)
        found = incoming.commit()
        seconds = shared.clock() - began
        etag = incoming.partial.note.etag if incoming.partial.note else None
        return _result(
            job,
            incoming.path,
            checked,
            found,
            received=incoming.received,
            resumed_from=resumed,
            seconds=seconds,
            etag=etag,
        )
    except BaseException:
        incoming.partial.save_note()
        raise
    finally:
        incoming.partial.close()


def _attempt(
    incoming: IncomingFile, requests: FileRequests, attempts: Attempts, job: FetchJob, shared: SharedState
) -> FileCheck | None:
    """Fetch what is missing and prove the file; return None if it is to be tried again."""
    if shared.stop.is_set():
        raise InterruptedError
    failure: AttemptFailed | None
    try:
        if not incoming.partial.complete:
            RangeFetch(incoming, requests, shared, job.policy.segments).run()
        return incoming.prove()
    except AttemptFailed as error:
        failure = error
    except ConnectionFailed as error:
        failure = AttemptFailed(str(error))
    except RemoteFileChanged:
        failure = attempts.changed()
    except DamagedFile as error:
        joined = incoming.answers > 1
        incoming.discard()
        failure = attempts.damaged(error, joined=joined)
    if failure is not None:
        attempts.wait(failure, incoming.partial.downloaded, incoming.total)
    return None


def _result(
    job: FetchJob,
    path: str,
    checked: FileCheck,
    found: os.stat_result,
    *,
    received: int,
    resumed_from: int,
    seconds: float,
    etag: str | None = None,
) -> FetchResult:
    return FetchResult(
        id=job.id,
        path=path,
        size=checked.size,
        mtime_ns=found.st_mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        received=received,
        resumed_from=resumed_from,
        seconds=seconds,
        warnings=checked.warnings,
        etag=etag,
    )
