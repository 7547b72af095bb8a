"""Proving a scene while it comes, beside the thread that takes it in.

A `Relay` hands over the bytes that were just written, so that nothing is read twice; a `Follower` reads them from the
part, for what came in an earlier run or comes behind gaps.
"""

import threading
from contextlib import suppress

from sedas_sync.files import integrity
from sedas_sync.transfer.partial import Partial

RELAYED = 4
"""Buffers of a relay: one is filled while the others are digested."""

_FOLLOW_STEP = 8 << 20


class Relay:
    """Feeds each lane of a proof in a thread of its own, from buffers that go round.

    The one who takes bytes in asks for a `buffer`, fills it, writes it to the part and calls `hand`. It waits
    where the slowest lane is as far behind as there are buffers.
    """

    def __init__(self, proof: integrity.Proof, buffers: list[memoryview]) -> None:
        self._buffers = buffers
        self._lengths = [0] * len(buffers)
        self._handed = 0
        self._taken = [0] * len(proof.digesters)
        self._failure: BaseException | None = None
        self._ending = False
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        try:
            for number, lane in enumerate(proof.digesters):
                thread = threading.Thread(target=self._run, args=(number, lane), name="sedas-sync digest", daemon=True)
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise

    def buffer(self) -> memoryview:
        """The buffer to be filled next; waits until every lane is done with what it held."""
        with self._changed:
            self._changed.wait_for(self._free)
            self._check()
            return self._buffers[self._handed % len(self._buffers)]

    def _free(self) -> bool:
        return self._failure is not None or self._handed - min(self._taken) < len(self._buffers)

    def hand(self, count: int) -> None:
        """Pass the first `count` bytes of the buffer on."""
        with self._changed:
            self._lengths[self._handed % len(self._buffers)] = count
            self._handed += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let the lanes get to the end of what was handed over, and end; all are equally far then."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self, number: int, lane: integrity.Digester) -> None:
        try:
            while (view := self._next(number)) is not None:
                lane.update(view)
                with self._changed:
                    self._taken[number] += 1
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001 - raised where the bytes are taken in
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self, number: int) -> memoryview | None:
        """What a lane has not seen yet; waits for it. None when nothing more will come."""
        with self._changed:
            turn = self._taken[number]
            self._changed.wait_for(lambda: turn < self._handed or self._ending)
            slot = turn % len(self._buffers)
            return self._buffers[slot][: self._lengths[slot]] if turn < self._handed else None


class Follower:
    """Reads what has been written, up to the first gap, and feeds the proof, in a thread of its own."""

    def __init__(self, part: Partial, proof: integrity.Proof) -> None:
        self._part = part
        self._proof = proof
        self._news = threading.Event()
        self._ending = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        thread = threading.Thread(target=self._follow, name="sedas-sync digest", daemon=True)
        # Where the system gives no thread, all is left for the caller to read.
        with suppress(RuntimeError, MemoryError):
            thread.start()
            self._thread = thread

    def nudge(self) -> None:
        """Something was written."""
        self._news.set()

    def stop(self) -> None:
        """End within a moment; what is left is for the caller to read."""
        self._ending = True
        self._news.set()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _follow(self) -> None:
        while not self._ending:
            self._news.wait()
            self._news.clear()
            try:
                while not self._ending and (at := self._proof.position) < self._part.frontier:
                    self._proof.catch_up(self._part.file, min(self._part.frontier, at + _FOLLOW_STEP))
            except (OSError, EOFError):
                # The caller reads on from the same place and meets the same trouble, where it can be told.
                return
            except BaseException as error:  # noqa: BLE001 - raised where the bytes are taken in
                # The proof may have taken in half of a step, and is worth nothing any more.
                self._failure = error
                return
