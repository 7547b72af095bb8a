"""Redirects, secrets, TLS and proxies, against real sockets."""

import base64
import select
import socket
import ssl
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from faultserver import NEAR, FaultServer, Served, make_zip
from proxyserver import Proxy, certify

from sedas_sync import errors
from sedas_sync.archives.head_sizes import remote_sizes
from sedas_sync.model.scene import Download, Reach
from sedas_sync.net import connections, session, sockets
from sedas_sync.net.policy import may_carry_secret
from sedas_sync.net.sockets import StoppableContext, StoppableSocket
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, Policy
from sedas_sync.transfer.shared_state import SharedState

DATA = make_zip(200_000)
SECRET = "Token 5f3a-very-secret"
VARIABLES = (
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)
HOST = "data.example.org"
"""A public name; the proxy of the test leads it to a server on loopback."""
FAR = Reach(api="https://198.41.0.4/")
"""The rule of a public archive. Nothing is sent there."""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server():
    with FaultServer() as running:
        running.paths["/scene.zip"] = Served(DATA)
        yield running


@pytest.fixture
def live():
    shared = SharedState()
    yield shared
    shared.close()


def get(url, root, live, *, reach=NEAR, **policy):
    download = Download(url=url, headers={"Authorization": SECRET}, reach=reach)
    policy = Policy(**{"backoff": 0.0, "stall_timeout": 1.0, "retries": 1, **policy})
    return fetch(
        FetchJob(id="S", download=download, root=str(root), path="S.zip", partial="S.part", policy=policy), live
    )


def authorised(server):
    return ["authorization" in request.headers for request in server.seen]


# -- redirects


def test_token_stays_within_its_origin(server, tmp_path, live):
    with FaultServer() as other:
        other.paths["/scene.zip"] = Served(DATA, faults=["redirect:" + server.url()])
        server.paths["/a"] = Served(b"", faults=["redirect:/b"])
        server.paths["/b"] = Served(b"", faults=["redirect:" + other.url()])
        get(server.url("/a"), tmp_path, live)
        assert authorised(other) == [False]
    # Back at the first origin the token is not sent again, because the host that redirected is not trusted.
    assert authorised(server) == [True, True, False]
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_resume_works_behind_a_redirect(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:/scene.zip"] * 2)
    server.paths["/scene.zip"].faults = ["cut:50000"]
    get(server.url("/a"), tmp_path, live)
    assert server.seen[-1].headers["range"] == "bytes=50000-"
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_circle_of_redirects_ends(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:/a"] * 20)
    with pytest.raises(errors.TransferError, match="redirects more than 5 times"):
        get(server.url("/a"), tmp_path, live)
    assert len(server.seen) == 6


@pytest.mark.parametrize("location", ["http://[::1/x", "http://a b/x", "http://a:99999/x"])
def test_redirect_to_an_invalid_url_is_reported(server, tmp_path, live, location):
    server.paths["/a"] = Served(b"", faults=[f"redirect:{location}"])
    with pytest.raises(errors.TransferError, match="redirects to an invalid URL"):
        get(server.url("/a"), tmp_path, live)


def test_portal_behind_a_redirect_asks_for_a_new_link_at_once(server, tmp_path, live):
    with FaultServer() as portal:
        portal.paths["/login"] = Served(b"", faults=["html"] * 9)
        server.paths["/a"] = Served(b"", faults=["redirect:" + portal.url("/login")] * 9)
        with pytest.raises(errors.TransferError, match="an HTML page") as caught:
            get(server.url("/a"), tmp_path, live)
        assert caught.value.relocate
        assert len(portal.seen) == 1


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/a.zip",
        "file:///etc/passwd",
        "h/a.zip",
        "http://",
        "http://h:x/",
        "https://[/",
        "https://a b/c",
        "https://a<b/c",
    ],
)
def test_links_that_are_not_http_are_refused(tmp_path, live, url):
    with pytest.raises(errors.TransferError, match="not a valid http or https URL"):
        get(url, tmp_path, live)


