"""Threads that send the queries of a search."""

import queue
import threading
from typing import Any

from sedas_sync.archives.complete_search.answers import AnswerRow, Ask
from sedas_sync.archives.complete_search.windows import Window


class QueryThreads:
    """A few daemon threads that send queries. A query whose answer is not needed does not delay the end of the process.

    Args:
        ask: Sends one query.
        count: The most threads.
    """

    def __init__(self, ask: Ask, count: int) -> None:
        self._ask = ask
        self._count = count
        self._threads = 0
        self._closed = False
        self._queries: queue.SimpleQueue[tuple[Any, Window] | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Any, list[AnswerRow] | BaseException]] = queue.SimpleQueue()

    def submit(self, key: Any, window: Window) -> None:
        """Send a query; `next` returns its answer with this key."""
        self._queries.put((key, window))
        if self._threads < self._count:
            self._threads += 1
            threading.Thread(target=self._work, name=f"search-{self._threads}", daemon=True).start()

    def next(self) -> tuple[Any, list[AnswerRow]]:
        """Wait for an answer and return it with its key; raise what `ask` raised."""
        key, result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return key, result

    def close(self) -> None:
        """Send no more queries. Do not wait for those that were sent."""
        self._closed = True
        for _ in range(self._threads):
            self._queries.put(None)

    def _work(self) -> None:
        while (query := self._queries.get()) is not None:
            key, window = query
            if self._closed:
                return
            result: list[AnswerRow] | BaseException
            try:
                result = self._ask(window)
            except BaseException as error:  # noqa: BLE001 - raised again by `next`
                result = error
            self._results.put((key, result))
