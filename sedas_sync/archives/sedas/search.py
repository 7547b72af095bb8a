"""Searches of the catalogue that find every scene, or report that they did not."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from sedas_sync.archives.complete_search.cap_model import CapModel
from sedas_sync.archives.complete_search.search import complete
from sedas_sync.archives.complete_search.windows import Window
from sedas_sync.archives.protocol import Warn
from sedas_sync.archives.sedas.client import SedasClient
from sedas_sync.archives.sedas.query import search_body, seconds, seconds_up
from sedas_sync.archives.sedas.rows import scene_or_reason, usable
from sedas_sync.archives.sedas.windowed_query import WindowedQuery
from sedas_sync.errors import IncompleteSearch
from sedas_sync.model.scene import Query, Scene

QUERIES_AT_ONCE = 4

_NO_FILTERS: dict[str, Any] = {
    "max_cloud_cover": None,
    "product_type": None,
    "orbit_direction": None,
    "polarisation": (),
    "min_aoi_coverage": None,
}


class SedasSearch:
    """Searches the catalogue, and remembers what is known of the service's cap; see the package `complete_search`.

    Args:
        client: Sends requests.
        satellites: Returns the names of the satellites that the account may search.
    """

    def __init__(self, client: SedasClient, satellites: Callable[[], Iterable[str]]) -> None:
        self._client = client
        self._satellites = satellites
        self._models: dict[str, CapModel] = {}
        """By `WindowedQuery.restrictions`."""

    def find(self, query: Query, warn: Warn) -> Iterator[Scene]:
        """Yield every scene that matches, each once; see `Archive.find`."""
        return usable(self._all(query, scene_or_reason), warn)

    def rows(self, query: Query) -> Iterator[Any]:
        """Yield the row of every scene that matches, as the service lists it."""
        return self._all(query, lambda row: row)

    def _all(self, query: Query, make: Callable[[Any], Any]) -> Iterator[Any]:
        """Yield what `make` returns for the row of every scene that matches."""
        found: set[str] = set()
        try:
            yield from self._found(query, found, make)
        except IncompleteSearch:
            # If a cap counts rows before they are filtered, answers do not show how far they reach. Without filters
            # that the manifest's rules apply again, they show all rows that count.
            wider = replace(query, **_NO_FILTERS)
            if search_body(wider) == search_body(query):
                raise
            yield from self._found(wider, found, make)

    def _found(self, query: Query, found: set[str], make: Callable[[Any], Any]) -> Iterator[Any]:
        start, stop = seconds(query.start), seconds_up(query.stop)
        if start > stop:
            return
        windowed = WindowedQuery(query, self._client.search, self._satellites, make)
        rows = complete(
            windowed.ask,
            Window(start, stop),
            split_area=windowed.split_area,
            split_otherwise=windowed.split_otherwise,
            model=self._models.setdefault(windowed.restrictions, CapModel()),
            threads=QUERIES_AT_ONCE,
            found=found,
        )
        yield from (row.item for row in rows)
