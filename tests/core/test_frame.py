"""The foot of the terminal: lines that fit, names that differ, numbers that are true."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tqdm import tqdm

from sedas_sync.events import Fetched, Progress, Step, Transfer
from sedas_sync.render.frame import Names, Run, run_lines, step_line
from sedas_sync.words import cells

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MB = 1_000_000


def progress(*active, done=0, total=10, received=0, bytes_total=None, pending=0, oldest=None):
    return Progress(
        time=NOW, done=done, total=total, bytes=received, bytes_total=bytes_total, pending=pending,
        oldest_order_seconds=oldest, active=tuple(Transfer(id=i, done=d, total=t) for i, d, t in active),
    )  # fmt: skip


def fetched(scene_id, size, received):
    return Fetched(
        time=NOW, id=scene_id, path=scene_id, size=size, sha256="", level="crc", received=received, seconds=1.0
    )


def lines(run, now=10.0, columns=100, rows=20):
    return run_lines(run, now, columns, rows, meter=tqdm.format_meter)


NAMES = st.text(st.sampled_from("AB_1場"), min_size=1, max_size=40)


@given(st.lists(st.lists(NAMES, max_size=8, unique=True), min_size=1, max_size=4), st.integers(12, 45))
def test_names_fit_never_look_alike_and_stay_while_they_are_shown(sets, room):
    names, before = Names(), {}
    for ids in sets:
        given_now = dict(names.fit(ids, room))
        assert set(given_now) == set(ids)
        assert len(set(given_now.values())) == len(ids)
        assert all(cells(name) <= room for name in given_now.values())
        assert all(before[scene_id] == given_now[scene_id] for scene_id in before.keys() & given_now.keys())
        before = given_now


def test_a_name_that_has_room_is_whole():
    assert Names().fit(["S2A_X"], 20) == {"S2A_X": "S2A_X"}


@pytest.mark.parametrize("columns", [20, 40, 59, 76, 99, 110, 199])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 30])
def test_lines_fit_whatever_the_size(columns, rows):
    run = Run()
    active = [(f"S2A_MSIL1C_20190405T111625_N0207_R037_T3{n}UXC_20190405T132700", n * MB, 800 * MB) for n in range(8)]
    run.take(progress(*active, ("X\x1b", 5, None), received=28 * MB, pending=3, oldest=9e5), 9.0)
    run.take(progress(*active, ("X\x1b", 9, None), received=29 * MB, pending=3, oldest=9e5), 9.5)
    shown = lines(run, columns=columns, rows=rows)
    assert 1 <= len(shown) <= rows
    assert all(cells(line) <= columns for line in shown)
    assert not any("\x1b" in line for line in shown)
    if rows == 5:
        assert shown[-1].strip().startswith("and 7 more under way"[: columns - 3])


def test_what_an_earlier_run_has_left_is_no_speed_of_this_one():
    run = Run()
    run.take(progress(("A", 500 * MB, 800 * MB), received=500 * MB), 0.0)
    run.take(progress(("A", 510 * MB, 800 * MB), received=510 * MB), 1.0)
    assert run.rate(1.0) == run.rate_of("A", 1.0) == 10 * MB
    run.fetched(fetched("A", 800 * MB, 300 * MB))
    run.take(progress(done=1, received=800 * MB), 2.0)
    assert run.rate(2.0) == 300 * MB / 2


def test_the_rate_is_that_of_the_last_moments():
    run = Run()
    rates = []
    for second in range(20):
        run.take(progress(("A", min(second, 10) * MB, 20 * MB)), float(second))
        rates.append(run.rate(float(second)))
    assert rates[0] == 0
    assert rates[10] == MB
    assert MB / 2 < rates[12] < MB
    assert rates[19] == 0


def test_a_download_that_was_seen_once_has_no_rate_yet():
    run = Run()
    run.take(progress(("A", 0, 10 * MB)), 0.0)
    assert run.rate_of("A", 1.0) is None
    assert "B/s" not in lines(run)[-1]
    run.take(progress(("A", MB, 10 * MB)), 1.0)
    assert lines(run, now=1.0)[-1].endswith("1.0 MB/s")


def test_bytes_count_where_all_are_known_and_scenes_where_not():
    run = Run()
    run.take(progress(("A", 0, 100 * MB), total=4, bytes_total=400 * MB), 0.0)
    run.take(progress(("A", 40 * MB, 100 * MB), total=4, bytes_total=400 * MB, received=40 * MB), 4.0)
    assert run.fraction == pytest.approx(0.1)
    assert run.seconds_left(4.0) == pytest.approx(36)
    unknown = Run()
    unknown.take(progress(("A", 0, 100 * MB), total=4, pending=1), 0.0)
    unknown.take(progress(("A", 50 * MB, 100 * MB), total=4, pending=1, received=50 * MB), 5.0)
    assert unknown.fraction == pytest.approx(0.125)
    assert unknown.seconds_left(5.0) == pytest.approx(25), "two more like it; nobody knows how long the order takes"


def test_nothing_is_promised_before_anything_came():
    run = Run()
    assert lines(run) == []
    assert run.seconds_left(0.0) is None
    run.take(progress(total=3, pending=3, oldest=7200.0), 0.0)
    assert run.seconds_left(0.0) is None
    first, second = lines(run)
    assert first.startswith("0/3 scenes")
    assert "ETA" not in first
    assert second == "  waiting for 3 orders, the oldest for 2 h"
    run.stopping = True
    assert lines(run)[0] == "0/3 scenes  stopping: what has arrived is kept"


def test_steps():
    def line(step, took=65.0, columns=60):
        return step_line(step, took, columns, meter=tqdm.format_meter)

    assert line(Step("searching", 1234)) == "searching  1,234 scenes  01:05"
    assert line(Step("choosing scenes")) == "choosing scenes  01:05"
    counted = line(Step("asking for sizes", 5, 10), 3700.0)
    assert counted.startswith("asking for sizes  ███")
    assert counted.endswith("5 of 10 scenes  1:01:40")
    read = line(Step("reading files", 5 * MB, 10 * MB, "bytes", "3/7"), 90000.0, 80)
    assert read.endswith("3/7  5.0 MB of 10.0 MB  1 d 01 h")
