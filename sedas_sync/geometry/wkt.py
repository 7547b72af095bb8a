"""Positions of polygons as WKT and GeoJSON write them, and the mistakes that show in them alone.

Pure Python, so that a mistake can be told in words and without the cost of importing a geometry library.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, pairwise
from math import isfinite
from typing import Any, TypeVar

Position = tuple[float, float]
"""Longitude, latitude; degrees."""
Ring = list[Position]
Rings = list[Ring]
"""One polygon: its shell, then its holes."""

TURN = 360.0
"""Degrees of longitude once around the world."""
HALF_TURN = 180.0
POLE = 90.0
_SHORTEST = 4
"""Positions of a closed triangle."""
_SLACK = 1e-9
"""Degrees by which other software's rounding may miss ±180 and ±90."""
_DEPTH = 32
"""Deepest nesting of collections that is followed."""

_T = TypeVar("_T")
_TOKEN = re.compile(r"([A-Za-z]+|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?=[\s(),]|$)|[(),])\s*")
_DIMENSIONS = re.compile(r"(?<=POLYGON|LECTION)(?:ZM|Z|M)$")
_SRID = re.compile(r"\s*SRID\s*=\s*(\d+)\s*;", re.IGNORECASE)
_OTHERS = frozenset(
    {
        "POINT",
        "MULTIPOINT",
        "LINESTRING",
        "LINEARRING",
        "MULTILINESTRING",
        "CIRCULARSTRING",
        "COMPOUNDCURVE",
        "CURVEPOLYGON",
        "MULTICURVE",
        "MULTISURFACE",
        "POLYHEDRALSURFACE",
        "TIN",
        "TRIANGLE",
    }
)


def read_wkt(text: str) -> list[Rings]:
    """Read all polygons of a WKT text: POLYGON, MULTIPOLYGON, or a GEOMETRYCOLLECTION that holds some.

    Letter case does not matter, `SRID=4326;` may stand in front, Z and M are dropped, points and lines beside
    polygons are passed over. Nothing is checked yet but the writing.

    Raises:
        ValueError: it is not WKT, has another SRID, is empty, or holds no polygon.
    """
    srid = _SRID.match(text)
    if srid and srid[1] != "4326":
        raise ValueError(f"its coordinates are in EPSG:{srid[1]}; only EPSG:4326 (longitude latitude) is understood")
    reader = _WktReader(text[srid.end() :] if srid else text)
    polygons = reader.geometry(0)
    reader.finish()
    return _some(polygons, reader.others)


def read_geojson(mapping: Mapping[str, Any]) -> list[Rings]:
    """Read all polygons of a GeoJSON object of any type, however deep they are nested.

    Raises:
        ValueError: it is not GeoJSON, is empty, or holds no polygon.
    """
    others: list[str] = []
    return _some(_geojson_polygons(mapping, others, 0), others)


def check(polygons: Sequence[Rings]) -> list[Rings]:
    """Hold polygons against what an AOI must be, as far as single positions tell.

    Returns:
        The polygons, with positions that miss the edge of the world by rounding put onto it.

    Raises:
        ValueError: a ring is empty, open or too short, or a position is not a number, outside ±180/±90,
        or has
            latitude and longitude swapped.
    """
    for ring in (ring for rings in polygons for ring in rings):
        _check_ring(ring)
    positions = [position for rings in polygons for ring in rings for position in ring]
    outside = next((p for p in positions if abs(p[0]) > HALF_TURN + _SLACK or abs(p[1]) > POLE + _SLACK), None)
    if outside is None:
        return [[[_clamped(p) for p in ring] for ring in rings] for rings in polygons]
    place = f"the position {_shown(outside)} is outside ±180/±90"
    if all(abs(x) <= POLE and abs(y) <= HALF_TURN for x, y in positions):
        raise ValueError(f"{place}; are latitude and longitude swapped? Longitude comes first")
    if abs(outside[1]) <= POLE and all(-HALF_TURN <= x <= TURN for x, _ in positions):
        raise ValueError(f"{place}; longitudes run from -180 to 180, so write {outside[0] - TURN:g}")
    raise ValueError(f"{place} (longitude, then latitude, in degrees)")


