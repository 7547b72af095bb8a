"""What rings enclose: the antimeridian, the poles, doubt, and longitudes beyond ±180."""

from itertools import pairwise
from math import cos, pi, sin

import antimeridian
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon, box
from shapes import is_in

from sedas_sync import geometry as g


def boxes(*bounds):
    return shapely.union_all([box(*one) for one in bounds])


def ring(west, south, east, north):
    return f"POLYGON (({west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}))"


ANTARCTIC = ["180 -84.7", "180 -90", "-180 -90", "-180 -84.7", "0 -70"]

# -- the two readings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Boxes of the world, from west to east: the same as with `bbox`.
        (ring(-170, -60, 170, 80), [(-170, -60, 170, 80)]),
        (ring(-180, -90, 180, 90), [(-180, -90, 180, 90)]),
        (ring(-180, 50, 180, 72), [(-180, 50, 180, 72)]),
        (ring(-180, -60, 170, 80), [(-180, -60, 170, 80)]),
        (ring(-179.99, -89.99, 179.99, 89.99), [(-179.99, -89.99, 179.99, 89.99)]),
        (ring(-100, 0, 100, 10), [(-100, 0, 100, 10)]),
        # From 170 east to -170: across the antimeridian, in either direction if the ring is long.
        (ring(170, 40, -170, 50), [(170, 40, 180, 50), (-180, 40, -170, 50)]),
        (ring(160, 50, -150, 66), [(160, 50, 180, 66), (-180, 50, -150, 66)]),
        (
            "POLYGON ((-178 -20, -178 -16, -179 -16, 178 -16, 177 -17, 177 -20, -178 -20))",
            [(178, -20, 180, -16), (-180, -20, -178, -16)],
        ),
        # An edge along a pole is a point, in either direction, wherever the outline begins.
        *(
            (f"POLYGON (({', '.join([*turned[first:], *turned[:first], turned[first]])}))", None)
            for turned in (ANTARCTIC, ANTARCTIC[::-1])
            for first in range(len(ANTARCTIC))
        ),
        # A position beside the antimeridian is on it.
        (
            "POLYGON ((180 -84.7, 180 -90, -179.99999999999994 -90, -180 -84.7, 0 -70, 180 -84.7))",
            None,
        ),
    ],
)
def test_ring_with_long_edges(text, expected):
    shape = g.from_wkt(text)
    assert shape.is_valid
    if expected is None:
        assert shape.equals(Polygon([(180, -84.7), (180, -90), (-180, -90), (-180, -84.7), (0, -70)]))
    elif text.startswith("POLYGON ((-178"):
        assert shape.intersection(boxes(*expected)).equals(boxes(*expected))
        assert shape.bounds == (-180, -20, 180, -16)
        assert shape.area == pytest.approx(19, abs=1)
    else:
        assert shape.equals(boxes(*expected))


@pytest.mark.parametrize(
    ("text", "readings"),
    [
        # A low box from west to east that looks as if it crossed the antimeridian.
        (ring(-170, -5, 170, 5), (box(-170, -5, 170, 5), boxes((170, -5, 180, 5), (-180, -5, -170, 5)))),
        # The same with more corners.
        (
            "POLYGON ((-160 -5, 160 -5, 165 0, 160 5, -160 5, -165 0, -160 -5))",
            (Polygon([(-160, -5), (160, -5), (165, 0), (160, 5), (-160, 5), (-165, 0)]), None),
        ),
        # A high one from 170 east to -170.
        (ring(170, -60, -170, 80), (box(-170, -60, 170, 80), boxes((170, -60, 180, 80), (-180, -60, -170, 80)))),
        # A high one that is not a box, from 170 east to -170.
        (
            "POLYGON ((170 -60, -170 -50, -170 70, 170 80, 170 -60))",
            (Polygon([(170, -60), (-170, -50), (-170, 70), (170, 80)]), None),
        ),
        # The world with its corners in the other direction.
        (
            "POLYGON ((-179 -80, -179 80, 179 80, 179 -80, -179 -80))",
            (box(-179, -80, 179, 80), boxes((179, -80, 180, 80), (-180, -80, -179, 80))),
        ),
        # More than a quarter of the globe.
        (ring(100, 0, -100, 10), (box(-100, 0, 100, 10), boxes((100, 0, 180, 10), (-180, 0, -100, 10)))),
        # A triangle, or around the north pole.
        (
            "POLYGON ((0 70, 120 75, -120 72, 0 70))",
            (Polygon([(0, 70), (120, 75), (-120, 72)]), None),
        ),
    ],
)
def test_doubt_is_a_mistake_that_shows_how_to_write_each_reading(text, readings):
    with pytest.raises(
        ValueError, match=r"has two readings: as written, .* For the first, .* For the second"
    ) as caught:
        g.from_wkt(text)
    message = str(caught.value)
    corners = shapely.get_coordinates(shapely.from_wkt(text)).tolist()
    with_middles = [corners[0]]
    for (x1, y1), (x2, y2) in pairwise(corners):
        if abs(x2 - x1) > 180:
            with_middles.append([(x1 + x2) / 2, (y1 + y2) / 2])
            assert "put a position in the middle of" in message
        with_middles.append([x2, y2])
    assert g.from_wkt(Polygon(with_middles).wkt).equals(readings[0])
    spelled = message.partition("For the second, write ")[2].partition("))")[0].partition(").")[0].strip("()")
    second = g.from_wkt(f"POLYGON (({spelled}))")
    likely = g.from_wkt(text, on_repair=str)
    assert message.endswith("With repair = true it is the second" if likely.equals(second) else "it is the first")
    assert likely.equals(second) or likely.equals(readings[0])
    if readings[1] is not None:
        assert second.equals(readings[1])
    elif "pole" not in message:
        assert second.bounds[::2] == (-180, 180)
        assert not is_in(0, 0, second)
        assert is_in(-179, 1, second)
    else:
        assert is_in(10, 89, second)
        assert not is_in(10, 60, second)


