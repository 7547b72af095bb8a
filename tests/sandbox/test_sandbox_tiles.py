"""UTM and the MGRS grid, against the reference implementation of the NGA (`mgrs`)."""

import mgrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import Point, box

from sedas_sync.sandbox.regions import REGIONS, land
from sedas_sync.sandbox.tiles import SQUARE, from_utm, square_name, tiles, to_utm, zone_bounds

REFERENCE = mgrs.MGRS()
LATITUDES = st.floats(-79.9, 83.9).filter(lambda lat: abs(lat) > 1e-5)  # the equator is in either hemisphere


@given(st.floats(-179.999, 179.999), LATITUDES)
def test_utm_agrees_with_the_reference(lon, lat):
    zone, hemisphere, easting, northing = REFERENCE.MGRSToUTM(REFERENCE.toMGRS(lat, lon, MGRSPrecision=5))
    ours = to_utm(lon, lat, zone)
    assert hemisphere == ("S" if lat < 0 else "N")
    # the reference gives the middle of a square metre
    assert ours == pytest.approx((easting, northing), abs=0.6)


@given(st.integers(1, 60), st.floats(-4, 4), st.floats(-83, 83))
def test_utm_inverts(zone, away, lat):
    lon = zone * 6 - 183 + away
    back = from_utm(*to_utm(lon, lat, zone), zone, south=lat < 0)
    assert back == pytest.approx((lon, lat), abs=1e-9)


@given(st.floats(-179.999, 179.999), LATITUDES)
def test_squares_are_named_as_by_the_reference(lon, lat):
    name = REFERENCE.toMGRS(lat, lon, MGRSPrecision=0)
    zone = int(name[:-3])
    easting, northing = to_utm(lon, lat, zone)
    ours = square_name(zone, easting, northing, south=lat < 0)
    # a square that lies across two latitude bands has a name in either; ours is that of its middle
    assert (ours[:2], ours[3:]) == (f"{zone:02d}", name[-2:])
    middle = from_utm((easting // SQUARE + 0.5) * SQUARE, (northing // SQUARE + 0.5) * SQUARE, zone, south=lat < 0)
    if -80 <= middle[1] <= 84 and (middle[1] < 0) == (lat < 0):
        west, east = zone_bounds(zone, middle[1])
        if west < middle[0] < east and not 56 <= middle[1] <= 64:  # Norway's wide zone is not ours to model
            assert REFERENCE.toMGRS(middle[1], (middle[0] + 180) % 360 - 180, MGRSPrecision=0).zfill(5) == ours


def test_every_tile_of_the_catalogue_is_named_by_a_place_within_it():
    checked = 0
    for region in REGIONS:
        for name, shape in tiles(region.zones, land(region)):
            zone, south = int(name[:2]), shape.bounds[1] < 0
            left, top = (round(value / 1000) * 1000 for value in to_utm(*shape.exterior.coords[0], zone))
            names = set()
            for i in range(1, 20):
                for j in range(1, 20):
                    lon, lat = from_utm(left + i * 5000 - 4950, top - j * 5250, zone, south=south)
                    names.add(REFERENCE.toMGRS(lat, (lon + 180) % 360 - 180, MGRSPrecision=0).zfill(5))
            assert name in names
            assert {other[3:] for other in names if other[:2] == name[:2]} == {name[3:]}
            checked += 1
    assert checked > 80


def test_tiles_are_of_true_size_and_place():
    found = dict(tiles((30,), box(-1.33, 51.56, -1.30, 51.59)))
    assert set(found) == {"30UXC"}
    west, _, _, north = found["30UXC"].bounds
    assert to_utm(west, north, 30)[0] == pytest.approx(600_000, abs=4000)
    corners = [to_utm(*corner, 30) for corner in found["30UXC"].exterior.coords[:4]]
    assert corners[0] == pytest.approx((600_000, 5_800_000), abs=0.01)
    assert corners[2] == pytest.approx((709_800, 5_690_200), abs=0.01)


@pytest.mark.parametrize("region", REGIONS, ids=lambda region: region.name)
def test_tiles_leave_no_gap(region):
    shapes = [shape for _, shape in tiles(region.zones, land(region))]
    west, south, east, north = land(region).bounds
    for i in range(60):
        for j in range(60):
            place = Point(west + (east - west) * i / 59, south + (north - south) * j / 59)
            if land(region).contains(place):
                assert any(shape.contains(place) for shape in shapes), place


def test_zones_around_svalbard_are_wider():
    assert zone_bounds(33, 78) == (9, 21)
    assert zone_bounds(33, 60) == (12, 18)
    assert zone_bounds(32, 78)[0] == zone_bounds(32, 78)[1]
