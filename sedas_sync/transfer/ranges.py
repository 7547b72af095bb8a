"""The missing bytes of one file, over one connection or several.

Every download begins with one connection, whose answer is one range from the first missing byte to the last. A server
that limits each connection is faster with several: the missing bytes are then fetched in ranges from the front, large
ones first and smaller ones towards the end, so that the checksum can follow closely and all connections finish at about
the same time. Connections are added while they make the download faster, and are released as soon as another scene
waits for one.
"""

import math
import threading
import time
from dataclasses import dataclass

from sedas_sync.net.connections import PARTIAL, Answer, ConnectionFailed
from sedas_sync.net.policy import PermanentError
from sedas_sync.transfer import prove
from sedas_sync.transfer.answers import FileRequests
from sedas_sync.transfer.attempts import AttemptFailed
from sedas_sync.transfer.incoming import IncomingFile
from sedas_sync.transfer.shared_state import SharedState

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
_READ_MOST = 1 << 19
"""Bytes of one read, which are written and digested while they are in the processor's cache."""
_READ_LEAST = 1 << 16
_SMALL = 1 << 16


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

    def is_slow(self, pace: float, all_paces: float, left: float) -> bool:
        """Whether further connections may help: the server is slow, this machine is not, and many bytes are left.

        The closer the pace is to what this machine can do, the longer it must last, because one window may mislead.
        """
        lasting = self._slow_windows > pace / _SURE
        return lasting and all_paces < _FAST * 1.5 and left > pace * _WORTHWHILE


@dataclass(slots=True, eq=False)
class _Range:
    """The bytes that one connection fetches. The end is infinite if the size of the file is unknown."""

    position: int
    end: float
    touched: float
    answer: Answer | None = None


class _WrongFile(Exception):
    """The server has another file now, or sends no ranges of it."""


