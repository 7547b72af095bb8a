"""Several connections for one scene, and the digest that follows them.

A server that limits each connection is faster with several. What is missing is handed out in blocks from the
front: large ones first and smaller ones towards the end, so that the digest can follow closely and all
connections finish at about the same moment. Connections beyond the first are added while they bring
something, and are given back as soon as another scene waits for one.
"""

import os
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sedas_sync.net import wire
from sedas_sync.transfer.prove import Follower
from sedas_sync.transfer.shared_state import BUFFER

if TYPE_CHECKING:
    from sedas_sync.transfer.fetch import FetchRun

BLOCK_MIN = 1 << 20
"""The least that is worth a request of its own."""

MEASURE = 0.02
"""Seconds over which the pace of a connection is measured before it is split."""

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""How many this process may use."""

MOST = 16
"""Connections for one scene."""

_FAST = 200e6
"""Bytes a second above which a connection is held back by this machine and not by the server."""

_WAITING = 0.5
"""Share of the time that must go into waiting for bytes; what we do with them is not made faster by a split."""

_BUSY = 0.5
"""Share of the processors' time beyond which it is this process that is slow."""

_SURE = 10e6
"""Bytes a second for which one more window must be slow."""

_WORTHWHILE = 0.25
"""Seconds that must be left for a split to pay."""

_JUDGE_AFTER = 1.0
_SHARE = 0.3
_STALLED = 5.0
_HOLD_MOST = 60.0
_BUFFER_MIN = 1 << 16


class Meter:
    """The pace of a connection over windows of `MEASURE` seconds, and what held it back."""

    def __init__(self, now: float, position: int) -> None:
        self._at = now
        self._position = position
        self._waited = 0.0
        self._busy = time.process_time()
        self._slow = 0

    def waited(self, seconds: float) -> None:
        """Note that for so long nothing was done but wait for bytes."""
        self._waited += seconds

    def pace(self, now: float, position: int) -> float | None:
        """Bytes a second over the window that has just ended; None while it lasts."""
        passed = now - self._at
        if passed < MEASURE:
            return None
        pace = (position - self._position) / passed
        busy = time.process_time()
        held_back = self._waited > passed * _WAITING and busy - self._busy < passed * _BUSY * PROCESSORS
        self._slow = self._slow + 1 if held_back and pace < _FAST else 0
        self._at, self._position, self._waited, self._busy = now, position, 0.0, busy
        return pace

    def slow(self, pace: float, all_paces: float, left: int) -> bool:
        """Whether further connections promise something: the server is slow, this machine is not, much is left.

        The nearer the pace is to what the machine can do, the longer it has to last: one window may deceive.
        """
        lasting = self._slow > pace / _SURE
        return lasting and all_paces < _FAST * 1.5 and left > pace * _WORTHWHILE


@dataclass(slots=True, eq=False)
class _Block:
    """What one connection is to bring."""

    position: int
    end: int
    touched: float


