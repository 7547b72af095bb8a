"""The SeDAS client: its wire protocol against the sandbox, and against servers that are stranger than that."""

import collections
import contextlib
import copy
import json
import operator
import pickle
import re
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from sedas_sync.archives.sedas import archive as sedas
from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.archives.sedas.query import search_body
from sedas_sync.archives.sedas.rows import to_instant, to_scene
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError
from sedas_sync.model.scene import Download, Order, OrderState, Query, Scene
from sedas_sync.net import session
from sedas_sync.net.policy import may_see_token
from sedas_sync.sandbox import Sandbox
from sedas_sync.sandbox.catalogue import RowCatalogue, make_row
from sedas_sync.sandbox.faults import Faults, Rule, fail

AOI = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))"
FROM, TO = "2019-04-30T00:00:00Z", "2019-05-12T23:59:59Z"
NAME = "S2B_MSIL1C_20190925T071629_N0208_R006_T38PNV_20190925T110036"


class Strange:
    """A server whose answers are a function of the request; logs in unless told otherwise."""

    def __init__(self):
        self.requests = []
        self.logins = 0
        self.routes = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                parts = urlsplit(self.path)
                outer.requests.append((self.command, self.path, dict(self.headers), body))
                status, answer, *headers = outer.answer(parts, body, self.headers.get("Authorization"))
                sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                for name, value in headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = handle_one  # noqa: N815 - the names http.server calls

            def log_message(self, *_arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/"

    def answer(self, parts, body, authorization):
        if parts.path == "/api/authentication":
            self.logins += 1
            login = self.routes.get(parts.path)
            until = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
            return login() if login else (200, {"token": f"token-{self.logins}", "validUntil": until})
        route = self.routes.get(parts.path, (404, b"<html><title>404 Not Found</title></html>"))
        return route(parts, body, authorization) if callable(route) else route

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def strange():
    server = Strange()
    yield server
    server.close()


@pytest.fixture
def sandbox():
    with Sandbox() as running:
        yield running


@pytest.fixture
def connect():
    made = []

    def make(url, **options):
        api = session.Api(sleep=lambda _seconds: None, environ={}, retries=options.pop("retries", 2))
        archive = SedasArchive(url, username="sandbox", password=options.pop("password", "sandbox"), api=api, **options)
        made.append(archive)
        return archive

    yield make
    for archive in made:
        archive.close()


def scene(name="A", url=None):
    return Scene(id=name, download_url=url)


def order(number, name="A"):
    return Order(order=number, id=name, placed=datetime(2019, 1, 1, tzinfo=UTC))


# -- rows


WHOLE = {
    "productId": "6f6d6d83911a5738291f7f79936cb9d7",
    "supplierId": NAME,
    "type": "ARCHIVE",
    "satelliteName": "Sentinel-2B",
    "instrumentName": "MSI",
    "modeName": "Nominal",
    "sensorType": "Optical",
    "sensorResolution": 10.0,
    "coordinatesWKT": "POLYGON((44.999815 13.568451,46.014647 13.5663,46.0 12.5,44.999815 13.568451))",
    "start": "2019-09-25T07:16:29Z",
    "stop": "2019-09-25T07:16:30Z",
    "orbit": 13330.0,
    "orbitDirection": "descending",
    "area": 1.240146e09,
    "aoiCoveragePercent": 1.0,
    "usefulAreaPercent": 5.0,
    "cloudCoveragePercent": 42.0,
    "productType": "L1C",
    "latency": "Standard",
    "ql": "https://geobrowser.satapps.org/archiveql/x",
    "thumbnail": "https://sedasdm.satapps.org/qls/x",
    "vendorSpecific": {"property": "vendorSpecific", "Filehash": "95" * 16, "other": 1},
    "downloadUrl": f"https://sedasdm.satapps.org/datamgr/datamgr.php?p=Default&sceneid={NAME}.zip",
    "acqMode": "new",
}


def test_row_becomes_a_scene():
    found = to_scene(copy.deepcopy(WHOLE))
    assert found.start == datetime(2019, 9, 25, 7, 16, 29, tzinfo=UTC)
    assert (found.sensor, found.satellite, found.source_group) == ("optical", "Sentinel-2B", "S2")
    assert (found.orbit, found.orbit_direction, found.cloud_cover) == (13330, "DESCENDING", 42.0)
    assert found.digest == "95" * 16
    assert found.online
    assert not found.planned
    assert dict(found.extra) == {
        "productId": WHOLE["productId"],
        "type": "ARCHIVE",
        "area": WHOLE["area"],
        "aoiCoveragePercent": 1.0,
        "usefulAreaPercent": 5.0,
        "latency": "Standard",
        "vendorSpecific": {"property": "vendorSpecific", "other": 1},
        "acqMode": "new",
    }
    assert pickle.loads(pickle.dumps(found)) == found


@pytest.mark.parametrize("missing", sorted(set(WHOLE) - {"supplierId"}))
def test_every_field_but_the_id_may_be_missing_or_null(missing):
    for row in ({k: v for k, v in WHOLE.items() if k != missing}, {**WHOLE, missing: None}):
        assert to_scene(row).id == NAME


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sensorType": "SAR"}, {"sensor": "sar"}),
        ({"sensorType": "optical"}, {"sensor": "optical"}),
        ({"sensorType": "sonar"}, {"sensor": None}),
        ({"start": "2019-09-25T07:16:29.250Z"}, {"start": datetime(2019, 9, 25, 7, 16, 29, 250000, UTC)}),
        ({"start": "2019-09-25T08:16:29+01:00"}, {"start": datetime(2019, 9, 25, 7, 16, 29, tzinfo=UTC)}),
        ({"start": "2019-09-25T07:16:29"}, {"start": datetime(2019, 9, 25, 7, 16, 29, tzinfo=UTC)}),
        ({"satelliteName": "NovaSAR-1"}, {"source_group": "NovaSAR"}),
        ({"satelliteName": "Sentinel-1A"}, {"source_group": "S1"}),
        ({"satelliteName": "Unheard-Of"}, {"source_group": None}),
        ({"sourceGroup": "X"}, {"source_group": "X"}),
        ({"downloadUrl": ""}, {"download_url": None, "online": False}),
        ({"vendorSpecific": {"Filehash": "AB" * 20}}, {"digest": "ab" * 20}),
        ({"vendorSpecific": {"Filehash": "abc"}}, {"digest": None}),
        ({"vendorSpecific": {"Filehash": "zz" * 16}}, {"digest": None}),
        ({"vendorSpecific": "text"}, {"digest": None}),
        ({"cloudCoveragePercent": "42.5"}, {"cloud_cover": 42.5}),
        ({"cloudCoveragePercent": float("nan")}, {"cloud_cover": None}),
        ({"polarisation": ["VV", "VH"]}, {"polarisation": "VV/VH"}),
        ({"type": "PLANNEDACQ"}, {"planned": True}),
        ({"acqPlanId": "plan-7"}, {"planned": True, "id": NAME}),
        ({"acqPlanId": 77, "supplierId": None}, {"planned": True, "id": "77"}),
    ],
)
def test_variants_of_a_row(change, expected):
    found = to_scene({**WHOLE, **change})
    assert {name: getattr(found, name) for name in expected} == expected


