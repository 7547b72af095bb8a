"""Checks of windows: what to query next, and which windows to accept.

Each check is a generator that yields windows and receives their answers (`Queries`). It ends by accepting windows, by
adding checks of smaller windows, or by giving a window up. The rules are those of the package's docstring.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.complete_search import windows
from sedas_sync.archives.complete_search.answers import SMALL, Queries, SplitArea, SplitOtherwise, WindowAnswer
from sedas_sync.archives.complete_search.cap_model import NEVER, CapModel, Counts, total
from sedas_sync.archives.complete_search.samples import samples_disagree
from sedas_sync.archives.complete_search.windows import Window

Check = Queries[None]

MOST_USELESS_SPLITS = 6
"""After so many splits in a row by which a piece got the same answer as its window, time does not split it further."""
COMPARED_SECONDS = 3650 * 86400
"""How far around a full second to look for a longer answer."""
EARLIEST = 946_684_800
"""2000-01-01: the earliest time that the service is known to accept (saved searches of 2019)."""
MOST_SPLITS_OF_A_SECOND = 40


class AcceptedWindow(Struct, frozen=True):
    """A window that was accepted, to be judged again by what is learnt later."""

    window: Window
    counts: Counts
    handful: bool = False
    """Whether it was accepted because it has a handful of rows while no answer was cut."""
    below_cap: bool = False
    """Whether it was accepted because it is below a cap that seemed to be known."""

    def holds(self, model: CapModel) -> bool:
        """Return whether the reason to accept it still holds."""
        if self.handful and not model.cuts:
            return True
        return model.is_complete(self.counts) and (model.is_known or not self.below_cap)


class WindowChecks:
    """All checks of one search.

    Args:
        model: What is known of the cap; the checks add to it.
        split_area: Splits windows by area.
        split_otherwise: Splits windows by anything else.
    """

    def __init__(self, model: CapModel, split_area: SplitArea, split_otherwise: SplitOtherwise) -> None:
        self.ready: list[Check] = []
        """Checks to start, last first."""
        self.accepted: list[AcceptedWindow] = []
        self.unresolved: list[Window] = []
        """Windows that can be neither accepted nor split."""
        self._model = model
        self._split_area = split_area
        self._split_otherwise = split_otherwise
        self._sampling = 0
        """Rows of the longest answer that samples are under way for."""

    def begin(self, root: Window) -> None:
        """Check the whole search."""
        self.ready.append(self._query(root, page=True))

    def judge_again(self) -> None:
        """Query windows again that were accepted for a reason that no longer holds (rule 5)."""
        doubtful = [accepted for accepted in self.accepted if not accepted.holds(self._model)]
        if doubtful:
            self.accepted = [accepted for accepted in self.accepted if accepted.holds(self._model)]
            self.ready += [self._query(accepted.window) for accepted in doubtful]

    def _query(self, window: Window, *, page: bool = False) -> Check:
        (answer,) = yield [window]
        self.ready.append(self._check(answer, page=page))

    # -- splits by time ----------------------------------------------------------------------------------------------

    def _check(self, answer: WindowAnswer, *, page: bool, useless: int = 0) -> Check:
        """Check an answer by querying pieces of its window.

        Args:
            answer: The answer.
            page: Whether the time before the oldest row becomes a piece of its own, as a newest-first cut hides that.
            useless: The number of splits in a row that had no effect.
        """
        window = answer.window
        if window.start == window.stop or useless > MOST_USELESS_SPLITS:
            yield from self._check_without_time(answer)
            return
        starts = sorted(answer.starts.values())
        first_look = page and not self._model.cuts and len(starts) <= SMALL
        second = starts[0] if starts and starts[0] == starts[-1] else None
        if first_look and second is not None and not self._model.is_complete(answer.counts):
            yield from self._check_crowded_second(answer, second)
            return
        pieces = yield self._pieces(answer, starts, first_look=first_look, page=page)
        if _all_alike(answer, pieces):
            # If the archive rounds times, all windows near the rows get the same answer. Those far away do not.
            pieces, second = (yield windows.split_equally(window, 3)), None
            if _all_alike(answer, pieces):
                yield from self._check_without_time(answer)
                return
        missing = set[str]().union(*(piece.missing_in(answer) for piece in pieces))
        if missing:
            yield from self._confirm_cut(answer, missing)
        elif first_look and starts and second is None:
            self._model.longest_sampled = max(self._model.longest_sampled, *(piece.length for piece in pieces))
        if second is not None:
            # The answer of the window is that of the second as well, unless rows were hidden behind it.
            crowd = windows.around(window, second)
            narrowed = replace(answer, window=crowd)
            self.ready.append(self._query(crowd) if missing else self._check(narrowed, page=False))
        yield from self._judge_pieces(answer, pieces, page=page, useless=useless)

    def _check_crowded_second(self, answer: WindowAnswer, second: int) -> Check:
        """Check a window whose rows share a second, with as few queries as possible, while no answer was cut."""
        window, crowd = answer.window, windows.around(answer.window, second)
        areas = self._split_area(window, answer.rows)
        if areas:
            rest = Window(crowd.start, window.stop)
            pieces = yield [*windows.before(window, crowd.start), *(replace(rest, part=area) for area in areas)]
        elif sides := [*windows.before(window, crowd.start), *windows.after(window, crowd.stop)]:
            pieces = yield sides
        else:
            pieces = []
        if any(piece.ignores_window for piece in pieces):
            self.ready.append(self._check(answer, page=False))
            return
        missing = set[str]().union(*(piece.missing_in(answer) for piece in pieces))
        if missing:
            yield from self._confirm_cut(answer, missing)
        if not areas:
            narrowed = replace(answer, window=crowd)
            yield from self._compare_with_years(narrowed)
            if missing or not self._accept(narrowed, handful=True):
                self.ready.append(self._check(narrowed, page=False))
        yield from self._judge_pieces(answer, pieces, page=True, useless=0)

    def _pieces(self, answer: WindowAnswer, starts: list[int], *, first_look: bool, page: bool) -> list[Window]:
        """Split a window; if all its rows share a second, return what is around that second."""
        window = answer.window
        if not starts:
            return windows.split_equally(window, 8 if self._model.varies else 3)
        if starts[0] == starts[-1]:
            crowd = windows.around(window, starts[0])
            return [*windows.before(window, crowd.start, pieces=2), *windows.after(window, crowd.stop)]
        if not first_look:
            if not page:
                return windows.split(window, [windows.median(starts)])
            pages = windows.pages(window.start, starts) if self._model.is_known else []
            return windows.split(window, [*pages, *windows.oldest_and_median(starts)])
        cuts = windows.split_groups(window.start, starts, _full_groups(self._model, answer))
        areas = self._split_area(window, answer.rows) if cuts is None else None
        if areas:
            oldest = windows.before(window, starts[0])
            return [*oldest, *(replace(window, part=area) for area in areas)]
        return windows.split(window, cuts or windows.sample_and_median(window.start, starts))

    # -- pieces of a window ------------------------------------------------------------------------------------------

    def _judge_pieces(self, answer: WindowAnswer, pieces: list[WindowAnswer], *, page: bool, useless: int) -> Check:
        """Accept the pieces that agree with their window and are small enough; check the others."""
        acceptable: list[WindowAnswer] = []
        for piece in pieces:
            same_time = [other for other in pieces if other.window.start <= piece.window.start <= other.window.stop]
            lost = answer.ids_in(piece.window).difference(*(other.ids for other in same_time))
            piece.incomplete = bool(lost)
            piece.confirmed = not lost and not piece.missing_in(answer)
            if piece.confirmed and self._is_small_enough(piece, answer):
                acceptable.append(piece)
                continue
            if len(same_time) == 1:
                piece.add(lost, answer)
            next_useless = 0
            if piece.confirmed and piece.length >= answer.length:
                by_time = piece.window.part == answer.window.part
                next_useless = useless + piece.ignores_window if by_time else MOST_USELESS_SPLITS + 1
            next_page = page and piece.window.start == answer.window.start
            self._check_piece(piece, answer, page=next_page, useless=next_useless)
        yield from self._test_by_samples(acceptable)

    def _check_piece(self, piece: WindowAnswer, parent: WindowAnswer, *, page: bool, useless: int) -> None:
        model = self._model
        below_cap = model.is_known and bool(piece.counts) and model.is_complete(piece.counts)
        # If long answers always lack the same rows, an answer that has others is not long.
        not_misled = model.shortest_misleading < NEVER and bool(piece.missing_in(parent))
        crowded = len(piece.starts) > len(set(piece.starts.values())) == 1
        likely_complete = (below_cap or not_misled) and not (piece.incomplete or crowded)
        self.ready.append(
            self._check_older_half(piece) if likely_complete else self._check(piece, page=page, useless=useless)
        )

    def _check_older_half(self, answer: WindowAnswer) -> Check:
        """Check a window that seems to be below the cap by querying only its older half."""
        window = answer.window
        if window.start < window.stop:
            starts = sorted(answer.starts.values())
            can_split = bool(starts) and starts[0] < starts[-1]
            cut = windows.median(starts) if can_split else (window.start + window.stop) // 2 + 1
            half = Window(window.start, cut - 1, window.part)
            (older,) = yield [half]
            if older.missing_in(answer) or answer.ids_in(half) - older.ids:
                self.ready.append(self._check(answer, page=False))
                return
        if self._model.is_known:
            self.accepted.append(AcceptedWindow(window, answer.counts, below_cap=True))

    def _is_small_enough(self, piece: WindowAnswer, parent: WindowAnswer) -> bool:
        """Return whether a piece that agrees with its parent is small enough to be accepted."""
        if not piece.counts and not parent.counts:
            return True
        # A row just outside appears because queries exceed their windows. It does not fill the piece.
        only_neighbours = piece.is_handful and not (piece.starts or piece.ignores_window)
        one_row = len(piece.ids) == 1
        return self._model.is_complete(piece.counts) or (not self._model.cuts and (only_neighbours or one_row))

    def _confirm_cut(self, answer: WindowAnswer, missing: set[str]) -> Check:
        """Record that an answer was cut because it lacks rows, unless the catalogue has grown."""
        # While the cap is known by its size, two full answers are expected to agree.
        misleading = answer.confirmed and not (self._model.may_be_fixed and not self._model.is_complete(answer.counts))
        if self._model.would_learn_from_cut(answer.counts, misleading=misleading):
            (again,) = yield [answer.window]
            if not missing <= again.ids:
                self._model.observe_cut(answer.counts, misleading=misleading)

    # -- samples -----------------------------------------------------------------------------------------------------

    def _test_by_samples(self, acceptable: list[WindowAnswer]) -> Check:
        """Accept answers. Those that are longer than any that was sampled must agree with samples first (rule 9).

        While samples of a longer answer are under way in another check, shorter answers are accepted for the moment.
        """
        model = self._model
        sampled = max(model.longest_sampled, self._sampling)
        long = [piece for piece in acceptable if piece.length > sampled and len(set(piece.starts.values())) > 1]
        if long:
            self._sampling = max(piece.length for piece in long)
            disagree = False
            rest = long
            while rest and not disagree:
                same_part = [piece for piece in rest if piece.window.part == rest[0].window.part]
                rest = [piece for piece in rest if piece.window.part != rest[0].window.part]
                disagree = yield from samples_disagree(model, same_part)
            self._sampling = 0
            if not disagree:
                model.longest_sampled = max(model.longest_sampled, *(piece.length for piece in long))
            else:
                self.judge_again()
                self._sample_longest()
        for piece in acceptable:
            if not model.may_be_fixed and piece.length >= model.safe_length:
                self.ready.append(self._check(piece, page=False))
            elif piece.counts:
                handful = not model.is_complete(piece.counts)
                self.accepted.append(AcceptedWindow(piece.window, piece.counts, handful=handful))

    def _sample_longest(self) -> None:
        """Sample what was accepted while samples were under way that disagreed."""
        longest = max(self.accepted, key=lambda accepted: total(accepted.counts), default=None)
        if longest is not None and total(longest.counts) > self._model.longest_sampled:
            self.accepted.remove(longest)
            self.ready.append(self._sample_again(longest.window))

    def _sample_again(self, window: Window) -> Check:
        (answer,) = yield [window]
        answer.confirmed = True
        yield from self._test_by_samples([answer])

    # -- rows that time cannot split ---------------------------------------------------------------------------------

    def _check_without_time(self, answer: WindowAnswer, level: int = 0) -> Check:
        """Check a window that time cannot split, such as one second, by splitting it any other way (rules 7 and 8)."""
        if self._accept(answer):
            return
        compared = not self._model.cuts
        if compared:
            yield from self._compare_with_years(answer)
            if self._accept(answer, handful=True):
                return
        window = answer.window
        for parts in self._other_splits(answer) if level < MOST_SPLITS_OF_A_SECOND else ():
            pieces = yield [replace(window, part=part) for part in parts]
            covered = set[str]().union(*(piece.ids for piece in pieces))
            missing = set[str]().union(*(piece.missing_in(answer) for piece in pieces))
            lost = answer.starts.keys() - covered
            if missing:
                yield from self._confirm_cut(answer, missing)
            if not missing and not lost and any(piece.length >= answer.length for piece in pieces):
                continue
            for piece in pieces:
                piece.confirmed = not lost and not piece.missing_in(answer)
                if piece.confirmed and self._is_small_enough(piece, answer):
                    handful = not self._model.is_complete(piece.counts)
                    self.accepted.append(AcceptedWindow(piece.window, piece.counts, handful=handful))
                else:
                    self.ready.append(self._check_without_time(piece, level + 1))
            return
        if not compared:
            yield from self._compare_with_years(answer)
            if self._accept(answer, handful=True):
                return
        self.unresolved.append(window)

    def _other_splits(self, answer: WindowAnswer) -> Iterator[list[Any]]:
        areas = self._split_area(answer.window, answer.rows)
        if areas:
            yield areas
        yield from self._split_otherwise(answer.window, answer.rows)

    def _accept(self, answer: WindowAnswer, *, handful: bool = False) -> bool:
        """Accept an answer for its size, or as a handful. Return whether its window needs no further check."""
        if answer.incomplete or not answer.ids:
            return not answer.incomplete
        if self._model.is_complete(answer.counts):
            self.accepted.append(AcceptedWindow(answer.window, answer.counts))
            return True
        # If the archive ignores windows, rows after this one may be all that remains of a full answer.
        in_place = bool(answer.starts) or any(start < answer.window.start for start in answer.outside.values())
        if not (handful and answer.is_handful and in_place and not self._model.cuts):
            return False
        self.accepted.append(AcceptedWindow(answer.window, answer.counts, handful=True))
        return True

    def _compare_with_years(self, answer: WindowAnswer) -> Check:
        """Look for an answer that is longer, or that lacks rows and so shows a cap, ten years before and after."""
        window = answer.window
        start = min(window.start, max(EARLIEST, window.start - COMPARED_SECONDS))
        (years,) = yield [Window(start, window.stop + COMPARED_SECONDS, window.part)]
        if missing := answer.missing_in(years):
            yield from self._confirm_cut(years, missing)
        if missing := years.missing_in(answer):
            answer.incomplete = True
            yield from self._confirm_cut(answer, missing)


def _all_alike(answer: WindowAnswer, pieces: list[WindowAnswer]) -> bool:
    """Return whether each piece has the same answer as the window, wherever the piece lies."""
    return any(piece.ignores_window for piece in pieces) and all(piece.ids == answer.ids for piece in pieces)


def _full_groups(model: CapModel, answer: WindowAnswer) -> list[list[int]]:
    """Return the starts of the rows of each group that may have reached the cap."""
    ways = model.full_ways(answer.counts)
    groups: dict[tuple[int, Any], list[int]] = {}
    for row in answer.rows:
        if row.id in answer.starts:
            for way in ways:
                key = row.attributes if way == 1 else None if way == 0 else row.attributes[way - 2]
                groups.setdefault((way, key), []).append(answer.starts[row.id])
    return [sorted(group) for (way, _), group in groups.items() if len(group) >= answer.counts[way]]
