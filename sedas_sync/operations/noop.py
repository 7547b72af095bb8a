"""The shortest way to see that a mirror holds all that its lock names.

A locked run that ended well leaves a stamp in the index: a digest of the manifest, the files it names and the lock. As
long as all of these are the same bytes, and every file that the index remembers has the size and time it had, the next
locked run has nothing to do, and neither the manifest's rules nor the lock's lines have to be looked at to know it.
Writing or forgetting any file in the index takes the stamp away. Wherever anything is otherwise, the answer is None,
and the long way finds out what.

A job that runs every few minutes comes here most of the time, and most of that time would be imports: this module does
without those that take more than a few milliseconds, the package's own among them.
"""

import fcntl
import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from sedas_sync._version import __version__
from sedas_sync.errors import SedasSyncError
from sedas_sync.files.safe_tree import STATE
from sedas_sync.files.tree_listing import TreeEntry, untouched
from sedas_sync.state import connection, queries
from sedas_sync.state.owner import is_owner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sedas_sync.model.events import Event

_HARMLESS = frozenset({"--locked", "--json", "--no-progress", "--no-wait", "-q", "--quiet"})
"""Options of `apply` that change nothing of what there is to do."""


class Made:
    """What a locked run is made from."""

    __slots__ = ("digest", "manifest", "root")

    def __init__(self, manifest: str, root: str, digest: str) -> None:
        self.manifest = manifest
        self.root = root
        """The mirror's folder."""
        self.digest = digest
        """The same exactly if the manifest, the files it names and the lock are."""


class Told:
    """A locked run for which nothing was to be done, as the events of any run tell of it."""

    __slots__ = ("began", "ended", "start", "summary")

    def __init__(self, made: Made, kept: int, began: datetime, ended: datetime) -> None:
        self.began, self.ended = began, ended
        space = os.statvfs(made.root)
        self.start: dict[str, object] = {
            "event": "start", "time": _iso(began), "manifest": made.manifest, "mirror": made.root,
            "todo": {"keep": kept} if kept else {}, "bytes": 0, "free": space.f_bavail * space.f_frsize,
        }  # fmt: skip
        self.summary: dict[str, object] = {
            "event": "summary", "time": _iso(ended), "fetched": 0, "kept": kept, "adopted": 0, "ordered": 0,
            "pending": 0, "skipped": 0, "pruned": 0, "failed": 0, "warnings": 0, "bytes": 0,
            "seconds": round((ended - began).total_seconds(), 3), "failures": [], "exit_code": 0,
        }  # fmt: skip

    def events(self) -> "tuple[Event, Event]":
        """The same as typed objects."""
        from sedas_sync.model.events import Started, Summary  # noqa: PLC0415  # see the module's docstring

        start: Any = {**self.start, "time": self.began}
        summary: Any = {**self.summary, "time": self.ended, "failures": ()}
        del start["event"], summary["event"]
        return Started(**start), Summary(**summary)


def is_plain(arguments: list[str]) -> str | None:
    """The manifest of a command line that is no more than `apply --locked`; None for any other."""
    if arguments[:1] != ["apply"] or "--locked" not in arguments:
        return None
    rest = [word for word in arguments[1:] if word not in _HARMLESS]
    if len(rest) > 1 or any(word.startswith("-") for word in rest):
        return None
    return rest[0] if rest else "manifest.toml"


def made_from(manifest: str) -> Made | None:
    """Read what a locked run is made from; None where that cannot be read."""
    import tomli  # noqa: PLC0415  # the package is imported for one command out of many

    folder = os.path.dirname(manifest)  # noqa: PTH120  # pathlib is one of the imports that take too long
    try:
        content = _read(manifest)
        tree = tomli.loads(content.decode().removeprefix("\ufeff"))
        parts = [__version__.encode(), content, _read(beside(manifest))]
        for table in tree.get("aoi", {}).values():
            if "file" in table:
                parts += _stems(os.path.join(folder, table["file"]))  # noqa: PTH118  # as above
        path = tree.get("mirror", {}).get("path", "scenes")
        root = os.path.realpath(os.path.join(folder, path.strip()))  # noqa: PTH118  # as above
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return Made(manifest, root, whole.hexdigest())


def beside(manifest: str) -> str:
    """The lock of a manifest, as `sedas_sync.operations.lock_file.lock_path` has it."""
    return os.path.splitext(manifest)[0] + ".lock"  # noqa: PTH122  # as above


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123  # as above
        return file.read()


def _stems(path: str) -> list[bytes]:
    """The contents of all files that share a file's stem: a shapefile is several of them."""
    folder, name = os.path.split(path)
    stem = os.path.splitext(name)[0]  # noqa: PTH122  # as above
    beside = sorted(other for other in os.listdir(folder or ".") if os.path.splitext(other)[0] == stem)  # noqa: PTH122, PTH208  # as above
    return [_read(os.path.join(folder, other)) for other in beside]  # noqa: PTH118  # as above


def nothing_to_do(manifest: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Told | None:
    """Carry out a locked run for which nothing is to be done, if it is plain that this is one.

    Args:
        manifest: the manifest's file.
        now: gives the present instant, UTC.

    Returns:
        What a run tells of; None where the long way has to be gone, whatever the reason.
    """
    began = now()
    made = made_from(manifest)
    if made is None:
        return None
    try:
        lock = _lock(made.root)
    except (OSError, SedasSyncError):
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if any(name.startswith(f"{connection.LOCK}.") for name in os.listdir(f"{made.root}/{STATE}")):  # noqa: PTH208  # as above
            return None  # somebody holds the mirror without the kernel's help, or was killed
        return _look(made, began, now)
    except (OSError, ValueError, sqlite3.Error, SedasSyncError):
        return None
    finally:
        os.close(lock)


def _lock(root: str) -> int:
    """Open what `sedas_sync.state.process_lock` locks, of a mirror that has an index."""
    state = connection.open_state_folder(root)
    try:
        os.stat(connection.INDEX, dir_fd=state, follow_symlinks=False)
        return os.open(connection.LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=state)
    finally:
        os.close(state)


def _look(made: Made, began: datetime, now: Callable[[], datetime]) -> Told | None:
    db = connection.connect(made.root, "rw", timeout=30)
    try:
        if queries.format_of(db) != queries.FORMAT:
            return None
        kept = queries.stamped_scenes(queries.meta(db, "stamp"), made.digest)
        owner = queries.meta(db, "manifest")
        if kept is None or not is_owner(owner, made.manifest, made.root):
            return None
        if not _as_remembered(made.root, queries.recorded_files(db)):
            return None
        queries.set_durability(db)
        number = queries.begin_run(db, "apply", began)
        told = Told(made, kept, began, now())
        queries.end_run(db, number, told.ended, 0, told.summary)
        return told
    finally:
        db.close()


def _as_remembered(root: str, places: Iterable[queries.FileRow]) -> bool:
    """Whether every file has the size and time that the index remembers, and no folder on the way is a link."""
    look = os.lstat
    folders: set[str] = set()
    for file in places:
        try:
            entry = TreeEntry.of(file.path, look(f"{root}/{file.path}"))
        except OSError:
            return False
        if not untouched(entry, file):
            return False
        if "/" in file.path:
            folders.add(file.path.rpartition("/")[0])
    ways = {name[:end] for name in folders for end in (*_slashes(name), len(name))}
    return all(stat.S_ISDIR(look(f"{root}/{way}").st_mode) for way in ways)


def _slashes(path: str) -> list[int]:
    return [place for place, sign in enumerate(path) if sign == "/"]


def _iso(moment: datetime) -> str:
    """As `sedas_sync.model.events.iso`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
