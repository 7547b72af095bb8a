"""Complete search over a catalogue that cuts long answers without saying so.

The service has no paging. An answer that would be too long is cut silently, newest first as far as is known, at no
fixed number: 256 rows came where 2,848 products were (saved answers of 2019), 401 elsewhere. What the limit counts (all
rows, those of a satellite, those before a filter) is not known either. So no answer is believed by itself. It is
believed where two questions of different size agree about the same stretch of time, and never where more turned up.

The algorithm knows nothing of HTTP: it asks windows of time through a function and is handed rows.

1.  A window's answer is checked by asking its pieces: what lies before the oldest row seen (all that a newest-first
    cut can hide), and the rest in two halves. The halves meet at the median of the starts seen, not in the middle of
    time, so that with one limit for all a cut answer cannot agree with both: each half has room for what was hidden.
2.  A piece that adds nothing to its parent's answer, and is shorter than it, is believed. Any other is itself a window
    to be checked, its answer known already. Once answers have been cut at one length and none was longer, that length
    is taken for the limit, and shorter answers are checked by one half only; should another length turn up, these are
    opened again.
3.  Leaving out always the same rows from long answers could fool 2. So a believed piece that is longer than any that
    has passed yet must also agree with needles, sub-windows of a few rows. Where one finds more, agreement counts for
    little from then on, what was believed before is opened again, and it is disagreement that shows an answer to be
    whole: it holds rows that long answers do not.
4.  What tells whether an answer may have been cut is its whole length, rows from outside its window and repetitions
    included. Archives that round instants, or give what overlaps, fill their answers with rows from outside. Where
    the pieces of a window are answered just as the window is, wherever they lie, time is cut no further.
5.  What time cannot cut, a single second above all, is cut by space, satellite, sensor, product type and orbit
    direction. All tiles of a Sentinel-2 datatake share one start, so a hundred rows in a second are nothing special.
    A `HANDFUL` of rows that nothing parts is believed, several baselines of a scene being one, unless answers of that
    length were cut, now or later. More than that is reported as unsettled where no longer answer vouches for it.

What no search can see through: a limit that counts rows before they are filtered, while the filter passes next to none
of them; where answers of `TINY` rows or fewer are cut, the search is called incomplete for that. Nor a limit of a
handful of rows where all that is asked for shares a second and a place.

Cost, in searches: 4 for an answer of up to 64 rows that was not cut, about 10 for 5,000; behind a limit of c about
3 n/c for n rows where the newest come, up to 6 n/c where any rows may be left out (measured with limits of 20 to 401 on
5,000 rows). Every piece is smaller than its window, so it ends; a catalogue that changes underneath, or a limit of next
to nothing, ends at `searches_allowed`.
"""

import math
import queue
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count, pairwise
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.errors import ArchiveError, IncompleteSearch

TINY = 3
"""Where answers of so few rows were cut, nothing that the archive says can be believed."""
HANDFUL = 9
"""So many rows that nothing can part are believed where no answer of that length was cut: several baselines, or the
parts of one acquisition, come in handfuls."""
NEAR = 1
"""Seconds by which a question may reach beyond its window so that both its ends are included; see `Window`."""
FRUITLESS = 6
"""How often in a row a piece may be answered with nothing but what its window was, before time is cut no further."""
SHORT = 12
"""Pieces of so many rows need no needle while nothing speaks against them."""
SMALL = 64
"""Answers of so many rows are first cut so that one piece is a needle."""
NEEDLE = 5
"""Rows that the smallest needle holds: few enough for any limit that makes sense, enough to hit what is left out."""
CALIBRATION_SECONDS = 60 * 86400
"""How far around a full second it is looked for an answer that is longer."""
DEEPEST = 40
"""Cuts of one second within each other."""
CUTS_OF_ONE_LENGTH = 3
"""Answers cut at one length after which that length is taken for the limit."""
SHOWN_WINDOWS = 3

_NEVER = math.inf


class Window(Struct, frozen=True):
    """What one question covers: whole seconds since 1970, both ends included.

    The answer may hold rows that lie outside. Those farther away than `NEAR` show that the archive does not keep to
    what it is asked: that it rounds instants to minutes or days, gives whatever overlaps, or ignores them.
    """

    start: int
    stop: int
    part: Any = None
    """How the question is narrowed besides, understood by whoever answers; None: not at all."""