def test_redirect_to_something_else_than_the_web_is_refused(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:file:///etc/passwd"])
    with pytest.raises(errors.TransferError, match="not an http or https"):
        get(server.url("/a"), tmp_path, live)


def test_header_with_a_line_break_is_not_sent(server, tmp_path, live):
    download = Download(url=server.url(), headers={"Authorization": "a\r\nX-Injected: 1"}, reach=NEAR)
    with pytest.raises(errors.TransferError, match="line break") as caught:
        fetch(FetchJob(id="S", download=download, root=str(tmp_path), path="S.zip", partial="S.part"), live)
    assert "Injected" not in str(caught.value)
    assert server.seen == []


def test_requests_name_client_and_content(server, tmp_path, live):
    server.paths["/a b"] = server.paths["/a%20b"] = Served(DATA)
    get(server.url("/a b?x=é"), tmp_path, live)
    request = server.seen[0]
    assert request.target == "/a%20b?x=%C3%A9"
    assert request.headers["user-agent"].startswith("sedas-sync/")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_connection_is_reused(server, tmp_path, live):
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        get(server.url(), tmp_path / str(number), live)
    assert server.accepted == 1


def test_closed_idle_connection_costs_no_attempt(server, tmp_path, live):
    server.paths["/scene.zip"].faults = ["ok", "drop"]
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        get(server.url(), tmp_path / str(number), live, retries=0)
    assert server.accepted == 2


# -- valid and invalid HTTP


def answers(raw, *, after=b""):
    """A server that sends one raw answer to each connection."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                while b"\r\n\r\n" not in sock.recv(65536):
                    pass
                for piece in raw if isinstance(raw, list) else [raw]:
                    sock.sendall(piece)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return listener


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: %d, %d\r\n\r\n" % (len(DATA), len(DATA)) + DATA,
        b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200\r\ncontent-length:%d\r\n\r\n" % len(DATA) + DATA,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA) + DATA,
        b"HTTP/1.0 200 OK\r\n\r\n" + DATA,
        b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % len(DATA) + DATA,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n%X\r\n" % len(DATA)
        + DATA
        + b"\r\n0\r\n\r\n",
        [b"HTTP/1.1 20", b"0 OK\r\nContent-Le", b"ngth: %d\r\n\r" % len(DATA), b"\n", DATA[:5], DATA[5:]],
    ],
)
def test_unusual_valid_answers(tmp_path, live, raw):
    with answers(raw) as listener:
        get(f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path, live)
        listener.shutdown(socket.SHUT_RDWR)
    assert (tmp_path / "S.zip").read_bytes() == DATA


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "middle of the body"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nPK\x03\x04zz\r\n0\r\n\r\n",
            "in the middle of the body",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\n", "middle of the body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000, "more than 100 headers"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a\r\n\r\n", "sent an empty body"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 100, "more than 20 interim answers"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"", "closed the connection without an answer"),
    ],
)
def test_answers_that_are_wrong(tmp_path, live, raw, message):
    with answers(raw) as listener:
        with pytest.raises(errors.TransferError, match=message):
            get(f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path, live, retries=0)
        listener.shutdown(socket.SHUT_RDWR)
    assert not (tmp_path / "S.zip").exists()


def test_secret_is_not_sent_over_plain_http_to_another_machine():
    for url, sent in {
        "http://example.org/a": False,
        "https://example.org/a": True,
        "http://127.0.0.1:9/a": True,
        "http://[::1]/a": True,
        "http://localhost/a": True,
        "http://localhost.example.org/a": False,
    }.items():
        origin, _ = connections.split(url)
        assert origin.may_carry_secret is may_carry_secret(url) is sent


@pytest.mark.parametrize(
    "url",
    ["https://user@example.org/a", "https://example.org\\@other.example.org/a", "ftp://localhost/a", "https:///a"],
)
def test_secret_is_not_sent_to_a_url_that_parsers_may_read_in_different_ways(url):
    assert may_carry_secret(url) is False


# -- TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """An untrusted certificate for 127.0.0.1, with its key in one file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
        ],
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture
def secure(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with FaultServer(tls=context) as running:
        running.paths["/scene.zip"] = Served(DATA)
        yield running


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_bundle_of_the_environment_is_trusted(secure, certificate, tmp_path, live, monkeypatch, variable):
    monkeypatch.setenv(variable, str(certificate / "cert.pem"))
    if variable == "CURL_CA_BUNDLE":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    secure.paths["/scene.zip"].faults = ["cut:50000", "stall:70000", "chunked", "flip"]
    get(secure.url(), tmp_path, live, retries=4, stall_timeout=0.3)
    assert (tmp_path / "S.zip").read_bytes() == DATA
    assert all(authorised(secure))


def test_certificate_that_is_not_trusted_is_refused_once(secure, tmp_path, live):
    with pytest.raises(errors.TransferError, match=r"certificate of https://127\.0\.0\.1:.* is not trusted") as caught:
        get(secure.url(), tmp_path, live, retries=5)
    assert not caught.value.retryable
    assert (secure.accepted, secure.seen) == (1, [])


def test_certificate_for_another_name_is_refused(secure, certificate, tmp_path, live, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "cert.pem"))
    with pytest.raises(errors.TransferError, match="not trusted"):
        get(secure.url().replace("127.0.0.1", "localhost"), tmp_path, live)
    assert secure.seen == []


