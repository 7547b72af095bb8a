"""Every error this package raises on purpose.

::

    SedasSyncError              exit code 1
    ├── ManifestError           2   the manifest, a file it names, or the command line is wrong
    │   └── LockMismatch        2   the manifest or the mirror has moved on since the lock or plan was made
    ├── AuthenticationError     4   the archive refused the credentials, or there are none
    ├── ArchiveError            1   the archive's API failed or gave an answer that makes no sense
    │   └── IncompleteSearch    1   a search could not be shown to be complete
    ├── TransferError           1   the bytes of a scene did not arrive
    ├── IntegrityError          1   the bytes arrived and are not the scene
    └── MirrorLocked            5   another process is at work in the mirror

Two questions matter to a caller and are attributes, not subclasses: `retryable` (is another try worth it?) and
`exit_code` (what does the process say?). Every class survives pickling, since workers may live in other processes.
"""

from collections.abc import Sequence
from typing import Any

TOO_LITTLE = (
    "the system gives too little memory, or too few threads: raise the limit (`ulimit -v`, `ulimit -u`, a container's, "
    "a job's), or try `--jobs 1`"
)


DISK_FULL = "the disk is full; free some space and run the same command again, everything so far is kept"
"""What every module says of a full disk."""


class SedasSyncError(Exception):
    """Base of all errors raised on purpose; its message is written for the user."""

    exit_code: int = 1
    """What the process ends with if nothing worse happens."""
    retryable: bool = False
    """Whether the same deed may succeed when it is tried again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(cls: type[SedasSyncError], args: tuple[Any, ...], state: dict[str, Any]) -> SedasSyncError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ManifestError(SedasSyncError):
    """The manifest, a file it names, or the command line is wrong; nothing was touched.

    `problems` holds one finished sentence per mistake, each with file and dotted path.
    """

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class LockMismatch(ManifestError):
    """A lock or a saved plan no longer belongs to the manifest or the mirror; `problems` names each difference.

    `hint` says what to do about it.
    """

    def __init__(self, problems: str | Sequence[str], *, hint: str = "") -> None:
        super().__init__(problems)
        self.hint = hint


class AuthenticationError(SedasSyncError):
    """The archive refused the credentials, or none were found.

    `forbidden` says that it took the credentials and refused this one deed: others may go well.
    """

    exit_code = 4

    def __init__(self, message: str, *, forbidden: bool = False) -> None:
        super().__init__(message)
        self.forbidden = forbidden


class ArchiveError(SedasSyncError):
    """The archive's API failed, or answered something that makes no sense.

    `status` is the HTTP status where there was one, `retry_after` the seconds the server asked to wait.
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
    """A search ended without proof that every match was found. What was found has been yielded before."""


class TransferError(SedasSyncError):
    """The bytes of a scene did not arrive.

    `status` is the HTTP status where there was one. `relocate` says that the link or the token was refused, so that a
    freshly located download may succeed. `fatal` says that no other scene would fare better (the disk is full).
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
    """The bytes arrived, and they are not the scene: wrong length, digest, or a damaged zip."""


class MirrorLocked(SedasSyncError):
    """Another process is at work in this mirror; the message names it."""

    exit_code = 5


def is_too_little(error: BaseException) -> bool:
    """Whether the system gave no memory or no thread."""
    if isinstance(error, ImportError):
        return "failed to map segment" in str(error) or "Cannot allocate memory" in str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and str(error).startswith("can't start new thread")
    )


def sentence(error: BaseException | None) -> str:
    """What to tell of an error; one that nobody foresaw is named with its type."""
    if error is None or isinstance(error, SedasSyncError):
        return str(error)
    if isinstance(error, OSError):
        return str(error)
    if is_too_little(error):
        return TOO_LITTLE
    return f"unexpected {type(error).__name__}: {error}"
