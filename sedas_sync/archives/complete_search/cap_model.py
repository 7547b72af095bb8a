"""What a silent limit may have cut: how large answers are, and which of them can be whole. Pure.

Whatever a fixed limit counts (all rows, those of a satellite, of a product type, …), an answer that it cut is as large
as that limit, and no answer is ever larger. So **an answer that is smaller than another one, by every way of counting
that may be the limit's, is whole**. That is the invariant which everything here keeps.

A way of counting is ruled out where an answer proves cut though another was larger. Once none is left the limit is no
count of what one gets: it weighs bytes, changes, or acts before a filter does. Then only answers well below the
shortest one that was ever proved cut are believed.
"""

import math
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest

from msgspec import Struct

TINY = 3
"""Where answers of so few rows are cut by no fixed limit, nothing that the archive says can be believed."""
HANDFUL = 9
"""So many rows that nothing can part, or of one group, are believed while nothing has been seen cut: several baselines,
or the parts of one acquisition, come in handfuls."""
PROOFS = 3
"""Answers cut at one size after which that size is taken for the limit."""
MARGIN = 0.75
"""What share of the shortest answer proved cut is believed where no fixed limit explains the cuts."""
SHORT = 12
"""Pieces of so many rows need no needle while nothing speaks against them."""

NEVER = math.inf

Size = tuple[int, ...]
"""By each way of counting the rows that a limit would count: all of them; those alike in every respect; then those that
share their first, their second, … respect. Of what shares something, the most that do. Empty for no rows."""


def measure(groups: Iterable[tuple[str, ...]]) -> Size:
    """Measure an answer, given for each of its rows the respects in which a limit may tell rows apart."""
    counts = Counter(groups)
    if not counts:
        return ()
    respects: list[Counter[str]] = [Counter() for _ in next(iter(counts))]
    for values, rows in counts.items():
        for respect, value in zip(respects, values, strict=True):
            respect[value] += rows
    return counts.total(), max(counts.values()), *(max(respect.values()) for respect in respects)


class CapModel(Struct):
    """What searches have learnt about how an archive cuts its answers.

    Shared between searches and threads without a lock: every value is replaced as a whole, and what one search fails
    to hear of another it finds out for itself.
    """

    most: Size = ()
    """The largest that any answer was, by each way of counting: a limit is no smaller."""
    least_cut: tuple[float, ...] = ()
    """The smallest that an answer proved cut was, by each way of counting."""
    cuts: int = 0
    """Answers proved cut."""
    doubt: float = NEVER
    """Rows of the shortest answer that another one agreed with, and that was proved cut all the same."""
    probed: int = SHORT
    """Rows of the longest answer that needles agreed with."""
    strange: bool = False
    """Whether an answer held rows far outside its window, so that a few rows may be all that came of very many."""

    def hear(self, size: Size, *, strange: bool) -> None:
        """Take note of an answer."""
        if any(new > old for new, old in zip_longest(size, self.most, fillvalue=0)):
            self.most = tuple(map(max, zip_longest(size, self.most, fillvalue=0)))
        self.strange = self.strange or strange

    def teaches(self, size: Size, *, fooled: bool) -> bool:
        """Whether it would tell anything new that an answer of this size was cut; see `learn_cut`."""
        return (
            self.cuts < PROOFS
            or any(new < old for new, old in zip(size or (0,), self.least_cut, strict=False))
            or (fooled and len_of(size) < self.doubt)
        )

    def learn_cut(self, size: Size, *, fooled: bool) -> None:
        """Take note that an answer was cut; `fooled` says that another one agreed with it and it was believed."""
        self.cuts += 1
        padded = size or (0,) * len(self.most)
        self.least_cut = tuple(map(min, zip_longest(padded, self.least_cut, fillvalue=NEVER)))
        if fooled:
            self.doubt = min(self.doubt, max(1, len_of(size)))
            self.probed = int(min(self.probed, self.credible))

    @property
    def shortest_cut(self) -> float:
        """Rows of the shortest answer that was proved cut."""
        return self.least_cut[0] if self.least_cut else NEVER

    @property
    def counting(self) -> list[int]:
        """The ways of counting that may be the limit's: all answers cut were as large as any."""
        if not self.least_cut:
            return list(range(len(self.most)))
        return [way for way, (cut, most) in enumerate(zip(self.least_cut, self.most, strict=False)) if cut >= most]

    @property
    def regular(self) -> bool:
        """Whether a fixed limit on what one gets explains all that was seen."""
        if self.doubt < NEVER:
            return False
        # That a few cut answers are level in some lesser respect may be chance.
        return not self.cuts or 0 in self.counting or (self.cuts >= PROOFS and bool(self.counting))

    @property
    def settled(self) -> bool:
        """Whether that limit is known: enough answers were cut by it."""
        return self.cuts >= PROOFS and self.regular

    @property
    def uneven(self) -> bool:
        """Whether answers were cut that are much shorter than others."""
        return bool(self.most) and self.shortest_cut * 2 < self.most[0]

    @property
    def credible(self) -> float:
        """Where no fixed limit explains what was seen, answers of so many rows or more are not believed.

        Below the shortest cut, since the next may be shorter. Far below `doubt`, since windows are halved: the next
        shorter answers that were cut may be half as long.
        """
        return max(2.0, min(self.shortest_cut * MARGIN, self.doubt / 4))

    def whole(self, size: Size) -> bool:
        """Whether an answer is too small to have been cut, as far as is known."""
        if not size:
            # Behind a limit that acts before a filter does, nothing may have come of a full answer.
            return not self.cuts or self.settled
        if not self.regular and size[0] >= self.credible:
            return False
        return self.doubt < NEVER or not self.full_ways(size)

    def full_ways(self, size: Size) -> list[int]:
        """The ways of counting by which an answer may be full."""
        return [
            way
            for way in self.counting
            if size[way] >= self.most[way] and not (way and not self.cuts and size[way] <= HANDFUL)
        ]


def len_of(size: Size) -> int:
    """How many rows an answer of this size holds."""
    return size[0] if size else 0
