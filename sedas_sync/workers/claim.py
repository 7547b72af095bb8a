"""Claims: no two workers download the same scene, even if one belongs to an earlier run.

A claim is a locked file in the folder that a run and its workers share. A worker that was reported lost and is still
alive keeps its lock; a dead one does not. A run that ends, or that finds an earlier one, deletes the run's token first
and checks claims afterwards; a worker checks the token after it has the lock. So if there is no claim, no worker is
active and none will be. If the kernel has no locks, `sedas_sync.state.soft_lock` is used.
"""

import hashlib
import os
import re
import stat as modes
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from datetime import UTC, datetime

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.integrity import check
from sedas_sync.state.soft_lock import HolderFiles, LockHeldError, acquire, heartbeat, this_process, try_flock
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchResult, FetchStopped
from sedas_sync.transfer.shared_state import SharedState

FOLDER = f"{safe_tree.STATE}/workers"
"""The folder that a run and its workers share, relative to the mirror."""
PATIENCE = 30.0
"""Seconds to wait for a claim; a worker whose run has ended releases it within about one."""

_LOCK = ".lock"
_OPENED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = 200
_OURS = re.compile(r"[0-9a-f]{32}(\..+)?")
"""The token of a run, and files that are named after it or after a scene."""


class WorkerLost(errors.SedasSyncError):
    """A worker was lost while it had a job; nothing is wrong with the scene."""


@contextmanager
def claimed(
    job: FetchJob, *, who: str, stop: threading.Event, is_active: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Hold the claim to the scene of a job.

    Args:
        job: Of the scene.
        who: The name of the worker, for others that wait.
        stop: Set when the run ends.
        is_active: Returns whether the run is active; called when the claim is held.

    Raises:
        WorkerLost: Another worker does not release its claim.
        FetchStopped: The run has ended.
    """
    name = f"{FOLDER}/{hashlib.sha256(job.partial.encode(errors='surrogatepass')).hexdigest()[:32]}{_LOCK}"
    with ExitStack() as stack:
        try:
            folder, last = stack.enter_context(safe_tree.parent(job.root, name))
        except FileNotFoundError:
            # A run that ends removes the folder, and nothing else does.
            raise _ended(job) from None
        file, kernel = _lock(job, folder, last, stop)
        try:
            with nullcontext() if kernel else _soft_lock(job, folder, last, stop):
                if not is_active():
                    raise _ended(job)
                with suppress(OSError):  # the name only helps others, so that a full disk does not prevent a claim
                    os.ftruncate(file, 0)
                    os.pwrite(file, who.encode(errors="replace")[:_NAMED], 0)
                yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(last, dir_fd=folder)
            os.close(file)


def _ended(job: FetchJob) -> FetchStopped:
    return FetchStopped(f"{job.id}: the run has ended")


def _lock(job: FetchJob, folder: int, last: str, stop: threading.Event) -> tuple[int, bool]:
    """Open and lock the file of a claim; return it, and whether the kernel has locks there."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            file = os.open(last, _OPENED, 0o666, dir_fd=folder)
        except FileNotFoundError:
            raise _ended(job) from None
        try:
            locked = try_flock(file)
            if locked is not False and _is_named(file, folder, last):
                return file, locked is True
            holder = os.pread(file, _NAMED, 0).decode(errors="replace").strip()
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if stop.wait(0.1):
            raise _ended(job)
        if time.monotonic() > until:
            raise _lost(holder)


@contextmanager
def _soft_lock(job: FetchJob, folder: int, last: str, stop: threading.Event) -> Iterator[None]:
    """Hold the claim without locks of the kernel."""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise _ended(job)

    files = HolderFiles(folder, last, kernel=False)
    try:
        mine = acquire(files, this_process(datetime.now(UTC)), until=time.monotonic() + PATIENCE, pause=pause)
    except LockHeldError as held:
        raise _lost(str(held.holder or "")) from None
    except FileNotFoundError:
        raise _ended(job) from None
    # If this process was suspended until the lock expired, all its downloads stop.
    with heartbeat(files, mine, stop.set):
        yield


def _lost(holder: str) -> WorkerLost:
    return WorkerLost(f"{holder or 'another worker'} was thought to be lost, and is still at work on it")


def _is_named(file: int, folder: int, last: str) -> bool:
    """Return whether a locked file still has its name: the last owner deletes the file when it releases the lock."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(last, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def clear(root: str) -> bool:
    """End earlier runs for their workers, and delete files that no worker has locked.

    A worker that is still active stops within about a second, and keeps its claim until then. Files whose names no run
    creates stay, and so do folders and links.

    Args:
        root: The mirror's folder; the caller holds its lock.

    Returns:
        Whether there were files of an earlier run, so that workers may still be active.

    Raises:
        TransferError: The folder or one above it is a symbolic link, or another user's file cannot be deleted.
    """
    try:
        names = [name for name in safe_tree.names(root, FOLDER) if _OURS.fullmatch(name)]
    except FileNotFoundError:
        return False
    found = {name: safe_tree.stat(root, f"{FOLDER}/{name}") for name in names}
    names = [name for name, there in found.items() if there is not None and modes.S_ISREG(there.st_mode)]
    locks = [name for name in names if name.endswith(_LOCK)]
    soft: set[str] = set()
    for name in names:
        if f"{_LOCK}." in name:
            soft.add(name.partition(f"{_LOCK}.")[0] + _LOCK)
        elif name not in locks:
            safe_tree.drop(root, f"{FOLDER}/{name}")
    for name in locks:
        # A file of another user stays; whether it is locked is checked when its scene is claimed.
        with suppress(FileNotFoundError, PermissionError, errors.TransferError):
            file = safe_tree.open_file(root, f"{FOLDER}/{name}", os.O_RDWR)
            try:
                if try_flock(file) is not False:
                    safe_tree.drop(root, f"{FOLDER}/{name}")
            finally:
                os.close(file)
    if soft:
        with safe_tree.parent(root, f"{FOLDER}/-") as (folder, _):
            for name in soft:
                HolderFiles(folder, name, kernel=False).others("")
    return True


def fetch_claimed(job: FetchJob, shared: SharedState, who: str) -> FetchResult:
    """Download a scene while workers of an earlier run may still be active.

    Raises:
        WorkerLost: One of them does not release its claim to the scene.
        FetchStopped, TransferError, IntegrityError: as `fetch` raises them.
    """
    with claimed(job, who=who, stop=shared.stop):
        return find_complete(job) or fetch(job, shared)


def find_complete(job: FetchJob) -> FetchResult | None:
    """Return the scene of a job if it is complete already; else None.

    A worker may be lost after it put the scene in place and before it answered; the job is then done again.
    """
    began = time.monotonic()
    found = None if job.replace is True else safe_tree.stat(job.root, job.path)
    if found is None or not modes.S_ISREG(found.st_mode) or (found.st_size, found.st_mtime_ns) == job.replace:
        return None
    checked = check(
        job.path,
        root=job.root,
        level="crc",
        size=job.download.size,
        digest=job.download.digest,
        filehash=job.policy.filehash,
        sha256=job.sha256,
    )
    if checked.problems:
        return None
    return FetchResult(
        id=job.id,
        path=job.path,
        size=checked.size,
        mtime_ns=found.st_mtime_ns,
        sha256=checked.sha256,
        level=checked.level,
        received=0,
        resumed_from=checked.size,
        seconds=time.monotonic() - began,
        warnings=checked.warnings,
    )
