"""Searches of the SeDAS archive, against the sandbox and a scripted server."""

import collections
import contextlib
import copy
import json
import operator
import re
from datetime import UTC, datetime, timedelta

import pytest
from scripted_sedas import AOI, FROM, NAME, TO, UNUSABLE, WHOLE

from sedas_sync.archives.complete_search.windows import Window
from sedas_sync.archives.sedas import windowed_query
from sedas_sync.archives.sedas.query import search_body
from sedas_sync.archives.sedas.rows import to_time
from sedas_sync.archives.sedas.windowed_query import WindowedQuery
from sedas_sync.errors import ArchiveError, IncompleteSearch
from sedas_sync.model.scene import Query
from sedas_sync.sandbox import Sandbox
from sedas_sync.sandbox.catalogue import RowCatalogue, make_row
from sedas_sync.sandbox.faults import Faults


def query(**changes):
    return Query(aoi=AOI, start=to_time(FROM), stop=to_time(TO), **changes)


@pytest.mark.parametrize(
    ("changes", "sensor", "filters"),
    [
        ({}, "All", {}),
        ({"sensor": "optical", "max_cloud_cover": 50.0}, "Optical", {"maxCloudPercent": 50}),
        ({"sensor": "optical", "max_cloud_cover": 12.5}, "Optical", {"maxCloudPercent": 13}),
        ({"sensor": "all", "max_cloud_cover": 50}, "All", {}),
        ({"product_type": "L1C"}, "Optical", {"opticalProductType": "L1C"}),
        ({"product_type": "GRD"}, "SAR", {"sarProductType": "GRD"}),
        ({"product_type": "SCD"}, "All", {}),
        ({"orbit_direction": "ASCENDING"}, "All", {"orbitDirection": "ASCENDING"}),
        ({"polarisation": ("HV",)}, "All", {"polarisation": "HV"}),
        ({"polarisation": ("VV", "VH")}, "All", {}),
        ({"min_aoi_coverage": 10.9}, "All", {"minCoveragePercent": 9}),
        ({"min_aoi_coverage": 1.0}, "All", {}),
        (
            {"filters": {"maxCloudPercent": 5}, "max_cloud_cover": 50, "sensor": "optical"},
            "Optical",
            {"maxCloudPercent": 5},
        ),
    ],
)
def test_request_body_of_a_query(changes, sensor, filters):
    assert search_body(query(**changes)) == {
        "sensorFilters": {"type": sensor},
        "filters": filters,
        "aoiWKT": AOI,
        "start": FROM,
        "stop": TO,
    }


def test_satellite_and_group_are_sent_only_if_given():
    body = search_body(query(satellite="Sentinel-1A", source_group="S1"))
    assert (body["satelliteName"], body["sourceGroup"]) == ("Sentinel-1A", "S1")
    for name, group in (("Sentinel-2", "S2"), ("S2", "S2"), ("Pleiades", "Pleiades"), ("Cosmo-SkyMed", "Cosmo-SkyMed")):
        family = search_body(query(satellite=name))
        assert ("satelliteName" in family, family["sourceGroup"]) == (False, group)


def test_search_accepts_text_times_and_any_letter_case(sandbox, connect):
    archive = connect(sandbox.url)
    found = list(
        archive.search(
            AOI,
            FROM,
            datetime(2019, 5, 12, 23, 59, 59),  # noqa: DTZ001 - an instant without a zone is UTC
            sensor="OPTICAL",
        )
    )
    assert found
    assert {item.sensor for item in found} == {"optical"}
    with pytest.raises(ValueError, match="sonar"):
        archive.search(AOI, FROM, TO, sensor="sonar")


@pytest.mark.parametrize(
    ("area", "start", "words"),
    [
        (AOI, "2019-06-01", "stop (2019-05-31) is before start (2019-06-01)"),
        ("POLYGON ((0 0, 1 0", "2019-05-01", "cannot be searched"),
        ("POINT (0 0)", "2019-05-01", "cannot be searched"),
        ("POLYGON ((0 0, 1 1, 1 0, 0 1, 0 0))", "2019-05-01", "cannot be searched"),
    ],
)
def test_invalid_search_is_refused_without_a_request(scripted, connect, area, start, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        connect(scripted.url).search(area, start, "2019-05-31")
    assert scripted.requests == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"<html>portal</html>", "not JSON"),
        (None, "null instead of an object"),
        ([], "a list instead of an object"),
        ({"products": {}}, "an object instead of a list"),
        ({"errorCode": 400, "errorMessage": "no AOI"}, "no AOI"),
    ],
)
def test_invalid_answer_fails_the_search(scripted, connect, answer, words):
    scripted.routes["/api/search"] = (200, answer)
    with pytest.raises(ArchiveError, match=words):
        list(connect(scripted.url).search(AOI, FROM, TO))


