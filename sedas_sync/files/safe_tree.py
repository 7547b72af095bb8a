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
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from sedas_sync import errors
from sedas_sync.model.scene import LocalFile, LocalScene

STATE = ".sedas-sync"
"""The folder below the root that holds everything which is not a scene."""

REPLACED = f"{STATE}/replaced"
"""Where strangers go that stood in a scene's place."""

HELD = 1.0
"""Seconds that a folder stays open for the next deed before it is walked to again."""

_HELD_MOST = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ONE_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""With `O_NONBLOCK` a pipe in a file's place keeps nobody waiting."""
_GONE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""What opening a folder says that was there when its name was read."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV, errno.EACCES})


Replace = bool | tuple[int, int]
"""What gives way to a file that gets its name: nothing, whatever is there, or a file of this size and time alone."""


class TreeEntry(NamedTuple):
    """A file, link or other thing below the root that is not a folder."""

    path: str
    """Relative to the root, with forward slashes."""
    size: int
    mtime_ns: int
    is_symlink: bool
    is_file: bool
    """Whether it is a regular file (a link is not)."""

    @classmethod
    def of(cls, path: str, found: os.stat_result) -> "TreeEntry":
        """What a stat says of a path."""
        mode = found.st_mode
        return cls(path, found.st_size, found.st_mtime_ns, modes.S_ISLNK(mode), modes.S_ISREG(mode))


def untouched(there: TreeEntry | None, file: LocalScene | LocalFile) -> bool:
    """Whether a file has the size and the time that the index remembers, so that its bytes need no look."""
    return there is not None and there.is_file and (there.size, there.mtime_ns) == (file.size, file.mtime_ns)


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
    here = _walk(root, folders, create=create)
    try:
        yield here, name
    finally:
        os.close(here)


def _walk(root: str, folders: list[str], *, create: bool) -> int:
    """Open a folder below the root, one component after the other; the caller closes it."""
    try:
        here = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        if not create:
            raise
        os.makedirs(root, exist_ok=True)  # noqa: PTH103 - strings all through
        here = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    for depth, folder in enumerate(folders):
        try:
            there = _enter(here, folder, "/".join(folders[: depth + 1]), create=create)
        finally:
            os.close(here)
        here = there
    return here


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


class Held:
    """A folder that is open, with how many use it. Made by `Folders.take`."""

    __slots__ = ("current", "file", "since", "users")

    def __init__(self, file: int, since: float) -> None:
        self.file = file
        """Its descriptor, good until it is given back."""
        self.since = since
        self.users = 1
        self.current = True
        """Whether the next one who asks is given this."""


class Folders:
    """Folders below roots that stay open from one deed to the next; for all threads.

    What is open goes on meaning the folder that was found, whatever is renamed or put in its place: nothing is ever
    reached through a link that came later. After `HELD` seconds a folder is walked to anew, so that one which was
    moved away is not filled for long.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[tuple[str, str], Held] = {}
        self._lock = threading.Lock()

    def take(self, root: str, relative: str, *, anew: bool = False) -> tuple[Held, str]:
        """Open the folder that holds `relative`, made where it is missing; returns it and the last name.

        Every folder taken is to be given back.

        Args:
            root: the mirror's folder.
            relative: a path below it.
            anew: walk to it, since the one that is held turned out to be gone.

        Raises:
            TransferError: a component is a symbolic link or no folder; the message names it.
        """
        *above, name = parts(relative)
        key = (root, "/".join(above))
        now = self._clock()
        with self._lock:
            held = self._held.get(key)
            if held is not None and not anew and now - held.since < HELD:
                held.users += 1
                return held, name
        fresh = Held(_walk(root, above, create=True), now)
        with self._lock:
            self._let_go(key)
            while len(self._held) >= _HELD_MOST:
                self._let_go(next(iter(self._held)))
            self._held[key] = fresh
        return fresh, name

    def give_back(self, held: Held) -> None:
        """Say that a folder is no longer used."""
        with self._lock:
            held.users -= 1
            unused = not held.users and not held.current
        if unused:
            os.close(held.file)

    def close(self) -> None:
        """Close what nobody uses, and the others when they are given back."""
        with self._lock:
            for key in list(self._held):
                self._let_go(key)

    def _let_go(self, key: tuple[str, str]) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            held.current = False
            if not held.users:
                os.close(held.file)


def prepare(root: str, relative: str) -> str:
    """Make the folders that `relative` needs; returns its full path.

    Raises:
        TransferError: a component is a symbolic link or no folder.
    """
    with parent(root, relative, create=True):
        return f"{root}/{relative}"


def open_file(root: str, relative: str, flags: int, mode: int = 0o666) -> int:
    """Open a file below the root, never through a link; the caller closes the descriptor.

    Folders on the way are made where `flags` make the file.

    Raises:
        TransferError: the file itself or a folder on the way is a symbolic link.
        OSError: it cannot be opened.
    """
    with parent(root, relative, create=bool(flags & os.O_CREAT)) as (here, name):
        try:
            return os.open(name, flags | _ONE_FILE, mode, dir_fd=here)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise errors.TransferError(
                f"{relative} in the mirror is a symbolic link; nothing is read or written through it"
            ) from error


def anew(here: int, name: str) -> int:
    """Make a file of the state folder in an open folder, whatever was left under its name; the caller closes it.

    What was left may have a second name elsewhere, and keeps its bytes; a pipe keeps nobody waiting.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _ONE_FILE
    try:
        return os.open(name, flags, 0o666, dir_fd=here)
    except FileExistsError:
        os.unlink(name, dir_fd=here)
        return os.open(name, flags, 0o666, dir_fd=here)


