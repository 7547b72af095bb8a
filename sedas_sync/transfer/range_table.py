"""Which connection fetches which bytes of a file."""

import threading
from dataclasses import dataclass

from sedas_sync.net.connections import Answer

MIN_RANGE = 1 << 20
"""Bytes of the smallest range that is worth a request."""

_STALLED = 5.0
"""Seconds without a byte after which another connection takes a range over."""


@dataclass(slots=True, eq=False)
class Range:
    """The bytes that one connection fetches. The end is infinite if the size of the file is unknown."""

    position: int
    end: float
    touched: float
    answer: Answer | None = None


class RangeTable:
    """The missing bytes of a file, and the ranges that are being fetched. Safe for threads.

    Args:
        missing: Begin and end of each range that is missing, sorted.
    """

    def __init__(self, missing: list[tuple[int, float]]) -> None:
        self.missing = missing
        self._ranges: set[Range] = set()
        self._lock = threading.Lock()

    @property
    def left(self) -> float:
        """Missing bytes that no connection fetches."""
        with self._lock:
            return sum(end - start for start, end in self.missing)

    def take(self, now: float, share: int | None) -> Range | None:
        """Take the next range from the front, or part of the range of another connection; None if there is none.

        Args:
            now: Seconds of the clock.
            share: In how many parts to divide what is missing; None to take the whole range.
        """
        with self._lock:
            if not self.missing:
                found = self._take_from_slowest(now)
            else:
                start, end = self.missing.pop(0)
                if share is not None:
                    left = end - start + sum(last - first for first, last in self.missing)
                    size = max(MIN_RANGE, left // share)
                    if end - start - size >= MIN_RANGE:
                        self.missing.insert(0, (int(start + size), end))
                        end = start + size
                found = Range(start, end, now)
            if found is not None:
                self._ranges.add(found)
            return found

    def _take_from_slowest(self, now: float) -> Range | None:
        """Take half of the largest range, or all of it if its connection stalls."""
        slowest = max(self._ranges, key=lambda one: one.end - one.position, default=None)
        if slowest is None:
            return None
        left = slowest.end - slowest.position
        stalled = now - slowest.touched > _STALLED
        if not left or (left < 2 * MIN_RANGE and not stalled):
            return None
        middle = slowest.position if stalled else int(slowest.position + left // 2)
        found = Range(middle, slowest.end, now)
        slowest.end = middle
        if stalled and slowest.answer is not None:
            slowest.answer.shut_down()
        return found

    def advance(self, one: Range, count: int, now: float) -> int:
        """Count received bytes, and return how many of them still belong to the range."""
        with self._lock:
            kept = int(max(0, min(count, one.end - one.position)))
            one.position += kept
            one.touched = now
            return kept

    def give_back(self, one: Range) -> None:
        """Return what is missing of a range."""
        with self._lock:
            self._ranges.discard(one)
            if one.position < one.end:
                self.missing = sorted([*self.missing, (one.position, one.end)])

    def cut(self, one: Range) -> None:
        """End a range where it is now, and return the rest."""
        with self._lock:
            self.missing = [(one.position, one.end)]
            one.end = one.position

    def shut_down(self) -> None:
        """Make all connections stop reading."""
        with self._lock:
            answers = [one.answer for one in self._ranges if one.answer is not None]
        for answer in answers:
            answer.shut_down()
