"""Redirects, secrets, TLS and proxies, against real sockets."""

import base64
import socket
import ssl
import subprocess
import threading

import pytest
from faultserver import FaultServer, Served, make_zip

from sedas_sync import errors
from sedas_sync.model import Download
from sedas_sync.transfer import Job, Live, Policy, fetch, wire

DATA = make_zip(200_000)
SECRET = "Token 5f3a-very-secret"
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


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
    shared = Live()
    yield shared
    shared.close()


def get(url, root, live, **policy):
    download = Download(url=url, headers={"Authorization": SECRET})
    policy = Policy(**{"backoff": 0.0, "stall_timeout": 1.0, "retries": 1, **policy})
    return fetch(Job(id="S", download=download, root=str(root), path="S.zip", partial="S.part", policy=policy), live)


def authorised(server):
    return ["authorization" in request.headers for request in server.seen]


# -- redirects


def test_the_token_follows_within_its_origin_and_nowhere_else(server, tmp_path, live):
    with FaultServer() as other:
        other.paths["/scene.zip"] = Served(DATA, faults=["redirect:" + server.url()])
        server.paths["/a"] = Served(b"", faults=["redirect:/b"])
        server.paths["/b"] = Served(b"", faults=["redirect:" + other.url()])
        get(server.url("/a"), tmp_path, live)
        assert authorised(other) == [False]
    # Back at the first origin it is not taken up again: who led there is not to be trusted with that.
    assert authorised(server) == [True, True, False]
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_a_resume_is_asked_for_behind_a_redirect_too(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:/scene.zip"] * 2)
    server.paths["/scene.zip"].faults = ["cut:50000"]
    get(server.url("/a"), tmp_path, live)
    assert server.seen[-1].headers["range"] == "bytes=50000-"
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_a_circle_of_redirects_ends(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:/a"] * 20)
    with pytest.raises(errors.TransferError, match="redirects more than 5 times"):
        get(server.url("/a"), tmp_path, live)
    assert len(server.seen) == 6


def test_a_redirect_to_nowhere_is_said(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:http://[::1/x"])
    with pytest.raises(errors.TransferError, match="redirects to what is no URL"):
        get(server.url("/a"), tmp_path, live)


def test_a_portal_behind_a_redirect_asks_for_a_new_link_at_once(server, tmp_path, live):
    with FaultServer() as portal:
        portal.paths["/login"] = Served(b"", faults=["html"] * 9)
        server.paths["/a"] = Served(b"", faults=["redirect:" + portal.url("/login")] * 9)
        with pytest.raises(errors.TransferError, match="a page of HTML") as caught:
            get(server.url("/a"), tmp_path, live)
        assert caught.value.relocate
        assert len(portal.seen) == 1


@pytest.mark.parametrize(
    "url", ["ftp://h/a.zip", "file:///etc/passwd", "h/a.zip", "http://", "http://h:x/", "https://[/"]
)
def test_what_is_no_web_address_is_refused(tmp_path, live, url):
    with pytest.raises(errors.TransferError, match="the link"):
        get(url, tmp_path, live)


def test_a_redirect_to_something_else_than_the_web_is_refused(server, tmp_path, live):
    server.paths["/a"] = Served(b"", faults=["redirect:file:///etc/passwd"])
    with pytest.raises(errors.TransferError, match="no http or https"):
        get(server.url("/a"), tmp_path, live)


def test_line_breaks_in_a_header_are_not_sent(server, tmp_path, live):
    download = Download(url=server.url(), headers={"Authorization": "a\r\nX-Injected: 1"})
    with pytest.raises(errors.TransferError, match="line break") as caught:
        fetch(Job(id="S", download=download, root=str(tmp_path), path="S.zip", partial="S.part"), live)
    assert "Injected" not in str(caught.value)
    assert server.seen == []


def test_who_asks_and_for_what_is_said(server, tmp_path, live):
    server.paths["/a b"] = server.paths["/a%20b"] = Served(DATA)
    get(server.url("/a b?x=é"), tmp_path, live)
    request = server.seen[0]
    assert request.target == "/a%20b?x=%C3%A9"
    assert request.headers["user-agent"].startswith("sedas-sync/")
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


def test_a_connection_serves_one_scene_after_the_other(server, tmp_path, live):
    for number in range(5):
        (tmp_path / str(number)).mkdir()
        get(server.url(), tmp_path / str(number), live)
    assert server.accepted == 1


def test_a_connection_that_was_given_up_meanwhile_costs_no_try(server, tmp_path, live):
    server.paths["/scene.zip"].faults = ["ok", "drop"]
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        get(server.url(), tmp_path / str(number), live, retries=0)
    assert server.accepted == 2


# -- what HTTP allows and what it does not


def answers(raw, *, after=b""):
    """A server that gives one raw answer to each connection, then ends."""
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
        b"HTTP/1.0 200 OK\r\n\r\n" + DATA,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n%X\r\n" % len(DATA)
        + DATA
        + b"\r\n0\r\n\r\n",
        [b"HTTP/1.1 20", b"0 OK\r\nContent-Le", b"ngth: %d\r\n\r" % len(DATA), b"\n", DATA[:5], DATA[5:]],
    ],
)
def test_unusual_answers_that_are_right(tmp_path, live, raw):
    with answers(raw) as listener:
        get(f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path, live)
        listener.shutdown(socket.SHUT_RDWR)
    assert (tmp_path / "S.zip").read_bytes() == DATA


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk without a length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nPK\x03\x04zz\r\n0\r\n\r\n", "longer than it said"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\n", "chunk without a length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000, "headers without an end"),
        (b"HTTP/1.1 200 OK\r\nContent-Type: a\r\n\r\n", "sent nothing"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
        (b"", "hung up without an answer"),
    ],
)
def test_answers_that_are_wrong(tmp_path, live, raw, told):
    with answers(raw) as listener:
        with pytest.raises(errors.TransferError, match=told):
            get(f"http://127.0.0.1:{listener.getsockname()[1]}/", tmp_path, live, retries=0)
        listener.shutdown(socket.SHUT_RDWR)
    assert not (tmp_path / "S.zip").exists()


