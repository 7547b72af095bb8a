"""One query, sent window by window, and the ways to split it if a window has too many scenes."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import lru_cache
from typing import Any

from sedas_sync.archives.complete_search.answers import AnswerRow
from sedas_sync.archives.complete_search.windows import NEAR, Window
from sedas_sync.archives.lenient import row_text
from sedas_sync.archives.sedas.areas import split_area
from sedas_sync.archives.sedas.query import OPTICAL_TYPES, SAR_TYPES, search_body, seconds, time_text
from sedas_sync.archives.sedas.rows import id_of, to_time
from sedas_sync.model.satellites import group_of
from sedas_sync.model.scene import Query

_FILTERED = ("satelliteName", "sensorType", "productType", "orbitDirection")
"""What rows can be filtered by, and so what a cap may count them by; the source group is another one."""
_SATELLITE, _, _PRODUCT_TYPE, _DIRECTION = range(len(_FILTERED))
_NO_ATTRIBUTES = ("",) * (len(_FILTERED) + 1)
_REMEMBERED = 15_000
_IDENTIFYING = ("supplierId", "start", *_FILTERED)


class WindowedQuery:
    """The functions that a complete search needs: `ask`, `split_area` and `split_otherwise`.

    The `part` of a window is what it changes in the body of the request.

    Args:
        query: What to search.
        search: Sends the body of one request and returns the rows.
        satellites: Returns the names of the satellites that the account may search.
        make: Returns the item of a row.
    """

    def __init__(
        self,
        query: Query,
        search: Callable[[dict[str, Any]], list[Any]],
        satellites: Callable[[], Iterable[str]],
        make: Callable[[Any], Any],
    ) -> None:
        self._query = query
        self._search = search
        self._satellites = satellites
        self._make = make
        self._known: dict[tuple[Any, ...], AnswerRow] = {}
        """The rows of the last answers, by the values of `_IDENTIFYING`."""
        self._earlier: dict[tuple[Any, ...], AnswerRow] = {}
        """Those of the answers before. Older ones are forgotten: rows come again soon, and each needs memory."""
        self._body = search_body(query)
        restrictions = ("sensorFilters", "filters", "satelliteName", "sourceGroup")
        self.restrictions = json.dumps([self._body.get(key) for key in restrictions], sort_keys=True, default=str)
        """The restrictions of the query other than time and area. A cap may count rows before or after these."""
        self._ends = _Ends()
        self._fractions = False
        """Whether a start has a fraction of a second."""

    def ask(self, window: Window) -> list[AnswerRow]:
        """Send the query for one window."""
        # It is not documented whether the service includes the ends of the period, so the period is a second longer at
        # both ends. Without that, starts with a fraction would also fall between windows of whole seconds.
        start = window.start - (0 if self._ends.includes_first else NEAR)
        stop = window.stop + (0 if self._ends.includes_last and not self._fractions else NEAR)
        body = {**self._body, **(window.part or {}), "start": time_text(start), "stop": time_text(stop)}
        rows = [self._row(row) for row in self._search(body)]
        if len(self._known) > _REMEMBERED:
            self._known, self._earlier = {}, self._known
        self._ends.learn(start, stop, [row.start for row in rows if row.start is not None])
        return rows

    def _row(self, row: Any) -> AnswerRow:
        """Return a row as an `AnswerRow`. One that was in another answer, as most are, is only recognised."""
        try:
            values = tuple(map(row.get, _IDENTIFYING))
            known = self._known.get(values) or self._earlier.get(values)
        except (AttributeError, TypeError):  # it is not an object, or has a value without a hash
            return self._new_row(row)
        if known is None:
            known = self._new_row(row)
            if isinstance(values[0], str):
                self._known[values] = known
        return known

    def _new_row(self, row: Any) -> AnswerRow:
        try:
            name, start = id_of(row), row.get("start")
            when = to_time(start) if start else None
            second = None if when is None else seconds(when)
        except (ValueError, TypeError, AttributeError, OverflowError):
            # The caller skips it later with one warning, however many answers have it. For a cap it counts as a row.
            return AnswerRow("\0" + row_text(row), None, _NO_ATTRIBUTES, self._make(row))
        self._fractions = self._fractions or (when is not None and when.microsecond > 0)
        wkt = row.get("coordinatesWKT")
        return AnswerRow(
            name,
            second,
            _attributes(*[value if isinstance(value, str) else "" for value in map(row.get, _FILTERED)]),
            self._make(row),
            wkt if isinstance(wkt, str) else None,
        )

    def split_area(self, window: Window, rows: Collection[AnswerRow]) -> list[Any]:
        """Split the area so that no part has all rows; see `SplitArea`."""
        if "minCoveragePercent" in self._query.filters:
            return []
        part: dict[str, Any] = window.part or {}
        body = {**self._body, **part}
        # This filter is a share of the whole area.
        filters = {key: value for key, value in body["filters"].items() if key != "minCoveragePercent"}
        areas = split_area(body["aoiWKT"], [row.footprint for row in rows])
        return [{**part, "aoiWKT": area, "filters": filters} for area in areas]

    def split_otherwise(self, window: Window, rows: Collection[AnswerRow]) -> Iterator[list[Any]]:
        """Split by satellite, sensor, product type or orbit direction, best first; see `SplitOtherwise`."""
        part: dict[str, Any] = window.part or {}
        body = {**self._body, **part}
        if "satelliteName" not in body:
            seen = {row.attributes[_SATELLITE] for row in rows if row.attributes[_SATELLITE]}
            names = sorted(seen.union(self._satellites()))
            if len(names) > 1:
                yield [{**part, "satelliteName": name} for name in names]
        sensor = body["sensorFilters"]["type"]
        if sensor == "All":
            yield [{**part, "sensorFilters": {"type": name}} for name in ("Optical", "SAR")]
        types = {row.attributes[_PRODUCT_TYPE] for row in rows}
        for key, own, values in (
            ("opticalProductType", "Optical", OPTICAL_TYPES),
            ("sarProductType", "SAR", SAR_TYPES),
        ):
            if sensor == own and key not in body["filters"] and types <= values:
                yield [{**part, "filters": {**body["filters"], key: value}} for value in sorted(values)]
        directions = ("ASCENDING", "DESCENDING")
        if "orbitDirection" not in body["filters"] and all(
            row.attributes[_DIRECTION].upper() in directions for row in rows
        ):
            yield [{**part, "filters": {**body["filters"], "orbitDirection": value}} for value in directions]


class _Ends:
    """Whether answers include scenes that start in the first or the last second of the period requested."""

    def __init__(self) -> None:
        self.includes_first = False
        self.includes_last = False
        self._exceeds = False
        """Whether answers exceed the period, and so show nothing about its ends."""

    def learn(self, start: int, stop: int, starts: Collection[int]) -> None:
        """Learn from the starts of the rows in an answer."""
        if starts:
            first, last = min(starts), max(starts)
            self._exceeds = self._exceeds or first < start or last > stop
            self.includes_first = not self._exceeds and (self.includes_first or first == start)
            self.includes_last = not self._exceeds and (self.includes_last or last == stop)


@lru_cache(maxsize=1024)
def _attributes(*texts: str) -> tuple[str, ...]:
    """Return what a cap may count a row by, the satellite first, given the values of `_FILTERED`."""
    return (*texts, group_of(texts[0]) or "")
