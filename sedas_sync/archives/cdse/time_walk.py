"""A complete search of the Copernicus Data Space along the acquisition time.

Pages are sorted by `ContentDate/Start`, and each request starts where the last page ended. So the limit of `$skip`
(10,000) is not reached, and a scene that is withdrawn meanwhile hides no other one. The rules:

1. A page that is shorter than another one is the last one.
2. A page that is not full, but the longest so far, is the last one if a request with `$skip` finds nothing behind it. A
   missing link to the next page proves nothing: servers cut at limits of their own, and the documented one omits the
   link before its limit of `$skip`.
3. A full page is followed by a request from just before its last start, because the stated time may be rounded.
4. If a full page began in one instant, `$skip` continues behind it, up to its limit.
5. An answer that is not sorted proves nothing, and makes the search incomplete.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from sedas_sync.archives.cdse import rows
from sedas_sync.archives.lenient import UnusableError
from sedas_sync.errors import ArchiveError

PAGE = 1000
"""Most rows of one answer."""
LAST_SKIP = 10_000
"""The largest `$skip` that is answered; a larger one is status 422."""

_TICK = timedelta(milliseconds=1)
_PARTS = 4

Request = Callable[[datetime, datetime, int], Mapping[str, Any]]
"""Requests one page by start, stop and `$skip`."""


class Stretch(Struct, frozen=True):
    """A part of a search: acquisitions that began between two times, both included, from the row `skip` on."""

    start: datetime
    stop: datetime
    skip: int = 0
    first: bool = False
    after: list[object] | None = None
    """The page before, if this request only checks whether anything follows it."""


class TimeWalk:
    """One search: requests stretches, and returns what is left of each. Safe for threads."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._longest = 0
        self._full = PAGE
        """Rows of a full page: the documented number, or a server's own that was seen earlier."""
        self.problem = ""
        """Why some matches may be missing; empty if none are."""

    def step(self, stretch: Stretch) -> tuple[list[object], list[Stretch]]:
        """Return the rows of one page, and the stretches that are still to be requested."""
        answer = self._request(stretch.start, stretch.stop, stretch.skip)
        page = rows_of(answer, "a search")
        longest, self._longest = self._longest, max(self._longest, len(page))
        if not page:
            return page, []
        if stretch.after is not None:
            if page == stretch.after:
                self.problem = "the catalogue ignores $skip, so it is not known whether its answer is complete"
                return page, []
            self._full = min(self._full, len(stretch.after))
        if len(page) < self._full and not answer.get("@odata.nextLink"):
            beyond = Stretch(stretch.start, stretch.stop, stretch.skip + len(page), after=page)
            return page, [beyond] if len(page) >= longest else []
        return page, self._after_full(stretch, page)

    def _after_full(self, stretch: Stretch, page: list[object]) -> list[Stretch]:
        starts = list(_starts(page))
        if not starts or starts != sorted(starts):
            self.problem = (
                "the catalogue did not sort its answer by acquisition time, so it is not known whether it is complete"
            )
            return []
        last = starts[-1] - _TICK
        if last > stretch.start:
            rest = Stretch(last, stretch.stop)
            return list(_split(rest)) if stretch.first else [rest]
        if stretch.skip + len(page) <= LAST_SKIP:
            return [Stretch(stretch.start, stretch.stop, stretch.skip + len(page))]
        self.problem = (
            f"more than {LAST_SKIP} scenes began at {starts[-1]:%Y-%m-%dT%H:%M:%S.%fZ}, and the catalogue shows no "
            "more than that: narrow the dataset by satellite, product type or tile"
        )
        return [Stretch(starts[-1] + _TICK, stretch.stop)] if starts[-1] < stretch.stop else []


def rows_of(answer: Mapping[str, Any], what: str) -> list[object]:
    """Return the rows of an answer.

    Raises:
        ArchiveError: It has none.
    """
    listed = answer.get("value")
    if not isinstance(listed, list):
        raise ArchiveError(f"the archive answered {what} without a list of scenes")
    return listed


def _starts(page: Iterable[object]) -> Iterator[datetime]:
    for row in page:
        try:
            yield rows.start_of(row)
        except UnusableError:
            continue


def _split(stretch: Stretch) -> Iterator[Stretch]:
    """Split a stretch into parts that are searched in parallel; neighbours share an instant, so nothing is missed."""
    step = (stretch.stop - stretch.start) / _PARTS
    edges = [stretch.start + number * step for number in range(_PARTS)]
    for begin, end in zip(edges, [*edges[1:], stretch.stop], strict=True):
        yield Stretch(begin, end)
