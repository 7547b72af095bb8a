"""Bars at the bottom of a terminal, with other lines scrolling above them.

tqdm draws the bars. Between two drawings the cursor is at the start of the first bar, so that everything below it can
be wiped, whatever a change of the window's size has done to it.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, TextIO

from tqdm import tqdm

from sedas_sync.model.text import cells, clipped
from sedas_sync.output.progress_lines import Row
from sedas_sync.output.style import look_of, terminal_size

_WIPE = "\r\x1b[J"
_LEAST_BAR = 8
_WIDEST = 120
"""The largest number of columns; a longer bar shows nothing more."""


class _Bar(tqdm):  # type: ignore[type-arg]  # it iterates over nothing
    """One row. It is drawn into a buffer, so that all rows reach the terminal at once and nothing flickers."""

    monitor_interval = 0

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Clear the rest of the line. tqdm writes spaces there, which wrap if the window has become narrower."""
        return lambda text: file.write(f"\r{text}\x1b[K")

    def __init__(self, buffer: StringIO, position: int, lines: int, colour: str | None) -> None:
        super().__init__(
            total=1, position=position, file=buffer, leave=False, disable=False, ascii=False, bar_format="{desc}",
            ncols=1, nrows=lines + 1, colour=colour,
        )  # fmt: skip

    def show(self, row: Row, columns: int, lines: int) -> None:
        """Draw a row, with as many of its facts as fit."""
        name, facts = clipped(row.name, columns), list(row.facts)
        room = columns - cells(f"{name}  100%|| ") - _LEAST_BAR
        bar = row.part is not None and room >= 0
        if not bar:
            room = columns - cells(f"{name}  ")
            facts = facts if row.part is None else [f"{100 * row.part:3.0f}%", *facts]
        while facts and len("  ".join(facts)) > room:
            facts.pop()
        self.desc, self.n, self.ncols, self.nrows = name, row.part or 0, columns, lines + 1
        self.postfix = ["  ".join(facts)]  # type: ignore[assignment]  # as a list, tqdm puts no comma before it
        self.bar_format = "{desc}  {percentage:3.0f}%|{bar}| {postfix[0]}" if bar else "{desc}  {postfix[0]}"
        self.refresh()


_Bar.set_lock(threading.RLock())  # tqdm's own lock is also for processes, and takes a while to make


class LiveRegion:
    """Rows at the bottom of a terminal.

    Args:
        out: the terminal.
        rows: returns the rows to show now, for a number of columns and lines.
    """

    def __init__(self, out: TextIO, rows: Callable[[int, int], Sequence[Row]]) -> None:
        self._out = out
        self._rows = rows
        self._colour = "green" if look_of(out).colour else None
        self._buffer = StringIO()
        self._bars: list[_Bar] = []
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
            if self._drawn and (above is not None or self._size != size or len(rows) < len(self._drawn)):
                self._buffer.write(_WIPE)
            self._size, self._drawn = size, rows
            if above is not None:
                self._buffer.write(above + "\n")
            while len(self._bars) < len(rows):
                self._bars.append(_Bar(self._buffer, len(self._bars), lines, self._colour))
            for bar, row in zip(self._bars, rows, strict=False):  # there may be more bars than rows
                bar.show(row, columns, lines)
            if rows:
                self._buffer.write("\r")
            text = self._buffer.getvalue()
            self._buffer.seek(0)
            self._buffer.truncate()
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
