"""What connections must survive: servers that misbehave, addresses that do not answer, and a stop at any moment."""

import socket
import ssl
import sys
import threading
import time
from contextlib import closing

import pytest
from faultserver import NEAR, FaultServer, Served, make_zip
from proxyserver import certify
from raw_servers import RawServer, SocksProxy, read_head, unanswered, wait_until_received

from sedas_sync import errors
from sedas_sync.model.scene import Download
from sedas_sync.net import policy, session, sockets
from sedas_sync.net.connections import Connections, Timeouts
from sedas_sync.transfer.fetch import fetch
from sedas_sync.transfer.job import FetchJob, FetchStopped, Policy
from sedas_sync.transfer.shared_state import SharedState

DATA = make_zip(20_000)
HOST = "data.example.org"
VARIABLES = (
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"),
)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def live():
    shared = SharedState()
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return tmp_path_factory.mktemp("authority")


@pytest.fixture(scope="session")
def identity(authority):
    return certify(authority, HOST, "127.0.0.1")


def job(url, root, name="S", **policy):
    policy = Policy(**{"backoff": 0.0, "stall_timeout": 5.0, "retries": 0, **policy})
    return FetchJob(
        id=name,
        download=Download(url=url, reach=NEAR),
        root=str(root),
        path=f"{name}.zip",
        partial=f"{name}.part",
        policy=policy,
    )


def answer(body, *more):
    head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *more, b"", b""]
    return b"\r\n".join(head) + body


# -- answers


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_answer_that_was_pushed_on_an_idle_connection_is_not_taken(
    tmp_path, live, authority, identity, monkeypatch, secure, together
):
    """The first answer of each connection is followed by another file, in the same packet and record or in the next."""
    wrong = answer(make_zip(30_000, seed=5))
    pushed = threading.Semaphore(0)

    def serve(sock, _number):
        with identity.wrap_socket(sock, server_side=True) if secure else sock as own:
            while read_head(own):
                if together:
                    own.sendall(answer(DATA[:2000]) + wrong[:2000])
                else:
                    own.sendall(answer(DATA[:2000]))
                    own.sendall(wrong)
                wait_until_received(own)
                pushed.release()

    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with RawServer(serve) as server, closing(Connections()) as connections:
        url = server.url.replace("http:", "https:") if secure else server.url
        for _ in range(3):
            got = connections.request("GET", url, headers={}, timeouts=Timeouts(5, 5))
            assert got.read_all(1 << 20) == DATA[:2000]
            got.release()
            assert pushed.acquire(timeout=5)
    # What was read together with the first answer is dropped with it; the connection may then be kept.
    assert 1 <= server.accepted <= 3


