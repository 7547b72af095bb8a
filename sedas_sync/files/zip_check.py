"""Zip archives as far as proving them whole goes: the directory, and the CRC of every entry.

`Stream` follows the bytes of a zip as they arrive and has the CRCs ready when the last byte has come;
`problem` judges the finished file by its central directory, takes from the stream what that has proved, and
reads the rest. Layout of the records: PKWARE's APPNOTE 6.3.10, sections 4.3.7 to 4.3.16.

A file may come from anywhere, so nothing here grows with what it claims: the directory is read in slices, and an
entry is inflated only once it is known that no two entries share bytes.
"""

import importlib
import os
import struct
import zlib
from array import array
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
_UNREADABLE: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, OverflowError, *_BROKEN)

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
_LINES = 1 << 20
"""How much of the central directory is read at once."""

_LINE_MOST = _CENTRAL.size + 3 * _ALL16
_DEFLATE_MOST = 1032
"""Bytes that deflate can make of one: 258 of two bits."""

_FOLLOWED = 16 << 20
"""Memory for what a stream remembers. Entries beyond it are read again."""

_FOLLOWED_EACH = 400
_UNSORTED_MOST = 1 << 20
"""Entries that may be listed in another order than they are stored in: all of their places have to be remembered."""

_TOLD = 5
_LOOK_EVERY = 1 << 12


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


class DirectoryScan(NamedTuple):
    """What was found out about the entry at an offset."""

    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    end: int
    """Where its data end."""

    def is_of(self, entry: Entry) -> bool:
        """Whether it is what the directory says."""
        return self[:-1] == (entry.name, entry.method, entry.crc, entry.packed, entry.size)


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
    """Follows a zip from its first byte and keeps a `DirectoryScan` of each entry that ended.

    It never judges: where the bytes make no sense to it, it stops looking, and what it has not seen is read
    again.
    """

    def __init__(self) -> None:
        self.seen: dict[int, DirectoryScan] = {}
        self._position = 0
        self._held = bytearray()
        self._looking = True
        self._room = _FOLLOWED
        self._start = 0
        self._name = b""
        self._method = 0
        self._claims: tuple[int, int, int] | None = None
        """CRC and lengths as the local header has them; None where they come after the data."""
        self._left = 0
        self._crc = 0
        self._stored: int | None = None
        """Length of the entry that is passing, where it is not packed."""
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
                    self._close(self._crc, self._stored, self._stored)
            else:
                at += self._header(view[at:])

    def _close(self, crc: int, packed: int, size: int) -> None:
        self._room -= _FOLLOWED_EACH + len(self._name)
        if self._room < 0:
            self._looking = False
        elif self._claims in (None, (crc, packed, size)):
            self.seen[self._start] = DirectoryScan(self._name, self._method, crc, packed, size, self._position)
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
        start = self._position + skip
        self._held = bytearray()
        self._position += whole
        self._begin(fields, bytes(held[skip + _LOCAL.size : whole]), start)
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
        crc: int
        packed: int
        size: int
        name_length: int
        _, _, flags, method, _, _, crc, packed, size, name_length, _ = fields
        self._start = start
        self._name = tail[:name_length]
        self._method = method
        self._descriptor = bool(flags & _DESCRIPTOR)
        if _ALL32 in {packed, size}:
            size, packed = _wide(tail[name_length:], size, packed)
        self._claims = None if self._descriptor else (crc, packed, size)
        if flags & _ENCRYPTED:
            self._looking = False
        elif method == _DEFLATED and (packed or self._descriptor):
            self._inflation = _Inflation()
        elif method in (_STORED, _DEFLATED) and not self._descriptor:
            self._crc = 0
            self._left = packed
            self._stored = packed
            if not packed:
                self._close(0, 0, 0)
        else:
            self._looking = False


class _Whole(NamedTuple):
    """The record at the end of a zip."""

    offset: int
    """Where the central directory begins."""
    length: int
    entries: int
    trailing: int
    """Bytes after the record and its comment."""