class Row(NamedTuple):
    """One row of an answer, as far as completeness goes."""

    id: str
    start: int | None
    """Whole seconds since 1970; None where the row does not say."""
    group: str
    """What a limit may be counted by, e.g. the satellite."""
    item: Any
    """The row itself, handed on untouched."""


class Answer(Struct, frozen=True):
    """All rows that one question was answered with, in any order."""

    rows: list[Row]


Ask = Callable[[Window], Answer]
Divide = Callable[[Window, Collection[Row]], Iterable[list[Any]]]
"""Ways to cut a second: given the window and its rows, lists of `Window.part`s that together cover it, best first."""


class Knowledge(Struct):
    """What searches have learnt about how an archive cuts its answers.

    Shared between searches and threads without a lock: a lost update costs a search and nothing else.
    """

    longest: int = 0
    """Rows of the longest answer so far: a limit that counts rows is no smaller."""
    cut_at: float = _NEVER
    """Rows of the shortest answer that was proved cut."""
    group_cut_at: float = _NEVER
    """The most rows of one group in an answer proved cut, the least of these."""
    longest_group: int = 0
    """The most rows of one group in any answer so far."""
    doubt: float = _NEVER
    """Rows of the shortest answer that another one agreed with, and that was proved cut all the same."""
    probed: int = SHORT
    """Rows of the longest answer that needles agreed with."""
    cuts: int = 0
    """Answers proved cut."""
    longest_cut: int = 0
    """Rows of the longest of these."""
    strange: bool = False
    """Whether an answer held rows far outside its window, so that a few rows may be all that came of very many."""

    @property
    def uniform(self) -> bool:
        """Whether all answers that were cut had one length, which none was longer than: a limit that counts rows."""
        return (
            self.cuts >= CUTS_OF_ONE_LENGTH and self.cut_at == self.longest_cut == self.longest and self.doubt == _NEVER
        )

    @property
    def group_limit(self) -> float:
        """Rows of one group that no answer has exceeded, and that some had when they were cut."""
        return self.group_cut_at if self.group_cut_at == self.longest_group else _NEVER

    @property
    def uneven(self) -> bool:
        """Whether answers were cut that are much shorter than others: no limit that counts the rows one gets."""
        return self.cut_at * 2 < self.longest

    @property
    def credible(self) -> float:
        """Answers of so many rows or more are not believed though another agrees with them.

        Far below `doubt`, since windows are halved: the next shorter answers that were cut may be half as long.
        """
        return max(2.0, self.doubt / 4)


class Cost(Struct):
    """What a search took; filled in while it runs."""

    searches: int = 0
    rows: int = 0


def searches_allowed(found: int) -> int:
    """How many searches may be spent on so many rows: far above what any limit of 8 rows or more takes."""
    return 500 + 2 * found


def complete(
    ask: Ask,
    root: Window,
    *,
    divide: Divide = lambda _window, _rows: (),
    knowledge: Knowledge | None = None,
    workers: int = 4,
    stopped: Callable[[], bool] = lambda: False,
    allowed: Callable[[int], int] = searches_allowed,
    cost: Cost | None = None,
    found: set[str] | None = None,
) -> Iterator[Row]:
    """Yield every row whose start lies in `root`, each id once, as they are found.

    Args:
        ask: Answers one question; called from several threads.
        root: What to search.
        divide: Ways to cut a single second.
        knowledge: What earlier searches of the same archive have learnt; added to.
        workers: Questions asked at once.
        stopped: Says that the caller wants no more.
        allowed: The most searches for a number of rows found.
        cost: Filled in while the search runs.
        found: Ids that are not to be yielded (any more); added to.

    Raises:
        IncompleteSearch: not everything could be settled; all that was found has been yielded.
        ArchiveError: `ask` raised it, or `stopped` said so. Whatever `ask` raises ends the search.
    """
    search = _Search(
        root,
        divide,
        Knowledge() if knowledge is None else knowledge,
        allowed,
        Cost() if cost is None else cost,
        set() if found is None else found,
    )
    return search.run(_Workers(ask, workers), stopped)


