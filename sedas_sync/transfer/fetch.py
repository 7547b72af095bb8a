"""One download: from a link to a proved file at its final path.

`fetch(FetchJob) -> FetchResult` takes and returns plain data, so it runs in a thread, in another process or on another
machine. It knows no archive and no index. The order of the steps makes a kill at any moment harmless:

1. Resume: the bytes of an earlier call are kept if their note belongs to the same file (`incoming`, `partial`).
2. Attempt: one request asks for the missing bytes (`answers`), and its body goes to the partial file (`body`). An
   answer that is not a range of the same file starts at the first byte again.
3. Ranges: if the server is slow and connections are free, several connections fetch the rest (`ranges`).
4. Proof: length, checksums and the zip are checked while the bytes arrive (`prove`). A failed attempt is repeated after
   a pause, or ends the download (`attempts`).
5. Commit: the partial file is flushed, renamed to its final path, and its folder is flushed.

A file of this machine is linked or copied instead of steps 2 and 3 (`local_copy`). `shared_state` has the connections,
limits and buffers that all downloads of a process share.
"""

import atexit
import errno
import os
import threading

from sedas_sync import errors
from sedas_sync.errors import DISK_FULL
from sedas_sync.files.integrity import FileCheck
from sedas_sync.model.scene import LocalSource
from sedas_sync.net import wire
from sedas_sync.transfer import local_copy
from sedas_sync.transfer.answers import FileRequests
from sedas_sync.transfer.attempts import AttemptFailed, Attempts, DamagedFile, RemoteFileChanged
from sedas_sync.transfer.body import BodyReader
from sedas_sync.transfer.incoming import IncomingFile
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped
from sedas_sync.transfer.ranges import RangeFetch
from sedas_sync.transfer.shared_state import SharedState

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS})
"""Errors of a file system that accepts no more data, of any scene."""
_REPORT_EVERY = 0.1


