"""What answers show about a cap."""

import pytest

from sedas_sync.archives.complete_search.cap_model import CUTS_THAT_PROVE_A_CAP, CapModel, count_rows


def rows(**satellites):
    """Return the counts of an answer with so many rows of each satellite."""
    return count_rows((name,) for name, number in satellites.items() for _ in range(number))


def test_rows_are_counted_in_all_ways():
    assert count_rows([("A", "x"), ("A", "y"), ("A", "y"), ("B", "y")]) == (4, 2, 3, 3)
    assert count_rows([]) == ()


def test_answer_is_complete_if_it_is_smaller_than_another_by_every_way_of_counting():
    model = CapModel()
    model.observe(rows(A=30, B=30))
    assert model.is_complete(rows(A=20, B=20))
    assert not model.is_complete(rows(A=30)), "a cap of each satellite may have cut it"
    model.observe(rows(A=31))
    assert model.is_complete(rows(A=30))


def test_way_of_counting_is_ruled_out_by_a_cut_of_a_smaller_answer():
    model = CapModel()
    model.observe(rows(A=30))
    model.observe(rows(A=15, B=15, C=15))
    for _ in range(CUTS_THAT_PROVE_A_CAP):
        model.observe_cut(rows(A=30), misleading=False)
    assert model.possible_ways == [1, 2], "45 rows came in another answer, so the cap does not count all rows"
    assert model.is_complete(rows(A=29, B=29))


def test_cap_is_known_after_a_few_cuts_of_one_size():
    model = CapModel()
    for number in range(CUTS_THAT_PROVE_A_CAP):
        assert model.is_known is False, number
        model.observe(rows(A=20))
        model.observe_cut(rows(A=20), misleading=False)
    assert model.is_known
    assert model.is_complete(rows(A=19))
    assert model.is_complete(())


def test_without_a_fixed_cap_only_much_shorter_answers_are_complete():
    model = CapModel()
    model.observe(rows(A=100))
    for number in (40, 60, 80):
        model.observe(rows(A=number))
        model.observe_cut(rows(A=number), misleading=False)
    assert not model.may_be_fixed
    assert not model.is_complete(rows(A=30))
    assert model.is_complete(rows(A=29))
    model.observe_cut(rows(A=50), misleading=True)
    assert not model.is_complete(rows(A=13))
    assert model.is_complete(rows(A=12))


@pytest.mark.parametrize(("counts", "misleading", "news"), [(20, False, False), (19, False, True), (20, True, True)])
def test_a_cut_is_news_if_it_is_shorter_or_misleading(counts, misleading, news):
    model = CapModel()
    for _ in range(CUTS_THAT_PROVE_A_CAP):
        model.observe(rows(A=20))
        model.observe_cut(rows(A=20), misleading=False)
    assert model.would_learn_from_cut(rows(A=counts), misleading=misleading) is news