UNUSABLE = [
    None,
    "text",
    [],
    {},
    {**WHOLE, "supplierId": None},
    {**WHOLE, "supplierId": ""},
    {**WHOLE, "supplierId": " "},
    {**WHOLE, "supplierId": 7},
    {**WHOLE, "start": "yesterday"},
    {**WHOLE, "start": 1569395789},
    {**WHOLE, "coordinatesWKT": "somewhere"},
    {**WHOLE, "coordinatesWKT": "POLYGON((1 2,3 4"},
    {**WHOLE, "coordinatesWKT": {"type": "Polygon"}},
    {**WHOLE, "cloudCoveragePercent": {"mean": 4}},
    {**WHOLE, "cloudCoveragePercent": True},
    {**WHOLE, "downloadUrl": 7},
]


@pytest.mark.parametrize("row", UNUSABLE)
def test_row_that_cannot_be_used_is_refused_with_a_reason(row):
    with pytest.raises(ValueError, match=r"no |it "):
        to_scene(row)


def test_unusable_rows_are_left_out_with_one_warning_each(strange, connect):
    bad = [*UNUSABLE, {"supplierId": "", "password": "hunter22", "note": "\x1b[31m"}]
    for number, row in enumerate(bad):
        if isinstance(row, dict) and row.get("supplierId") == NAME:
            bad[number] = {**row, "supplierId": f"bad-{number}"}
    strange.routes["/api/search"] = (200, {"products": [WHOLE, *bad]})
    warnings = []
    archive = connect(strange.url)
    with contextlib.suppress(IncompleteSearch):  # this server answers the same whatever it is asked
        found = list(archive.search(AOI, "2019-01-01", "2020-01-01", warn=warnings.append))
        assert [item.id for item in found] == [NAME]
    assert len(warnings) == len({json.dumps(row, default=str) for row in bad})
    assert all(sentence.isprintable() and len(sentence) < 400 for sentence in warnings)
    assert "hunter22" not in "".join(warnings)


