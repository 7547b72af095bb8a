"""The manifest: every key, every rule, every sentence."""
# ruff: noqa: E501, ISC004 - a table reads best with one mistake and its whole sentence a line

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from shapely import box

from sedas_sync import manifest
from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import ArchiveConfig, DateSpec, WebArchiveConfig, dates, fields, hosts, units
from sedas_sync.manifest.archive_types import ArchiveType, any_filters

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
}
EXAMPLE = """
version = 1                       # of the manifest format; required

[archive]                         # where the scenes come from; the whole table may be left out
type = "sedas"                    # sedas (default) | sandbox | directory | stac | cdse | an installed plug-in's name
url  = "https://geobrowser.satapps.org/api/"   # the type's default where left out
trusted_hosts = ["*.satapps.org"] # further hosts that may be sent the token; this is the default of type "sedas"
filehash = "warn"                 # warn | enforce | ignore: what a scene is worth that differs from the catalogue

[mirror]                          # where they go; may be left out
path   = "scenes"                 # relative to the manifest; default "scenes"
layout = "{id}"                   # path template below it, without the extension; default "{id}"

[transfer]                        # every key has a default; may be left out
jobs = 4                          # downloads at once
segments = "auto"                 # connections a large scene may be split over: "auto", or 1..16
retries = 5                       # further tries after the first, of a scene and of an API call
connect_timeout = 10.0            # seconds
stall_timeout = 60.0              # seconds without a byte before a connection is given up
max_rate = "0"                    # bytes a second over all downloads: "0" none, "20MB", "512KiB"
order_timeout = "24h"             # how long one run waits for LTA orders
max_orders = 0                    # at most so many orders placed in one run; 0: no limit of ours
integrity = "crc"                 # crc: read back every entry of the zip | structure: its directory | size

[aoi.harwell]                     # exactly one of wkt, file, bbox, point (+ radius_km)
wkt = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
[aoi.thames]
file = "aoi/thames.geojson"       # .geojson .json .wkt, and .gpkg .shp .zip with the extra `sedas-sync[vector]`
[aoi.box]
bbox = [-1.4, 51.5, -1.2, 51.6]   # west south east north, degrees; west > east crosses the antimeridian
[aoi.campus]
point = [-1.31, 51.57]            # longitude latitude
radius_km = 5

[dataset.optical]                 # at least one dataset
aoi = "harwell"                   # a name, or a list of names: a scene over any of them belongs
start = 2019-04-30                # TOML date, offset date-time (a local date-time is UTC), or "today" "now" "-30d"
end   = 2019-05-12                # a date counts to its last second: 2019-05-12T23:59:59Z; default "now"
sensor = "optical"                # all (default) | optical | sar, any case
max_cloud_cover = 50              # percent; optical only
satellite = "Sentinel-2A"
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


def read_aoi(name):
    if "missing" in name:
        raise ValueError(f"{name} does not exist")
    return SQUARE


def parse(text, *, now=None):
    return manifest.parse(
        text,
        source="manifest.toml",
        read_aoi=read_aoi,
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


# ------------------------------------------------------------------------------------ what is right


def test_the_example_says_what_it_says():
    m = parse(EXAMPLE)
    assert (m.source, m.version) == ("manifest.toml", 1)
    assert list(m.archives) == ["archive"]
    archive = m.archives["archive"]
    assert archive.model_dump() == {
        "type": "sedas",
        "url": "https://geobrowser.satapps.org/api/",
        "trusted_hosts": ("*.satapps.org",),
        "filehash": "warn",
    }
    assert m.mirror.path == "scenes"
    assert m.mirror.layout.template == "{id}"
    assert m.transfer.model_dump() == {
        "jobs": 4,
        "segments": None,
        "retries": 5,
        "connect_timeout": 10.0,
        "stall_timeout": 60.0,
        "max_rate": 0,
        "order_timeout": 86400.0,
        "max_orders": 0,
        "integrity": "crc",
    }
    assert list(m.aois) == ["harwell", "thames", "box", "campus"]
    assert m.aois["thames"].geometry is SQUARE
    assert m.aois["box"].geometry.equals(box(-1.4, 51.5, -1.2, 51.6))
    assert m.aois["harwell"].queries[0].exact
    west, south, east, north = m.aois["campus"].geometry.bounds
    assert (north - south) / 2 == pytest.approx(5 / 111.195, rel=1e-4)
    assert (west + east) / 2 == pytest.approx(-1.31)
    assert list(m.datasets) == ["optical", "radar", "named"]
    optical = m.datasets["optical"]
    assert optical.name == "optical"
    assert optical.archive == ("archive",)
    assert optical.aoi == ("harwell",)
    assert optical.interval(NOW) == (
        datetime(2019, 4, 30, tzinfo=UTC),
        datetime(2019, 5, 12, 23, 59, 59, 999_999, tzinfo=UTC),
    )
    assert (optical.start_spec, optical.end_spec) == ("2019-04-30", "2019-05-12")
    assert (optical.sensor, optical.max_cloud_cover, optical.min_aoi_coverage) == ("optical", 50, 10)
    assert (optical.satellite, optical.source_group, optical.product_type) == ("Sentinel-2A", "S2", "L1C")
    assert (optical.orbit_direction, optical.relative_orbit) == ("ASCENDING", 137)
    assert optical.tile == ("30UXC",)
    assert optical.exclude[0] == "S2B_*"
    assert (optical.latest, optical.reprocessed) == (5, "newest")
    assert optical.filters == {"maxCloudPercent": 50}
    radar = m.datasets["radar"]
    assert radar.aoi == ("harwell", "box")
    assert radar.polarisation == ("VV", "VH")
    assert radar.interval(NOW) == (NOW - timedelta(days=30), NOW)
    assert (radar.start_spec, radar.end_spec) == ("-30d", "now")
    assert (radar.sensor, radar.reprocessed, radar.latest) == ("all", "all", None)
    assert radar.filters == {}
    named = m.datasets["named"]
    assert named.products == ("S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F",)
    assert (named.aoi, named.start_spec, named.end_spec) == ((), None, None)
    with pytest.raises(ValueError, match="named names products and has no interval"):
        named.interval(NOW)


def test_what_may_be_left_out_has_the_same_meaning_as_the_defaults():
    short = parse(EXAMPLE[: EXAMPLE.index("[archive]")] + EXAMPLE[EXAMPLE.index("[aoi.harwell]") :])
    full = parse(EXAMPLE)
    assert short.archives == full.archives
    assert short.mirror == full.mirror
    assert short.transfer == full.transfer


def test_a_manifest_cannot_be_changed():
    m = parse(EXAMPLE)
    with pytest.raises(ValueError, match="frozen"):
        m.datasets["optical"].latest = 9
    with pytest.raises(AttributeError):
        m.version = 2
    with pytest.raises(TypeError):
        m.datasets["x"] = m.datasets["optical"]
    with pytest.raises(TypeError):
        m.datasets["optical"].filters["x"] = 1


GOOD = {
    "a byte order mark": "\ufeff" + DATASET,
    "named products alone": 'version = 1\n[dataset.d]\nproducts = ["X"]',
    "products with exclude and archive": 'version = 1\n[dataset.d]\nproducts = ["X"]\nexclude = ["Y*"]\narchive = "archive"',
    "the sandbox": DATASET + '[archive]\ntype = "sandbox"',
    "a directory": DATASET + '[archive]\ntype = "directory"\npath = "../other mirror"',
    "keys of a type": DATASET + '[archive]\ntype = "stac"\nurl = "https://example.org/"\nwords = ["a"]\nnumber = 2',
    "filters that are tables": DATASET + 'filters = { "eo:cloud_cover" = { lt = 5 } }\n'
    '[archive]\ntype = "stac"\nurl = "https://example.org/"',
    "loopback over http": DATASET + '[archive]\nurl = "http://127.0.0.1:8080/api/"',
    "loopback of IPv6": DATASET + '[archive]\nurl = "http://[::1]:8080/api/"',
    "localhost": DATASET + '[archive]\nurl = "http://LOCALHOST/api/"',
    "trusted hosts": DATASET + '[archive]\ntrusted_hosts = ["data.example.org", "*.example.org", "10.0.0.1"]',
    "no trusted hosts": DATASET + "[archive]\ntrusted_hosts = []",
    "an AOI that nobody uses": DATASET + '[aoi.other]\nwkt = """\nPOLYGON ((0 0, 1 0, 1 1, 0 0))\n"""',
    "tables with the names of secrets": START
    + '[aoi.user]\nbbox=[0,0,1,1]\n[dataset.token]\naoi="user"\nstart=2019-01-01',
    "one day": DATASET + "end = 2019-04-30",
    "start and end at the same second": START + '[dataset.d]\naoi="here"\nstart="now"\nend="now"',
    "cloud cover with all sensors": DATASET + "max_cloud_cover = 0",
    "both type filters with all sensors": DATASET
    + 'filters = { opticalProductType = "L1C", sarProductType = "GRD", orbitDirection = "ALL", x = [1, true] }',
    "a product type nobody knows": DATASET + 'sensor = "sar"\nproduct_type = "L3"',
    "a radar source": DATASET + 'source_group = "S1"\nsensor = "SAR"\npolarisation = "VH"\nproduct_type = "IW_GRDH_1S"',
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_good_manifest_is_read(text):
    assert parse(text, now=NOW).datasets


def test_several_archives():
    m = parse(
        "version = 1\n"
        '[archives.one]\ntype = "sedas"\n[archives.two]\ntype = "stac"\nurl = "https://example.org/stac"\n'
        '[dataset.a]\narchive = "two"\nproducts = ["X"]\n'
        '[dataset.b]\narchive = ["one", "two"]\nproducts = ["X"]\n'
    )
    assert list(m.archives) == ["one", "two"]
    assert m.archives["two"].trusted_hosts == ()
    assert m.archives["one"].url == "https://geobrowser.satapps.org/api/"
    assert m.datasets["a"].archive == ("two",)
    assert m.datasets["b"].archive == ("one", "two")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("sensor = 'SAR'", "sensor", "sar"),
        ("sensor = 'Optical'", "sensor", "optical"),
        ("orbit_direction = 'DESCENDING'", "orbit_direction", "DESCENDING"),
        ("polarisation = 'vv'", "polarisation", ("VV",)),
        ("polarisation = 'VV/VH'", "polarisation", ("VV", "VH")),
        ("polarisation = 'HH hv'", "polarisation", ("HH", "HV")),
        ("polarisation = 'VV, VV'", "polarisation", ("VV",)),
        ("tile = 'T30UXC'", "tile", ("30UXC",)),
        ("tile = '1cab'", "tile", ("01CAB",)),
        ("tile = ['30UXC', 't30uxc', '31UCT']", "tile", ("30UXC", "31UCT")),
        ("min_aoi_coverage = 100", "min_aoi_coverage", 100.0),
        ("max_cloud_cover = 12.5", "max_cloud_cover", 12.5),
        ("relative_orbit = 175", "relative_orbit", 175),
        ("exclude = []", "exclude", ()),
        ("satellite = ' Sentinel-1A '", "satellite", "Sentinel-1A"),
    ],
)
def test_rules_are_read_into_one_form(line, field, value):
    assert getattr(dataset(line), field) == value


def test_product_ids_have_no_endings():
    m = parse('version = 1\n[dataset.d]\nproducts = ["A.SAFE", "A", "B.SAFE.zip"]')
    assert m.datasets["d"].products == ("A", "B")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("segments = 16", "segments", 16),
        ("retries = 0", "retries", 0),
        ("connect_timeout = 3", "connect_timeout", 3.0),
        ("max_rate = '20MB'", "max_rate", 20_000_000),
        ("max_rate = '512KiB'", "max_rate", 524_288),
        ("max_rate = '1.5 MB/s'", "max_rate", 1_500_000),
        ("max_rate = 1000", "max_rate", 1000),
        ("order_timeout = '90m'", "order_timeout", 5400.0),
        ("order_timeout = '2d'", "order_timeout", 172_800.0),
        ("order_timeout = '30s'", "order_timeout", 30.0),
        ("order_timeout = '1h30m'", "order_timeout", 5400.0),
        ("order_timeout = 0", "order_timeout", 0.0),
        ("integrity = 'size'", "integrity", "size"),
    ],
)
def test_transfer_settings_are_in_base_units(line, field, value):
    assert getattr(parse(DATASET + f"[transfer]\n{line}").transfer, field) == value


# -------------------------------------------------------------------------------- what is caught offline

SECRET = (
    "a manifest must not contain secrets (its value is not shown); credentials come from SEDAS_USERNAME and "
    "SEDAS_PASSWORD, from netrc, or from the system keyring, never from a manifest"
)
USER_IN_URL = (
    "an address must not contain a user name or password (its value is not shown); credentials come from "
    "SEDAS_USERNAME and SEDAS_PASSWORD, from netrc, or from the system keyring, never from a manifest"
)
DATE = (
    "must be a date (2019-04-30), a date-time (2019-04-30T10:00:00Z), 'today', 'now', or how long ago "
    "('-30d', '-12h', '-2w')"
)
SIZE = "must be a number of bytes, or a text such as '20MB' (millions), '512KiB' or '0'"
DURATION = "must be a text such as '24h', '90m', '2d', '30s' or '1h30m', or a number of seconds"
PERCENT = "must be a percentage, a number from 0 to 100"

WRONG = [
    # unknown keys, at every level
    (DATASET + "[mirrors]", "mirrors: unknown key; did you mean mirror?"),
    (DATASET + "[colour]", "colour: unknown key; known here: version, archive, archives, mirror, transfer, aoi, dataset"),
    (DATASET + "max_cloud = 50", "dataset.d.max_cloud: unknown key; did you mean max_cloud_cover?"),
    (DATASET + 'name = "x"', "dataset.d.name: unknown key; known here: archive, aoi, start, end, sensor, "
     "max_cloud_cover, satellite, source_group, product_type, orbit_direction, polarisation, min_aoi_coverage, "
     "tile, relative_orbit, exclude, latest, reprocessed, filters, products"),
    (DATASET + '"a b" = 1\n', 'dataset.d."a b": unknown key; known here: archive, aoi, start, end, sensor, '
     "max_cloud_cover, satellite, source_group, product_type, orbit_direction, polarisation, min_aoi_coverage, "
     "tile, relative_orbit, exclude, latest, reprocessed, filters, products"),
    (DATASET + '[archive]\nURL = "x"', "archive.URL: unknown key; did you mean url?"),
    (DATASET + '[mirror]\nfolder = "x"', "mirror.folder: unknown key; known here: path, layout"),
    (DATASET + "[transfer]\njob = 1", "transfer.job: unknown key; did you mean jobs?"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1, 1]\nradius = 1", "aoi.x.radius: unknown key; did you mean radius_km?"),
    # the format's version
    (DATASET.removeprefix("version = 1"), "version: missing; add version = 1 at the top of the manifest"),
    (DATASET.replace("version = 1", "version = 2"), "version: found 2; this program reads version 1"),
    (DATASET.replace("version = 1", "version = true"), "version: found true; this program reads version 1"),
    (DATASET.replace("version = 1", "version = '1'"), 'version: found "1"; this program reads version 1'),
    # datasets
    (START, "dataset: missing; a manifest needs at least one [dataset.NAME]"),
    (START + "[dataset]", "dataset: missing; a manifest needs at least one [dataset.NAME]"),
    ("dataset = 3\n" + START, "dataset: found 3; must be a table"),
    (START + "[dataset]\nd = 3", "dataset.d: found 3; must be a table"),
    (START + "[dataset.d]", "dataset.d: has neither aoi nor products; one of them is required"),
    (START + '[dataset.d]\naoi = "here"', "dataset.d.start: missing; a dataset with an AOI needs a start"),
    (START + '[dataset."d/e"]\naoi = "here"\nstart = 2019-01-01',
     "dataset.\"d/e\": a name has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '_'"),
    # AOIs that are named
    (DATASET.replace('aoi = "here"', 'aoi = "hree"'), 'dataset.d.aoi: found "hree", which is not an AOI of this manifest; did you mean here?'),
    (DATASET.replace('aoi = "here"', 'aoi = "x"'), 'dataset.d.aoi: found "x", which is not an AOI of this manifest; known here: here'),
    ('version = 1\n[dataset.d]\naoi = "x"\nstart = 2019-01-01',
     'dataset.d.aoi: found "x", which is not an AOI of this manifest; there is no [aoi.NAME] table'),
    (DATASET.replace('aoi = "here"', "aoi = []"), "dataset.d.aoi: found []; must be a name, or a list of at least one name, none of them empty"),
    (DATASET.replace('aoi = "here"', "aoi = 5"), "dataset.d.aoi: found 5; must be a name, or a list of at least one name, none of them empty"),
    (DATASET.replace('aoi = "here"', 'aoi = ["here", ""]'), 'dataset.d.aoi: found ["here", ""]; must be a name, or a list of at least one name, none of them empty'),
    # dates
    (DATASET + "end = 2019-04-29", 'dataset.d.end: is "2019-04-29", before the start "2019-04-30"'),
    (DATASET + "end = 2019-04-29T23:59:59+00:00", 'dataset.d.end: is "2019-04-29", before the start "2019-04-30"'),
    (START + '[dataset.d]\naoi = "here"\nstart = "-1d"\nend = "-2w"', 'dataset.d.end: is "-14d", before the start "-1d"'),
    (DATASET + "end = 10:00:00", f"dataset.d.end: found 10:00:00; {DATE}"),
    (DATASET + 'end = "tomorrow"', f'dataset.d.end: found "tomorrow"; {DATE}'),
    (DATASET + 'end = "-30m"', f'dataset.d.end: found "-30m"; {DATE}'),
    (DATASET + 'end = "-9999999d"', f'dataset.d.end: found "-9999999d"; {DATE}'),
    (DATASET + 'end = "2019-02-30"', f'dataset.d.end: found "2019-02-30"; {DATE}'),
    (DATASET + "end = 20190430", f"dataset.d.end: found 20190430; {DATE}"),
    (DATASET + "end = 0001-01-01T00:00:00+10:00", f"dataset.d.end: found 0001-01-01T00:00:00+10:00; {DATE}"),
    # AOIs
    (DATASET + "[aoi.x]", "aoi.x: has no area; it needs exactly one of wkt, file, bbox, point"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1, 1]\nfile = 'a.wkt'", "aoi.x: has file and bbox; it needs exactly one of wkt, file, bbox, point"),
    (DATASET + "[aoi.x]\npoint = [0, 0]", "aoi.x: has a point without radius_km"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1, 1]\nradius_km = 5", "aoi.x.radius_km: needs a point"),
    (DATASET + "[aoi.x]\npoint = [0, 0]\nradius_km = 0", "aoi.x.radius_km: found 0; must be a number above 0"),
    (DATASET + "[aoi.x]\npoint = [0, 0, 0]\nradius_km = 1", "aoi.x.point: found [0, 0, 0]; must be a list of 2 numbers: longitude, latitude"),
    (DATASET + "[aoi.x]\npoint = [0, 99]\nradius_km = 1",
     "aoi.x.point: the position 0 99 is outside ±180/±90; are latitude and longitude swapped? Longitude comes first"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1]", "aoi.x.bbox: found [0, 0, 1]; must be a list of 4 numbers: west, south, east, north"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1, true]", "aoi.x.bbox: found [0, 0, 1, true]; must be a list of 4 numbers: west, south, east, north"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1, nan]", "aoi.x.bbox: found [0, 0, 1, nan]; must be a list of 4 numbers: west, south, east, north"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 0, 1]", "aoi.x.bbox: it has no area"),
    (DATASET + "[aoi.x]\nwkt = ''", 'aoi.x.wkt: found ""; must be a text, not empty'),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON EMPTY'", "aoi.x.wkt: it is empty"),
    (DATASET + "[aoi.x]\nwkt = 'POINT (1 2)'", "aoi.x.wkt: it contains no polygon, but POINT"),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((0 0, 1 0, 1 1))'",
     "aoi.x.wkt: a ring is open: it begins at 0 0 and ends at 1 1; the last position must repeat the first"),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))'",
     "aoi.x.wkt: its outline crosses or touches itself near longitude 0.5, latitude 0.5"),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((0 0, 300 0, 300 1, 0 0))'",
     "aoi.x.wkt: the position 300 0 is outside ±180/±90; longitudes run from -180 to 180, so write -60"),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((52 -101, 52 -100, 51 -100, 52 -101))'",
     "aoi.x.wkt: the position 52 -101 is outside ±180/±90; are latitude and longitude swapped? Longitude comes first"),
    (DATASET + "[aoi.x]\nfile = 'missing.wkt'", "aoi.x.file: missing.wkt does not exist"),
    (DATASET + "[aoi.'x y']\nbbox = [0, 0, 1, 1]", "aoi.\"x y\": a name has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '_'"),
    (START.replace("[aoi.here]", "[aoi]\nx = 5\n[aoi.here]") +
     '[dataset.d]\naoi = "here"\nstart = 2019-04-30', ["aoi.x: found 5; must be a table",
     "aoi.x: has no area; it needs exactly one of wkt, file, bbox, point"]),
    # single values of datasets
    (DATASET + "max_cloud_cover = 101", f"dataset.d.max_cloud_cover: found 101; {PERCENT}"),
    (DATASET + "max_cloud_cover = -0.1", f"dataset.d.max_cloud_cover: found -0.1; {PERCENT}"),
    (DATASET + "max_cloud_cover = true", f"dataset.d.max_cloud_cover: found true; {PERCENT}"),
    (DATASET + "max_cloud_cover = '50'", f'dataset.d.max_cloud_cover: found "50"; {PERCENT}'),
    (DATASET + "min_aoi_coverage = nan", f"dataset.d.min_aoi_coverage: found nan; {PERCENT}"),
    (DATASET + "min_aoi_coverage = inf", f"dataset.d.min_aoi_coverage: found inf; {PERCENT}"),
    (DATASET + "filters = { minCoveragePercent = 500 }",
     f"dataset.d.filters: found a table; its minCoveragePercent {PERCENT}"),
    (DATASET + "filters = { x = nan }", "dataset.d.filters: found a table; must contain texts, numbers, true or false, but its 'x' does not"),
    (DATASET + "filters = { x = { y = 2019-04-30 } }", "dataset.d.filters: found a table; must contain texts, numbers, true or false, but its 'x' does not"),
    (DATASET + "filters = 5", "dataset.d.filters: found 5; must be a table such as { maxCloudPercent = 50 }"),
    (DATASET + "sensor = 'radar'", 'dataset.d.sensor: found "radar"; must be one of all, optical, sar'),
    (DATASET + "orbit_direction = 'up'", 'dataset.d.orbit_direction: found "up"; must be one of ascending, descending'),
    (DATASET + "polarisation = 'VX'", "dataset.d.polarisation: found \"VX\"; must be channels such as 'VV' or 'VV+VH', out of HH, HV, VH, VV"),
    (DATASET + "tile = '30UXCC'", "dataset.d.tile: found \"30UXCC\"; must be an MGRS tile such as '30UXC' (zone, band, square), or a list of them"),
    (DATASET + "tile = '61UXC'", "dataset.d.tile: found \"61UXC\"; must be an MGRS tile such as '30UXC' (zone, band, square), or a list of them"),
    (DATASET + "tile = []", "dataset.d.tile: found []; must be an MGRS tile such as '30UXC' (zone, band, square), or a list of them"),
    (DATASET + "relative_orbit = 176", "dataset.d.relative_orbit: found 176; must be a whole number from 1 to 175"),
    (DATASET + "relative_orbit = 1.0", "dataset.d.relative_orbit: found 1.0; must be a whole number from 1 to 175"),
    (DATASET + "exclude = 'S2*'", 'dataset.d.exclude: found "S2*"; must be a list of texts, none of them empty'),
    (DATASET + "exclude = [1]", "dataset.d.exclude: found [1]; must be a list of texts, none of them empty"),
    (DATASET + "latest = 0", "dataset.d.latest: found 0; must be a whole number of at least 1"),
    (DATASET + "latest = true", "dataset.d.latest: found true; must be a whole number of at least 1"),
    (DATASET + "reprocessed = 'oldest'", 'dataset.d.reprocessed: found "oldest"; must be one of all, newest'),
    (DATASET + "satellite = ''", 'dataset.d.satellite: found ""; must be a text on one line, not empty'),
    (DATASET + 'satellite = "a\\nb"', 'dataset.d.satellite: found "a\\nb"; must be a text on one line, not empty'),
    # filters that do not belong to the sensor
    (DATASET + "sensor = 'optical'\nfilters = { sarProductType = 'GRD' }",
     'dataset.d.filters.sarProductType: is a filter of SAR scenes, but sensor is "optical"'),
    (DATASET + "sensor = 'optical'\nfilters = { polarisation = 'HV' }",
     'dataset.d.filters.polarisation: is a filter of SAR scenes, but sensor is "optical"'),
    (DATASET + "sensor = 'SAR'\nfilters = { opticalProductType = 'L1C' }",
     'dataset.d.filters.opticalProductType: is a filter of optical scenes, but sensor is "sar"'),
    (DATASET + "sensor = 'sar'\nfilters = { maxCloudPercent = 5 }",
     'dataset.d.filters.maxCloudPercent: is a filter of optical scenes, but sensor is "sar"'),
    (DATASET + "source_group = 'S2'\nfilters = { sarProductType = 'GRD' }",
     'dataset.d.filters.sarProductType: is a filter of SAR scenes, but source_group "S2" has optical scenes'),
    (DATASET + "sensor = 'sar'\nproduct_type = 'L1C'", 'dataset.d.product_type: "L1C" is a type of optical scenes, but sensor is "sar"'),
    (DATASET + "sensor = 'optical'\nproduct_type = 'GRD'", 'dataset.d.product_type: "GRD" is a type of SAR scenes, but sensor is "optical"'),
    (DATASET + "sensor = 'optical'\nproduct_type = 'slc'", 'dataset.d.product_type: "slc" is a type of SAR scenes, but sensor is "optical"'),
    (DATASET + "sensor = 'optical'\npolarisation = 'VV'", 'dataset.d.polarisation: applies to SAR scenes, but sensor is "optical"'),
    (DATASET + "sensor = 'sar'\ntile = '30UXC'", 'dataset.d.tile: applies to optical scenes, but sensor is "sar"'),
    (DATASET + "sensor = 'sar'\nmax_cloud_cover = 50", 'dataset.d.max_cloud_cover: applies to optical scenes, but sensor is "sar"'),
    (DATASET + "sensor = 'sar'\nsatellite = 'Sentinel-2A'", 'dataset.d.satellite: "Sentinel-2A" takes optical scenes, but sensor is "sar"'),
    (DATASET + "satellite = 'Sentinel-1A'\nproduct_type = 'L1C'",
     'dataset.d.product_type: "L1C" is a type of optical scenes, but satellite "Sentinel-1A" takes SAR scenes'),
    # products
    ("version = 1\n[dataset.d]\nproducts = []",
     "dataset.d.products: found []; must be a list of at least one full scene id (wildcards belong in exclude)"),
    ("version = 1\n[dataset.d]\nproducts = ['S2*']",
     'dataset.d.products: found ["S2*"]; must be a list of at least one full scene id (wildcards belong in exclude)'),
    ("version = 1\n[dataset.d]\nproducts = 'X'", 'dataset.d.products: found "X"; must be a list of at least one full scene id (wildcards belong in exclude)'),
    (DATASET + "products = ['X']\nlatest = 3",
     "dataset.d.products: cannot be used with aoi, start, latest: products replaces areas, dates and all rules but exclude"),
    # archives
    (DATASET + "[archive]\ntype = 'sedsa'", 'archive.type: found "sedsa", which is not a known type; did you mean sedas?'),
    (DATASET + "[archive]\ntype = 'ftp'",
     'archive.type: found "ftp", which is not a known type; known here: directory, sandbox, sedas, stac'),
    (DATASET + STAC + "word = ['x']", "archive.word: unknown key; did you mean words?"),
    (DATASET + STAC + "collection = 'x'",
     "archive.collection: unknown key; known here: type, filehash, url, trusted_hosts, words, number"),
    (DATASET + STAC + "words = 'x'\nnumber = 0", ['archive.words: found "x"; must be a list of texts, none of them empty',
     "archive.number: found 0; must be a whole number of at least 1"]),
    (DATASET + STAC + "words = ['two']\nnumber = 2", 'archive.number: is 2, and words is "two" already'),
    (DATASET + "[archive]\nwords = ['x']", "archive.words: unknown key; known here: type, filehash, url, trusted_hosts"),
    (DATASET + "[archive]\ntype = 'sandbox'\nurl = 'https://example.org/'", "archive.url: unknown key; known here: type, filehash"),
    (DATASET + "[archive]\ntype = 'directory'",
     "archive.path: missing, but required: The folder"),
    (DATASET + "[archive]\ntype = 'directory'\nurl = 'x'\npath = 'x'", "archive.url: unknown key; known here: type, filehash, path"),
    (DATASET + "orbit_direction = 'ascending'\nfilters = { a = 1 }\n[archive]\ntype = 'directory'\npath = 'x'",
     ["dataset.d.orbit_direction: cannot be checked: an archive of type directory has no data for it",
      "dataset.d.filters: an archive of type directory has no filters of its own"]),
    (DATASET + "filters = { a = { b = 1 } }",
     "dataset.d.filters.a: must be a text, a number, true or false, or a list of them for an archive of type sedas"),
    (DATASET + "[archive]\nfilehash = 'yes'", 'archive.filehash: found "yes"; must be one of warn, enforce, ignore'),
    (DATASET + "[archive]\n[archives.x]", ["archive: cannot be used together with [archives.*]; move it there and give it a name"]),
    (DATASET + "[archives]", "archives: is empty; add an [archives.NAME] table"),
    (DATASET + "[archives.one]\n[archives.two]", "dataset.d.archive: missing; this manifest has several archives: one, two"),
    (DATASET + "archive = 'tow'\n[archives.one]\n[archives.two]",
     'dataset.d.archive: found "tow", which is not an archive of this manifest; did you mean two?'),
    (DATASET + "archive = 'x'", 'dataset.d.archive: found "x", which is not an archive of this manifest; known here: archive'),
    (DATASET + "[archive]\ntype = 'stac'", "archive.url: missing, but required: Address of the API: https, or http to this machine; some types have a default"),
    # addresses
    (DATASET + "[archive]\nurl = 'http://example.org/api/'",
     'archive.url: found "http://example.org/api/"; must use https: http is only allowed for loopback addresses, and example.org is not one'),
    (DATASET + "[archive]\nurl = 'http://127.0.0.1.evil.org/'",
     'archive.url: found "http://127.0.0.1.evil.org/"; must use https: http is only allowed for loopback addresses, and 127.0.0.1.evil.org is not one'),
    (DATASET + "[archive]\nurl = 'http://localhost@evil.org/'", f"archive.url: {USER_IN_URL}"),
    (DATASET + "[archive]\nurl = 'geobrowser'", "archive.url: found \"geobrowser\"; must be an address such as 'https://example.org/api/'"),
    (DATASET + "[archive]\nurl = 'ftp://example.org'", "archive.url: found \"ftp://example.org\"; must be an address such as 'https://example.org/api/'"),
    (DATASET + "[archive]\nurl = 'https://'", "archive.url: found \"https://\"; must be an address such as 'https://example.org/api/'"),
    (DATASET + "[archive]\nurl = 'https://example.org/?a=hunter2'",
     "archive.url: found an address (not shown); must be the address of the API alone, without '?' or '#' (its value is not shown)"),
    (DATASET + "[archive]\ntrusted_hosts = ['*']",
     "archive.trusted_hosts: found [\"*\"]; must be a host name such as 'data.example.org', or '*.example.org' for all hosts below it"),
    # secrets
    (DATASET + "[archive]\nusername = 'hunter2'", f"archive.username: {SECRET}"),
    (DATASET + "[archive]\npassword = 'hunter2'", f"archive.password: {SECRET}"),
    (DATASET + "[archive]\ntoken = 'hunter2'", f"archive.token: {SECRET}"),
    ("user = 'hunter2'\n" + DATASET, f"user: {SECRET}"),
    (DATASET + "api-key = 'hunter2'", f"dataset.d.api-key: {SECRET}"),
    (DATASET + "filters = { client_secret = 'hunter2' }", f"dataset.d.filters.client_secret: {SECRET}"),
    (DATASET + "[transfer]\nAccess_Token = 'hunter2'", f"transfer.Access_Token: {SECRET}"),
    (DATASET + "[archive.password]\nx = 'hunter2'", f"archive.password: {SECRET}"),
    (DATASET + "[archive]\nurl = 'https://me:hunter2@example.org/api/'", f"archive.url: {USER_IN_URL}"),
    (DATASET + "satellite = 'https://me:hunter2@example.org/api/'", f"dataset.d.satellite: {USER_IN_URL}"),
    # mirror and transfer
    (DATASET + "[mirror]\nlayout = '{idd}'",
     'mirror.layout: found "{idd}"; this layout cannot be used: unknown field {idd} (did you mean {id}?); the fields are '
     "id, dataset, archive, sensor, satellite, source_group, product_type, start, stop"),
    (DATASET + "[mirror]\nlayout = '../{id}'", "mirror.layout: found \"../{id}\"; this layout cannot be used: it leaves the mirror with '..'"),
    (DATASET + "[mirror]\nlayout = '/srv/{id}'",
     'mirror.layout: found "/srv/{id}"; this layout cannot be used: it is an absolute path; paths are relative to the mirror'),
    (DATASET + "[mirror]\npath = ''", 'mirror.path: found ""; must be a text on one line, not empty'),
    ("mirror = 'x'\n" + DATASET, 'mirror: found "x"; must be a table'),
    (DATASET + "[transfer]\njobs = 0", "transfer.jobs: found 0; must be a whole number of at least 1"),
    (DATASET + "[transfer]\njobs = true", "transfer.jobs: found true; must be a whole number of at least 1"),
    (DATASET + "[transfer]\nsegments = 17", 'transfer.segments: found 17; must be "auto" or a whole number from 1 to 16'),
    (DATASET + "[transfer]\nretries = -1", "transfer.retries: found -1; must be a whole number of at least 0"),
    (DATASET + "[transfer]\nstall_timeout = 0", "transfer.stall_timeout: found 0; must be a number above 0"),
    (DATASET + "[transfer]\nconnect_timeout = inf", "transfer.connect_timeout: found inf; must be a number above 0"),
    (DATASET + "[transfer]\nmax_rate = '20Mb'", f'transfer.max_rate: found "20Mb"; {SIZE}'),
    (DATASET + "[transfer]\nmax_rate = '0.1B'", f'transfer.max_rate: found "0.1B"; {SIZE}'),
    (DATASET + "[transfer]\nmax_rate = -1", f"transfer.max_rate: found -1; {SIZE}"),
    (DATASET + "[transfer]\nmax_rate = '5iB'", f'transfer.max_rate: found "5iB"; {SIZE}'),
    (DATASET + "[transfer]\norder_timeout = 'a day'", f'transfer.order_timeout: found "a day"; {DURATION}'),
    (DATASET + "[transfer]\norder_timeout = '24'", f'transfer.order_timeout: found "24"; {DURATION}'),
    (DATASET + "[transfer]\norder_timeout = true", f"transfer.order_timeout: found true; {DURATION}"),
    (DATASET + "[transfer]\nmax_orders = -1", "transfer.max_orders: found -1; must be a whole number of at least 0"),
    (DATASET + "[transfer]\nintegrity = 'md5'", 'transfer.integrity: found "md5"; must be one of crc, structure, size'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "sentence"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_one_finished_sentence(text, sentence):
    expected = sentence if isinstance(sentence, list) else [sentence]
    found = problems(text)
    assert found == [f"manifest.toml: {one}" for one in expected]
    assert "hunter2" not in "".join(found)


class OddConfig(ArchiveConfig):
    how: fields.Line = "well"

    @model_validator(mode="after")
    def _check(self):
        if self.how == "badly":
            raise ValueError("how is a bad word")
        if self.how == "not":
            raise RuntimeError("boom")
        return self

    def mistakes(self):
        raise LookupError("boom")


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("badly", "archive: how is a bad word"),
        ("not", "archive: the package of type odd cannot read it: RuntimeError: boom"),
        ("well", "archive: the package of type odd cannot read it: LookupError: boom"),
        ("", 'archive.how: found ""; must be a text on one line, not empty'),
    ],
)
def test_a_failing_model_of_a_package_is_a_mistake(how, sentence):
    odd = {"odd": ArchiveType(name="odd", opener="-", config=OddConfig)}
    text = DATASET + f"[archive]\ntype = 'odd'\nhow = '{how}'"
    with pytest.raises(ManifestError) as caught:
        manifest.parse(text, source="manifest.toml", read_aoi=read_aoi, types=odd)
    assert f"manifest.toml: {sentence}" in caught.value.problems


def test_all_mistakes_come_at_once_even_those_between_keys():
    found = problems("""
