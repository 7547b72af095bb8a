"""SeDAS, the UK's Sentinel Data Access Service, as an archive: its login, catalogue, orders and download links.

Owns the archive's wire protocol: what is asked, how answers are read, and which host may see the token. Where the
protocol's public evidence is silent (several ids in one call, the words of an order's state) the client tries the
cheaper form first, notices when the service does not speak it, and remembers that for as long as it lives.
"""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

from msgspec.structs import replace

from sedas_sync.archives import Orders, Warn
from sedas_sync.archives.complete_search import windows
from sedas_sync.archives.sedas.answers import as_list, products_of
from sedas_sync.archives.sedas.asking import Asking
from sedas_sync.archives.sedas.query import search_body, seconds, seconds_up
from sedas_sync.archives.sedas.rows import identify, shown, to_instant, to_scene
from sedas_sync.archives.sedas.tokens import SedasTokens
from sedas_sync.errors import ArchiveError, AuthenticationError, IncompleteSearch, ManifestError
from sedas_sync.model.hosts import is_loopback
from sedas_sync.model.scene import NOTHING, Download, Order, OrderState, Query, Reach, Scene
from sedas_sync.model.threads import Pool
from sedas_sync.net import credentials, redact, session
from sedas_sync.net.policy import may_see_token, origin_of, token_withheld

if TYPE_CHECKING:
    from sedas_sync.archives.registry import Opening

LIVE_URL = "https://geobrowser.satapps.org/api/"
"""The real service's API (sedas_pyapi 0.5.0)."""
TRUSTED_HOSTS = ("*.satapps.org",)
"""Hosts besides the API's own that get the token: the bytes come from `sedasdm.satapps.org` (saved answers of 2019)."""

BATCH_IDS = 100
BATCH_CHARACTERS = 6000
"""Limits of one comma list of ids, well below the 8 KB that web servers take for a request line."""
SEARCHES_AT_ONCE = 4

_T = TypeVar("_T")

_FAILED_WORDS = frozenset({"FAILED", "CANCELLED", "REJECTED", "ERROR", "EXPIRED"})
_TOKEN_GONE = "User token does not exist"  # noqa: S105 - the service's words, not a token
_NOT_READY = "No enum constant"
_QUOTA_WORDS = ("quota", "too many requests", "limit exceeded", "limit reached")
_OK, _BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN, _NOT_FOUND = 200, 400, 401, 403, 404
_TOO_MANY, _SERVER_ERROR = 429, 500
_LIST_REFUSED = frozenset({400, 404, 405, 413, 414, 431, 500})

# --------------------------------------------------------------------------------------------------------------------
# Values


@dataclass(frozen=True, slots=True)
class SatelliteInfo:
    """A satellite that this account may search."""

    name: str
    extra: Mapping[str, Any] = field(default=NOTHING, hash=False)
    """What else the archive says about it, as it came."""


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """A group of sources (`S1`, `S2`, `NovaSAR`) that this account may search."""

    name: str
    extra: Mapping[str, Any] = field(default=NOTHING, hash=False)
    """What else the archive says about it, its satellites among it, as it came."""


_UNFILTERED: dict[str, Any] = {
    "max_cloud_cover": None,
    "product_type": None,
    "orbit_direction": None,
    "polarisation": (),
    "min_aoi_coverage": None,
}


# --------------------------------------------------------------------------------------------------------------------
# The archive