def test_a_secret_is_not_sent_over_plain_http_to_another_machine():
    for url, sent in {
        "http://example.org/a": False,
        "https://example.org/a": True,
        "http://127.0.0.1:9/a": True,
        "http://[::1]/a": True,
        "http://localhost/a": True,
        "http://localhost.example.org/a": False,
    }.items():
        origin, _ = wire.split(url)
        assert (origin.scheme == "https" or origin.loopback) is sent


# -- TLS


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A certificate for 127.0.0.1 that nobody trusts, with its key in one file."""
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
def test_the_bundle_of_the_environment_is_trusted(secure, certificate, tmp_path, live, monkeypatch, variable):
    monkeypatch.setenv(variable, str(certificate / "cert.pem"))
    if variable == "CURL_CA_BUNDLE":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    secure.paths["/scene.zip"].faults = ["cut:50000", "stall:70000", "chunked", "flip"]
    get(secure.url(), tmp_path, live, retries=4, stall_timeout=0.3)
    assert (tmp_path / "S.zip").read_bytes() == DATA
    assert all(authorised(secure))


def test_a_certificate_that_is_not_trusted_is_refused_once(secure, tmp_path, live):
    with pytest.raises(errors.TransferError, match=r"certificate of https://127\.0\.0\.1:.* is not trusted") as caught:
        get(secure.url(), tmp_path, live, retries=5)
    assert not caught.value.retryable
    assert (secure.accepted, secure.seen) == (1, [])


def test_a_certificate_for_another_name_is_refused(secure, certificate, tmp_path, live, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "cert.pem"))
    with pytest.raises(errors.TransferError, match="not trusted"):
        get(secure.url().replace("127.0.0.1", "localhost"), tmp_path, live)
    assert secure.seen == []


def test_a_bundle_that_cannot_be_read_is_named(secure, tmp_path, live, monkeypatch):
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


class Proxy:
    """A small forward proxy: CONNECT for TLS, whole addresses for plain HTTP."""

    def __init__(self, *, login=None, status=200):
        self.asked = []
        self.headers = []
        self._login = login
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = []

    def __enter__(self):
        self._spawn(self._accept)
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _spawn(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._spawn(self._serve, sock)

    def _serve(self, sock):
        with sock:
            head = b""
            while b"\r\n\r\n" not in head:
                data = sock.recv(65536)
                if not data:
                    return
                head += data
            first, *lines = head.partition(b"\r\n\r\n")[0].decode().split("\r\n")
            method, target, _ = first.split(" ")
            self.asked.append((method, target))
            headers = {line.partition(": ")[0].lower(): line.partition(": ")[2] for line in lines}
            self.headers.append(headers)
            if self._login and headers.get("proxy-authorization") != self._login:
                sock.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            if self._status != 200:
                sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self._status)
                return
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                with socket.create_connection((host, int(port))) as onward:
                    sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                    self._join(sock, onward)
                return
            host, _, path = target.removeprefix("http://").partition("/")
            name, _, port = host.partition(":")
            with socket.create_connection((name, int(port))) as onward:
                onward.sendall(f"{method} /{path} HTTP/1.1\r\n".encode() + head.partition(b"\r\n")[2])
                self._join(sock, onward)

    def _join(self, one, other):
        def pump(source, sink):
            try:
                while data := source.recv(65536):
                    sink.sendall(data)
                sink.shutdown(socket.SHUT_WR)
            except OSError:
                pass

        thread = threading.Thread(target=pump, args=(one, other), daemon=True)
        thread.start()
        pump(other, one)
        thread.join(5)


def test_plain_http_goes_through_the_proxy_with_its_whole_address(server, tmp_path, live, monkeypatch):
    with Proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        get(server.url(), tmp_path, live)
        assert proxy.asked == [("GET", server.url())]
    assert (tmp_path / "S.zip").read_bytes() == DATA


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_https_goes_through_a_tunnel_that_does_not_see_the_token(
    secure, certificate, tmp_path, live, monkeypatch, variable
):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate / "cert.pem"))
    login = "Basic " + base64.b64encode(b"us er:p@ss").decode()
    with Proxy(login=login) as proxy:
        monkeypatch.setenv(variable, f"http://us%20er:p%40ss@127.0.0.1:{proxy.port}")
        get(secure.url(), tmp_path, live)
        assert proxy.asked == [("CONNECT", f"127.0.0.1:{secure.port}")]
        assert "authorization" not in proxy.headers[0]
    assert authorised(secure) == [True]
    assert "proxy-authorization" not in secure.seen[0].headers
    assert (tmp_path / "S.zip").read_bytes() == DATA


@pytest.mark.parametrize("exempt", ["127.0.0.1", "127.0.0.0/8", "*"])
def test_no_proxy_is_obeyed(server, tmp_path, live, monkeypatch, exempt):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", exempt)
    get(server.url(), tmp_path, live)


def test_empty_variables_count_as_not_set(server, tmp_path, live, monkeypatch):
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
    get(server.url(), tmp_path, live)


def test_a_proxy_that_refuses_who_asks_is_not_asked_again(secure, tmp_path, live, monkeypatch):
    with Proxy(login="Basic x") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://u:hidden@127.0.0.1:{proxy.port}")
        with pytest.raises(errors.TransferError, match="407") as caught:
            get(secure.url(), tmp_path, live, retries=3)
        assert len(proxy.asked) == 1
        assert "hidden" not in str(caught.value)


def test_a_proxy_in_trouble_is_asked_again(secure, tmp_path, live, monkeypatch):
    with Proxy(status=502) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{proxy.port}")
        with pytest.raises(errors.TransferError, match="does not reach"):
            get(secure.url(), tmp_path, live, retries=2)
        assert len(proxy.asked) == 3


def test_a_proxy_of_another_kind_is_refused(server, tmp_path, live, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "socks5://u:hidden@127.0.0.1:9")
    with pytest.raises(errors.TransferError, match="no http:// proxy") as caught:
        get(server.url(), tmp_path, live)
    assert "hidden" not in str(caught.value)
