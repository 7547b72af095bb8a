"""The lands of the generated catalogue as coarse outlines: enough to tell land from sea."""

from dataclasses import dataclass
from functools import lru_cache

from shapely.geometry import MultiPolygon, Polygon

Outline = tuple[tuple[float, float], ...]

_GREAT_BRITAIN: Outline = (
    (-5.7, 50.0),
    (-4.8, 49.95),
    (-3.6, 50.2),
    (-2.4, 50.55),
    (-1.2, 50.6),
    (0.3, 50.75),
    (1.0, 50.9),
    (1.4, 51.2),
    (0.7, 51.5),
    (1.3, 51.8),
    (1.75, 52.6),
    (0.5, 52.95),
    (0.3, 53.3),
    (-0.1, 53.8),
    (-0.3, 54.3),
    (-1.2, 54.7),
    (-1.6, 55.5),
    (-2.1, 56.0),
    (-2.8, 56.3),
    (-2.1, 57.0),
    (-1.8, 57.6),
    (-3.9, 57.7),
    (-3.05, 58.6),
    (-5.0, 58.6),
    (-5.8, 57.7),
    (-6.2, 56.7),
    (-5.7, 55.4),
    (-4.8, 54.8),
    (-3.2, 54.95),
    (-3.0, 53.9),
    (-3.1, 53.3),
    (-4.5, 53.2),
    (-4.1, 52.5),
    (-5.2, 51.8),
    (-3.2, 51.45),
    (-4.3, 51.15),
)
_IRELAND: Outline = (
    (-10.2, 51.6),
    (-9.5, 51.45),
    (-8.3, 51.85),
    (-6.4, 52.2),
    (-6.05, 53.0),
    (-6.1, 53.9),
    (-5.5, 54.4),
    (-6.0, 55.2),
    (-7.3, 55.35),
    (-8.7, 54.8),
    (-8.5, 54.3),
    (-10.1, 54.2),
    (-10.0, 53.4),
    (-9.0, 53.1),
    (-9.8, 52.4),
    (-10.4, 52.1),
)
_HEBRIDES: Outline = ((-7.6, 56.8), (-7.2, 57.1), (-6.2, 58.3), (-6.9, 58.35), (-7.5, 57.6))
_ORKNEY: Outline = ((-3.4, 58.8), (-2.6, 58.8), (-2.5, 59.35), (-3.3, 59.2))
_SHETLAND: Outline = ((-1.6, 59.9), (-1.1, 60.1), (-0.8, 60.8), (-1.6, 60.5))

# Longitudes east of 180 run on, so that no outline is torn.
_VITI_LEVU: Outline = (
    (177.25, -17.9),
    (177.4, -18.2),
    (178.2, -18.25),
    (178.7, -18.1),
    (178.6, -17.6),
    (178.2, -17.35),
    (177.5, -17.5),
)
_VANUA_LEVU: Outline = (
    (178.5, -16.8),
    (178.8, -17.0),
    (179.4, -16.8),
    (179.85, -17.0),
    (180.1, -16.9),
    (180.15, -16.7),
    (179.95, -16.15),
    (179.3, -16.4),
)
_KADAVU: Outline = ((177.95, -19.1), (178.5, -18.9), (178.5, -19.0), (178.1, -19.15))
_LAU: Outline = ((180.9, -17.2), (181.2, -17.3), (181.3, -18.3), (181.1, -19.1), (180.9, -18.2))

_SPITSBERGEN: Outline = (
    (10.7, 79.5),
    (11.3, 78.8),
    (13.2, 78.0),
    (14.0, 77.5),
    (16.6, 76.6),
    (17.3, 77.0),
    (18.8, 78.0),
    (21.3, 78.6),
    (18.8, 79.2),
    (16.0, 80.0),
    (13.8, 79.8),
)
_NORDAUSTLANDET: Outline = (
    (18.2, 79.9),
    (21.0, 79.3),
    (25.5, 79.3),
    (27.0, 79.9),
    (23.0, 80.4),
    (19.5, 80.2),
)
_EDGE_AND_BARENTS: Outline = ((21.5, 77.5), (24.0, 77.8), (23.0, 78.6), (21.3, 78.3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A part of the world with a catalogue."""

    name: str
    outlines: tuple[Outline, ...]
    """Longitude and latitude in degrees; longitudes may run beyond 180."""
    reach: tuple[tuple[float, float, float, float], ...]
    """West, south, east, north of boxes within ±180 that no footprint of the region leaves."""
    zones: tuple[int, ...]
    """UTM zones its Sentinel-2 tiles are taken from."""
    channels: str
    """The channels Sentinel-1 records here, `VV/VH` over most land and `HH/HV` where there is ice."""
    cloudiness: float
    """0 to 1; moves the odds of a clouded scene."""
    optical_days: tuple[int, int] = (1, 366)
    """First and last day of the year with enough light for an optical recording."""
    optical_lead: float | None = None
    """Seconds from the ascending node to the start of a Sentinel-2 datatake; None: just before the land."""


REGIONS = (
    Region(
        name="britain",
        outlines=(_GREAT_BRITAIN, _IRELAND, _HEBRIDES, _ORKNEY, _SHETLAND),
        reach=((-18.0, 47.0, 9.0, 64.0),),
        zones=(29, 30, 31),
        channels="VV/VH",
        cloudiness=0.60,
        optical_lead=1618.0,  # datatakes begin off Norway: relative orbit 137 at 11:06:21 UTC
    ),
    Region(
        name="fiji",
        outlines=(_VITI_LEVU, _VANUA_LEVU, _KADAVU, _LAU),
        reach=((172.0, -23.0, 180.0, -12.0), (-180.0, -23.0, -174.0, -12.0)),
        zones=(60, 1),
        channels="VV/VH",
        cloudiness=0.45,
    ),
    Region(
        name="svalbard",
        outlines=(_SPITSBERGEN, _NORDAUSTLANDET, _EDGE_AND_BARENTS),
        reach=((-15.0, 72.0, 60.0, 85.0),),
        zones=(31, 33, 35),
        channels="HH/HV",
        cloudiness=0.62,
        optical_days=(65, 285),
    ),
)
"""Great Britain and Ireland, Fiji across the antimeridian, and Svalbard in the polar light."""


@lru_cache(maxsize=len(REGIONS))
def land(region: Region) -> MultiPolygon:
    """The outlines of a region as one shape."""
    return MultiPolygon([Polygon(outline) for outline in region.outlines])
