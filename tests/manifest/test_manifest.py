"""Reading a manifest: its values and their forms."""
# ruff: noqa: E501 - a table reads best with one manifest a line

from datetime import UTC, datetime, timedelta

import pytest
from manifests import DATASET, EXAMPLE, NOW, SQUARE, START, dataset, parse
from shapely import box


def test_values_of_the_example():
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
        "max_download": 0,
        "confirm": True,
        "integrity": "crc",
    }
    assert list(m.aois) == ["harwell", "thames", "box", "campus"]
    assert m.aois["thames"].geometry is SQUARE
    assert m.aois["box"].geometry.equals(box(-1.4, 51.5, -1.2, 51.6))
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
    assert optical.instrument == "MSI"
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


def test_missing_tables_are_at_their_defaults():
    short = parse(EXAMPLE[: EXAMPLE.index("[archive]")] + EXAMPLE[EXAMPLE.index("[aoi.harwell]") :])
    full = parse(EXAMPLE)
    assert short.archives == full.archives
    assert short.mirror == full.mirror
    assert short.transfer == full.transfer


def test_manifest_is_immutable():
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
def test_valid_manifest(text):
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
def test_rules_are_normalised(line, field, value):
    assert getattr(dataset(line), field) == value


def test_endings_of_scene_ids_are_removed():
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
