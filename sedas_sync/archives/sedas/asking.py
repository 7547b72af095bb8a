"""The questions of one search: windows of it, and other ways to cut what is too full."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sedas_sync.archives.complete_search import windows
from sedas_sync.archives.sedas.areas import cut_area
from sedas_sync.archives.sedas.query import OPTICAL_TYPES, SAR_TYPES, search_body, seconds, wire_time
from sedas_sync.archives.sedas.rows import identify, shown, to_instant
from sedas_sync.model.satellites import group_of
from sedas_sync.model.scene import Query


@dataclass(slots=True)
class _Ends:
    """Whether answers hold what starts in the very first and the very last second that was asked for."""

    first_included: bool = False
    last_included: bool = False
    loose: bool = False
    """Whether answers reach beyond what was asked for, and so tell nothing about its ends."""

    def learn(self, start: int, stop: int, starts: Collection[int]) -> None:
        """Learn from the starts of an answer."""
        if starts:
            first, last = min(starts), max(starts)
            self.loose = self.loose or first < start or last > stop
            self.first_included = not self.loose and (self.first_included or first == start)
            self.last_included = not self.loose and (self.last_included or last == stop)


class Asking:
    """One query's questions: asks windows of it, and knows the ways to cut a second that is too full.

    Args:
        query: what is searched.
        answer: asks the service, given the body of a question, and gives the rows.
        satellites: gives the names of satellites that the account may search.

    """

    def __init__(
        self, query: Query, answer: Callable[[dict[str, Any]], list[Any]], satellites: Callable[[], Iterable[str]]
    ) -> None:
        self._query = query
        self._answer = answer
        self._satellites = satellites
        self._whole = search_body(query)
        narrowing = ("sensorFilters", "filters", "satelliteName", "sourceGroup")
        self.narrowing = json.dumps([self._whole.get(key) for key in narrowing], sort_keys=True, default=str)
        self._ends = _Ends()
        self._fractions = False

    def ask(self, window: windows.Window) -> windows.Answer:
        """Ask for one window, or for the part of it that the window says."""
        body = {**self._whole, **(window.part or {})}
        # Whether the service includes the ends of what it is asked is not documented, so that a second more is asked
        # for at either end. Starts with fractions of a second would fall between windows of whole seconds besides.
        start = window.start - (0 if self._ends.first_included else windows.NEAR)
        stop = window.stop + (0 if self._ends.last_included and not self._fractions else windows.NEAR)
        body["start"], body["stop"] = wire_time(start), wire_time(stop)
        rows = [self._row(row) for row in self._answer(body)]
        self._ends.learn(start, stop, [row.start for row in rows if row.start is not None])
        return windows.Answer(rows)

    def _row(self, row: Any) -> windows.AnswerRow:
        try:
            name = identify(row)
            value = row.get("start")
            second, fraction = _second(value) if value else (None, False)
        except (ValueError, TypeError, AttributeError, OverflowError):
            # It will be left out with a warning, once, however many answers hold it; till then it counts as a row.
            return windows.AnswerRow("\0" + shown(row), None, _ALIKE, row)
        self._fractions = self._fractions or fraction
        return windows.AnswerRow(name, second, _respects(row), row)

    def spread(self, window: windows.Window, rows: Collection[windows.AnswerRow]) -> list[Any]:
        """Cut the area so that no part meets all rows; each part is what it changes in the body of the question."""
        if "minCoveragePercent" in self._query.filters:
            return []
        part: dict[str, Any] = window.part or {}
        body = {**self._whole, **part}
        filters = {key: value for key, value in body["filters"].items() if key != "minCoveragePercent"}
        areas = cut_area(body["aoiWKT"], [row.item for row in rows])
        return [{**part, "aoiWKT": area, "filters": filters} for area in areas]

    def divide(self, window: windows.Window, rows: Collection[windows.AnswerRow]) -> Iterator[list[Any]]:
        """Yield other ways to cut a question into parts whose answers together are the whole's, best first."""
        part: dict[str, Any] = window.part or {}
        body = {**self._whole, **part}
        if "satelliteName" not in body:
            seen = {row.groups[0] for row in rows if row.groups[0]}
            names = sorted(seen.union(self._satellites()))
            if len(names) > 1:
                yield [{**part, "satelliteName": name} for name in names]
        kind = body["sensorFilters"]["type"]
        if kind == "All":
            yield [{**part, "sensorFilters": {"type": name}} for name in ("Optical", "SAR")]
        for key, own, values in (
            ("opticalProductType", "Optical", OPTICAL_TYPES),
            ("sarProductType", "SAR", SAR_TYPES),
        ):
            types = {row.item.get("productType") for row in rows if isinstance(row.item, dict)}
            if kind == own and key not in body["filters"] and types <= values:
                yield [{**part, "filters": {**body["filters"], key: value}} for value in sorted(values)]
        directions = ("ASCENDING", "DESCENDING")
        if "orbitDirection" not in body["filters"] and all(
            isinstance(row.item, dict) and str(row.item.get("orbitDirection")).upper() in directions for row in rows
        ):
            yield [{**part, "filters": {**body["filters"], "orbitDirection": value}} for value in directions]


@lru_cache(maxsize=1 << 13)
def _second(text: str) -> tuple[int, bool]:
    """The second of an instant, and whether that had a fraction: a row comes in some four answers of a long search."""
    when = to_instant(text)
    return seconds(when), bool(when.microsecond)


_RESPECTS = ("satelliteName", "sensorType", "productType", "orbitDirection")
"""What a limit may count rows by, besides the source group: what they can be filtered by."""
_ALIKE = ("",) * (len(_RESPECTS) + 1)


def _respects(row: Mapping[str, Any]) -> tuple[str, ...]:
    """In which respects the service's limit may tell a row from others; the satellite first."""
    values = tuple(map(row.get, _RESPECTS))
    try:
        return _all_respects(*values)
    except TypeError:  # something that is no text, and cannot be kept
        return _all_respects(*[value if isinstance(value, str) else None for value in values])


@lru_cache(maxsize=1024)
def _all_respects(*values: object) -> tuple[str, ...]:
    texts = [value if isinstance(value, str) else "" for value in values]
    return (*texts, group_of(texts[0]) or "")
