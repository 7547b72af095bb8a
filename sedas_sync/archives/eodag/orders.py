"""Orders that eodag's plug-ins place.

An order's data are the properties of the product with which eodag asks for its state.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from eodag import EOProduct
from eodag.utils.exceptions import DownloadError
from msgspec.structs import replace

from sedas_sync.archives.eodag.products import ONLINE
from sedas_sync.archives.eodag.provider import Provider
from sedas_sync.errors import ArchiveError
from sedas_sync.model.order import MOST_DATA, Order, OrderState
from sedas_sync.model.scene import Scene

_KEPT = ("id", "title", "order:status", "eodag:order_link", "eodag:status_link", "eodag:search_link", "eodag:order_id")

_LINK = "eodag:order_link"
_LEAST_NEEDED = ("title", "eodag:order_id", "eodag:search_link")
"""Properties without which eodag still asks for the state of most orders."""


class EodagOrders:
    """Places and polls the orders of one provider.

    Args:
        provider: The provider.
        identity: The archive's identity.
        find: Returns the product with an id, as the catalogue lists it now; None if it does not.
    """

    def __init__(self, provider: Provider, identity: str, find: Callable[[str], EOProduct | None]) -> None:
        self._provider = provider
        self._identity = identity
        self._find = find

    def place(self, scene: Scene) -> Order:
        """Order a scene; see `Orders`."""
        product = self._find(scene.id)
        if product is None or not product.properties.get("eodag:order_link"):
            raise ArchiveError(f"{scene.id}: {self._provider.name} has no such scene to order any more")

        def order() -> None:
            # Not eodag's `order`: that asks for the state too, and an error there would lose the order.
            product.downloader._order(product=product, auth=_login(product))  # noqa: SLF001

        self._provider.ask(order, "an order")
        known = {name: product.properties[name] for name in _KEPT if name in product.properties}
        return Order(
            order=str(known.get("eodag:order_id") or scene.id),
            id=scene.id,
            placed=datetime.now(UTC),
            archive=self._identity,
            data=_data(known),
        )

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Yield each order with its state now; see `Orders`."""
        for order in orders:
            yield self._polled(replace(order, polls=order.polls + 1, missing=0))

    def _polled(self, order: Order) -> Order:
        known = json.loads(order.data) if order.data else {}
        if "eodag:status_link" not in known:
            # The catalogue states when it is online.
            product = self._find(order.id)
        else:
            product = self._provider.product(known)
            try:
                self._provider.ask(
                    lambda: product.downloader._order_status(product=product, auth=_login(product)),  # noqa: SLF001
                    "the state of an order",
                )
            except ArchiveError as error:
                if isinstance(error.__cause__, DownloadError) and error.__cause__.__cause__ is None:
                    # eodag raises this if the provider states that the order has failed.
                    return replace(order, state=OrderState.FAILED, detail=str(error))
                raise
        if product is None or product.properties.get("order:status") != ONLINE:
            return replace(order, state=OrderState.PENDING)
        return replace(order, state=OrderState.READY, download_url=product.remote_location)


def _data(known: dict[str, Any]) -> str:
    """Return an order's data; if they are too long, without what is needed least, and then the longest.

    The order has been placed, so an error would lose it. Without a link, the catalogue states when it is online.
    """
    if len(json.dumps(json.dumps(known, default=str))) > MOST_DATA and _LINK in known:
        # eodag chooses the login by its host; the rest is the request.
        known[_LINK] = str(known[_LINK]).partition("?")[0]
    for name in (*_LEAST_NEEDED, *sorted(known, key=lambda name: len(str(known[name])), reverse=True)):
        text = json.dumps(known, default=str)
        if len(json.dumps(text)) <= MOST_DATA:
            return text
        known.pop(name, None)
    return ""


def _login(product: EOProduct) -> Any:
    return None if product.downloader_auth is None else product.downloader_auth.authenticate()
