"""Providers that eodag knows as archives: searches, logins and orders are eodag's, downloads are ours.

eodag ends some searches early: it takes a page that is shorter than the one it asked for as the last one, and stops if
a page begins as the one before. Some providers count the products of a page, not those that match. So a search is
complete if its last page is shorter than another page and the provider's count, if there is one, is met. Otherwise it
is asked again in parts of its time; see `sedas_sync.archives.stac.whole_search`.
"""

import re
import threading
from collections.abc import Generator, Iterable, Iterator
from datetime import timedelta
from typing import Any, cast

from eodag import EOProduct

from sedas_sync.archives.eodag.kind import EodagConfig
from sedas_sync.archives.eodag.links import EodagLinks
from sedas_sync.archives.eodag.orders import EodagOrders
from sedas_sync.archives.eodag.products import scene_of
from sedas_sync.archives.eodag.provider import Provider
from sedas_sync.archives.lenient import once
from sedas_sync.archives.opening import Opening
from sedas_sync.archives.protocol import Orders, Warn
from sedas_sync.archives.stac import whole_search
from sedas_sync.archives.stac.api import FEW, End, Walk
from sedas_sync.archives.stac.whole_search import Page, Span
from sedas_sync.errors import ArchiveError, IncompleteSearch, StoppedError
from sedas_sync.model.scene import Download, Query, RemoteFile, Scene
from sedas_sync.model.text import product_id
from sedas_sync.model.times import to_iso

_MARGIN = timedelta(seconds=1)
"""Some providers leave out what begins or ends at the first or last moment of a search."""
_SEARCH = "a search"
_PLAIN_ID = re.compile(r"[\w.:+@~-]+")


