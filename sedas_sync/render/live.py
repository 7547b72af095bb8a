"""Listeners of a run: JSON lines, plain lines, and bars on a terminal."""

import json
import sys
from shutil import get_terminal_size
from time import monotonic
from typing import Any, Protocol, TextIO

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
    Summary,
    Warned,
)
from sedas_sync.render.text import duration, printable, size, summary

HEARTBEAT = 30.0
"""Seconds between two plain lines that only say how far it is."""


class View(Protocol):
    """Shows a run."""

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        ...

    def found(self, scenes: int) -> None:
        """Show how many scenes a search under way has found."""
        ...

    def close(self) -> None:
        """Leave the terminal as it was found."""
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
        self._out.write(json.dumps(event.to_json()) + "\n")
        self._out.flush()

    def found(self, scenes: int) -> None:
        """Say nothing: the end of each search is an event."""

    def close(self) -> None:
        """Nothing to leave."""


class Lines:
    """Plain lines on standard error, the summary on standard output.

    Args:
        level: -1 shows only failures and the summary's bad news, 0 what matters, 1 each scene.
        out: where the summary goes.
        err: where everything else goes.
        summarise: write the summary; not where standard output is a document's.
    """

    def __init__(
        self, level: int, *, out: TextIO | None = None, err: TextIO | None = None, summarise: bool = True
    ) -> None:
        self._level = level
        self._summarise = summarise
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._beat = monotonic()

    def say(self, line: str) -> None:
        """Write one line to standard error."""
        self._err.write(line + "\n")
        self._err.flush()

    def __call__(self, event: Event) -> None:
        """Write what the event is worth."""
        if isinstance(event, Progress):
            self._progress(event)
            return
        line, least = describe(event)
        if line and self._level >= least:
            self.say(line)
        if isinstance(event, Summary) and self._summarise and self._level >= 0:
            self._out.write(summary(event) + "\n")
            self._out.flush()

    def found(self, scenes: int) -> None:
        """Say now and then how far a search is."""
        self._say_now_and_then(f"searching: {scenes} scenes so far")

    def _progress(self, event: Progress) -> None:
        self._say_now_and_then(
            f"{event.done} of {event.total} scenes done, {size(event.bytes)} received{_orders(event)}"
        )

    def _say_now_and_then(self, line: str) -> None:
        if self._level >= 0 and monotonic() - self._beat >= HEARTBEAT:
            self._beat = monotonic()
            self.say(line)

    def close(self) -> None:
        """Nothing to leave."""


def _orders(event: Progress) -> str:
    if not event.pending:
        return ""
    age = "" if event.oldest_order_seconds is None else f", the oldest for {duration(event.oldest_order_seconds)}"
    return f"; waiting for {event.pending} orders{age}"


def describe(event: Event) -> tuple[str, int]:
    """The line for an event, and the least verbosity at which it is shown."""
    match event:
        case Started():
            todo = ", ".join(f"{count} to {kind}" for kind, count in event.todo.items() if kind != "keep")
            kept = event.todo.get("keep", 0)
            amount = f", {size(event.bytes)} to fetch" if event.bytes else ""
            return f"{event.mirror}: {todo or 'nothing to do'}; {kept} kept{amount}; {size(event.free)} free", 0
        case Searched():
            how = "" if event.complete else f" (incomplete: {printable(event.error or '')})"
            return f"{event.dataset}: {event.scenes} scenes{how}", 0
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


class Bars:
    """Bars on a terminal: one for the whole run, one for each download under way; lines are written above them."""

    def __init__(self, level: int, *, summarise: bool = True) -> None:
        from tqdm import tqdm  # noqa: PLC0415  # only where there is a terminal to draw on

        self._tqdm: Any = tqdm
        self._lines = Lines(level, summarise=summarise)
        self._lines.say = self._above  # type: ignore[method-assign]  # every line goes above the bars
        self._search: Any = None
        self._whole: Any = None
        self._each: dict[str, Any] = {}

    def _above(self, line: str) -> None:
        self._tqdm.write(line, file=sys.stderr)

    def __call__(self, event: Event) -> None:
        """Show the event."""
        if isinstance(event, Progress):
            self._progress(event)
            return
        if isinstance(event, Summary | Searched | Started):
            self.close()
        self._lines(event)

    def found(self, scenes: int) -> None:
        """Show a search under way as a bar that counts."""
        if self._search is None:
            self._search = self._tqdm(
                desc="searching", unit=" scenes", leave=False, file=sys.stderr, dynamic_ncols=True,
                bar_format="{desc}: {n_fmt}{unit} [{elapsed}]",
            )  # fmt: skip
        self._search.n = scenes
        self._search.refresh()

    def _progress(self, event: Progress) -> None:
        columns = get_terminal_size().columns
        if self._whole is None:
            self._whole = self._tqdm(
                total=None, unit="B", unit_scale=True, position=0, leave=False, file=sys.stderr, ncols=columns - 1,
                bar_format="{n_fmt} in {elapsed}, {rate_fmt}{postfix}",
            )  # fmt: skip
        self._whole.ncols = columns - 1
        self._whole.n = event.bytes
        self._whole.set_postfix_str(f"{event.done}/{event.total} scenes{_orders(event)}", refresh=False)
        self._whole.refresh()
        active = {transfer.id: transfer for transfer in event.active}
        for gone in self._each.keys() - active.keys():
            self._each.pop(gone).close()
        for scene_id, transfer in active.items():
            bar = self._each.get(scene_id) or self._new_bar(scene_id)
            bar.ncols = columns - 1
            bar.set_description_str(_short(scene_id, max(12, columns - _BAR_COLUMNS)), refresh=False)
            bar.total = transfer.total
            bar.n = transfer.done
            bar.refresh()

    def _new_bar(self, scene_id: str) -> Any:
        taken = {-bar.pos for bar in self._each.values()}
        place = next(n for n in range(1, len(taken) + 2) if n not in taken)
        self._each[scene_id] = self._tqdm(
            unit="B", unit_scale=True, position=place, leave=False, file=sys.stderr, bar_format=_BAR_FORMAT
        )
        return self._each[scene_id]

    def close(self) -> None:
        """Take the bars away."""
        bars = [*self._each.values(), self._search, self._whole]
        for bar in bars:
            if bar is not None:
                bar.close()
        if any(bar is not None for bar in bars):
            # What a bar leaves below the cursor when several end at once.
            sys.stderr.write("\r\x1b[J")
            sys.stderr.flush()
        self._each.clear()
        self._search = self._whole = None


_BAR_FORMAT = "{desc} {percentage:3.0f}% {bar:14} {n_fmt}/{total_fmt}"
_BAR_COLUMNS = 40
"""Columns of a download's line beside its name."""


def _short(scene_id: str, room: int) -> str:
    """A name that fits, without its middle: what tells scenes apart stands at both ends."""
    if len(scene_id) <= room:
        return scene_id.ljust(room)
    tail = (room - 1) // 2
    return f"{scene_id[: room - 1 - tail]}…{scene_id[-tail:]}"


def view(*, json_lines: bool, level: int, progress: bool, summarise: bool = True) -> View:
    """Choose how to show a run.

    Args:
        json_lines: as JSON lines on standard output.
        level: -1 quiet, 0 as usual, 1 and more verbose.
        progress: bars are wanted; they are drawn only where standard error is a terminal.
        summarise: write the summary to standard output, where it is not JSON lines.
    """
    if json_lines:
        return JsonLines(sys.stdout)
    if progress and level >= 0 and sys.stderr.isatty():
        return Bars(level, summarise=summarise)
    return Lines(level, summarise=summarise)
