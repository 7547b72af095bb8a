"""Sentinel-2's tiling grid: UTM on WGS 84, and the names of the 100 km squares of the MGRS.

A tile is a 100 km square of the Military Grid Reference System with 9.8 km more to the east and to the south
(Sentinel-2 Products Specification Document, "granule"). Its name is that of the square: `30UXC` is zone 30,
latitude band U, column X, row C. The projection is Krüger's series to the fourth order of the third
flattening, good to well below a millimetre within a zone.
"""

import math
from collections.abc import Iterator
from itertools import product

from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.prepared import prep

SQUARE = 100_000.0
"""Side of an MGRS square, metres."""
TILE = 109_800.0
"""Side of a Sentinel-2 tile, metres."""

_AXIS = 6_378_137.0
_FLATTENING = 1 / 298.257223563
_SCALE = 0.9996
_FALSE_EASTING = 500_000.0
_FALSE_NORTHING = 10_000_000.0

_N = _FLATTENING / (2 - _FLATTENING)
_RADIUS = _AXIS / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64) * _SCALE
_ALPHA = (
    _N / 2 - 2 * _N**2 / 3 + 5 * _N**3 / 16 + 41 * _N**4 / 180,
    13 * _N**2 / 48 - 3 * _N**3 / 5 + 557 * _N**4 / 1440,
    61 * _N**3 / 240 - 103 * _N**4 / 140,
    49561 * _N**4 / 161280,
)
_BETA = (
    _N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96 - _N**4 / 360,
    _N**2 / 48 + _N**3 / 15 - 437 * _N**4 / 1440,
    17 * _N**3 / 480 - 37 * _N**4 / 840,
    4397 * _N**4 / 161280,
)
_ECCENTRICITY = 2 * math.sqrt(_N) / (1 + _N)

_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_SVALBARD = {31: (0.0, 9.0), 33: (9.0, 21.0), 35: (21.0, 33.0), 37: (33.0, 42.0)}
_BAND_HEIGHT = 8.0
_SVALBARD_SOUTH = 72.0
_REACH = 0.8


def to_utm(lon: float, lat: float, zone: int) -> tuple[float, float]:
    """Project a point to a UTM zone.

    Args:
        lon: Degrees east; any turn of the circle.
        lat: Geodetic latitude, degrees.
        zone: 1 to 60, which need not be the zone the point lies in.

    Returns:
        Easting and northing in metres, the northing with the false northing of the south where `lat` is
        negative.
    """
    sine = math.sin(math.radians(lat))
    tangent = math.sinh(math.atanh(sine) - _ECCENTRICITY * math.atanh(_ECCENTRICITY * sine))
    delta = math.radians((lon - central_meridian(zone) + 180) % 360 - 180)
    xi, eta = (
        math.atan2(tangent, math.cos(delta)),
        math.asinh(math.sin(delta) / math.hypot(tangent, math.cos(delta))),
    )
    orders = tuple(enumerate(_ALPHA, 1))
    north = xi + sum(a * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, a in orders)
    east = eta + sum(a * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, a in orders)
    return _FALSE_EASTING + _RADIUS * east, _RADIUS * north + (_FALSE_NORTHING if lat < 0 else 0.0)