def test_unreadable_ca_bundle_is_reported(secure, tmp_path, live, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "nobody.pem"))
    with pytest.raises(errors.TransferError, match=r"nobody\.pem"):
        get(secure.url(), tmp_path, live)


def test_https_does_not_become_http_by_a_redirect(secure, server, certificate, tmp_path, live, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "cert.pem"))
    secure.paths["/a"] = Served(b"", faults=["redirect:" + server.url()])
    with pytest.raises(errors.TransferError, match="plain http"):
        get(secure.url("/a"), tmp_path, live)
    assert server.seen == []


def test_http_may_become_https_and_the_token_stays_behind(secure, server, certificate, tmp_path, live, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "cert.pem"))
    server.paths["/a"] = Served(b"", faults=["redirect:" + secure.url()])
    get(server.url("/a"), tmp_path, live)
    assert authorised(secure) == [False]


# -- proxies


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="session")
def identity(authority):
    return certify(authority, HOST)


@pytest.fixture
def public(identity):
    """A server with a public name."""
    with FaultServer(tls=identity) as running:
        running.paths["/scene.zip"] = Served(DATA)
        yield running


LINK = f"https://{HOST}/scene.zip"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_address_needs_no_proxy(server, tmp_path, live, monkeypatch, variable):
    with Proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url)
        get(server.url(), tmp_path, live)
        (tmp_path / "b").mkdir()
        get(server.url().replace("127.0.0.1", "localhost"), tmp_path / "b", live)
        assert proxy.asked == []
    assert authorised(server) == [True, True]


def test_plain_http_goes_through_the_proxy_without_the_token(server, tmp_path, live, monkeypatch):
    with Proxy({HOST: server.port}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        get(f"http://{HOST}/scene.zip", tmp_path, live)
        assert proxy.asked == [("GET", f"http://{HOST}/scene.zip")]
        assert "authorization" not in proxy.headers[0]
    assert (tmp_path / "S.zip").read_bytes() == DATA


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_https_goes_through_a_tunnel_that_does_not_see_the_token(
    public, authority, tmp_path, live, monkeypatch, variable, scheme
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority / "ca.pem"))
    login = "Basic " + base64.b64encode(b"us er:p@ss").decode()
    with Proxy({HOST: public.port}, login=login) as proxy:
        monkeypatch.setenv(variable, f"{scheme}us%20er:p%40ss@127.0.0.1:{proxy.port}")
        get(LINK, tmp_path, live)
        assert proxy.asked == [("CONNECT", f"{HOST}:443")]
        assert "authorization" not in proxy.headers[0]
    assert authorised(public) == [True]
    assert "proxy-authorization" not in public.seen[0].headers
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_no_proxy_is_obeyed(tmp_path, live, monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "10.0.0.0/8, .invalid")
        with pytest.raises(errors.TransferError, match=r"https://archive\.invalid cannot be reached"):
            get("https://archive.invalid/scene.zip", tmp_path, live, retries=0)
        assert proxy.asked == []


