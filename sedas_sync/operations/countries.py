"""The map of the report page: Natural Earth 1:50 million, as packaged by world-atlas. AOIs can be countries of it."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sedas_sync.geometry import Polygonal, buffered, from_parts
from sedas_sync.geometry.areas import Part
from sedas_sync.manifest.countries import suggested_code

BUFFER_KM = 5.0
"""Added to the outline of a country, because coasts are coarse on that map and small islands are missing."""


class Country(NamedTuple):
    """One country of the map."""

    code: str | None
    """ISO 3166-1 alpha-3; None for a territory without a code."""
    name: str
    polygons: list[list[list[int]]]
    """The arcs of each ring of each polygon by their numbers; that of an arc which is used backwards is inverted."""


class World(NamedTuple):
    """The map."""

    arcs: list[NDArray[np.float64]]
    """Positions in degrees, of coasts and borders. Neighbours share an arc."""
    countries: list[Country]


@cache
def world() -> World:
    """Return the map, from TopoJSON."""
    read = json.loads((files("sedas_sync.operations") / "world.json").read_text("utf-8"))
    step, origin = np.array(read["transform"]["scale"]), np.array(read["transform"]["translate"])
    return World(
        # Each position is stored as a difference from the one before, in steps of a grid.
        arcs=[np.cumsum(arc, axis=0) * step + origin for arc in read["arcs"]],
        countries=[
            Country(
                shape.get("id"),
                shape["properties"]["name"],
                [shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"],
            )
            for shape in read["objects"]["countries"]["geometries"]
        ],
    )


def area_of_countries(codes: Iterable[str], buffer_km: float | None = None) -> Polygonal:
    """Return the area of countries with what the map shows as parts of them, and a buffer around it.

    Args:
        codes: ISO 3166-1 alpha-3, in upper case.
        buffer_km: The width of the buffer, by default `BUFFER_KM`.

    Raises:
        ValueError: The map has no such country.
    """
    parts = []
    for code in codes:
        found = [country for country in world().countries if country.code == code]
        if not found:
            raise ValueError(
                f'"{code}" is not a country of the map; codes have three letters (ISO 3166-1 alpha-3), such as GBR'
                f"{suggested_code(code)}"
            )
        parts += [
            Part([_ring(indexes) for indexes in rings], country.name) for country in found for rings in country.polygons
        ]
    area = from_parts(parts, on_repair=lambda _: None)
    return buffered(area, (), BUFFER_KM if buffer_km is None else buffer_km)


def _ring(indexes: list[int]) -> list[tuple[float, float]]:
    """Join arcs that have their ends in common."""
    arcs = [world().arcs[index] if index >= 0 else world().arcs[~index][::-1] for index in indexes]
    return [(x, y) for x, y in np.vstack([arcs[0], *(arc[1:] for arc in arcs[1:])]).tolist()]