def test_connection_with_two_lengths_is_not_kept(tmp_path, live):
    """Transfer-Encoding counts, Content-Length is ignored, and nothing that follows is an answer."""

    def serve(sock, _number):
        read_head(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")
        sock.sendall(b"%X\r\n" % len(DATA) + DATA + b"\r\n0\r\n\r\n")
        read_head(sock)
        sock.sendall(answer(b"an answer to no request"))

    with RawServer(serve) as server:
        for name in "AB":
            fetch(job(server.url, tmp_path, name), live)
            assert (tmp_path / f"{name}.zip").read_bytes() == DATA
        assert server.accepted == 2


def test_head_with_bare_line_feeds_is_read(tmp_path, live):
    def serve(sock, _number):
        while read_head(sock):
            sock.sendall(b"HTTP/1.1 200 OK\nContent-Length: %d\nETag: x\n\n" % len(DATA) + DATA)

    with RawServer(serve) as server:
        for name in "AB":
            fetch(job(server.url, tmp_path, name), live)
        assert server.accepted == 1
    assert (tmp_path / "B.zip").read_bytes() == DATA


@pytest.mark.parametrize("blank", ["", " ", "\t "])
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_blank_proxy_is_none(tmp_path, live, monkeypatch, name, blank):
    with FaultServer() as server:
        server.paths["/a.zip"] = Served(DATA)
        monkeypatch.setenv(name, blank)
        monkeypatch.setattr(policy, "is_loopback", lambda _host: False)
        fetch(job(server.url("/a.zip"), tmp_path), live)
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_warnings_about_headers_are_not_printed(tmp_path, live, capfd):
    def serve(sock, _number):
        read_head(sock)
        sock.sendall(answer(DATA, b"no colon in this line", b"Transfer-Encoding: "))

    with RawServer(serve) as server:
        fetch(job(server.url, tmp_path), live)
    assert capfd.readouterr().err == ""


# -- addresses


def several(*addresses):
    """Return a look-up that finds these addresses for the name."""
    look_up = socket.getaddrinfo

    def found(host, port, *arguments, **options):
        if host != HOST:
            return look_up(host, port, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    return found


def test_nine_of_ten_addresses_do_not_answer(tmp_path, live, monkeypatch):
    silent = [f"127.0.0.{number}" for number in range(11, 20)]
    with FaultServer() as server, unanswered(silent, server.port):
        server.paths["/a.zip"] = Served(DATA)
        monkeypatch.setattr(socket, "getaddrinfo", several(*silent, "127.0.0.1"))
        url = f"http://{HOST}:{server.port}/a.zip"
        began = time.monotonic()
        fetch(job(url, tmp_path, connect_timeout=20), live)
        assert time.monotonic() - began < 6
        monkeypatch.setattr(socket, "getaddrinfo", several(*silent))
        began = time.monotonic()
        with pytest.raises(errors.TransferError, match="did not accept a connection in time"):
            fetch(job(url.replace("a.zip", "b.zip"), tmp_path, connect_timeout=0.6), SharedState())
        assert time.monotonic() - began < 3


def test_address_that_refuses_is_followed_by_the_next_at_once(tmp_path, live, monkeypatch):
    with FaultServer() as server:
        server.paths["/a.zip"] = Served(DATA)
        monkeypatch.setattr(socket, "getaddrinfo", several("127.0.0.9", "127.0.0.8", "127.0.0.1"))
        began = time.monotonic()
        fetch(job(f"http://{HOST}:{server.port}/a.zip", tmp_path), live)
        assert time.monotonic() - began < 2


# -- a stop at any moment


def stopped_soon(url, root, stop, ready):
    """Stop a download when it is ready, and return the seconds that it then takes."""
    shared = SharedState(stop=stop)
    set_at = []

    def halt():
        assert ready()
        set_at.append(time.monotonic())
        stop.set()

    thread = threading.Thread(target=halt)
    thread.start()
    try:
        with pytest.raises(FetchStopped):
            fetch(job(url, root, connect_timeout=30, stall_timeout=30), shared)
        return time.monotonic() - set_at[0]
    finally:
        thread.join()
        shared.close()


def test_stop_while_connecting(tmp_path):
    stop = threading.Event()
    with FaultServer() as server, unanswered(["127.0.0.11"], server.port):
        url = f"http://127.0.0.11:{server.port}/a.zip"
        assert stopped_soon(url, tmp_path, stop, lambda: not stop.wait(0.3)) < 1


def test_stop_during_the_look_up_of_a_name(tmp_path, monkeypatch):
    looking, end = threading.Event(), threading.Event()

    def look_up(*_arguments, **_options):
        looking.set()
        end.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        assert stopped_soon(f"https://{HOST}/a.zip", tmp_path, threading.Event(), lambda: looking.wait(5)) < 1
    finally:
        end.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-", b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nPK\3\4"]
)
def test_stop_during_a_handshake_a_head_and_a_body(tmp_path, scheme, sent):
    stop = threading.Event()

    def serve(sock, _number):
        sock.sendall(sent)
        server.closing.wait(20)

    with RawServer(serve) as server:
        # Over TLS these bytes are no handshake; an empty one hangs.
        url = server.url if scheme == "http" else server.url.replace("http:", "https:")
        if scheme == "https" and sent:
            pytest.skip("such bytes end a handshake")
        assert stopped_soon(url, tmp_path, stop, lambda: server.connected.wait(5) and not stop.wait(0.2)) < 1


