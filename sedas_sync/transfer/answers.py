"""Headers of answers, read: ranges, validators, how long to wait."""

import email.utils
from collections.abc import Mapping

_OLD = 60
"""Seconds after which a date of change counts as strong (RFC 9110, 8.8.2.2)."""


def validator(headers: Mapping[str, str]) -> str | None:
    """What can stand in `If-Range`: a strong ETag, or a date that is old enough; None where neither came."""
    etag = headers.get("etag", "")
    if etag != '""' and etag.startswith('"') and etag.endswith('"'):
        return etag
    try:
        modified = email.utils.parsedate_to_datetime(headers["last-modified"])
        now = email.utils.parsedate_to_datetime(headers["date"])
        old = (now - modified).total_seconds() >= _OLD
    except (KeyError, ValueError, TypeError):
        return None
    return headers["last-modified"] if old and not etag else None


def agree(noted: str | None, sent: str | None) -> bool:
    """Say whether a header contradicts what was noted of it; silence contradicts nothing."""
    return noted is None or sent is None or noted == sent


def parse_range(value: str | None) -> tuple[int, int, int | None] | None:
    """Read a `Content-Range`: start, end (excluded), and the length of all; None where it makes no sense.

    >>> parse_range("bytes 5-9/20")
    (5, 10, 20)
    >>> parse_range("bytes */20") is None
    True
    """
    unit, _, rest = (value or "").strip().partition(" ")
    stretch, _, total = rest.partition("/")
    first, _, last = stretch.partition("-")
    if unit.lower() != "bytes" or not (first.isdigit() and last.isdigit()) or int(last) < int(first):
        return None
    if total == "*":
        return int(first), int(last) + 1, None
    return (int(first), int(last) + 1, int(total)) if total.isdigit() else None


def retry_after(value: str | None, now: float) -> float | None:
    """Read a `Retry-After`, seconds or a date; None where there is none that makes sense.

    Args:
        value: the header.
        now: the time as a Unix timestamp.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError):
        return None
