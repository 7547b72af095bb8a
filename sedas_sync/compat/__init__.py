"""`SeDASAPI` and `SeDASBulkDownload` with the methods of `sedas_pyapi` 0.5.0, on top of this package.

A script of the original client changes its two imports to::

    from sedas_sync.compat import SeDASAPI, SeDASBulkDownload

It gets what this package adds: searches that are complete or fail, one login while a token is valid, one order per
scene, downloads that resume and are checked, timeouts, and a bulk download that can be shut down. Errors are those of
`sedas_sync.errors`, not `urllib.error.HTTPError`.
"""

import queue
import shutil
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

from sedas_sync.archives.sedas.archive import SedasArchive
from sedas_sync.archives.sedas.kind import LIVE_URL
from sedas_sync.archives.sedas.rows import to_scene
from sedas_sync.errors import SedasSyncError, StoppedError, TransferError
from sedas_sync.files.threads import DaemonThread
from sedas_sync.model.arguments import Jobs, checked
from sedas_sync.model.events import Event, Failed
from sedas_sync.model.order import Order, OrderState
from sedas_sync.net.redact import logger_of
from sedas_sync.operations.fetch import fetch

__all__ = ["SeDASAPI", "SeDASBulkDownload"]

_LOG = logger_of(__name__)
_TEST_URL = "https://geobrowsertest.satapps.org/api/"
_POLL = 5.0
"""Seconds between polls of orders, as in the original client."""

Product = dict[str, Any]
"""A product as the service lists it: `supplierId`, `downloadUrl` if it is online, and so on."""


class SeDASAPI:
    """The service for one account. `base_url` may be set before the first call, on the class or on an object.

    Args:
        username: The account's name.
        password: Its password.
    """

    base_url = LIVE_URL

    @checked
    def __init__(self, username: str, password: str) -> None:
        self._username = username
        self._password = password
        self._archive: SedasArchive | None = None

    @property
    def archive(self) -> SedasArchive:
        """The archive of this package that does the work."""
        if self._archive is None:
            self._archive = SedasArchive(self.base_url, username=self._username, password=self._password)
        return self._archive

    def switch_to_dev(self) -> None:
        """Use the service's test system from now on."""
        self.base_url, self._archive = _TEST_URL, None

    def login(self) -> None:
        """Check the account. Every other method logs in by itself.

        Raises:
            AuthenticationError: The service refuses the account.
        """
        self.archive.log_in()

    def search(
        self,
        wkt: str,
        start_date: str,
        end_date: str,
        sensor: str = "All",
        retry: bool = True,
        satellite_name: str = "",
        source_group: str = "",
        **filters: Any,
    ) -> dict[str, list[Product]]:
        """Return all products over an area whose acquisition starts in a period, as `{"products": [...]}`.

        Args:
            wkt: The area, one POLYGON in degrees.
            start_date: The earliest start, ISO 8601, UTC.
            end_date: The latest start.
            sensor: `All`, `SAR` or `Optical`.
            retry: Has no effect.
            satellite_name: e.g. `Sentinel-1A`.
            source_group: e.g. `S2`.
            **filters: The service's own, e.g. `maxCloudPercent=50`.

        Raises:
            ValueError: The area, a time or the sensor is not valid.
            IncompleteSearch: Some products may be missing.
            ArchiveError: The search failed.
        """
        rows = self.archive.rows(
            wkt,
            start_date,
            end_date,
            sensor=sensor,
            satellite=satellite_name or None,
            source_group=source_group or None,
            filters=filters,
        )
        return {"products": list(rows)}

    def search_sar(self, wkt: str, start_date: str, end_date: str, **options: Any) -> dict[str, list[Product]]:
        """Search radar products; see `search`."""
        return self.search(wkt, start_date, end_date, "SAR", **options)

    def search_optical(self, wkt: str, start_date: str, end_date: str, **options: Any) -> dict[str, list[Product]]:
        """Search optical products; see `search`."""
        return self.search(wkt, start_date, end_date, "Optical", **options)

    def search_product(self, product_id: str, retry: bool = True) -> list[Product]:
        """Return the product with an id, as a list of one; an empty list if the service does not know it."""
        return self.archive.product_rows([product_id])

    def list_sensor_groups(self, retry: bool = True) -> list[Product]:
        """Return the source groups that the account may search."""
        return [{"name": group.name, **group.extra} for group in self.archive.source_groups()]

    def list_satellites(self, retry: bool = True) -> list[Product]:
        """Return the satellites that the account may search."""
        return [{"name": satellite.name, **satellite.extra} for satellite in self.archive.satellites()]

    def download(self, product: Mapping[str, Any], output_path: str, retry: bool = True) -> None:
        """Download an online product to a file. An interrupted download resumes when it is called again.

        Raises:
            AttributeError: The product has no `downloadUrl`; it has to be requested first.
            TransferError: The download failed.
        """
        if not product.get("downloadUrl"):
            raise AttributeError("no download url defined for product")
        folder = Path(f"{output_path}.download")
        (done,) = fetch([to_scene(dict(product))], folder, archive=self.archive, jobs=1)
        done.path.replace(output_path)
        shutil.rmtree(folder)

    def download_request(self, product: Mapping[str, Any], retry: bool = True) -> IO[bytes]:
        """Download an online product to a temporary file and return it, open for reading; the file has no name."""
        with TemporaryDirectory() as folder:
            self.download(product, f"{folder}/product")
            return Path(folder, "product").open("rb")

    def request(self, product: Mapping[str, Any], retry: bool = True) -> str:
        """Order a product from the long-term archive and return the request's id.

        A product that this object has ordered is not ordered again, unless that order failed.
        """
        return self._order(product["supplierId"]).order

    def _order(self, scene_id: str) -> Order:
        for order in self.archive.known_orders:
            if order.id == scene_id and order.state is not OrderState.FAILED:
                return order
        return self.archive.order(scene_id)

    def is_request_ready(self, request_id: str, retry: bool = True) -> str | None:
        """Return the link of a request that is complete, else None."""
        (order,) = self.archive.order_status([str(request_id)])
        return order.download_url


