"""Search the archives of each dataset, several at a time. A search is complete, or reported to be incomplete."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, Warn, interrupt
from sedas_sync.errors import AuthenticationError, IncompleteSearch, SedasSyncError, StoppedError
from sedas_sync.files.threads import Pool
from sedas_sync.geometry.query_polygons import query_polygons
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.manifest.archive_types import ArchiveType
from sedas_sync.model.events import Failure
from sedas_sync.model.scene import Query, Scene, Source
from sedas_sync.model.text import is_unicode, printable, product_id
from sedas_sync.planning.orbits import KINDS, PRECISE, RESTITUTED, missing, type_of
from sedas_sync.planning.select import queries
from sedas_sync.planning.sources import describe, merge_sources

_AT_ONCE = 4
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
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
    asked: datetime | None = None
    """When the archives were asked, if this is the result of an earlier search."""

    def add(self, other: "DatasetSearch") -> None:
        """Add the results of another search for the same dataset."""
        self.scenes |= other.scenes
        self.sources |= other.sources
        self.failures += other.failures
        self.warnings += other.warnings
        self.complete = self.complete and other.complete


def search(
    manifest: Manifest,
    archives: Mapping[str, Archive],
    now: datetime,
    *,
    on_found: Callable[[int], None],
) -> dict[str, DatasetSearch]:
    """Search for every dataset of the manifest.

    A search that fails or is incomplete returns what it found and a `Failure` with the dataset's name. Each named
    product that no archive has is a `Failure` with its own name.

    A search that this account may not make is a failure of its dataset too, if another search succeeds.

    A dataset with several archives asks all of them. If one fails, the search is incomplete, because what it alone
    lists is not known. If all named products were found elsewhere, the failure is only a warning.

    Args:
        manifest: What to search for.
        archives: By their keys in the manifest.
        now: The time that relative dates count from.
        on_found: Called with the number of scenes found, a few times a second, from the calling thread.

    Raises:
        AuthenticationError: An archive rejected the credentials, or every search.
    """
    parts = {
        name: {key: DatasetSearch(name) for key in dataset.archive or ("",)}
        for name, dataset in manifest.datasets.items()
    }
    # Computed here, because two threads must not use one prepared geometry at the same time.
    covers = {
        names: query_polygons([manifest.aois[name].geometry for name in names]) if names else (None,)
        for names in {dataset.aoi for dataset in manifest.datasets.values()}
    }
    asked = {
        name: () if dataset.products else queries(dataset, covers[dataset.aoi], now)
        for name, dataset in manifest.datasets.items()
    }
    _ask(manifest, archives, parts, asked, on_found)
    refused = [offer.refused for offers in parts.values() for offer in offers.values()]
    if (first := next(iter(refused), None)) is not None and all(refused):
        raise first
    found = {name: _joined(manifest.datasets[name], offers, several=len(offers) > 1) for name, offers in parts.items()}
    for name, offer in found.items():
        if manifest.datasets[name].products:
            _report_missing(manifest.datasets[name], offer)
    return found


def search_orbits(
    manifest: Manifest,
    archives: Mapping[str, Archive],
    offers: Mapping[str, DatasetSearch],
    chosen: Mapping[str, Sequence[Scene]],
    types: Mapping[str, ArchiveType],
) -> None:
    """Search for the orbit files that scenes need, and add them to what was found.

    Args:
        manifest: Its datasets state which orbit files are wanted.
        archives: By their keys in the manifest.
        offers: The results of the search; they are changed.
        chosen: The scenes of each dataset that match.
        types: The types of archives, by name.

    Raises:
        AuthenticationError: An archive rejected the credentials.
    """
    for kind in (PRECISE, RESTITUTED):
        asked: dict[str, tuple[Query, ...]] = {}
        parts: dict[str, dict[str, DatasetSearch]] = {}
        for name, dataset in manifest.datasets.items():
            if dataset.orbits is None or kind not in KINDS[dataset.orbits]:
                continue
            asked[name] = missing(dataset.orbits, kind, chosen[name], offers[name].scenes.values())
            if asked[name]:
                keys = (key for key in dataset.archive if types[manifest.archives[key].type].has_orbits)
                parts[name] = {key: DatasetSearch(name) for key in keys}
        _ask(manifest, archives, parts, asked)
        for name, found in parts.items():
            for offer in found.values():
                offer.scenes = {key: scene for key, scene in offer.scenes.items() if type_of(scene) == kind}
            offers[name].add(_joined(manifest.datasets[name], found, several=len(manifest.datasets[name].archive) > 1))


def _ask(
    manifest: Manifest,
    archives: Mapping[str, Archive],
    parts: Mapping[str, Mapping[str, DatasetSearch]],
    asked: Mapping[str, Sequence[Query]],
    on_found: Callable[[int], None] | None = None,
) -> None:
    """Ask archives for datasets, several at a time; the answers go into `parts`, by dataset and archive."""
    with Pool(_AT_ONCE) as pool:
        futures: list[Future[None]] = [
            pool.submit(_search_together, manifest, archives[key], queries_, members, key)
            for key, queries_, members in _questions(parts, asked)
        ]
        try:
            while on_found is not None and wait(futures, _REPORT_EVERY).not_done:
                on_found(sum(len(offer.scenes) for offers in parts.values() for offer in offers.values()))
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            # The threads end now instead of with their answers: a notebook lives on.
            for archive in archives.values():
                interrupt(archive)
            raise


def _joined(dataset: Dataset, offers: Mapping[str, DatasetSearch], *, several: bool) -> DatasetSearch:
    """Join the results of archives of a dataset, which has one or `several`."""
    whole = next(iter(offers.values()))
    if several:
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


class _Member(Struct, frozen=True):
    """A dataset that a question is asked for, with the earliest and the latest acquisition that it wants."""

    offer: DatasetSearch
    start: datetime = _FIRST
    stop: datetime = _LAST

    def takes(self, scene: Scene) -> bool:
        """Return whether a scene may belong to the dataset, by its date."""
        return scene.start is None or self.start <= scene.start <= self.stop


_Question = tuple[str, tuple[Query, ...], list[_Member]]
"""The key of an archive, what it is asked, and for which datasets."""


def _questions(
    parts: Mapping[str, Mapping[str, DatasetSearch]], asked: Mapping[str, Sequence[Query]]
) -> Iterator[_Question]:
    """Yield what to ask. Datasets whose searches differ in nothing but dates that overlap are asked for together."""
    alike: list[_Question] = []
    for name, offers in parts.items():
        queries_ = tuple(asked[name])
        periods = {(query.start, query.stop) for query in queries_}
        undated = tuple(replace(query, start=_FIRST, stop=_LAST) for query in queries_)
        for key, offer in offers.items():
            if len(periods) != 1:
                # Named products have no queries, and those for orbit files have dates of their own.
                yield key, queries_, [_Member(offer)]
                continue
            members = next((group for *what, group in alike if what == [key, undated]), None)
            if members is None:
                members = []
                alike.append((key, undated, members))
            members.append(_Member(offer, queries_[0].start, queries_[0].stop))
    for key, undated, members in alike:
        for start, stop, together in _overlapping(members):
            yield key, tuple(replace(query, start=start, stop=stop) for query in undated), together


def _overlapping(members: Iterable[_Member]) -> list[tuple[datetime, datetime, list[_Member]]]:
    """Group datasets whose dates overlap; return the dates of each group, and its datasets."""
    groups: list[tuple[datetime, datetime, list[_Member]]] = []
    for member in sorted(members, key=lambda one: (one.start, one.stop)):
        if groups and member.start <= groups[-1][1]:
            first, last, together = groups[-1]
            groups[-1] = (first, max(last, member.stop), [*together, member])
        else:
            groups.append((member.start, member.stop, [member]))
    return groups


def _search_together(
    manifest: Manifest, archive: Archive, asked: Sequence[Query], members: Sequence[_Member], key: str
) -> None:
    """Ask an archive for one or several datasets, which get its answers, warnings and failures."""
    offers = [member.offer for member in members]

    def warn(warning: str) -> None:
        for offer in offers:
            offer.warnings.append(warning)

    def take(scenes: Iterable[Scene]) -> bool:
        """Store the scenes of a search; return whether to send the next query."""
        try:
            for scene in _nameable(scenes, warn):
                for member in members:
                    if member.takes(scene):
                        member.offer.scenes.setdefault(scene.id, scene)
        except StoppedError:
            raise
        except SedasSyncError as error:
            _note_failure(manifest, offers, error, key)
            return isinstance(error, IncompleteSearch)
        return True

    if not asked:
        take(archive.look_up(manifest.datasets[offers[0].dataset].products, warn=warn))
    for query in asked:
        if not take(archive.find(query, warn=warn)):
            return


def _nameable(scenes: Iterable[Scene], warn: Warn) -> Iterator[Scene]:
    """Yield the scenes whose id can be stored and sent; warn of the others."""
    for scene in scenes:
        if is_unicode(scene.id):
            yield scene
        else:
            warn(f"{printable(scene.id)}: it is left out, because its name is not Unicode text")


def _note_failure(manifest: Manifest, offers: Iterable[DatasetSearch], error: SedasSyncError, key: str) -> None:
    """Note a search that failed for datasets.

    Raises:
        AuthenticationError: The archive rejected the credentials.
    """
    if isinstance(error, AuthenticationError) and not error.forbidden:
        if len(manifest.archives) > 1:
            raise AuthenticationError(f"archive {key}: {error}") from error
        raise error
    for offer in offers:
        offer.refused = error if isinstance(error, AuthenticationError) else offer.refused
        offer.complete = False
        offer.failures.append(Failure(id=offer.dataset, error=str(error), refused=offer.refused is not None))
