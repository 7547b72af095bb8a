"""Values in words: sizes, spans of time and counts, and text of others made fit for a terminal."""

import json
from collections.abc import Sequence
from unicodedata import combining, east_asian_width

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def size(count: float | None) -> str:
    """Write a number of bytes with a decimal unit; `?` where it is not known.

    >>> size(812_000_000)
    '812.0 MB'
    >>> size(999_999)
    '1.0 MB'
    """
    if count is None:
        return "?"
    if count < 1000:  # noqa: PLR2004  # decimal units
        return f"{count:.0f} B"
    value, place = float(count), 0
    # What rounds up to a thousand is one of the next unit.
    while value >= 999.95 and place < len(_UNITS) - 1:  # noqa: PLR2004  # as above
        value, place = value / 1000, place + 1
    return f"{value:.1f} {_UNITS[place]}"


_NAMED = 5


def named(ids: Sequence[str]) -> str:
    """Name some of these, and say how many more there are.

    >>> named(["A", "B"])
    'A, B'
    """
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def duration(seconds: float) -> str:
    """Write a span of time in at most two units.

    >>> duration(3 * 3600 + 20 * 60 + 5)
    '3 h 20 min'
    """
    whole = int(seconds)
    for unit, length, smaller, step in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // step
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004  # tenths matter only in short spans


def count(number: int, noun: str) -> str:
    """Write a number with its noun, both as English has them.

    >>> count(1, "scene"), count(12000, "scene")
    ('1 scene', '12,000 scenes')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """Escape what would steer a terminal: an archive's words are not trusted with it.

    Control characters and those that turn the direction of writing are shown as Python writes them.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def as_json(value: object) -> str:
    """JSON in ASCII. Of a file's name that is no UTF-8, what cannot be written is a `?`: readers refuse half a pair."""
    text = json.dumps(value)
    if "\\ud" in text:
        text = json.dumps(json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")))
    return text


def cells(text: str) -> int:
    """How many columns of a terminal a printable text takes: two for a wide character, none for a combining one.

    >>> cells("scene"), cells("場面"), cells("e\u0301")
    (5, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """Fill a text up with spaces to so many columns."""
    return text + " " * max(0, width - cells(text))


def clipped(text: str, width: int) -> str:
    """Cut a text to so many columns; one that is cut ends in `…`."""
    if cells(text) <= width:
        return text
    kept, taken = [], 0
    for char in text:
        taken += cells(char)
        if taken > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…" if width > 0 else ""
