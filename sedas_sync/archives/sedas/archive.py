"""SeDAS as an archive: search, look-up, orders and links of one account."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal, Self, cast
from urllib.parse import urlsplit

from msgspec import Meta

from sedas_sync.archives.lenient import row_text
from sedas_sync.archives.opening import Opening
from sedas_sync.archives.protocol import Orders, Warn
from sedas_sync.archives.sedas.client import SedasClient, checked_url
from sedas_sync.archives.sedas.kind import LIVE_URL, TRUSTED_HOSTS, SedasConfig
from sedas_sync.archives.sedas.links import SedasLinks
from sedas_sync.archives.sedas.lookup import ProductLookup
from sedas_sync.archives.sedas.orders import SedasOrders
from sedas_sync.archives.sedas.rows import scenes_of, to_scene, to_time
from sedas_sync.archives.sedas.search import SedasSearch
from sedas_sync.archives.shared_token import Login, TokenAccount
from sedas_sync.archives.web_archive import WebArchive
from sedas_sync.errors import ArchiveError
from sedas_sync.geometry import from_wkt
from sedas_sync.model.arguments import Seconds, checked, one_or_more
from sedas_sync.model.order import Order
from sedas_sync.model.satellites import SatelliteSource
from sedas_sync.model.scene import NOTHING, Download, Query, Reach, RemoteFile, Scene
from sedas_sync.net import credentials, redact, session
from sedas_sync.net.credentials import Credentials
from sedas_sync.net.policy import may_see_token

_NOT_FOUND = 404
_SENSORS: dict[str, Literal["all", "optical", "sar"]] = {"all": "all", "optical": "optical", "sar": "sar"}


class SedasArchive(WebArchive):
    """An archive with the API of SeDAS. Safe in many threads. Use it as a context manager to close it.

    Args:
        url: The API's address: https, or a loopback address.
        username: The account's name.
        password: Its password. It is never shown.
        trusted_hosts: Other hosts that get the token. By default those of the service if `url` is one of its hosts.
        credential_hosts: The only hosts that may see the credentials and their tokens, whatever `trusted_hosts` has;
            None if they may go to all of `trusted_hosts`.
        identity: Names the archive in an index; by default `sedas` and the address.
        retries: Retries of an API call after the first try.
        connect_timeout: Seconds to wait for a connection.
        stall_timeout: Seconds to wait for the next byte of an answer.
        now: Returns the current time, UTC.
        api: Sends requests, instead of a new `session.Api`.
        clock: Returns seconds on a clock that never goes back; tokens expire by it.

    Raises:
        ManifestError: `url` is not an http(s) address, or plain http to another machine.
        AuthenticationError: The user name or the password is empty.

    Example:
        import sedas_sync as ss

        area = "POLYGON ((-1.33 51.56, -1.30 51.56, -1.30 51.59, -1.33 51.59, -1.33 51.56))"
        with ss.SedasArchive.from_env() as sedas:
            cloudless = {"maxCloudPercent": 20}
            for scene in sedas.search(area, "2019-05-01", "2019-05-12", sensor="optical", filters=cloudless):
                print(scene.id, scene.start, scene.cloud_cover, scene.online)
    """

    identity: str
    """Names the archive in an index."""
    orders: Orders
    """Places and polls orders, for a run; `order` and `order_status` do the same for a script."""

    @checked
    def __init__(
        self,
        url: str = LIVE_URL,
        *,
        username: str,
        password: str,
        trusted_hosts: str | Iterable[str] | None = None,
        credential_hosts: tuple[str, ...] | None = None,
        identity: str | None = None,
        retries: Annotated[int, Meta(ge=0)] = 5,
        connect_timeout: Seconds = 10.0,
        stall_timeout: Seconds = 60.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        api: session.Api | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        url = checked_url(url)
        if trusted_hosts is None:
            trusted_hosts = TRUSTED_HOSTS if may_see_token(url, LIVE_URL, TRUSTED_HOSTS) else ()
        reach = Reach(api=url, trusted_hosts=one_or_more(trusted_hosts))
        api = api or session.Api(
            retries=retries, connect_timeout=connect_timeout, stall_timeout=stall_timeout, reach=reach
        )
        super().__init__(url, api)
        self.identity = identity or f"sedas {self._url}"
        self._client = SedasClient(self._url, username, password, self._api, now, clock)
        self._search = SedasSearch(self._client, cache(self._satellite_names))
        self._lookup = ProductLookup(self._client)
        self.orders = self._orders = SedasOrders(self._client, self.identity)
        known = Credentials(username, password, hosts=credential_hosts)
        account = TokenAccount(lambda: known, reach.trusted_hosts, credentials.VARIABLES.host)
        account.limit(known)
        login = Login(self._client.tokens, account, "the account", self._url, scheme="Token")
        self._links = SedasLinks(self._lookup, self._orders, reach=reach, login=login)

    @classmethod
    @checked
    def from_env(cls, url: str = LIVE_URL, *, prompt: bool = False, **options: Any) -> Self:
        """Make one with the credentials of the environment, netrc or the keyring (see `sedas_sync.net.credentials`).

        Those of the environment are for `*.satapps.org` and the hosts that `SEDAS_HOST` names. They and their tokens go
        to no other host, even if `trusted_hosts` names it.

        Args:
            url: The API's address: https, or a loopback address.
            prompt: Ask for credentials on the terminal if none are found elsewhere.
            **options: Other arguments of the class.

        Raises:
            AuthenticationError: There are no credentials for this host; the message says where they were looked for.
        """
        found = credentials.find(urlsplit(checked_url(url)).hostname or "", prompt=prompt)
        return cls(url, username=found.username, password=found.password, credential_hosts=found.hosts, **options)

    def log_in(self) -> None:
        """Check the credentials now; every other method logs in when it has to.

        Raises:
            AuthenticationError: The archive refused the credentials.
            ArchiveError: The archive did not answer.
        """
        self._client.tokens.current()

    # -- catalogue ---------------------------------------------------------------------------------------------------

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once; runs call this, scripts call `search`.

        Args:
            query: What to search for.
            warn: Takes a sentence about each row that cannot be used.

        Raises:
            IncompleteSearch: Some matches may be missing. The scenes that were found have been yielded.
            ArchiveError: The search failed.
            AuthenticationError: The archive refused the credentials.
        """
        try:
            yield from self._search.find(query, warn)
        except KeyboardInterrupt:
            # Threads of the search may wait for answers, and a notebook lives on.
            self.interrupt()
            raise

    @checked
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
        """Yield every scene over an area whose acquisition starts within [start, stop].

        Args:
            aoi_wkt: One plain POLYGON in degrees, longitude before latitude.
            start: The earliest start: ISO 8601 or a `datetime`; UTC if it has no zone.
            stop: The latest start, included.
            sensor: `all`, `optical` or `sar`, in any letter case.
            satellite: The name of a satellite, e.g. `Sentinel-1A`.
            source_group: The name of a source group, e.g. `S2`.
            filters: The archive's own filters, e.g. `{"maxCloudPercent": 50}`.
            warn: Takes a sentence about each row that cannot be used.

        Raises:
            ValueError: The area, a time or the sensor is not valid, or `stop` is before `start`.
            IncompleteSearch: Some matches may be missing. The scenes that were found have been yielded.
            ArchiveError: The search failed.
            AuthenticationError: The archive refused the credentials.
        """
        query = _query(aoi_wkt, start, stop, sensor, satellite, source_group, filters)
        return self.find(query, warn=warn)

    @checked
    def rows(
        self,
        aoi_wkt: str,
        start: str | datetime,
        stop: str | datetime,
        *,
        sensor: str = "all",
        satellite: str | None = None,
        source_group: str | None = None,
        filters: Mapping[str, Any] | None = None,
    ) -> Iterator[Any]:
        """Yield the rows of the service's answers, as JSON values; errors are those of `search`.

        Args:
            aoi_wkt: As in `search`, like the other arguments.
            start: The earliest start.
            stop: The latest start, included.
            sensor: `all`, `optical` or `sar`.
            satellite: The name of a satellite.
            source_group: The name of a source group.
            filters: The archive's own filters.
        """
        return self._search.rows(_query(aoi_wkt, start, stop, sensor, satellite, source_group, filters))

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids that are in the archive, in any order.

        Args:
            ids: The ids.
            warn: Takes a sentence about each row that cannot be used.

        Raises:
            ArchiveError: The look-up failed.
            AuthenticationError: The archive refused the credentials.
        """
        return scenes_of(self._lookup.rows(ids), warn)

    @checked
    def product(self, scene_id: str) -> Scene:
        """Look up one scene by its id.

        Args:
            scene_id: The id, which SeDAS calls `supplierId`.

        Raises:
            ArchiveError: It is not in the archive, or the look-up failed.
            AuthenticationError: The archive refused the credentials.
        """
        row = self._lookup.row(scene_id)
        if row is None:
            raise ArchiveError(f"{scene_id!r} is not in the archive", status=_NOT_FOUND)
        try:
            return to_scene(row)
        except ValueError as reason:
            raise ArchiveError(f"the archive's answer cannot be used: {reason}: {row_text(row)}") from None

    @checked
    def product_rows(self, ids: str | Iterable[str]) -> list[Any]:
        """Look up ids; return the rows of those that the archive has, as JSON values.

        Args:
            ids: One or more ids.

        Raises:
            ArchiveError: The look-up failed.
            AuthenticationError: The archive refused the credentials.
        """
        return list(self._lookup.rows(one_or_more(ids)))

    def satellites(self) -> list[SatelliteSource]:
        """List the satellites that the account may search."""
        return _sources(self._client, "sensors/satellites", "the list of satellites")

    def source_groups(self) -> list[SatelliteSource]:
        """List the source groups that the account may search."""
        return _sources(self._client, "sensors/sourceGroups", "the list of source groups")

    def _satellite_names(self) -> tuple[str, ...]:
        try:
            return tuple(satellite.name for satellite in self.satellites())
        except ArchiveError:
            return ()

    # -- orders and downloads ----------------------------------------------------------------------------------------

    @checked
    def order(self, scene: Scene | str) -> Order:
        """Order a scene from the long-term archive.

        Args:
            scene: The scene, or its id.

        Raises:
            ArchiveError: The order was refused, or it is not known whether it was accepted.
            AuthenticationError: The archive refused the credentials.
        """
        return self._orders.place(scene)

    @property
    def known_orders(self) -> tuple[Order, ...]:
        """The latest order of each scene that this object has placed or polled, with its last known state."""
        return self._orders.known

    @checked
    def order_status(self, orders: Order | str | Iterable[Order | str]) -> list[Order]:
        """Return orders with their current state, in the order given.

        Args:
            orders: One or more orders, or their ids as `Order.order` has them. An order that is given by an id which
                this object has not seen before lacks the id of its scene, because the service does not state it.

        Raises:
            ArchiveError: The request failed.
            AuthenticationError: The archive refused the credentials.
        """
        seen = {order.order: order for order in self._orders.known}
        asked = [
            seen.get(order) or Order(order=order, id="", placed=self._client.now(), archive=self.identity)
            if isinstance(order, str)
            else order
            for order in ([orders] if isinstance(orders, Order | str) else orders)
        ]
        polled = {order.order: order for order in self._orders.poll(asked)}
        return [polled[order.order] for order in asked]

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return the current link of an online scene, with the token if its host may see it.

        Args:
            scene: The scene.
            file: Has no effect: every scene is one file.
            refused: A link that the server refused; the result differs from it.

        Raises:
            ArchiveError: The scene is not online.
            AuthenticationError: The archive refused the credentials.
        """
        del file  # every scene is one file
        return self._links.locate(scene, refused)


