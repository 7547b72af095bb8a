"""The generated catalogue: orbits, names, filters, and that it never changes."""

import csv
import gzip
import json
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib.resources import files
from itertools import pairwise

import mgrs
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_catalogue import pictures, table
from sandbox_catalogue import rows as computed_rows
from sandbox_client import HARWELL, NOW, WORLD
from sandbox_orbits import FLEET, SENTINEL_1, SENTINEL_2, ground, node_longitude, strip
from sandbox_regions import LANDS
from sandbox_regions import shape as land
from shapely.geometry import Point, Polygon, box

from sedas_sync.sandbox import SentinelCatalogue
from sedas_sync.sandbox.frames import COLUMNS, REGIONS, SATELLITES, TABLE, load_frames
from sedas_sync.sandbox.recordings import archived_only
from sedas_sync.sandbox.search import BadRequestError, _aoi, parse_search
from sedas_sync.sandbox.sentinel import EXAMPLE

CATALOGUE = SentinelCatalogue()
CATALOGUE._digest = lambda _hit: ""  # true digests cost most of a long answer's time, and are tested with products
BRITAIN = "POLYGON((-11 49,3 49,3 61,-11 61,-11 49))"
SLICE = re.compile(
    r"(S1[AB])_IW_(GRDH|SLC_)_1S([DS])([VH])_(\d{8}T\d{6})_(\d{8}T\d{6})_(\d{6})_([0-9A-F]{6})_([0-9A-F]{4})"
)
TILE = re.compile(r"(S2[AB])_MSIL1C_(\d{8}T\d{6})_N(\d{4})_R(\d{3})_T(\d\d[C-X][A-Z]{2})_(\d{8}T\d{6})")


def query(wkt=WORLD, start="2019-04-30T00:00:00Z", stop="2019-05-12T23:59:59Z", sensor="All", more=None, **filters):
    body = {"sensorFilters": {"type": sensor}, "filters": filters, "aoiWKT": wkt, "start": start, "stop": stop}
    return parse_search({**body, **(more or {})})


def rows(*args, now=NOW, **more):
    search = query(*args, **more)
    return [json.loads(text) for text in CATALOGUE.rows(CATALOGUE.find(search, now), search)]


def ids(*args, now=NOW, **more):
    return [hit.id for hit in CATALOGUE.find(query(*args, **more), now)]


def moment(text):
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)


# -- orbits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("short", "orbit", "relative", "when"),
    [
        ("S1A", 27968, 71, "2019-07-04T13:51"),  # Ridgecrest
        ("S1B", 16443, 142, "2019-05-28T10:50"),  # the original client's example
        ("S2A", 734, 22, "2015-08-13T10:20"),  # among the first published
        ("S2A", 20297, 137, "2019-05-12T11:06"),
    ],
)
def test_orbit_numbers_are_those_of_published_products(short, orbit, relative, when):
    satellite = next(craft for craft in FLEET if craft.short == short)
    assert satellite.relative(orbit) == relative
    seconds = datetime.fromisoformat(f"{when}:30+00:00").timestamp() - satellite.node(orbit)
    assert 0 <= seconds < satellite.mission.period


def test_a_published_radar_scene_lies_where_it_was():
    """S1A_IW_SLC__1SDV_20190704T135158_20190704T135225_027968_032877_1C4D shows Ridgecrest."""
    begin = datetime(2019, 7, 4, 13, 51, 58, tzinfo=UTC).timestamp() - FLEET[0].node(27968)
    ring = strip(SENTINEL_1, 71, begin, begin + 27, step=27, around=-117)
    assert Polygon(ring).contains(Point(-117.6, 35.77))


def test_published_optical_scenes_are_in_the_catalogue():
    """S2B_MSIL1C_20230526T110629_N0509_R137_T30UXC_20230526T114909 and its neighbour T30UYC."""
    found = ids(BRITAIN, "2023-05-26T11:06:29Z", "2023-05-26T11:06:29Z", "Optical")
    for tile in ("T30UXC", "T30UYC"):
        assert any(name.startswith(f"S2B_MSIL1C_20230526T110629_N0509_R137_{tile}_") for name in found)


@pytest.mark.parametrize("mission", [SENTINEL_1, SENTINEL_2], ids=["S1", "S2"])
def test_satellites_of_a_mission_are_half_a_cycle_apart_on_the_same_tracks(mission):
    first, second = (craft for craft in FLEET if craft.mission is mission)
    for relative in (1, 37, mission.orbits):
        apart = second.node(second.orbit_on(relative)) - first.node(first.orbit_on(relative))
        assert apart % mission.cycle == pytest.approx(mission.cycle / 2, abs=1e-3)


