"""Asking the archives what they offer for each dataset: several searches at a time, each complete or said not to be."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from datetime import datetime

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import AuthenticationError, IncompleteSearch, SedasSyncError
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.events import Failure
from sedas_sync.model.scene import Scene, Source
from sedas_sync.model.threads import Pool
from sedas_sync.planning.select import queries
from sedas_sync.planning.sources import described, merge_sources, product_id

_AT_ONCE = 4
_TELL_EVERY = 0.2


class DatasetSearch(Struct):
    """What the archives offer for one dataset, before any rule is applied."""

    dataset: str
    scenes: dict[str, Scene] = field(default_factory=dict)
    places: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    """Where each scene can be had, where the dataset takes scenes from several archives."""
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    complete: bool = True
    refused: AuthenticationError | None = None
    """Why this account may not make the search."""


def search(
    manifest: Manifest,
    archives: Mapping[str, Archive],
    now: datetime,
    *,
    on_found: Callable[[int], None] | None = None,
) -> dict[str, DatasetSearch]:
    """Search for every dataset of the manifest.

    A search that fails or stays incomplete leaves what it found and a `Failure` under the dataset's name; named
    products that no archive knows are a `Failure` each, under their own name.

    A search that this account may not make is its dataset's failure too, as long as another one went better.

    A dataset with several archives asks all of them. One that fails leaves the search incomplete, since what it alone
    lists is not known; only where all named products were found elsewhere is it no more than a warning.

    Args:
        manifest: what to search for.
        archives: by their keys in the manifest.
        now: the instant that relative dates are counted from.
        on_found: told how many scenes have been found so far, a few times a second, from the calling thread.

    Raises:
        AuthenticationError: an archive refused the credentials, or every search.
    """
    parts = {
        name: {key: DatasetSearch(name) for key in dataset.archive or ("",)}
        for name, dataset in manifest.datasets.items()
    }
    for name in {name for dataset in manifest.datasets.values() for name in dataset.aoi}:
        # Worked out here: threads must not be at one prepared geometry at the same time.
        _ = manifest.aois[name].queries
    with Pool(_AT_ONCE, "search") as pool:
        futures: list[Future[None]] = [
            pool.submit(_search_dataset, manifest, manifest.datasets[name], archives[key], now, offer, key)
            for name, offers in parts.items()
            for key, offer in offers.items()
        ]
        while on_found is not None and wait(futures, _TELL_EVERY).not_done:
            on_found(sum(len(offer.scenes) for offers in parts.values() for offer in offers.values()))
        for future in futures:
            future.result()
    refused = [offer.refused for offers in parts.values() for offer in offers.values()]
    if (first := next(iter(refused), None)) is not None and all(refused):
        raise first
    return {name: _joined(manifest.datasets[name], offers) for name, offers in parts.items()}


def _joined(dataset: Dataset, offers: Mapping[str, DatasetSearch]) -> DatasetSearch:
    """What all archives of a dataset offer."""
    whole = next(iter(offers.values()))
    if len(offers) > 1:
        places = merge_sources({key: offer.scenes.values() for key, offer in offers.items()})
        whole = DatasetSearch(
            dataset.name,
            scenes={scene_id: described(here) for scene_id, here in places.items()},
            places=places,
            failures=[
                replace(failure, error=f"archive {key}: {failure.error}")
                for key, offer in offers.items()
                for failure in offer.failures
            ],
            warnings=[f"archive {key}: {said}" for key, offer in offers.items() for said in offer.warnings],
            complete=all(offer.complete for offer in offers.values()),
        )
    if dataset.products:
        _miss(dataset, whole)
    return whole


def _miss(dataset: Dataset, offer: DatasetSearch) -> None:
    """Note the named products that were not found; with none of them missing, it does not matter who failed."""
    found = {product_id(scene_id) for scene_id in offer.scenes}
    unknown = [product for product in dataset.products if product not in found]
    if offer.complete:
        several = len(dataset.archive) > 1
        why = f"{'no archive of the dataset knows' if several else 'the archive does not know'} this product"
        offer.failures.extend(Failure(id=name, error=why) for name in unknown)
    elif not unknown and offer.places:
        offer.warnings.extend(f"{failure.error}; all products were found elsewhere" for failure in offer.failures)
        offer.failures.clear()
        offer.complete = True


def _search_dataset(
    manifest: Manifest,
    dataset: Dataset,
    archive: Archive,
    now: datetime,
    offer: DatasetSearch,
    key: str,
) -> None:
    def take(scenes: Iterable[Scene]) -> bool:
        """Take in what a search yields; says whether it is worth asking on."""
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
    for query in queries(manifest, dataset, now):
        if not take(archive.find(query, warn=offer.warnings.append)):
            return
