"""Times in UTC, as ISO 8601 text and back."""

import re
from datetime import UTC, datetime, timedelta

_LEAP_SECOND = re.compile(r"(:\d\d):60(?!\d)")
UNDATED = datetime.min.replace(tzinfo=UTC)
"""Sorts scenes without an acquisition time first."""


def to_iso(when: datetime, timespec: str = "auto") -> str:
    """Return a time in UTC with a `Z`.

    Args:
        when: With a time zone.
        timespec: As in `datetime.datetime.isoformat`.

    >>> to_iso(datetime(2019, 4, 30, 11, 6, tzinfo=UTC))
    '2019-04-30T11:06:00Z'
    """
    return when.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def from_iso(text: str) -> datetime:
    """Read a time in ISO 8601, with or without fraction and offset; without an offset it is UTC.

    The letters T and Z may be in lower case, and a leap second is the second after it, as RFC 3339 allows.

    >>> from_iso("2016-12-31t23:59:60z")
    datetime.datetime(2017, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)

    Raises:
        ValueError: It is not a time.
        OverflowError: Its offset leads out of the calendar.
    """
    text = text.strip().upper()
    leap = _LEAP_SECOND.sub(r"\1:59", text)
    when = datetime.fromisoformat(leap)
    return in_utc(when if leap == text else when + timedelta(seconds=1))


def in_utc(when: datetime) -> datetime:
    """Return a time in UTC; one without a zone is UTC."""
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