@pytest.mark.parametrize("answer", [{}, {"products": None, "id": 7, "errorCode": 0}, {"products": []}])
def test_no_products_is_an_empty_answer(scripted, connect, answer):
    scripted.routes["/api/search"] = (200, answer)
    assert list(connect(scripted.url).search(AOI, FROM, TO)) == []


def rows_over_a_year(count):
    first = datetime(2019, 1, 1, tzinfo=UTC)
    step = timedelta(days=365) / count
    return [make_row(f"scene-{n}", f"{first + n * step:%Y-%m-%dT%H:%M:%SZ}") for n in range(count)]


@pytest.mark.parametrize("rule", ["newest", "arbitrary", "missing"])
def test_nothing_is_lost_behind_a_cap(connect, rule):
    with Sandbox(catalogue=RowCatalogue(rows_over_a_year(900)), faults=Faults(cap=60, cap_rule=rule)) as box:
        found = [item.id for item in connect(box.url).search(AOI, "2019-01-01", "2019-12-31T23:59:59Z")]
        assert sorted(found) == sorted(f"scene-{n}" for n in range(900))
        assert box.searches <= 6 * 900 / 60 + 15


def tiles(count, width):
    rows = []
    for n in range(count):
        west = -1.5 + 0.4 * n / count
        ring = f"{west} 51.5,{west + width} 51.5,{west + width} 51.6,{west} 51.6,{west} 51.5"
        rows.append(make_row(f"tile-{n}", "2019-05-01T10:56:21Z", footprint=f"POLYGON(({ring}))"))
    return rows


def test_tiles_of_one_second_are_split_by_area(connect):
    with Sandbox(catalogue=RowCatalogue([*tiles(90, 0.01), *rows_over_a_year(60)]), faults=Faults(cap=25)) as box:
        found = list(connect(box.url).search(AOI, "2019-01-01", "2019-12-31T23:59:59Z"))
    assert len(found) == 150


def test_second_that_nothing_splits_is_reported_after_all_other_scenes(connect):
    same = [make_row(f"same-{n}", "2019-05-01T10:56:21Z") for n in range(40)]
    rows = RowCatalogue([*same, *rows_over_a_year(60)])
    found = []
    with Sandbox(catalogue=rows, faults=Faults(cap=25)) as box:
        scenes = connect(box.url).search(AOI, "2019-01-01", "2019-12-31T23:59:59Z")
        with pytest.raises(IncompleteSearch, match="2019-05-01T10:56:21Z"):
            collections.deque((found.append(item.id) for item in scenes), maxlen=0)
    assert len(found) == 60 + 25
    assert {f"scene-{n}" for n in range(60)} <= set(found)


def test_starts_with_fractions_of_a_second_are_found(scripted, connect):
    rows = [{**WHOLE, "supplierId": f"s{n}", "start": f"2019-05-01T00:00:{n:02d}.500Z"} for n in range(40)]

    def search(_parts, body, _authorization):
        asked = json.loads(body)
        start, stop = to_time(asked["start"]), to_time(asked["stop"])
        inside = [row for row in rows if start <= to_time(row["start"]) <= stop]
        return 200, {"products": inside[::-1][:10]}

    scripted.routes["/api/search"] = search
    found = {item.id for item in connect(scripted.url).search(AOI, "2019-05-01", "2019-05-02")}
    assert found == {row["supplierId"] for row in rows}


def between(rows, first, last):
    """Return a search that compares the start of rows with both ends of the period by these operators."""

    def search(_parts, body, _authorization):
        asked = json.loads(body)
        start, stop = to_time(asked["start"]), to_time(asked["stop"])
        return 200, {
            "products": [
                row for row in rows if first(start, to_time(row["start"])) and last(to_time(row["start"]), stop)
            ]
        }

    return search