@pytest.mark.parametrize("mission", [SENTINEL_1, SENTINEL_2], ids=["S1", "S2"])
def test_tracks_repeat_evenly_around_the_world(mission):
    longitudes = sorted(node_longitude(mission, relative) % 360 for relative in range(1, mission.orbits + 1))
    gaps = [b - a for a, b in pairwise([*longitudes, longitudes[0] + 360])]
    assert gaps == pytest.approx([360 / mission.orbits] * mission.orbits, abs=1e-3)


def test_ground_tracks_reach_the_latitude_of_their_inclination():
    top = max(ground(SENTINEL_1, 1, second)[1] for second in range(0, 3000, 5))
    assert top == pytest.approx(180 - 98.18, abs=0.1)


def test_products_are_recorded_at_the_local_time_of_their_orbit():
    checked = set()
    for row in rows(start="2019-06-01T00:00:00Z", stop="2019-06-12T23:59:59Z"):
        lon = shapely.from_wkt(row["coordinatesWKT"]).representative_point().x
        start = datetime.fromisoformat(row["start"])
        local = (start.hour + start.minute / 60 + lon / 15) % 24
        if abs(shapely.from_wkt(row["coordinatesWKT"]).centroid.y) > 62:
            continue  # near the pole local time runs wild
        low, high = {
            ("Optical", "DESCENDING"): (9.5, 12),
            ("SAR", "DESCENDING"): (5, 7.5),
            ("SAR", "ASCENDING"): (17, 19.5),
        }[row["sensorType"], row["orbitDirection"]]
        if row["supplierId"] != EXAMPLE:
            assert low < local < high, row["supplierId"]
            checked.add((row["sensorType"], row["orbitDirection"]))
    assert checked == {("Optical", "DESCENDING"), ("SAR", "DESCENDING"), ("SAR", "ASCENDING")}


# -- names and footprints ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["2019-03-01", "2021-08-01", "2024-07-01"])
def test_names_say_what_the_rows_say(start):
    seen = Counter()
    for row in rows(start=f"{start}T00:00:00Z", stop=f"{start[:8]}05T23:59:59Z"):
        name = row["supplierId"]
        begin = datetime.fromisoformat(row["start"])
        if match := SLICE.fullmatch(name):
            unit, kind, count, sent, first, last, orbit, _, _ = match.groups()
            assert row["productType"] == kind[:3]
            assert row["polarisation"] == {"DV": "VV/VH", "DH": "HH/HV", "SV": "VV", "SH": "HH"}[count + sent]
            assert (moment(first), moment(last)) == (begin, datetime.fromisoformat(row["stop"]))
            assert (moment(last) - begin).seconds == (25 if kind == "GRDH" else 27)
            assert row["orbit"] == int(orbit)
        else:
            unit, first, baseline, relative, _, processed = TILE.fullmatch(name).groups()
            satellite = next(craft for craft in FLEET if craft.short == unit)
            assert satellite.relative(row["orbit"]) == int(relative)
            assert moment(first) == begin < moment(processed)
            assert baseline in {"0207", "0301", "0500", "0510"}
        assert row["satelliteName"][-2:] == unit[1:]
        seen[unit] += 1
    assert set(seen) == ({"S1A", "S1B", "S2A", "S2B"} if start < "2022" else {"S1A", "S2A", "S2B"})


def test_names_are_unique():
    found = ids(start="2020-01-01T00:00:00Z", stop="2020-03-31T23:59:59Z")
    assert len(found) == len(set(found)) > 5000


def test_tiles_of_a_datatake_share_its_start():
    starts = {}
    for row in rows(BRITAIN, sensor="Optical"):
        starts.setdefault((row["satelliteName"], row["orbit"]), set()).add(row["start"])
    assert len(starts) > 10
    assert all(len(times) == 1 for times in starts.values())


def test_tile_names_are_the_squares_they_cover():
    reference = mgrs.MGRS()
    for row in rows(start="2019-05-01T00:00:00Z", stop="2019-05-03T23:59:59Z", sensor="Optical"):
        tile = TILE.fullmatch(row["supplierId"])[5]
        shape = shapely.from_wkt(row["coordinatesWKT"])
        lat, lon = reference.toLatLon(f"{tile}5000050000")
        if row["area"] > 1.19e10:  # a whole tile holds the middle of its square
            assert shape.contains(Point(lon, lat))