def names(root: str, relative: str) -> list[str]:
    """The names in a folder below the root, sorted.

    Raises:
        FileNotFoundError: there is no such folder.
        TransferError: it or a folder on the way is a symbolic link or no folder.
        OSError: it cannot be read.
    """
    with parent(root, f"{relative}/-") as (here, _):
        return sorted(os.listdir(here))  # noqa: PTH208 - a descriptor has no path


def place(root: str, part: str, final: str, *, replace: Replace = False) -> os.stat_result:
    """Give a finished file its final name, at once and as a whole; returns its stat.

    With `replace` whatever file or link has the name gives way, and a link is not followed. With the size and time of a
    file only that one does, and without it nothing.

    Raises:
        FileExistsError: something has the name that does not give way.
        TransferError: a component of either path is a symbolic link or no folder.
    """
    with parent(root, part) as (here, source), parent(root, final, create=True) as (there, target):
        return place_at(here, source, there, target, replace=replace)


def place_at(here: int, source: str, there: int, target: str, *, replace: Replace) -> os.stat_result:
    """Do what `place` does, between two folders that are open.

    Raises:
        FileExistsError: something has the name that does not give way.
        FileNotFoundError: there is no `source`, or the folder `there` has been deleted.
    """
    try:
        _rename(here, source, there, target, replace=replace)
    except FileExistsError:
        # A client of a network file system that misses an answer asks again for what is done already.
        if not _respelled(here, source, there, target):
            raise
    return os.stat(target, dir_fd=there, follow_symlinks=False)


def _rename(here: int, source: str, there: int, target: str, *, replace: Replace) -> None:
    if replace is True or (replace and _gives_way(there, target, replace)):
        with _whose(there, target):
            os.replace(source, target, src_dir_fd=here, dst_dir_fd=there)
        return
    with _whose(here, source):
        if _is_kept(here, source):
            # A second name could be given to it, and then neither be taken away.
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), source)
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
        try:
            os.unlink(source, dir_fd=here)
        except OSError:
            with suppress(OSError):
                os.unlink(target, dir_fd=there)
            raise


def _gives_way(there: int, name: str, known: tuple[int, int]) -> bool:
    """Whether the file of this name still has the size and the time that it had when it was looked at."""
    try:
        found = TreeEntry.of(name, os.stat(name, dir_fd=there, follow_symlinks=False))
    except FileNotFoundError:
        return False
    return found.is_file and (found.size, found.mtime_ns) == known


def _is_kept(here: int, name: str) -> bool:
    """Whether a folder has the sticky bit, by which others than its owner move and delete their own files alone."""
    folder, me = os.fstat(here), os.geteuid()
    if not folder.st_mode & modes.S_ISVTX or me in (0, folder.st_uid):
        return False
    return os.stat(name, dir_fd=here, follow_symlinks=False).st_uid != me


