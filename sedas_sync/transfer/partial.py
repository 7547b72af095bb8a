"""The file a download grows in, and the note beside it that makes going on safe.

`<name>.part` holds the bytes, `<name>.meta` beside it says of which file they are: a line of JSON, written
before the first byte that could be gone on from. While one stream fills the part its length says how far it
is. Once several do, the note has a further line `start end` for every stretch that has been written, and the
length says nothing. A part without a note that can be read is worth nothing and is begun anew.
"""

import errno
import hashlib
import json
import os
import stat as modes
import threading
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from sedas_sync import errors
from sedas_sync.files import safe_tree

_VERSION = 1
_SLICE = 1 << 19
"""One large write was measured several times slower on ext4 than the same bytes in slices."""

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_SECRET = frozenset(
    {
        "accesskeyid",
        "accesstoken",
        "access_token",
        "apikey",
        "api_key",
        "auth",
        "authorization",
        "awsaccesskeyid",
        "code",
        "credential",
        "expires",
        "expiry",
        "hmac",
        "jwt",
        "key",
        "key-pair-id",
        "password",
        "policy",
        "se",
        "security-token",
        "ske",
        "skoid",
        "sks",
        "skt",
        "sktid",
        "skv",
        "sig",
        "signature",
        "sp",
        "spr",
        "sr",
        "st",
        "sv",
        "token",
        "user",
        "username",
    }
)
_SECRET_PREFIXES = ("x-amz-", "x-goog-", "x-oss-")


@dataclass(frozen=True, slots=True)
class Note:
    """Of which file the bytes of a part are."""

    identity: str
    """Of scene and link, without anything secret or short-lived."""
    total: int | None
    etag: str | None
    modified: str | None
    digest: str | None
    validator: str | None
    """What a server can be asked to compare (`If-Range`); None where it gave nothing that is strong
    enough."""


@dataclass(frozen=True, slots=True)
class Resumable:
    """A partial download that can be gone on with."""

    bytes: int
    """How many are here."""
    total: int | None
    """How many it will be, where the server said."""


def identity(scene: str, url: str) -> str:
    """Hash of what stays the same about a link while tokens and signatures in it come and go."""
    found = urlsplit(url)
    query = ""
    if found.query:
        lasting = sorted(
            (name, value)
            for name, value in parse_qsl(found.query, keep_blank_values=True)
            if name.lower() not in _SECRET and not name.lower().startswith(_SECRET_PREFIXES)
        )
        query = urlencode(lasting)
    plain = f"{scene}\n{found.scheme}://{found.hostname}:{found.port}{found.path}?{query}"
    return hashlib.sha256(plain.encode()).hexdigest()


def note_name(partial: str) -> str:
    """Where the note of a part is."""
    return f"{partial.removesuffix('.part')}.meta"


def write_note(
    here: int, partial: str, note: Note, stretches: list[tuple[int, int]] | None = None, *, flush: bool = False
) -> None:
    """Write the note of a part in the folder `here` (a descriptor) as a whole, or leave the one that is there."""
    lines = "".join(f"{start} {end}\n" for start, end in stretches or ())
    data = (json.dumps({"version": _VERSION, **asdict(note)}) + "\n" + lines).encode()
    last = note_name(partial)
    draft = last.removesuffix(".meta") + ".mnew"
    file = safe_tree.anew(here, draft)
    try:
        while data:
            data = data[os.write(file, data) :]
        if flush:
            os.fsync(file)
    finally:
        os.close(file)
    os.replace(draft, last, src_dir_fd=here, dst_dir_fd=here)


def read_note(here: int, partial: str) -> Note | None:
    """The note of a part in the folder `here` (a descriptor) that has no gaps; None where there is none."""
    loaded = _load(here, note_name(partial))
    return None if loaded is None or loaded[1] else loaded[0]


