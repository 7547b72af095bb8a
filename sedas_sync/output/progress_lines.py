"""The rows that show a run or a step: names, bars and facts. Nothing is drawn here."""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import count
from typing import NamedTuple

from tqdm import tqdm

from sedas_sync.model.events import Fetched, Progress, Step, Transfer
from sedas_sync.model.text import cells, padded, printable, size
from sedas_sync.output.text import orders_line, step_amount
from sedas_sync.planning.product_name import parse_name

_WINDOW = 5.0
"""Seconds over which a speed is measured."""
_WIDE, _NARROW = 76, 50
"""Columns from which a run's row has room for all its facts, and for a bar beside the numbers."""


class Row(NamedTuple):
    """One row: a name, a bar, and facts.

    Attributes:
        name: text before the bar.
        part: how much is done, from 0 to 1; None for no bar.
        facts: texts after the bar. A narrow terminal leaves out the last ones.
    """

    name: str
    part: float | None = None
    facts: tuple[str, ...] = ()


class Speed:
    """Measures bytes per second over the last seconds."""

    def __init__(self) -> None:
        self.gained = 0
        """Bytes received since the first call of `add`."""
        self._last: int | None = None
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, now: float, done: int) -> int:
        """Add a measurement, and return the bytes received since the last one. Bytes of earlier runs do not count."""
        gain = 0 if self._last is None else max(0, done - self._last)
        self._last = done
        self.gained += gain
        self._seen.append((now, self.gained))
        while len(self._seen) > 2 and now - self._seen[1][0] >= _WINDOW:  # noqa: PLR2004  # a speed needs two
            self._seen.popleft()
        return gain

    def at(self, now: float) -> float | None:
        """Return bytes per second; None while they are not known."""
        then, before = self._seen[0] if self._seen else (now, 0)
        return (self.gained - before) / (now - then) if len(self._seen) > 1 and now > then else None