@contextmanager
def _whose(here: int, name: str) -> Iterator[None]:
    """Say of a file that this user may not move, replace or delete whose it is, and what to do.

    Raises:
        TransferError: the file system refused it.
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
            said = (
                f"{name} belongs to the user {owner}, and its folder has the sticky bit: only {owner} and the folder's "
                f"owner ({user(folder.st_uid)}) may move or delete it; have one of them do that, or run this command"
            )
        else:
            said = (
                f"{name} belongs to the user {owner}, and the user {me} may not move or delete it: {error.strerror}; "
                f"its folder belongs to {user(folder.st_uid)}, who can allow it (chmod g+w)"
            )
        raise errors.TransferError(said) from error


def user(uid: int) -> str:
    """The name of a user, or the number where there is none."""
    import pwd  # noqa: PLC0415 - for an error's message alone

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


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
        if "/" not in relative:
            # No component lies between the root and it: one call is as good as a walk.
            (name,) = parts(relative)
            return os.stat(f"{root}/{name}", follow_symlinks=False)  # noqa: PTH116 - strings all through
        with parent(root, relative) as (folder, name):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def look(root: str, relative: str) -> TreeEntry | None:
    """What stands at a path, links not followed; None where nothing does.

    Raises:
        TransferError: a folder on the way is a symbolic link or no folder.
    """
    found = stat(root, relative)
    return None if found is None else TreeEntry.of(relative, found)


def set_aside(root: str, relative: str, *, of: str = "") -> str:
    """Move a stranger (file, folder, or link itself) into `replaced/` under a free name; returns where.

    Args:
        root: the mirror's folder.
        relative: where it stands.
        of: what its name is to tell besides, such as the scene whose folder it was in.

    Raises:
        FileNotFoundError: there is nothing at `relative`.
        TransferError: a folder on the way is a symbolic link or no folder.
    """
    with parent(root, relative) as (here, name), parent(root, f"{REPLACED}/x", create=True) as (there, _):
        plain = modes.S_ISREG(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode)
        number = 0
        while True:
            free = _numbered(f"{of}-{name}" if of else name, number)
            number += 1
            if exists(there, free):
                continue
            try:
                if plain:
                    _rename(here, name, there, free, replace=False)
                else:
                    with _whose(here, name):
                        os.rename(name, free, src_dir_fd=here, dst_dir_fd=there)
            except FileExistsError:
                continue
            return f"{REPLACED}/{free}"


def _numbered(name: str, number: int) -> str:
    tail = f".{number}" if number else ""
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
        try:
            _rename(here, source, there, target, replace=False)
        except FileExistsError:
            if not _respelled(here, source, there, target):
                raise
    _tidy(root, old)


def _respelled(here: int, source: str, there: int, target: str) -> bool:
    """Finish a move to what is the same file already; says whether it is.

    On a file system that does not tell `a` from `A` it is the same name, and is spelled anew. Elsewhere a move was
    killed between its link and its unlink.
    """
    from sedas_sync.model.path_template import comparable  # noqa: PLC0415  # seldom needed, and a look at a mirror is to be quick

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


def move_folder(root: str, old: str, new: str) -> None:
    """Rename a folder within the mirror with all that is in it, never over anything; folders left empty are removed.

    Both places are on the disk when this returns.

    Raises:
        FileNotFoundError: there is nothing at `old`.
        FileExistsError: something stands at `new`.
        TransferError: `old` is no folder, or a folder on the way is a symbolic link.
    """
    with parent(root, old) as (here, source), parent(root, new, create=True) as (there, target):
        if not modes.S_ISDIR(os.stat(source, dir_fd=here, follow_symlinks=False).st_mode):
            raise errors.TransferError(f"{old} is not a folder; it is left alone")
        if exists(there, target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        # What takes the name between look and deed is in nobody's way: a folder replaces nothing but an empty one.
        with _whose(here, source):
            os.rename(source, target, src_dir_fd=here, dst_dir_fd=there)
        for changed in (there, here):
            with suppress(OSError):
                os.fsync(changed)
    _tidy(root, old)


def link(root: str, old: str, new: str) -> os.stat_result:
    """Give a regular file a second name within the mirror, never over another; returns its stat.

    Raises:
        FileExistsError: something stands at `new`.
        OSError: there is nothing at `old`, or the file system has no hard links.
        TransferError: `old` is no regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, old) as (here, source), parent(root, new, create=True) as (there, target):
        _regular(here, source, old)
        os.link(source, target, src_dir_fd=here, dst_dir_fd=there, follow_symlinks=False)
        return os.stat(target, dir_fd=there, follow_symlinks=False)


def discard(root: str, relative: str) -> None:
    """Delete a folder below the state folder with all that is in it; where there is none, do nothing.

    Raises:
        TransferError: it is not below the state folder, or a folder on the way is a symbolic link.
    """
    if parts(relative)[0] != STATE:
        raise errors.TransferError(f"{relative} is not below {STATE}; it is left alone")
    with suppress(FileNotFoundError), parent(root, relative) as (here, name):
        shutil.rmtree(name, dir_fd=here)


