"""A STAC API as an archive: search, look-up by id, and links to assets."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from sedas_sync.archives.cdse import kind as cdse
from sedas_sync.archives.cdse.archive import CONNECTIONS as CDSE_CONNECTIONS
from sedas_sync.archives.cdse.bucket import REQUESTS_PER_MINUTE
from sedas_sync.archives.cdse.keycloak import cdse_login
from sedas_sync.archives.lenient import Reporter, UnusableError, once
from sedas_sync.archives.protocol import Orders, Warn, not_online
from sedas_sync.archives.s3 import Buckets
from sedas_sync.archives.s3 import hosts_of as s3_hosts
from sedas_sync.archives.s3_config import SCHEME, S3Config
from sedas_sync.archives.stac import access as _access
from sedas_sync.archives.stac import whole_search
from sedas_sync.archives.stac.api import Body, StacApi, Walk, bounds
from sedas_sync.archives.stac.document_cache import cache_of
from sedas_sync.archives.stac.earthdata import earthdata_login
from sedas_sync.archives.stac.files import with_links
from sedas_sync.archives.stac.filters import Condition, conditions
from sedas_sync.archives.stac.items import bbox_of, item_of, scene_of_item
from sedas_sync.archives.stac.kind import EARTHDATA_ACCOUNT, EARTHDATA_LOGIN, SIGN_URL, StacConfig
from sedas_sync.archives.stac.static import StaticCatalogue, is_catalogue, is_parquet
from sedas_sync.archives.stac.storage import place_of
from sedas_sync.archives.stac.whole_search import Page, Span
from sedas_sync.archives.web_archive import WebArchive, api_for
from sedas_sync.errors import ArchiveError
from sedas_sync.manifest.archive_types import Variables
from sedas_sync.model.hosts import matches_any
from sedas_sync.model.scene import NOTHING, Download, Query, Reach, RemoteFile, Scene
from sedas_sync.model.text import count
from sedas_sync.net import credentials, redact, session
from sedas_sync.net.credentials import Credentials

if TYPE_CHECKING:
    from sedas_sync.archives.opening import Opening

IDS_PER_REQUEST = 100
"""Ids of one look-up."""
LATER = timedelta(days=1)
"""How much later an item's `datetime` may be than its `start_datetime`: servers compare one or the other."""

_CLOUD = "eo:cloud_cover"