def merge(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sort stretches and join those that touch."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def partial_of(root: str, name: str) -> Resumable | None:
    """Say what is here of a scene that is not complete; None where there is nothing to go on with.

    Whether the archive still has the very same file shows only when it is asked.

    Args:
        root: the mirror's folder.
        name: the part, relative to the root (`Job.partial`).
    """
    try:
        found = safe_tree.stat(root, name)
        if found is None or not modes.S_ISREG(found.st_mode) or not found.st_size:
            return None
        with safe_tree.parent(root, note_name(name)) as (here, note):
            loaded = _load(here, note)
    except (OSError, errors.TransferError):
        return None
    if loaded is None:
        return None
    note_of, stretches = loaded
    have = sum(end - start for start, end in stretches) if stretches else found.st_size
    return Resumable(have, note_of.total)


def remove_stale_notes(root: str, place: str) -> None:
    """Take away notes whose parts are gone, as a kill in the moment of a rename leaves them.

    Args:
        root: the mirror's folder; the caller holds its lock, and nothing is under way.
        place: the folder of the parts, relative to the root.
    """
    with suppress(OSError, errors.TransferError), safe_tree.parent(root, f"{place}/-") as (here, _):
        with os.scandir(here) as entries:
            names = {entry.name for entry in entries}
        for name in names:
            stem, dot, kind = name.rpartition(".")
            if dot and kind in ("meta", "mnew") and f"{stem}.part" not in names:
                os.unlink(name, dir_fd=here)


def _load(here: int, name: str) -> tuple[Note, list[tuple[int, int]]] | None:
    try:
        # A pipe in its place keeps nobody waiting.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=here), "rb") as file:
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
    return note, merge([stretch for line in lines for stretch in _stretch(line, note.total)])


def _stretch(line: bytes, total: int | None) -> list[tuple[int, int]]:
    """Read a line; nothing where it was torn.

    A line that was torn by a full disk and has the next one run on to it reads as part of that one, or as
    nothing.
    """
    numbers = line.split()
    if len(numbers) != 2 or not (numbers[0].isdigit() and numbers[1].isdigit()):  # noqa: PLR2004 - start and end
        return []
    start, end = int(numbers[0]), int(numbers[1])
    return [(start, end)] if start < end and total is not None and end <= total else []


class Partial:
    """A part that is open for writing. Several threads may write once `scatter` was called."""

    def __init__(self, root: str, name: str, folders: safe_tree.Folders | None = None) -> None:
        """Open the part, or make it, and read its note.

        Args:
            root: the mirror's folder.
            name: the part, relative to the root.
            folders: what to open its folder with; None: by itself.

        Raises:
            TransferError: the part or a folder above it is a symbolic link, or no file.
            OSError: it cannot be opened.
        """
        self.note: Note | None = None
        self.scattered = False
        """Whether bytes may stand behind a gap."""
        self.placed = False
        """Whether it has become the scene, so that nothing of it is left to tidy up."""
        self._root = root
        self._name = name
        self._stretches: list[tuple[int, int]] = []
        self._journal = -1
        self._noted = False
        self._lock = threading.Lock()
        self.file = -1
        self._folders = folders or safe_tree.Folders()
        self._held, self._last = self._folders.take(root, name)
        try:
            try:
                self.file, size = _open(self._held.file, self._last, name)
            except FileNotFoundError:
                # The folder was deleted since it was opened.
                self._folders.give_back(self._held)
                self._held, self._last = self._folders.take(root, name, anew=True)
                self.file, size = _open(self._held.file, self._last, name)
            if size:
                self._adopt(size)
            if self.note is None:
                # Of a part that has become its scene, or that nothing can be gone on from.
                self._unlink(note_name(self._last))
        except BaseException:
            self._let_go()
            raise

    def _let_go(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        self._folders.give_back(self._held)

    def _adopt(self, size: int) -> None:
        loaded = _load(self._held.file, note_name(self._last))
        if loaded is None:
            os.ftruncate(self.file, 0)
            return
        self.note, stretches = loaded
        self.scattered = bool(stretches)
        self._stretches = [(start, min(end, size)) for start, end in stretches if start < size] or [(0, size)]
        self._noted = True

    @property
    def frontier(self) -> int:
        """How many bytes are there without a gap."""
        stretches = self._stretches
        return stretches[0][1] if stretches and not stretches[0][0] else 0

    @property
    def have(self) -> int:
        """How many bytes are there, gaps left out."""
        return sum(end - start for start, end in self._stretches)

    @property
    def complete(self) -> bool:
        """Whether as many bytes are there as the server said."""
        return self.note is not None and self.note.total is not None and self.frontier == self.note.total

    def _noted_as(self) -> Note:
        if self.note is None:
            raise ValueError("begin() comes first")
        return self.note

    def missing(self) -> list[tuple[int, int]]:
        """The gaps, and what is missing at the end."""
        note = self._noted_as()
        gaps, at = [], 0
        for start, end in [*self._stretches, (note.total or 0, note.total or 0)]:
            if start > at:
                gaps.append((at, start))
            at = end
        return gaps

    def begin(self, note: Note) -> None:
        """Forget what is there and begin anew; the note is written with the first bytes."""
        if self._stretches or self.note is not None:
            os.ftruncate(self.file, 0)
            self._drop_journal()
            if self._noted:
                self._write_note(note)
        self.note = note
        self.scattered = False
        self._stretches = []

    def discard(self) -> None:
        """Forget what is there."""
        os.ftruncate(self.file, 0)
        self._drop_journal()
        if self._noted:
            self._unlink(note_name(self._last))
            self._noted = False
        self.note = None
        self.scattered = False
        self._stretches = []

    def amend(self, note: Note) -> None:
        """Take in what has become known since, such as the length."""
        self.note = note
        if self._noted and not self.scattered:
            self._write_note(note)

    def append(self, view: memoryview, *, last: bool = False) -> None:
        """Write the next bytes; with `last` a part that never had a note needs none."""
        if not self._noted and not last:
            self._write_note(self._noted_as())
        at = self.frontier
        try:
            while view:
                count = os.pwrite(self.file, view[:_SLICE], at)
                at += count
                view = view[count:]
        finally:
            self._stretches = [(0, at)] if at else []

    def scatter(self) -> None:
        """Prepare for bytes behind gaps: from now on the note says which are there."""
        if not self._stretches:
            raise ValueError("a note without stretches means a part without gaps")
        # After a power cut too a part with gaps has to be known as one.
        self._write_note(self._noted_as(), self._stretches, flush=True)
        self._drop_journal()
        flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._journal = os.open(note_name(self._last), flags, dir_fd=self._held.file)
        self.scattered = True

    def write_at(self, view: memoryview, at: int) -> None:
        """Write a stretch and note it; any thread may."""
        start = at
        while view:
            count = os.pwrite(self.file, view[:_SLICE], at)
            at += count
            view = view[count:]
        os.write(self._journal, b"%d %d\n" % (start, at))
        with self._lock:
            self._stretches = merge([*self._stretches, (start, at)])

    def keep(self) -> None:
        """See to it that what is there can be gone on with, as far as the disk lets us."""
        if self.note is not None and self._stretches and not self._noted:
            with suppress(OSError):
                self._write_note(self.note)

    def flush(self) -> None:
        """Bring the bytes to the disk."""
        os.fsync(self.file)

    def place(self, final: str, *, replace: safe_tree.Replace = False) -> os.stat_result:
        """Give the finished part its final name, relative to the root; returns its stat. See `folder.place`.

        Raises:
            FileExistsError: something has the name that does not give way.
            TransferError: a component of the path is a symbolic link or no folder.
        """
        target, name = self._folders.take(self._root, final)
        try:
            found = safe_tree.place_at(self._held.file, self._last, target.file, name, replace=replace)
        except FileNotFoundError:
            # One of the folders was deleted or moved since it was opened; the paths say what is true now.
            found = safe_tree.place(self._root, self._name, final, replace=replace)
        finally:
            self._folders.give_back(target)
        self.placed = True
        if self._noted:
            self._unlink(note_name(self._last))
        return found

    def close(self) -> None:
        """Close the files; what is in them stays, an empty part does not."""
        self._drop_journal()
        try:
            if self.placed:
                return
            found = os.fstat(self.file)
            if not found.st_size and found.st_nlink == 1:
                self._unlink(self._last)
                self._unlink(note_name(self._last))
        finally:
            self._let_go()

    def _unlink(self, name: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._held.file)

    def _write_note(self, note: Note, stretches: list[tuple[int, int]] | None = None, *, flush: bool = False) -> None:
        write_note(self._held.file, self._last, note, stretches, flush=flush)
        self._noted = True

    def _drop_journal(self) -> None:
        if self._journal >= 0:
            os.close(self._journal)
            self._journal = -1


def _open(here: int, last: str, shown: str) -> tuple[int, int]:
    """Open a part, or make it; returns its descriptor and its length."""
    try:
        file = os.open(last, _FLAGS, 0o666, dir_fd=here)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise errors.TransferError(
                f"{shown} in the mirror is a symbolic link; nothing is written through it"
            ) from error
        if error.errno == errno.EISDIR:
            raise errors.TransferError(f"{shown} in the mirror is a folder") from error
        raise
    found = os.fstat(file)
    if modes.S_ISREG(found.st_mode) and found.st_nlink == 1:
        return file, found.st_size
    os.close(file)
    if not modes.S_ISREG(found.st_mode):
        raise errors.TransferError(f"{shown} in the mirror is not a regular file")
    # A finished scene whose part was not taken away before a kill: the other name is the scene's and must not
    # be touched.
    os.unlink(last, dir_fd=here)
    return os.open(last, _FLAGS | os.O_EXCL, 0o666, dir_fd=here), 0
