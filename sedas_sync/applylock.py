"""The lock of a mirror: one process at a time changes it, and says who it is."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from sedas_sync import memory
from sedas_sync.database import cannot_write
from sedas_sync.errors import MirrorLocked
from sedas_sync.memory import STATE

_SAID_WITHIN = (0.02, 0.05, 0.13, 0.3)
"""Pauses between looks at who holds a lock, seconds."""


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
    from filelock import FileLock, Timeout  # noqa: PLC0415  # costs as much to import as a command that needs no lock

    path = root / STATE / memory.LOCK
    guard = FileLock(path)
    try:
        guard.acquire(timeout=timeout)
    except Timeout:
        raise MirrorLocked(
            f"{root}: another process is at work here: {_describe(path)}; `--lock-timeout SECONDS` waits for its end"
        ) from None
    except OSError as error:
        raise cannot_write(root, error) from None
    try:
        holder = Holder(pid=os.getpid(), host=socket.gethostname(), since=now.isoformat(timespec="seconds"))
        with suppress(OSError):  # who holds it is for whoever waits; the lock itself needs no room
            path.write_text(json.dumps(asdict(holder)), encoding="utf-8")
        yield
    finally:
        # Else the next one to hold it would for a moment go by this name.
        with suppress(OSError):
            os.truncate(path, 0)
        guard.release()


def _describe(path: Path, sleep: Callable[[float], None] = time.sleep) -> str:
    """Who holds the lock, who says so right after taking it: where nothing is said yet, it is asked a few times."""
    for pause in (*_SAID_WITHIN, None):
        try:
            holder = Holder(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            if pause is not None:
                sleep(pause)
        else:
            return f"process {holder.pid} on {holder.host}, since {holder.since}"
    return "it has not said who it is"
