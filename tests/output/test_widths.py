"""Texts on terminals of 60, 80 and 120 columns: lines end between words, and all columns of a table fit if they can."""

from datetime import UTC, datetime

import click
import pytest

from sedas_sync.cli.main import cli
from sedas_sync.model.events import Summary
from sedas_sync.model.history import RunRecord
from sedas_sync.output import past, text
from sedas_sync.output.style import Look
from sedas_sync.output.table import table

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WIDTHS = [60, 80, 120]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["sedas-sync", *cli.commands])
def test_help_fits_except_for_a_command_line(name, width):
    command = cli.commands.get(name, cli)
    shown = command.get_help(click.Context(command, info_name=name, terminal_width=width))
    for line in shown.splitlines():
        assert len(line) <= width or line.startswith(("  sedas-sync ", "  --archive [")), line
    assert width < 80 or all(len(line) <= width for line in shown.splitlines()), "nothing is wider than 80 columns"


def test_a_narrow_help_has_comments_above_examples_and_wraps_exit_codes():
    apply, narrow = cli.commands["apply"], {"terminal_width": 60}
    shown = apply.get_help(click.Context(apply, info_name="apply", **narrow))
    assert "  # also remove what no longer matches\n  sedas-sync apply --prune\n" in shown
    shown = cli.get_help(click.Context(cli, info_name="sedas-sync", **narrow))
    assert "every failed scene\n                      is named" in shown


def test_every_summary_of_a_command_is_one_line_at_80_columns():
    listed = cli.get_help(click.Context(cli, info_name="sedas-sync", terminal_width=80)).partition("Commands:\n")[2]
    names = [line.split()[0] for line in listed.partition("\n\n")[0].splitlines()]
    assert names == sorted(cli.commands)


def test_a_table_has_narrow_gaps_if_only_these_fit():
    rows = [("A" * 20, "B" * 20, "C" * 18), ("a", "b", "c")]
    assert table(rows, look=Look(width=60)).splitlines()[0] == f"{'A' * 20} {'B' * 20} {'C' * 18}"
    assert table(rows, look=Look(width=62)).splitlines()[0] == f"{'A' * 20}  {'B' * 20}  {'C' * 18}"
    assert table(rows, look=Look(width=59)).splitlines()[:2] == [f"{'A' * 20}  {'B' * 20}", f"    {'C' * 18}"]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_summary_ends_between_words(width):
    of = Summary(time=NOW, fetched=4, ordered=82, pending=266, unfinished=184, exit_code=130, bytes=153_800, seconds=4)
    shown = text.summary(of, Look(width=width, colour=True))
    plain = text.summary(of)
    assert " ".join(shown.replace("\x1b[1m", "").replace("\x1b[0m", "").split()) == plain
    assert all(len(line) <= width for line in text.summary(of, Look(width=width)).splitlines())


def test_the_checksum_of_a_saved_plan_is_short_for_people():
    run = RunRecord(command=f"apply --plan {'0123456789abcdef' * 4}", started=NOW, ended=NOW, exit_code=0, summary={})
    assert "  apply --plan 0123456789ab  " in past.runs([run])