def test_repair_takes_the_likely_reading_of_a_ring_in_doubt():
    repairs = []
    shape = g.from_wkt("POLYGON ((170 40, 170 50, -170 50, -170 40, 170 40))", on_repair=repairs.append)
    assert shape.equals(boxes((170, 40, 180, 50), (-180, 40, -170, 50)))
    assert "two readings" in repairs[0]
    shape = g.from_wkt("POLYGON ((-179 -80, -179 80, 179 80, 179 -80, -179 -80))", on_repair=repairs.append)
    assert shape.equals(box(-179, -80, 179, 80))


@given(st.integers(-179, 180), st.integers(-80, 70), st.integers(1, 359), st.integers(1, 20))
@settings(max_examples=100, deadline=None)
def test_counter_clockwise_box_is_never_on_the_wrong_side_of_the_world(west, south, width, height):
    """A box from west eastwards to east is that box, or a mistake. Only short edges back to the west are as written."""
    east = west + width if west + width <= 180 else west + width - 360
    assume(east != west)
    corners = [(west, south), (east, south), (east, south + height), (west, south + height), (west, south)]
    expected = Polygon(corners) if abs(east - west) <= 180 else g.from_bbox(west, south, east, south + height)
    try:
        shape = g.from_wkt(Polygon(corners).wkt)
    except ValueError as error:
        assert "two readings" in str(error)  # noqa: PT017 - a mistake is right too
        assert abs(east - west) > 180
        return
    assert shape.equals(expected)


@given(st.integers(-170, 170), st.floats(-60, 60), st.floats(0.5, 40), st.integers(5, 40), st.randoms())
@settings(max_examples=80, deadline=None)
def test_outlines_across_the_antimeridian_are_as_in_the_antimeridian_package(x, y, size, corners, random):
    turns = [2 * pi * n / corners for n in range(corners)]
    places = [
        (
            180 + (x % 7) + size * random.uniform(0.5, 1) * cos(t),
            max(-89, min(89, y + size * random.uniform(0.5, 1) * sin(t))),
        )
        for t in turns
    ]
    positions = [((a + 180) % 360 - 180, b) for a, b in places]
    polygon = Polygon(positions)
    assume(any(abs(a[0] - b[0]) > 180 for a, b in pairwise(positions)))
    assume(Polygon(places).is_valid)
    expected = antimeridian.fix_polygon(polygon, great_circle=False, fix_winding=True)
    try:
        shape = g.from_wkt(polygon.wkt)
    except ValueError as error:
        assert "two readings" in str(error)  # noqa: PT017 - a mistake is right too
        return
    assert shapely.symmetric_difference(shape, expected).area < 1e-4