@pytest.mark.parametrize("first", [operator.le, operator.lt])
@pytest.mark.parametrize("last", [operator.le, operator.lt])
@pytest.mark.parametrize("step", [1, 3600])
def test_ends_of_the_period_are_found_even_if_the_service_excludes_them(scripted, connect, first, last, step):
    begin, end = to_time("2019-05-01"), to_time("2019-05-31T23:59:59Z")
    instants = [begin, end, *(to_time("2019-05-09") + timedelta(seconds=step * n) for n in range(20))]
    rows = [{**WHOLE, "supplierId": f"s{n}", "start": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for n, at in enumerate(instants)]
    scripted.routes["/api/search"] = between(rows, first, last)
    found = [item.id for item in connect(scripted.url).search(AOI, begin, end)]
    assert sorted(found) == sorted(row["supplierId"] for row in rows)
    assert len([path for _, path, *_ in scripted.requests if path == "/api/search"]) <= 4


def test_earliest_and_latest_times_can_be_searched(scripted, connect):
    scripted.routes["/api/search"] = between([WHOLE], operator.le, operator.le)
    earliest, latest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert [item.id for item in connect(scripted.url).search(AOI, earliest, latest)] == [WHOLE["supplierId"]]


def test_unusable_rows_are_skipped_with_one_warning_each(scripted, connect):
    bad = [*UNUSABLE, {"supplierId": "", "password": "hunter22", "note": "\x1b[31m"}]
    for number, row in enumerate(bad):
        if isinstance(row, dict) and row.get("supplierId") == NAME:
            bad[number] = {**row, "supplierId": f"bad-{number}"}
    scripted.routes["/api/search"] = (200, {"products": [WHOLE, *bad]})
    warnings = []
    archive = connect(scripted.url)
    with contextlib.suppress(IncompleteSearch):  # this server answers the same whatever it is asked
        found = list(archive.search(AOI, "2019-01-01", "2020-01-01", warn=warnings.append))
        assert [item.id for item in found] == [NAME]
    assert len(warnings) == len({json.dumps(row, default=str) for row in bad})
    assert all(sentence.isprintable() and len(sentence) < 400 for sentence in warnings)
    assert "hunter22" not in "".join(warnings)


def test_row_of_another_answer_is_recognised_unless_it_has_changed():
    rows = [{"supplierId": "A", "start": FROM, "satelliteName": "Sentinel-2A", "coordinatesWKT": AOI}]
    answers = [rows, copy.deepcopy(rows), [{**rows[0], "satelliteName": "Sentinel-2B"}], [{**rows[0], "start": TO}]]
    made = []
    windowed = WindowedQuery(query(), lambda _body: answers.pop(0), tuple, lambda row: made.append(row) or len(made))
    first, again, other, later = (windowed.ask(Window(0, 1))[0] for _ in range(4))
    assert again is first
    assert (first.item, other.item, later.item) == (1, 2, 3)
    assert first.footprint == AOI
    assert (first.attributes[0], other.attributes[0]) == ("Sentinel-2A", "Sentinel-2B")
    assert first.start < later.start


@pytest.mark.parametrize("odd", [["Sentinel-2A"], {"name": "Sentinel-2A"}])
def test_row_with_a_list_or_an_object_for_a_text_is_counted_each_time(odd):
    row = {"supplierId": "A", "start": FROM, "satelliteName": odd}
    windowed = WindowedQuery(query(), lambda _body: [row, {"supplierId": 7}, "text"], tuple, lambda row: row)
    for _ in range(2):
        found, *unusable = windowed.ask(Window(0, 1))
        assert (found.id, found.attributes[0], found.item) == ("A", "", row)
        assert [one.start for one in unusable] == [None, None]
        assert len({one.id for one in unusable}) == 2


def test_rows_of_long_past_answers_are_forgotten_and_made_again(monkeypatch):
    monkeypatch.setattr(windowed_query, "_REMEMBERED", 0)
    rows = {name: {"supplierId": name, "start": FROM} for name in "AB"}
    answers = [[rows[name]] for name in "AABBA"]
    windowed = WindowedQuery(query(), lambda _body: answers.pop(0), tuple, lambda row: row)
    first, again, _, _, later = (windowed.ask(Window(0, 1))[0] for _ in range(5))
    assert again is first
    assert later is not first
    assert later == first
