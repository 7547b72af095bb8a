"""The lock of a mirror: one process at a time changes it.

1. The kernel's lock (`flock` of `apply.lock`) decides if the file system has one. It ends with the process.
2. The holder's file next to it (see `sedas_sync.state.soft_lock`) says who holds the lock. It decides if there is no
   kernel's lock; and a process that has one respects a process that has none.
3. A process without the kernel's lock that stood still may lose the lock. It then ends its run.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from sedas_sync.errors import MirrorLocked
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.text import printable
from sedas_sync.state.connection import LOCK, open_state_folder
from sedas_sync.state.database import cannot_write
from sedas_sync.state.soft_lock import (
    DEAD_AFTER,
    Holder,
    HolderFiles,
    LockHeldError,
    acquire,
    heartbeat,
    this_process,
    try_flock,
)

_READ_HOLDER_AFTER = (0.02, 0.05, 0.13, 0.3)
"""Pauses between attempts to read who holds a lock, seconds: its file is written just after the lock is taken."""
_POLL_EVERY = 0.05


class _FolderRemovedError(Exception):
    """The holder had created the folder for nothing, and has removed it with the file that this process waited for."""


def _nothing() -> None:
    pass


@contextmanager
def lock(
    root: Path,
    *,
    timeout: float,
    now: datetime,
    prepare: Callable[[], None] | None = None,
    on_wait: Callable[[], None] = _nothing,
    before_release: Callable[[], None] = _nothing,
    on_lost: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Hold the mirror's lock, so that no other process changes it.

    Args:
        root: The mirror's folder, which exists.
        timeout: How long to wait for another process, seconds; 0 does not wait.
        now: Since when this process holds the lock, for messages of other processes.
        prepare: Creates the state folder again if the process that was waited for has removed it; None to end then.
        on_wait: Called once if the lock is not free.
        before_release: Called at the end if the kernel keeps the lock, while it is still held.
        on_lost: Called, from another thread, if another process took the lock: the run must end.

    Raises:
        MirrorLocked: Another process holds it, and the message names it; or another one took it first.
    """
    lost = threading.Event()

    def end() -> None:
        lost.set()
        on_lost()

    with ExitStack() as stack:
        until, pause, kernel = time.monotonic() + timeout, _pausing(on_wait), False
        try:
            while True:
                try:
                    with ExitStack() as attempt:
                        state = open_state_folder(str(root))
                        attempt.callback(os.close, state)
                        kernel = _acquire(attempt, state, until, pause, now, end, before_release)
                        stack.enter_context(attempt.pop_all())
                        break
                except (_FolderRemovedError, FileNotFoundError):
                    if prepare is None or time.monotonic() >= until:
                        raise LockHeldError(None) from None
                    pause(_POLL_EVERY)
                    prepare()
        except LockHeldError as held:
            raise MirrorLocked(f"{root}: {_who(held.holder)}; `--lock-timeout TIME` waits for its end") from None
        except OSError as error:
            raise cannot_write(root / STATE / LOCK, error) from None
        yield
    if lost.is_set() and not kernel:
        raise MirrorLocked(
            f"{root}: this process stood still for more than {DEAD_AFTER:.0f} s, and another one took its place; the "
            "run has ended; run the same command again to continue"
        )


def _who(holder: Holder | None) -> str:
    if holder is not None and holder.alive and holder.pid == os.getpid():
        return "another thread of this process is at work here"
    name = "its name cannot be read" if holder is None else printable(str(holder))
    return f"another process is at work here: {name}"


def _pausing(on_wait: Callable[[], None]) -> Callable[[float], None]:
    """Return a `sleep` that calls `on_wait` the first time."""
    called = False

    def pause(seconds: float) -> None:
        nonlocal called
        if not called:
            on_wait()
        called = True
        time.sleep(seconds)

    return pause


def _acquire(
    stack: ExitStack,
    state: int,
    until: float,
    pause: Callable[[float], None],
    now: datetime,
    on_lost: Callable[[], None],
    before_release: Callable[[], None],
) -> bool:
    """Hold the lock until the stack ends; return whether the kernel keeps it."""
    file = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=state)
    stack.callback(os.close, file)
    while (kernel := try_flock(file)) is False:
        if time.monotonic() >= until:
            raise LockHeldError(_holder(HolderFiles(state, LOCK, kernel=False)))
        pause(_POLL_EVERY)
    if kernel:
        stack.callback(_unlock, file, os.getpid())
        try:
            os.stat(LOCK, dir_fd=state, follow_symlinks=False)
        except FileNotFoundError:
            raise _FolderRemovedError from None
        stack.callback(before_release)
    files = HolderFiles(state, LOCK, kernel=kernel is True)
    try:
        mine = acquire(files, this_process(now), until=until, pause=pause)
    except OSError:
        # With the kernel's lock the file only informs others; a full disk must not stop the run.
        if not kernel:
            raise
    else:
        stack.enter_context(heartbeat(files, mine, _nothing if kernel else on_lost))
    return kernel is True


def _unlock(file: int, pid: int) -> None:
    """Release the kernel's lock, which a child that was forked meanwhile would hold to its own end."""
    if os.getpid() == pid:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


def _holder(files: HolderFiles, sleep: Callable[[float], None] = time.sleep) -> Holder | None:
    """Return who holds the lock; wait a little for its file."""
    for pause in (*_READ_HOLDER_AFTER, None):
        holder = files.newest()
        if holder is not None or pause is None:
            return holder
        sleep(pause)
    return None
