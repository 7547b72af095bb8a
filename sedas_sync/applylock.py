"""The lock of a mirror: one process at a time changes it, and says who it is."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sedas_sync import folder, memory
from sedas_sync.database import cannot_write
from sedas_sync.errors import ManifestError, MirrorLocked, TransferError
from sedas_sync.memory import STATE

_SAID_WITHIN = (0.02, 0.05, 0.13, 0.3)
"""Pauses between looks at who holds a lock, seconds."""
_LOOK_EVERY = 0.05
"""Seconds between two tries at a lock that another process holds."""
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a mirror's lock."""

    pid: int
    host: str
    since: str


@contextmanager
def lock(root: Path, *, timeout: float, now: datetime) -> Iterator[None]:
    """Hold the mirror's lock, so that no other process changes it.

    Args:
        root: the mirror's folder, which exists.
        timeout: how long to wait for another process, seconds; 0 does not wait.
        now: written into the lock for whoever finds it held.

    Raises:
        MirrorLocked: another process holds it; the message names it.
    """
    path = f"{STATE}/{memory.LOCK}"
    try:
        file = folder.open_file(str(root), path, os.O_RDWR | os.O_CREAT)
    except TransferError as error:
        raise ManifestError(f"{root}: {error}; take it away and run the command again") from None
    except OSError as error:
        raise cannot_write(root / path, error) from None
    try:
        try:
            taken = _taken(file, time.monotonic() + timeout)
        except OSError as error:
            raise cannot_write(root / path, error) from None
        if not taken:
            raise MirrorLocked(
                f"{root}: another process is at work here: {_describe(file)}; "
                "`--lock-timeout SECONDS` waits for its end"
            )
        holder = Holder(pid=os.getpid(), host=socket.gethostname(), since=now.isoformat(timespec="seconds"))
        try:
            with suppress(OSError):  # who holds it is for whoever waits; the lock itself needs no room
                os.ftruncate(file, 0)
                os.pwrite(file, json.dumps(asdict(holder)).encode(), 0)
            yield
        finally:
            # Else the next one to hold it would for a moment go by this name.
            with suppress(OSError):
                os.ftruncate(file, 0)
            # A process that was forked meanwhile has the file open too: closing it here would not be enough.
            fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


def _taken(file: int, until: float) -> bool:
    """Lock the file, or say that somebody else has it for longer than is waited."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if (left := until - time.monotonic()) <= 0:
                return False
            time.sleep(min(_LOOK_EVERY, left))
        else:
            return True


def _describe(file: int, sleep: Callable[[float], None] = time.sleep) -> str:
    """Who holds the lock, who says so right after taking it: where nothing is said yet, it is asked a few times."""
    for pause in (*_SAID_WITHIN, None):
        try:
            holder = Holder(**json.loads(os.pread(file, _MOST, 0)))
        except (OSError, ValueError, TypeError):
            if pause is not None:
                sleep(pause)
        else:
            return f"process {holder.pid} on {holder.host}, since {holder.since}"
    return "it has not said who it is"
