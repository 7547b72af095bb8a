"""The complete search in catalogues in memory, with all kinds of caps, compared with all rows."""

import random
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from typing import Any

import pytest
from effort import effort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sedas_sync.archives.complete_search.answers import AnswerRow
from sedas_sync.archives.complete_search.cap_model import HANDFUL, CapModel
from sedas_sync.archives.complete_search.search import complete
from sedas_sync.archives.complete_search.windows import Window
from sedas_sync.errors import ArchiveError, IncompleteSearch

BEGIN = 1_556_582_400  # 2019-04-30
YEAR = 365 * 86_400


@cache
def luck(*parts: object) -> float:
    """Return a number in [0, 1) that depends only on the arguments."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=6).digest(), "big") / 2**48


@dataclass(frozen=True)
class Place:
    """The extent of a row's footprint on a line."""

    west: float
    east: float


@dataclass
class Catalogue:
    """An archive in memory. The `part` of a window is {"area": (west, east), "satellite": name}."""

    rows: list[AnswerRow]
    cap: int | None = None
    rule: str = "newest"
    visible: Callable[[AnswerRow], bool] = lambda _row: True
    asked: list[Window] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rows = sorted(self.rows, key=self.start)

    @staticmethod
    def start(row: AnswerRow) -> int:
        return row.start

    def ask(self, window: Window) -> list[AnswerRow]:
        self.asked.append(window)
        part = window.part or {}
        west, east = part.get("area", (0.0, 1.0))
        first = bisect_left(self.rows, window.start, key=self.start)
        rows = [
            row
            for row in self.rows[first : bisect_right(self.rows, window.stop, key=self.start)]
            if part.get("satellite", row.attributes[0]) == row.attributes[0]
            and (row.item is None or (row.item.west <= east and row.item.east >= west))
        ]
        return [row for row in self.cut(rows, window) if self.visible(row)]

    def cut(self, rows: list[AnswerRow], window: Window) -> list[AnswerRow]:
        rows = sorted(rows, key=lambda row: (row.start, row.id), reverse=True)
        cap = self.cap
        if self.rule == "satellite" and cap is not None:
            groups = sorted({row.attributes for row in rows})
            return [row for group in groups for row in [row for row in rows if row.attributes == group][:cap]]
        if cap is None or len(rows) <= cap:
            return rows
        match self.rule:
            case "newest":
                return rows[:cap]
            case "oldest":
                return rows[-cap:]
            case "arbitrary":
                return sorted(rows, key=lambda row: luck(row.id))[:cap]
            case "capricious":
                return sorted(rows, key=lambda row: luck(row.id, window.start, window.stop))[:cap]
            case "missing":
                return [row for row in rows if luck(row.id) >= 0.3]
        raise AssertionError(self.rule)


def split_area(window: Window, rows: Any) -> list[Any]:
    """Split the line so that neither side has all rows."""
    part = window.part or {}
    places = [row.item for row in rows if row.item is not None]
    if len(places) == len(rows) and places:
        west, east = part.get("area", (0.0, 1.0))
        edges = sorted({edge for place in places for edge in (place.west, place.east) if west < edge < east})
        lines = [(a + b) / 2 for a, b in zip([west, *edges], [*edges, east], strict=True)]
        most = {line: max(sum(p.west <= line for p in places), sum(p.east >= line for p in places)) for line in lines}
        best = min(lines, key=most.__getitem__)
        if most[best] < len(places) and west < best < east:
            return [{**part, "area": (west, best)}, {**part, "area": (best, east)}]
    return []


def split_otherwise(window: Window, _rows: Any) -> Iterator[list[Any]]:
    """Split by satellite."""
    part = window.part or {}
    if "satellite" not in part:
        yield [{**part, "satellite": name} for name in ("A", "B", "C")]


def spread(count: int, *, seed: int = 1, span: int = YEAR) -> list[AnswerRow]:
    """Return rows at random times, of three satellites."""
    dice = random.Random(seed)
    return [AnswerRow(f"id{n}", BEGIN + dice.randrange(span), ("ABC"[n % 3],), None) for n in range(count)]


@dataclass
class Outcome:
    found: list[str]
    searches: int
    shortfall: str | None


