"""The archive's wire protocol over a catalogue: API below `/api/`, download manager below `/datamgr/`.

Nothing here outlives the process but what a client holds: an order id carries the scene and the moment it was
placed, so any sandbox that uses the same clock knows it.
"""

import base64
import json
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from hashlib import md5
from pathlib import Path
from struct import Struct
from threading import Event, Lock
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote
from zlib import crc32

from sedas_sync.sandbox.catalogue import (
    BYTES,
    ORIGIN,
    ZIP,
    BadRequestError,
    Catalogue,
    Hit,
    Search,
    parse_search,
)
from sedas_sync.sandbox.faults import (
    Answer,
    Endpoint,
    Faults,
    Reply,
    Request,
    Rule,
    chosen,
    error,
    page,
    rank,
)
from sedas_sync.sandbox.http import HttpServer
from sedas_sync.sandbox.product import made, picture
from sedas_sync.sandbox.sentinel import SentinelCatalogue

Clock = Callable[[], float]
"""POSIX seconds."""

TOKEN_LIFE = 1200.0
ORDER_DELAY = 3.0

_SLASHES = re.compile(r"/{2,}")
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""What a Host header may say that goes into links: a name or an address, and a port. Nothing else ever gets there."""
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_ORDER = Struct(">QL")
_MISSING_SHARE = 0.3
_METHODS: dict[Endpoint, tuple[str, ...]] = {"login": ("POST",), "search": ("POST",), "order": ("POST",)}
_OPEN: tuple[Endpoint, ...] = ("login", "portal", "picture")
_SAVED = 1_577_836_800  # 2020-01-01: what generated products say they were last modified


@dataclass(slots=True)
class Entry:
    """One request in the sandbox's log."""

    method: str
    path: str
    endpoint: Endpoint
    query: Any
    """The decoded JSON body, else the query parameters; never a password."""
    status: int
    authorised: bool
    """Whether an Authorization header came, good or bad."""
    sent: int = 0
    """Bytes of the body that were handed to the connection."""
    user_agent: str = ""
    range: str | None = None


def order_id(scene: str, placed: float) -> str:
    """An order id that says, to any sandbox, what was ordered and when; letters, digits, `-` and `_` only."""
    body = round(placed * 1000).to_bytes(8, "big") + scene.encode()
    sealed = _ORDER.pack(int.from_bytes(body[:8], "big"), crc32(body)) + body[8:]
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def read_order(order: str) -> tuple[str, float] | None:
    """Scene and moment of an order id; None for what is none."""
    try:
        sealed = base64.b64decode(order + "=" * (-len(order) % 4), altchars=b"-_", validate=True)
        scene = sealed[_ORDER.size :].decode()
    except ValueError:
        return None
    if len(sealed) < _ORDER.size:
        return None
    placed, seal = _ORDER.unpack_from(sealed)
    return (scene, placed / 1000) if seal == crc32(placed.to_bytes(8, "big") + scene.encode()) else None


