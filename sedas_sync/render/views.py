"""Choosing how a run is shown."""

import sys
from typing import TextIO

from sedas_sync.render.live import JsonLines, Lines, View
from sedas_sync.render.look import can_steer

_LOGS = 2
"""The verbosity from which a log goes to the terminal."""


def view(*, json_lines: bool, level: int, progress: bool, summarise: bool = True) -> View:
    """Choose how to show a run.

    Args:
        json_lines: as JSON lines on standard output.
        level: -1 quiet, 0 as usual, 1 and more verbose. From 2 on a log goes to the terminal, which leaves no place
            for anything that is drawn.
        progress: bars are wanted; they are drawn only where standard error is a terminal that can draw them.
        summarise: write the summary to standard output, where it is not JSON lines.
    """
    if json_lines:
        return JsonLines(sys.stdout)
    if progress and 0 <= level < _LOGS and can_steer(sys.stderr) and _takes_blocks(sys.stderr):
        from sedas_sync.render.bars import Bars  # noqa: PLC0415  # only where there is a terminal to draw on

        return Bars(level, summarise=summarise)
    return Lines(level, summarise=summarise)


def _takes_blocks(stream: TextIO) -> bool:
    try:
        "█▏…".encode(stream.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
