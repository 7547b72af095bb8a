"""The schema for editors: valid manifests match, and others do not, as far as a schema can tell."""

import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path

import jsonschema
import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests import read_area

from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import parse
from sedas_sync.manifest.archive_types import ArchiveType
from sedas_sync.manifest.schema import MODELS, keys_of, manifest_schema
from sedas_sync.manifest.tables import ArchiveConfig
from sedas_sync.operations.init_template import toml_string

ROOT = Path(__file__).parents[2]
SCHEMA = manifest_schema(BUILT_IN)
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))
ALL = tomli.loads("""
version = 1
[archive]
type = "sedas"
url = "https://geobrowser.satapps.org/api/"
trusted_hosts = ["*.satapps.org"]
filehash = "warn"
[mirror]
unpack = true
keep_replaced = "90d"
path = "scenes"
layout = "{satellite}/{start:%Y/%m}/{id}"
[transfer]
jobs = 4
segments = "auto"
retries = 5
connect_timeout = 10.0
stall_timeout = 60
max_rate = "20MB"
order_timeout = "24h"
max_orders = 0
max_download = "500GB"
confirm = false
integrity = "crc"
[aoi.a]
wkt = "POLYGON ((-1.33 51.56, -1.30 51.56, -1.30 51.59, -1.33 51.56))"
[aoi.b]
bbox = [-1.4, 51.5, -1.2, 51.6]
[aoi.c]
point = [-1.31, 51.57]
radius_km = 5
repair = true
[aoi.d]
file = "fields.gpkg"
layer = "fields"
where = "crop = 'wheat'"
[aoi.e]
country = ["GBR", "IRL"]
buffer_km = 10
[dataset.optical]
aoi = ["a", "b"]
start = 2019-04-30
end = 2019-05-12T10:00:00Z
sensor = "optical"
max_cloud_cover = 50
satellite = "Sentinel-2A"
instrument = "MSI"
source_group = "S2"
product_type = "L1C"
orbit_direction = "descending"
min_aoi_coverage = 10
tile = "30UXC"
relative_orbit = 137
exclude = ["S2B_*"]
latest = 5
recheck = "7d"
reprocessed = "newest"
filters = { maxCloudPercent = 50 }
[dataset.radar]
aoi = "c"
start = "-30d"
end = "now"
sensor = "SAR"
polarisation = "VV+VH"
[dataset.named]
products = ["S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"]
""")


