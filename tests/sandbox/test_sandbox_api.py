"""The endpoints of the sandbox over HTTP."""

import contextlib
import http.client
import io
import json
import socket
import socketserver
import threading
import time
import zipfile
from datetime import UTC, datetime

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sandbox_client import HARWELL, NOW, Client
from thread_count import ended, threads

from sedas_sync.sandbox import RowCatalogue, Sandbox, make_row
from sedas_sync.sandbox.orders import order_id, read_order

EXAMPLE = "S1B_IW_GRDH_1SDV_20190528T105030_20190528T105055_016443_01EF3E_5E4F"


# -- accounts ----------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_token_and_its_end(client):
    answer = client.call("POST", "authentication", json={"username": "sandbox", "password": "sandbox"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["validUntil"] == datetime.fromtimestamp(NOW + 1200, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize("given", [{"username": "sandbox", "password": "x"}, {"username": "x"}, {}])
def test_a_bad_login_is_401_with_an_error_body(client, given):
    answer = client.call("POST", "authentication", json=given)
    assert answer.status_code == 401
    assert answer.json()["errorCode"] == 401
    assert answer.json()["errorMessage"]


def test_login_that_is_not_an_object_is_400(client):
    assert client.call("POST", "authentication", data=b"{").status_code == 400
    assert client.call("POST", "authentication", json=[]).status_code == 400


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000])
def test_body_that_is_not_json_is_400(client, body):
    for path in ("authentication", "search"):
        answer = client.call("POST", path, data=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, path


@pytest.mark.parametrize("header", [None, "", "Token", "Token x", "Bearer {token}", "{token}", "token {token}"])
@pytest.mark.parametrize("path", ["sensors/satellites", f"search/products?ids={EXAMPLE}", "request?ids=1"])
def test_calls_need_a_token(client, header, path):
    token = client.session.headers["Authorization"].split()[1]
    client.session.headers["Authorization"] = header and header.format(token=token)
    assert client.call("GET", path).status_code == 401


def test_tokens_expire_by_the_clock(client, clock):
    clock.now += 1199
    assert client.call("GET", "sensors/satellites").status_code == 200
    clock.now += 1
    assert client.call("GET", "sensors/satellites").status_code == 401
    client.login()
    assert client.call("GET", "sensors/satellites").status_code == 200


def test_a_new_login_leaves_the_old_token_alone(client):
    old = client.session.headers["Authorization"]
    client.login()
    assert client.session.headers["Authorization"] != old
    client.session.headers["Authorization"] = old
    assert client.call("GET", "sensors/satellites").status_code == 200


# -- catalogue ---------------------------------------------------------------------------------------------------------


def test_search_returns_an_object_with_products(client):
    answer = client.search()
    assert list(answer.json()) == ["products"]
    assert len(answer.json()["products"]) == 25
    assert "{{" not in answer.text


def test_both_ends_of_the_window_belong_to_it(client):
    start = client.products(sensor="Optical")[0]["start"]
    assert client.products(start=start, stop=start, sensor="Optical")


def test_a_search_without_filters_is_one_with_empty_filters(client):
    assert client.products(filters=...) == client.products(filters={})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"filters": {"limit": 10}}, 'Unrecognized field "limit"'),
        ({"filters": {"sarProductType": "XXX"}}, "Instantiation of [simple type, class com.geocento"),
        ({"wkt": "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))"}, "POLYGON"),
        ({"wkt": ...}, "No AoI"),
        ({"start": "yesterday"}, "yesterday"),
    ],
)
def test_a_bad_search_is_400_with_an_error_body(client, change, words):
    answer = client.search(**change)
    assert answer.status_code == 400
    assert answer.json()["errorCode"] == 400
    assert words in answer.json()["errorMessage"]


def test_filters_of_one_sensor_leave_the_other_alone(client):
    kinds = [product["productType"] for product in client.products(filters={"sarProductType": "SLC"})]
    assert set(kinds) == {"SLC", "L1C"}
    products = client.products(filters={"maxCloudPercent": 0})
    assert {product["sensorType"] for product in products} == {"SAR"}


def test_look_up_returns_a_list_in_the_order_requested(client):
    ids = [product["supplierId"] for product in client.products()][:3]
    answer = client.call("GET", f"search/products?ids={ids[2]},{ids[0]},unknown,{ids[0]}")
    assert [product["supplierId"] for product in answer.json()] == [ids[2], ids[0]]
    assert {product["aoiCoveragePercent"] for product in answer.json()} == {0.0}
    assert client.call("GET", "search/products?ids=unknown").json() == []
    assert client.call("GET", "search/products").status_code == 400