def test_scenes_are_slim():
    rows = [
        {**WHOLE, "supplierId": f"{NAME}_{n}", "downloadUrl": f"{WHOLE['downloadUrl']}{n}", "ql": f"{WHOLE['ql']}{n}"}
        for n in range(1000)
    ]
    texts = [json.dumps(row) for row in rows]
    tracemalloc.start()
    scenes = [to_scene(json.loads(text)) for text in texts]
    held = tracemalloc.get_traced_memory()[0] / len(scenes)
    tracemalloc.stop()
    assert held < 1800


# -- queries


def query(**changes):
    return Query(aoi=AOI, start=to_instant(FROM), stop=to_instant(TO), **changes)


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
def test_query_on_the_wire(changes, sensor, filters):
    assert search_body(query(**changes)) == {
        "sensorFilters": {"type": sensor},
        "filters": filters,
        "aoiWKT": AOI,
        "start": FROM,
        "stop": TO,
    }


def test_names_are_sent_only_where_given():
    body = search_body(query(satellite="Sentinel-1A", source_group="S1"))
    assert (body["satelliteName"], body["sourceGroup"]) == ("Sentinel-1A", "S1")


def test_search_takes_text_and_any_case(sandbox, connect):
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
def test_a_search_that_makes_no_sense_is_told_without_asking(strange, connect, area, start, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        connect(strange.url).search(area, start, "2019-05-31")
    assert strange.requests == []


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
def test_answer_that_is_none_fails_the_search(strange, connect, answer, words):
    strange.routes["/api/search"] = (200, answer)
    with pytest.raises(ArchiveError, match=words):
        list(connect(strange.url).search(AOI, FROM, TO))


@pytest.mark.parametrize("answer", [{}, {"products": None, "id": 7, "errorCode": 0}, {"products": []}])
def test_no_products_is_an_empty_answer(strange, connect, answer):
    strange.routes["/api/search"] = (200, answer)
    assert list(connect(strange.url).search(AOI, FROM, TO)) == []


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


def test_tiles_of_one_second_are_parted_by_space(connect):
    with Sandbox(catalogue=RowCatalogue([*tiles(90, 0.01), *rows_over_a_year(60)]), faults=Faults(cap=25)) as box:
        found = list(connect(box.url).search(AOI, "2019-01-01", "2019-12-31T23:59:59Z"))
    assert len(found) == 150


def test_second_that_nothing_parts_is_named_after_all_else_was_yielded(connect):
    same = [make_row(f"same-{n}", "2019-05-01T10:56:21Z") for n in range(40)]
    rows = RowCatalogue([*same, *rows_over_a_year(60)])
    found = []
    with Sandbox(catalogue=rows, faults=Faults(cap=25)) as box:
        scenes = connect(box.url).search(AOI, "2019-01-01", "2019-12-31T23:59:59Z")
        with pytest.raises(IncompleteSearch, match="2019-05-01T10:56:21Z"):
            collections.deque((found.append(item.id) for item in scenes), maxlen=0)
    assert len(found) == 60 + 25
    assert {f"scene-{n}" for n in range(60)} <= set(found)


def test_fractions_of_a_second_fall_into_no_gap(strange, connect):
    rows = [{**WHOLE, "supplierId": f"s{n}", "start": f"2019-05-01T00:00:{n:02d}.500Z"} for n in range(40)]

    def search(_parts, body, _authorization):
        asked = json.loads(body)
        start, stop = to_instant(asked["start"]), to_instant(asked["stop"])
        inside = [row for row in rows if start <= to_instant(row["start"]) <= stop]
        return 200, {"products": inside[::-1][:10]}

    strange.routes["/api/search"] = search
    found = {item.id for item in connect(strange.url).search(AOI, "2019-05-01", "2019-05-02")}
    assert found == {row["supplierId"] for row in rows}


def between(rows, first, last):
    """A server's search that keeps rows by two comparisons of their start with the ends of the question."""

    def search(_parts, body, _authorization):
        asked = json.loads(body)
        start, stop = to_instant(asked["start"]), to_instant(asked["stop"])
        return 200, {
            "products": [
                row for row in rows if first(start, to_instant(row["start"])) and last(to_instant(row["start"]), stop)
            ]
        }

    return search


@pytest.mark.parametrize("first", [operator.le, operator.lt])
@pytest.mark.parametrize("last", [operator.le, operator.lt])
@pytest.mark.parametrize("step", [1, 3600])
def test_ends_of_a_window_are_found_whether_the_service_includes_them_or_not(strange, connect, first, last, step):
    begin, end = to_instant("2019-05-01"), to_instant("2019-05-31T23:59:59Z")
    instants = [begin, end, *(to_instant("2019-05-09") + timedelta(seconds=step * n) for n in range(20))]
    rows = [{**WHOLE, "supplierId": f"s{n}", "start": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for n, at in enumerate(instants)]
    strange.routes["/api/search"] = between(rows, first, last)
    found = [item.id for item in connect(strange.url).search(AOI, begin, end)]
    assert sorted(found) == sorted(row["supplierId"] for row in rows)
    assert len([path for _, path, *_ in strange.requests if path == "/api/search"]) <= 4


def test_earliest_and_latest_instants_there_are_can_be_asked(strange, connect):
    strange.routes["/api/search"] = between([WHOLE], operator.le, operator.le)
    earliest, latest = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert [item.id for item in connect(strange.url).search(AOI, earliest, latest)] == [WHOLE["supplierId"]]


# -- tokens


def test_one_login_serves_all_threads(sandbox, connect):
    archive = connect(sandbox.url)
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: archive.satellites(), range(40)))
    assert sandbox.logins == 1


