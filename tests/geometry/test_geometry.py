"""AOIs, footprints, query polygons and coverage, held against oracles that know no geometry library."""

import math
import random
import re
from itertools import pairwise

import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import MultiPolygon, Polygon, box

from sedas_sync import geometry as g
from sedas_sync.geometry.query_polygons import MAX_QUERIES, MAX_VERTICES, query_polygons

HARWELL = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
WORLD = "POLYGON ((-180 -90, 180 -90, 180 90, -180 90, -180 -90))"

Ring = list[tuple[float, float]]


# ----------------------------------------------------------------------------------------------- oracles


def within(x: float, y: float, ring: Ring) -> bool:
    """Even-odd rule."""
    inside = False
    for (x1, y1), (x2, y2) in pairwise(ring):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


def ring_of(wkt: str) -> Ring:
    body = re.fullmatch(r"POLYGON \(\(([^()]*)\)\)", wkt)
    assert body, wkt
    return [(float(a), float(b)) for a, b in (pair.split() for pair in body[1].split(", "))]


def rings_of(shape) -> list[list[Ring]]:
    return [
        [list(part.exterior.coords), *(list(hole.coords) for hole in part.interiors)]
        for part in getattr(shape, "geoms", [shape])
    ]


def is_in(x: float, y: float, shape) -> bool:
    return any(sum(within(x, y, ring) for ring in rings) % 2 == 1 for rings in rings_of(shape))


def coverage(aoi, footprint) -> float:
    return g.Aoi(aoi).coverage(footprint)


def distance_km(lon1: float, lat1: float, lon2: float, lat2: float) -> float:
    """Haversine."""
    a, b = math.radians(lat1), math.radians(lat2)
    h = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(math.radians(lon2 - lon1) / 2) ** 2
    return 2 * 6371.0088 * math.asin(min(1.0, math.sqrt(h)))


# ----------------------------------------------------------------------------------- shapes to try things on


def star(rng: random.Random, x: float, y: float, size: float, corners: int) -> Ring:
    """A star-shaped ring: never crosses itself, and may be as jagged as it likes."""
    turns = sorted(rng.uniform(0, 2 * math.pi) for _ in range(corners))
    gaps = [b - a for a, b in zip(turns, [*turns[1:], turns[0] + 2 * math.pi], strict=True)]
    if max(gaps) > math.pi * 0.95:  # its middle would be outside
        turns = [2 * math.pi * n / corners for n in range(corners)]
    reach = [size * rng.uniform(0.3, 1) for _ in turns]
    ring = [(x + r * math.cos(t), y + r * math.sin(t)) for t, r in zip(turns, reach, strict=True)]
    return [*ring, ring[0]]


