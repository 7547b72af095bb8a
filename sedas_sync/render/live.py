"""Listeners of a run: JSON lines and plain lines; `bars` has the one for a terminal, and `views` chooses."""

import sys
from collections.abc import Callable
from time import monotonic
from typing import Protocol, TextIO

from sedas_sync.events import (
    Adopted,
    Event,
    Failed,
    Fetched,
    Ordered,
    OrderReady,
    Progress,
    Pruned,
    Retried,
    Searched,
    Skipped,
    Started,
    Step,
    Summary,
    Warned,
)
from sedas_sync.render.look import look_of, marked
from sedas_sync.render.text import orders_line, summary
from sedas_sync.words import as_json, count, duration, printable, size

HEARTBEAT = 30.0
"""Seconds between two plain lines that only say how far it is."""
SEARCHING = "searching"


class View(Protocol):
    """Shows a run."""

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        ...

    def found(self, scenes: int) -> None:
        """Show how many scenes a search under way has found."""
        ...

    def step(self, step: Step) -> None:
        """Show how far a step is that comes before or instead of a run."""
        ...

    def say(self, line: str) -> None:
        """Write one line to standard error."""
        ...

    def stopping(self) -> None:
        """Say from now on that the run comes to its end; for a signal's handler."""
        ...

    def close(self) -> None:
        """Take away what is drawn, so that something else can be written; the next event may draw again."""
        ...

    def end(self) -> None:
        """Leave the terminal as it was found, at once and for good; for a signal's handler."""
        ...


class JsonLines:
    """One JSON object a line on standard output; progress once a second at most."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Write the event."""
        if isinstance(event, Progress):
            moment = monotonic()
            if moment - self._last < 1.0:
                return
            self._last = moment
        self._out.write(as_json(event.to_json()) + "\n")
        self._out.flush()

    def found(self, scenes: int) -> None:
        """Say nothing: the end of each search is an event."""

    def step(self, step: Step) -> None:
        """Say nothing: steps are for people."""

    def say(self, line: str) -> None:
        """Write one line to standard error."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def stopping(self) -> None:
        """Say nothing: the summary does."""

    def close(self) -> None:
        """Nothing to leave."""

    def end(self) -> None:
        """Nothing to leave."""


class Lines:
    """Plain lines on standard error, the summary on standard output.

    Args:
        level: -1 shows only failures and the summary's bad news, 0 what matters, 1 each scene.
        out: where the summary goes.
        err: where everything else goes.
        summarise: write the summary; not where standard output is a document's.
        clock: monotonic seconds.
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
        self._level = level
        self._summarise = summarise
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._clock = clock
        self._beat = clock()
        self._failed: list[Failed] = []
        """What failed for one and the same reason, and is not said yet."""

    def say(self, line: str) -> None:
        """Write one line to standard error."""
        self._err.write(line + "\n")
        self._err.flush()

    def __call__(self, event: Event) -> None:
        """Write what the event is worth."""
        if isinstance(event, Failed) and self._failed and self._failed[0].error == event.error:
            self._failed.append(event)
            return
        self.catch_up()
        if isinstance(event, Failed):
            self._failed.append(event)
            return
        if isinstance(event, Progress):
            self._progress(event)
            return
        line, least = describe(event)
        if line and self._level >= least:
            self.say(marked(line, look_of(self._err)))
        if isinstance(event, Summary) and self._summarise and self._level >= 0:
            self._out.write(summary(event, look_of(self._out)) + "\n")
            self._out.flush()

    def catch_up(self) -> None:
        """Say what has failed: in one line where all of it failed for one reason, such as a full disk."""
        failed, self._failed = self._failed, []
        if failed:
            line, _ = describe(failed[0])
            if len(failed) > 1:
                line = f"failed: {count(len(failed), 'scene')}: {printable(failed[0].error)}"
            self.say(marked(line, look_of(self._err)))

    def found(self, scenes: int) -> None:
        """Say now and then how far a search is."""
        self.step(Step(SEARCHING, scenes))

    def step(self, step: Step) -> None:
        """Say now and then how far a step is."""
        if step.unit == "bytes":
            amount = size(step.done) + (f" of {size(step.total)}" if step.total else "")
        else:
            amount = f"{step.done} of {count(step.total, step.unit)}" if step.total else count(step.done, step.unit)
        self._say_now_and_then(f"{step.what}: {amount} so far")

    def stopping(self) -> None:
        """Say nothing: the summary does."""

    def _progress(self, event: Progress) -> None:
        orders = f"; {orders_line(event)}" if event.pending else ""
        self._say_now_and_then(f"{event.done} of {event.total} scenes done, {size(event.bytes)} received{orders}")

    def _say_now_and_then(self, line: str) -> None:
        if self._level >= 0 and self._clock() - self._beat >= HEARTBEAT:
            self._beat = self._clock()
            self.say(line)

    def close(self) -> None:
        """Say what is left to be said."""
        self.catch_up()

    def end(self) -> None:
        """Nothing to leave."""


def describe(event: Event) -> tuple[str, int]:
    """The line for an event, and the least verbosity at which it is shown."""
    match event:
        case Started():
            todo = ", ".join(f"{count} to {kind}" for kind, count in event.todo.items() if kind != "keep")
            kept = event.todo.get("keep", 0)
            amount = f" ({size(event.bytes)})" if event.bytes else ""
            return f"{event.mirror}: {todo or 'nothing to do'}{amount}; {kept} kept; {size(event.free)} free", 0
        case Searched():
            # Why it stayed incomplete is said as a failure.
            return f"{event.dataset}: {count(event.scenes, 'scene')}{'' if event.complete else ', INCOMPLETE'}", 0
        case Ordered():
            return f"ordered {printable(event.id)}", 1
        case OrderReady():
            return f"ready {printable(event.id)} after {duration(event.age_seconds)}", 1
        case Fetched():
            return f"fetched {printable(event.path)} ({size(event.size)}, {event.level})", 1
        case Adopted():
            return f"adopted {printable(event.path)}", 1
        case Skipped():
            return f"skipped {printable(event.id)}: {printable(event.reason)}", 1
        case Retried():
            wait = f", again in {duration(event.delay_seconds)}" if event.delay_seconds else ", again"
            return f"retry {printable(event.id)}: {printable(event.error)}{wait}", 0
        case Failed():
            return f"failed: {printable(event.id)}: {printable(event.error)}", -1
        case Pruned():
            return f"pruned {printable(event.path)}", 0
        case Warned():
            where = f"{printable(event.id)}: " if event.id else ""
            return f"warning: {where}{printable(event.message)}", 0
        case _:
            return "", 9
