"""What the answers so far show about the archive's cap, and which answers can be complete. Pure.

A fixed cap counts something: all rows, those of one satellite, those of one product type, … An answer that it cut is as
large as the cap, and no answer is larger. So **an answer is complete if it is smaller than another answer by every way
of counting that the cap may use**.

A way of counting is ruled out if an answer was cut although another answer was larger. If no way is left, no fixed cap
explains the cuts: the cap limits bytes, changes, or acts before a filter. Then only answers are accepted that are well
below the shortest answer that was cut.
"""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest

from msgspec import Struct

HOPELESS_CAP = 3
"""If an answer with so few rows was cut, no answer of the archive can be accepted."""
HANDFUL = 9
"""So many rows are accepted, if no answer was cut, when nothing can split them or when they are all of one group:
baselines of a scene and parts of an acquisition come in handfuls."""
CUTS_THAT_PROVE_A_CAP = 3
"""After so many answers were cut at the same size, that size is the cap."""
SAFE_SHARE = 0.75
"""If no fixed cap explains the cuts, accept answers below this share of the shortest answer that was cut."""
UNSAMPLED_ROWS = 12
"""Answers of so many rows need no sample unless something speaks against them."""

NEVER = math.inf

Counts = tuple[int, ...]
"""The size of an answer, by each way of counting: all rows; the most rows with all attributes alike; then for each
attribute, the most rows that share its value. Empty if there are no rows."""


def count_rows(attributes: Iterable[tuple[str, ...]]) -> Counts:
    """Count the rows of an answer in all ways, given the attributes of each row."""
    alike = Counter(attributes)
    if not alike:
        return ()
    by_attribute: list[Counter[str]] = [Counter() for _ in next(iter(alike))]
    for values, rows in alike.items():
        for counter, value in zip(by_attribute, values, strict=True):
            counter[value] += rows
    return alike.total(), max(alike.values()), *(max(counter.values()) for counter in by_attribute)


def total(counts: Counts) -> int:
    """Return the number of all rows."""
    return counts[0] if counts else 0


class CapModel(Struct):
    """What searches have learnt about the cap of an archive.

    Searches and threads share it without a lock. Every value is replaced as a whole, and a search that misses an update
    of another search learns the same by itself.
    """

    largest: Counts = ()
    """By each way of counting, the largest answer. The cap is not smaller."""
    smallest_cut: tuple[float, ...] = ()
    """By each way of counting, the smallest answer that was cut."""
    cuts: int = 0
    """The number of answers that were cut."""
    shortest_misleading: float = NEVER
    """Rows of the shortest answer that was cut although another answer agreed with it."""
    longest_sampled: int = UNSAMPLED_ROWS
    """Rows of the longest answer that samples agreed with."""

    def observe(self, counts: Counts) -> None:
        """Record the size of an answer."""
        if any(new > old for new, old in zip_longest(counts, self.largest, fillvalue=0)):
            self.largest = tuple(map(max, zip_longest(counts, self.largest, fillvalue=0)))

    def would_learn_from_cut(self, counts: Counts, *, misleading: bool) -> bool:
        """Return whether a cut of an answer of this size would be news; see `observe_cut`."""
        return (
            self.cuts < CUTS_THAT_PROVE_A_CAP
            or any(new < old for new, old in zip(counts or (0,), self.smallest_cut, strict=False))
            or (misleading and total(counts) < self.shortest_misleading)
        )

    def observe_cut(self, counts: Counts, *, misleading: bool) -> None:
        """Record that an answer was cut.

        Args:
            counts: Its size.
            misleading: Whether another answer agreed with it, so that it was accepted.
        """
        self.cuts += 1
        padded = counts or (0,) * len(self.largest)
        self.smallest_cut = tuple(map(min, zip_longest(padded, self.smallest_cut, fillvalue=NEVER)))
        if misleading:
            self.shortest_misleading = min(self.shortest_misleading, max(1, total(counts)))
            self.longest_sampled = int(min(self.longest_sampled, self.safe_length))

    @property
    def shortest_cut(self) -> float:
        """Rows of the shortest answer that was cut."""
        return self.smallest_cut[0] if self.smallest_cut else NEVER

    @property
    def possible_ways(self) -> list[int]:
        """The ways of counting that the cap may use: by these, all cut answers were as large as any answer."""
        if not self.smallest_cut:
            return list(range(len(self.largest)))
        pairs = zip(self.smallest_cut, self.largest, strict=False)
        return [way for way, (cut, largest) in enumerate(pairs) if cut >= largest]

    @property
    def may_be_fixed(self) -> bool:
        """Whether a fixed cap explains all cuts."""
        if self.shortest_misleading < NEVER:
            return False
        # If few answers were cut, they may be alike by one attribute by chance.
        return (
            not self.cuts
            or 0 in self.possible_ways
            or (self.cuts >= CUTS_THAT_PROVE_A_CAP and bool(self.possible_ways))
        )

    @property
    def is_known(self) -> bool:
        """Whether the cap is fixed and enough answers were cut at it."""
        return self.cuts >= CUTS_THAT_PROVE_A_CAP and self.may_be_fixed

    @property
    def varies(self) -> bool:
        """Whether answers were cut that are much shorter than others."""
        return bool(self.largest) and self.shortest_cut * 2 < self.largest[0]

    @property
    def safe_length(self) -> float:
        """If no fixed cap explains the cuts, only answers with fewer rows than this are accepted.

        It is below the shortest cut, because the next cut may be shorter. It is far below `shortest_misleading`,
        because windows are halved: the next cut answers may be half as long.
        """
        return max(2.0, min(self.shortest_cut * SAFE_SHARE, self.shortest_misleading / 4))

    def is_complete(self, counts: Counts) -> bool:
        """Return whether an answer is too small to have been cut, by what is known so far."""
        if not counts:
            # If the cap acts before a filter, a cut answer may be empty.
            return not self.cuts or self.is_known
        if not self.may_be_fixed and counts[0] >= self.safe_length:
            return False
        return self.shortest_misleading < NEVER or not self.full_ways(counts)

    def full_ways(self, counts: Counts) -> list[int]:
        """Return the ways of counting by which an answer may have reached the cap."""
        return [
            way
            for way in self.possible_ways
            if counts[way] >= self.largest[way] and not (way and not self.cuts and counts[way] <= HANDFUL)
        ]
