"""What the index and the quick look of a locked run both say to its SQLite file; imports next to nothing."""

import json
import os
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
    # A file's row may be lost with the power: the folder knows better. Orders are committed with more care.
    db.execute("PRAGMA synchronous = NORMAL")


def format_of(db: sqlite3.Connection) -> int:
    """The format that an index was written in."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


def meta(db: sqlite3.Connection, key: str) -> str | None:
    """What is remembered under a key: `manifest` is who the mirror belongs to, `stamp` what a locked run has found."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def named(manifest: str, root: str) -> str:
    """The name by which a mirror remembers its manifest: the path from the mirror to it, links on it not followed.

    What follows a link may be another file tomorrow (`current/manifest.toml`), and is the same manifest all the same.
    The way down from the nearest folder that holds both is kept, so that both can move together.

    Args:
        manifest: its path as it was given.
        root: the mirror's folder, without links.
    """
    path = folder = _as_given(manifest)
    while os.path.commonpath((real := os.path.realpath(folder), root)) != real:
        folder = os.path.dirname(folder)  # noqa: PTH120  # see the module's docstring
    below = os.path.relpath(path, folder)
    return os.path.normpath(os.path.join(os.path.relpath(real, root), below))  # noqa: PTH118  # as above


def resolved(manifest: str, root: str) -> str:
    """The path from the mirror to the file that a manifest is at this moment, which is how it was once remembered."""
    return os.path.relpath(os.path.realpath(manifest), root)


def belongs(owner: str | None, manifest: str, root: str) -> bool:
    """Whether what a mirror remembers is this manifest: by its name, or because it leads to the same file."""
    if owner is None:
        return False
    if owner in (named(manifest, root), resolved(manifest, root)):
        return True
    try:
        return os.path.samefile(os.path.join(root, owner), manifest)  # noqa: PTH118, PTH121  # as above
    except OSError:
        return False


def _as_given(path: str) -> str:
    """A path made absolute, links not followed; the shell knows by which way this folder was entered."""
    here = os.environ.get("PWD", "")
    try:
        if not os.path.isabs(here) or not os.path.samefile(here, "."):  # noqa: PTH117, PTH121  # as above
            here = os.getcwd()  # noqa: PTH109  # as above
        whole = os.path.join(here, path)  # noqa: PTH118  # as above
        plain = os.path.normpath(whole)
        if os.path.samefile(plain, whole):  # noqa: PTH121  # as above
            return plain
    except OSError:
        return os.path.realpath(path)
    # After a link `..` leads elsewhere than it reads.
    return os.path.join(os.path.realpath(os.path.dirname(whole)), os.path.basename(whole))  # noqa: PTH118, PTH119, PTH120  # as above


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
