"""What may happen to files below a mirror's root, and nothing outside it.

Every path is taken apart and walked one component at a time from the root with `O_NOFOLLOW`, and the last
step is done relative to the folder that was opened so. A symbolic link among the components is refused,
whoever put it there and
whenever: there is no moment between a check and a deed. The root itself may be a link, since the user named
it.
"""

import errno
import os
import shutil
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sedas_sync import errors

STATE = ".sedas-sync"
"""The folder below the root that holds everything which is not a scene."""

REPLACED = f"{STATE}/replaced"
"""Where strangers go that stood in a scene's place."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES})


class Entry(NamedTuple):
    """A file, link or other thing below the root that is not a folder."""

    path: str
    """Relative to the root, with forward slashes."""
    size: int
    mtime_ns: int
    is_symlink: bool
    is_file: bool
    """Whether it is a regular file (a link is not)."""


def parts(relative: str) -> list[str]:
    """Take a relative path apart.

    Raises:
        TransferError: the path is absolute, empty, or climbs out of the root.
    """
    names = relative.split("/")
    if not all(names) or "." in names or ".." in names or "\0" in relative:
        raise errors.TransferError(f"{relative!r} is not a path below the mirror")
    return names


@contextmanager
def parent(root: str, relative: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder that holds `relative`; yields its descriptor and the last name.

    Raises:
        TransferError: a component is a symbolic link or no folder; the message names it.
        FileNotFoundError: a folder on the way is missing and `create` is not set.
    """
    *folders, name = parts(relative)
    try:
        here = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        if not create:
            raise
        os.makedirs(root, exist_ok=True)  # noqa: PTH103 - strings all through
        here = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    try:
        for depth, folder in enumerate(folders):
            there = _enter(here, folder, "/".join(folders[: depth + 1]), create=create)
            os.close(here)
            here = there
        yield here, name
    finally:
        os.close(here)


def _enter(here: int, folder: str, shown: str, *, create: bool) -> int:
    try:
        return os.open(folder, _FOLDER, dir_fd=here)
    except FileNotFoundError:
        if not create:
            raise
        with suppress(FileExistsError):
            os.mkdir(folder, dir_fd=here)
        return _enter(here, folder, shown, create=False)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        with suppress(OSError):
            if modes.S_ISLNK(os.lstat(folder, dir_fd=here).st_mode):
                raise errors.TransferError(
                    f"{shown} in the mirror is a symbolic link; nothing is written through it"
                ) from error
        raise errors.TransferError(f"{shown} in the mirror is not a folder") from error


def prepare(root: str, relative: str) -> str:
    """Make the folders that `relative` needs; returns its full path.

    Raises:
        TransferError: a component is a symbolic link or no folder.
    """
    with parent(root, relative, create=True):
        return f"{root}/{relative}"


def place(root: str, part: str, final: str, *, replace: bool = False) -> os.stat_result:
    """Give a finished file its final name, at once and as a whole; returns its stat.

    With `replace` whatever file or link has the name gives way, and a link is not followed. Without it
    nothing does.

    Raises:
        FileExistsError: something has the name and `replace` is not set.
        TransferError: a component of either path is a symbolic link or no folder.
    """
    with parent(root, part) as (here, source), parent(root, final, create=True) as (there, target):
        _rename(here, source, there, target, replace=replace)
        return os.stat(target, dir_fd=there, follow_symlinks=False)


