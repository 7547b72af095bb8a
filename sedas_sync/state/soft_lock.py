"""Who is at work, in a file of each one's own: what a lock says of its holder, and a lock where the kernel gives none.

A process that wants a lock puts a file beside it, `<lock>.<kind>-<random>`, with its number, its host and since when.
Then it looks at the files of others, and holds the lock if none of them is alive; while it does, it touches its file
every few seconds. Of two that come at once the later one sees the other, so that never both go on. The one whose name
sorts first stays, and the other one steps back.

No name is ever used twice. To remove the file of a holder that is dead can thus never remove that of its successor, and
no two can take over from it at once.

A holder is dead if its process, on this very machine, has ended; a process that only has its number is told apart by
when it began. Of other machines, and other containers, only the file is seen: it is dead when its time has not moved
while it was watched for `STILL` seconds. No two clocks are compared.
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

BEAT = 5.0
"""Seconds from one touch of a holder's file to the next."""
STILL = 60.0
"""Seconds that a file of another machine is watched without a touch before its holder is taken for dead."""

NO_LOCKS = frozenset(
    {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EBADF, errno.EINVAL, errno.ENOTTY}
)
"""What a file system answers that keeps no locks."""

_GRACE = 2.0
"""Seconds that who came first waits for those that came at the same moment to step back."""
_LOOK_EVERY = 0.1
_MOST = 4096