@pytest.mark.parametrize("refusal", [401, 403, 400])
def test_ten_refusals_at_once_cause_one_login(sandbox, connect, refusal):
    sandbox.faults = Faults(refusal=refusal)
    archive = connect(sandbox.url)
    archive.satellites()
    sandbox.revoke_tokens()
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(lambda _: archive.satellites(), range(10)))
    assert sandbox.logins == 2


def test_wrong_password_is_tried_once_for_all_threads(sandbox, connect):
    archive = connect(sandbox.url, password="wrong-password")

    def ask(_):
        with pytest.raises(AuthenticationError) as raised:
            archive.satellites()
        return str(raised.value)

    with ThreadPoolExecutor(10) as pool:
        messages = list(pool.map(ask, range(10)))
    assert sandbox.logins == 1
    assert "wrong-password" not in "".join(messages)


def test_token_that_is_refused_when_new_is_no_loop(strange, connect):
    strange.routes["/api/sensors/satellites"] = (401, {})
    with pytest.raises(AuthenticationError, match="just given"):
        connect(strange.url).satellites()
    assert strange.logins == 2


def test_what_is_forbidden_costs_one_login_not_one_a_call(strange, connect):
    strange.routes["/api/request/A"] = (403, {"errorMessage": "not licensed"})
    archive = connect(strange.url)
    for _ in range(5):
        with pytest.raises(ArchiveError, match="not licensed"):
            archive.order("A")
    assert strange.logins == 2