version = 3
[archive]
type = "sedas"
filehashes = "warn"
password = "hunter2"
[mirror]
layout = "{idd}"
[transfer]
jobs = 0
[aoi.here]
wkt = "POLYGON ((0 0, 1 0, 1 1))"
[dataset.a]
aoi = "there"
start = 2019-05-12
end = 2019-05-01
max_cloud = 5
max_cloud_cover = 500
sensor = "sar"
filters = { opticalProductType = "L1C" }
[dataset.b]
products = ["X"]
aoi = "here"
""")
    assert [re.split(": ", problem)[1] for problem in found] == [
        "archive.password",
        "version",
        "archive.filehashes",
        "mirror.layout",
        "transfer.jobs",
        "aoi.here.wkt",
        "dataset.a.max_cloud_cover",
        "dataset.a.max_cloud",
        "dataset.a.aoi",
        "dataset.a.end",
        "dataset.a.max_cloud_cover",
        "dataset.a.filters.opticalProductType",
        "dataset.b.products",
    ]


def test_an_end_that_is_wrong_itself_is_not_compared():
    assert len(problems(DATASET.replace("2019-04-30", "'2999-01-01'") + "end = 5", now=NOW)) == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("version = ", "line 1, column 11"),
        ("version = 1\nversion = 2", "line 2, column 12"),
        ("version = 1\n[mirror]\n[mirror]\n", "line 3, column 8"),
        ("version = 1\n[a", "line 2, column 3"),
    ],
)
def test_a_mistake_in_the_toml_has_line_and_column(text, place):
    (found,) = problems(text)
    assert found.startswith(f"manifest.toml: {place}: this is not TOML: ")


def test_nesting_without_end_is_a_mistake_like_any_other():
    (found,) = problems("x = " + "[" * 100_000)
    assert found.startswith("manifest.toml: ")


@given(st.text())
def test_no_text_whatever_ends_in_anything_but_sentences(text):
    for candidate in (text, f"version = 1\n{text}", f"version = 1\n[dataset.d]\nx = {text!r}"):
        try:
            parse(candidate)
        except ManifestError as error:
            assert error.problems  # noqa: PT017 - both outcomes are fine, any other error is not


TOML_VALUES = st.recursive(
    st.one_of(
        st.none().map(lambda _: "nan"), st.booleans().map(lambda b: str(b).lower()), st.integers(-(10**30), 10**30).map(str),
        st.floats().map(str), st.sampled_from(["2019-01-01", "10:00:00", "2019-01-01T00:00:00Z", "''", "'x'", "'-5d'", "'http://x'"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from("abc"), inner, max_size=2).map(
            lambda items: "{" + ", ".join(f"{k} = {v}" for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)  # fmt: skip


@given(st.sampled_from([*manifest.Dataset.model_fields]), TOML_VALUES)
def test_no_value_of_a_dataset_ends_in_anything_but_sentences(key, value):
    lines = {"aoi": "'here'", "start": "2019-04-30", key: value}
    text = START + "[dataset.d]\n" + "\n".join(f"{k} = {v}" for k, v in lines.items())
    try:
        parse(text, now=NOW)
    except ManifestError as error:
        assert all(p.startswith("manifest.toml: ") for p in error.problems)  # noqa: PT017 - see above


@given(
    st.sampled_from(
        [
            *(("archive", key) for key in ("type", "url", "trusted_hosts", "filehash")),
            *(("mirror", key) for key in manifest.MirrorConfig.model_fields),
            *(("transfer", key) for key in manifest.TransferConfig.model_fields),
            *(("aoi.x", key) for key in ("wkt", "file", "bbox", "point", "radius_km")),
        ]
    ),
    TOML_VALUES,
)
def test_no_value_of_a_table_ends_in_anything_but_sentences(place, value):
    table, key = place
    try:
        parse(f"{DATASET}[{table}]\n{key} = {value}")
    except ManifestError as error:
        assert all(p.startswith("manifest.toml: ") for p in error.problems)  # noqa: PT017 - see above


# --------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("start", "first", "spec"),
    [
        ("2019-04-30", "2019-04-30T00:00:00+00:00", "2019-04-30"),
        ("'2019-04-30'", "2019-04-30T00:00:00+00:00", "2019-04-30"),
        ("2019-04-30T00:00:00Z", "2019-04-30T00:00:00+00:00", "2019-04-30"),
        ("2019-04-30T10:20:30", "2019-04-30T10:20:30+00:00", "2019-04-30T10:20:30Z"),
        ("2019-04-30T10:20:30.5+02:00", "2019-04-30T08:20:30.500000+00:00", "2019-04-30T08:20:30.500000Z"),
        ("'2019-04-30T10:20:30Z'", "2019-04-30T10:20:30+00:00", "2019-04-30T10:20:30Z"),
        ("'today'", "2019-06-15T00:00:00+00:00", "today"),
        ("'NOW'", "2019-06-15T13:30:45.000678+00:00", "now"),
        ("'-30d'", "2019-05-16T13:30:45.000678+00:00", "-30d"),
        ("'-720h'", "2019-05-16T13:30:45.000678+00:00", "-30d"),
        ("'-12h'", "2019-06-15T01:30:45.000678+00:00", "-12h"),
        ("'- 2W'", "2019-06-01T13:30:45.000678+00:00", "-14d"),
    ],
)
def test_a_start(start, first, spec):
    found = parse(DATASET.replace("2019-04-30", start)).datasets["d"]
    assert found.interval(NOW)[0] == datetime.fromisoformat(first)
    assert found.start_spec == spec


@pytest.mark.parametrize(
    ("end", "last", "spec"),
    [
        ("2019-05-12", "2019-05-12T23:59:59.999999+00:00", "2019-05-12"),
        ("2019-05-12T23:59:59Z", "2019-05-12T23:59:59.999999+00:00", "2019-05-12"),
        ("2019-05-12T10:00:00", "2019-05-12T10:00:00.999999+00:00", "2019-05-12T10:00:00Z"),
        ("2019-05-12T10:00:00.25", "2019-05-12T10:00:00.250000+00:00", "2019-05-12T10:00:00.250000Z"),
        ("2019-05-13T01:00:00+02:00", "2019-05-12T23:00:00.999999+00:00", "2019-05-12T23:00:00Z"),
        ("'today'", "2019-06-15T23:59:59.999999+00:00", "today"),
        ("'now'", "2019-06-15T13:30:45.000678+00:00", "now"),
        ("'-1d'", "2019-06-14T13:30:45.000678+00:00", "-1d"),
    ],
)
def test_an_end(end, last, spec):
    found = dataset(f"end = {end}")
    assert found.interval(NOW)[1] == datetime.fromisoformat(last)
    assert found.end_spec == spec


def test_relative_dates_are_compared_with_the_clock_where_there_is_one():
    text = DATASET.replace("2019-04-30", "2019-07-01")
    assert parse(text).datasets
    assert problems(text, now=NOW) == ['manifest.toml: dataset.d.end: is "now", before the start "2019-07-01"']
    same_day = START + '[dataset.d]\naoi = "here"\nstart = "today"\nend = "-14h"'
    assert parse(same_day).datasets
    assert len(problems(same_day, now=NOW)) == 1
    assert parse(same_day.replace("-14h", "-13h"), now=NOW).datasets


FIXED = st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))  # noqa: DTZ001 - local date-times of TOML
SPECS = st.one_of(
    FIXED,
    FIXED.map(lambda d: d.replace(microsecond=0)),
    FIXED.map(lambda d: d.date()),
    st.sampled_from(["today", "now", "-24h", "-1d", "-7d", "-1w", "-168h", "-25h"]),
)


@given(SPECS, SPECS, st.sampled_from(["start", "end"]))
def test_the_text_of_a_date_is_equal_exactly_if_it_means_the_same(one, other, role):
    a, b = DateSpec.parse(one, role), DateSpec.parse(other, role)
    clocks = [NOW, NOW + timedelta(hours=7), NOW + timedelta(days=40, seconds=1)]
    assert (a.text == b.text) == all(a.resolve(now) == b.resolve(now) for now in clocks)
    assert DateSpec.parse(a.text, role).resolve(NOW) == a.resolve(NOW)


@given(SPECS, SPECS)
def test_what_is_backwards_without_a_clock_is_backwards_at_any_time(start, end):
    a, b = DateSpec.parse(start, "start"), DateSpec.parse(end, "end")
    if dates.is_backwards(a, b, None):
        assert all(dates.is_backwards(a, b, NOW + timedelta(hours=h)) for h in range(0, 72, 5))


# ----------------------------------------------------------------------------- hosts, sizes, durations


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1.evil.org/",
        "http://localhost.evil.org/",
        "http://localhost@evil.org/",
        "http://127.0.0.1@evil.org/",
        "http://evil.org#@localhost/",
        "http://evil.org?@localhost/",
        "http://evil.org\\@localhost/",
        "http://localhost\\.evil.org/",
        "http://2130706433/",
        "http://127.1/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://[::ffff:10.0.0.1]/",
        "http://[fe80::1]/",
        "http://loc alhost/",
        "http://localhost\t.evil.org/",
        "http://localhost:port/",
        "http://localhost:99999/",
        "http:///localhost",
        "http:localhost",
        "//localhost/",
        "https://exämple.org/",
        "https://-x.org/",
        "https://a..b/",
        "file:///etc/passwd",
        "",
    ],
)
def test_an_address_that_is_not_safe_is_refused(address):
    with pytest.raises(ValueError, match=r"^(must|is plain http)"):
        hosts.url(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org",
        "https://a.b.c:8443/x/y",
        "https://10.0.0.1/",
        "http://localhost:80",
        "http://127.9.9.9/",
        "http://[::1]/",
    ],
)
def test_an_address_that_is_safe_stays_as_it_is(address):
    assert hosts.url(address) == address


@pytest.mark.parametrize(
    ("entry", "expected"),
    [("Data.Example.ORG", "data.example.org"), ("*.Example.org", "*.example.org"), ("::1", "::1")],
)
def test_trusted_hosts(entry, expected):
    assert hosts.trusted_host(entry) == expected


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "*",
        "*.",
        "*.org",
        "**.example.org",
        "a.*.org",
        "https://a.org",
        "a.org:443",
        "a.org/x",
        "a b",
        ".a.org",
        "a.org.",
        "*.co.uk",
        "*.CO.UK",
        "*.gov.au",
        "*.kawasaki.jp",
        "*.github.io",
        "*.s3.amazonaws.com",
        "*.blob.core.windows.net",
    ],
)
def test_hosts_that_cannot_be_trusted(entry):
    with pytest.raises(ValueError, match=r"must be a host name|anybody can get a host below"):
        hosts.trusted_host(entry)


@given(st.integers(0, 10**15), st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB", "GiB", "TiB", ""]))
def test_sizes(number, unit):
    power = "BKMGT".index((unit or "B")[0].upper())
    expected = number * (1024 if "i" in unit else 1000) ** power
    assert units.size(f"{number}{unit}") == pytest.approx(expected, rel=1e-12)
    assert units.size(f" {number} {unit}{'/s' if unit else ''} ") == units.size(f"{number}{unit}")


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_durations(hours, minutes, seconds):
    assert (
        units.duration(f"{hours}h{minutes}m{seconds}s")
        == timedelta(hours=hours, minutes=minutes, seconds=seconds).total_seconds()
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, None, "", "9" * 400 + "d", [], True])
def test_what_is_no_duration(value):
    with pytest.raises(ValueError, match="must be"):
        units.duration(value)


@pytest.mark.parametrize("value", ["9" * 400, "1" + "0" * 400 + "TB", None, 1.5, True, "MB"])
def test_what_is_no_size(value):
    with pytest.raises(ValueError, match="must be"):
        units.size(value)


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.text(max_size=5)))
def test_a_percentage_is_a_number_from_0_to_100(value):
    fits = type(value) in {int, float} and 0 <= value <= 100
    try:
        assert TypeAdapter(fields.Percent, config={"strict": True}).validate_python(value) == value
    except ValidationError:
        assert not fits
    else:
        assert fits
