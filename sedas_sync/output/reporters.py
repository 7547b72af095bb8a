"""Reporters show the events of a command as JSON lines or plain lines; `progress` has the one with bars."""

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
from sedas_sync.output.documents.event import event_json
from sedas_sync.output.reasons import reason_text
from sedas_sync.output.style import look_of, marked
from sedas_sync.output.text import orders_line, step_amount, summary

HEARTBEAT = 30.0
"""Seconds between two plain lines that only report progress."""
FIRST_BEAT = 2.0
"""Seconds of silence after which the first such line of a step is printed."""


class Reporter:
    """Shows what a command does; this one shows nothing but lines that are printed."""

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def step(self, step: Step) -> None:
        """Show the progress of a step before or instead of a run."""

    def print(self, line: str) -> None:
        """Print one line to standard error."""
        sys.stderr.write(line + "\n")
        sys.stderr.flush()

    def stopping(self) -> None:
        """Show from now on that the run is stopping. Called from a signal handler."""

    def close(self) -> None:
        """Remove what is drawn, so that something else can be printed. The next event may draw again."""

    def end(self) -> None:
        """Restore the terminal at once and for good. Called from a signal handler."""


class JsonLines(Reporter):
    """Writes one JSON object a line to standard output; progress at most once a second."""

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Write an event."""
        if isinstance(event, Progress):
            now = monotonic()
            if now - self._last < 1.0:
                return
            self._last = now
        sys.stdout.write(as_json(event_json(event)) + "\n")
        sys.stdout.flush()


class PlainLines(Reporter):
    """Writes plain lines to standard error, and the summary to standard output.

    Args:
        level: -1 for failures only, 0 for normal, 1 for each scene.
        summarise: Write the summary; not if a document goes to standard output.
        clock: Returns monotonic seconds.
    """

    def __init__(self, level: int, *, summarise: bool = True, clock: Callable[[], float] = monotonic) -> None:
        self._level = level
        self._summarise = summarise
        self._clock = clock
        self._beat = clock()
        self._step_shown = ("", "")
        self._failed: list[Failed] = []
        """Failures with the same reason that are not printed yet."""

    def __call__(self, event: Event) -> None:
        """Write an event, if the level includes it."""
        if isinstance(event, Failed):
            if self._failed and self._failed[0].error != event.error:
                self.flush_failures()
            self._failed.append(event)
            return
        if isinstance(event, Progress):
            orders = f"; {orders_line(event)}" if event.pending else ""
            self._heartbeat(f"{event.done} of {event.total} scenes done, {size(event.bytes)} received{orders}")
            return
        line, least = describe(event)
        # What prints nothing, such as a scene that arrived, does not divide the failures with one reason.
        if isinstance(event, Summary) or (line and self._level >= least):
            self.flush_failures()
        if line and self._level >= least:
            self.print(marked(line, look_of(sys.stderr)))
        if isinstance(event, Summary) and self._summarise and self._level >= 0:
            sys.stdout.write(summary(event, look_of(sys.stdout)) + "\n")
            sys.stdout.flush()

    def flush_failures(self) -> None:
        """Print the failures so far: in one line if all have the same reason, such as a full disk."""
        failed, self._failed = self._failed, []
        if failed:
            line, _ = describe(failed[0])
            if len(failed) > 1:
                ids = ", ".join(printable(one.id) for one in failed)
                line = f"failed: {ids}: {printable(failed[0].error)}"
            self.print(marked(line, look_of(sys.stderr)))

    def close(self) -> None:
        """Print what is not printed yet."""
        self.flush_failures()

    def step(self, step: Step) -> None:
        """Print the progress of a step: soon after it began or is tried again, then now and then."""
        amount = step_amount(step)
        silence = HEARTBEAT if (step.what, step.note) == self._step_shown else FIRST_BEAT
        facts = ", ".join(filter(None, (f"{amount} so far" if amount else "", step.note)))
        if self._heartbeat(f"{step.what}: {facts}" if facts else step.what, silence):
            self._step_shown = (step.what, step.note)

    def _heartbeat(self, line: str, silence: float = HEARTBEAT) -> bool:
        """Print a line that only reports progress, if the last one was so many seconds ago; return whether it was."""
        due = self._level >= 0 and self._clock() - self._beat >= silence
        if due:
            self._beat = self._clock()
            self.flush_failures()
            self.print(line)
        return due


def describe(event: Event) -> tuple[str, int]:
    """Return the line of an event, and the level from which it is printed."""
    match event:
        case Started():
            todo = ", ".join(f"{count} to {kind}" for kind, count in event.todo.items() if kind != "keep")
            kept = event.todo.get("keep", 0)
            amount = f" ({size(event.bytes)})" if event.bytes else ""
            return (
                f"{printable(event.mirror)}: {todo or 'nothing to do'}{amount}; {kept} kept; {size(event.free)} free",
                0,
            )
        case Searched():
            # The reason for an incomplete search is reported as a failure.
            found = f"{event.dataset}: {count(event.scenes, 'scene')}{'' if event.complete else ', INCOMPLETE'}"
            asked = f", asked {duration(event.age_seconds)} ago; --refresh asks now" if event.age_seconds else ""
            return found + asked, 0
        case Ordered():
            return f"ordered {printable(event.id)}", 1
        case OrderReady():
            return f"ready {printable(event.id)} after {duration(event.age_seconds)}", 1
        case Fetched():
            return f"fetched {printable(event.path)} ({size(event.size)}, {event.level})", 1
        case Adopted():
            return f"adopted {printable(event.path)}", 1
        case Skipped():
            return f"skipped {printable(event.id)}: {printable(reason_text(event.reason))}", 1
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
