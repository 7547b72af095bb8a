"""The tiling grid, against the reference implementation of the MGRS by the NGA (`mgrs`)."""

import mgrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_regions import LANDS
from sandbox_regions import shape as land
from sandbox_tiles import SQUARE, square_name, tiles, utm, zone_bounds
from shapely.geometry import Point, box

REFERENCE = mgrs.MGRS()
LATITUDES = st.floats(-79.9, 83.9).filter(lambda lat: abs(lat) > 1e-5)  # the equator is in either hemisphere


@given(st.floats(-179.999, 179.999), LATITUDES)
@example(33.0, 1.0)
def test_squares_are_named_as_by_the_reference(lon, lat):
    name = REFERENCE.toMGRS(lat, lon, MGRSPrecision=0)
    zone = int(name[:-3])
    # to the millimetre: the edge of a square is not where the last bit of a coordinate says
    easting, northing = (round(value, 3) for value in utm(zone, south=lat < 0)(lon, lat))
    ours = square_name(zone, easting, northing, south=lat < 0)
    # a square that lies across two latitude bands has a name in either; ours is that of its middle
    assert (ours[:2], ours[3:]) == (f"{zone:02d}", name[-2:])
    corner = easting // SQUARE, northing // SQUARE
    middle = utm(zone, south=lat < 0)(*((part + 0.5) * SQUARE for part in corner), inverse=True)
    if -80 <= middle[1] <= 84 and (middle[1] < 0) == (lat < 0):
        west, east = zone_bounds(zone, middle[1])
        if west < middle[0] < east and not 56 <= middle[1] <= 64:  # Norway's wide zone is not ours to model
            assert REFERENCE.toMGRS(middle[1], (middle[0] + 180) % 360 - 180, MGRSPrecision=0).zfill(5) == ours


def test_every_tile_of_the_catalogue_is_named_by_a_place_within_it():
    checked = 0
    for place in LANDS:
        for name, shape in tiles(place.zones, land(place)):
            grid = utm(int(name[:2]), south=shape.bounds[1] < 0)
            west, north = shape.exterior.coords[0]
            turn = 360 if int(name[:2]) == 1 and west > 0 else 0
            left, top = (round(value / 1000) * 1000 for value in grid(west - turn, north))
            names = set()
            for i in range(1, 20):
                for j in range(1, 20):
                    lon, lat = grid(left + i * 5000 - 4950, top - j * 5250, inverse=True)
                    names.add(REFERENCE.toMGRS(lat, (lon + 180) % 360 - 180, MGRSPrecision=0).zfill(5))
            assert name in names
            assert {other[3:] for other in names if other[:2] == name[:2]} == {name[3:]}
            checked += 1
    assert checked > 80


def test_tiles_are_of_true_size_and_place():
    found = dict(tiles((30,), box(-1.33, 51.56, -1.30, 51.59)))
    assert set(found) == {"30UXC"}
    west, _, _, north = found["30UXC"].bounds
    grid = utm(30, south=False)
    assert grid(west, north)[0] == pytest.approx(600_000, abs=4000)
    corners = [grid(*corner) for corner in found["30UXC"].exterior.coords[:4]]
    assert corners[0] == pytest.approx((600_000, 5_800_000), abs=0.01)
    assert corners[2] == pytest.approx((709_800, 5_690_200), abs=0.01)


@pytest.mark.parametrize("place", LANDS, ids=lambda place: place.region)
def test_tiles_leave_no_gap(place):
    shapes = [shape for _, shape in tiles(place.zones, land(place))]
    west, south, east, north = land(place).bounds
    for i in range(60):
        for j in range(60):
            point = Point(west + (east - west) * i / 59, south + (north - south) * j / 59)
            if land(place).contains(point):
                assert any(shape.contains(point) for shape in shapes), point


def test_zones_around_svalbard_are_wider():
    assert zone_bounds(33, 78) == (9, 21)
    assert zone_bounds(33, 60) == (12, 18)
    assert zone_bounds(32, 78)[0] == zone_bounds(32, 78)[1]
