"""Dates of a manifest: fixed ones, and those that mean something else every day."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from msgspec import Struct

DATES = (
    "a date (2019-04-30), a date-time (2019-04-30T10:00:00Z), 'today', 'now', or how long ago ('-30d', '-12h', '-2w')"
)
"""What `DateSpec.parse` takes, in words."""

_AGO = re.compile(r"-\s*(\d{1,7})\s*([hdw])", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 168}
_LONGEST = timedelta(days=36525)
_LAST = time(23, 59, 59)


class DateSpec(Struct, frozen=True):
    """A date as the start or the end of an interval; UTC.

    A whole day as a start is its first second, as an end its last: catalogues count sensing times in
    whole seconds. An end that is written in whole seconds takes in all of that second, so that a
    catalogue which states fractions gives the same scenes as one which cuts them off.
    """

    kind: Literal["fixed", "today", "ago"]
    role: Literal["start", "end"]
    instant: datetime | None = None
    """Of a fixed date."""
    ago: timedelta = timedelta()
    """How long before now; nothing for "now"."""

    @classmethod
    def parse(cls, value: object, role: Literal["start", "end"]) -> "DateSpec":
        """Read a TOML date or date-time, an ISO text of one, or a relative date; a local date-time is UTC.

        Raises:
            ValueError: it is none of these.
        """
        if isinstance(value, str):
            text = value.strip()
            if text.lower() == "today":
                return cls("today", role)
            if text.lower() == "now":
                return cls("ago", role)
            if match := _AGO.fullmatch(text):
                ago = timedelta(hours=int(match[1]) * _HOURS[match[2].lower()])
                if ago <= _LONGEST:
                    return cls("ago", role, ago=ago)
            value = _from_text(text)
        if isinstance(value, datetime):
            return cls("fixed", role, _in_utc(value))
        if isinstance(value, date):
            clock = time() if role == "start" else _LAST
            return cls("fixed", role, datetime.combine(value, clock, UTC))
        raise ValueError(f"must be {DATES}")

    @property
    def relative(self) -> bool:
        """Whether it means something else every day."""
        return self.instant is None

    @property
    def text(self) -> str:
        """The date in its shortest form: equal for dates of one role exactly if they mean the same."""
        if self.kind == "today":
            return "today"
        if self.instant is None:
            hours = self.ago // timedelta(hours=1)
            return "now" if not hours else f"-{hours}h" if hours % 24 else f"-{hours // 24}d"
        if self.instant.timetz().replace(tzinfo=None) == (time() if self.role == "start" else _LAST):
            return self.instant.date().isoformat()
        return self.instant.replace(tzinfo=None).isoformat() + "Z"

    def resolve(self, now: datetime) -> datetime:
        """The first instant of a start, or the last instant of an end, that belongs to the interval."""
        if self.instant is None and self.kind == "ago":
            return now.astimezone(UTC) - self.ago
        clock = time() if self.role == "start" else _LAST
        instant = self.instant or datetime.combine(now.astimezone(UTC).date(), clock, UTC)
        if self.role == "end" and instant.microsecond == 0:
            return instant.replace(microsecond=999_999)
        return instant


def is_backwards(start: DateSpec, end: DateSpec, now: datetime | None) -> bool:
    """Say whether an interval ends before it starts; without `now`, only where that is so at any time."""
    if now is not None:
        return end.resolve(now) < start.resolve(now)
    if start.kind == end.kind == "ago":
        return end.ago > start.ago
    if start.instant is None or end.instant is None:
        return False
    return end.resolve(start.instant) < start.instant


def _from_text(text: str) -> date | datetime:
    try:
        return date.fromisoformat(text) if len(text) == len("2019-04-30") else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"must be {DATES}") from None


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        return instant.replace(tzinfo=UTC)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"must be {DATES}") from None
