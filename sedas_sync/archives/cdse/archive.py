"""The Copernicus Data Space Ecosystem as an archive: its OData catalogue, its login and its downloads.

Searching needs no account; only bytes do, so that a plan can be made without one. What the documentation (2025-03)
leaves open is met by proof: whether a page is the last one is told by what follows it, whether a resumed download
belongs together by its checks.

A search walks along the time of sensing. Pages come sorted by `ContentDate/Start`, and each question begins where the
last page ended, so that the cap on `$skip` (10,000) is never met and a product withdrawn meanwhile shifts nothing out
of sight. Only where more than a page began in the same millisecond is `$skip` used, and once to ask whether anything
follows an answer that looks like the last and is not shorter than another one. An answer that is not sorted proves
nothing and makes the search incomplete.
"""

import json
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from sedas_sync.archives.cdse import keycloak, odata, rows
from sedas_sync.archives.cdse.kind import LIVE_URL, LOGIN_URL, TRUSTED_HOSTS, VARIABLES
from sedas_sync.archives.protocol import Orders, Warn
from sedas_sync.errors import ArchiveError, IncompleteSearch, ManifestError
from sedas_sync.model.scene import NOTHING, Download, Query, Reach, Scene
from sedas_sync.model.threads import Pool
from sedas_sync.net import credentials as _credentials
from sedas_sync.net import session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.trust import may_see_token, without_token

if TYPE_CHECKING:
    from sedas_sync.archives.registry import Opening

CONNECTIONS = 4
"""Downloads that an account may have at once (Quotas page, 2025-03)."""

PAGE = 1000
"""Most rows of one answer."""
LAST_SKIP = 10_000
"""The largest `$skip` that is answered; a larger one is status 422."""
AT_ONCE = 4
"""Questions asked at once by one search."""
NAMES_AT_ONCE = 100
"""Ids of one look-up."""
FEW_NAMES = 10
"""Ids of a look-up that no page size cuts: each is asked for by two names, and 20 is the size of a page by default."""
DELETED_AT_ONCE = 20

_OPTIONS = {"$orderby": "ContentDate/Start asc", "$top": str(PAGE), "$expand": "Attributes"}
_BAD_REQUEST, _UNPROCESSABLE = 400, 422
_REFUSED_FILTER = frozenset({_BAD_REQUEST, _UNPROCESSABLE})
_TICK = timedelta(milliseconds=1)
_NAMED = re.compile(r"S[12][A-D]_.*")
_PARTS = 4


