"""Scenes for other tools: JSON, GeoJSON, CSV."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from sedas_sync.model.events import OnStep, Step, iso
from sedas_sync.model.scene import LocalScene, Scene

COLUMNS = (
    "id",
    "datasets",
    "start",
    "stop",
    "sensor",
    "satellite",
    "instrument",
    "mode",
    "source_group",
    "product_type",
    "orbit",
    "orbit_direction",
    "polarisation",
    "cloud_cover",
    "resolution",
    "size",
    "digest",
    "online",
    "planned",
    "footprint",
    "download_url",
    "quicklook_url",
    "thumbnail_url",
)
"""The facts of a scene in a catalogue that every format shows, in this order."""

_OF_AN_OFFER = frozenset({"digest", "online", "planned", "download_url", "quicklook_url", "thumbnail_url"})
_OF_A_FILE = ("path", "sha256", "level", "archive")

HELD_COLUMNS = (*(name for name in COLUMNS if name not in _OF_AN_OFFER), *_OF_A_FILE)
"""The facts of a scene in the mirror: those that last, and those of its file; `size` is the file's."""

_AT_ONCE = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""What some readers of CSV take for the end of a line, or stop at, though it is quoted."""

_FORMULA = re.compile(r"[\t\r]|\s*[=+\-@]")
"""How a cell begins that spreadsheets take for a formula, which can run programs and send data away."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")

_T = TypeVar("_T")


class TableRow(NamedTuple):
    """A scene in a table."""

    scene: Scene
    datasets: Sequence[str]
    held: LocalScene | None = None
    """Its file, in a table of what the mirror holds."""

    def facts(self) -> dict[str, Any]:
        """The scene as JSON data."""
        values = facts(self.scene, self.datasets)
        if self.held is None:
            return values
        held = {name: values[name] for name in HELD_COLUMNS if name not in _OF_A_FILE}
        held |= {name: getattr(self.held, name) for name in _OF_A_FILE}
        return {**held, "size": self.held.size, "extra": values["extra"]}


def facts(scene: Scene, datasets: Sequence[str] = ()) -> dict[str, Any]:
    """A scene as JSON data: every column of `COLUMNS`, null where the catalogue is silent, and `extra`."""
    values: dict[str, Any] = {}
    for column in COLUMNS:
        value: Any = list(datasets) if column == "datasets" else getattr(scene, column)
        values[column] = iso(value) if column in ("start", "stop") and value is not None else value
    values["extra"] = dict(scene.extra)
    return values


def offered(scenes: Iterable[Scene], datasets: Mapping[str, Sequence[str]]) -> Iterator[TableRow]:
    """Rows of scenes that a catalogue offers.

    Args:
        scenes: in the order of the table.
        datasets: for each scene's id, who wants it.
    """
    return (TableRow(scene, datasets.get(scene.id, ())) for scene in scenes)


def as_geojson(rows: Iterable[TableRow]) -> Iterator[str]:
    """A FeatureCollection of footprints (RFC 7946), a feature a line.

    The geometry is null where there is none that can be read; what crosses the antimeridian is split there.
    """
    from sedas_sync.geometry.geojson import outlines  # noqa: PLC0415  # slow to import, and only this format needs it

    yield '{"type": "FeatureCollection", "features": ['
    separator = "\n"
    for some in in_batches(rows):
        for row, outline in zip(some, outlines([row.scene.footprint for row in some]), strict=True):
            properties = row.facts()
            del properties["footprint"]
            feature: dict[str, Any] = {"type": "Feature", "id": row.scene.id}
            if outline is not None:
                feature |= {"bbox": outline.bbox}
            feature |= {"geometry": None if outline is None else outline.geometry, "properties": properties}
            yield separator + json.dumps(feature)
            separator = ",\n"
    yield "\n]}\n"


def as_csv(rows: Iterable[TableRow], columns: Sequence[str]) -> Iterator[str]:
    """A header and one line a scene; several datasets are separated by spaces, control characters are blanks.

    A text that a spreadsheet would take for a formula has an apostrophe in front; numbers stay numbers.
    """
    line = io.StringIO()
    writer = csv.DictWriter(line, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        yield line.getvalue()
        line.seek(0)
        line.truncate()
        values = {**row.facts(), "datasets": " ".join(row.datasets)}
        writer.writerow({key: _cell(value) for key, value in values.items()})
    yield line.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    formula = _FORMULA.match(value) and not _NUMBER.fullmatch(value)
    return _CONTROL.sub(" ", f"'{value}" if formula else value)


class Tally:
    """Counts things as they are taken from iterables, and tells how far it is."""

    def __init__(self, what: str, total: int, on_step: OnStep) -> None:
        self._what = what
        self._total = total
        self._on_step = on_step
        self._done = 0

    def __call__(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield the same, counted."""
        for item in items:
            if self._done % _AT_ONCE == 0:
                self._on_step(Step(self._what, self._done, self._total))
            self._done += 1
            yield item


def in_batches(items: Iterable[_T], size: int = _AT_ONCE) -> Iterator[list[_T]]:
    """So many at a time, in order: much that is slow one by one is fast for a thousand."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some
