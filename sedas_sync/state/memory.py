"""What the index and the quick look of a locked run both say to its SQLite file; imports next to nothing."""

import json
import os
import sqlite3
import stat
from contextlib import suppress
from datetime import datetime

from sedas_sync.errors import ManifestError
from sedas_sync.files.safe_tree import STATE

INDEX, LOCK, NOTE = "index.db", "apply.lock", "order.note"
"""Its files: the index, what is locked, an order that is being placed."""
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite puts beside an index: the ends of their names."""
SCHEMA = 2
"""The format of the index that this version writes."""


def open_state(root: str) -> int:
    """Open the state folder of a mirror; the caller closes the descriptor.

    Raises:
        ManifestError: it is a symbolic link or no folder.
        FileNotFoundError: there is none.
        OSError: it cannot be opened.
    """
    path = f"{root}/{STATE}"
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError:
        mode = os.stat(path, follow_symlinks=False).st_mode  # noqa: PTH116  # pathlib takes long to import
        raise _not_ours(path, "folder", mode) from None


def connect(
    root: str,
    mode: str,
    options: str = "",
    *,
    timeout: float,
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """Open a mirror's index, and nothing that a symbolic link leads to.

    SQLite is given a path, and follows links in it. So the state folder is opened first, and what SQLite may open in
    it is looked at. At the end the file that SQLite has is compared with the one in that folder. SQLite itself refuses
    links among the files beside the index.

    Args:
        root: the mirror's folder.
        mode: `rw` or `ro`, as in a URI of SQLite; `rwc` makes an index that is not there.
        options: further parameters of that URI, each after a `&`.
        timeout: seconds that a lock of SQLite's is waited for.
        factory: the kind of connection.

    Raises:
        ManifestError: the folder or one of the files is a symbolic link, or of another kind.
        FileNotFoundError: there is no index.
        OSError: it cannot be looked at, or not be made.
        sqlite3.Error: it cannot be opened.
    """
    path = f"{os.path.abspath(root)}/{STATE}/{INDEX}"  # noqa: PTH100  # as above
    state = open_state(root)
    try:
        if mode == "rwc":
            mode = "rw"
            # SQLite would make it for its owner to write alone; what it puts beside it has the index's rights.
            with suppress(FileExistsError):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                os.close(os.open(INDEX, flags, 0o666, dir_fd=state))
        mine = _regular(state, path)
        for end in BESIDE:
            with suppress(FileNotFoundError):
                _regular(state, path + end)
        quoted = path.lstrip("/").replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        db = sqlite3.connect(
            f"file:///{quoted}?mode={mode}{options}", uri=True, isolation_level=None, check_same_thread=False,
            timeout=timeout, factory=factory,
        )  # fmt: skip
        try:
            db.text_factory = os.fsdecode
            ((_, _, opened),) = sqlite3.Connection.execute(db, "PRAGMA database_list")
            db.text_factory = str
            if not os.path.samestat(mine, os.stat(opened, follow_symlinks=False)):  # noqa: PTH116  # as above
                raise ManifestError(  # noqa: TRY301  # one of many reasons to close it
                    f"{path}: was replaced while it was opened; run the same command again"
                )
        except BaseException:
            db.close()
            raise
        return db
    finally:
        os.close(state)


def _regular(state: int, path: str) -> os.stat_result:
    found = os.stat(path.rpartition("/")[2], dir_fd=state, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        raise _not_ours(path, "regular file", found.st_mode)
    return found


def _not_ours(path: str, kind: str, mode: int) -> ManifestError:
    what = "is a symbolic link" if stat.S_ISLNK(mode) else f"is not a {kind}"
    return ManifestError(
        f"{path}: {what}; nothing is read or written through it: take it away and run the command again"
    )


def tune(db: sqlite3.Connection) -> None:
    """Set how carefully is written."""
    # A file's row may be lost with the power: the folder knows better. Orders are committed with more care.
    db.execute("PRAGMA synchronous = NORMAL")


def format_of(db: sqlite3.Connection) -> int:
    """The format that an index was written in."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    return int(version)


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
    return _as_text(os.path.normpath(os.path.join(os.path.relpath(real, root), below)))  # noqa: PTH118  # as above


def _as_text(name: str) -> str:
    """A name as the index can hold it: what is not UTF-8 is written with backslashes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def resolved(manifest: str, root: str) -> str:
    """The path from the mirror to the file that a manifest is at this moment, which is how it was once remembered."""
    return _as_text(os.path.relpath(os.path.realpath(manifest), root))


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