REACH = {
    "britain": [box(-18, 47, 9, 64)],
    "fiji": [box(172, -23, 180, -12), box(-180, -23, -174, -12)],
    "svalbard": [box(-15, 72, 60, 85)],
}


def frames(region):
    return [frame for over in load_frames().over for frame in over if frame.region.name == region]


@pytest.mark.parametrize("region", REGIONS)
def test_footprints_are_sound_and_where_they_should_be(region):
    made = [frame for frame in frames(region) if not frame.planned]
    assert len({(f.satellite, f.relative, f.direction, f.kind, f.offset, f.tile) for f in made}) == len(made)
    for frame in made:
        shape = frame.footprint.shape
        assert shape.is_valid
        for part in getattr(shape, "geoms", [shape]):
            assert any(reach.covers(part) for reach in REACH[region])
        if frame.tile is None:
            assert 3.5e10 < frame.footprint.area < 5.5e10  # 250 km by 170 km
        else:
            assert 4e8 < frame.footprint.area < 1.23e10  # at most 109.8 km squared, and the map's scale


@pytest.mark.parametrize("place", LANDS, ids=lambda place: place.region)
@pytest.mark.parametrize("group", ["S1", "S2"])
def test_all_land_is_recorded(place, group):
    recorded = [frame for frame in frames(place.region) if frame.satellite.group == group]
    whole = shapely.union_all([frame.footprint.shape for frame in recorded])
    for outline in land(place).geoms:
        for lon, lat in outline.exterior.coords:
            assert whole.buffer(1e-6).contains(Point((lon + 180) % 360 - 180, lat))


def test_the_table_is_what_the_script_computes():
    """Only footprints may differ a little between versions of GEOS and PROJ."""
    with files("sedas_sync.sandbox").joinpath("data", TABLE).open("rb") as packed, gzip.open(packed, "rt") as text:
        shipped = list(csv.DictReader(text))
    computed = [{name: str(row[name]) for name in COLUMNS} for row in computed_rows()]
    assert len(shipped) == len(computed) > 2000
    for ours, theirs in zip(shipped, computed, strict=True):
        first, second = shapely.from_wkt(ours.pop("footprint")), shapely.from_wkt(theirs.pop("footprint"))
        assert first.symmetric_difference(second).area < 1e-6 * first.area
        assert float(ours.pop("area")) == pytest.approx(float(theirs.pop("area")), rel=1e-6)
        assert ours == theirs


def test_the_script_writes_the_same_bytes_each_time():
    assert table() == table()
    assert dict(pictures()) == dict(pictures())


def test_the_table_repeats_as_the_orbits_do():
    for craft in FLEET:
        satellite = SATELLITES[craft.short]
        assert (satellite.cycle, satellite.orbits) == (craft.mission.cycle, craft.mission.orbits)
        assert satellite.group == craft.mission.name


def test_scenes_across_the_antimeridian_are_cut_there():
    found = [row for row in rows() if row["coordinatesWKT"].startswith("MULTIPOLYGON(((")]
    assert found
    for row in found:
        west, _, east, _ = shapely.from_wkt(row["coordinatesWKT"]).bounds
        assert (west, east) == (-180, 180)
    west_side = "POLYGON((179 -18,180 -18,180 -16,179 -16,179 -18))"
    east_side = "POLYGON((-180 -18,-179 -18,-179 -16,-180 -16,-180 -18))"
    assert set(ids(west_side)) & set(ids(east_side))


def test_svalbard_has_no_optical_scenes_in_the_polar_night():
    svalbard = "POLYGON((10 76,30 76,30 81,10 81,10 76))"
    winter = rows(svalbard, "2019-12-01T00:00:00Z", "2019-12-20T00:00:00Z")
    summer = rows(svalbard, "2019-06-01T00:00:00Z", "2019-06-20T00:00:00Z")
    assert {row["sensorType"] for row in winter} == {"SAR"}
    assert {row["sensorType"] for row in summer} == {"SAR", "Optical"}
    assert {row["polarisation"] for row in winter} <= {"HH/HV", "HH"}


# -- what is there -----------------------------------------------------------------------------------------------------


