"""A server that follows the documentation of the Copernicus Data Space (2025-03), on three loopback ports.

One is the catalogue, one the login, one sends the bytes. `$filter` is parsed and evaluated, not compared with
a text; limits, expiry and quota follow a clock that tests move. The module does not import the client.
"""

import hashlib
import io
import itertools
import json
import random
import re
import threading
import zipfile
from bisect import bisect_left
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID

import shapely
from blake3 import blake3

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAGE, MOST, LAST_SKIP = 20, 1000, 10_000


# -- $filter ----------------------------------------------------------------------------------------------------------


class BadFilter(ValueError):
    """The filter does not follow the documented grammar."""


_TOKENS = re.compile(
    r"\s*(?:(?P<geo>geography'(?:[^']|'')*')|(?P<text>'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?)|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_./]*)|(?P<sign>[(),:=]))"
)
_OPERATORS = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b, "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
}  # fmt: skip
_KINDS = {"String": str, "Integer": int, "Double": (int, float), "DateTimeOffset": datetime, "Boolean": bool}


def instant(text):
    when = datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise BadFilter(f"{text} has no zone")
    return when


class _Parser:
    """Recursive descent over the documented grammar; each method returns a predicate over a `Product`."""

    def __init__(self, text):
        self.tokens = []
        at = 0
        while text[at:].strip():
            match = _TOKENS.match(text, at)
            if match is None:
                raise BadFilter(f"cannot be read at {text[at : at + 30]!r}")
            self.tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()

    def whole(self):
        found = self.either()
        if self.tokens:
            raise BadFilter(f"ends before {self.tokens[0][1]!r}")
        return found

    def peek(self):
        return self.tokens[0][1] if self.tokens else ""

    def take(self, *expected):
        if not self.tokens or (expected and self.peek() not in expected):
            raise BadFilter(f"expected {' or '.join(expected) or 'more'}, found {self.peek()!r}")
        return self.tokens.pop(0)

    def either(self):
        parts = [self.all()]
        while self.peek() == "or":
            self.take()
            parts.append(self.all())
        return parts[0] if len(parts) == 1 else lambda product: any(part(product) for part in parts)

    def all(self):
        parts = [self.one()]
        while self.peek() == "and":
            self.take()
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda product: all(part(product) for part in parts)

    def one(self):
        if self.peek() == "not":
            self.take()
            inner = self.one()
            return lambda product: not inner(product)
        if self.peek() == "(":
            self.take()
            inner = self.either()
            self.take(")")
            return inner
        kind, word = self.take()
        if kind != "word":
            raise BadFilter(f"did not expect {word!r}")
        if word in ("contains", "startswith", "endswith"):
            return self.of_name(word)
        if word == "OData.CSC.Intersects":
            return self.intersects()
        if word.startswith("Attributes/"):
            return self.attribute(word)
        return self.field(word)

    def of_name(self, function):
        self.take("(")
        self.take("Name")
        self.take(",")
        wanted = self.literal("text")
        self.take(")")
        test = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}[function]
        return lambda product: test(product.name, wanted)

    def intersects(self):
        for sign in ("(", "area", "="):
            self.take(sign)
        area = self.literal("geo")
        self.take(")")
        match = re.fullmatch(r"geography'SRID=4326;((?:POLYGON|POINT|MULTIPOLYGON)\s*\(.*\))'", area)
        shape = shapely.from_wkt(match[1]) if match else None
        if shape is None or not shape.is_valid or shape.is_empty:
            raise BadFilter("the geometry is invalid")
        meets = cache(lambda wkt: shape.intersects(_shape(wkt)))
        return lambda product: product.wkt is not None and meets(product.wkt)

    def attribute(self, word):
        match = re.fullmatch(r"Attributes/OData\.CSC\.(\w+)Attribute/any", word)
        if match is None or match[1] not in _KINDS:
            raise BadFilter(f"{word} is no attribute")
        kind = match[1]
        for part in ("(", "att", ":", "att/Name", "eq"):
            self.take(part)
        name = self.literal("text")
        self.take("and")
        self.take(f"att/OData.CSC.{kind}Attribute/Value")
        compare = _OPERATORS[self.take(*_OPERATORS)[1]]
        value = self.literal("text" if kind == "String" else "time" if kind == "DateTimeOffset" else "number")
        self.take(")")

        def holds(product):
            stated = product.attributes.get(name)
            return isinstance(stated, _KINDS[kind]) and compare(stated, value)

        return holds

    def field(self, word):
        get = {
            "Name": lambda product: product.name, "Id": lambda product: product.id,
            "Online": lambda product: product.online, "Collection/Name": lambda product: product.collection,
            "ContentDate/Start": lambda product: product.start, "ContentDate/End": lambda product: product.stop,
            "PublicationDate": lambda product: product.published,
        }.get(word)  # fmt: skip
        if get is None:
            raise BadFilter(f"there is no field {word}")
        compare = _OPERATORS[self.take(*_OPERATORS)[1]]
        if word == "Online":
            value = self.take("true", "false")[1] == "true"
        else:
            value = self.literal("time" if "Date" in word else "text")
        return lambda product: compare(get(product), value)

    def literal(self, kind):
        found, word = self.take()
        if found != kind:
            raise BadFilter(f"{word} is no {kind}")
        if kind == "text":
            return word[1:-1].replace("''", "'")
        if kind == "time":
            return instant(word)
        return float(word) if kind == "number" else word


