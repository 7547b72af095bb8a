"""Progress bars on a terminal."""

import sys
import threading
from contextlib import suppress
from time import monotonic

from msgspec import structs

from sedas_sync.files.threads import DaemonThread
from sedas_sync.model.events import Event, Fetched, Progress, Searched, Started, Step, Summary
from sedas_sync.output.live_region import LiveRegion
from sedas_sync.output.progress_lines import Row, RunRows, step_row
from sedas_sync.output.reporters import PlainLines

FRAME = 0.2
"""Seconds between two drawings."""


class ProgressBars(PlainLines):
    """Bars at the bottom of the terminal, and plain lines above them.

    A thread draws a few times a second. Events only store what is to be shown: they cost the run nothing, and a step
    that reports nothing for a while still shows how long it takes.
    """

    def __init__(self, level: int, *, summarise: bool = True) -> None:
        super().__init__(level, summarise=summarise)
        self._region = LiveRegion(sys.stderr, self._rows)
        self._lock = threading.Lock()
        self._run: RunRows | None = None
        self._step: tuple[Step, float] | None = None
        self._stopping = False
        self._done = threading.Event()
        self._painter: DaemonThread | None = None

    def print(self, line: str) -> None:
        """Write one line above the bars."""
        self._region.draw(above=line)

    def __call__(self, event: Event) -> None:
        """Show the event."""
        with self._lock:
            self._step = None
            if isinstance(event, Progress):
                self._run = self._run or RunRows()
            if isinstance(event, Progress | Fetched) and self._run is not None:
                self._run.update(event, monotonic())
        if isinstance(event, Progress):
            self.flush_failures()
            self._start_painter()
            return
        if isinstance(event, Summary | Started):
            self.close()
        if isinstance(event, Searched) and event.complete:
            # The next line repeats it, and stays.
            return
        super().__call__(event)

    def step(self, step: Step) -> None:
        """Show the progress and the duration of a step."""
        with self._lock:
            same = self._step is not None and self._step[0].what == step.what
            self._step = (step, self._step[1] if same and self._step is not None else monotonic())
        self._start_painter()

    def stopping(self) -> None:
        """Show from now on that the run is stopping."""
        self._stopping = True

    def close(self) -> None:
        """Remove the bars; the next event may draw them again."""
        painter, self._painter = self._painter, None
        if painter is not None:
            self._done.set()
            painter.join()
        with self._lock:
            self._run = self._step = None
        self._region.draw()
        super().close()

    def end(self) -> None:
        """Remove the bars at once and for good."""
        self._region.end()

    def _start_painter(self) -> None:
        if self._painter is None:
            self._done.clear()
            # If no thread can be started, nothing is drawn.
            with suppress(RuntimeError, MemoryError):
                self._painter = DaemonThread(self._paint)

    def _paint(self) -> None:
        while not self._done.wait(FRAME):
            self._region.draw()

    def _rows(self, columns: int, lines: int) -> list[Row]:
        """Return the rows to show now."""
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
