"""What the fetches of one process share: connections, the limits over all of them, and who is told."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.folder_cache import FolderCache
from sedas_sync.net import wire
from sedas_sync.transfer.rate import Budget, Rate

BUFFER = 1 << 20
"""Bytes that are read and written at once."""


class SharedState:
    """What the fetches of one process share. It cannot be pickled, and a fetch does without it if it must."""

    def __init__(
        self,
        *,
        jobs: int = 0,
        max_rate: float = 0.0,
        stop: threading.Event | None = None,
        on_bytes: Callable[[str, int, int | None], None] | None = None,
        on_retry: Callable[[str, int, str, float], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Set up what is shared.

        Args:
            jobs: connections that may run in all; a scene may have several while others have none. 0: one
                each.
            max_rate: bytes a second over all fetches; 0: no limit.
            stop: set by the caller to make all fetches end with `Stopped` within a fraction of a second.
            on_bytes: told scene, bytes here and bytes in all (None: unknown), from any thread, ten times a
                second at most.
            on_retry: told scene, number of the try that failed, why, and the seconds until the next.
            clock: monotonic seconds.
            wait: how to pause for so many seconds; the default ends when `stop` is set.
        """
        self.stop = stop or threading.Event()
        self.on_bytes = on_bytes
        self.on_retry = on_retry
        self.clock = clock
        self.wait = wait or self.stop.wait
        self.budget = Budget(jobs)
        self.rate = Rate(max_rate, clock) if max_rate else None
        self.client = wire.Client()
        self.folders = FolderCache()
        self._paces: dict[int, float] = {}
        self._flushed: dict[str, float] = {}
        self._unflushed: dict[str, str] = {}
        self._lock = threading.Lock()
        self._buffers: list[memoryview] = []

    @property
    def spare(self) -> int:
        """How many more connections may be opened now."""
        return self.budget.spare

    @property
    def pace(self) -> float:
        """Bytes a second over all fetches, as measured over the last moments."""
        return sum(list(self._paces.values()))

    def close(self) -> None:
        """Flush what is still to be flushed and hang up; call it when the last fetch has ended."""
        self.rest()
        self.client.close()

    def rest(self) -> None:
        """Flush what is still to be flushed and let go of the folders; connections stay open for the next fetch."""
        with self._lock:
            waiting, self._unflushed = self._unflushed, {}
        for parent, path in waiting.items():
            root = parent.partition("\0")[0]
            with suppress(OSError, errors.TransferError):
                safe_tree.sync(root, path)
        self.folders.close()

    def pace_of(self, key: int) -> float:
        """Bytes a second of one fetch, as measured over the last moment; 0 where that is not known."""
        return self._paces.get(key, 0.0)

    def report_pace(self, key: int, pace: float | None) -> None:
        """Say how fast one fetch is; None when it has ended."""
        if pace is None:
            self._paces.pop(key, None)
        else:
            self._paces[key] = pace

    def pay(self, count: int) -> None:
        """Wait until `count` bytes fit under the rate."""
        if self.rate is not None and (delay := self.rate.pay(count)) > 0:
            self.wait(delay)

    def lend(self) -> memoryview:
        """A buffer of `BUFFER` bytes, to be taken back; there are as many as are in use at once."""
        try:
            return self._buffers.pop()
        except IndexError:
            return memoryview(bytearray(BUFFER))

    def take_back(self, *buffers: memoryview) -> None:
        """Keep buffers for the next who needs one."""
        self._buffers += buffers

    def reading(self, size: int) -> int:
        """How much to read at once, so that a limited rate comes evenly."""
        if self.rate is None:
            return size
        return max(4096, min(size, int(self.rate.limit * 0.05)))

    def flush_folder(self, root: str, path: str) -> None:
        """See to it that a rename reaches the disk: at once, or with the others of the same second."""
        parent = f"{root}\0{path.rpartition('/')[0]}"
        now = self.clock()
        with self._lock:
            if now - self._flushed.get(parent, -2.0) < 1.0:
                self._unflushed[parent] = path
                return
            self._flushed[parent] = now
            self._unflushed.pop(parent, None)
        safe_tree.sync(root, path)
