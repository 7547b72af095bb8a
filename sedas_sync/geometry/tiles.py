"""Outlines of the tiles of Sentinel-2.

A tile is a 100 km square of the Military Grid Reference System (MGRS; NGA.SIG.0012) with 9.8 km more to the east and to
the south, and has its name: `30UXC` is UTM zone 30, latitude band U, column X, row C. Its north-western corner is moved
outwards to multiples of 60 m from the equator, so that pixels of 10, 20 and 60 m fit (`proj:transform` of scenes at
Earth Search and in the Copernicus Data Space).
"""

import re
from math import ceil, floor
from typing import NamedTuple

import numpy as np
import utm
from numpy.typing import NDArray
from shapely import Polygon

from sedas_sync.geometry.polygons import Polygonal, within_world

_Numbers = NDArray[np.float64]

_SQUARE = 100_000
"""Side of an MGRS square, metres."""
TILE_SIDE = 109_800
"""Side of a tile, metres."""
_PIXEL = 60
"""Side of the largest pixel, metres."""
_FALSE_NORTHING = 10_000_000
"""Northing of the equator in the southern zones, metres."""
_STEPS = 10
"""Parts of a side: an edge that is straight in degrees is then within a few metres of the side."""
_DECIMALS = 6
"""Decimals of a degree: 0.1 m."""

_NAME = re.compile(r"(0[1-9]|[1-5]\d|60)[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]")
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_BAND_HEIGHT = 8
_HALF_SQUARE = 0.5
"""Degrees of latitude: a square is named for the band of its middle, or for the next one."""
_END_OF_UTM = 85
"""Degrees of latitude: the grid ends at 80° south and 84° north, and the formulas mean nothing near the poles."""
_WIDER = "VX"
"""The bands with zones that are wider than six degrees, in Norway and around Svalbard."""


class TileCorner(NamedTuple):
    """The north-western corner of a tile, in metres."""

    zone: int
    south: bool
    west: int
    north: int

    @property
    def epsg(self) -> int:
        """The EPSG code of the UTM zone."""
        return (32700 if self.south else 32600) + self.zone


def tile_outline(name: str) -> Polygonal:
    """Return the outline of a tile. See `tile_corner`."""
    zone, south, west, north = tile_corner(name)
    along = np.linspace(0, TILE_SIDE, _STEPS + 1)[:-1]
    none, all_ = np.zeros(_STEPS), np.full(_STEPS, TILE_SIDE)
    x = west + np.concatenate([none, along, all_, TILE_SIDE - along])
    y = north - np.concatenate([along, all_, TILE_SIDE - along, none])
    latitudes, longitudes = _degrees(zone, x, y, south=south)
    return within_world(Polygon(np.round(np.column_stack([longitudes, latitudes]), _DECIMALS)))


def tile_corner(name: str) -> TileCorner:
    """Return the north-western corner of a tile.

    Args:
        name: Zone with two digits, band, column and row, such as `30UXC`.

    Raises:
        ValueError: The grid has no such square.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name} is not a square of the MGRS")
    zone, band, column, row = int(name[:2]), name[2], name[3], name[4]
    columns, south = _COLUMNS[zone % 3], band < "N"
    if column not in columns:
        raise ValueError(f"{name} is not a square of the MGRS: the columns of zone {zone} are {columns}")
    left = (columns.index(column) + 1) * _SQUARE
    # The letters of rows repeat after twenty rows, and begin at F in even zones.
    first = (_ROWS.index(row) - (0 if zone % 2 else 5)) % len(_ROWS)
    for number in range(first, 100, len(_ROWS)):
        if _is_in_band(zone, band, left, number * _SQUARE):
            equator = _FALSE_NORTHING if south else 0
            north = ceil(((number + 1) * _SQUARE - equator) / _PIXEL) * _PIXEL + equator
            return TileCorner(zone, south, floor(left / _PIXEL) * _PIXEL, north)
    raise ValueError(f"{name} is not a square of the MGRS: zone {zone} has no such square in band {band}")


def _is_in_band(zone: int, band: str, left: int, bottom: int) -> bool:
    # Its middle and its corners: the end of a zone may cut off all but a corner.
    x = left + _SQUARE * np.array([0.5, 0, 0, 1, 1])
    y = bottom + _SQUARE * np.array([0.5, 0, 1, 0, 1])
    latitudes, longitudes = _degrees(zone, x, y, south=band < "N")
    lowest = -80 + _BAND_HEIGHT * _BANDS.index(band)
    highest = lowest + _BAND_HEIGHT + (4 if band == "X" else 0)
    if not lowest - _HALF_SQUARE <= latitudes[0] <= highest + _HALF_SQUARE or np.abs(latitudes).max() > _END_OF_UTM:
        return False
    middle, half = zone * 6 - 183, 6 if band in _WIDER else 3
    return bool(longitudes.min() <= middle + half and longitudes.max() >= middle - half)


def _degrees(zone: int, x: _Numbers, y: _Numbers, *, south: bool) -> tuple[_Numbers, _Numbers]:
    """Return latitudes and longitudes; the latter continue beyond ±180."""
    latitudes, longitudes = utm.to_latlon(x, y, zone, northern=not south, strict=False)
    middle = zone * 6 - 183
    return latitudes, middle + (longitudes - middle + 180) % 360 - 180
