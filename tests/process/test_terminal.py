"""What people see: the command in a real terminal, judged by the screen and not by what was sent to it."""

import os
import re
import signal
import subprocess

import pytest
from terminal import Terminal

from sedas_sync.sandbox import RowCatalogue, make_row
from sedas_sync.sandbox.faults import Faults, Rule, delay, fail, slow

pytestmark = pytest.mark.own_process

ONE = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'
CURSOR = set("█▏▎▍▌▋▊▉")


def scene(number, *, tile="T30UXC"):
    return f"S2B_MSIL1C_201905{number:02}T111633_N0207_R037_{tile}_201905{number:02}T143632"


def rows(count, **more):
    return [make_row(scene(number), f"2019-05-{number:02}T11:16:33Z", **more) for number in range(1, count + 1)]


@pytest.fixture
def terminal(workspace):
    """Starts the command in a terminal of its own."""
    opened = []

    def start(*arguments, **how):
        opened.append(Terminal(workspace, *arguments, **how))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def colours(shown):
    """The colours on the screen, beside the one that everything has."""
    return {cell.fg for line in shown.screen.buffer.values() for cell in line.values()} - {"default"}


def bars(lines):
    return [line for line in lines if CURSOR & set(line)]


def test_only_a_terminal_gets_folded_and_coloured_plans(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue([*rows(25), make_row("L", "2019-05-27T11:00:00Z", online=False)])
    workspace.write(ONE)
    shown = terminal("plan", columns=60, rows=60)
    assert shown.wait() == 0
    assert "  fetch 25, ~15.0 GB: not in the mirror" in shown.lines
    assert "+ " + scene(10) in "".join(shown.lines), "an id is whole, however narrow it is"
    assert scene(11) not in "".join(shown.lines)
    assert any("… and 15 more, acquired 2019-05-11 to 2019-05-25" in line for line in shown.lines)
    assert shown.lines[-1] == "Run `sedas-sync apply` to do this."
    assert {"green", "magenta"} <= colours(shown)

    whole = terminal("plan", "--all", columns=200, rows=60, NO_COLOR="1")
    assert whole.wait() == 0
    assert f"    + {scene(25)}" in whole.lines
    assert not colours(whole)

    piped = workspace.run("plan").out
    assert f"    + {scene(25)}\n" in piped
    assert "more, sensed" not in piped


def test_a_run_shows_each_download_and_its_orders_and_leaves_only_the_summary(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue([*rows(6), make_row("L", "2019-05-27T11:00:00Z", online=False)])
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={scene(1)}), Rule("download", slow(25_000))))
    sandbox.order_delay = 1.5
    workspace.write(ONE, transfer="jobs = 3\nretries = 0")
    run = terminal("apply", "--yes", columns=100, rows=12)
    lines = run.wait_for(lambda lines: len(bars(lines)) >= 3 and any("failed: " in line for line in lines))
    order = [next(n for n, line in enumerate(lines) if mark in line) for mark in ("failed: ", "/7 scenes", "  S2B")]
    assert order == sorted(order), "what went wrong stands above the bars"
    assert run.wait() == 1
    assert any("waiting for 1 order, the oldest for" in line for line in run.seen)
    assert not bars(run.lines)
    assert [line.split(":")[0] for line in run.lines[-2:]] == ["Applied", "1 failure"]
    assert "Applied: 6 fetched, 1 ordered, 1 failed" in run.lines[-2]


def test_scenes_have_distinct_lines_and_the_height_is_constant(terminal, workspace, sandbox):
    alike = [scene(3, tile=f"T30U{letter}C") for letter in "VWXYZ"]
    sandbox._catalogue = RowCatalogue([make_row(name, "2019-05-03T11:16:33Z") for name in alike])
    sandbox.faults = Faults(rules=(Rule("download", slow(12_000)),))
    workspace.write(ONE, transfer="jobs = 5")
    run = terminal("apply", "--yes", columns=60, rows=20)
    lines = run.wait_for(lambda lines: sum("%" in line for line in lines) == 6)
    names = [re.split(r"\s{2,}", line.strip())[0] for line in lines if line.startswith("  S2B")]
    assert len(set(names)) == len(names) == 5
    assert max(len(line) for line in lines if "%" in line) <= 59
    run.resize(100, 5)
    lines = run.wait_for("and 3 more under way")
    assert sum("%" in line for line in lines) == 3
    run.resize(70, 20)
    run.wait_for(lambda lines: sum("%" in line for line in lines) == 6 and sum("/5 scenes" in n for n in lines) == 1)
    assert run.wait() == 0
    assert not bars(run.lines)
    assert "Applied: 5 fetched" in run.lines[-1]


