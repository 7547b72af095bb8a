"""The API session against servers on loopback: retries, errors and redaction."""

import gzip
import json
import logging
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import LoopbackServer
from raw_servers import RawServer, read_head

from sedas_sync.errors import ArchiveError, StoppedError
from sedas_sync.files.threads import Pool
from sedas_sync.model.scene import Reach
from sedas_sync.net import certificates, policy, redact, retry, session


class Server(LoopbackServer):
    """Answers with a script: each entry is (status, headers, body) or "drop"; the last one is repeated."""

    def __init__(self, *script):
        self.script = list(script)
        super().__init__("/api/x")

    def reply(self, path, headers, body):
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        return None if step == "drop" else step


@pytest.fixture
def serve():
    servers = []

    def start(*script):
        servers.append(Server(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def make_api():
    made = []

    def make(**options):
        waits = []
        api = session.Api(**{"sleep": waits.append, "chance": lambda: 1.0, "environ": {}, **options})
        made.append(api)
        return api, waits

    yield make
    for api in made:
        api.close()


OK = (200, {}, b"{}")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_temporary_status_is_retried_with_growing_pauses(serve, make_api, status):
    server = serve((status, {}, b""), (status, {}, b""), (status, {}, b""), OK)
    api, waits = make_api()
    assert api.send("GET", server.url).ok
    assert waits == [1.0, 2.0, 4.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 501])
def test_permanent_status_is_not_retried(serve, make_api, status):
    server = serve((status, {}, b""))
    api, waits = make_api()
    assert api.send("GET", server.url).status == status
    assert waits == []


def test_attempts_are_limited(serve, make_api):
    server = serve((503, {}, b""))
    api, waits = make_api(retries=2)
    assert api.send("GET", server.url).status == 503
    assert (len(server.requests), len(waits)) == (3, 2)


def test_retry_after_in_seconds_and_as_a_date_is_obeyed(serve, make_api):
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    dated = {"Date": format_datetime(now, usegmt=True)}
    later = format_datetime(now + timedelta(seconds=33), usegmt=True)
    server = serve((503, {"Retry-After": "7"}, b""), (429, {**dated, "Retry-After": later}, b""), OK)
    api, waits = make_api()
    # http.server sends its own Date first; the joined header is not a date, so the local clock counts.
    assert api.send("GET", server.url).ok
    assert waits[0] == 7.0
    assert len(waits) == 2


def test_date_of_the_server_is_what_retry_after_counts_from():
    reply = session.Reply(
        429,
        "u",
        b"",
        {"Date": "Fri, 02 Jan 2026 03:04:05 GMT", "Retry-After": "Fri, 02 Jan 2026 03:04:38 GMT"},
    )
    assert reply.retry_after == 33.0


def test_server_time_follows_dates_of_answers(serve, make_api):
    """The clock runs between answers, and `Age` is the age of a cached answer."""
    server, (api, _) = serve(OK, (200, {"Age": "7200"}, b"{}"), (200, {"Age": "9" * 30}, b"{}")), make_api()
    assert api.server_time is None
    api.send("GET", server.url)
    assert abs((api.server_time - datetime.now(UTC)).total_seconds()) < 60
    api.send("GET", server.url)
    api.send("GET", server.url)
    assert abs((api.server_time - datetime.now(UTC)).total_seconds() - 7200) < 60


@pytest.mark.parametrize(("asked", "read"), [("4000", 4000), ("1000000000", 1e9), ("9" * 500, 1e9)])
def test_too_long_retry_after_is_reported(serve, make_api, asked, read):
    server = serve((503, {"Retry-After": asked}, b""))
    api, waits = make_api()
    reply = api.send("GET", server.url)
    assert reply.error("a search").retry_after == read
    assert waits == []


def test_broken_connection_is_retried_except_for_an_order(serve, make_api):
    server = serve("drop", OK)
    api, _ = make_api()
    assert api.send("GET", server.url).ok
    server = serve("drop", OK)
    with pytest.raises(ArchiveError, match="not known") as raised:
        api.send("POST", server.url, repeat=False)
    assert not raised.value.retryable
    assert len(server.requests) == 1


@pytest.mark.parametrize(("status", "asked"), [(500, 1), (502, 1), (504, 1), (429, 1), (503, 2)])
def test_order_is_repeated_only_if_the_server_did_not_act(serve, make_api, status, asked):
    server = serve((status, {}, b""), OK)
    api, _ = make_api()
    api.send("POST", server.url, repeat=False)
    assert len(server.requests) == asked


def test_order_is_repeated_if_no_connection_was_made(make_api):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    api, waits = make_api(retries=2)
    with pytest.raises(ArchiveError, match="refused the connection") as raised:
        api.send("POST", f"http://127.0.0.1:{port}/", repeat=False)
    assert len(waits) == 2
    assert "not known" not in str(raised.value)


def test_stalled_answer_fails(make_api):
    with socket.create_server(("127.0.0.1", 0)) as server:
        api, _ = make_api(retries=0, stall_timeout=0.1)
        with pytest.raises(ArchiveError, match="stopped answering") as raised:
            api.send("GET", f"http://127.0.0.1:{server.getsockname()[1]}/")
    assert raised.value.retryable


def test_truncated_answer_is_retried(serve, make_api):
    server = serve((200, {"Content-Length": "50", "Connection": "close"}, b"half"), OK)
    api, waits = make_api()
    assert api.send("GET", server.url).body == b"{}"
    assert len(waits) == 1


@pytest.mark.parametrize("body", [b"x" * 3000, gzip.compress(b"x" * 3000, mtime=0)])
def test_endless_answer_fails(serve, make_api, body):
    headers = {"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {}
    api, _ = make_api(max_answer=2000)
    with pytest.raises(ArchiveError, match="longer than 2000 bytes"):
        api.send("GET", serve((200, headers, body)).url)


def test_slow_answer_fails(serve, make_api):
    ticks = iter(range(0, 10**6, 1000))
    api, _ = make_api(clock=lambda: next(ticks))
    with pytest.raises(ArchiveError, match="took more than"):
        api.send("GET", serve(OK).url)


def test_redirect_is_not_followed(serve, make_api):
    elsewhere = serve(OK)
    server = serve((302, {"Location": elsewhere.url}, b""))
    api, _ = make_api()
    reply = api.send("GET", server.url, headers={"Authorization": "Token abc"})
    assert "not followed" in str(reply.error("a search"))
    assert elsewhere.requests == []


@pytest.mark.parametrize("location", ["http://[::bad", "http://\xe9\xff/x", ""])
def test_redirect_to_an_invalid_url_is_an_ordinary_answer(serve, make_api, location):
    api, _ = make_api()
    reply = api.send("GET", serve((302, {"Location": location}, b"")).url)
    assert (reply.status, reply.ok) == (302, False)
    assert "not followed" in str(reply.error("a search"))


def test_request_headers(serve, make_api):
    server = serve(OK)
    api, _ = make_api()
    api.send("POST", server.url, json={"ä": 1}, headers={"Authorization": "Token abc"})
    _, _, headers, body = server.requests[0]
    assert headers["User-Agent"].startswith("sedas-sync/")
    assert headers["Accept"] == headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Token abc"
    assert json.loads(body) == {"ä": 1}


def test_netrc_does_not_replace_the_token(serve, make_api, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = serve(OK)
    api, _ = make_api()
    api.send("GET", server.url, headers={"Authorization": "Token abc"})
    assert server.requests[0][2]["Authorization"] == "Token abc"


def test_stop_ends_a_wait(serve):
    server = serve((503, {}, b""))
    api = session.Api(environ={})
    threading.Timer(0.2, api.stop).start()
    with pytest.raises(ArchiveError, match="stopped"):
        api.send("GET", server.url)
    api.close()


BODY = b'["an answer that takes a minute"]'


def drip(sock, began, go_on):
    """Answer with a byte a second, until the test goes on."""
    read_head(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY))
    for byte in BODY:
        sock.sendall(bytes([byte]))
        began.set()
        go_on.wait(1)


@pytest.mark.parametrize("ending", ["stop", "close"])
def test_stop_cuts_an_answer_that_comes_slowly(ending):
    began, go_on = threading.Event(), threading.Event()
    api = session.Api(environ={})
    with RawServer(lambda sock, _: drip(sock, began, go_on)) as server, Pool(1) as pool:
        asked = pool.submit(api.send, "GET", server.url)
        assert began.wait(10)
        before = time.monotonic()
        getattr(api, ending)()
        with pytest.raises(StoppedError):
            asked.result(10)
        assert time.monotonic() - before < 1
        with pytest.raises(StoppedError):
            api.send("GET", server.url)
        go_on.set()
    assert server.accepted == 1


def test_an_order_that_was_sent_gets_its_answer_after_a_stop():
    began, go_on = threading.Event(), threading.Event()
    api = session.Api(environ={})
    with RawServer(lambda sock, _: drip(sock, began, go_on)) as server, Pool(1) as pool:
        asked = pool.submit(api.send, "POST", server.url, repeat=False)
        assert began.wait(10)
        api.stop()
        go_on.set()
        assert asked.result(10).body == BODY
    api.close()


def test_final_answer_is_returned_despite_its_status(serve, make_api):
    server = serve((500, {}, b"No enum constant x"), OK)
    api, _ = make_api()
    assert api.send("GET", server.url, final=lambda reply: reply.says("no ENUM")).status == 500


def test_unknown_host_name(make_api):
    api, _ = make_api(retries=0)
    with pytest.raises(ArchiveError, match=r"nowhere\.invalid is not found"):
        api.send("GET", "https://nowhere.invalid/")


def test_tls_with_a_plain_server_fails(serve, make_api):
    server = serve(OK)
    api, waits = make_api()
    with pytest.raises(ArchiveError, match="TLS connection"):
        api.send("GET", server.url.replace("http:", "https:"))
    assert waits == []


def test_missing_ca_bundle_is_reported(make_api):
    api, _ = make_api(environ={"REQUESTS_CA_BUNDLE": "/no/such/bundle.pem"})
    with pytest.raises(ArchiveError, match="REQUESTS_CA_BUNDLE"):
        api.send("GET", "https://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"REQUESTS_CA_BUNDLE": ""}, None),
        ({"REQUESTS_CA_BUNDLE": " ", "CURL_CA_BUNDLE": "/b"}, "CURL_CA_BUNDLE"),
        ({"SSL_CERT_FILE": "/f", "REQUESTS_CA_BUNDLE": "/r"}, "REQUESTS_CA_BUNDLE"),
        ({"SSL_CERT_FILE": "/f", "SSL_CERT_DIR": "/d"}, "SSL_CERT_FILE"),
        ({"SSL_CERT_DIR": "/d"}, "SSL_CERT_DIR"),
    ],
)
def test_first_variable_that_is_not_blank_names_the_authorities(environ, expected):
    found = certificates.ca_bundle(environ)
    assert (None if found is None else found[0]) == expected


@pytest.mark.parametrize(
    ("environ", "url", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.org/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": " "}, "https://a.org/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "https_proxy": "q:2"}, "https://a.org/", "http://q:2"),
        ({"HTTPS_PROXY": "u:p%40@h:3128"}, "https://a.org/", "http://u:p%40@h:3128"),
        ({"HTTPS_PROXY": "[fd00::1]:3128"}, "https://a.org/", "http://[fd00::1]:3128"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.org/", None),
        ({"ALL_PROXY": "http://p"}, "https://a.org/", "http://p:80"),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.0.0.1:9/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:9/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://[::1]:9/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://127.1/", None),
    ],
)
def test_proxies(environ, url, expected):
    proxy = policy.proxy_for(url, environ)
    assert (None if proxy is None else proxy.url) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("a.org", "https://a.org/", True),
        ("A.ORG.", "https://a.org./", True),
        ("a.org", "https://b.a.org/", True),
        (".a.org", "https://b.a.org/", True),
        (".a.org", "https://a.org/", True),
        ("*.a.org", "https://b.a.org/", True),
        ("a.org", "https://ba.org/", False),
        ("a.org:443", "https://a.org/", True),
        ("a.org:8443", "https://a.org/", False),
        ("a.org:8443", "https://a.org:8443/", True),
        ("x.org, *", "https://a.org/", True),
        ("x.org a.org", "https://a.org/", True),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("10.1.2.3:444", "https://10.1.2.3/", False),
        ("fd00::/8", "https://[fd00::7]/", True),
        ("[fd00::7]:443", "https://[fd00::7]/", True),
        ("[fd00::7]", "https://[fd00::7]/", True),
        ("fd00::7", "https://[fd00::7]/", True),
        (" ", "https://a.org/", False),
        (",", "https://a.org/", False),
        ("10.0.0.0/99", "https://10.1.2.3/", False),
    ],
)
def test_hosts_in_no_proxy_are_asked_directly(no_proxy, url, direct):
    assert (policy.proxy_for(url, {"HTTPS_PROXY": "p:1", "NO_PROXY": no_proxy}) is None) is direct