def test_rows_of_a_look_up_are_those_of_the_search(client):
    for product in client.products():
        [row] = client.call("GET", f"search/products?ids={product['supplierId']}").json()
        product["aoiCoveragePercent"] = product["usefulAreaPercent"] = 0.0
        assert row == product


def test_sensors(client):
    groups = client.call("GET", "sensors/sourceGroups").json()
    assert groups[0] == {"name": "S1", "satellites": [{"name": "Sentinel-1A"}, {"name": "Sentinel-1B"}]}
    assert [satellite["name"] for satellite in client.call("GET", "sensors/satellites").json()][3] == "Sentinel-2B"


@pytest.mark.parametrize("key", ["ql", "thumbnail"])
def test_pictures_need_no_token(client, key):
    product = client.products()[0]
    answer = requests.get(product[key], timeout=20)
    assert answer.headers["Content-Type"] == "image/jpeg"
    Image.open(io.BytesIO(answer.content)).load()
    assert requests.get(product[key].replace("S1", "S9").replace("S2", "S9"), timeout=20).status_code == 404


@pytest.mark.parametrize("path", ["/request", "//request", "///request/"])
def test_slashes_may_be_doubled(client, path):
    placed = client.session.post(f"{client.sandbox.origin}/api{path.rstrip('/')}/{EXAMPLE}", timeout=20)
    order = placed.json()["requestId"]
    answer = client.get(f"{client.sandbox.origin}/api{path}?ids={order}")
    assert answer.json()[0]["requestId"] == order
    assert client.get(f"{client.sandbox.origin}/api//search//products?ids={EXAMPLE}").json()


def test_unknown_paths_and_methods(client):
    session = requests.Session()
    for path in ("nothing", "", "search/x", "sensors", "sensors/x"):
        answer = session.get(client.sandbox.url + path, timeout=20)
        assert answer.status_code == 404
        assert answer.json()["errorCode"] == 404
    assert "html" in session.get(client.sandbox.origin + "/x", timeout=20).headers["Content-Type"]
    assert client.call("GET", "search").status_code == 405
    assert client.call("POST", "sensors/satellites").status_code == 405
    assert client.call("DELETE", f"request/{EXAMPLE}").status_code == 405
    session.close()


# -- long-term archive -------------------------------------------------------------------------------------------------


@given(st.text(max_size=90), st.integers(0, 1 << 50))
def test_order_ids_contain_scene_and_time_in_safe_characters(scene, placed):
    order = order_id(scene, placed / 1000)
    assert read_order(order) == (scene, placed / 1000)
    assert all(letter.isalnum() or letter in "-_" for letter in order)
    assert order.isascii()


@given(st.text(max_size=60))
def test_other_texts_are_not_orders(text):
    assert read_order(text) is None


@given(st.integers(0, 200), st.integers(1, 255))
def test_changed_order_id_is_invalid(place, change):
    import base64

    sealed = bytearray(base64.urlsafe_b64decode(order_id(EXAMPLE, NOW) + "=="[: -len(order_id(EXAMPLE, NOW)) % 4]))
    sealed[place % len(sealed)] ^= change
    assert read_order(base64.urlsafe_b64encode(sealed).decode().rstrip("=")) is None


def archived(client):
    return [product["supplierId"] for product in client.products() if "downloadUrl" not in product]


def test_an_order_is_ready_after_its_time(client, clock):
    scene = archived(client)[0]
    order = client.call("POST", f"request/{scene}").json()["requestId"]
    [state] = client.call("GET", f"request?ids={order}").json()
    assert state == {"requestId": order, "supplierId": scene, "status": "started"}
    clock.now += 2.9
    assert "downloadUrl" not in client.call("GET", f"request?ids={order}").json()[0]
    clock.now += 0.2
    [state] = client.call("GET", f"request?ids={order}").json()
    assert state["status"] == "COMPLETED"
    assert state["downloadUrl"].endswith(f"sceneid={scene}.zip&ltarequest=true")
    with zipfile.ZipFile(io.BytesIO(client.get(state["downloadUrl"]).content)) as archive:
        assert archive.testzip() is None


