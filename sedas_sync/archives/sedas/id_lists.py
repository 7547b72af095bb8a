"""Calls that name several ids, which the service may or may not take.

Only a single id in a call has been seen to work. So ids that the answer to a list lacks are requested again until it is
clear whether the service knows them: it may not accept lists, or cut long ones.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from sedas_sync.net import session

MOST_IDS = 100
MOST_CHARACTERS = 6000
"""Limits of one list: well below the 8 KB that web servers accept as a request line."""
SERVER_ERROR = 500
_REFUSED = frozenset({400, 404, 405, 413, 414, 431, SERVER_ERROR})
"""Statuses with which a service refuses a list of ids."""

Element = TypeVar("Element")


class IdLists(Generic[Element]):
    """Requests elements by id, many in one call if the service accepts lists of ids.

    Args:
        call: Requests several ids.
        elements_of: Returns the elements of an answer.
        id_of: Returns the id of an element; None if it has none.
        ask_one: Requests one id; None if the service does not know it.
    """

    def __init__(
        self,
        call: Callable[[list[str]], session.Reply],
        elements_of: Callable[[session.Reply], list[Any]],
        id_of: Callable[[Any], str | None],
        ask_one: Callable[[str], Element | None],
    ) -> None:
        self._call = call
        self._elements_of = elements_of
        self._id_of = id_of
        self._ask_one = ask_one
        self.accepted: bool | None = None
        """Whether the service accepts lists; None while it is not known."""

    def elements(self, batch: list[str]) -> Iterator[tuple[str | None, Element]]:
        """Yield the ids of a batch that the service knows, each with its element; and its elements without an id."""
        reply = self._call(batch) if len(batch) > 1 and self.accepted is not False else None
        if reply is None or reply.status in _REFUSED:
            yield from self._one_by_one(batch, learn=reply is not None and reply.status != SERVER_ERROR)
            return
        found: set[str] = set()
        for element in self._elements_of(reply):
            name = self._id_of(element)
            if name is None or (name in batch and name not in found):
                yield name, element
            if name in batch:
                found.add(name)
        if len(found) > 1:
            self.accepted = True
        missing = [one for one in batch if one not in found]
        if self.accepted is None:
            yield from self._one_by_one(missing, learn=True)
        elif missing and found:
            yield from self.elements(missing)

    def _one_by_one(self, ids: Iterable[str], *, learn: bool) -> Iterator[tuple[str, Element]]:
        """Request ids in a call each. If the service knows one that a list left out, it does not accept lists."""
        for one in ids:
            if (element := self._ask_one(one)) is not None:
                self.accepted = False if learn else self.accepted
                yield one, element


def id_list(ids: Iterable[str]) -> str:
    """Return ids as the value of a query parameter."""
    return ",".join(quote(one, safe="") for one in ids)


def batches(ids: list[str]) -> Iterator[list[str]]:
    """Split ids into lists that fit into one call each."""
    batch: list[str] = []
    length = 0
    for one in ids:
        added = len(quote(one, safe="")) + 1
        if batch and (len(batch) == MOST_IDS or length + added > MOST_CHARACTERS):
            yield batch
            batch, length = [], 0
        batch.append(one)
        length += added
    if batch:
        yield batch
