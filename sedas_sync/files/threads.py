"""Daemon threads whose start fails if the system has no room for them, and never hangs.

`threading.Thread.start` waits until the new thread has begun. A thread that gets no memory for its first call ends
before that, and the starter would wait for ever.
"""

import _thread
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

_CHECK = 0.05
"""Seconds between two checks of whether a new thread has ended before it began."""

_MOST_READERS = 8

P = ParamSpec("P")
Result = TypeVar("Result")


def readers() -> int:
    """Return how many files to read at the same time: hashing is limited by the processors."""
    return min(_MOST_READERS, os.cpu_count() or 1)


class _Life:
    """Exists as long as the thread that has the only reference."""

    __slots__ = ("__weakref__",)


class DaemonThread:
    """A daemon thread, which has begun its call when the constructor returns. It does not delay the end of the process.

    Args:
        call: Runs in the thread. Its result is ignored, and `threading.excepthook` reports its error.

    Raises:
        MemoryError, RuntimeError: The system has no room for another thread.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._begun, self._running = _thread.allocate_lock(), _thread.allocate_lock()
        self._begun.acquire()
        self._running.acquire()
        life = _Life()
        alive = weakref.ref(life)
        _thread.start_new_thread(self._run, (life,))
        del life
        while not self._begun.acquire(timeout=_CHECK):
            if alive() is None:
                raise MemoryError

    def _run(self, _: _Life) -> None:
        self._begun.release()
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001  # as in `threading.Thread`
            threading.excepthook(threading.ExceptHookArgs((type(error), error, error.__traceback__, None)))
        finally:
            self._running.release()

    def join(self, seconds: float = -1) -> None:
        """Wait for the end of the call, at most so many seconds if the number is not negative."""
        if self._running.acquire(timeout=seconds):
            self._running.release()


def call_aside(call: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
    """Make a call in a daemon thread of its own, which may hang.

    Raises:
        MemoryError, RuntimeError: The system has no room for another thread.
    """
    future: Future[Result] = Future()
    DaemonThread(lambda: _fulfil(future, call, args, kwargs))
    return future


def _fulfil(future: Future[Any], call: Callable[..., Any], args: Any, kwargs: Any) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call(*args, **kwargs)
    except BaseException as error:  # noqa: BLE001  # it belongs to the future
        future.set_exception(error)
    else:
        future.set_result(result)


class Pool(Executor):
    """A few daemon threads that make calls. It continues with the threads that could be started.

    Args:
        count: The most threads; each starts when there is a call for it.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._threads: list[DaemonThread] = []
        self._calls: deque[tuple[Future[Any], Callable[..., Any], Any, Any]] = deque()
        self._changed = threading.Condition()
        self._unfinished = 0
        """Calls that wait or are being made."""
        self._closed = False

    def submit(self, call: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs) -> Future[Result]:
        """Make a call in the next thread that is free.

        Raises:
            MemoryError, RuntimeError: No thread could be started, or the pool was shut down.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed:
                raise RuntimeError("the pool was shut down")
            if len(self._threads) <= self._unfinished and len(self._threads) < self._count:
                self._start_thread()
            self._unfinished += 1
            self._calls.append((future, call, args, kwargs))
            self._changed.notify()
        return future

    def _start_thread(self) -> None:
        try:
            self._threads.append(DaemonThread(self._work))
        except (RuntimeError, MemoryError):
            if not self._threads:
                raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error, such as an interrupt in a notebook, nothing more is begun.
        self.shutdown(cancel_futures=kind is not None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        Args:
            wait: Wait for the calls that were taken.
            cancel_futures: Cancel those that have not begun.
        """
        with self._changed:
            self._closed = True
            cancelled = list(self._calls) if cancel_futures else []
            if cancel_futures:
                self._calls.clear()
            self._changed.notify_all()
        for future, *_ in cancelled:
            future.cancel()
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._calls or self._closed)
                if not self._calls:
                    return
                item = self._calls.popleft()
            try:
                _fulfil(*item)
            finally:
                # A result is not kept until the next call comes.
                del item
                with self._changed:
                    self._unfinished -= 1
