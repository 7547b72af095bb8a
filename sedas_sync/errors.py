"""The errors that this package raises.

::

    SedasSyncError              exit code 1
    ├── ManifestError           2   the manifest, a file it names, or the command line is wrong
    │   └── LockMismatch        2   the manifest or the mirror changed since the lock file or plan was made
    ├── AuthenticationError     4   the archive refused the credentials, or there are none
    ├── ArchiveError            1   the archive's API failed or gave an invalid answer
    │   ├── IncompleteSearch    1   a search cannot be proved to be complete
    │   └── StoppedError        130 the caller stopped what was running
    ├── TransferError           1   the bytes of a scene did not arrive
    ├── IntegrityError          1   the bytes arrived, but are wrong
    └── MirrorLocked            5   another process is at work in the mirror

Callers use two attributes: `retryable` (is a retry useful?) and `exit_code` (of the process). Every class can be
pickled, because workers may be other processes.
"""

import errno
from collections.abc import Sequence
from typing import Any

TOO_LITTLE = (
    "the system gives too little memory, or too few threads: raise the limit (`ulimit -v`, `ulimit -u`, a container's, "
    "a job's), or try `--jobs 1`"
)


DISK_FULL = "the disk is full; free some space and run the same command again, everything so far is kept"
"""The message for a full disk."""


class SedasSyncError(Exception):
    """Base class; the message is written for the user.

    Example:
        import sys

        import sedas_sync as ss

        try:
            with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
                mirror.sync().raise_for_failures()
        except ss.SedasSyncError as error:
            print(error, file=sys.stderr)
            sys.exit(error.exit_code)
    """

    exit_code: int = 1
    """Exit code of the process."""
    retryable: bool = False
    """Whether a retry may succeed."""
    disk_full: bool = False
    """Whether the disk of the mirror is full."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[SedasSyncError], args: tuple[Any, ...], state: dict[str, Any]) -> SedasSyncError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ManifestError(SedasSyncError):
    """The manifest, a file it names, or the command line is wrong; nothing was changed.

    `problems` has one sentence per mistake, with the file and the dotted path.

    Example:
        import sedas_sync as ss

        try:
            ss.parse_manifest({"version": 1, "dataset": {"radar": {"senser": "sar"}}})
        except ss.ManifestError as error:
            for problem in error.problems:
                print(problem)
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class LockMismatch(ManifestError):
    """A lock file or a saved plan does not match the manifest or the mirror; `problems` lists the differences.

    `hint` says what to do.
    """

    def __init__(self, problems: str | Sequence[str], *, hint: str = "") -> None:
        super().__init__(problems)
        self.hint = hint


class AuthenticationError(SedasSyncError):
    """The archive refused the credentials, or there are none.

    `forbidden`: the archive accepted the credentials but refused this request; others may succeed.

    Example:
        import sedas_sync as ss

        try:
            with ss.SedasArchive(username="nobody", password="wrong") as sedas:
                sedas.log_in()
        except ss.AuthenticationError as error:
            print(error)
    """

    exit_code = 4

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


class ArchiveError(SedasSyncError):
    """The archive's API failed, or gave an invalid answer.

    `status` is the HTTP status if there was one, `retry_after` the seconds that the server asked to wait.

    Example:
        import sedas_sync as ss

        with ss.SedasArchive.from_env() as sedas:
            try:
                sedas.product("NO_SUCH_SCENE")
            except ss.ArchiveError as error:
                print(error, error.status)
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after


class IncompleteSearch(ArchiveError):
    """A search ended without proof that every match was found. The matches found were yielded before.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            try:
                mirror.plan().raise_if_incomplete()
            except ss.IncompleteSearch as error:
                print("some scenes may be missing:", error)
    """


class StoppedError(ArchiveError):
    """The caller stopped an operation, an archive or a mirror before the work was done.

    Example:
        import threading

        import sedas_sync as ss

        stop = threading.Event()
        stop.set()  # for example by a button, in another thread
        with ss.SedasArchive.from_env() as sedas:
            scene = sedas.product("S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F")
            try:
                list(ss.fetch([scene], "out", archive=sedas, stop=stop))
            except ss.StoppedError as error:
                print(error)
    """

    exit_code = 130


class TransferError(SedasSyncError):
    """The bytes of a scene did not arrive.

    `status` is the HTTP status if there was one. `relocate`: the link or the token was refused, and a new one may
    succeed. `fatal`: every other scene would fail too (the disk is full).

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            try:
                mirror.sync().raise_for_failures()
            except ss.TransferError as error:
                print("run it again later:", error)
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        relocate: bool = False,
        fatal: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.relocate = relocate
        self.fatal = fatal


class IntegrityError(SedasSyncError):
    """The bytes arrived, but are wrong: another length or checksum, or a damaged zip."""


class MirrorLocked(SedasSyncError):
    """Another process is at work in this mirror; the message names it.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as one, ss.Mirror(one.manifest) as other:
            with one.locked():
                try:
                    other.sync()  # with `lock_timeout=60`, it waits for a minute
                except ss.MirrorLocked as error:
                    print(error)
    """

    exit_code = 5


def is_disk_full(error: OSError) -> bool:
    """Return whether the disk, or the user's share of it, has no room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_too_little(error: BaseException) -> bool:
    """Return whether the system refused memory or a thread."""
    if isinstance(error, ImportError):
        return "failed to map segment" in str(error) or "Cannot allocate memory" in str(error)
    if isinstance(error, SystemError):
        # The import machinery of CPython may lose the error that it had no memory for.
        return str(error).startswith("error return without exception set")
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and str(error).startswith(("can't start new thread", "can't allocate lock"))
    )


def sentence(error: BaseException | None) -> str:
    """Return the message of an error for the user; an unexpected error has its type in it."""
    if error is None or isinstance(error, SedasSyncError):
        return str(error)
    if isinstance(error, OSError):
        return str(error)
    if is_too_little(error):
        return TOO_LITTLE
    return f"unexpected {type(error).__name__}: {error}"
