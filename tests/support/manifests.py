"""Manifests to change in tests, and archive types for them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field
from shapely import box

from sedas_sync import manifest
from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.errors import ManifestError
from sedas_sync.geometry import Aoi
from sedas_sync.manifest import ArchiveConfig, WebArchiveConfig, fields
from sedas_sync.manifest.archive_types import ArchiveType, any_filters
from sedas_sync.operations.areas import area_of

NOW = datetime(2019, 6, 15, 13, 30, 45, 678, tzinfo=UTC)
SQUARE = box(0, 0, 1, 1)


class WordsConfig(WebArchiveConfig):
    LOCK_IGNORES = frozenset({"number"})

    words: fields.Lines = ()
    number: Annotated[int, Field(ge=1)] = 1

    def mistakes(self):
        if self.words == ("two",) and self.number == 2:
            yield "number", 'is 2, and words is "two" already'


class FolderConfig(ArchiveConfig):
    path: Annotated[fields.Line, Field(description="The folder.")]


TYPES = {
    "sedas": BUILT_IN["sedas"],
    "sandbox": BUILT_IN["sandbox"],
    "stac": ArchiveType(name="stac", opener="-", filters=any_filters, config=WordsConfig),
    "directory": ArchiveType(name="directory", opener="-", config=FolderConfig, cannot=frozenset({"orbit_direction"})),
    "shelf": ArchiveType(name="shelf", opener="-", config=FolderConfig, needs_aoi=False, has_orbits=True),
}
EXAMPLE = """
version = 1                       # of the manifest format; required

[archive]                         # where the scenes come from; may be left out
type = "sedas"                    # sedas (default) | sandbox | directory | stac | cdse | an installed plug-in's name
url  = "https://geobrowser.satapps.org/api/"   # the default depends on the type
trusted_hosts = ["*.satapps.org"] # further hosts that may receive the token; this is the default of type "sedas"
filehash = "warn"                 # warn | enforce | ignore

[mirror]                          # where the scenes are stored; may be left out
path   = "scenes"                 # relative to the manifest; default "scenes"
layout = "{id}"                   # path template below it, without the extension; default "{id}"

[transfer]                        # every key has a default; may be left out
jobs = 4                          # concurrent downloads
segments = "auto"                 # connections that a large file may be split over: "auto", or 1..16
retries = 5                       # further attempts after the first
connect_timeout = 10.0            # seconds
stall_timeout = 60.0              # seconds without a byte before a connection is closed
max_rate = "0"                    # bytes a second over all downloads: "0" none, "20MB", "512KiB"
order_timeout = "24h"             # how long one run waits for LTA orders
max_orders = 0                    # maximum orders that one run places; 0 is no limit
integrity = "crc"                 # crc: read back every entry of the zip | structure: its directory | size

[aoi.harwell]                     # exactly one of wkt, file, bbox, point (+ radius_km)
wkt = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
[aoi.thames]
file = "aoi/thames.geojson"       # .geojson .json .wkt, and .gpkg .shp .zip with the extra `sedas-sync[vector]`
repair = true                     # repair outlines that are not valid, and print what was done
[aoi.box]
bbox = [-1.4, 51.5, -1.2, 51.6]   # west south east north, degrees; west > east crosses the antimeridian
[aoi.campus]
point = [-1.31, 51.57]            # longitude latitude
radius_km = 5

[dataset.optical]                 # at least one dataset
aoi = "harwell"                   # a name, or a list of names: a scene over any of them matches
start = 2019-04-30                # TOML date, offset date-time (a local date-time is UTC), or "today" "now" "-30d"
end   = 2019-05-12                # a date includes its last second: 2019-05-12T23:59:59Z; default "now"
sensor = "optical"                # all (default) | optical | sar, any case
max_cloud_cover = 50              # percent; optical only
satellite = "Sentinel-2A"
instrument = "MSI"
source_group = "S2"
product_type = "L1C"
orbit_direction = "ascending"
min_aoi_coverage = 10
tile = "30UXC"
relative_orbit = 137
exclude = ["S2B_*", "S2A_MSIL1C_20190430T110621_N0207_R137_T30UXC_20190430T131232"]
latest = 5
reprocessed = "newest"
filters = { maxCloudPercent = 50 }

[dataset.radar]
aoi = ["harwell", "box"]
start = "-30d"
polarisation = "VV+VH"

[dataset.named]
products = ["S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"]   # instead of aoi and dates
"""

START = "version = 1\n[aoi.here]\nbbox = [0, 0, 1, 1]\n"
DATASET = START + '[dataset.d]\naoi = "here"\nstart = 2019-04-30\n'


def read_area(given):
    """Return the area of a table; a square for a file or a country."""
    if isinstance(given, str) or (given.file is None and given.country is None):
        return area_of(given, Path())
    if given.file is not None and "missing" in given.file:
        raise ValueError(f"{given.file} does not exist")
    return Aoi(SQUARE)


def parse(text, *, now=None):
    return manifest.parse(
        text,
        source="manifest.toml",
        read_area=read_area,
        types=TYPES,
        now=now,
    )


STAC = '[archive]\ntype = "stac"\nurl = "https://example.org/stac/"\n'


def problems(text, *, now=None):
    with pytest.raises(ManifestError) as caught:
        parse(text, now=now)
    return list(caught.value.problems)


def dataset(lines):
    return parse(DATASET + lines).datasets["d"]