@pytest.mark.parametrize(
    ("address", "local", "never"),
    [
        ("93.184.215.14", True, True),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True, True),
        *(
            (text, True, False)
            for text in ("10.1.2.3", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd12::1", "127.9.9.9")
        ),
        *((text, True, False) for text in ("::1", "::ffff:10.0.0.1", "fec0::1", "64:ff9b::a00:1", "2002:a00:1::")),
        *((text, False, False) for text in ("169.254.0.1", "fe80::1", "0.0.0.0", "::", "ff02::1", "239.1.1.1")),
        *((text, False, False) for text in ("::ffff:169.254.169.254", "::169.254.169.254", "100.100.100.200")),
    ],
)
def test_allowed_addresses_of_links(address, local, never):
    """For an archive on a private network and for a public one."""
    for api, allowed in (("http://10.0.0.1/", local), ("https://198.41.0.4/", never)):
        try:
            policy.check_address("host.example.org", ip_address(address), Reach(api=api))
        except policy.PermanentError:
            assert not allowed
        else:
            assert allowed


def test_trusted_host_may_be_private_but_not_link_local():
    reach = Reach(api="https://198.41.0.4/", trusted_hosts=("data.example.org", "*.inner.example.org", "10.0.0.9"))
    for host, address in (("data.example.org", "10.0.0.1"), ("a.inner.example.org", "fd00::1"), ("10.0.0.9",) * 2):
        policy.check_address(host, ip_address(address), reach)
    for host, address in (("inner.example.org", "10.0.0.1"), ("data.example.org", "169.254.169.254")):
        with pytest.raises(policy.PermanentError):
            policy.check_address(host, ip_address(address), reach)
    with pytest.raises(policy.PermanentError, match="not this machine"):
        policy.check_address("evil.localhost", ip_address("93.184.215.14"), reach)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"errorCode":400,"errorMessage":"no such filter"}', "status 400: no such filter"),
        (b"<html><title>Not Found</title></html>", "a page titled 'Not Found'"),
        (b"bad \x1b[31mred\x07 text\r\n", "bad [31mred text"),
        (b'{"password":"hunter22"', "***"),
        (b"", "status 400"),
    ],
)
def test_error_bodies_are_quoted_safely(body, words):
    text = str(session.Reply(400, "u", body, {}).error("a search"))
    assert words in text
    assert text.isprintable()
    assert "hunter22" not in text


