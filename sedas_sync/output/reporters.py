"""Reporters show a command's events: here as JSON lines and as plain lines; `bars` has the one for terminals."""

import sys
from collections.abc import Callable
from time import monotonic

from sedas_sync.model.events import (
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
from sedas_sync.model.text import as_json, count, duration, printable, size
from sedas_sync.output.style import look_of, marked
from sedas_sync.output.text import orders_line, step_amount, summary

HEARTBEAT = 30.0
"""Seconds between two plain lines that only say how far it is."""


class Reporter:
    """Shows what a command does, and by itself nothing of it."""

    def __call__(self, event: Event) -> None:
        """Show the next event."""

    def step(self, step: Step) -> None:
        """Show how far a step is that comes before or instead of a run."""

    def found(self, scenes: int) -> None:
        """Show how many scenes a search under way has found."""
        self.step(Step("searching", scenes))

    def print(self, line: str) -> None:
        """Write one line to standard error."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def stopping(self) -> None:
        """Show from now on that the run comes to its end; for a signal's handler."""

    def close(self) -> None:
        """Take away what is drawn, so that something else can be written; the next event may draw again."""

    def end(self) -> None:
        """Leave the terminal as it was found, at once and for good; for a signal's handler."""


class JsonLines(Reporter):
    """One JSON object a line on standard output; progress once a second at most."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Write the event."""
        if isinstance(event, Progress):
            moment = monotonic()
            if moment - self._last < 1.0:
                return
            self._last = moment
        sys.stdout.write(as_json(event.to_json()) + "\n")
        sys.stdout.flush()


class PlainLines(Reporter):
    """Plain lines on standard error, the summary on standard output.

    Args:
        level: -1 shows only failures and the summary's bad news, 0 what matters, 1 each scene.
        summarise: write the summary; not where standard output is a document's.
        clock: monotonic seconds.
    """

    def __init__(self, level: int, *, summarise: bool = True, clock: Callable[[], float] = monotonic) -> None:
        self._level = level
        self._summarise = summarise
        self._clock = clock
        self._beat = clock()
        self._failed: list[Failed] = []
        """What failed for one and the same reason, and is not said yet."""

    def __call__(self, event: Event) -> None:
        """Write what the event is worth."""
        if isinstance(event, Failed) and self._failed and self._failed[0].error == event.error:
            self._failed.append(event)
            return
        self.flush_failures()
        if isinstance(event, Failed):
            self._failed.append(event)
            return
        if isinstance(event, Progress):
            orders = f"; {orders_line(event)}" if event.pending else ""
            self._heartbeat(f"{event.done} of {event.total} scenes done, {size(event.bytes)} received{orders}")
            return
        line, least = describe(event)
        if line and self._level >= least:
            self.print(marked(line, look_of(sys.stderr)))
        if isinstance(event, Summary) and self._summarise and self._level >= 0:
            sys.stdout.write(summary(event, look_of(sys.stdout)) + "\n")
            sys.stdout.flush()

    def flush_failures(self) -> None:
        """Report the failures so far: in one line if all have one reason, such as a full disk."""
        failed, self._failed = self._failed, []
        if failed:
            line, _ = describe(failed[0])
            if len(failed) > 1:
                line = f"failed: {count(len(failed), 'scene')}: {printable(failed[0].error)}"
            self.print(marked(line, look_of(sys.stderr)))

    def close(self) -> None:
        """Report what is left to report."""
        self.flush_failures()

    def step(self, step: Step) -> None:
        """Write now and then how far a step is."""
        amount = step_amount(step)
        self._heartbeat(f"{step.what}: {amount} so far" if amount else step.what)

    def _heartbeat(self, line: str) -> None:
        """Write a line that only says how far it is, if the last one was long ago."""
        if self._level >= 0 and self._clock() - self._beat >= HEARTBEAT:
            self._beat = self._clock()
            self.print(line)


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
