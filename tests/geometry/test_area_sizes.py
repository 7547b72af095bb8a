"""Areas of any size, from a nanometre to the world."""

import math

from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import Point, Polygon
from shapes import ring_of

from sedas_sync import geometry as g
from sedas_sync.geometry.query_polygons import query_polygons

NANOMETRE = 1e-9 / 111_195
"""Degrees of latitude."""


def sizes(largest):
    return st.floats(math.log10(NANOMETRE), math.log10(largest)).map(lambda power: 10**power)


def covers(area):
    return [Polygon(ring_of(query.wkt)) for query in query_polygons([area])]


def assert_searched(area):
    assert area.is_valid
    assert area.area > 0
    outlines = covers(area)
    for outline in outlines:
        assert outline.is_valid
        assert outline.area > 0
    return outlines


@given(st.floats(-180, 180), st.floats(-90, 90), sizes(359), sizes(179))
@settings(max_examples=effort(60, 400), deadline=None)
def test_boxes_of_any_size_are_searched(west, south, width, height):
    east, north = min(180.0, west + width), min(90.0, south + height)
    try:
        area = g.from_bbox(west, south, east, north)
    except ValueError as error:
        assert "it has no area" in str(error)  # noqa: PT017 - smaller than the distance between two numbers
        assert east - west < 1e-13 or north - south < 1e-13
        return
    outlines = assert_searched(area)
    for x, y in ((west, south), (east, south), (east, north), (west, north)):
        assert any(outline.covers(Point(x, y)) for outline in outlines)


@given(st.floats(-170, 170), st.floats(-80, 80), sizes(5))
@settings(max_examples=effort(60, 200), deadline=None)
def test_half_of_an_area_of_any_size_is_covered_by_half(west, south, size):
    east, middle, north = west + size, south + size / 2, south + size
    if len({west, east}) < 2 or not south < middle < north:
        return
    exact = (math.sin(math.radians(middle)) - math.sin(math.radians(south))) / (
        math.sin(math.radians(north)) - math.sin(math.radians(south)) or 1
    )
    part = g.Aoi(g.from_bbox(west, south, east, north)).coverage(g.from_bbox(west, south, east, middle))
    assert 0 < part < 100
    if size > 1e-6:
        assert math.isclose(part, 100 * exact, abs_tol=0.01)
    elif size > 1e-12:
        assert math.isclose(part, 50, abs_tol=1)


@given(st.floats(-180, 180), st.floats(-90, 90), sizes(80))
@settings(max_examples=effort(60, 300), deadline=None)
def test_circles_of_any_size_are_searched(longitude, latitude, degrees):
    area = g.from_circle(longitude, latitude, degrees * 111.195)
    outlines = assert_searched(area)
    assert area.distance(Point(longitude, latitude)) < 1e-12 or abs(longitude) == 180
    for part in getattr(area, "geoms", [area]):
        for x, y in part.exterior.coords[::40]:
            assert any(outline.distance(Point(x, y)) < 1e-12 for outline in outlines)


@given(st.floats(-179, 179), st.floats(-89, 89), sizes(0.5), st.integers(0, 3))
@settings(max_examples=effort(60, 300), deadline=None)
def test_tiny_part_beside_a_field_is_searched(longitude, latitude, size, corner):
    """A sliver that another program cut off."""
    field = Polygon([(longitude, latitude), (longitude + 0.1, latitude), (longitude + 0.1, latitude + 0.1)])
    x, y = longitude + 0.2 * (corner % 2 + 1), latitude + 0.2 * (corner // 2)
    sliver = [(x, y), (x + size, y), (x, y + size), (x, y)]
    shells = [list(field.exterior.coords), sliver]
    text = ", ".join(f"(({', '.join(f'{a!r} {b!r}' for a, b in ring)}))" for ring in shells)
    try:
        area = g.from_wkt(f"MULTIPOLYGON ({text})")
    except ValueError:
        assert size < 1e-13
        return
    outlines = assert_searched(area)
    for position in sliver:
        if abs(position[0]) <= 180 and abs(position[1]) <= 90:
            assert any(outline.covers(Point(position)) for outline in outlines)
