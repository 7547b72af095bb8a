"""Unpack the zip of a product into a new folder.

The zip may come from anywhere. Before a byte is written its directory is checked, and every entry gets a path that
exists once and is safe on any file system. While the entries are unpacked, their lengths and CRCs are compared with the
directory, and their SHA-256 is computed.
"""

import errno
import hashlib
import lzma
import os
import stat as modes
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from msgspec import Struct

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, zip_check, zip_records
from sedas_sync.files.bring import copy_and_hash
from sedas_sync.files.disk_space import free_space
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.files import contents_digest
from sedas_sync.model.local import LocalFile, ProofLevel
from sedas_sync.model.path_template import MAX_PATH, comparable, is_file_name
from sedas_sync.model.text import size as size_text

MAX_ENTRIES = 100_000
MAX_RATIO = 100
"""How much larger than its zip a folder may be."""
ALWAYS_ALLOWED = 1 << 30
"""Bytes that a folder may have whatever the size of its zip."""
_SLICE = 1 << 20
_ENCRYPTED = 1
"""A flag of an entry."""
_KINDS = frozenset({0, modes.S_IFREG, modes.S_IFDIR})
"""Kinds of entries that are unpacked; zips made on Windows state none."""
BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError, OverflowError)
"""Errors of `zipfile` about a zip that it cannot unpack; `NotImplementedError` is a `RuntimeError`."""


class CannotUnpackError(TransferError):
    """The zip is damaged, or cannot be unpacked safely; another try has the same result."""


