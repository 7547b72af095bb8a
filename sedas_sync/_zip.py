"""Zip archives as far as proving them whole goes: the directory, and the CRC of every entry.

`Stream` follows the bytes of a zip as they arrive and has the CRCs ready when the last byte has come;
`problem` judges the finished file by its central directory, takes from the stream what that has proved, and
reads the rest. Layout of the records: PKWARE's APPNOTE 6.3.10, sections 4.3.7 to 4.3.16.
"""

import importlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

_fast: Any
try:
    # The same interface, nearly three times as quick; not built for every platform.
    _fast = importlib.import_module("isal.isal_zlib")
except ImportError:
    _fast = zlib
_crc32: Callable[[bytes | memoryview, int], int] = _fast.crc32
_BROKEN: tuple[type[Exception], ...] = (zlib.error, _fast.error)
_UNREADABLE: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, *_BROKEN)

MAGIC = b"PK\x03\x04"
"""How every zip begins that holds something."""

_LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQHHLLQQQQ")
_AFTER_ENTRY = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x06", b"PK\x06\x08")
_STORED, _DEFLATED, _BZIP2 = 0, 8, 12
_ENCRYPTED, _DESCRIPTOR = 0x1, 0x8
_ALL16, _ALL32 = 0xFFFF, 0xFFFFFFFF
_SLICE = 96 << 10
"""The most that is read or inflated at once. The C library gives larger blocks back to the kernel each time, and
the page faults of taking them anew were measured at a quarter of the cost of inflating."""

_INPUT = 1 << 15
_WIDE = 8


class Inflater(Protocol):
    """The part of a zlib decompression object that is used."""

    unconsumed_tail: bytes
    unused_data: bytes
    eof: bool

    def decompress(self, data: bytes | memoryview, max_length: int = ..., /) -> bytes:
        """Inflate at most `max_length` bytes."""
        ...


