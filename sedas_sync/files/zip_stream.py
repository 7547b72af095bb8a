"""Compute the CRCs of a zip's entries while its bytes arrive."""

import importlib
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from sedas_sync.files.zip_records import (
    ALL16,
    ALL32,
    DEFLATED,
    DESCRIPTOR_MAGIC,
    ENCRYPTED,
    HAS_DESCRIPTOR,
    LOCAL,
    MAGIC,
    STORED,
    Entry,
    with_zip64,
)

inflater: Any
try:
    # The same interface, nearly three times as fast; not built for every platform.
    inflater = importlib.import_module("isal.isal_zlib")
except ImportError:
    inflater = zlib
crc32: Callable[[bytes | memoryview, int], int] = inflater.crc32
INFLATE_ERRORS: tuple[type[Exception], ...] = (zlib.error, inflater.error)

SLICE = 1 << 18
"""The most bytes that are read or inflated at once: few enough that they stay in the processor's cache, and many,
because a thread needs the interpreter's lock after each piece, and may wait for another thread that receives."""

_INPUT = 1 << 17
_MAX_MEMORY = 16 << 20
"""Memory for finished entries. Entries beyond it are read again at the end."""
_MEMORY_EACH = 400
_AFTER_DATA = (b"PK\x03\x04", b"PK\x01\x02", b"PK\x06\x06", b"PK\x06\x08")
"""The records that may follow a data descriptor."""


class Inflater(Protocol):
    """The part of a zlib decompression object that is used."""

    unconsumed_tail: bytes
    unused_data: bytes
    eof: bool

    def decompress(self, data: bytes | memoryview, max_length: int = ..., /) -> bytes:
        """Inflate at most `max_length` bytes."""
        ...


class PassedEntry(NamedTuple):
    """An entry whose data has arrived, with the CRC and the lengths of that data."""

    name: bytes
    method: int
    crc: int
    packed: int
    size: int
    end: int
    """Position after its data."""

    def matches(self, entry: Entry) -> bool:
        """Return whether the central directory says the same."""
        return self[:-1] == (entry.name, entry.method, entry.crc, entry.packed, entry.size)


class Inflation:
    """CRC and lengths of one deflated entry, fed in pieces; memory does not grow with the ratio."""

    def __init__(self) -> None:
        self._inflater: Inflater = inflater.decompressobj(-15)
        self.crc = 0
        self.size = 0
        self.packed = 0
        self.done = False

    def feed(self, view: memoryview) -> int:
        """Inflate the bytes that belong to the entry; return how many of the view these are."""
        taken = 0
        while taken < len(view) and not self.done:
            data: bytes | memoryview = view[taken : taken + _INPUT]
            taken += len(data)
            while True:
                out = self._inflater.decompress(data, SLICE)
                self.crc = crc32(out, self.crc)
                self.size += len(out)
                if self._inflater.eof:
                    taken -= len(self._inflater.unused_data)
                    self.done = True
                    break
                data = self._inflater.unconsumed_tail
                if not data and len(out) < SLICE:
                    break
        self.packed += taken
        return taken


class ZipStream:
    """Follows a zip from its first byte and keeps a `PassedEntry` of each entry that has ended.

    It does not judge: if it cannot follow the bytes, it stops, and what it has not seen is read again at the end.
    """

    def __init__(self) -> None:
        self.passed: dict[int, PassedEntry] = {}
        """Entries by the position of their local headers."""
        self._position = 0
        self._buffer = bytearray()
        self._following = True
        self._memory = _MAX_MEMORY
        self._start = 0
        self._name = b""
        self._method = 0
        self._claims: tuple[int, int, int] | None = None
        """CRC and lengths in the local header; None if they come after the data."""
        self._left = 0
        self._crc = 0
        self._stored: int | None = None
        """Length of the present entry if it is not packed."""
        self._inflation: Inflation | None = None
        self._descriptor = False

    def update(self, data: memoryview | bytes) -> None:
        """Follow the next bytes of the file."""
        view = memoryview(data)
        at, end = 0, len(view)
        while self._following and at < end:
            if self._inflation is not None:
                at += self._inflate(self._inflation, view[at:])
            elif self._stored is not None:
                count = min(self._left, end - at)
                self._crc = crc32(view[at : at + count], self._crc)
                self._left -= count
                self._position += count
                at += count
                if not self._left:
                    self._end_entry(self._crc, self._stored, self._stored)
            else:
                at += self._read_header(view[at:])

    def _end_entry(self, crc: int, packed: int, size: int) -> None:
        self._memory -= _MEMORY_EACH + len(self._name)
        if self._memory < 0:
            self._following = False
        elif self._claims in (None, (crc, packed, size)):
            self.passed[self._start] = PassedEntry(self._name, self._method, crc, packed, size, self._position)
        self._stored = None
        self._inflation = None

    def _inflate(self, inflation: Inflation, view: memoryview) -> int:
        try:
            taken = inflation.feed(view)
        except INFLATE_ERRORS:
            self._following = False
            return len(view)
        self._position += taken
        if inflation.done:
            self._end_entry(inflation.crc, inflation.packed, inflation.size)
        return taken

    def _read_header(self, view: memoryview) -> int:
        """Collect a data descriptor and the next local header; return how many bytes of the view were used."""
        before = len(self._buffer)
        # A header with its name and extra field is rarely longer than half a kilobyte. What is too much is not used.
        self._buffer += view[: max(512, LOCAL.size + 2 * ALL16 + 64 - before) if before else 512]
        buffer = self._buffer
        skip = self._descriptor_length(buffer)
        if skip is None:
            return len(buffer) - before
        if len(buffer) < skip + LOCAL.size:
            return len(buffer) - before
        fields = LOCAL.unpack_from(buffer, skip)
        if fields[0] != MAGIC:
            self._following = False
            return len(view)
        whole = skip + LOCAL.size + fields[9] + fields[10]
        if len(buffer) < whole:
            return len(buffer) - before
        start = self._position + skip
        self._buffer = bytearray()
        self._position += whole
        self._begin_entry(fields, bytes(buffer[skip + LOCAL.size : whole]), start)
        return int(whole) - before

    def _descriptor_length(self, buffer: bytearray) -> int | None:
        """Return the length of the data descriptor before the next record; None if more bytes are needed."""
        if not self._descriptor:
            return 0
        lengths = (16, 24) if buffer[:4] == DESCRIPTOR_MAGIC else (12, 20)
        if len(buffer) < lengths[1] + 4:
            return None
        for length in lengths:
            if buffer[length : length + 4] in _AFTER_DATA:
                return length
        self._following = False
        return None

    def _begin_entry(self, fields: tuple[Any, ...], tail: bytes, start: int) -> None:
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
        self._descriptor = bool(flags & HAS_DESCRIPTOR)
        if ALL32 in {packed, size}:
            size, packed = with_zip64(tail[name_length:], size, packed)
        self._claims = None if self._descriptor else (crc, packed, size)
        if flags & ENCRYPTED:
            self._following = False
        elif method == DEFLATED and (packed or self._descriptor):
            self._inflation = Inflation()
        elif method in (STORED, DEFLATED) and not self._descriptor:
            self._crc = 0
            self._left = packed
            self._stored = packed
            if not packed:
                self._end_entry(0, 0, 0)
        else:
            self._following = False
