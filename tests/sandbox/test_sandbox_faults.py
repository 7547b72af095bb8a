"""All faults of the sandbox, one by one."""

import time
from dataclasses import replace
from email.utils import parsedate_to_datetime

import pytest
import requests
from sandbox_client import WORLD

from sedas_sync.sandbox import Faults, RowCatalogue, Rule, make_row
from sedas_sync.sandbox.caps import rank
from sedas_sync.sandbox.faults import (
    changing_etag,
    delay,
    drop,
    empty,
    fail,
    frame,
    html_page,
    ignore_range,
    no_validators,
    redirect,
    say,
    slow,
    stall,
    truncate,
    wrong_bytes,
)

CONTENT = bytes(range(256)) * 4096  # 1 MiB
NAMES = [f"S2A_{number:03d}" for number in range(100)]
ROWS = [
    make_row(
        name,
        f"2019-05-{1 + number // 10:02d}T{number % 10:02d}:00:00Z",
        satellite=f"Sentinel-2{'AB'[number % 2]}",
        online=number % 2 == 0,
    )
    for number, name in enumerate(NAMES)
]


@pytest.fixture
def client(serve):
    return serve(catalogue=RowCatalogue(ROWS, dict.fromkeys(NAMES, CONTENT)))


@pytest.fixture
def url(client):
    return link(client, NAMES[0])


def link(client, name):
    return f"{client.sandbox.origin}/datamgr/datamgr.php?p=Default&sceneid={name}.zip"


def break_(client, on, act, **more):
    client.sandbox.faults = Faults(rules=(Rule(on, act, **more),))


def found(client, **more):
    return [product["supplierId"] for product in client.products(**more)]


# -- rules -------------------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_by_default(client, url):
    assert found(client) == NAMES[::-1]
    assert client.get(url).content == CONTENT