def search(catalogue: Catalogue, *, model: CapModel | None = None, span: int = YEAR, threads: int = 1) -> Outcome:
    found: list[str] = []
    shortfall = None
    window = Window(BEGIN, BEGIN + span)
    try:
        rows = complete(
            catalogue.ask, window, split_area=split_area, split_otherwise=split_otherwise, model=model, threads=threads
        )
        deque((found.append(row.id) for row in rows), maxlen=0)  # rows before an error count
    except IncompleteSearch as error:
        shortfall = str(error)
    assert len(found) == len(set(found)), "a scene was yielded twice"
    return Outcome(found, len(catalogue.asked), shortfall)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5, 20, 60])
def test_short_uncut_answer_takes_at_most_four_queries(count):
    outcome = search(Catalogue(spread(count)))
    assert len(outcome.found) == count
    assert outcome.searches <= 4
    assert outcome.shortfall is None


def test_long_uncut_answer_takes_few_queries():
    outcome = search(Catalogue(spread(5000)))
    assert len(outcome.found) == 5000
    assert outcome.searches <= 10


BOUNDS = {"newest": 3.2, "oldest": 4.5, "arbitrary": 6, "capricious": 6, "satellite": 2.5, "missing": 7}
"""Queries in units of n/c for small caps, and a dozen more for the start."""


@pytest.mark.parametrize("cap", effort([20, 401], [20, 50, 256, 401]))
@pytest.mark.parametrize("rule", BOUNDS)
def test_everything_behind_a_cap_is_found_at_a_bounded_cost(rule, cap):
    outcome = search(Catalogue(spread(5000), cap, rule))
    assert len(outcome.found) == 5000
    assert outcome.shortfall is None
    assert outcome.searches <= BOUNDS[rule] * 5000 / cap + 12


def test_most_rows_are_sent_only_once_or_twice_if_the_newest_remain():
    sent = 0

    class Counted(Catalogue):
        def ask(self, window: Window) -> list[AnswerRow]:
            nonlocal sent
            answer = super().ask(window)
            sent += len(answer)
            return answer

    outcome = search(Counted(spread(20_000), 401))
    assert outcome.shortfall is None
    assert len(outcome.found) == 20_000
    assert sent < 1.8 * 20_000


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_cap_that_counts_rows_before_they_are_filtered(share):
    rows = spread(5000)
    catalogue = Catalogue(rows, 256, visible=lambda row: luck("cloud", row.id) < share)
    outcome = search(catalogue)
    assert set(outcome.found) == {row.id for row in rows if catalogue.visible(row)}
    assert outcome.searches <= 7 * 5000 / 256


@pytest.mark.parametrize("seed", range(5))
def test_cap_that_counts_rows_a_filter_then_removes_is_noticed(seed):
    rows = spread(3000, seed=seed)
    catalogue = Catalogue(rows, 100, visible=lambda row: luck(seed, row.id) < 0.05)
    outcome = search(catalogue)
    assert outcome.shortfall or set(outcome.found) == {row.id for row in rows if catalogue.visible(row)}


def test_next_search_uses_what_the_first_one_learnt():
    model = CapModel()
    catalogue = Catalogue(spread(2000), 50, "missing")
    first = search(catalogue, model=model)
    catalogue.asked.clear()
    second = search(catalogue, model=model)
    assert len(first.found) == len(second.found) == 2000
    assert second.searches < first.searches


def clump(count: int, *, satellite: str = "A", width: float = 0.01) -> list[AnswerRow]:
    """Return rows in one second, side by side."""
    return [
        AnswerRow(f"tile{n}", BEGIN + 1000, (satellite,), Place(n / count, n / count + width)) for n in range(count)
    ]


@pytest.mark.parametrize("rule", ["newest", "arbitrary", "capricious"])
def test_tiles_that_share_a_second_are_split_by_area(rule):
    rows = clump(90) + [replace(row, item=Place(0.2, 0.3)) for row in spread(300)]
    outcome = search(Catalogue(rows, 20, rule))
    assert set(outcome.found) == {row.id for row in rows}
    assert outcome.shortfall is None


