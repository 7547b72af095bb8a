"""A type of archive for sedas-sync: a ground station that keeps old scenes on tape.

Its API, which is made up, has a login with tokens, searches with pages, and orders:

- `POST login` with `user` and `password` returns `token`.
- `GET scenes?from=TIME&to=TIME&page=N` returns `scenes`, and `next`, the number of the next page or null.
- `GET scenes/ID` returns one scene: `id`, `start` (ISO 8601), `footprint` (WKT), `on_disk`, and `files`, each with
  `name`, `size` (bytes) and `sha256`.
- `POST orders` with `scene` returns `order`; status 429 if the quota is used up.
- `GET orders?ids=ID,ID` returns `orders`, each with `order`, `state` (`queued`, `done`, `failed`) and `message`.
- `GET files/ID/NAME` returns the bytes of a file that is on disk.
"""

import json
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, cast
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from sedas_sync.archives.plugin import (
    ArchiveError,
    ArchiveType,
    AuthenticationError,
    Download,
    IncompleteSearch,
    Opening,
    Order,
    OrderState,
    Query,
    RemoteFile,
    Scene,
    Variables,
    Warn,
    WebArchiveConfig,
    replace,
)

_STATES = {"queued": OrderState.PENDING, "done": OrderState.READY, "failed": OrderState.FAILED}
_UNAUTHORIZED, _NOT_FOUND, _SERVER_ERRORS = 401, 404, 500


class Client:
    """Sends requests with the token, and tries again after errors that may pass."""

    def __init__(self, url: str, user: str, password: str, *, retries: int, timeout: float) -> None:
        self.url = url.rstrip("/")
        self.stopped = threading.Event()
        self._account = {"user": user, "password": password}
        self._retries, self._timeout = retries, timeout
        self._lock = threading.Lock()  # every method of an archive may be called from several threads
        self._token: str | None = None

    def token(self, refused: str | None = None) -> str:
        """Return a token; another one if this one was refused."""
        with self._lock:
            if self._token is None or self._token == refused:
                self._token = str(self._send("login", self._account, None)["token"])
            return self._token

    def call(self, path: str, body: dict[str, Any] | None = None, *, retry: bool = True) -> Any:
        token = self.token()
        try:
            return self._send(path, body, token, retry=retry)
        except AuthenticationError:  # the token has expired
            return self._send(path, body, self.token(refused=token), retry=retry)

    def _send(self, path: str, body: dict[str, Any] | None, token: str | None, *, retry: bool = True) -> Any:
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(self._retries + 1 if retry else 1):
            # `stop` ends the wait.
            if self.stopped.wait(min(2**attempt / 4, 30) if attempt else 0):
                raise ArchiveError("stopped")
            try:
                request = Request(f"{self.url}/{path}", data, headers)  # noqa: S310  # the manifest allows no other scheme
                with urlopen(request, timeout=self._timeout) as answer:  # noqa: S310
                    return json.load(answer)
            except HTTPError as error:
                error.close()
                if error.code == _UNAUTHORIZED:
                    raise AuthenticationError(f"{self.url} does not accept this account") from error
                wait = error.headers.get("Retry-After", "")
                failure = ArchiveError(
                    f"{self.url}/{path}: HTTP {error.code}",
                    status=error.code,
                    retry_after=float(wait) if wait.isdigit() else None,
                )
                if error.code < _SERVER_ERRORS:
                    raise failure from error
            except (URLError, OSError, ValueError) as error:
                failure = ArchiveError(f"{self.url}/{path}: {error}", retryable=True)
        raise failure


class GroundStation:
    """The archive: what `sedas_sync.archives.plugin.Archive` describes."""

    connections = 4
    """Downloads that the station allows an account at the same time."""

    def __init__(self, client: Client) -> None:
        self.identity = f"ground-station {client.url}"
        self.orders = StationOrders(client, self.identity)
        self._client = client

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        found = 0
        page: int | None = 1
        while page is not None:
            period = {"from": query.start.isoformat(), "to": query.stop.isoformat(), "page": page}
            try:
                answer = self._client.call(f"scenes?{urlencode(period)}")
            except ArchiveError as error:
                if not found:
                    raise
                raise IncompleteSearch(f"page {page} is missing, after {found} scenes: {error}") from error
            for row in answer["scenes"]:
                if not row["files"]:
                    warn(f"{row['id']}: the station lists no files, so it is left out")
                    continue
                found += 1
                yield self._scene(row)
            page = answer["next"]

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        del warn
        for scene_id in dict.fromkeys(ids):
            try:
                yield self._scene(self._client.call(f"scenes/{quote(scene_id, safe='')}"))
            except ArchiveError as error:
                if error.status != _NOT_FOUND:
                    raise

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        if file is None or file.url is None:
            raise ArchiveError(f"{scene.id} is not on disk")
        old = None if refused is None else refused.headers["Authorization"].removeprefix("Bearer ")
        headers = {"Authorization": f"Bearer {self._client.token(refused=old)}"}
        return Download(url=file.url, headers=headers, size=file.size, digest=file.digest)

    def stop(self) -> None:
        self._client.stopped.set()

    def close(self) -> None:
        self.stop()

    def _scene(self, row: dict[str, Any]) -> Scene:
        base = f"{self._client.url}/files/{quote(row['id'], safe='')}"
        files = tuple(
            RemoteFile(
                name=file["name"],
                url=f"{base}/{quote(file['name'])}" if row["on_disk"] else None,
                size=file["size"],
                digest=file["sha256"],
            )
            for file in row["files"]
        )
        return Scene(
            id=row["id"],
            start=datetime.fromisoformat(row["start"]),
            footprint=row["footprint"],
            size=sum(file["size"] for file in row["files"]),
            download_url=files[0].url,
            assets=files,
        )


class StationOrders:
    """Orders of scenes that are on tape."""

    def __init__(self, client: Client, identity: str) -> None:
        self._client = client
        self._identity = identity

    def place(self, scene: Scene) -> Order:
        # Not tried again: if the answer is lost, the order may exist, and a second one would cost twice.
        answer = self._client.call("orders", {"scene": scene.id}, retry=False)
        return Order(order=str(answer["order"]), id=scene.id, placed=datetime.now(UTC), archive=self._identity)

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        asked = list(orders)
        if not asked:
            return
        answer = self._client.call(f"orders?ids={','.join(quote(order.order, safe='') for order in asked)}")
        known = {str(row["order"]): row for row in answer["orders"]}
        for order in asked:
            row = known.get(order.order)
            if row is None:
                yield replace(order, polls=order.polls + 1, missing=order.missing + 1)
            else:
                state = _STATES.get(row["state"], OrderState.PENDING)
                yield replace(order, polls=order.polls + 1, missing=0, state=state, detail=row.get("message"))


def open_archive(opening: Opening) -> GroundStation:
    config, account = cast(WebArchiveConfig, opening.config), opening.credentials()
    transfer = opening.transfer
    client = Client(
        config.url, account.username, account.password, retries=transfer.retries, timeout=transfer.stall_timeout
    )
    return GroundStation(client)


TYPE = ArchiveType(
    name="ground-station",
    opener="sedas_sync_ground_station:open_archive",
    variables=Variables(("STATION_USERNAME", "STATION_PASSWORD"), host="STATION_HOST"),
)
