"""Providers of eodag on loopback, with the answers that eodag's own tests have recorded (`tests/data/eodag`).

A recorded answer has one or two products; further ones differ from these by their day. `environment` leads eodag's own
configuration of the provider to the server, and changes nothing else of it.
"""

import hashlib
import io
import json
import re
import zipfile
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from loopback import Serving
from stac_server import CORE, QUERY, StacServer

_DATA = Path(__file__).parents[1] / "data" / "eodag"
API_KEY = "the-key-of-jane"
PASSWORD = "a-long-password"
ACCESS_KEY, SECRET_KEY = "AKIAEXAMPLEEXAMPLE00", "a-secret-key-that-signs-links-0000000000"
GEODES_AOI = "bbox = [-102.0, 52.0, -100.0, 54.0]"


def recorded(provider):
    """Return the recorded answer to a search."""
    return json.loads((_DATA / f"{provider}_search.json").read_text())


def product_zip(name, size=2000):
    """Return a zip with noise that depends on the name."""
    noise = hashlib.shake_256(name.encode()).digest(size)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr(zipfile.ZipInfo(f"{name}.SAFE/manifest.safe"), noise)
    return file.getvalue()


# -- GEODES ------------------------------------------------------------------------------------------------------------


class Geodes(StacServer):
    """The catalogue and the files of GEODES; `zips` has the right files by scene, `offline` scenes on tape.

    Args:
        days: Of April 2025, one scene each.
        most: Products of the largest page.
        size: Bytes of a scene.
    """

    def __init__(self, days=(2, 3, 4), *, most=80, size=2000):
        super().__init__(base="/api/stac", token_name="page", numbered=True, counts=("context",), most=most)
        self.conforms = [CORE, QUERY]
        self.file_headers, self.file_type = {"X-API-Key": API_KEY}, "application/zip"
        self.zips, self.offline = {}, set()
        self.login_at = None
        """The address that eodag knows as that of the login."""
        self._days, self._size = days, size

    def __enter__(self):
        super().__enter__()
        (original,) = recorded("geodes")["features"]
        for day in self._days:
            text = json.dumps(original).replace("20250402T", f"202504{day:02}T")
            item = json.loads(text.replace("2025-04-02T", f"2025-04-{day:02}T").replace(":V1", f":V1-{day}"))
            name = item["properties"]["identifier"]
            self.zips[name] = data = product_zip(name, self._size)
            self._lead_here(item, data)
            self.items.append(item)
        self.answers["/fastavailability"] = lambda _: (200, {"products": list(map(self._available, self.items))})
        return self

    def _lead_here(self, item, data):
        for asset in item["assets"].values():
            above = urlsplit(asset["href"]).path.rpartition("/")[0]
            if "zip" in asset["type"]:
                digest = hashlib.md5(data).hexdigest()
                described = re.sub("MD5: .*", f"MD5: {digest}", asset["description"])
                asset["description"] = re.sub("size: [0-9]+", f"size: {len(data)}", described)
                self.files[f"{above}/{digest}"] = data
                asset["href"] = f"http://127.0.0.1:{self.port}{above}/{digest}"

    def _available(self, item):
        link = next(asset["href"] for asset in item["assets"].values() if "zip" in asset["type"])
        *_, urn, _, digest = link.split("/")
        online = item["properties"]["identifier"] not in self.offline
        return {"id": urn, "files": [{"checksum": digest, "available": online}]}

    @property
    def environment(self):
        """What leads eodag here."""
        return {
            "EODAG__GEODES__SEARCH__API_ENDPOINT": f"{self.url}/search",
            "EODAG__GEODES__AUTH__MATCHING_URL": self.login_at or f"http://127.0.0.1:{self.port}",
            "EODAG__GEODES__AUTH__CREDENTIALS__APIKEY": API_KEY,
        }


# -- a provider with files in a bucket ---------------------------------------------------------------------------------


