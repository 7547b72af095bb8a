"""Rows of the catalogue by id."""

from collections.abc import Iterable, Iterator
from typing import Any

from sedas_sync.archives.sedas.answers import as_list
from sedas_sync.archives.sedas.client import SedasClient
from sedas_sync.archives.sedas.id_lists import LIST_REFUSED, batches, id_list
from sedas_sync.archives.sedas.rows import id_of
from sedas_sync.files.threads import Pool

LOOKUPS_AT_ONCE = 4
_SERVER_ERROR = 500
_WHAT = "a look-up"


class ProductLookup:
    """Looks up rows, many in one call if the service accepts lists of ids.

    Only a single id in a call has been seen to work. So ids that are missing in the answer to a list are requested
    again until it is clear whether the service knows them.
    """

    def __init__(self, client: SedasClient) -> None:
        self._client = client
        self._takes_lists: bool | None = None
        """None while it is not known."""

    def rows(self, ids: Iterable[str]) -> Iterator[object]:
        """Yield the rows of the ids that the archive has, and rows that have no id."""
        wanted = list(dict.fromkeys(ids))
        # One batch after the other until one shows whether the service accepts lists.
        while self._takes_lists is None and len(wanted) > 1:
            batch = next(batches(wanted))
            yield from self._batch(batch)
            wanted = wanted[len(batch) :]
        rest = list(batches(wanted)) if self._takes_lists else [[one] for one in wanted]
        with Pool(LOOKUPS_AT_ONCE) as pool:
            try:
                for rows in pool.map(self._batch, rest):
                    yield from rows
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def row(self, scene_id: str) -> dict[str, Any] | None:
        """Return the row with an id; None if the archive does not have it."""
        for row in self._client.get_list(_path([scene_id]), _WHAT):
            if isinstance(row, dict) and _id_or_none(row) == scene_id:
                return row
        return None

    def _single(self, ids: list[str]) -> list[object]:
        return [row for one in ids if (row := self.row(one)) is not None]

    def _batch(self, batch: list[str]) -> list[object]:
        if len(batch) == 1 or self._takes_lists is False:
            return self._single(batch)
        rows = self._list(batch)
        if rows is None:
            return self._single(batch)
        asked = set(batch)
        found: dict[str, object] = {}
        unnamed: list[object] = []
        for row in rows:
            name = _id_or_none(row)
            if name is None:
                unnamed.append(row)
            elif name in asked:
                found.setdefault(name, row)
        if len(found) > 1:
            self._takes_lists = True
        missing = [one for one in batch if one not in found]
        return [*found.values(), *unnamed, *self._missing(missing, len(batch))]

    def _missing(self, missing: list[str], asked: int) -> list[object]:
        """Look up ids that the answer to a list left out.

        The service may not know them, may not accept lists, or may cut long lists.
        """
        if self._takes_lists is None:
            for position, one in enumerate(missing):
                row = self.row(one)
                if row is not None:
                    # The service knows this id although the list left it out, so it does not accept lists.
                    self._takes_lists = False
                    return [row, *self._single(missing[position + 1 :])]
            return []
        if not missing or len(missing) == asked:
            return []
        return self._batch(missing)

    def _list(self, batch: list[str]) -> list[Any] | None:
        """Request several rows; None if the service refuses a list."""
        reply = self._client.call("GET", _path(batch), _WHAT, final=lambda reply: reply.status == _SERVER_ERROR)
        if reply.status in LIST_REFUSED:
            return None
        return as_list(self._client.answer(reply, _WHAT), _WHAT)


def _path(ids: list[str]) -> str:
    return f"search/products?ids={id_list(ids)}"


def _id_or_none(row: object) -> str | None:
    try:
        return id_of(row)
    except ValueError:
        return None