class Entry(NamedTuple):
    """One line of the central directory."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    """Length of its data in the file."""
    size: int
    offset: int
    """Where its local header is."""


class Seen(NamedTuple):
    """What the stream has found out about the entry at an offset."""

    name: bytes
    crc: int
    packed: int
    size: int


class Unprovable(Exception):
    """An entry that is encrypted or packed in a way that cannot be unpacked here."""


def _wide(extra: bytes | memoryview, *values: int) -> list[int]:
    """Put the 64-bit values of the zip64 extra field in the place of those that are all ones."""
    found = list(values)
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = bytes(extra[at + 4 : at + 4 + length])
            for number, value in enumerate(found):
                if value == _ALL32 and len(field) >= _WIDE:
                    found[number] = int.from_bytes(field[:_WIDE], "little")
                    field = field[_WIDE:]
            break
        at += 4 + length
    return found


class _Inflation:
    """CRC and lengths of one deflated entry, fed in pieces; memory does not grow with the ratio."""

    def __init__(self) -> None:
        self._inflater: Inflater = _fast.decompressobj(-15)
        self.crc = 0
        self.size = 0
        self.packed = 0
        self.done = False

    def feed(self, view: memoryview) -> int:
        """Take in what belongs to the entry; returns how much of the view that was."""
        taken = 0
        while taken < len(view) and not self.done:
            data: bytes | memoryview = view[taken : taken + _INPUT]
            taken += len(data)
            while True:
                out = self._inflater.decompress(data, _SLICE)
                self.crc = _crc32(out, self.crc)
                self.size += len(out)
                if self._inflater.eof:
                    taken -= len(self._inflater.unused_data)
                    self.done = True
                    break
                data = self._inflater.unconsumed_tail
                if not data and len(out) < _SLICE:
                    break
        self.packed += taken
        return taken


class Stream:
    """Follows a zip from its first byte and keeps a `Seen` of each entry that ended.

    It never judges: where the bytes make no sense to it, it stops looking, and what it has not seen is read
    again.
    """

    def __init__(self) -> None:
        self.seen: dict[int, Seen] = {}
        self._position = 0
        self._held = bytearray()
        self._looking = True
        self._start = 0
        self._name = b""
        self._left = 0
        self._crc = 0
        self._stored: tuple[int, int] | None = None
        self._inflation: _Inflation | None = None
        self._descriptor = False

    def update(self, view: memoryview) -> None:
        """Take in the next bytes of the file."""
        at, end = 0, len(view)
        while self._looking and at < end:
            if self._inflation is not None:
                at += self._inflate(self._inflation, view[at:])
            elif self._stored is not None:
                count = min(self._left, end - at)
                self._crc = _crc32(view[at : at + count], self._crc)
                self._left -= count
                self._position += count
                at += count
                if not self._left:
                    self._close(self._crc, *self._stored)
            else:
                at += self._header(view[at:])

    def _close(self, crc: int, packed: int, size: int) -> None:
        self.seen[self._start] = Seen(self._name, crc, packed, size)
        self._stored = None
        self._inflation = None

    def _inflate(self, inflation: _Inflation, view: memoryview) -> int:
        try:
            taken = inflation.feed(view)
        except _BROKEN:
            self._looking = False
            return len(view)
        self._position += taken
        if inflation.done:
            self._close(inflation.crc, inflation.packed, inflation.size)
        return taken

    def _header(self, view: memoryview) -> int:
        """Collect a descriptor and the local header after it; returns how much of the view was taken."""
        before = len(self._held)
        # A header with its name and extra field rarely passes half a kilobyte; what is too much is handed
        # back.
        self._held += view[: max(512, _LOCAL.size + 2 * _ALL16 + 64 - before) if before else 512]
        held = self._held
        skip = self._after_descriptor(held)
        if skip is None:
            return len(held) - before
        if len(held) < skip + _LOCAL.size:
            return len(held) - before
        fields = _LOCAL.unpack_from(held, skip)
        if fields[0] != MAGIC:
            self._looking = False
            return len(view)
        whole = skip + _LOCAL.size + fields[9] + fields[10]
        if len(held) < whole:
            return len(held) - before
        self._begin(fields, bytes(held[skip + _LOCAL.size : whole]), self._position + skip)
        self._held = bytearray()
        self._position += whole
        return int(whole) - before

    def _after_descriptor(self, held: bytearray) -> int | None:
        """Length of the data descriptor before the next record; None while that cannot be told yet."""
        if not self._descriptor:
            return 0
        lengths = (16, 24) if held[:4] == b"PK\x07\x08" else (12, 20)
        if len(held) < lengths[1] + 4:
            return None
        for length in lengths:
            if held[length : length + 4] in _AFTER_ENTRY:
                return length
        self._looking = False
        return None

    def _begin(self, fields: tuple[Any, ...], tail: bytes, start: int) -> None:
        flags: int
        method: int
        packed: int
        size: int
        name_length: int
        _, _, flags, method, _, _, _, packed, size, name_length, _ = fields
        self._start = start
        self._name = tail[:name_length]
        self._descriptor = bool(flags & _DESCRIPTOR)
        if _ALL32 in {packed, size}:
            size, packed = _wide(tail[name_length:], size, packed)
        if flags & _ENCRYPTED:
            self._looking = False
        elif method == _DEFLATED:
            self._inflation = _Inflation()
        elif method == _STORED and not self._descriptor:
            self._crc = 0
            self._left = packed
            self._stored = (packed, size)
            if not packed:
                self._close(0, packed, size)
        else:
            self._looking = False


class _Whole(NamedTuple):
    """The record at the end of a zip."""

    start: int
    """Where the central directory has to end."""
    entries: int
    length: int
    offset: int
    trailing: int
    """Bytes after the record and its comment."""


def directory(file: int, size: int) -> tuple[list[Entry], int]:
    """Read the central directory; returns its entries and the number of bytes after its end.

    Args:
        file: descriptor of the file.
        size: length of the file.

    Raises:
        ValueError: it is not whole, with the reason.
    """
    end = _end(file, size)
    if end.offset + end.length != end.start:
        raise ValueError("its directory is not where it should be")
    raw = os.pread(file, end.length, end.offset)
    if len(raw) != end.length:
        raise ValueError("its directory is cut off")
    entries = list(_entries(raw))
    if not end.entries:
        raise ValueError("it is empty")
    if len(entries) != end.entries:
        raise ValueError(f"its directory holds {len(entries)} entries and should hold {end.entries}")
    if any(entry.offset + _LOCAL.size + len(entry.name) + entry.packed > end.offset for entry in entries):
        raise ValueError("an entry reaches beyond its end")
    return entries, end.trailing


def _end(file: int, size: int) -> _Whole:
    """Find the record at the end, in its last bytes or as far before them as a comment may be long."""
    for reach in (1 << 12, _END.size + _ALL16 + 1):
        start = max(0, size - reach)
        tail = os.pread(file, size - start, start)
        at = tail.rfind(b"PK\x05\x06")
        if 0 <= at <= len(tail) - _END.size:
            break
    else:
        raise ValueError("it has no directory (it is cut off, or no zip)")
    _, disk, first_disk, _, count, length, offset, comment = _END.unpack_from(tail, at)
    end = start + at
    trailing = size - (end + _END.size + comment)
    if trailing < 0:
        raise ValueError("its last bytes are missing")
    if disk != first_disk or _ALL16 > disk > 0:
        raise ValueError("it is one part of several")
    if _ALL16 in {count, disk} or _ALL32 in {length, offset}:
        wide = _end64(file, end)
        if wide is not None:
            end, count, length, offset = wide
    return _Whole(end, count, length, offset, trailing)


def _end64(file: int, end: int) -> tuple[int, int, int, int] | None:
    """Read the zip64 record that goes before; None where there is none, and the numbers mean themselves."""
    locator = os.pread(file, _END64_LOCATOR.size, max(0, end - _END64_LOCATOR.size))
    if locator[:4] != b"PK\x06\x07":
        return None
    start = _END64_LOCATOR.unpack(locator)[2]
    record = os.pread(file, _END64.size, start)
    if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
        raise ValueError("its zip64 directory is not where it should be")
    *_, count, length, offset = _END64.unpack(record)
    return start, count, length, offset


def _entries(raw: bytes) -> Iterator[Entry]:
    at = 0
    while at + _CENTRAL.size <= len(raw):
        fields = _CENTRAL.unpack_from(raw, at)
        if fields[0] != b"PK\x01\x02":
            return
        _, _, _, flags, method, _, _, crc, packed, size, names, extras, comments, _, _, _, offset = fields
        name_at = at + _CENTRAL.size
        at = name_at + names + extras + comments
        if at > len(raw):
            return
        if _ALL32 in (size, packed, offset):
            extra = raw[name_at + names : name_at + names + extras]
            size, packed, offset = _wide(extra, size, packed, offset)
        yield Entry(raw[name_at : name_at + names], flags, method, crc, packed, size, offset)
    return


def problem(
    file: int, size: int, *, crc: bool, stream: Stream | None = None, trailing_allowed: bool = False
) -> tuple[str | None, list[str]]:
    """Judge a zip; returns what is wrong with it (None: nothing) and what could not be proved.

    Args:
        file: descriptor of the file.
        size: length of the file.
        crc: whether to prove every entry's CRC, not just the directory.
        stream: what is known from the bytes as they came by.
        trailing_allowed: whether bytes after the end are the sender's own (its length was promised and kept).
    """
    if os.pread(file, 4, 0) != MAGIC:
        return "it is no zip", []
    try:
        entries, trailing = directory(file, size)
    except ValueError as error:
        return str(error), []
    if trailing and not trailing_allowed:
        return f"{trailing} bytes stand after its end", []
    unproved = [f"{trailing} bytes stand after the end of the zip"] if trailing else []
    for entry in entries:
        seen = stream.seen.get(entry.offset) if stream else None
        if seen is None:
            try:
                seen = _read(file, entry, crc=crc)
            except Unprovable as limit:
                unproved.append(str(limit))
                continue
            except _UNREADABLE as error:
                return f"{_shown(entry)} cannot be unpacked ({error})", []
        if seen != (entry.name, entry.crc, entry.packed, entry.size):
            return f"{_shown(entry)} is damaged", []
    return None, unproved


def _shown(entry: Entry) -> str:
    return "its entry " + ascii(entry.name.decode("utf-8", "replace"))[1:-1][-120:]


def _read(file: int, entry: Entry, *, crc: bool) -> Seen:
    """Read an entry again, its header alone where `crc` is not set.

    Raises:
        Unprovable: it is encrypted or packed by a method that this Python cannot unpack.
        ValueError: its header is not where the directory says, or its data end early.
    """
    head = os.pread(file, _LOCAL.size + len(entry.name), entry.offset)
    if len(head) < _LOCAL.size or head[:4] != MAGIC:
        raise ValueError("no header where the directory says")
    fields = _LOCAL.unpack_from(head)
    name = head[_LOCAL.size :] if fields[9] == len(entry.name) else b""
    at = entry.offset + _LOCAL.size + fields[9] + fields[10]
    if not crc:
        return Seen(name, entry.crc, entry.packed, entry.size)
    if entry.flags & _ENCRYPTED:
        raise Unprovable(f"{_shown(entry)} is encrypted, its CRC cannot be proved")
    if entry.method == _STORED:
        return Seen(name, _crc(file, at, entry.packed), entry.packed, entry.packed)
    inflation = _unpacker(entry)
    left = entry.packed
    while left:
        data = os.pread(file, min(left, _SLICE), at)
        if not data or (inflation.done and inflation.packed < entry.packed - left):
            raise ValueError("its data end early")
        inflation.feed(memoryview(data))
        at += len(data)
        left -= len(data)
    if not inflation.done:
        raise ValueError("its data end early")
    return Seen(name, inflation.crc, inflation.packed, inflation.size)


def _crc(file: int, at: int, length: int) -> int:
    crc = 0
    while length:
        data = os.pread(file, min(length, _SLICE), at)
        if not data:
            raise ValueError("its data end early")
        crc = _crc32(data, crc)
        at += len(data)
        length -= len(data)
    return crc


class _Foreign(_Inflation):
    """The same for a method other than deflate; the packed length is the directory's."""

    def __init__(self, unpacker: Inflater, packed: int) -> None:
        super().__init__()
        self._unpacker = unpacker
        self._expected = packed

    def feed(self, view: memoryview) -> int:
        """Take in the next bytes of the entry."""
        data = bytes(view)
        self.packed += len(data)
        while not self._unpacker.eof:
            out = self._unpacker.decompress(data, _SLICE)
            self.crc = _crc32(out, self.crc)
            self.size += len(out)
            data = b""
            if getattr(self._unpacker, "needs_input", not out):
                break
        self.done = self._unpacker.eof and self.packed == self._expected
        return len(view)


def _unpacker(entry: Entry) -> _Inflation:
    if entry.method == _DEFLATED:
        return _Inflation()
    if entry.method == _BZIP2:
        import bz2  # noqa: PLC0415 - slow to import and seldom needed

        return _Foreign(bz2.BZ2Decompressor(), entry.packed)  # type: ignore[arg-type] # its extras are not used
    raise Unprovable(f"{_shown(entry)} is packed by method {entry.method}, its CRC cannot be proved")
