"""The bands of generated Sentinel-2 products: small JPEG 2000 files with the tile's coordinates, which GDAL reads.

The pixels are those of `tools/sandbox_bands.py`. They are large, so that a band has a few hundred bytes: the grid of
10 m has 40 pixels of 2745 m along a side of the tile. The metadata of the product states the same.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files
from struct import pack
from zipfile import ZipFile

from sedas_sync.geometry.tiles import TILE_SIDE, TileCorner, tile_corner

FILE = "bands.zip"
BANDS: Mapping[str, int] = {
    **dict.fromkeys(("B02", "B03", "B04", "B08", "TCI"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12"), 20),
    **dict.fromkeys(("B01", "B09", "B10"), 60),
}
"""The bands of an L1C product, and the resolution that each has in a real one, metres."""
SIDES: Mapping[int, int] = {10: 40, 20: 20, 60: 10}
"""Pixels along a side of a tile at each resolution."""
_GROWING = ("B04", "B08")
"""The bands in which fields look different in each stage of growth."""
STAGES = 4
_STAGE_OF_MONTH = (0, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0, 0)


@lru_cache(maxsize=512)
def corner_of(tile: str | None) -> TileCorner | None:
    """Return the north-western corner of a tile; None if there is no such tile."""
    try:
        return tile_corner(tile or "")
    except ValueError:
        return None


def stage_of(month: int) -> int:
    """Return how high crops are in a month of the northern hemisphere: from 0, bare soil, to 3."""
    return _STAGE_OF_MONTH[month - 1]


def codestream_of(band: str, stage: int, *, offset: bool) -> str:
    """Return the name of the codestream of a band. See `band_file`."""
    return f"{band}{f'-{stage}' if band in _GROWING else ''}{'-offset' if offset and band != 'TCI' else ''}"


def band_file(band: str, stage: int, tile: str | None, noise: bytes, *, offset: bool) -> bytes:
    """Return the JPEG 2000 file of a band (ISO/IEC 15444-1, annex I).

    Args:
        band: A key of `BANDS`.
        stage: Of growth.
        tile: Its coordinates are in the file (OGC 05-047r3, GML in JPEG 2000) if the grid has it.
        noise: Fills the file up to its length, in a box that readers skip.
        offset: Whether the values have the offset of products since baseline 04.00.
    """
    side, colours = SIDES[BANDS[band]], 3 if band == "TCI" else 1
    depth = 7 if colours > 1 else 15
    header = _box(b"ihdr", pack(">LLHBBBB", side, side, colours, depth, 7, 0, 0))
    header += _box(b"colr", pack(">BBBL", 1, 0, 0, 16 if colours > 1 else 17))
    start = _box(b"jP  ", b"\r\n\x87\n") + _box(b"ftyp", b"jp2 \x00\x00\x00\x00jp2 ") + _box(b"jp2h", header)
    if corner := corner_of(tile):
        start += _coordinates(corner, side)
    codestream = _box(b"jp2c", _codestreams()[codestream_of(band, stage, offset=offset)])
    return start + _box(b"free", noise[len(start) + len(codestream) :]) + codestream


def geocoding(tile: str | None) -> str:
    """Return the grids of a tile as its metadata has them: coordinate system, pixels, corner; empty if unknown."""
    corner = corner_of(tile)
    if corner is None:
        return ""
    sizes = "".join(
        f'      <Size resolution="{metres}"><NROWS>{side}</NROWS><NCOLS>{side}</NCOLS></Size>\n'
        for metres, side in SIDES.items()
    )
    corners = "".join(
        f'      <Geoposition resolution="{metres}"><ULX>{corner.west}</ULX><ULY>{corner.north}</ULY>'
        f"<XDIM>{TILE_SIDE // side}</XDIM><YDIM>-{TILE_SIDE // side}</YDIM></Geoposition>\n"
        for metres, side in SIDES.items()
    )
    return (
        "  <Geometric_Info>\n    <Tile_Geocoding>\n"
        f"      <HORIZONTAL_CS_CODE>EPSG:{corner.epsg}</HORIZONTAL_CS_CODE>\n{sizes}{corners}"
        "    </Tile_Geocoding>\n  </Geometric_Info>\n"
    )


@cache
def _codestreams() -> Mapping[str, bytes]:
    with files(__package__).joinpath("data", FILE).open("rb") as file, ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _box(kind: bytes, body: bytes) -> bytes:
    return pack(">L", len(body) + 8) + kind + body


@lru_cache(maxsize=512)
def _coordinates(corner: TileCorner, side: int) -> bytes:
    """Return the box with the position of the pixels' grid; the origin is the middle of the first pixel."""
    pixel, last = TILE_SIDE / side, side - 1
    west, north = corner.west + pixel / 2, corner.north - pixel / 2
    crs = f'srsName="urn:ogc:def:crs:EPSG::{corner.epsg}"'
    document = (
        '<gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml"><gml:featureMember><gml:FeatureCollection>'
        '<gml:featureMember><gml:RectifiedGridCoverage><gml:rectifiedGridDomain><gml:RectifiedGrid dimension="2">'
        "<gml:limits><gml:GridEnvelope><gml:low>0 0</gml:low>"
        f"<gml:high>{last} {last}</gml:high></gml:GridEnvelope></gml:limits>"
        f"<gml:origin><gml:Point {crs}><gml:pos>{west} {north}</gml:pos></gml:Point></gml:origin>"
        f"<gml:offsetVector {crs}>{pixel} 0</gml:offsetVector><gml:offsetVector {crs}>0 {-pixel}</gml:offsetVector>"
        "</gml:RectifiedGrid></gml:rectifiedGridDomain></gml:RectifiedGridCoverage></gml:featureMember>"
        "</gml:FeatureCollection></gml:featureMember></gml:FeatureCollection>"
    )
    root = _box(b"asoc", _box(b"lbl ", b"gml.root-instance") + _box(b"xml ", document.encode()))
    return _box(b"asoc", _box(b"lbl ", b"gml.data") + root)
