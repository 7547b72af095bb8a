"""The partial file of a download, and the note that makes it safe to resume.

`<name>.part` has the bytes. `<name>.meta` beside it states which file they belong to, as a line of JSON; it is written
before the first byte that could be resumed from. While one stream fills the partial file, its length shows how far it
is. With several connections the note has a further line `start end` for every range that was written, and the length
means nothing. A partial file without a readable note is discarded.
"""

import errno
import hashlib
import json
import os
import stat as modes
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from msgspec import Struct, structs

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.folder_cache import FolderCache

_VERSION = 1
_SLICE = 1 << 19
"""Bytes of one write: on ext4 one large write was measured to be several times slower than slices."""

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGING = frozenset(
    (
        *("accesskeyid", "accesstoken", "access_token", "apikey", "api_key", "auth", "authorization", "awsaccesskeyid"),
        *("code", "credential", "expires", "expiry", "hmac", "jwt", "key", "key-pair-id", "password", "policy"),
        *("se", "security-token", "ske", "skoid", "sks", "skt", "sktid", "skv", "sig", "signature", "sp", "spr", "sr"),
        *("st", "sv", "token", "user", "username"),
    )
)
"""Parameters of a link that hold a secret or change with every signature."""
_CHANGING_PREFIXES = ("x-amz-", "x-goog-", "x-oss-")


class Note(Struct, frozen=True):
    """Which remote file the bytes of a partial file belong to."""

    identity: str
    """Hash of scene and link, see `identity`."""
    total: int | None
    etag: str | None
    modified: str | None
    digest: str | None
    validator: str | None
    """The value for `If-Range`; None if the server gave no strong one."""
    kind: str | None = None
    """The ending of the file, by the first answer; None if that is not known."""


class Resumable(Struct, frozen=True):
    """A partial download that can be resumed."""

    bytes: int
    """Bytes on disk."""
    total: int | None
    """Bytes of the whole file; None if the server did not state it."""
    kind: str | None = None
    """The ending of the file, as its first bytes showed it; None if they did not."""


def identity(scene: str, url: str) -> str:
    """Return a hash of scene and link, without the tokens and signatures of the link."""
    found = urlsplit(url)
    query = ""
    if found.query:
        stable = sorted(
            (name, value)
            for name, value in parse_qsl(found.query, keep_blank_values=True)
            if name.lower() not in _CHANGING and not name.lower().startswith(_CHANGING_PREFIXES)
        )
        query = urlencode(stable)
    plain = f"{scene}\n{found.scheme}://{found.hostname}:{found.port}{found.path}?{query}"
    return hashlib.sha256(plain.encode()).hexdigest()


def note_name(partial: str) -> str:
    """Return the path of the note of a partial file."""
    return f"{partial.removesuffix('.part')}.meta"


def write_note(
    folder: int, partial: str, note: Note, ranges: list[tuple[int, int]] | None = None, *, flush: bool = False
) -> None:
    """Replace the note of a partial file in a folder (a descriptor), completely or not at all."""
    lines = "".join(f"{start} {end}\n" for start, end in ranges or ())
    data = (json.dumps({"version": _VERSION, **structs.asdict(note)}) + "\n" + lines).encode()
    name = note_name(partial)
    draft = name.removesuffix(".meta") + ".mnew"
    file = safe_tree.create(folder, draft)
    try:
        while data:
            data = data[os.write(file, data) :]
        if flush:
            os.fsync(file)
    finally:
        os.close(file)
    os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)


def read_note(folder: int, partial: str) -> Note | None:
    """Return the note of a partial file without gaps in a folder (a descriptor); None if there is none."""
    loaded = _load(folder, note_name(partial))
    return None if loaded is None or loaded[1] else loaded[0]


def merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort ranges and join those that touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def partial_of(root: str, name: str) -> Resumable | None:
    """Return what is on disk of a file that is not complete; None if there is nothing to resume.

    Only a request shows whether the archive still has the same file.

    Args:
        root: The mirror's folder.
        name: The partial file, relative to the root (`FetchJob.partial`).
    """
    try:
        found = safe_tree.stat(root, name)
        if found is None or not modes.S_ISREG(found.st_mode) or not found.st_size:
            return None
        with safe_tree.parent(root, note_name(name)) as (folder, file):
            loaded = _load(folder, file)
    except (OSError, errors.TransferError):
        return None
    if loaded is None:
        return None
    note, ranges = loaded
    downloaded = sum(end - start for start, end in ranges) if ranges else found.st_size
    return Resumable(downloaded, note.total, note.kind)