class StacArchive(WebArchive):
    """The items of some collections of a STAC API.

    Args:
        url: Landing page of the API.
        collections: Ids of the collections to search.
        assets: Names or patterns of the assets that are the files of a scene; if empty, all data assets.
        access: Authorises requests; open access if it is None.
        api: Sends the requests; shared with `access` if that requests tokens.
        rewrite: Beginnings of links in the catalogue, each with what replaces it.
        trusted_hosts: Hosts that links may lead to at loopback and private addresses, wherever the API is.
        connections: Downloads of an account at the same time; None if the service sets no limit.
        requests_per_minute: Requests for files in buckets, of an account; None if the service sets no limit.
        s3: How files in buckets are downloaded; None if they are not.
        clock: Returns the present time, UTC.
    """

    orders: Orders | None = None

    def __init__(
        self,
        url: str,
        collections: Sequence[str],
        *,
        assets: Sequence[str] = (),
        rewrite: Mapping[str, str] = NOTHING,
        access: _access.Access | None = None,
        api: session.Api | None = None,
        trusted_hosts: Iterable[str] = (),
        connections: int | None = None,
        requests_per_minute: int | None = None,
        s3: S3Config | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.connections = connections
        self.identity = f"stac {url.rstrip('/')}/"
        self._collections = tuple(collections)
        self._assets = tuple(assets)
        self._rewrite = dict(rewrite)
        self._access = access or _access.Header(None, url)
        self._requests_per_minute = requests_per_minute
        self._s3 = s3
        servers = s3_hosts(s3) if s3 is not None else ()
        self._reach = Reach(api=url, trusted_hosts=(*trusted_hosts, *servers))
        super().__init__(url, api or session.Api(reach=self._reach))
        self._buckets = None if s3 is None else Buckets(s3, self._api, clock)
        self._stac = StacApi(url, self._api, self._access)
        self._lock = threading.Lock()
        self._is_known = False
        self._files: StaticCatalogue | None = None

    # -- the archive interface -----------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield all scenes that match, each once; see `Archive.find`."""
        if query.stop < query.start:
            return
        wanted = conditions(query.filters)
        if (static := self._find_static_catalogue()) is not None:
            found = self._scenes_of_files(static, warn, None if query.aoi is None else _polygon(query.aoi))
        else:
            found = self._scenes(self._search(query, wanted, warn), warn)
        for item, scene in found:
            if scene.start is not None and not query.start <= scene.start <= query.stop:
                continue
            if all(one.holds(item["properties"]) for one in wanted):
                yield scene

    def _search(self, query: Query, wanted: tuple[Condition, ...], warn: Warn) -> Iterator[Page]:
        body: Body = {"collections": list(self._collections)}
        if query.aoi is not None:
            body["intersects"] = _polygon(query.aoi)
        asked = (*wanted, *_clouds(query))

        def ask(span: Span, limit: int | None) -> Generator[Page, None, Walk]:
            return self._stac.walk({**body, "datetime": str(span)}, asked, limit=limit)

        return whole_search.search(ask, Span(query.start, query.stop + LATER), warn)

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids; see `Archive.look_up`."""
        unique = list(dict.fromkeys(ids))
        if unique and (static := self._find_static_catalogue()) is not None:
            wanted = frozenset(unique)
            yield from (scene for _, scene in self._scenes_of_files(static, warn) if scene.id in wanted)
            return
        for first in range(0, len(unique), IDS_PER_REQUEST):
            batch = frozenset(unique[first : first + IDS_PER_REQUEST])
            # In a GET request commas separate the ids.
            listed = {one for one in batch if "," not in one or self._stac.capabilities().method == "POST"}
            for one in sorted(batch - listed):
                yield from self._look_up_one(one, warn)
            # An answer may be cut, so the missing ids are asked for again until none of them is found.
            found = bool(listed)
            while found and listed:
                found = False
                body: Body = {"collections": list(self._collections), "ids": sorted(listed)}
                for _, scene in self._scenes(self._pages(body), warn):
                    if scene.id in listed:
                        listed.discard(scene.id)
                        found = True
                        yield scene

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the present link to a file, signed or with the token if its host may see it.

        Raises:
            ArchiveError: The file is not online, or every link is refused.
        """
        wanted = file or scene.files[0]
        url = wanted.url
        if not scene.online or url is None:
            raise not_online(scene)
        if url.startswith(SCHEME):
            return self._in_bucket(scene, wanted, url, refused)
        if refused is not None:
            url = self._current_link(scene, url)
        link, headers = self._access.link(url, refused)
        located = Download(
            url=link,
            headers=headers,
            size=wanted.size,
            digest=wanted.digest,
            trusted_hosts=self._access.trusted_hosts,
            reach=self._reach,
            connections=self.connections,
        )
        if refused is not None and (located.url, dict(located.headers)) == (refused.url, dict(refused.headers)):
            raise ArchiveError(
                f"the catalogue has no link to it except {redact.shorten(url, 120)}; {self._access.advice(url)}"
            )
        return located

    def _in_bucket(self, scene: Scene, file: RemoteFile, url: str, refused: Download | None) -> Download:
        if self._buckets is None:
            raise ArchiveError(f"{url} is in a bucket, and the manifest's table of the archive has no `s3`")
        return Download(
            url=self._buckets.link(url, place_of(scene.extra, file.key), pays=scene.requester_pays, refused=refused),
            size=file.size,
            digest=file.digest,
            reach=self._reach,
            connections=self.connections,
            requests_per_minute=self._requests_per_minute,
        )

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _find_static_catalogue(self) -> StaticCatalogue | None:
        """Return the catalogue at the URL; None if it is an API. The first call asks the server."""
        with self._lock:
            if not self._is_known:
                if is_parquet(self._url) or not self._stac.has_search(is_catalogue):
                    self._files = StaticCatalogue(self._url, self._api, self._access, cache_of(self._url))
                self._is_known = True
            return self._files

    def _scenes_of_files(
        self, catalogue: StaticCatalogue, warn: Warn, area: dict[str, Any] | None = None
    ) -> Iterator[tuple[dict[str, Any], Scene]]:
        """Yield the scenes of a static catalogue whose boxes meet that of an area."""
        box = None if area is None else bounds(area)
        pages: Iterator[Page] = (
            {"features": [one.item], "base": one.base, "within": one.within}
            for one in catalogue.items()
            if _may_meet(one.item, box)
        )
        yield from self._scenes(pages, warn)
        if catalogue.gone:
            warn(f"the catalogue links to {count(catalogue.gone, 'item')} that it does not have")

    def _scenes(self, pages: Iterator[Page], warn: Warn) -> Iterator[tuple[dict[str, Any], Scene]]:
        seen: dict[str, Any] = {}
        report = once(warn)
        for page in pages:
            for feature in page["features"]:
                read = self._read(feature, warn, report, page.get("base"))
                if read is None:
                    continue
                item, scene = read
                named = item.get("collection")
                collection = named if isinstance(named, str) else None
                # Some servers ignore the collections. In a static catalogue, one may be in another.
                names = {collection, *page.get("within", ())} - {None}
                if self._collections and names and names.isdisjoint(self._collections):
                    continue
                if scene.id not in seen:
                    seen[scene.id] = collection
                    yield read
                elif seen[scene.id] != collection:
                    warn(
                        f"{scene.id!r}: is in the collections {seen[scene.id]} and {collection}; the scene of "
                        f"{collection} is left out: add an archive for each collection"
                    )

    def _read(
        self, feature: Any, warn: Warn, report: Reporter, base: str | None = None
    ) -> tuple[dict[str, Any], Scene] | None:
        try:
            item = with_links(item_of(feature), self._rewrite)
        except UnusableError as error:
            shown = feature.get("id") if isinstance(feature, dict) else None
            warn(f"an item was left out because {error}: {redact.shorten(str(shown or feature), 120)}")
            return None
        return item, scene_of_item(
            item, base or self._address(item), self._assets, lambda sentence: report(item["id"], sentence), self._s3
        )

    def _address(self, item: dict[str, Any]) -> str:
        return f"{self._url.rstrip('/')}/collections/{item.get('collection')}/items/{item['id']}"

    def _pages(self, body: Body) -> Iterator[Page]:
        """Yield the pages of a search that nothing splits."""
        walk = yield from self._stac.walk(body)
        if walk.problem is not None:
            raise walk.problem

    def _look_up_one(self, item_id: str, warn: Warn) -> Iterator[Scene]:
        for collection in self._collections:
            feature = self._stac.item(collection, item_id)
            read = None if feature is None else self._read(feature, warn, once(warn))
            if read is not None:
                yield read[1]
                return

    def _current_link(self, scene: Scene, url: str) -> str:
        """Return the present link of a file in the catalogue: the catalogue's own signature may have expired."""
        stable = urlsplit(url)._replace(query="")
        if self._find_static_catalogue() is not None:
            # It would have to be read whole, and files have no signatures that expire.
            return url
        try:
            for now in self.look_up([scene.id], warn=lambda _: None):
                links = [asset.url for asset in now.assets if asset.url is not None]
                return next((link for link in links if urlsplit(link)._replace(query="") == stable), url)
        except ArchiveError:
            pass
        return url


def _may_meet(item: dict[str, Any], box: tuple[float, float, float, float] | None) -> bool:
    """Return whether the box of an item meets another one; items without a box may."""
    own = bbox_of(item)
    if box is None or own is None:
        return True
    west, south, east, north = own
    if south > box[3] or north < box[1]:
        return False
    # West is greater than east over the antimeridian.
    return bool(west > east or (west <= box[2] and east >= box[0]))


def _clouds(query: Query) -> tuple[Condition, ...]:
    """Return the condition for clouds; scenes without a value match."""
    if query.max_cloud_cover is None or query.sensor == "sar":
        return ()
    return (Condition(_CLOUD, "lte", query.max_cloud_cover, or_absent=True),)


def _polygon(wkt: str) -> dict[str, Any]:
    """Convert a POLYGON without holes from WKT to GeoJSON."""
    rings = wkt[wkt.index("(") + 1 : wkt.rindex(")")]
    positions = rings.strip().strip("()").split(",")
    return {"type": "Polygon", "coordinates": [[[float(x) for x in position.split()] for position in positions]]}


def open_archive(opening: "Opening") -> StacArchive:
    """Open the archive that a manifest describes.

    Raises:
        AuthenticationError: It needs a token or a password, and there is none.
    """
    config = cast(StacConfig, opening.config)
    url = config.url
    # The manifest itself names where links are signed and where to log in.
    signer = urlsplit(config.sign_url or config.login_url or "").hostname
    servers = s3_hosts(config.s3) if config.s3 is not None else ()
    further = (*config.trusted_hosts, *filter(None, (signer,)), *servers)
    api = api_for(opening.transfer, Reach(api=url, trusted_hosts=further))

    def account(variables: Variables, entries: Iterable[str] = ()) -> Callable[[str], Credentials]:
        return lambda host: credentials.find(host, prompt=opening.prompt, variables=variables, entries=entries)

    access: _access.Access
    match config.auth:
        case "bearer":
            access = _access.bearer(opening.key, url, config.trusted_hosts)
        case "basic":
            access = _access.basic(opening.credentials(), url, config.trusted_hosts)
        case "planetary-computer":
            access = _access.PlanetaryComputer(api, config.sign_url or SIGN_URL, config.trusted_hosts, opening.clock)
        case "cdse":
            login = config.login_url or cdse.LOGIN_URL
            find = account(cdse.VARIABLES, cdse.netrc_entries(login, login))
            trusted = (*cdse.TRUSTED_HOSTS, *config.trusted_hosts)
            access = cdse_login(api, find, login, trusted, prompt=opening.prompt)
        case "earthdata":
            login = config.login_url or EARTHDATA_LOGIN
            access = earthdata_login(api, account(EARTHDATA_ACCOUNT), config.trusted_hosts, login)
        case "none":
            access = _access.Header(None, url)
    hosts = (urlsplit(one).hostname or "" for one in (url, config.s3.endpoint if config.s3 else None) if one)
    in_cdse = config.s3 is not None and any(matches_any(host, cdse.TRUSTED_HOSTS) for host in hosts)
    return StacArchive(
        url,
        config.collections,
        assets=config.assets,
        rewrite=config.rewrite,
        access=access,
        api=api,
        trusted_hosts=config.trusted_hosts,
        connections=CDSE_CONNECTIONS if config.auth == "cdse" or in_cdse else None,
        requests_per_minute=REQUESTS_PER_MINUTE if in_cdse else None,
        s3=config.s3,
        clock=opening.clock,
    )
