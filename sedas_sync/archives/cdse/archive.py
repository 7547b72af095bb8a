"""The Copernicus Data Space Ecosystem as an archive.

A search needs no account, so a plan can be made without one; only downloads do. `odata` writes the requests, `rows`
reads the answers, `time_walk` makes a search complete, and `keycloak` logs in. The documentation (2025-03) does not
state how a resumed download is checked, so its proof decides.
"""

import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, wait
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from sedas_sync.archives.cdse import odata, rows
from sedas_sync.archives.cdse.bucket import BucketProducts
from sedas_sync.archives.cdse.keycloak import cdse_login
from sedas_sync.archives.cdse.kind import (
    LIVE_URL,
    LOGIN_URL,
    S3_URL,
    TRUSTED_HOSTS,
    CdseConfig,
    netrc_entries,
)
from sedas_sync.archives.cdse.time_walk import PAGE, Stretch, TimeWalk, rows_of
from sedas_sync.archives.lenient import Reporter, UnusableError, once, row_text
from sedas_sync.archives.protocol import Archive, Orders, Warn, not_online
from sedas_sync.archives.s3 import Buckets
from sedas_sync.archives.s3_config import S3Config
from sedas_sync.archives.web_archive import WebArchive, api_for
from sedas_sync.errors import ArchiveError, IncompleteSearch, ManifestError, StoppedError
from sedas_sync.files.threads import Pool
from sedas_sync.model.scene import Download, Query, Reach, RemoteFile, Scene
from sedas_sync.model.text import product_id
from sedas_sync.net import session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.policy import may_see_token
from sedas_sync.net.redact import shorten

if TYPE_CHECKING:
    from sedas_sync.archives.opening import Opening

CONNECTIONS = 4
"""Downloads of an account at the same time (Quotas page, 2025-03)."""
AT_ONCE = 4
"""Requests of one search at the same time."""
NAMES_PER_REQUEST = 100
"""Ids of one look-up."""
FEW_NAMES = 10
"""Ids of a look-up that no page size cuts: each has one or two rows, and the default page has 20."""
DELETED_PER_REQUEST = 6
"""Ids of a look-up of deleted scenes, whose names are part of the URL."""

_OPTIONS = {"$orderby": "ContentDate/Start asc", "$top": str(PAGE), "$expand": "Attributes"}
_BAD_REQUEST, _UNPROCESSABLE, _SERVER_ERROR = 400, 422, 500
_REFUSED_FILTER = frozenset({_BAD_REQUEST, _UNPROCESSABLE, _SERVER_ERROR})
_ENDINGS = (
    (re.compile(r"S[1-6][A-DP_]_OPER_"), ("", ".EOF")),
    (re.compile(r"S[12][A-D_]_"), (".SAFE",)),
    (re.compile(r"S3[A-D_]_"), (".SEN3",)),
    (re.compile(r"S5P_"), (".nc", "")),
    (re.compile(r"S6[A-D_]_"), (".SEN6",)),
    (re.compile(""), (".SAFE", "", ".DEM", ".nc", ".tar", ".tgz", ".TIFF")),
)
"""Endings of the catalogue's names, by the beginning of a name: the first that matches."""