@pytest.mark.parametrize("refusal", [(401, {}), (400, {"errorMessage": "User token does not exist"})])
def test_new_token_that_one_endpoint_refuses_costs_one_login_not_one_a_call(strange, connect, refusal):
    strange.routes |= {f"/api/request/{name}": refusal for name in "ABCDE"}
    strange.routes["/api/sensors/satellites"] = (200, [])
    archive = connect(strange.url)
    for name in "ABCDE":
        with pytest.raises(AuthenticationError, match="just given"):
            archive.order(name)
    assert strange.logins == 2
    strange.routes["/api/sensors/satellites"] = lambda _url, _body, sent: (200 if sent == "Token token-3" else 401, [])
    assert archive.satellites() == []
    strange.routes["/api/request/A"] = lambda _url, _body, sent: (200, {"requestId": 7})
    assert (archive.order("A").order, strange.logins) == ("7", 3)


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(("life", "renewed_after"), [(100, 80), (1200, 1140), (3600, 3540)])
def test_token_is_renewed_before_its_end_by_the_server_s_clock(strange, connect, life, renewed_after):
    def login():
        # The server's clock is its Date header; the validity it states is counted from that, not from ours.
        return 200, {"token": f"token-{strange.logins}", "validUntil": until}

    until = f"{datetime.now(UTC) + timedelta(seconds=life):%Y-%m-%dT%H:%M:%SZ}"
    strange.routes["/api/authentication"] = login
    strange.routes["/api/sensors/satellites"] = (200, [])
    clock = Clock()
    archive = connect(strange.url, clock=clock, now=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    archive.satellites()
    clock.now += renewed_after - 3
    archive.satellites()
    assert strange.logins == 1
    clock.now += 5
    archive.satellites()
    assert strange.logins == 2


@pytest.mark.parametrize("until", ["1999-01-01T00:00:00Z", "soon", None, 7])
def test_life_that_makes_no_sense_is_borne(strange, connect, until):
    strange.routes["/api/authentication"] = lambda: (200, {"token": "abc", "validUntil": until})
    strange.routes["/api/sensors/satellites"] = (200, [])
    archive = connect(strange.url)
    archive.satellites()
    archive.satellites()
    assert strange.logins == 1


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"token": 7}, {"token": "a\nb"}, [], None])
def test_login_without_a_token_is_an_archive_error(strange, connect, answer):
    strange.routes["/api/authentication"] = lambda: (200, answer)
    with pytest.raises(ArchiveError, match="without a token"):
        connect(strange.url).satellites()


@pytest.mark.parametrize("url", ["http://archive.example.org/api", "ftp://x/", "archive", "https://a:b@x/", ""])
def test_address_that_cannot_be_used(url):
    with pytest.raises(ManifestError) as raised:
        SedasArchive(url, username="a", password="b")
    assert raised.value.exit_code == 2


def test_address_is_made_plain():
    with SedasArchive("https://GeoBrowser.satapps.org/api", username="a", password="b") as archive:
        assert archive.identity == "sedas https://geobrowser.satapps.org/api/"


LIVE = sedas.LIVE_URL


