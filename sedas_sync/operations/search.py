"""Search the archives of a mirror and apply the manifest's rules."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.protocol import retrying_of, sources_of
from sedas_sync.archives.registry import TYPES
from sedas_sync.archives.search import DatasetSearch, search, search_orbits
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import Failure, Searched, Step
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.operations.context import Listener, MirrorContext, ignore
from sedas_sync.operations.log import log_event
from sedas_sync.operations.recheck import settled_searches, take_descriptions
from sedas_sync.planning.select import Selection, select


class SearchResult(Struct, frozen=True):
    """The scenes that match the manifest, and how the searches went."""

    wants: Mapping[SceneId, DesiredScene]
    offers: Mapping[str, DatasetSearch]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    selection: Selection
    time: datetime
    """When the search began."""

    @property
    def searched(self) -> dict[str, datetime]:
        """When the archives were asked for each dataset."""
        return {name: offer.asked or self.time for name, offer in self.offers.items()}

    @property
    def complete(self) -> bool:
        """Whether the search of every dataset is complete."""
        return all(offer.complete for offer in self.offers.values())

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The matching scenes, oldest first."""
        found = (want.scene for want in self.wants.values())
        return tuple(sorted(found, key=lambda s: ("" if s.start is None else s.start.isoformat(), s.id)))


def search_archives(
    context: MirrorContext,
    *,
    datasets: str | Iterable[str] = (),
    on_event: Listener = ignore,
    on_found: Callable[[int], None] | None = None,
    explain: bool = False,
    refresh: bool = True,
) -> SearchResult:
    """Search the archives and apply the manifest's rules.

    Args:
        context: The mirror.
        datasets: Search only for these datasets.
        on_event: Called with every event.
        on_found: Called with the number of scenes found, a few times a second.
        explain: Return why scenes do not match.
        refresh: Ask the archives for every dataset, also if the manifest's `recheck` spares it.
    """
    manifest = context.narrowed(datasets)
    now = context.clock()
    settled = {} if refresh else settled_searches(context, manifest, now)
    offers = _search(context, manifest, now, settled, on_found)
    context.step("choosing scenes", sum(len(offer.scenes) for offer in offers.values()))
    selection = _choose(manifest, offers, now, explain=explain)
    matching = _by_dataset(manifest, selection) if settled else {}
    if changed := {name for name in settled if matching[name].keys() != offers[name].scenes.keys()}:
        settled = {name: offer for name, offer in offers.items() if name not in changed}
        offers = _search(context, manifest, now, settled, on_found)
        selection = _choose(manifest, offers, now, explain=explain)
    if any(dataset.orbits for dataset in manifest.datasets.values()):
        context.step("searching for orbit files", len(selection.wants))
        chosen = {name: list(scenes.values()) for name, scenes in _by_dataset(manifest, selection).items()}
        search_orbits(manifest, context.archives.of(manifest), offers, chosen, TYPES)
        selection = _choose(manifest, offers, now, explain=explain)
    warnings = [warning for offer in offers.values() for warning in offer.warnings] + selection.warnings
    for name, offer in offers.items():
        count = sum(name in want.datasets for want in selection.wants.values())
        error = next((failure.error for failure in offer.failures), None)
        age = (now - (offer.asked or now)).total_seconds()
        searched = Searched(time=now, dataset=name, scenes=count, complete=offer.complete, error=error, age_seconds=age)
        log_event(searched)
        on_event(searched)
    return SearchResult(
        wants=selection.wants,
        offers=offers,
        failures=tuple(failure for offer in offers.values() for failure in offer.failures),
        warnings=tuple(dict.fromkeys(warnings)),
        selection=selection,
        time=now,
    )


def _search(
    context: MirrorContext,
    manifest: Manifest,
    now: datetime,
    known: Mapping[str, DatasetSearch],
    on_found: Callable[[int], None] | None,
) -> dict[str, DatasetSearch]:
    """Search for the datasets whose results are not known, and return all in the order of the manifest."""
    others = {name: dataset for name, dataset in manifest.datasets.items() if name not in known}
    asked = replace(manifest, datasets=others)
    archives = context.archives.of(asked)
    names = ", ".join(asked.archives[key].type if len(asked.archives) == 1 else key for key in archives)

    def report(count: int) -> None:
        retrying = next(filter(None, map(retrying_of, archives.values())), "")
        context.state.on_step(Step(f"searching {names}", count, note=retrying))
        if on_found is not None:
            on_found(count)

    found = search(asked, archives, now, on_found=report)
    take_descriptions((offer for offer in known.values() if offer.asked), found.values())
    return {name: found.get(name) or known[name] for name in manifest.datasets}


def _by_dataset(manifest: Manifest, selection: Selection) -> dict[str, dict[SceneId, Scene]]:
    """Return the matching scenes of each dataset."""
    found: dict[str, dict[SceneId, Scene]] = {name: {} for name in manifest.datasets}
    for scene_id, want in selection.wants.items():
        for name in want.datasets:
            found[name][scene_id] = want.scene
    return found


def _choose(manifest: Manifest, offers: Mapping[str, DatasetSearch], now: datetime, *, explain: bool) -> Selection:
    return select(
        manifest,
        {name: offer.scenes.values() for name, offer in offers.items()},
        now,
        sources={name: offer.sources for name, offer in offers.items()},
        incomplete={name for name, offer in offers.items() if not offer.complete},
        explain=explain,
    )


def sources(context: MirrorContext) -> list[dict[str, Any]]:
    """Return what this account may search at each archive of the manifest: satellites and source groups.

    Raises:
        ArchiveError: An archive did not answer.
    """
    found = []
    for key, archive in context.archives.of(context.manifest).items():
        satellites, groups = sources_of(archive)
        found.append(
            {
                "archive": key,
                "type": context.manifest.archives[key].type,
                "satellites": [{"name": item.name, **item.extra} for item in satellites],
                "source_groups": [{"name": item.name, **item.extra} for item in groups],
            }
        )
    return found
