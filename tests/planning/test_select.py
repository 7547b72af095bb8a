"""From answers to wants: every rule, with its numbers, and what holds for any answers."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifests import read_area

from sedas_sync.archives.registry import TYPES
from sedas_sync.geometry.query_polygons import query_polygons
from sedas_sync.manifest import parse
from sedas_sync.model.scene import Scene
from sedas_sync.planning.filters import polarisations
from sedas_sync.planning.match import exclusion
from sedas_sync.planning.select import queries, select

NOW = datetime(2019, 6, 1, 12, 30, tzinfo=UTC)
SQUARE = "POLYGON((-2 51,-1 51,-1 52,-2 52,-2 51))"
FAR = "POLYGON((10 51,11 51,11 52,10 52,10 51))"


def manifest(rules, *, extra=""):
    text = f"""
        version = 1
        [aoi.box]
        bbox = [-1.6, 51.4, -1.4, 51.6]
        [dataset.d]
        aoi = "box"
        start = 2019-05-01
        end = 2019-05-31
        {rules}
        {extra}
    """
    return parse(text, source="m.toml", read_area=read_area, types=TYPES, now=NOW)


def scene(**facts):
    given_facts = {
        "id": "S",
        "start": datetime(2019, 5, 6, 11, 6, 21, tzinfo=UTC),
        "footprint": SQUARE,
        "sensor": "optical",
        "cloud_cover": 20.0,
        "download_url": "https://example.org/S.zip",
    }
    return Scene(**{**given_facts, **facts})


def why(rules, of):
    made = manifest(rules)
    return exclusion(made.datasets["d"], made.aois, of, NOW)


S2 = "S2A_MSIL1C_20190506T110621_N0207_R137_T30UXC_20190506T131402"
S1 = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"


@pytest.mark.parametrize(
    ("rules", "of", "rule", "detail"),
    [
        ("", scene(start=None), "date", "has no acquisition time"),
        ("", scene(start=datetime(2019, 4, 30, 23, 59, 59, tzinfo=UTC)), "date", "acquired 2019-04-30T23:59:59Z"),
        (
            "",
            scene(start=datetime(2019, 6, 1, tzinfo=UTC)),
            "date",
            "wanted 2019-05-01T00:00:00Z to 2019-05-31T23:59:59Z",
        ),
        ("", scene(footprint=FAR), "aoi", "does not meet box"),
        ('sensor = "sar"', scene(), "sensor", "sensor is optical, wanted sar"),
        ("max_cloud_cover = 10", scene(), "cloud", "cloud cover is 20 %, at most 10 % wanted"),
        ('satellite = "Sentinel-2A"', scene(satellite="Sentinel-2B"), "satellite", "Sentinel-2B, wanted Sentinel-2A"),
        ('product_type = "L1C"', scene(product_type="L3"), "product_type", "L3, wanted L1C"),
        ('orbit_direction = "ascending"', scene(orbit_direction="DESCENDING"), "orbit_direction", "wanted ASCENDING"),
        ('orbit_direction = "ascending"', scene(), "orbit_direction", "unknown"),
        ('polarisation = "VV+VH"', scene(sensor="sar", polarisation="HH"), "polarisation", "is HH, wanted VV+VH"),
        ('tile = "30UXC"', scene(id=S2.replace("30UXC", "30UWC")), "tile", "tile is 30UWC, wanted 30UXC"),
        ("relative_orbit = 94", scene(id=S2), "relative_orbit", "relative_orbit is 137, wanted 94"),
        ('source_group = "S1"', scene(source_group="S2"), "source_group", "source_group is S2, wanted S1"),
        ('instrument = "C-SAR"', scene(instrument="MSI"), "instrument", "instrument is MSI, wanted C-SAR"),
        ('instrument = "MSI"', scene(), "instrument", "instrument is unknown, wanted MSI"),
        ('instrument = "OLI/TIRS"', scene(instrument="OLI"), "instrument", "instrument is OLI, wanted OLI/TIRS"),
        (
            "min_aoi_coverage = 60",
            scene(footprint="POLYGON((-1.5 51,-1 51,-1 52,-1.5 52,-1.5 51))"),
            "coverage",
            "covers 50.0 %",
        ),
        ("min_aoi_coverage = 60", scene(footprint=None), "coverage", "no footprint to measure"),
        ('exclude = ["S2B_*", "S"]', scene(), "exclude", "excluded by 'S'"),
    ],
)
def test_each_rule_leaves_out_with_its_numbers(rules, of, rule, detail):
    found = why(rules, of)
    assert found is not None
    assert found.rule == rule
    assert detail in found.detail


@pytest.mark.parametrize(
    ("rules", "of"),
    [
        ("", scene()),
        ("", scene(start=datetime(2019, 5, 1, tzinfo=UTC))),
        ("", scene(start=datetime(2019, 5, 31, 23, 59, 59, tzinfo=UTC))),
        ("", scene(footprint=None)),
        ("max_cloud_cover = 20", scene()),
        ("max_cloud_cover = 10", scene(cloud_cover=None)),
        ("max_cloud_cover = 10", scene(sensor="sar", cloud_cover=90.0)),
        ('sensor = "optical"', scene(sensor=None)),
        ('polarisation = "VV"', scene(sensor="sar", id=S1)),
        ('polarisation = "VH+VV"', scene(sensor="sar", polarisation="VV/VH/HH")),
        ('tile = "30UXC"\n relative_orbit = 137', scene(id=S2)),
        ('product_type = "grd"', scene(sensor="sar", product_type="GRD")),
        ('source_group = "UK ARD"', scene(source_group="S2")),
        ('satellite = "S2A"', scene(satellite="Sentinel-2A")),
        ('satellite = "sentinel-2a"', scene(satellite="S2A")),
        ("min_aoi_coverage = 99", scene()),
        *(
            (f'instrument = "{wanted}"', scene(instrument=stated))
            for wanted in ("SAR-C", "c-sar", "SAR-C SAR")
            for stated in ("SAR-C SAR", "SAR", "c-sar", "C-SAR")
        ),
        ('instrument = "msi"', scene(instrument="MSI")),
        ('instrument = "OLCI"', scene(instrument="olci/slstr")),
    ],
)
def test_a_scene_within_the_rules_matches(rules, of):
    assert why(rules, of) is None


def test_a_definite_reason_comes_before_one_that_cannot_be_judged():
    rules = 'instrument = "MSI"\norbit_direction = "ascending"\nmax_cloud_cover = 10'
    assert (why(rules, scene()).rule, why(rules, scene()).unknown) == ("cloud", False)
    found = why(rules, scene(cloud_cover=5.0))
    assert (found.rule, found.unknown) == ("orbit_direction", True)


def test_several_aois_are_one_region_but_coverage_is_of_one_of_them():
    made = manifest(
        "",
        extra='[aoi.far]\nbbox = [10.2, 51.2, 10.4, 51.4]\n[dataset.e]\naoi = ["box", "far"]\n'
        "start = 2019-05-01\nend = 2019-05-31\nmin_aoi_coverage = 90",
    )
    assert exclusion(made.datasets["e"], made.aois, scene(footprint=FAR), NOW) is None
    near, far = queries(made.datasets["e"], query_polygons([made.aois[name].geometry for name in ("box", "far")]), NOW)
    assert (near.min_aoi_coverage, far.min_aoi_coverage) == (90, 90)


def test_latest_keeps_the_newest_and_says_the_place_of_the_others():
    made = manifest("latest = 2")
    days = [scene(id=f"S{day}", start=datetime(2019, 5, day, tzinfo=UTC)) for day in (3, 1, 4, 2)]
    planned = scene(id="P", start=datetime(2019, 5, 9, tzinfo=UTC), planned=True, download_url=None)
    result = select(made, {"d": [*days, planned]}, NOW, explain=True)
    assert set(result.wants) == {"S3", "S4", "P"}
    assert result.excluded["S1"]["d"].detail == "number 4 by age, the newest 2 wanted"


def test_reprocessed_newest_keeps_one_baseline_of_an_acquisition_and_all_of_others():
    newer = "S2A_MSIL1C_20190506T110621_N0500_R137_T30UXC_20230401T120000"
    other = S2.replace("30UXC", "30UWC")
    made = manifest('reprocessed = "newest"\n latest = 2')
    result = select(made, {"d": [scene(id=name) for name in (S2, newer, other, "odd")]}, NOW, explain=True)
    assert S2 not in result.wants
    assert result.excluded[S2]["d"].detail == f"superseded by {newer} (baseline 0500)"
    assert result.excluded[S2]["d"].by == (newer,)
    assert len(result.wants) == 2, "what is superseded does not take one of the places of `latest`"
    assert set(select(manifest(""), {"d": [scene(id=S2), scene(id=newer)]}, NOW).wants) == {S2, newer}


def test_one_scene_that_two_datasets_want_is_one_want_at_the_path_of_the_first():
    made = manifest(
        "", extra='[dataset.e]\naoi = "box"\nstart = 2019-05-01\nend = 2019-05-31\n[mirror]\nlayout = "{dataset}/{id}"'
    )
    result = select(made, {"e": [scene()], "d": [scene()]}, NOW)
    assert result.wants["S"].datasets == ("d", "e")
    assert result.wants["S"].path == "d/S.zip"


def test_scenes_whose_names_differ_only_in_case_are_kept_apart_and_stay_so():
    made = manifest("")

    def paths(*names):
        wants = select(made, {"d": [scene(id=name) for name in names]}, NOW).wants
        return {name: want.path for name, want in wants.items()}

    assert paths("Case", "cASE", "other") == paths("other", "cASE", "Case")
    assert len({path.casefold() for path in paths("Case", "cASE").values()}) == 2
    assert paths("other") == {"other": "other.zip"}


def test_a_footprint_that_makes_no_sense_is_a_warning_and_no_scene():
    result = select(manifest(""), {"d": [scene(footprint="POLYGON((what))")]}, NOW)
    assert not result.wants
    assert "not in dataset d" in result.warnings[0]


def test_named_products_need_no_dates_and_take_nothing_else():
    made = parse(
        f'version = 1\n[dataset.n]\nproducts = ["{S1}"]',
        source="m.toml",
        read_area=read_area,
        types=TYPES,
    )
    result = select(made, {"n": [scene(id=S1), scene(id="other")]}, NOW)
    assert set(result.wants) == {S1}


def test_polarisations_are_read_from_the_catalogue_or_else_from_the_name():
    assert polarisations(scene(polarisation="VV/VH")) == ("VV", "VH")
    assert polarisations(scene(id=S1)) == ("VV", "VH")
    assert polarisations(scene(polarisation="hh hv")) == ("HH", "HV")


def test_a_query_says_what_the_dataset_says():
    made = manifest(
        'sensor = "optical"\n max_cloud_cover = 30\n satellite = "Sentinel-2A"\n filters = { minCloudPercent = 2 }'
    )
    (query,) = queries(made.datasets["d"], query_polygons([made.aois["box"].geometry]), NOW)
    assert (query.sensor, query.max_cloud_cover, query.satellite) == ("optical", 30, "Sentinel-2A")
    assert dict(query.filters) == {"minCloudPercent": 2}
    assert query.start == datetime(2019, 5, 1, tzinfo=UTC)


instants = st.integers(min_value=-3, max_value=40).map(
    lambda days: datetime(2019, 4, 29, tzinfo=UTC) + timedelta(days=days)
)
offered = st.builds(
    scene, id=st.sampled_from("ABCDEFGH"), start=instants, cloud_cover=st.none() | st.floats(0, 100),
    sensor=st.sampled_from(["optical", "sar"]), footprint=st.sampled_from([SQUARE, FAR]),
)  # fmt: skip


@given(st.lists(offered, unique_by=lambda s: s.id), st.integers(1, 4), st.floats(0, 100))
def test_selection_agrees_with_a_plain_filter(scenes, latest, clouds):
    made = manifest(f"latest = {latest}\n max_cloud_cover = {clouds}")
    fits = [
        s for s in scenes
        if s.footprint == SQUARE
        and datetime(2019, 5, 1, tzinfo=UTC) <= s.start < datetime(2019, 6, 1, tzinfo=UTC)
        and (s.sensor == "sar" or s.cloud_cover is None or s.cloud_cover <= clouds)
    ]  # fmt: skip
    newest = sorted(fits, key=lambda s: (s.start, s.id))[-latest:]
    assert set(select(made, {"d": scenes}, NOW).wants) == {s.id for s in newest}
