"""SQL statements of the index."""

import json
import sqlite3
from datetime import datetime

FORMAT = 4
"""The format of the index that this version writes, as SQLite's `user_version`."""


def format_of(db: sqlite3.Connection) -> int:
    """Return the format that an index was written in."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def set_durability(db: sqlite3.Connection) -> None:
    """Let SQLite skip some flushes: a power cut may lose the last rows, and the folder still has the files."""
    db.execute("PRAGMA synchronous = NORMAL")


def meta(db: sqlite3.Connection, key: str) -> str | None:
    """Return a value of the table `meta`: `manifest` is the mirror's owner."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


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
