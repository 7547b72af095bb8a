"""Complete search over a catalogue that cuts long answers without saying so.

The service has no paging. An answer that would be too long is cut silently, newest first as far as is known, at no
fixed number: 256 rows came where 2,848 products were (saved answers of 2019), 401 elsewhere. What the limit counts (all
rows, those of a satellite, those before a filter) is not known either. So no answer is believed by itself.

A search ends when its root is covered by windows each of which is believed. The invariant:

    A window is believed only where (1) its answer is smaller, by every way of counting that may be the limit's, than
    another answer that came, and (2) another question of different size agrees with it.

(1) is a proof for any fixed limit and any choice of what it leaves out, see `limits`: what a limit cut is as large as
that limit lets through. (2) is the evidence against every other kind of limit, and shows where (1) does not hold: from
then on, (1) asks for much less than what was ever seen cut. What was believed is judged again, by all that has been
learnt, before the search ends, and asked anew where it no longer stands.

How windows are cut, so that the pieces become smaller than the whole:

*   By time, at the median of the starts seen, not in the middle of time: each half has room for what was hidden. What
    lies before the oldest row seen is a piece by itself, since it is all that a newest-first cut hides.
*   What time cannot part by space, satellite, sensor, product type and orbit direction. All tiles of a Sentinel-2
    datatake share one start, so a hundred rows in a second are nothing special.
*   What nothing parts is compared with the longest answer that ten years either way give. A `HANDFUL` that even that
    does not exceed is believed where nothing was ever seen cut; anything else is reported as unsettled.

Leaving out always the same rows from long answers could fool (2), since all long answers agree then. So believed pieces
that are longer than any that has passed yet must agree with needles, sub-windows of a few rows.

What counts is an answer's whole length, rows from outside its window and repetitions included: archives that round
instants, or give what overlaps, fill their answers with these. Where the pieces of a window are answered just as the
window is, wherever they lie, time is cut no further.

What no search can see through: a limit that counts rows before they are filtered, while the filter passes next to none
of them (`TINY`); and a limit of a handful of rows where all that the archive ever gives shares a second and a place.

Cost, in searches: 4 for an answer of up to 64 rows that was not cut, about 10 for 5,000; behind a limit of c about
3 n/c for n rows where the newest come, up to 6 n/c where any rows may be left out (measured with limits of 20 to 401 on
5,000 rows). Every piece is smaller than its window, so it ends; a catalogue that changes underneath, or a limit of next
to nothing, ends at `searches_allowed`.

The algorithm knows nothing of HTTP: it asks windows of time through a function and is handed rows.
"""

from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.complete_search import spans
from sedas_sync.archives.complete_search.cap_model import NEVER, TINY, CapModel, Size, len_of
from sedas_sync.archives.complete_search.questions import (
    SMALL,
    Answer,
    AnswerRow,
    Ask,
    Divide,
    SeenRows,
    Spread,
    Workers,
    look,
)
from sedas_sync.archives.complete_search.spans import NEAR, Window
from sedas_sync.errors import ArchiveError, IncompleteSearch

__all__ = ["NEAR", "Answer", "AnswerRow", "CapModel", "Cost", "Window", "complete"]