def test_many_orders_are_polled_at_once_and_unknown_ones_skipped(client):
    orders = [client.call("POST", f"request/{scene}").json()["requestId"] for scene in archived(client)]
    assert len(set(orders)) == len(orders) > 5  # all of them in the same instant
    answer = client.call("GET", f"request?ids=1302,{','.join(orders)},{order_id('nothing', NOW)}").json()
    assert [state["requestId"] for state in answer] == orders
    assert client.call("GET", "request?ids=").json() == []
    assert client.call("GET", "request").status_code == 400


def test_another_sandbox_knows_the_order(client, serve, clock):
    order = client.call("POST", f"request/{EXAMPLE}").json()["requestId"]
    other = serve()
    assert other.sandbox.port != client.sandbox.port
    assert other.call("GET", f"request?ids={order}").json()[0]["supplierId"] == EXAMPLE
    clock.now += 3
    url = other.call("GET", f"request?ids={order}").json()[0]["downloadUrl"]
    assert url.startswith(other.sandbox.origin)


def test_what_does_not_exist_cannot_be_ordered(client):
    answer = client.call("POST", "request/nothing")
    assert answer.status_code == 404
    assert answer.json()["errorCode"] == 404
    assert client.sandbox.orders == 0


def test_planned_acquisitions_can_neither_be_looked_up_nor_ordered(client):
    planned = [
        product
        for product in client.products(start="2026-01-01T00:00:00Z", stop="2026-01-20T00:00:00Z")
        if product["type"] == "PLANNEDACQ"
    ]
    assert planned
    for product in planned:
        name = product.get("supplierId") or product["acqPlanId"]
        assert client.call("GET", f"search/products?ids={name}").json() == []
        assert client.call("POST", f"request/{name}").status_code == 404


# -- download manager --------------------------------------------------------------------------------------------------


@pytest.fixture
def online(client):
    return next(product["downloadUrl"] for product in client.products() if "downloadUrl" in product)


def test_a_download(client, online):
    answer = client.get(online)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert client.sandbox.bytes_sent == len(answer.content)
    assert client.get(online).headers["ETag"] == answer.headers["ETag"]


