"""The foot of the terminal: lines that fit, names that differ, numbers that are true."""

import fcntl
import io
import os
import select
import struct
import termios
import threading
from contextlib import suppress
from datetime import UTC, datetime

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sedas_sync.model.events import Failed, Fetched, Progress, Searched, Step, Transfer
from sedas_sync.model.text import cells
from sedas_sync.output.live_region import LiveRegion
from sedas_sync.output.progress_lines import Row, RunRows, short_names, step_row
from sedas_sync.output.reporters import PlainLines

NOW = datetime(2026, 1, 1, tzinfo=UTC)
MB = 1_000_000


def progress(*active, done=0, total=10, received=0, bytes_total=None, pending=0, oldest=None):
    return Progress(
        time=NOW, done=done, total=total, bytes=received, bytes_total=bytes_total, pending=pending,
        oldest_order_seconds=oldest, active=tuple(Transfer(id=i, done=d, total=t) for i, d, t in active),
    )  # fmt: skip


def fetched(scene_id, size, received):
    return Fetched(
        time=NOW, id=scene_id, path=scene_id, size=size, sha256="", level="crc", received=received, seconds=1.0,
        archive="a",
    )  # fmt: skip


class Window:
    """A pseudo-terminal that can be given another size while something is drawn on it."""

    def __init__(self, columns=100, rows=20):
        self.screen = pyte.HistoryScreen(columns, rows, history=1000, ratio=1)
        self._stream = pyte.ByteStream(self.screen)
        self._reader, inside = os.openpty()
        self.out = os.fdopen(inside, "w", encoding="utf-8")
        self.resize(columns, rows)

    def resize(self, columns, rows):
        self.screen.resize(rows, columns)
        fcntl.ioctl(self._reader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def lines(self):
        """What stands on the screen, without the empty lines at its end."""
        while select.select([self._reader], [], [], 0)[0]:
            self._stream.feed(os.read(self._reader, 65536))
        lines = [line.rstrip() for line in self.screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def hang_up(self):
        os.close(self._reader)

    def close(self):
        with suppress(OSError):
            self.out.close()
        with suppress(OSError):
            self.hang_up()


@pytest.fixture
def window():
    shown = Window()
    yield shown
    shown.close()


@pytest.fixture
def draw(window):
    """Draws rows on a terminal that has room for so many columns and lines; returns what is to be seen."""

    def show(rows, columns=100, lines=20):
        window.resize(columns + 1, lines + 1)
        window.screen.reset()
        foot = LiveRegion(window.out, lambda *_: rows)
        foot.draw()
        return window.lines

    return show


def test_lines_fit_whatever_the_size(draw):
    run = RunRows()
    active = [(f"S2A_MSIL1C_20190405T111625_N0207_R037_T3{n}UXC_20190405T132700", n * MB, 800 * MB) for n in range(8)]
    strange = [("X\x1b", 5, None), ("場" * 40, 5, 10), ("e\u0301" * 50, 5, 10)]
    run.update(progress(*active, *strange, received=28 * MB, pending=3, oldest=9e5), 9.0)
    run.update(progress(*active, *strange, received=29 * MB, pending=3, oldest=9e5), 9.5)
    for columns in (1, 5, 20, 40, 59, 76, 99, 110, 199):
        for lines in (1, 2, 3, 5, 30):
            shown = draw(run.rows(10.0, columns, lines), columns, lines)
            assert 1 <= len(shown) <= lines
            assert all(cells(line) <= columns for line in shown)
            assert sum("/10" in line for line in shown) <= 1
            if lines == 5 and columns >= 40:
                assert "/10 scenes" in shown[0]
                assert shown[1].endswith("3 orders, the oldest for 10 d 10 h")
                assert shown[-1] == "  and 9 more under way"
            if lines == 30 and columns >= 40:
                assert len(shown) == 2 + 11
                assert sum("%" in line for line in shown) >= 10


NAMES = st.text(st.sampled_from("AB_1場"), min_size=1, max_size=40)


@given(st.lists(st.lists(NAMES, max_size=8, unique=True), min_size=1, max_size=4), st.integers(8, 90))
def test_names_fit_are_unique_and_do_not_change_while_shown(sets, columns):
    run, before = RunRows(), {}
    for ids in sets:
        run.update(progress(*((scene_id, 0, 10) for scene_id in ids)), 0.0)
        names = [row.name.strip() for row in run.rows(0.0, columns, 20)[1:]]
        assert len(set(names)) == len(names) == len(ids)
        assert all(cells(name) <= max(4, columns // 2, columns - 50) for name in names)
        now = dict(zip(ids, names, strict=True))
        assert all(before[scene_id] == now[scene_id] for scene_id in before.keys() & now.keys())
        before = now


def test_bytes_of_an_earlier_run_do_not_count_as_speed():
    run = RunRows()
    run.update(progress(("A", 500 * MB, 800 * MB), total=1, received=500 * MB), 0.0)
    run.update(progress(("A", 510 * MB, 800 * MB), total=1, received=510 * MB), 1.0)
    assert [row.facts for row in run.rows(1.0, 100, 9)] == [
        (" 10.0 MB/s", "ETA 00:29", "510.0 MB"),
        ("800.0 MB", " 10.0 MB/s"),
    ]
    run.update(fetched("A", 800 * MB, 300 * MB), 1.5)
    run.update(progress(("B", 0, 800 * MB), done=1, received=800 * MB), 2.0)
    assert run.rows(2.0, 100, 9)[0].facts[0] == "150.0 MB/s"


def test_speed_is_measured_over_the_last_seconds():
    run, rates = RunRows(), []
    for second in range(20):
        run.update(progress(("A", min(second, 10) * MB, 20 * MB)), float(second))
        rates.append(run.rows(float(second), 100, 9)[1].facts[1].strip())
    assert rates[:2] == ["", "1.0 MB/s"], "a download that was seen once has no rate yet"
    assert rates[10] == "1.0 MB/s"
    assert rates[12] == "600.0 kB/s"
    assert rates[19] == "0 B/s"


def test_bytes_downloaded_again_count():
    run = RunRows()
    for second, done in enumerate((0, 10 * MB, 0, 10 * MB)):
        run.update(progress(("A", done, 20 * MB)), float(second))
    assert run.rows(3.0, 100, 9)[1].facts[1] == "  6.7 MB/s"


def test_time_left_with_known_and_unknown_sizes():
    run = RunRows()
    run.update(progress(("A", 0, 100 * MB), total=4, bytes_total=400 * MB), 0.0)
    run.update(progress(("A", 40 * MB, 100 * MB), total=4, bytes_total=400 * MB, received=40 * MB), 4.0)
    assert run.seconds_left(4.0) == pytest.approx(36)
    unknown = RunRows()
    unknown.update(progress(("A", 0, 100 * MB), total=4, pending=1), 0.0)
    unknown.update(progress(("A", 50 * MB, 100 * MB), total=4, pending=1, received=50 * MB), 5.0)
    assert unknown.rows(5.0, 100, 9)[0].part == pytest.approx(0.125)
    assert unknown.seconds_left(5.0) == pytest.approx(25), "two more like it; nobody knows how long the order takes"


def test_no_estimate_before_the_first_bytes(draw):
    run = RunRows()
    assert run.rows(0.0, 100, 9) == []
    assert run.seconds_left(0.0) is None
    run.update(progress(total=3, pending=3, oldest=7200.0), 0.0)
    first, second = draw(run.rows(0.0, 100, 9))
    assert first.startswith("0/3 scenes    0%|")
    assert "ETA" not in first
    assert second == "  waiting for 3 orders, the oldest for 2 h"
    run.stopping = True
    assert draw(run.rows(0.0, 100, 9))[0] == "0/3 scenes  stopping: what has arrived is kept"


def test_narrow_terminals_leave_out_the_least_important_facts(draw):
    run = RunRows()
    run.update(progress(("A" * 60, 0, 100 * MB), total=4, bytes_total=400 * MB, pending=1, oldest=3720.0), 0.0)
    run.update(progress(("A" * 60, 40 * MB, 100 * MB), total=4, bytes_total=400 * MB, received=40 * MB), 4.0)
    assert draw(run.rows(4.0, 39, 9), 39) == [
        "0/4 scenes  10.0 MB/s  00:36  40.0 MB",
        f"  {'A' * 9}…{'A' * 9}   40%|███▌     |",
    ]
    assert draw(run.rows(4.0, 119, 9), 119) == [
        f"0/4 scenes   10%|{'█' * 5}▋{' ' * 51}|  10.0 MB/s  ETA 00:36   40.0 MB of 400.0 MB",
        f"  {'A' * 60}   40%|{'█' * 11}▏{' ' * 16}| 100.0 MB   10.0 MB/s",
    ]


def test_steps(draw):
    def line(step, took=65.0, columns=60):
        (line,) = draw([step_row(step, took)], columns)
        return line

    assert line(Step("searching", 1234)) == "searching  1,234 scenes  01:05"
    assert line(Step("choosing scenes")) == "choosing scenes  01:05"
    counted = line(Step("requesting sizes", 5, 10), 3700.0)
    assert counted.startswith("requesting sizes   50%|███")
    assert counted.endswith("5 of 10 scenes  1:01:40")
    read = line(Step("reading files", 5 * MB, 10 * MB, "bytes", "3/7"), 90000.0, 80)
    assert read.endswith("5.0 MB of 10.0 MB  25:00:00  3/7")


def test_lines_above_the_bars_stay_whole_while_the_window_changes(window):
    rows = [Row(f"scene {number}", number / 10, ("1.0 MB", "1.0 MB/s")) for number in range(5)]
    foot = LiveRegion(window.out, lambda _columns, lines: rows[:lines])
    for number, (columns, height) in enumerate([(60, 8), (30, 4), (100, 12), (25, 3), (60, 8)]):
        window.resize(columns, height)
        foot.draw(above=f"message {number}")
        foot.draw()
        shown = [line.split("  ")[0] for line in window.lines if line.startswith("scene")]
        assert shown == [f"scene {n}" for n in range(min(5, height - 1))]
        assert all(cells(line) < columns for line in window.lines)
        assert f"message {number}" in window.lines
    rows.clear()
    foot.draw()
    assert not any("scene" in line for line in window.lines)


def test_a_terminal_that_is_gone_does_not_stop_a_run(window):
    foot = LiveRegion(window.out, lambda *_: [Row("scene", 0.5)])
    foot.draw()
    window.hang_up()
    foot.draw(above="a line")
    with suppress(OSError):
        window.out.close()
    foot.draw(above="another line")
    foot.end()


def test_end_does_not_wait_for_a_hanging_draw():
    stuck, go_on = threading.Event(), threading.Event()

    class Hangs(io.StringIO):
        def write(self, text):
            stuck.set()
            go_on.wait(10)
            return super().write(text)

    foot = LiveRegion(Hangs(), lambda *_: [Row("scene", 0.5)])
    drawing = threading.Thread(target=foot.draw)
    drawing.start()
    assert stuck.wait(5)
    foot.end()
    go_on.set()
    drawing.join(5)
    assert not drawing.is_alive()


def test_a_step_reports_after_2_seconds_of_silence_and_then_every_30(capsys):
    now = [0.0]
    lines = PlainLines(0, clock=lambda: now[0])
    for second in range(50):
        now[0] = float(second)
        lines.step(Step("searching", second))
    assert capsys.readouterr().err.splitlines() == ["searching: 2 scenes so far", "searching: 32 scenes so far"]


def test_a_step_that_is_tried_again_is_reported_at_once(capsys):
    now = [0.0]
    lines = PlainLines(0, clock=lambda: now[0])
    for step, note in enumerate(["", "", "try 2 of 6: status 503", "try 2 of 6: status 503", "try 3 of 6: no answer"]):
        now[0] = 2.0 * step
        lines.step(Step("searching cdse", note=note))
    assert capsys.readouterr().err.splitlines() == [
        "searching cdse",
        "searching cdse: try 2 of 6: status 503",
        "searching cdse: try 3 of 6: no answer",
    ]


def test_progress_lines_come_every_30_seconds(capsys):
    now = [0.0]
    lines = PlainLines(0, clock=lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        lines(progress(done=second, total=100, received=second * MB, pending=1, oldest=60.0))
    lines(Searched(time=NOW, dataset="d", scenes=3, complete=True))
    assert capsys.readouterr().err.splitlines() == [
        *(
            f"{second} of 100 scenes done, {second}.0 MB received; waiting for 1 order, the oldest for 1 min"
            for second in (30, 60, 90)
        ),
        "d: 3 scenes",
    ]


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (80, "S2B_MSIL1C_20190507T110629_N0207_R137_T30UXC_20190507T133918"),
        (40, "S2B L1C 20190507T110629 30UXC"),
        (25, "S2B L1C 20190507T110629"),
        (20, "S2B L1C 20190507"),
        (10, "S2B_M…3918"),
    ],
)
def test_short_names_keep_satellite_type_and_date(room, name):
    assert next(short_names("S2B_MSIL1C_20190507T110629_N0207_R137_T30UXC_20190507T133918", room)) == name


def test_failures_with_one_reason_are_one_line_whatever_arrives_between_them(capsys):
    lines = PlainLines(0, clock=lambda: 0.0)
    for number, name in enumerate("ABCD"):
        lines(fetched(name, 1, 1))
        lines(progress(done=number, total=4))
        lines(Failed(time=NOW, id=name, error="`tar` ended with exit code 1" if name != "D" else "another"))
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "failed: A, B, C: `tar` ended with exit code 1",
        "failed: D: another",
    ]