def _end(file: int, size: int) -> _Whole:
    """Find the record at the end, in its last bytes or as far before them as a comment may be long.

    Raises:
        ValueError: there is none, or what it says cannot be.
    """
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
    if offset + length != end:
        raise ValueError("its directory is not where it should be")
    if not count:
        raise ValueError("it is empty")
    return _Whole(offset, length, count, trailing)


def _end64(file: int, end: int) -> tuple[int, int, int, int] | None:
    """Read the zip64 record that goes before; None where there is none, and the numbers mean themselves."""
    locator = os.pread(file, _END64_LOCATOR.size, max(0, end - _END64_LOCATOR.size))
    if locator[:4] != b"PK\x06\x07":
        return None
    start = _END64_LOCATOR.unpack(locator)[2]
    record = os.pread(file, _END64.size, start) if start < end else b""
    if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
        raise ValueError("its zip64 directory is not where it should be")
    *_, count, length, offset = _END64.unpack(record)
    return start, count, length, offset


def names(file: int, size: int) -> Iterator[bytes]:
    """The names in the central directory.

    Raises:
        ValueError: it is not whole, with the reason.
    """
    return (entry.name for entry in _entries(file, _end(file, size)))


def _entries(file: int, end: _Whole) -> Iterator[Entry]:
    """The lines of the central directory, as far as they can be read."""
    held, at = b"", 0
    position, stop = end.offset, end.offset + end.length
    while True:
        if position < stop and len(held) - at < _LINE_MOST:
            more = os.pread(file, min(_LINES, stop - position), position)
            if not more:
                raise ValueError("its directory is cut off")
            held, at = held[at:] + more, 0
            position += len(more)
            continue
        if at + _CENTRAL.size > len(held):
            return
        fields = _CENTRAL.unpack_from(held, at)
        if fields[0] != b"PK\x01\x02":
            return
        _, _, _, flags, method, _, _, crc, packed, size, name, extras, comments, _, _, _, offset = fields
        name_at = at + _CENTRAL.size
        at = name_at + name + extras + comments
        if at > len(held):
            return
        if _ALL32 in (size, packed, offset):
            extra = held[name_at + name : name_at + name + extras]
            size, packed, offset = _wide(extra, size, packed, offset)
        yield Entry(held[name_at : name_at + name], flags, method, crc, packed, size, offset)