def parse_filter(text):
    return _Parser(text).whole()


# -- products ---------------------------------------------------------------------------------------------------------


def stamp(when):
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03d}Z"


_DIGESTS = {"MD5": hashlib.md5, "BLAKE3": blake3}
_shape = cache(shapely.from_wkt)


@cache
def _geojson(wkt):
    return shapely.geometry.mapping(_shape(wkt))


@dataclass
class Product:
    """One product: its row in the catalogue, and its bytes."""

    name: str
    start: datetime
    collection: str = "SENTINEL-2"
    attributes: dict = field(default_factory=dict)
    wkt: str | None = "POLYGON ((-2 51, -1 51, -1 52, -2 52, -2 51))"
    online: bool = True
    checksums: tuple = ("MD5", "BLAKE3")
    length: int | None = None
    """The value of the catalogue; None: that of the bytes."""
    content: bytes | None = None
    headers: dict | None = None
    """Headers of a download; None: a zip, or the file that the name shows."""
    changes: dict = field(default_factory=dict)
    """Fields of the row to replace; `...` removes one."""

    def __post_init__(self):
        self.id = str(UUID(hashlib.md5(self.name.encode()).hexdigest()))
        self.stop = self.start + timedelta(seconds=25)
        self.published = self.start + timedelta(hours=3)

    @property
    def shape(self):
        return None if self.wkt is None else _shape(self.wkt)

    @property
    def bytes(self):
        if self.content is None:
            self.content = zipped(self.name)
        return self.content

    @property
    def download_headers(self):
        if self.headers is not None:
            return self.headers
        if self.name.endswith((".nc", ".EOF", ".tar", ".tgz", ".TIFF")):
            name, kind = self.name, "application/octet-stream"
        else:
            name, kind = f"{self.name}.zip", "application/zip"
        return {"Content-Type": kind, "Content-Disposition": f'attachment; filename="{name}"'}

    def row(self, *, expand):
        data = self.bytes
        digest = {name: _DIGESTS[name](data).hexdigest() for name in self.checksums}
        row = {
            "@odata.mediaContentType": "application/octet-stream",
            "Id": self.id,
            "Name": self.name,
            "ContentType": "application/octet-stream",
            "ContentLength": len(data) if self.length is None else self.length,
            "OriginDate": stamp(self.published - timedelta(hours=1)),
            "PublicationDate": stamp(self.published),
            "ModificationDate": stamp(self.published),
            "Online": self.online,
            "EvictionDate": "9999-12-31T23:59:59.999999Z",
            "S3Path": f"/eodata/{self.collection}/{self.start:%Y/%m/%d}/{self.name}",
            "Checksum": [{"Value": digest[name], "Algorithm": name, "ChecksumDate": stamp(self.published)}
                         for name in self.checksums],
            "ContentDate": {"Start": stamp(self.start), "End": stamp(self.stop)},
            "Footprint": None if self.wkt is None else f"geography'SRID=4326;{self.wkt}'",
            "GeoFootprint": None if self.wkt is None else _geojson(self.wkt),
        }  # fmt: skip
        if expand:
            row["Attributes"] = [
                {"@odata.type": f"#OData.CSC.{_kind(value)}Attribute", "Name": name, "Value": value,
                 "ValueType": _kind(value)}
                for name, value in self.attributes.items()
            ]  # fmt: skip
        row.update(self.changes)
        return {key: value for key, value in row.items() if value is not ...}