class SedasArchive:
    """A SeDAS-compatible archive. Safe in many threads; closes as a context manager.

    Args:
        url: The API's base address; https, or a loopback address.
        username: The account's name.
        password: Its password; shows nowhere.
        trusted_hosts: Further hosts that get the token; by default those of the real service, where `url` is on it.
        identity: Names the archive in an index; by default `sedas` and the address.
        retries: Further tries of an API call after the first.
        connect_timeout: Seconds for a connection to be made.
        stall_timeout: Seconds without a byte before an answer is given up.
        now: The instant it is now.
        api: The HTTP layer, instead of one of its own.
        clock: Seconds on a clock that never goes back; tokens age by it.

    Raises:
        ManifestError: `url` is no http(s) address, or plain http to another machine.
    """

    def __init__(
        self,
        url: str = LIVE_URL,
        *,
        username: str,
        password: str,
        trusted_hosts: Iterable[str] | None = None,
        identity: str | None = None,
        retries: int = 5,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        api: session.Api | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = _checked_base(url)
        if not username or not password:
            raise AuthenticationError("the user name and the password for the archive must not be empty")
        self._account = (username, password)
        redact.remember_secret(password)
        if trusted_hosts is None:
            trusted_hosts = TRUSTED_HOSTS if may_see_token(self._url, LIVE_URL, TRUSTED_HOSTS) else ()
        self._trusted = tuple(trusted_hosts)
        self._variable: str | None = None
        """The environment variable that has to name a trusted host too."""
        self.identity = identity or f"sedas {self._url}"
        self._now = now
        self._reach = Reach(api=self._url, trusted_hosts=self._trusted)
        self._api = api or session.Api(
            retries=retries, connect_timeout=connect_timeout, stall_timeout=stall_timeout, reach=self._reach
        )
        self._tokens = SedasTokens(self._log_in, clock)
        self._forbidden: str | None = None
        self._refused_new: tuple[str, str, str] | None = None
        """The token that was refused although it was new, and where."""
        self._knowledge: dict[str, windows.CapModel] = {}
        """By how a search is narrowed besides time and place: a limit may count before that or after."""
        self._ordered: dict[str, Order] = {}
        """By scene, for links that only the order can give anew."""
        self._lists = _ListSupport()
        self._satellite_names: tuple[str, ...] | None = None
        self.orders: Orders | None = _SedasOrders(self)

    @classmethod
    def from_env(cls, url: str = LIVE_URL, *, prompt: bool = False, **options: Any) -> Self:
        """Make one with the credentials of the environment, netrc or the keyring (see `sedas_sync.net.credentials`).

        Those of the environment are for `*.satapps.org` and the hosts that `SEDAS_HOST` names; neither they nor a token
        that they gave go to any other, whatever `trusted_hosts` says.

        Raises:
            AuthenticationError: there are none for this host; the message says where they were looked for.
        """
        host = urlsplit(_checked_base(url)).hostname or ""
        return cls._of(credentials.find(host, prompt=prompt), url, **options)

    @classmethod
    def _of(cls, found: credentials.Credentials, url: str, **options: Any) -> Self:
        archive = cls(url, username=found.username, password=found.password, **options)
        archive._trusted = found.allowed_hosts(archive._trusted)
        archive._variable = None if found.hosts is None else credentials.VARIABLES.host
        return archive

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    @property
    def server_time(self) -> datetime | None:
        """What the server's clock shows now; None before its first answer."""
        return self._api.server_time

    def stop(self) -> None:
        """Make calls under way in other threads end early instead of waiting for their next try."""
        self._api.stop()

    def close(self) -> None:
        """Let go of the connections; calls under way end."""
        self._api.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def _log_in(self) -> tuple[str, float | None]:
        """Ask for a token; return it with the seconds it lives by the server's own clock."""
        username, password = self._account
        reply = self._api.send("POST", self._url + "authentication", json={"username": username, "password": password})
        host = urlsplit(self._url).netloc
        if reply.status in {_BAD_REQUEST, _UNAUTHORISED, _FORBIDDEN}:
            words = str(reply.error("the login"))
            raise AuthenticationError(
                f"{host} refused the credentials of {username!r}: {words}; check user name and password"
            )
        if not reply.ok:
            raise reply.error("the login")
        answer = reply.json("the login")
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or not token.isprintable() or not token.isascii():
            raise ArchiveError("the archive answered the login without a token")
        redact.remember_secret(token)
        try:
            until = to_instant(answer["validUntil"])
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            return token, None
        return token, (until - (reply.date or self._now())).total_seconds()

    def _call(
        self,
        method: str,
        path: str,
        what: str,
        *,
        json: object = None,
        repeat: bool = True,
        final: Callable[[session.Reply], bool] | None = None,
    ) -> session.Reply:
        """Ask the API with the token; renew it once where the API says that it is over."""

        def ask(token: str) -> session.Reply:
            headers = {"Authorization": f"Token {token}"}
            return self._api.send(method, self._url + path, json=json, headers=headers, repeat=repeat, final=final)

        token = self._tokens.current()
        reply = ask(token)
        if not _token_refused(reply) or (reply.status == _FORBIDDEN and token == self._forbidden):
            return reply
        endpoint = method, path.partition("?")[0].partition("/")[0]
        # Where a new token was refused, the next login would be for nothing too, once for every call.
        if self._refused_new != (token, *endpoint):
            token = self._tokens.renew(token)
            reply = ask(token)
        if reply.status == _FORBIDDEN:
            # Not the token's fault then: it is what this account may not have, and another login would not help.
            self._forbidden = token
        elif _token_refused(reply):
            self._refused_new = (token, *endpoint)
            raise AuthenticationError(
                f"the archive refuses a token it has just given: {reply.error(what)}", forbidden=True
            )
        return reply

    def _answer(self, reply: session.Reply, what: str) -> Any:
        if reply.status == _FORBIDDEN:
            raise AuthenticationError(f"this account may not do that: {reply.error(what)}", forbidden=True)
        if not reply.ok:
            raise reply.error(what)
        return reply.json(what)

    def _get_list(self, path: str, what: str) -> list[Any]:
        """Ask for an answer that is a JSON list."""
        return as_list(self._answer(self._call("GET", path, what), what), what)

    # -- the catalogue -----------------------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once; see `Archive.find` and the package `complete_search`."""
        found: set[str] = set()
        try:
            yield from self._find(query, found, warn)
        except IncompleteSearch:
            # A limit that counts rows before they are filtered hides how far an answer reaches. Without the filters
            # whose rules are applied again anyway, every row that counts is seen.
            wider = replace(query, **_UNFILTERED)
            if search_body(wider) == search_body(query):
                raise
            yield from self._find(wider, found, warn)

    def _find(self, query: Query, found: set[str], warn: Warn) -> Iterator[Scene]:
        start, stop = seconds(query.start), seconds_up(query.stop)
        if start > stop:
            return
        asking = Asking(query, self._rows, self._known_satellites)
        rows = windows.complete(
            asking.ask,
            windows.Window(start, stop),
            spread=asking.spread,
            divide=asking.divide,
            knowledge=self._knowledge.setdefault(asking.narrowing, windows.CapModel()),
            workers=SEARCHES_AT_ONCE,
            found=found,
        )
        for row in rows:
            try:
                scene = to_scene(row.item)
            except ValueError as reason:
                warn(f"a row of the answer cannot be used and is left out: {reason}: {shown(row.item)}")
            else:
                yield scene

    def _rows(self, body: dict[str, Any]) -> list[Any]:
        return products_of(self._answer(self._call("POST", "search", "a search", json=body), "a search"))

    def search(
        self,
        aoi_wkt: str,
        start: str | datetime,
        stop: str | datetime,
        *,
        sensor: str = "all",
        satellite: str | None = None,
        source_group: str | None = None,
        filters: Mapping[str, Any] | None = None,
        warn: Warn = lambda _: None,
    ) -> Iterator[Scene]:
        """Yield every scene over an area whose sensing start lies within [start, stop].

        Args:
            aoi_wkt: One plain POLYGON in degrees, longitude before latitude.
            start: Earliest sensing start; ISO 8601 or a `datetime`, without a zone UTC.
            stop: Latest sensing start, included.
            sensor: `all`, `optical` or `sar`, in any case.
            satellite: A satellite's name, e.g. `Sentinel-1A`.
            source_group: A source group's name, e.g. `S2`.
            filters: The archive's own filter names, e.g. `{"maxCloudPercent": 50}`.
            warn: Takes a sentence about each row that cannot be used.

        Raises:
            ValueError: the area, an instant or the sensor makes no sense, or `stop` is before `start`.
            IncompleteSearch: not every match could be shown to be found; what was found has been yielded before.
            ArchiveError: the search failed.
            AuthenticationError: the archive refused the credentials.
        """
        query = Query(
            aoi=aoi_wkt,
            start=to_instant(start),
            stop=to_instant(stop),
            sensor=_sensor_word(sensor),
            satellite=satellite or None,
            source_group=source_group or None,
            filters=dict(filters or {}),
        )
        if query.stop < query.start:
            raise ValueError(f"stop ({stop}) is before start ({start})")
        _check_area(aoi_wkt)
        return self.find(query, warn=warn)

    def product(self, scene_id: str) -> Scene:
        """Look one product up by its id.

        Raises:
            ArchiveError: the archive does not know it, or the look-up failed.
            AuthenticationError: the archive refused the credentials.
        """
        row = self._product_row(scene_id)
        if row is None:
            raise ArchiveError(f"the archive does not know {scene_id!r}", status=_NOT_FOUND)
        try:
            return to_scene(row)
        except ValueError as reason:
            raise ArchiveError(f"the archive's answer cannot be used: {reason}: {shown(row)}") from None

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes of these ids that the archive knows; see `Archive.look_up`.

        Several ids are asked for in one call. A single id in a call is the only form seen to work, so whatever a list
        leaves out is asked for again until it is plain whether the service knows it.
        """
        wanted = list(dict.fromkeys(ids))
        for row in self._look_up_rows(wanted):
            try:
                scene = to_scene(row)
            except ValueError as reason:
                warn(f"a row of the answer cannot be used and is left out: {reason}: {shown(row)}")
            else:
                yield scene

    def _look_up_rows(self, wanted: list[str]) -> Iterator[object]:
        while wanted and self._lists.products is None and len(wanted) > 1:
            batch, wanted = wanted[: _batch_length(wanted)], wanted[_batch_length(wanted) :]
            yield from self._look_up_batch(batch)
        if len(wanted) <= 1:
            batches = [wanted] if wanted else []
        elif self._lists.products:
            batches = list(_batches(wanted))
        else:
            batches = [[scene_id] for scene_id in wanted]
        with Pool(SEARCHES_AT_ONCE, thread_name_prefix="look-up") as pool:
            try:
                for rows in pool.map(self._look_up_batch, batches):
                    yield from rows
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _look_up_batch(self, batch: list[str]) -> list[object]:
        if len(batch) == 1:
            row = self._product_row(batch[0])
            return [] if row is None else [row]
        if self._lists.products is False:
            return [row for scene_id in batch for row in self._look_up_batch([scene_id])]
        rows = self._product_list(batch)
        if rows is None:
            return [row for scene_id in batch for row in self._look_up_batch([scene_id])]
        found = _by_id(rows, batch)
        if len(found) > 1:
            self._lists.products = True
        missing = [scene_id for scene_id in batch if scene_id not in found]
        unmatched = [row for row in rows if not isinstance(row, dict) or _id_or_none(row) is None]
        return [*found.values(), *unmatched, *self._look_up_missing(missing, len(batch))]

    def _look_up_missing(self, missing: list[str], asked: int) -> list[object]:
        """Ask again for what a list left out: the service may not know it, or may not do (long) lists."""
        if not missing:
            return []
        if self._lists.products is None:
            # One id by itself tells: found that way, though a list left it out, lists are not understood.
            rows: list[object] = []
            for position, scene_id in enumerate(missing):
                row = self._product_row(scene_id)
                if row is not None:
                    self._lists.products = False
                    rest = [found for other in missing[position + 1 :] for found in self._look_up_batch([other])]
                    return [*rows, row, *rest]
            return rows
        if len(missing) == asked:
            return []
        return self._look_up_batch(missing)

    def _product_list(self, batch: list[str]) -> list[Any] | None:
        """Ask for several products; None where the service does not take a list."""
        path = "search/products?ids=" + ",".join(quote(scene_id, safe="") for scene_id in batch)
        reply = self._call("GET", path, "a look-up", final=lambda reply: reply.status == _SERVER_ERROR)
        if reply.status in _LIST_REFUSED:
            return None
        return as_list(self._answer(reply, "a look-up"), "a look-up")

    def _product_row(self, scene_id: str) -> dict[str, Any] | None:
        path = "search/products?ids=" + quote(scene_id, safe="")
        for row in self._get_list(path, "a look-up"):
            if isinstance(row, dict) and _id_or_none(row) == scene_id:
                return row
        return None

    def satellites(self) -> list[SatelliteInfo]:
        """List the satellites that this account may search."""
        return [
            SatelliteInfo(name, extra) for name, extra in self._named("sensors/satellites", "the list of satellites")
        ]

    def source_groups(self) -> list[SourceGroup]:
        """List the source groups that this account may search."""
        found = self._named("sensors/sourceGroups", "the list of source groups")
        return [SourceGroup(name, extra) for name, extra in found]

    def _named(self, path: str, what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        for item in self._get_list(path, what):
            name = item.get("name") if isinstance(item, dict) else item
            if isinstance(name, str) and name:
                rest = {key: item[key] for key in item if key != "name"} if isinstance(item, dict) else {}
                yield name, rest or NOTHING

    def _known_satellites(self) -> tuple[str, ...]:
        if self._satellite_names is None:
            try:
                self._satellite_names = tuple(satellite.name for satellite in self.satellites())
            except ArchiveError:
                self._satellite_names = ()
        return self._satellite_names

    # -- orders and downloads ----------------------------------------------------------------------------------------

    def order(self, scene: Scene | str) -> Order:
        """Order a scene from the long-term archive.

        Raises:
            ArchiveError: the order was refused, or it is not known whether it was taken.
            AuthenticationError: the archive refused the credentials.
        """
        return self._place(scene.id if isinstance(scene, Scene) else scene)

    def order_status(self, orders: Iterable[Order]) -> list[Order]:
        """Ask where orders stand; returns them brought up to date, in the order given.

        Raises:
            ArchiveError: the archive could not be asked.
            AuthenticationError: the archive refused the credentials.
        """
        asked = list(orders)
        told = {order.order: order for order in self._poll(asked)}
        return [told[order.order] for order in asked]

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say where an online scene's bytes are; the token goes along only where the host may see it.

        After a refusal the link is asked for again, of the order that gave it or else of the catalogue; that also
        proves the token, since the API renews one that is over. A token the API still takes is renewed once all the
        same where the link stayed as it was, since the download server may keep its own book.
        """
        if scene.download_url is None:
            raise ArchiveError(f"{scene.id} is not online")
        if refused is None:
            return self._download(scene, scene.download_url)
        url = self._fresh_link(scene) or scene.download_url
        refused_token = refused.headers.get("Authorization", "").removeprefix("Token ")
        if refused_token and url == refused.url:
            self._tokens.renew_for_download(refused_token)
        located = self._download(scene, url)
        if located.url == refused.url and dict(located.headers) == dict(refused.headers):
            why = "" if located.headers else f"; {token_withheld(url, self._variable)}"
            raise ArchiveError(
                f"{scene.id} is not online any more, or not for this account: its link is refused{why}",
                status=_FORBIDDEN,
            )
        return located

    def _fresh_link(self, scene: Scene) -> str | None:
        """Ask anew for a scene's link; None where nobody gives one."""
        order = self._ordered.get(scene.id)
        if order is not None and order.download_url == scene.download_url:
            told = self._poll_one(order)
            link = told.get("downloadUrl") if told is not None else None
            if isinstance(link, str) and link:
                return link
        row = self._product_row(scene.id)
        link = row.get("downloadUrl") if row is not None else None
        return link if isinstance(link, str) and link else None

    def _download(self, scene: Scene, url: str) -> Download:
        try:
            origin_of(url)
        except ValueError as reason:
            raise ArchiveError(f"the link of {scene.id} cannot be used: {reason}: {redact.shorten(url, 120)}") from None
        headers: Mapping[str, str] = NOTHING
        if may_see_token(url, self._url, self._trusted):
            headers = {"Authorization": f"Token {self._tokens.current()}"}
        return Download(url=url, headers=headers, size=scene.size, digest=scene.digest, reach=self._reach)

    def _place(self, scene_id: str) -> Order:
        what = f"the order of {scene_id}"
        reply = self._request_call("POST", f"/{quote(scene_id, safe='')}", what, repeat=False)
        if not reply.ok:
            raise _order_refused(reply, what)
        answer = reply.json(what)
        number = answer.get("requestId") if isinstance(answer, dict) else None
        if isinstance(number, bool) or not isinstance(number, str | int) or number == "":
            if isinstance(answer, dict) and answer.get("errorCode"):
                raise _order_refused(reply, what)
            raise ArchiveError(f"the archive answered {what} without a requestId")
        return Order(order=str(number), id=scene_id, placed=self._now(), archive=self.identity)

    def _request_call(
        self,
        method: str,
        rest: str,
        what: str,
        *,
        repeat: bool = True,
        final: Callable[[session.Reply], bool] | None = None,
    ) -> session.Reply:
        """Call `request`; where that is not there, `/request` with the double slash of the original client."""
        if self._lists.request_path is not None:
            return self._call(method, self._lists.request_path + rest, what, repeat=repeat, final=final)
        reply = self._call(method, "request" + rest, what, repeat=repeat, final=final)
        if reply.status != _NOT_FOUND:
            self._lists.request_path = "request"
            return reply
        other = self._call(method, "/request" + rest, what, repeat=repeat, final=final)
        if other.status == _NOT_FOUND:
            return reply
        self._lists.request_path = "/request"
        return other

    def _poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        pending = list({order.order: order for order in orders}.values())
        for batch in _batches(pending, key=lambda order: order.order):
            known: dict[str, dict[str, Any]] = {}
            if len(batch) > 1 and self._lists.orders is not False:
                known = self._poll_list(batch)
            alone = [order for order in batch if order.order not in known]
            for order in batch:
                if order.order in known:
                    yield self._told(order, known[order.order])
            for order in alone:
                told = self._poll_one(order)
                if told is not None and len(batch) > 1 and len(known) < 2 and self._lists.orders is None:  # noqa: PLR2004
                    self._lists.orders = False
                yield self._told(order, told)

    def _told(self, order: Order, element: dict[str, Any] | None) -> Order:
        order = _updated(order, element)
        self._ordered[order.id] = order
        return order

    def _poll_list(self, batch: Collection[Order]) -> dict[str, dict[str, Any]]:
        reply = self._ask_orders([order.order for order in batch])
        if reply.status in _LIST_REFUSED:
            return {}
        elements = as_list(self._answer(reply, "a question about orders"), "a question about orders")
        wanted = {order.order for order in batch}
        known = {number: item for item in elements if (number := _order_number(item)) in wanted}
        if len(known) > 1:
            self._lists.orders = True
        return {number: item for number, item in known.items() if number is not None}

    def _poll_one(self, order: Order) -> dict[str, Any] | None:
        """Ask for one order; None where the archive does not know it."""
        reply = self._ask_orders([order.order])
        if _not_ready(reply):
            return {}
        if reply.status == _NOT_FOUND and self._lists.request_path is not None:
            return None
        elements = as_list(self._answer(reply, "a question about an order"), "a question about an order")
        objects = [item for item in elements if isinstance(item, dict)]
        for item in objects:
            if _order_number(item) == order.order:
                return item
        return objects[0] if len(objects) == 1 and _order_number(objects[0]) is None else None

    def _ask_orders(self, numbers: Collection[str]) -> session.Reply:
        rest = "?ids=" + ",".join(quote(number, safe="") for number in numbers)
        alone = len(numbers) == 1
        return self._request_call(
            "GET",
            rest,
            "a question about orders",
            final=lambda reply: _not_ready(reply) or (not alone and reply.status == _SERVER_ERROR),
        )


@dataclass(slots=True)
class _ListSupport:
    """What has been learnt about the forms this service takes; None: not known yet."""

    products: bool | None = None
    orders: bool | None = None
    request_path: Literal["request", "/request"] | None = None


class _SedasOrders:
    """The ordering half of a `SedasArchive`; see `sedas_sync.archives.Orders`."""

    def __init__(self, archive: SedasArchive) -> None:
        self._archive = archive

    def place(self, scene: Scene) -> Order:
        """Order one scene; never sent twice where it is not known whether the first was taken."""
        return self._archive._place(scene.id)  # noqa: SLF001 - one object in two faces

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Ask for the state of orders, many in one call; those missing from the answer one by one."""
        return self._archive._poll(orders)  # noqa: SLF001 - one object in two faces


def _checked_base(url: str) -> str:
    """Return an API address in its plain form, with the slash at its end.

    Raises:
        ManifestError: it is no http(s) address, or plain http to another machine.
    """
    try:
        scheme, host, _ = origin_of(url)
    except ValueError as reason:
        raise ManifestError(f"the archive's url {redact.shorten(str(url), 120)!r} cannot be used: {reason}") from None
    if scheme == "http" and not is_loopback(host):
        raise ManifestError(
            f"the archive's url {url!r} is plain http, over which a password would be readable: use https"
        )
    parts = urlsplit(url)
    return urlunsplit((scheme, parts.netloc.lower(), parts.path.rstrip("/") + "/", "", ""))


def _check_area(aoi_wkt: str) -> None:
    """Hold an area against what an AOI must be: what the service makes of a mistake in it is not known."""
    from sedas_sync.geometry import from_wkt  # noqa: PLC0415  # a manifest's areas are checked before they come here

    try:
        from_wkt(aoi_wkt)
    except ValueError as reason:
        raise ValueError(f"the area {redact.shorten(aoi_wkt, 60)!r} cannot be searched: {reason}") from None


def _sensor_word(sensor: str) -> Literal["all", "optical", "sar"]:
    match sensor.strip().lower():
        case "all":
            return "all"
        case "optical":
            return "optical"
        case "sar":
            return "sar"
        case _:
            raise ValueError(f"sensor is {sensor!r}; it is one of all, optical, sar")


def _token_refused(reply: session.Reply) -> bool:
    if reply.status in {_UNAUTHORISED, _FORBIDDEN}:
        return True
    return reply.status == _BAD_REQUEST and reply.says(_TOKEN_GONE)


def _not_ready(reply: session.Reply) -> bool:
    """A bug of the service while an order is in progress (geocento/SEDAS-issues 6): not an error of the order."""
    return reply.status == _SERVER_ERROR and reply.says(_NOT_READY)


def _order_refused(reply: session.Reply, what: str) -> ArchiveError:
    error = reply.error(what)
    quota = reply.status == _TOO_MANY or error.retry_after is not None or any(reply.says(word) for word in _QUOTA_WORDS)
    if not quota:
        return error
    return ArchiveError(str(error), status=_TOO_MANY, retryable=True, retry_after=error.retry_after)


def _id_or_none(row: dict[str, Any]) -> str | None:
    try:
        return identify(row)
    except ValueError:
        return None


def _by_id(rows: Iterable[object], wanted: Collection[str]) -> dict[str, object]:
    asked = set(wanted)
    found: dict[str, object] = {}
    for row in rows:
        name = _id_or_none(row) if isinstance(row, dict) else None
        if name is not None and name in asked:
            found.setdefault(name, row)
    return found


def _batch_length(items: list[_T], key: Callable[[_T], str] = str) -> int:
    """How many of the first items fit into one call."""
    length = 0
    for position, item in enumerate(items[:BATCH_IDS]):
        length += len(quote(key(item), safe="")) + 1
        if length > BATCH_CHARACTERS and position:
            return position
    return min(len(items), BATCH_IDS)


def _batches(items: list[_T], key: Callable[[_T], str] = str) -> Iterator[list[_T]]:
    rest = items
    while rest:
        length = _batch_length(rest, key)
        yield rest[:length]
        rest = rest[length:]


def _order_number(item: object) -> str | None:
    if not isinstance(item, dict):
        return None
    for key in ("requestId", "id"):
        value = item.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _updated(order: Order, told: dict[str, Any] | None) -> Order:
    """Bring an order up to date with its element of an answer; None: the archive does not know it."""
    if told is None:
        return replace(order, polls=order.polls + 1, missing=order.missing + 1)
    word = next((told[key] for key in ("status", "state") if isinstance(told.get(key), str) and told[key]), None)
    url = told.get("downloadUrl")
    ready = isinstance(url, str) and bool(url)
    failed = word is not None and word.strip().upper() in _FAILED_WORDS
    state = OrderState.READY if ready else OrderState.FAILED if failed else OrderState.PENDING
    return replace(
        order,
        polls=order.polls + 1,
        missing=0,
        state=state,
        download_url=url if ready else None,
        detail=redact.shorten(word, 80) if word is not None else order.detail,
    )


def open_archive(opening: "Opening") -> SedasArchive:
    """Open the archive that a manifest describes.

    Raises:
        AuthenticationError: there are no credentials for it.
    """
    return SedasArchive._of(  # noqa: SLF001
        opening.credentials(),
        opening.config.url or LIVE_URL,
        trusted_hosts=opening.config.trusted_hosts,
        retries=opening.transfer.retries,
        connect_timeout=opening.transfer.connect_timeout,
        stall_timeout=opening.transfer.stall_timeout,
        now=opening.clock,
    )
