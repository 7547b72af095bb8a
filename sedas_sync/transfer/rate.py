"""Limits that the downloads of one process share: the rate of all bytes, and the number of connections."""

import threading
from collections.abc import Callable


class Rate:
    """A token bucket for all downloads, charged after the bytes came: TCP holds the sender back meanwhile."""

    BURST = 0.1
    """Seconds of unused rate that may be made up for."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self.limit = limit
        """Bytes per second; 0 is no limit."""
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until = clock()

    def pay(self, count: int) -> float:
        """Charge `count` bytes and return the seconds to wait before reading more."""
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - self.BURST) + count / self.limit
            return self._paid_until - now


class ConnectionBudget:
    """How many connections are in use, of how many that are allowed.

    A download always has one connection and waits for it if it must. Its further connections come out of those that
    are free, and are released as soon as another download waits.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """0: downloads are not counted, and no connection is free for a second one."""
        self._running = 0
        self._waiting = 0
        self._changed = threading.Condition()

    @property
    def wanted(self) -> bool:
        """Whether a download waits for its first connection."""
        return self._waiting > 0

    @property
    def running(self) -> int:
        """Connections in use."""
        return self._running

    @property
    def spare(self) -> int:
        """Connections that are free."""
        return max(0, self.limit - self._running - self._waiting)

    def acquire(self) -> None:
        """Take the first connection of a download; blocks while all are in use."""
        with self._changed:
            if self.limit:
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: self._running < self.limit)
                finally:
                    self._waiting -= 1
            self._running += 1

    def try_acquire(self) -> bool:
        """Take a further connection if one is free."""
        with self._changed:
            if self._running + self._waiting >= self.limit:
                return False
            self._running += 1
            return True

    def release(self) -> None:
        """Return a connection."""
        with self._changed:
            self._running -= 1
            self._changed.notify()
