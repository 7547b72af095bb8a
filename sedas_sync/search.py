"""Asking the archives what they offer for each dataset: several searches at a time, each complete or said not to be."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime

from msgspec import Struct, field

from sedas_sync.archives import Archive
from sedas_sync.desired import queries
from sedas_sync.errors import AuthenticationError, IncompleteSearch, SedasSyncError
from sedas_sync.events import Failure
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model import Scene

_AT_ONCE = 4
_TELL_EVERY = 0.2


class Offer(Struct):
    """What the archives offer for one dataset, before any rule is applied."""

    dataset: str
    scenes: dict[str, Scene] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    complete: bool = True


def search(
    manifest: Manifest,
    archives: Mapping[str, Archive],
    now: datetime,
    *,
    on_found: Callable[[int], None] | None = None,
) -> dict[str, Offer]:
    """Search for every dataset of the manifest.

    A search that fails or stays incomplete leaves what it found and a `Failure` under the dataset's name; named
    products that the archive does not know are a `Failure` each, under their own name.

    Args:
        manifest: what to search for.
        archives: by their keys in the manifest.
        now: the instant that relative dates are counted from.
        on_found: told how many scenes have been found so far, a few times a second, from the calling thread.

    Raises:
        AuthenticationError: an archive refused the credentials.
    """
    offers = {name: Offer(name) for name in manifest.datasets}
    with ThreadPoolExecutor(_AT_ONCE, "search") as pool:
        futures: list[Future[None]] = [
            pool.submit(_search_dataset, manifest, dataset, archives[dataset.archive[0]], now, offers[name])
            for name, dataset in manifest.datasets.items()
        ]
        while on_found is not None and wait(futures, _TELL_EVERY).not_done:
            on_found(sum(len(offer.scenes) for offer in offers.values()))
        for future in futures:
            future.result()
    return offers


def _search_dataset(
    manifest: Manifest,
    dataset: Dataset,
    archive: Archive,
    now: datetime,
    offer: Offer,
) -> None:
    def take(scenes: Iterable[Scene]) -> bool:
        """Take in what a search yields; says whether it is worth asking on."""
        try:
            for scene in scenes:
                offer.scenes.setdefault(scene.id, scene)
        except AuthenticationError:
            raise
        except SedasSyncError as error:
            offer.complete = False
            offer.failures.append(Failure(id=dataset.name, error=str(error)))
            return isinstance(error, IncompleteSearch)
        return True

    if dataset.products:
        if take(archive.look_up(dataset.products, warn=offer.warnings.append)):
            unknown = [product for product in dataset.products if product not in offer.scenes]
            offer.failures.extend(Failure(id=name, error="the archive does not know this product") for name in unknown)
        return
    for query in queries(manifest, dataset, now):
        if not take(archive.find(query, warn=offer.warnings.append)):
            return
