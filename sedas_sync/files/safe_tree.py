"""Change and read files below a mirror's root, and nothing outside it.

1. A path is split into its components. Each folder is opened relative to the one before with `O_NOFOLLOW`, and the last
   step is done relative to the last open folder. So no symbolic link is followed, and there is no gap between a check
   and its use.
2. A symbolic link on the way raises `TransferError`, which names it. The root itself may be a link: the user named it.
3. Nothing is overwritten without `replace`.

`sedas_sync.files.tree_listing` lists files, `sedas_sync.files.folder_cache` keeps folders open.
"""

import errno
import os
import pwd
import shutil
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader

from sedas_sync.errors import TransferError
from sedas_sync.model.path_template import comparable

STATE = ".sedas-sync"
"""The folder below the root with everything that is not a scene."""

REPLACED = f"{STATE}/replaced"
"""The folder for files that were in a scene's place and that sedas-sync did not put there."""

FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""`O_NONBLOCK`, so that opening a pipe does not wait."""
GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Error codes of opening a folder that was removed or replaced after its name was read."""
_NO_HARD_LINKS = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES}
)
_NAME_MAX = 255

Replace = bool | tuple[int, int]
"""What a rename may replace: nothing, anything, or only a file of this size and mtime (nanoseconds)."""


def parts(relative: str) -> list[str]:
    """Split a relative path into its components.

    Raises:
        TransferError: The path is absolute, empty, or leads out of the root.
    """
    names = relative.split("/")
    if not all(names) or "." in names or ".." in names or "\0" in relative:
        raise TransferError(f"{relative!r} is not a path below the mirror")
    return names


@contextmanager
def parent(root: str, relative: str, *, create: bool = False) -> Iterator[tuple[int, str]]:
    """Open the folder of `relative`; yield its descriptor and the last name.

    Raises:
        TransferError: A component is a symbolic link or not a folder; the message names it.
        FileNotFoundError: A folder on the way is missing and `create` is not set.
    """
    *folders, name = parts(relative)
    here = open_folder(root, folders, create=create)
    try:
        yield here, name
    finally:
        os.close(here)


