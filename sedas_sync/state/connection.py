"""Open the SQLite file of a mirror's index without following symbolic links. Imports little."""

import os
import sqlite3
import stat
from contextlib import suppress

from sedas_sync.errors import ManifestError
from sedas_sync.files.safe_tree import STATE

INDEX, LOCK, ORDERS = "index.db", "apply.lock", "orders.jsonl"
"""Names in the state folder: the index, the file that a run locks, the order journal."""
SQLITE_SUFFIXES = ("-wal", "-shm", "-journal")
"""Suffixes of the files that SQLite creates next to the index."""


def open_state_folder(root: str) -> int:
    """Open the state folder of a mirror; the caller closes the descriptor.

    Raises:
        ManifestError: It is a symbolic link or not a folder.
        FileNotFoundError: It does not exist.
        OSError: It cannot be opened.
    """
    path = f"{root}/{STATE}"
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        mode = os.stat(path, follow_symlinks=False).st_mode  # noqa: PTH116  # pathlib takes long to import
        raise _wrong_kind(path, "folder", mode) from None


def connect(
    root: str,
    mode: str,
    options: str = "",
    *,
    timeout: float,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """Open a mirror's index, but nothing through a symbolic link.

    SQLite takes a path and follows links in it. So this function opens the state folder first and checks each file that
    SQLite may open there. Afterwards it compares the file that SQLite has opened with the one in that folder.

    Args:
        root: The mirror's folder.
        mode: `rw` or `ro`, as in SQLite's URIs; `rwc` creates a missing index.
        options: Further parameters of that URI, each after a `&`.
        timeout: Seconds to wait for a lock of SQLite.
        factory: The class of the connection.

    Raises:
        ManifestError: The folder or one of the files is a symbolic link or of another kind.
        FileNotFoundError: There is no index.
        OSError: It cannot be read or created.
        sqlite3.Error: SQLite cannot open it.
    """
    path = f"{os.path.abspath(root)}/{STATE}/{INDEX}"  # noqa: PTH100  # as above
    state = open_state_folder(root)
    try:
        if mode == "rwc":
            mode = "rw"
            # SQLite would create it writable for its owner alone. The files next to it get the index's permissions.
            with suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(INDEX, flags, 0o666, dir_fd=state))
        expected = _stat_regular(state, path)
        for suffix in SQLITE_SUFFIXES:
            with suppress(FileNotFoundError):
                _stat_regular(state, path + suffix)
        quoted = path.lstrip("/").replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        db = sqlite3.connect(
            f"file:///{quoted}?mode={mode}{options}", uri=True, isolation_level=None, check_same_thread=False,
            timeout=timeout, factory=factory,
        )  # fmt: skip
        try:
            db.text_factory = os.fsdecode
            ((_, _, opened),) = sqlite3.Connection.execute(db, "PRAGMA database_list")
            db.text_factory = str
            if not os.path.samestat(expected, os.stat(opened, follow_symlinks=False)):  # noqa: PTH116  # as above
                raise ManifestError(  # noqa: TRY301  # one of several reasons to close it
                    f"{path}: was replaced while it was opened; run the same command again"
                )
        except BaseException:
            db.close()
            raise
        return db
    finally:
        os.close(state)


def _stat_regular(state: int, path: str) -> os.stat_result:
    found = os.stat(path.rpartition("/")[2], dir_fd=state, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise _wrong_kind(path, "regular file", found.st_mode)
    return found


def _wrong_kind(path: str, kind: str, mode: int) -> ManifestError:
    what = "is a symbolic link" if stat.S_ISLNK(mode) else f"is not a {kind}"
    return ManifestError(f"{path}: {what}, so it is not used; move it away and run the command again")
