"""The catalogue of given rows: unchanged, tolerant, and fast with a hundred thousand."""

import json
import time
import tracemalloc

import pytest
from effort import effort
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_client import HARWELL, WORLD

from sedas_sync.sandbox import RowCatalogue, make_row
from sedas_sync.sandbox.search import parse_search


def query(wkt=WORLD, start="2019-01-01T00:00:00Z", stop="2019-12-31T23:59:59Z", sensor="All", **filters):
    body = {"sensorFilters": {"type": sensor}, "filters": filters, "aoiWKT": wkt, "start": start, "stop": stop}
    return parse_search(body)


def found(catalogue, **more):
    search = query(**more)
    return [json.loads(text) for text in catalogue.rows(catalogue.find(search, 0), search)]


def test_rows_are_returned_unchanged(serve):
    rows = [
        {"supplierId": "ü/../x y&z", "start": "2019-05-06T00:00:00Z", "odd": [1, {"x": None}], "stop": None},
        {"supplierId": "plain", "start": "2019-05-05T00:00:00Z", "downloadUrl": "https://example.org/x"},
    ]
    assert serve(catalogue=RowCatalogue(rows)).products() == rows


def test_links_use_the_address_of_the_sandbox(serve):
    client = serve(catalogue=RowCatalogue([make_row("a b/ü", "2019-05-06T00:00:00Z")]))
    [row] = client.products()
    assert row["downloadUrl"].startswith(client.sandbox.origin)
    assert client.get(row["downloadUrl"]).status_code == 200
    assert client.get(row["ql"]).headers["Content-Type"] == "image/jpeg"


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"supplierId": None},
        {"supplierId": 7, "start": 3},
        {"supplierId": "x", "start": "soon", "coordinatesWKT": "POLYGON((("},
        {"supplierId": "x", "coordinatesWKT": 9, "cloudCoveragePercent": "much", "satelliteName": []},
    ],
    ids=str,
)
def test_invalid_rows_are_always_found(row):
    catalogue = RowCatalogue([row, make_row("good", "2019-05-06T00:00:00Z")])
    assert row in found(catalogue, wkt=HARWELL, start="2019-05-06T00:00:00Z", stop="2019-05-06T00:00:00Z")


def test_the_same_id_may_come_twice():
    rows = [make_row("a", "2019-05-06T00:00:00Z"), make_row("a", "2019-05-07T00:00:00Z")]
    catalogue = RowCatalogue(rows)
    assert [row["start"][8:10] for row in found(catalogue)] == ["07", "06"]
    assert catalogue.rows([catalogue.look_up("a", 0)], None) == [json.dumps(rows[1])]


def test_groups_follow_from_satellites():
    names = ["Sentinel-1A", "Sentinel-2B", "Pleiades-1A", "NovaSAR-1", "Other-3"]
    catalogue = RowCatalogue([make_row(name, "2019-05-06T00:00:00Z", satellite=name) for name in names])
    assert catalogue.satellites == {
        "NovaSAR-1": "NovaSAR",
        "Other-3": "Other-3",
        "Pleiades-1A": "Pleiades",
        "Sentinel-1A": "S1",
        "Sentinel-2B": "S2",
    }


def test_files_may_come_from_a_function(serve):
    client = serve(catalogue=RowCatalogue([make_row("a", "2019-05-06T00:00:00Z")], lambda scene: scene.encode() * 3))
    [row] = client.products()
    assert client.get(row["downloadUrl"]).content == b"aaa"


def test_an_empty_catalogue(serve):
    client = serve(catalogue=RowCatalogue([]))
    assert client.products() == []
    assert client.call("GET", "search/products?ids=x").json() == []
    assert client.call("GET", "sensors/sourceGroups").json() == []


@settings(max_examples=40, deadline=None)
@given(
    places=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 50), st.booleans()), max_size=40),
    west=st.integers(0, 8),
    south=st.integers(0, 8),
    first=st.integers(0, 50),
    last=st.integers(0, 50),
    least=st.none() | st.integers(0, 100),
)
def test_search_agrees_with_looking_at_every_row(places, west, south, first, last, least):
    first, last = min(first, last), max(first, last)

    def square(x, y, side):
        return f"POLYGON(({x} {y},{x + side} {y},{x + side} {y + side},{x} {y + side},{x} {y}))"

    rows = [
        make_row(
            f"s{number}",
            f"2019-05-06T00:00:{second:02d}Z",
            footprint=square(x, y, 1),
            satellite="Sentinel-1A" if sar else "Sentinel-2A",
        )
        for number, (x, y, second, sar) in enumerate(places)
    ]
    more = {} if least is None else {"minCoveragePercent": least}
    got = found(
        RowCatalogue(rows),
        wkt=square(west + 0.25, south + 0.25, 1),
        start=f"2019-05-06T00:00:{first:02d}Z",
        stop=f"2019-05-06T00:00:{last:02d}Z",
        sensor="SAR",
        **more,
    )

    def share(x, y):
        """Percent of the AOI below a footprint: by whole quarters, so true to within the curvature of the earth."""
        sides = [{0: 0.75, 1: 0.25}.get(at, 0) for at in (x - west, y - south)]
        return 100 * sides[0] * sides[1]

    expected = {
        f"s{number}"
        for number, (x, y, second, sar) in enumerate(places)
        if sar and first <= second <= last and share(x, y) > 0 and (least is None or share(x, y) > least)
    }
    doubtful = {
        f"s{number}" for number, (x, y, *_) in enumerate(places) if least is not None and abs(share(x, y) - least) < 1.5
    }
    names = {row["supplierId"] for row in got}
    assert names - doubtful == expected - doubtful
    assert [row["start"] for row in got] == sorted((row["start"] for row in got), reverse=True)


def many(count):
    for number in range(count):
        day, second = divmod(number * 300, 86_400)
        yield make_row(
            f"S2A_MSIL1C_{number:06d}_N0207_R137_T30UXC_20190506T131402",
            f"2019-{1 + day // 28:02d}-{1 + day % 28:02d}T{second // 3600:02d}:{second // 60 % 60:02d}:00Z",
            footprint=f"POLYGON(({number % 300} 50,{number % 300}.5 50,{number % 300}.5 51,{number % 300} 50))",
        )


def test_very_many_rows_are_searched_in_milliseconds():
    count = effort(25_000, 100_000)
    catalogue = RowCatalogue(many(count))
    assert len(catalogue) == count
    search = query(start="2019-03-01T00:00:00Z", stop="2019-03-14T23:59:59Z")
    catalogue.find(search, 0)
    took = []
    for _ in range(5):
        began = time.perf_counter()
        rows = catalogue.rows(catalogue.find(search, 0), search)
        took.append(time.perf_counter() - began)
    assert len(rows) > 1000
    assert min(took) < effort(0.02, 0.1)


def test_a_row_takes_little_more_than_its_text():
    list(many(10))
    tracemalloc.start()
    try:
        catalogue = RowCatalogue(many(5000))
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    texts = sum(map(len, catalogue._texts))
    assert held < texts + 5000 * 1000
