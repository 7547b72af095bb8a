"""Statements that the index and the shortcut of locked runs (`sedas_sync.operations.noop`) share. Imports little."""

import json
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import NamedTuple

FORMAT = 3
"""The format of the index that this version writes, as SQLite's `user_version`."""


def format_of(db: sqlite3.Connection) -> int:
    """Return the format that an index was written in."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def set_durability(db: sqlite3.Connection) -> None:
    """Let SQLite skip some flushes: a power cut may lose the last rows, and the folder still has the files."""
    db.execute("PRAGMA synchronous = NORMAL")


def meta(db: sqlite3.Connection, key: str) -> str | None:
    """Return a value of the table `meta`: `manifest` is the mirror's owner, `stamp` the result of a locked run."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def stamped_scenes(stamp: str | None, digest: str) -> int | None:
    """Return how many scenes a stamp counts; None if it belongs to another lock file or there is none."""
    known, _, scenes = (stamp or "").partition(" ")
    return int(scenes) if known == digest else None


class FileRow(NamedTuple):
    """A file of the index."""

    path: str
    size: int
    mtime_ns: int


def recorded_files(db: sqlite3.Connection) -> Iterator[FileRow]:
    """Yield every file of the index."""
    return map(FileRow._make, _recorded_files(db))


def _recorded_files(db: sqlite3.Connection) -> Iterator[tuple[str, int, int]]:
    plain = db.execute("SELECT path, size, mtime_ns FROM files WHERE parts IS NULL")
    folders = db.execute("SELECT path, parts FROM files WHERE parts IS NOT NULL").fetchall()
    if not folders:
        return plain
    # Each file of a folder is a list that begins with its name, size and mtime.
    return chain(
        plain, ((f"{path}/{part[0]}", part[1], part[2]) for path, parts in folders for part in json.loads(parts))
    )


def begin_run(db: sqlite3.Connection, command: str, now: datetime) -> int:
    """Record that a run begins; return its number."""
    cursor = db.execute("INSERT INTO runs (command, started) VALUES (?, ?)", (command, now.isoformat()))
    return int(cursor.lastrowid or 0)


def end_run(db: sqlite3.Connection, number: int, now: datetime, exit_code: int, summary: dict[str, object]) -> None:
    """Record how a run ended."""
    db.execute(
        "UPDATE runs SET ended = ?, exit_code = ?, summary = ? WHERE number = ?",
        (now.isoformat(), exit_code, json.dumps(summary), number),
    )