def test_long_error_body_is_shortened():
    assert len(str(session.Reply(400, "u", b"x" * 10**6, {}).error("a search"))) < 400


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, b"\xff\xfe", b""])
def test_answer_that_is_not_json_is_reported(body):
    with pytest.raises(ArchiveError, match="not JSON"):
        session.Reply(200, "u", body, {}).json("a search")


SECRET = "s3cr3t-Value/42"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Token {SECRET}",
        f"{{'Authorization': 'Token {SECRET}'}}",
        f'{{"Authorization": "Token {SECRET}"}}',
        f"send: b'GET / HTTP/1.1\\r\\nAuthorization: Token {SECRET}\\r\\n'",
        f'{{"username": "ann", "password": "{SECRET}"}}',
        f'{{"username": "ann", "password": "{SECRET}',
        f"{{'password': '{SECRET}'}}",
        f'b\'{{\\"password\\": \\"{SECRET}\\"}}\'',
        f'{{"token":"{SECRET}","validUntil":"x"}}',
        f"https://ann:{SECRET}@example.org/path",
        f"https://ann:p@{SECRET}@example.org/path",
        f"GET /x?token={SECRET}&a=b",
        f"password={SECRET}",
        f"('Authorization', 'Token {SECRET}')",
        f"Bearer {SECRET}",
    ],
)
def test_secrets_are_masked_in_their_usual_places(text):
    assert SECRET not in redact.redact(text)


