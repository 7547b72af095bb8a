"""List the files below a mirror's root, and compare them with what the index has recorded."""

import os
import stat as modes
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import GONE, STATE
from sedas_sync.model.files import above
from sedas_sync.model.local import LocalFile, LocalScene
from sedas_sync.model.path_template import comparable


class TreeEntry(Struct, frozen=True, order=True, gc=False):
    """A file, link or special file below the root; not a folder."""

    path: str
    """Relative to the root, with forward slashes."""
    size: int
    mtime_ns: int
    is_symlink: bool
    is_file: bool
    """Whether it is a regular file; a link is not."""

    @classmethod
    def of(cls, path: str, found: os.stat_result) -> "TreeEntry":
        """Return the entry of a path from its `lstat`."""
        mode = found.st_mode
        return cls(path, found.st_size, found.st_mtime_ns, modes.S_ISLNK(mode), modes.S_ISREG(mode))


def untouched(entry: TreeEntry | None, recorded: LocalFile | LocalScene) -> bool:
    """Return whether a file has the recorded size and mtime, so that its bytes need not be read."""
    return entry is not None and entry.mtime_ns == recorded.mtime_ns and entry.size == recorded.size and entry.is_file


def all_untouched(entries: Mapping[str, TreeEntry], local: LocalScene) -> bool:
    """Return whether all files of a scene have their recorded sizes and mtimes."""
    if not local.members:
        # Nearly all scenes of a mirror, which may have a hundred thousand.
        return untouched(entries.get(local.path), local)
    return all(untouched(entries.get(path), file) for path, file in zip(local.paths, local.members, strict=True))


def look(root: str, relative: str) -> TreeEntry | None:
    """Return the entry at a path, without following a link; None if there is none.

    Raises:
        TransferError: A folder on the way is a symbolic link or not a folder.
    """
    found = safe_tree.stat(root, relative)
    return None if found is None else TreeEntry.of(relative, found)


Unreadable = dict[str, OSError]
"""Folders that cannot be listed, and entries that cannot be looked at: the error of each, by its path."""


def left_out(unreadable: Mapping[str, OSError]) -> list[str]:
    """Return a warning for each path that could not be read; the names in the errors are shown."""
    return [f"{error.filename}: cannot be read, and is left out: {error.strerror}" for error in unreadable.values()]


def hidden_by(path: str, unreadable: Unreadable) -> tuple[str, OSError] | None:
    """Return what cannot be read so that it is not known whether a path exists, with the error; None if nothing."""
    if not unreadable:
        return None
    return next(((place, unreadable[place]) for place in (path, *above(path)) if place in unreadable), None)


def scan(root: str, below: str = "", unreadable: Unreadable | None = None) -> Iterator[TreeEntry]:
    """Yield every entry below the root, the state folder excepted; links are not followed.

    Files that disappear during the listing are left out, and so are folders that become links. A missing root yields
    nothing.

    Args:
        root: The mirror's folder.
        below: A folder of it, which may be in the state folder; paths are then relative to that folder.
        unreadable: Takes what cannot be read; it and what is in it are left out.

    Raises:
        OSError: Something cannot be read, with its full path; with `unreadable`, only the uppermost folder.
    """
    top = f"{root}/{below}" if below else root

    def refuse(path: str, error: OSError) -> None:
        named = OSError(error.errno, error.strerror, f"{top}/{path}".rstrip("/"))
        if unreadable is None or not path:
            raise named from error
        unreadable[path] = named

    # A folder stays open as long as folders in it are to be read, so that none is reached through a new link.
    opened: list[tuple[int, str, list[str]]] = []
    try:
        with suppress(FileNotFoundError, TransferError):
            here = safe_tree.open_folder(root, safe_tree.parts(below) if below else [])
            opened.append((here, "", []))
            yield from _entries(here, "", opened[-1][2], refuse, with_state=bool(below))
        while opened:
            above, prefix, waiting = opened[-1]
            if not waiting:
                os.close(opened.pop()[0])
                continue
            name = waiting.pop()
            try:
                here = os.open(name, safe_tree.FOLDER_FLAGS, dir_fd=above)
            except OSError as error:
                if error.errno not in GONE:
                    refuse(prefix + name, error)
                continue
            inner = f"{prefix}{name}/"
            opened.append((here, inner, []))
            yield from _entries(here, inner, opened[-1][2], refuse, with_state=True)
    finally:
        for here, _, _ in opened:
            os.close(here)


def _entries(
    here: int, prefix: str, folders: list[str], refuse: Callable[[str, OSError], None], *, with_state: bool
) -> Iterator[TreeEntry]:
    """Yield the entries of an open folder, and append the names of its folders to `folders`.

    `refuse` is called with the path of an entry that can be listed and not be looked at, and the error.
    """
    with os.scandir(here) as listing:
        for entry in listing:
            name = entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if with_state or name != STATE:
                        folders.append(name)
                    continue
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                refuse(prefix + name, error)
                continue
            yield TreeEntry.of(prefix + name, found)


def listing(
    root: str, known: Collection[str], also: Iterable[str] = (), unreadable: Unreadable | None = None
) -> dict[str, TreeEntry]:
    """Return everything that `scan` yields, by path, in the spelling in which the paths are known.

    A file system that ignores case or Unicode normalisation may list a name in another spelling
    than the one it was given.

    Args:
        root: The mirror's folder.
        known: Paths to look for; the first of several that are the same file gets it.
        also: Paths to look for after these, if there are other files than these.
        unreadable: As for `scan`.

    Raises:
        OSError: A folder cannot be read.
    """
    entries = {entry.path: entry for entry in scan(root, unreadable=unreadable)}
    untracked = entries.keys() - known
    if not untracked:
        return entries
    known = [*known, *also]
    untracked -= {*known}
    missing = [path for path in known if path not in entries] if untracked else ()
    spelled = {comparable(path): path for path in sorted(untracked, reverse=True)}
    for path in missing:
        shown = spelled.get(comparable(path))
        if shown is not None and shown in entries and same(root, path, shown):
            entries[path] = replace(entries.pop(shown), path=path)
    return entries


def same(root: str, one: str, other: str) -> bool:
    """Return whether two paths lead to one file (or link): by hard links, or by two spellings of one name."""
    try:
        found = safe_tree.stat(root, one), safe_tree.stat(root, other)
    except (OSError, TransferError):
        return False
    return found[0] is not None and found[1] is not None and os.path.samestat(found[0], found[1])
