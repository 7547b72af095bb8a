"""The foot of a terminal: a few lines that are drawn over and over while others scroll by above them.

A frame is one write, so that nothing flickers. Between frames the cursor stands where the block begins: whatever a
change of the terminal's size has made of the lines below it, they can be wiped away from there.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from typing import TextIO

from sedas_sync.render.look import terminal_size

_WIPE = "\r\x1b[J"
_PATIENCE = 0.2
"""Seconds that the last wipe waits for a frame that is being written."""


class Block:
    """Lines at the foot of a terminal.

    Args:
        out: the terminal.
        size: tells the terminal's columns and rows.
    """

    def __init__(self, out: TextIO, *, size: Callable[[TextIO], os.terminal_size] = terminal_size) -> None:
        self._out = out
        self._size = size
        self._shown: tuple[str, ...] = ()
        self._at: os.terminal_size | None = None
        self._lock = threading.RLock()
        self._ended = False

    def size(self) -> tuple[int, int]:
        """Columns and rows that a frame may have: one less than the terminal has, so that nothing wraps or scrolls."""
        columns, rows = self._size(self._out)
        return max(1, columns - 1), max(1, rows - 1)

    def draw(self, lines: Sequence[str]) -> None:
        """Show these lines, which fit the size, instead of those before; does nothing where they are the same."""
        with self._lock:
            size = self._size(self._out)
            if self._ended or (tuple(lines) == self._shown and size == self._at):
                return
            frame = "\x1b[K\n".join(lines)
            up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
            wiped = _WIPE if self._shown and size != self._at else ""
            self._write(f"{wiped}\r{frame}\x1b[J{up}\r" if lines else _WIPE)
            self._shown, self._at = tuple(lines), size

    def above(self, line: str) -> None:
        """Write a line that stays, above the block; the block comes back with the next frame."""
        with self._lock:
            self._write((_WIPE if self._shown else "") + line + "\n")
            self._shown = ()

    def wipe(self) -> None:
        """Take the block away."""
        with self._lock:
            if self._shown:
                self._write(_WIPE)
            self._shown = ()

    def end(self) -> None:
        """Take the block away for good; for a signal's handler, which may have come in the middle of a frame."""
        taken = self._lock.acquire(timeout=_PATIENCE)
        try:
            self._ended = True
            if self._shown:
                with contextlib.suppress(OSError, ValueError):
                    os.write(self._out.fileno(), _WIPE.encode())
        finally:
            if taken:
                self._lock.release()

    def _write(self, text: str) -> None:
        # A terminal that has gone away is no reason to stop.
        with contextlib.suppress(OSError, ValueError):
            self._out.write(text)
            self._out.flush()
