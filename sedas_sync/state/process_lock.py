"""The lock of a mirror: one process at a time changes it, and says who it is."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from sedas_sync.errors import MirrorLocked
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.text import printable
from sedas_sync.state.connection import LOCK, open_state_folder
from sedas_sync.state.database import cannot_write
from sedas_sync.state.soft_lock import STILL, Files, HeldError, Holder, flocked, kept, take, this_process

_SAID_WITHIN = (0.02, 0.05, 0.13, 0.3)
"""Pauses between looks at who holds a lock, seconds."""
_LOOK_EVERY = 0.05


def _nothing() -> None:
    pass


@contextmanager
def lock(
    root: Path,
    *,
    timeout: float,
    now: datetime,
    on_wait: Callable[[], None] = _nothing,
    on_lost: Callable[[], None] = _nothing,
) -> Iterator[None]:
    """Hold the mirror's lock, so that no other process changes it.

    It is the kernel's where the file system has one; else see `sedas_sync.state.soft_lock`, whose files say who holds
    it in either case.

    Args:
        root: the mirror's folder, which exists.
        timeout: how long to wait for another process, seconds; 0 does not wait.
        now: written into the lock for whoever finds it held.
        on_wait: told once where the lock cannot be had at once.
        on_lost: told, from another thread, that another process took the lock: what is under way has to end.

    Raises:
        MirrorLocked: another process holds it, and the message names it; or it took the lock meanwhile.
    """
    lost = threading.Event()

    def end() -> None:
        lost.set()
        on_lost()

    with ExitStack() as stack:
        try:
            kernel = _hold(stack, root, time.monotonic() + timeout, _pausing(on_wait), now, end)
        except HeldError as held:
            who = "it has not said who it is" if held.holder is None else printable(str(held.holder))
            raise MirrorLocked(
                f"{root}: another process is at work here: {who}; `--lock-timeout SECONDS` waits for its end"
            ) from None
        except OSError as error:
            raise cannot_write(root / STATE / LOCK, error) from None
        yield
    if lost.is_set() and not kernel:
        raise MirrorLocked(
            f"{root}: this process stood still for more than {STILL:.0f} s, and another one took its place; what was "
            "under way has ended, and the same command goes on"
        )


def _pausing(on_wait: Callable[[], None]) -> Callable[[float], None]:
    told = False

    def pause(seconds: float) -> None:
        nonlocal told
        if not told:
            on_wait()
        told = True
        time.sleep(seconds)

    return pause


def _hold(
    stack: ExitStack,
    root: Path,
    until: float,
    pause: Callable[[float], None],
    now: datetime,
    on_lost: Callable[[], None],
) -> bool:
    """Hold the lock until the stack ends; says whether it is the kernel's."""
    state = open_state_folder(str(root))
    stack.callback(os.close, state)
    file = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=state)
    stack.callback(os.close, file)
    while (kernel := flocked(file)) is False:
        if time.monotonic() >= until:
            raise HeldError(_holder(Files(state, LOCK, kernel=False)))
        pause(_LOOK_EVERY)
    files = Files(state, LOCK, kernel=kernel is True)
    try:
        mine = take(files, this_process(now), until=until, pause=pause)
    except OSError:
        # Who holds it is for whoever waits; the kernel's lock needs no room on the disk.
        if not kernel:
            raise
    else:
        stack.enter_context(kept(files, mine, _nothing if kernel else on_lost))
    return kernel is True


def _holder(files: Files, sleep: Callable[[float], None] = time.sleep) -> Holder | None:
    """Who holds the lock, who says so right after taking it: where nothing is said yet, it is asked a few times."""
    for pause in (*_SAID_WITHIN, None):
        holder = files.newest()
        if holder is not None or pause is None:
            return holder
        sleep(pause)
    return None
