"""The polygons that a catalogue is searched with."""

import math
import random
import re
from itertools import pairwise

import pytest
import shapely
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from shapely import Polygon, box
from shapes import HARWELL, areas, is_in, ring_of, rings_of, within

from sedas_sync import geometry as g
from sedas_sync.geometry.grouping import SMALL_KM2
from sedas_sync.geometry.query_polygons import MAX_QUERIES, MAX_VERTICES, query_polygons


def test_small_aoi_is_its_own_query():
    (query,) = query_polygons([g.from_wkt(HARWELL)])
    assert query.exact
    assert ring_of(query.wkt) == list(g.from_wkt(HARWELL).exterior.coords)
    assert query.wkt.startswith("POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.302 51.5621, ")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 2 1, 2 2, 1 1))", 1),
        ("POLYGON ((0.0000001 0, 9 0, 9 9, 0 9, 0.0000001 0))", 1),
        ("POLYGON ((179 -1, -179 -1, -179 1, 179 1, 179 -1))", 2),
        ("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 1, 0 0)), ((50 0, 51 0, 51 1, 50 1, 50 0)))", 2),
        ("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 1, 0 0)), ((1.1 0, 2 0, 2 1, 1.1 1, 1.1 0)))", 1),
    ],
)
def test_changed_query_polygon_is_not_exact(text, number):
    queries = query_polygons([g.from_wkt(text)])
    assert len(queries) == number
    assert not any(query.exact for query in queries)


def test_island_in_a_lake_needs_no_query_of_its_own():
    shape = g.from_wkt(
        "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 8 1, 8 8, 1 8, 1 1)), ((4 4, 5 4, 5 5, 4 5, 4 4)))"
    )
    (query,) = query_polygons([shape])
    assert Polygon(ring_of(query.wkt)).equals(box(0, 0, 9, 9))


def fields(number, width, height, seed=0):
    """Return fields of about 4 ha in a region of this size in degrees."""
    rng = random.Random(seed)
    corners = [(rng.uniform(0, width) - 2, rng.uniform(0, height) + 52) for _ in range(number)]
    return [box(x, y, x + 0.003, y + 0.002) for x, y in corners]


@pytest.mark.parametrize(
    ("number", "width", "height"), [(40, 0.08, 0.05), (41, 0.5, 0.3), (300, 0.3, 0.2), (5000, 3, 2)]
)
def test_fields_near_each_other_are_one_search(number, width, height):
    aois = fields(number, width, height)
    (query,) = query_polygons(aois)
    assert not query.exact
    outline = Polygon(ring_of(query.wkt))
    assert outline.covers(shapely.union_all(aois))
    assert outline.area < 1.01 * shapely.union_all(aois).convex_hull.area


def test_fields_in_all_of_a_country_are_few_searches():
    aois = fields(40, 10, 8)
    queries = query_polygons(aois)
    assert len(queries) < 30
    cover = shapely.union_all([Polygon(ring_of(query.wkt)) for query in queries])
    assert all(cover.covers(field) for field in aois)
    assert cover.area * 111.2**2 * math.cos(math.radians(56)) < SMALL_KM2 * 1.1


def test_far_aois_are_searched_exactly():
    queries = query_polygons([box(0, 0, 1, 1), box(50, 0, 51, 1), box(100, 0, 101, 1).union(box(110, 0, 111, 1))])
    assert sorted(query.exact for query in queries) == [False, False, True, True]


def test_aoi_inside_another_is_not_searched_exactly():
    (query,) = query_polygons([box(0, 0, 9, 9), box(4, 4, 5, 5)])
    assert (query.exact, Polygon(ring_of(query.wkt)).equals(box(0, 0, 9, 9))) == (False, True)


