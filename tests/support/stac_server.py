"""A STAC API with assets on loopback; the test sets its items, pages and faults.

CQL2 is judged by the `cql2` package, which knows nothing of this project.
"""

import base64
import hashlib
import json
import operator
import re
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import cql2
import shapely
from loopback import Serving

CORE = "https://api.stacspec.org/v1.0.0/item-search"
FILTER = "https://api.stacspec.org/v1.0.0/item-search#filter"
QUERY = "https://api.stacspec.org/v1.0.0/item-search#query"
CQL2_JSON = "http://www.opengis.net/spec/cql2/1.0/conf/cql2-json"
CQL2_TEXT = "http://www.opengis.net/spec/cql2/1.0/conf/cql2-text"
NOW = 2_000_000_000
"""The time from which signatures are counted, in seconds."""
HARWELL = [[[-1.5, 51.4], [-1.1, 51.4], [-1.1, 51.8], [-1.5, 51.8], [-1.5, 51.4]]]


@dataclass
class Asked:
    """A received request."""

    method: str
    path: str
    headers: dict
    body: object
    status: int = 0


@dataclass
class StacServer(Serving):
    """Listens on a free port; a context manager."""

    conforms: list = field(default_factory=lambda: [CORE, FILTER, CQL2_JSON, CQL2_TEXT])
    methods: tuple = ("GET", "POST")
    most: int = 1000
    """Largest page; a larger limit is refused if `strict`, and clamped otherwise."""
    strict: bool = False
    authorization: str | None = None
    """The token that every request must have."""
    file_authorization: str | None = None
    """The token that requests for files must have."""
    file_headers: dict = field(default_factory=dict)
    """Other headers that requests for files must have."""
    file_type: str = "image/tiff"
    """The media type of files."""
    answers: dict = field(default_factory=dict)
    """By path, a function that takes the headers of a request and returns status, answer, and perhaps headers."""
    signed: bool = False
    """Whether assets need a token of the signing endpoint."""
    heeds_collections: bool = True
    items: list = field(default_factory=list)
    files: dict = field(default_factory=dict)
    faults: dict = field(default_factory=dict)
    """By path, a list of words, one for each request: a status, an address to redirect to, `cut`, `flip`,
    `login`, `late`.

    `late` answers after another file was refused, and `login` is a page.
    """
    refused: threading.Event = field(default_factory=threading.Event)
    asked: list = field(default_factory=list)
    matched: object = "right"
    """The value of `numberMatched`: `right`, None for no value, or a number."""
    counts: tuple = ("numberMatched",)
    """Where the number of matches is: `numberMatched`, `context`, both, or nowhere."""
    base: str = ""
    """Path of the landing page."""
    paging: str = "token"
    """`token`, `merge`, or a fault: `again`, `empty`, `loses`, `never` (no links at all), `itself` (an empty last page
    leads to itself)."""
    last: int | None = None
    """The item beyond which no page is given."""
    refuses: tuple = ()
    """Parameters that are answered with the status 400."""
    token_name: str = "token"
    """The parameter of the next page."""
    numbered: bool = False
    """Whether that parameter is the number of a page, from 1, and not of an item."""
    trailing_page: bool = False
    """Whether a page always has a next link, until one is empty."""
    elsewhere: str | None = None
    """The server that next links lead to."""
    tls: ssl.SSLContext | None = None
    name: str | None = None
    """With TLS: the host that the test's proxy leads here."""
    tokens: int = 0
    token_life: float = 3600.0

    def __enter__(self):
        return self.serve(_Handler, stac=self)

    @property
    def url(self):
        return (f"https://{self.name}" if self.name else f"http://127.0.0.1:{self.port}") + self.base

    def add(
        self, item_id, *, files=None, day=1, collection="s2", checksums=True, properties=None, roles=("data",), **more
    ):
        """Add an item over Harwell with these files: bytes by asset."""
        files = {"B04": item_id.encode() * 50, "visual": item_id.encode() * 200} if files is None else files
        assets = {}
        for key, data in files.items():
            path = f"/data/{item_id}/{key}.tif"
            self.files[path] = data
            assets[key] = {"href": f"../../../..{path}", "roles": list(roles), "type": "image/tiff"}
            if checksums:
                assets[key]["file:size"] = len(data)
                assets[key]["file:checksum"] = "1220" + hashlib.sha256(data).hexdigest()
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": item_id,
            "collection": collection,
            "geometry": {"type": "Polygon", "coordinates": HARWELL},
            "bbox": [-1.5, 51.4, -1.1, 51.8],
            "properties": {
                "datetime": f"2023-05-{day:02d}T11:00:00.024000Z",
                "platform": "sentinel-2a",
                "constellation": "sentinel-2",
                "instruments": ["msi"],
                "eo:cloud_cover": 10.0,
                **(properties or {}),
            },
            "links": [{"rel": "self", "href": f"{self.url}/collections/{collection}/items/{item_id}"}],
            "assets": assets,
            **more,
        }
        self.items.append(item)
        return item

    def count(self, path):
        return sum(one.path.startswith(f"{self.base}{path}") for one in self.asked)

    def first_of(self, question, limit):
        """The number of the first item that a question asks for."""
        token = int(question.get(self.token_name, 0))
        return max(0, token - 1) * limit if self.numbered else token

    def landing(self):
        """The landing page."""
        links = [{"rel": "search", "href": f"{self.url}/search", "method": method} for method in self.methods]
        return {"type": "Catalog", "id": "test", "conformsTo": self.conforms, "links": links}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stac: StacServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve(None)

    def do_HEAD(self):
        self._serve(None)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._serve(json.loads(body) if body[:1] in (b"{", b"[") else None)

    def _serve(self, body):
        stac, parts = self.stac, urlsplit(self.path)
        self.noted = Asked(self.command, self.path, dict(self.headers), body)
        stac.asked.append(self.noted)
        fault = (stac.faults.get(parts.path) or [None]).pop(0) if stac.faults.get(parts.path) else None
        if isinstance(fault, int):
            stac.refused.set()
            return self._send(fault, {"description": f"fault {fault}"})
        if isinstance(fault, str) and fault.startswith("http"):
            return self._send(302, b"", Location=fault)
        if fault == "login":
            return self._send(200, b"<html><title>Sign in</title><form>Password</form></html>", kind="text/html")
        if stac.authorization is not None and self.headers.get("Authorization") != stac.authorization:
            return self._send(401, {"code": "Unauthorized"})
        if parts.path in stac.answers:
            status, answer, *headers = stac.answers[parts.path](self.headers)
            return self._send(status, answer, extra=headers[0] if headers else ())
        query = {key: value[0] for key, value in parse_qs(parts.query).items()}
        path = parts.path.removeprefix(stac.base)
        if path in ("/", ""):
            return self._send(200, stac.landing())
        if path == "/search":
            return self._search(body if body is not None else _parsed(query))
        if path.startswith("/sas/"):
            return self._token()
        if unquote(path) in stac.files or path.startswith("/data/"):
            return self._file(unquote(path), query, fault)
        if match := re.fullmatch("/collections/([^/]+)/items/([^/]+)", path):
            wanted = tuple(map(unquote, match.groups()))
            found = [item for item in stac.items if (item.get("collection"), item["id"]) == wanted]
            return self._send(200, found[0]) if found else self._send(404, {"code": "NotFound"})
        return self._send(404, {"code": "NotFound"})

    def _search(self, question):
        stac = self.stac
        limit = int(question.get("limit", 10))
        if limit > stac.most and stac.strict:
            return self._send(400, {"description": f"limit: must be less than or equal to {stac.most}"})
        limit = min(limit, stac.most)
        if self.command not in stac.methods:
            return self._send(405, {})
        if ("filter" in question and FILTER not in stac.conforms) or (
            "broken filter" in stac.conforms and "filter" in question
        ):
            return self._send(400, {"description": "no filters here"})
        if any(name in question for name in stac.refuses):
            return self._send(400, {"description": "something is wrong"})
        if not stac.heeds_collections:
            question = {key: value for key, value in question.items() if key != "collections"}
        found = [item for item in stac.items if _matches(item, question)]
        start = stac.first_of(question, limit)
        if stac.last is not None and start + limit > stac.last:
            return self._send(400, {"description": f"Result window is too large, must be at most {stac.last}"})
        page = found[start : start + limit]
        links = []
        if start + limit < len(found) or ((stac.trailing_page or stac.paging == "itself") and page):
            links.append(self._next(question, start, limit))
        answer = {"type": "FeatureCollection", "features": page, "links": links, "numberReturned": len(page)}
        if stac.paging == "empty" and start == 0 and stac.token_name not in question:
            answer["features"] = []
            answer["links"] = [self._next(question, -limit, limit)]
        if (stac.paging == "loses" and links and start) or stac.paging == "never":
            answer["links"] = []
        if stac.paging == "itself" and not page:
            answer["links"] = [self._next(question, start - limit, limit)]
        if stac.matched is not None:
            matched = len(found) if stac.matched == "right" else stac.matched
            both = {"numberMatched": matched, "context": {"matched": matched, "returned": len(page), "limit": limit}}
            answer.update({name: both[name] for name in stac.counts})
        return self._send(200, answer)

    def _next(self, question, start, limit):
        stac = self.stac
        following = 0 if stac.paging == "again" else start + limit
        place = stac.elsewhere or stac.url
        if self.command == "GET":
            flat = self.path.removeprefix(stac.base).split(f"&{stac.token_name}=")[0]
            return {"rel": "next", "href": f"{place}{flat}&{stac.token_name}={following}"}
        link = {"rel": "next", "href": f"{place}/search", "method": "POST"}
        if stac.paging == "merge":
            return {**link, "body": {stac.token_name: following}, "merge": True, "headers": {"X-Page": "next"}}
        return {**link, "body": {**question, stac.token_name: following}}

    def _token(self):
        stac = self.stac
        stac.tokens += 1
        until = datetime.fromtimestamp(NOW + stac.token_life, UTC).isoformat()
        return self._send(200, {"token": f"st=1&se=2&sp=rl&sig=secret{stac.tokens}", "msft:expiry": until})

    def _file(self, path, query, fault):
        data = self.stac.files.get(path)
        if data is None:
            return self._send(404, {"code": "NotFound"})
        if self.stac.file_authorization not in (None, self.headers.get("Authorization")):
            return self._send(401, {"code": "Unauthorized"})
        if any(self.headers.get(name) != value for name, value in self.stac.file_headers.items()):
            return self._send(403, {"code": "Forbidden"})
        if self.stac.signed and query.get("sig") != f"secret{self.stac.tokens}":
            return self._send(403, {"code": "AuthenticationFailed"})
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        status, body, extra = 200, data, {"ETag": etag, "Accept-Ranges": "bytes"}
        if match and self.headers.get("If-Range") in (None, etag):
            start = int(match[1])
            end = int(match[2]) if match[2] else len(data) - 1
            status, body = 206, data[start : end + 1]
            extra["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        if fault == "late":
            self.stac.refused.wait(10)
        if fault == "flip":
            body = bytes([body[0] ^ 1]) + body[1:]
        return self._send(status, body, kind=self.stac.file_type, cut=fault == "cut", **extra)

    def _send(self, status, body, *, kind="application/geo+json", cut=False, extra=(), **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.noted.status = status
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        for name, value in extra.items() if isinstance(extra, dict) else extra:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True


def _parsed(query):
    """Return the parameters of a GET search as the body of a POST."""
    lists = {name: query[name].split(",") for name in ("collections", "ids") if name in query}
    objects = {name: json.loads(query[name]) for name in ("intersects", "query") if name in query}
    if "bbox" in query:
        objects["bbox"] = [float(x) for x in query["bbox"].split(",")]
    if query.get("filter-lang") == "cql2-json":
        objects["filter"] = json.loads(query["filter"])
    return {**query, **lists, **objects}


def _matches(item, question):
    return _fits_core(item, question) and _fits_place(item, question) and _fits_rules(item, question)


def _fits_core(item, question):
    if item.get("collection") not in (None, *question.get("collections", [item.get("collection")])):
        return False
    if item.get("id") not in question.get("ids", [item.get("id")]):
        return False
    if "datetime" not in question:
        return True
    start, stop = (datetime.fromisoformat(part) for part in question["datetime"].split("/"))
    when = item["properties"].get("datetime") or item["properties"].get("start_datetime")
    return start <= datetime.fromisoformat(when.upper()) <= stop


def _fits_place(item, question):
    if item.get("geometry") is None:
        return True
    try:
        shape = shapely.from_geojson(json.dumps(item["geometry"]))
    except shapely.errors.GEOSException:
        return True
    if "intersects" in question and not shape.intersects(shapely.from_geojson(json.dumps(question["intersects"]))):
        return False
    return "bbox" not in question or shape.intersects(shapely.box(*question["bbox"]))


_TESTS = {"eq": operator.eq, "lt": operator.lt, "lte": operator.le, "gt": operator.gt, "gte": operator.ge,
          "neq": operator.ne, "in": lambda value, wanted: value in wanted}  # fmt: skip


def _fits_rules(item, question):
    for name, compared in question.get("query", {}).items():
        value = item["properties"].get(name)
        if value is None or not all(_TESTS[test](value, wanted) for test, wanted in compared.items()):
            return False
    if "filter" not in question:
        return True
    asked = question["filter"]
    parsed = cql2.parse_text(asked) if isinstance(asked, str) else cql2.parse_json(json.dumps(asked))
    try:
        return parsed.matches(item)
    except Exception:  # noqa: BLE001  # what cannot be compared, such as a property that is not there, does not match
        return False


def basic(username, password):
    """Return the header of a user."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