FRUITLESS = 6
"""How often in a row a piece may be answered with nothing but what its window was, before time is cut no further."""
CALIBRATION_SECONDS = 3650 * 86400
"""How far around a full second it is looked for an answer that is longer."""
EARLIEST = 946_684_800
"""2000-01-01: the earliest instant that the service is known to be asked for (saved searches of 2019)."""
DEEPEST = 40
"""Cuts of one second within each other."""
SHOWN_WINDOWS = 3


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
    spread: Spread = lambda _window, _rows: [],
    divide: Divide = lambda _window, _rows: (),
    knowledge: CapModel | None = None,
    workers: int = 4,
    stopped: Callable[[], bool] = lambda: False,
    allowed: Callable[[int], int] = searches_allowed,
    cost: Cost | None = None,
    found: set[str] | None = None,
) -> Iterator[AnswerRow]:
    """Yield every row whose start lies in `root`, each id once, as they are found.

    Args:
        ask: Answers one question; called from several threads.
        root: What to search.
        spread: Cuts by space.
        divide: Cuts by anything else.
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
        spread,
        divide,
        CapModel() if knowledge is None else knowledge,
        allowed,
        Cost() if cost is None else cost,
        set() if found is None else found,
    )
    return search.run(Workers(ask, workers), stopped)


# --------------------------------------------------------------------------------------------------------------------


_Task = Generator[list[Window], list[SeenRows], None]


class _Pending(Struct, eq=False):
    """A task that waits for the answers to its questions."""

    task: _Task
    windows: list[Window]
    answers: list[SeenRows | None]
    open: int


class _Believed(Struct, frozen=True):
    """A window that was believed, to be judged again by what is learnt later."""

    window: Window
    size: Size
    handful: bool = False
    """Whether for being a handful, while nothing had been cut."""
    below: bool = False
    """Whether for being below a limit that seemed to be known."""

    def stands(self, known: CapModel) -> bool:
        """Whether the reason for which it was believed still holds."""
        if self.handful and not known.cuts:
            return True
        return known.whole(self.size) and (known.settled or not self.below)


class _Search:
    """One search: tasks that ask for windows and are resumed with the answers, and what has been found so far."""

    def __init__(
        self,
        root: Window,
        spread: Spread,
        divide: Divide,
        knowledge: CapModel,
        allowed: Callable[[int], int],
        cost: Cost,
        found: set[str],
    ) -> None:
        self._root = root
        self._spread = spread
        self._divide = divide
        self._known = knowledge
        self._allowed = allowed
        self._cost = cost
        self._found = found
        self._believed: list[_Believed] = []
        self._unsettled: list[Window] = []
        self._spent = False
        self._probing = 0
        """Rows of the longest piece that needles are under way in."""
        self._ready: list[_Task] = []

    # -- running the tasks -------------------------------------------------------------------------------------------

    def run(self, workers: Workers, stopped: Callable[[], bool]) -> Iterator[AnswerRow]:
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
                    self._judge_again()
                    waiting += self._run_ready(workers)
        finally:
            workers.close()
        if self._unsettled or self._spent or self._hopeless:
            raise IncompleteSearch(self._shortfall())

    def _judge_again(self) -> None:
        """Open again what was believed for a reason that no longer holds."""
        doubtful = [believed for believed in self._believed if not believed.stands(self._known)]
        if doubtful:
            self._believed = [believed for believed in self._believed if believed.stands(self._known)]
            self._ready += [self._again(believed.window) for believed in doubtful]

    def _advance(self, workers: Workers, task: _Task, told: list[SeenRows] | None) -> int:
        """Resume a task and start those it leaves behind; return how many questions that put."""
        return self._step(workers, task, told) + self._run_ready(workers)

    def _run_ready(self, workers: Workers) -> int:
        asked = 0
        while self._ready:
            asked += self._step(workers, self._ready.pop(), None)
        return asked

    def _step(self, workers: Workers, task: _Task, told: list[SeenRows] | None) -> int:
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

    def _look(self, window: Window, answer: Answer) -> SeenRows:
        seen = look(window, answer)
        self._cost.rows += len(answer.rows)
        self._known.hear(seen.size, strange=seen.strange)
        return seen

    def _fresh(self, answer: Answer) -> Iterator[AnswerRow]:
        for row in answer.rows:
            if row.id in self._found:
                continue
            if row.start is None or self._root.start <= row.start <= self._root.stop:
                self._found.add(row.id)
                yield row

    @property
    def _hopeless(self) -> bool:
        return self._known.shortest_cut <= TINY

    def _shortfall(self) -> str:
        if self._spent:
            return (
                f"the search is incomplete: {len(self._found)} scenes were found, and after {self._cost.searches} "
                "questions the archive's answers still did not agree with each other"
            )
        if not self._unsettled:
            return (
                f"the search is incomplete: the archive cut answers of {self._known.shortest_cut:.0f} scenes, so that "
                "it seems to count what a filter then hides; fewer filters or a smaller AOI may get everything"
            )
        stretches = spans.stretches(self._unsettled)
        shown = ", ".join(stretches[:SHOWN_WINDOWS])
        more = f" and {len(stretches) - SHOWN_WINDOWS} more" if len(stretches) > SHOWN_WINDOWS else ""
        return (
            f"the search is incomplete: more scenes may start {shown}{more} than the archive gives in one answer; "
            "a smaller AOI or a narrower dataset may get them"
        )

    # -- what time parts ---------------------------------------------------------------------------------------------

    def _begin(self) -> _Task:
        (seen,) = yield [self._root]
        self._ready.append(self._settle(seen, page=True))

    def _again(self, window: Window) -> _Task:
        """Ask a window once more, to check its pieces."""
        (seen,) = yield [window]
        self._ready.append(self._settle(seen, page=False))

    def _settle(self, seen: SeenRows, *, page: bool, fruitless: int = 0) -> _Task:
        """Check a window whose answer is known by asking its pieces.

        Args:
            seen: The answer.
            page: Whether to ask by itself for what lies before the oldest row, which is what a newest-first cut hides.
            fruitless: How many cuts in a row have told nothing.
        """
        window = seen.window
        if window.start == window.stop or fruitless > FRUITLESS:
            yield from self._settle_otherwise(seen)
            return
        instants = sorted(seen.starts.values())
        fresh = page and not self._known.cuts and len(instants) <= SMALL
        second = instants[0] if instants and instants[0] == instants[-1] else None
        if fresh and second is not None and not self._known.whole(seen.size):
            yield from self._settle_crowd(seen, second)
            return
        told = yield self._pieces(seen, instants, fresh=fresh, page=page)
        if _all_alike(seen, told):
            # Where instants are rounded, whatever lies near the rows is answered alike; what lies far from them tells.
            told, second = (yield spans.equal(window, 3)), None
            if _all_alike(seen, told):
                yield from self._settle_otherwise(seen)
                return
        more = set[str]().union(*(piece.beyond(seen) for piece in told))
        if more:
            yield from self._note_cut(seen, more)
        elif fresh and instants and second is None:
            self._known.probed = max(self._known.probed, *(piece.length for piece in told))
        if second is not None:
            # The window's own answer is that second's, unless something hid behind it.
            crowd = spans.crowd(window, second)
            narrowed = replace(seen, window=crowd)
            self._ready.append(self._again(crowd) if more else self._settle(narrowed, page=False))
        yield from self._sort_out(seen, told, page=page, fruitless=fruitless)

    def _settle_crowd(self, seen: SeenRows, second: int) -> _Task:
        """Check a window whose rows share a second, while nothing has been cut, with as few questions as may be."""
        window, crowd = seen.window, spans.crowd(seen.window, second)
        areas = self._spread(window, seen.rows)
        if areas:
            rest = Window(crowd.start, window.stop)
            told = yield [*spans.before(window, crowd.start), *(replace(rest, part=area) for area in areas)]
        elif around := [*spans.before(window, crowd.start), *spans.after(window, crowd.stop)]:
            told = yield around
        else:
            told = []
        if any(piece.strange for piece in told):
            self._ready.append(self._settle(seen, page=False))
            return
        more = set[str]().union(*(piece.beyond(seen) for piece in told))
        if more:
            yield from self._note_cut(seen, more)
        if not areas:
            narrowed = replace(seen, window=crowd)
            yield from self._calibrate(narrowed)
            if more or not self._take(narrowed, handful=True):
                self._ready.append(self._settle(narrowed, page=False))
        yield from self._sort_out(seen, told, page=True, fruitless=0)

    def _pieces(self, seen: SeenRows, instants: list[int], *, fresh: bool, page: bool) -> list[Window]:
        """Cut a window; where all its rows share a second, into what lies around that."""
        window = seen.window
        if not instants:
            return spans.equal(window, 8 if self._known.uneven else 3)
        if instants[0] == instants[-1]:
            crowd = spans.crowd(window, instants[0])
            return [*spans.before(window, crowd.start, parts=2), *spans.after(window, crowd.stop)]
        if not fresh:
            return spans.between(window, spans.oldest_first(instants) if page else [spans.median(instants)])
        cuts = spans.parting(window.start, instants, self._full_groups(seen))
        areas = self._spread(window, seen.rows) if cuts is None else None
        if areas:
            oldest = spans.before(window, instants[0])
            return [*oldest, *(replace(window, part=area) for area in areas)]
        return spans.between(window, cuts or spans.needle_first(window.start, instants))

    def _full_groups(self, seen: SeenRows) -> list[list[int]]:
        """Starts of the rows of each group that may be as large as a limit lets through."""
        ways = self._known.full_ways(seen.size)
        groups: dict[tuple[int, Any], list[int]] = {}
        for row in seen.rows:
            if row.id in seen.starts:
                for way in ways:
                    key = row.groups if way == 1 else None if way == 0 else row.groups[way - 2]
                    groups.setdefault((way, key), []).append(seen.starts[row.id])
        return [sorted(group) for (way, _), group in groups.items() if len(group) >= seen.size[way]]

    def _sort_out(self, seen: SeenRows, told: list[SeenRows], *, page: bool, fruitless: int) -> _Task:
        """Believe the pieces of a window that may be believed, and have the others checked."""
        believed: list[SeenRows] = []
        for piece in told:
            together = [other for other in told if other.window.start <= piece.window.start <= other.window.stop]
            lost = seen.within(piece.window).difference(*(other.ids for other in together))
            piece.lost = bool(lost)
            piece.agreed = not lost and not piece.beyond(seen)
            if piece.agreed and self._credible(piece, seen):
                believed.append(piece)
                continue
            if len(together) == 1:
                piece.recall(lost, seen)
            in_vain = 0
            if piece.agreed and piece.length >= seen.length:
                in_vain = FRUITLESS + 1 if piece.window.part != seen.window.part else fruitless + piece.strange
            self._check(piece, seen, page=page and piece.window.start == seen.window.start, fruitless=in_vain)
        yield from self._probe(believed)

    def _check(self, piece: SeenRows, parent: SeenRows, *, page: bool, fruitless: int) -> None:
        """Leave a piece to be checked by pieces of its own."""
        known = self._known
        below_limit = known.settled and bool(piece.size) and known.whole(piece.size)
        # Where the same rows are missing from every long answer, one that holds others is not long.
        unfooled = known.doubt < NEVER and bool(piece.beyond(parent))
        crowded = len(piece.starts) > len(set(piece.starts.values())) == 1
        likely = (below_limit or unfooled) and not (piece.lost or crowded)
        self._ready.append(self._spot_check(piece) if likely else self._settle(piece, page=page, fruitless=fruitless))

    def _spot_check(self, seen: SeenRows) -> _Task:
        """Check a window that seems to be below the archive's limit by asking its older half alone."""
        window = seen.window
        if window.start < window.stop:
            instants = sorted(seen.starts.values())
            cut = (
                spans.median(instants)
                if instants and instants[0] < instants[-1]
                else (window.start + window.stop) // 2 + 1
            )
            half = Window(window.start, cut - 1, window.part)
            (told,) = yield [half]
            if told.beyond(seen) or seen.within(half) - told.ids:
                self._ready.append(self._settle(seen, page=False))
                return
        if self._known.settled:
            self._believed.append(_Believed(window, seen.size, below=True))

    def _credible(self, piece: SeenRows, parent: SeenRows) -> bool:
        """Whether a piece that agrees with its parent is small enough to be believed for that."""
        if not piece.size and not parent.size:
            return True
        # A row from just outside, come because the ends are asked for generously, is not one that fills the window.
        leaked = piece.few and not (piece.starts or piece.strange)
        return self._known.whole(piece.size) or (not self._known.cuts and (leaked or len(piece.ids) == 1))

    def _note_cut(self, seen: SeenRows, more: set[str]) -> _Task:
        """Remember how large an answer was that others found rows missing from, unless the catalogue has grown."""
        # While full answers are known by their size, it is no surprise that two of them agreed.
        fooled = seen.agreed and not (self._known.regular and not self._known.whole(seen.size))
        if self._known.teaches(seen.size, fooled=fooled):
            (again,) = yield [seen.window]
            if not more <= again.ids:
                self._known.learn_cut(seen.size, fooled=fooled)

    # -- needles -----------------------------------------------------------------------------------------------------

    def _probe(self, agreeing: list[SeenRows]) -> _Task:
        """Ask needles inside pieces that are longer than any that needles have agreed with; keep what is believed.

        While such a probe is under way elsewhere, what is no longer is believed for the time being.
        """
        known = self._known
        long = [
            piece
            for piece in agreeing
            if piece.length > max(known.probed, self._probing) and len(set(piece.starts.values())) > 1
        ]
        if long:
            self._probing = max(piece.length for piece in long)
            fooled = False
            rest = long
            while rest and not fooled:
                alike = [piece for piece in rest if piece.window.part == rest[0].window.part]
                rest = [piece for piece in rest if piece.window.part != rest[0].window.part]
                fooled = yield from self._ask_needles(alike)
            self._probing = 0
            if not fooled:
                known.probed = max(known.probed, *(piece.length for piece in long))
            else:
                self._judge_again()
                self._probe_longest()
        for piece in agreeing:
            if not known.regular and piece.length >= known.credible:
                self._ready.append(self._settle(piece, page=False))
            elif piece.size:
                self._believed.append(_Believed(piece.window, piece.size, handful=not known.whole(piece.size)))

    def _probe_longest(self) -> None:
        """Probe what was believed while a probe was under way that has failed."""
        longest = max(self._believed, key=lambda believed: len_of(believed.size), default=None)
        if longest is not None and len_of(longest.size) > self._known.probed:
            self._believed.remove(longest)
            self._ready.append(self._probe_again(longest.window))

    def _probe_again(self, window: Window) -> _Task:
        (seen,) = yield [window]
        seen.agreed = True
        yield from self._probe([seen])

    def _ask_needles(self, long: list[SeenRows]) -> Generator[list[Window], list[SeenRows], bool]:
        """Ask needles inside pieces, narrowed alike; return whether they found what the pieces lack."""
        starts = {name: start for piece in long for name, start in piece.starts.items()}
        ids = set[str]().union(*(piece.ids for piece in long))
        needles = yield spans.needles(sorted(starts.values()), long[0].window.part)
        for needle in needles:
            missing = {name for name in needle.starts if name not in ids}
            if missing and (yield from self._note_fooled([*long, *needles], needle)):
                return True
        return False

    def _note_fooled(self, answers: list[SeenRows], needle: SeenRows) -> Generator[list[Window], list[SeenRows], bool]:
        """A needle found more than answers around it: those were cut, unless the catalogue has grown."""
        cut = [(seen.length, place) for place, seen in enumerate(answers) if needle.beyond(seen)]
        if not cut:
            return False
        shortest = answers[min(cut)[1]]
        (again,) = yield [shortest.window]
        if needle.beyond(shortest) <= again.ids:
            return False
        self._known.learn_cut(shortest.size, fooled=True)
        return True

    # -- what time cannot part ---------------------------------------------------------------------------------------

    def _settle_otherwise(self, seen: SeenRows, level: int = 0) -> _Task:
        """Check what cannot be cut by time, a single second above all, by cutting it any other way."""
        if self._take(seen):
            return
        calibrated = not self._known.cuts
        if calibrated:
            yield from self._calibrate(seen)
            if self._take(seen, handful=True):
                return
        window = seen.window
        for way in self._ways(seen) if level < DEEPEST else ():
            told = yield [replace(window, part=part) for part in way]
            covered = set[str]().union(*(part.ids for part in told))
            more, lost = set[str]().union(*(part.beyond(seen) for part in told)), set(seen.starts) - covered
            if more:
                yield from self._note_cut(seen, more)
            if not more and not lost and any(part.length >= seen.length for part in told):
                continue
            for part in told:
                part.agreed = not lost and not part.beyond(seen)
                if part.agreed and self._credible(part, seen):
                    handful = not self._known.whole(part.size)
                    self._believed.append(_Believed(part.window, part.size, handful=handful))
                else:
                    self._ready.append(self._settle_otherwise(part, level + 1))
            return
        if not calibrated:
            yield from self._calibrate(seen)
            if self._take(seen, handful=True):
                return
        self._unsettled.append(window)

    def _ways(self, seen: SeenRows) -> Iterator[list[Any]]:
        areas = self._spread(seen.window, seen.rows)
        if areas:
            yield areas
        yield from self._divide(seen.window, seen.rows)

    def _take(self, seen: SeenRows, *, handful: bool = False) -> bool:
        """Believe an answer that nothing parts: for its size, or a handful for being one."""
        if seen.lost or not seen.ids:
            return not seen.lost
        if self._known.whole(seen.size):
            self._believed.append(_Believed(seen.window, seen.size))
            return True
        # Where windows are not kept to, what lies after this one alone may be all that came of a full answer.
        placed = bool(seen.starts) or any(start < seen.window.start for start in seen.outside.values())
        if not (handful and seen.few and placed and not self._known.cuts):
            return False
        self._believed.append(_Believed(seen.window, seen.size, handful=True))
        return True

    def _calibrate(self, seen: SeenRows) -> _Task:
        """Look far around for an answer that is longer, or that lacks what belongs to it and so shows a limit."""
        window = seen.window
        start = min(window.start, max(EARLIEST, window.start - CALIBRATION_SECONDS))
        (around,) = yield [Window(start, window.stop + CALIBRATION_SECONDS, window.part)]
        if missing := seen.beyond(around):
            yield from self._note_cut(around, missing)
        if more := around.beyond(seen):
            seen.lost = True
            yield from self._note_cut(seen, more)


# --------------------------------------------------------------------------------------------------------------------


def _all_alike(seen: SeenRows, told: Collection[SeenRows]) -> bool:
    """Whether each piece of a window was answered just as the whole is, wherever it lies."""
    return any(piece.strange for piece in told) and all(piece.ids == seen.ids for piece in told)