class CdseArchive(WebArchive):
    """The Copernicus Data Space Ecosystem. Safe for threads; a context manager that closes.

    Args:
        url: The OData service; https, or a loopback address.
        credentials: Returns user name and password before the first download.
        login_url: The token endpoint of Keycloak; it gets the credentials.
        trusted_hosts: Hosts besides the catalogue's that get the token. If the credentials are from the environment,
            only those of them that may see these.
        collections: The collections to search, e.g. `SENTINEL-2`; by default those that fit the query.
        api: Sends the requests, instead of a new `session.Api`.
        prompt: Whether a person may be asked for the code of a second factor.
        environ: The variables for the folder of shared tokens and the code of a second factor.
        now: Returns seconds since 1970, for the age of tokens.

    Raises:
        ManifestError: A URL is neither https nor a loopback address.
    """

    orders: Orders | None = None
    """There is no API for orders: offline scenes can only be ordered in the Data Workspace."""
    connections: int | None = CONNECTIONS
    """Downloads at the same time."""

    def __init__(
        self,
        url: str = LIVE_URL,
        *,
        credentials: Callable[[], Credentials],
        login_url: str = LOGIN_URL,
        trusted_hosts: Iterable[str] = TRUSTED_HOSTS,
        collections: Iterable[str] = (),
        api: session.Api | None = None,
        prompt: bool = False,
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time.time,
    ) -> None:
        url = url.rstrip("/") + "/"
        for one in (url, login_url):
            if not may_see_token(one, one, ()):
                raise ManifestError(
                    f"the address {shorten(one)} cannot be used: it is neither https nor a loopback address"
                )
        self.identity = f"cdse {url}"
        self._collections = tuple(collections)
        self._reach = Reach(api=url, trusted_hosts=tuple(trusted_hosts))
        super().__init__(url, api or session.Api(reach=self._reach))
        self._login = cdse_login(
            self._api,
            lambda _: credentials(),
            login_url,
            self._reach.trusted_hosts,
            environ,
            catalogue=self._url,
            prompt=prompt,
            now=now,
        )
        self._narrow = True

    # -- the catalogue -----------------------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield all scenes that match, each once; see `Archive.find`."""
        if query.start > query.stop:
            return
        conditions = odata.conditions(query, self._collections)
        walk = TimeWalk(lambda start, stop, skip: self._page(conditions, start, stop, skip))
        seen: set[str] = set()
        names: set[str] = set()
        report = once(warn)
        with Pool(AT_ONCE) as pool:
            running = {pool.submit(walk.step, Stretch(query.start, query.stop, first=True))}
            try:
                while running:
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        page, following = future.result()
                        running |= {pool.submit(walk.step, stretch) for stretch in following}
                        yield from self._scenes(page, seen, names, warn, report)
                    if self.stopped:
                        raise ArchiveError("the search was stopped")
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if walk.problem:
            raise IncompleteSearch(walk.problem)

    def _scenes(
        self, page: Iterable[object], seen: set[str], names: set[str], warn: Warn, report: Reporter
    ) -> Iterator[Scene]:
        """Yield the scenes of new rows; of several rows with one name, the best one."""
        found: dict[str, Scene] = {}
        for row in page:
            try:
                key = rows.identify(row)
                if key in seen:
                    continue
                seen.add(key)
                scene = self._scene(row, report)
            except UnusableError as reason:
                shown = row_text(row)
                if shown not in seen:
                    seen.add(shown)
                    warn(_left_out(reason, shown))
                continue
            if scene.id not in names:
                found[scene.id] = _better(found.get(scene.id), scene)
        names.update(found)
        yield from found.values()

    def _scene(self, row: object, report: Reporter) -> Scene:
        name = rows.scene_id(row)
        link = f"{self._url}Products({rows.identify(row)})/$value"
        return rows.to_scene(row, link, lambda sentence: report(name, sentence))

    def _page(self, conditions: odata.Conditions, start: datetime, stop: datetime, skip: int) -> Mapping[str, Any]:
        """Request one page; without the optional conditions if the catalogue refuses them."""
        narrow = self._narrow and bool(conditions.optional)
        reply = self._search(conditions.within(start, stop, narrow=narrow), skip, narrow=narrow)
        if narrow and reply.status in _REFUSED_FILTER:
            wider = self._search(conditions.within(start, stop, narrow=False), skip)
            if wider.ok:
                self._narrow, reply = False, wider
        return _answer(reply, "a search")

    def _search(self, condition: str, skip: int, *, narrow: bool = False) -> session.Reply:
        options = {"$filter": condition, **_OPTIONS, **({"$skip": str(skip)} if skip else {})}
        # A filter that the service cannot evaluate may fail with 500, which no repetition helps.
        return self._api.send(
            "GET",
            odata.url(self._url, "Products", options),
            final=lambda reply: narrow and reply.status == _SERVER_ERROR,
            kind="search",
        )

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids; see `Archive.look_up`.

        One request has many ids. The list of deleted scenes has the reason for an unknown id.
        """
        missing = list(dict.fromkeys(ids))
        # A long answer may have been cut to a page: only a request for few names shows that a name is unknown.
        sizes = (NAMES_PER_REQUEST, FEW_NAMES) if len(missing) > FEW_NAMES else (FEW_NAMES,)
        for size in sizes:
            wanted, missing = missing, []
            for batch in _batches(wanted, size):
                found = self._by_name(batch, warn)
                yield from found.values()
                missing += [name for name in batch if name not in found]
        for name, reason in self._deleted(missing):
            warn(f"{name}: {reason}")

    def _by_name(self, ids: Collection[str], warn: Warn) -> dict[str, Scene]:
        names = [{"Name": name} for scene_id in ids for name in _names(scene_id)]
        reply = self._api.send(
            "POST",
            f"{self._url}Products/OData.CSC.FilterList?%24expand=Attributes",
            json={"FilterProducts": names},
            kind="look_up",
        )
        found: dict[str, Scene] = {}
        report = once(warn)
        asked = {product_id(scene_id): scene_id for scene_id in ids}
        for row in rows_of(_answer(reply, "a look-up"), "a look-up"):
            try:
                scene = self._scene(row, report)
            except UnusableError as reason:
                warn(_left_out(reason, row_text(row)))
                continue
            if (name := asked.get(product_id(scene.id))) is not None:
                found[name] = _better(found.get(name), scene)
        return found

    def _deleted(self, ids: list[str]) -> Iterator[tuple[str, str]]:
        """Yield id and reason of scenes that the catalogue lists as deleted; nothing if the request fails."""
        for batch in _batches(ids, DELETED_PER_REQUEST):
            condition = odata.names_filter(name for scene_id in batch for name in _names(scene_id))
            url = odata.url(self._url, "DeletedProducts", {"$filter": condition, "$top": str(PAGE)})
            try:
                listed = rows_of(_answer(self._api.send("GET", url, kind="look_up"), "a look-up"), "a look-up")
            except StoppedError:
                raise
            except ArchiveError:
                return
            for row in listed:
                if not isinstance(row, dict) or not isinstance(row.get("Name"), str):
                    continue
                name = next((one for one in batch if row["Name"] in _names(one)), None)
                if name is not None:
                    cause = shorten(str(row.get("DeletionCause") or "no reason given"), 80)
                    date = shorten(str(row.get("DeletionDate") or "")[:10], 10)
                    yield name, f"was deleted from the archive{f' on {date}' if date else ''}: {cause}"

    # -- downloads ---------------------------------------------------------------------------------------------------

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the link to an online scene, with the token for trusted hosts, also after a redirect.

        A refused token is renewed once. If the new one is refused too, the catalogue is asked for the scene, because it
        may have left the rolling archive.

        Raises:
            ArchiveError: The scene is not online, the token may not be sent to its host, or a new token is refused too.
            AuthenticationError: There are no credentials, or they were refused.
        """
        del file  # every scene is one file
        if scene.download_url is None:
            raise not_online(scene)
        url, headers = self._login.link(scene.download_url, refused)
        if refused is not None and dict(headers) == dict(refused.headers):
            raise self._refusal(scene) if headers else ArchiveError(self._login.advice(url), status=403)
        return Download(
            url=url,
            headers=headers,
            size=None if scene.nominal else scene.size,
            digest=scene.digest,
            trusted_hosts=self._login.trusted_hosts,
            reach=self._reach,
            connections=self.connections,
        )

    def _refusal(self, scene: Scene) -> ArchiveError:
        reasons: list[str] = []
        now = next(iter(self.look_up([scene.id], warn=reasons.append)), None)
        if now is None:
            return ArchiveError("; ".join(reasons) or f"the archive does not know {scene.id} any more", status=404)
        if not now.online:
            return ArchiveError(f"{scene.id} is not online any more: {now.offline}", status=404)
        return ArchiveError(
            "the catalogue lists it as online, but refuses the download even with a new token", status=403
        )


