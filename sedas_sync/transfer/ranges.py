"""Several connections for one scene.

A server that limits each connection is faster with several. The missing bytes are fetched in ranges from the front:
large ranges first and smaller ones towards the end, so that the checksum can follow closely and all connections finish
at about the same time. Connections are added while they make the download faster, and are released as soon as another
scene waits for one.
"""

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sedas_sync.net import wire
from sedas_sync.transfer import prove
from sedas_sync.transfer.shared_state import BUFFER

if TYPE_CHECKING:
    from sedas_sync.transfer.fetch import FetchRun

MIN_RANGE = 1 << 20
"""Bytes of the smallest range that is worth a request."""

MEASURE = 0.02
"""Seconds over which the pace of a connection is measured before it is split."""

MAX_CONNECTIONS = 16
"""Connections for one scene."""

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

_JUDGE_AFTER = 1.0
"""Seconds after which added connections are judged."""

_MIN_GAIN = 0.3
"""Share of its proportional gain that an added connection must bring."""

_STALLED = 5.0
_MAX_PAUSE = 60.0
_BUFFER_MIN = 1 << 16


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

    def is_slow(self, pace: float, all_paces: float, left: int) -> bool:
        """Whether further connections may help: the server is slow, this machine is not, and many bytes are left.

        The closer the pace is to what this machine can do, the longer it must last, because one window may mislead.
        """
        lasting = self._slow_windows > pace / _SURE
        return lasting and all_paces < _FAST * 1.5 and left > pace * _WORTHWHILE


@dataclass(slots=True, eq=False)
class _Range:
    """The bytes that one connection fetches."""

    position: int
    end: int
    touched: float


class _WrongFile(Exception):
    """The server has another file now, or sends no ranges of it."""


