"""Coarse outlines of the land that the generated catalogue covers: enough to tell land from sea."""

from dataclasses import dataclass
from functools import cache

import shapely
from shapely.geometry import MultiPolygon, Polygon


@dataclass(frozen=True, slots=True, kw_only=True)
class Land:
    """The land of one region of the catalogue."""

    region: str
    """Name of the region in `sedas_sync.sandbox.frames.REGIONS`."""
    outlines: tuple[str, ...]
    """Points of closed rings as WKT writes them; longitudes may be greater than 180, so that no ring is cut."""
    zones: tuple[int, ...]
    """UTM zones of its Sentinel-2 tiles."""
    optical_lead: float | None = None
    """Seconds from the ascending node to the start of a Sentinel-2 datatake; None: just before the land."""


_GREAT_BRITAIN = """
-5.7 50, -4.8 49.95, -3.6 50.2, -2.4 50.55, -1.2 50.6, 0.3 50.75, 1 50.9, 1.4 51.2, 0.7 51.5, 1.3 51.8, 1.75 52.6,
0.5 52.95, 0.3 53.3, -0.1 53.8, -0.3 54.3, -1.2 54.7, -1.6 55.5, -2.1 56, -2.8 56.3, -2.1 57, -1.8 57.6, -3.9 57.7,
-3.05 58.6, -5 58.6, -5.8 57.7, -6.2 56.7, -5.7 55.4, -4.8 54.8, -3.2 54.95, -3 53.9, -3.1 53.3, -4.5 53.2, -4.1 52.5,
-5.2 51.8, -3.2 51.45, -4.3 51.15, -5.7 50"""
_IRELAND = """
-10.2 51.6, -9.5 51.45, -8.3 51.85, -6.4 52.2, -6.05 53, -6.1 53.9, -5.5 54.4, -6 55.2, -7.3 55.35, -8.7 54.8,
-8.5 54.3, -10.1 54.2, -10 53.4, -9 53.1, -9.8 52.4, -10.4 52.1, -10.2 51.6"""
_HEBRIDES = "-7.6 56.8, -7.2 57.1, -6.2 58.3, -6.9 58.35, -7.5 57.6, -7.6 56.8"
_ORKNEY = "-3.4 58.8, -2.6 58.8, -2.5 59.35, -3.3 59.2, -3.4 58.8"
_SHETLAND = "-1.6 59.9, -1.1 60.1, -0.8 60.8, -1.6 60.5, -1.6 59.9"

_VITI_LEVU = (
    "177.25 -17.9, 177.4 -18.2, 178.2 -18.25, 178.7 -18.1, 178.6 -17.6, 178.2 -17.35, 177.5 -17.5, 177.25 -17.9"
)
_VANUA_LEVU = """
178.5 -16.8, 178.8 -17, 179.4 -16.8, 179.85 -17, 180.1 -16.9, 180.15 -16.7, 179.95 -16.15, 179.3 -16.4, 178.5 -16.8"""
_KADAVU = "177.95 -19.1, 178.5 -18.9, 178.5 -19, 178.1 -19.15, 177.95 -19.1"
_LAU = "180.9 -17.2, 181.2 -17.3, 181.3 -18.3, 181.1 -19.1, 180.9 -18.2, 180.9 -17.2"

_SPITSBERGEN = """
10.7 79.5, 11.3 78.8, 13.2 78, 14 77.5, 16.6 76.6, 17.3 77, 18.8 78, 21.3 78.6, 18.8 79.2, 16 80, 13.8 79.8,
10.7 79.5"""
_NORDAUSTLANDET = "18.2 79.9, 21 79.3, 25.5 79.3, 27 79.9, 23 80.4, 19.5 80.2, 18.2 79.9"
_EDGE_AND_BARENTS = "21.5 77.5, 24 77.8, 23 78.6, 21.3 78.3, 21.5 77.5"

LANDS = (
    Land(
        region="britain",
        outlines=(_GREAT_BRITAIN, _IRELAND, _HEBRIDES, _ORKNEY, _SHETLAND),
        zones=(29, 30, 31),
        optical_lead=1618.0,  # datatakes start off Norway: relative orbit 137 at 11:06:21 UTC
    ),
    Land(region="fiji", outlines=(_VITI_LEVU, _VANUA_LEVU, _KADAVU, _LAU), zones=(60, 1)),
    Land(region="svalbard", outlines=(_SPITSBERGEN, _NORDAUSTLANDET, _EDGE_AND_BARENTS), zones=(31, 33, 35)),
)
"""Great Britain and Ireland, Fiji across the antimeridian, and Svalbard with its polar night."""


@cache
def shape(land: Land) -> MultiPolygon:
    """Return the outlines as one shape."""
    parts = [shapely.from_wkt(f"POLYGON(({outline}))") for outline in land.outlines]
    return MultiPolygon([part for part in parts if isinstance(part, Polygon)])
