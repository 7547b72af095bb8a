"""Comma lists of ids in the query of a URL."""

from collections.abc import Iterable, Iterator
from urllib.parse import quote

MOST_IDS = 100
MOST_CHARACTERS = 6000
"""Limits of one list: well below the 8 KB that web servers accept as a request line."""
LIST_REFUSED = frozenset({400, 404, 405, 413, 414, 431, 500})
"""Statuses with which a service refuses a list of ids."""


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