def test_the_fortnight_at_harwell_has_something_of_everything():
    found = rows(HARWELL)
    optical = [row for row in found if row["sensorType"] == "Optical"]
    assert len({row["start"] for row in optical}) == 6
    assert 3 <= sum(row["cloudCoveragePercent"] <= 50 for row in optical) < len(optical)
    assert {row["productType"] for row in found} == {"L1C", "GRD", "SLC"}
    for kind in ("L1C", "GRD", "SLC"):
        assert {"downloadUrl" in row for row in found if row["productType"] == kind} == {True, False}
    assert all(row["aoiCoveragePercent"] == 100 for row in found)
    assert len(found) == 25


def test_counts_do_not_change():
    assert len(ids(BRITAIN, "2019-01-01T00:00:00Z", "2019-12-31T23:59:59Z")) == COUNTS["britain"]
    assert len(ids("POLYGON((170 -22,180 -22,180 -12,170 -12,170 -22))")) == COUNTS["fiji"]
    assert len(ids("POLYGON((10 76,30 76,30 81,10 81,10 76))")) == COUNTS["svalbard"]


COUNTS = {"britain": 26859, "fiji": 120, "svalbard": 1311}


def test_a_third_is_in_the_long_term_archive():
    found = rows(start="2020-05-01T00:00:00Z", stop="2020-05-20T00:00:00Z")
    share = sum("downloadUrl" not in row for row in found) / len(found)
    assert 0.30 < share < 0.37
    assert all(("downloadUrl" not in row) == archived_only(row["supplierId"]) for row in found)


def test_clouds_are_as_over_britain():
    clouds = [
        row["cloudCoveragePercent"] for row in rows(BRITAIN, "2020-01-01T00:00:00Z", "2020-03-31T00:00:00Z", "Optical")
    ]
    assert 45 < sum(clouds) / len(clouds) < 75
    assert min(clouds) == 0
    assert max(clouds) == 100


def test_some_scenes_have_been_processed_again():
    found = ids(BRITAIN, "2019-01-01T00:00:00Z", "2019-06-30T00:00:00Z", "Optical")
    again = {re.sub(r"_N\d{4}", "", name)[:-16] for name in found if "_N0500_" in name}
    before = {re.sub(r"_N\d{4}", "", name)[:-16] for name in found if "_N0500_" not in name}
    assert 0.02 * len(before) < len(again) < 0.15 * len(before)
    assert again < before


def test_sentinel_1b_ends_with_2021():
    late = {row["satelliteName"] for row in rows(HARWELL, "2021-12-23T00:00:00Z", "2022-03-01T00:00:00Z", "SAR")}
    early = {row["satelliteName"] for row in rows(HARWELL, "2021-12-01T00:00:00Z", "2021-12-22T23:59:59Z", "SAR")}
    assert late == {"Sentinel-1A"}
    assert early == {"Sentinel-1A", "Sentinel-1B"}


def test_the_archive_ends_with_yesterday():
    at = datetime(2021, 6, 15, 13, 0, tzinfo=UTC).timestamp()
    found = rows(start="2021-06-10T00:00:00Z", stop="2021-06-15T13:00:00Z", now=at)
    assert max(row["start"] for row in found)[:10] == "2021-06-14"
    assert not ids(start="2018-01-01T00:00:00Z", stop="2018-12-31T23:59:59Z")


