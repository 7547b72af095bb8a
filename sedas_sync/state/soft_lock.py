"""A lock made of files, for file systems whose kernel keeps no locks.

The files also say who holds a lock that the kernel keeps, so every lock has them. The rules:

1. A process that wants the lock creates a file next to it, `<lock>.<kind>-<random>`, with its pid, host and start time.
   No name is used twice, so removing the file of a dead process cannot remove that of its successor.
2. Then it looks at the other files. It holds the lock if no other holder is alive. If two processes arrive together,
   each sees the other's file; the one that sorts first wins and the other retries.
3. While it holds the lock it touches its file every `TOUCH_EVERY` seconds, and removes it at the end.
4. On the same machine a holder is dead if its process has ended. Another process with the same pid is recognised by the
   time at which it began.
5. On another machine, or in another container, a holder is dead if its file was watched for `DEAD_AFTER` seconds and
   its mtime did not change. Clocks of two machines are never compared.
6. A process that stood still for so long finds its file removed at the next touch, and ends its run.
"""

import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

from sedas_sync.files.threads import DaemonThread

TOUCH_EVERY = 5.0
"""Seconds between two touches of a holder's file."""
DEAD_AFTER = 60.0
"""Seconds without a touch after which a holder on another machine counts as dead."""

NO_LOCKS = frozenset(
    {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EBADF, errno.EINVAL, errno.ENOTTY}
)
"""Error codes of file systems that keep no locks."""

_STEP_BACK_WITHIN = 2.0
"""Seconds that the first of several processes waits for the others to step back."""
_POLL_EVERY = 0.1
_MAX_FILE = 4096

Liveness = Literal["dead", "alive", "unknown"]


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that holds a lock, as its file describes it."""

    pid: int
    host: str
    since: str
    began: int | None = None
    """When the process began, in the kernel's ticks."""
    kernel: str | None = None
    """Boot id and pid namespace in which `pid` is valid."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def alive(self) -> bool | None:
        """Whether the process lives; None if that cannot be seen from this machine or container."""
        if self.kernel is None or (self.host, self.kernel) != (socket.gethostname(), _kernel()):
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            pass
        began = _began(self.pid)
        return None if began is None or self.began is None else began == self.began


def this_process(now: datetime) -> Holder:
    """Return this process as a holder since `now`."""
    pid = os.getpid()
    return Holder(pid, socket.gethostname(), now.isoformat(timespec="seconds"), _began(pid), _kernel())


def _kernel() -> str | None:
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None  # /proc belongs to another container
        return f"{_boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def _began(pid: int) -> int | None:
    """Return when a process began; 0 for a zombie, None if that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _holder_from(text: bytes) -> Holder | None:
    """Return the holder that a file describes; None if it is empty (so far) or not valid."""
    try:
        holder = Holder(**json.loads(text))
        return holder if isinstance(holder.pid, int) and holder.pid > 0 else None
    except (ValueError, TypeError, RecursionError):
        return None


def try_flock(file: int) -> bool | None:
    """Lock an open file if no process has it; return whether it is locked now, or None without locks of the kernel."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


class LockHeldError(Exception):
    """Another process holds the lock; `holder` describes it if its file could be read."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


