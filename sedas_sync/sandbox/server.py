"""The sandbox: the archive's wire protocol, with the API below `/api/` and the download manager below `/datamgr/`.

The sandbox stores nothing. Its clients hold the state: see `sedas_sync.sandbox.orders`.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import formatdate
from math import ceil
from threading import Lock
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from sedas_sync.sandbox.caps import capped
from sedas_sync.sandbox.catalogue import BYTES, ORIGIN, ZIP, Catalogue, Hit
from sedas_sync.sandbox.downloads import product_reply
from sedas_sync.sandbox.faults import Endpoint, Faults, RuleTurns, SandboxReply, SandboxRequest, chosen, error, page
from sedas_sync.sandbox.http import HttpServer
from sedas_sync.sandbox.log import LoggedRequest, RequestCounts, entry_of
from sedas_sync.sandbox.orders import OrderQuota, order_id, read_order
from sedas_sync.sandbox.product import picture
from sedas_sync.sandbox.routing import plain_path, route
from sedas_sync.sandbox.search import BadRequestError, Search, iso_time, parse_search
from sedas_sync.sandbox.sentinel import SentinelCatalogue

Clock = Callable[[], float]
"""POSIX seconds."""

TOKEN_LIFE = 1200.0
ORDER_DELAY = 3.0

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""The values of a Host header that go into links: a name or an address, and a port."""
_METHODS: dict[Endpoint, tuple[str, ...]] = {"login": ("POST",), "search": ("POST",), "order": ("POST",)}
_OPEN: tuple[Endpoint, ...] = ("login", "portal", "picture")