class SeDASBulkDownload:
    """Downloads products into a folder in the background; orders those of the long-term archive.

    The folder keeps what is needed to resume. Products that it already has are reported as done at once.

    Args:
        sedas_client: The service.
        download_prefix: The folder; files are named `<supplierId>.zip`.
        parallel: Concurrent downloads.
        done_queue: Receives `{"search": product, "path": path}` for each product that is complete; the same with the
            key `error` for each that failed.
    """

    @checked
    def __init__(
        self,
        sedas_client: SeDASAPI,
        download_prefix: str,
        parallel: Jobs = 2,
        done_queue: "queue.Queue[dict[str, Any]] | None" = None,
    ) -> None:
        self.failures: dict[str, str] = {}
        """Products that failed after all retries, with their errors, by `supplierId`."""
        self._client = sedas_client
        self._prefix = download_prefix
        self._parallel = parallel
        self._done_queue = done_queue
        self._lock = threading.Lock()
        self._pending: dict[str, Product] = {}
        self._work = threading.Event()
        self._stop = threading.Event()
        self._thread: DaemonThread | None = None
        self.start()

    def start(self) -> None:
        """Start the background thread; the constructor calls it."""
        if self._thread is not None:
            raise ChildProcessError("already started the downloader")
        self._thread = DaemonThread(self._run)

    def add(self, search_results: Iterable[Product]) -> None:
        """Download these products, from `SeDASAPI.search` or `search_product`."""
        with self._lock:
            self._pending |= {product["supplierId"]: product for product in search_results}
        self._work.set()

    def is_done(self) -> bool:
        """Return whether every product that was added is complete or has failed, and `done_queue` has been emptied.

        So a script that takes one result after the other until this is true gets all of them, and never waits for one
        that does not come.
        """
        with self._lock:
            return not self._pending and (self._done_queue is None or self._done_queue.empty())

    def shutdown(self) -> None:
        """Stop within about a second. What is not complete resumes when it is added to another bulk download."""
        self._stop.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._work.wait(_POLL if self._pending else None)
            self._work.clear()
            with self._lock:
                products = list(self._pending.values())
            if not products or self._stop.is_set():
                continue
            try:
                self._download(products)
            except StoppedError:
                return
            except TransferError:
                _LOG.debug("some products failed", exc_info=True)  # `_failed` has reported each
            except SedasSyncError as error:
                for product in products:
                    _LOG.error("failed: %s: %s", product["supplierId"], error)
                    self._failed(product["supplierId"], str(error))

    def _download(self, products: Iterable[Product]) -> None:
        def on_event(event: Event) -> None:
            if isinstance(event, Failed):
                self._failed(event.id, event.error)

        scenes = [to_scene(product) for product in products]
        # Without waiting for orders, so that products which are added later need not wait for them either.
        for done in fetch(
            scenes,
            self._prefix,
            archive=self._client.archive,
            jobs=self._parallel,
            wait=False,
            stop=self._stop,
            on_event=on_event,
        ):
            self._finish(done.scene.id, {})

    def _failed(self, scene_id: str, error: str) -> None:
        self.failures[scene_id] = error
        self._finish(scene_id, {"error": error})

    def _finish(self, scene_id: str, more: Mapping[str, str]) -> None:
        with self._lock:
            product = self._pending.pop(scene_id, None)
            if product is not None and self._done_queue is not None:
                path = str(Path(self._prefix, f"{scene_id}.zip"))
                self._done_queue.put({"search": product, "path": path, **more})