def test_head_is_get_without_a_body(client, online):
    head, get = client.session.head(online, timeout=20), client.get(online)
    drop = {"Date"}
    assert {k: v for k, v in head.headers.items() if k not in drop} == {
        k: v for k, v in get.headers.items() if k not in drop
    }
    assert head.content == b""


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-99", slice(0, 100)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-100", slice(-100, None)),
        ("bytes=-99999999", slice(None)),
        ("bytes=500-99999999", slice(500, None)),
        ("bytes=7-7", slice(7, 8)),
    ],
)
def test_ranges(client, online, asked, part):
    whole = client.get(online).content
    answer = client.get(online, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == whole[part]
    first = part.indices(len(whole))[0]
    assert answer.headers["Content-Range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(whole)}"


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b"])
def test_invalid_ranges_are_ignored(client, online, asked):
    assert client.get(online, headers={"Range": asked}).status_code == 200


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=-0"])
def test_ranges_beyond_the_end_are_416(client, online, asked):
    size = len(client.get(online).content)
    answer = client.get(online, headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_if_range(client, online):
    headers = client.get(online).headers
    for good in (headers["ETag"], headers["Last-Modified"]):
        assert client.get(online, headers={"Range": "bytes=5-", "If-Range": good}).status_code == 206
    for bad in ('"other"', "Wed, 01 Jan 2014 00:00:00 GMT", f"W/{headers['ETag']}"):
        answer = client.get(online, headers={"Range": "bytes=5-", "If-Range": bad})
        assert answer.status_code == 200
        assert len(answer.content) == int(headers["Content-Length"])


def test_downloads_need_the_token(client, online):
    answer = requests.get(online, timeout=20)
    assert answer.status_code == 401
    assert "html" in answer.headers["Content-Type"]


def test_offline_and_unknown_scenes_are_not_found(client, online):
    template = online[: online.index("sceneid=")]
    for scene in (archived(client)[0], "nothing"):
        answer = client.get(f"{template}sceneid={scene}.zip")
        assert answer.status_code == 404
        assert "html" in answer.headers["Content-Type"]


def test_downloads_can_point_elsewhere(serve):
    client = serve(bytes_url="http://127.0.0.1:9/files/{id}.zip", order_delay=0)
    scene = archived(client)[0]
    for product in client.products():
        if "downloadUrl" in product:
            assert product["downloadUrl"] == f"http://127.0.0.1:9/files/{product['supplierId']}.zip"
    order = client.call("POST", f"request/{scene}").json()["requestId"]
    url = client.call("GET", f"request?ids={order}").json()[0]["downloadUrl"]
    assert url == f"http://127.0.0.1:9/files/{scene}.zip?ltarequest=true"


def test_products_can_be_files(serve, tmp_path):
    path = tmp_path / "b.bin"
    path.write_bytes(b"from disk" * 100_000)
    names = ("a", "b", "c")
    rows = [make_row(name, "2019-05-06T11:06:21Z") for name in names]
    client = serve(catalogue=RowCatalogue(rows, {"a": b"from memory", "b": path}))
    urls = {product["supplierId"]: product["downloadUrl"] for product in client.products()}
    assert client.get(urls["a"]).content == b"from memory"
    assert client.get(urls["b"]).content == path.read_bytes()
    part = client.get(urls["b"], headers={"Range": "bytes=300000-600000"})
    assert part.content == path.read_bytes()[300_000:600_001]
    assert zipfile.is_zipfile(io.BytesIO(client.get(urls["c"]).content))
    etag = client.get(urls["b"]).headers["ETag"]
    path.write_bytes(b"changed")
    assert client.get(urls["b"]).headers["ETag"] != etag


# -- the server itself -------------------------------------------------------------------------------------------------


def test_connections_are_kept(client):
    connection = http.client.HTTPConnection("127.0.0.1", client.sandbox.port)
    connection.request("GET", "/portal")
    connection.getresponse().read()
    before = connection.sock
    for _ in range(3):
        connection.request("GET", "/portal")
        connection.getresponse().read()
    assert connection.sock is before
    connection.request("GET", "/portal", headers={"Connection": "close"})
    answer = connection.getresponse()
    assert answer.headers["Connection"] == "close"
    answer.read()
    connection.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /api/search HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /api/search HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST /api/search HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET /portal HTTP/1.0\r\n\r\n", 200),
        (b"\r\nGET /portal HTTP/1.1\r\nConnection: close\r\n\r\n", 200),
    ],
)
def test_raw_requests(client, sent, status):
    with socket.create_connection(("127.0.0.1", client.sandbox.port), timeout=20) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 %d " % status)


def test_requests_on_one_connection_may_be_sent_ahead(client):
    with socket.create_connection(("127.0.0.1", client.sandbox.port), timeout=20) as connection:
        connection.sendall(b"GET /portal HTTP/1.1\r\n\r\n" * 4 + b"GET /x HTTP/1.1\r\nConnection: close\r\n\r\n")
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    assert answer.count(b"HTTP/1.1 200") == 4
    assert answer.count(b"HTTP/1.1 404") == 1


def test_client_that_waits_for_100_continue_gets_it(client):
    body = json.dumps({"username": "sandbox", "password": "sandbox"}).encode()
    head = b"POST /api/authentication HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n"
    with socket.create_connection(("127.0.0.1", client.sandbox.port), timeout=20) as connection:
        connection.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_many_at_once(client):
    urls = [product["downloadUrl"] for product in client.products() if "downloadUrl" in product]
    failures = []

    def fetch(url):
        answer = requests.get(url, headers=client.session.headers, timeout=20)
        if answer.status_code != 200 or not zipfile.is_zipfile(io.BytesIO(answer.content)):
            failures.append(url)

    fetching = [threading.Thread(target=fetch, args=(url,)) for url in urls * 3]
    for thread in fetching:
        thread.start()
    for thread in fetching:
        thread.join()
    assert not failures
    assert client.sandbox.downloads == len(fetching)


def test_log_has_requests_without_passwords(client):
    client.search()
    client.get(client.products()[0]["thumbnail"])
    client.call("GET", "sensors/satellites", headers={"Authorization": None})
    sandbox = client.sandbox
    assert [entry.endpoint for entry in sandbox.log] == ["login", "search", "search", "picture", "sensors"]
    assert sandbox.log[0].query == {"username": "sandbox"}
    assert sandbox.log[1].query["aoiWKT"] == HARWELL
    assert [entry.authorised for entry in sandbox.log] == [False, True, True, True, False]
    assert sandbox.log[-1].status == 401
    assert (sandbox.logins, sandbox.searches, sandbox.orders, sandbox.downloads) == (1, 2, 0, 0)


def test_log_has_listeners(serve):
    logged = []
    client = serve(log=logged.append)
    assert logged == client.sandbox.log


def test_closing_breaks_connections_and_ends_threads():
    before = threads()
    sandbox = Sandbox().start()
    client = Client(sandbox)
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=20) as idle:
        client.session.get(sandbox.origin + "/portal", timeout=20)
        sandbox.close()
        # A connection that the sandbox had not yet accepted is reset.
        with contextlib.suppress(ConnectionResetError):
            assert idle.recv(1) == b""
    client.session.close()
    assert ended(before)
    sandbox.close()
    with pytest.raises(RuntimeError):
        _ = sandbox.url