# --------------------------------------------------------------------------------------------------------------------


class _Workers:
    """A few daemon threads that ask; an abandoned question never keeps the process from ending."""

    def __init__(self, ask: Ask, count: int) -> None:
        self._ask = ask
        self._count = count
        self._threads = 0
        self._closed = False
        self._questions: queue.SimpleQueue[tuple[Any, Window] | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[Any, Answer | BaseException]] = queue.SimpleQueue()

    def submit(self, key: Any, window: Window) -> None:
        self._questions.put((key, window))
        if self._threads < self._count:
            self._threads += 1
            threading.Thread(target=self._work, name=f"search-{self._threads}", daemon=True).start()

    def next(self) -> tuple[Any, Answer]:
        key, answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return key, answer

    def close(self) -> None:
        self._closed = True
        for _ in range(self._threads):
            self._questions.put(None)

    def _work(self) -> None:
        while (question := self._questions.get()) is not None:
            key, window = question
            if self._closed:
                return
            answer: Answer | BaseException
            try:
                answer = self._ask(window)
            except BaseException as error:  # noqa: BLE001 - raised again where the answer is waited for
                answer = error
            self._answers.put((key, answer))


class _Seen(Struct):
    """What is kept of an answer while its window is being checked."""

    window: Window
    length: int
    """All its rows, wherever they lie and however often they came: it is these that a limit counts."""
    ids: set[str]
    """Of all rows."""
    starts: dict[str, int]
    """Of the rows that lie in the window."""
    outside: dict[str, int]
    """Starts of the rows that do not."""
    groups: Counter[str]
    rows: list[Row]
    """The rows themselves, each once, where time may not part them."""
    lost: bool = False
    """Whether a row that another answer had given for this window was missing."""
    agreed: bool = False
    """Whether it agreed with the answer of the window it is a piece of."""

    @property
    def strange(self) -> bool:
        """Whether rows lie so far outside that the archive cannot have kept to the window."""
        first, last = self.window.start - NEAR, self.window.stop + NEAR
        return any(not first <= start <= last for start in self.outside.values())

    def within(self, window: Window) -> set[str]:
        """The rows of this window that lie in another one."""
        return {name for name, start in self.starts.items() if window.start <= start <= window.stop}

    def beyond(self, other: "_Seen") -> set[str]:
        """The rows that another answer lacks though they belong to its window, or do not say where they belong."""
        window = other.window
        return {
            name
            for name in self.ids - other.ids
            if (start := self.starts.get(name, self.outside.get(name))) is None or window.start <= start <= window.stop
        }


def _look(window: Window, answer: Answer) -> _Seen:
    rows = {row.id: row for row in answer.rows}
    dated = {name: row.start for name, row in rows.items() if row.start is not None}
    starts = {name: start for name, start in dated.items() if window.start <= start <= window.stop}
    seen = _Seen(
        window=window,
        length=len(answer.rows),
        ids=set(rows),
        starts=starts,
        outside={name: start for name, start in dated.items() if name not in starts},
        groups=Counter(row.group for row in answer.rows),
        rows=[],
    )
    if len(set(starts.values())) <= 1 or seen.strange:
        seen.rows = list(rows.values())
    return seen


_Task = Generator[list[Window], list[_Seen], None]


class _Pending(Struct, eq=False):
    """A task that waits for the answers to its questions."""

    task: _Task
    windows: list[Window]
    answers: list[_Seen | None]
    open: int


