"""Windows of time, and where to split them. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec import Struct

NEAR = 1
"""Seconds by which a query may exceed its window so that both ends are included; see `Window`."""
SAMPLE_ROWS = 5
"""Rows of the smallest sample: fewer than any sensible cap, and enough to hit rows that were left out."""

PAGES = 4
"""So many pieces are queried beside the rest of the time before the oldest row of an answer that was cut."""
PAGE_SHARE = 0.8
"""Their share of the period of such an answer: the cap must not cut them too."""


class Window(Struct, frozen=True):
    """What one query covers: whole seconds since 1970, both ends included.

    The answer may have rows outside. If they are more than a second away, the archive does not follow the query: it
    rounds times to minutes or days, returns everything that overlaps, or ignores times.
    """

    start: int
    stop: int
    part: Any = None
    """Further restrictions of the query. Only the function that sends it knows what they mean."""


def after(window: Window, second: int) -> list[Window]:
    """Return the part of a window after a second; empty if the window ends there."""
    return [Window(second + 1, window.stop, window.part)] if second < window.stop else []


def before(window: Window, second: int, *, pieces: int = 1) -> list[Window]:
    """Return the part of a window before a second, in equal pieces; empty if the window starts there."""
    span = second - window.start
    cuts = [window.start + span * number // pieces for number in range(1, pieces)]
    return split(Window(window.start, second - 1, window.part), cuts) if span else []


def split_equally(window: Window, count: int) -> list[Window]:
    """Split a window into equal periods."""
    span = window.stop - window.start + 1
    return split(window, [window.start + span * number // count for number in range(1, count)])


def split(window: Window, cuts: Iterable[int]) -> list[Window]:
    """Split a window before each of these seconds, except before its first second."""
    edges = [window.start, *sorted({cut for cut in cuts if cut > window.start}), window.stop + 1]
    return [Window(start, stop - 1, window.part) for start, stop in pairwise(edges)]


def around(window: Window, second: int) -> Window:
    """Return a crowded second with its two neighbours, or alone if the window has no more than those.

    With the neighbours, its rows do not appear again in the answers before and after it, although queries exceed their
    windows by a second.
    """
    narrow = Window(max(window.start, second - 1), min(window.stop, second + 1), window.part)
    return Window(second, second, window.part) if narrow == window else narrow


# The functions below take the sorted starts of rows, in at least two different seconds, and return the seconds before
# which to split. These lie in the middle between two starts, so that no row is as near to a cut as `NEAR`.


def _middle(starts: list[int], position: int) -> int:
    return starts[position] - (starts[position] - starts[position - 1]) // 2


def median(starts: list[int]) -> int:
    """Split so that about half of the starts are on each side, and at least one is."""
    middle = len(starts) // 2
    first, after = bisect_left(starts, starts[middle]), bisect_right(starts, starts[middle])
    if first == 0 or (after < len(starts) and after - middle < middle - first):
        return _middle(starts, after)
    return _middle(starts, first)


def oldest_and_median(starts: list[int]) -> list[int]:
    """Split before the oldest row, where a newest-first cut hides rows, and split the rest in halves."""
    return [starts[0] - 1, median(starts)]


def pages(first_second: int, starts: list[int]) -> list[int]:
    """Split the time before the oldest row so that most pieces stay below the cap, if there are as many rows as after.

    A few pieces, because the density can change: the rest of the time remains one piece.
    """
    length = int((starts[-1] - starts[0]) * PAGE_SHARE)
    cuts = [starts[0] - 1 - length * number for number in range(1, PAGES + 1)] if length else []
    return [cut for cut in cuts if cut > first_second]


def sample_and_median(first_second: int, starts: list[int]) -> list[int]:
    """Split off the few oldest rows, so that this piece is a sample too, and split the rest in halves."""
    oldest = max(1, min(SAMPLE_ROWS, len(starts) // 3))
    position = bisect_right(starts, starts[oldest - 1])
    rest = starts[position:]
    if rest and rest[0] < rest[-1]:
        return [_middle(starts, position), median(rest)]
    return [(first_second + starts[0]) // 2, median(starts)]


def split_groups(first_second: int, starts: list[int], groups: list[list[int]]) -> list[int] | None:
    """Split off a sample unless a piece would have all rows of a group; then split these groups at their medians.

    Returns:
        Seconds to split before; None if a group would stay whole because all its rows share a second.
    """
    cuts = sample_and_median(first_second, starts)
    whole = [group for group in groups if not any(group[0] < cut <= group[-1] for cut in cuts)]
    if not whole:
        return cuts
    if any(group[0] == group[-1] for group in whole):
        return None
    return [median(starts), *(median(group) for group in whole)]


def samples(starts: list[int], part: Any) -> list[Window]:
    """Return sample windows of several sizes, one inside another, at two positions."""
    total = len(starts)
    scales: list[tuple[int, float]] = []
    size = total // 8
    while size >= 4 * SAMPLE_ROWS:
        scales.append((size, 1 / 3))
        size //= 8
    scales += [(2 * SAMPLE_ROWS, 1 / 4), (2 * SAMPLE_ROWS, 3 / 4), (SAMPLE_ROWS, 1 / 2), (SAMPLE_ROWS, 11 / 12)]
    windows: list[Window] = []
    for wanted, position in scales:
        rows = min(total, max(2, min(wanted, total // 2)))
        begin = max(0, min(int(total * position) - rows // 2, total - rows))
        window = Window(starts[begin], starts[begin + rows - 1], part)
        if window not in windows:
            windows.append(window)
    return windows


def describe(windows: Iterable[Window]) -> list[str]:
    """Describe the periods that windows cover together, in words."""
    periods: list[tuple[int, int]] = []
    for start, stop in sorted({(window.start, window.stop) for window in windows}):
        if periods and periods[-1][1] >= start - 1 and stop > start:
            periods[-1] = (periods[-1][0], max(stop, periods[-1][1]))
        else:
            periods.append((start, stop))
    return [f"at {_utc(a)}" if a == b else f"between {_utc(a)} and {_utc(b)}" for a, b in periods]


def _utc(second: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"
