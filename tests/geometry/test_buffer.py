"""Areas around points and lines, against distances on a sphere that PROJ computes."""

import random

import numpy as np
import pytest
import shapely
from effort import effort
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyproj import Geod
from shapely import LineString, Point, box

from sedas_sync import geometry as g
from sedas_sync.geometry.sphere import EARTH_RADIUS_KM, area_km2

SPHERE = Geod(a=EARTH_RADIUS_KM * 1000, b=EARTH_RADIUS_KM * 1000)


def contains(shape, x, y):
    return shape.buffer(1e-9).covers(Point((x + 180) % 360 - 180, y))


def check(paths, km, seed, *, shape=None):
    """Look at places a little nearer and a little farther than the distance."""
    shape = g.buffered(None, paths, km) if shape is None else shape
    assert shape.is_valid
    step = max(0.002, km / 2000)
    near = np.vstack(
        [shapely.get_coordinates(shapely.segmentize(LineString(p), step)) if len(p) > 1 else p for p in paths]
    )
    rng = random.Random(seed)
    for _ in range(effort(20, 60)):
        x, y, _ = SPHERE.fwd(*near[rng.randrange(len(near))], rng.uniform(0, 360), km * 1000 * rng.uniform(0.9, 1.1))
        away = SPHERE.inv(near[:, 0], near[:, 1], np.full(len(near), x), np.full(len(near), y))[2].min() / 1000
        if away < km * 0.999:
            assert contains(shape, x, y), (x, y, away)
        if away > km * 1.011:
            assert not contains(shape, x, y), (x, y, away)


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(-3, 2.69), st.integers(0, 99))
@example(180, 0, 1, 1)
@example(0, 90, 2, 1)
@example(-77, -89.9, 2, 1)
@settings(max_examples=60, deadline=None)
def test_points(x, y, exponent, seed):
    x, y = round(x, 9), round(y, 9)
    check([[(x, y)]], 10**exponent, seed)


@pytest.mark.parametrize("km", [1, 50, 500])
@pytest.mark.parametrize(
    "path",
    [
        [(-1.3, 51.5), (-1.2, 51.6), (-1.1, 51.4)],
        [(-5, 40), (12, 41), (12, 60), (-30, 66)],
        [(178, 0), (182, 3)],
        [(0, 80), (90, 85), (170, 82)],
        [(-70, -75), (-60, -89)],
    ],
)
def test_lines(path, km):
    check([path], km, 5)


def test_line_across_the_antimeridian_goes_the_short_way():
    shape = g.buffered(None, [[(179, -17), (-179, -17)]], 10)
    assert area_km2(shape) < 20 * 260
    check([[(179, -17), (181, -17)]], 10, 1, shape=shape)


def test_polygon_grows_and_keeps_its_hole():
    area = box(0, 40, 20, 60).difference(box(5, 45, 15, 55))
    shape = g.buffered(area, (), 50)
    assert shape.covers(area)
    (hole,) = shape.interiors
    assert shapely.Polygon(hole).within(box(5.4, 45.4, 14.6, 54.6))
    check(
        [list(area.exterior.coords), list(area.interiors[0].coords)],
        50,
        3,
        shape=shape.difference(area).union(
            g.buffered(None, [list(area.exterior.coords), list(area.interiors[0].coords)], 50)
        ),
    )


def test_distance_has_a_limit():
    with pytest.raises(ValueError, match="a buffer of 501 km is wider than 500 km"):
        g.buffered(None, [[(0, 0)]], 501)


@pytest.mark.parametrize(
    ("text", "km2"),
    [
        ("POINT (-1.3 51.5)", 314.2),
        ("MULTIPOINT ((-1.3 51.5), (10 51.5))", 628.3),
        ("LINESTRING (0 0, 1 0)", 314.2 + 20 * 111.19),
        (
            "GEOMETRYCOLLECTION (POINT (-1.3 51.5), POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0)))",
            314.2 + 12364 + 314.2 + 40 * 111.2,
        ),
        ("POLYGON ((0 0, 1 0, 1 1, 0 1, 0 0))", 12364 + 314.2 + 40 * 111.2),
    ],
)
def test_wkt_and_geojson_with_a_buffer(text, km2):
    area = g.from_wkt(text, buffer_km=10)
    assert area_km2(area) == pytest.approx(km2, rel=0.02)
    value = shapely.geometry.mapping(shapely.from_wkt(text))
    assert g.from_geojson({"type": "Feature", "geometry": value}, buffer_km=10).equals(area)


@pytest.mark.parametrize("text", ["POINT (-1.3 51.5)", "LINESTRING (0 0, 1 0)"])
def test_points_and_lines_need_a_buffer(text):
    with pytest.raises(
        ValueError, match=r"contains no polygon, but .*; set buffer_km to search around points and lines"
    ):
        g.from_wkt(text)
    with pytest.raises(ValueError, match="set buffer_km"):
        g.from_geojson(shapely.geometry.mapping(shapely.from_wkt(text)))


def test_point_that_is_not_in_degrees():
    with pytest.raises(ValueError, match="not in degrees"):
        g.from_wkt("POINT (651409 313177)", buffer_km=10)
