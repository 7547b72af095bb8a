"""The shortest way to see that a mirror holds all that its lock names.

A locked run that ended well leaves a stamp in the index: a digest of the manifest, the files it names and the lock. As
long as all of these are the same bytes, and every file that the index remembers has the size and time it had, the next
locked run has nothing to do, and neither the manifest's rules nor the lock's lines have to be looked at to know it.
Writing or forgetting any file in the index takes the stamp away. Wherever anything is otherwise, the answer is None,
and the long way finds out what.
"""

import fcntl
import hashlib
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sedas_sync import __version__, folder
from sedas_sync.errors import SedasSyncError
from sedas_sync.events import Event, Started, Summary
from sedas_sync.index import STATE, Index
from sedas_sync.lockfile import lock_path


@dataclass(frozen=True, slots=True)
class Made:
    """What a locked run is made from."""

    manifest: str
    root: Path
    """The mirror's folder."""
    digest: str
    """The same exactly if the manifest, the files it names and the lock are."""


def made_from(manifest: str) -> Made | None:
    """Read what a locked run is made from; None where that cannot be read."""
    import tomli  # noqa: PLC0415  # the package is imported for one command out of many

    source = Path(manifest)
    try:
        content = source.read_bytes()
        tree = tomli.loads(content.decode().removeprefix("\ufeff"))
        parts = [__version__.encode(), content, lock_path(source).read_bytes()]
        for table in tree.get("aoi", {}).values():
            if "file" in table:
                file = source.parent / table["file"]
                # A shapefile is several files of one stem.
                parts += [part.read_bytes() for part in sorted(file.parent.iterdir()) if part.stem == file.stem]
        path = tree.get("mirror", {}).get("path", "scenes")
        root = Path(os.path.realpath(source.parent / path.strip()))
    except (OSError, ValueError, TypeError, AttributeError, SedasSyncError):
        return None
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return Made(manifest, root, whole.hexdigest())


def nothing_to_do(manifest: str, now: Callable[[], datetime]) -> tuple[Event, ...] | None:
    """Carry out a locked run for which nothing is to be done, if it is plain that this is one.

    Args:
        manifest: the manifest's file.
        now: gives the present instant, UTC.

    Returns:
        What a run tells of; None where the long way has to be gone, whatever the reason.
    """
    began = now()
    made = made_from(manifest)
    if made is None or not (made.root / STATE / "index.db").is_file():
        return None
    try:
        with _lock(made.root), Index(made.root, write=True) as index:
            kept = index.stamped(made.digest)
            owner = Path(os.path.relpath(os.path.realpath(manifest), made.root)).as_posix()
            if kept is None or index.owner() != owner or not _as_remembered(str(made.root), index.places()):
                return None
            number = index.begin_run("apply", began)
            told = _told(made, kept, began, now())
            index.end_run(number, told[-1].time, 0, told[-1].to_json())
            return told
    except (OSError, SedasSyncError, sqlite3.Error):
        return None


def _told(made: Made, kept: int, began: datetime, ended: datetime) -> tuple[Event, ...]:
    start = Started(
        time=began,
        manifest=made.manifest,
        mirror=str(made.root),
        todo={"keep": kept} if kept else {},
        bytes=0,
        free=folder.free_space(str(made.root)),
    )
    return start, Summary(time=ended, kept=kept, seconds=round((ended - began).total_seconds(), 3))


def _as_remembered(root: str, places: Iterator[tuple[Any, ...]]) -> bool:
    """Whether every file has the size and time that the index remembers, and no folder on the way is a link."""
    look, regular = os.lstat, stat.S_ISREG
    folders = set()
    for path, size, mtime_ns in places:
        try:
            seen = look(f"{root}/{path}")
        except OSError:
            return False
        if seen.st_mtime_ns != mtime_ns or seen.st_size != size or not regular(seen.st_mode):
            return False
        if "/" in path:
            folders.add(path.rpartition("/")[0])
    parents = {parent for name in folders for parent in (name, *map(str, Path(name).parents)) if parent != "."}
    return all(stat.S_ISDIR(look(f"{root}/{name}").st_mode) for name in parents)


@contextmanager
def _lock(root: Path) -> Iterator[None]:
    """Hold the mirror's lock, the one that `sedas_sync.index.lock` takes.

    Raises:
        BlockingIOError: another process holds it.
    """
    descriptor = os.open(root / STATE / "apply.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