class RangeFetch:
    """Fetches the missing bytes of one scene over several connections.

    Args:
        run: The download; the size of the file is known.
        response: The answer that is being read, if any; this object closes or releases its connection.
    """

    def __init__(self, run: "FetchRun", response: wire.Response | None) -> None:
        shared, partial = run.shared, run.incoming.partial
        self._run = run
        self._shared = shared
        self._partial = partial
        self._open = response
        self._open_at = partial.contiguous
        self._fixed = run.policy.segments
        self._limit = min(self._fixed or MAX_CONNECTIONS, MAX_CONNECTIONS)
        self._buffer = shared.read_size(max(_BUFFER_MIN, min((run.incoming.total or 0) >> 9, BUFFER)))
        self._changed = threading.Condition()
        self._ranges: set[_Range] = set()
        self._missing: list[tuple[int, int]] = []
        self._connections = 1
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._ending = False
        self._received = 0
        self._follower: prove.Follower
        self._before: tuple[int, float] | None = None
        """Connections and pace before the last ones were added, until those are judged."""
        self._paused_until = 0.0
        self._pause = 1.0
        self._meter = Meter(shared.clock(), 0)
        self._since = (shared.clock(), 0)

    def run(self) -> None:
        """Fetch all missing bytes.

        Raises:
            RemoteFileChanged: The server has another file now; the bytes on disk were discarded.
            ConnectionFailed: The connections broke one after the other.
            AttemptFailed: The last connection got an error.
        """
        self._partial.allow_gaps()
        self._missing = self._partial.missing()
        self._follower = prove.Follower(self._partial, self._run.incoming.proof)
        try:
            self._add_connections()
            self._run_first()
        finally:
            self._ending = self._ending or self._failure is not None or bool(self._missing)
            for thread in self._threads:
                thread.join()
            self._follower.stop()
            if self._open is not None:
                self._open.connection.close()
        if isinstance(self._failure, _WrongFile):
            self._run.splittable = False
            self._run.incoming.discard_changed()
        if self._failure is not None and (self._partial.missing() or isinstance(self._failure, OSError)):
            raise self._failure

    # -- connections

    def _add_connections(self) -> None:
        """Add connections while there is work for them; called by the first one only."""
        if self._shared.clock() < self._paused_until or (self._before is not None and not self._judge()):
            return
        before = self._connections
        for _ in range(self._limit - before):
            if self._ending or self._shared.stop.is_set() or self._connections >= self._limit:
                break
            with self._changed:
                if sum(end - start for start, end in self._missing) < MIN_RANGE:
                    break
                if not self._fixed and not self._shared.budget.try_acquire():
                    break
                self._connections += 1
            thread = threading.Thread(target=self._run_further, name="sedas-sync segment", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                # The system gives no more threads: the existing ones do all the work.
                with self._changed:
                    self._connections -= 1
                    self._limit = self._connections
                if not self._fixed:
                    self._shared.budget.release()
                break
            self._threads.append(thread)
        if self._connections > before:
            self._before = (before, self._shared.pace_of(id(self._run)))
            self._since = (self._shared.clock(), self._received)

    def _judge(self) -> bool:
        """Decide whether the last connections made it faster; False while it is too early."""
        passed = self._shared.clock() - self._since[0]
        if passed < _JUDGE_AFTER:
            return False
        before, pace = self._before or (self._connections, 0.0)
        self._before = None
        after = (self._received - self._since[1]) / passed
        added = self._connections / before - 1
        if not self._fixed and pace > 0 and added > 0 and (after / pace - 1) / added < _MIN_GAIN:
            self._limit = before
        return True

    def _run_further(self) -> None:
        """Fetch ranges over a further connection."""
        try:
            self._fetch_ranges(first=False)
        except InterruptedError:
            pass
        except wire.ConnectionFailed:
            # The link may be bad for all of them: add none for a while.
            self._paused_until = self._shared.clock() + self._pause
            self._pause = min(_MAX_PAUSE, 2 * self._pause)
        except (_WrongFile, OSError) as error:
            self._fail(error)
        except Exception:  # noqa: BLE001  # the first connection meets the same error and reports it
            self._limit = max(1, self._connections - 1)
        finally:
            with self._changed:
                self._connections -= 1
                self._changed.notify_all()
            if not self._fixed:
                self._shared.budget.release()

    def _run_first(self) -> None:
        """Fetch ranges over the first connection, add connections, and wait for the last of them."""
        try:
            self._fetch_ranges(first=True)
        except (OSError, _WrongFile) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001  # raised by `run` if bytes are missing
            # The others continue. The attempt fails only if they do not fetch everything.
            self._failure = error
        except BaseException:
            self._ending = True
            raise
        with self._changed:
            self._changed.wait_for(lambda: self._connections == 1)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._ending = True
        with self._changed:
            self._changed.notify_all()

    # -- ranges

    def _next_range(self) -> _Range | None:
        """Take the next range from the front, or part of the range of another connection."""
        with self._changed:
            now = self._shared.clock()
            if self._missing:
                start, end = self._missing[0]
                left = sum(last - first for first, last in self._missing)
                size = max(MIN_RANGE, left // (2 * max(1, min(self._limit, self._connections))))
                if end - start - size >= MIN_RANGE:
                    self._missing[0] = (start + size, end)
                    end = start + size
                else:
                    self._missing.pop(0)
                found: _Range | None = _Range(start, end, now)
            else:
                found = self._split_slowest(now)
            if found is not None:
                self._ranges.add(found)
            return found

    def _split_slowest(self, now: float) -> _Range | None:
        """Take half of the largest range, or all of it if its connection stalls."""
        slowest = max(self._ranges, key=lambda one: one.end - one.position, default=None)
        if slowest is None:
            return None
        left = slowest.end - slowest.position
        stalled = now - slowest.touched > _STALLED
        if not left or (left < 2 * MIN_RANGE and not stalled):
            return None
        middle = slowest.position if stalled else slowest.position + left // 2
        found = _Range(middle, slowest.end, now)
        slowest.end = middle
        return found

    def _return_range(self, one: _Range) -> None:
        with self._changed:
            self._ranges.discard(one)
            if one.position < one.end:
                self._missing = sorted([*self._missing, (one.position, one.end)])
                self._changed.notify_all()

    def _fetch_ranges(self, *, first: bool) -> None:
        buffer = self._shared.borrow()
        try:
            while not self._ending and (first or not self._is_surplus()):
                one = self._next_range()
                if one is None:
                    if not first or not self._wait_for_others():
                        return
                    continue
                try:
                    self._fetch_range(one, buffer[: self._buffer], first=first)
                finally:
                    self._return_range(one)
        finally:
            self._shared.return_buffers(buffer)

    def _is_surplus(self) -> bool:
        """Whether a further connection should end."""
        return not self._fixed and (self._connections > self._limit or self._shared.budget.wanted)

    def _wait_for_others(self) -> bool:
        """Wait while other connections still fetch; False if there are none and nothing is missing."""
        with self._changed:
            if self._connections == 1 and not self._missing:
                return False
            self._changed.wait(0.1)
        if self._shared.stop.is_set():
            raise InterruptedError
        return True

    def _fetch_range(self, one: _Range, view: memoryview, *, first: bool) -> None:
        response = self._take_open(one.position) if first else None
        if response is None:
            response = self._request(one, first=first)
        whole = False
        try:
            self._read(response, one, view, first=first)
            whole = True
        finally:
            if whole and first and not response.ended and one.position == one.end:
                # The first answer goes on behind this range, and may serve the next one.
                self._open, self._open_at = response, one.position
            elif whole and response.ended:
                self._shared.client.release(response)
            else:
                response.connection.close()

    def _take_open(self, position: int) -> wire.Response | None:
        """Return the first answer if it continues at this position; close it otherwise."""
        response, self._open = self._open, None
        if response is None:
            return None
        if self._open_at != position:
            response.connection.close()
            return None
        response.connection.tick(wire.TICK)
        return response

    def _request(self, one: _Range, *, first: bool) -> wire.Response:
        end = one.end
        response = self._run.requests.get(self._partial.note, one.position, end)
        if response.status != wire.PARTIAL:
            response.connection.close()
            raise _WrongFile if first else wire.PermanentError("the server does not send ranges after all")
        try:
            self._run.incoming.check_range(response, one.position, end)
        except Exception:  # noqa: BLE001  # whatever is wrong, it is not a range of this file
            response.connection.close()
            raise _WrongFile from None
        return response

    def _read(self, response: wire.Response, one: _Range, view: memoryview, *, first: bool) -> None:
        run, shared = self._run, self._shared
        timer = run.requests.stall_timer()
        while one.position < one.end and not self._ending:
            if response.ended:
                raise wire.ConnectionFailed("the server sent less than it stated")
            count = response.read_into(view[: max(1, one.end - one.position)])
            if count is None:
                timer.check()
            elif count:
                timer.reset()
                self._write(view[:count], one)
                if shared.stop.is_set():
                    raise InterruptedError
            if first:
                pace = self._meter.pace(shared.clock(), self._received)
                if pace is not None:
                    shared.report_pace(id(run), pace)
                self._add_connections()
            elif self._is_surplus():
                return

    def _write(self, view: memoryview, one: _Range) -> None:
        with self._changed:
            start = one.position
            # Another connection may have taken the end of this range meanwhile.
            count = max(0, min(len(view), one.end - start))
            one.position = start + count
            one.touched = self._shared.clock()
            self._received += count
        if count:
            self._partial.write_at(view[:count], start)
            self._follower.notify()
            self._run.count(count)
            self._shared.throttle(count)
