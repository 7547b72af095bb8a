"""The listener of a run for people at a terminal: what is under way is drawn at its foot."""

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TextIO

from msgspec import structs

from sedas_sync.events import Event, Fetched, Progress, Searched, Started, Step, Summary
from sedas_sync.render.block import Block
from sedas_sync.render.frame import Meter, Run, run_lines, step_line
from sedas_sync.render.live import SEARCHING, Lines
from sedas_sync.render.look import look_of

FRAME = 0.2
"""Seconds between two drawings."""


class Bars:
    """A terminal's foot shows how far it is, a few times a second; lines are written above it.

    Every drawing is a thread's own: events only leave behind what is to be shown, so that they cost the run nothing
    however many there are, and a step that is slow to tell of itself still shows that time goes by.
    """

    def __init__(
        self,
        level: int,
        *,
        out: TextIO | None = None,
        err: TextIO | None = None,
        summarise: bool = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._clock = clock
        self._err = err or sys.stderr
        self._block = Block(self._err)
        self._meter: Meter = _no_meter
        self._lines = Lines(level, out=out, err=err, summarise=summarise)
        self._lines.say = self.say  # type: ignore[method-assign]  # every line goes above the block
        self._lock = threading.Lock()
        self._run: Run | None = None
        self._step: tuple[Step, float] | None = None
        self._stopping = False
        self._done = threading.Event()
        self._painter: threading.Thread | None = None

    def say(self, line: str) -> None:
        """Write one line above what is drawn."""
        self._block.above(line)

    def __call__(self, event: Event) -> None:
        """Show the event."""
        with self._lock:
            self._step = None
            if isinstance(event, Progress):
                self._run = self._run or Run()
                self._run.take(event, self._clock())
            elif isinstance(event, Fetched) and self._run is not None:
                self._run.fetched(event)
        if isinstance(event, Progress):
            self._lines.catch_up()
            self._paint_from_now_on()
            return
        if isinstance(event, Summary | Started):
            self.close()
        if isinstance(event, Searched) and event.complete:
            # What comes next says it again, and stays.
            return
        self._lines(event)

    def step(self, step: Step) -> None:
        """Show how far a step is, and for how long it has been under way."""
        with self._lock:
            same = self._step is not None and self._step[0].what == step.what
            self._step = (step, self._step[1] if same and self._step is not None else self._clock())
        self._paint_from_now_on()

    def found(self, scenes: int) -> None:
        """Show how many scenes a search under way has found."""
        self.step(Step(SEARCHING, scenes))

    def stopping(self) -> None:
        """Say from now on that the run comes to its end; for a signal's handler."""
        self._stopping = True

    def close(self) -> None:
        """Take away what is drawn."""
        painter, self._painter = self._painter, None
        if painter is not None:
            self._done.set()
            painter.join()
        with self._lock:
            self._run = self._step = None
        self._block.wipe()
        self._lines.close()

    def end(self) -> None:
        """Take away what is drawn for good, in whatever state things are; for a signal's handler."""
        self._block.end()

    def _paint_from_now_on(self) -> None:
        if self._painter is None:
            if self._meter is _no_meter:
                from tqdm import tqdm  # noqa: PLC0415  # slow to import, and a run with nothing to do draws nothing

                self._meter = partial(tqdm.format_meter, colour="green" if look_of(self._err).colour else None)
            self._done.clear()
            painter = threading.Thread(target=self._paint, name="terminal", daemon=True)
            # Where the system gives no thread, nothing is drawn.
            with suppress(RuntimeError, MemoryError):
                painter.start()
                self._painter = painter

    def _paint(self) -> None:
        while not self._done.wait(FRAME):
            self._block.draw(self.frame())

    def frame(self) -> list[str]:
        """What is to be shown now."""
        columns, rows = self._block.size()
        now = self._clock()
        with self._lock:
            if self._step is not None:
                step, began = self._step
                if self._stopping:
                    step = structs.replace(step, note="stopping")
                return [step_line(step, now - began, columns, meter=self._meter)]
            if self._run is not None:
                self._run.stopping = self._stopping
                return run_lines(self._run, now, columns, rows, meter=self._meter)
        return []


def _no_meter(*_: object, **__: object) -> str:
    """What there is before anything is drawn."""
    return ""