def _rename(here: int, source: str, there: int, target: str, *, replace: bool) -> None:
    if replace:
        os.replace(source, target, src_dir_fd=here, dst_dir_fd=there)
        return
    try:
        # Unlike a rename, a link never takes a name that somebody has.
        os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: look, then rename.
        if exists(there, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
        os.rename(source, target, src_dir_fd=here, dst_dir_fd=there)
        return
    os.unlink(source, dir_fd=here)


def exists(folder: int, name: str) -> bool:
    """Whether the folder (a descriptor) has anything of that name, a dangling link included."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def stat(root: str, relative: str) -> os.stat_result | None:
    """What stands at `relative` itself, links not followed; None where there is nothing.

    Raises:
        TransferError: a folder on the way is a symbolic link or no folder.
    """
    try:
        with parent(root, relative) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def set_aside(root: str, relative: str) -> str:
    """Move a stranger (file, folder, or link itself) into `replaced/` under a free name; returns where.

    Raises:
        FileNotFoundError: there is nothing at `relative`.
        TransferError: a folder on the way is a symbolic link or no folder.
    """
    with parent(root, relative) as (here, name), parent(root, f"{REPLACED}/x", create=True) as (there, _):
        plain = modes.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
        number = 0
        while True:
            free = _numbered(name, number)
            number += 1
            if exists(there, free):
                continue
            try:
                if plain:
                    _rename(here, name, there, free, replace=False)
                else:
                    os.rename(name, free, src_dir_fd=here, dst_dir_fd=there)
            except FileExistsError:
                continue
            return f"{REPLACED}/{free}"


def _numbered(name: str, number: int) -> str:
    if not number:
        return name
    tail = f".{number}"
    while len(os.fsencode(name + tail)) > 255:  # noqa: PLR2004 - NAME_MAX of every file system in use
        name = name[:-1]
    return name + tail


def move(root: str, old: str, new: str) -> None:
    """Rename a regular file within the mirror, never over another; folders left empty are removed.

    Raises:
        FileNotFoundError: there is nothing at `old`.
        FileExistsError: something stands at `new`.
        TransferError: `old` is no regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, old) as (here, source), parent(root, new, create=True) as (there, target):
        _regular(here, source, old)
        _rename(here, source, there, target, replace=False)
    _tidy(root, old)


def remove(root: str, relative: str) -> None:
    """Delete a regular file and the folders that this leaves empty, never the root.

    Raises:
        FileNotFoundError: there is nothing at `relative`.
        TransferError: it is no regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, relative) as (folder, name):
        _regular(folder, name, relative)
        os.unlink(name, dir_fd=folder)
    _tidy(root, relative)


def _regular(folder: int, name: str, shown: str) -> None:
    if not modes.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise errors.TransferError(f"{shown} is not a regular file; it is left alone")


def _tidy(root: str, relative: str) -> None:
    names = parts(relative)
    for depth in range(len(names) - 1, 0, -1):
        try:
            with parent(root, "/".join(names[:depth])) as (folder, name):
                os.rmdir(name, dir_fd=folder)
        except (OSError, errors.TransferError):
            return


def scan(root: str) -> Iterator[Entry]:
    """Yield everything below the root but its folders and the state folder; links are not followed.

    What vanishes during the pass is left out. Nothing is yielded where the root does not exist.

    Raises:
        OSError: a folder cannot be read.
    """
    waiting = [("", root)]
    while waiting:
        prefix, folder = waiting.pop()
        try:
            listing = os.scandir(folder)
        except FileNotFoundError:
            continue
        with listing:
            for entry in listing:
                name = entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if prefix or name != STATE:
                            waiting.append((f"{prefix}{name}/", entry.path))
                        continue
                    found = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                mode = found.st_mode
                yield Entry(prefix + name, found.st_size, found.st_mtime_ns, modes.S_ISLNK(mode), modes.S_ISREG(mode))


def sync(root: str, relative: str) -> None:
    """Bring the folder that holds `relative` to the disk, so that a rename in it outlives a power cut."""
    with parent(root, relative) as (folder, _), suppress(OSError):
        # Some network file systems refuse to flush a folder; there is nothing better to be done on them.
        os.fsync(folder)


def free_space(path: str) -> int:
    """Bytes that this user may still write below `path` (or its nearest folder that exists)."""
    path = os.path.abspath(path)  # noqa: PTH100 - strings all through
    while not os.path.exists(path):  # noqa: PTH110 - strings all through
        path = os.path.dirname(path)  # noqa: PTH120 - strings all through
    return shutil.disk_usage(path).free
