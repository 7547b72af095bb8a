"""Runs a complete search: sends the queries of its checks, and yields the rows that come."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue

from msgspec import Struct

from sedas_sync.archives.complete_search import windows
from sedas_sync.archives.complete_search.answers import AnswerRow, Ask, SplitArea, SplitOtherwise, WindowAnswer
from sedas_sync.archives.complete_search.cap_model import HOPELESS_CAP, CapModel
from sedas_sync.archives.complete_search.checks import Check, WindowChecks
from sedas_sync.archives.complete_search.windows import Window
from sedas_sync.errors import IncompleteSearch
from sedas_sync.files.threads import Pool

SHOWN_PERIODS = 3


def queries_allowed(found: int) -> int:
    """Return how many queries a search may use for so many rows: far more than a cap of 8 rows or more needs."""
    return 500 + 2 * found


def complete(
    ask: Ask,
    root: Window,
    *,
    split_area: SplitArea = lambda _window, _rows: [],
    split_otherwise: SplitOtherwise = lambda _window, _rows: (),
    model: CapModel | None = None,
    threads: int = 4,
    allowed: Callable[[int], int] = queries_allowed,
    found: set[str] | None = None,
) -> Iterator[AnswerRow]:
    """Yield every row whose start lies in `root`, each id once, as they come.

    Args:
        ask: Sends one query; called from several threads.
        root: What to search.
        split_area: Splits a window by area.
        split_otherwise: Splits a window by anything else.
        model: What earlier searches of the same archive have learnt of its cap; this search adds to it.
        threads: The number of queries at the same time.
        allowed: Returns the most queries for a number of rows found.
        found: Ids that are not to be yielded (again); this search adds to it.

    Raises:
        IncompleteSearch: Some windows could not be accepted. All rows that were found have been yielded.
        Exception: What `ask` raises ends the search.
    """
    model = CapModel() if model is None else model
    checks = WindowChecks(model, split_area, split_otherwise)
    search = _Search(ask, checks, model, allowed, set() if found is None else found)
    return search.run(root, Pool(threads))


class _Waiting(Struct, eq=False):
    """A check that waits for answers."""

    check: Check
    windows: list[Window]
    answers: list[WindowAnswer | None]
    missing: int


class _Search:
    """One search. `run` starts checks, sends their queries and resumes them with the answers."""

    def __init__(
        self,
        ask: Ask,
        checks: WindowChecks,
        model: CapModel,
        allowed: Callable[[int], int],
        found: set[str],
    ) -> None:
        self._ask = ask
        self._checks = checks
        self._model = model
        self._allowed = allowed
        self._found = found
        self._queries = 0
        self._used_up = False
        self._sent: dict[Future[list[AnswerRow]], tuple[_Waiting, int]] = {}
        self._answered: SimpleQueue[Future[list[AnswerRow]]] = SimpleQueue()

    def run(self, root: Window, threads: Pool) -> Iterator[AnswerRow]:
        try:
            self._checks.begin(root)
            self._start_checks(threads)
            while self._sent:
                future = self._answered.get()
                check, position = self._sent.pop(future)
                rows = future.result()
                answer = WindowAnswer.of(check.windows[position], rows)
                self._model.observe(answer.counts)
                check.answers[position] = answer
                check.missing -= 1
                yield from self._new_rows(root, rows)
                del rows, future
                if check.missing == 0:
                    answers = [answer for answer in check.answers if answer is not None]
                    self._resume(threads, check.check, answers)
                    self._start_checks(threads)
                if not self._sent:
                    self._checks.judge_again()
                    self._start_checks(threads)
        finally:
            # A query whose answer is not needed does not delay the end.
            threads.shutdown(wait=False, cancel_futures=True)
        if self._checks.unresolved or self._used_up or self._model.shortest_cut <= HOPELESS_CAP:
            raise IncompleteSearch(self._why_incomplete())

    def _start_checks(self, threads: Pool) -> None:
        while self._checks.ready:
            self._resume(threads, self._checks.ready.pop(), None)

    def _resume(self, threads: Pool, check: Check, answers: list[WindowAnswer] | None) -> None:
        try:
            asked = next(check) if answers is None else check.send(answers)
        except StopIteration:
            return
        if self._queries + len(asked) > self._allowed(len(self._found)):
            self._used_up = True
            check.close()
            return
        self._queries += len(asked)
        waiting = _Waiting(check, asked, [None] * len(asked), len(asked))
        for position, window in enumerate(asked):
            future = threads.submit(self._ask, window)
            self._sent[future] = waiting, position
            future.add_done_callback(self._answered.put)

    def _new_rows(self, root: Window, rows: list[AnswerRow]) -> Iterator[AnswerRow]:
        for row in rows:
            if row.id in self._found:
                continue
            if row.start is None or root.start <= row.start <= root.stop:
                self._found.add(row.id)
                yield row

    def _why_incomplete(self) -> str:
        if self._used_up:
            return (
                f"the search is incomplete: it found {len(self._found)} scenes, but after {self._queries} queries the "
                "archive's answers still did not agree with each other; use a smaller AOI or a narrower dataset, or "
                "try again later"
            )
        if not self._checks.unresolved:
            return (
                f"the search is incomplete: the archive cut answers of {self._model.shortest_cut:.0f} scenes. It seems "
                "to count scenes that a filter then removes. Use fewer filters or a smaller AOI"
            )
        periods = windows.describe(self._checks.unresolved)
        shown = ", ".join(periods[:SHOWN_PERIODS])
        more = f" and {len(periods) - SHOWN_PERIODS} more" if len(periods) > SHOWN_PERIODS else ""
        return (
            f"the search is incomplete: more scenes may start {shown}{more} than the archive returns in one answer. "
            "Use a smaller AOI or a narrower dataset"
        )