class HolderFiles:
    """The files of all processes that hold or want one lock.

    Args:
        folder: Descriptor of the folder with the lock.
        lock: The lock's name in it.
        kernel: Whether the caller has the kernel's lock; then every other process that had it is gone.
    """

    def __init__(self, folder: int, lock: str, *, kernel: bool) -> None:
        self._folder = folder
        self._prefix = f"{lock}."
        self._kernel = kernel
        self._watched: dict[str, tuple[tuple[int, int], float, bool]] = {}
        """The last mtime and size of a file, when they were first seen, and whether they had changed before."""

    def names(self) -> list[str]:
        """Return the names of all files, those of dead processes included."""
        return sorted(name for name in os.listdir(self._folder) if name.startswith(self._prefix))  # noqa: PTH208  # descriptor

    def new_name(self) -> str:
        """Return a name that was never used."""
        return f"{self._prefix}{'flock' if self._kernel else 'alone'}-{secrets.token_hex(8)}"

    def others(self, mine: str) -> list[tuple[str, Liveness, Holder | None]]:
        """Return the other holders that are not dead; remove the files of dead ones.

        Raises:
            OSError: The files cannot be read.
        """
        found: list[tuple[str, Liveness, Holder | None]] = []
        for name in self.names():
            if name == mine:
                continue
            liveness, holder = self._look(name)
            if liveness == "dead":
                self.remove(name)
            else:
                found.append((name, liveness, holder))
        return found

    def newest(self) -> Holder | None:
        """Return the holder whose file was touched last."""
        found = []
        for name in self.names():
            with suppress(OSError):
                mark, holder = self._read(name)
                if mark is not None:
                    found.append((mark, name, holder))
        return max(found)[2] if found else None

    def _look(self, name: str) -> tuple[Liveness, Holder | None]:
        if self._kernel and name.startswith(f"{self._prefix}flock-"):
            return "dead", None
        mark, holder = self._read(name)
        if mark is None:
            return "dead", None
        alive = None if holder is None else holder.alive
        if alive is not None:
            return ("alive" if alive else "dead"), holder
        now = time.monotonic()
        known = self._watched.get(name)
        if known is None or known[0] != mark:
            self._watched[name] = known = (mark, now, known is not None)
        _, since, touched = known
        return ("dead" if now - since >= DEAD_AFTER else "alive" if touched else "unknown"), holder

    def _read(self, name: str) -> tuple[tuple[int, int] | None, Holder | None]:
        """Return mtime and size of a file, and its holder; None instead if the file is gone."""
        try:
            # Opening a file makes a network file system fetch its present state.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)
        except FileNotFoundError:
            return None, None
        except PermissionError:
            seen = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            return (seen.st_mtime_ns, seen.st_size), None
        try:
            seen, text = os.fstat(file), os.read(file, _MAX_FILE)
        finally:
            os.close(file)
        return (seen.st_mtime_ns, seen.st_size), _holder_from(text)

    def write(self, name: str, holder: Holder) -> None:
        """Create a holder's file; one that stays empty on a full disk is valid too.

        Raises:
            OSError: It cannot be created.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, 0o666, dir_fd=self._folder)
        try:
            with suppress(OSError):
                os.write(file, json.dumps(asdict(holder)).encode())
        finally:
            os.close(file)

    def remove(self, name: str) -> None:
        """Remove a holder's file."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._folder)

    def touch(self, name: str) -> None:
        """Show that the holder is alive.

        Raises:
            FileNotFoundError: Another process took the holder for dead.
        """
        os.utime(name, dir_fd=self._folder, follow_symlinks=False)


def acquire(files: HolderFiles, holder: Holder, *, until: float, pause: Callable[[float], object] = time.sleep) -> str:
    """Take the lock if no other live process has it; return the name of this holder's file.

    Whether the others are alive is found out first, even if `until` is over.

    Args:
        files: The files of the lock.
        holder: The content of the new file.
        until: When to stop waiting, as `time.monotonic`.
        pause: Waits for some seconds, and may raise.

    Raises:
        LockHeldError: Another process holds it.
        OSError: The folder cannot be read or written.
    """
    while True:
        while others := files.others(""):
            if time.monotonic() >= until and all(liveness == "alive" for _, liveness, _ in others):
                raise LockHeldError(others[0][2])
            pause(_POLL_EVERY)
        mine = files.new_name()
        try:
            files.write(mine, holder)
            if _stays(files, mine, pause):
                return mine
        except BaseException:
            files.remove(mine)
            raise
        # The next look finds the process that was faster, unless that one has stepped back too.
        files.remove(mine)
        pause(_POLL_EVERY)


def _stays(files: HolderFiles, mine: str, pause: Callable[[float], object]) -> bool:
    """Return whether the new file holds the lock: all others have stepped back."""
    until = time.monotonic() + _STEP_BACK_WITHIN
    while others := files.others(mine):
        if others[0][0] < mine or time.monotonic() >= until:
            return False
        pause(_POLL_EVERY)
    try:
        # This process may have been suspended, so that another one presumed it dead.
        files.touch(mine)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def heartbeat(files: HolderFiles, mine: str, on_lost: Callable[[], None]) -> Iterator[None]:
    """Touch the holder's file from a thread, and remove it at the end.

    Args:
        files: The files of the lock.
        mine: The name of the holder's file.
        on_lost: Called, from another thread, if another process took the holder for dead.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(TOUCH_EVERY):
            try:
                files.touch(mine)
            except FileNotFoundError:
                on_lost()
                return
            except OSError:
                continue

    thread = None
    try:
        thread = DaemonThread(beat)
        yield
    finally:
        ended.set()
        if thread is not None:
            thread.join()
        files.remove(mine)
