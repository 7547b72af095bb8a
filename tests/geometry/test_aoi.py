"""Areas of interest: reading, the antimeridian and the poles."""

import math
import random

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, box
from shapes import HARWELL, WORLD, coverage, distance_km, is_in, rings_of

from sedas_sync import geometry as g


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HARWELL, HARWELL),
        (HARWELL.lower(), HARWELL),
        ("SRID=4326;" + HARWELL, HARWELL),
        ("  POLYGON((0 0,1 0,1 1,0 0))\n", "POLYGON ((0 0, 1 0, 1 1, 0 0))"),
        ("POLYGON Z ((0 0 5, 1 0 5, 1 1 5, 0 0 5))", "POLYGON ((0 0, 1 0, 1 1, 0 0))"),
        ("POLYGONZM((0 0 5 1,1 0 5 1,1 1 5 1,0 0 5 1))", "POLYGON ((0 0, 1 0, 1 1, 0 0))"),
        ("POLYGON ((1e1 0, 11 -.5, 11. 1, 1E+1 0))", "POLYGON ((10 0, 11 -0.5, 11 1, 10 0))"),
        ("MULTIPOLYGON (((0 0, 1 0, 1 1, 0 0)))", "POLYGON ((0 0, 1 0, 1 1, 0 0))"),
        (
            "GEOMETRYCOLLECTION (POINT EMPTY, GEOMETRYCOLLECTION (POLYGON ((0 0, 1 0, 1 1, 0 0))))",
            "POLYGON ((0 0, 1 0, 1 1, 0 0))",
        ),
        (
            "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 2 1, 2 2, 1 1))",
            "POLYGON ((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 2 1, 2 2, 1 1))",
        ),
        (
            "POLYGON ((180.0000000001 0, 170 0, 170 9, 180.0000000001 0))",
            "POLYGON ((180 0, 170 0, 170 9, 180 0))",
        ),
        (WORLD, WORLD),
    ],
)
def test_read_wkt(text, expected):
    assert shapely.to_wkt(g.from_wkt(text), rounding_precision=-1) == shapely.to_wkt(
        shapely.from_wkt(expected), rounding_precision=-1
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it is not WKT: .*end of stream"),
        ("POLYGON", "it is not WKT: .*end of stream"),
        ("POLYGON ((0 0, 1 1", "it is not WKT: .*end of stream"),
        ("hello", "it is not WKT: .*HELLO"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0)) and more", "it is not WKT: .*after end"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0))\0", "it is not WKT: .*x00"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0))\ud800", "it is not WKT: .*ud800"),
        ("POLYGON ((a b, 1 0, 1 1, 0 0))", "it is not WKT: .*'a'"),
        ("POLYGON ((0, 1 0, 1 1, 0))", "it is not WKT: '1 0' has 2 numbers, the first position 1"),
        ("POLYGON ((0 0; 1 0))", "it is not WKT: .*'0;'"),
        ("POLYGON (0 0, 1 0, 1 1, 0 0)", "it is not WKT: .*'0'"),
        ("POLYGON ((0 0))", "it is not WKT: "),
        ("SRID=27700;POLYGON ((0 0, 1 0, 1 1, 0 0))", "EPSG:27700"),
        ("POLYGON EMPTY", "it is empty"),
        ("POLYGON (EMPTY)", "it is empty"),
        ("MULTIPOLYGON (EMPTY)", "it is empty"),
        ("GEOMETRYCOLLECTION EMPTY", "it is empty"),
        ("GEOMETRYCOLLECTION (" * 40 + "POINT (1 2)" + ")" * 40, "nested too deeply"),
        ("POINT (1 2)", "contains no polygon, but POINT"),
        ("GEOMETRYCOLLECTION (POINT (1 2), LINESTRING (1 2, 3 4))", "no polygon, but POINT, LINESTRING"),
        ("POLYGON ((0 0, 1 0, 1 1))", "a ring is open: it begins at 0 0 and ends at 1 1"),
        ("POLYGON ((0 0, 9 0, 9 9, 0 0), (1 1, 2 1, 2 2))", "a ring is open"),
        ("POLYGON ((0 0, 1 0, 0 0))", "has 3 positions"),
        ("POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))", "crosses or touches itself near longitude 0.5, latitude 0.5"),
        ("POLYGON ((179 0, -179 1, -179 0, 179 1, 179 0))", "itself near longitude -?180, latitude 0.5"),
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", "it has no area"),
        ("POLYGON ((0 0, 1 0, 1 1, 0 0), (5 5, 6 5, 6 6, 5 5))", "Hole lies outside shell"),
        ("POLYGON ((nan 0, 1 0, 1 1, nan 0))", "not a finite number"),
        ("POLYGON ((1e999 0, 1 0, 1 1, 1e999 0))", "not a finite number"),
        ("POLYGON ((0 91, 200 0, 201 1, 0 91))", "0 91 is outside ±180/±90 .longitude, then latitude"),
        ("POLYGON ((0 0, 500 0, 201 1, 0 0))", "from longitude 0 to 500, which is more than once around the globe"),
        ("POLYGON ((720 0, 721 0, 721 1, 720 0))", "720 0 is outside .* subtract 720 from each of its longitudes"),
        ("POLYGON ((-730 0, -729 0, -729 1, -730 0))", "-730 0 is outside .* add 720 to each of its longitudes"),
        ("POLYGON ((447000 186000, 448000 186000, 448000 187000, 447000 186000))", "are metres, convert them"),
        ("POLYGON ((52 -120, 52 -119, 51 -119, 52 -120))", "swapped"),
    ],
)
def test_mistakes_in_wkt(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_wkt(text)


SQUARE = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]
FAR = [[5, 5], [6, 5], [6, 6], [5, 6], [5, 5]]


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ({"type": "Polygon", "coordinates": [SQUARE]}, 1),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [FAR]]}, 2),
        ({"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [SQUARE]}}, 1),
        (
            {
                "type": "FeatureCollection",
                "features": [
                    {"type": "Feature", "geometry": None},
                    {"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}},
                    {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [SQUARE]}},
                    {
                        "type": "Feature",
                        "geometry": {
                            "type": "GeometryCollection",
                            "geometries": [
                                {"type": "GeometryCollection", "geometries": []},
                                {"type": "Polygon", "coordinates": [FAR]},
                            ],
                        },
                    },
                ],
            },
            2,
        ),
    ],
)
def test_read_geojson(value, parts):
    shape = g.from_geojson(value)
    assert len(rings_of(shape)) == parts
    assert shape.area == parts


