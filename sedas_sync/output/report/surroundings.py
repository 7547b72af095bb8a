"""What the map shows around the scenes: coasts and borders, and names of countries and cities.

Coasts are of Natural Earth, 1:50 million. They are kept near what is drawn, and coarse elsewhere.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.resources import files
from math import floor
from typing import Any

import numpy as np
import shapely

from sedas_sync.operations.countries import world
from sedas_sync.output.report.shapes import TURN

Box = tuple[float, float, float, float]
"""West, south, east and north."""

LAND_STEPS = 100
"""Steps of a degree in which coasts are written."""
_NEAR = 3.0
"""Degrees around what is drawn."""
_FINE, _COARSE = 0.004, 0.06
"""How far a line may be from the map, in degrees, near what is drawn and elsewhere."""
_CELL = 2.0
"""Width and height of the cells, in degrees, that share the names of cities fairly."""
_CITIES = 800


def land(boxes: Sequence[Box]) -> dict[str, Any]:
    """Return coasts and borders as TopoJSON does: lines of steps, and the numbers of the lines of each ring.

    Args:
        boxes: What is drawn.
    """
    arcs = np.array([shapely.LineString(arc) for arc in world().arcs], dtype=object)
    near = np.zeros(len(arcs), dtype=bool)
    # Lines of the map are within 180 degrees; what is drawn may be further east.
    shown = [
        shapely.box(w - _NEAR - turn, s - _NEAR, e + _NEAR - turn, n + _NEAR)
        for w, s, e, n in boxes
        for turn in (0, TURN)
    ]
    if shown:
        near[shapely.STRtree(arcs).query(shown, predicate="intersects")[1]] = True
    simple = shapely.simplify(arcs, np.where(near, _FINE, _COARSE))
    lines = [_steps(shapely.get_coordinates(line)) for line in simple]
    polygons = [polygon for country in world().countries for polygon in country.polygons]
    used = Counter(index if index >= 0 else ~index for polygon in polygons for ring in polygon for index in ring)
    borders = [index for index, times in sorted(used.items()) if times > 1]
    return {"lines": lines, "polygons": polygons, "borders": borders}


def _steps(positions: Any) -> list[int]:
    grid = np.round(positions * LAND_STEPS).astype(int)
    steps: list[int] = np.diff(grid, axis=0, prepend=np.zeros((1, 2), dtype=int)).ravel().tolist()
    return steps


def place_names(boxes: Sequence[Box], west: float) -> dict[str, list[list[Any]]]:
    """Return countries, and cities near what is drawn, the largest first: name, longitude, latitude.

    Each part of the map gets its largest cities, so that a large city does not displace the only town of another part.

    Args:
        boxes: What is drawn, on the sheet that begins at `west`.
        west: A longitude.
    """
    near = {cell for box in boxes for cell in _cells(box)}
    ranks: Counter[tuple[int, int]] = Counter()
    cities = []
    for order, (name, longitude, latitude, _) in enumerate(_asset("cities.json")):
        x = _on(longitude, west)
        cell = floor(x / _CELL), floor(latitude / _CELL)
        if cell in near:
            ranks[cell] += 1
            cities.append((ranks[cell], order, [name, x, latitude]))
    kept = sorted(cities)[:_CITIES]
    countries = [[name, _on(x, west), y] for name, x, y, _ in _asset("countries.json")]
    return {"countries": countries, "cities": [place for _, _, place in sorted(kept, key=lambda city: city[1])]}


def _cells(box: Box) -> Iterable[tuple[int, int]]:
    west, south, east, north = (floor(edge / _CELL) for edge in box)
    for x in range(west - 1, east + 2):
        for y in range(south - 1, north + 2):
            yield x, y


def _on(longitude: float, west: float) -> float:
    return round(longitude + TURN if longitude < west else longitude, 2)


def _asset(name: str) -> Any:
    return json.loads((files("sedas_sync.output.report") / "assets" / name).read_text("utf-8"))
