"""What the foot of the terminal says: a run or a step under way → lines that fit. Draws nothing by itself."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sedas_sync.events import Fetched, Progress, Step, Transfer
from sedas_sync.render.text import orders_line
from sedas_sync.words import cells, clipped, count, padded, printable, size

WINDOW = 5.0
"""Seconds over which a rate is measured."""
_WIDE, _MIDDLE = 110, 76
"""Columns from which a line has room for all of it, and for most of it."""
_WIDEST = 120
"""Columns beyond which a longer bar says no more."""
_LEAST_NAME = 12
_MARK = "…"
_SOON = 100 * 86400.0
"""Seconds beyond which nobody wants to know when it ends."""

Meter = Callable[..., Any]
"""`tqdm.format_meter`, or what takes the same arguments."""


class Rate:
    """Something per second, over the last moments."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def add(self, now: float, total: float) -> None:
        """Note how much there is by now, ever more."""
        self._seen.append((now, total))
        while len(self._seen) > 2 and now - self._seen[1][0] >= WINDOW:  # noqa: PLR2004  # two make a difference
            self._seen.popleft()

    @property
    def known(self) -> bool:
        """Whether there are two moments to compare."""
        return len(self._seen) > 1

    def at(self, now: float) -> float:
        """How much a second came lately; 0 where nothing is known."""
        if not self._seen:
            return 0.0
        (then, before), (_, total) = self._seen[0], self._seen[-1]
        return (total - before) / (now - then) if now > then else 0.0


class Names:
    """Short names of scenes: never two alike at the same time, and none that changes while it is shown."""

    def __init__(self) -> None:
        self._room = 0
        self._given: dict[str, str] = {}

    def fit(self, ids: Iterable[str], room: int) -> dict[str, str]:
        """Give each scene a name of at most `room` columns.

        What tells scenes apart stands mostly at both ends of their ids, so the middle goes first; where that leaves
        two alike, another part goes, and in the end they are numbered.
        """
        wanted = dict.fromkeys(ids)
        if room != self._room:
            self._room, self._given = room, {}
        self._given = {scene_id: name for scene_id, name in self._given.items() if scene_id in wanted}
        taken = set(self._given.values())
        for scene_id in wanted:
            if scene_id not in self._given:
                name = next(name for name in _candidates(printable(scene_id), room) if name not in taken)
                taken.add(name)
                self._given[scene_id] = name
        return self._given


