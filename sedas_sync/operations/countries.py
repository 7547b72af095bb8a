"""Outlines of countries, from the map of the report page: Natural Earth 1:50 million, as packaged by world-atlas."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

from sedas_sync.geometry import Polygonal, buffered, from_parts
from sedas_sync.geometry.areas import Part
from sedas_sync.geometry.polygons import Ring
from sedas_sync.manifest.countries import suggested_code

BUFFER_KM = 5.0
"""Added to the outline of a country, because coasts are coarse on that map and small islands are missing."""


def world_text() -> str:
    """Return the map as TopoJSON. The `id` of a country is its code, its property `name` its name."""
    return (files("sedas_sync.operations") / "world.json").read_text("utf-8")


def area_of_countries(codes: Iterable[str], buffer_km: float | None = None) -> Polygonal:
    """Return the area of countries with what the map shows as parts of them, and a buffer around it.

    Args:
        codes: ISO 3166-1 alpha-3, in upper case.
        buffer_km: The width of the buffer, by default `BUFFER_KM`.

    Raises:
        ValueError: The map has no such country.
    """
    world = _world()
    shapes = [shape for code in codes for shape in _shapes_of(code, world)]
    parts = [
        Part([_ring(indexes, world) for indexes in rings], shape["properties"]["name"])
        for shape in shapes
        for rings in ([shape["arcs"]] if shape["type"] == "Polygon" else shape["arcs"])
    ]
    area = from_parts(parts, on_repair=lambda _: None)
    return buffered(area, (), BUFFER_KM if buffer_km is None else buffer_km)


@cache
def _world() -> dict[str, Any]:
    world: dict[str, Any] = json.loads(world_text())
    return world


def _shapes_of(code: str, world: dict[str, Any]) -> list[dict[str, Any]]:
    listed = world["objects"]["countries"]["geometries"]
    found = [shape for shape in listed if shape.get("id") == code]
    if not found:
        raise ValueError(
            f'"{code}" is not a country of the map; codes have three letters (ISO 3166-1 alpha-3), such as GBR'
            f"{suggested_code(code)}"
        )
    return found


def _positions(arc: list[list[int]], transform: dict[str, Any]) -> Ring:
    """Return the positions of an arc: each is stored as a difference from the one before, in steps of a grid."""
    (scale_x, scale_y), (west, south) = transform["scale"], transform["translate"]
    x = y = 0
    found = []
    for step_x, step_y in arc:
        x, y = x + step_x, y + step_y
        found.append((x * scale_x + west, y * scale_y + south))
    return found


def _ring(indexes: list[int], world: dict[str, Any]) -> Ring:
    """Join arcs that have their ends in common; the number of one that is used backwards is inverted."""
    ring: Ring = []
    for index in indexes:
        arc = _positions(world["arcs"][index if index >= 0 else ~index], world["transform"])
        arc = arc if index >= 0 else arc[::-1]
        ring.extend(arc[1:] if ring else arc)
    return ring