def remove_stale_notes(root: str, below: str) -> None:
    """Delete notes without a partial file, which a kill during a rename leaves.

    Args:
        root: The mirror's folder; the caller has its process lock, and no download is running.
        below: The folder of the partial files, relative to the root.
    """
    with suppress(OSError, errors.TransferError), safe_tree.parent(root, f"{below}/-") as (folder, _):
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries}
        for name in names:
            stem, dot, kind = name.rpartition(".")
            if dot and kind in ("meta", "mnew") and f"{stem}.part" not in names:
                os.unlink(name, dir_fd=folder)


def _load(folder: int, name: str) -> tuple[Note, list[tuple[int, int]]] | None:
    try:
        # A pipe at this path must not block.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=folder), "rb") as file:
            head, *lines = file.read().split(b"\n")[:-1]
    except (OSError, ValueError):
        return None
    try:
        read: dict[str, Any] = json.loads(head)
        total = read["total"]
        if read.pop("version") != _VERSION or not (total is None or isinstance(total, int)):
            return None
        note = Note(**read)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return note, merge([one for line in lines for one in _range(line, note.total)])


def _range(line: bytes, total: int | None) -> list[tuple[int, int]]:
    """Read a line of the note; empty if the line was cut off.

    If a full disk cut a line off and the next one follows it directly, both read as the second one, or as nothing.
    """
    numbers = line.split()
    if len(numbers) != 2 or not (numbers[0].isdigit() and numbers[1].isdigit()):  # noqa: PLR2004  # start and end
        return []
    start, end = int(numbers[0]), int(numbers[1])
    return [(start, end)] if start < end and total is not None and end <= total else []


