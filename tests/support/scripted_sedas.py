"""A server with scripted answers in place of SeDAS, and values for tests of the SeDAS archive."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from loopback import LoopbackServer

from sedas_sync.model.order import Order
from sedas_sync.model.scene import Scene

AOI = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))"
FROM, TO = "2019-04-30T00:00:00Z", "2019-05-12T23:59:59Z"
NAME = "S2B_MSIL1C_20190925T071629_N0208_R006_T38PNV_20190925T110036"


class ScriptedServer(LoopbackServer):
    """A server whose answers are a function of the request. Logins work unless a route says otherwise."""

    def __init__(self):
        self.logins = 0
        self.routes = {}
        super().__init__("/api/")

    def reply(self, path, headers, body):
        status, answer, *more = self.answer(urlsplit(path), body, headers.get("Authorization"))
        return status, dict(more), answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def answer(self, parts, body, authorization):
        if parts.path == "/api/authentication":
            self.logins += 1
            login = self.routes.get(parts.path)
            until = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
            return login() if login else (200, {"token": f"token-{self.logins}", "validUntil": until})
        route = self.routes.get(parts.path, (404, b"<html><title>404 Not Found</title></html>"))
        return route(parts, body, authorization) if callable(route) else route


class SteppedClock:
    """A clock that a test sets."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def scene(name="A", url=None):
    return Scene(id=name, download_url=url)


def order(number, name="A"):
    return Order(order=number, id=name, placed=datetime(2019, 1, 1, tzinfo=UTC))


WHOLE = {
    "productId": "6f6d6d83911a5738291f7f79936cb9d7",
    "supplierId": NAME,
    "type": "ARCHIVE",
    "satelliteName": "Sentinel-2B",
    "instrumentName": "MSI",
    "modeName": "Nominal",
    "sensorType": "Optical",
    "sensorResolution": 10.0,
    "coordinatesWKT": "POLYGON((44.999815 13.568451,46.014647 13.5663,46.0 12.5,44.999815 13.568451))",
    "start": "2019-09-25T07:16:29Z",
    "stop": "2019-09-25T07:16:30Z",
    "orbit": 13330.0,
    "orbitDirection": "descending",
    "area": 1.240146e09,
    "aoiCoveragePercent": 1.0,
    "usefulAreaPercent": 5.0,
    "cloudCoveragePercent": 42.0,
    "productType": "L1C",
    "latency": "Standard",
    "ql": "https://geobrowser.satapps.org/archiveql/x",
    "thumbnail": "https://sedasdm.satapps.org/qls/x",
    "vendorSpecific": {"property": "vendorSpecific", "Filehash": "95" * 16, "other": 1},
    "downloadUrl": f"https://sedasdm.satapps.org/datamgr/datamgr.php?p=Default&sceneid={NAME}.zip",
    "acqMode": "new",
}


UNUSABLE = [
    None,
    "text",
    [],
    {},
    {**WHOLE, "supplierId": None},
    {**WHOLE, "supplierId": ""},
    {**WHOLE, "supplierId": " "},
    {**WHOLE, "supplierId": 7},
    {**WHOLE, "start": "yesterday"},
    {**WHOLE, "start": 1569395789},
    {**WHOLE, "coordinatesWKT": "somewhere"},
    {**WHOLE, "coordinatesWKT": "POLYGON((1 2,3 4"},
    {**WHOLE, "coordinatesWKT": {"type": "Polygon"}},
    {**WHOLE, "cloudCoveragePercent": {"mean": 4}},
    {**WHOLE, "cloudCoveragePercent": True},
    {**WHOLE, "downloadUrl": 7},
]