def has_jump(ring: Ring) -> bool:
    """Say whether neighbouring positions are more than 180 degrees of longitude apart."""
    return any(abs(b[0] - a[0]) > HALF_TURN for a, b in pairwise(ring))


def unwrapped(ring: Ring, *, seam: bool) -> Ring:
    """Follow a closed ring over the antimeridian, so that its longitudes run on beyond ±180.

    A jump of more than 180 degrees is the short way round. A jump of exactly 360 is no way at all where
    `seam` is true (180 and -180 are one meridian), and once around the world along a parallel where it is
    false. A ring that winds around a pole is led over that pole.

    Raises:
        ValueError: it winds around the globe with positions on both sides of the equator.
    """
    result, offset = [ring[0]], 0.0
    for (before, _), (x, y) in pairwise(ring):
        step = x - before
        if abs(step) > HALF_TURN and (seam or abs(step) < TURN):
            offset -= TURN if step > 0 else -TURN
        result.append((x + offset, y))
    if offset:
        result += _over_the_pole(result)
    return result


def _over_the_pole(ring: Ring) -> Ring:
    latitudes = [y for _, y in ring]
    if min(latitudes) < 0 < max(latitudes) or abs(ring[-1][0] - ring[0][0]) > TURN:
        raise ValueError("a ring goes around the globe, and which pole it encloses cannot be told")
    pole = POLE if max(latitudes) > 0 else -POLE
    return [(ring[-1][0], pole), (ring[0][0], pole), ring[0]]


def _check_ring(ring: Ring) -> None:
    if not ring:
        raise ValueError("a ring is empty")
    for x, y in ring:
        if not (isfinite(x) and isfinite(y)):
            raise ValueError("a coordinate is not a finite number")
    if ring[0] != ring[-1]:
        raise ValueError(
            f"a ring is open: it begins at {_shown(ring[0])} and ends at {_shown(ring[-1])}; "
            "the last position must repeat the first"
        )
    if len(ring) < _SHORTEST:
        raise ValueError(f"a ring has {len(ring)} positions; a closed ring has at least {_SHORTEST}")


def _clamped(position: Position) -> Position:
    return max(-HALF_TURN, min(HALF_TURN, position[0])), max(-POLE, min(POLE, position[1]))


def _shown(position: Position) -> str:
    return f"{position[0]:.10g} {position[1]:.10g}"


def _some(polygons: list[Rings], others: Sequence[str]) -> list[Rings]:
    found = [rings for rings in polygons if rings]
    if not found and others:
        raise ValueError(f"it holds no polygon, but {', '.join(dict.fromkeys(others))}")
    if not found:
        raise ValueError("it is empty")
    return found