class CdseArchive:
    """The Copernicus Data Space Ecosystem. Safe in many threads; closes as a context manager.

    Args:
        url: The OData service; https, or a loopback address.
        credentials: Gives user name and password when bytes are first asked for; by default from `CDSE_USERNAME` and
            `CDSE_PASSWORD`, netrc or the keyring, for hosts of the Copernicus Data Space and those in `CDSE_HOST`.
        login_url: The Keycloak token endpoint. Credentials that are given are sent to it.
        trusted_hosts: Hosts besides the catalogue's own that get the token; where the credentials are the
            environment's, those of them that may see these.
        collections: What is searched, e.g. `SENTINEL-2`; by default what fits the question.
        identity: Names the archive in an index; by default `cdse` and the address.
        retries: Further tries of a call after the first.
        connect_timeout: Seconds for a connection to be made.
        stall_timeout: Seconds without a byte before an answer is given up.
        api: The HTTP layer, instead of one of its own.
        environ: Where the folder for shared tokens and the code of a second factor are named.
        now: Seconds since 1970; tokens age by it.

    Raises:
        ManifestError: an address is neither https nor a loopback one.
    """

    orders: Orders | None = None
    """There is no ordering API: offline products are ordered in the Data Workspace alone."""
    connections: int | None = CONNECTIONS
    """How many downloads may be under way at once."""

    def __init__(
        self,
        url: str = LIVE_URL,
        *,
        credentials: Callable[[], Credentials] | None = None,
        login_url: str = LOGIN_URL,
        trusted_hosts: Iterable[str] = TRUSTED_HOSTS,
        collections: Iterable[str] = (),
        identity: str | None = None,
        retries: int = 5,
        connect_timeout: float = 10.0,
        stall_timeout: float = 60.0,
        api: session.Api | None = None,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._url = url.rstrip("/") + "/"
        self._trusted = tuple(trusted_hosts)
        for address in (self._url, login_url):
            if not may_see_token(address, address, ()):
                raise ManifestError(
                    f"the address {session.shorten(address)} cannot be used: it is neither https nor http to loopback"
                )
        self.identity = identity or f"cdse {self._url}"
        self._collections = tuple(collections)
        self._reach = Reach(api=self._url, trusted_hosts=self._trusted)
        self._api = api or session.Api(
            retries=retries, connect_timeout=connect_timeout, stall_timeout=stall_timeout, reach=self._reach
        )
        host, login = (urlsplit(address).hostname or "" for address in (self._url, login_url))
        self._find = credentials or (
            lambda: _credentials.find(host, prompt=False, variables=VARIABLES, also=(login,), environ=environ)
        )
        self._withheld: str | None = None
        """The variable that has to name a trusted host too."""
        self._session = keycloak.KeycloakSession(
            self._api,
            login_url,
            self._account,
            store=lambda username: keycloak.store_for(login_url, username, environ),
            environ=environ,
            now=now,
        )
        self._narrow = True
        self._stopped = Event()

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
        self._stopped.set()
        self._api.stop()

    def close(self) -> None:
        """Let go of the connections; calls under way end."""
        self._stopped.set()
        self._api.close()

    # -- the catalogue -----------------------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once; see `Archive.find`."""
        if query.start > query.stop:
            return
        walk = _Walk(odata.conditions(query, self._collections), self._page)
        seen: set[str] = set()
        names: set[str] = set()
        with Pool(AT_ONCE, "cdse-search") as pool:
            asked = {pool.submit(walk.ask, _Stretch(query.start, query.stop, first=True))}
            try:
                while asked:
                    done, asked = wait(asked, return_when=FIRST_COMPLETED)
                    for future in done:
                        page, following = future.result()
                        asked |= {pool.submit(walk.ask, stretch) for stretch in following}
                        yield from self._scenes(page, seen, names, warn)
                    self._check_stopped()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if walk.unsettled:
            raise IncompleteSearch(walk.unsettled)

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise ArchiveError("the search was stopped")

    def _scenes(self, page: Iterable[object], seen: set[str], names: set[str], warn: Warn) -> Iterator[Scene]:
        """Read rows that have not come before; of several products of one name the one that can be had."""
        found: dict[str, Scene] = {}
        for row in page:
            try:
                key = rows.identify(row)
                if key in seen:
                    continue
                seen.add(key)
                scene = self._scene(row)
            except rows.UnusableRowError as reason:
                shown = _shown(row)
                if shown not in seen:
                    seen.add(shown)
                    warn(f"a row of the answer cannot be used and is left out: {reason}: {shown}")
                continue
            if scene.id not in names:
                found[scene.id] = _better(found.get(scene.id), scene)
        names.update(found)
        yield from found.values()

    def _scene(self, row: object) -> Scene:
        return rows.to_scene(row, f"{self._url}Products({rows.identify(row)})/$value")

    def _page(self, asked: odata.Conditions, start: datetime, stop: datetime, skip: int) -> Mapping[str, Any]:
        """Ask for one page; without the narrowing where the catalogue does not take it."""
        narrow = self._narrow and bool(asked.narrowing)
        reply = self._search(asked.within(start, stop, narrow=narrow), skip)
        if narrow and reply.status in _REFUSED_FILTER:
            wider = self._search(asked.within(start, stop, narrow=False), skip)
            if wider.ok:
                self._narrow, reply = False, wider
        return _answer(reply, "a search")

    def _search(self, condition: str, skip: int) -> session.Reply:
        options = {"$filter": condition, **_OPTIONS, **({"$skip": str(skip)} if skip else {})}
        return self._api.send("GET", odata.address(self._url, "Products", options))

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes of these ids that the catalogue knows; see `Archive.look_up`.

        Many are asked for in one call. For those it does not know, the list of deleted products is asked why.
        """
        wanted = list(dict.fromkeys(ids))
        missing: list[str] = []
        for batch in _batches(wanted, NAMES_AT_ONCE):
            found = self._by_name(batch, warn)
            yield from found.values()
            missing += [name for name in batch if name not in found]
        if len(wanted) > FEW_NAMES:
            # A list may have been cut to a page; only one that no page cuts shows that a name is not known.
            cut, missing = missing, []
            for batch in _batches(cut, FEW_NAMES):
                found = self._by_name(batch, warn)
                yield from found.values()
                missing += [name for name in batch if name not in found]
        for name, why in self._deleted(missing):
            warn(f"{name}: {why}")

    def _by_name(self, ids: Collection[str], warn: Warn) -> dict[str, Scene]:
        names = [{"Name": name} for scene_id in ids for name in _names(scene_id)]
        reply = self._api.send(
            "POST",
            f"{self._url}Products/OData.CSC.FilterList?%24expand=Attributes",
            json={"FilterProducts": names},
        )
        found: dict[str, Scene] = {}
        for row in _rows(_answer(reply, "a look-up"), "a look-up"):
            try:
                scene = self._scene(row)
            except rows.UnusableRowError as reason:
                warn(f"a row of the answer cannot be used and is left out: {reason}: {_shown(row)}")
                continue
            if scene.id in ids:
                found[scene.id] = _better(found.get(scene.id), scene)
        return found

    def _deleted(self, ids: list[str]) -> Iterator[tuple[str, str]]:
        """Say why products are gone, of those that the catalogue lists as deleted; silent where it cannot be asked."""
        for batch in _batches(ids, DELETED_AT_ONCE):
            condition = odata.names_filter(name for scene_id in batch for name in _names(scene_id))
            address = odata.address(self._url, "DeletedProducts", {"$filter": condition, "$top": str(PAGE)})
            try:
                listed = _rows(_answer(self._api.send("GET", address), "a question"), "a question")
            except session.StoppedError:
                raise
            except ArchiveError:
                return
            for row in listed:
                if not isinstance(row, dict) or not isinstance(row.get("Name"), str):
                    continue
                name = rows.scene_id(row)
                if name in batch:
                    cause = session.shorten(str(row.get("DeletionCause") or "no reason given"), 80)
                    date = session.shorten(str(row.get("DeletionDate") or "")[:10], 10)
                    yield name, f"was deleted from the archive{f' on {date}' if date else ''}: {cause}"

    # -- downloads ---------------------------------------------------------------------------------------------------

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say where an online scene's bytes are; the token goes along, also after a redirect, to trusted hosts only.

        A token that was refused is renewed once. Refused again, the scene itself is asked for: it may have left the
        rolling archive since it was found.
        """
        if scene.download_url is None:
            raise ArchiveError(f"{scene.id} is not online: {scene.offline or 'it has no link'}")
        token: str | None = None
        if refused is not None and not refused.headers:
            raise ArchiveError(without_token(refused.url, self._withheld), status=403)
        if refused is not None:
            before = refused.headers.get("Authorization", "").removeprefix("Bearer ")
            token = self._session.renew(before)
            if token == before:
                raise ArchiveError(self._why_refused(scene), status=403)
        headers: Mapping[str, str] = NOTHING
        if may_see_token(scene.download_url, self._url, self._trusted):
            token = token or self._session.current()
            # With the login it is known whose token it is, which leaves fewer hosts where it is the environment's.
            if may_see_token(scene.download_url, self._url, self._trusted):
                headers = {"Authorization": f"Bearer {token}"}
        return Download(
            url=scene.download_url,
            headers=headers,
            digest=scene.digest,
            trusted_hosts=self._trusted,
            reach=self._reach,
            connections=self.connections,
        )

    def _account(self) -> Credentials:
        found = self._find()
        self._trusted = found.may_go_to(self._trusted)
        self._withheld = None if found.hosts is None else VARIABLES.host
        return found

    def _why_refused(self, scene: Scene) -> str:
        now = next(iter(self.look_up([scene.id], warn=lambda _: None)), None)
        if now is None:
            return f"the archive does not know {scene.id} any more"
        if not now.online:
            return f"{scene.id} is not online any more: {now.offline}"
        return "the catalogue lists it as online, and its bytes are refused with a new token too"


# --------------------------------------------------------------------------------------------------------------------
# Walking along the time


@dataclass(frozen=True, slots=True)
class _Stretch:
    """A part of a search: what began between two instants, both included, from the row `skip` on."""

    start: datetime
    stop: datetime
    skip: int = 0
    first: bool = False
    after: list[object] | None = None
    """The page before, where this only asks whether anything follows it."""


_Ask = Callable[[odata.Conditions, datetime, datetime, int], Mapping[str, Any]]


class _Walk:
    """One search on its way: asks for stretches, and says what is left of each."""

    def __init__(self, asked: odata.Conditions, ask: _Ask) -> None:
        self._asked = asked
        self._ask = ask
        self._longest = 0
        self._full = PAGE
        """Rows of a page that has been cut: the service's most, or a server's own that was seen to cut earlier."""
        self.unsettled = ""
        """Why not every match can be shown to be found; empty where nothing is left open."""

    def ask(self, stretch: _Stretch) -> tuple[list[object], list[_Stretch]]:
        """Return the rows of one page, and what is still to be asked for."""
        answer = self._ask(self._asked, stretch.start, stretch.stop, stretch.skip)
        page = _rows(answer, "a search")
        longest, self._longest = self._longest, max(self._longest, len(page))
        if not page:
            return page, []
        if stretch.after is not None:
            if page == stretch.after:
                self.unsettled = "the catalogue takes no $skip, so that nothing shows that its answer is whole"
                return page, []
            self._full = min(self._full, len(stretch.after))
        if len(page) < self._full and not answer.get("@odata.nextLink"):
            # Shorter than another page is not cut. Otherwise a missing link to the next page proves nothing: servers
            # cut at a number of their own, and the documented one leaves the link out before its limit of $skip.
            beyond = _Stretch(stretch.start, stretch.stop, stretch.skip + len(page), after=page)
            return page, [beyond] if len(page) >= longest else []
        starts = list(_starts(page))
        if not starts or starts != sorted(starts):
            self.unsettled = (
                "the catalogue did not sort its answer by the time of sensing, so that nothing shows that it is whole"
            )
            return page, []
        # What is stated may have been rounded: the next page begins a tick before the last start seen.
        last = starts[-1] - _TICK
        if last > stretch.start:
            rest = _Stretch(last, stretch.stop)
            return page, list(_parts(rest)) if stretch.first else [rest]
        if stretch.skip + len(page) <= LAST_SKIP:
            return page, [_Stretch(stretch.start, stretch.stop, stretch.skip + len(page))]
        self.unsettled = (
            f"more than {LAST_SKIP} products began at {starts[-1]:%Y-%m-%dT%H:%M:%S.%fZ}, and the catalogue shows no "
            "more than that: narrow the dataset by satellite, product type or tile"
        )
        return page, [_Stretch(starts[-1] + _TICK, stretch.stop)] if starts[-1] < stretch.stop else []


def _starts(page: Iterable[object]) -> Iterator[datetime]:
    """When the rows began, of those that say it."""
    for row in page:
        try:
            yield rows.start_of(row)
        except rows.UnusableRowError:
            continue


def _parts(stretch: _Stretch) -> Iterator[_Stretch]:
    """Cut a stretch into parts that are walked side by side; they meet in one instant, so that nothing lies between."""
    step = (stretch.stop - stretch.start) / _PARTS
    edges = [stretch.start + number * step for number in range(_PARTS)]
    for begin, end in zip(edges, [*edges[1:], stretch.stop], strict=True):
        yield _Stretch(begin, end)


# --------------------------------------------------------------------------------------------------------------------


def _answer(reply: session.Reply, what: str) -> Mapping[str, Any]:
    if not reply.ok:
        raise reply.error(what)
    answer = reply.json(what)
    if not isinstance(answer, dict):
        raise ArchiveError(f"the archive answered {what} with something that is no object")
    return answer


def _rows(answer: Mapping[str, Any], what: str) -> list[object]:
    listed = answer.get("value")
    if not isinstance(listed, list):
        raise ArchiveError(f"the archive answered {what} without a list of products")
    return listed


def _better(one: Scene | None, other: Scene) -> Scene:
    """Of two products of one name, the one that is online, or else was published last."""
    if one is None or one.online < other.online:
        return other
    published = [str(scene.extra.get("PublicationDate") or "") for scene in (one, other)]
    return other if one.online == other.online and published[0] < published[1] else one


def _names(scene_id: str) -> tuple[str, ...]:
    """What a product of this id may be called in the catalogue."""
    return (f"{scene_id}.SAFE",) if _NAMED.fullmatch(scene_id) else (f"{scene_id}.SAFE", scene_id)


def _batches(items: list[str], size: int) -> Iterator[list[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _shown(row: object) -> str:
    """A row as a warning shows it: JSON, so that control characters are escaped, shortened and redacted."""
    return session.shorten(json.dumps(row, ensure_ascii=True, default=str), 240)


def open_archive(opening: "Opening") -> CdseArchive:
    """Open the archive that a manifest describes; it asks for credentials when it needs them."""
    config, transfer = opening.config, opening.transfer
    login = urlsplit(config.options["login_url"]).hostname or ""
    return CdseArchive(
        config.url or LIVE_URL,
        credentials=lambda: opening.credentials(also=(login,)),
        login_url=config.options["login_url"],
        trusted_hosts=config.trusted_hosts,
        collections=config.options["collections"],
        retries=transfer.retries,
        connect_timeout=transfer.connect_timeout,
        stall_timeout=transfer.stall_timeout,
    )