State = Literal["dead", "alive", "unknown"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock, as its file says."""

    pid: int
    host: str
    since: str
    began: int | None = None
    """When the process began, in the kernel's ticks."""
    kernel: str | None = None
    """Which running kernel, and which of its sets of processes, the number is of."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.since}"

    @property
    def alive(self) -> bool | None:
        """Whether its process lives; None where that cannot be seen from here."""
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
    """This process, as who holds a lock since `now`."""
    pid = os.getpid()
    return Holder(pid, socket.gethostname(), now.isoformat(timespec="seconds"), _began(pid), _kernel())


def _kernel() -> str | None:
    try:
        if str(Path("/proc/self").readlink()) != str(os.getpid()):
            return None  # these are the numbers of another container
        return f"{_boot()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def _began(pid: int) -> int | None:
    """When a process began; 0 where it has ended and nobody has asked how, None where that cannot be seen."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return None


def _holder_of(text: bytes) -> Holder | None:
    """Who a file names; None where it says nothing (yet), or nonsense."""
    try:
        said = Holder(**json.loads(text))
        return said if isinstance(said.pid, int) and said.pid > 0 else None
    except (ValueError, TypeError, RecursionError):
        return None


def flocked(file: int) -> bool | None:
    """Lock an open file: whether it is locked now, or somebody else has it; None where the kernel gives no lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


class HeldError(Exception):
    """Somebody else holds the lock; `holder` is who, as far as that is known."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(holder)
        self.holder = holder


class Files:
    """The files of those who hold or want one lock.

    Args:
        folder: where they are, open.
        lock: the lock's name there.
        kernel: whether the caller has the kernel's lock, so that others who had it are gone.
    """

    def __init__(self, folder: int, lock: str, *, kernel: bool) -> None:
        self._folder = folder
        self._prefix = f"{lock}."
        self._kernel = kernel
        self._seen: dict[str, tuple[tuple[int, int], float, bool]] = {}

    def names(self) -> list[str]:
        """All of them, dead ones too."""
        return sorted(name for name in os.listdir(self._folder) if name.startswith(self._prefix))  # noqa: PTH208  # descriptor

    def new(self) -> str:
        """A name that nobody has had and nobody will have."""
        return f"{self._prefix}{'flock' if self._kernel else 'alone'}-{secrets.token_hex(8)}"

    def others(self, mine: str) -> list[tuple[str, State, Holder | None]]:
        """The others who are not dead; files of the dead are removed.

        Raises:
            OSError: they cannot be looked at.
        """
        found: list[tuple[str, State, Holder | None]] = []
        for name in self.names():
            if name == mine:
                continue
            state, holder = self._look(name)
            if state == "dead":
                self.remove(name)
            else:
                found.append((name, state, holder))
        return found

    def newest(self) -> Holder | None:
        """Who was the last to say that it is alive."""
        found = []
        for name in self.names():
            with suppress(OSError):
                mark, holder = self._read(name)
                if mark is not None:
                    found.append((mark, name, holder))
        return max(found)[2] if found else None

    def _look(self, name: str) -> tuple[State, Holder | None]:
        if self._kernel and name.startswith(f"{self._prefix}flock-"):
            return "dead", None
        mark, holder = self._read(name)
        if mark is None:
            return "dead", None
        alive = None if holder is None else holder.alive
        if alive is not None:
            return ("alive" if alive else "dead"), holder
        now = time.monotonic()
        known = self._seen.get(name)
        if known is None or known[0] != mark:
            self._seen[name] = known = (mark, now, known is not None)
        _, since, moved = known
        return ("dead" if now - since >= STILL else "alive" if moved else "unknown"), holder

    def _read(self, name: str) -> tuple[tuple[int, int] | None, Holder | None]:
        """When a file was touched and how long it is, and what it says; None where it is gone."""
        try:
            # Opening it makes a network file system ask for what is true now.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._folder)
        except FileNotFoundError:
            return None, None
        except PermissionError:
            seen = os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            return (seen.st_mtime_ns, seen.st_size), None
        try:
            seen, text = os.fstat(file), os.read(file, _MOST)
        finally:
            os.close(file)
        return (seen.st_mtime_ns, seen.st_size), _holder_of(text)

    def write(self, name: str, holder: Holder) -> None:
        """Put a file there that says who holds the lock.

        Raises:
            OSError: it cannot be made; one that says nothing for want of room is a lock all the same.
        """
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(name, flags, 0o666, dir_fd=self._folder)
        try:
            with suppress(OSError):
                os.write(file, json.dumps(asdict(holder)).encode())
        finally:
            os.close(file)

    def remove(self, name: str) -> None:
        """Take a file away."""
        with suppress(OSError):
            os.unlink(name, dir_fd=self._folder)

    def touch(self, name: str) -> None:
        """Say that its holder is alive.

        Raises:
            FileNotFoundError: somebody took it for dead.
        """
        os.utime(name, dir_fd=self._folder, follow_symlinks=False)


def take(files: Files, holder: Holder, *, until: float, pause: Callable[[float], object] = time.sleep) -> str:
    """Hold a lock, once nobody else is alive who does; returns the name of the file that says so.

    Whether the others are alive is found out first, however little time there is.

    Args:
        files: those of the lock.
        holder: what the file is to say.
        until: when to give up where they are, on the clock that only goes forward.
        pause: waits for so many seconds, and may raise.

    Raises:
        HeldError: somebody else holds it.
        OSError: the folder cannot be read or written.
    """
    while True:
        while others := files.others(""):
            if time.monotonic() >= until and all(state == "alive" for _, state, _ in others):
                raise HeldError(others[0][2])
            pause(_LOOK_EVERY)
        mine = files.new()
        try:
            files.write(mine, holder)
            if _stays(files, mine, pause):
                return mine
        except BaseException:
            files.remove(mine)
            raise
        # The next look finds who was faster, unless that one has stepped back as well.
        files.remove(mine)
        pause(_LOOK_EVERY)


def _stays(files: Files, mine: str, pause: Callable[[float], object]) -> bool:
    """Whether the lock is held by the file that was just put there: those that came later have stepped back."""
    until = time.monotonic() + _GRACE
    while others := files.others(mine):
        if others[0][0] < mine or time.monotonic() >= until:
            return False
        pause(_LOOK_EVERY)
    try:
        # Who stood still meanwhile may have been taken for dead.
        files.touch(mine)
    except FileNotFoundError:
        return False
    return True


@contextmanager
def kept(files: Files, mine: str, on_lost: Callable[[], None]) -> Iterator[None]:
    """Show that the holder is alive, and take its file away at the end.

    Args:
        files: those of the lock.
        mine: the holder's own.
        on_lost: told, from another thread, that somebody took the holder for dead.
    """
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT):
            try:
                files.touch(mine)
            except FileNotFoundError:
                on_lost()
                return
            except OSError:
                continue

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    try:
        thread.start()
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()
        files.remove(mine)