def plain(value):
    """Return a manifest as an editor sees it: dates are texts."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def written(value):
    """Return a value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_string(key)} = {written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, str):
        return toml_string(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else repr(value)


def parser_accepts(tree):
    text = "\n".join(f"{toml_string(key)} = {written(value)}" for key, value in tree.items())
    try:
        parse(text, source="m", read_area=read_area, types=BUILT_IN)
    except ManifestError:
        return False
    return True


def schema_accepts(tree):
    return VALIDATOR.is_valid(plain(tree))


def test_schema_is_valid():
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_manifest_with_every_key_matches():
    assert parser_accepts(ALL)
    assert schema_accepts(ALL)
    for table in ("archive", "mirror", "transfer"):
        assert set(ALL[table]) == set(keys_of(MODELS[table]))
    for table in ("aoi", "dataset"):
        assert set().union(*ALL[table].values()) >= set(keys_of(MODELS[table])) - {
            "file",
            "archive",
            "orbits",
        }


@pytest.mark.parametrize("kind", [*BUILT_IN, "", None])
@pytest.mark.parametrize("keys", [{"start": "-30d"}, {"start": "-30d", "product_type": "AUX_POEORB"}, {}])
def test_aoi_may_be_left_out_only_if_the_archive_allows_it(kind, keys):
    archive = {"stac": {"url": "https://example.org/", "collections": ["x"]}, "directory": {"path": "x"}}.get(kind, {})
    tree = {"version": 1, "dataset": {"d": keys}}
    if kind is not None:
        tree["archive"] = {"type": kind, **archive}
    assert parser_accepts(tree) == schema_accepts(tree) == (kind in ("cdse", "stac", "directory") and "start" in keys)


@pytest.mark.parametrize("kind", ["cdse", "sedas"])
@pytest.mark.parametrize("orbits", ["precise", "Restituted", "best"])
@pytest.mark.parametrize("sensor", ["sar", "optical"])
def test_orbits(kind, orbits, sensor):
    dataset = {"products": ["X"], "orbits": orbits} if sensor == "sar" else {"start": "-3d", "sensor": sensor}
    right = kind == "cdse" and orbits != "best"
    tree = {"version": 1, "archive": {"type": kind}, "dataset": {"d": {**dataset, "orbits": orbits}}}
    assert parser_accepts(tree) == (right and sensor == "sar")
    if kind == "cdse":
        assert schema_accepts(tree) == (right and sensor == "sar")


@pytest.mark.parametrize("table", MODELS)
def test_default_in_the_schema_is_the_default_of_the_model(table):
    """The default in the schema, read like a manifest's value, is that of the model."""
    for name, key in keys_of(MODELS[table]).items():
        given = {"dataset": {"name": "n"}, "archive": {"url": "https://example.org/"}}.get(table, {})
        default = getattr(MODELS[table](**given), name)
        if "default" in key:
            assert getattr(MODELS[table](**given, **{name: key["default"]}), name) == default, name
        elif name not in ("url", "filters"):
            assert default in (None, ()), name


VALUES = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "a",
            "a\nb",
            "today",
            "NOW",
            "-3d",
            "-3x",
            "2019-02-01",
            "2019-13-01",
            "optical",
            "Optical",
            "sar",
            "crc",
            "auto",
            "24h",
            "h24",
            "20MB",
            "20Mb",
            "VV",
            "VV+XX",
            "vv, vh",
            "30UXC",
            "99UXC",
            "{id}",
            "{start:%Y}/{id}",
            "{nothing}/{id}",
            "/{id}",
            "x",
            "area.geojson",
            "area.exe",
            "sedas",
            "sandbox",
            "http://example.org/",
            "http://localhost:8080/api/",
            "https://u:p@example.org/",
            "ascending",
            "newest",
            "POINT (1 2)",
        ]
    ),
    st.integers(-5, 400),
    st.sampled_from([0.5, -0.5, 99.5, 1e6]),
    st.booleans(),
    st.lists(st.sampled_from(["a", "", 1, 51.5, -200, True, "30UXC"]), max_size=5),
    st.just({}),
    st.sampled_from([{"maxCloudPercent": 101}, {"maxCloudPercent": 5}, {"x": [1, "a"]}]),
    st.just(date(2019, 5, 1)),
)
TABLES = [
    *(((name,), name) for name in ("archive", "mirror", "transfer")),
    *((("aoi", name), "aoi") for name in "abc"),
    *((("dataset", name), "dataset") for name in ("optical", "radar", "named")),
]
SLOTS = [
    *((*path, key) for path, table in TABLES for key in (*keys_of(MODELS[table]), "unknown")),
    *((name,) for name in ("version", "unknown", "aoi", "dataset", "archive")),
]
OF_OTHER_TABLES = (
    *("aoi", "archive", "start", "end", "sensor", "satellite", "source_group"),
    *("instrument", "product_type", "tile", "polarisation", "filters", "recheck"),
)
NOT_IN_THE_SCHEMA = {
    # References to other tables, geometry and contradictions: only `validate` reports these.
    ("mirror", "path"),
    ("mirror", "layout"),
    ("archive", "url"),
    ("archive", "trusted_hosts"),
    *(("aoi", name, key) for name in "abc" for key in ("wkt", "bbox", "point", "radius_km")),
    *(("dataset", name, key) for name in ("optical", "radar") for key in OF_OTHER_TABLES),
    ("dataset", "named", "archive"),
}


def changed(slot, value, *, remove):
    tree = deepcopy(ALL)
    place = tree
    for part in slot[:-1]:
        place = place[part]
    if remove:
        place.pop(slot[-1], None)
    else:
        place[slot[-1]] = value
    return tree