class PartialFile:
    """A partial file that is open for writing. Several threads may write after `allow_gaps`."""

    def __init__(self, root: str, name: str, folders: FolderCache) -> None:
        """Open or create the file, and read its note.

        Args:
            root: The mirror's folder.
            name: The file, relative to the root.
            folders: Opens its folder.

        Raises:
            TransferError: The file or a folder above it is a symbolic link, or not a file.
            OSError: It cannot be opened.
        """
        self.note: Note | None = None
        self.has_gaps = False
        """Whether bytes may have been written behind a gap."""
        self.committed = False
        """Whether it has its final name, so that nothing is left to tidy up."""
        self._root = root
        self._name = name
        self._ranges: list[tuple[int, int]] = []
        self._journal = -1
        self._note_written = False
        self._lock = threading.Lock()
        self.file = -1
        self._folders = folders
        self._folder, self._file_name = self._folders.borrow(root, name)
        try:
            try:
                self.file, size = _open(self._folder.file, self._file_name, name)
            except FileNotFoundError:
                # The folder was deleted after it was opened.
                self._folders.give_back(self._folder)
                self._folder, self._file_name = self._folders.borrow(root, name, again=True)
                self.file, size = _open(self._folder.file, self._file_name, name)
            if size:
                self._load_note(size)
            if size is not None and self.note is None:
                # The note cannot be resumed. One without a partial file was removed at the start of the run.
                self._unlink(note_name(self._file_name))
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        self._folders.give_back(self._folder)

    def _load_note(self, size: int) -> None:
        loaded = _load(self._folder.file, note_name(self._file_name))
        if loaded is None:
            os.ftruncate(self.file, 0)
            return
        self.note, ranges = loaded
        self.has_gaps = bool(ranges)
        self._ranges = [(start, min(end, size)) for start, end in ranges if start < size] or [(0, size)]
        self._note_written = True

    @property
    def contiguous(self) -> int:
        """Bytes before the first gap."""
        ranges = self._ranges
        return ranges[0][1] if ranges and not ranges[0][0] else 0

    @property
    def downloaded(self) -> int:
        """Bytes on disk, without gaps."""
        return sum(end - start for start, end in self._ranges)

    @property
    def complete(self) -> bool:
        """Whether all bytes are on disk that the server stated."""
        return self.note is not None and self.note.total is not None and self.contiguous == self.note.total

    def _known_note(self) -> Note:
        if self.note is None:
            raise ValueError("start() comes first")
        return self.note

    def missing(self) -> list[tuple[int, int]]:
        """Return the gaps, and the range that is missing at the end."""
        note = self._known_note()
        gaps, at = [], 0
        for start, end in [*self._ranges, (note.total or 0, note.total or 0)]:
            if start > at:
                gaps.append((at, start))
            at = end
        return gaps

    def start(self, note: Note) -> None:
        """Discard all bytes and start with a new note, which is written with the first bytes."""
        if self._ranges or self.note is not None:
            os.ftruncate(self.file, 0)
            self._drop_journal()
            if self._note_written:
                self._write_note(note)
        self.note = note
        self.has_gaps = False
        self._ranges = []

    def discard(self) -> None:
        """Discard all bytes."""
        os.ftruncate(self.file, 0)
        self._drop_journal()
        if self._note_written:
            self._unlink(note_name(self._file_name))
            self._note_written = False
        self.note = None
        self.has_gaps = False
        self._ranges = []

    def amend(self, note: Note) -> None:
        """Change the note, for example when the size becomes known."""
        self.note = note
        if self._note_written and not self.has_gaps:
            self._write_note(note)

    def append(self, data: bytes | memoryview, *, last: bool = False) -> None:
        """Write the next bytes; a file that is complete with its first bytes (`last`) needs no note."""
        if not self._note_written and not last:
            # A power cut may keep the bytes and leave an empty note, with which they cannot be resumed.
            self._write_note(self._known_note(), flush=True)
        at = self.contiguous
        try:
            for at in self._write(data, at):  # noqa: B007, B020  # the last position counts, also after an error
                pass
        finally:
            self._ranges = [(0, at)] if at else []

    def allow_gaps(self) -> None:
        """Prepare for bytes behind gaps: from now on the note states which ranges were written."""
        if not self._ranges:
            raise ValueError("a note without ranges means a file without gaps")
        # The gaps must be known after a power cut too.
        self._write_note(self._known_note(), self._ranges, flush=True)
        self._drop_journal()
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._journal = os.open(note_name(self._file_name), flags, dir_fd=self._folder.file)
        self.has_gaps = True

    def write_at(self, data: bytes | memoryview, at: int) -> None:
        """Write and note a range; any thread may call it."""
        *_, end = self._write(data, at)
        os.write(self._journal, b"%d %d\n" % (at, end))
        with self._lock:
            self._ranges = merge([*self._ranges, (at, end)])

    def _write(self, data: bytes | memoryview, at: int) -> Iterator[int]:
        """Write bytes, and yield the position after each part of them."""
        view = memoryview(data)
        while view:
            count = os.pwrite(self.file, view[:_SLICE], at)
            at += count
            view = view[count:]
            yield at

    def save_note(self) -> None:
        """Write the note, so that the bytes can be resumed, if the disk allows it."""
        if self.note is not None and self._ranges and not self._note_written:
            with suppress(OSError):
                self._write_note(self.note)

    def flush(self) -> None:
        """Flush the bytes to the disk."""
        os.fsync(self.file)

    def commit(self, final: str, *, replace: safe_tree.Replace = False) -> os.stat_result:
        """Rename the complete file to its final path, relative to the root, and return its stat.

        Raises:
            FileExistsError: There is a file at the path that `replace` does not name.
            TransferError: A component of the path is a symbolic link or not a folder.
        """
        target, name = self._folders.borrow(self._root, final)
        try:
            found = safe_tree.place_at(self._folder.file, self._file_name, target.file, name, replace=replace)
        except FileNotFoundError:
            # A folder was deleted or moved after it was opened: use the paths.
            found = safe_tree.place(self._root, self._name, final, replace=replace)
        finally:
            self._folders.give_back(target)
        self.committed = True
        if self._note_written:
            self._unlink(note_name(self._file_name))
        return found

    def close(self) -> None:
        """Close the files, and delete an empty partial file."""
        self._drop_journal()
        try:
            if self.committed:
                return
            mine = os.fstat(self.file)
            if mine.st_size or mine.st_nlink > 1:
                return
            with suppress(FileNotFoundError):
                # A run that lost the lock leaves alone what another one has created since.
                named = os.stat(self._file_name, dir_fd=self._folder.file, follow_symlinks=False)
                if os.path.samestat(mine, named):
                    self._unlink(self._file_name)
                    self._unlink(note_name(self._file_name))
        finally:
            self._release()

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder.file)

    def _write_note(self, note: Note, ranges: list[tuple[int, int]] | None = None, *, flush: bool = False) -> None:
        write_note(self._folder.file, self._file_name, note, ranges, flush=flush)
        self._note_written = True

    def _drop_journal(self) -> None:
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1


def _open(folder: int, name: str, shown: str) -> tuple[int, int | None]:
    """Open or create a partial file; return its descriptor and its length, None if there was none."""
    with suppress(FileExistsError):
        return os.open(name, _FLAGS | os.O_EXCL, 0o666, dir_fd=folder), None
    try:
        file = os.open(name, _FLAGS, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise errors.TransferError(
                f"{shown} in the mirror is a symbolic link; nothing is written through it"
            ) from error
        if error.errno == errno.EISDIR:
            raise errors.TransferError(f"{shown} in the mirror is a folder") from error
        raise
    found = os.fstat(file)
    if found.st_size and found.st_nlink == 1 and modes.S_ISREG(found.st_mode):
        return file, found.st_size
    os.close(file)
    if not modes.S_ISREG(found.st_mode):
        raise errors.TransferError(f"{shown} in the mirror is not a regular file")
    # A file with two names: a kill came between the link to the final path and the removal of this name, and the scene
    # must not be touched. An empty one: a run that stood still and lost the lock deletes it when it ends.
    os.unlink(name, dir_fd=folder)
    return os.open(name, _FLAGS | os.O_EXCL, 0o666, dir_fd=folder), 0
