"""No cap hides a scene without notice: random catalogues with all kinds of caps, compared with all rows.

This holds for caps of ten rows or more, because a handful of rows that nothing splits is accepted.
"""

import random
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sedas_sync.archives.complete_search.answers import AnswerRow
from sedas_sync.archives.complete_search.cap_model import HANDFUL
from sedas_sync.archives.complete_search.search import complete
from sedas_sync.archives.complete_search.windows import Window
from sedas_sync.errors import IncompleteSearch

BEGIN = 1_556_582_400  # 2019-04-30
YEAR = 365 * 86_400
GROUPS = (("A", "optical"), ("B", "optical"), ("C", "sar"))


@dataclass
class CappedArchive:
    """An archive on a line. An `item` is (west, east), a `part` is {"area": (west, east), "satellite": name}."""

    rows: list[AnswerRow]
    cap: int | None = None
    counted: int | None = None
    """The attribute by which the cap counts; None: all rows."""
    order: str = "newest"
    grain: int = 1
    """Windows are widened to multiples of so many seconds."""
    lasting: int = 0
    """Seconds that a scene takes. All scenes that overlap a window are returned."""
    times: int = 1
    """How often each row is returned."""
    growing: AnswerRow | None = None
    """A row that is in the catalogue from the third query on."""
    asked: int = 0
    cut: bool = False
    seed: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(5))

    def ask(self, window: Window) -> list[AnswerRow]:
        self.asked += 1
        there = self.rows + ([self.growing] if self.growing and self.asked > 2 else [])
        start, stop = window.start - window.start % self.grain - self.lasting, window.stop
        stop += self.grain - 1 - stop % self.grain
        part = window.part or {}
        west, east = part.get("area", (0.0, 1.0))
        rows = [
            row
            for row in there
            if start <= row.start <= stop
            and row.item[0] <= east
            and row.item[1] >= west
            and part.get("satellite", row.attributes[0]) == row.attributes[0]
        ]
        return self.capped([row for row in rows for _ in range(self.times)])

    def capped(self, rows: list[AnswerRow]) -> list[AnswerRow]:
        match self.order:
            case "newest":
                rows = sorted(rows, key=lambda row: row.start, reverse=True)
            case "oldest":
                rows = sorted(rows, key=lambda row: row.start)
            case "stable":
                rows = sorted(rows, key=lambda row: hash((self.seed, row.item, row.start)))
            case "random":
                self._random.shuffle(rows)
        if self.cap is None:
            return rows
        given, counts = [], Counter[Any]()
        for row in rows:
            key = None if self.counted is None else row.attributes[self.counted]
            counts[key] += 1
            if counts[key] <= self.cap:
                given.append(row)
        self.cut |= len(given) < len(rows)
        return given


def split_area(window: Window, rows: Any) -> list[Any]:
    part = window.part or {}
    west, east = part.get("area", (0.0, 1.0))
    edges = sorted({edge for row in rows for edge in row.item if west < edge < east})
    best, fewest = None, len(rows)
    for line in ((a + b) / 2 for a, b in zip([west, *edges], [*edges, east], strict=True)):
        most = max(sum(row.item[0] <= line for row in rows), sum(row.item[1] >= line for row in rows))
        if most < fewest and west < line < east:
            best, fewest = line, most
    return [] if best is None else [{**part, "area": (west, best)}, {**part, "area": (best, east)}]


def split_otherwise(window: Window, _rows: Any) -> list[list[Any]]:
    part = window.part or {}
    return [] if "satellite" in part else [[{**part, "satellite": name} for name, _ in GROUPS]]


def search(archive: CappedArchive, span: int = YEAR) -> tuple[set[str], int, str | None]:
    """Return the rows found, the number of queries, and the error."""
    found, shortfall = [], None
    window = Window(BEGIN, BEGIN + span)
    rows = complete(archive.ask, window, split_area=split_area, split_otherwise=split_otherwise, threads=1)
    try:
        deque((found.append(row.id) for row in rows), maxlen=0)
    except IncompleteSearch as error:
        shortfall = str(error)
    assert len(found) == len(set(found)), "a scene was yielded twice"
    return set(found), archive.asked, shortfall


def tiles(count: int, *, start: int = BEGIN + 5000, width: float = 0.02) -> list[AnswerRow]:
    return [AnswerRow(f"tile{n}", start, GROUPS[0], (n / count, min(1.0, n / count + width))) for n in range(count)]


