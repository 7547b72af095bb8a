"""Splits of windows."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sedas_sync.archives.complete_search import windows
from sedas_sync.archives.complete_search.windows import Window

SECONDS = st.integers(0, 10_000)
STARTS = st.lists(SECONDS, min_size=2, max_size=80).map(sorted).filter(lambda starts: starts[0] < starts[-1])


def seconds_of(pieces):
    """Return the seconds that pieces cover, in order; a second that two pieces cover is there twice."""
    return [second for piece in pieces for second in range(piece.start, piece.stop + 1)]


@given(SECONDS, SECONDS, st.lists(SECONDS))
def test_pieces_cover_the_window_once(a, b, cuts):
    window = Window(min(a, b), max(a, b), "part")
    pieces = windows.split(window, [cut for cut in cuts if cut <= window.stop])
    assert seconds_of(pieces) == list(range(window.start, window.stop + 1))
    assert {piece.part for piece in pieces} == {"part"}


@given(SECONDS, SECONDS, SECONDS)
def test_before_and_after_a_second_cover_the_rest(a, b, c):
    start, second, stop = sorted((a, b, c))
    window = Window(start, stop)
    for pieces in (1, 2):
        parts = [*windows.before(window, second, pieces=pieces), *windows.after(window, second)]
        assert seconds_of(parts) == [other for other in range(start, stop + 1) if other != second]


@given(STARTS)
def test_median_leaves_rows_on_both_sides(starts):
    cut = windows.median(starts)
    assert starts[0] < cut <= starts[-1]


@given(SECONDS, STARTS)
def test_pages_before_the_oldest_row_are_a_little_shorter_than_the_answer(first, starts):
    starts = [start + 5000 for start in starts]
    cuts = windows.pages(first, starts)
    assert all(first < cut < starts[0] for cut in cuts)
    assert len(cuts) <= windows.PAGES
    lengths = {later - earlier for earlier, later in pairwise(sorted(cuts))}
    assert len(lengths) <= 1
    assert all(0 < length < starts[-1] - starts[0] for length in lengths)


@given(STARTS)
def test_no_row_is_next_to_a_cut_if_there_is_room(starts):
    cut = windows.median(starts)
    below, above = max(one for one in starts if one < cut), min(one for one in starts if one >= cut)
    assert above - below < 4 or (cut - below > windows.NEAR and above - cut >= windows.NEAR)


@given(STARTS, STARTS)
def test_group_is_split(others, group):
    cuts = windows.split_groups(0, sorted([*others, *group]), [group])
    assert cuts is not None
    assert any(group[0] < cut <= group[-1] for cut in cuts)


def test_group_in_one_second_cannot_be_split():
    assert windows.split_groups(0, [5, 5, 5, 9, 20, 30], [[5, 5, 5]]) is None


@given(STARTS)
def test_samples_lie_inside_and_hold_few_rows(starts):
    for sample in windows.samples(starts, None):
        assert starts[0] <= sample.start <= sample.stop <= starts[-1]


def test_periods_are_described_together():
    day = 86_400
    assert windows.describe([Window(0, day - 1), Window(day, 2 * day), Window(9 * day, 9 * day)]) == [
        "between 1970-01-01T00:00:00Z and 1970-01-03T00:00:00Z",
        "at 1970-01-10T00:00:00Z",
    ]
