"""Proof of a file while its bytes arrive: in the thread that writes them, or in threads of its own.

A `Relay` passes on the buffers that were just written, so that nothing is read twice. A `Follower` reads the bytes from
the partial file: those of an earlier run, and those that arrive behind gaps.
"""

import os
import threading
from contextlib import suppress

from sedas_sync.files import integrity
from sedas_sync.transfer.partial import PartialFile
from sedas_sync.transfer.shared_state import SharedState

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Processors that this process may use."""

RELAY_BUFFERS = 4
"""Buffers of a relay: one is filled while the others are digested."""

_FOLLOW_STEP = 8 << 20
_THREADS_FROM = 8 << 20
"""Bytes that must be left for threads to pay."""


class Relay:
    """Feeds each digester of a proof in a thread of its own, from buffers that are used in turn.

    The writer requests a `buffer`, fills it, writes it to the partial file and calls `submit`. It waits if the slowest
    digester is behind by as many buffers as there are.
    """

    def __init__(self, proof: integrity.Proof, buffers: list[memoryview]) -> None:
        self._buffers = buffers
        self._lengths = [0] * len(buffers)
        self._submitted = 0
        self._digested = [0] * len(proof.digesters)
        self._failure: BaseException | None = None
        self._ending = False
        self._changed = threading.Condition()
        self._threads: list[threading.Thread] = []
        try:
            for number, digester in enumerate(proof.digesters):
                thread = threading.Thread(
                    target=self._run, args=(number, digester), name="sedas-sync digest", daemon=True
                )
                thread.start()
                self._threads.append(thread)
        except BaseException:
            self.stop()
            raise

    def buffer(self) -> memoryview:
        """Return the next buffer to fill; blocks until every digester has finished with it."""
        with self._changed:
            self._changed.wait_for(self._has_free_buffer)
            self._raise_failure()
            return self._buffers[self._submitted % len(self._buffers)]

    def _has_free_buffer(self) -> bool:
        return self._failure is not None or self._submitted - min(self._digested) < len(self._buffers)

    def submit(self, count: int) -> None:
        """Pass on the first `count` bytes of the buffer."""
        with self._changed:
            self._lengths[self._submitted % len(self._buffers)] = count
            self._submitted += 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Digest all submitted buffers and end the threads; all digesters are then at the same position."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self, number: int, digester: integrity.Digester) -> None:
        try:
            while (view := self._next(number)) is not None:
                digester.update(view)
                with self._changed:
                    self._digested[number] += 1
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # raised in the thread of the writer
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next(self, number: int) -> memoryview | None:
        """Return the next bytes for a digester; blocks until they are submitted. None at the end."""
        with self._changed:
            turn = self._digested[number]
            self._changed.wait_for(lambda: turn < self._submitted or self._ending)
            slot = turn % len(self._buffers)
            return self._buffers[slot][: self._lengths[slot]] if turn < self._submitted else None


class Follower:
    """Reads the partial file up to the first gap, and feeds the proof, in a thread of its own."""

    def __init__(self, partial: PartialFile, proof: integrity.Proof) -> None:
        self._partial = partial
        self._proof = proof
        self._written = threading.Event()
        self._ending = False
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        thread = threading.Thread(target=self._follow, name="sedas-sync digest", daemon=True)
        # If the system gives no thread, the caller reads everything at the end.
        with suppress(RuntimeError, MemoryError):
            thread.start()
            self._thread = thread

    def notify(self) -> None:
        """Report that bytes were written."""
        self._written.set()

    def stop(self) -> None:
        """End soon; the caller reads the rest."""
        self._ending = True
        self._written.set()
        if self._thread is not None:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _follow(self) -> None:
        partial, proof = self._partial, self._proof
        while not self._ending:
            self._written.wait()
            self._written.clear()
            try:
                while not self._ending and (at := proof.position) < partial.contiguous:
                    proof.catch_up(partial.file, min(partial.contiguous, at + _FOLLOW_STEP))
            except (OSError, EOFError):
                # The caller reads on from the same position, meets the same error, and can report it.
                return
            except BaseException as error:  # noqa: BLE001  # raised in the thread of the writer
                # The proof may have seen half of a step, and is not usable any more.
                self._failure = error
                return


class StreamProof:
    """Feeds a proof with the bytes of one stream: by a relay, by a follower, or in the writer's thread."""

    def __init__(self, partial: PartialFile, proof: integrity.Proof, shared: SharedState) -> None:
        self._partial = partial
        self._proof = proof
        self._shared = shared
        self._follower: Follower | None = None
        self._relay: Relay | None = None
        self._buffers: list[memoryview] = []

    def adapt(self, total: int | None) -> None:
        """Start threads if processors are idle or earlier bytes must be read; stop a relay if they are busy.

        Args:
            total: Size of the file; None if unknown.
        """
        if self._follower is not None:
            return
        idle = self._shared.budget.running * 2 <= PROCESSORS
        if self._relay is not None:
            if not idle:
                self.stop()
            return
        position = self._partial.contiguous
        if total is None or total - self._proof.position < _THREADS_FROM:
            return
        if self._proof.position != position:
            self._follower = Follower(self._partial, self._proof)
            self._follower.notify()
        elif idle and total - position >= _THREADS_FROM:
            self._buffers = [self._shared.borrow() for _ in range(RELAY_BUFFERS)]
            try:
                self._relay = Relay(self._proof, self._buffers)
            except RuntimeError:
                # The system gives no more threads.
                self._shared.return_buffers(*self._buffers)
                self._follower = Follower(self._partial, self._proof)

    def buffer(self, own: memoryview) -> memoryview:
        """Return the buffer to fill next: that of the relay, or the writer's own."""
        return own if self._relay is None else self._relay.buffer()

    def update(self, view: memoryview, position: int) -> None:
        """Take in bytes that were written at a position of the file."""
        if self._relay is not None:
            self._relay.submit(len(view))
        elif self._follower is not None:
            self._follower.notify()
        elif self._proof.position == position:
            self._proof.update(view)

    def stop(self) -> None:
        """End the threads, after they have digested all submitted buffers."""
        follower, self._follower = self._follower, None
        relay, self._relay = self._relay, None
        if follower is not None:
            follower.stop()
        if relay is not None:
            relay.stop()
            self._shared.return_buffers(*self._buffers)
