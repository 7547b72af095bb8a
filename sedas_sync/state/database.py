"""The SQLite file of the index: its tables, how it is opened, and SQLite's errors in words.

The index is a cache. `open_for_writing` and `open_for_reading` raise `IndexDamagedError` for a file that is damaged or
of an older format; `sedas_sync.state.mirror_state` then sets it aside and starts a new one.
"""

import fcntl
import mmap
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import cast

from sedas_sync.errors import DISK_FULL, ManifestError, SedasSyncError, TransferError, is_disk_full
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.state.connection import INDEX, connect
from sedas_sync.state.soft_lock import NO_LOCKS

FORMAT = 6
"""The format of the index that this version writes, as SQLite's `user_version`."""
_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
  id TEXT PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  sha256 TEXT, level TEXT NOT NULL, archive TEXT NOT NULL, digest TEXT, facts TEXT NOT NULL,
  recorded TEXT NOT NULL, parts TEXT, packed TEXT
);
CREATE INDEX folders ON files (id) WHERE parts IS NOT NULL;
CREATE TABLE errors (id TEXT PRIMARY KEY, error TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE runs (
  number INTEGER PRIMARY KEY, command TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, exit_code INTEGER, summary TEXT
);
CREATE TABLE seen (id TEXT PRIMARY KEY, first TEXT NOT NULL, last TEXT, state TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX left ON seen (last) WHERE last IS NOT NULL;
CREATE TABLE changes (
  number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE wanted (dataset TEXT PRIMARY KEY, ids TEXT NOT NULL, rules TEXT, asked TEXT) WITHOUT ROWID;
CREATE TABLE absent (id TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
"""


class IndexDamagedError(SedasSyncError):
    """The index is damaged or of an older format; it can be rebuilt from the folder."""


class IndexUnwritableError(SedasSyncError):
    """The index cannot be written: a full disk, a read-only file system. What it has is not lost."""

    def __init__(self, message: str, *, disk_full: bool = False) -> None:
        super().__init__(message)
        self.disk_full = disk_full


_REASONS = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
}
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR})
"""SQLite's codes for a file that is not an index; SQLITE_ERROR if a table is missing."""
_PERHAPS_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""SQLite's codes if a file next to the index does not fit on the disk."""
_SQLITE_NEEDS = 65536
"""Bytes that SQLite may need at once for the files next to the index."""


class _IndexConnection(sqlite3.Connection):
    """A connection whose errors are `IndexDamagedError` and `IndexUnwritableError`."""

    path: Path = Path()

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]
        with errors_in_words(self.path):
            return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Sequence[object]], /) -> sqlite3.Cursor:  # type: ignore[override]
        with errors_in_words(self.path):
            return super().executemany(sql, parameters)

    def executescript(self, sql_script: str, /) -> sqlite3.Cursor:
        with errors_in_words(self.path):
            return super().executescript(sql_script)


@contextmanager
def errors_in_words(path: Path) -> Iterator[None]:
    """Translate SQLite's errors about an index.

    Raises:
        IndexDamagedError: The file is not an index.
        IndexUnwritableError: It cannot be written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The lowest byte is the kind of error, the bytes above refine it.
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        reason = _REASONS.get(kind)
        if reason is None and (kind not in _DAMAGED or isinstance(error, sqlite3.ProgrammingError)):
            raise
        if reason is None:
            raise IndexDamagedError(f"{path}: the index is damaged: {error}") from error
        if kind in _PERHAPS_FULL and _disk_is_full(path):
            reason = DISK_FULL
        elif kind == sqlite3.SQLITE_READONLY:
            reason += _owner_hint(path)
        message = f"{path}: the mirror's index cannot be written: {reason}"
        raise IndexUnwritableError(message, disk_full=reason == DISK_FULL) from error


def _disk_is_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _SQLITE_NEEDS or not space.f_favail


def open_for_writing(root: Path) -> sqlite3.Connection:
    """Open the index, and create it if it is missing; the caller holds the mirror's lock.

    Raises:
        ManifestError: It was written by a newer version, or is a symbolic link.
        IndexDamagedError: It is damaged, or of an older format.
        IndexUnwritableError: It cannot be written.
    """
    path = root / STATE / INDEX
    locks, maps = _supported(root)
    with errors_in_words(path):
        try:
            # If the file system has no locks, the mirror's own lock must do.
            options = "" if locks else "&vfs=unix-none"
            db = cast("_IndexConnection", connect(str(root), "rwc", options, timeout=30, factory=_IndexConnection))
        except OSError as error:
            raise cannot_write(root, error) from error
        db.path = path
        try:
            if locks and maps:
                db.execute("PRAGMA journal_mode = WAL")
            else:
                _leave_wal(db)
            # SQLite may skip some flushes: a power cut may lose the last rows, and the folder still has the files.
            db.execute("PRAGMA synchronous = NORMAL")
            if not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
            _check(db, path)
        except BaseException:
            db.close()
            raise
        return db


def open_for_reading(root: Path, *, check: bool = True) -> sqlite3.Connection | None:
    """Open the index; return None if there is none.

    Args:
        root: The mirror's folder.
        check: Look for damage, which reads the whole file.

    Raises:
        ManifestError: It was written by a newer version, or is a symbolic link.
        IndexDamagedError: It is damaged, or of an older format.
        SedasSyncError: It cannot be read.
    """
    path = root / STATE / INDEX
    last: sqlite3.OperationalError | None = None
    with errors_in_words(path):
        for options in _ways_to_read(root):
            try:
                db = connect(str(root), "ro", options, timeout=30)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise SedasSyncError(f"{path}: the mirror's index cannot be read: {error.strerror}") from error
            try:
                if not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                    # A run has created the file and not yet its tables.
                    db.close()
                    return None
                _check(db, path, whole=check)
                return db
            except sqlite3.OperationalError as error:
                db.close()
                last = error
            except BaseException:
                db.close()
                raise
        raise last if last is not None else AssertionError


def _check(db: sqlite3.Connection, path: Path, *, whole: bool = True) -> None:
    """Check the format of an index, and with `whole` that no page of it is damaged.

    Raises:
        ManifestError: The format is newer than this version knows.
        IndexDamagedError: The format is older, or a page is damaged.
    """
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise ManifestError(
            f"{path}: written by a newer sedas-sync (index format {version}, this program reads {FORMAT}); "
            "update sedas-sync to work on this mirror"
        )
    if version < FORMAT:
        raise IndexDamagedError(f"{path}: the index was written by an older sedas-sync (index format {version})")
    # A quarter of a second for 100,000 scenes.
    if whole and (problem := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise IndexDamagedError(f"{path}: the index is damaged: {problem.splitlines()[-1]}")


def _supported(root: Path) -> tuple[bool, bool]:
    """Return whether files next to the index can be locked and mapped into memory; SQLite's log (WAL) needs both.

    9p (`/mnt/c` of WSL) and some virtiofs cannot map, Lustre without its option `flock` cannot lock. If this cannot be
    tried, the answer is yes, and SQLite reports what is wrong.
    """
    name = f"{STATE}/probe-{secrets.token_hex(8)}"
    try:
        file = safe_tree.open_file(str(root), name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except (OSError, TransferError):
        return True, True
    try:
        safe_tree.drop(str(root), name)
        os.ftruncate(file, mmap.PAGESIZE)
        locks = maps = True
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            locks = error.errno not in NO_LOCKS
        try:
            mmap.mmap(file, mmap.PAGESIZE).close()
        except OSError:
            maps = False
        return locks, maps
    except (OSError, TransferError):
        return True, True
    finally:
        os.close(file)


def _leave_wal(db: sqlite3.Connection) -> None:
    """Write in place with a rollback journal; rows in an existing log (WAL) are moved into the index."""
    # With exclusive locking SQLite keeps in its own memory what it otherwise shares.
    for statement in ("locking_mode = EXCLUSIVE", "journal_mode = DELETE", "locking_mode = NORMAL"):
        db.execute(f"PRAGMA {statement}")
    # Only the next read releases the exclusive lock.
    db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


def _ways_to_read(root: Path) -> Iterator[str]:
    """Yield options with which an index may be opened for reading, the best first."""
    yield ""
    if _supported(root) == (True, False):
        # A log (WAL) written on another machine must be moved into the index before it can be read here.
        with suppress(sqlite3.Error, OSError), closing(connect(str(root), "rw", timeout=30)) as db:
            _leave_wal(db)
        yield ""
    # A read-only folder cannot take the files that SQLite shares between readers. No process can write there either,
    # which is what `immutable` promises.
    yield "&immutable=1"


def cannot_write(place: Path, error: OSError) -> SedasSyncError:
    """Return the error for a mirror that cannot be created or written; a full disk is not the manifest's mistake."""
    if is_disk_full(error):
        return IndexUnwritableError(f"{place}: the mirror cannot be written: {DISK_FULL}", disk_full=True)
    hint = _owner_hint(place) if isinstance(error, PermissionError) else ""
    return ManifestError(f"{place}: the mirror cannot be written ([mirror] path): {error.strerror}{hint}")


def _owner_hint(place: Path) -> str:
    """Return who owns a file that this user may not write and what to do; empty if this user owns it."""
    try:
        owner = place.lstat().st_uid
    except OSError:
        return ""
    if owner == os.geteuid():
        return ""
    name = safe_tree.user(owner)
    return (
        f"; it belongs to the user {name}: run this command as {name}, or ask {name} to let the group write "
        f"(umask 002 from now on, and chmod -R g+w {STATE})"
    )