def _candidates(name: str, room: int) -> Iterator[str]:
    if cells(name) <= room:
        yield name
    if not name.isascii():
        # Cut by columns, not by characters; archives' ids are ASCII, and this is for those that are not.
        name = name.encode("ascii", "backslashreplace").decode()
    left = room - 1
    for tail in (left * 5 // 9, left // 3, left * 2 // 3, 0, left):
        yield name[: left - tail] + _MARK + (name[-tail:] if tail else "")
    for start in range(1, max(1, len(name) - room)):
        yield _MARK + name[start : start + room - 2] + _MARK
    number = 2
    while True:
        end = f"{_MARK}{number}"
        yield name[: max(0, room - len(end))] + end
        number += 1


@dataclass(slots=True)
class Run:
    """A run under way, as its events tell it."""

    progress: Progress | None = None
    stopping: bool = False
    names: Names = field(default_factory=Names)
    _received: int = 0
    """Over the wire, by scenes that are complete."""
    _finished: int = 0
    """Bytes of scenes that are complete."""
    _fetched: int = 0
    _moving: dict[str, tuple[int, int]] = field(default_factory=dict)
    """For each scene under way its bytes when it was first seen, and those now."""
    _rates: dict[str, Rate] = field(default_factory=dict)
    _rate: Rate = field(default_factory=Rate)

    def fetched(self, event: Fetched) -> None:
        """A scene is complete."""
        self._moving.pop(event.id, None)
        self._rates.pop(event.id, None)
        self._received += event.received
        self._finished += event.size
        self._fetched += 1

    def take(self, event: Progress, now: float) -> None:
        """Take in how far it is."""
        self.progress = event
        active = {transfer.id: transfer for transfer in event.active}
        for gone in self._moving.keys() - active.keys():
            first, last = self._moving.pop(gone)
            self._received += max(0, last - first)
            self._rates.pop(gone, None)
        for scene_id, transfer in active.items():
            # What an earlier run has left is no speed of this one; bytes that had to be thrown away come anew.
            first = min(self._moving.get(scene_id, (transfer.done, 0))[0], transfer.done)
            self._moving[scene_id] = (first, transfer.done)
            self._rates.setdefault(scene_id, Rate()).add(now, transfer.done)
        self._rate.add(now, self._received + sum(last - first for first, last in self._moving.values()))

    def rate(self, now: float) -> float:
        """Bytes a second over all downloads."""
        return max(0.0, self._rate.at(now))

    def rate_of(self, scene_id: str, now: float) -> float | None:
        """Bytes a second of one download; None while it was only seen once."""
        rate = self._rates.get(scene_id)
        return None if rate is None or not rate.known else max(0.0, rate.at(now))

    @property
    def fraction(self) -> float:
        """How much of it is done: of its bytes where all are known, else of its scenes."""
        event = self.progress
        if event is None or not event.total:
            return 0.0
        if self._whole(event):
            return min(1.0, event.bytes / event.bytes_total) if event.bytes_total else 0.0
        return min(1.0, _scenes_done(event) / event.total)

    @staticmethod
    def _whole(event: Progress) -> bool:
        return bool(event.bytes_total) and not event.pending and event.bytes <= (event.bytes_total or 0)

    def seconds_left(self, now: float) -> float | None:
        """How long the downloads may take; None where that cannot be said. Nobody knows how long orders take."""
        event = self.progress
        if event is None:
            return None
        rate = self.rate(now)
        if rate <= 0:
            return None
        if self._whole(event):
            return ((event.bytes_total or 0) - event.bytes) / rate
        sizes = [transfer.total for transfer in event.active if transfer.total]
        known = self._fetched + len(sizes)
        scenes = event.total - event.pending - event.done
        if not known or scenes <= 0:
            return None
        # Scenes whose size nobody knows yet are taken to be like those that are known.
        mean = (self._finished + sum(sizes)) / known
        left = scenes * mean - sum(transfer.done for transfer in event.active if transfer.total)
        return max(0.0, left) / rate


def _scenes_done(event: Progress) -> float:
    return event.done + sum(min(1.0, t.done / t.total) for t in event.active if t.total)


def run_lines(of: Run, now: float, columns: int, rows: int, *, meter: Meter) -> list[str]:
    """The lines of a run: the whole of it, its orders, and as many of its downloads as there is room for.

    Args:
        of: the run.
        now: on its clock.
        columns: how wide a line may be.
        rows: how many lines there may be.
        meter: makes a line with a bar.
    """
    event = of.progress
    if event is None:
        return []
    columns = min(columns, _WIDEST)
    lines = [_whole_line(of, event, now, columns, meter)]
    if event.pending and rows > 1:
        lines.append(clipped(f"  {orders_line(event)}", columns))
    room = rows - len(lines)
    shown = list(event.active[:room]) if len(event.active) <= room else list(event.active[: max(0, room - 1)])
    names = of.names.fit([transfer.id for transfer in shown], max(_LEAST_NAME, columns - _beside(columns)))
    width = max(map(cells, names.values()), default=0)
    lines += [_download_line(names[t.id], t, of.rate_of(t.id, now), width, columns, meter) for t in shown]
    if len(shown) < len(event.active) and room > 0:
        lines.append(clipped(f"  and {len(event.active) - len(shown)} more under way", columns))
    return lines[:rows]


def _whole_line(of: Run, event: Progress, now: float, columns: int, meter: Meter) -> str:
    scenes = f"{event.done}/{event.total} scenes"
    if of.stopping:
        return clipped(f"{scenes}  stopping: what has arrived is kept", columns)
    amount = size(event.bytes)
    if event.bytes_total and columns >= _MIDDLE:
        amount += f" of {size(event.bytes_total)}"
    words = [f"{100 * of.fraction:3.0f}%", f"{amount:>8}"]
    if event.active:
        words.append(f"{size(of.rate(now))}/s".rjust(10))
        left = of.seconds_left(now)
        if left is not None and left < _SOON:
            words.append(f"{'ETA ' if columns >= _MIDDLE else ''}{_clock(left)}")
    return _metered(scenes, of.fraction, "  ".join(words), columns, meter)


def _download_line(name: str, transfer: Transfer, rate: float | None, width: int, columns: int, meter: Meter) -> str:
    head, pace = "  " + padded(name, width), ("" if rate is None else f"{size(rate)}/s").rjust(10)
    if transfer.total is None:
        return clipped(f"{head}  {size(transfer.done)}  {pace}".rstrip(), columns)
    part = min(1.0, transfer.done / max(1, transfer.total))
    words = f"{100 * part:3.0f}%  {size(transfer.total):>8}"
    if columns < _MIDDLE:
        return clipped(f"{head}  {words}", columns)
    return _metered(head, part, f"{words}  {pace}", columns, meter, bar=_bar_of(columns))


def _bar_of(columns: int) -> int:
    return 20 if columns >= _WIDE else 10 if columns >= _MIDDLE else 0


def _beside(columns: int) -> int:
    """Columns of a download's line that are not its name's."""
    bar = _bar_of(columns)
    return len("  " + "  100%  999.9 MB") + (len("  ") + bar + len("  999.9 MB/s") if bar else 0)


def _metered(head: str, part: float, words: str, columns: int, meter: Meter, *, bar: int | None = None) -> str:
    """A line with a bar in it, of so many columns or as long as the line lets it be."""
    shape = "{desc}  {bar" + (f":{bar}" if bar else "") + "}  {words}"
    return str(meter(part, 1, 0, ncols=columns, prefix=head, bar_format=shape, words=words))


def step_line(step: Step, took: float, columns: int, *, meter: Meter) -> str:
    """One line for a step: how far it is where that is known, and for how long it has been under way, in seconds."""
    if step.unit == "bytes":
        amount = size(step.done) + (f" of {size(step.total)}" if step.total else "")
    elif step.total:
        amount = f"{step.done:,} of {count(step.total, step.unit)}"
    else:
        amount = count(step.done, step.unit) if step.done else ""
    words = [word for word in (step.note, amount, _clock(took)) if word]
    columns = min(columns, _WIDEST)
    if step.total:
        return _metered(step.what, min(1.0, step.done / step.total), "  ".join(words), columns, meter)
    return clipped("  ".join((step.what, *words)), columns)


def _clock(seconds: float) -> str:
    """Hours, minutes and seconds, as a clock shows them: its width hardly changes."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
