"""What downloads of one process share: the rate of all bytes, and the number of connections."""

import threading
from collections.abc import Callable


class Rate:
    """A token bucket over all downloads, paid after the bytes came: TCP holds the sender back meanwhile."""

    BURST = 0.1
    """Seconds of unused rate that may be caught up with."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self.limit = limit
        """Bytes a second; 0 is no limit."""
        self._clock = clock
        self._lock = threading.Lock()
        self._paid_until = clock()

    def pay(self, count: int) -> float:
        """Book `count` bytes; returns the seconds to wait before taking more."""
        with self._lock:
            now = self._clock()
            self._paid_until = max(self._paid_until, now - self.BURST) + count / self.limit
            return self._paid_until - now


class Budget:
    """How many connections run, of how many that may.

    A download always has one connection and waits for it if it must; its further ones come out of what is
    left and go back as soon as another download waits.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """0: downloads are not counted, and there are none left for a second connection."""
        self._running = 0
        self._waiting = 0
        self._changed = threading.Condition()

    @property
    def wanted(self) -> bool:
        """Whether a download waits for a connection that another has as its second."""
        return self._waiting > 0

    @property
    def running(self) -> int:
        """How many run now."""
        return self._running

    @property
    def spare(self) -> int:
        """How many more connections may be opened now."""
        return max(0, self.limit - self._running - self._waiting)

    def take(self) -> None:
        """Take a download's first connection; waits while all are in use."""
        with self._changed:
            if self.limit:
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: self._running < self.limit)
                finally:
                    self._waiting -= 1
            self._running += 1

    def try_more(self) -> bool:
        """Take a further connection if one is left."""
        with self._changed:
            if self._running + self._waiting >= self.limit:
                return False
            self._running += 1
            return True

    def give_back(self) -> None:
        """Return a connection taken before."""
        with self._changed:
            self._running -= 1
            self._changed.notify()
