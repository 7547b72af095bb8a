"""Buckets on loopback: ministack, an emulator of AWS that checks signatures, tokens and regions, behind a server with
the faults that a test sets.

    with BucketServer() as s3:
        s3.put("eodata", "a/b.tif", b"...")
        s3.url, s3.asked
"""

import atexit
import http.client
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

import botocore.session
from loopback import Serving

KEY = "test"
"""Key and secret of the emulator's account."""
ACCOUNT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": KEY}
NO_ACCOUNT = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
"""Variables with which botocore finds nothing on this machine."""


_running = []
"""Kept, because a process that nobody refers to is a warning."""


@cache
def emulator():
    """Start the emulator once for all tests of this process, and return its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "LOG_LEVEL": "ERROR"},
    )
    _running.append(process)
    atexit.register(process.wait)
    atexit.register(process.terminate)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return port
    raise TimeoutError("the emulator of AWS does not start")


@cache
def client(service, region="us-east-1"):
    """A client of the emulator."""
    session = botocore.session.Session()
    session.set_credentials(KEY, KEY)
    return session.create_client(service, region, endpoint_url=f"http://127.0.0.1:{emulator()}")


def error(status, code, message=""):
    """An answer of a rule: an error of a bucket."""
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>{message or code}</Message></Error>'
    return status, {"Content-Type": "application/xml"}, body.encode()


@dataclass
class Request:
    """A received request."""

    method: str
    path: str
    query: dict
    headers: dict
    status: int = 0


@dataclass
class BucketServer(Serving):
    """Listens on a free port; a context manager."""

    rule: object = None
    """Called with a `Request`; returns an answer (status, headers, body), `cut` after half of the bytes, or None."""
    asked: list = field(default_factory=list)
    tls: object = None
    stored: list = field(default_factory=list)
    """Region, bucket and key of the objects of this test; the emulator is shared with others."""

    def __enter__(self):
        self.behind = emulator()
        self.serve(_Handler, bucket=self)
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    def put(self, bucket, key, data, region="us-east-1"):
        """Store an object; makes the bucket in its region."""
        s3 = client("s3", region)
        elsewhere = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
        if bucket not in [one["Name"] for one in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket, **elsewhere)
        s3.put_object(Bucket=bucket, Key=key, Body=data)
        self.stored.append((region, bucket, key))

    def __exit__(self, *error):
        super().__exit__(*error)
        for region, bucket, key in self.stored:
            client("s3", region).delete_object(Bucket=bucket, Key=key)

    def forward(self, method, path, headers):
        """Send a request to the emulator."""
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    @property
    def gets(self):
        """The requests for objects."""
        return [one for one in self.asked if one.method == "GET" and one.path.rstrip("/").count("/") > 1]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bucket: BucketServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: value[0] for name, value in parse_qs(parts.query, keep_blank_values=True).items()}
        request = Request(self.command, parts.path, query, dict(self.headers))
        self.bucket.asked.append(request)
        fault = self.bucket.rule(request) if self.bucket.rule is not None else None
        forwarded = fault in (None, "cut")
        status, headers, body = self.bucket.forward(self.command, self.path, dict(self.headers)) if forwarded else fault
        request.status = status
        own = ("connection", "date", "server", "transfer-encoding", "content-length")
        kept = {name: value for name, value in headers.items() if name.lower() not in own}
        kept["Content-Length"] = str(len(body)) if self.command != "HEAD" else headers.get("Content-Length", "0")
        self.send_response(status)
        for header, value in kept.items():
            self.send_header(header, value)
        self.close_connection = fault == "cut"
        # A client that was killed does not wait for its answer.
        with suppress(ConnectionError):
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    do_HEAD = do_GET  # noqa: N815 - the names http.server calls