class Sandbox:
    """A SeDAS-compatible archive on a loopback port; a context manager.

    Args:
        host: Address to listen on.
        port: Port, 0 for any that is free.
        catalogue: What it offers; by default the generated Sentinel catalogue.
        clock: POSIX seconds; decides what is yesterday, when tokens expire and when orders are ready.
        faults: What it does wrong; may be set anew at any time.
        username: The one account.
        password: Its password.
        order_delay: Seconds from an order to its download link.
        token_life: Seconds a token is good for.
        bytes_url: Where downloads point instead of at the sandbox itself, `{id}` for the quoted scene id,
        e.g.
            `http://127.0.0.1:8081/{id}.zip`.
        log: Called with every finished entry of the log, in the thread of its connection.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        catalogue: Catalogue | None = None,
        clock: Clock = time.time,
        faults: Faults | None = None,
        username: str = "sandbox",
        password: str = "sandbox",  # noqa: S107 - a made-up account of a made-up archive
        order_delay: float = ORDER_DELAY,
        token_life: float = TOKEN_LIFE,
        bytes_url: str | None = None,
        log: Callable[[Entry], None] | None = None,
    ) -> None:
        self.username = username
        self.password = password
        self.order_delay = order_delay
        self.token_life = token_life
        self.bytes_url = bytes_url
        self.log: list[Entry] = []
        self._address = (host, port)
        self._catalogue: Catalogue = SentinelCatalogue() if catalogue is None else catalogue
        self._clock = clock
        self._faults = faults or Faults()
        self._listen = log
        self._http: HttpServer | None = None
        self._stopped = Event()
        self._lock = Lock()
        self._tokens: dict[str, float] = {}
        self._seen: Counter[int] = Counter()
        self._orders: deque[float] = deque()
        self._etags: dict[str, tuple[bytes, str]] = {}

    def __repr__(self) -> str:
        return f"<Sandbox {self._http.host}:{self._http.port}>" if self._http else "<Sandbox closed>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Begin to serve; does nothing where it does already."""
        if self._http is None:
            self._stopped.clear()
            self._http = HttpServer(*self._address, self._handle)
        return self

    def close(self) -> None:
        """Break every connection and stop; does nothing where it has."""
        if self._http is not None:
            self._http.close()
            self._http = None
        self._stopped.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the sandbox is closed; says whether it is."""
        return self._stopped.wait(timeout)

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        if self._http is None:
            raise RuntimeError("the sandbox is not running")
        return f"http://{self._http.host}:{self._http.port}"

    def _origin_for(self, request: Request) -> str:
        """Scheme, host and port by which the client reached the sandbox: a port may be forwarded, a proxy in between.

        The address it listens on where the request names none, or nothing that could be one.
        """

        def first(name: str) -> str:
            return request.headers.get(name, "").split(",")[0].strip()

        host = next(filter(_HOST.fullmatch, (first("x-forwarded-host"), first("host"))), None)
        if host is None:
            return self.origin
        return f"{'https' if first('x-forwarded-proto').lower() == 'https' else 'http'}://{host}"

    @property
    def url(self) -> str:
        """The API's base address, with a slash at its end."""
        return f"{self.origin}/api/"

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._http is None:
            raise RuntimeError("the sandbox is not running")
        return self._http.port

    @property
    def faults(self) -> Faults:
        """What the sandbox does wrong from the next request on."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        with self._lock:
            self._faults = faults
            kept = {id(rule) for rule in faults.rules}
            self._seen = Counter({key: count for key, count in self._seen.items() if key in kept})

    @property
    def catalogue(self) -> Catalogue:
        """What the sandbox offers."""
        return self._catalogue

    @property
    def searches(self) -> int:
        """Searches asked so far."""
        return self._count("search")

    @property
    def logins(self) -> int:
        """Logins asked so far."""
        return self._count("login")

    @property
    def orders(self) -> int:
        """Orders placed so far, refused ones not counted."""
        return sum(entry.endpoint == "order" and entry.status == 200 for entry in self._entries())  # noqa: PLR2004

    @property
    def downloads(self) -> int:
        """Requests for the bytes of a product so far, HEAD not counted."""
        return sum(entry.endpoint == "download" and entry.method == "GET" for entry in self._entries())

    @property
    def bytes_sent(self) -> int:
        """Bytes of products handed to connections so far."""
        return sum(entry.sent for entry in self._entries() if entry.endpoint == "download")

    def revoke_tokens(self) -> None:
        """Forget every token that was given out."""
        with self._lock:
            self._tokens.clear()

    def _entries(self) -> list[Entry]:
        with self._lock:
            return list(self.log)

    def _count(self, endpoint: Endpoint) -> int:
        return sum(entry.endpoint == endpoint for entry in self._entries())

    # -- from request to reply
    # ---------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> tuple[Reply, Callable[[int], None]]:
        self._route(request)
        answer: Answer = self._answer
        for rule in reversed(self._matching(request)):
            answer = _hang(rule, answer)
        reply = answer(request)
        entry = Entry(
            request.method,
            request.path,
            request.endpoint,
            _shown(request),
            reply.status,
            "authorization" in request.headers,
            user_agent=request.headers.get("user-agent", ""),
            range=request.headers.get("range"),
        )
        with self._lock:
            self.log.append(entry)
        if self._listen:
            self._listen(entry)

        def tell(count: int) -> None:
            entry.sent += count

        return reply, tell

    def _matching(self, request: Request) -> list[Rule]:
        """The rules whose turn it is; being asked counts."""
        matching = []
        with self._lock:
            for rule in self._faults.rules:
                if rule.on not in ("any", request.endpoint):
                    continue
                if rule.ids is not None and not any(chosen(rule.ids, scene) for scene in request.scenes):
                    continue
                turn = self._seen[id(rule)]
                self._seen[id(rule)] += 1
                if turn >= rule.after and (rule.times is None or turn < rule.after + rule.times):
                    matching.append(rule)
        return matching

    def _route(self, request: Request) -> None:
        """Find out which endpoint a request is for, and about which scenes."""
        path = _SLASHES.sub("/", request.path)
        if "json" in request.headers.get("content-type", "") and request.body:
            try:
                request.json = json.loads(request.body)
            except (ValueError, RecursionError):
                request.json = None
        if path == "/datamgr/datamgr.php":
            request.endpoint = "download"
            request.scenes = (request.query.get("sceneid", "").removesuffix(".zip"),)
        elif path == "/qls/qlmgr.php":
            request.endpoint, request.scenes = "picture", (request.query.get("sceneid", ""),)
        elif path.startswith("/archiveql/"):
            request.endpoint = "picture"
            request.scenes = (path.removeprefix("/archiveql/").removesuffix(".jpg"),)
        elif path == "/portal":
            request.endpoint = "portal"
        elif path.startswith("/api/"):
            self._route_api(request, path.removeprefix("/api/").rstrip("/"))

    @staticmethod
    def _route_api(request: Request, path: str) -> None:
        ids = tuple(filter(None, request.query.get("ids", "").split(",")))
        match path.split("/", 1):
            case ["authentication"]:
                request.endpoint = "login"
            case ["search"]:
                request.endpoint = "search"
            case ["search", "products"]:
                request.endpoint, request.scenes = "look_up", ids
            case ["sensors", "sourceGroups" | "satellites"]:
                request.endpoint = "sensors"
            case ["request"]:
                request.endpoint = "poll"
                request.scenes = tuple(read[0] for read in map(read_order, ids) if read)
            case ["request", scene]:
                request.endpoint, request.scenes = "order", (scene,)
            case _:
                pass

    def _answer(self, request: Request) -> Reply:
        """The right reply to a request."""
        if request.endpoint == "unknown":
            known = _SLASHES.sub("/", request.path).startswith("/api/")
            return error(404, "HTTP 404 Not Found") if known else page(404, "<h1>Not Found</h1>")
        if request.method not in _METHODS.get(request.endpoint, ("GET", "HEAD")):
            return error(405, "HTTP 405 Method Not Allowed")
        if request.endpoint not in _OPEN and not self._admitted(request):
            return self._refuse(request)
        try:
            return self._serve(request)
        except BadRequestError as bad:
            return error(400, str(bad))

    def _serve(self, request: Request) -> Reply:
        serve: dict[Endpoint, Callable[[Request], Reply]] = {
            "login": self._log_in,
            "search": self._search,
            "look_up": self._look_up,
            "sensors": self._sensors,
            "order": self._order,
            "poll": self._poll,
            "download": self._download,
            "picture": self._picture,
            "portal": lambda _: page(200, "<h1>Welcome to SeDAS</h1>"),
        }
        return serve[request.endpoint](request)

    # -- accounts
    # ----------------------------------------------------------------------------------------------------

    def _log_in(self, request: Request) -> Reply:
        given = request.json
        if not isinstance(given, dict):
            return error(400, "Can not deserialize instance of AuthenticationRequest out of the given token")
        if (given.get("username"), given.get("password")) != (self.username, self.password):
            return error(401, "User name or password is not correct")
        now = self._clock()
        token, until = secrets.token_hex(16), now + self.token_life
        with self._lock:
            self._tokens = {known: end for known, end in self._tokens.items() if end > now}
            self._tokens[token] = until
        return _json({"token": token, "validUntil": _iso(until)})

    def _admitted(self, request: Request) -> bool:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            until = self._tokens.get(token)
        return kind == "Token" and until is not None and self._clock() < until

    def _refuse(self, request: Request) -> Reply:
        status = self._faults.refusal
        if request.endpoint == "download" and status != 400:  # noqa: PLR2004 - the API's own way to say it
            return page(status, "<h1>Authentication failed</h1>")
        return error(status, "User token does not exist" if status == 400 else "Not authorised")  # noqa: PLR2004

    # -- catalogue
    # ---------------------------------------------------------------------------------------------------

    def _search(self, request: Request) -> Reply:
        search = parse_search(request.json)
        hits = self._capped(self.catalogue.find(search, self._clock()))
        return self._rows(request, hits, search, '{"products":[', "]}")

    def _look_up(self, request: Request) -> Reply:
        if "ids" not in request.query:
            raise BadRequestError("The parameter ids is required")
        now, catalogue = self._clock(), self.catalogue
        found = (catalogue.look_up(scene, now) for scene in dict.fromkeys(request.scenes))
        return self._rows(request, [hit for hit in found if hit], None, "[", "]")

    def _rows(self, request: Request, hits: Sequence[Hit], search: Search | None, before: str, after: str) -> Reply:
        origin = self._origin_for(request)
        head, tail = self._link_parts(origin)
        text = before + ",".join(self.catalogue.rows(hits, search)) + after
        text = text.replace(ORIGIN, origin).replace(BYTES, head).replace(ZIP, tail)
        return Reply(200, {"Content-Type": "application/json"}, text.encode())

    def _link_parts(self, origin: str) -> tuple[str, str]:
        template = self.bytes_url or f"{origin}/datamgr/datamgr.php?p=Default&sceneid={{id}}.zip"
        head, _, tail = template.partition("{id}")
        return head, tail

    def _capped(self, hits: Sequence[Hit]) -> Sequence[Hit]:
        faults = self._faults
        if faults.cap_per_satellite is not None:
            hits = list(hits)
            groups: dict[str, list[Hit]] = {}
            for hit in hits:
                groups.setdefault(hit.satellite, []).append(hit)
            cuts = (self._cut(group, faults.cap_per_satellite) for group in groups.values())
            kept = {id(hit) for cut in cuts for hit in cut}
            hits = [hit for hit in hits if id(hit) in kept]
        return hits if faults.cap is None else self._cut(hits, faults.cap)

    def _cut(self, hits: Sequence[Hit], cap: int) -> Sequence[Hit]:
        if len(hits) <= cap:
            return hits
        match self._faults.cap_rule:
            case "newest":
                return hits[:cap]
            case "arbitrary":
                kept = {hit.id for hit in sorted(hits, key=lambda hit: rank(hit.id))[:cap]}
                return [hit for hit in hits if hit.id in kept]
            case "missing":
                return [hit for hit in hits if rank(hit.id) >= _MISSING_SHARE * (1 << 32)]

    def _sensors(self, request: Request) -> Reply:
        satellites = self.catalogue.satellites
        if _SLASHES.sub("/", request.path).rstrip("/").endswith("satellites"):
            return _json([{"name": name} for name in satellites])
        groups: dict[str, list[dict[str, str]]] = {}
        for name, group in satellites.items():
            groups.setdefault(group, []).append({"name": name})
        return _json([{"name": group, "satellites": members} for group, members in groups.items()])

    def _picture(self, request: Request) -> Reply:
        hit = self.catalogue.look_up(request.scenes[0], self._clock())
        if hit is None:
            return page(404, "<h1>Not Found</h1>")
        return Reply(200, {"Content-Type": "image/jpeg"}, picture(self.catalogue.spec(hit)))

    # -- long-term archive
    # -------------------------------------------------------------------------------------------

    def _order(self, request: Request) -> Reply:
        scene, now = request.scenes[0], self._clock()
        if self.catalogue.look_up(scene, now) is None:
            return error(404, f"The product {scene} does not exist")
        quota = self._faults.order_quota
        if quota is not None:
            with self._lock:
                while self._orders and self._orders[0] <= now - quota[1]:
                    self._orders.popleft()
                if len(self._orders) >= quota[0]:
                    wait = (self._orders[0] if self._orders else now) + quota[1] - now
                    refused = error(429, "Too many requests for the long term archive")
                    refused.headers["Retry-After"] = str(max(1, -int(-wait // 1)))
                    return refused
                self._orders.append(now)
        return _json({"requestId": order_id(scene, now)})

    def _poll(self, request: Request) -> Reply:
        if "ids" not in request.query:
            raise BadRequestError("The parameter ids is required")
        origin = self._origin_for(request)
        orders = filter(None, request.query["ids"].split(","))
        return _json([state for order in orders if (state := self._state(order, origin)) is not None])

    def _state(self, order: str, origin: str) -> dict[str, str] | None:
        read = read_order(order)
        if read is None or chosen(self._faults.unknown_orders, read[0]):
            return None
        scene, placed = read
        now = self._clock()
        if self.catalogue.look_up(scene, now) is None:
            return None
        state = {"requestId": order, "supplierId": scene, "status": "started"}
        if chosen(self._faults.failed_orders, scene):
            state["status"] = self._faults.failed_state
        elif now - placed >= self.order_delay:
            state["status"] = "COMPLETED"
            state["downloadUrl"] = self._order_link(scene, now, origin)
        return state

    def _order_link(self, scene: str, now: float, origin: str) -> str:
        head, tail = self._link_parts(origin)
        link = f"{head}{quote(scene, safe='')}{tail}"
        link += ("&" if "?" in link else "?") + "ltarequest=true"
        return link if self._faults.link_life is None else f"{link}&given={now:.3f}"

    # -- download manager
    # --------------------------------------------------------------------------------------------

    def _download(self, request: Request) -> Reply:
        catalogue = self.catalogue
        hit = catalogue.look_up(request.scenes[0], self._clock())
        ordered = request.query.get("ltarequest") == "true"
        if hit is None or not (ordered or catalogue.online(hit)):
            return page(404, "<h1>Not Found</h1>")
        if self._expired(request):
            return page(self._faults.link_status, "<h1>This link has expired</h1>")
        body = catalogue.file(hit)
        changed = formatdate(_SAVED, usegmt=True)
        if body is None:
            body, etag = made(catalogue.spec(hit))
        elif isinstance(body, Path):
            facts = body.stat()
            etag = f"{facts.st_mtime_ns:x}-{facts.st_size:x}"
            changed = formatdate(facts.st_mtime, usegmt=True)
        else:
            etag = self._etag(hit.id, body)
        etag, size = f'"{etag}"', body.stat().st_size if isinstance(body, Path) else len(body)
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="{quote(hit.id, safe="")}.zip"',
            "Accept-Ranges": "bytes",
            "ETag": etag,
            "Last-Modified": changed,
        }
        span = _span(request, size, etag, changed)
        if span is None:
            return Reply(200, headers, body)
        first, last = span
        if first > last:
            return Reply(416, {"Content-Range": f"bytes */{size}", "Content-Type": "text/html"})
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Reply(206, headers, body, first=first, length=last - first + 1)

    def _expired(self, request: Request) -> bool:
        life, given = self._faults.link_life, request.query.get("given")
        return life is not None and given is not None and self._clock() - float(given) >= life

    def _etag(self, scene: str, body: bytes) -> str:
        """The MD5 of a file in memory, remembered for as long as the catalogue gives the same object."""
        known = self._etags.get(scene)
        if known is None or known[0] is not body:
            known = self._etags[scene] = (body, md5(body, usedforsecurity=False).hexdigest())
        return known[1]


def _hang(rule: Rule, answer: Answer) -> Answer:
    return lambda request: rule.act(request, answer)


def _json(value: Any) -> Reply:
    return Reply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _shown(request: Request) -> Any:
    """What the log keeps of a request's parameters: all but the password."""
    if isinstance(request.json, dict):
        return {key: value for key, value in request.json.items() if key != "password"}
    return dict(request.query) if request.json is None else request.json


def _span(request: Request, size: int, etag: str, changed: str) -> tuple[int, int] | None:
    """First and last byte of the one range asked for (RFC 9110, 14); None to send everything."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    condition = request.headers.get("if-range")
    if request.method != "GET" or match is None or match[0] == "bytes=-":
        return None
    if condition is not None and condition not in (etag, changed):
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        return size - count, size - 1
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    if match[2] and int(match[2]) < first:
        return None
    return first, last


def run(
    port: int = 8080,
    *,
    host: str = "127.0.0.1",
    on_ready: Callable[[Sandbox], None] | None = None,
    log: Callable[[Entry], None] | None = None,
) -> None:
    """Serve in the foreground until the process is interrupted.

    Args:
        port: Port, 0 for any that is free.
        host: Address to listen on.
        on_ready: Called once, with the running sandbox.
        log: Called with every request.
    """
    with Sandbox(host=host, port=port, log=log) as sandbox:
        if on_ready:
            on_ready(sandbox)
        sandbox.wait()
