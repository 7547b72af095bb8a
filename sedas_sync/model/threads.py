"""A thread pool for systems with few threads or little memory."""

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType


class Pool(ThreadPoolExecutor):
    """A thread pool that continues with the threads that it could start, and begins nothing more after an error."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _adjust_thread_count(self) -> None:
        """Start one more thread if needed.

        The work is in the queue by then. An error would lose its future, although a running thread does the work.

        Raises:
            RuntimeError, MemoryError: no thread could be started.
        """
        try:
            super()._adjust_thread_count()  # called like this since Python 3.2
        except (RuntimeError, MemoryError):
            if not self._threads:
                raise
