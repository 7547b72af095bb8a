"""Scenes for other tools: JSON, GeoJSON, CSV."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import msgspec

from sedas_sync.geometry.geojson import outlines
from sedas_sync.model.events import OnStep, Step
from sedas_sync.model.history import SceneState
from sedas_sync.model.local import LocalScene
from sedas_sync.model.scene import Scene
from sedas_sync.output.documents.catalogue import SceneEntry

COLUMNS = SceneEntry.__struct_fields__[:-1]
"""The fields of a scene in a catalogue that every format has, in this order."""

_OF_AN_OFFER = frozenset({"digest", "online", "planned", "download_url", "quicklook_url", "thumbnail_url"})
_OF_A_FILE = ("path", "sha256", "level", "archive")
_ADDED = ("relative_orbit", "tile")
"""New columns come last: readers may count on the order."""

LOCAL_COLUMNS = (
    *(name for name in COLUMNS if name not in {*_OF_AN_OFFER, *_ADDED}),
    *_OF_A_FILE,
    *_ADDED,
    "state",
)
"""The fields of a scene in the mirror: those that last, those of its file, and what became of it in the catalogue.
`size` is the file's."""

_AT_ONCE = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""Characters at which some readers of CSV end a line or stop, even in quotes."""

_FORMULA = re.compile(r"[\t\r]|\s*[=+\-@]")
"""The start of a cell that spreadsheets take for a formula, which can run programs and send data away."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")

_T = TypeVar("_T")


class TableRow(NamedTuple):
    """A scene in a table."""

    scene: Scene
    datasets: Sequence[str]
    local: LocalScene | None = None
    """Its file, in a table of scenes on disk."""
    state: SceneState = SceneState.LISTED
    """What became of it in the catalogue, in a table of scenes on disk."""

    def facts(self) -> dict[str, Any]:
        """Return the scene as JSON data."""
        values: dict[str, Any] = msgspec.to_builtins(SceneEntry.wanted_by(self.scene, self.datasets))
        if self.local is None:
            return values
        row = {name: values[name] for name in LOCAL_COLUMNS if name in values and name not in _OF_A_FILE}
        row |= {name: getattr(self.local, name) for name in _OF_A_FILE}
        return {**row, "size": self.local.size, "state": self.state.value, "extra": values["extra"]}


def offered(scenes: Iterable[Scene], datasets: Mapping[str, Sequence[str]]) -> Iterator[TableRow]:
    """Return rows of scenes that a catalogue offers.

    Args:
        scenes: In the order of the table.
        datasets: For each scene's id, the datasets that match it.
    """
    return (TableRow(scene, datasets.get(scene.id, ())) for scene in scenes)


def as_geojson(rows: Iterable[TableRow]) -> Iterator[str]:
    """Yield a FeatureCollection of footprints (RFC 7946), one feature a line.

    The geometry is null if the footprint cannot be read. A footprint across the antimeridian is split there.
    """
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
    """Yield a header and one line a scene. Several datasets are separated by spaces; control characters become spaces.

    A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.
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
    """Counts items as they are iterated over, and reports progress."""

    def __init__(self, what: str, total: int, on_step: OnStep) -> None:
        self._what = what
        self._total = total
        self._on_step = on_step
        self._done = 0

    def __call__(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield the items."""
        for item in items:
            if self._done % _AT_ONCE == 0:
                self._on_step(Step(self._what, self._done, self._total))
            self._done += 1
            yield item


def in_batches(items: Iterable[_T]) -> Iterator[list[_T]]:
    """Yield lists of items, in order: many operations are much faster for a thousand items at once."""
    rest = iter(items)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
