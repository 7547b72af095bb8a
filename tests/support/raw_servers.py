"""Servers on raw sockets, for what a well-behaved server never does."""

import fcntl
import os
import socket
import termios
import threading
from array import array
from contextlib import contextmanager, suppress


class RawServer:
    """Runs a function for each connection, in a thread of its own; a context manager.

    Args:
        serve: Called with the socket and the number of the connection, from 0.
        host: A loopback address.
    """

    def __init__(self, serve, *, host="127.0.0.1"):
        self._serve = serve
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        self.connected = threading.Event()
        self.closing = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/a.zip"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            number, self.accepted = self.accepted, self.accepted + 1
            threading.Thread(target=self._run, args=(sock, number), daemon=True).start()

    def _run(self, sock, number):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connected.set()
        with sock, suppress(OSError):
            self._serve(sock, number)


def read_head(sock):
    """Read a request; False if the client closed the connection."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(65536)
        if not data:
            return False
        head += data
    return head


def wait_until_received(sock):
    """Wait until the other side's system has acknowledged everything that was sent."""
    unsent = array("i", [1])
    while unsent[0]:
        fcntl.ioctl(sock, termios.TIOCOUTQ, unsent)
        os.sched_yield()


@contextmanager
def unanswered(addresses, port):
    """Make a port of loopback addresses drop all connections, as a firewall does: their queues are full."""
    held = []
    try:
        for address in addresses:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(0)
            held.append(listener)
            for _ in range(3):
                waiting = socket.socket()
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
                held.append(waiting)
        yield
    finally:
        for sock in held:
            sock.close()


class SocksProxy(RawServer):
    """A SOCKS5 proxy (RFC 1928) that leads every name to a port of this machine, and records what it is asked for.

    Args:
        port: The port.
        login: The user name and password that it requires (RFC 1929); None for none.
    """

    def __init__(self, port, *, login=None):
        super().__init__(self._speak)
        self.asked = []
        self._target = port
        self._login = login

    def _speak(self, sock, _number):
        with sock.makefile("rb") as reader:
            methods = reader.read(reader.read(2)[1])
            wanted = 2 if self._login else 0
            sock.sendall(bytes([5, wanted if wanted in methods else 255]))
            if wanted not in methods:
                return
            if self._login:
                name = reader.read(reader.read(2)[1])
                password = reader.read(reader.read(1)[0])
                right = (name.decode(), password.decode()) == self._login
                sock.sendall(bytes([1, not right]))
                if not right:
                    return
            kind = reader.read(4)[3]
            host = reader.read(reader.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(reader.read(4))
            self.asked.append((host, int.from_bytes(reader.read(2), "big")))
        with socket.create_connection(("127.0.0.1", self._target)) as onward:
            sock.sendall(b"\5\0\0\1\0\0\0\0\0\0")
            back = threading.Thread(target=_pump, args=(onward, sock), daemon=True)
            back.start()
            _pump(sock, onward)
            back.join(5)


def _pump(source, sink):
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
