"""The pace of a download, and whether more connections may make it faster."""

import time
from collections.abc import Callable

from sedas_sync.net.connections import Answer
from sedas_sync.transfer import prove

MEASURE = 0.02
"""Seconds over which the pace of a connection is measured before it is split."""

_FAST = 200e6
"""Bytes per second above which this machine is the limit, not the server."""

_WAITING = 0.5
"""Share of the time that must be spent waiting for bytes; a split does not speed up the rest."""

_BUSY = 0.5
"""Share of the processors' time above which this process is the limit."""

_SURE = 10e6
"""Bytes per second for which one more window must be slow."""

_WORTHWHILE = 0.25
"""Seconds that must be left for a split to pay."""

MAX_CONNECTIONS = 16
"""Connections for one scene."""

_JUDGE_AFTER = 1.0
"""Seconds after which added connections are judged."""

_MIN_GAIN = 0.3
"""Share of its proportional gain that an added connection must bring."""

_MAX_PAUSE = 60.0


class Meter:
    """The pace of a download over windows of `MEASURE` seconds, and whether the server is the limit."""

    def __init__(self, now: float, position: int) -> None:
        self._at = now
        self._position = position
        self._waited = 0.0
        self._busy = time.process_time()
        self._slow_windows = 0

    def waited(self, seconds: float) -> None:
        """Add time that was spent waiting for bytes."""
        self._waited += seconds

    def read(self, answer: Answer, most: int, clock: Callable[[], float]) -> bytes:
        """Read an answer, and measure how long that waits for bytes."""
        began, busy = clock(), time.thread_time()
        data = answer.read(most)
        # Time of the kernel and of TLS is not time spent waiting for bytes.
        self.waited(clock() - began - (time.thread_time() - busy))
        return data

    def pace(self, now: float, position: int) -> float | None:
        """Return the bytes per second of the window that has just ended; None during a window."""
        passed = now - self._at
        if passed < MEASURE:
            return None
        pace = (position - self._position) / passed
        busy = time.process_time()
        server_limits = self._waited > passed * _WAITING and busy - self._busy < passed * _BUSY * prove.PROCESSORS
        self._slow_windows = self._slow_windows + 1 if server_limits and pace < _FAST else 0
        self._at, self._position, self._waited, self._busy = now, position, 0.0, busy
        return pace

    def is_slow(self, pace: float, all_paces: float, left: float) -> bool:
        """Whether further connections may help: the server is slow, this machine is not, and many bytes are left.

        The closer the pace is to what this machine can do, the longer it must last, because one window may mislead.
        """
        lasting = self._slow_windows > pace / _SURE
        return lasting and all_paces < _FAST * 1.5 and left > pace * _WORTHWHILE


class Growth:
    """How many connections a scene may have: added ones must make it faster.

    Args:
        fixed: This many, without a judgement.
    """

    def __init__(self, fixed: int | None) -> None:
        self.fixed = fixed
        self.limit = min(fixed or MAX_CONNECTIONS, MAX_CONNECTIONS)
        self._before: tuple[int, float] | None = None
        """Connections and pace before the last ones were added, until those are judged."""
        self._since = (0.0, 0)
        self._paused_until = 0.0
        self._pause = 1.0

    def may_add(self, now: float, received: int, connections: int) -> bool:
        """Whether it is time to add connections. Lowers the limit if the last ones did not help."""
        if now < self._paused_until or (self._before is not None and now - self._since[0] < _JUDGE_AFTER):
            return False
        if self._before is not None:
            before, pace = self._before
            after = (received - self._since[1]) / (now - self._since[0])
            added = connections / before - 1
            if not self.fixed and pace > 0 and added > 0 and (after / pace - 1) / added < _MIN_GAIN:
                self.limit = before
            self._before = None
        return True

    def added(self, before: int, pace: float, now: float, received: int) -> None:
        """Note that connections were added, to judge them later.

        Args:
            before: Connections before.
            pace: Bytes per second before.
            now: Seconds of the clock.
            received: Bytes so far.
        """
        self._before, self._since = (before, pace), (now, received)

    def broke(self, now: float) -> None:
        """Add none for a while: the link may be bad for all of them."""
        self._paused_until = now + self._pause
        self._pause = min(_MAX_PAUSE, 2 * self._pause)
