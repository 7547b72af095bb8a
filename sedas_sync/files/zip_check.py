"""Check a finished zip by its central directory and the CRCs of its entries.

CRCs that a `ZipStream` has computed while the file arrived are used; the other entries are read. No entry is inflated
before it is known that no two entries share bytes: otherwise a few bytes could pass for any number of large entries.
"""

import bz2
import os
from array import array
from collections.abc import Callable
from itertools import islice

from sedas_sync.files import zip_records
from sedas_sync.files.zip_records import BZIP2, DEFLATED, ENCRYPTED, MAGIC, STORED, Entry, ZipEnd
from sedas_sync.files.zip_stream import INFLATE_ERRORS, SLICE, Inflater, Inflation, PassedEntry, ZipStream, crc32

_READ_ERRORS: tuple[type[Exception], ...] = (OSError, EOFError, ValueError, OverflowError, *INFLATE_ERRORS)

_MAX_UNSORTED = 1 << 20
"""Entries that the directory may list in another order than they are stored in: their positions are kept in memory."""
_MAX_REPORTED = 5
_ENTRIES_PER_STOP_CHECK = 1 << 12


class Unprovable(Exception):
    """An entry that is encrypted or packed by a method that cannot be unpacked here."""


def problem(
    file: int,
    size: int,
    *,
    crc: bool,
    stream: ZipStream | None = None,
    trailing_allowed: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[str | None, list[str]]:
    """Return what is wrong with a zip, None if nothing is, and what could not be proved.

    Args:
        file: Descriptor of the file.
        size: Length of the file.
        crc: Prove every entry's CRC, not only the directory and the headers.
        stream: The entries that were checked while the file arrived.
        trailing_allowed: Accept bytes after the end: the file has the promised length.
        stopped: Asked now and then whether to stop.

    Raises:
        InterruptedError: `stopped` returned true.
    """
    if os.pread(file, 4, 0) != MAGIC:
        return "it is not a zip file", []

    def check_stop() -> None:
        if stopped():
            raise InterruptedError

    passed = stream.passed if stream else {}
    try:
        end = zip_records.find_end(file, size)
        if end.trailing and not trailing_allowed:
            return f"{end.trailing} bytes follow its end", []
        unread = _check_positions(file, end, passed, check_stop)
        unproved = _check_crcs(file, end, passed, check_stop) if crc and unread else []
    except ValueError as error:
        return str(error), []
    if end.trailing:
        unproved.insert(0, f"{end.trailing} bytes follow the end of the zip")
    return None, unproved


def _check_positions(
    file: int,
    end: ZipEnd,
    passed: dict[int, PassedEntry],
    check_stop: Callable[[], None],
    positions: "_Positions | None" = None,
) -> bool:
    """Compare every entry's header with the directory, and check that no entries share bytes.

    Returns:
        Whether the data of any entry must still be read.

    Raises:
        ValueError: The zip is damaged.
    """
    count = reached = 0
    unread = False
    for entry in zip_records.entries(file, end):
        if not count % _ENTRIES_PER_STOP_CHECK:
            check_stop()
        count += 1
        if entry.offset + entry.packed > end.offset:
            raise ValueError("an entry reaches beyond its end")
        known = passed.get(entry.offset)
        stop = _end_of(file, entry, known)
        unread = unread or (known is None and not entry.is_empty)
        if stop > end.offset:
            raise ValueError("an entry reaches beyond its end")
        if positions is not None:
            positions.add(entry.offset, stop)
        elif entry.offset < reached:
            # Rare: the directory has another order than the data.
            return _check_positions(file, end, passed, check_stop, _Positions())
        reached = stop
    if count != end.entries:
        raise ValueError(f"its directory has {count} entries and should have {end.entries}")
    if positions is not None and positions.overlap():
        raise ValueError("its entries overlap")
    return unread


class _Positions:
    """Begin and end of entries that are listed in any order."""

    def __init__(self) -> None:
        self._starts = array("Q")
        self._ends = array("Q")

    def add(self, start: int, end: int) -> None:
        if len(self._starts) == _MAX_UNSORTED:
            raise ValueError(f"its directory lists more than {_MAX_UNSORTED} entries in no order")
        self._starts.append(start)
        self._ends.append(end)

    def overlap(self) -> bool:
        """Return whether two entries share a byte: one begins before as many have ended as have begun."""
        starts = array("Q", sorted(self._starts))
        return any(start < end for start, end in zip(islice(starts, 1, None), sorted(self._ends), strict=False))


def _end_of(file: int, entry: Entry, passed: PassedEntry | None) -> int:
    """Return the position after an entry's data and data descriptor.

    Raises:
        ValueError: Its header and the directory differ, or what they claim is impossible.
    """
    if passed is None:
        end = zip_records.data_offset(file, entry) + entry.packed
    elif passed.matches(entry):
        end = passed.end
    else:
        raise ValueError(f"{entry} is damaged")
    return end + zip_records.descriptor_length(file, entry, end)


def _check_crcs(file: int, end: ZipEnd, passed: dict[int, PassedEntry], check_stop: Callable[[], None]) -> list[str]:
    """Read every entry that the stream has not seen; return what cannot be proved.

    Raises:
        ValueError: An entry is damaged.
    """
    unproved: list[str] = []
    more = 0
    for number, entry in enumerate(zip_records.entries(file, end)):
        if not number % _ENTRIES_PER_STOP_CHECK:
            check_stop()
        if entry.offset in passed or entry.is_empty:
            continue
        try:
            found = _read(file, entry, check_stop)
        except Unprovable as limit:
            if len(unproved) < _MAX_REPORTED:
                unproved.append(str(limit))
            else:
                more += 1
            continue
        except InterruptedError:
            raise
        except _READ_ERRORS as error:
            raise ValueError(f"{entry} cannot be unpacked ({error})") from error
        if found != (entry.crc, entry.packed, entry.size):
            raise ValueError(f"{entry} is damaged")
    if more:
        unproved.append(f"the CRC of {more} more entries cannot be proved")
    return unproved


def _read(file: int, entry: Entry, check_stop: Callable[[], None]) -> tuple[int, int, int]:
    """Read an entry's data; return their CRC and both lengths.

    Raises:
        Unprovable: It is encrypted or packed by a method that Python cannot unpack.
        ValueError: Its data ends early, or is longer than in the directory.
    """
    if entry.flags & ENCRYPTED:
        raise Unprovable(f"{entry} is encrypted, its CRC cannot be proved")
    at = zip_records.data_offset(file, entry)
    if entry.method == STORED:
        return _crc(file, at, entry.packed, check_stop), entry.packed, entry.packed
    inflation = _unpacker(entry, check_stop)
    left = entry.packed
    while left:
        check_stop()
        data = os.pread(file, min(left, SLICE), at)
        if not data or (inflation.done and inflation.packed < entry.packed - left):
            raise ValueError("its data ends early")
        inflation.feed(memoryview(data))
        if inflation.size > entry.size:
            raise ValueError("it is longer than in the directory")
        at += len(data)
        left -= len(data)
    if not inflation.done:
        raise ValueError("its data ends early")
    return inflation.crc, inflation.packed, inflation.size


def _crc(file: int, at: int, length: int, check_stop: Callable[[], None]) -> int:
    crc = 0
    while length:
        check_stop()
        data = os.pread(file, min(length, SLICE), at)
        if not data:
            raise ValueError("its data ends early")
        crc = crc32(data, crc)
        at += len(data)
        length -= len(data)
    return crc


class _OtherMethod(Inflation):
    """The same for a method other than deflate, whose ratio is practically unlimited."""

    def __init__(self, unpacker: Inflater, entry: Entry, check_stop: Callable[[], None]) -> None:
        super().__init__()
        self._unpacker = unpacker
        self._entry = entry
        self._check_stop = check_stop

    def feed(self, view: memoryview) -> int:
        """Unpack the next bytes of the entry."""
        data = bytes(view)
        self.packed += len(data)
        while not self._unpacker.eof and self.size <= self._entry.size:
            self._check_stop()
            out = self._unpacker.decompress(data, SLICE)
            self.crc = crc32(out, self.crc)
            self.size += len(out)
            data = b""
            if getattr(self._unpacker, "needs_input", not out):
                break
        self.done = self._unpacker.eof and self.packed == self._entry.packed
        return len(view)


def _unpacker(entry: Entry, check_stop: Callable[[], None]) -> Inflation:
    if entry.method == DEFLATED:
        return Inflation()
    if entry.method == BZIP2:
        return _OtherMethod(bz2.BZ2Decompressor(), entry, check_stop)  # type: ignore[arg-type] # its extras are not used
    raise Unprovable(f"{entry} is packed by method {entry.method}, its CRC cannot be proved")
