"""What the index and the quick look of a locked run both say to its SQLite file; imports next to nothing."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from itertools import chain

STATE = ".sedas-sync"
"""The folder of a mirror that is the mirror's own."""
INDEX, LOCK, NOTE = "index.db", "apply.lock", "order.note"
"""Its files: the index, what is locked, an order that is being placed."""
SCHEMA = 2
"""The format of the index that this version writes."""


def tune(db: sqlite3.Connection) -> None:
    """Set how carefully is written."""
    db.execute("PRAGMA journal_mode = WAL")
    # A file's row may be lost with the power: the folder knows better. Orders are committed with more care.
    db.execute("PRAGMA synchronous = NORMAL")


def untouched(size: int, mtime_ns: int, remembered: tuple[int, int], *, is_file: bool) -> bool:
    """Whether what stands at a path is, without a look at its bytes, the file that is remembered with size and time."""
    return is_file and (size, mtime_ns) == remembered


def format_of(db: sqlite3.Connection) -> int:
    """The format that an index was written in."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def meta(db: sqlite3.Connection, key: str) -> str | None:
    """What is remembered under a key: `manifest` is who the mirror belongs to, `stamp` what a locked run has found."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def stamped(db: sqlite3.Connection, digest: str) -> int | None:
    """How many scenes are held of the lock with this stamp; None where that is not known."""
    return scenes_of(meta(db, "stamp") or " ", digest)


def scenes_of(stamp: str, digest: str) -> int | None:
    """How many scenes a stamp is for; None where it is another lock's."""
    known, _, scenes = stamp.partition(" ")
    return int(scenes) if known == digest else None


def places(db: sqlite3.Connection) -> Iterator[tuple[str, int, int]]:
    """Path, size and time in nanoseconds of every file that is remembered."""
    plain = db.execute("SELECT path, size, mtime_ns FROM files WHERE parts IS NULL")
    folders = db.execute("SELECT path, parts FROM files WHERE parts IS NOT NULL").fetchall()
    if not folders:
        return plain
    # The files of a folder begin with their name, size and time.
    return chain(
        plain, ((f"{path}/{part[0]}", part[1], part[2]) for path, parts in folders for part in json.loads(parts))
    )


def begin_run(db: sqlite3.Connection, command: str, now: datetime) -> int:
    """Note that a run begins; returns its number."""
    cursor = db.execute("INSERT INTO runs (command, started) VALUES (?, ?)", (command, now.isoformat()))
    return int(cursor.lastrowid or 0)


def end_run(db: sqlite3.Connection, number: int, now: datetime, exit_code: int, summary: dict[str, object]) -> None:
    """Note how a run ended."""
    db.execute(
        "UPDATE runs SET ended = ?, exit_code = ?, summary = ? WHERE number = ?",
        (now.isoformat(), exit_code, json.dumps(summary), number),
    )
