"""The folder of a STAC catalogue. It is replaced as a whole, so that no reader finds half of it.

A new catalogue is written to a hidden folder next to the old one, and then exchanged with it. A hidden folder that a
kill has left is removed by the next export; a folder that is being written is locked.
"""

import ctypes
import errno
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.atomic import umask
from sedas_sync.output.export import LinkKind

MARK = "sedas_sync:content"
"""The field of the root with a digest of what the catalogue was made from. It also marks our own catalogues."""
LINKS = "sedas_sync:links"
"""The field of the root of a self-contained catalogue: the kind of its links to the scenes' files."""
QUICKLOOKS = "sedas_sync:quicklooks"
"""The field of the root with the number of quick-looks that are beside their items."""
ROOT = "catalog.json"
COLLECTION = "collection.json"
ITEMS = "items"
FILES = "files"
"""The folder of a self-contained catalogue that has the scenes' files, with the paths that they have in the mirror."""

_PICTURES = (".jpg", ".png")
"""Endings of quick-looks, which are beside their items."""
_BESIDE = ".sedas-sync-stac"
_AT_FDCWD = -100
_EXCHANGE = 2
_SHOWN = 3
_NO_HARD_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})
_CANNOT_EXCHANGE = frozenset({errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM})


def content_of(folder: Path) -> str | None:
    """Return the digest of what a catalogue was made from; None if it was not written by this package."""
    content = (_document(folder / ROOT) or {}).get(MARK)
    return content if isinstance(content, str) else None


def links_of(folder: Path) -> LinkKind | None:
    """Return the kind of the links of a self-contained catalogue; None if it is not one."""
    links = (_document(folder / ROOT) or {}).get(LINKS)
    return links if links in ("hard", "symbolic") else None


def link_files(folder: Path, place: Path, root: str, paths: Iterable[str], links: LinkKind) -> None:
    """Put the scenes' files into a self-contained catalogue.

    Args:
        folder: The catalogue while it is written.
        place: The folder that it will be in.
        root: The mirror.
        paths: The files, relative to the mirror.
        links: Their kind.

    Raises:
        SedasSyncError: The file system has no such links, or the mirror is on another one.
    """
    for path in paths:
        target = folder / FILES / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if links == "symbolic":
            target.symlink_to(os.path.relpath(f"{root}/{path}", (place / FILES / path).parent))
            continue
        try:
            with safe_tree.parent(root, path) as (here, name):
                os.link(name, target, src_dir_fd=here, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            raise SedasSyncError(
                f"{place}: {path} cannot be a hard link here ({error.strerror}): the mirror may be on another file "
                "system; use --links symbolic"
            ) from error


def is_whole(folder: Path) -> bool:
    """Return whether every file that the catalogue links to exists."""
    quicklooks = 0
    for file in _files(folder):
        quicklooks += file.suffix in _PICTURES and file.parent.name == ITEMS
        if not file.exists():
            return False
    return quicklooks == (_document(folder / ROOT) or {}).get(QUICKLOOKS)


def check_place(folder: Path, mirror: Path) -> None:
    """Check that a catalogue may be written to a folder.

    Raises:
        ManifestError: It is the mirror's folder, or has files that this package did not write.
    """
    state = mirror / ".sedas-sync"
    if folder in (mirror, state) or folder in mirror.parents or state in folder.parents:
        raise ManifestError(f"{folder}: this is the mirror's folder; a catalogue needs its own folder (--out DIR)")
    try:
        if not folder.exists() or not any(folder.iterdir()):
            return
        if content_of(folder) is None:
            raise ManifestError(f"{folder}: is not empty and is not a catalogue of sedas-sync; nothing was changed")
        ours = set(_files(folder))
        others = sorted(str(file.relative_to(folder)) for file in _everything(folder) if file not in ours)
    except OSError as error:
        raise ManifestError(f"{folder}: cannot be used for a catalogue: {error.strerror}") from None
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise ManifestError(
            f"{folder}: has files that sedas-sync did not write ({', '.join(others[:_SHOWN])}{more}); "
            "a new catalogue replaces the folder, so move them away first"
        )


@contextmanager
def written_beside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder to write a catalogue to. It replaces the old one if there is no error.

    Args:
        folder: The catalogue's folder, which `check_place` has checked.

    Raises:
        SedasSyncError: It cannot be written.
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
    """Move a new folder into place; the old one is then where the new one was."""
    if not place.exists():
        new.rename(place)
    elif not _exchange(new, place):
        old = new.with_name(f"{new.name}-old")
        place.rename(old)
        new.rename(place)
        old.rename(new)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders at once (renameat2 on Linux), and return whether that is possible here."""
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
    """Lock a folder, so that other processes do not remove it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # a file system without locks: no process removes folders there
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
    """Remove the files of a catalogue, and folders that are empty then. Anything else stays."""
    for file in [*_files(folder)][::-1] if (folder / ROOT).exists() else [*_unfinished(folder)]:
        file.unlink(missing_ok=True)
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(place).rmdir()


def _unfinished(folder: Path) -> Iterator[Path]:
    """Yield the files of a catalogue whose root was not written yet, by their names; links, by what they are."""
    for file in _everything(folder):
        parts = file.relative_to(folder).parts
        if parts[0] == FILES:
            if file.is_symlink() or file.lstat().st_nlink > 1:
                yield file
        elif parts[1:] == (COLLECTION,) or (parts[1:-1] == (ITEMS,) and file.suffix in (".json", *_PICTURES)):
            yield file


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of one of our catalogues, by its links: the root first, and an item before its files."""
    yield folder / ROOT
    self_contained = links_of(folder) is not None
    for child in _linked(folder / ROOT, "child"):
        yield child
        for item in _linked(child, "item"):
            yield item
            yield from filter(Path.exists, map(item.with_suffix, _PICTURES))
            if self_contained:
                yield from _placed(folder, item)


def _placed(folder: Path, item: Path) -> Iterator[Path]:
    """Yield the files of an item that are below the catalogue's folder of files."""
    assets = (_document(item) or {}).get("assets")
    for asset in assets.values() if isinstance(assets, dict) else ():
        href = asset.get("href") if isinstance(asset, dict) else None
        if isinstance(href, str):
            file = Path(os.path.normpath(item.parent / unquote(href)))
            if file.is_relative_to(folder / FILES):
                yield file


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
    """Yield all files and links below a folder."""
    return (folder / entry.path for entry in tree_listing.scan(str(folder)))