def _kind(value):
    return {str: "String", int: "Integer", float: "Double"}[type(value)]


def zipped(name, size=3000):
    """Return a zip with the layout of a product; equal names have equal bytes."""
    folder = name if "." in name else f"{name}.SAFE"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr(zipfile.ZipInfo(f"{folder}/manifest.safe"), f"<xfdu>{name}</xfdu>")
        file.writestr(zipfile.ZipInfo(f"{folder}/measurement.bin"), random.Random(name).randbytes(size))
    return out.getvalue()


_numbers = itertools.count()


def msi(start, *, tile="30UXC", level="L1C", orbit=137, satellite="A", baseline="0500", cloud=12.5, **more):
    """Return a Sentinel-2 product as the catalogue describes it."""
    made = start + timedelta(hours=2, seconds=next(_numbers))
    name = f"S2{satellite}_MSI{level}_{start:%Y%m%dT%H%M%S}_N{baseline}_R{orbit:03d}_T{tile}_{made:%Y%m%dT%H%M%S}.SAFE"
    attributes = {
        "origin": "ESA", "tileId": tile, "cloudCover": cloud, "productType": f"S2MSI{level[1:]}",
        "orbitNumber": 40210, "orbitDirection": "DESCENDING", "processorVersion": "05.00",
        "platformShortName": "SENTINEL-2", "instrumentShortName": "MSI", "relativeOrbitNumber": orbit,
        "platformSerialIdentifier": satellite,
    }  # fmt: skip
    if cloud is None:
        del attributes["cloudCover"]
    return Product(name, start, attributes=attributes, **more)


def grd(start, *, channels="VV&VH", satellite="A", direction="ASCENDING", **more):
    """Return a Sentinel-1 product as the catalogue describes it."""
    code = {"VV&VH": "DV", "VV": "SV", "HH&HV": "DH", "HH": "SH"}[channels]
    stop = start + timedelta(seconds=25)
    name = (
        f"S1{satellite}_IW_GRDH_1S{code}_{start:%Y%m%dT%H%M%S}_{stop:%Y%m%dT%H%M%S}_052133_064D41_"
        f"{next(_numbers) % 65536:04X}.SAFE"
    )
    attributes = {
        "origin": "ESA", "productType": "IW_GRDH_1S", "orbitNumber": 52133, "orbitDirection": direction,
        "operationalMode": "IW", "processingLevel": "LEVEL1", "polarisationChannels": channels,
        "platformShortName": "SENTINEL-1", "instrumentShortName": "SAR", "relativeOrbitNumber": 61,
        "platformSerialIdentifier": satellite,
    }  # fmt: skip
    return Product(name, start, collection="SENTINEL-1", attributes=attributes, **more)


def orbit_file(start, *, hours=26, kind="AUX_POEORB", satellite="A", made=timedelta(days=20), **more):
    """Return an orbit file of Sentinel-1 as the catalogue describes it: without a footprint, and not zipped."""
    stop = start + timedelta(hours=hours)
    stamps = [f"{when:%Y%m%dT%H%M%S}" for when in (start + made, start, stop)]
    name = "S1{}_OPER_{}_OPOD_{}_V{}_{}.EOF".format(satellite, kind, *stamps)
    attributes = {
        "origin": "ESA", "productType": kind, "platformShortName": "SENTINEL-1", "instrumentShortName": "SAR",
        "platformSerialIdentifier": satellite,
    }  # fmt: skip
    content = f'<?xml version="1.0" ?><Earth_Explorer_File>{name}</Earth_Explorer_File>'.encode()
    product = Product(name, start, collection="SENTINEL-1", attributes=attributes, wkt=None, content=content, **more)
    product.stop, product.published = stop, start + made
    return product


