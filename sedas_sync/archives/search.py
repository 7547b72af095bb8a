"""Search the archives of each dataset, several at a time. A search is complete, or reported to be incomplete."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import AuthenticationError, IncompleteSearch, SedasSyncError
from sedas_sync.geometry.query_polygons import QueryPolygon, query_polygons
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.events import Failure
from sedas_sync.model.scene import Scene, Source
from sedas_sync.model.text import product_id
from sedas_sync.model.threads import Pool
from sedas_sync.planning.select import queries
from sedas_sync.planning.sources import describe, merge_sources

_AT_ONCE = 4
_REPORT_EVERY = 0.2


class DatasetSearch(Struct):
    """What the archives list for one dataset, before the rules are applied."""

    dataset: str
    scenes: dict[str, Scene] = field(default_factory=dict)
    sources: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    """The sources of each scene, if the dataset has several archives."""
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    complete: bool = True
    refused: AuthenticationError | None = None
    """Why this account may not search."""


def search(
    manifest: Manifest,
    archives: Mapping[str, Archive],
    now: datetime,
    *,
    on_found: Callable[[int], None] | None = None,
) -> dict[str, DatasetSearch]:
    """Search for every dataset of the manifest.

    A search that fails or is incomplete returns what it found and a `Failure` with the dataset's name. Each named
    product that no archive has is a `Failure` with its own name.

    A search that this account may not make is a failure of its dataset too, if another search succeeds.

    A dataset with several archives asks all of them. If one fails, the search is incomplete, because what it alone
    lists is not known. If all named products were found elsewhere, the failure is only a warning.

    Args:
        manifest: what to search for.
        archives: by their keys in the manifest.
        now: the time that relative dates count from.
        on_found: called with the number of scenes found, a few times a second, from the calling thread.

    Raises:
        AuthenticationError: an archive rejected the credentials, or every search.
    """
    parts = {
        name: {key: DatasetSearch(name) for key in dataset.archive or ("",)}
        for name, dataset in manifest.datasets.items()
    }
    # Computed here, because two threads must not use one prepared geometry at the same time.
    covers = {
        names: query_polygons([manifest.aois[name].geometry for name in names])
        for names in {dataset.aoi for dataset in manifest.datasets.values()}
    }
    with Pool(_AT_ONCE, "search") as pool:
        futures: list[Future[None]] = [
            pool.submit(_search_dataset, manifest, manifest.datasets[name], covers, archives[key], now, offer, key)
            for name, offers in parts.items()
            for key, offer in offers.items()
        ]
        while on_found is not None and wait(futures, _REPORT_EVERY).not_done:
            on_found(sum(len(offer.scenes) for offers in parts.values() for offer in offers.values()))
        for future in futures:
            future.result()
    refused = [offer.refused for offers in parts.values() for offer in offers.values()]
    if (first := next(iter(refused), None)) is not None and all(refused):
        raise first
    return {name: _joined(manifest.datasets[name], offers) for name, offers in parts.items()}


def _joined(dataset: Dataset, offers: Mapping[str, DatasetSearch]) -> DatasetSearch:
    """Join the results of all archives of a dataset."""
    whole = next(iter(offers.values()))
    if len(offers) > 1:
        sources = merge_sources({key: offer.scenes.values() for key, offer in offers.items()})
        whole = DatasetSearch(
            dataset.name,
            scenes={scene_id: describe(offered) for scene_id, offered in sources.items()},
            sources=sources,
            failures=[
                replace(failure, error=f"archive {key}: {failure.error}")
                for key, offer in offers.items()
                for failure in offer.failures
            ],
            warnings=[f"archive {key}: {warning}" for key, offer in offers.items() for warning in offer.warnings],
            complete=all(offer.complete for offer in offers.values()),
        )
    if dataset.products:
        _report_missing(dataset, whole)
    return whole


def _report_missing(dataset: Dataset, offer: DatasetSearch) -> None:
    """Report the named products that were not found. If none is missing, a failure of one archive does not matter."""
    found = {product_id(scene_id) for scene_id in offer.scenes}
    unknown = [product for product in dataset.products if product_id(product) not in found]
    if offer.complete:
        several = len(dataset.archive) > 1
        why = "this product is in no archive of the dataset" if several else "this product is not in the archive"
        offer.failures.extend(Failure(id=name, error=why) for name in unknown)
    elif not unknown and offer.sources:
        offer.warnings.extend(f"{failure.error}; all products were found elsewhere" for failure in offer.failures)
        offer.failures.clear()
        offer.complete = True


def _search_dataset(
    manifest: Manifest,
    dataset: Dataset,
    covers: Mapping[tuple[str, ...], Sequence[QueryPolygon]],
    archive: Archive,
    now: datetime,
    offer: DatasetSearch,
    key: str,
) -> None:
    def take(scenes: Iterable[Scene]) -> bool:
        """Store the scenes of a search; return whether to send the next query."""
        try:
            for scene in scenes:
                offer.scenes.setdefault(scene.id, scene)
        except SedasSyncError as error:
            if isinstance(error, AuthenticationError):
                if not error.forbidden and len(manifest.archives) > 1:
                    raise AuthenticationError(f"archive {key}: {error}") from error
                if not error.forbidden:
                    raise
                offer.refused = error
            offer.complete = False
            offer.failures.append(Failure(id=dataset.name, error=str(error), refused=offer.refused is not None))
            return isinstance(error, IncompleteSearch)
        return True

    if dataset.products:
        take(archive.look_up(dataset.products, warn=offer.warnings.append))
        return
    for query in queries(dataset, covers[dataset.aoi], now):
        if not take(archive.find(query, warn=offer.warnings.append)):
            return
