"""Values as text: sizes, durations, counts, times and ids; and other people's text made safe for a terminal."""

import json
import re
from collections.abc import Sequence
from html import unescape
from unicodedata import combining, east_asian_width

from sedas_sync.model.file_kind import without_endings

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def product_id(scene_id: str) -> str:
    """Return the name of a product without `.SAFE`, `.zip`, `.nc` and the like, so that it is the same at all archives.

    Letter case is kept, because names are case-sensitive in the field.

    >>> product_id("S2A_MSIL1C_20190501T110621_N0207_R137_T30UXC_20190501T132117.SAFE")[-4:]
    '2117'
    """
    return without_endings(scene_id)


def size(count: float | None) -> str:
    """Return a number of bytes with a decimal unit; `?` if it is None.

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
    # A value that rounds up to a thousand is one of the next unit.
    while value >= 999.95 and place < len(_UNITS) - 1:  # noqa: PLR2004  # as above
        value, place = value / 1000, place + 1
    return f"{value:.1f} {_UNITS[place]}"


def link_without_secrets(url: str) -> str:
    """Return a link without its query and its user name: some services put a signature or a password there.

    >>> link_without_secrets("https://me:secret@example.org/a.zip?sig=1234")
    'https://example.org/a.zip'
    """
    scheme, mark, rest = url.partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path}"


_BUCKET_ERROR = re.compile(
    r"\s*(?:<\?xml[^>]*>\s*)?<Error>.*?<Code>([^<]*)</Code>(?:.*?<Message>([^<]*)</Message>)?", re.DOTALL
)


def bucket_error(body: str) -> str | None:
    """Return code and message of a bucket's error (S3 API, REST error responses); None if a text is none.

    >>> bucket_error("<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>")
    'SlowDown: Please reduce your request rate.'
    """
    found = _BUCKET_ERROR.match(body)
    return None if found is None else ": ".join(filter(None, map(unescape, found.groups(""))))


_NAMED = 5


def either(words: Sequence[str]) -> str:
    """Return a choice as text.

    >>> either(["a", "b", "c"]), either(["a"])
    ('a, b or c', 'a')
    """
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def named(ids: Sequence[str]) -> str:
    """Return the first names of a list and how many more there are.

    >>> named(["A", "B"])
    'A, B'
    """
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def duration(seconds: float) -> str:
    """Return a duration in at most two units.

    >>> duration(3 * 3600 + 20 * 60 + 5)
    '3 h 20 min'
    """
    whole = int(seconds)
    for unit, length, smaller, step in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= length:
            rest = whole % length // step
            return f"{whole // length} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"  # noqa: PLR2004  # tenths matter only in short durations


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural if needed.

    >>> count(1, "scene"), count(12000, "scene")
    ('1 scene', '12,000 scenes')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def printable(text: str) -> str:
    """Escape characters that would control a terminal: text of an archive is not trusted.

    Control characters and characters that change the direction of text are written as in Python source.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can encode a text.

    Lone surrogates are no text: JSON may contain one, and in the name of a file one is a byte that is not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_json(value: object) -> str:
    """Return JSON in ASCII. Bytes of a name that are not UTF-8 become `?`, because readers reject lone surrogates."""
    text = json.dumps(value)
    if "\\ud" in text:
        text = json.dumps(json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")))
    return text


def cells(text: str) -> int:
    """Return the width of a printable text in a terminal: a wide character has two columns, a combining one none.

    >>> cells("scene"), cells("場面"), cells("e\u0301")
    (5, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def padded(text: str, width: int) -> str:
    """Pad a text with spaces to a width in columns."""
    return text + " " * max(0, width - cells(text))


def clipped(text: str, width: int) -> str:
    """Cut a text to a width in columns; a text that is cut ends in `…`."""
    if cells(text) <= width:
        return text
    kept, taken = [], 0
    for char in text:
        taken += cells(char)
        if taken > width - 1:
            break
        kept.append(char)
    return "".join(kept) + "…" if width > 0 else ""
