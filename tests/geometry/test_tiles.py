"""Outlines of Sentinel-2's tiles, against the reference implementation of the MGRS and against real scenes."""

import re

import mgrs
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pyproj import Transformer
from recorded import items_of
from shapely import MultiPoint, Point, Polygon, box, union_all

from sedas_sync.geometry import tile_outline

REFERENCE = mgrs.MGRS()
PIXELS = [[10980, 10980], [5490, 5490], [1830, 1830]]


@given(st.floats(-80, 84, exclude_max=True), st.floats(-180, 180, exclude_max=True))
@settings(max_examples=300, deadline=None)
@example(53.25, 0.0)  # a square of which only a corner is in its zone
def test_every_place_is_in_the_tile_of_its_square(latitude, longitude):
    assume(abs(latitude) > 1e-6)  # just south of the equator, the reference names a square of the north
    name = REFERENCE.toMGRS(latitude, longitude, MGRSPrecision=0).zfill(5)
    assert tile_outline(name).buffer(1e-5).covers(Point(longitude, latitude))


@pytest.mark.parametrize("name", ["30UXC", "01KAB", "60KXG", "33XVG", "32VKM", "31NAA", "31MAV", "56HLH", "20CNU"])
def test_tile_is_its_square_and_98_km_more(name):
    zone, south = int(name[:2]), name[2] < "N"
    metres = Transformer.from_crs(4326, (32700 if south else 32600) + zone, always_xy=True)
    parts = getattr(tile_outline(name), "geoms", [tile_outline(name)])
    corners = [metres.transform(*position) for part in parts for position in part.exterior.coords]
    west, north = min(x for x, _ in corners), max(y for _, y in corners)
    assert (max(x for x, _ in corners) - west, north - min(y for _, y in corners)) == pytest.approx(
        (109800, 109800), abs=1
    )
    latitude, longitude = REFERENCE.toLatLon(f"{name}0000099999")
    assert (west, north) == pytest.approx(metres.transform(longitude, latitude), abs=61)
    square = box(west, north - 109800, west + 109800, north)
    assert Polygon(corners).convex_hull.symmetric_difference(square).area < 1e-4 * square.area


@pytest.mark.parametrize("service", ["earth-search", "cdse", "planetary-computer"])
def test_corners_are_those_of_the_pixels(service):
    """`proj:transform` of scenes as catalogues list them."""
    found = 0
    for item in items_of(service):
        tile = re.search(r"_T?(\d\d[C-X][A-Z]{2})_", item["id"]) if item["id"].startswith("S2") else None
        transforms = [a["proj:transform"] for a in item["assets"].values() if a.get("proj:shape") in PIXELS]
        if tile is None or not transforms:
            continue
        _, _, west, _, _, north = transforms[0][:6]
        degrees = Transformer.from_crs((32700 if tile[1][2] < "N" else 32600) + int(tile[1][:2]), 4326, always_xy=True)
        shape = MultiPoint(tile_outline(tile[1]).exterior.coords)
        for x, y in [(west, north), (west + 109800, north), (west + 109800, north - 109800), (west, north - 109800)]:
            assert shape.distance(Point(degrees.transform(x, y))) < 2e-6
        found += 1
    assert found


def test_tile_across_the_antimeridian_is_split():
    shape = tile_outline("01KAB")
    assert len(shape.geoms) == 2
    assert shape.bounds[0] == -180
    assert shape.bounds[2] == 180


def test_neighbours_overlap_without_gaps():
    rows = union_all([tile_outline(name) for name in ("30UXC", "30UXB", "30UWC", "30UWB")])
    assert rows.geom_type == "Polygon"
    assert not rows.interiors


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("30UAC", "30UAC is not a square of the MGRS: the columns of zone 30 are STUVWXYZ"),
        ("30USN", "30USN is not a square of the MGRS: zone 30 has no such square in band U"),
        ("30XSP", "zone 30 has no such square in band X"),
    ],
)
def test_square_that_does_not_exist(name, message):
    with pytest.raises(ValueError, match=message):
        tile_outline(name)