def open_folder(root: str, folders: list[str], *, create: bool = False) -> int:
    """Open a folder below the root, one component after the other; the caller closes the descriptor.

    Raises:
        TransferError: A component is a symbolic link or not a folder; the message names it.
        FileNotFoundError: A folder is missing and `create` is not set.
    """
    try:
        here = os.open(root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        if not create:
            raise
        os.makedirs(root, exist_ok=True)  # noqa: PTH103 - all paths here are strings
        here = os.open(root, FOLDER_FLAGS & ~os.O_NOFOLLOW)
    for depth, folder in enumerate(folders):
        try:
            there = _enter(here, folder, "/".join(folders[: depth + 1]), create=create)
        finally:
            os.close(here)
        here = there
    return here


def _enter(here: int, folder: str, shown: str, *, create: bool) -> int:
    try:
        return os.open(folder, FOLDER_FLAGS, dir_fd=here)
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
                raise TransferError(
                    f"{shown} in the mirror is a symbolic link; nothing is written through it"
                ) from error
        raise TransferError(f"{shown} in the mirror is not a folder") from error


def prepare(root: str, relative: str) -> str:
    """Create the folders of `relative`; return its full path.

    Raises:
        TransferError: A component is a symbolic link or not a folder.
    """
    with parent(root, relative, create=True):
        return f"{root}/{relative}"


def open_file(root: str, relative: str, flags: int, mode: int = 0o666) -> int:
    """Open a file below the root, never through a link; the caller closes the descriptor.

    With `O_CREAT` in `flags`, missing folders are created too.

    Raises:
        TransferError: The file or a folder on the way is a symbolic link.
        OSError: It cannot be opened.
    """
    with parent(root, relative, create=bool(flags & os.O_CREAT)) as (here, name):
        try:
            return os.open(name, flags | _FILE_FLAGS, mode, dir_fd=here)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise TransferError(
                f"{relative} in the mirror is a symbolic link; nothing is read or written through it"
            ) from error


def reading(root: str, relative: str) -> BufferedReader:
    """Open a file below the root to read its bytes; see `open_file`."""
    return os.fdopen(open_file(root, relative, os.O_RDONLY), "rb")


def create(here: int, name: str) -> int:
    """Create a file in an open folder of the state folder, and remove an old one first; the caller closes it.

    The old file may have a second name elsewhere, and keeps its bytes; opening does not wait for a pipe.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE_FLAGS
    try:
        return os.open(name, flags, 0o666, dir_fd=here)
    except FileExistsError:
        os.unlink(name, dir_fd=here)
        return os.open(name, flags, 0o666, dir_fd=here)


def names(root: str, relative: str) -> list[str]:
    """Return the names in a folder below the root, sorted.

    Raises:
        FileNotFoundError: The folder does not exist.
        TransferError: It or a folder on the way is a symbolic link or not a folder.
        OSError: It cannot be read.
    """
    with parent(root, f"{relative}/-") as (here, _):
        return sorted(os.listdir(here))  # noqa: PTH208 - a descriptor has no path


def stat(root: str, relative: str) -> os.stat_result | None:
    """Return the status of `relative` itself, without following a link; None if nothing is there.

    Raises:
        TransferError: A folder on the way is a symbolic link or not a folder.
    """
    try:
        if "/" not in relative:
            # No component lies between the root and this name, so one call is as safe as a walk.
            (name,) = parts(relative)
            return os.stat(f"{root}/{name}", follow_symlinks=False)  # noqa: PTH116 - all paths here are strings
        with parent(root, relative) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def exists(folder: int, name: str) -> bool:
    """Return whether a folder (a descriptor) has anything of that name, a broken link included."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def place(root: str, part: str, final: str, *, replace: Replace = False) -> os.stat_result:
    """Rename a finished file to its final name, atomically; return its status.

    With `replace` a file or link of that name is replaced; the link is not followed. With the size and mtime of a file
    only that file is replaced.

    Raises:
        FileExistsError: The name exists and may not be replaced.
        TransferError: A component of either path is a symbolic link or not a folder.
    """
    with parent(root, part) as (here, source), parent(root, final, create=True) as (there, target):
        return place_at(here, source, there, target, replace=replace)


def place_at(here: int, source: str, there: int, target: str, *, replace: Replace) -> os.stat_result:
    """Do what `place` does, between two open folders.

    Raises:
        FileExistsError: The name exists and may not be replaced.
        FileNotFoundError: `source` does not exist, or the folder `there` was deleted.
    """
    try:
        _rename(here, source, there, target, replace=replace)
    except FileExistsError:
        # A network file system repeats a request whose answer was lost, though it was done.
        if not _finish_move(here, source, there, target):
            raise
    return os.stat(target, dir_fd=there, follow_symlinks=False)


def move(root: str, old: str, new: str) -> None:
    """Rename a regular file within the mirror, never over another; folders left empty are removed.

    Raises:
        FileNotFoundError: `old` does not exist.
        FileExistsError: `new` exists.
        TransferError: `old` is not a regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, old) as (here, source), parent(root, new, create=True) as (there, target):
        _check_regular(here, source, old)
        place_at(here, source, there, target, replace=False)
    _remove_empty_folders(root, old)


def move_folder(root: str, old: str, new: str) -> None:
    """Rename a folder within the mirror, never over anything; folders left empty are removed.

    Both parent folders are on the disk when this returns.

    Raises:
        FileNotFoundError: `old` does not exist.
        FileExistsError: `new` exists.
        TransferError: `old` is not a folder, or a folder on the way is a symbolic link.
    """
    with parent(root, old) as (here, source), parent(root, new, create=True) as (there, target):
        if not modes.S_ISDIR(os.stat(source, dir_fd=here, follow_symlinks=False).st_mode):
            raise TransferError(f"{old} is not a folder; it is left alone")
        if exists(there, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        # If the name appears now, nothing is lost: renaming a folder replaces only an empty one.
        with _permission_in_words(here, source):
            os.rename(source, target, src_dir_fd=here, dst_dir_fd=there)
        for changed in (there, here):
            with suppress(OSError):
                os.fsync(changed)
    _remove_empty_folders(root, old)


def set_aside(root: str, relative: str, *, of: str = "") -> str:
    """Move a file, folder or link into `replaced/` under a free name; return its new path.

    Args:
        root: The mirror's folder.
        relative: The path to move.
        of: A prefix for the new name, such as the scene whose folder it was in.

    Raises:
        FileNotFoundError: `relative` does not exist.
        TransferError: A folder on the way is a symbolic link or not a folder.
    """
    with parent(root, relative) as (here, name), parent(root, f"{REPLACED}/x", create=True) as (there, _):
        regular = modes.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
        number = 0
        while True:
            free = _numbered(f"{of}-{name}" if of else name, number)
            number += 1
            if exists(there, free):
                continue
            try:
                if regular:
                    _rename(here, name, there, free, replace=False)
                else:
                    with _permission_in_words(here, name):
                        os.rename(name, free, src_dir_fd=here, dst_dir_fd=there)
            except FileExistsError:
                continue
            return f"{REPLACED}/{free}"


def link(root: str, old: str, new: str) -> os.stat_result:
    """Give a regular file a second name within the mirror, never over another; return its status.

    Raises:
        FileExistsError: `new` exists.
        OSError: `old` does not exist, or the file system has no hard links.
        TransferError: `old` is not a regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, old) as (here, source), parent(root, new, create=True) as (there, target):
        _check_regular(here, source, old)
        os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        return os.stat(target, dir_fd=there, follow_symlinks=False)