class EodagArchive:
    """One product type of one provider.

    Args:
        provider: The provider.
        config: The manifest's table.
    """

    def __init__(self, provider: Provider, config: EodagConfig) -> None:
        self.identity = f"eodag {provider.name}"
        self._provider = provider
        self._config = config
        self._links = EodagLinks(provider, config)
        self._orders = EodagOrders(provider, self.identity, self._product) if provider.takes_orders else None
        self._longest = 0
        """Products of the longest page: no limit of the provider is lower."""
        self._lock = threading.Lock()

    @property
    def orders(self) -> Orders | None:
        """Places and polls orders with eodag's plug-ins; None if eodag cannot order from the provider."""
        return self._orders

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._provider.stopped.is_set()

    def stop(self) -> None:
        """Make running and later calls end early. A request of eodag that hangs is left behind."""
        self._provider.stopped.set()

    def close(self) -> None:
        """Stop the archive; eodag keeps nothing open."""
        self.stop()

    def find(self, query: Query, *, warn: Warn) -> Iterator[Scene]:
        """Yield all scenes that match, each once; see `Archive.find`."""
        if query.stop < query.start:
            return

        def ask(span: Span, limit: int | None) -> Generator[Page, None, Walk]:
            return self._walk(query, span, limit)

        seen: set[str] = set()
        report = once(warn)
        for page in whole_search.search(ask, Span(query.start, query.stop), self._fail):
            for product in page["products"]:
                scene = self._scene(product, report)
                if scene is None or scene.id in seen:
                    continue
                seen.add(scene.id)
                if scene.start is None or query.start <= scene.start <= query.stop:
                    yield scene

    def look_up(self, ids: Iterable[str], *, warn: Warn) -> Iterator[Scene]:
        """Yield the scenes with these ids; see `Archive.look_up`."""
        report = once(warn)
        for scene_id in dict.fromkeys(ids):
            # eodag puts an id into its requests as it is.
            product = self._product(scene_id) if _PLAIN_ID.fullmatch(scene_id) else None
            scene = None if product is None else self._scene(product, report)
            if scene is not None:
                yield scene

    def locate(self, scene: Scene, file: RemoteFile | None = None, *, refused: Download | None = None) -> Download:
        """Return a link with the login of eodag's plug-in; see `Archive.locate`."""
        return self._links.locate(scene, file or scene.files[0], refused)

    def _fail(self, _: str) -> None:
        # Nothing shows whether the number is an estimate, or the provider cuts its answers.
        raise IncompleteSearch(
            f"the search is incomplete: {self._provider.name} states that more scenes match than it sent, also when it "
            "was asked in parts of the time; use a smaller AOI or a narrower dataset"
        )

    # -- searches ------------------------------------------------------------------------------------------------------

    def _walk(self, query: Query, span: Span, limit: int | None) -> Generator[Page, None, Walk]:
        """Follow the pages of a search as far as eodag goes, and return whether that is the end."""
        provider, walk = self._provider, Walk()
        result = provider.ask(lambda: self._search(query, span, limit), _SEARCH)
        pages, last = result.next_page(update=False), len(result)
        page: list[EOProduct] | None = list(result)
        repeated = False
        while page and not repeated:
            last, known = len(page), len(walk.names)
            with self._lock:
                self._longest = max(self._longest, last)
            for product in page:
                walk.names.add((product.collection, str(product.properties["id"])))
                walk.times.append(str(product.properties.get("start_datetime") or product.properties.get("datetime")))
            yield {"products": page}
            # Otherwise a provider that repeats its pages would never end.
            repeated = len(walk.names) == known
            try:
                page = None if repeated else provider.ask(lambda: list(next(pages, ())), _SEARCH)
            except StoppedError:
                raise
            except ArchiveError as error:
                walk.problem, page = error, None
        walk.matched = _count(result.number_matched, len(walk.names))
        walk.end = End.SHORT if repeated else self._end(walk, last)
        return walk

    def _end(self, walk: Walk, last: int) -> End:
        if walk.problem is not None:
            return End.FULL
        if walk.matched is not None and len(walk.names) < walk.matched:
            return End.SHORT
        return End.COMPLETE if last < max(self._longest, FEW) else End.FULL

    def _search(self, query: Query, span: Span, limit: int | None) -> Any:
        provider = self._provider
        return provider.gateway.search(
            provider=provider.name,
            collection=provider.product_type,
            start=to_iso(span.start - _MARGIN),
            end=to_iso(span.stop + _MARGIN),
            geom=query.aoi,
            limit=limit,
            count=True,
            raise_errors=True,
            # That asks the provider for its filters, and only a filter of the manifest can be wrong.
            validate=bool(query.filters),
            **{name: list(value) if isinstance(value, tuple) else value for name, value in query.filters.items()},
        )

    def _product(self, scene_id: str) -> EOProduct | None:
        """Return the product with an id as the catalogue lists it now; None if it does not."""
        provider = self._provider

        def search() -> Any:
            return provider.gateway.search(
                provider=provider.name, collection=provider.product_type, id=scene_id, raise_errors=True
            )

        for product in provider.ask(search, "a look-up"):
            if product_id(str(product.properties["id"])) == scene_id:
                return cast(EOProduct, product)
        return None

    def _scene(self, product: EOProduct, report: Any) -> Scene | None:
        if product.properties.get("id") is None:
            return None
        self._provider.with_plugins(product)
        name = product_id(str(product.properties["id"]))
        return scene_of(
            product,
            self._provider.endpoint,
            self._config.assets,
            lambda sentence: report(name, sentence),
            pays=self._config.requester_pays,
        )


def _count(stated: object, sent: int) -> int | None:
    """Return how many products match, as the provider states it; None if that cannot be their number."""
    # Providers that count nothing, and some that find nothing, have no number or 0.
    return stated if isinstance(stated, int) and stated >= max(sent, 1) else None


def open_archive(opening: Opening) -> EodagArchive:
    """Open a provider of eodag.

    Raises:
        ManifestError: eodag does not know it, or it cannot be mirrored.
        AuthenticationError: eodag has no credentials for it, and needs them.
    """
    config = cast(EodagConfig, opening.config)
    return EodagArchive(Provider(config.provider, config.product_type), config)
