"""Rows of an answer, and what a search keeps of an answer."""

from collections.abc import Callable, Collection, Generator, Iterable
from typing import Any, Self, TypeVar

from msgspec import Struct

from sedas_sync.archives.complete_search.cap_model import HANDFUL, Counts, count_rows, total
from sedas_sync.archives.complete_search.windows import NEAR, Window

SMALL = 64
"""Answers of so many rows are kept with their rows, and split so that one piece is a sample and no piece has a whole
group."""


class AnswerRow(Struct, frozen=True, gc=False):
    """One row of an answer."""

    id: str
    start: int | None
    """Whole seconds since 1970; None if the row has no start."""
    attributes: tuple[str, ...]
    """What a cap may count rows by: satellite, product type, …; the same number of values in every row."""
    item: Any
    """The row as the caller wants it."""
    footprint: str | None = None
    """WKT, by which an area is split; None if the row has none."""


Ask = Callable[[Window], list[AnswerRow]]
"""Queries the archive. The rows may be in any order, repeated, or outside the window."""
SplitArea = Callable[[Window, Collection[AnswerRow]], list[Any]]
"""Given a window and its rows, returns values of `Window.part` that split the area so that no piece has all rows; an
empty list if there is no such split."""
SplitOtherwise = Callable[[Window, Collection[AnswerRow]], Iterable[list[Any]]]
"""Yields other ways to split a window: lists of values of `Window.part` that together cover it."""


class WindowAnswer(Struct):
    """What a search keeps of the answer for a window while it checks the window."""

    window: Window
    counts: Counts
    """Of all rows, wherever they lie and however often they came, because a cap counts these."""
    ids: set[str]
    """Of all rows."""
    starts: dict[str, int]
    """Of the rows in the window."""
    outside: dict[str, int]
    """Of the rows outside the window."""
    rows: list[AnswerRow]
    """Each row once, if there are few or if they all have the same start; otherwise empty."""
    incomplete: bool = False
    """Whether it lacks a row that another answer has for this window."""
    confirmed: bool = False
    """Whether it agrees with the answer for the window that it is a piece of."""

    @classmethod
    def of(cls, window: Window, rows: list[AnswerRow]) -> Self:
        """Make one from all rows that the archive returned for a window."""
        by_id = {row.id: row for row in rows}
        starts = {row.id: row.start for row in by_id.values() if row.start is not None}
        outside = {name: start for name, start in starts.items() if not window.start <= start <= window.stop}
        for name in outside:
            del starts[name]
        answer = cls(
            window=window,
            counts=count_rows([row.attributes for row in rows]),
            ids=set(by_id),
            starts=starts,
            outside=outside,
            rows=[],
        )
        if len(by_id) <= SMALL or len(set(starts.values())) <= 1 or answer.ignores_window:
            answer.rows = list(by_id.values())
        return answer

    @property
    def length(self) -> int:
        """The number of all rows, wherever they lie and however often they came."""
        return total(self.counts)

    @property
    def is_handful(self) -> bool:
        """Whether there are at most `HANDFUL` rows, or one row, however often it came."""
        return self.length <= HANDFUL or len(self.ids) == 1

    @property
    def ignores_window(self) -> bool:
        """Whether rows are so far outside that the archive cannot have used the times of the window."""
        first, last = self.window.start - NEAR, self.window.stop + NEAR
        return any(not first <= start <= last for start in self.outside.values())

    def ids_in(self, window: Window) -> set[str]:
        """Return the rows of this window that are in the time of another window."""
        return {name for name, start in self.starts.items() if window.start <= start <= window.stop}

    def missing_in(self, other: "WindowAnswer") -> set[str]:
        """Return the rows that another answer lacks although they are in its window or have no start."""
        window = other.window
        return {
            name
            for name in self.ids - other.ids
            if (start := self.starts.get(name, self.outside.get(name))) is None or window.start <= start <= window.stop
        }

    def add(self, ids: Collection[str], other: "WindowAnswer") -> None:
        """Add rows that another answer has for this window."""
        for name in ids:
            self.starts[name] = other.starts[name]
            self.ids.add(name)
        if ids and self.rows:
            self.rows = [*self.rows, *(row for row in other.rows if row.id in ids)]


_T = TypeVar("_T")
Queries = Generator[list[Window], list[WindowAnswer], _T]
"""Yields windows to query and receives their answers in the same order."""