class Split:
    """One scene over several connections, until nothing is missing or nobody can go on."""

    def __init__(self, run: "FetchRun", response: wire.Response | None) -> None:
        """Prepare.

        Args:
            run: the fetch this is for; its part is known in length.
            response: the answer that is being read, at the part's frontier.
        """
        total = (run.part.note.total if run.part.note else None) or 0
        self._run = run
        self._live = run.live
        self._part = run.part
        self._open = response
        self._open_at = run.part.frontier
        self._fixed = run.policy.segments
        self._limit = min(self._fixed or MOST, MOST)
        self._buffer = run.live.reading(max(_BUFFER_MIN, min(total >> 9, BUFFER)))
        self._changed = threading.Condition()
        self._blocks: set[_Block] = set()
        self._missing: list[tuple[int, int]] = []
        self._working = 1
        self._failure: BaseException | None = None
        self._ending = False
        self._came = 0
        self._follower: Follower
        self._before: tuple[int, float] | None = None
        """Connections and pace before the last were added, while it is not yet known whether they help."""
        self._hold_until = 0.0
        self._hold = 1.0
        self._meter = Meter(run.live.clock(), 0)
        self._since = (run.live.clock(), 0)

    def run(self) -> None:
        """Bring everything that is missing.

        Raises:
            Anew: the server has another file now; the part was thrown away.
            Broken: the connections broke one after the other, or whatever else the last of them met.
        """
        run = self._run
        self._part.scatter()
        self._missing = self._part.missing()
        self._follower = Follower(self._part, run.proof)
        threads: list[threading.Thread] = []
        try:
            self._grow(threads)
            self._work(threads)
        finally:
            self._ending = self._ending or self._failure is not None or bool(self._missing)
            for thread in threads:
                thread.join()
            self._follower.stop()
            if self._open is not None:
                self._open.connection.close()
        if isinstance(self._failure, _NotOurs):
            run.splittable = False
            run.throw_away()  # raises Anew
        if self._failure is not None and (self._part.missing() or isinstance(self._failure, OSError)):
            raise self._failure

    # -- connections

    def _grow(self, threads: list[threading.Thread]) -> None:
        """Add connections while there is work for them; called by the first one alone."""
        if self._live.clock() < self._hold_until or (self._before is not None and not self._judged()):
            return
        before = self._working
        for _ in range(self._limit - before):
            if self._ending or self._live.stop.is_set() or self._working >= self._limit:
                break
            with self._changed:
                if sum(end - start for start, end in self._missing) < BLOCK_MIN:
                    break
                if not self._fixed and not self._live.budget.try_more():
                    break
                self._working += 1
            thread = threading.Thread(target=self._help, name="sedas-sync segment", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                # The system gives no more threads: those that are there bring it all.
                with self._changed:
                    self._working -= 1
                    self._limit = self._working
                if not self._fixed:
                    self._live.budget.give_back()
                break
            threads.append(thread)
        if self._working > before:
            pace = self._live.pace_of(id(self._run))
            self._before = (before, pace)
            self._since = (self._live.clock(), self._came)

    def _judged(self) -> bool:
        """Decide whether the last connections were worth it; False while it is too early to say."""
        now = self._live.clock()
        passed = now - self._since[0]
        if passed < _JUDGE_AFTER:
            return False
        before, pace = self._before or (self._working, 0.0)
        self._before = None
        after = (self._came - self._since[1]) / passed
        more = self._working / before - 1
        if not self._fixed and pace > 0 and more > 0 and (after / pace - 1) / more < _SHARE:
            self._limit = before
        return True

    def _help(self) -> None:
        """What a further connection does."""
        try:
            self._bring_all(first=False)
        except InterruptedError:
            pass
        except wire.ConnectionFailed:
            # The link may be bad for all of them: no new ones for a while.
            self._hold_until = self._live.clock() + self._hold
            self._hold = min(_HOLD_MOST, 2 * self._hold)
        except _NotOurs as error:
            self._fail(error)
        except OSError as error:
            self._fail(error)
        except Exception:  # noqa: BLE001 - whatever it is, the first connection meets it too and tells
            self._limit = max(1, self._working - 1)
        finally:
            with self._changed:
                self._working -= 1
                self._changed.notify_all()
            if not self._fixed:
                self._live.budget.give_back()

    def _work(self, threads: list[threading.Thread]) -> None:
        """What the first connection does: bring blocks, add connections, and wait for the last of them."""
        try:
            self._bring_all(first=True, threads=threads)
        except (OSError, _NotOurs) as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - raised by `run` if it matters
            # The others go on with what is left; only if they do not bring it all is this the end of the try.
            self._failure = error
        except BaseException:
            self._ending = True
            raise
        with self._changed:
            self._changed.wait_for(lambda: self._working == 1)

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._ending = True
        with self._changed:
            self._changed.notify_all()

    # -- blocks

    def _next(self) -> _Block | None:
        """Take the next block from the front, or what another connection does not get done."""
        with self._changed:
            now = self._live.clock()
            if self._missing:
                start, end = self._missing[0]
                left = sum(last - first for first, last in self._missing)
                size = max(BLOCK_MIN, left // (2 * max(1, min(self._limit, self._working))))
                if end - start - size >= BLOCK_MIN:
                    self._missing[0] = (start + size, end)
                    end = start + size
                else:
                    self._missing.pop(0)
                block = _Block(start, end, now)
            else:
                taken = self._steal(now)
                if taken is None:
                    return None
                block = taken
            self._blocks.add(block)
            return block

    def _steal(self, now: float) -> _Block | None:
        slowest = max(self._blocks, key=lambda block: block.end - block.position, default=None)
        if slowest is None:
            return None
        left = slowest.end - slowest.position
        stalled = now - slowest.touched > _STALLED
        if not left or (left < 2 * BLOCK_MIN and not stalled):
            return None
        middle = slowest.position if stalled else slowest.position + left // 2
        block = _Block(middle, slowest.end, now)
        slowest.end = middle
        return block

    def _give_back(self, block: _Block) -> None:
        with self._changed:
            self._blocks.discard(block)
            if block.position < block.end:
                self._missing = sorted([*self._missing, (block.position, block.end)])
                self._changed.notify_all()

    def _bring_all(self, *, first: bool, threads: list[threading.Thread] | None = None) -> None:
        whole = self._live.lend()
        try:
            self._bring_blocks(whole[: self._buffer], first=first, threads=threads)
        finally:
            self._live.take_back(whole)

    def _bring_blocks(self, view: memoryview, *, first: bool, threads: list[threading.Thread] | None) -> None:
        while not self._ending:
            if not first and (self._working > self._limit or self._live.budget.wanted) and not self._fixed:
                return
            block = self._next()
            if block is None:
                if not first or not self._wait():
                    return
                continue
            try:
                self._bring(block, view, threads)
            finally:
                self._give_back(block)

    def _wait(self) -> bool:
        """Wait for the others, who still bring something; False when there are none and all is done."""
        with self._changed:
            if self._working == 1 and not self._missing:
                return False
            self._changed.wait(0.1)
        if self._live.stop.is_set():
            raise InterruptedError
        return True

    def _bring(self, block: _Block, view: memoryview, threads: list[threading.Thread] | None) -> None:
        """Bring one block."""
        run = self._run
        first = threads is not None
        response = None
        if first and self._open is not None:
            if self._open_at == block.position:
                response = self._open
                response.connection.tick(wire.TICK)
            else:
                self._open.connection.close()
            self._open = None
        asked = block.end
        if response is None:
            response = run.ask(block.position, asked)
            if response.status != wire.PARTIAL:
                response.connection.close()
                raise _NotOurs if first else wire.PermanentError("the server does not send ranges after all")
            try:
                run.check_range(response, block.position, asked)
            except Exception:  # noqa: BLE001 - whatever it is, the first connection meets it too and tells
                response.connection.close()
                raise _NotOurs from None
        whole = False
        try:
            self._read(response, block, view, threads)
            whole = True
        finally:
            if whole and first and not response.ended and block.position == block.end:
                # The answer that was open from the beginning goes on behind this block, and may serve again.
                self._open, self._open_at = response, block.position
            elif whole and response.ended:
                self._live.client.release(response)
            else:
                response.connection.close()

    def _read(
        self,
        response: wire.Response,
        block: _Block,
        view: memoryview,
        threads: list[threading.Thread] | None,
    ) -> None:
        run, live = self._run, self._live
        patience = run.patience()
        while block.position < block.end and not self._ending:
            if response.ended:
                raise wire.ConnectionFailed("the server sent less than it said")
            count = response.read_into(view[: max(1, block.end - block.position)])
            if count is None:
                patience.check()
            elif count:
                patience.reset()
                with self._changed:
                    start = block.position
                    count = max(0, min(count, block.end - start))
                    block.position = start + count
                    block.touched = live.clock()
                    self._came += count
                if count:
                    self._part.write_at(view[:count], start)
                    self._follower.nudge()
                    run.took(count)
                    live.pay(count)
                if live.stop.is_set():
                    raise InterruptedError
            if threads is not None:
                pace = self._meter.pace(live.clock(), self._came)
                if pace is not None:
                    live.report_pace(id(run), pace)
                self._grow(threads)
            elif not self._fixed and (live.budget.wanted or self._working > self._limit):
                return


class _NotOurs(Exception):
    """The server has another file now, or no ranges of this one."""
