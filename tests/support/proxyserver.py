"""A forward proxy on loopback, and certificates, to give a loopback server a public name."""

import socket
import ssl
import subprocess
import threading


class Proxy:
    """Accepts CONNECT for TLS and absolute URLs for plain HTTP, and records the requests.

    Args:
        routes: The loopback port for each host; other hosts are not reachable.
        login: The required value of `Proxy-Authorization`.
        status: The status of every answer.
    """

    def __init__(self, routes=None, *, login=None, status=200):
        self.routes = dict(routes or {})
        self.asked = []
        self.headers = []
        self._login = login
        self._status = status
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

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
            host = target if method == "CONNECT" else target.partition("://")[2].partition("/")[0]
            port = self.routes.get(host.partition(":")[0])
            if self._login and headers.get("proxy-authorization") != self._login:
                sock.sendall(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
            elif self._status != 200 or port is None:
                status = self._status if self._status != 200 else 502
                sock.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % status)
            else:
                with socket.create_connection(("127.0.0.1", port)) as onward:
                    if method == "CONNECT":
                        sock.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                    else:
                        path = target.partition("://")[2].partition("/")[2]
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


def certify(folder, *names, issuer="A Company CA"):
    """Create an authority (`ca.pem`) and its certificate for these hosts; return the files for a server."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    alternatives = ",".join(f"{'IP' if name[0].isdigit() else 'DNS'}:{name}" for name in names)

    def request(*arguments):
        subprocess.run(["openssl", "req", "-x509", *key, *arguments], check=True, capture_output=True, cwd=folder)

    request("-subj", f"/CN={issuer}", "-keyout", "ca.key", "-out", "ca.pem")
    request(
        *("-CA", "ca.pem", "-CAkey", "ca.key", "-subj", f"/CN={names[0]}", "-keyout", "server.key"),
        *("-addext", f"subjectAltName={alternatives}", "-addext", "basicConstraints=CA:FALSE", "-out", "server.pem"),
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    return context