class _Search:
    """One search: tasks that ask for windows and are resumed with the answers, and what has been found so far."""

    def __init__(
        self,
        root: Window,
        divide: Divide,
        knowledge: Knowledge,
        allowed: Callable[[int], int],
        cost: Cost,
        found: set[str],
    ) -> None:
        self._root = root
        self._divide = divide
        self._known = knowledge
        self._allowed = allowed
        self._cost = cost
        self._found = found
        self._unsettled: list[Window] = []
        self._spent = False
        self._believed: list[tuple[int, int, _Taken]] = []
        """Heap of what was believed on agreement: minus rows, a number; opened again where doubt grows."""
        self._numbers = count()
        self._probing = 0
        """Rows of the longest piece that needles are under way in."""
        self._taken: list[_Taken] = []
        """What was believed for its length alone; opened again where answers of that length turn out to be cut."""
        self._trusted: list[_Taken] = []
        """What was believed because the limit seemed to be known; opened again where it turns out not to be."""
        self._ready: list[_Task] = []

    # -- running the tasks -------------------------------------------------------------------------------------------

    def run(self, workers: _Workers, stopped: Callable[[], bool]) -> Iterator[Row]:
        waiting = self._advance(workers, self._begin(), None)
        try:
            while waiting:
                if stopped():
                    raise ArchiveError("the search was stopped")
                (pending, place), answer = workers.next()
                waiting -= 1
                pending.answers[place] = self._look(pending.windows[place], answer)
                pending.open -= 1
                yield from self._fresh(answer)
                del answer
                if pending.open == 0:
                    told = [seen for seen in pending.answers if seen is not None]
                    waiting += self._advance(workers, pending.task, told)
                if not waiting:
                    self._reopen()
                    waiting += self._run_ready(workers)
        finally:
            workers.close()
        if self._unsettled or self._spent or self._known.cut_at <= TINY:
            raise IncompleteSearch(self._shortfall())

    def _reopen(self) -> None:
        """Open again what was believed for a reason that has turned out not to hold."""
        uniform = self._known.uniform
        doubtful = [taken for taken in self._trusted if not uniform or self._is_full(taken.groups)]
        self._trusted = [taken for taken in self._trusted if uniform and not self._is_full(taken.groups)]
        doubtful += [taken for taken in self._taken if self._may_be_cut(taken.length, taken.groups)]
        self._taken = [taken for taken in self._taken if not self._may_be_cut(taken.length, taken.groups)]
        full = [entry for entry in self._believed if self._is_full(entry[2].groups)]
        if full:
            self._believed = [entry for entry in self._believed if not self._is_full(entry[2].groups)]
            heapify(self._believed)
        doubtful += [taken for _, _, taken in full]
        self._ready += [self._again(taken.window, agreed=False) for taken in doubtful]

    def _advance(self, workers: _Workers, task: _Task, told: list[_Seen] | None) -> int:
        """Resume a task and start those it leaves behind; return how many questions that put."""
        return self._step(workers, task, told) + self._run_ready(workers)

    def _run_ready(self, workers: _Workers) -> int:
        asked = 0
        while self._ready:
            asked += self._step(workers, self._ready.pop(), None)
        return asked

    def _step(self, workers: _Workers, task: _Task, told: list[_Seen] | None) -> int:
        try:
            windows = next(task) if told is None else task.send(told)
        except StopIteration:
            return 0
        if self._cost.searches + len(windows) > self._allowed(len(self._found)):
            self._spent = True
            task.close()
            return 0
        self._cost.searches += len(windows)
        pending = _Pending(task, windows, [None] * len(windows), len(windows))
        for place, window in enumerate(windows):
            workers.submit((pending, place), window)
        return len(windows)

    def _look(self, window: Window, answer: Answer) -> _Seen:
        seen = _look(window, answer)
        self._cost.rows += len(answer.rows)
        self._known.longest = max(self._known.longest, seen.length)
        self._known.strange = self._known.strange or seen.strange
        self._known.longest_group = max([self._known.longest_group, *seen.groups.values()])
        return seen

    def _fresh(self, answer: Answer) -> Iterator[Row]:
        for row in answer.rows:
            if row.id in self._found:
                continue
            if row.start is None or self._root.start <= row.start <= self._root.stop:
                self._found.add(row.id)
                yield row

    def _shortfall(self) -> str:
        if self._spent:
            return (
                f"the search is incomplete: {len(self._found)} scenes were found, and after {self._cost.searches} "
                "questions the archive's answers still did not agree with each other"
            )
        if not self._unsettled:
            return (
                f"the search is incomplete: the archive cut answers of {self._known.cut_at:.0f} scenes, so that it "
                "seems to count what a filter then hides; fewer filters or a smaller AOI may get everything"
            )
        stretches = _joined(self._unsettled)
        shown = ", ".join(_stretch(start, stop) for start, stop in stretches[:SHOWN_WINDOWS])
        more = f" and {len(stretches) - SHOWN_WINDOWS} more" if len(stretches) > SHOWN_WINDOWS else ""
        return (
            f"the search is incomplete: more scenes may start {shown}{more} than the archive gives in one answer; "
            "a smaller AOI or a narrower dataset may get them"
        )

    # -- the tasks ---------------------------------------------------------------------------------------------------

    def _begin(self) -> _Task:
        (seen,) = yield [self._root]
        self._ready.append(self._settle(seen, page=True))

    def _again(self, window: Window, *, agreed: bool) -> _Task:
        """Ask a window once more, to check its pieces."""
        (seen,) = yield [window]
        seen.agreed = agreed
        self._ready.append(self._settle(seen, page=False))

    def _settle(self, seen: _Seen, *, page: bool, fruitless: int = 0) -> _Task:
        """Check a window whose answer is known by asking its pieces.

        Args:
            seen: The answer.
            page: Whether to ask by itself for what lies before the oldest row, which is what a newest-first cut hides.
            fruitless: How many cuts in a row have told nothing.
        """
        window = seen.window
        if window.start == window.stop or fruitless > FRUITLESS:
            yield from self._settle_otherwise(seen, level=0)
            return
        instants = sorted(seen.starts.values())
        fresh = page and self._known.cut_at == _NEVER and len(instants) <= SMALL
        full_second = None
        if not instants:
            pieces = _equal(window, 8 if self._known.uneven else 3)
        elif instants[0] == instants[-1]:
            full_second = _narrowed(seen, instants[0])
            pieces = _around(window, instants[0], parts=1 if fresh and self._wants_proof(full_second) else 2)
        else:
            pieces = _between(
                window, (_needle_first if fresh else _oldest_first if page else _halves)(window, instants)
            )
        told = yield pieces
        if _all_alike(seen, told):
            # Where instants are rounded, whatever lies near the rows is answered alike; what lies far from them tells.
            told, full_second = (yield _equal(window, 3)), None
            if _all_alike(seen, told):
                yield from self._settle_otherwise(seen, level=0)
                return
        more = set[str]().union(*(piece.beyond(seen) for piece in told))
        if more:
            yield from self._note_cut(seen, more)
        if full_second is not None:
            # The window's own answer is that second's, unless something hid behind it.
            self._ready.append(
                self._again(full_second.window, agreed=False) if more else self._settle_otherwise(full_second, 0)
            )
        elif fresh and instants and not more:
            self._known.probed = max(self._known.probed, *(piece.length for piece in told))
        believed: list[_Seen] = []
        for piece in told:
            lost = seen.within(piece.window) - piece.ids
            piece.lost = bool(lost)
            piece.agreed = not lost and not piece.beyond(seen)
            if piece.agreed and self._credible(piece, seen):
                believed.append(piece)
            else:
                vain = piece.agreed and piece.strange and piece.length >= seen.length
                self._check(
                    piece,
                    seen,
                    lost,
                    page=page and piece.window.start == window.start,
                    fruitless=fruitless + 1 if vain else 0,
                )
        yield from self._probe(believed)

    def _check(self, piece: _Seen, parent: _Seen, lost: Collection[str], *, page: bool, fruitless: int) -> None:
        """Leave a piece to be checked by pieces of its own."""
        for name in lost:
            piece.starts[name] = parent.starts[name]
            piece.ids.add(name)
        if lost and piece.rows:
            piece.rows = [*piece.rows, *(row for row in parent.rows if row.id in lost)]
        known = self._known
        below_limit = known.uniform and 0 < piece.length < known.cut_at and not self._is_full(piece.groups)
        # Where the same rows are missing from every long answer, one that holds others is not long.
        unfooled = known.doubt < _NEVER and bool(piece.beyond(parent))
        likely = (below_limit or unfooled) and not lost
        self._ready.append(self._spot_check(piece) if likely else self._settle(piece, page=page, fruitless=fruitless))

    def _spot_check(self, seen: _Seen) -> _Task:
        """Check a window that seems to be below the archive's limit by asking its older half alone."""
        window = seen.window
        if window.start < window.stop:
            instants = sorted(seen.starts.values())
            cut = (
                _median(instants) if instants and instants[0] < instants[-1] else (window.start + window.stop) // 2 + 1
            )
            half = Window(window.start, cut - 1, window.part)
            (told,) = yield [half]
            if told.beyond(seen) or seen.within(half) - told.ids:
                self._ready.append(self._settle(seen, page=False))
                return
        if self._known.uniform:
            self._trusted.append(_Taken(window, seen.length, seen.groups))

    def _credible(self, piece: _Seen, parent: _Seen) -> bool:
        """Whether a piece that agrees with its parent is short enough to be believed for that."""
        known = self._known
        if not piece.length:
            # Behind a limit that counts rows before they are filtered, nothing may have come of a full answer.
            return known.cut_at == _NEVER or bool(parent.within(piece.window)) or not parent.length
        if not (piece.length < parent.length or self._vouched(piece)):
            return False
        full = any(
            count >= known.group_limit and count >= parent.groups[group] for group, count in piece.groups.items()
        )
        return not full and piece.length < known.credible

    def _vouched(self, seen: _Seen) -> bool:
        """Whether an answer is so short that no limit can have cut it, as far as is known."""
        if seen.lost or self._may_be_cut(seen.length, seen.groups):
            return False
        return seen.length < self._known.longest or (_is_handful(seen) and not self._known.strange)

    def _may_be_cut(self, length: int, groups: Counter[str]) -> bool:
        """Whether answers of that length, or with as many rows of a group, are known to be cut."""
        return length >= min(self._known.cut_at, self._known.credible) or self._is_full(groups)

    def _is_full(self, groups: Counter[str]) -> bool:
        """Whether a group has as many rows as answers are known to be cut at, if a limit counts groups."""
        limit = self._known.group_limit
        return any(rows >= limit for rows in groups.values())

    def _wants_proof(self, seen: _Seen) -> bool:
        """Whether a full second would be believed for being a handful, more of them than are copies of one scene."""
        believed = _is_handful(seen) and not self._known.strange and not self._may_be_cut(seen.length, seen.groups)
        return believed and len(seen.ids) > TINY and self._known.longest <= seen.length

    def _note_cut(self, seen: _Seen, more: set[str]) -> _Task:
        """Remember how long an answer was that others found rows missing from, unless the catalogue has grown."""
        known = self._known
        known.cuts += 1
        known.longest_cut = max(known.longest_cut, seen.length)
        most = max(seen.groups.values(), default=0)
        learnt = seen.length < known.cut_at or most < known.group_cut_at or (seen.agreed and seen.length < known.doubt)
        if not learnt:
            return
        (again,) = yield [seen.window]
        if more <= again.ids:
            return
        known.cut_at = min(known.cut_at, seen.length)
        known.group_cut_at = min(known.group_cut_at, most)
        if seen.agreed:
            self._doubt(seen.length)

    def _doubt(self, length: int) -> None:
        """Believe no answer of this length any longer on agreement, and open those again that were."""
        known = self._known
        known.doubt = min(known.doubt, max(1, length))
        known.probed = int(min(known.probed, known.credible))
        while self._believed and -self._believed[0][0] >= known.credible:
            _, _, taken = heappop(self._believed)
            self._ready.append(self._again(taken.window, agreed=True))

    # -- needles -----------------------------------------------------------------------------------------------------

    def _probe(self, believed: list[_Seen]) -> _Task:
        """Ask needles inside pieces that are longer than any that needles have agreed with; keep what is believed.

        While such a probe is under way elsewhere, what is no longer is believed for the time being.
        """
        known = self._known
        long = [piece for piece in believed if piece.starts and piece.length > max(known.probed, self._probing)]
        if long:
            self._probing = max(piece.length for piece in long)
            fooled = yield from self._ask_needles(long)
            self._probing = 0
            if not fooled:
                known.probed = max(known.probed, *(piece.length for piece in long))
            elif self._believed and -self._believed[0][0] > known.probed:
                _, _, taken = heappop(self._believed)
                self._ready.append(self._probe_again(taken.window))
        for piece in believed:
            if piece.length >= known.credible:
                self._ready.append(self._settle(piece, page=False))
            elif piece.length:
                taken = _Taken(piece.window, piece.length, piece.groups)
                heappush(self._believed, (-piece.length, next(self._numbers), taken))

    def _probe_again(self, window: Window) -> _Task:
        """Probe what was believed while a probe was under way that has failed."""
        (seen,) = yield [window]
        seen.agreed = True
        yield from self._probe([seen])

    def _ask_needles(self, long: list[_Seen]) -> Generator[list[Window], list[_Seen], bool]:
        """Ask needles inside pieces; return whether they found what the pieces lack."""
        starts = {name: start for piece in long for name, start in piece.starts.items()}
        ids = set[str]().union(*(piece.ids for piece in long))
        needles = yield _needles(sorted(starts.values()), long[0].window.part)
        for needle in needles:
            missing = {name for name in needle.starts if name not in ids}
            if missing and (yield from self._note_fooled([*long, *needles], needle, missing)):
                return True
        return False

    def _note_fooled(
        self, answers: list[_Seen], needle: _Seen, missing: set[str]
    ) -> Generator[list[Window], list[_Seen], bool]:
        """A needle found more than answers around it: those were cut, unless the catalogue has grown."""
        cut = [seen for seen in answers if _covers(seen.window, needle.window) and missing - seen.ids]
        if not cut:
            return False
        shortest = min(cut, key=lambda seen: seen.length)
        (again,) = yield [shortest.window]
        if missing <= again.ids:
            return False
        self._known.cut_at = min(self._known.cut_at, shortest.length)
        self._doubt(shortest.length)
        return True

    # -- what time cannot part ---------------------------------------------------------------------------------------

    def _settle_otherwise(self, seen: _Seen, level: int) -> _Task:
        """Check what cannot be cut by time, a single second above all, by cutting it any other way."""
        if level == 0 and self._wants_proof(seen) and (yield from self._prove(seen)):
            self._ready.append(self._again(seen.window, agreed=False))
            return
        if self._take(seen):
            return
        window = seen.window
        ways = self._divide(window, seen.rows) if level < DEEPEST else ()
        for way in ways:
            told = yield [Window(window.start, window.stop, part) for part in way]
            covered = set[str]().union(*(part.ids for part in told))
            more, lost = set[str]().union(*(part.beyond(seen) for part in told)), set(seen.starts) - covered
            if more:
                yield from self._note_cut(seen, more)
            if not more and not lost and any(part.length >= seen.length for part in told):
                continue
            for part in told:
                part.agreed = not lost and not part.beyond(seen)
                if not (part.agreed and self._credible(part, seen)):
                    self._ready.append(self._settle_otherwise(part, level + 1))
            return
        if not seen.lost and not self._may_be_cut(seen.length, seen.groups):
            yield from self._calibrate(seen)
            if self._take(seen, handful=bool(seen.starts) or any(at < window.start for at in seen.outside.values())):
                return
        self._unsettled.append(window)

    def _take(self, seen: _Seen, *, handful: bool = False) -> bool:
        """Believe an answer for its length, if that may be; a handful also where the archive keeps to no window."""
        handful = handful and _is_handful(seen) and not seen.lost and not self._may_be_cut(seen.length, seen.groups)
        if not (handful or self._vouched(seen)):
            return False
        self._taken.append(_Taken(seen.window, seen.length, seen.groups))
        return True

    def _prove(self, seen: _Seen) -> Generator[list[Window], list[_Seen], bool]:
        """Ask one question more about a handful that fills a second; return whether that brought more rows."""
        window = seen.window
        way = next(iter(self._divide(window, seen.rows)), None)
        if not way:
            yield from self._calibrate(seen)
            return False
        (part,) = yield [Window(window.start, window.stop, way[0])]
        more = part.beyond(seen)
        if more:
            yield from self._note_cut(seen, more)
        return bool(more)

    def _calibrate(self, seen: _Seen) -> _Task:
        """Look around for an answer that is longer, or that lacks what belongs to it and so shows where answers end."""
        window = seen.window
        (around,) = yield [Window(window.start - CALIBRATION_SECONDS, window.stop + CALIBRATION_SECONDS, window.part)]
        if missing := seen.beyond(around):
            yield from self._note_cut(around, missing)


