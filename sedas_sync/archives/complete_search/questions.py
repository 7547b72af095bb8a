"""Questions and answers: what is asked and told, who asks, and what is kept of an answer while it is being checked."""

import queue
import threading
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from msgspec import Struct

from sedas_sync.archives.complete_search.cap_model import HANDFUL, Size, len_of, measure
from sedas_sync.archives.complete_search.spans import NEAR, Window

SMALL = 64
"""Answers of so many rows are kept whole, and cut so that one piece is a needle and no piece holds all of a group."""


class AnswerRow(NamedTuple):
    """One row of an answer, as far as completeness goes."""

    id: str
    start: int | None
    """Whole seconds since 1970; None where the row does not say."""
    groups: tuple[str, ...]
    """In which respects a limit may tell rows apart: satellite, product type, …; as many for every row."""
    item: Any
    """The row itself, handed on untouched."""


class Answer(Struct, frozen=True):
    """All rows that one question was answered with, in any order."""

    rows: list[AnswerRow]


Ask = Callable[[Window], Answer]
Divide = Callable[[Window, Collection[AnswerRow]], Iterable[list[Any]]]
"""Ways to cut what time cannot part: given a window and its rows, lists of `Window.part`s that together cover it."""
Spread = Callable[[Window, Collection[AnswerRow]], list[Any]]
"""The same by space: the parts, so chosen that none holds all of the rows; none where nothing parts them."""


class Workers:
    """A few daemon threads that ask; an abandoned question never keeps the process from ending."""

    def __init__(self, ask: Ask, count: int) -> None:
        self._ask = ask
        self._count = count
        self._threads = 0
        self._closed = False
        self._questions: queue.SimpleQueue[tuple[Any, Window] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, Answer | BaseException]] = queue.SimpleQueue()

    def submit(self, key: Any, window: Window) -> None:
        """Put a question; its answer will come under that key."""
        self._questions.put((key, window))
        if self._threads < self._count:
            self._threads += 1
            threading.Thread(target=self._work, name=f"search-{self._threads}", daemon=True).start()

    def next(self) -> tuple[Any, Answer]:
        """Wait for an answer; raises what asking raised."""
        key, answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return key, answer

    def close(self) -> None:
        """Put no more questions; those under way are left to themselves."""
        self._closed = True
        for _ in range(self._threads):
            self._questions.put(None)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            key, window = question
            if self._closed:
                return
            answer: Answer | BaseException
            try:
                answer = self._ask(window)
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is waited for
                answer = error
            self._answers.put((key, answer))


class SeenRows(Struct):
    """What is kept of an answer while its window is being checked."""

    window: Window
    size: Size
    """Of all its rows, wherever they lie and however often they came: it is these that a limit counts."""
    ids: set[str]
    """Of all rows."""
    starts: dict[str, int]
    """Of the rows that lie in the window."""
    outside: dict[str, int]
    """Starts of the rows that do not."""
    rows: list[AnswerRow]
    """The rows themselves, each once, where they are few or time may not part them."""
    lost: bool = False
    """Whether a row that another answer had given for this window was missing."""
    agreed: bool = False
    """Whether it agreed with the answer of the window it is a piece of."""

    @property
    def length(self) -> int:
        """All its rows, wherever they lie and however often they came."""
        return len_of(self.size)

    @property
    def few(self) -> bool:
        """Whether it holds no more than a handful, or one row, however often that came."""
        return self.length <= HANDFUL or len(self.ids) == 1

    @property
    def strange(self) -> bool:
        """Whether rows lie so far outside that the archive cannot have kept to the window."""
        first, last = self.window.start - NEAR, self.window.stop + NEAR
        return any(not first <= start <= last for start in self.outside.values())

    def recall(self, names: Collection[str], other: "SeenRows") -> None:
        """Take over what another answer holds for this window."""
        for name in names:
            self.starts[name] = other.starts[name]
            self.ids.add(name)
        if names and self.rows:
            self.rows = [*self.rows, *(row for row in other.rows if row.id in names)]

    def within(self, window: Window) -> set[str]:
        """The rows of this window that lie in the time of another one."""
        return {name for name, start in self.starts.items() if window.start <= start <= window.stop}

    def beyond(self, other: "SeenRows") -> set[str]:
        """The rows that another answer lacks though they belong to its window, or do not say where they belong."""
        window = other.window
        return {
            name
            for name in self.ids - other.ids
            if (start := self.starts.get(name, self.outside.get(name))) is None or window.start <= start <= window.stop
        }


def look(window: Window, answer: Answer) -> SeenRows:
    """Take from an answer what is kept of it."""
    rows = {row.id: row for row in answer.rows}
    dated = {name: row.start for name, row in rows.items() if row.start is not None}
    starts = {name: start for name, start in dated.items() if window.start <= start <= window.stop}
    seen = SeenRows(
        window=window,
        size=measure(row.groups for row in answer.rows),
        ids=set(rows),
        starts=starts,
        outside={name: start for name, start in dated.items() if name not in starts},
        rows=[],
    )
    if len(rows) <= SMALL or len(set(starts.values())) <= 1 or seen.strange:
        seen.rows = list(rows.values())
    return seen