def recorded_product(row):
    """Return a product as the service described it in a recorded row, with small bytes of its kind.

    The row has the length and the checksums of these bytes if it had any.
    """
    footprint = re.search(r";(.*)'", row["Footprint"] or "")
    attributes = {one["Name"]: one["Value"] for one in row["Attributes"] if type(one["Value"]) in (str, int, float)}
    stored = row["S3Path"].rpartition("/")[2]
    is_folder = stored.endswith((".SAFE", ".zip"))
    product = Product(
        row["Name"],
        datetime.fromisoformat(row["ContentDate"]["Start"]),
        collection=f"SENTINEL-{stored[1]}",
        attributes=attributes,
        wkt=footprint and footprint[1],
        content=zipped(row["Name"]) if is_folder else f"the bytes of {stored}".encode(),
    )
    product.id = row["Id"]
    product.headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="{row["Name"]}{".zip" if is_folder else ""}"',
    }
    rewritten = {key for key in ("ContentLength", "Checksum") if row[key]}
    product.changes = {key: value for key, value in row.items() if key not in rewritten}
    return product


# -- the server -------------------------------------------------------------------------------------------------------


@dataclass
class Asked:
    """A received request."""

    host: str
    """`catalogue`, `login` or `bytes`."""
    method: str
    path: str
    options: dict
    headers: dict
    body: str = ""
    counts: bool = False
    """Whether its connection is still running."""


@dataclass
class Fault:
    """An answer for the next requests with this host and path."""

    host: str
    pattern: str
    status: int
    body: bytes = b""
    headers: dict = field(default_factory=dict)
    times: int = 1


