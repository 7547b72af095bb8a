"""A static STAC catalogue on loopback: plain files with ETags, as a bucket serves them."""

import hashlib
import json
from http.server import BaseHTTPRequestHandler

from loopback import Serving


class StaticServer(Serving):
    """Serves `files` (bytes, or JSON values) by path; a context manager. `asked` has paths and statuses."""

    def __init__(self, files=(), *, etags=True):
        self.files = dict(files)
        self.etags = etags
        self.statuses = {}
        """By path, a status to answer with instead of the file."""
        self.asked = []

    def __enter__(self):
        return self.serve(_Handler, files=self)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def count(self, status):
        return sum(one == status for _, one in self.asked)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    files: StaticServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = self.path.partition("?")[0]
        found = self.files.files.get(path)
        data = found if isinstance(found, bytes) else json.dumps(found).encode()
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        status = self.files.statuses.get(path) or (404 if found is None else 200)
        if status == 200 and self.files.etags and self.headers.get("If-None-Match") == etag:
            status = 304
        self.files.asked.append((path, status))
        self.send_response(status)
        if self.files.etags and status in (200, 304):
            self.send_header("ETag", etag)
        body = data if status == 200 else b""
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self):
        self.do_GET()


def linked(kind, *links, **more):
    """Return a catalogue or collection with links."""
    return {
        "type": kind, "stac_version": "1.0.0", "id": "x", "description": "x",
        "links": [{"rel": rel, "href": href} for rel, href in links], **more,
    }  # fmt: skip


def item(item_id, *, day=1, href="data.tif", west=-1.5, **properties):
    """Return an item over Harwell, or elsewhere."""
    ring = [[west, 51.4], [west + 0.4, 51.4], [west + 0.4, 51.8], [west, 51.8], [west, 51.4]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": item_id, "bbox": [west, 51.4, west + 0.4, 51.8],
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "links": [],
        "properties": {"datetime": f"2023-05-{day:02d}T11:00:00Z", **properties},
        "assets": {"data": {"href": href, "type": "image/tiff", "roles": ["data"]}},
    }  # fmt: skip
