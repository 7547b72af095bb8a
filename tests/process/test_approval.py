"""On a terminal `apply` shows its plan and asks once; elsewhere it asks nothing."""

import pytest
from effort import effort
from terminal import Terminal, answered

from sedas_sync.sandbox import RowCatalogue, make_row

ONE = '[dataset.d]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


@pytest.fixture
def offered(workspace, sandbox):
    sandbox._catalogue = RowCatalogue([make_row("A", "2019-05-03T11:16:33Z"), make_row("B", "2019-05-04T11:16:33Z")])
    workspace.write(ONE)
    return workspace


def in_terminal(workspace, *arguments):
    """Run a command in a terminal without an answer; return its exit code and what the terminal showed."""
    terminal = Terminal(workspace, *arguments, columns=200)
    try:
        return terminal.wait(), terminal.text
    finally:
        terminal.close()


@pytest.mark.parametrize(
    ("answer", "code", "fetched"), [("y\n", 0, 2), ("\n", 1, 0), *effort([], [("n\n", 1, 0), ("\x04", 1, 0)])]
)
def test_the_plan_is_shown_and_approved(offered, sandbox, answer, code, fetched):
    ended, shown = answered(offered, "apply", "--no-progress", answer=answer)
    assert "fetch 2" in shown
    assert "+ A" in shown
    assert shown.count("[y/N]") == 1
    assert ended == code
    assert len(offered.files()) == sandbox.downloads == fetched
    assert ("Cancelled: nothing was changed." in shown) is (fetched == 0)


def test_another_answer_is_asked_again(offered):
    ended, shown = answered(offered, "apply", "--no-progress", answer="maybe\ny\n")
    assert ended == 0
    assert "Error: invalid input" in shown
    assert shown.count("[y/N]") == 2


@pytest.mark.parametrize(
    ("existed", "answer"), [(False, "n\n"), (True, "\x03"), *effort([], [(False, "\x03"), (True, "n\n")])]
)
def test_nothing_is_created_before_the_answer_yes(offered, existed, answer):
    if existed:
        offered.mirror.mkdir()
    before = sorted(offered.path.rglob("*"))
    assert answered(offered, "apply", "--no-progress", answer=answer)[0] in (1, 130)
    assert sorted(offered.path.rglob("*")) == before


def test_quiet_asks_with_the_totals_only(offered):
    ended, shown = answered(offered, "apply", "--quiet", answer="y\n")
    assert ended == 0
    assert "Plan: 2 to fetch" in shown
    assert "+ A" not in shown


def test_nothing_is_asked_if_it_is_answered_or_there_is_nothing_to_do(offered):
    for arguments in (("--yes",), (), ("-y",)):
        ended, shown = in_terminal(offered, "apply", "--no-progress", *arguments)
        assert (ended, "[y/N]" in shown) == (0, False), arguments
    (offered.mirror / "A.zip").unlink()
    offered.write(ONE, transfer="confirm = false")
    ended, shown = in_terminal(offered, "apply", "--no-progress")
    assert (ended, "[y/N]" in shown) == (0, False)


def test_a_saved_plan_was_approved_before(offered):
    assert offered.run("plan", "--out", "saved.json").code == 0
    ended, shown = in_terminal(offered, "apply", "--no-progress", "--plan", "saved.json")
    assert (ended, "[y/N]" in shown) == (0, False)
    assert len(offered.files()) == 2


def test_ctrl_c_at_the_question_changes_nothing(offered):
    ended, shown = answered(offered, "apply", "--no-progress", answer="\x03")
    assert ended == 130
    assert "Interrupted: nothing was changed." in shown
    assert not offered.files()


@pytest.mark.own_process
def test_without_a_terminal_nothing_is_asked(offered):
    ran = offered.run("apply")
    assert ran.code == 0
    assert "[y/N]" not in ran.err