class Sandbox(RequestCounts):
    """A SeDAS-compatible archive on a local port; a context manager.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        catalogue: Source of its scenes; by default the generated Sentinel catalogue.
        clock: POSIX seconds; decides which scenes exist, when tokens expire, when orders are ready, and the `Date` of
            each answer.
        faults: Its faults; can be replaced at any time.
        username: Name of the only account.
        password: Password of the account.
        order_delay: Seconds from an order to its download link.
        token_life: Seconds that a token is valid.
        bytes_url: Address of downloads on another server, with `{id}` for the quoted scene id, for example
            `http://127.0.0.1:8081/{id}.zip`.
        log: Called with every entry of the log, in the thread of its connection.
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
        password: str = "sandbox",  # noqa: S107  # not a secret
        order_delay: float = ORDER_DELAY,
        token_life: float = TOKEN_LIFE,
        bytes_url: str | None = None,
        log: Callable[[LoggedRequest], None] | None = None,
    ) -> None:
        self.username = username
        self.password = password
        self.order_delay = order_delay
        self.token_life = token_life
        self.bytes_url = bytes_url
        self.log: list[LoggedRequest] = []
        self._address = (host, port)
        self._catalogue: Catalogue = SentinelCatalogue() if catalogue is None else catalogue
        self._clock = clock
        self._faults = faults or Faults()
        self._listen = log
        self._http: HttpServer | None = None
        self._lock = Lock()
        self._tokens: dict[str, float] = {}
        self._turns = RuleTurns()
        self._quota = OrderQuota()

    def __repr__(self) -> str:
        return f"<Sandbox {self._http.host}:{self._http.port}>" if self._http else "<Sandbox closed>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Start to serve; does nothing if it already does."""
        if self._http is None:
            self._http = HttpServer(*self._address, self._handle)
        return self

    def close(self) -> None:
        """Close every connection and stop; does nothing if it is stopped."""
        if self._http is not None:
            self._http.close()
            self._http = None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        if self._http is None:
            raise RuntimeError("the sandbox is not running")
        return f"http://{self._http.host}:{self._http.port}"

    def _origin_for(self, request: SandboxRequest) -> str:
        """Return scheme, host and port by which the client reached the sandbox, e.g. through a proxy.

        If the request has no valid host, return the address that the sandbox listens on.
        """

        def first(name: str) -> str:
            return request.headers.get(name, "").split(",")[0].strip()

        host = next(filter(_HOST.fullmatch, (first("x-forwarded-host"), first("host"))), None)
        if host is None:
            return self.origin
        return f"{'https' if first('x-forwarded-proto').lower() == 'https' else 'http'}://{host}"

    @property
    def url(self) -> str:
        """Base address of the API, with a slash at the end."""
        return f"{self.origin}/api/"

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._http is None:
            raise RuntimeError("the sandbox is not running")
        return self._http.port

    @property
    def faults(self) -> Faults:
        """The faults, from the next request on."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._turns.forget_others(faults.rules)

    @property
    def catalogue(self) -> Catalogue:
        """The source of its scenes."""
        return self._catalogue

    def revoke_tokens(self) -> None:
        """Make every token invalid."""
        with self._lock:
            self._tokens.clear()

    def _handle(self, request: SandboxRequest) -> tuple[SandboxReply, Callable[[int], None]]:
        route(request)
        reply = self._turns.apply(self._faults.rules, request, self._answer)
        reply.headers.setdefault("Date", formatdate(self._clock(), usegmt=True))
        entry = entry_of(request, reply.status)
        self.log.append(entry)
        if self._listen:
            self._listen(entry)

        def count_sent(count: int) -> None:
            entry.sent += count

        return reply, count_sent

    def _answer(self, request: SandboxRequest) -> SandboxReply:
        """Return the correct reply to a request, without faults."""
        if request.endpoint == "unknown":
            known = plain_path(request).startswith("/api/")
            return error(404, "HTTP 404 Not Found") if known else page(404, "<h1>Not Found</h1>")
        if request.method not in _METHODS.get(request.endpoint, ("GET", "HEAD")):
            return error(405, "HTTP 405 Method Not Allowed")
        if request.endpoint not in _OPEN and not self._is_logged_in(request):
            return self._refuse(request)
        try:
            return self._serve(request)
        except BadRequestError as bad:
            return error(400, str(bad))

    def _serve(self, request: SandboxRequest) -> SandboxReply:
        serve: dict[Endpoint, Callable[[SandboxRequest], SandboxReply]] = {
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

    def _log_in(self, request: SandboxRequest) -> SandboxReply:
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
        return _json({"token": token, "validUntil": iso_time(until)})

    def _is_logged_in(self, request: SandboxRequest) -> bool:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            until = self._tokens.get(token)
        return kind == "Token" and until is not None and self._clock() < until

    def _refuse(self, request: SandboxRequest) -> SandboxReply:
        status = self._faults.refusal
        if request.endpoint == "download" and status != 400:  # noqa: PLR2004  # the API itself has no page
            return page(status, "<h1>Authentication failed</h1>")
        return error(status, "User token does not exist" if status == 400 else "Not authorised")  # noqa: PLR2004

    def _search(self, request: SandboxRequest) -> SandboxReply:
        search = parse_search(request.json)
        hits = capped(self.catalogue.find(search, self._clock()), self._faults)
        return self._rows(request, hits, search, '{"products":[', "]}")

    def _look_up(self, request: SandboxRequest) -> SandboxReply:
        if "ids" not in request.query:
            raise BadRequestError("The parameter ids is required")
        now, catalogue = self._clock(), self.catalogue
        found = (catalogue.look_up(scene, now) for scene in dict.fromkeys(request.scenes))
        return self._rows(request, [hit for hit in found if hit], None, "[", "]")

    def _rows(
        self, request: SandboxRequest, hits: Sequence[Hit], search: Search | None, before: str, after: str
    ) -> SandboxReply:
        origin = self._origin_for(request)
        head, tail = self._link_parts(origin)
        text = before + ",".join(self.catalogue.rows(hits, search)) + after
        text = text.replace(ORIGIN, origin).replace(BYTES, head).replace(ZIP, tail)
        return SandboxReply(200, {"Content-Type": "application/json"}, text.encode())

    def _link_parts(self, origin: str) -> tuple[str, str]:
        template = self.bytes_url or f"{origin}/datamgr/datamgr.php?p=Default&sceneid={{id}}.zip"
        head, _, tail = template.partition("{id}")
        return head, tail

    def _sensors(self, request: SandboxRequest) -> SandboxReply:
        satellites = self.catalogue.satellites
        if plain_path(request).rstrip("/").endswith("satellites"):
            return _json([{"name": name} for name in satellites])
        return _json(_groups(satellites))

    def _picture(self, request: SandboxRequest) -> SandboxReply:
        hit = self.catalogue.look_up(request.scenes[0], self._clock())
        if hit is None:
            return page(404, "<h1>Not Found</h1>")
        return SandboxReply(200, {"Content-Type": "image/jpeg"}, picture(self.catalogue.spec(hit)))

    def _order(self, request: SandboxRequest) -> SandboxReply:
        scene, now = request.scenes[0], self._clock()
        if self.catalogue.look_up(scene, now) is None:
            return error(404, f"The product {scene} does not exist")
        wait = self._quota.wait(self._faults.order_quota, now)
        if wait is not None:
            refused = error(429, "Too many requests for the long term archive")
            refused.headers["Retry-After"] = str(max(1, ceil(wait)))
            return refused
        return _json({"requestId": order_id(scene, now)})

    def _poll(self, request: SandboxRequest) -> SandboxReply:
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

    def _download(self, request: SandboxRequest) -> SandboxReply:
        catalogue = self.catalogue
        hit = catalogue.look_up(request.scenes[0], self._clock())
        ordered = request.query.get("ltarequest") == "true"
        if hit is None or not (ordered or catalogue.online(hit)):
            return page(404, "<h1>Not Found</h1>")
        if self._expired(request):
            return page(self._faults.link_status, "<h1>This link has expired</h1>")
        return product_reply(request, hit, catalogue)

    def _expired(self, request: SandboxRequest) -> bool:
        life, given = self._faults.link_life, request.query.get("given")
        return life is not None and given is not None and self._clock() - float(given) >= life


def _json(value: Any) -> SandboxReply:
    return SandboxReply(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _groups(satellites: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the source groups with their satellites."""
    groups: dict[str, list[dict[str, str]]] = {}
    for name, group in satellites.items():
        groups.setdefault(group, []).append({"name": name})
    return [{"name": group, "satellites": members} for group, members in groups.items()]
