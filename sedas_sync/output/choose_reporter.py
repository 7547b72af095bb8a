"""Choosing what shows a command's events."""

import sys

from sedas_sync.output.reporters import JsonLines, PlainLines, Reporter
from sedas_sync.output.style import can_draw_bars

_LOGS = 2
"""The verbosity from which a log goes to the terminal, which leaves no place for bars."""


def choose_reporter(*, json_lines: bool, level: int, progress: bool, summarise: bool = True) -> Reporter:
    """Choose how to show a run.

    Args:
        json_lines: as JSON lines on standard output.
        level: -1 quiet, 0 as usual, 1 and more verbose.
        progress: bars are wanted. They are drawn only where standard error is a terminal that can draw them.
        summarise: write the summary to standard output, where it is not JSON lines.
    """
    if json_lines:
        return JsonLines()
    if progress and 0 <= level < _LOGS and can_draw_bars(sys.stderr):
        from sedas_sync.output.progress import ProgressBars  # noqa: PLC0415  # only where there is a terminal to draw on

        return ProgressBars(level, summarise=summarise)
    return PlainLines(level, summarise=summarise)
