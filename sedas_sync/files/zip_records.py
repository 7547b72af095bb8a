"""The records of a zip archive: local headers, the central directory and its end.

The layout is that of PKWARE's APPNOTE 6.3.10, sections 4.3.7 to 4.3.16. A file may come from anywhere, so memory does
not grow with what it claims: the directory is read in slices.
"""

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

MAGIC = b"PK\x03\x04"
"""The first bytes of every zip that is not empty."""

LOCAL = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END = struct.Struct("<4sHHHHLLH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQHHLLQQQQ")
DESCRIPTOR_MAGIC = b"PK\x07\x08"
STORED, DEFLATED, BZIP2 = 0, 8, 12
ENCRYPTED, HAS_DESCRIPTOR = 0x1, 0x8
ALL16, ALL32 = 0xFFFF, 0xFFFFFFFF
_SIZE64 = 8
_DIRECTORY_SLICE = 1 << 20
"""Bytes of the central directory that are read at once."""
_MAX_DIRECTORY_LINE = _CENTRAL.size + 3 * ALL16
_MAX_RATIO = 1032
"""Bytes that deflate can make of one: 258 from two bits."""


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
    """Position of its local header."""

    @property
    def is_empty(self) -> bool:
        """Whether it has no data to read."""
        return not (self.packed or self.size or self.crc or self.flags & ENCRYPTED)

    def __str__(self) -> str:
        return "its entry " + ascii(self.name.decode("utf-8", "replace"))[1:-1][-120:]


class ZipEnd(NamedTuple):
    """What the records at the end of a zip say."""

    offset: int
    """Position of the central directory."""
    length: int
    entries: int
    trailing: int
    """Bytes after the record and its comment."""


def with_zip64(extra: bytes | memoryview, *values: int) -> list[int]:
    """Return the values, those that are all ones replaced from the zip64 extra field."""
    found = list(values)
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            field = bytes(extra[at + 4 : at + 4 + length])
            for number, value in enumerate(found):
                if value == ALL32 and len(field) >= _SIZE64:
                    found[number] = int.from_bytes(field[:_SIZE64], "little")
                    field = field[_SIZE64:]
            break
        at += 4 + length
    return found


def find_end(file: int, size: int) -> ZipEnd:
    """Find the record at the end of a zip, before a comment of any length.

    Raises:
        ValueError: There is none, or it is not valid.
    """
    for reach in (1 << 12, _END.size + ALL16 + 1):
        start = max(0, size - reach)
        tail = os.pread(file, size - start, start)
        at = tail.rfind(b"PK\x05\x06")
        if 0 <= at <= len(tail) - _END.size:
            break
    else:
        raise ValueError("it has no directory (it is cut off, or not a zip file)")
    _, disk, first_disk, _, count, length, offset, comment = _END.unpack_from(tail, at)
    end = start + at
    trailing = size - (end + _END.size + comment)
    if trailing < 0:
        raise ValueError("its last bytes are missing")
    if disk != first_disk or ALL16 > disk > 0:
        raise ValueError("it is one part of a split zip")
    if ALL16 in {count, disk} or ALL32 in {length, offset}:
        zip64 = _find_end64(file, end)
        if zip64 is not None:
            end, count, length, offset = zip64
    if offset + length != end:
        raise ValueError("its directory is not where it should be")
    if not count:
        raise ValueError("it is empty")
    return ZipEnd(offset, length, count, trailing)


def _find_end64(file: int, end: int) -> tuple[int, int, int, int] | None:
    """Read the zip64 record before the end; None if there is none, and the 32-bit values are real."""
    locator = os.pread(file, _END64_LOCATOR.size, max(0, end - _END64_LOCATOR.size))
    if locator[:4] != b"PK\x06\x07":
        return None
    start = _END64_LOCATOR.unpack(locator)[2]
    record = os.pread(file, _END64.size, start) if start < end else b""
    if len(record) < _END64.size or record[:4] != b"PK\x06\x06":
        raise ValueError("its zip64 directory is not where it should be")
    *_, count, length, offset = _END64.unpack(record)
    return start, count, length, offset


def names(file: int) -> Iterator[str]:
    """Yield the names in the central directory of an open zip.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not a whole zip.
    """
    for entry in entries(file, find_end(file, os.fstat(file).st_size)):
        yield entry.name.decode("utf-8", "replace")


def entries(file: int, end: ZipEnd) -> Iterator[Entry]:
    """Yield the entries of the central directory, as far as they can be read."""
    buffer, at = b"", 0
    position, stop = end.offset, end.offset + end.length
    while True:
        if position < stop and len(buffer) - at < _MAX_DIRECTORY_LINE:
            more = os.pread(file, min(_DIRECTORY_SLICE, stop - position), position)
            if not more:
                raise ValueError("its directory is cut off")
            buffer, at = buffer[at:] + more, 0
            position += len(more)
            continue
        if at + _CENTRAL.size > len(buffer):
            return
        fields = _CENTRAL.unpack_from(buffer, at)
        if fields[0] != b"PK\x01\x02":
            return
        _, _, _, flags, method, _, _, crc, packed, size, name, extras, comments, _, _, _, offset = fields
        name_at = at + _CENTRAL.size
        at = name_at + name + extras + comments
        if at > len(buffer):
            return
        if ALL32 in (size, packed, offset):
            extra = buffer[name_at + name : name_at + name + extras]
            size, packed, offset = with_zip64(extra, size, packed, offset)
        yield Entry(buffer[name_at : name_at + name], flags, method, crc, packed, size, offset)


def data_offset(file: int, entry: Entry) -> int:
    """Return the position of an entry's data, after comparing its local header with the directory.

    Raises:
        ValueError: They differ, or what they claim is impossible.
    """
    head = os.pread(file, LOCAL.size + len(entry.name), entry.offset)
    if len(head) < LOCAL.size or head[:4] != MAGIC:
        raise ValueError(f"{entry} cannot be unpacked (no header at the position in the directory)")
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack_from(head)
    begin: int = entry.offset + LOCAL.size + name_length + extra_length
    if ALL32 in (packed, size):
        size, packed = with_zip64(os.pread(file, extra_length, begin - extra_length), size, packed)
    agree = (
        name_length == len(entry.name)
        and head[LOCAL.size :] == entry.name
        and method == entry.method
        and not (flags ^ entry.flags) & ENCRYPTED
        and (flags & HAS_DESCRIPTOR or (crc, packed, size) == (entry.crc, entry.packed, entry.size))
    )
    if not agree or (entry.method == STORED and not entry.flags & ENCRYPTED and entry.size != entry.packed):
        raise ValueError(f"{entry} is damaged (its header and the directory differ)")
    if entry.method == DEFLATED and entry.size > entry.packed * _MAX_RATIO:
        raise ValueError(f"{entry} claims {entry.size} bytes, more than {entry.packed} can contain")
    return begin


def descriptor_length(file: int, entry: Entry, at: int) -> int:
    """Return the length of the data descriptor at a position; 0 if there is none, as some tools omit it."""
    if not entry.flags & HAS_DESCRIPTOR:
        return 0
    data = os.pread(file, 24, at)
    signed = 4 if data[:4] == DESCRIPTOR_MAGIC else 0
    for layout in ("<LLL", "<LQQ"):
        length = signed + struct.calcsize(layout)
        if len(data) >= length and struct.unpack_from(layout, data, signed) == (entry.crc, entry.packed, entry.size):
            return length
    return 0
