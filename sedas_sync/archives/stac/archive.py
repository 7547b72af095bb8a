"""A STAC API as an archive: searched, looked up by id, and its assets located."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from sedas_sync.archives.protocol import Orders, Warn
from sedas_sync.archives.stac import access as _access
from sedas_sync.archives.stac.api import Body, StacApi
from sedas_sync.archives.stac.filters import Condition, conditions
from sedas_sync.archives.stac.items import UnusableItemError, item_of, scene_of_item
from sedas_sync.archives.stac.kind import SIGN_URL
from sedas_sync.errors import ArchiveError
from sedas_sync.model.scene import Download, Query, Reach, Scene
from sedas_sync.net import session

if TYPE_CHECKING:
    from sedas_sync.archives.registry import Opening

LOOKED_UP_AT_ONCE = 100
"""Ids in one question."""
LATER = timedelta(days=1)
"""What an item's `datetime` may lie behind its `start_datetime`: servers compare the one or the other."""

_CLOUD = "eo:cloud_cover"


class StacArchive:
    """The items of some collections of a STAC API.

    Args:
        url: landing page of the API.
        collections: ids of the collections that are searched.
        assets: names or patterns of the assets that a scene is made of; all that are data where empty.
        access: how API and assets are asked; openly where None.
        api: connections, shared with `access` where that asks for tokens.
        trusted_hosts: hosts that links may lead to at loopback and private addresses, wherever the API is.
    """

    orders: Orders | None = None

    def __init__(
        self,
        url: str,
        collections: Sequence[str],
        *,
        assets: Sequence[str] = (),
        access: _access.Access | None = None,
        api: session.Api | None = None,
        trusted_hosts: Iterable[str] = (),
    ) -> None:
        self.identity = f"stac {url.rstrip('/')}/"
        self._collections = tuple(collections)
        self._assets = tuple(assets)
        self._access = access or _access.Header(None, url)
        self._reach = Reach(api=url, trusted_hosts=tuple(trusted_hosts))
        self._http = api or session.Api(reach=self._reach)
        self._stac = StacApi(url, self._http, self._access)
        self._url = url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def server_time(self) -> datetime | None:
        """What the server's clock shows now; None before its first answer."""
        return self._http.server_time

    def stop(self) -> None:
        """Make calls under way in other threads end early."""
        self._http.stop()

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    # -- asking ------------------------------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once; see `sedas_sync.archives.protocol.Archive`."""
        if query.stop < query.start:
            return
        wanted = conditions(query.filters)
        question: Body = {
            "collections": list(self._collections),
            "datetime": f"{_wire(query.start)}/{_wire(query.stop + LATER)}",
            "intersects": _polygon(query.aoi),
        }
        for item, scene in self._scenes(question, (*wanted, *_clouds(query)), warn):
            if scene.start is not None and not query.start <= scene.start <= query.stop:
                continue
            if all(one.holds(item["properties"]) for one in wanted):
                yield scene

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes of these ids that the archive knows; see `sedas_sync.archives.protocol.Archive`."""
        asked = list(dict.fromkeys(ids))
        for first in range(0, len(asked), LOOKED_UP_AT_ONCE):
            some = frozenset(asked[first : first + LOOKED_UP_AT_ONCE])
            plain = sorted(one for one in some if "," not in one or self._stac.abilities().method == "POST")
            if plain:
                question: Body = {"collections": list(self._collections), "ids": plain}
                for _, scene in self._scenes(question, (), warn):
                    if scene.id in some:
                        yield scene
            # A list in an address has commas between its ids.
            for one in sorted(some.difference(plain)):
                yield from self._one(one, warn)

    def locate(self, scene: Scene, *, refused: Download | None = None) -> Download:
        """Say where the bytes of a file are now, signed or with the token where its host may see it.

        Raises:
            ArchiveError: it is not online, cannot be asked for over https, or its link stays refused.
        """
        url = scene.download_url
        if url is None:
            raise ArchiveError(f"{scene.id} is not online")
        if urlsplit(url).scheme not in ("http", "https"):
            raise ArchiveError(
                f"{scene.id} is at {session.shorten(url, 120)}: only http and https URLs can be downloaded; "
                "choose other assets"
            )
        if refused is not None:
            url = self._fresh(scene, url)
        signed = self._access.sign(url, refused=refused is not None)
        located = Download(
            url=signed,
            headers=self._access.headers(signed),
            size=scene.size,
            digest=scene.digest,
            reach=self._reach,
        )
        if refused is not None and (located.url, dict(located.headers)) == (refused.url, dict(refused.headers)):
            raise ArchiveError(
                self._access.withholds(url) or f"the catalogue has no other link to it than {session.shorten(url, 120)}"
            )
        return located

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _scenes(
        self, question: Body, wanted: tuple[Condition, ...], warn: Warn
    ) -> Iterator[tuple[dict[str, Any], Scene]]:
        seen: dict[str, Any] = {}
        for page in self._stac.search(question, wanted):
            for feature in page["features"]:
                read = self._read(feature, warn)
                if read is None:
                    continue
                item, scene = read
                collection = item.get("collection")
                if self._collections and collection is not None and collection not in self._collections:
                    # A server that ignores what it was asked for makes a search slower, never wrong.
                    continue
                if scene.id not in seen:
                    seen[scene.id] = collection
                    yield read
                elif seen[scene.id] != collection:
                    warn(
                        f"{scene.id!r}: is in the collections {seen[scene.id]} and {collection}; that of {collection} "
                        "is left out: give each collection an archive of its own"
                    )

    def _read(self, feature: Any, warn: Warn) -> tuple[dict[str, Any], Scene] | None:
        try:
            item = item_of(feature)
            return item, scene_of_item(item, self._address(item), self._assets)
        except UnusableItemError as error:
            shown = feature.get("id") if isinstance(feature, dict) else None
            warn(f"an item was left out, {error}: {session.shorten(str(shown or feature), 120)}")
            return None

    def _address(self, item: dict[str, Any]) -> str:
        return f"{self._url.rstrip('/')}/collections/{item.get('collection')}/items/{item['id']}"

    def _one(self, item_id: str, warn: Warn) -> Iterator[Scene]:
        for collection in self._collections:
            feature = self._stac.item(collection, item_id)
            read = None if feature is None else self._read(feature, warn)
            if read is not None:
                yield read[1]
                return

    def _fresh(self, scene: Scene, url: str) -> str:
        """The link of a file as the catalogue has it now: one that is signed there may be over."""
        lasting = urlsplit(url)._replace(query="")
        try:
            for now in self.look_up([scene.id], warn=lambda _: None):
                links = [asset.url for asset in now.assets if asset.url is not None]
                return next((link for link in links if urlsplit(link)._replace(query="") == lasting), url)
        except ArchiveError:
            pass
        return url


def _clouds(query: Query) -> tuple[Condition, ...]:
    """A scene without a cloud figure stays, and so has to be let through by the server."""
    if query.max_cloud_cover is None or query.sensor == "sar":
        return ()
    return (Condition(_CLOUD, "lte", query.max_cloud_cover, or_absent=True),)


def _wire(when: datetime) -> str:
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _polygon(wkt: str) -> dict[str, Any]:
    """A plain POLYGON in WKT as GeoJSON."""
    rings = wkt[wkt.index("(") + 1 : wkt.rindex(")")]
    positions = rings.strip().strip("()").split(",")
    return {"type": "Polygon", "coordinates": [[[float(x) for x in position.split()] for position in positions]]}


def open_archive(opening: "Opening") -> StacArchive:
    """Open the archive that a manifest describes.

    Raises:
        AuthenticationError: it wants a token or a password, and there is none.
    """
    config, transfer = opening.config, opening.transfer
    url, options = config.url or "", config.options
    # The manifest itself names where links are signed.
    signer = urlsplit(options["sign_url"] or "").hostname
    api = session.Api(
        retries=transfer.retries,
        connect_timeout=transfer.connect_timeout,
        stall_timeout=transfer.stall_timeout,
        reach=Reach(api=url, trusted_hosts=(*config.trusted_hosts, *([signer] if signer else []))),
    )
    access: _access.Access
    if options["auth"] == "bearer":
        access = _access.bearer(opening.key, url, config.trusted_hosts)
    elif options["auth"] == "basic":
        access = _access.basic(opening.credentials(), url, config.trusted_hosts)
    elif options["auth"] == "planetary-computer":
        access = _access.PlanetaryComputer(api, options["sign_url"] or SIGN_URL, config.trusted_hosts, opening.clock)
    else:
        access = _access.Header(None, url)
    return StacArchive(
        url,
        options["collections"],
        assets=options["assets"],
        access=access,
        api=api,
        trusted_hosts=config.trusted_hosts,
    )