def _rename(here: int, source: str, there: int, target: str, *, replace: Replace) -> None:
    if replace is True or (replace and _is_unchanged(there, target, replace)):
        with _permission_in_words(there, target):
            os.replace(source, target, src_dir_fd=here, dst_dir_fd=there)
        return
    with _permission_in_words(here, source):
        if _is_sticky(here, source):
            # A second name could be given to the file, but neither name could be removed.
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source)
        try:
            # Unlike a rename, a link never replaces an existing name.
            os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            # Without hard links there is only: look, then rename.
            if exists(there, target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target) from error
            os.rename(source, target, src_dir_fd=here, dst_dir_fd=there)
            return
        try:
            os.unlink(source, dir_fd=here)
        except OSError:
            with suppress(OSError):
                os.unlink(target, dir_fd=there)
            raise


def _is_unchanged(there: int, name: str, known: tuple[int, int]) -> bool:
    """Return whether the file of this name still has its size and mtime."""
    try:
        found = os.stat(name, dir_fd=there, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return modes.S_ISREG(found.st_mode) and (found.st_size, found.st_mtime_ns) == known


def _finish_move(here: int, source: str, there: int, target: str) -> bool:
    """Finish a move whose two names are the same file; return whether they are.

    On a file system that ignores case they are one name, which gets its new spelling. Elsewhere a move
    was killed between its link and its unlink.
    """
    old, new = (os.stat(name, dir_fd=at, follow_symlinks=False) for name, at in ((source, here), (target, there)))
    if not os.path.samestat(old, new):
        return False
    if os.path.samestat(os.fstat(here), os.fstat(there)) and comparable(source) == comparable(target):
        os.rename(source, target, src_dir_fd=here, dst_dir_fd=there)
    elif old.st_nlink > 1:
        os.unlink(source, dir_fd=here)
    else:
        return False
    return True


def _numbered(name: str, number: int) -> str:
    tail = f".{number}" if number else ""
    while len(os.fsencode(name + tail)) > _NAME_MAX:
        name = name[:-1]
    return name + tail


def _is_sticky(here: int, name: str) -> bool:
    """Return whether the folder's sticky bit keeps this user from moving or deleting a file of another user."""
    folder, me = os.fstat(here), os.geteuid()
    if not folder.st_mode & modes.S_ISVTX or me in (0, folder.st_uid):
        return False
    return os.stat(name, dir_fd=here, follow_symlinks=False).st_uid != me


@contextmanager
def _permission_in_words(here: int, name: str) -> Iterator[None]:
    """Turn a PermissionError into one that names the owner and the remedy.

    Raises:
        TransferError: The file system refused it.
    """
    try:
        yield
    except PermissionError as error:
        try:
            file, folder = os.stat(name, dir_fd=here, follow_symlinks=False), os.fstat(here)
        except OSError:
            raise error from None
        owner, me = user(file.st_uid), user(os.geteuid())
        if folder.st_mode & modes.S_ISVTX and file.st_uid != os.geteuid():
            message = (
                f"{name} belongs to the user {owner}, and its folder has the sticky bit: only {owner} and the folder's "
                f"owner ({user(folder.st_uid)}) may move or delete it; ask one of them to do that, or to run this "
                "command"
            )
        else:
            message = (
                f"{name} belongs to the user {owner}, and the user {me} may not move or delete it: {error.strerror}; "
                f"its folder belongs to {user(folder.st_uid)}, who can allow it (chmod g+w)"
            )
        raise TransferError(message) from error


def user(uid: int) -> str:
    """Return the name of a user; the number if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def remove(root: str, relative: str) -> None:
    """Delete a regular file and the folders that this leaves empty, never the root.

    Raises:
        FileNotFoundError: `relative` does not exist.
        TransferError: It is not a regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, relative) as (folder, name):
        _unlink(folder, name, relative)
    _remove_empty_folders(root, relative)