def problem(
    file: int,
    size: int,
    *,
    crc: bool,
    stream: Stream | None = None,
    trailing_allowed: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[str | None, list[str]]:
    """Judge a zip; returns what is wrong with it (None: nothing) and what could not be proved.

    Args:
        file: descriptor of the file.
        size: length of the file.
        crc: whether to prove every entry's CRC, not just the directory and the headers.
        stream: what is known from the bytes as they came by.
        trailing_allowed: whether bytes after the end are the sender's own (its length was promised and kept).
        stopped: asked now and then whether to end.

    Raises:
        InterruptedError: `stopped` said so.
    """
    if os.pread(file, 4, 0) != MAGIC:
        return "it is no zip", []
    look = _looking(stopped)
    seen = stream.seen if stream else {}
    try:
        end = _end(file, size)
        if end.trailing and not trailing_allowed:
            return f"{end.trailing} bytes stand after its end", []
        unread = _check_places(file, end, seen, look)
        unproved = _prove(file, end, seen, look) if crc and unread else []
    except ValueError as error:
        return str(error), []
    if end.trailing:
        unproved.insert(0, f"{end.trailing} bytes stand after the end of the zip")
    return None, unproved


def _looking(stopped: Callable[[], bool]) -> Callable[[], None]:
    def look() -> None:
        if stopped():
            raise InterruptedError

    return look


def _check_places(
    file: int, end: _Whole, seen: dict[int, DirectoryScan], look: Callable[[], None], places: "_Places | None" = None
) -> bool:
    """Compare every entry's header with the directory, and make sure that no entries share bytes.

    Otherwise few bytes could pass for any number of large entries, which would take days to inflate. Returns whether
    any entry is left to be proved.

    Raises:
        ValueError: what is wrong.
    """
    count = reached = 0
    unread = False
    for entry in _entries(file, end):
        if not count % _LOOK_EVERY:
            look()
        count += 1
        if entry.offset + entry.packed > end.offset:
            raise ValueError("an entry reaches beyond its end")
        known = seen.get(entry.offset)
        stop = _stop(file, entry, known)
        unread = unread or (known is None and not _is_empty(entry))
        if stop > end.offset:
            raise ValueError("an entry reaches beyond its end")
        if places is not None:
            places.add(entry.offset, stop)
        elif entry.offset < reached:
            # Seldom: the directory has another order than the data.
            return _check_places(file, end, seen, look, _Places())
        reached = stop
    if count != end.entries:
        raise ValueError(f"its directory holds {count} entries and should hold {end.entries}")
    if places is not None and places.overlap():
        raise ValueError("its entries overlap")
    return unread


def _is_empty(entry: Entry) -> bool:
    """Whether there is nothing to be read of it."""
    return not (entry.packed or entry.size or entry.crc or entry.flags & _ENCRYPTED)


class _Places:
    """Where entries begin and end, where they are listed in any order."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")

    def add(self, start: int, end: int) -> None:
        if len(self._starts) == _UNSORTED_MOST:
            raise ValueError(f"its directory lists more than {_UNSORTED_MOST} entries in no order")
        self._starts.append(start)
        self._ends.append(end)

    def overlap(self) -> bool:
        """Whether any two share a byte: else no entry begins before as many have ended as have begun."""
        starts = array("Q", sorted(self._starts))
        return any(start < end for start, end in zip(starts[1:], sorted(self._ends), strict=False))


def _stop(file: int, entry: Entry, seen: DirectoryScan | None) -> int:
    """Where an entry ends, its data descriptor included.

    Raises:
        ValueError: its header does not say what the directory says, or what that says cannot be.
    """
    if seen is None:
        stop = _data_of(file, entry) + entry.packed
    elif seen.is_of(entry):
        stop = seen.end
    else:
        raise ValueError(f"{_shown(entry)} is damaged")
    if entry.flags & _DESCRIPTOR:
        stop += _descriptor(os.pread(file, 24, stop), entry)
    return stop


def _data_of(file: int, entry: Entry) -> int:
    """Where the data of an entry begin.

    Raises:
        ValueError: its header does not say what the directory says, or what that says cannot be.
    """
    head = os.pread(file, _LOCAL.size + len(entry.name), entry.offset)
    if len(head) < _LOCAL.size or head[:4] != MAGIC:
        raise ValueError(f"{_shown(entry)} cannot be unpacked (no header where the directory says)")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack_from(head)
    begin: int = entry.offset + _LOCAL.size + name_length + extra_length
    if _ALL32 in (packed, size):
        size, packed = _wide(os.pread(file, extra_length, begin - extra_length), size, packed)
    claimed = (
        name_length == len(entry.name)
        and head[_LOCAL.size :] == entry.name
        and method == entry.method
        and not (flags ^ entry.flags) & _ENCRYPTED
        and (flags & _DESCRIPTOR or (crc, packed, size) == (entry.crc, entry.packed, entry.size))
    )
    if not claimed or (entry.method == _STORED and not entry.flags & _ENCRYPTED and entry.size != entry.packed):
        raise ValueError(f"{_shown(entry)} is damaged (its header and the directory differ)")
    if entry.method == _DEFLATED and entry.size > entry.packed * _DEFLATE_MOST:
        raise ValueError(f"{_shown(entry)} claims {entry.size} bytes, which {entry.packed} cannot hold")
    return begin


def _descriptor(data: bytes, entry: Entry) -> int:
    """Length of the data descriptor at the beginning of `data`; 0 where there is none, as some tools leave it out."""
    signed = 4 if data[:4] == b"PK\x07\x08" else 0
    for layout in ("<LLL", "<LQQ"):
        length = signed + struct.calcsize(layout)
        if len(data) >= length and struct.unpack_from(layout, data, signed) == (entry.crc, entry.packed, entry.size):
            return length
    return 0


def _prove(file: int, end: _Whole, seen: dict[int, DirectoryScan], look: Callable[[], None]) -> list[str]:
    """Read every entry that the stream has not seen; returns what cannot be proved.

    Raises:
        ValueError: an entry is damaged.
    """
    unproved: list[str] = []
    further = 0
    for number, entry in enumerate(_entries(file, end)):
        if not number % _LOOK_EVERY:
            look()
        if entry.offset in seen or _is_empty(entry):
            continue
        try:
            found = _read(file, entry, look)
        except Unprovable as limit:
            if len(unproved) < _TOLD:
                unproved.append(str(limit))
            else:
                further += 1
            continue
        except InterruptedError:
            raise
        except _UNREADABLE as error:
            raise ValueError(f"{_shown(entry)} cannot be unpacked ({error})") from error
        if found != (entry.crc, entry.packed, entry.size):
            raise ValueError(f"{_shown(entry)} is damaged")
    if further:
        unproved.append(f"the CRC of {further} further entries cannot be proved")
    return unproved


def _shown(entry: Entry) -> str:
    return "its entry " + ascii(entry.name.decode("utf-8", "replace"))[1:-1][-120:]


def _read(file: int, entry: Entry, look: Callable[[], None]) -> tuple[int, int, int]:
    """Read an entry's data; returns their CRC and both lengths.

    Raises:
        Unprovable: it is encrypted or packed by a method that this Python cannot unpack.
        ValueError: its data end early, or more comes out of them than the directory says.
    """
    if entry.flags & _ENCRYPTED:
        raise Unprovable(f"{_shown(entry)} is encrypted, its CRC cannot be proved")
    at = _data_of(file, entry)
    if entry.method == _STORED:
        return _crc(file, at, entry.packed, look), entry.packed, entry.packed
    inflation = _unpacker(entry, look)
    left = entry.packed
    while left:
        look()
        data = os.pread(file, min(left, _SLICE), at)
        if not data or (inflation.done and inflation.packed < entry.packed - left):
            raise ValueError("its data end early")
        inflation.feed(memoryview(data))
        if inflation.size > entry.size:
            raise ValueError("more comes out of it than the directory says")
        at += len(data)
        left -= len(data)
    if not inflation.done:
        raise ValueError("its data end early")
    return inflation.crc, inflation.packed, inflation.size


def _crc(file: int, at: int, length: int, look: Callable[[], None]) -> int:
    crc = 0
    while length:
        look()
        data = os.pread(file, min(length, _SLICE), at)
        if not data:
            raise ValueError("its data end early")
        crc = _crc32(data, crc)
        at += len(data)
        length -= len(data)
    return crc


class _Foreign(_Inflation):
    """The same for a method other than deflate, whose ratio has no limit worth the name."""

    def __init__(self, unpacker: Inflater, entry: Entry, look: Callable[[], None]) -> None:
        super().__init__()
        self._unpacker = unpacker
        self._entry = entry
        self._look = look

    def feed(self, view: memoryview) -> int:
        """Take in the next bytes of the entry."""
        data = bytes(view)
        self.packed += len(data)
        while not self._unpacker.eof and self.size <= self._entry.size:
            self._look()
            out = self._unpacker.decompress(data, _SLICE)
            self.crc = _crc32(out, self.crc)
            self.size += len(out)
            data = b""
            if getattr(self._unpacker, "needs_input", not out):
                break
        self.done = self._unpacker.eof and self.packed == self._entry.packed
        return len(view)


def _unpacker(entry: Entry, look: Callable[[], None]) -> _Inflation:
    if entry.method == _DEFLATED:
        return _Inflation()
    if entry.method == _BZIP2:
        import bz2  # noqa: PLC0415 - slow to import and seldom needed

        return _Foreign(bz2.BZ2Decompressor(), entry, look)  # type: ignore[arg-type] # its extras are not used
    raise Unprovable(f"{_shown(entry)} is packed by method {entry.method}, its CRC cannot be proved")