# --------------------------------------------------------------------------------------------------------------------


class _Taken(Struct, frozen=True):
    """An answer that was believed for its length."""

    window: Window
    length: int
    groups: Counter[str]


def _all_alike(seen: _Seen, told: Collection[_Seen]) -> bool:
    """Whether each piece of a window was answered just as the whole is, wherever it lies."""
    return any(piece.strange for piece in told) and all(piece.ids == seen.ids for piece in told)


def _is_handful(seen: _Seen) -> bool:
    return len(seen.ids) <= HANDFUL


def _around(window: Window, second: int, *, parts: int) -> list[Window]:
    """What lies before a second, in that many parts, and what lies after it."""
    span = second - window.start
    cuts = [window.start + span * number // parts for number in range(1, parts)]
    pieces = [*_between(Window(window.start, second - 1, window.part), cuts)] if span else []
    return [*pieces, Window(second + 1, window.stop, window.part)] if second < window.stop else pieces


# Ways to cut a window whose rows start at several seconds, which are given sorted: the seconds before which it is cut.


def _halves(_window: Window, instants: list[int]) -> list[int]:
    return [_median(instants)]


def _oldest_first(_window: Window, instants: list[int]) -> list[int]:
    """What lies before the oldest row, and the rest in halves."""
    return [instants[0], _median(instants)]


def _needle_first(window: Window, instants: list[int]) -> list[int]:
    """The oldest rows with what lies before them, which makes a needle of that piece, and the rest in halves."""
    oldest = max(1, min(NEEDLE, len(instants) // 3))
    first = bisect_right(instants, instants[oldest - 1])
    rest = instants[first:]
    if rest and rest[0] < rest[-1]:
        return [rest[0], _median(rest)]
    return [(window.start + instants[0]) // 2, _median(instants)]


def _equal(window: Window, count: int) -> list[Window]:
    span = window.stop - window.start + 1
    return _between(window, [window.start + span * number // count for number in range(1, count)])


def _between(window: Window, cuts: list[int]) -> list[Window]:
    """Cut a window before each of these seconds that is not its first."""
    edges = [window.start, *sorted({cut for cut in cuts if cut > window.start}), window.stop + 1]
    return [Window(start, stop - 1, window.part) for start, stop in pairwise(edges)]


def _median(instants: list[int]) -> int:
    """The second, not the first, before which about half of the sorted instants lie."""
    middle = len(instants) // 2
    value = instants[middle]
    before, after = bisect_left(instants, value), bisect_right(instants, value)
    if before == 0 or (after < len(instants) and after - middle < middle - before):
        return instants[after]
    return value


def _narrowed(seen: _Seen, second: int) -> _Seen:
    """The same answer, understood as that of the one second that all its rows share."""
    return replace(seen, window=Window(second, second, seen.window.part))


def _needles(instants: list[int], part: Any) -> list[Window]:
    """Sub-windows of a few rows, at several scales within each other, at two places."""
    total = len(instants)
    scales: list[tuple[int, float]] = []
    size = total // 8
    while size >= 4 * NEEDLE:
        scales.append((size, 1 / 3))
        size //= 8
    scales += [(2 * NEEDLE, 1 / 4), (2 * NEEDLE, 3 / 4), (NEEDLE, 1 / 2), (NEEDLE, 11 / 12)]
    windows: list[Window] = []
    for wanted, place in scales:
        rows = min(total, max(2, min(wanted, total // 2)))
        begin = max(0, min(int(total * place) - rows // 2, total - rows))
        window = Window(instants[begin], instants[begin + rows - 1], part)
        if window not in windows:
            windows.append(window)
    return windows


def _covers(outer: Window, inner: Window) -> bool:
    return outer.start <= inner.start and inner.stop <= outer.stop and outer.part == inner.part


def _joined(unsettled: Iterable[Window]) -> list[tuple[int, int]]:
    """First and last seconds of the stretches of time that windows cover together."""
    stretches: list[tuple[int, int]] = []
    for start, stop in sorted({(window.start, window.stop) for window in unsettled}):
        if stretches and stretches[-1][1] >= start - 1 and stop > start:
            stretches[-1] = (stretches[-1][0], max(stop, stretches[-1][1]))
        else:
            stretches.append((start, stop))
    return stretches


def _stretch(start: int, stop: int) -> str:
    return f"at {_instant(start)}" if start == stop else f"between {_instant(start)} and {_instant(stop)}"


def _instant(second: int) -> str:
    return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second):%Y-%m-%dT%H:%M:%SZ}"