class EarthSearch(StacServer):
    """The catalogue of Earth Search, and a bucket; `objects` has the right files by their names."""

    account = MappingProxyType(
        {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": "us-west-2"}
    )

    def __init__(self):
        super().__init__(base="/v1", token_name="page", numbered=True, counts=("numberMatched", "context"))
        self.conforms = [CORE, QUERY]
        self.objects = {}

    def __enter__(self):
        super().__enter__()
        (item,) = recorded("earth_search")["features"]
        self.items.append(item)
        for asset in item["assets"].values():
            if asset["href"].startswith("s3://"):
                path = asset["href"].removeprefix("s3:/")
                self.files[path] = self.objects[path.rpartition("/")[2]] = f"the bytes of {path}\n".encode()
        return self

    @property
    def environment(self):
        """What leads eodag here."""
        return {
            "EODAG__EARTH_SEARCH__SEARCH__API_ENDPOINT": f"{self.url}/search",
            "EODAG__EARTH_SEARCH__AUTH__S3_ENDPOINT": f"http://127.0.0.1:{self.port}/v1",
            **self.account,
        }


# -- servers of other kinds --------------------------------------------------------------------------------------------


class Server(Serving):
    """Answers GET and POST with its method `answer(asked)`: status, body (bytes or JSON), headers."""

    def __init__(self):
        self.asked = []

    def __enter__(self):
        self.serve(_Handler, provider=self)
        self.url = f"http://127.0.0.1:{self.port}"
        return self


class Asked:
    """A request."""

    def __init__(self, handler, body):
        parts = urlsplit(handler.path)
        self.method, self.path, self.headers, self.body = handler.command, unquote(parts.path), handler.headers, body
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    provider: Server

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = Asked(self, body.decode())
        self.provider.asked.append(asked)
        status, answer, headers = self.provider.answer(asked)
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        kind = "application/zip" if isinstance(answer, bytes) else "application/json"
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    do_POST = do_HEAD = do_GET  # noqa: N815  # names of the base class


class CopernicusDataSpace(Server):
    """The catalogue, the login and the files of the Copernicus Data Space; `zips` has the right files by scene."""

    def __init__(self):
        super().__init__()
        self.rows = recorded("cop_dataspace")["value"]
        self.zips = {row["Name"].removesuffix(".SAFE"): product_zip(row["Name"]) for row in self.rows}
        for row in self.rows:
            data = self.zips[row["Name"].removesuffix(".SAFE")]
            row["ContentLength"] = len(data)
            row["Checksum"] = [{"Algorithm": "MD5", "Value": hashlib.md5(data).hexdigest()}]
        self.logins, self.tokens = 0, set()
        self._key = rsa.generate_private_key(65537, 2048)

    def answer(self, asked):
        if asked.path == "/oidc":
            ends = {"token_endpoint": f"{self.url}/token", "jwks_uri": f"{self.url}/jwks"}
            found = {**ends, "authorization_endpoint": self.url, "id_token_signing_alg_values_supported": ["RS256"]}
            return 200, found, {}
        if asked.path == "/jwks":
            key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
            return 200, {"keys": [{**key, "kid": "1", "use": "sig"}]}, {}
        if asked.path == "/token":
            return self._log_in(parse_qs(asked.body))
        if asked.path == "/odata/v1/Products":
            return self._search(asked)
        if match := re.fullmatch(r"/odata/v1/Products\((.*)\)/\$value", asked.path):
            return self._file(match[1], asked)
        return 404, {}, {}

    def _log_in(self, form):
        if form.get("password") != [PASSWORD] and "refresh_token" not in form:
            return 401, {"error": "invalid_grant"}, {}
        self.logins += 1
        claims = {"exp": 4_000_000_000, "aud": "CLOUDFERRO_PUBLIC", "jti": str(self.logins)}
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "1"})
        self.tokens = {token}
        return 200, {"access_token": token, "refresh_token": f"r{self.logins}", "refresh_expires_in": 3600}, {}

    def _search(self, asked):
        condition = asked.query["$filter"]
        begin, end = re.search("End gt (.*?Z)", condition), re.search("Start lt (.*?Z)", condition)
        name = re.search(r"contains\(Name,'(.*)'\)", condition)
        found = [
            row
            for row in self.rows
            if (begin is None or row["ContentDate"]["End"] > begin[1])
            and (end is None or row["ContentDate"]["Start"] < end[1])
            and (name is None or name[1] in row["Name"])
        ]
        first = int(asked.query.get("$skip", 0))
        page = found[first : first + int(asked.query["$top"])]
        return 200, {"value": page, "@odata.count": len(found)}, {}

    def _file(self, identity, asked):
        if asked.query.get("token") not in self.tokens:
            return 401, {"detail": "Expired or missing token"}, {}
        row = next((row for row in self.rows if row["Id"] == identity), None)
        return (404, {}, {}) if row is None else (200, self.zips[row["Name"].removesuffix(".SAFE")], {})

    @property
    def environment(self):
        """What leads eodag here."""
        link = "EODAG__COP_DATASPACE__SEARCH__METADATA_MAPPING__EODAG_DOWNLOAD_LINK"
        return {
            "EODAG__COP_DATASPACE__SEARCH__API_ENDPOINT": f"{self.url}/odata/v1/Products",
            link: f"{self.url}/odata/v1/Products({{uid}})/$value",
            "EODAG__COP_DATASPACE__AUTH__MATCHING_URL": self.url,
            "EODAG__COP_DATASPACE__AUTH__OIDC_CONFIG_URL": f"{self.url}/oidc",
            "EODAG__COP_DATASPACE__AUTH__CREDENTIALS__USERNAME": "jane@example.org",
            "EODAG__COP_DATASPACE__AUTH__CREDENTIALS__PASSWORD": PASSWORD,
        }


