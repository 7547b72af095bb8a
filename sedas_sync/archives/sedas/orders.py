"""Orders from the service's long-term archive."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal
from urllib.parse import quote

from msgspec.structs import replace

from sedas_sync.archives.sedas.answers import as_list
from sedas_sync.archives.sedas.client import IsFinal, SedasClient
from sedas_sync.archives.sedas.id_lists import SERVER_ERROR, IdLists, batches, id_list
from sedas_sync.errors import ArchiveError
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.scene import Scene
from sedas_sync.net import redact, session

_FAILED_WORDS = frozenset({"FAILED", "CANCELLED", "REJECTED", "ERROR", "EXPIRED"})
_NOT_READY = "No enum constant"
_QUOTA_WORDS = ("quota", "too many requests", "limit exceeded", "limit reached")
_NOT_FOUND, _TOO_MANY = 404, 429
_WHAT = "a request for the state of orders"


class SedasOrders:
    """Places and polls orders; see `sedas_sync.archives.protocol.Orders`.

    Args:
        client: Sends requests.
        identity: The archive's identity, for new orders.
    """

    def __init__(self, client: SedasClient, identity: str) -> None:
        self._client = client
        self._identity = identity
        self._path: Literal["request", "/request"] | None = None
        """None while it is not known which one the service has."""
        self._lists: IdLists[dict[str, Any]] = IdLists(self._request_states, self._elements, _number, self._poll_one)
        self._latest: dict[str, Order] = {}
        """The last known order of each scene. Only it can renew its link."""

    def place(self, scene: Scene | str) -> Order:
        """Order a scene. The request is not repeated if it is not known whether the service accepted it."""
        scene_id = scene.id if isinstance(scene, Scene) else scene
        what = f"the order of {scene_id}"
        reply = self._call("POST", f"/{quote(scene_id, safe='')}", what, repeat=False)
        if not reply.ok:
            raise _refusal(reply, what)
        answer = reply.json(what)
        number = answer.get("requestId") if isinstance(answer, dict) else None
        if isinstance(number, bool) or not isinstance(number, str | int) or number == "":
            if isinstance(answer, dict) and answer.get("errorCode"):
                raise _refusal(reply, what)
            raise ArchiveError(f"the archive answered {what} without a requestId")
        order = Order(order=str(number), id=scene_id, placed=self._client.now(), archive=self._identity)
        self._latest[scene_id] = order
        return order

    @property
    def known(self) -> tuple[Order, ...]:
        """The latest order of each scene that this object has placed or polled."""
        return tuple(self._latest.values())

    def poll(self, orders: Iterable[Order]) -> Iterator[Order]:
        """Request the state of orders, many in one call, and one by one those that the answer lacks."""
        by_number = {order.order: order for order in orders}
        for batch in batches(list(by_number)):
            missing = dict.fromkeys(batch)
            for number, element in self._lists.elements(batch):
                if number is not None:
                    del missing[number]
                    yield self._updated(by_number[number], element)
            for number in missing:
                yield self._updated(by_number[number], None)

    def new_link(self, scene: Scene) -> str | None:
        """Request a new link from the order that gave the scene's link; None if no order did, or it has none."""
        order = self._latest.get(scene.id)
        if order is None or order.download_url != scene.download_url:
            return None
        element = self._poll_one(order.order)
        link = element.get("downloadUrl") if element is not None else None
        return link if isinstance(link, str) and link else None

    def _updated(self, order: Order, element: dict[str, Any] | None) -> Order:
        order = _with_state(order, element)
        self._latest[order.id] = order
        return order

    def _poll_one(self, number: str) -> dict[str, Any] | None:
        """Return the state of one order; None if the answer does not contain it."""
        reply = self._request_states([number])
        if _not_ready(reply):
            return {}
        if reply.status == _NOT_FOUND and self._path is not None:
            return None
        objects: list[dict[str, Any]] = [one for one in self._elements(reply) if isinstance(one, dict)]
        for element in objects:
            if _number(element) == number:
                return element
        return objects[0] if len(objects) == 1 and _number(objects[0]) is None else None

    def _elements(self, reply: session.Reply) -> list[Any]:
        return as_list(self._client.answer(reply, _WHAT), _WHAT)

    def _request_states(self, numbers: Collection[str]) -> session.Reply:
        single = len(numbers) == 1

        def final(reply: session.Reply) -> bool:
            return _not_ready(reply) or (not single and reply.status == SERVER_ERROR)

        return self._call("GET", f"?ids={id_list(numbers)}", _WHAT, final=final)

    def _call(
        self, method: str, rest: str, what: str, *, repeat: bool = True, final: IsFinal | None = None
    ) -> session.Reply:
        """Call `request`. If it does not exist, call `/request`, with the double slash of the original client."""
        if self._path is not None:
            return self._client.call(method, self._path + rest, what, repeat=repeat, final=final)
        reply = self._client.call(method, "request" + rest, what, repeat=repeat, final=final)
        if reply.status != _NOT_FOUND:
            self._path = "request"
            return reply
        other = self._client.call(method, "/request" + rest, what, repeat=repeat, final=final)
        if other.status == _NOT_FOUND:
            return reply
        self._path = "/request"
        return other


def _not_ready(reply: session.Reply) -> bool:
    """Return whether a reply is a bug of the service while an order is in progress (geocento/SEDAS-issues 6)."""
    return reply.status == SERVER_ERROR and reply.says(_NOT_READY)


def _refusal(reply: session.Reply, what: str) -> ArchiveError:
    error = reply.error(what)
    quota = reply.status == _TOO_MANY or error.retry_after is not None or any(map(reply.says, _QUOTA_WORDS))
    if not quota:
        return error
    return ArchiveError(str(error), status=_TOO_MANY, retryable=True, retry_after=error.retry_after)


def _number(element: object) -> str | None:
    if not isinstance(element, dict):
        return None
    for key in ("requestId", "id"):
        value = element.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            return str(value)
    return None


def _with_state(order: Order, element: dict[str, Any] | None) -> Order:
    """Update an order from its element of an answer; None means that the answer does not contain it."""
    if element is None:
        return replace(order, polls=order.polls + 1, missing=order.missing + 1)
    words = (element.get(key) for key in ("status", "state"))
    word = next((word for word in words if isinstance(word, str) and word), None)
    url = element.get("downloadUrl")
    ready = isinstance(url, str) and bool(url)
    failed = word is not None and word.strip().upper() in _FAILED_WORDS
    return replace(
        order,
        polls=order.polls + 1,
        missing=0,
        state=OrderState.READY if ready else OrderState.FAILED if failed else OrderState.PENDING,
        download_url=url if ready else None,
        detail=redact.shorten(word, 80) if word is not None else order.detail,
    )