@pytest.mark.parametrize(
    ("url", "trusted", "allowed"),
    [
        ("https://geobrowser.satapps.org/x", (), True),
        ("https://GEOBROWSER.satapps.org./x", (), True),
        ("http://geobrowser.satapps.org/x", (), False),
        ("https://sedasdm.satapps.org/x", (), False),
        ("https://sedasdm.satapps.org/x", ("*.satapps.org",), True),
        ("http://sedasdm.satapps.org/x", ("*.satapps.org",), False),
        ("https://satapps.org/x", ("*.satapps.org",), False),
        ("https://evilsatapps.org/x", ("*.satapps.org",), False),
        ("https://satapps.org.evil.org/x", ("*.satapps.org",), False),
        ("https://sedasdm.satapps.org@evil.org/x", ("*.satapps.org",), False),
        ("https://evil.org\\@sedasdm.satapps.org/", ("*.satapps.org",), False),
        ("https://evil.org/x", ("*.",), False),
        ("https://evil.org/x", ("*",), False),
        ("https://dm.example.org/x", ("dm.example.org",), True),
        ("ftp://geobrowser.satapps.org/x", (), False),
        ("//geobrowser.satapps.org/x", (), False),
        ("http://127.0.0.1/x", (), False),
        ("http://127.0.0.1/x", ("127.0.0.1",), True),
    ],
)
def test_who_may_see_the_token(url, trusted, allowed):
    assert may_see_token(url, LIVE, trusted) is allowed


def test_other_ports_of_this_machine_are_other_servers():
    assert may_see_token("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/api/", ())
    assert not may_see_token("http://127.0.0.1:8081/x", "http://127.0.0.1:8080/api/", ())


# -- look-ups


def look_up(strange, known, *, lists):
    def answer(parts, _body, _authorization):
        ids = parse_qs(parts.query)["ids"][0].split(",")
        if len(ids) > 1 and lists == "refused":
            return 400, {"errorMessage": "bad id"}
        if len(ids) > 1 and lists == "one":
            ids = ids[:1]
        if len(ids) > 1 and lists == "none":
            ids = []
        limit = 3 if lists == "short" else None
        return 200, [{"supplierId": name} for name in ids if name in known][:limit]

    strange.routes["/api/search/products"] = answer


@pytest.mark.parametrize("lists", ["all", "refused", "one", "none", "short"])
def test_look_up_finds_all_however_the_service_takes_lists(strange, connect, lists):
    known = [f"id-{n}" for n in range(12)]
    look_up(strange, known, lists=lists)
    archive = connect(strange.url)
    asked = [*known, "unknown-1", "unknown-2"]
    warnings = []
    assert sorted(item.id for item in archive.look_up(asked, warn=warnings.append)) == sorted(known)
    before = len(strange.requests)
    assert len(list(archive.look_up(known, warn=warnings.append))) == 12
    if lists == "all":
        assert len(strange.requests) - before == 1
    assert warnings == []


def test_ids_are_quoted(strange, connect):
    look_up(strange, ["a b/c?&#,é"], lists="all")
    with pytest.raises(ArchiveError):
        connect(strange.url).product("a b/c?&#,é")
    assert strange.requests[-1][1] == "/api/search/products?ids=a%20b%2Fc%3F%26%23%2C%C3%A9"


def test_product_and_unknown_product(sandbox, connect):
    archive = connect(sandbox.url)
    some = next(archive.search(AOI, FROM, TO))
    assert archive.product(some.id).id == some.id
    with pytest.raises(ArchiveError, match="does not know") as raised:
        archive.product("nothing")
    assert raised.value.status == 404


def test_sources_are_named(sandbox, connect):
    archive = connect(sandbox.url)
    assert "Sentinel-1A" in [item.name for item in archive.satellites()]
    groups = {item.name: item.extra for item in archive.source_groups()}
    assert {"S1", "S2"} <= set(groups)


# -- orders


def test_order_falls_back_to_the_path_of_the_original_client(strange, connect):
    strange.routes["/api//request/A"] = (200, {"requestId": 1302})
    strange.routes["/api//request"] = (200, [{"id": 1302, "downloadUrl": "https://x/y"}])
    archive = connect(strange.url)
    placed = archive.order("A")
    assert (placed.order, placed.id, placed.state) == ("1302", "A", OrderState.PENDING)
    (told,) = archive.order_status([placed])
    assert (told.state, told.download_url) == (OrderState.READY, "https://x/y")
    assert [path for method, path, *_ in strange.requests if "request" in path] == [
        "/api/request/A",
        "/api//request/A",
        "/api//request?ids=1302",
    ]