class ZipContents(Struct, frozen=True, kw_only=True):
    """What the folder of a zip will contain."""

    name: str
    """The only folder at the top of the zip, which becomes the scene's folder; empty if there are several, or files."""
    files: dict[str, zipfile.ZipInfo]
    """By their paths below the scene's folder."""
    folders: tuple[str, ...]
    """Folders that the zip lists: they are made even if they are empty."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(info.file_size for info in self.files.values())


@contextmanager
def _opened(root: str, path: str) -> Iterator[tuple[int, zipfile.ZipFile]]:
    """Open a zip below the root.

    Raises:
        CannotUnpackError: It is damaged, or an entry is.
        OSError: It cannot be read, or what is unpacked cannot be written.
    """
    with safe_tree.reading(root, path) as file:
        try:
            with zipfile.ZipFile(file) as opened:
                yield file.fileno(), opened
        except BROKEN_ZIP as error:
            raise CannotUnpackError(f"{path} cannot be unpacked: {error}") from error


def read_contents(root: str, path: str) -> ZipContents:
    """Return what the folder of a zip will contain.

    Args:
        root: The mirror's folder.
        path: The zip, relative to the root.

    Raises:
        CannotUnpackError: The zip is damaged or too large, or an entry cannot be unpacked safely.
        OSError: The zip cannot be read.
    """
    with safe_tree.reading(root, path) as file:
        # Before its directory is in memory as a whole.
        length = os.fstat(file.fileno()).st_size
        try:
            count = zip_records.find_end(file.fileno(), length).entries
        except ValueError as error:
            raise CannotUnpackError(f"{path} cannot be unpacked: {error}") from error
    if count > MAX_ENTRIES:
        raise CannotUnpackError(f"{path} cannot be unpacked: it has {count:,} entries, more than {MAX_ENTRIES:,}")
    with _opened(root, path) as (descriptor, archive):
        problem, _ = zip_check.problem(descriptor, length, crc=False, trailing_allowed=True)
        if problem is not None:
            raise ValueError(problem)
        infos = archive.infolist()
        for info in infos:
            _check_entry(info)
        contents = _arranged(infos)
        if contents.size > max(ALWAYS_ALLOWED, MAX_RATIO * length):
            raise ValueError(f"it would become {size_text(contents.size)}, from {size_text(length)}")
        return contents


def contents_in(root: str, path: str) -> str | None:
    """Return what a zip contains, as `contents_digest`; None if it cannot be unpacked.

    Raises:
        OSError: The zip cannot be read.
    """
    try:
        files = read_contents(root, path).files
    except TransferError:
        return None
    return contents_digest((name, info.file_size, info.CRC) for name, info in files.items())


def _check_entry(info: zipfile.ZipInfo) -> None:
    """Check the name and the kind of an entry.

    Raises:
        ValueError: It cannot be unpacked safely.
    """
    shown = ascii(info.orig_filename)[1:-1][-120:]
    if info.orig_filename.startswith("/"):
        raise ValueError(f"the path of its entry {shown} is absolute")
    names = info.filename.removesuffix("/").split("/")
    if ".." in names:
        raise ValueError(f"its entry {shown} leads out of the folder")
    if info.orig_filename != info.filename or not all(map(is_file_name, names)):
        raise ValueError(f"the name of its entry {shown} is not possible on every file system")
    if STATE in map(comparable, names):
        raise ValueError(f"its entry {shown} is in a folder {STATE}, which belongs to a mirror")
    if len(os.fsencode(info.filename)) > MAX_PATH:
        raise ValueError(f"the path of its entry {shown} is longer than {MAX_PATH} bytes")
    if modes.S_IFMT(info.external_attr >> 16) not in _KINDS:
        raise ValueError(f"its entry {shown} is a link or a special file")
    if info.flag_bits & _ENCRYPTED:
        raise ValueError(f"its entry {shown} is encrypted")
    if info.is_dir() and info.file_size:
        raise ValueError(f"its entry {shown} is a folder with bytes of its own")


def _arranged(infos: Iterable[zipfile.ZipInfo]) -> ZipContents:
    """Return the paths of entries below the scene's folder.

    Raises:
        ValueError: Two entries would be one file, or there is no file.
    """
    files = {info.filename: info for info in infos if not info.is_dir()}
    folders = {info.filename.rstrip("/") for info in infos if info.is_dir()}
    if not files:
        raise ValueError("it has no files")
    for name in [*files, *folders]:
        while "/" in name:
            name = name.rpartition("/")[0]  # noqa: PLW2901  # from the inner folder to the outer one
            folders.add(name)
    known: dict[str, str] = {}
    for name in (*(info.filename for info in infos if not info.is_dir()), *folders):
        if (other := known.get(comparable(name))) is not None:
            raise ValueError(f"its entries {other!a} and {name!a} would be one file")
        known[comparable(name)] = name
    tops = {name.partition("/")[0] for name in (*files, *folders)}
    top = tops.pop() if len(tops) == 1 and not files.keys() & tops else ""
    start = len(top) + 1 if top else 0
    return ZipContents(
        name=top,
        files={name[start:]: info for name, info in files.items()},
        folders=tuple(sorted(name[start:] for name in folders if name != top)),
    )


def unpack(
    root: str,
    path: str,
    contents: ZipContents,
    place: str,
    *,
    level: ProofLevel,
    stopped: Callable[[], bool] = lambda: False,
) -> list[LocalFile]:
    """Unpack a zip into a new folder; everything is on the disk when this returns.

    Args:
        root: The mirror's folder.
        path: The zip, relative to the root.
        contents: From `read_contents`.
        place: The folder, relative to the root; it does not exist yet.
        level: How the zip was proved.
        stopped: Called now and then; a true result ends it.

    Returns:
        The files of the folder. Each is proved as the zip was, or at least by its CRC.

    Raises:
        CannotUnpackError: An entry is damaged.
        InterruptedError: `stopped` returned true.
        OSError: The folder cannot be written, or has no room.
    """
    free = free_space(root)
    if free is not None and contents.size > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), place)
    proved = ProofLevel.DIGEST if level is ProofLevel.DIGEST else ProofLevel.CRC
    files = []
    with _opened(root, path) as (_, archive):
        for folder in ("", *contents.folders):
            safe_tree.prepare(root, f"{place}/{folder}/-" if folder else f"{place}/-")
        for name, info in contents.files.items():
            with archive.open(info) as packed:
                size, mtime_ns, sha256 = _write(root, f"{place}/{name}", packed, info.file_size, stopped)
            files.append(
                LocalFile(name=name, size=size, mtime_ns=mtime_ns, sha256=sha256, level=proved, crc32=info.CRC)
            )
    for folder in ("", *contents.folders):
        safe_tree.sync(root, f"{place}/{folder}/-" if folder else f"{place}/-")
    return files


def read_unpacked(
    root: str, contents: ZipContents, place: str, stopped: Callable[[], bool] = lambda: False
) -> list[LocalFile]:
    """Read a folder into which a zip was unpacked by another program.

    Args:
        root: The mirror's folder.
        contents: From `read_contents`.
        place: The folder, relative to the root.
        stopped: Called now and then; a true result ends it.

    Returns:
        The files of the folder; nothing if one of them has not the size and the CRC of the zip's entry.

    Raises:
        InterruptedError: `stopped` returned true.
        OSError, TransferError: a file cannot be read.
    """
    files = []
    for name, info in contents.files.items():
        digest, crc = hashlib.sha256(), 0
        with safe_tree.reading(root, f"{place}/{name}") as file:
            while data := file.read(_SLICE):
                if stopped():
                    raise InterruptedError
                digest.update(data)
                crc = zlib.crc32(data, crc)
            found = os.fstat(file.fileno())
        if (found.st_size, crc) != (info.file_size, info.CRC):
            return []
        files.append(
            LocalFile(
                name=name,
                size=found.st_size,
                mtime_ns=found.st_mtime_ns,
                sha256=digest.hexdigest(),
                level=ProofLevel.CRC,
                crc32=crc,
            )
        )
    return files


def _write(root: str, path: str, packed: IO[bytes], expected: int, stopped: Callable[[], bool]) -> tuple[int, int, str]:
    """Write the bytes of an entry; return the size, mtime and SHA-256 of the file."""
    with os.fdopen(safe_tree.open_file(root, path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        # At its end `zipfile` compares the CRC.
        sha256 = copy_and_hash(packed, file, stopped)
        written = os.fstat(file.fileno())
    if written.st_size != expected:
        raise ValueError(f"its entry {packed.name!a} ends early")
    return written.st_size, written.st_mtime_ns, sha256