def test_the_same_catalogue_in_another_process():
    code = (
        "from sedas_sync.sandbox import SentinelCatalogue as C;"
        "from sedas_sync.sandbox.search import parse_search as p;"
        f"s=p({{'sensorFilters':{{'type':'All'}},'aoiWKT':{HARWELL!r},'start':'2019-04-30T00:00:00Z','stop':'2019-05-12T23:59:59Z'}});"
        f"c=C();print('\\n'.join(c.rows(c.find(s,{NOW}),s)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    search, fresh = query(HARWELL), SentinelCatalogue()
    assert said.splitlines() == fresh.rows(fresh.find(search, NOW), search)


# -- planned -----------------------------------------------------------------------------------------------------------


def test_a_search_into_the_future_mixes_in_planned_acquisitions():
    at = datetime(2021, 6, 15, 13, 0, tzinfo=UTC).timestamp()
    found = rows(BRITAIN, "2021-06-13T00:00:00Z", "2022-06-15T13:00:00Z", now=at)
    planned = [row for row in found if row["type"] == "PLANNEDACQ"]
    assert len(planned) < len(found)
    assert {"acqPlanId" in row for row in planned} == {"supplierId" in row for row in planned} == {True, False}
    assert all("downloadUrl" not in row and ("acqPlanId" in row) != ("supplierId" in row) for row in planned)
    assert min(row["start"] for row in planned) > "2021-06-15T13:00:00Z"
    assert "2021-06-28" < max(row["start"] for row in planned) <= "2021-06-29T13:00:00Z"
    assert {row["sensorType"] for row in planned} == {"SAR", "Optical"}
    assert all(shapely.from_wkt(row["coordinatesWKT"]).is_valid for row in planned)


def test_planned_acquisitions_become_scenes():
    at = datetime(2021, 6, 15, tzinfo=UTC).timestamp()
    planned = rows(HARWELL, "2021-06-15T00:00:00Z", "2021-06-25T00:00:00Z", "Optical", now=at)
    recorded = rows(HARWELL, "2021-06-15T00:00:00Z", "2021-06-25T00:00:00Z", "Optical", now=at + 20 * 86400)
    assert planned
    assert {row["start"] for row in planned} >= {row["start"] for row in recorded}


# -- search and look-up ------------------------------------------------------------------------------------------------


def test_every_scene_is_found_by_its_name():
    for row in rows(start="2020-02-28T00:00:00Z", stop="2020-03-01T23:59:59Z"):
        hit = CATALOGUE.look_up(row["supplierId"], NOW)
        assert hit is not None
        assert hit.start == datetime.fromisoformat(row["start"]).timestamp()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "S2A",
        EXAMPLE[:-1] + "E",
        "S2A_MSIL1C_20190512T110621_N0207_R137_T30UXC_20190512T133836",
        "S2A_MSIL1C_20191312T110621_N0207_R137_T30UXC_20190512T133835",
        "S2A_MSIL1C_20190512T110621_N0207_R999_T30UXC_20190512T133835",
        "S1A_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F",
    ],
)
def test_names_that_are_nearly_right_are_unknown(name):
    assert CATALOGUE.look_up(name, NOW) is None


def test_the_example_is_found_by_place_and_time():
    found = ids(HARWELL, "2019-05-28T10:50:30Z", "2019-05-28T10:50:30Z")
    assert found == [EXAMPLE]
    assert CATALOGUE.look_up(EXAMPLE, NOW)


EVERYTHING = rows(start="2019-04-28T00:00:00Z", stop="2019-05-14T23:59:59Z")


@settings(max_examples=25, deadline=None)
@given(
    lon=st.floats(-12, 3),
    lat=st.floats(49, 61),
    size=st.floats(0.01, 4),
    day=st.integers(1, 14),
    length=st.integers(0, 12 * 86400),
    sensor=st.sampled_from(["All", "SAR", "Optical"]),
    filters=st.fixed_dictionaries(
        {},
        optional={
            "maxCloudPercent": st.integers(0, 100),
            "opticalProductType": st.sampled_from(["ALL", "L1C", "ARD"]),
            "sarProductType": st.sampled_from(["ALL", "GRD", "SLC"]),
            "orbitDirection": st.sampled_from(["ALL", "ASCENDING", "DESCENDING"]),
            "polarisation": st.sampled_from(["VV", "VH", "HH"]),
        },
    ),
    more=st.fixed_dictionaries(
        {},
        optional={
            "satelliteName": st.sampled_from(["Sentinel-1B", "Sentinel-2A", "Landsat-8"]),
            "sourceGroup": st.sampled_from(["S1", "S2", "NovaSAR"]),
        },
    ),
)
def test_search_agrees_with_looking_at_every_row(lon, lat, size, day, length, sensor, filters, more):
    area = box(lon, lat, lon + size, lat + size)
    first = datetime(2019, 4, 28, tzinfo=UTC).timestamp() + 86400 * day
    last = min(first + length, datetime(2019, 5, 14, 23, 59, 59, tzinfo=UTC).timestamp())
    first = min(first, last)

    def fits(row):
        optical = row["sensorType"] == "Optical"
        group = "S2" if optical else "S1"
        wanted = {name: value for name, value in filters.items() if value != "ALL"}
        own = "opticalProductType" if optical else "sarProductType"
        return (
            area.intersects(shapely.from_wkt(row["coordinatesWKT"]))
            and first <= datetime.fromisoformat(row["start"]).timestamp() <= last
            and sensor in ("All", row["sensorType"])
            and (not optical or row["cloudCoveragePercent"] <= wanted.get("maxCloudPercent", 100))
            and wanted.get(own, row["productType"]) == row["productType"]
            and wanted.get("orbitDirection", row["orbitDirection"]) == row["orbitDirection"]
            and (optical or wanted.get("polarisation", "V")[:2] in row["polarisation"])
            and more.get("satelliteName", row["satelliteName"]) == row["satelliteName"]
            and more.get("sourceGroup", group) == group
        )

    def iso(seconds):
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    found = ids(area.wkt, iso(first), iso(last), sensor, more=more, **filters)
    assert sorted(found) == sorted(row["supplierId"] for row in EVERYTHING if fits(row))