@pytest.mark.parametrize(
    ("status", "body", "headers", "retry_after"),
    [
        (429, {}, [("Retry-After", "30")], 30.0),
        (503, {}, [("Retry-After", "30")], 30.0),
        (400, {"errorMessage": "User quota exceeded"}, [], None),
    ],
)
def test_quota_is_told_apart(strange, connect, status, body, headers, retry_after):
    strange.routes["/api/request/A"] = (status, body, *headers)
    with pytest.raises(ArchiveError) as raised:
        connect(strange.url).order("A")
    assert (raised.value.status, raised.value.retry_after, raised.value.retryable) == (429, retry_after, True)
    assert len([path for _, path, *_ in strange.requests if path.startswith("/api/request")]) == 1


@pytest.mark.parametrize("answer", [{}, [], None, {"requestId": None}, {"requestId": True}, {"requestId": ""}])
def test_order_without_an_id_is_an_error(strange, connect, answer):
    strange.routes["/api/request/A"] = (200, answer)
    with pytest.raises(ArchiveError, match="without a requestId"):
        connect(strange.url).order("A")


@pytest.mark.parametrize(
    ("element", "state"),
    [
        ({}, OrderState.PENDING),
        ({"status": "started"}, OrderState.PENDING),
        ({"downloadUrl": ""}, OrderState.PENDING),
        ({"downloadUrl": "https://x/y", "status": "COMPLETED"}, OrderState.READY),
        ({"status": "Failed"}, OrderState.FAILED),
        ({"state": "expired"}, OrderState.FAILED),
        ({"status": "started", "state": "FAILED"}, OrderState.PENDING),
        ({"status": "CANCELLED"}, OrderState.FAILED),
        ({"status": "rejected"}, OrderState.FAILED),
        ({"status": "ERROR"}, OrderState.FAILED),
    ],
)
def test_states_of_an_order(strange, connect, element, state):
    strange.routes["/api/request"] = (200, [element])
    (told,) = connect(strange.url).order_status([order("7")])
    assert (told.state, told.polls, told.missing) == (state, 1, 0)


def test_server_bug_while_an_order_is_under_way_is_no_failure(strange, connect):
    bug = {"errorMessage": "No enum constant com.geocento.webapps.sedas.common.share.domain.STATUS.started"}
    strange.routes["/api/request"] = (500, bug)
    (told,) = connect(strange.url).order_status([order("7")])
    assert (told.state, told.missing) == (OrderState.PENDING, 0)
    assert len([path for _, path, *_ in strange.requests if "request" in path]) == 1


@pytest.mark.parametrize("lists", ["all", "one", "refused", "unnamed"])
def test_many_orders_are_polled_however_the_service_takes_lists(strange, connect, lists):
    def answer(parts, _body, _authorization):
        numbers = parse_qs(parts.query)["ids"][0].split(",")
        if len(numbers) > 1 and lists == "refused":
            return 400, {}
        if lists == "one":
            numbers = numbers[:1]
        name = {} if lists == "unnamed" else None
        return 200, [name if name is not None else {"requestId": int(n)} for n in numbers if n != "99"]

    strange.routes["/api/request"] = answer
    archive = connect(strange.url)
    asked = [order(str(n)) for n in (1, 2, 3, 99)]
    told = archive.order_status(asked)
    assert [item.order for item in told] == ["1", "2", "3", "99"]
    assert [item.missing for item in told] == [0, 0, 0, 1]
    before = len(strange.requests)
    archive.order_status(asked[:3])
    assert len(strange.requests) - before == (1 if lists == "all" else 3)