class RangeFetch:
    """Fetches the missing bytes of one file.

    Args:
        incoming: The file.
        requests: Its requests.
        shared: What downloads share.
        segments: The number of connections; None for as many as are free and make it faster.
    """

    def __init__(
        self, incoming: IncomingFile, requests: FileRequests, shared: SharedState, segments: int | None
    ) -> None:
        self._incoming = incoming
        self._partial = incoming.partial
        self._requests = requests
        self._shared = shared
        self._fixed = segments
        self._limit = min(segments or MAX_CONNECTIONS, MAX_CONNECTIONS)
        self._read_size = shared.read_size(_READ_MOST)
        self._changed = threading.Condition()
        self._ranges: set[_Range] = set()
        self._missing: list[tuple[int, float]] = []
        self._split = False
        self._connections = 1
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._ending = False
        self._received = 0
        self._follower: prove.Follower | None = None
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
            AttemptFailed: The only connection got an error, or an empty body.
            InterruptedError: The run stops.
        """
        try:
            if self._partial.has_gaps:
                self._incoming.add_answer()
                self._missing = list(self._partial.missing())
                self._start_split()
                self._run_first(None)
            elif answer := self._first_answer():
                self._missing = [(self._partial.contiguous, self._incoming.total or math.inf)]
                self._run_first(answer)
        finally:
            self._end()
        if isinstance(self._failure, _WrongFile):
            self._incoming.splittable = False
            self._incoming.discard_changed()
        lasting = not self._split or isinstance(self._failure, OSError) or self._partial.missing()
        if self._failure is not None and lasting:
            raise self._failure
        if not self._partial.contiguous:
            raise AttemptFailed("the server sent an empty body", relocate=True)

    def _first_answer(self) -> Answer | None:
        """Request the bytes from the first missing one on; return None if nothing is missing."""
        start = self._partial.contiguous
        answer = self._requests.get(self._partial.note, start)
        try:
            if self._incoming.accept(answer, start, self._requests):
                return answer
        except BaseException:
            answer.close()
            raise
        answer.drain()
        return None

    def _run_first(self, answer: Answer | None) -> None:
        """Fetch ranges over the first connection, and wait for the others."""
        try:
            self._work(answer, first=True)
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

    def _run_further(self) -> None:
        """Fetch ranges over a further connection."""
        try:
            self._work(None, first=False)
        except InterruptedError:
            pass
        except ConnectionFailed:
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

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        with self._changed:
            self._ending = True
            for one in self._ranges:
                if one.answer is not None:
                    one.answer.shut_down()
            self._changed.notify_all()

    def _end(self) -> None:
        """End all threads."""
        whole = not (self._ending or self._failure or self._missing)
        self._ending = True
        for thread in self._threads:
            thread.join()
        self._shared.report_pace(id(self), None)
        if self._follower is not None:
            if whole:
                self._follower.finish()
            else:
                self._follower.stop()

    # -- connections

    def _start_split(self) -> None:
        """Begin to use several connections."""
        self._partial.allow_gaps()
        self._read_size = self._shared.read_size(max(_READ_LEAST, min((self._incoming.total or 0) >> 9, _READ_MOST)))
        self._split = True
        self._follow()
        self._add_connections()

    def _follow(self) -> None:
        """Prove in threads from now on."""
        if self._follower is None:
            self._follower = prove.Follower(self._partial, self._incoming.proof)

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
            self._before = (before, self._shared.pace_of(id(self)))
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

    def _is_surplus(self) -> bool:
        """Whether a further connection should end."""
        return not self._fixed and (self._connections > self._limit or self._shared.budget.wanted)

    # -- ranges

    def _next_range(self) -> _Range | None:
        """Take the next range from the front, or part of the range of another connection."""
        with self._changed:
            now = self._shared.clock()
            if self._missing:
                start, end = self._missing.pop(0)
                if self._split:
                    left = end - start + sum(last - first for first, last in self._missing)
                    size = max(MIN_RANGE, left // (2 * max(1, min(self._limit, self._connections))))
                    if end - start - size >= MIN_RANGE:
                        self._missing.insert(0, (int(start + size), end))
                        end = start + size
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
        middle = slowest.position if stalled else int(slowest.position + left // 2)
        found = _Range(middle, slowest.end, now)
        slowest.end = middle
        if stalled and slowest.answer is not None:
            slowest.answer.shut_down()
        return found

    def _return_range(self, one: _Range) -> None:
        with self._changed:
            self._ranges.discard(one)
            if one.position < one.end:
                self._missing = sorted([*self._missing, (one.position, one.end)])
                self._changed.notify_all()

    def _work(self, answer: Answer | None, *, first: bool) -> None:
        """Fetch ranges over one connection until none is left for it.

        Args:
            answer: The answer that continues the bytes on disk; None to request one.
            first: Whether it is the first connection.
        """
        at = self._partial.contiguous
        try:
            while not self._ending and (first or not self._is_surplus()):
                one = self._next_range()
                if one is None:
                    if not first or not self._wait_for_others():
                        return
                    continue
                try:
                    if answer is not None and at != one.position:
                        # The answer goes on behind its range, but that part belongs to another connection.
                        answer.close()
                        answer = None
                    answer = answer or self._request(one, first=first)
                    one.answer = answer
                    self._read(answer, one, first=first)
                finally:
                    self._return_range(one)
                at = one.position
                if answer.ended:
                    answer.release()
                    answer = None
        finally:
            if answer is not None:
                answer.close()

    def _wait_for_others(self) -> bool:
        """Wait while other connections still fetch; False if there are none and nothing is missing."""
        with self._changed:
            if self._connections == 1 and not self._missing:
                return False
            self._changed.wait(0.1)
        if self._shared.stop.is_set():
            raise InterruptedError
        return True

    def _request(self, one: _Range, *, first: bool) -> Answer:
        end = int(one.end)
        answer = self._requests.get(self._partial.note, one.position, end)
        if answer.status != PARTIAL:
            answer.close()
            raise _WrongFile if first else PermanentError("the server does not send ranges after all")
        try:
            self._incoming.check_range(answer, one.position, end)
        except Exception:  # noqa: BLE001  # whatever is wrong, it is not a range of this file
            answer.close()
            raise _WrongFile from None
        return answer

    def _read(self, answer: Answer, one: _Range, *, first: bool) -> None:
        """Read an answer into its range."""
        while one.position < one.end and not self._ending:
            if not self._split:
                self._follow_if_worthwhile(one)
            try:
                data = self._receive(answer, int(min(self._read_size, one.end - one.position)), first=first)
            except ConnectionFailed:
                if self._ending or one.position >= one.end:
                    return
                raise
            if data:
                self._write(data, answer, one)
            elif math.isinf(one.end) or (answer.length is None and not self._split):
                # The server states that this is all; the proof decides.
                one.end = one.position
            elif one.position < one.end:
                raise ConnectionFailed("the server sent less than it stated")
            if first:
                self._adapt(answer, one)
            elif self._is_surplus():
                return

    def _receive(self, answer: Answer, most: int, *, first: bool) -> bytes:
        if not first or self._split or most < _READ_MOST:
            return answer.read(most)
        clock = self._shared.clock
        began, busy = clock(), time.thread_time()
        data = answer.read(most)
        # Time of the kernel and of TLS is not time spent waiting for bytes.
        self._meter.waited(clock() - began - (time.thread_time() - busy))
        return data

    def _write(self, data: bytes, answer: Answer, one: _Range) -> None:
        with self._changed:
            start = one.position
            # Another connection may have taken the end of this range meanwhile.
            count = int(max(0, min(len(data), one.end - start)))
            one.position = start + count
            one.touched = self._shared.clock()
            self._received += count
        if not count:
            return
        if count < len(data):
            data = data[:count]
        if not start:
            self._incoming.set_kind(self._requests.kind(answer, data))
        if self._split:
            self._partial.write_at(data, start)
        else:
            # A small file is not worth a note: a kill loses no more of it.
            small = (self._incoming.total or math.inf) <= _SMALL
            self._partial.append(data, last=small or (not start and answer.ended))
        if self._follower is not None:
            self._follower.notify()
        elif self._incoming.proof.position == start:
            self._incoming.proof.update(data)
        self._incoming.count(count)
        self._shared.throttle(count)
        if self._shared.stop.is_set():
            raise InterruptedError

    # -- more threads and more connections

    def _follow_if_worthwhile(self, one: _Range) -> None:
        """Prove in threads if processors are idle, or if bytes of an earlier run must be read."""
        proved = self._incoming.proof.position
        if self._follower is not None or math.isinf(one.end) or one.end - proved < prove.WORTHWHILE:
            return
        if proved != one.position or self._shared.budget.running * 2 <= prove.PROCESSORS:
            self._follow()

    def _adapt(self, answer: Answer, one: _Range) -> None:
        """Measure the pace, and add connections if they help."""
        shared = self._shared
        left = one.end - one.position
        if left < 2 * MIN_RANGE and not self._split:
            return
        pace = self._meter.pace(shared.clock(), self._received)
        if pace is not None:
            shared.report_pace(id(self), pace)
        if self._split:
            self._add_connections()
            return
        if not self._incoming.splittable or math.isinf(left) or not one.position:
            return
        if not self._fixed and (not shared.spare or shared.rate is not None):
            return
        if answer.headers.get("accept-ranges", "").strip().lower() != "bytes" and answer.status != PARTIAL:
            return
        if self._fixed or (pace is not None and self._meter.is_slow(pace, shared.pace, left)):
            with self._changed:
                self._missing = [(one.position, one.end)]
                one.end = one.position
            self._start_split()
