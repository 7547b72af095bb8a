"""Dates in a manifest: fixed ones, and those that are relative to the current time."""

import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal

from msgspec import Struct

from sedas_sync.model.times import in_utc, to_iso

DATES = (
    "a date (2019-04-30), a date-time (2019-04-30T10:00:00Z), 'today', 'now', or how long ago ('-30d', '-12h', '-2w')"
)
"""What `DateSpec.parse` accepts, in words."""

_AGO = re.compile(r"-\s*(\d{1,7})\s*([hdw])", re.IGNORECASE)
_HOURS = {"h": 1, "d": 24, "w": 168}
_LONGEST = timedelta(days=36525)
_LAST = time(23, 59, 59)


class DateSpec(Struct, frozen=True):
    """A date as the start or the end of an interval; UTC.

    A whole day means its first second as a start, and its last second as an end. An end in whole seconds includes all
    of that second, so that a catalogue with fractions of seconds returns the same scenes as one without.
    """

    kind: Literal["fixed", "today", "ago"]
    role: Literal["start", "end"]
    fixed: datetime | None = None
    """None for a relative date."""
    ago: timedelta = timedelta()
    """How long before now; zero for "now"."""

    @classmethod
    def parse(cls, value: object, role: Literal["start", "end"]) -> "DateSpec":
        """Read a TOML date or date-time, an ISO text of one, or a relative date; a local date-time is UTC.

        Raises:
            ValueError: The value is none of these.
        """
        text = value.strip() if isinstance(value, str) else None
        if text is not None:
            if text.lower() == "today":
                return cls("today", role)
            if text.lower() == "now":
                return cls("ago", role)
            if match := _AGO.fullmatch(text):
                ago = timedelta(hours=int(match[1]) * _HOURS[match[2].lower()])
                if ago <= _LONGEST:
                    return cls("ago", role, ago=ago)
        with suppress(ValueError, OverflowError):
            if text is not None:
                is_date = len(text) == len("2019-04-30")
                value = date.fromisoformat(text) if is_date else datetime.fromisoformat(text)
            if isinstance(value, datetime):
                return cls("fixed", role, in_utc(value))
            if isinstance(value, date):
                clock = time() if role == "start" else _LAST
                return cls("fixed", role, datetime.combine(value, clock, UTC))
        raise ValueError(f"must be {DATES}")

    @property
    def relative(self) -> bool:
        """Whether it depends on the current time."""
        return self.fixed is None

    @property
    def text(self) -> str:
        """The date in its shortest form. Dates of one role are equal if and only if their texts are."""
        if self.kind == "today":
            return "today"
        if self.fixed is None:
            hours = self.ago // timedelta(hours=1)
            return "now" if not hours else f"-{hours}h" if hours % 24 else f"-{hours // 24}d"
        if self.fixed.timetz().replace(tzinfo=None) == (time() if self.role == "start" else _LAST):
            return self.fixed.date().isoformat()
        return to_iso(self.fixed)

    def resolve(self, now: datetime) -> datetime:
        """Return the first time of the interval for a start, and the last time for an end."""
        if self.fixed is None and self.kind == "ago":
            return now.astimezone(UTC) - self.ago
        clock = time() if self.role == "start" else _LAST
        time_utc = self.fixed or datetime.combine(now.astimezone(UTC).date(), clock, UTC)
        if self.role == "end" and time_utc.microsecond == 0:
            return time_utc.replace(microsecond=999_999)
        return time_utc


def is_backwards(start: DateSpec, end: DateSpec, now: datetime | None) -> bool:
    """Return whether an interval ends before it starts; without `now`, whether it does so at any time."""
    if now is not None:
        return end.resolve(now) < start.resolve(now)
    if start.kind == end.kind == "ago":
        return end.ago > start.ago
    if start.fixed is None or end.fixed is None:
        return False
    return end.resolve(start.fixed) < start.fixed