def test_a_sandbox_can_be_started_again_on_its_port():
    sandbox = Sandbox().start()
    port = sandbox.port
    assert sandbox.start() is sandbox
    sandbox.close()
    with Sandbox(port=port) as again:
        assert again.url == f"http://127.0.0.1:{port}/api/"


def test_requests_are_fast(client):
    connection = http.client.HTTPConnection("127.0.0.1", client.sandbox.port)
    took = []
    for _ in range(200):
        began = time.perf_counter()
        connection.request("GET", "/portal")
        connection.getresponse().read()
        took.append(time.perf_counter() - began)
    connection.close()
    assert min(took) < 0.01  # in fact some tenths of a millisecond, most of them the client's


# -- reached by another name -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def forwarded(port):
    """A port that forwards everything to another one, as `ssh -L` and containers do. The value is its number."""

    def pump(source, target):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    class Pass(socketserver.BaseRequestHandler):
        def handle(self):
            with socket.create_connection(("127.0.0.1", port)) as far:
                back = threading.Thread(target=pump, args=(far, self.request))
                back.start()
                pump(self.request, far)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_links_use_the_host_of_the_request():
    """The links of rows and of orders use a forwarded port too."""
    rows = [
        make_row("ON", "2019-05-01T11:00:00Z"),
        make_row("LTA", "2019-05-02T11:00:00Z", online=False),
    ]
    with Sandbox(catalogue=RowCatalogue(rows), order_delay=0.0) as server, forwarded(server.port) as port:
        client, api = Client(server), f"http://localhost:{port}/api/"
        (row,) = client.get(f"{api}search/products?ids=ON").json()
        assert row["downloadUrl"].startswith(f"http://localhost:{port}/datamgr/")
        order = client.session.post(f"{api}request/LTA", timeout=20).json()["requestId"]
        (state,) = client.get(f"{api}request?ids={order}").json()
        assert state["downloadUrl"].startswith(f"http://localhost:{port}/datamgr/")
        assert client.get(state["downloadUrl"]).status_code == 200


ASKED = [
    ("sandbox.example", {}, "http://sandbox.example"),
    ("[::1]:8080", {}, "http://[::1]:8080"),
    ("inside:8080", {"X-Forwarded-Host": "outside.example", "X-Forwarded-Proto": "https"}, "https://outside.example"),
    ("inside", {"X-Forwarded-Host": "one.example, two.example", "X-Forwarded-Proto": "gopher"}, "http://one.example"),
    ("inside", {"X-Forwarded-Host": "evil/path"}, "http://inside"),
    (None, {}, None),
    ("", {}, None),
    ('x","downloadUrl":"http://evil/', {}, None),
    ("user@evil", {}, None),
    ("evil/..", {}, None),
    ("evil?x", {}, None),
    ("a b", {}, None),
    ("evil:port", {}, None),
    ("{id}", {}, None),
    ("a" * 300, {}, None),
]


@pytest.mark.parametrize(("host", "more", "origin"), ASKED)
def test_only_valid_hosts_get_into_links(client, host, more, origin):
    asked = http.client.HTTPConnection("127.0.0.1", client.sandbox.port, timeout=20)
    asked.putrequest("GET", f"/api/search/products?ids={EXAMPLE}", skip_host=True)
    for name, value in {**({} if host is None else {"Host": host}), **more}.items():
        asked.putheader(name, value)
    asked.putheader("Authorization", client.session.headers["Authorization"])
    asked.endheaders()
    (row,) = json.loads(asked.getresponse().read())
    asked.close()
    assert row["downloadUrl"].startswith(f"{origin or client.sandbox.origin}/datamgr/")
    assert {name for name in row if str(row[name]).startswith("http://evil")} == set()
