"""When a failed request may be sent again: `Retry-After`, and growing pauses."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

BACKOFF_FIRST = 1.0
"""Seconds of the first pause."""
BACKOFF_MAX = 60.0
"""Seconds of the longest pause."""
_FOREVER = 1e9
"""Seconds. A longer `Retry-After` is read as this one, which every caller refuses."""


def http_date(value: str | None) -> datetime | None:
    """Read a date in the format of HTTP headers; None for anything else."""
    if not value:
        return None
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def retry_after(value: str | None, date: str | None) -> float | None:
    """Read a `Retry-After` header.

    Args:
        value: The header: seconds or a date.
        date: The answer's `Date` header. A date counts from this clock of the server, or from ours if it sent none.

    Returns:
        Seconds to wait; None if there is no header or it cannot be read.

    >>> retry_after("Fri, 02 Jan 2026 03:04:38 GMT", "Fri, 02 Jan 2026 03:04:05 GMT")
    33.0
    """
    value = (value or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        return min(float(value), _FOREVER)
    until = http_date(value)
    if until is None:
        return None
    return max(0.0, (until - (http_date(date) or datetime.now(UTC))).total_seconds())


def backoff(attempt: int, chance: float, first: float = BACKOFF_FIRST, longest: float = BACKOFF_MAX) -> float:
    """Return the pause after a failed attempt: it doubles each time, and is between half and all of that step.

    Args:
        attempt: Failed attempts before this one.
        chance: A random number in [0, 1): clients that failed together retry at different times.
        first: Seconds of the first step.
        longest: Seconds of the longest step.
    """
    step = min(longest, first * 2.0 ** min(attempt, 32))
    return step * (0.5 + 0.5 * chance)