def test_stop_during_a_body_over_tls(tmp_path, authority, identity, monkeypatch):
    stop = threading.Event()

    def serve(sock, _number):
        with identity.wrap_socket(sock, server_side=True) as secure:
            read_head(secure)
            secure.sendall(answer(DATA)[:5000])
            server.closing.wait(20)

    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with RawServer(serve) as server:
        url = server.url.replace("http:", "https:")
        assert stopped_soon(url, tmp_path, stop, lambda: server.connected.wait(5) and not stop.wait(0.3)) < 1
    assert (tmp_path / "S.part").stat().st_size > 4000


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_endless_interim_answers_end(tmp_path, live, pause):
    """By a stop or by their number, whichever comes first."""
    stop = threading.Event()

    def serve(sock, _number):
        read_head(sock)
        while not server.closing.wait(pause):
            sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")

    with RawServer(serve) as server:
        with pytest.raises(errors.TransferError, match="interim answers"):
            fetch(job(server.url, tmp_path), live)
        if pause:
            assert stopped_soon(server.url, tmp_path, stop, lambda: server.connected.wait(5)) < 1


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
def test_stop_while_a_proxy_is_silent(tmp_path, monkeypatch, scheme):
    stop = threading.Event()
    with RawServer(lambda _sock, _number: proxy.closing.wait(20)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{proxy.port}")
        ready = lambda: proxy.connected.wait(5) and not stop.wait(0.2)  # noqa: E731  # a condition, not a function
        assert stopped_soon(f"https://{HOST}/a.zip", tmp_path, stop, ready) < 1


def test_large_request_is_sent_whole_over_a_slow_connection():
    """Longer than the buffers of the sockets, so that it is sent in several parts."""
    body = {"ids": ["x" * 1000] * 9000}
    received = []

    def serve(sock, _number):
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1000)
        head, _, start = head.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"content-length" in line.lower())
        got = len(start)
        server.closing.wait(2 * sockets.TICK)
        while got < length:
            got += len(sock.recv(1 << 20))
        received.append((got, length))
        sock.sendall(answer(b"{}"))

    with RawServer(serve) as server, closing(session.Api(retries=0, environ={})) as api:
        assert api.send("POST", server.url, json=body).json("x") == {}
    assert received[0][0] == received[0][1] > 9_000_000


# -- SOCKS


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("login", [None, ("us er", "p@ss")])
def test_requests_go_through_a_socks_proxy(tmp_path, live, authority, identity, monkeypatch, scheme, login):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    monkeypatch.setattr(socket, "getaddrinfo", several("198.41.0.4"))
    with FaultServer(tls=identity) as server, SocksProxy(server.port, login=login) as proxy:
        server.paths["/a.zip"] = Served(DATA)
        user = "us%20er:p%40ss@" if login else ""
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{user}127.0.0.1:{proxy.port}")
        fetch(job(f"https://{HOST}/a.zip", tmp_path), live)
        with closing(session.Api(retries=0)) as api:
            assert api.send("GET", f"https://{HOST}/a.zip").body == DATA
        assert proxy.asked == [(HOST if scheme == "socks5h" else "198.41.0.4", 443)] * 2
    assert (tmp_path / "S.zip").read_bytes() == DATA


def test_socks_proxy_that_refuses_is_named_without_its_password(tmp_path, live, monkeypatch):
    with SocksProxy(1, login=("ann", "right")) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5h://ann:hidden@127.0.0.1:{proxy.port}")
        with pytest.raises(errors.TransferError, match=f"proxy 127.0.0.1:{proxy.port} .of ALL_PROXY.*cannot") as caught:
            fetch(job(f"https://{HOST}/a.zip", tmp_path), live)
    assert "hidden" not in str(caught.value)


def test_socks_proxy_without_the_extra_names_it(tmp_path, live, monkeypatch):
    monkeypatch.setitem(sys.modules, "socks", None)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    with pytest.raises(errors.TransferError, match=r"a SOCKS proxy, needs .* 'sedas-sync\[socks\]'"):
        fetch(job(f"https://{HOST}/a.zip", tmp_path), live)


def test_tls_of_a_slow_server_is_awaited(tmp_path, authority, identity, monkeypatch):
    """A handshake may take several ticks."""

    def serve(sock, _number):
        server.closing.wait(3 * sockets.TICK)
        with identity.wrap_socket(sock, server_side=True) as secure:
            read_head(secure)
            secure.sendall(answer(DATA))

    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    with RawServer(serve) as server, closing(Connections()) as connections:
        url = server.url.replace("http:", "https:")
        got = connections.request("GET", url, headers={}, timeouts=Timeouts(5, 5))
        assert got.read_all(1 << 20) == DATA
        got.release()
    assert ssl.HAS_TLSv1_3


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]"])
def test_an_address_is_not_looked_up_in_a_thread(monkeypatch, host):
    monkeypatch.setattr(sockets, "call_stoppable", None)
    with RawServer(lambda *_: None) as server:
        policy.connect(host, server.port, 5, None, threading.Event()).close()