class RunRows:
    """The rows of a run, from its events."""

    def __init__(self) -> None:
        self.stopping = False
        self._progress: Progress | None = None
        self._received = 0
        self._speed = Speed()
        self._speeds: dict[str, Speed] = {}
        self._fetched = 0
        self._fetched_bytes = 0
        self._names: dict[str, str] = {}
        self._room = 0

    def update(self, event: Progress | Fetched, now: float) -> None:
        """Update the rows with an event."""
        if isinstance(event, Fetched):
            seen = self._speeds.get(event.id)
            # Progress is reported now and then, for a small scene perhaps never.
            self._received += max(0, event.received - (seen.gained if seen else 0))
            self._fetched += 1
            self._fetched_bytes += event.size
            return
        self._progress = event
        self._speeds = {transfer.id: self._speeds.get(transfer.id) or Speed() for transfer in event.active}
        self._received += sum(self._speeds[transfer.id].add(now, transfer.done) for transfer in event.active)
        self._speed.add(now, self._received)

    def rows(self, now: float, columns: int, lines: int) -> list[Row]:
        """Return a row for the run, one for its orders, and as many rows of downloads as fit."""
        event = self._progress
        if event is None:
            return []
        rows = [self._whole(event, now, columns)]
        if event.pending:
            orders = orders_line(event)
            rows.append(Row(f"  {orders if len(orders) < columns - 1 else orders.removeprefix('waiting for ')}"))
        room = lines - len(rows)
        shown = event.active if len(event.active) <= room else event.active[: max(0, room - 1)]
        names = self._names_of(shown, max(4, columns // 2, columns - 50))
        width = max(map(cells, names.values()), default=0)
        rows += [self._download(transfer, padded(names[transfer.id], width), now) for transfer in shown]
        if len(shown) < len(event.active):
            rows.append(Row(f"  and {len(event.active) - len(shown)} more under way"))
        return rows

    def _whole(self, event: Progress, now: float, columns: int) -> Row:
        scenes = f"{event.done}/{event.total} scenes"
        if self.stopping:
            return Row(f"{scenes}  stopping: what has arrived is kept")
        wide, facts = columns >= _WIDE, []
        if event.active:
            facts.append(_pace(self._speed.at(now) or 0))
            left = self.seconds_left(now)
            if left is not None:
                facts.append(f"{'ETA ' if wide else ''}{tqdm.format_interval(left)}")
        total = f" of {size(event.bytes_total)}" if wide and event.bytes_total else ""
        facts.append(f"{size(event.bytes):>8}{total}")
        if columns < _NARROW:
            return Row(scenes, None, tuple(fact.strip() for fact in facts))
        parts = sum(min(1.0, transfer.done / transfer.total) for transfer in event.active if transfer.total)
        return Row(scenes, min(1.0, (event.done + parts) / max(1, event.total)), tuple(facts))

    def _download(self, transfer: Transfer, name: str, now: float) -> Row:
        pace = _pace(self._speeds[transfer.id].at(now))
        if not transfer.total:
            return Row(f"  {name}", None, (f"{size(transfer.done):>8}", pace))
        return Row(f"  {name}", min(1.0, transfer.done / transfer.total), (f"{size(transfer.total):>8}", pace))

    def _names_of(self, shown: Iterable[Transfer], room: int) -> dict[str, str]:
        """Return short names, all different. A name does not change while it is shown."""
        before = self._names if room == self._room else {}
        ids = [transfer.id for transfer in shown]
        self._room, self._names = room, {scene_id: before[scene_id] for scene_id in ids if scene_id in before}
        for scene_id in ids:
            if scene_id not in self._names:
                taken = set(self._names.values())
                self._names[scene_id] = next(name for name in short_names(scene_id, room) if name not in taken)
        return self._names

    def seconds_left(self, now: float) -> float | None:
        """Estimate how long the downloads take; None if it is not known. Orders do not count: their time is unknown."""
        event, speed = self._progress, self._speed.at(now)
        sizes = [] if event is None else [transfer.total for transfer in event.active if transfer.total]
        known = self._fetched + len(sizes)
        if event is None or not speed or not known:
            return None
        if event.bytes_total and not event.pending and event.bytes <= event.bytes_total:
            return (event.bytes_total - event.bytes) / speed
        # Scenes of unknown size are assumed to be like the others.
        left = (event.total - event.pending - event.done) * (self._fetched_bytes + sum(sizes)) / known
        return max(0.0, left - sum(transfer.done for transfer in event.active if transfer.total)) / speed


def _pace(speed: float | None) -> str:
    return ("" if speed is None else f"{size(speed)}/s").rjust(10)


def short_names(scene_id: str, room: int) -> Iterator[str]:
    """Yield names for a scene that fit into so many columns: what people read first, cut elsewhere, then numbered."""
    name = printable(scene_id)
    if cells(name) <= room:
        yield name
    facts = parse_name(scene_id)
    if facts.mission and facts.start:
        head, day, tile = f"{facts.mission} {facts.product_type or ''}".rstrip(), facts.start[:8], facts.tile or ""
        for short in (f"{head} {facts.start} {tile}", f"{head} {facts.start}", f"{head} {day} {tile}", f"{head} {day}"):
            if len(short.rstrip()) <= room:
                yield short.rstrip()
    if not name.isascii():
        # Only ASCII text has as many columns as characters.
        name = name.encode("ascii", "backslashreplace").decode()
    room -= len("…")
    for tail in (room // 2, room * 2 // 3, min(room, len(name)), 0):
        yield f"{name[: room - tail]}…{name[max(0, len(name) - tail) :]}"
    for number in count(2):
        yield f"{name[: room - len(str(number))]}…{number}"


def step_row(step: Step, took: float) -> Row:
    """Return the row of a step: its progress and how long it has taken."""
    part = min(1.0, step.done / step.total) if step.total else None
    facts = (step_amount(step), tqdm.format_interval(took), step.note)
    return Row(step.what, part, tuple(fact for fact in facts if fact))
