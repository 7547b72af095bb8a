"""The foot of a terminal: bars that stay there while other lines scroll by above them.

tqdm draws the bars. Between two drawings the cursor stands where the first bar begins. So everything below it can be
wiped away, whatever a change of the window's size has made of it.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any, TextIO

from tqdm import tqdm

from sedas_sync.render.frame import Row
from sedas_sync.render.look import look_of, terminal_size
from sedas_sync.words import cells, clipped

_WIPE = "\r\x1b[J"
_LEAST_BAR = 8
_WIDEST = 120
"""Columns beyond which a longer bar says no more."""


class _Bar(tqdm):  # type: ignore[type-arg]  # it iterates over nothing
    """One row. It is drawn into a buffer: all rows reach the terminal in one piece, so that nothing flickers."""

    monitor_interval = 0

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Clear the rest of the line. tqdm writes spaces there, which wrap where a window has become narrower."""
        return lambda text: file.write(f"\r{text}\x1b[K")

    def show(self, row: Row, columns: int) -> None:
        """Draw a row, with as many of its facts as there is room for."""
        name = clipped(row.name, columns)
        room = columns - cells(f"{name}  100%|| ") - _LEAST_BAR
        bar = row.part is not None and room >= 0
        if not bar:
            room = columns - cells(f"{name}  ")
        facts = list(row.facts)
        while facts and len("  ".join(facts)) > room:
            facts.pop()
        self.desc, self.n, self.postfix, self.ncols = name, row.part or 0, ["  ".join(facts)], columns
        self.bar_format = "{desc}  {percentage:3.0f}%|{bar}| {postfix[0]}" if bar else "{desc}  {postfix[0]}"
        self.refresh()


_Bar.set_lock(threading.RLock())  # tqdm's own lock is also for processes, and takes a while to make


class Foot:
    """Rows at the foot of a terminal.

    Args:
        out: the terminal.
        rows: tells what is to be shown now, in so many columns and lines.
    """

    def __init__(self, out: TextIO, rows: Callable[[int, int], Sequence[Row]]) -> None:
        self._out = out
        self._rows = rows
        self._colour = "green" if look_of(out).colour else None
        self._bars: list[_Bar] = []
        self._buffer = StringIO()
        self._drawn: tuple[os.terminal_size, Sequence[Row]] | None = None
        self._lock = threading.RLock()
        self._ended = False

    def draw(self, above: str | None = None) -> None:
        """Show the rows as they are now. A line to be written above them stays there."""
        with self._lock:
            size = terminal_size(self._out)
            # One less than there is: nothing wraps, and nothing scrolls.
            columns, lines = max(1, min(_WIDEST, size.columns - 1)), max(1, size.lines - 1)
            rows = [] if self._ended else self._rows(columns, lines)[:lines]
            if above is None and self._drawn == (size, rows):
                return
            if self._bars and (above is not None or self._drawn is None or self._drawn[0] != size):
                self._buffer.write(_WIPE)
            self._drawn = size, rows
            if above is not None:
                self._buffer.write(above + "\n")
            self._have_bars(len(rows), columns, lines + 1)
            for bar, row in zip(self._bars, rows, strict=True):
                bar.show(row, columns)
            self._flush()

    def _have_bars(self, count: int, columns: int, lines: int) -> None:
        """Have a bar for each row. tqdm must know the terminal's height, and draws nothing below it."""
        for bar in self._bars:
            bar.nrows = lines
        while len(self._bars) > count:
            self._bars.pop().close()
        while len(self._bars) < count:
            self._bars.append(
                _Bar(
                    total=1, position=len(self._bars), file=self._buffer, leave=False, disable=False, ascii=False,
                    bar_format="{desc}", ncols=columns, nrows=lines, colour=self._colour,
                )
            )  # fmt: skip

    def _flush(self) -> None:
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        # A terminal that has gone away is no reason to stop.
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text + "\r" * bool(self._bars))
            self._out.flush()

    def end(self) -> None:
        """Take the rows away for good; for a signal's handler, which may interrupt a drawing."""
        taken = self._lock.acquire(timeout=0.2)
        try:
            self._ended = True
            if self._bars:
                with contextlib.suppress(OSError, ValueError):
                    os.write(self._out.fileno(), _WIPE.encode())
        finally:
            if taken:
                self._lock.release()
