"""Dates in a manifest."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import DATASET, NOW, START, dataset, parse, problems

from sedas_sync.manifest import DateSpec, dates


@pytest.mark.parametrize(
    ("start", "first", "spec"),
    [
        ("2019-04-30", "2019-04-30T00:00:00+00:00", "2019-04-30"),
        ("'2019-04-30'", "2019-04-30T00:00:00+00:00", "2019-04-30"),
        ("2019-04-30T00:00:00Z", "2019-04-30T00:00:00+00:00", "2019-04-30"),
        ("2019-04-30T10:20:30", "2019-04-30T10:20:30+00:00", "2019-04-30T10:20:30Z"),
        ("2019-04-30T10:20:30.5+02:00", "2019-04-30T08:20:30.500000+00:00", "2019-04-30T08:20:30.500000Z"),
        ("'2019-04-30T10:20:30Z'", "2019-04-30T10:20:30+00:00", "2019-04-30T10:20:30Z"),
        ("'today'", "2019-06-15T00:00:00+00:00", "today"),
        ("'NOW'", "2019-06-15T13:30:45.000678+00:00", "now"),
        ("'-30d'", "2019-05-16T13:30:45.000678+00:00", "-30d"),
        ("'-720h'", "2019-05-16T13:30:45.000678+00:00", "-30d"),
        ("'-12h'", "2019-06-15T01:30:45.000678+00:00", "-12h"),
        ("'- 2W'", "2019-06-01T13:30:45.000678+00:00", "-14d"),
    ],
)
def test_start(start, first, spec):
    found = parse(DATASET.replace("2019-04-30", start)).datasets["d"]
    assert found.interval(NOW)[0] == datetime.fromisoformat(first)
    assert found.start_spec == spec


@pytest.mark.parametrize(
    ("end", "last", "spec"),
    [
        ("2019-05-12", "2019-05-12T23:59:59.999999+00:00", "2019-05-12"),
        ("2019-05-12T23:59:59Z", "2019-05-12T23:59:59.999999+00:00", "2019-05-12"),
        ("2019-05-12T10:00:00", "2019-05-12T10:00:00.999999+00:00", "2019-05-12T10:00:00Z"),
        ("2019-05-12T10:00:00.25", "2019-05-12T10:00:00.250000+00:00", "2019-05-12T10:00:00.250000Z"),
        ("2019-05-13T01:00:00+02:00", "2019-05-12T23:00:00.999999+00:00", "2019-05-12T23:00:00Z"),
        ("'today'", "2019-06-15T23:59:59.999999+00:00", "today"),
        ("'now'", "2019-06-15T13:30:45.000678+00:00", "now"),
        ("'-1d'", "2019-06-14T13:30:45.000678+00:00", "-1d"),
    ],
)
def test_end(end, last, spec):
    found = dataset(f"end = {end}")
    assert found.interval(NOW)[1] == datetime.fromisoformat(last)
    assert found.end_spec == spec


def test_relative_dates_are_compared_with_the_current_time():
    text = DATASET.replace("2019-04-30", "2019-07-01")
    assert parse(text).datasets
    assert problems(text, now=NOW) == ['manifest.toml: dataset.d.end: is "now", before the start "2019-07-01"']
    same_day = START + '[dataset.d]\naoi = "here"\nstart = "today"\nend = "-14h"'
    assert parse(same_day).datasets
    assert len(problems(same_day, now=NOW)) == 1
    assert parse(same_day.replace("-14h", "-13h"), now=NOW).datasets


FIXED = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))  # noqa: DTZ001 - local date-times of TOML
SPECS = st.one_of(
    FIXED,
    FIXED.map(lambda d: d.replace(microsecond=0)),
    FIXED.map(lambda d: d.date()),
    st.sampled_from(["today", "now", "-24h", "-1d", "-7d", "-1w", "-168h", "-25h"]),
)


@given(SPECS, SPECS, st.sampled_from(["start", "end"]))
def test_equal_texts_mean_equal_dates(one, other, role):
    a, b = DateSpec.parse(one, role), DateSpec.parse(other, role)
    clocks = [NOW, NOW + timedelta(hours=7), NOW + timedelta(days=40, seconds=1)]
    assert (a.text == b.text) == all(a.resolve(now) == b.resolve(now) for now in clocks)
    assert DateSpec.parse(a.text, role).resolve(NOW) == a.resolve(NOW)


@given(SPECS, SPECS)
def test_backwards_without_a_time_is_backwards_at_any_time(start, end):
    a, b = DateSpec.parse(start, "start"), DateSpec.parse(end, "end")
    if dates.is_backwards(a, b, None):
        assert all(dates.is_backwards(a, b, NOW + timedelta(hours=h)) for h in range(0, 72, 5))