def from_utm(easting: float, northing: float, zone: int, *, south: bool) -> tuple[float, float]:
    """Invert `to_utm`.

    Returns:
        Longitude and latitude in degrees. The longitude is not wrapped: it stays within 180 degrees of the
        zone's central meridian, so that figures drawn in one zone are not torn at the antimeridian.
    """
    xi = (northing - (_FALSE_NORTHING if south else 0.0)) / _RADIUS
    eta = (easting - _FALSE_EASTING) / _RADIUS
    orders = tuple(enumerate(_BETA, 1))
    north = xi - sum(b * math.sin(2 * j * xi) * math.cosh(2 * j * eta) for j, b in orders)
    east = eta - sum(b * math.cos(2 * j * xi) * math.sinh(2 * j * eta) for j, b in orders)
    conformal = math.sin(north) / math.hypot(math.sinh(east), math.cos(north))
    tangent = conformal
    for _ in range(4):  # Newton's steps converge quadratically; three are enough for the last bit
        sigma = math.sinh(_ECCENTRICITY * math.atanh(_ECCENTRICITY * tangent / math.hypot(1, tangent)))
        found = tangent * math.hypot(1, sigma) - sigma * math.hypot(1, tangent)
        slope = (1 + (1 - _ECCENTRICITY**2) * tangent**2) / ((1 - _ECCENTRICITY**2) * math.hypot(1, tangent))
        tangent += (conformal - found) / math.hypot(1, found) * slope
    lon = central_meridian(zone) + math.degrees(math.atan2(math.sinh(east), math.cos(north)))
    return lon, math.degrees(math.atan(tangent))


def central_meridian(zone: int) -> float:
    """Longitude of the middle of a UTM zone, degrees."""
    return zone * 6.0 - 183.0


def zone_bounds(zone: int, lat: float) -> tuple[float, float]:
    """West and east end of a zone at a latitude, in degrees, with the wider zones of Svalbard.

    The zones 32, 34 and 36, which end at 72 degrees north, are empty beyond it.
    """
    middle = central_meridian(zone)
    if lat < _SVALBARD_SOUTH or not 31 <= zone <= 37:  # noqa: PLR2004 - the zones that differ around Svalbard
        return middle - 3, middle + 3
    return _SVALBARD.get(zone, (middle, middle))


def square_name(zone: int, easting: float, northing: float, *, south: bool) -> str:
    """Name of the 100 km square that a UTM position lies in; its band is that of the middle of the square."""
    column, row = int(easting // SQUARE), int(northing // SQUARE)
    middle = from_utm((column + 0.5) * SQUARE, (row + 0.5) * SQUARE, zone, south=south)
    band = _BANDS[min(int((middle[1] + 80) // _BAND_HEIGHT), len(_BANDS) - 1)]
    letters = _COLUMNS[zone % 3][column - 1] + _ROWS[(row + 5 * (1 - zone % 2)) % len(_ROWS)]
    return f"{zone:02d}{band}{letters}"


def tiles(zones: tuple[int, ...], area: BaseGeometry) -> Iterator[tuple[str, Polygon]]:
    """Yield the tiles of some UTM zones that meet an area, each with its four corners.

    Args:
        zones: UTM zones to look in.
        area: In degrees, all on one side of the equator; longitudes may run beyond 180.
    """
    touched = prep(area)
    west, lowest, east, highest = area.bounds
    south = lowest < 0
    for zone in zones:
        turn = 360.0 * round(((west + east) / 2 - central_meridian(zone)) / 360)
        rows = [int(to_utm(central_meridian(zone), lat, zone)[1] // SQUARE) for lat in (lowest, highest)]
        for column, row in product(range(1, 9), range(rows[0] - 1, rows[1] + 3)):
            if not _in_zone(zone, column, row, south=south):
                continue
            left, top = column * SQUARE, (row + 1) * SQUARE
            ring = [(left, top), (left + TILE, top), (left + TILE, top - TILE), (left, top - TILE)]
            corners = [from_utm(x, y, zone, south=south) for x, y in ring]
            shape = Polygon([(lon + turn, lat) for lon, lat in corners])
            if touched.intersects(shape):
                yield square_name(zone, left, row * SQUARE, south=south), shape


def _in_zone(zone: int, column: int, row: int, *, south: bool) -> bool:
    """Whether a square is worth a tile in its own zone, which cuts it off where the next zone begins.

    On the western side a fifth of the square must be left: less than that lies below the tiles of the zone
    before.
    """
    for y in (row, row + 1):
        left, lat = from_utm(column * SQUARE, y * SQUARE, zone, south=south)
        right, _ = from_utm((column + _REACH) * SQUARE, y * SQUARE, zone, south=south)
        west, east = zone_bounds(zone, lat)
        if left < east and right > west:
            return True
    return False