def test_ctrl_c_leaves_clean_lines_and_says_how_to_continue(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue(rows(3))
    sandbox.faults = Faults(rules=(Rule("download", slow(4_000)),))
    workspace.write(ONE, name="my fields.toml")
    run = terminal("apply", "--yes", "my fields.toml")
    run.wait_for(lambda lines: len(bars(lines)) >= 3)
    run.type("\x03")
    assert run.wait() == 130
    assert run.lines[-2].startswith("Stopped: ")
    assert run.lines[-1] == (
        "Interrupted: everything so far is kept. To continue, run `sedas-sync apply --yes 'my fields.toml'`."
    )
    assert not bars(run.lines)
    assert "^C" not in run.text


def test_ctrl_c_in_a_search_says_that_nothing_was_changed(terminal, workspace, sandbox):
    sandbox.faults = Faults(rules=(Rule("search", delay(30)),))
    workspace.write(ONE)
    run = terminal("plan", columns=80)
    run.wait_for(lambda lines: lines[0].startswith("searching") and lines[0].endswith("00:01"))
    run.type("\x03")
    assert run.wait() == 130
    assert run.lines == ["Interrupted: nothing was changed."]


def test_a_dumb_terminal_gets_plain_lines(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue(rows(2))
    workspace.write(ONE)
    run = terminal("apply", "--yes", TERM="dumb")
    assert run.wait() == 0
    assert b"\x1b" not in run.sent
    assert "Applied: 2 fetched" in run.lines[-1]


@pytest.mark.parametrize("columns", [30, 60])
def test_narrow_terminals_and_foreign_settings_break_no_line(terminal, workspace, sandbox, columns):
    wide = "場面場面e\u0301\u0301_" + "場" * 30
    sandbox._catalogue = RowCatalogue([*rows(2), make_row(wide, "2019-05-28T11:00:00Z")])
    sandbox.faults = Faults(rules=(Rule("download", slow(12_000)),))
    workspace.write(ONE, transfer="jobs = 3")
    others = {"TQDM_DISABLE": "1", "TQDM_NCOLS": "500", "TQDM_ASCII": "1", "TQDM_POSITION": "3"}
    run = terminal("apply", "--yes", columns=columns, rows=12, NO_COLOR="1", **others)
    lines = run.wait_for(lambda lines: sum("%" in line for line in lines) >= 3)
    first = next(number for number, line in enumerate(lines) if "/3 scenes" in line)
    assert ["%" in line for line in lines[first + 1 : first + 5]] == [True, True, True, False]
    assert run.wait() == 0
    assert not colours(run)
    assert not any("%" in line for line in run.lines)
    assert "Applied: 3 fetched" in run.text


def test_a_pipe_gets_plain_lines_without_control_characters(workspace, sandbox):
    sandbox._catalogue = RowCatalogue(rows(2))
    sandbox.faults = Faults(rules=(Rule("download", fail(404), ids={scene(1)}), Rule("download", slow(30_000))))
    workspace.write(ONE, transfer="retries = 0")
    ran = workspace.run("apply")
    assert ran.out.startswith("Applied: 1 fetched, 1 failed")
    assert [line.split(" ")[0] for line in ran.err.splitlines()] == [
        "d:",
        f"{workspace.mirror}:",
        *["retry"] * 2,
        "failed:",
        "1",
    ]
    assert (ran.out + ran.err).replace("\n", "").isprintable()
    assert workspace.run("-q", "apply").out == ""


def test_drawing_stays_below_ten_times_a_second(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue(rows(20))
    sandbox.faults = Faults(rules=(Rule("download", slow(60_000)),))
    workspace.write(ONE, transfer="jobs = 8")
    run = terminal("apply", "--yes")
    assert run.wait() == 0
    took = float(run.lines[-1].rpartition(" in ")[2].split()[0])
    assert 1 <= run.sent.count(b"/20 scenes ") <= 10 * (took + 1)


def test_hostile_names_do_not_reach_the_terminal(terminal, workspace, sandbox):
    hostile = "EVIL\x1b[2J\x1b[31m\x07\u202eNAME"
    sandbox._catalogue = RowCatalogue(
        [make_row(hostile, "2019-05-02T11:00:00Z"), make_row("場面", "2019-05-03T11:00:00Z")]
    )
    workspace.write(ONE)
    for command in ("plan", "search", "apply"):
        shown = terminal(command, *(["--yes"] if command == "apply" else []), NO_COLOR="1")
        shown.wait()
        assert not colours(shown)
        if command != "apply":
            assert "EVIL\\x1b[2J\\x1b[31m\\x07\\u202eNAME" in shown.text
            assert "場面" in shown.text


def test_reading_a_mirror_again_shows_how_far_it_is(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue(rows(3))
    workspace.write(ONE)
    assert workspace.run("apply").code == 0
    (pipe := workspace.mirror / f"{scene(2)}.zip").unlink()
    os.mkfifo(pipe)
    shown = terminal("verify")
    shown.wait()
    assert shown.lines[-1].startswith("Verified: 2 OK")
    assert not bars(shown.lines)


def test_a_second_signal_ends_at_once_and_leaves_a_clean_line(terminal, workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row("L", "2019-05-27T11:00:00Z", online=False), *rows(1)])
    sandbox.faults = Faults(rules=(Rule("order", delay(30)), Rule("download", slow(2_000))))
    workspace.write(ONE)
    run = terminal("apply", "--yes")
    run.wait_for(lambda lines: len(bars(lines)) >= 1)
    run.signal(signal.SIGTERM)
    run.wait_for("stopping")
    with pytest.raises(subprocess.TimeoutExpired):  # a signal that comes at once is the same one
        run.wait(0.3)
    run.signal(signal.SIGTERM)
    assert run.wait() == 143
    assert run.lines[-1].startswith("Interrupted: everything so far is kept")
    assert not bars(run.lines)
