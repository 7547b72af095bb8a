"""The tiling grid of Sentinel-2: the 100 km squares of the Military Grid Reference System (MGRS).

A tile is such a square with 9.8 km more to the east and to the south (Sentinel-2 Products Specification Document,
"granule"). It has the name of the square: `30UXC` is UTM zone 30, latitude band U, column X, row C.
"""

from collections.abc import Iterator
from functools import cache
from itertools import product

from pyproj import Proj
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry
from shapely.prepared import prep

SQUARE = 100_000.0
"""Side of an MGRS square, metres."""
TILE = 109_800.0
"""Side of a Sentinel-2 tile, metres."""

_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BAND_HEIGHT = 8.0
_SVALBARD = {31: (0.0, 9.0), 33: (9.0, 21.0), 35: (21.0, 33.0), 37: (33.0, 42.0)}
_SVALBARD_SOUTH = 72.0
_REACH = 0.8


@cache
def utm(zone: int, *, south: bool) -> Proj:
    """Return the projection of a UTM zone; its inverse does not wrap longitudes at the antimeridian."""
    return Proj(f"+proj=utm +zone={zone} {'+south' if south else ''} +ellps=WGS84 +over")


def central_meridian(zone: int) -> float:
    """Return the longitude of the middle of a UTM zone, degrees."""
    return zone * 6.0 - 183.0


def zone_bounds(zone: int, lat: float) -> tuple[float, float]:
    """Return the west and east end of a zone at a latitude, in degrees, with the wider zones of Svalbard.

    The zones 32, 34 and 36 end at 72 degrees north and are empty beyond it.
    """
    middle = central_meridian(zone)
    if lat < _SVALBARD_SOUTH or not 31 <= zone <= 37:  # noqa: PLR2004  # the zones that differ around Svalbard
        return middle - 3, middle + 3
    return _SVALBARD.get(zone, (middle, middle))


def square_name(zone: int, easting: float, northing: float, *, south: bool) -> str:
    """Return the name of the 100 km square at a UTM position; its band is that of the middle of the square."""
    column, row = int(easting // SQUARE), int(northing // SQUARE)
    _, lat = utm(zone, south=south)((column + 0.5) * SQUARE, (row + 0.5) * SQUARE, inverse=True)
    band = _BANDS[min(int((lat + 80) // _BAND_HEIGHT), len(_BANDS) - 1)]
    letters = _COLUMNS[zone % 3][column - 1] + _ROWS[(row + 5 * (1 - zone % 2)) % len(_ROWS)]
    return f"{zone:02d}{band}{letters}"


def tiles(zones: tuple[int, ...], area: BaseGeometry) -> Iterator[tuple[str, Polygon]]:
    """Yield the names and outlines of the tiles of some UTM zones that intersect an area.

    Args:
        zones: The UTM zones to look in.
        area: In degrees, on one side of the equator; longitudes may be greater than 180.
    """
    touched = prep(area)
    west, lowest, east, highest = area.bounds
    south = lowest < 0
    for zone in zones:
        grid = utm(zone, south=south)
        turn = 360.0 * round(((west + east) / 2 - central_meridian(zone)) / 360)
        rows = [int(grid(central_meridian(zone), lat)[1] // SQUARE) for lat in (lowest, highest)]
        for column, row in product(range(1, 9), range(rows[0] - 1, rows[1] + 3)):
            if not _in_zone(zone, column, row, south=south):
                continue
            left, top = column * SQUARE, (row + 1) * SQUARE
            ring = [(left, top), (left + TILE, top), (left + TILE, top - TILE), (left, top - TILE)]
            corners = [grid(x, y, inverse=True) for x, y in ring]
            shape = Polygon([(lon + turn, lat) for lon, lat in corners])
            if touched.intersects(shape):
                yield square_name(zone, left, row * SQUARE, south=south), shape


def _in_zone(zone: int, column: int, row: int, *, south: bool) -> bool:
    """Return whether a square gets a tile in this zone.

    At the western end of the zone, a square needs a fifth of its width inside: the tiles of the neighbouring
    zone cover less than that.
    """
    grid = utm(zone, south=south)
    for y in (row, row + 1):
        left, lat = grid(column * SQUARE, y * SQUARE, inverse=True)
        right, _ = grid((column + _REACH) * SQUARE, y * SQUARE, inverse=True)
        west, east = zone_bounds(zone, lat)
        if left < east and right > west:
            return True
    return False
