"""The file of a mirror's index: its tables, opening it for reading or writing, and what is wrong with it in words."""

import errno
import fcntl
import mmap
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from sedas_sync.errors import DISK_FULL, ManifestError, SedasSyncError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.state import memory
from sedas_sync.state.memory import SCHEMA
from sedas_sync.state.soft_lock import NO_LOCKS

_TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE files (
  id TEXT PRIMARY KEY, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  sha256 TEXT NOT NULL, level TEXT NOT NULL, archive TEXT NOT NULL, digest TEXT, facts TEXT NOT NULL,
  recorded TEXT NOT NULL, parts TEXT
);
CREATE INDEX folders ON files (id) WHERE parts IS NOT NULL;
CREATE TABLE orders (
  id TEXT PRIMARY KEY, "order" TEXT NOT NULL, placed TEXT NOT NULL, archive TEXT NOT NULL, state TEXT NOT NULL,
  polls INTEGER NOT NULL, attempts INTEGER NOT NULL, missing INTEGER NOT NULL, download_url TEXT, detail TEXT
);
CREATE TABLE errors (id TEXT PRIMARY KEY, error TEXT NOT NULL, at TEXT NOT NULL);
CREATE TABLE runs (
  number INTEGER PRIMARY KEY, command TEXT NOT NULL, started TEXT NOT NULL, ended TEXT, exit_code INTEGER, summary TEXT
);
CREATE TABLE wanted (dataset TEXT PRIMARY KEY, ids TEXT NOT NULL) WITHOUT ROWID;
"""
_LATER = "CREATE TABLE IF NOT EXISTS awaited (id TEXT PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID"
"""Came after the first indexes were written; whoever does not know it does well without."""

_FROM_1 = """
ALTER TABLE files ADD COLUMN parts TEXT;
CREATE INDEX folders ON files (id) WHERE parts IS NOT NULL;
"""
"""What an index of the first format lacks: the files of scenes that are folders."""


class IndexDamagedError(SedasSyncError):
    """The index file is not a database (any more); it can be rebuilt from the folder."""


class IndexUnwritableError(SedasSyncError):
    """The index cannot be written where it is: a full disk, a file system that is read-only; nothing of it is lost."""


FULL = DISK_FULL
_REASONS = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_IOERR: "the disk does not take it",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_BUSY: "another process keeps it locked",
}
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_ERROR})
"""What SQLite says of a file that is no index: the last one where a table is not there."""
_PERHAPS_FULL = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite says where it is a file beside the index that finds no room."""
_LITTLE = 65536
"""Bytes that SQLite may want at once for the files beside an index."""


class _Connection(sqlite3.Connection):
    """A connection that says in words why something cannot be written, and tells damage from it."""

    place: Path = Path()

    def execute(self, *args: Any) -> sqlite3.Cursor:
        with in_words(self.place):
            return super().execute(*args)

    def executemany(self, *args: Any) -> sqlite3.Cursor:
        with in_words(self.place):
            return super().executemany(*args)

    def executescript(self, *args: Any) -> sqlite3.Cursor:
        with in_words(self.place):
            return super().executescript(*args)


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Say in words what SQLite makes of an index.

    Raises:
        IndexDamagedError: it is none.
        IndexUnwritableError: it cannot be written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        # The lowest byte is the kind of error, what is above it refines it.
        kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        reason = _REASONS.get(kind)
        if reason is None and (kind not in _DAMAGED or isinstance(error, sqlite3.ProgrammingError)):
            raise
        if reason is None:
            raise IndexDamagedError(f"{path}: the index is damaged: {error}") from error
        if kind in _PERHAPS_FULL and _is_full(path):
            reason = FULL
        elif kind == sqlite3.SQLITE_READONLY:
            reason += _whose(path)
        raise IndexUnwritableError(f"{path}: the mirror's index cannot be written: {reason}") from error


def _is_full(path: Path) -> bool:
    try:
        space = os.statvfs(path.parent)
    except OSError:
        return False
    return space.f_bavail * space.f_frsize < _LITTLE or not space.f_favail