@pytest.mark.parametrize(
    "text", ["User token does not exist", "https://example.org/a?p=Default&sceneid=S2A.zip", "a@b.org"]
)
def test_ordinary_text_stays(text):
    assert redact.redact(text) == text


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=8, max_size=40))
def test_known_secret_is_masked_anywhere(secret):
    redact.remember_secret(secret)
    try:
        assert secret not in redact.redact(f"before {secret} after").removeprefix("before ")
    finally:
        redact._secrets.clear()


def test_no_secret_reaches_a_log_at_any_verbosity(serve, make_api):
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(self.format(record))

    plain, own = Keep(), Keep()
    plain.addFilter(redact.RedactingFilter())
    own.setFormatter(redact.RedactingFormatter("%(name)s %(message)s"))
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.DEBUG)
    for handler in (plain, own):
        root.addHandler(handler)
    try:
        api, _ = make_api(retries=0)
        headers = {"Authorization": f"Token {SECRET}"}
        api.send("POST", serve(OK).url + f"?token={SECRET}", json={"password": SECRET}, headers=headers)
        try:
            int(f"Token {SECRET}")
        except ValueError:
            logging.getLogger("x").exception("failed with %r", headers)
    finally:
        root.setLevel(before)
        for handler in (plain, own):
            root.removeHandler(handler)
    assert any("urllib3" in line for line in lines)
    assert any("Traceback" in line for line in lines)
    assert SECRET not in "\n".join(lines)


@given(st.integers(0, 200), st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_bounds(attempt, chance):
    assert 0.5 <= retry.backoff(attempt, chance) <= 60.0


@pytest.mark.parametrize("end", ["interrupt", "stop"])
def test_a_request_that_waits_for_its_answer_is_ended_if_it_may_be_sent_again(end):
    from sedas_sync.sandbox import Faults, Rule, Sandbox
    from sedas_sync.sandbox.faults import stall

    asked = threading.Event()

    def endless(request, answer):
        asked.set()
        return stall(0)(request, answer)

    with Sandbox(faults=Faults(rules=(Rule("any", endless, times=1),))) as server:
        api = session.Api()
        ended = []

        def ask():
            try:
                api.send("POST", f"{server.url}login", json={})
            except StoppedError as error:
                ended.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        assert asked.wait(60)
        getattr(api, end)()
        thread.join(60)
        assert len(ended) == 1
        if end == "interrupt":
            assert api.send("POST", f"{server.url}login", json={}).status != 0
        else:
            with pytest.raises(StoppedError):
                api.send("POST", f"{server.url}login", json={})
        api.close()
