"""Rows of the catalogue by id."""

from collections.abc import Iterable, Iterator
from typing import Any

from sedas_sync.archives.sedas.answers import as_list
from sedas_sync.archives.sedas.client import SedasClient
from sedas_sync.archives.sedas.id_lists import SERVER_ERROR, IdLists, batches, id_list
from sedas_sync.archives.sedas.rows import id_of
from sedas_sync.files.threads import Pool
from sedas_sync.net import session

LOOKUPS_AT_ONCE = 4
_WHAT = "a look-up"


class ProductLookup:
    """Looks up rows, many in one call if the service accepts lists of ids."""

    def __init__(self, client: SedasClient) -> None:
        self._client = client
        self._lists: IdLists[object] = IdLists(self._call, self._elements, _id_or_none, self.row)

    def rows(self, ids: Iterable[str]) -> Iterator[object]:
        """Yield the rows of the ids that the archive has, and rows that have no id."""
        wanted = list(dict.fromkeys(ids))
        # One batch after the other until one shows whether the service accepts lists.
        while self._lists.accepted is None and len(wanted) > 1:
            batch = next(batches(wanted))
            yield from self._batch(batch)
            wanted = wanted[len(batch) :]
        rest = list(batches(wanted)) if self._lists.accepted else [[one] for one in wanted]
        with Pool(LOOKUPS_AT_ONCE) as pool:
            try:
                for rows in pool.map(self._batch, rest):
                    yield from rows
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def row(self, scene_id: str) -> dict[str, Any] | None:
        """Return the row with an id; None if the archive does not have it."""
        for row in self._elements(self._call([scene_id])):
            if isinstance(row, dict) and _id_or_none(row) == scene_id:
                return row
        return None

    def _batch(self, batch: list[str]) -> list[object]:
        return [row for _, row in self._lists.elements(batch)]

    def _call(self, ids: list[str]) -> session.Reply:
        final = None if len(ids) == 1 else lambda reply: reply.status == SERVER_ERROR
        return self._client.call("GET", f"search/products?ids={id_list(ids)}", _WHAT, final=final)

    def _elements(self, reply: session.Reply) -> list[Any]:
        return as_list(self._client.answer(reply, _WHAT), _WHAT)


def _id_or_none(row: object) -> str | None:
    try:
        return id_of(row)
    except ValueError:
        return None