def test_orders_of_the_sandbox_become_downloads():
    clock = Clock()
    clock.now = 1_700_000_000.0
    with Sandbox(clock=clock) as box, SedasArchive(box.url, username="sandbox", password="sandbox") as archive:
        offline = next(item for item in archive.search(AOI, FROM, TO) if not item.online)
        placed = archive.order(offline)
        assert archive.order_status([placed])[0].state is OrderState.PENDING
        clock.now += 10
        (ready,) = archive.order_status([placed])
        assert ready.state is OrderState.READY
        assert NAME not in repr(archive)


# -- downloads


def test_token_goes_along_only_where_it_may(sandbox, connect):
    archive = connect(sandbox.url)
    own = archive.locate(scene(url=sandbox.origin + "/datamgr/x"))
    assert own.headers["Authorization"].startswith("Token ")
    assert own.headers["Authorization"] not in repr(own)
    for url in ("https://elsewhere.example.org/x", "http://127.0.0.1:1/x"):
        located = archive.locate(scene(url=url))
        assert located == Download(url=url, reach=located.reach)


@pytest.mark.parametrize(
    "url", ["ftp://x/y", "/relative", "javascript:alert(1)", "https://a:b@x/y", "http://a b/", "file:///etc/passwd"]
)
def test_link_that_is_none_is_refused(sandbox, connect, url):
    with pytest.raises(ArchiveError, match="cannot be used"):
        connect(sandbox.url).locate(scene(url=url))


def test_refused_token_is_renewed_once_and_then_given_up(sandbox, connect):
    archive = connect(sandbox.url)
    online = next(item for item in archive.search(AOI, FROM, TO) if item.online)
    first = archive.locate(online)
    second = archive.locate(online, refused=first)
    assert second.url == first.url
    assert second.headers != first.headers
    assert sandbox.logins == 2
    with pytest.raises(ArchiveError, match="refused"):
        archive.locate(online, refused=second)
    assert sandbox.logins == 2


def test_ten_refused_downloads_cause_one_login(sandbox, connect):
    archive = connect(sandbox.url)
    online = next(item for item in archive.search(AOI, FROM, TO) if item.online)
    refused = archive.locate(online)
    with ThreadPoolExecutor(10) as pool:
        located = list(pool.map(lambda _: archive.locate(online, refused=refused), range(10)))
    assert sandbox.logins == 2
    assert len({item.headers["Authorization"] for item in located}) == 1


def test_expired_link_is_asked_for_again(strange, connect):
    strange.routes["/api/search/products"] = (200, [{"supplierId": "A", "downloadUrl": "https://x/new"}])
    archive = connect(strange.url)
    old = archive.locate(scene(url="https://x/old"))
    assert archive.locate(scene(url="https://x/old"), refused=old).url == "https://x/new"


def test_expired_link_of_an_order_is_asked_of_the_order(strange, connect):
    links = iter(["https://x/1", "https://x/2"])
    strange.routes["/api/request"] = lambda *_: (200, [{"requestId": 7, "downloadUrl": next(links)}])
    strange.routes["/api/search/products"] = (200, [{"supplierId": "A"}])
    archive = connect(strange.url)
    (ready,) = archive.order_status([order("7")])
    old = archive.locate(scene(url=ready.download_url))
    assert archive.locate(scene(url=ready.download_url), refused=old).url == "https://x/2"


def test_scene_that_went_offline_is_given_up(strange, connect):
    strange.routes["/api/search/products"] = (200, [{"supplierId": "A"}])
    archive = connect(strange.url)
    old = archive.locate(scene(url="https://x/old"))
    with pytest.raises(ArchiveError, match="not online any more"):
        archive.locate(scene(url="https://x/old"), refused=old)


def test_passing_trouble_is_survived(sandbox, connect):
    sandbox.faults = Faults(rules=(Rule("search", fail(503), times=2),))
    assert list(connect(sandbox.url).search(AOI, FROM, TO))


def test_from_env(sandbox, monkeypatch):
    monkeypatch.setenv("SEDAS_USERNAME", "sandbox")
    monkeypatch.setenv("SEDAS_PASSWORD", "sandbox")
    with SedasArchive.from_env(sandbox.url) as archive:
        assert archive.satellites()