@st.composite
def areas(draw):
    """One or many polygons, with holes and long outlines, anywhere on the globe but split at its edge."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    parts = []
    for _ in range(draw(st.sampled_from([1, 1, 2, 5, 25, 90]))):
        size = 10 ** rng.uniform(-3, 1)
        x, y = rng.uniform(-179, 179), rng.uniform(-89, 89)
        shell = star(rng, x, y, size, rng.choice([3, 4, 8, 40, 300]))
        holes = [star(rng, x, y, size * 0.2, 5)] if rng.random() < 0.3 else []
        part = Polygon(shell, holes)
        parts.append(part if part.is_valid else Polygon(shell).convex_hull)
    return shapely.union_all(parts).intersection(box(-180, -90, 180, 90))


# -------------------------------------------------------------------------------------------------- AOIs


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
def test_wkt_is_read(text, expected):
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
        ("POLYGON ((200 0, 201 0, 201 1, 200 0))", "200 0 is outside .*; .* so write -160"),
        ("POLYGON ((0 91, 200 0, 201 1, 0 91))", "0 91 is outside ±180/±90 .longitude, then latitude"),
        ("POLYGON ((0 0, 999 0, 201 1, 0 0))", "999 0 is outside"),
        ("POLYGON ((52 -120, 52 -119, 51 -119, 52 -120))", "swapped"),
        ("POLYGON ((0 -8, 120 8, -120 8, 0 -8))", "unclear which pole it encloses"),
    ],
)
def test_mistakes_in_an_aoi_are_told(text, sentence):
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
def test_geojson_is_the_union_of_all_polygons(value, parts):
    shape = g.from_geojson(value)
    assert len(rings_of(shape)) == parts
    assert shape.area == parts


def test_overlapping_polygons_become_one():
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
        ({"type": "Polygon", "coordinates": [[]]}, "a ring is empty"),
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
def test_mistakes_in_geojson_are_told(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_geojson(value)


def test_a_box():
    assert g.from_bbox(-1.4, 51.5, -1.2, 51.6).equals(box(-1.4, 51.5, -1.2, 51.6))
    assert g.from_bbox(-180, -90, 180, 90).equals(box(-180, -90, 180, 90))


def test_a_box_over_the_antimeridian_is_split_there():
    shape = g.from_bbox(170, -10, -160, 10)
    assert shape.equals(MultiPolygon([box(170, -10, 180, 10), box(-180, -10, -160, 10)]))


@pytest.mark.parametrize(
    ("bbox", "sentence"),
    [
        ((0, 0, 0, 1), "no area"),
        ((0, 1, 1, 1), "no area"),
        ((0, 2, 1, 1), r"south \(2\) is north of its north \(1\)"),
        ((0, 0, 181, 1), "outside"),
        ((51, -100, 52, -99), "swapped"),
        ((math.nan, 0, 1, 1), "not a finite number"),
    ],
)
def test_mistakes_in_a_box_are_told(bbox, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_bbox(*bbox)


# ---------------------------------------------------------------------------- antimeridian and poles


def test_a_jump_is_read_as_crossing_the_antimeridian():
    shape = g.from_wkt("POLYGON ((179 -1, -179 -1, -179 1, 179 1, 179 -1))")
    assert shape.equals(MultiPolygon([box(179, -1, 180, 1), box(-180, -1, -179, 1)]))


def test_a_hole_crosses_with_its_shell():
    shape = g.from_wkt("POLYGON ((178 -2, -178 -2, -178 2, 178 2, 178 -2), (-179 -1, 179 -1, 179 1, -179 1, -179 -1))")
    assert shape.area == 16 - 4
    assert not is_in(179.5, 0.1, shape)
    assert not is_in(-179.5, 0.1, shape)
    assert is_in(178.5, 0.1, shape)


def test_a_split_outline_that_names_the_antimeridian_on_both_sides_stays_small():
    shape = g.from_wkt("POLYGON ((179 5, 180 5, -180 5, -179 5, -179 9, -180 9, 180 9, 179 9, 179 5))")
    assert shape.area == 8


@pytest.mark.parametrize(
    ("text", "pole", "outside"),
    [
        ("POLYGON ((0 -80, 90 -80, 180 -80, -90 -80, 0 -80))", (10, -89), (10, -79)),
        ("POLYGON ((0 -80, -90 -80, 180 -80, 90 -80, 0 -80))", (10, -89), (10, -79)),
        ("POLYGON ((0 70, 120 75, -120 72, 0 70))", (-170, 89), (10, 69)),
        ("POLYGON ((-180 60, -60 60, 60 60, 180 60, -180 60))", (10, 89), (10, 59)),
    ],
)
def test_a_ring_around_the_globe_encloses_its_pole(text, pole, outside):
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
@settings(max_examples=80, deadline=None)
def test_a_circle_holds_what_is_near_and_nothing_else(lon, lat, radius, seed):
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
def test_a_circle_has_the_area_of_a_spherical_cap(place, radius):
    cap = (1 - math.cos(radius / 6371.0088)) / 2
    part = coverage(g.from_wkt(WORLD), g.from_circle(*place, radius)) / 100
    assert part == pytest.approx(cap, rel=1e-4)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ((0, 91, 5), "outside"),
        ((181, 0, 5), "outside"),
        ((0, 0, 0), "radius 0 km"),
        ((0, 0, -1), "radius"),
        ((0, 0, math.nan), "radius"),
        ((0, 0, 20000), "at most 10000 km"),
    ],
)
def test_mistakes_in_a_circle_are_told(args, sentence):
    with pytest.raises(ValueError, match=sentence):
        g.from_circle(*args)


# ---------------------------------------------------------------------------------------- footprints


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("POLYGON((44.9 13.5,46.0 13.5,46.0 12.5,44.9 12.5,44.9 13.5))", box(44.9, 12.5, 46.0, 13.5)),
        ("POLYGON((0 0,1 0,1 1,0 1))", box(0, 0, 1, 1)),
        (
            "POLYGON((0 0,2 2,2 0,0 2,0 0))",
            Polygon([(0, 0), (1, 1), (0, 2)]).union(Polygon([(2, 2), (1, 1), (2, 0)])),
        ),
        (
            "POLYGON((179 0,-179 0,-179 1,179 1,179 0))",
            MultiPolygon([box(179, 0, 180, 1), box(-180, 0, -179, 1)]),
        ),
        (
            "POLYGON((179 0,181 0,181 1,179 1,179 0))",
            MultiPolygon([box(179, 0, 180, 1), box(-180, 0, -179, 1)]),
        ),
        ("POLYGON((200 0,201 0,201 1,200 1,200 0))", box(-160, 0, -159, 1)),
        (
            "MULTIPOLYGON(((0 0,1 0,1 1,0 1,0 0)),((5 5,6 5,6 6,5 6,5 5)))",
            MultiPolygon([box(0, 0, 1, 1), box(5, 5, 6, 6)]),
        ),
        ("POLYGON Z((0 0 1,1 0 1,1 1 1,0 1 1,0 0 1))", box(0, 0, 1, 1)),
        ("POLYGON((0 89,1 89,1 90.0000001,0 90,0 89))", box(0, 89, 1, 90)),
        ("POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1))", box(0, 0, 4, 4)),
        ("POLYGON((0 0,4 0,4 4,0 4,0 0), (1 1))", box(0, 0, 4, 4)),
        ("GEOMETRYCOLLECTION(POINT(9 9), LINESTRING Z (0 0 1, 1 1 1), POLYGON((0 0,1 0,1 1,0 1)))", box(0, 0, 1, 1)),
    ],
)
def test_footprints_are_read_leniently(text, same):
    for shape in (g.footprint(text), *g.footprints([text])):
        assert shape is not None
        assert shape.is_valid
        assert shape.symmetric_difference(same).area < 1e-9


NONSENSE = [
    "",
    "not a shape",
    "POINT (1 2)",
    "POLYGON EMPTY",
    "POLYGON((0 0,1 1,0 0))",
    "POLYGON((0 0,1 1,2 2,0 0))",
    "POLYGON((0 0,1 0,1 99,0 0))",
    "POLYGON((500 0,501 0,501 1,500 0))",
    "POLYGON((nan 0,1 0,1 1,nan 0))",
    "POLYGON((inf 0,-inf 0,1 1,inf 0))",
    "POLYGON((1 0))",
    "GEOMETRYCOLLECTION (" * 200_000 + "POLYGON ((0 0, 1 0, 1 1, 0 0))" + ")" * 200_000,  # GEOS alone crashes
    "POLYGON((0 0,1 0,1 1,0 0))\0",
    "POLYGON((0 0,1 0,1 1,0 0))\ud800",
]


@pytest.mark.parametrize("text", NONSENSE, ids=lambda text: ascii(text[:40]))
def test_a_footprint_without_sense_is_refused(text):
    with pytest.raises(ValueError, match=r"\w+ "):
        g.footprint(text)


def test_many_footprints_keep_their_order_and_show_nonsense_as_none():
    texts = [HARWELL, None, *NONSENSE, "POLYGON((179 0,-179 0,-179 1,179 1,179 0))"]
    found = g.footprints(texts)
    assert [shape is not None for shape in found] == [True, *[False] * (len(texts) - 2), True]
    assert found[0].equals(g.footprint(HARWELL))
    assert g.footprints([]) == []


# ------------------------------------------------------------------------------------- query polygons


def test_a_small_aoi_is_searched_with_as_it_was_written():
    (query,) = query_polygons(g.from_wkt(HARWELL))
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
def test_a_query_polygon_that_is_not_the_aoi_says_so(text, number):
    queries = query_polygons(g.from_wkt(text))
    assert len(queries) == number
    assert not any(query.exact for query in queries)


def test_an_island_in_a_lake_needs_no_search_of_its_own():
    shape = g.from_wkt(
        "MULTIPOLYGON (((0 0, 9 0, 9 9, 0 9, 0 0), (1 1, 8 1, 8 8, 1 8, 1 1)), ((4 4, 5 4, 5 5, 4 5, 4 4)))"
    )
    (query,) = query_polygons(shape)
    assert Polygon(ring_of(query.wkt)).equals(box(0, 0, 9, 9))


@given(areas(), st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_query_polygons_cover_the_aoi(shape, seed):
    queries = query_polygons(shape)
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
            # a little inwards of the outline's triangle fan, so that rounding of the sample does not decide
            x, y = x1 + (x2 - x1) * t, y1 + (y2 - y1) * t
            x, y = x + (middle.x - x) * 1e-6, y + (middle.y - y) * 1e-6
            if is_in(x, y, shape):
                assert any(within(x, y, ring) for ring in rings)


@given(st.integers(0, 2**32), st.sampled_from([60, 300, 3000]))
@settings(max_examples=25, deadline=None)
def test_a_long_outline_is_simplified_without_growing_much(seed, corners):
    rng = random.Random(seed)
    ring = [
        (10 + math.cos(t) * (1 + rng.uniform(0, 0.02)), 40 + math.sin(t) * (1 + rng.uniform(0, 0.02)))
        for t in (2 * math.pi * n / corners for n in range(corners))
    ]
    shape = g.from_wkt(Polygon(ring).wkt) if Polygon(ring).is_valid else Polygon(ring).convex_hull
    (query,) = query_polygons(shape)
    assert Polygon(ring_of(query.wkt)).area < shape.area * 1.1


def test_a_circle_at_the_pole_can_be_searched_with():
    shape = g.from_circle(20, 88, 500)
    (query,) = query_polygons(shape)
    assert Polygon(ring_of(query.wkt)).covers(shape)


# -------------------------------------------------------------------------------- meeting and coverage


def test_touching_is_meeting_as_in_ogc():
    aoi = g.Aoi(box(0, 0, 1, 1))
    footprints = [box(1, 1, 2, 2), box(1, 0, 2, 1), box(0.5, 0.5, 9, 9), box(1.001, 0, 2, 1), None]
    assert aoi.intersects_each(footprints) == [True, True, True, False, False]
    assert [aoi.intersects(shape) for shape in footprints if shape] == [True, True, True, False]


def test_a_scene_over_the_antimeridian_meets_an_aoi_there_and_none_in_greenwich():
    scene = g.footprint("POLYGON((179 50,-179 50,-179 53,179 53,179 50))")
    assert g.Aoi(g.from_bbox(179.5, 51, -179.5, 52)).coverage(scene) == 100
    assert not g.Aoi(g.from_bbox(-1, 51, 1, 52)).intersects(scene)


def test_coverage_is_of_area_on_the_sphere():
    """Half of a hemisphere lies south of 30 degrees, where a third of its square degrees is."""
    assert coverage(box(-180, 0, 180, 90), box(-180, 0, 180, 30)) == pytest.approx(50)


def test_coverage_of_nothing_and_all():
    aoi = g.Aoi(box(0, 0, 1, 1))
    assert aoi.coverage(box(5, 5, 6, 6)) == 0
    assert aoi.coverage(box(1, 0, 2, 1)) == 0
    assert aoi.coverage(box(0, 0, 1, 1)) == 100
    assert aoi.coverage(box(-1, -1, 2, 2)) == 100


def test_coverage_of_a_very_small_aoi():
    aoi = g.Aoi(box(-1.3, 51.5, -1.29999, 51.50001))
    assert aoi.coverage(box(-1.3, 51.5, -1.299995, 52)) == pytest.approx(50, rel=1e-6)


@given(areas(), areas(), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_coverage_agrees_with_sampling(aoi, scene, seed):
    """The oracle throws darts that are even on the sphere, and decides by the even-odd rule."""
    part = max(shapely.get_parts(aoi), key=lambda p: p.area)
    shift = max(shapely.get_parts(scene), key=lambda p: p.area)
    # two shapes from anywhere would hardly ever meet
    step = shapely.get_coordinates(part.centroid) - shapely.get_coordinates(shift.centroid)
    moved = shapely.transform(shift, lambda xy: xy + step).intersection(box(-180, -90, 180, 90))
    rng = random.Random(seed)
    west, south, east, north = part.bounds
    low, high = math.sin(math.radians(south)), math.sin(math.radians(north))
    darts = [(rng.uniform(west, east), math.degrees(math.asin(rng.uniform(low, high)))) for _ in range(1500)]
    hits = [dart for dart in darts if is_in(*dart, part)]
    both = [dart for dart in hits if is_in(*dart, moved)] if not moved.is_empty else []
    if len(hits) > 100:
        slack = 4 * 50 / math.sqrt(len(hits)) + 0.5
        assert coverage(part, moved) == pytest.approx(100 * len(both) / len(hits), abs=slack)


def test_an_aoi_is_the_same_whichever_way_its_outline_runs():
    one = g.Aoi(g.from_wkt("POLYGON ((0 0, 1 0, 1 1, 0 0))"))
    other = g.Aoi(g.from_wkt("POLYGON ((1 1, 1 0, 0 0, 1 1))"))
    third = g.Aoi(g.from_wkt("POLYGON ((1 1, 1 0, 0 0.1, 1 1))"))
    assert one == other
    assert hash(one) == hash(other)
    assert one != third
    assert one.queries is one.queries
    assert "POLYGON" in repr(one)


@pytest.mark.parametrize(
    "ring",
    [
        "-1.33 51.58 -1.30 51.58, -1.30 51.56, -1.33 51.56, -1.33 51.58",
        "-1.33 51.58 5, -1.30 51.58, -1.30 51.56, -1.33 51.56, -1.33 51.58 5",
    ],
)
def test_a_lost_comma_is_a_mistake(ring):
    with pytest.raises(ValueError, match=r"numbers, the first position .* \(is a comma missing\?\)"):
        g.from_wkt(f"POLYGON (({ring}))")