def test_rows_that_share_a_second_and_a_place_are_split_by_satellite():
    rows = [AnswerRow(f"{name}{n}", BEGIN + 1000, (name,), Place(0, 1)) for name in "ABC" for n in range(15)]
    outcome = search(Catalogue(rows + [replace(row, item=Place(0, 1)) for row in spread(200)], 20))
    assert len(outcome.found) == 245
    assert outcome.shortfall is None


def test_second_that_nothing_splits_is_reported():
    rows = [AnswerRow(f"same{n}", BEGIN + 1000, ("A",), Place(0, 1)) for n in range(30)]
    outcome = search(Catalogue(rows, 20))
    assert len(outcome.found) == 20
    assert outcome.shortfall is not None
    assert "2019-04-30T00:16:40Z" in outcome.shortfall


def test_crowded_second_is_accepted_if_other_answers_are_longer():
    rows = [AnswerRow(f"same{n}", BEGIN + 1000, ("A",), Place(0, 1)) for n in range(6)]
    around = [AnswerRow(f"later{n}", BEGIN + 1000 + 3600 * n, ("A",), Place(0, 1)) for n in range(1, 40)]
    catalogue = Catalogue(rows + around)
    found = list(
        complete(catalogue.ask, Window(BEGIN, BEGIN + 2000), split_area=split_area, split_otherwise=split_otherwise)
    )
    assert len(found) == 6, "rows of the wider query are not part of the result"


def test_rows_outside_the_window_or_without_a_start_do_no_harm():
    timeless = [AnswerRow(f"timeless{n}", None, ("A",), None) for n in range(3)]
    outside = [AnswerRow("before", BEGIN - 500, ("A",), None), AnswerRow("after", BEGIN + 2 * YEAR, ("A",), None)]
    rows = spread(300)

    def ask(window: Window) -> list[AnswerRow]:
        inside = [row for row in rows if window.start <= row.start <= window.stop]
        return [*inside[-50:], *timeless, *outside]

    found = {row.id for row in complete(ask, Window(BEGIN, BEGIN + YEAR), threads=1)}
    assert found == {row.id for row in [*rows, *timeless]}


def test_search_of_a_catalogue_that_always_changes_ends():
    dice = random.Random(7)
    number = iter(range(10**9))

    def ask(window: Window) -> list[AnswerRow]:
        return [
            AnswerRow(f"new{next(number)}", dice.randint(window.start, window.stop), ("A",), None) for _ in range(5)
        ]

    with pytest.raises(IncompleteSearch, match="did not agree"):
        list(complete(ask, Window(BEGIN, BEGIN + YEAR), allowed=lambda _found: 300, threads=1))
    assert next(number) <= 300 * 5


def test_scene_published_during_the_search_is_not_taken_for_a_cut():
    rows = spread(20)
    model = CapModel()
    asked = 0

    def ask(window: Window) -> list[AnswerRow]:
        nonlocal asked
        asked += 1
        there = rows if asked == 1 else [*rows, AnswerRow("published", BEGIN + 77, ("A",), None)]
        return [row for row in there if window.start <= row.start <= window.stop]

    found = [row.id for row in complete(ask, Window(BEGIN, BEGIN + YEAR), model=model, threads=1)]
    assert sorted(found) == sorted([*(row.id for row in rows), "published"])
    assert not model.cuts


def test_failed_query_ends_the_search():
    catalogue = Catalogue(spread(2000), 50)

    def ask(window: Window) -> list[AnswerRow]:
        if len(catalogue.asked) == 9:
            raise ArchiveError("down")
        return catalogue.ask(window)

    with pytest.raises(ArchiveError, match="down"):
        list(complete(ask, Window(BEGIN, BEGIN + YEAR), threads=1))
    assert len(catalogue.asked) == 9


def test_several_queries_are_sent_at_the_same_time():
    rows = spread(20)
    meeting = threading.Barrier(3, timeout=30)

    def ask(window: Window) -> list[AnswerRow]:
        if window != Window(BEGIN, BEGIN + YEAR):
            meeting.wait()
        return [row for row in rows if window.start <= row.start <= window.stop]

    assert len(list(complete(ask, Window(BEGIN, BEGIN + YEAR), threads=3))) == 20


DAY = 86_400