class CdseServer:
    """The catalogue, the login and the bytes; a context manager.

    Attributes that tests change: `products`, `deleted`, `faults`, `online` of a product, `clock` (seconds that have
    passed), `connections` (how many downloads at once), `sorts`, `pages_of`, `next_links`, `totp`, `passwords`,
    `redirect_to`, `revoked`, `takes_skip`.
    """

    def __init__(self, products=()):
        self.products = list(products)
        self.deleted = {}
        self.faults = []
        self.asked = []
        self.clock = 0.0
        self.passwords = {"jane@example.org": "a-long-password"}
        self.totp = None
        """The code that a login needs, or a function that returns the valid codes at a time."""
        self.spent = set()
        """Codes of earlier logins, each of which counts once; tests that use one code again clear it."""
        self.access_life, self.refresh_life, self.sessions_allowed = 600, 3600, 100
        self.logins = self.refreshes = 0
        self.sessions = {}
        self.tokens = {}
        self.connections = 4
        self.under_way = self.most_under_way = 0
        self.sorts, self.pages_of, self.next_links, self.expands_lists = True, MOST, True, True
        self.refuses_attributes, self.takes_skip = False, True
        self.redirect_to = None
        self.ranges, self.lengths = True, True
        self.evicts = set()
        """Names of products that are offline when they are requested."""
        self.offline_status = 404
        self.cuts = []
        """For each of the next downloads, after how many bytes the connection breaks; None: never."""
        self.hold = None
        """A function that each download waits in, so that several run at the same time."""
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._rows = {}

    def __enter__(self):
        names = {}
        for host in ("catalogue", "login", "bytes"):
            server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"cdse": self, "host": host}))
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            self._stack.callback(server.server_close)
            self._stack.callback(server.shutdown)
            names[host] = f"http://127.0.0.1:{server.server_port}"
        self.url = f"{names['catalogue']}/odata/v1/"
        self.login_url = f"{names['login']}/auth/realms/CDSE/protocol/openid-connect/token"
        self.bytes_url = f"{names['bytes']}/odata/v1/"
        return self

    def __exit__(self, *_):
        self._stack.close()

    @property
    def now(self):
        return self.clock

    def requests(self, host=None, path=""):
        return [one for one in self.asked if (host is None or one.host == host) and path in one.path]

    def by_name(self, name):
        return next(product for product in self.products if product.name.removesuffix(".SAFE") == name)

    # answers: status, body (bytes or JSON), headers

    def answer(self, asked):
        with self._lock:
            self.asked.append(asked)
            for fault in self.faults:
                if fault.host == asked.host and re.search(fault.pattern, asked.path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                    return fault.status, fault.body, fault.headers
        if asked.host == "login":
            return self.log_in(asked)
        if asked.path.endswith("/$value"):
            return self.value(asked)
        if asked.host == "catalogue":
            return self.catalogue(asked)
        return 404, {"detail": "Not Found"}, {}

    # -- the catalogue

    def catalogue(self, asked):
        if asked.path == "/odata/v1/Products/OData.CSC.FilterList" and asked.method == "POST":
            names = {item["Name"] for item in json.loads(asked.body)["FilterProducts"]}
            found = [product for product in self.products if product.name in names][: self.pages_of]
            expand = self.expands_lists and asked.options.get("$expand") == "Attributes"
            return 200, {"@odata.context": "$metadata#Products", "value": [one.row(expand=expand) for one in found]}, {}
        if asked.path == "/odata/v1/DeletedProducts":
            return self.list_deleted(asked)
        if asked.path != "/odata/v1/Products" or asked.method != "GET":
            return 404, {"detail": "Not Found"}, {}
        return self.search(asked)

    def search(self, asked):
        options = asked.options
        known = {"$filter", "$orderby", "$top", "$skip", "$expand", "$count"}
        if set(options) - known:
            return 400, {"detail": {"message": f"unknown option in {sorted(options)}"}}, {}
        top, skip = int(options.get("$top", PAGE)), int(options.get("$skip", 0))
        for name, value, most in (("top", top, MOST), ("skip", skip, LAST_SKIP)):
            if not 0 <= value <= most:
                what = {"type": "less_than_equal", "loc": ["query", f"${name}"],
                        "msg": f"Input should be less than or equal to {most}", "input": str(value)}  # fmt: skip
                return 422, {"detail": [what]}, {}
        condition = options.get("$filter", "")
        if self.refuses_attributes and ("not (Attributes" in condition):
            return 400, {"detail": {"message": "Invalid field: Attributes", "request_id": "0"}}, {}
        try:
            keep = parse_filter(condition)
        except (BadFilter, ValueError) as error:
            return 400, {"detail": {"message": f"Invalid filter: {error}", "request_id": "0"}}, {}
        top = min(top, self.pages_of)
        matching = filter(keep, self.within(condition))
        if options.get("$orderby") == "ContentDate/Start asc" and self.sorts:
            found = list(itertools.islice(matching, skip + top + 1))
        else:
            found = list(matching)
            random.Random(len(found)).shuffle(found)
        page = found[skip : skip + top] if self.takes_skip else found[:top]
        expand = "Attributes" in options.get("$expand", "")
        body = {"@odata.context": "$metadata#Products", "value": [self.row(product, expand) for product in page]}
        if self.next_links and skip + top < len(found) and skip + 2 * top <= LAST_SKIP:
            body["@odata.nextLink"] = f"{self.url}Products?$skip={skip + top}"
        return 200, body, {}

    def row(self, product, expand):
        if product.online is not True or product.changes:
            return product.row(expand=expand)
        key = (product.id, expand)
        if key not in self._rows:
            self._rows[key] = product.row(expand=expand)
        return self._rows[key]

    def within(self, condition):
        """Yield the products in order from the earliest requested, without a scan of all for each page."""
        match = re.search(r"ContentDate/Start ge (\S+)", condition)
        ordered = self.__dict__.get("_ordered")
        if ordered is None or ordered[2] is not self.products or len(ordered[0]) != len(self.products):
            listed = sorted(self.products, key=lambda product: (product.start, product.id))
            ordered = self.__dict__["_ordered"] = (listed, [product.start for product in listed], self.products)
        return ordered[0][bisect_left(ordered[1], instant(match[1])) if match else 0 :]

    def list_deleted(self, asked):
        keep = parse_filter(asked.options["$filter"])
        gone = [Product(name, NOW) for name in self.deleted]
        rows = [
            {"Id": one.id, "Name": one.name, "DeletionDate": stamp(NOW), "DeletionCause": self.deleted[one.name]}
            for one in gone
            if keep(one)
        ]
        return 200, {"value": rows}, {}

    # -- the login

    def log_in(self, asked):
        form = {name: values[0] for name, values in parse_qs(asked.body).items()}
        if asked.headers.get("content-type") != "application/x-www-form-urlencoded" or asked.method != "POST":
            return 415, {"error": "RESTEASY003065: Cannot consume content type"}, {}
        if form.get("client_id") != "cdse-public":
            return 401, {"error": "invalid_client", "error_description": "Invalid client credentials"}, {}
        with self._lock:
            self.sessions = {key: until for key, until in self.sessions.items() if until > self.now}
            if form.get("grant_type") == "refresh_token":
                session = form.get("refresh_token", "").removeprefix("refresh.")
                if session not in self.sessions:
                    return 400, {"error": "invalid_grant", "error_description": "Token is not active"}, {}
                self.refreshes += 1
                return 200, self.give(session), {}
            if self.passwords.get(form.get("username")) != form.get("password"):
                return 401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}, {}
            code = form.get("totp")
            expected = self.totp(self.now) if callable(self.totp) else (self.totp,)
            if self.totp is not None and (code not in expected or code in self.spent):
                return 401, {"error": "invalid_grant", "error_description": "Invalid user credentials"}, {}
            self.spent.add(code)
            if len(self.sessions) >= self.sessions_allowed:
                return 403, {"error": "too_many_sessions", "error_description": "Too many active sessions"}, {}
            self.logins += 1
            session = f"session-{self.logins}"
            self.sessions[session] = self.now + self.refresh_life
            return 200, self.give(session), {}

    def give(self, session):
        token = f"access.{session}.{len(self.tokens)}"
        self.tokens[token] = self.now + self.access_life
        left = max(0, self.sessions[session] - self.now)
        return {
            "access_token": token, "expires_in": self.access_life, "refresh_expires_in": left,
            "refresh_token": f"refresh.{session}", "token_type": "Bearer", "not-before-policy": 0,
            "session_state": session, "scope": "AUDIENCE_PUBLIC",
        }  # fmt: skip

    def may(self, asked):
        kind, _, token = asked.headers.get("authorization", "").partition(" ")
        return kind == "Bearer" and self.tokens.get(token, 0) > self.now

    # -- the bytes

    def value(self, asked):
        match = re.fullmatch(r"/odata/v1/Products\(([0-9a-f-]{36})\)/\$value", asked.path)
        product = next((one for one in self.products if match and one.id == match[1]), None)
        if product is not None and product.name in self.evicts:
            product.online = False
        if not self.may(asked):
            return 401, {"detail": "Expired or missing token"}, {}
        if product is None or not product.online:
            return self.offline_status, {"detail": "Product not found in catalogue or not online"}, {}
        if asked.host == "catalogue":
            target = self.redirect_to or self.bytes_url
            return 301, b"", {"Location": f"{target}Products({product.id})/$value"}
        return self.limited(asked, product)

    def limited(self, asked, product):
        with self._lock:
            if self.under_way >= self.connections:
                text = f"Request failed with status code 429: Max session number {self.connections} exceeded."
                return 429, {"detail": [{"code": "DAT-ZIP-100", "message": text}]}, {}
            self.under_way += 1
            asked.counts = True
            self.most_under_way = max(self.most_under_way, self.under_way)
        if self.hold is not None:
            self.hold()
        data = product.bytes
        headers = dict(product.download_headers)
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.headers.get("range", "")) if self.ranges else None
        if match:
            first, last = int(match[1]), int(match[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{min(last, len(data) - 1)}/{len(data)}"
            return 206, data[first : last + 1], headers
        return 200, data, headers

    def done(self, asked):
        if asked.counts:
            with self._lock:
                self.under_way -= 1


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    cdse: CdseServer
    host: str

    def do_GET(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode() if length else ""
        parts = urlsplit(self.path)
        options = {}
        for pair in parts.query.split("&") if parts.query else ():
            # The service reads a literal plus sign as a space, so it must be encoded.
            name, _, value = pair.replace("+", " ").partition("=")
            options[unquote(name)] = unquote(value)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.host, self.command, unquote(parts.path), options, headers, body)
        status, answer, extra = self.cdse.answer(asked)
        try:
            self.reply(status, answer, extra)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.cdse.done(asked)

    do_POST = do_GET  # noqa: N815 - what the library calls

    def reply(self, status, answer, extra):
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        cut = self.cdse.cuts.pop(0) if self.cdse.cuts and status in (200, 206) and self.host == "bytes" else None
        self.send_response(status)
        if not isinstance(answer, bytes):
            self.send_header("Content-Type", "application/json")
        for name, value in extra.items():
            self.send_header(name, value)
        if self.cdse.lengths or self.host != "bytes":
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:cut])
            self.close_connection = self.close_connection or cut is not None
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(data), 1024):
            piece = data[at : at + 1024]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass
