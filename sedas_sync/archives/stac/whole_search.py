"""Complete searches with a STAC API, whose pages do not always show whether they are all.

A search is complete if the server's own count is met, or if the last page is shorter than another page: a limit would
cut both at the same length. Otherwise it is asked again in parts of its time span, which together cover it:

*   A page that may be as long as the server's limit, without a count, is not the end of a search. Each part is shorter,
    so it is complete, or it is split again. (A public service left out its `next` links in January 2026.)
*   A page that the server refuses, as some do beyond 10,000 items, is no end either.
*   A count that is not met may be an estimate. If the parts bring no new items, a warning reports it.

What time cannot split is asked with smaller pages. If the server then shows that it follows limits and sends `next`
links, the search is complete; otherwise it is reported as incomplete.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

from sedas_sync.archives.protocol import Warn
from sedas_sync.archives.stac.api import End, Walk
from sedas_sync.errors import ArchiveError, IncompleteSearch
from sedas_sync.model.times import from_iso, to_iso

_SECOND = timedelta(seconds=1)
SMALLEST_PART = 4 * _SECOND
"""A shorter time is not split."""
HANDFUL = 10
"""So many items of one time, or more, are not accepted from a server that does not follow limits."""
MOST_WALKS = 200
"""Walks of one search. A search that needs more is reported as incomplete."""

Page = dict[str, Any]


class Span(NamedTuple):
    """A period of time, both ends included."""

    start: datetime
    stop: datetime

    def __str__(self) -> str:
        return f"{to_iso(self.start)}/{to_iso(self.stop)}"


Ask = Callable[[Span, int | None], Generator[Page, None, Walk]]
"""Walks over the pages for a period, with pages of a size or None."""


def search(ask: Ask, span: Span, warn: Warn) -> Iterator[Page]:
    """Yield pages that together have every item of a period; an item may come more than once.

    Args:
        ask: Sends the requests.
        span: What to search.
        warn: Called if the server's count of items is not met.

    Raises:
        IncompleteSearch: Items may be missing. The pages that arrived have been yielded.
    """
    return _SpanSearch(ask).run(span, warn)


class _SpanSearch:
    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._found: set[Any] = set()
        self._walks = 0
        self._problem: ArchiveError | None = None
        """Of the last walk."""

    def run(self, span: Span, warn: Warn) -> Iterator[Page]:
        whole = yield from self._walk(span)
        if whole.end is not End.COMPLETE:
            yield from self._split(span, whole)
        if whole.matched is not None and len(self._found) < whole.matched:
            warn(
                f"the server states that {whole.matched} items match, and sent {len(self._found)}; asked again in "
                "parts it sent no more, so the number is probably an estimate"
            )

    def _walk(self, span: Span, limit: int | None = None) -> Generator[Page, None, Walk]:
        self._walks += 1
        if self._walks > MOST_WALKS:
            raise IncompleteSearch(self._why(span))
        walk = yield from self._ask(span, limit)
        self._found |= walk.names
        self._problem = walk.problem
        return walk

    def _split(self, span: Span, walk: Walk) -> Iterator[Page]:
        """Ask for the parts of a period, and for parts of these."""
        parts = _parts(span, walk.times)
        if not parts:
            yield from self._with_smaller_pages(span, walk)
        for part in parts:
            known = len(self._found)
            inner = yield from self._walk(part)
            # A count that no part meets, and that brings nothing new, is an estimate.
            if inner.end is End.FULL or (inner.end is End.SHORT and len(self._found) > known):
                yield from self._split(part, inner)

    def _with_smaller_pages(self, span: Span, walk: Walk) -> Iterator[Page]:
        """Ask again with pages of about half the length, which shows whether the server sends `next` links."""
        again = yield from self._walk(span, len(walk.names) // 2 + 1)
        follows = walk.names <= again.names and (again.end is not End.FULL or len(again.names) < HANDFUL)
        if again.problem or not follows or (again.end is End.SHORT and len(again.names) > len(walk.names)):
            raise IncompleteSearch(self._why(span))

    def _why(self, span: Span) -> str:
        if self._problem is not None:
            return f"the search is incomplete: for the time {span}, {self._problem}"
        return (
            f"the search is incomplete: the server sent {len(self._found)} items, and more may be of the time {span}. "
            "It neither links to a next page there nor states how many match. Use a smaller AOI or a narrower dataset"
        )


def _parts(span: Span, times: Sequence[str]) -> list[Span]:
    """Return periods that together are a period, so that no one has all items; empty if time cannot split them."""
    if span.stop - span.start < SMALLEST_PART:
        return []
    starts = []
    for text in times:
        with suppress(ValueError, OverflowError):
            starts.append(from_iso(text))
    inside = sorted(start for start in starts if span.start <= start <= span.stop)
    if not inside:
        # The server does not follow times, or states none.
        return []
    later = next((start for start in inside[len(inside) // 2 :] if start > inside[0]), None)
    if later is None:
        # All have one time: what lies around it is asked for too.
        cuts = [inside[0] - _SECOND, inside[0] + _SECOND]
    else:
        earlier = max(start for start in inside if start < later)
        cuts = [earlier + (later - earlier) / 2]
    edges = [span.start, *(cut for cut in cuts if span.start < cut < span.stop), span.stop]
    return [Span(start, stop) for start, stop in pairwise(edges)]