def test_overlapping_polygons_are_united():
    shape = g.from_wkt("MULTIPOLYGON (((0 0, 2 0, 2 2, 0 2, 0 0)), ((1 0, 3 0, 3 2, 1 2, 1 0)))")
    assert shape.equals(box(0, 0, 3, 2))


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({}, "an object with a type is missing"),
        ([], "an object with a type is missing"),
        ({"type": "Square"}, "'Square' is not a type"),
        ({"type": "Polygon"}, "has no list of its parts"),
        ({"type": "Polygon", "coordinates": []}, "it is empty"),
        ({"type": "Polygon", "coordinates": [[]]}, "it is empty"),
        ({"type": "Polygon", "coordinates": [[[True, 0]]]}, "is not two numbers"),
        ({"type": "Polygon", "coordinates": [[["1", "2"]]]}, "is not two numbers"),
        ({"type": "Polygon", "coordinates": [[[1]]]}, "is not two numbers"),
        ({"type": "Polygon", "coordinates": [[[10**400, 0]]]}, "not a finite number"),
        ({"type": "Polygon", "coordinates": [SQUARE[:4]]}, "a ring is open"),
        ({"type": "FeatureCollection", "features": []}, "it is empty"),
        ({"type": "FeatureCollection", "features": None}, "has no list of its parts"),
        ({"type": "Feature", "geometry": {"type": "Point", "coordinates": [0, 0]}}, "no polygon, but Point"),
    ],
)
def test_mistakes_in_geojson(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_geojson(value)


def test_box():
    assert g.from_bbox(-1.4, 51.5, -1.2, 51.6).equals(box(-1.4, 51.5, -1.2, 51.6))
    assert g.from_bbox(-180, -90, 180, 90).equals(box(-180, -90, 180, 90))


def test_box_across_the_antimeridian_is_split():
    shape = g.from_bbox(170, -10, -160, 10)
    assert shape.equals(MultiPolygon([box(170, -10, 180, 10), box(-180, -10, -160, 10)]))


@pytest.mark.parametrize(
    ("bbox", "sentence"),
    [
        ((0, 0, 0, 1), "no area"),
        ((0, 1, 1, 1), "no area"),
        ((0, 2, 1, 1), r"south \(2\) is north of its north \(1\)"),
        ((-180, 0, 181, 1), "more than once around the globe"),
        ((180, 0, -180, 1), "no area"),
        ((-1.31, 51.57, -1.31, 51.57), "no area"),
        ((0, 0, 541, 1), "outside"),
        ((447000, 186000, 448000, 187000), "are metres"),
        ((51, -100, 52, -99), "swapped"),
        ((math.nan, 0, 1, 1), "not a finite number"),
    ],
)
def test_mistakes_in_a_box(bbox, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_bbox(*bbox)


# ---------------------------------------------------------------------------- antimeridian and poles


def test_long_step_crosses_the_antimeridian():
    shape = g.from_wkt("POLYGON ((179 -1, -179 -1, -179 1, 179 1, 179 -1))")
    assert shape.equals(MultiPolygon([box(179, -1, 180, 1), box(-180, -1, -179, 1)]))


def test_hole_crosses_the_antimeridian_with_its_shell():
    shape = g.from_wkt("POLYGON ((178 -2, -178 -2, -178 2, 178 2, 178 -2), (-179 -1, 179 -1, 179 1, -179 1, -179 -1))")
    assert shape.area == 16 - 4
    assert not is_in(179.5, 0.1, shape)
    assert not is_in(-179.5, 0.1, shape)
    assert is_in(178.5, 0.1, shape)


def test_antimeridian_on_both_sides_is_one_meridian():
    shape = g.from_wkt("POLYGON ((179 5, 180 5, -180 5, -179 5, -179 9, -180 9, 180 9, 179 9, 179 5))")
    assert shape.area == 8


@pytest.mark.parametrize(
    ("text", "pole", "outside"),
    [
        ("POLYGON ((0 -80, 90 -80, 180 -80, -90 -80, 0 -80))", (10, -89), (10, -79)),
        ("POLYGON ((0 -80, -90 -80, 180 -80, 90 -80, 0 -80))", (10, -89), (10, -79)),
        ("POLYGON ((0 80, 90 70, 180 80, -90 70, 0 80))", (-170, 89), (10, 69)),
        ("POLYGON ((-180 60, -60 60, 60 60, 180 60, -180 60))", (10, 89), (10, 59)),
    ],
)
def test_ring_around_the_globe_encloses_its_pole(text, pole, outside):
    shape = g.from_wkt(text)
    assert shape.is_valid
    assert is_in(*pole, shape)
    assert not is_in(*outside, shape)


@given(
    st.floats(-180, 180),
    st.floats(-90, 90),
    st.one_of(st.floats(0.01, 100), st.floats(100, 9999)),
    st.integers(0, 2**32),
)
@settings(max_examples=30, deadline=None)
def test_circle_contains_the_near_places_only(lon, lat, radius, seed):
    shape = g.from_circle(lon, lat, radius)
    assert shape.is_valid
    west, south, east, north = shape.bounds
    assert -180 <= west <= east <= 180
    assert -90 <= south <= north <= 90
    rng = random.Random(seed)
    for _ in range(40):
        bearing, d = rng.uniform(0, 2 * math.pi), radius / 6371.0088 * rng.choice([0.5, 0.99, 1.01, 1.5])
        a = math.radians(lat)
        b = math.asin(max(-1, min(1, math.sin(a) * math.cos(d) + math.cos(a) * math.sin(d) * math.cos(bearing))))
        step = math.atan2(math.sin(bearing) * math.sin(d) * math.cos(a), math.cos(d) - math.sin(a) * math.sin(b))
        x, y = (lon + math.degrees(step) + 540) % 360 - 180, math.degrees(b)
        away = distance_km(lon, lat, x, y)
        if away < radius * 0.985 and abs(abs(x) - 180) > 1e-6 and abs(y) < 89.999:
            assert is_in(x, y, shape), (x, y)
        if away > radius * 1.005:
            assert not is_in(x, y, shape), (x, y)


@pytest.mark.parametrize("place", [(0, 0), (10, 89.9), (-30, -89.99), (180, 45), (-179.99, -80), (0, 90)])
@pytest.mark.parametrize("radius", [0.05, 5, 500, 5000])
def test_circle_has_the_area_of_a_spherical_cap(place, radius):
    cap = (1 - math.cos(radius / 6371.0088)) / 2
    part = coverage(g.from_wkt(WORLD), g.from_circle(*place, radius)) / 100
    assert part == pytest.approx(cap, rel=1e-4)


@pytest.mark.parametrize(
    ("make", "vertices", "first"),
    [
        (lambda: g.from_circle(-1.3, 51.6, 5), 721, (-1.372391143, 51.599826061)),
        (lambda: g.buffered(None, [[(-1.3, 51.6), (-1.2, 51.7)]], 5), 35, (-1.372852896, 51.598419985)),
    ],
)
def test_outlines_that_are_computed_stay_as_they_are(make, vertices, first):
    """Lock files have them, and no longer match the manifest if another version moves a vertex."""
    ring = shapely.normalize(make()).exterior.coords
    assert len(ring) == vertices
    assert ring[0] == pytest.approx(first, abs=1e-8)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((0, 91, 5), "outside"),
        ((541, 0, 5), "outside"),
        ((0, 0, 0), "radius 0 km"),
        ((0, 0, -1), "radius"),
        ((0, 0, math.nan), "radius"),
        ((0, 0, 20000), "at most 10000 km"),
    ],
)
def test_mistakes_in_a_circle(args, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_circle(*args)


@pytest.mark.parametrize(
    "ring",
    [
        "-1.33 51.58 -1.30 51.58, -1.30 51.56, -1.33 51.56, -1.33 51.58",
        "-1.33 51.58 5, -1.30 51.58, -1.30 51.56, -1.33 51.56, -1.33 51.58 5",
    ],
)
def test_missing_comma_is_a_mistake(ring):
    with pytest.raises(ValueError, match=r"numbers, the first position .* \(is a comma missing\?\)"):
        g.from_wkt(f"POLYGON (({ring}))")
