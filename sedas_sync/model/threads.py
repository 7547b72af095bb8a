"""Threads where the system gives few of them, or little memory."""

from concurrent.futures import ThreadPoolExecutor


class Pool(ThreadPoolExecutor):
    """A pool that goes on with the threads that it could start."""

    def _adjust_thread_count(self) -> None:
        """Start one more thread where one is needed.

        What was submitted is in the queue by then: an error would leave its caller without the future, while a
        thread that is there does it all the same.

        Raises:
            RuntimeError: there is none at all.
        """
        try:
            super()._adjust_thread_count()  # as it is called since Python 3.2
        except (RuntimeError, MemoryError):
            if not self._threads:
                raise
