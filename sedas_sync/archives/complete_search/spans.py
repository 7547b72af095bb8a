"""Windows of time, and where to cut them. Pure."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from msgspec import Struct

NEAR = 1
"""Seconds by which a question may reach beyond its window so that both its ends are included; see `Window`."""
NEEDLE = 5
"""Rows that the smallest needle holds: few enough for any limit that makes sense, enough to hit what is left out."""


class Window(Struct, frozen=True):
    """What one question covers: whole seconds since 1970, both ends included.

    The answer may hold rows that lie outside. Those farther away than a second show that the archive does not keep to
    what it is asked: that it rounds instants to minutes or days, gives whatever overlaps, or ignores them.
    """

    start: int
    stop: int
    part: Any = None
    """How the question is narrowed besides, understood by whoever answers; None: not at all."""


def after(window: Window, second: int) -> list[Window]:
    """What lies after a second; nothing where the window ends with it."""
    return [Window(second + 1, window.stop, window.part)] if second < window.stop else []


def before(window: Window, second: int, *, parts: int = 1) -> list[Window]:
    """What lies before a second, in that many parts; nothing where the window begins with it."""
    span = second - window.start
    cuts = [window.start + span * number // parts for number in range(1, parts)]
    return between(Window(window.start, second - 1, window.part), cuts) if span else []


def equal(window: Window, count: int) -> list[Window]:
    """Cut a window into equal stretches of time."""
    span = window.stop - window.start + 1
    return between(window, [window.start + span * number // count for number in range(1, count)])


def between(window: Window, cuts: Iterable[int]) -> list[Window]:
    """Cut a window before each of these seconds that is not its first."""
    edges = [window.start, *sorted({cut for cut in cuts if cut > window.start}), window.stop + 1]
    return [Window(start, stop - 1, window.part) for start, stop in pairwise(edges)]


def crowd(window: Window, second: int) -> Window:
    """A full second with its neighbours, or by itself where the window holds no more than those.

    Its rows then do not come again with what lies around it, though questions reach a second beyond their windows.
    """
    narrow = Window(max(window.start, second - 1), min(window.stop, second + 1), window.part)
    return Window(second, second, window.part) if narrow == window else narrow


# What follows is given the sorted starts of rows, at several seconds, and finds the seconds before which to cut. They
# lie in the middle between neighbours, so that no row is as near to a cut as questions reach beyond their windows.


def _cut(instants: list[int], place: int) -> int:
    return instants[place] - (instants[place] - instants[place - 1]) // 2


def median(instants: list[int]) -> int:
    """Cut so that about half of the instants lie on either side, and some on each."""
    middle = len(instants) // 2
    first, after = bisect_left(instants, instants[middle]), bisect_right(instants, instants[middle])
    if first == 0 or (after < len(instants) and after - middle < middle - first):
        return _cut(instants, after)
    return _cut(instants, first)


def oldest_first(instants: list[int]) -> list[int]:
    """Cut off what lies before the oldest row, all that a newest-first cut can hide, and halve the rest."""
    return [instants[0] - 1, median(instants)]


def needle_first(start: int, instants: list[int]) -> list[int]:
    """Cut off the oldest rows with what lies before them, which makes a needle of that piece, and halve the rest."""
    oldest = max(1, min(NEEDLE, len(instants) // 3))
    first = bisect_right(instants, instants[oldest - 1])
    rest = instants[first:]
    if rest and rest[0] < rest[-1]:
        return [_cut(instants, first), median(rest)]
    return [(start + instants[0]) // 2, median(instants)]


def parting(start: int, instants: list[int], wholes: list[list[int]]) -> list[int] | None:
    """Cut so that no piece holds all of any of these; None where all rows of one share a second."""
    cuts = needle_first(start, instants)
    unparted = [whole for whole in wholes if not any(whole[0] < cut <= whole[-1] for cut in cuts)]
    if not unparted:
        return cuts
    if any(whole[0] == whole[-1] for whole in unparted):
        return None
    return [median(instants), *(median(whole) for whole in unparted)]


def needles(instants: list[int], part: Any) -> list[Window]:
    """Sub-windows of a few rows, at several scales within each other, at two places."""
    total = len(instants)
    scales: list[tuple[int, float]] = []
    size = total // 8
    while size >= 4 * NEEDLE:
        scales.append((size, 1 / 3))
        size //= 8
    scales += [(2 * NEEDLE, 1 / 4), (2 * NEEDLE, 3 / 4), (NEEDLE, 1 / 2), (NEEDLE, 11 / 12)]
    windows: list[Window] = []
    for wanted, place in scales:
        rows = min(total, max(2, min(wanted, total // 2)))
        begin = max(0, min(int(total * place) - rows // 2, total - rows))
        window = Window(instants[begin], instants[begin + rows - 1], part)
        if window not in windows:
            windows.append(window)
    return windows


def stretches(windows: Iterable[Window]) -> list[str]:
    """Say which stretches of time windows cover together."""
    joined: list[tuple[int, int]] = []
    for start, stop in sorted({(window.start, window.stop) for window in windows}):
        if joined and joined[-1][1] >= start - 1 and stop > start:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return [_stretch(start, stop) for start, stop in joined]


def _stretch(start: int, stop: int) -> str:
    return f"at {_instant(start)}" if start == stop else f"between {_instant(start)} and {_instant(stop)}"


def _instant(second: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"