def disk_error(root: str, error: OSError) -> errors.TransferError:
    """Return the error for a file system that accepts no more data, of any scene."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
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
            return _fetch_local(job, job.download.local, shared)
        wire.split(job.download.url)
        return FetchRun(job, shared).run()
    except wire.PermanentError as error:
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


def _fetch_local(job: FetchJob, source: LocalSource, shared: SharedState) -> FetchResult:
    """Link or copy a file of this machine."""
    began = shared.clock()
    try:
        checked, found, copied, resumed = local_copy.copy(job, source, shared)
    except InterruptedError as error:
        raise FetchStopped(f"{job.id}: stopped") from error
    return FetchResult(
        id=job.id,
        path=job.path,
        size=checked.size,
        mtime_ns=found.st_mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        received=copied,
        resumed_from=resumed,
        seconds=shared.clock() - began,
        warnings=checked.warnings,
    )


def _state_of_process() -> SharedState:
    """Return the shared state of calls without one: the connections of this process."""
    shared = _of_process.get(os.getpid())
    if shared is None:
        shared = _of_process.setdefault(os.getpid(), SharedState())
        atexit.register(shared.close)
    return shared


class FetchRun:
    """One call of `fetch` for a link."""

    incoming: IncomingFile

    def __init__(self, job: FetchJob, shared: SharedState) -> None:
        self.job = job
        self.shared = shared
        self.policy = job.policy
        self.requests = FileRequests(job, shared)
        self.splittable = self.policy.segments != 1
        """Whether several connections may be used."""
        self._received = 0
        self._reported = 0.0
        self._lock = threading.Lock()

    def run(self) -> FetchResult:
        """Resume, try until the file is proved, and commit it."""
        began = self.shared.clock()
        self.incoming = IncomingFile(self.job, self.shared)
        try:
            resumed_from = self.incoming.resume()
            checked = self._try_until_proved(Attempts(self.job, self.shared, resumed_from))
            return self._commit(checked, resumed_from, began)
        except BaseException:
            self.incoming.partial.save_note()
            raise
        finally:
            self.shared.report_pace(id(self), None)
            self.incoming.partial.close()

    def _try_until_proved(self, attempts: Attempts) -> FileCheck:
        incoming = self.incoming
        while True:
            if self.shared.stop.is_set():
                raise FetchStopped(f"{self.job.id}: stopped")
            failure: AttemptFailed | None
            try:
                self._attempt()
                return incoming.prove()
            except InterruptedError as error:
                raise FetchStopped(f"{self.job.id}: stopped") from error
            except AttemptFailed as error:
                failure = error
            except wire.ConnectionFailed as error:
                failure = AttemptFailed(str(error))
            except RemoteFileChanged:
                failure = attempts.changed()
            except DamagedFile as error:
                joined = incoming.answers > 1
                incoming.discard()
                failure = attempts.damaged(error, joined=joined)
            if failure is not None:
                attempts.wait(failure, incoming.partial.downloaded, incoming.total)

    def _attempt(self) -> None:
        """Request the missing bytes and write them."""
        partial = self.incoming.partial
        if partial.complete:
            return
        if partial.has_gaps:
            self.incoming.add_answer()
            RangeFetch(self, None).run()
            return
        start = partial.downloaded
        response = self.requests.get(partial.note, start)
        try:
            split = self._accept(response, start) and BodyReader(self, response).read()
        except BaseException:
            response.connection.close()
            raise
        if split:
            RangeFetch(self, response).run()
        else:
            self.shared.client.release(response, self.requests.stall_timer())

    def _accept(self, response: wire.Response, start: int) -> bool:
        """Check that an answer continues the file or starts it again; False if nothing is missing.

        Raises:
            AttemptFailed: It is something else.
            RemoteFileChanged: It belongs to another file.
        """
        incoming = self.incoming
        if response.status == wire.UNSATISFIABLE:
            self._accept_end(response, start)
            return False
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise AttemptFailed(f"the server sent the scene encoded as {coding!a}, which was not requested")
        if response.status == wire.PARTIAL:
            total = incoming.check_range(response, start, None)
            if incoming.total is None and total is not None:
                incoming.set_total(total)
            incoming.add_answer()
            return True
        if response.length == 0:
            raise AttemptFailed("the server sent an empty body", relocate=True)
        if self.requests.is_packed(response):
            incoming.size = None
        if response.length is not None and incoming.size is not None and response.length != incoming.size:
            self.requests.check_not_page(response)
            raise AttemptFailed(f"the server has {response.length} bytes, the catalogue states {incoming.size}")
        incoming.start(response)
        return True

    def _accept_end(self, response: wire.Response, start: int) -> None:
        """Accept the status 416 if all bytes are on disk."""
        incoming = self.incoming
        total = response.headers.get("content-range", "").rpartition("*/")[2]
        if incoming.is_complete_at(total):
            incoming.set_total(start)
            incoming.proof.size = incoming.size or start
        elif start:
            incoming.discard_changed()
        else:
            raise AttemptFailed("the server refused a range that was not requested", status=wire.UNSATISFIABLE)

    def count(self, received: int) -> None:
        """Count received bytes, and report them from time to time; any thread may call it."""
        shared = self.shared
        with self._lock:
            self._received += received
            if shared.on_bytes is None:
                return
            now = shared.clock()
            total, downloaded = self.incoming.total, self.incoming.partial.downloaded
            if now - self._reported < _REPORT_EVERY and downloaded != total:
                return
            self._reported = now
        shared.on_bytes(self.job.id, downloaded, total)

    def _commit(self, checked: FileCheck, resumed_from: int, began: float) -> FetchResult:
        job, partial, path = self.job, self.incoming.partial, self.incoming.path
        partial.flush()
        try:
            found = partial.commit(path, replace=job.replace)
        except FileExistsError as error:
            raise errors.TransferError(f"{path}: another file appeared at this path meanwhile") from error
        self.shared.flush_folder(job.root, path)
        return FetchResult(
            id=job.id,
            path=path,
            size=checked.size,
            mtime_ns=found.st_mtime_ns,
            sha256=checked.sha256,
            level=checked.level,
            received=self._received,
            resumed_from=resumed_from,
            seconds=self.shared.clock() - began,
            warnings=checked.warnings,
            etag=partial.note.etag if partial.note else None,
        )
