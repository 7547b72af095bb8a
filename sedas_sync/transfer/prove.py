"""Proof of a file in threads, which read from the partial file what has just been written to it."""

import functools
import os
import threading

from sedas_sync.files.integrity import Digester, Proof, read_on
from sedas_sync.files.threads import DaemonThread
from sedas_sync.transfer.partial import PartialFile

PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Processors that this process may use."""

WORTHWHILE = 8 << 20
"""Bytes that must be left for threads to pay."""

_STEP = 4 << 20
_LAG = 64 << 20
"""Bytes that a thread may be behind the writers: further behind, the bytes may have left the memory."""


class Follower:
    """Feeds each digester of a proof, in a thread of its own, with the bytes before the first gap."""

    def __init__(self, partial: PartialFile, proof: Proof) -> None:
        self._partial = partial
        self._proof = proof
        self._changed = threading.Condition()
        self._ending = False
        self._failure: BaseException | None = None
        self._threads: list[DaemonThread] = []
        for digester in proof.digesters:
            try:
                self._threads.append(DaemonThread(functools.partial(self._follow, digester)))
            except (RuntimeError, MemoryError):
                # The system gives no more threads: the caller reads the rest at the end.
                break

    def notify(self) -> None:
        """Report that bytes were written; blocks while a thread is too far behind."""
        with self._changed:
            self._changed.notify_all()
            if len(self._threads) == len(self._proof.digesters):
                self._changed.wait_for(self._is_close)

    def _is_close(self) -> bool:
        behind = self._partial.contiguous - self._proof.position
        return behind <= _LAG or self._ending or self._failure is not None

    def finish(self) -> None:
        """Read all bytes before the first gap, and end the threads."""
        end = self._partial.contiguous
        with self._changed:
            self._changed.notify_all()
            if len(self._threads) == len(self._proof.digesters):
                self._changed.wait_for(lambda: self._proof.position >= end or self._ending or self._failure is not None)
        self.stop()

    def stop(self) -> None:
        """End the threads; whoever proves the file reads the rest."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _follow(self, digester: Digester) -> None:
        partial = self._partial
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._ending or digester.position < partial.contiguous)
                    if self._ending:
                        return
                end = min(partial.contiguous, digester.position + _STEP)
                read_on(partial.file, end, digester, stopped=lambda: self._ending)
                with self._changed:
                    self._changed.notify_all()
        except (OSError, EOFError):
            # The caller reads on from the same position, meets the same error, and can report it.
            with self._changed:
                self._ending = True
                self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # raised in the thread of a writer
            # The digester may have seen half of a step, and is not usable any more.
            with self._changed:
                self._failure = error
                self._changed.notify_all()
