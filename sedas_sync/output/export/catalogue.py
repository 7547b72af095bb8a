"""A STAC catalogue's folder: swapped as a whole, so that nobody finds half of it, and never anything else's.

A new catalogue is made in a hidden folder beside its place and changes places with the old one. What a kill leaves
beside is told apart from what somebody is writing by a lock on the folder itself, and removed by the next export.
"""

import ctypes
import errno
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.files.atomic import umask

MARK = "sedas_sync:content"
"""The field of the root that tells what a catalogue was made from, and that it is one of this package."""
ROOT = "catalog.json"
COLLECTION = "collection.json"
ITEMS = "items"

_BESIDE = ".sedas-sync-stac"
_AT_FDCWD = -100
_EXCHANGE = 2
_SHOWN = 3
_CANNOT_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


def content_of(folder: Path) -> str | None:
    """What a catalogue was made from; None where there is none of this package."""
    content = (_document(folder / ROOT) or {}).get(MARK)
    return content if isinstance(content, str) else None


def is_whole(folder: Path) -> bool:
    """Whether every file that the catalogue speaks of is there."""
    return all(file.exists() for file in _files(folder))


def check_place(folder: Path, mirror: Path) -> None:
    """See to it that a catalogue may be written there.

    Raises:
        ManifestError: the mirror is there, or something that this package did not write.
    """
    state = mirror / ".sedas-sync"
    if folder in (mirror, state) or folder in mirror.parents or state in folder.parents:
        raise ManifestError(f"{folder}: the mirror is there; a catalogue needs a folder of its own (--out DIR)")
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return
        if content_of(folder) is None:
            raise ManifestError(
                f"{folder}: is not empty and holds no catalogue of sedas-sync; nothing there is touched"
            )
        ours = set(_files(folder))
        strangers = sorted(str(file.relative_to(folder)) for file in _everything(folder) if file not in ours)
    except OSError as error:
        raise ManifestError(f"{folder}: cannot be used for a catalogue: {error.strerror}") from None
    if strangers:
        more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
        raise ManifestError(
            f"{folder}: holds what sedas-sync did not write ({', '.join(strangers[:_SHOWN])}{more}); "
            "a new catalogue takes the folder's place, so move it away first"
        )


@contextmanager
def written_beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write a catalogue to; it takes the place of the old one when all went well.

    Args:
        folder: the catalogue's place, which `check_place` has found to be free or this package's.

    Raises:
        SedasSyncError: it cannot be written.
    """
    prefix = f".{folder.name}{_BESIDE}-"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder.parent, prefix)
        beside = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        with _claimed(beside):
            try:
                beside.chmod(0o777 & ~umask())
                yield beside
                _swap(beside, folder)
            finally:
                _remove(beside)
    except OSError as error:
        raise SedasSyncError(f"{folder}: the catalogue cannot be written: {error.strerror or error}") from error


def _swap(new: Path, place: Path) -> None:
    """Put a new folder in place; what was there is where the new one was."""
    if not place.exists():
        new.rename(place)
    elif not _exchange(new, place):
        old = new.with_name(f"{new.name}-old")
        place.rename(old)
        new.rename(place)
        old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change places at once (renameat2 of Linux); says whether that could be done."""
    rename: Callable[..., int] | None = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number))


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Hold a folder against the tidying of other processes."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks: nobody tidies there either
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _remove_leftovers(parent: Path, prefix: str) -> None:
    for entry in parent.iterdir():
        if not re.fullmatch(rf"{re.escape(prefix)}\w+(-old)?", entry.name) or entry.is_symlink():
            continue
        with suppress(OSError):
            handle = os.open(entry, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove(entry)
            finally:
                os.close(handle)


def _remove(folder: Path) -> None:
    """Remove a catalogue's files and the folders that are empty then; anything else stays."""
    for place in (*_subfolders(folder), folder):
        for file in (*place.glob(f"{ITEMS}/*.json"), place / COLLECTION, place / ROOT):
            file.unlink(missing_ok=True)
        for empty in (place / ITEMS, place):
            with suppress(OSError):
                empty.rmdir()


def _subfolders(folder: Path) -> list[Path]:
    try:
        return [entry for entry in folder.iterdir() if entry.is_dir() and not entry.is_symlink()]
    except FileNotFoundError:
        return []


def _files(folder: Path) -> Iterator[Path]:
    """The files of a catalogue of this package, by its own links."""
    yield folder / ROOT
    for child in _linked(folder / ROOT, "child"):
        yield child
        yield from _linked(child, "item")


def _linked(document: Path, relation: str) -> Iterator[Path]:
    links = (_document(document) or {}).get("links")
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == relation and isinstance(link.get("href"), str):
            yield document.parent / link["href"].removeprefix("./")


def _document(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _everything(folder: Path) -> Iterator[Path]:
    """All files, links and empty folders below a folder."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in files)
        yield from (Path(place, name) for name in folders if Path(place, name).is_symlink())