def drop(root: str, relative: str) -> None:
    """Delete a regular file if it exists, and leave its folder.

    Raises:
        TransferError: It is not a regular file, or a folder on the way is a symbolic link.
        OSError: It cannot be deleted.
    """
    with suppress(FileNotFoundError), parent(root, relative) as (folder, name):
        _unlink(folder, name, relative)


def discard(root: str, relative: str) -> None:
    """Delete a folder below the state folder with everything in it, if it exists.

    Raises:
        TransferError: It is not below the state folder, or a folder on the way is a symbolic link.
    """
    if parts(relative)[0] != STATE:
        raise TransferError(f"{relative} is not below {STATE}; it is left alone")
    with suppress(FileNotFoundError), parent(root, relative) as (here, name):
        shutil.rmtree(name, dir_fd=here)


def drop_folder(root: str, relative: str) -> None:
    """Delete an empty folder.

    Raises:
        OSError: It does not exist, is not empty, or is not a folder.
        TransferError: A folder on the way is a symbolic link.
    """
    with parent(root, relative) as (folder, name):
        os.rmdir(name, dir_fd=folder)


def _unlink(folder: int, name: str, shown: str) -> None:
    _check_regular(folder, name, shown)
    with _permission_in_words(folder, name):
        os.unlink(name, dir_fd=folder)


def _check_regular(folder: int, name: str, shown: str) -> None:
    if not modes.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise TransferError(f"{shown} is not a regular file; it is left alone")


def _remove_empty_folders(root: str, relative: str) -> None:
    names = parts(relative)
    for depth in range(len(names) - 1, 0, -1):
        try:
            drop_folder(root, "/".join(names[:depth]))
        except (OSError, TransferError):
            return


def sync(root: str, relative: str) -> None:
    """Flush the folder of `relative` to the disk, so that a rename in it survives a power cut."""
    with parent(root, relative) as (folder, _), suppress(OSError):
        # Some network file systems refuse to flush a folder, and offer nothing better.
        os.fsync(folder)
