"""Progress bars: shows a command's events to a person at a terminal."""

import sys
import threading
from contextlib import suppress
from time import monotonic

from msgspec import structs

from sedas_sync.model.events import Event, Fetched, Progress, Searched, Started, Step, Summary
from sedas_sync.output.live_region import Foot
from sedas_sync.output.progress_lines import Row, RunRows, step_row
from sedas_sync.output.reporters import PlainLines

FRAME = 0.2
"""Seconds between two drawings."""


class ProgressBars(PlainLines):
    """Bars at the foot of the terminal, and plain lines above them.

    A thread draws a few times a second. Events only leave behind what is to be shown: they cost the run nothing, and a
    step that says nothing for a while still shows that time goes by.
    """

    def __init__(self, level: int, *, summarise: bool = True) -> None:
        super().__init__(level, summarise=summarise)
        self._foot = Foot(sys.stderr, self._rows)
        self._lock = threading.Lock()
        self._run: RunRows | None = None
        self._step: tuple[Step, float] | None = None
        self._stopping = False
        self._done = threading.Event()
        self._painter: threading.Thread | None = None

    def print(self, line: str) -> None:
        """Write one line above the bars."""
        self._foot.draw(above=line)

    def __call__(self, event: Event) -> None:
        """Show the event."""
        with self._lock:
            self._step = None
            if isinstance(event, Progress):
                self._run = self._run or RunRows()
            if isinstance(event, Progress | Fetched) and self._run is not None:
                self._run.take(event, monotonic())
        if isinstance(event, Progress):
            self.flush_failures()
            self._paint_from_now_on()
            return
        if isinstance(event, Summary | Started):
            self.close()
        if isinstance(event, Searched) and event.complete:
            # What comes next says it again, and stays.
            return
        super().__call__(event)

    def step(self, step: Step) -> None:
        """Show how far a step is, and for how long it has been under way."""
        with self._lock:
            same = self._step is not None and self._step[0].what == step.what
            self._step = (step, self._step[1] if same and self._step is not None else monotonic())
        self._paint_from_now_on()

    def stopping(self) -> None:
        """Say from now on that the run comes to its end."""
        self._stopping = True

    def close(self) -> None:
        """Take the bars away; the next event may bring them back."""
        painter, self._painter = self._painter, None
        if painter is not None:
            self._done.set()
            painter.join()
        with self._lock:
            self._run = self._step = None
        self._foot.draw()
        super().close()

    def end(self) -> None:
        """Take the bars away at once and for good."""
        self._foot.end()

    def _paint_from_now_on(self) -> None:
        if self._painter is None:
            self._done.clear()
            painter = threading.Thread(target=self._paint, name="terminal", daemon=True)
            # Where the system gives no thread, nothing is drawn.
            with suppress(RuntimeError, MemoryError):
                painter.start()
                self._painter = painter

    def _paint(self) -> None:
        while not self._done.wait(FRAME):
            self._foot.draw()

    def _rows(self, columns: int, lines: int) -> list[Row]:
        """What is to be shown now."""
        with self._lock:
            if self._step is not None:
                step, began = self._step
                if self._stopping:
                    step = structs.replace(step, note="stopping")
                return [step_row(step, monotonic() - began)]
            if self._run is not None:
                self._run.stopping = self._stopping
                return self._run.rows(monotonic(), columns, lines)
        return []
