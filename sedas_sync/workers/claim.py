"""No two at one scene: a worker's claim to it, which the run that comes next sees too.

A claim is a locked file in the folder that a run and its workers share. It holds whom a lock holds: a worker that was
given up and still lives keeps it, one that is dead does not. A run that ends, or that finds what another one left,
takes the run's token away first and looks for claims then; whoever claims looks for the token when it has the lock. So
where no claim is seen nobody is at work, nor will be. Where the kernel locks nothing, `sedas_sync.state.soft_lock`
does.
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

__all__ = ["WorkerLost", "claimed", "clear", "fetch_claimed", "left_behind"]

PATIENCE = 30.0
"""Seconds that a claim is waited for; a worker whose run has ended lets go of it within about one."""

_LOCK = ".lock"
_OPENED = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NAMED = 200
_OURS = re.compile(r"[0-9a-f]{32}(\..+)?")
"""A run's token, and what is named after it or after a scene."""


class WorkerLost(errors.SedasSyncError):
    """A worker was lost with its errand; nothing is wrong with the scene."""


@contextmanager
def claimed(
    job: FetchJob, state: str, *, who: str, stop: threading.Event, goes_on: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Hold the claim to a job's scene.

    Args:
        job: it is about.
        state: the folder that run and workers share, relative to the mirror.
        who: claims it, for whoever has to wait.
        stop: set when the run ends.
        goes_on: says whether the run does, asked once the claim is held.

    Raises:
        Lost: another worker holds it and does not let go.
        Stopped: the run has ended.
    """
    name = f"{state}/{hashlib.sha256(job.partial.encode(errors='surrogatepass')).hexdigest()[:32]}{_LOCK}"
    with _shared(job, name) as (here, last):
        file, kernel = _held(job, here, last, stop)
        try:
            with nullcontext() if kernel else _held_alone(job, here, last, stop):
                if not goes_on():
                    raise _ended(job)
                with suppress(OSError):  # a name is a help, and a full disk no reason to do without a claim
                    os.ftruncate(file, 0)
                    os.pwrite(file, who.encode(errors="replace")[:_NAMED], 0)
                yield
        finally:
            with suppress(FileNotFoundError):
                os.unlink(last, dir_fd=here)
            os.close(file)


def _ended(job: FetchJob) -> FetchStopped:
    return FetchStopped(f"{job.id}: the run has ended")


@contextmanager
def _shared(job: FetchJob, name: str) -> Iterator[tuple[int, str]]:
    """Open the folder of claims. Whoever ends a run takes it away, and nothing else does."""
    with ExitStack() as stack:
        try:
            here, last = stack.enter_context(safe_tree.parent(job.root, name))
        except FileNotFoundError:
            raise _ended(job) from None
        yield here, last


def _held(job: FetchJob, here: int, last: str, stop: threading.Event) -> tuple[int, bool]:
    """The lock's file, open and locked, and whether the kernel did so: it may keep no locks there."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            file = os.open(last, _OPENED, 0o666, dir_fd=here)
        except FileNotFoundError:
            raise _ended(job) from None
        try:
            locked = try_flock(file)
            if locked is not False and _same(file, here, last):
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
def _held_alone(job: FetchJob, here: int, last: str, stop: threading.Event) -> Iterator[None]:
    """Hold the claim where the kernel keeps no locks."""

    def pause(seconds: float) -> None:
        if stop.wait(seconds):
            raise _ended(job)

    files = HolderFiles(here, last, kernel=False)
    try:
        mine = acquire(files, this_process(datetime.now(UTC)), until=time.monotonic() + PATIENCE, pause=pause)
    except LockHeldError as held:
        raise _lost(str(held.holder or "")) from None
    except FileNotFoundError:
        raise _ended(job) from None
    # Who stood still for so long has lost more than this: nothing in this process may go on.
    with heartbeat(files, mine, stop.set):
        yield


def _lost(holder: str) -> WorkerLost:
    return WorkerLost(f"{holder or 'another worker'} was thought to be lost, and is still at work on it")


def _same(file: int, here: int, last: str) -> bool:
    """Whether what was locked still has its name: the one before takes the file away when it lets go."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(last, dir_fd=here, follow_symlinks=False))
    except FileNotFoundError:
        return False


def clear(root: str, state: str) -> bool:
    """End what earlier runs have left to their workers, and take away what nobody holds.

    Whoever is still at work stops within about a second, and has its claim until then.

    What has a name that no run gives stays, and so does what is no file.

    Args:
        root: the mirror's folder; the caller holds its lock.
        state: the folder that runs and workers share, relative to it.

    Returns:
        Whether there was anything, so that somebody may still be at work, or have been a moment ago.

    Raises:
        TransferError: the folder or one above it is a symbolic link, or another user's file cannot be deleted.
    """
    try:
        names = [name for name in safe_tree.names(root, state) if _OURS.fullmatch(name)]
    except FileNotFoundError:
        return False
    found = {name: safe_tree.stat(root, f"{state}/{name}") for name in names}
    names = [name for name, there in found.items() if there is not None and modes.S_ISREG(there.st_mode)]
    locks = [name for name in names if name.endswith(_LOCK)]
    alone: set[str] = set()
    for name in names:
        if f"{_LOCK}." in name:
            alone.add(name.partition(f"{_LOCK}.")[0] + _LOCK)
        elif name not in locks:
            safe_tree.drop(root, f"{state}/{name}")
    for name in locks:
        # What another user's worker left there may be in nobody's hands; it is found out when its scene is claimed.
        with suppress(FileNotFoundError, PermissionError, errors.TransferError):
            file = safe_tree.open_file(root, f"{state}/{name}", os.O_RDWR)
            try:
                if try_flock(file) is not False:
                    safe_tree.drop(root, f"{state}/{name}")
            finally:
                os.close(file)
    if alone:
        with safe_tree.parent(root, f"{state}/-") as (here, _):
            for name in alone:
                HolderFiles(here, name, kernel=False).others("")
    return True


def fetch_claimed(job: FetchJob, live: SharedState, state: str, who: str) -> FetchResult:
    """Fetch a scene, or take what is in its place, where workers of an earlier run may still be at it.

    Raises:
        Lost: one of them holds the scene and does not let go.
        Stopped, TransferError, IntegrityError: as of `fetch`.
    """
    with claimed(job, state, who=who, stop=live.stop):
        return left_behind(job) or fetch(job, live)


def left_behind(job: FetchJob) -> FetchResult | None:
    """The scene, where a worker had put it in its place and could not say so any more; None where there is none.

    A worker that is lost may be lost with its answer: a scheduler then has the same job done again.
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