@pytest.mark.parametrize("blank", ["", " "])
def test_blank_variables_count_as_not_set(server, tmp_path, live, monkeypatch, blank):
    for name in VARIABLES:
        monkeypatch.setenv(name, blank)
    get(server.url(), tmp_path, live)


@pytest.mark.parametrize("link", [LINK, f"http://{HOST}/scene.zip"])
def test_proxy_that_refuses_the_login_is_not_retried(tmp_path, live, monkeypatch, link):
    with Proxy(login="Basic x") as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://u:hidden@127.0.0.1:{proxy.port}")
        with pytest.raises(errors.TransferError, match=f"proxy 127.0.0.1:{proxy.port} .of ALL_PROXY.*407") as caught:
            get(link, tmp_path, live, retries=3)
        assert len(proxy.asked) == 1
        assert "hidden" not in str(caught.value)


def test_proxy_error_is_retried(tmp_path, live, monkeypatch):
    with Proxy(status=502) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        with pytest.raises(errors.TransferError, match="does not reach"):
            get(LINK, tmp_path, live, retries=2)
        assert len(proxy.asked) == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("http://u:hidden@127.0.0.1:9", "proxy 127.0.0.1:9 (of HTTPS_PROXY) cannot be reached (Connection refused)"),
        ("u:hidden@127.0.0.1:9", "proxy 127.0.0.1:9 (of HTTPS_PROXY) cannot be reached (Connection refused)"),
        ("u:hidden@proxy.invalid:3128", "proxy proxy.invalid:3128 (of HTTPS_PROXY) is not found"),
        ("socks5h://u:hidden@127.0.0.1:9", "proxy 127.0.0.1:9 (of HTTPS_PROXY) cannot be reached (Connection refused)"),
        ("https://u:hidden@127.0.0.1:9", "only http:// and SOCKS proxies are supported"),
        ("http://u:hidden@:/", "HTTPS_PROXY is not the address of a proxy"),
        ("http://u:hidden@p:port", "HTTPS_PROXY is not the address of a proxy"),
    ],
)
def test_proxy_that_cannot_be_used_is_named_with_its_variable(tmp_path, live, monkeypatch, value, message):
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(errors.TransferError) as caught:
        get(LINK, tmp_path, live, retries=0)
    assert message in str(caught.value)
    assert "hidden" not in str(caught.value)
    # The API reports the same.
    with closing(session.Api(retries=0)) as api, pytest.raises(errors.ArchiveError) as asked:
        api.send("GET", f"https://{HOST}/api")
    assert message in str(asked.value)
    assert "hidden" not in str(asked.value)
    size = remote_sizes([(1, Download(url=LINK))], jobs=1, connect_timeout=1, stall_timeout=1)
    assert size == {}


@pytest.mark.parametrize("link", [LINK, f"http://{HOST}/x"])
def test_api_reports_a_proxy_that_refuses_the_login(monkeypatch, link):
    with Proxy(login="Basic x") as proxy, closing(session.Api(retries=2)) as api:
        monkeypatch.setenv("ALL_PROXY", f"http://u:hidden@127.0.0.1:{proxy.port}")
        with pytest.raises(errors.ArchiveError, match=f"proxy 127.0.0.1:{proxy.port} .of ALL_PROXY.*407"):
            api.send("GET", link, headers={"Authorization": SECRET})
        assert all("authorization" not in headers for headers in proxy.headers)