def remove(root: str, relative: str) -> None:
    """Delete a regular file and the folders that this leaves empty, never the root.

    Raises:
        FileNotFoundError: there is nothing at `relative`.
        TransferError: it is no regular file, or a folder on the way is a symbolic link.
    """
    with parent(root, relative) as (folder, name):
        _regular(folder, name, relative)
        with _whose(folder, name):
            os.unlink(name, dir_fd=folder)
    _tidy(root, relative)


def drop(root: str, relative: str) -> None:
    """Delete a regular file and leave its folder; where there is none, do nothing.

    Raises:
        TransferError: it is no regular file, or a folder on the way is a symbolic link.
        OSError: it cannot be deleted.
    """
    with suppress(FileNotFoundError), parent(root, relative) as (folder, name):
        _regular(folder, name, relative)
        with _whose(folder, name):
            os.unlink(name, dir_fd=folder)


def drop_folder(root: str, relative: str) -> None:
    """Delete a folder if it is empty.

    Raises:
        OSError: it is not there, not empty, or no folder.
        TransferError: a folder on the way is a symbolic link.
    """
    with parent(root, relative) as (folder, name):
        os.rmdir(name, dir_fd=folder)


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


def scan(root: str, below: str = "") -> Iterator[TreeEntry]:
    """Yield everything below the root but its folders and the state folder; links are not followed.

    What vanishes during the pass is left out, and so is a folder that becomes a link. Nothing is yielded where the root
    does not exist.

    Args:
        root: the mirror's folder.
        below: a folder of it, which may be in the state folder; paths are then relative to that.

    Raises:
        OSError: a folder cannot be read.
    """
    # A folder stays open as long as one in it is to be seen: so none is reached through a link that came meanwhile.
    opened: list[tuple[int, str, list[str]]] = []
    try:
        with suppress(FileNotFoundError, errors.TransferError):
            here = _walk(root, parts(below) if below else [], create=False)
            opened.append((here, "", []))
            yield from _seen(here, "", opened[-1][2], all_of_it=bool(below))
        while opened:
            above, prefix, waiting = opened[-1]
            if not waiting:
                os.close(opened.pop()[0])
                continue
            name = waiting.pop()
            try:
                here = os.open(name, _FOLDER, dir_fd=above)
            except OSError as error:
                if error.errno not in _GONE:
                    raise
                continue
            inner = f"{prefix}{name}/"
            opened.append((here, inner, []))
            yield from _seen(here, inner, opened[-1][2], all_of_it=True)
    finally:
        for here, _, _ in opened:
            os.close(here)


def _seen(here: int, prefix: str, folders: list[str], *, all_of_it: bool) -> Iterator[TreeEntry]:
    """Yield what an open folder has, and gather the names of the folders in it."""
    with os.scandir(here) as listing:
        for entry in listing:
            name = entry.name
            try:
                if entry.is_dir(follow_symlinks=False):
                    if all_of_it or name != STATE:
                        folders.append(name)
                    continue
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield TreeEntry.of(prefix + name, found)


def listing(root: str, known: Collection[str]) -> dict[str, TreeEntry]:
    """Everything that `scan` sees, by its path, and under the spelling by which it is known.

    A file system that does not tell `a` from `A`, or one Unicode form from another, may show another spelling of a name
    than it was given.

    Args:
        root: the mirror's folder.
        known: paths that are looked for; the first of several that mean one file gets it.

    Raises:
        OSError: a folder cannot be read.
    """
    entries = {entry.path: entry for entry in scan(root)}
    missing = [path for path in known if path not in entries]
    strangers = entries.keys() - set(known) if missing else ()
    if not strangers:
        return entries
    from sedas_sync.model.path_template import comparable  # noqa: PLC0415  # seldom needed, and a look at a mirror is to be quick

    spelled = {comparable(path): path for path in sorted(strangers, reverse=True)}
    for path in missing:
        shown = spelled.get(comparable(path))
        if shown is not None and shown in entries and same(root, path, shown):
            entries[path] = entries.pop(shown)._replace(path=path)
    return entries


def same(root: str, one: str, other: str) -> bool:
    """Whether two paths lead to one file (or link), be it by two hard links or by two spellings of one name."""
    try:
        found = stat(root, one), stat(root, other)
    except (OSError, errors.TransferError):
        return False
    return found[0] is not None and found[1] is not None and os.path.samestat(found[0], found[1])


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