def _answer(reply: session.Reply, what: str) -> Mapping[str, Any]:
    if not reply.ok:
        raise reply.error(what)
    answer = reply.json(what)
    if not isinstance(answer, dict):
        raise ArchiveError(f"the archive answered {what} with something that is not an object")
    return answer


def _better(one: Scene | None, other: Scene) -> Scene:
    """Return the one of two scenes with one name that is online, or else was published last."""
    if one is None or one.online < other.online:
        return other
    published = [str(scene.extra.get("PublicationDate") or "") for scene in (one, other)]
    return other if one.online == other.online and published[0] < published[1] else one


def _names(scene_id: str) -> tuple[str, ...]:
    """Return the names that the catalogue may have for an id, with or without an ending."""
    stem = product_id(scene_id)
    endings = next(found for pattern, found in _ENDINGS if pattern.match(stem))
    own = (scene_id,) if scene_id != stem else ()
    return tuple(dict.fromkeys((*own, *(stem + ending for ending in endings))))


def _batches(items: list[str], size: int) -> Iterator[list[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _left_out(reason: Exception, shown: str) -> str:
    return f"a row of the answer cannot be used and is left out: {reason}: {shown}"


def open_archive(opening: "Opening") -> Archive:
    """Open the archive that a manifest describes; it looks for credentials when it needs them."""
    config = cast(CdseConfig, opening.config)
    login = urlsplit(config.login_url).hostname or ""
    s3 = config.s3 or S3Config()
    server = s3.endpoint or S3_URL
    in_bucket = config.access == "s3"
    servers = (urlsplit(server).hostname or "",) if in_bucket else ()
    reach = Reach(api=config.url, trusted_hosts=(*config.trusted_hosts, *servers))
    api = api_for(opening.transfer, reach)
    archive = CdseArchive(
        config.url,
        credentials=lambda: opening.credentials(also=(login,), entries=netrc_entries(config.url, config.login_url)),
        prompt=opening.prompt,
        login_url=config.login_url,
        trusted_hosts=config.trusted_hosts,
        collections=config.collections,
        api=api,
    )
    if not in_bucket:
        return archive
    return BucketProducts(archive, Buckets(s3, api, opening.clock), api, server=server, files=config.files, reach=reach)
