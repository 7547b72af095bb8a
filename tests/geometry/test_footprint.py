"""Footprints of scenes."""

import pytest
from shapely import LineString, MultiLineString, MultiPoint, MultiPolygon, Point, Polygon, box
from shapes import HARWELL

from sedas_sync import geometry as g


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
def test_footprints_are_repaired(text, same):
    for shape in (g.footprint(text), *g.footprints([text])):
        assert shape is not None
        assert shape.is_valid
        assert shape.symmetric_difference(same).area < 1e-9


UNREADABLE = [
    "",
    "not a shape",
    "POLYGON EMPTY",
    "POLYGON((0 0,1 0,1 99,0 0))",
    "POLYGON((600 0,601 0,601 1,600 0))",
    "POLYGON((nan 0,1 0,1 1,nan 0))",
    "POLYGON((inf 0,-inf 0,1 1,inf 0))",
    "GEOMETRYCOLLECTION (" * 200_000 + "POLYGON ((0 0, 1 0, 1 1, 0 0))" + ")" * 200_000,  # GEOS alone crashes
    "POLYGON((0 0,1 0,1 1,0 0))\0",
    "POLYGON((0 0,1 0,1 1,0 0))\ud800",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: ascii(text[:40]))
def test_unreadable_footprint_is_an_error(text):
    with pytest.raises(ValueError, match=r"\w+ "):
        g.footprint(text)


def test_unreadable_footprints_of_many_are_none():
    texts = [HARWELL, None, *UNREADABLE, "POLYGON((179 0,-179 0,-179 1,179 1,179 0))"]
    found = g.footprints(texts)
    assert [shape is not None for shape in found] == [True, *[False] * (len(texts) - 2), True]
    assert found[0].equals(g.footprint(HARWELL))
    assert g.footprints([]) == []


# -- what catalogues have instead of outlines --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("POINT (1 2)", Point(1, 2)),
        ("POINT (190 2)", Point(-170, 2)),
        ("MULTIPOINT ((1 2), (3 4))", MultiPoint([(1, 2), (3, 4)])),
        ("LINESTRING (0 0, 10 10)", LineString([(0, 0), (10, 10)])),
        ("LINESTRING (170 0, -170 10)", MultiLineString([[(170, 0), (180, 5)], [(-180, 5), (-170, 10)]])),
        ("MULTILINESTRING ((0 0, 1 1), (2 2, 3 3))", MultiLineString([[(0, 0), (1, 1)], [(2, 2), (3, 3)]])),
        ("GEOMETRYCOLLECTION (POINT (9 9), LINESTRING (0 0, 1 1))", Point(9, 9).union(LineString([(0, 0), (1, 1)]))),
        # A polygon without area.
        ("POLYGON ((0 0, 1 1, 0 0))", LineString([(0, 0), (1, 1)])),
        ("POLYGON ((0 0, 1 1, 2 2, 0 0))", LineString([(0, 0), (2, 2)])),
        ("POLYGON ((1 0))", Point(1, 0)),
        ("POLYGON ((1 0, 1 0, 1 0, 1 0))", Point(1, 0)),
        ("MULTIPOLYGON (((1 0, 1 0, 1 0, 1 0)), ((1 2, 3 4, 1 2)))", Point(1, 0).union(LineString([(1, 2), (3, 4)]))),
    ],
)
def test_points_and_lines_count_as_what_they_are(text, expected):
    for shape in (g.footprint(text), *g.footprints([text])):
        assert shape.equals(expected)


def test_scene_with_a_line_intersects_the_areas_that_it_meets():
    line = g.footprint("LINESTRING (0 0, 10 10)")
    assert g.Aoi(box(4, 4, 5, 5)).intersects(line)
    assert not g.Aoi(box(4, 6, 5, 7)).intersects(line)
    assert g.Aoi(box(4, 4, 5, 5)).coverage(line) == 0
    assert g.Aoi(box(4, 4, 5, 5)).intersects_each(g.footprints(["LINESTRING (0 0, 10 10)", "POINT (0 0)"])) == [
        True,
        False,
    ]


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize(
    "bounds",
    [(-179.95, -89.95, 179.95, 89.95), (-180, -90, 180, 90), (-179.975, -60, 179.975, 80), (0.05, -90, 359.95, 90)],
)
def test_global_grid_that_ends_half_a_pixel_before_the_antimeridian(bounds, clockwise):
    corners = list(box(*bounds).exterior.coords)
    shape = g.footprint(Polygon(corners[::-1] if clockwise else corners).wkt)
    for place in (Point(0.1, 51), Point(-100, -30), Point(100, 30)):
        assert shape.intersects(place)
    assert shape.area > 0.99 * box(*bounds).area


def test_narrow_swath_across_the_antimeridian_is_not_the_rest_of_the_world():
    swath = "POLYGON ((179 10, -178 10, -179.5 28, 177.5 28, 179 10))"
    shape = g.footprint(swath)
    assert shape.intersects(Point(179.5, 15))
    assert not shape.intersects(Point(0, 15))


def test_swath_of_a_whole_orbit_that_overlaps_itself_is_read():
    path = [(3 * n, 80 - abs(n % 54 - 27) * 160 / 27) for n in range(130)]
    ring = [*path, *((x + 8, y - 3) for x, y in reversed(path))]
    wrapped = ", ".join(f"{(x + 180) % 360 - 180} {max(-90, min(90, y))}" for x, y in [*ring, ring[0]])
    shape = g.footprint(f"POLYGON (({wrapped}))")
    assert shape.is_valid
    assert shape.area > 0