@settings(deadline=None)
@given(slot=st.sampled_from(SLOTS), value=VALUES, remove=st.sampled_from([False, False, False, True]))
def test_schema_agrees_with_the_parser_on_any_change(slot, value, remove):
    tree = changed(slot, value, remove=remove)
    parsed = parser_accepts(tree)
    if parsed:
        assert schema_accepts(tree), [error.message for error in VALIDATOR.iter_errors(plain(tree))]
    elif isinstance(value, float) and value.is_integer():
        pass  # JSON Schema calls 5.0 an integer; the parser does not
    elif slot not in NOT_IN_THE_SCHEMA and slot[-1] not in ("aoi", "archive"):
        assert not schema_accepts(tree), (slot, value)


@pytest.mark.parametrize(
    ("slot", "value"),
    [
        (("dataset", "optical", "max_cloud"), 5),
        (("dataset", "optical", "sensor"), "radar"),
        (("dataset", "optical", "start"), "yesterday"),
        (("dataset", "radar", "max_cloud_cover"), 5),
        (("dataset", "radar", "tile"), "30UXC"),
        (("dataset", "named", "start"), date(2019, 5, 1)),
        (("dataset", "optical", "filters"), {"maxCloudPercent": 101}),
        (("mirror", "layout"), "{nothing}/{id}"),
        (("mirror", "layout"), "fixed"),
        (("archive", "url"), "http://example.org/api/"),
        (("archive", "url"), "https://me:secret@example.org/api/"),
        (("archive", "type"), "sedass"),
        (("archive", "password"), "secret"),
        (("aoi", "a", "bbox"), [1, 2, 3, 4]),
        (("aoi", "b", "bbox"), [1, 2, 3]),
        (("aoi", "c"), {"point": [1, 2]}),
        (("aoi", "not plain"), {"bbox": [1, 2, 3, 4]}),
        (("transfer", "order_timeout"), "a day"),
        (("transfer", "max_rate"), "20Mb"),
        (("archives",), {"x": {}}),
    ],
)
def test_common_mistakes_do_not_match(slot, value):
    tree = changed(slot, value, remove=False)
    assert not parser_accepts(tree)
    assert not schema_accepts(tree)


def test_dataset_must_name_one_of_several_archives():
    tree = {**ALL, "archives": {"x": {}, "y": {"type": "sandbox"}}}
    del tree["archive"]
    assert not schema_accepts(tree)
    assert not parser_accepts(tree)


def test_keys_of_an_archive_type_are_its_own():
    class ShelfConfig(ArchiveConfig):
        folder: str

    kind = ArchiveType(name="shelf", opener="nowhere:open", config=ShelfConfig)
    validator = jsonschema.Draft7Validator(manifest_schema({**BUILT_IN, "shelf": kind}))
    dataset = {"n": {"products": ["X"]}}

    def takes(**archive):
        return validator.is_valid({"version": 1, "archive": archive, "dataset": dataset})

    assert takes(type="shelf", folder="/data")
    assert not takes(type="shelf")
    assert not takes(type="shelf", folder=5)
    assert not takes(type="shelf", folder="/data", url="https://example.org/")
    assert not takes(type="sedas", folder="/data")
    assert not takes(folder="/data")


def test_archive_type_without_a_schema_is_left_out():
    class OddConfig(ArchiveConfig):
        call: Callable[[], int] = int

    odd = ArchiveType(name="odd", opener="nowhere:open", config=OddConfig)
    assert manifest_schema({**BUILT_IN, "odd": odd}) == SCHEMA


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_examples_match(file):
    assert [error.message for error in VALIDATOR.iter_errors(plain(tomli.loads(file.read_text())))] == []


def test_taplo_accepts_the_examples(tmp_path):
    """Taplo is the TOML tool of several editors."""
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('version = 1\n[dataset.d]\naoi = "a"\nstart = 2019-05-01\nmax_cloud = 5\n')
    taplo = [str(Path(sys.executable).parent / "taplo"), "lint", "--schema", (tmp_path / "schema.json").as_uri()]
    taken = subprocess.run([*taplo, *map(str, EXAMPLES)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert taken.returncode == 0, taken.stderr
    refused = subprocess.run([*taplo, str(wrong)], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert refused.returncode != 0
    assert "max_cloud" in refused.stderr
