"""The missing bytes of one file, over one connection or several.

Every download begins with one connection, whose answer is one range from the first missing byte to the last. A server
that limits each connection is faster with several: the missing bytes are then fetched in ranges from the front, large
ones first and smaller ones towards the end, so that the checksum can follow closely and all connections finish at about
the same time. Connections are added while they make the download faster, and are released as soon as another scene
waits for one.
"""

import math
import threading

from sedas_sync.files.threads import DaemonThread
from sedas_sync.net.connections import PARTIAL, Answer, ConnectionFailed
from sedas_sync.net.policy import PermanentError
from sedas_sync.transfer.answers import FileRequests
from sedas_sync.transfer.attempts import AttemptFailed
from sedas_sync.transfer.incoming import IncomingFile
from sedas_sync.transfer.pace import Growth, Meter
from sedas_sync.transfer.range_table import MIN_RANGE, Range, RangeTable
from sedas_sync.transfer.receive import Receiver
from sedas_sync.transfer.shared_state import SharedState

_READ_MOST = 1 << 19
"""Bytes of one read, which are written and digested while they are in the processor's cache."""
_READ_LEAST = 1 << 16


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
        self._growth = Growth(segments)
        self._read_size = shared.read_size(_READ_MOST)
        self._changed = threading.Condition()
        self._table = RangeTable([])
        self._receiver = Receiver(incoming, requests, shared)
        self._connections = 1
        self._threads: list[DaemonThread] = []
        self._failure: BaseException | None = None
        self._ending = False
        self._meter: Meter | None = None
        """None if too few bytes are missing for more connections. Not made for small rests: reading the processor
        clock is slow on a busy machine."""

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
                self._set_missing(list(self._partial.missing()))
                self._start_split()
                self._run_first(None)
            elif answer := _first_answer(self._incoming, self._requests):
                self._set_missing([(self._partial.contiguous, self._incoming.total or math.inf)])
                self._run_first(answer)
        finally:
            self._end()
        if isinstance(self._failure, _WrongFile):
            self._incoming.splittable = False
            self._incoming.discard_changed()
        lasting = not self._receiver.split or isinstance(self._failure, OSError) or self._partial.missing()
        if self._failure is not None and lasting:
            raise self._failure
        if not self._partial.contiguous:
            raise AttemptFailed("the server sent an empty body", relocate=True)

    def _set_missing(self, missing: list[tuple[int, float]]) -> None:
        self._table = RangeTable(missing)
        if self._table.left >= 2 * MIN_RANGE:
            self._meter = Meter(self._shared.clock(), self._incoming.received)

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
            self._growth.broke(self._shared.clock())
        except (_WrongFile, OSError) as error:
            self._fail(error)
        except Exception:  # noqa: BLE001  # the first connection meets the same error and reports it
            self._growth.limit = max(1, self._connections - 1)
        finally:
            with self._changed:
                self._connections -= 1
                self._changed.notify_all()
            if not self._growth.fixed:
                self._shared.budget.release()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._ending = True
        self._table.shut_down()
        with self._changed:
            self._changed.notify_all()

    def _end(self) -> None:
        """End all threads."""
        whole = not (self._ending or self._failure or self._table.missing)
        self._ending = True
        for thread in self._threads:
            thread.join()
        self._shared.report_pace(id(self), None)
        self._receiver.end(whole=whole)

    # -- connections

    def _start_split(self) -> None:
        """Begin to use several connections."""
        self._partial.allow_gaps()
        self._read_size = self._shared.read_size(max(_READ_LEAST, min((self._incoming.total or 0) >> 9, _READ_MOST)))
        self._receiver.split = True
        self._receiver.follow()
        self._add_connections()

    def _add_connections(self) -> None:
        """Add connections while there is work for them; called by the first one only."""
        growth, shared = self._growth, self._shared
        if not growth.may_add(shared.clock(), self._incoming.received, self._connections):
            return
        before = self._connections
        for _ in range(growth.limit - before):
            if self._ending or shared.stop.is_set() or self._connections >= growth.limit:
                break
            with self._changed:
                if self._table.left < MIN_RANGE:
                    break
                if not growth.fixed and not shared.budget.try_acquire():
                    break
                self._connections += 1
            try:
                self._threads.append(DaemonThread(self._run_further))
            except (RuntimeError, MemoryError):
                # The system gives no more threads: the existing ones do all the work.
                with self._changed:
                    self._connections -= 1
                    growth.limit = self._connections
                if not growth.fixed:
                    shared.budget.release()
                break
        if self._connections > before:
            growth.added(before, shared.pace_of(id(self)), shared.clock(), self._incoming.received)

    def _is_surplus(self) -> bool:
        """Whether a further connection should end."""
        return not self._growth.fixed and (self._connections > self._growth.limit or self._shared.budget.wanted)

    # -- ranges

    def _work(self, answer: Answer | None, *, first: bool) -> None:
        """Fetch ranges over one connection until none is left for it.

        Args:
            answer: The answer that continues the bytes on disk; None to request one.
            first: Whether it is the first connection.
        """
        at = self._partial.contiguous
        try:
            while not self._ending and (first or not self._is_surplus()):
                share = 2 * max(1, min(self._growth.limit, self._connections)) if self._receiver.split else None
                one = self._table.take(self._shared.clock(), share)
                if one is None:
                    if not first or not self._wait_for_others():
                        return
                    continue
                try:
                    if answer is not None and at != one.position:
                        # The answer goes on behind its range, but that part belongs to another connection.
                        answer.close()
                        answer = None
                    answer = answer or _request_range(self._incoming, self._requests, one, first=first)
                    one.answer = answer
                    self._read(answer, one, first=first)
                finally:
                    self._give_back(one)
                at = one.position
                if answer.ended:
                    answer.release()
                    answer = None
        finally:
            if answer is not None:
                answer.close()

    def _give_back(self, one: Range) -> None:
        self._table.give_back(one)
        if self._receiver.split:
            with self._changed:
                self._changed.notify_all()

    def _wait_for_others(self) -> bool:
        """Wait while other connections still fetch; False if there are none and nothing is missing."""
        with self._changed:
            if self._connections == 1 and not self._table.missing:
                return False
            self._changed.wait(0.1)
        if self._shared.stop.is_set():
            raise InterruptedError
        return True

    def _read(self, answer: Answer, one: Range, *, first: bool) -> None:
        """Read an answer into its range."""
        while one.position < one.end and not self._ending:
            if not self._receiver.split and one.position:
                self._receiver.follow_if_worthwhile(one)
            try:
                most = int(min(self._read_size, one.end - one.position))
                meter = self._meter if first and not self._receiver.split and most == _READ_MOST else None
                data = answer.read(most) if meter is None else meter.read(answer, most, self._shared.clock)
            except ConnectionFailed:
                if self._ending or one.position >= one.end:
                    return
                raise
            if data:
                start = one.position
                # Another connection may have taken the end of this range meanwhile.
                if count := self._table.advance(one, len(data), self._shared.clock()):
                    self._receiver.take(data if count == len(data) else data[:count], start, answer)
            elif math.isinf(one.end) or (answer.length is None and not self._receiver.split):
                # The server states that this is all; the proof decides.
                one.end = one.position
            elif one.position < one.end:
                raise ConnectionFailed("the server sent less than it stated")
            if first:
                self._adapt(answer, one)
            elif self._is_surplus():
                return

    # -- more connections

    def _adapt(self, answer: Answer, one: Range) -> None:
        """Measure the pace, and add connections if they help."""
        shared, meter = self._shared, self._meter
        left = one.end - one.position
        if meter is None or (left < 2 * MIN_RANGE and not self._receiver.split):
            return
        pace = meter.pace(shared.clock(), self._incoming.received)
        if pace is not None:
            shared.report_pace(id(self), pace)
        if self._receiver.split:
            self._add_connections()
            return
        if not self._incoming.splittable or math.isinf(left) or not one.position:
            return
        if not self._growth.fixed and (not shared.spare or shared.rate is not None):
            return
        if answer.headers.get("accept-ranges", "").strip().lower() != "bytes" and answer.status != PARTIAL:
            return
        if self._growth.fixed or (pace is not None and meter.is_slow(pace, shared.pace, left)):
            self._table.cut(one)
            self._start_split()


def _first_answer(incoming: IncomingFile, requests: FileRequests) -> Answer | None:
    """Request the bytes from the first missing one on; return None if nothing is missing."""
    start = incoming.partial.contiguous
    answer = requests.get(incoming.partial.note, start)
    try:
        if incoming.accept(answer, start, requests):
            return answer
    except BaseException:
        answer.close()
        raise
    answer.drain()
    return None


def _request_range(incoming: IncomingFile, requests: FileRequests, one: Range, *, first: bool) -> Answer:
    """Request a range of a file that is on disk in part."""
    end = int(one.end)
    answer = requests.get(incoming.partial.note, one.position, end)
    if answer.status != PARTIAL:
        answer.close()
        raise _WrongFile if first else PermanentError("the server does not send ranges after all")
    try:
        incoming.check_range(answer, one.position, end)
    except Exception:  # noqa: BLE001  # whatever is wrong, it is not a range of this file
        answer.close()
        raise _WrongFile from None
    return answer
