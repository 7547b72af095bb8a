"""The mistakes of a manifest: all at once, each in one sentence."""
# ruff: noqa: E501, ISC004 - a table reads best with one mistake and its whole sentence a line

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import DATASET, NOW, STAC, START, parse, problems, read_area
from pydantic import model_validator

from sedas_sync import manifest
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import ArchiveConfig, Dataset, fields
from sedas_sync.manifest.archive_types import ArchiveType

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

FREE = "version = 1\n[archive]\ntype = 'shelf'\npath = 'x'\n"
REMEDY = 'To repair it, set repair = true in the table of the AOI, or use "Fix geometries" in QGIS'
KNOWN = f"known here: {', '.join(key for key in Dataset.model_fields if key != 'name')}"

WRONG = [
    # unknown keys, at every level
    (DATASET + "[mirrors]", "mirrors: unknown key; did you mean mirror?"),
    (DATASET + "[colour]", "colour: unknown key; known here: version, archive, archives, mirror, transfer, aoi, dataset"),
    (DATASET + "max_cloud = 50", "dataset.d.max_cloud: unknown key; did you mean max_cloud_cover?"),
    (DATASET + 'name = "x"', f"dataset.d.name: unknown key; {KNOWN}"),
    (DATASET + '"a b" = 1\n', f'dataset.d."a b": unknown key; {KNOWN}'),
    (DATASET + '[archive]\nURL = "x"', "archive.URL: unknown key; did you mean url?"),
    (DATASET + '[mirror]\nfolder = "x"', "mirror.folder: unknown key; known here: path, layout, unpack, keep_replaced"),
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
    (START + "[dataset.d]", "dataset.d: has no aoi, tile or products; one of them is required"),
    (FREE + "[dataset.d]", "dataset.d.start: missing; a dataset without products needs a start"),
    (FREE + "[dataset.d]\nstart = 2019-01-01\nmin_aoi_coverage = 5", "dataset.d.min_aoi_coverage: needs an aoi or a tile"),
    (DATASET + 'orbits = "precise"',
     "dataset.d.orbits: archives of type sedas have no orbit files; add one of type cdse to the dataset's archives"),
    (FREE + '[dataset.d]\nstart = 2019-01-01\nsensor = "optical"\norbits = "precise"',
     'dataset.d.orbits: applies to scenes of Sentinel-1, but sensor is "optical"'),
    (START + '[dataset.d]\naoi = "here"', "dataset.d.start: missing; a dataset with an AOI needs a start"),
    ('version = 1\n[dataset.d]\ntile = "30UXC"', "dataset.d.start: missing; a dataset with a tile needs a start"),
    ('version = 1\n[dataset.d]\ntile = "30UAC"\nstart = 2019-01-01',
     "dataset.d.tile: 30UAC is not a square of the MGRS: the columns of zone 30 are STUVWXYZ"),
    ('version = 1\n[dataset.d]\naoi = "tile 30UXC"\nstart = 2019-01-01',
     'dataset.d.aoi: found "tile 30UXC", which is not an AOI of this manifest; there is no [aoi.NAME] table'),
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
    (DATASET + "[aoi.x]", "aoi.x: has no area; it needs exactly one of wkt, file, bbox, point, country"),
    (DATASET + "[aoi.x]\nbbox = [0, 0, 1, 1]\nfile = 'a.wkt'", "aoi.x: has file and bbox; it needs exactly one of wkt, file, bbox, point, country"),
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
    (DATASET + "[aoi.x]\nwkt = 'POINT (1 2)'", "aoi.x.wkt: it contains no polygon, but POINT; set buffer_km to search around points and lines"),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((0 0, 1 0, 1 1))'",
     "aoi.x.wkt: a ring is open: it begins at 0 0 and ends at 1 1; the last position must repeat the first. " + REMEDY),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))'",
     "aoi.x.wkt: its outline crosses or touches itself near longitude 0.5, latitude 0.5. " + REMEDY),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((0 0, 900 0, 900 1, 0 0))'",
     "aoi.x.wkt: the position 900 0 is outside ±180/±90; to move the whole outline, subtract 360 from each of its longitudes"),
    (DATASET + "[aoi.x]\nwkt = 'POLYGON ((52 -101, 52 -100, 51 -100, 52 -101))'",
     "aoi.x.wkt: the position 52 -101 is outside ±180/±90; are latitude and longitude swapped? Longitude comes first"),
    (DATASET + "[aoi.x]\nfile = 'missing.wkt'", "aoi.x.file: missing.wkt does not exist"),
    (DATASET + "[aoi.'x y']\nbbox = [0, 0, 1, 1]", "aoi.\"x y\": a name has 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '_'"),
    (START.replace("[aoi.here]", "[aoi]\nx = 5\n[aoi.here]") +
     '[dataset.d]\naoi = "here"\nstart = 2019-04-30', ["aoi.x: found 5; must be a table",
     "aoi.x: has no area; it needs exactly one of wkt, file, bbox, point, country"]),
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
    (DATASET + "sensor = 'optical'\ninstrument = 'SAR'", 'dataset.d.instrument: "SAR" takes SAR scenes, but sensor is "optical"'),
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
     'archive.type: found "ftp", which is not a known type; known here: directory, sandbox, sedas, shelf, stac'),
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
def test_mistake_is_one_sentence(text, sentence):
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
def test_failing_model_of_a_plug_in_is_a_mistake(how, sentence):
    odd = {"odd": ArchiveType(name="odd", opener="-", config=OddConfig)}
    text = DATASET + f"[archive]\ntype = 'odd'\nhow = '{how}'"
    with pytest.raises(ManifestError) as caught:
        manifest.parse(text, source="manifest.toml", read_area=read_area, types=odd)
    assert f"manifest.toml: {sentence}" in caught.value.problems


def test_all_mistakes_are_reported_at_once():
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


def test_invalid_end_is_not_compared_with_the_start():
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
def test_toml_error_has_line_and_column(text, place):
    (found,) = problems(text)
    assert found.startswith(f"manifest.toml: {place}: this is not TOML: ")


def test_deep_nesting_is_a_mistake():
    (found,) = problems("x = " + "[" * 100_000)
    assert found.startswith("manifest.toml: ")


@given(st.text())
def test_any_text_gives_a_manifest_or_mistakes(text):
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
def test_any_value_of_a_dataset_gives_a_manifest_or_mistakes(key, value):
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
            *(("aoi.x", key) for key in ("wkt", "file", "bbox", "point", "radius_km", "repair")),
        ]
    ),
    TOML_VALUES,
)
def test_any_value_of_a_table_gives_a_manifest_or_mistakes(place, value):
    table, key = place
    try:
        parse(f"{DATASET}[{table}]\n{key} = {value}")
    except ManifestError as error:
        assert all(p.startswith("manifest.toml: ") for p in error.problems)  # noqa: PT017 - see above