# -- longitudes beyond ±180 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ring(200, 0, 210, 10), [(-160, 0, -150, 10)]),
        (ring(-370, 0, -360, 10), [(-10, 0, 0, 10)]),
        (ring(350, 50, 370, 60), [(-10, 50, 10, 60)]),
        (ring(170, 40, 190, 50), [(170, 40, 180, 50), (-180, 40, -170, 50)]),
        (ring(-190, 40, -170, 50), [(170, 40, 180, 50), (-180, 40, -170, 50)]),
        (ring(0, -80, 360, 80), [(-180, -80, 180, 80)]),
        (ring(350, 50, 10, 60), [(-10, 50, 10, 60)]),
    ],
)
def test_longitudes_beyond_the_world_are_moved(text, expected):
    assert g.from_wkt(text).equals(boxes(*expected))


def test_bbox_beyond_the_world_is_moved():
    assert g.from_bbox(200, 0, 210, 10).equals(box(-160, 0, -150, 10))
    assert g.from_bbox(350, 0, 10, 10).equals(box(-10, 0, 10, 10))
    assert g.from_bbox(0, -80, 360, 80).equals(box(-180, -80, 180, 80))
    assert g.from_circle(190, 0, 5).symmetric_difference(g.from_circle(-170, 0, 5)).area < 1e-9


# -- the poles ---------------------------------------------------------------------------------------------------------


def test_antarctica_with_its_edge_along_the_pole():
    """Natural Earth closes Antarctica over the pole with positions that were rounded."""
    coast = [(x, -70 - (x % 3)) for x in range(-179, 180, 2)]
    text = ", ".join(
        f"{x} {y}" for x, y in [*coast, (180, -84.7), (180, -90), (-179.99999999999994, -90), (-180, -84.7)]
    )
    shape = g.from_wkt(f"POLYGON (({text}, {coast[0][0]} {coast[0][1]}))")
    assert is_in(10, -89, shape)
    assert not is_in(10, -60, shape)


def test_hole_around_a_pole():
    shape = g.from_geojson(
        {
            "type": "Polygon",
            "coordinates": [
                [[0, 60], [90, 55], [180, 60], [-90, 55], [0, 60]],
                [[90, 75], [180, 80], [-90, 75], [0, 80], [90, 75]],
            ],
        }
    )
    for longitude in (-170, -100, -10, 10, 100, 170):
        assert is_in(longitude, 70, shape)
        assert not is_in(longitude, 89, shape)
        assert not is_in(longitude, 50, shape)


def test_hole_around_a_pole_that_is_not_in_its_shell_is_a_mistake():
    coordinates = [
        [[90, 75], [180, 80], [-90, 75], [0, 80], [90, 75]],
        [[0, 60], [90, 55], [180, 60], [-90, 55], [0, 60]],
    ]
    with pytest.raises(ValueError, match="crosses or touches itself"):
        g.from_geojson({"type": "Polygon", "coordinates": coordinates})


def test_ring_on_both_sides_of_the_equator_encloses_the_pole_to_its_left():
    west_to_east = [(x, 20 if x % 40 else -20) for x in range(-180, 180, 20)]
    east_to_west = west_to_east[::-1]
    for positions, pole in ((west_to_east, 89), (east_to_west, -89)):
        shape = g.from_wkt(Polygon(positions).wkt)
        assert is_in(5, pole, shape)
        assert not is_in(5, -pole, shape)


# -- anything ----------------------------------------------------------------------------------------------------------

positions = st.tuples(
    st.one_of(st.floats(-540, 540), st.sampled_from([-180.0, 180.0, 179.9999999999, 360.0, 0.0])),
    st.one_of(st.floats(-90, 90), st.sampled_from([-90.0, 90.0, 0.0])),
)


@given(st.lists(st.lists(positions, min_size=1, max_size=12), min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_rings_are_a_valid_area_or_a_mistake(rings):
    geojson = {"type": "Polygon", "coordinates": [[list(position) for position in [*ring, ring[0]]] for ring in rings]}
    wkt = ", ".join(f"({', '.join(f'{x!r} {y!r}' for x, y in [*ring, ring[0]])})" for ring in rings)
    for read in (
        lambda: g.from_geojson(geojson),
        lambda: g.from_geojson(geojson, on_repair=str),
        lambda: g.footprint(f"POLYGON ({wkt})"),
    ):
        try:
            shape = read()
        except ValueError:
            continue
        assert shape.is_valid
        assert shape.area > 0 or shape.geom_type not in ("Polygon", "MultiPolygon")
        west, south, east, north = shape.bounds
        assert -180 <= west <= east <= 180
        assert -90 <= south <= north <= 90
