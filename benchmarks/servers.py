"""The servers of the benchmarks: each is a process on loopback that ends with the benchmark."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent

_CONFIG = """
daemon off;
{user}
worker_processes auto;
pid {state}/nginx.pid;
error_log {state}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/zip;
  types {{ image/tiff tif; }}
  sendfile on;
  tcp_nopush on;
  keepalive_requests 10000000;
  client_body_temp_path {state}/body;
  proxy_temp_path {state}/proxy;
  fastcgi_temp_path {state}/fastcgi;
  uwsgi_temp_path {state}/uwsgi;
  scgi_temp_path {state}/scgi;
  upstream delay {{ server unix:{state}/delay.sock; keepalive 256; }}
  upstream soon {{ server unix:{state}/soon.sock; keepalive 256; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    listen 127.0.0.1:{tls_port} ssl backlog=4096;
    ssl_certificate {state}/server.crt;
    ssl_certificate_key {state}/server.key;
    ssl_session_cache off;
    root {root};
    autoindex on;
    location /limited/ {{ alias {root}/; limit_rate {limit_rate}; }}
    location /delayed/ {{ auth_request /delay; alias {root}/; }}
    location /soon/ {{ auth_request /wait; alias {root}/; }}
    location /same/ {{ rewrite ^ /same.zip break; }}
    location = /wait {{
      internal;
      proxy_pass http://soon/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_pass_request_body off;
      proxy_pass_request_headers off;
    }}
    location = /delay {{
      internal;
      proxy_pass http://delay/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Content-Length "";
      proxy_pass_request_body off;
      proxy_pass_request_headers off;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    """A running nginx that serves a folder.

    Below `/limited/` the same files have a limited rate per connection, below `/delayed/` and `/soon/` each answer is
    delayed, and below `/same/` every name is the file `same.zip`.
    """

    root: Path
    url: str
    tls_url: str
    certificate: Path


@contextmanager
def nginx(state: Path, *, limit_rate: int, delay: float, soon: float) -> Iterator[Nginx]:
    """Run nginx; `limit_rate` in bytes per second, the two delays in seconds."""
    root = state / "www"
    root.mkdir(parents=True)
    _certificate(state)
    port, tls_port = _free_ports(2)
    user = "user root;" if os.geteuid() == 0 else ""
    config = state / "nginx.conf"
    config.write_text(
        _CONFIG.format(user=user, state=state, root=root, port=port, tls_port=tls_port, limit_rate=limit_rate)
    )
    with (
        _child(HERE / "serve_delay.py", str(state / "delay.sock"), str(delay)),
        _child(HERE / "serve_delay.py", str(state / "soon.sock"), str(soon)),
        subprocess.Popen(
            ["nginx", "-p", state, "-e", state / "error.log", "-c", config],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        ) as process,
    ):
        try:
            _wait_for_port(port, process)
            yield Nginx(root, f"http://127.0.0.1:{port}", f"https://localhost:{tls_port}", state / "server.crt")
        finally:
            process.terminate()


@contextmanager
def archive(
    *,
    bytes_url: str,
    online: int,
    lta: int = 0,
    order_delay: float = 0.0,
    cap: int | None = None,
    digests: Sequence[str] = (),
) -> Iterator[str]:
    """Run the sandbox with generated rows; yield the address of its API."""
    settings = {"bytes_url": bytes_url, "online": online, "lta": lta, "order_delay": order_delay, "cap": cap}
    settings["digests"] = list(digests)
    with _child(HERE / "serve_archive.py", json.dumps(settings)) as url:
        yield url


@contextmanager
def stac(*, base: str, items: int, assets: Sequence[str], size: int) -> Iterator[str]:
    """Run a STAC API whose items have these assets below a URL; yield its address."""
    settings = {"base": base, "items": items, "assets": list(assets), "size": size}
    with _child(HERE / "serve_stac.py", json.dumps(settings)) as url:
        yield url


@contextmanager
def _child(script: Path, *arguments: str) -> Iterator[str]:
    """Run a script that prints a line when it is ready and ends when its standard input ends; yield that line."""
    with subprocess.Popen(
        [sys.executable, script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            if not line:
                raise RuntimeError(f"{script.name} did not start")
            yield line.strip()
        finally:
            process.kill()


def _certificate(state: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-out", "server.crt", "-keyout", "server.key"]
    subprocess.run(command, cwd=state, check=True, capture_output=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return ports


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        if process.poll() is not None:
            raise RuntimeError("nginx did not start")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError("nginx does not listen")
