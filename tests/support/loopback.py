"""Servers on loopback: their start and end, and one whose answers a test decides."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Serving:
    """A context manager that is a server on a free port of loopback; `__enter__` calls `serve`."""

    tls = None
    """With TLS: the context of the server."""

    def serve(self, handler, **attributes):
        """Answer requests with a class of handlers, which gets these attributes; return this object."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (handler,), attributes))
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    @property
    def port(self):
        return self._server.server_port

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class LoopbackServer(Serving):
    """Answers every request with what `reply` returns, and keeps the requests.

    Args:
        path: the path of `url`.
    """

    def __init__(self, path):
        self.requests = []
        """Method, path with query, headers and body of each request."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append((self.command, self.path, dict(self.headers), body))
                reply = outer.reply(self.path, self.headers, body)
                if reply is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, content = reply
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = handle_one  # noqa: N815 - the names http.server calls

            def log_message(self, *_arguments):
                pass

        self.serve(Handler)
        self.url = f"http://127.0.0.1:{self.port}{path}"

    def reply(self, path, headers, body):
        """Return status, headers and body of an answer, or None to close the connection without one."""
        raise NotImplementedError

    def close(self):
        self.__exit__()
