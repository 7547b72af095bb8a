"""Orders from a long-term archive. Frozen values, as in `sedas_sync.model.scene`."""

import json
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self

from msgspec.structs import replace

from sedas_sync.model.portable import Portable, may_be_secret, repr_without_secrets
from sedas_sync.model.scene import ArchiveIdentity, SceneId

MOST_DATA = 8192
"""Bytes. An order and its data fit into the room that the order journal reserves."""


class OrderState(StrEnum):
    """State of an order from the long-term archive.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            mirror.sync(wait=False)
            pending = [order.id for order in mirror.orders() if order.state is ss.OrderState.PENDING]
            print(pending)
    """

    PENDING = "pending"
    """The scene is not available yet."""
    READY = "ready"
    """It can be downloaded."""
    FAILED = "failed"
    """The archive does not deliver it; it may be ordered again."""


class Order(Portable, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """An order of a scene from the long-term archive. Its JSON can be collected by another process, days later.

    Example:
        import json

        import sedas_sync as ss

        area = "POLYGON ((-1.33 51.56, -1.30 51.56, -1.30 51.59, -1.33 51.59, -1.33 51.56))"
        with ss.SedasArchive.from_env() as sedas:
            scenes = list(sedas.search(area, "2019-05-01", "2019-05-12"))
            orders = [sedas.order(scene) for scene in scenes if not scene.online]
            for order in sedas.order_status(orders):
                print(order.order, order.id, order.state)
                assert ss.Order.from_json(json.dumps(order.to_json())).order == order.order
    """

    json_kind: ClassVar[str] = "order"
    order: str
    """The archive's id of the order, opaque."""
    id: SceneId
    """The scene."""
    placed: datetime
    """When it was placed, UTC."""
    archive: ArchiveIdentity = ""
    """The archive it was placed with."""
    state: OrderState = OrderState.PENDING
    """As the archive reported it last."""
    polls: int = 0
    """How often its state was requested."""
    attempts: int = 1
    """How often this scene has been ordered, including this order."""
    missing: int = 0
    """Consecutive answers that did not contain the order."""
    download_url: str | None = None
    """The link, once it is ready."""
    detail: str | None = None
    """The archive's own text for the state, if there is one."""
    data: str = ""
    """Text that an archive needs to poll the order, and gets back unchanged. At most `MOST_DATA` bytes as JSON, without
    secrets: the mirror's order journal and the order's JSON have it. Never shown or logged."""

    def __post_init__(self) -> None:
        if self.data and (size := len(json.dumps(self.data))) > MOST_DATA:
            raise ValueError(f"the data of an order has {size} bytes as JSON; {MOST_DATA} are allowed")

    def __repr__(self) -> str:
        # Schedulers and notebooks log values.
        return repr_without_secrets(replace(self, data="***") if self.data else self)

    def without_secrets(self) -> Self:
        """Return the order without a link that may contain a secret: the archive states it again."""
        return replace(self, download_url=None) if may_be_secret(self.download_url, self.id) else self


class ListedOrder(Order, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """An order with what the mirror knows of its scene."""

    wanted: bool = True
    """Whether a dataset wanted the scene at the last apply."""
    again: datetime | None = None
    """When the scene is ordered again, if its orders failed again and again."""

    @property
    def awaited(self) -> bool:
        """Whether a scene that is wanted is to come from this order."""
        return self.wanted and self.state is not OrderState.FAILED