class _WktReader:
    """A reader of WKT by recursive descent; `others` collects the kinds of geometry that are no polygons."""

    def __init__(self, text: str) -> None:
        self.others: list[str] = []
        self._tokens = _tokens(text)
        self._at = 0
        self._width = 0

    def geometry(self, depth: int) -> list[Rings]:
        if depth > _DEPTH:
            raise ValueError("collections are nested too deep")
        kind = _DIMENSIONS.sub("", self._next().upper())
        if self._peek() in {"Z", "M", "ZM"}:
            self._next()
        if kind not in _OTHERS | {"POLYGON", "MULTIPOLYGON", "GEOMETRYCOLLECTION"}:
            raise ValueError(f"it is not WKT: {kind[:20]!r} is no kind of geometry")
        if self._is_empty():
            return []
        if kind == "POLYGON":
            return [self._rings()]
        if kind == "MULTIPOLYGON":
            return self._list(self._rings)
        if kind == "GEOMETRYCOLLECTION":
            return list(chain.from_iterable(self._list(lambda: self.geometry(depth + 1))))
        self.others.append(kind)
        self._skip()
        return []

    def finish(self) -> None:
        if self._peek():
            raise ValueError(f"it is not WKT: {self._peek()[:20]!r} stands after its end")

    def _peek(self) -> str:
        return self._tokens[self._at].upper() if self._at < len(self._tokens) else ""

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise ValueError("it is not WKT: it breaks off")
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, token: str) -> None:
        if (found := self._next()) != token:
            raise ValueError(f"it is not WKT: {found[:20]!r} stands where {token!r} belongs")

    def _is_empty(self) -> bool:
        empty = self._peek() == "EMPTY"
        self._at += empty
        return empty

    def _rings(self) -> Rings:
        return [] if self._is_empty() else self._list(lambda: self._list(self._position))

    def _list(self, read: Callable[[], _T]) -> list[_T]:
        self._expect("(")
        items = [read()]
        while self._peek() == ",":
            self._next()
            items.append(read())
        self._expect(")")
        return items

    def _position(self) -> Position:
        words = []
        while self._peek() not in {",", "(", ")", ""}:
            words.append(self._next())
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            raise ValueError(f"it is not WKT: {' '.join(words)[:40]!r} is no position") from None
        if not 2 <= len(numbers) <= 4:  # noqa: PLR2004 - x y, then perhaps z and m
            raise ValueError(f"it is not WKT: {' '.join(words)[:40]!r} is no position")
        self._width = self._width or len(numbers)
        if len(numbers) != self._width:
            # Two positions that have lost the comma between them look like one with heights.
            raise ValueError(
                f"it is not WKT: {' '.join(words)[:40]!r} has {len(numbers)} numbers, the first position {self._width} "
                "(is a comma missing?)"
            )
        return numbers[0], numbers[1]

    def _skip(self) -> None:
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(self._next(), 0)
            if depth == 0:
                return


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    text = text.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            raise ValueError(f"it is not WKT: {text[at : at + 20].strip()!r} makes no sense there")
        tokens.append(token[1])
        at = token.end()
    return tokens


def _geojson_polygons(value: Any, others: list[str], depth: int) -> list[Rings]:
    if depth > _DEPTH:
        raise ValueError("collections are nested too deep")
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        raise ValueError("it is not GeoJSON: an object with a type is missing")  # noqa: TRY004 - a mistake in a file
    if kind == "Feature":
        geometry = value.get("geometry")
        return [] if geometry is None else _geojson_polygons(geometry, others, depth + 1)
    if kind in {"FeatureCollection", "GeometryCollection"}:
        members = value.get("features" if kind == "FeatureCollection" else "geometries")
        parts = (_geojson_polygons(member, others, depth + 1) for member in _items(members, kind))
        return list(chain.from_iterable(parts))
    if kind == "Polygon":
        return [_geojson_rings(value.get("coordinates"))]
    if kind == "MultiPolygon":
        return [_geojson_rings(rings) for rings in _items(value.get("coordinates"), kind)]
    if kind.upper() not in _OTHERS:
        raise ValueError(f"it is not GeoJSON: {kind[:20]!r} is no type of geometry")
    others.append(kind)
    return []


def _geojson_rings(rings: Any) -> Rings:
    return [[_geojson_position(p) for p in _items(ring, "Polygon")] for ring in _items(rings, "Polygon")]


def _geojson_position(position: Any) -> Position:
    numbers = _items(position, "position")
    if len(numbers) < 2 or any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers[:2]):  # noqa: PLR2004 - longitude and latitude
        raise ValueError("it is not GeoJSON: a position is not two numbers")
    try:
        return float(numbers[0]), float(numbers[1])
    except OverflowError:
        raise ValueError("a coordinate is not a finite number") from None


def _items(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"it is not GeoJSON: a {what} has no list of its parts")  # noqa: TRY004 - a mistake in a file
    return list(value)