def open_for_writing(root: Path) -> sqlite3.Connection:
    """Open an index, created or brought to the present format where need be; the caller holds the mirror's lock.

    Raises:
        ManifestError: it was written by a newer version of this package, or is a symbolic link.
        IndexDamagedError: the file is there and is no index.
        IndexUnwritableError: it cannot be written.
    """
    path = root / STATE / memory.INDEX
    locks, maps = _offered(root)
    with in_words(path):
        try:
            # Where nothing is locked the mirror's own lock has to do.
            options = "" if locks else "&vfs=unix-none"
            db = cast("_Connection", memory.connect(str(root), "rwc", options, timeout=30, factory=_Connection))
        except OSError as error:
            raise cannot_write(root, error) from error
        db.place = path
        try:
            if locks and maps:
                db.execute("PRAGMA journal_mode = WAL")
            else:
                _do_without_wal(db)
            memory.tune(db)
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
            if checked_version(db, path) < SCHEMA:
                db.executescript(f"BEGIN; {_FROM_1} PRAGMA user_version = {SCHEMA}; COMMIT;")
            db.execute(_LATER)
        except BaseException:
            db.close()
            raise
        return db


def _offered(root: Path) -> tuple[bool, bool]:
    """Whether files beside an index can be locked, and mapped into memory: SQLite's log (WAL) takes both.

    9p (`/mnt/c` of WSL) and some virtiofs map none, Lustre without its option `flock` locks none. Where nothing can be
    tried, SQLite finds out itself.
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


def _do_without_wal(db: sqlite3.Connection) -> None:
    """Write in place, with a journal beside; what is in the log of an index that has one is taken over."""
    # Who is alone keeps in its own memory what is else shared.
    for statement in ("locking_mode = EXCLUSIVE", "journal_mode = DELETE", "locking_mode = NORMAL"):
        db.execute(f"PRAGMA {statement}")
    # Only the next look lets go of the lock.
    db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()


def _ways_to_read(root: Path) -> Iterator[str]:
    """Options with which an index may be opened for reading, the best first."""
    yield ""
    if _offered(root) == (True, False):
        # It has a log, from another machine or time: that has to be taken over before it can be read here.
        with suppress(sqlite3.Error, OSError), closing(memory.connect(str(root), "rw", timeout=30)) as db:
            _do_without_wal(db)
        yield ""
    # A folder that cannot be written cannot take the files that SQLite shares between readers; nobody can be
    # writing there either, which is what `immutable` promises.
    yield "&immutable=1"


def open_for_reading(root: Path) -> sqlite3.Connection | None:
    """Open an index; None where there is none.

    Raises:
        ManifestError: it was written by a newer version of this package, or is a symbolic link.
        IndexDamagedError: it is no index.
        SedasSyncError: it cannot be read.
    """
    path = root / STATE / memory.INDEX
    last: sqlite3.OperationalError | None = None
    with in_words(path):
        for options in _ways_to_read(root):
            try:
                db = memory.connect(str(root), "ro", options, timeout=30)
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                raise SedasSyncError(f"{path}: the mirror's index cannot be read: {error.strerror}") from error
            try:
                checked_version(db, path)
                # Reads the schema, which a look at the version does not.
                db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
                return db
            except sqlite3.OperationalError as error:
                db.close()
                last = error
            except BaseException:
                db.close()
                raise
        raise last if last is not None else AssertionError


def checked_version(db: sqlite3.Connection, path: Path) -> int:
    """The format of an index.

    Raises:
        ManifestError: it is a later one than this package knows.
    """
    version = memory.format_of(db)
    if version > SCHEMA:
        raise ManifestError(
            f"{path}: written by a newer sedas-sync (index format {version}, this one knows {SCHEMA}); "
            "update sedas-sync to work on this mirror"
        )
    return version


def cannot_write(place: Path, error: OSError) -> SedasSyncError:
    """What to say of a mirror that cannot be made or written: no mistake of the manifest where the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return IndexUnwritableError(f"{place}: the mirror cannot be written: {FULL}")
    said = _whose(place) if isinstance(error, PermissionError) else ""
    return ManifestError(f"{place}: the mirror cannot be written ([mirror] path): {error.strerror}{said}")


def _whose(place: Path) -> str:
    """Whose a file or folder is that this user may not write, and what to do; nothing where it is this user's."""
    try:
        owner = place.lstat().st_uid
    except OSError:
        return ""
    if owner == os.geteuid():
        return ""
    name = safe_tree.user(owner)
    return (
        f"; it belongs to the user {name}: run this command as {name}, or have {name} let the group write "
        f"(umask 002 from now on, and chmod -R g+w {STATE})"
    )