@dataclass
class Loose(Catalogue):
    """A catalogue that uses another period than the window: `reach` returns it."""

    reach: Callable[[Window], tuple[int, int]] = lambda window: (window.start, window.stop)

    def ask(self, window: Window) -> list[AnswerRow]:
        self.asked.append(window)
        start, stop = self.reach(window)
        return self.cut([row for row in self.rows if start <= row.start <= stop], window)


def rounded(grain: int) -> Callable[[Window], tuple[int, int]]:
    """Widen windows to multiples of so many seconds."""
    return lambda window: (window.start - window.start % grain, window.stop - window.stop % grain + grain - 1)


def overlapping(length: int) -> Callable[[Window], tuple[int, int]]:
    """Return all scenes that overlap the window; each takes so many seconds."""
    return lambda window: (window.start - length, window.stop)


def everything(_window: Window) -> tuple[int, int]:
    return 0, 2**40


def regular(number: int, step: int) -> list[AnswerRow]:
    return [AnswerRow(f"id{n}", BEGIN + n * step, ("AB"[n % 2],), None) for n in range(number)]


@pytest.mark.parametrize("rule", ["newest", "oldest", "arbitrary", "capricious"])
@pytest.mark.parametrize(
    ("rows", "cap", "reach"),
    [
        (regular(60, DAY // 10), 5, rounded(DAY)),
        (regular(60, DAY // 10), 20, rounded(DAY)),
        (regular(180, DAY // 30), 5, rounded(DAY)),
        (regular(180, DAY // 30), 20, rounded(DAY)),
        (regular(100, 6), 8, rounded(60)),
        (regular(80, DAY // 4), 10, overlapping(30 * 3600)),
        (regular(60, 1), 10, overlapping(20)),
        (regular(60, 1), 25, overlapping(20)),
        (regular(50, DAY), 20, everything),
    ],
)
def test_answers_full_of_rows_outside_the_window_never_count_as_short(rows, cap, reach, rule):
    outcome = search(Loose(rows, cap, rule, reach=reach))
    assert outcome.shortfall or len(outcome.found) == len(rows)
    assert outcome.searches <= 500 + 2 * len(rows)


@pytest.mark.parametrize("rule", ["newest", "oldest"])
def test_rounding_to_days_hides_nothing_if_the_cap_exceeds_two_days(rule):
    outcome = search(Loose(regular(60, DAY // 10), 21, rule, reach=rounded(DAY)))
    assert outcome.shortfall is None
    assert len(outcome.found) == 60


@pytest.mark.parametrize("number", [0, 1, 4, 9])
def test_few_scenes_of_an_archive_that_ignores_windows_are_complete_and_cheap(number):
    outcome = search(Loose(regular(number, DAY), reach=everything))
    assert outcome.shortfall is None
    assert len(outcome.found) == number
    assert outcome.searches <= 11


def test_archive_that_ignores_windows_may_have_cut_what_it_always_answers():
    outcome = search(Loose(regular(50, DAY), 20, reach=everything))
    assert outcome.shortfall is not None
    assert "between 2019-04-30T00:00:00Z and 2020-04-29T00:00:00Z" in outcome.shortfall
    assert outcome.searches <= 12


def test_row_after_the_window_does_not_prove_completeness():
    rows = [*regular(3, DAY), AnswerRow("later", BEGIN + 3 * YEAR, ("A",), None)]
    assert search(Loose(rows, 1, reach=everything)).shortfall is not None


@pytest.mark.parametrize("number", [10, 20, 60])
def test_uncut_answers_of_whole_days_take_four_queries(number):
    outcome = search(Loose(regular(number, DAY // 2), reach=rounded(DAY)))
    assert (len(outcome.found), outcome.shortfall) == (number, None)
    assert outcome.searches <= 4


@pytest.mark.parametrize("times", [2, 12, 13, 40])
@pytest.mark.parametrize("number", [1, 2, 20])
def test_repeated_rows_are_yielded_once(number, times):
    outcome = search(Repeating(spread(number), times=times))
    assert (len(outcome.found), outcome.shortfall) == (number, None)
    assert outcome.searches <= 4


@pytest.mark.parametrize("cap", [9, 20, 22])
@pytest.mark.parametrize("times", [2, 3, 20])
def test_repeated_rows_behind_a_cap_are_found_or_reported(times, cap):
    outcome = search(Repeating(spread(40), cap, times=times))
    assert outcome.shortfall or len(outcome.found) == 40


@dataclass
class Repeating(Catalogue):
    """A catalogue that repeats each row. Its cap counts repetitions."""

    times: int = 1

    def cut(self, rows: list[AnswerRow], window: Window) -> list[AnswerRow]:
        rows = sorted(rows, key=lambda row: (row.start, row.id), reverse=True)
        return [row for row in rows for _ in range(self.times)][: self.cap]


@pytest.mark.parametrize("number", range(1, HANDFUL + 1))
def test_handful_in_one_second_is_accepted_within_four_queries(number):
    rows = [AnswerRow(f"same{n}", BEGIN + 1000, ("A",), Place(0, 1)) for n in range(number)]
    outcome = search(Catalogue(rows))
    assert (len(outcome.found), outcome.shortfall) == (number, None)
    assert outcome.searches <= 4


def test_handful_is_not_accepted_if_answers_of_its_length_were_cut():
    rows = [AnswerRow(f"same{n}", BEGIN + 1000, ("A",), Place(0, 1)) for n in range(9)]
    outcome = search(Catalogue([*rows, *(replace(row, item=Place(0, 1)) for row in spread(60))], 5))
    assert outcome.shortfall is not None
    assert "at 2019-04-30T00:16:40Z" in outcome.shortfall


def test_handful_is_not_accepted_if_a_part_of_the_area_has_more():
    rows = clump(30)
    outcome = search(Catalogue(rows, 6))
    assert outcome.shortfall or len(outcome.found) == 30
    assert len(outcome.found) > 6


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    count = draw(st.integers(0, 160))
    span = draw(st.sampled_from([3, 60, 86_400, YEAR]))
    dice = random.Random(draw(st.integers(0, 2**16)))
    clumps = draw(st.sampled_from([None, 1, 4, 30]))
    instants = [BEGIN + dice.randrange(span) for _ in range(clumps or count)]
    tight = draw(st.booleans())
    rows = []
    for number in range(count):
        west = 0.0 if tight and dice.random() < 0.3 else dice.random()
        start = dice.choice(instants) if clumps else instants[number]
        rows.append(AnswerRow(f"id{number}", start, (dice.choice("ABC"),), Place(west, min(1.0, west + 0.05))))
    cap = draw(st.one_of(st.none(), st.integers(HANDFUL + 1, 60)))  # a handful that nothing splits is accepted
    return Catalogue(rows, cap, draw(st.sampled_from(["newest", "oldest", "arbitrary", "capricious", "satellite"])))


@given(catalogues())
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_search_finds_all_rows_or_reports_that_it_did_not(catalogue):
    outcome = search(catalogue)
    everything = {row.id for row in catalogue.rows}
    assert set(outcome.found) <= everything
    if outcome.shortfall is None:
        assert set(outcome.found) == everything
    assert outcome.searches <= 60 + 20 * len(everything) / (catalogue.cap or 60)


@given(catalogues())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_search_is_complete_if_every_second_can_be_split(catalogue):
    """If no place has more than a few rows in one second, splits by area are enough."""
    rows = [
        replace(row, item=Place((number + 0.4) / 200, (number + 0.6) / 200))
        for number, row in enumerate(catalogue.rows)
    ]
    outcome = search(Catalogue(rows, catalogue.cap, catalogue.rule))
    assert outcome.shortfall is None
    assert set(outcome.found) == {row.id for row in rows}


@pytest.mark.parametrize("share", [0.25, 0.4, 0.55])
@pytest.mark.parametrize("cap", [20, 50, 120])
@pytest.mark.parametrize("seed", range(3))
def test_rows_that_are_always_left_out_of_long_answers_are_found(seed, cap, share):
    rows = spread(1200, seed=seed)
    catalogue = Catalogue(rows, cap)
    catalogue.cut = lambda found, _window: (
        found if len(found) <= cap else [row for row in found if luck(seed, row.id) >= share]
    )
    assert len(search(catalogue).found) == 1200