class Wekeo(Server):
    """WEkEO with the shape of answers that eodag's configuration reads; its scenes have to be ordered.

    `polls` says how often the state of an order is asked before the scene is ready; `fails` makes orders fail. The
    number of an order, which is in the link for its state, ends with `tail`.
    """

    def __init__(self):
        super().__init__()
        days = (4, 5)
        self.zips = {name: product_zip(name) for name in map(self._name, days)}
        self.polls, self.fails, self.tail = 1, False, ""
        self.orders = {}

    @staticmethod
    def _name(day):
        return f"S2A_MSIL1C_201905{day:02}T110621_N0207_R137_T30UXC_201905{day:02}T112355"

    def answer(self, asked):
        path = asked.path.removeprefix("/hda-broker")
        if path in ("/gettoken", "/refreshtoken"):
            right = json.loads(asked.body or "{}").get("password") == PASSWORD if "json" in str(asked.headers) else True
            tokens = {"access_token": API_KEY, "refresh_token": "r", "expires_in": 3600}
            return (200, tokens, {}) if right else (401, {}, {})
        if asked.headers.get("Authorization") != f"Bearer {API_KEY}":
            return 401, {}, {}
        path = path.removeprefix("/api/v1/dataaccess")
        if path == "/search":
            return self._search(json.loads(asked.body))
        if path == "/download":
            number = f"order-{len(self.orders) + 1}{self.tail}"
            self.orders[number] = [json.loads(asked.body)["product_id"].removesuffix(".SAFE"), 0]
            return 200, {"download_id": number}, {}
        if path == "/downloads":
            return self._state(asked.query["download_id"])
        name, _ = self.orders.get(path.rpartition("/")[2], ("", 0))
        return (200, self.zips[name], {}) if name else (404, {}, {})

    def _search(self, question):
        begin, end = question.get("startdate", "0"), question.get("enddate", "9")
        features = [self._feature(name) for name in self.zips]
        found = [one for one in features if begin <= one["properties"]["startdate"] <= end]
        return 200, {"type": "FeatureCollection", "features": found, "properties": {"totalResults": len(found)}}, {}

    def _feature(self, name):
        stamp = re.search("_([0-9]{8})T([0-9]{6})", name)
        day, clock = stamp[1], stamp[2]
        start = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}.000Z"
        corners = [[-1.5, 51.4], [-1.1, 51.4], [-1.1, 51.8], [-1.5, 51.8], [-1.5, 51.4]]
        properties = {"startdate": start, "enddate": start, "location": f"eodata/{name}", "size": len(self.zips[name])}
        metadata = {"productType": "S2MSI1C", "platformSerialIdentifier": "A", "instrumentShortName": "MSI"}
        return {
            "id": f"{name}.SAFE",
            "geometry": {"type": "Polygon", "coordinates": [corners]},
            "properties": {**properties, "metadata": metadata},
        }

    def _state(self, number):
        order = self.orders[number]
        order[1] += 1
        status = "Error" if self.fails else "Done" if order[1] > self.polls else "Pending"
        return 200, {"features": [{"_id": number, "status": status, "message": "as the provider says"}]}, {}

    def configuration(self, folder):
        """Write eodag's own configuration of WEkEO, with its hosts replaced; return what makes eodag read it."""
        text = (files("eodag") / "resources" / "providers" / "wekeo_main.yml").read_text()
        text = text.replace("https://gateway.prod.wekeo2.eu", self.url).replace(r"https://[-\w\.]+.wekeo2.eu", self.url)
        file = folder / "eodag.yml"
        file.write_text(text)
        account = "EODAG__WEKEO_MAIN__AUTH__CREDENTIALS__"
        return {"EODAG_CFG_FILE": str(file), f"{account}USERNAME": "jane", f"{account}PASSWORD": PASSWORD}