@st.composite
def archives(draw: st.DrawFn) -> CappedArchive:
    dice = random.Random(draw(st.integers(0, 2**20)))
    count = draw(st.integers(0, 120))
    span = draw(st.sampled_from([60, 86_400, YEAR]))
    seconds = draw(st.sampled_from([None, 1, 2, 4, 30]))
    instants = [BEGIN + dice.randrange(span) for _ in range(seconds or count)]
    groups = GROUPS[: draw(st.integers(1, 3))]
    side_by_side = draw(st.booleans())
    rows = []
    for number in range(count):
        west = number / count if side_by_side else dice.choice([0.4, dice.random()])
        start = dice.choice(instants) if seconds else instants[number]
        rows.append(AnswerRow(f"id{number}", start, dice.choice(groups), (west, min(1.0, west + 0.03))))
    loose = draw(st.booleans())
    return CappedArchive(
        rows,
        cap=draw(st.none() | st.integers(HANDFUL + 1, 60)),
        counted=draw(st.sampled_from([None, 0, 1])),
        order=draw(st.sampled_from(["newest", "oldest", "stable", "random"])),
        grain=draw(st.sampled_from([1, 60, 86_400])) if loose else 1,
        lasting=draw(st.sampled_from([0, 25])) if loose else 0,
        times=draw(st.sampled_from([1, 2])) if loose else 1,
        growing=draw(st.none() | st.just(AnswerRow("new", BEGIN + 30, GROUPS[0], (0.5, 0.52)))),
        seed=dice.randrange(1000),
    )


@given(archives())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_search_finds_every_scene_or_reports_that_it_did_not(archive):
    found, _, shortfall = search(archive)
    assert shortfall or found >= {row.id for row in archive.rows}


@given(archives())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_uncut_answers_are_complete_if_places_differ(archive):
    archive.cap = archive.growing = None
    archive.grain = archive.times = 1
    archive.rows = [replace(row, item=((n + 0.4) / 200, (n + 0.6) / 200)) for n, row in enumerate(archive.rows)]
    found, _, shortfall = search(archive)
    assert shortfall is None
    assert len(found) == len(archive.rows)


@pytest.mark.parametrize("count", [2, 9, 10, 12, 30, 48, 64])
def test_uncut_tiles_of_one_second_take_four_queries(count):
    found, searches, shortfall = search(CappedArchive(tiles(count)))
    assert (len(found), shortfall) == (count, None)
    assert searches <= 4


@pytest.mark.parametrize("order", ["newest", "oldest", "stable", "random"])
@pytest.mark.parametrize("cap", [10, 12, 25])
def test_cap_of_each_satellite_hides_nothing_of_a_crowded_second(cap, order):
    others = [AnswerRow(f"other{n}", BEGIN + 5000 + n % 2, GROUPS[n % 3], (n / 60, n / 60 + 0.02)) for n in range(60)]
    found, _, shortfall = search(CappedArchive([*tiles(40), *others], cap, counted=0, order=order))
    assert (len(found), shortfall) == (100, None)


def test_group_in_one_piece_of_time_is_split():
    early = [AnswerRow(f"early{n}", BEGIN + 100 * n, GROUPS[0], (0.4, 0.5)) for n in range(25)]
    late = [AnswerRow(f"late{n}", BEGIN + YEAR // 2 + 100 * n, GROUPS[2], (0.4, 0.5)) for n in range(25)]
    found, searches, shortfall = search(CappedArchive([*early, *late]))
    assert (len(found), shortfall) == (50, None)
    assert searches <= 4


def test_handful_is_compared_with_ten_years():
    here = [AnswerRow(f"here{n}", BEGIN + 5000, GROUPS[0], (0.4, 0.5)) for n in range(20)]
    long_ago = [AnswerRow(f"then{n}", BEGIN - 5 * YEAR + 100 * n, GROUPS[0], (0.4, 0.5)) for n in range(40)]
    found, searches, shortfall = search(CappedArchive([*here[:5], *long_ago]))
    assert (len(found), searches, shortfall) == (5, 4, None)
    found, _, shortfall = search(CappedArchive([*here, *long_ago], 9, order="oldest"))
    assert shortfall is not None


def test_new_rows_of_a_second_in_the_comparison_show_that_it_was_cut():
    archive = CappedArchive(
        [AnswerRow(f"same{n}", BEGIN + 5000, GROUPS[0], (0.4, 0.5)) for n in range(30)], 5, order="random"
    )
    _, _, shortfall = search(archive)
    assert shortfall is not None


@pytest.mark.parametrize("seed", range(6))
def test_caps_that_change_hide_nothing_of_a_crowded_second(seed):
    dice = random.Random(seed)
    archive = CappedArchive([*tiles(25), *tiles_over_an_hour(25)])
    whole = archive.capped

    def capped(rows: list[AnswerRow]) -> list[AnswerRow]:
        archive.cap = dice.randint(19, 24)
        return whole(rows)

    archive.capped = capped
    found, _, shortfall = search(archive)
    assert shortfall or len(found) == 50


def tiles_over_an_hour(count: int) -> list[AnswerRow]:
    dice = random.Random(3)
    return [AnswerRow(f"hour{n}", BEGIN + dice.randrange(3600), dice.choice(GROUPS), (0.4, 0.5)) for n in range(count)]