@given(st.floats(-180, 180), st.floats(-90, 90), st.floats(-14, 2.6), st.booleans())
@example(180, 90, -14, False)
@example(-180, -90, -13, True)
@example(180, 51.57, -6.5, True)
@example(1.5e-6, -0.5e-6, -7, False)
@settings(max_examples=40, deadline=None)
def test_cover_of_a_part_of_any_size(x, y, exponent, accompanied):
    x, y, half = round(x, 15), round(y, 15), 10**exponent  # GEOS computes wrong hulls with coordinates near 1e-260
    shape = box(x - half, y - half, x + half, y + half).intersection(box(-180, -90, 180, 90))
    assume(isinstance(shape, Polygon) and shape.is_valid and shape.area > 0)
    field = box(x, y, x + 0.01, y + 0.01).intersection(box(-180, -90, 180, 90))
    areas = [shape, field] if accompanied and isinstance(field, Polygon) and field.area > 0 else [shape]
    rings = [Polygon(ring_of(query.wkt)) for query in query_polygons(areas)]
    assert all(ring.is_valid and ring.area > 0 for ring in rings)
    assert shapely.union_all(rings).covers(shape)


@given(areas(), st.integers(0, 2**32))
@settings(max_examples=10, deadline=None)
def test_query_polygons_cover_the_aoi(shape, seed):
    queries = query_polygons([shape])
    rings = [ring_of(query.wkt) for query in queries]
    assert 1 <= len(rings) <= MAX_QUERIES
    for query, ring in zip(queries, rings, strict=True):
        assert ring[0] == ring[-1]
        assert 4 <= len(ring) <= MAX_VERTICES + 1
        assert all(abs(x) <= 180 and abs(y) <= 90 for x, y in ring)
        assert not re.search(r"\.\d{7}|e", query.wkt.removeprefix("POLYGON"))
        assert Polygon(ring).is_valid
    rng = random.Random(seed)
    for part in rings_of(shape)[:20]:
        outline, middle = part[0], Polygon(part[0]).representative_point()
        for _ in range(10):
            n, t = rng.randrange(len(outline) - 1), rng.random()
            (x1, y1), (x2, y2) = outline[n], outline[n + 1]
            # a little inwards of the outline's triangle fan, so that rounding does not decide
            x, y = x1 + (x2 - x1) * t, y1 + (y2 - y1) * t
            x, y = x + (middle.x - x) * 1e-6, y + (middle.y - y) * 1e-6
            if is_in(x, y, shape):
                assert any(within(x, y, ring) for ring in rings)


@given(st.integers(0, 2**32), st.sampled_from([60, 300, 3000]))
@settings(max_examples=25, deadline=None)
def test_long_outline_is_simplified_without_growing_much(seed, corners):
    rng = random.Random(seed)
    ring = [
        (10 + math.cos(t) * (1 + rng.uniform(0, 0.02)), 40 + math.sin(t) * (1 + rng.uniform(0, 0.02)))
        for t in (2 * math.pi * n / corners for n in range(corners))
    ]
    shape = g.from_wkt(Polygon(ring).wkt) if Polygon(ring).is_valid else Polygon(ring).convex_hull
    (query,) = query_polygons([shape])
    assert Polygon(ring_of(query.wkt)).area < shape.area * 1.1


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        box(-180, -90, 180, 90),
        box(-170, -60, 170, 80),
        Polygon([(-170, -1.000003), (170, 2.000001), (170, 9), (-170, 10)]),
    ],
)
def test_query_has_no_edge_that_could_cross_the_antimeridian(shape, reverse):
    (query,) = query_polygons([shapely.reverse(shape) if reverse else shape])
    ring = ring_of(query.wkt)
    assert max(abs(x2 - x1) for (x1, _), (x2, _) in pairwise(ring)) <= 180
    assert Polygon(ring).covers(shape)
    assert Polygon(ring).area < shape.area + 1e-3


def test_query_of_a_circle_at_the_pole():
    shape = g.from_circle(20, 88, 500)
    (query,) = query_polygons([shape])
    assert Polygon(ring_of(query.wkt)).covers(shape)