@pytest.mark.parametrize("least", [1, 30, 60, 100])
def test_coverage_is_filtered_and_returned(least):
    wide = "POLYGON((-3 51,0 51,0 52.5,-3 52.5,-3 51))"
    area = shapely.from_wkt(wide)
    found = rows(wide, minCoveragePercent=least)
    everything = rows(wide)
    assert {row["supplierId"] for row in found} < {row["supplierId"] for row in everything} or least == 1
    for row in everything:
        shape = shapely.from_wkt(row["coordinatesWKT"])
        assert row["aoiCoveragePercent"] == pytest.approx(100 * shape.intersection(area).area / area.area, abs=1.5)
        assert row["usefulAreaPercent"] == pytest.approx(100 * shape.intersection(area).area / shape.area, abs=1.5)
        assert row["aoiCoveragePercent"] == int(row["aoiCoveragePercent"])
    kept = {row["supplierId"] for row in found}
    assert all(row["aoiCoveragePercent"] >= least - 0.5 for row in found)
    assert all(row["supplierId"] in kept for row in everything if row["aoiCoveragePercent"] > least)


def test_newest_first():
    starts = [row["start"] for row in rows(BRITAIN)]
    assert starts == sorted(starts, reverse=True)


# -- reading a search --------------------------------------------------------------------------------------------------

GOOD = {
    "sensorFilters": {"type": "All"},
    "filters": {},
    "aoiWKT": HARWELL,
    "start": "2019-04-30T00:00:00Z",
    "stop": "2019-05-12T23:59:59Z",
}


@pytest.mark.parametrize(
    "change",
    [
        {"sensorFilters": {}},
        {"sensorFilters": None},
        {"sensorFilters": {"type": "Radar"}},
        {"sensorFilters": {"type": "SAR", "x": 1}},
        {"filters": []},
        {"filters": {"limit": 3}},
        {"filters": {"maxCloudPercent": "50"}},
        {"filters": {"maxCloudPercent": 101}},
        {"filters": {"maxCloudPercent": True}},
        {"filters": {"sarProductType": "XXX"}},
        {"filters": {"opticalProductType": ""}},
        {"filters": {"orbitDirection": "ascending"}},
        {"filters": {"polarisation": "VX"}},
        {"filters": {"polarisation": 7}},
        {"aoiWKT": None},
        {"aoiWKT": ""},
        {"aoiWKT": "POINT(1 2)"},
        {"aoiWKT": "POLYGON((0 0,1 0,1 1))"},
        {"aoiWKT": "POLYGON((0 0,1 1,1 0,0 1,0 0))"},
        {"aoiWKT": "POLYGON((0 0,190 0,190 1,0 1,0 0))"},
        {"aoiWKT": "POLYGON EMPTY"},
        {"aoiWKT": "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))"},
        {"start": "2019-04-30"},
        {"start": "2019-02-30T00:00:00Z"},
        {"stop": "2019-05-12T23:59:59+01:00"},
        {"stop": None},
        {"stop": "2019-04-29T00:00:00Z"},
        {"satelliteName": ""},
        {"sourceGroup": 3},
        {"page": 2},
    ],
    ids=str,
)
def test_malformed_searches_are_refused(change):
    with pytest.raises(BadRequestError):
        parse_search({**GOOD, **change})


@pytest.mark.parametrize("body", [None, [], "x", 3])
def test_search_that_is_not_an_object_is_refused(body):
    with pytest.raises(BadRequestError):
        parse_search(body)


@pytest.mark.parametrize("wkt", ["POLYGON((0 0,1 0,1 1,0 0))", "polygon ((0 0, 1 0, 1 1, 0 0))", WORLD])
def test_polygons_are_read_as_people_write_them(wkt):
    assert parse_search({**GOOD, "aoiWKT": wkt}).aoi.area > 0


def test_queries_do_not_share_a_prepared_area():
    """GEOS ends the process if two threads use one prepared geometry, and clients search in several threads."""
    wkt = "POLYGON ((-1.4 51.5, -1.2 51.5, -1.2 51.6, -1.4 51.6, -1.4 51.5))"
    assert _aoi(wkt) is not _aoi(wkt)
