"""Properties and geometries of scenes as catalogues state them, read leniently: one rule for several archives.

A value that cannot be read is unknown, and reported once for a search. It never costs the scene.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from sys import intern
from typing import Any

from msgspec import Struct

from sedas_sync.archives.protocol import Warn
from sedas_sync.model.times import from_iso
from sedas_sync.net import redact

Report = Callable[[str], None]
"""Takes a sentence about a part of a scene that cannot be used."""
Reporter = Callable[[str, str], None]
"""Takes the id of a scene, and a sentence about it."""

_FULL = 100
"""Percent."""
_MOST_LONGITUDE, _MOST_LATITUDE = 720, 91
"""Degrees. Footprints over the antimeridian exceed 180, and rounding exceeds 90."""
_PLACEHOLDERS = frozenset(
    {"", "-", "--", "n/a", "na", "nan", "nil", "none", "null", "unknown", "undefined", "not available",
     "not applicable", "ins-nobs"}
)  # fmt: skip
"""Texts that stand for no value; `INS-NOBS` is what Sentinel-2 products have as their mode at CNES GEODES (2025)."""
_NO_NUMBER = frozenset({-9999, -999, -99, -1})


class UnusableError(ValueError):
    """A row or an item of an answer that cannot be used; the message is the reason."""


def row_text(row: object) -> str:
    """Return a row as text for a warning: JSON with control characters escaped, shortened, and without secrets."""
    return redact.shorten(json.dumps(row, ensure_ascii=True, default=str), 240)


def once(warn: Warn) -> Reporter:
    """Return a function that warns once of each thing, with the first scene that has it."""
    reported: set[str] = set()

    def report(scene_id: str, sentence: str) -> None:
        if sentence not in reported:
            reported.add(sentence)
            warn(f"{redact.shorten(scene_id, 120)}: {sentence} (reported once)")

    return report


def is_placeholder(value: Any) -> bool:
    """Return whether a value stands for no value."""
    if isinstance(value, str):
        return value.strip().lower() in _PLACEHOLDERS
    if isinstance(value, float) and math.isnan(value):
        return True
    return value is None or value in ([], {}) or (not isinstance(value, bool | list | dict) and value in _NO_NUMBER)


class Properties(Struct, frozen=True):
    """Reads the properties of a scene. A value that cannot be read is None, and reported."""

    values: Mapping[str, Any]
    report: Report

    def word(self, name: str) -> str | None:
        """Return a text; equal texts are stored once."""
        value = self.values.get(name)
        if is_placeholder(value):
            return None
        if isinstance(value, str):
            return intern(value)
        self._unknown(name, "a string")
        return None

    def first(self, *names: str) -> str | None:
        """Return the first text that is stated."""
        return next((found for name in names if (found := self.word(name)) is not None), None)

    def words(self, name: str) -> Iterator[str]:
        """Yield the texts of a list."""
        value = self.values.get(name)
        if isinstance(value, list):
            yield from (word for word in value if isinstance(word, str) and not is_placeholder(word))
        elif not is_placeholder(value):
            self._unknown(name, "a list")

    def number(self, name: str) -> float | None:
        """Return a finite number."""
        value = self.values.get(name)
        if is_placeholder(value):
            return None
        with suppress(OverflowError):
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
        self._unknown(name, "a number")
        return None

    def percent(self, name: str) -> float | None:
        """Return a number from 0 to 100."""
        value = self.number(name)
        if value is None or 0 <= value <= _FULL:
            return value
        self._unknown(name, "from 0 to 100")
        return None

    def whole(self, name: str) -> int | None:
        """Return a whole number."""
        value = self.number(name)
        return None if value is None else int(value)

    def time(self, name: str) -> datetime | None:
        """Return a time in UTC."""
        value = self.values.get(name)
        if is_placeholder(value):
            return None
        with suppress(ValueError, OverflowError):
            if isinstance(value, str):
                return from_iso(value)
        self._unknown(name, "a time")
        return None

    def _unknown(self, name: str, what: str) -> None:
        self.report(f"its {name} is not {what}, and counts as unknown")

    def flag(self, name: str) -> bool | None:
        """Return true or false."""
        value = self.values.get(name)
        if isinstance(value, bool) or is_placeholder(value):
            return value if isinstance(value, bool) else None
        self._unknown(name, "true or false")
        return None


def size_of(value: object) -> int | None:
    """Return a size in bytes; None if a value is not a positive whole number."""
    return value if type(value) is int and value > 0 else None


def are_degrees(longitude: float, latitude: float) -> bool:
    """Return whether numbers can be a position; metres of a projection, infinity and NaN cannot."""
    return abs(longitude) <= _MOST_LONGITUDE and abs(latitude) <= _MOST_LATITUDE


def wkt_of(geometry: Any) -> str | None:
    """Return a GeoJSON geometry as WKT without heights; None if it is empty, not in degrees or not GeoJSON."""
    try:
        return _wkt(geometry)
    except (TypeError, KeyError, ValueError, IndexError, OverflowError, RecursionError):
        return None


def _wkt(geometry: Any) -> str:
    kind = geometry["type"]
    if kind == "GeometryCollection":
        return f"GEOMETRYCOLLECTION ({_joined(map(_wkt, geometry['geometries']))})"
    depth = {"Point": 0, "MultiPoint": 1, "LineString": 1, "MultiLineString": 2, "Polygon": 2, "MultiPolygon": 3}[kind]
    text = _positions(geometry["coordinates"], depth)
    return f"{kind.upper()} {text if depth else f'({text})'}"


def _positions(coordinates: Any, depth: int) -> str:
    if depth:
        return f"({_joined([_positions(part, depth - 1) for part in coordinates])})"
    x, y = float(coordinates[0]), float(coordinates[1])
    if not are_degrees(x, y):
        raise ValueError
    return f"{x!r} {y!r}"


def _joined(parts: Iterable[str]) -> str:
    if not (text := ", ".join(parts)):
        raise ValueError
    return text
