"""Geometry on the globe, in EPSG:4326 with longitude first.

- `aoi`: areas of interest, read strictly; `footprint`: footprints of scenes, read leniently.
- `query_polygons`: the simple polygons that a catalogue is searched with; `grouping` joins near ones.
- `tiles`: outlines of the tiles of Sentinel-2. `buffer`: areas around points and lines.
- `wkt`, `geojson`: the formats. All of them come through `areas`, which checks and repairs. `rings`: what a ring
  encloses (the antimeridian and the poles). `polygons`, `sphere`: what both need.

Every area is one `Polygon` or `MultiPolygon` within ±180/±90, split at the antimeridian. So is a footprint, unless the
catalogue has only lines or points for it. Edges are straight in degrees, as in GeoJSON (RFC 7946, section 3.1.1) and in
the catalogues, so that a polygon means the same region here and at the archive.
"""

from sedas_sync.geometry.aoi import Aoi, from_bbox, from_circle, from_geojson, from_parts, from_wkt
from sedas_sync.geometry.areas import OnRepair
from sedas_sync.geometry.buffer import buffered
from sedas_sync.geometry.footprint import Footprint, footprint, footprints
from sedas_sync.geometry.polygons import Polygonal
from sedas_sync.geometry.tiles import tile_outline

__all__ = [
    "Aoi",
    "Footprint",
    "OnRepair",
    "Polygonal",
    "buffered",
    "footprint",
    "footprints",
    "from_bbox",
    "from_circle",
    "from_geojson",
    "from_parts",
    "from_wkt",
    "tile_outline",
]
