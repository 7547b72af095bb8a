"""Choose the reporter of a command."""

import sys

from sedas_sync.output.reporters import JsonLines, PlainLines, Reporter
from sedas_sync.output.style import can_draw_bars

_LOGS = 2
"""The verbosity from which the log goes to the terminal, so that there is no place for bars."""


def choose_reporter(*, json_lines: bool, level: int, progress: bool, summarise: bool = True) -> Reporter:
    """Return the reporter for a command.

    Args:
        json_lines: write JSON lines to standard output.
        level: -1 for quiet, 0 for normal, 1 and more for verbose.
        progress: draw bars if standard error is a terminal that can show them.
        summarise: write the summary to standard output, unless JSON lines are written.
    """
    if json_lines:
        return JsonLines()
    if progress and 0 <= level < _LOGS and can_draw_bars(sys.stderr):
        from sedas_sync.output.progress import ProgressBars  # noqa: PLC0415  # tqdm takes 20 ms, and only a terminal needs it

        return ProgressBars(level, summarise=summarise)
    return PlainLines(level, summarise=summarise)
