"""Bars at the bottom of a terminal, with other lines scrolling above them.

tqdm makes the bars. All rows reach the terminal at once, so that nothing flickers. Between drawings the cursor is at
the start of the first bar, so that everything below it can be wiped, whatever a change of the window's size has done.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from tqdm import tqdm

from sedas_sync.model.text import cells, clipped
from sedas_sync.output.progress_lines import Row
from sedas_sync.output.style import look_of, terminal_size

_WIPE = "\r\x1b[J"
_CLEAR, _UP = "\x1b[K", "\x1b[A"
_LEAST_BAR = 8
_WIDEST = 120
"""The largest number of columns; a longer bar shows nothing more."""


def _line(row: Row, columns: int, colour: str | None) -> str:
    """Return a row as text, with as many of its facts as fit."""
    name, facts = clipped(row.name, columns), list(row.facts)
    room = columns - cells(f"{name}  100%|| ") - _LEAST_BAR
    part = row.part if room >= 0 else None
    if part is None:
        room = columns - cells(f"{name}  ")
        facts = facts if row.part is None else [f"{100 * row.part:3.0f}%", *facts]
    while facts and len("  ".join(facts)) > room:
        facts.pop()
    tail = "  ".join(facts)
    if part is None:
        return f"{name}  {tail}" if tail else name
    shown: dict[str, Any] = {"bar_format": "{desc}  {percentage:3.0f}%|{bar}| {tail}", "colour": colour, "tail": tail}
    return tqdm.format_meter(part, 1, 0, columns, name, **shown)


class LiveRegion:
    """Rows at the bottom of a terminal.

    Args:
        out: The terminal.
        rows: Returns the rows to show now, for a number of columns and lines.
    """

    def __init__(self, out: TextIO, rows: Callable[[int, int], Sequence[Row]]) -> None:
        self._out = out
        self._rows = rows
        self._colour = "green" if look_of(out).colour else None
        self._size: os.terminal_size | None = None
        self._drawn: Sequence[Row] = ()
        self._lock = threading.RLock()
        self._ended = False

    def draw(self, above: str | None = None) -> None:
        """Draw the current rows. `above` is a line to write above them, where it stays."""
        with self._lock:
            before, size = (self._size, self._drawn), terminal_size(self._out)
            # One less than the terminal has, so that nothing wraps or scrolls.
            columns, lines = max(1, min(_WIDEST, size.columns - 1)), max(1, size.lines - 1)
            rows = () if self._ended else tuple(self._rows(columns, lines)[:lines])
            if above is None and before == (size, rows):
                return
            text = ""
            if self._drawn and (above is not None or self._size != size or len(rows) < len(self._drawn)):
                text = _WIPE
            self._size, self._drawn = size, rows
            if above is not None:
                text += above + "\n"
            if rows:
                # What is behind a line is cleared; spaces there would wrap if the window has become narrower.
                text += "\n".join(f"{_line(row, columns, self._colour)}{_CLEAR}" for row in rows)
                text += _UP * (len(rows) - 1) + "\r"
            # A terminal that is gone does not stop a run.
            with contextlib.suppress(OSError, ValueError):
                self._out.write(text)
                self._out.flush()

    def end(self) -> None:
        """Remove the rows for good. Called from a signal handler, which may interrupt a drawing."""
        taken = self._lock.acquire(timeout=0.2)
        try:
            self._ended = True
            if self._drawn:
                with contextlib.suppress(OSError, ValueError):
                    os.write(self._out.fileno(), _WIPE.encode())
        finally:
            if taken:
                self._lock.release()