def test_a_rule_may_be_limited_in_number(client):
    break_(client, "search", fail(500), times=2, after=1)
    assert [client.search().status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert client.call("GET", "sensors/satellites").status_code == 200


@pytest.mark.parametrize("ids", [{NAMES[0]}, [NAMES[0]], lambda scene: scene == NAMES[0]])
def test_a_rule_may_be_limited_to_scenes(client, ids):
    break_(client, "download", fail(503), ids=ids, times=1)
    assert client.get(link(client, NAMES[2])).status_code == 200
    assert client.get(link(client, NAMES[0])).status_code == 503
    assert client.get(link(client, NAMES[0])).status_code == 200


def test_rules_combine_and_keep_their_counts_when_others_change(client, url):
    first = Rule("download", fail(500), times=2)
    client.sandbox.faults = Faults(rules=(first,))
    assert client.get(url).status_code == 500
    client.sandbox.faults = replace(client.sandbox.faults, rules=(first, Rule("any", no_validators())))
    assert client.get(url).status_code == 500
    answer = client.get(url)
    assert answer.status_code == 200
    assert "ETag" not in answer.headers
    client.sandbox.faults = Faults()
    assert "ETag" in client.get(url).headers


def test_a_rule_may_be_for_anything(client):
    break_(client, "any", fail(418))
    assert client.search().status_code == 418
    assert client.get(client.sandbox.origin + "/portal").status_code == 418


def test_acts_may_be_custom_functions(client):
    def shout(request, answer):
        made = answer(request)
        made.headers["X-Asked"] = request.method
        return made

    break_(client, "sensors", shout)
    assert client.call("GET", "sensors/satellites").headers["X-Asked"] == "GET"


# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403])
def test_the_refusal_of_a_token(client, url, status):
    client.sandbox.faults = Faults(refusal=status)
    client.sandbox.revoke_tokens()
    answer = client.call("GET", "sensors/satellites")
    assert answer.status_code == answer.json()["errorCode"] == status
    assert client.get(url).status_code == status
    if status == 400:
        assert answer.json()["errorMessage"] == "User token does not exist"


def test_a_token_is_refused_once(client, url):
    break_(client, "download", fail(401, html=True), times=1)
    assert [client.get(url).status_code for _ in range(2)] == [401, 200]


# -- search ------------------------------------------------------------------------------------------------------------


def test_the_cap_keeps_the_newest(client):
    client.sandbox.faults = Faults(cap=30)
    assert found(client) == NAMES[::-1][:30]
    assert len(found(client, start="2019-05-01T00:00:00Z", stop="2019-05-03T23:59:59Z")) == 30
    assert len(found(client, start="2019-05-01T00:00:00Z", stop="2019-05-02T23:59:59Z")) == 20


def test_the_cap_keeps_what_a_hash_picks(client):
    client.sandbox.faults = Faults(cap=30, cap_rule="arbitrary")
    kept = found(client)
    assert len(kept) == 30
    assert kept != NAMES[::-1][:30]
    assert kept == sorted(kept, reverse=True)
    assert set(kept) == set(sorted(NAMES, key=rank)[:30])


def test_the_cap_loses_the_same_ones_always(client):
    client.sandbox.faults = Faults(cap=30, cap_rule="missing")
    kept = found(client)
    assert 55 <= len(kept) <= 85
    lost = set(NAMES) - set(kept)
    assert max(map(rank, lost)) < min(map(rank, kept))
    month = found(client, stop="2019-05-05T23:59:59Z")
    assert set(month) == set(NAMES[:50]) - lost
    assert len(found(client, stop="2019-05-03T23:59:59Z")) == 30  # short enough to be whole


def test_the_cap_may_be_for_each_satellite(client):
    client.sandbox.faults = Faults(cap_per_satellite=10)
    assert found(client) == NAMES[::-1][:20]
    assert found(client, satelliteName="Sentinel-2A") == NAMES[-2::-2][:10]
    client.sandbox.faults = Faults(cap_per_satellite=10, cap=5)
    assert found(client) == NAMES[::-1][:5]


@pytest.mark.parametrize("body", [None, [], {"products": None}, {"products": [1, "x", None]}, "text", b"<html>", b""])
def test_invalid_answers(client, body):
    break_(client, "search", say(body), times=1)
    answer = client.search()
    assert answer.status_code == 200
    if isinstance(body, bytes):
        assert answer.content == body
    else:
        assert answer.json() == body
    assert len(found(client)) == 100


def test_too_many_requests(client):
    break_(client, "search", fail(429, retry_after=7), times=1)
    answer = client.search()
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    break_(client, "search", fail(503, retry_after=60, as_date=True))
    moment = parsedate_to_datetime(client.search().headers["Retry-After"])
    assert 50 < moment.timestamp() - time.time() < 62


# -- orders ------------------------------------------------------------------------------------------------------------


def order(client, name):
    return client.call("POST", f"request/{name}")


def state(client, placed):
    return client.call("GET", f"request?ids={placed.json()['requestId']}").json()


def test_the_quota_of_orders(client, clock):
    client.sandbox.faults = Faults(order_quota=(2, 60.0))
    assert [order(client, name).status_code for name in NAMES[1:6:2]] == [200, 200, 429]
    clock.now += 20
    refused = order(client, NAMES[5])
    assert refused.headers["Retry-After"] == "40"
    assert refused.json()["errorCode"] == 429
    clock.now += 40
    assert order(client, NAMES[5]).status_code == 200
    assert client.sandbox.orders == 3


def test_orders_that_fail(client, clock):
    client.sandbox.faults = Faults(failed_orders={NAMES[1]}, failed_state="REJECTED")
    bad, good = order(client, NAMES[1]), order(client, NAMES[3])
    clock.now += 10
    assert state(client, bad)[0]["status"] == "REJECTED"
    assert "downloadUrl" not in state(client, bad)[0]
    assert "downloadUrl" in state(client, good)[0]


def test_orders_that_are_forgotten(client):
    client.sandbox.faults = Faults(unknown_orders=lambda scene: scene == NAMES[1])
    assert state(client, order(client, NAMES[1])) == []
    assert len(state(client, order(client, NAMES[3]))) == 1


@pytest.mark.parametrize("status", [403, 404, 410])
def test_links_that_expire(client, clock, status):
    client.sandbox.faults = Faults(link_life=30.0, link_status=status)
    placed = order(client, NAMES[1])
    clock.now += 3
    first = state(client, placed)[0]["downloadUrl"]
    assert client.get(first).status_code == 200
    clock.now += 30
    assert client.get(first).status_code == status
    second = state(client, placed)[0]["downloadUrl"]
    assert second != first
    assert client.get(second).content == CONTENT


# -- downloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("honest", [True, False])
def test_no_ranges(client, url, honest):
    break_(client, "download", ignore_range(honest=honest))
    answer = client.get(url, headers={"Range": "bytes=100-"})
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert answer.headers["Accept-Ranges"] == ("none" if honest else "bytes")


def test_changing_etags(client, url):
    break_(client, "download", changing_etag())
    first = client.get(url).headers["ETag"]
    answer = client.get(url, headers={"Range": "bytes=100-", "If-Range": first})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != first
    assert client.get(url, headers={"Range": "bytes=100-"}).status_code == 206


@pytest.mark.parametrize("count", [0, 1, 1000, 300_000])
def test_broken_off_with_a_length(client, url, count):
    break_(client, "download", truncate(count), times=1)
    with pytest.raises(requests.exceptions.RequestException):
        client.get(url)
    assert client.sandbox.bytes_sent == count
    assert client.get(url).content == CONTENT


def test_broken_off_without_a_length(client, url):
    break_(client, "download", truncate(1000, framing="close"), times=1)
    answer = client.get(url)
    assert answer.content == CONTENT[:1000]
    assert "Content-Length" not in answer.headers


def test_broken_off_within_chunks(client, url):
    break_(client, "download", truncate(1000, framing="chunked"), times=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        client.get(url)


def test_broken_off_within_a_range(client, url):
    break_(client, "download", truncate(1000), times=1)
    with client.get(url, headers={"Range": "bytes=5000-"}, stream=True) as answer:
        assert answer.raw.read(1000) == CONTENT[5000:6000]


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_no_length(client, url, framing):
    break_(client, "download", frame(framing))
    answer = client.get(url)
    assert answer.content == CONTENT
    assert "Content-Length" not in answer.headers
    assert answer.headers.get("Transfer-Encoding") == ("chunked" if framing == "chunked" else None)
    part = client.get(url, headers={"Range": "bytes=5000-"})
    assert part.content == CONTENT[5000:]


def test_a_stall(client, url):
    break_(client, "download", stall(1000, 60), times=1)
    with client.session.get(url, stream=True, timeout=0.3) as answer:
        assert answer.raw.read(1000) == CONTENT[:1000]
        with pytest.raises(Exception, match="timed out"):
            answer.raw.read(1)


def test_a_stall_ends(client, url):
    break_(client, "download", stall(300_000, 0.2))
    began = time.perf_counter()
    assert client.get(url).content == CONTENT
    assert time.perf_counter() - began >= 0.2


def test_a_stall_before_the_first_byte(client, url):
    break_(client, "download", stall(0, 60), times=1)
    with pytest.raises(requests.exceptions.RequestException):
        client.session.get(url, timeout=0.2)


def test_a_rate(client, url):
    break_(client, "download", slow(4 * len(CONTENT)))
    began = time.perf_counter()
    assert client.get(url).content == CONTENT
    assert 0.2 <= time.perf_counter() - began < 5


def test_latency(client):
    break_(client, "any", delay(0.1))
    began = time.perf_counter()
    client.call("GET", "sensors/satellites")
    assert time.perf_counter() - began >= 0.1


def test_pages_in_place_of_a_product(client, url):
    break_(client, "download", html_page())
    answer = client.get(url)
    assert answer.status_code == 200
    assert answer.content.startswith(b"<!DOCTYPE html>")
    break_(client, "download", empty())
    assert client.get(url).content == b""
    break_(client, "download", redirect())
    answer = client.get(url)
    assert answer.url == client.sandbox.origin + "/portal"
    assert answer.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("status", [404, 500, 503])
def test_errors_of_the_download_manager(client, url, status):
    break_(client, "download", fail(status, html=True, retry_after=0), times=2)
    assert [client.get(url).status_code for _ in range(3)] == [status, status, 200]


def test_a_connection_that_is_dropped(client, url):
    break_(client, "download", drop(), times=1)
    with pytest.raises(requests.exceptions.ConnectionError):
        client.get(url)
    assert client.get(url).content == CONTENT


def test_wrong_bytes(client, url):
    break_(client, "download", wrong_bytes(), ids={NAMES[0]}, times=1)
    wrong = client.get(url)
    assert len(wrong.content) == len(CONTENT)
    assert sum(a != b for a, b in zip(wrong.content, CONTENT, strict=True)) == 1
    right = client.get(url)
    assert right.content == CONTENT
    assert right.headers["ETag"] == wrong.headers["ETag"]


def test_wrong_bytes_on_disk(serve, tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(b"12345")
    client = serve(catalogue=RowCatalogue(ROWS, {NAMES[0]: path}))
    break_(client, "download", wrong_bytes(0))
    assert client.get(link(client, NAMES[0])).content == b"\xce2345"


def test_closing_does_not_wait_for_a_stall(serve):
    client = serve(catalogue=RowCatalogue(ROWS, dict.fromkeys(NAMES, CONTENT)))
    break_(client, "download", stall(1000, 3600))
    with client.session.get(link(client, NAMES[0]), stream=True, timeout=20) as answer:
        answer.raw.read(1000)
        began = time.perf_counter()
        client.sandbox.close()
        assert time.perf_counter() - began < 4


def test_the_whole_world_can_be_searched(client):
    assert len(found(client, wkt=WORLD)) == 100
