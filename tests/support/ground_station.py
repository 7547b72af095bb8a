"""A server with the API of the example plug-in in `examples/plugin_orders`."""

import hashlib
import json
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import LoopbackServer

SQUARE = "POLYGON((-1.5 51.4,-1.1 51.4,-1.1 51.8,-1.5 51.8,-1.5 51.4))"
FILES = ("image.tif", "qa/mask.tif")


class GroundStation(LoopbackServer):
    """Five scenes of May 2019, two on a page; the last one is on tape until an order of it was polled twice."""

    def __init__(self):
        self.logins = 0
        self.tokens = set()
        """Those that are valid."""
        self.failures = {}
        """Statuses of the next answers, by the first part of a path."""
        self.orders = {}
        self.polls = {}
        self.scenes = {f"GS_{day}": day < 5 for day in range(1, 6)}
        super().__init__("/api")

    def content(self, scene, name):
        return f"{scene} {name}".encode() * 100

    def row(self, scene):
        files = [
            {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name in FILES
            for data in [self.content(scene, name)]
        ]
        start = f"2019-05-0{scene[-1]}T11:00:00+00:00"
        return {"id": scene, "start": start, "footprint": SQUARE, "on_disk": self.scenes[scene], "files": files}

    def reply(self, path, headers, body):
        parts = urlsplit(path)
        kind, *rest = unquote(parts.path.removeprefix("/api/")).split("/", 1)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if self.failures.get(kind):
            return self.failures[kind].pop(0), {}, b"{}"
        if kind == "login":
            known = json.loads(body) == {"user": "ann", "password": "secret"}
            return (200, {}, json.dumps({"token": self.log_in()}).encode()) if known else (401, {}, b"{}")
        if headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            return 401, {}, b"{}"
        if kind == "files":
            scene, name = rest[0].split("/", 1)
            return 200, {}, self.content(scene, name)
        found = getattr(self, f"reply_{kind}")(rest, query, body)
        return (404, {}, b"{}") if found is None else (200, {}, json.dumps(found).encode())

    def log_in(self):
        self.logins += 1
        self.tokens.add(f"token-{self.logins}")
        return f"token-{self.logins}"

    def reply_scenes(self, rest, query, _body):
        if rest:
            return self.row(rest[0]) if rest[0] in self.scenes else None
        rows = [self.row(scene) for scene in self.scenes]
        rows = [row for row in rows if query["from"] <= row["start"] <= query["to"]]
        page = int(query["page"])
        return {"scenes": rows[2 * page - 2 : 2 * page], "next": page + 1 if len(rows) > 2 * page else None}

    def reply_orders(self, _rest, query, body):
        if body:
            number = str(len(self.orders) + 1)
            self.orders[number] = json.loads(body)["scene"]
            return {"order": number}
        return {"orders": [self.poll(number) for number in query["ids"].split(",") if number in self.orders]}

    def poll(self, number):
        self.polls[number] = self.polls.get(number, 0) + 1
        done = self.polls[number] > 1
        if done:
            self.scenes[self.orders[number]] = True
        return {"order": number, "state": "done" if done else "queued", "message": "tape 7"}
