"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class Clock:
    """Returns its time when it is called, as `Mirror(clock=…)` wants it; `posix` is for `Sandbox(clock=…)`."""

    def __init__(self, start="2026-01-01"):
        self.now = datetime.fromisoformat(start).replace(tzinfo=UTC)

    def __call__(self):
        return self.now

    def posix(self):
        return self.now.timestamp()

    def move(self, **amount):
        """Move the clock by days, hours or seconds."""
        self.now += timedelta(**amount)