def test_sizes_are_requested_through_the_proxy(public, server, authority, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    links = [LINK, f"http://plain.{HOST}/scene.zip", server.url()]
    token = {"Authorization": SECRET}
    with Proxy({HOST: public.port, f"plain.{HOST}": server.port}) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        asked = [(url, Download(url=url, headers=token, reach=NEAR)) for url in links]
        known = remote_sizes(asked, jobs=1, connect_timeout=5, stall_timeout=5)
        assert proxy.asked == [("CONNECT", f"{HOST}:443"), ("HEAD", links[1])]
    assert known == dict.fromkeys(links, len(DATA))
    assert authorised(public) == [True]
    assert authorised(server) == [False, True]


def test_no_secret_header_goes_over_plain_http_for_a_size(public, server, authority, monkeypatch):
    """A token can be in a header of any name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    links = [LINK, f"http://plain.{HOST}/scene.zip"]
    with Proxy({HOST: public.port, f"plain.{HOST}": server.port}) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        asked = [(url, Download(url=url, headers={"X-Api-Key": SECRET}, reach=NEAR)) for url in links]
        assert len(remote_sizes(asked, jobs=1, connect_timeout=5, stall_timeout=5)) == len(links)
        assert all(SECRET not in headers.values() for headers in proxy.headers)
    assert [SECRET in one.headers.values() for one in public.seen] == [True]
    assert [SECRET in one.headers.values() for one in server.seen] == [False]


# -- private certificate authorities


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_downloads_and_the_api_trust_what_the_environment_names(
    public, authority, tmp_path, live, monkeypatch, variable
):
    place = authority / "ca.pem"
    if variable == "SSL_CERT_DIR":
        folder = tmp_path / "certificates"
        folder.mkdir()
        (folder / "ca.pem").write_bytes(place.read_bytes())
        subprocess.run(["openssl", "rehash", folder], check=True)
        place = f"{tmp_path / 'nowhere'}:{folder}"
    monkeypatch.setenv(variable, str(place))
    with Proxy({HOST: public.port}) as proxy, closing(session.Api(retries=0)) as api:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert api.send("GET", LINK).body == DATA
        get(LINK, tmp_path, live)
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_certificate_of_a_company_is_explained(public, tmp_path, live, monkeypatch):
    with Proxy({HOST: public.port}) as proxy, closing(session.Api(retries=0)) as api:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(errors.TransferError) as caught:
            get(LINK, tmp_path, live)
        with pytest.raises(errors.ArchiveError) as asked:
            api.send("GET", LINK)
    for text in (str(caught.value), str(asked.value)):
        assert f"{HOST} is not trusted (unable to get local issuer certificate; it was issued by A Company CA)" in text
        assert "REQUESTS_CA_BUNDLE or SSL_CERT_FILE" in text
    assert public.seen == []


# -- allowed addresses


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "[::ffff:169.254.169.254]"),
        *(
            "[64:ff9b::a9fe:a9fe]",
            "[2002:a9fe:a9fe::1]",
            "[fe80::1]",
            "0.0.0.0",
            "[::]",
            "224.0.0.1",
            "255.255.255.255",
        ),
        *("[fd00:ec2::254]", "\uff11\uff16\uff19.254.169.254"),
    ],
)
@pytest.mark.parametrize("proxied", [False, True])
def test_link_to_a_forbidden_address_is_refused(tmp_path, live, monkeypatch, host, proxied):
    with Proxy() as proxy:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
        with pytest.raises(errors.TransferError, match="no link of a catalogue may lead to one") as caught:
            get(f"http://{host}/latest/meta-data/", tmp_path, live, retries=3)
        assert not caught.value.retryable
        with (
            closing(session.Api(retries=3, reach=NEAR)) as api,
            pytest.raises(errors.ArchiveError, match=r"no link of a|not a valid http"),
        ):
            api.send("GET", f"http://{host}/latest/meta-data/")
        assert proxy.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
def test_link_of_a_public_archive_does_not_lead_to_this_machine(server, tmp_path, live, host):
    link = server.url().replace("127.0.0.1", host)
    with pytest.raises(errors.TransferError, match=r"loopback address.* name .* in\s+trusted_hosts"):
        get(link, tmp_path, live, reach=FAR)
    with closing(session.Api(retries=3, reach=FAR)) as api, pytest.raises(errors.ArchiveError, match="trusted_hosts"):
        api.send("GET", link)
    assert remote_sizes([(1, Download(url=link, reach=FAR))], jobs=1, connect_timeout=1, stall_timeout=1) == {}
    assert server.accepted == 0


@pytest.mark.parametrize("how", ["link", "redirect"])
def test_trusted_private_host_is_allowed(tmp_path, live, server, how):
    trusted = Reach(api=FAR.api, trusted_hosts=("localhost", "127.0.0.1"))
    link = server.url().replace("127.0.0.1", "localhost")
    if how == "redirect":
        server.paths["/a"] = Served(b"", faults=["redirect:" + link])
        link = server.url("/a")
    get(link, tmp_path, live, reach=trusted)
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_redirect_leads_no_further_than_a_link(server, tmp_path, live):
    with FaultServer() as inner:
        inner.paths["/scene.zip"] = Served(DATA)
        server.paths["/a"] = Served(b"", faults=["redirect:" + inner.url()] * 2)
        server.paths["/b"] = Served(b"", faults=["redirect:http://169.254.169.254/latest/"])
        link = server.url().replace("127.0.0.1", "localhost")
        reach = Reach(api=FAR.api, trusted_hosts=("localhost",))
        # A pooled connection of another archive is not used.
        get(inner.url(), tmp_path, live)
        accepted = inner.accepted
        with pytest.raises(errors.TransferError, match="trusted_hosts"):
            get(link.replace("/scene.zip", "/a"), tmp_path, live, reach=reach)
        assert (inner.accepted, len(inner.seen)) == (accepted, 1)
    with pytest.raises(errors.TransferError, match="no link of a catalogue"):
        get(server.url("/b"), tmp_path, live)


@pytest.fixture
def tls_pair(certificate):
    """A TLS connection's stoppable end, and a function that sends bytes over the other end and returns after that."""
    ours, theirs = socket.socketpair()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    client = StoppableContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    with ThreadPoolExecutor(1) as pool:
        accepting = pool.submit(server.wrap_socket, theirs, server_side=True)
        with client.wrap_socket(StoppableSocket.adopt(ours, threading.Event())) as reader, accepting.result() as sender:
            yield reader, sender


def test_a_read_of_tls_takes_all_records_that_have_arrived_and_waits_for_no_more(tls_pair):
    reader, sender = tls_pair
    sender.sendall(b"x" * 65536)
    buffer = bytearray(1 << 20)
    assert reader.recv_into(buffer) == 65536
    sender.sendall(b"y")
    assert reader.recv_into(buffer) == 1
    assert buffer[:1] == b"y"
    sender.shutdown(socket.SHUT_WR)
    assert reader.recv_into(buffer) == 0


def test_tls_that_was_shut_down_gives_no_encrypted_bytes(tls_pair):
    reader, sender = tls_pair
    sender.sendall(b"x" * 65536)
    reader.shutdown(socket.SHUT_RD)
    with pytest.raises(ConnectionAbortedError):
        reader.recv_into(bytearray(1 << 20))


def test_a_wait_for_tls_has_a_limit(tls_pair):
    reader, _ = tls_pair
    reader.settimeout(0.01)
    for read in (reader.recv_into, reader.recv):
        with pytest.raises(TimeoutError):
            read(bytearray(10) if read == reader.recv_into else 10)


def test_a_wait_for_tls_is_longer_than_one_tick(tls_pair, monkeypatch):
    reader, sender = tls_pair
    monkeypatch.setattr(sockets, "TICK", 0.001)

    class Stop(threading.Event):
        checks = 0

        def is_set(self):
            self.checks += 1
            if self.checks == 4:
                sender.sendall(b"late")
            return False

    for read in (reader.recv, lambda most: reader.recv_into(bytearray(most))):
        reader.stop = Stop()
        assert read(10) in (b"late", 4)
        assert reader.stop.checks == 4


# Python's ssl leaves its half-made socket to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_tls_over_a_connection_that_was_reset_is_an_error_of_the_connection():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        ours = sockets.connect(socket.getaddrinfo(*address, type=socket.SOCK_STREAM), 5, threading.Event())
        theirs, _ = listener.accept()
        # Closing it sends a reset at once.
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        waiting = select.poll()
        waiting.register(ours, 0)
        assert waiting.poll(5000)
        with pytest.raises(ConnectionResetError), ours:
            StoppableContext(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(ours, server_hostname="a.example")
