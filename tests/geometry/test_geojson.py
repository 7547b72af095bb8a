"""Footprints as GeoJSON (RFC 7946)."""

import json

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import shape

from sedas_sync.geometry import footprint
from sedas_sync.geometry.geojson import bounding_box, outlines

longitudes = st.integers(-180, 180).map(float)
latitudes = st.integers(-90, 90).map(float)
texts = st.lists(st.tuples(longitudes, latitudes), min_size=3, max_size=6).map(
    lambda ring: f"POLYGON(({', '.join(f'{x} {y}' for x, y in [*ring, ring[0]])}))"
)


@given(texts)
def test_outline_is_the_footprint_with_oriented_rings(text):
    (outline,) = outlines([text])
    try:
        expected = footprint(text)
    except ValueError:
        assert outline is None
        return
    found = shape(json.loads(json.dumps(outline.geometry)))
    assert found.equals(expected)
    for part in shapely.get_parts(found):
        if part.geom_type != "Polygon":
            # A polygon without area is a line or a point.
            assert not found.area
            continue
        assert part.exterior.is_ccw
        assert not any(ring.is_ccw for ring in part.interiors)
    west, south, east, north = outline.bbox
    for x, y in shapely.get_coordinates(found):
        assert south <= y <= north
        assert (west <= x <= east) if west <= east else (x >= west or x <= east)


@pytest.mark.parametrize(
    "text",
    [None, "", "POLYGON", "POLYGON((0 0", "POINT EMPTY", "\ud800", "\0", "POLYGON((nan 0,1 1,1 0,nan 0))"],
)
def test_unreadable_footprint_has_no_outline(text):
    assert outlines([text, "POLYGON((0 0,1 0,1 1,0 0))"])[0] is None


def test_points_and_lines_stay_what_they_are():
    point, line = outlines(["POINT(190 2)", "LINESTRING(170 0, -170 10)"])
    assert point == ({"type": "Point", "coordinates": (-170.0, 2.0)}, (-170.0, 2.0, -170.0, 2.0))
    assert line.geometry["type"] == "MultiLineString"
    assert line.bbox == (170.0, 0.0, -170.0, 10.0)


def test_outline_is_split_at_the_antimeridian():
    (outline,) = outlines(["POLYGON((179 -1,-179 -1,-179 1,179 1,179 -1))"])
    assert outline.geometry["type"] == "MultiPolygon"
    assert outline.bbox == (179.0, -1.0, -179.0, 1.0)
    assert sorted(shape(outline.geometry).bounds) == [-180.0, -1.0, 1.0, 180.0]


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], None),
        ([(1, 2, 3, 4)], (1, 2, 3, 4)),
        ([(1, 2, 3, 4), (-3, 0, -1, 5)], (-3, 0, 3, 5)),
        ([(170, 0, -170, 1), (160, 0, 165, 1)], (160, 0, -170, 1)),
        ([(170, 0, 180, 1), (-180, 0, -175, 1)], (170, 0, -175, 1)),
        ([(-180, 0, 180, 1)], (-180, 0, 180, 1)),
        ([(-180, 0, 10, 1), (5, 0, 180, 1)], (-180, 0, 180, 1)),
    ],
)
def test_bounding_box_of_boxes(boxes, expected):
    assert bounding_box(boxes) == expected


@given(st.lists(st.tuples(longitudes, latitudes, longitudes, latitudes), min_size=1, max_size=6))
def test_bounding_box_contains_each_box(given_boxes):
    boxes = [(w, min(s, n), e, max(s, n)) for w, s, e, n in given_boxes]
    west, south, east, north = bounding_box(boxes)

    def inside(x):
        return west <= x <= east if west <= east else x >= west or x <= east

    for w, s, e, n in boxes:
        middle = (w + e) / 2 if w <= e else ((w + e) / 2 + 360) % 360 - 180
        assert inside(w)
        assert inside(e)
        assert inside(middle)
        assert south <= s <= n <= north
