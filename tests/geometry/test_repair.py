"""Outlines that are not valid: what the mistake names, and what a repair makes of them."""

import pytest
import shapely
from shapely import Polygon, box

from sedas_sync import geometry as g
from sedas_sync.geometry.sphere import area_km2

BOW_TIE = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
TOUCHING = [[0, 0], [4, 0], [4, 4], [2, 0], [0, 4], [0, 0]]
LINE = [[0, 0], [1, 1], [2, 2], [0, 0]]
OPEN = [[5, 5], [6, 5], [6, 6], [5, 6]]
GOOD = [[10, 10], [11, 10], [11, 11], [10, 11], [10, 10]]


def features(*rings):
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
            for ring in rings
        ],
    }


def repaired(value):
    repairs = []
    read = g.from_wkt if isinstance(value, str) else g.from_geojson
    return read(value, on_repair=repairs.append), repairs


@pytest.mark.parametrize("ring", [BOW_TIE, TOUCHING])
def test_crossing_outline_becomes_what_make_valid_makes_of_it(ring):
    shape, (repair,) = repaired({"type": "Polygon", "coordinates": [ring]})
    expected = shapely.make_valid(Polygon(ring))
    assert shape.is_valid
    assert shape.area == expected.area
    assert "crosses or touches itself near" in repair
    assert repair.endswith(f"and is {area_km2(shape):,.0f} km²")


def test_all_mistakes_are_named_with_the_numbers_of_their_features():
    with pytest.raises(ValueError, match="feature 2") as caught:
        g.from_geojson(features(GOOD, BOW_TIE, [], LINE, GOOD, OPEN))
    message = str(caught.value)
    assert "feature 2: its outline crosses or touches itself near longitude 0.5, latitude 0.5" in message
    assert "feature 4: it has no area" in message
    assert "feature 6: a ring is open: it begins at 5 5 and ends at 5 6" in message
    assert "feature 1" not in message
    assert "repair = true" in message
    assert "Fix geometries" in message


def test_repair_keeps_the_good_parts_and_reports_the_others():
    shape, repairs = repaired(features(GOOD, BOW_TIE, [], LINE, OPEN))
    assert shape.area == pytest.approx(1 + 0.5 + 1)
    assert [repair.partition(":")[0] for repair in repairs] == ["feature 3", "feature 2", "feature 4", "feature 5"]
    assert "it is left out" in repairs[2]
    assert "it is read as 12," in repairs[3]


def test_many_mistakes_are_counted():
    with pytest.raises(ValueError, match="and 10 more") as caught:
        g.from_geojson(features(*[BOW_TIE] * 60))
    assert len(str(caught.value)) < 10_000
    _, repairs = repaired(features(*[BOW_TIE] * 60))
    assert repairs[-1] == "and 10 more"


@pytest.mark.parametrize(
    "text",
    [
        "GEOMETRYCOLLECTION (POLYGON EMPTY, POLYGON ((10 10, 11 10, 11 11, 10 11, 10 10)))",
        "MULTIPOLYGON (EMPTY, ((10 10, 11 10, 11 11, 10 11, 10 10)))",
    ],
)
def test_empty_polygons_beside_good_ones_are_left_out(text):
    assert g.from_wkt(text).equals(box(10, 10, 11, 11))
    assert repaired(text)[1] == ["polygon 1: it is empty; it is left out"]
    assert g.from_geojson(features([], GOOD)).equals(box(10, 10, 11, 11))


def test_valid_outlines_need_no_repair():
    shape, repairs = repaired(features(GOOD))
    assert shape.equals(box(10, 10, 11, 11))
    assert repairs == []


@pytest.mark.parametrize("value", ["POLYGON ((0 0, 1 1, 2 2, 0 0))", features(LINE), "POLYGON ((0 0, 1 0, 0 0))"])
def test_nothing_is_left_after_a_repair(value):
    with pytest.raises(ValueError, match="it has no area"):
        repaired(value)


def test_open_rings_of_wkt_are_closed():
    shape, repairs = repaired("POLYGON ((0 0, 9 0, 9 9, 0 9), (1 1, 2 1, 2 2, 1 2, 1 1))")
    assert shape.area == 80
    assert "a ring is open: it begins at 0 0 and ends at 0 9" in repairs[0]


def test_outline_that_crosses_itself_on_the_antimeridian():
    shape, (repair,) = repaired("POLYGON ((179 0, -179 2, -179 0, 179 2, 179 0))")
    assert shape.area == pytest.approx(2)
    assert shape.bounds == (-180, 0, 180, 2)
    assert "latitude 1;" in repair


@pytest.mark.parametrize("text", ["POLYGON ((nan 0, 1 0, 1 1, nan 0))", "POLYGON ((0 91, 1 0, 1 1, 0 91))"])
def test_what_cannot_be_repaired_is_a_mistake_all_the_same(text):
    with pytest.raises(ValueError, match=r"finite|outside"):
        repaired(text)
