"""What the downloads of one process share: connections, limits, buffers, open folders and callbacks."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sedas_sync import errors
from sedas_sync.files import safe_tree
from sedas_sync.files.folder_cache import FolderCache
from sedas_sync.net.connections import Connections
from sedas_sync.transfer.rate import ConnectionBudget, Rate

_FLUSH_EVERY = 1.0
"""Seconds between two flushes of one folder."""


class SharedState:
    """What the downloads of one process share. It cannot be pickled; `fetch` creates one if it gets none."""

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
        """Create the shared state.

        Args:
            jobs: Connections in all; a scene may have several while others have none. 0: one for each scene.
            max_rate: Bytes per second of all downloads; 0: no limit.
            stop: Set by the caller to end all downloads with `FetchStopped` within a fraction of a second.
            on_bytes: Called with the scene, its bytes on disk and its size (None: unknown), from any thread, at most
                ten times a second.
            on_retry: Called with the scene, the number of the failed attempt, the reason, and the seconds until the
                next one.
            clock: Monotonic seconds.
            wait: Waits so many seconds; the default ends early when `stop` is set.
        """
        self.stop = stop or threading.Event()
        self.on_bytes = on_bytes
        self.on_retry = on_retry
        self.clock = clock
        self.wait = wait or self.stop.wait
        self.budget = ConnectionBudget(jobs)
        self.rate = Rate(max_rate, clock) if max_rate else None
        self.connections = Connections(stop=self.stop)
        self.folders = FolderCache()
        self._turns: dict[str, Rate] = {}
        self._paces: dict[int, float] = {}
        self._flushed: dict[str, float] = {}
        self._unflushed: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def spare(self) -> int:
        """Connections that are free."""
        return self.budget.spare

    @property
    def pace(self) -> float:
        """Bytes per second of all downloads, measured over the last moments."""
        return sum(list(self._paces.values()))

    def close(self) -> None:
        """Flush and close folders, and close connections; call it after the last download."""
        self.close_folders()
        self.connections.close()

    def close_folders(self) -> None:
        """Flush and close folders; connections stay open for the next download."""
        with self._lock:
            waiting, self._unflushed = self._unflushed, {}
        for parent, path in waiting.items():
            root = parent.partition("\0")[0]
            with suppress(OSError, errors.TransferError):
                safe_tree.sync(root, path)
        self.folders.close()

    def pace_of(self, key: int) -> float:
        """Bytes per second of one download, measured over the last moment; 0 if unknown."""
        return self._paces.get(key, 0.0)

    def report_pace(self, key: int, pace: float | None) -> None:
        """Set the bytes per second of one download; None when it has ended."""
        if pace is None:
            self._paces.pop(key, None)
        else:
            self._paces[key] = pace

    def throttle(self, count: int) -> None:
        """Wait until `count` bytes fit under the rate."""
        if self.rate is not None and (delay := self.rate.pay(count)) > 0:
            self.wait(delay)

    def await_turn(self, service: str, per_minute: int | None) -> None:
        """Wait until a service allows this account another request.

        Args:
            service: Names the service.
            per_minute: Maximum requests; None if there is no limit.
        """
        if per_minute is None:
            return
        with self._lock:
            turns = self._turns.setdefault(service, Rate(per_minute / 60, self.clock))
        if (delay := turns.pay(1)) > 0:
            self.wait(delay)

    def read_size(self, size: int) -> int:
        """Return how many bytes to read at once, so that a limited rate is even."""
        if self.rate is None:
            return size
        return max(4096, min(size, int(self.rate.limit * 0.05)))

    def flush_folder(self, root: str, path: str) -> None:
        """Flush the folder of a path after a rename: at once, or together with others of the same second."""
        parent = f"{root}\0{path.rpartition('/')[0]}"
        now = self.clock()
        with self._lock:
            if now - self._flushed.get(parent, now - 2 * _FLUSH_EVERY) < _FLUSH_EVERY:
                self._unflushed[parent] = path
                return
            self._flushed[parent] = now
            self._unflushed.pop(parent, None)
        safe_tree.sync(root, path)