def _sources(client: SedasClient, path: str, what: str) -> list[SatelliteSource]:
    sources: list[SatelliteSource] = []
    for element in client.get_list(path, what):
        fields = element if isinstance(element, dict) else {"name": element}
        name = fields.get("name")
        if isinstance(name, str) and name:
            rest = {key: fields[key] for key in fields if key != "name"}
            sources.append(SatelliteSource(name, rest or NOTHING))
    return sources


def _query(
    aoi_wkt: str,
    start: str | datetime,
    stop: str | datetime,
    sensor: str,
    satellite: str | None,
    source_group: str | None,
    filters: Mapping[str, Any] | None,
) -> Query:
    wanted = _SENSORS.get(sensor.strip().lower())
    if wanted is None:
        raise ValueError(f"sensor is {sensor!r}; it must be one of {', '.join(_SENSORS)}")
    query = Query(
        aoi=aoi_wkt,
        start=_time("start", start),
        stop=_time("stop", stop),
        sensor=wanted,
        satellite=satellite or None,
        source_group=source_group or None,
        filters=dict(filters or {}),
    )
    if query.stop < query.start:
        raise ValueError(f"stop ({stop}) is before start ({start})")
    try:
        from_wkt(aoi_wkt)
    except ValueError as reason:
        raise ValueError(f"the area {redact.shorten(aoi_wkt, 60)!r} cannot be searched: {reason}") from None
    return query


def _time(argument: str, value: str | datetime) -> datetime:
    try:
        return to_time(value)
    except ValueError:
        raise ValueError(f"{argument} is {value!r}; it must be ISO 8601, such as '2019-04-30T00:00:00Z'") from None


def open_archive(opening: Opening) -> SedasArchive:
    """Open the archive that a manifest describes.

    Raises:
        AuthenticationError: There are no credentials for it.
    """
    config = cast(SedasConfig, opening.config)
    found = opening.credentials()
    return SedasArchive(
        config.url,
        username=found.username,
        password=found.password,
        credential_hosts=found.hosts,
        trusted_hosts=config.trusted_hosts,
        retries=opening.transfer.retries,
        connect_timeout=opening.transfer.connect_timeout,
        stall_timeout=opening.transfer.stall_timeout,
        now=opening.clock,
    )
