"""Select the scenes of a catalogue that match the manifest's rules.

Pure. Every rule of a dataset is applied here again, whatever filters the query had, because services ignore filters and
an AOI may have been simplified for the query.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.geometry import Aoi
from sedas_sync.geometry.query_polygons import QueryPolygon
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.file_kind import ending_on_disk
from sedas_sync.model.local import LocalScene
from sedas_sync.model.path_template import collisions
from sedas_sync.model.reason import RuleName
from sedas_sync.model.scene import NOTHING, DesiredScene, Query, Scene, SceneId, Source
from sedas_sync.model.text import count, named, product_id
from sedas_sync.planning.filters import query_values
from sedas_sync.planning.match import (
    UNDATED,
    Exclusion,
    excluded_by_id,
    fact_rule,
    footprint_exclusions,
)
from sedas_sync.planning.nothing_found import why_nothing
from sedas_sync.planning.orbits import Wish, choose, is_orbit_file
from sedas_sync.planning.sources import unique_sources, with_sources
from sedas_sync.planning.supersede import superseded

_FIRST = datetime(1950, 1, 1, tzinfo=UTC)
_LAST = datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)
"""No scene is older or newer; dates at the ends of the calendar have no neighbours to divide a search by."""


class Selection(Struct):
    """The scenes of a search that match the manifest."""

    wants: dict[SceneId, DesiredScene] = field(default_factory=dict)
    excluded: dict[SceneId, dict[str, Exclusion]] = field(default_factory=dict)
    """Why a scene does not match a dataset, by scene and dataset. Empty unless `explain` is set."""
    warnings: list[str] = field(default_factory=list)


def queries(dataset: Dataset, cover: Iterable[QueryPolygon | None], now: datetime) -> tuple[Query, ...]:
    """Return the queries of one dataset: one for each polygon of the cover of its AOIs; None is the whole world."""
    start, stop = dataset.interval(now)
    start, stop = max(start, _FIRST), min(stop, _LAST)
    return tuple(
        Query(
            aoi=None if polygon is None else polygon.wkt,
            start=start,
            stop=stop,
            min_aoi_coverage=dataset.min_aoi_coverage if polygon is not None and polygon.exact else None,
            filters=dataset.filters,
            **query_values(dataset),
        )
        for polygon in cover
    )


def select(
    manifest: Manifest,
    found: Mapping[str, Iterable[Scene]],
    now: datetime,
    *,
    sources: Mapping[str, Mapping[SceneId, tuple[Source, ...]]] = NOTHING,
    incomplete: Container[str] = (),
    explain: bool = False,
) -> Selection:
    """Select the scenes that match one or more datasets; each is desired once.

    Args:
        manifest: The manifest.
        found: The scenes of each dataset's search. A dataset without a key was not searched.
        now: The time that relative dates count from.
        sources: For each dataset with several archives, the sources of its scenes.
        incomplete: Names of datasets whose search failed or is incomplete: that it found nothing shows nothing.
        explain: Also return why scenes do not match.
    """
    result = Selection()
    scenes: dict[SceneId, Scene] = {}
    takers: dict[SceneId, tuple[str, ...]] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    offers: dict[SceneId, tuple[Source, ...]] = {}
    several = len({key for dataset in manifest.datasets.values() for key in dataset.archive}) > 1
    ids: dict[str, SceneId] = {}
    for name, dataset in manifest.datasets.items():
        matching, excluded = _select(dataset, manifest.aois, found.get(name, ()), now, result.warnings.append)
        result.warnings += [f"aoi {aoi}: {repair}" for aoi in dataset.aoi for repair in manifest.aois[aoi].repairs]
        of_dataset = sources.get(name, NOTHING)
        for scene in matching:
            # Archives write the id of a product differently; one archive does not.
            scene_id = ids.setdefault(product_id(scene.id), scene.id) if several else scene.id
            offered = of_dataset.get(scene.id) or (Source(archive=dataset.archive[0], scene=scene),)
            if scene_id in scenes:
                offered = unique_sources((offers[scene_id], offered))
            offers[scene_id] = offered
            scenes.setdefault(scene_id, scene)
            names = (*takers.get(scene_id, ()), name)
            takers[scene_id] = shared.setdefault(names, names)
        known = bool(excluded) or (name in found and name not in incomplete)
        if not matching and known and (warning := why_nothing(dataset, found[name], excluded, now)) is not None:
            result.warnings.append(warning)
        if explain:
            for scene_id, why in excluded.items():
                result.excluded.setdefault(scene_id, {})[name] = why
    paths = paths_of(manifest, scenes, takers)
    for scene_id, scene in scenes.items():
        offered = offers.pop(scene_id)
        want = DesiredScene(scene=scene, datasets=takers[scene_id], path=paths[scene_id], sources=offered)
        result.wants[scene_id] = with_sources(want, offered) if len(offered) > 1 else want
    return result


def _select(
    dataset: Dataset,
    aois: Mapping[str, Aoi],
    offered: Iterable[Scene],
    now: datetime,
    warn: Callable[[str], None],
) -> tuple[list[Scene], dict[SceneId, Exclusion]]:
    files: list[Scene] = []
    if dataset.orbits is not None:
        offered = list(offered)
        files = [scene for scene in offered if is_orbit_file(scene) and excluded_by_id(dataset, scene) is None]
        ids = {scene.id for scene in files}
        offered = [scene for scene in offered if scene.id not in ids]
    candidates, excluded = _matching(dataset, aois, offered, now, warn)
    older = superseded(dataset, candidates.values())
    for scene_id in older:
        del candidates[scene_id]
    late = _latest(dataset, candidates.values())
    for scene_id in late:
        del candidates[scene_id]
    for scene_id, why in older.items():
        # A superseding scene can be superseded itself, and is then never downloaded.
        above = next((late[newer] for newer in why.by if newer in late), None)
        excluded[scene_id] = why if above is None else Exclusion(why.rule, why.detail, above.by)
    excluded |= late
    if dataset.orbits is not None:
        orbits, unneeded = _orbit_files(dataset.orbits, dataset.name, candidates.values(), files, warn)
        candidates |= orbits
        excluded |= unneeded
    return list(candidates.values()), excluded


def _matching(
    dataset: Dataset,
    aois: Mapping[str, Aoi],
    offered: Iterable[Scene],
    now: datetime,
    warn: Callable[[str], None],
) -> tuple[dict[SceneId, Scene], dict[SceneId, Exclusion]]:
    """Return the scenes that match the rules one by one, and why the others do not."""
    excluded: dict[SceneId, Exclusion] = {}
    candidates: dict[SceneId, Scene] = {}
    by_facts = fact_rule(dataset, now)
    for scene in offered:
        why = by_facts(scene)
        if why is None:
            candidates.setdefault(scene.id, scene)
        else:
            excluded[scene.id] = why
            if why is UNDATED:
                warn(f"{scene.id!r}: not in dataset {dataset.name}: {why.detail}")
    scenes = list(candidates.values())
    for scene, why in zip(scenes, footprint_exclusions(dataset, aois, scenes), strict=True):
        if why is not None:
            excluded[scene.id] = why
            del candidates[scene.id]
            if why.rule is RuleName.FOOTPRINT:
                warn(f"{scene.id!r}: not in dataset {dataset.name}: {why.detail}")
    blind = sum(scene.footprint is None for scene in candidates.values()) if dataset.aoi else 0
    if blind:
        warn(f"dataset {dataset.name}: {blind} scenes have no footprint and are treated as covering its AOIs")
    return candidates, excluded


def _orbit_files(
    wish: Wish, name: str, scenes: Iterable[Scene], files: Iterable[Scene], warn: Callable[[str], None]
) -> tuple[dict[SceneId, Scene], dict[SceneId, Exclusion]]:
    """Return the orbit files that scenes need, and why the others are not wanted."""
    covering = choose(wish, scenes, files)
    chosen = {best.id: best for best, *_ in filter(None, covering.values())}
    better: dict[SceneId, list[SceneId]] = defaultdict(list)
    for best, *others in filter(None, covering.values()):
        for other in others:
            better[other.id].append(best.id)
    if bare := [scene_id for scene_id, found in covering.items() if not found]:
        warn(f"dataset {name}: no orbit file covers {count(len(bare), 'scene')} yet: {named(bare)}")
    excluded = {}
    for file in files:
        if by := tuple(dict.fromkeys(better[file.id])):
            excluded[file.id] = Exclusion(RuleName.ORBITS, f"superseded by {named(by)}", by)
        elif file.id not in chosen:
            excluded[file.id] = Exclusion(RuleName.ORBITS, "no scene of the dataset needs this orbit file")
    return chosen, {key: why for key, why in excluded.items() if key not in chosen}


def _latest(dataset: Dataset, scenes: Iterable[Scene]) -> dict[SceneId, Exclusion]:
    if dataset.latest is None:
        return {}
    # A planned acquisition is newer than all scenes. It must not take the place of one that can be downloaded.
    real = (scene for scene in scenes if not scene.planned and not scene.never)
    dated = [(scene.start, scene.id) for scene in real if scene.start is not None]
    dated.sort(reverse=True)
    newest = tuple(scene_id for _, scene_id in dated[: dataset.latest])
    return {
        scene_id: Exclusion(RuleName.LATEST, f"number {place} by age, the newest {dataset.latest} wanted", newest)
        for place, (_, scene_id) in enumerate(dated, start=1)
        if place > dataset.latest
    }


def paths_of(
    manifest: Manifest, scenes: Mapping[SceneId, Scene], takers: Mapping[SceneId, Sequence[str]]
) -> dict[SceneId, str]:
    """Return the path of each scene, given its datasets; no two scenes share a path."""
    layout = manifest.mirror.layout
    archives = {name: next(iter(dataset.archive), "") for name, dataset in manifest.datasets.items()}
    paths = {}
    for scene_id, scene in scenes.items():
        dataset = takers[scene_id][0]
        paths[scene_id] = layout.path(scene, dataset=dataset, archive=archives[dataset], extension=scene.ending)
    for scene_ids in collisions(paths).values():
        for scene_id in scene_ids:
            extension = scenes[scene_id].ending
            mark = hashlib.sha256(scene_id.encode()).hexdigest()[:10]
            paths[scene_id] = f"{paths[scene_id].removesuffix(extension)}-{mark}{extension}"
    return paths


def with_endings_on_disk(
    wants: Mapping[SceneId, DesiredScene], local_scenes: Iterable[LocalScene]
) -> Mapping[SceneId, DesiredScene]:
    """Return desired scenes whose paths have the endings of their files on disk.

    A download shows which kind of file a product is: see `sedas_sync.model.file_kind`.
    """
    changed: dict[SceneId, DesiredScene] = {}
    for local in local_scenes:
        want = wants.get(local.id)
        if want is None or local.path == want.path or local.is_folder or want.scene.is_folder:
            continue
        stem = want.path.removesuffix(want.scene.ending)
        ending = ending_on_disk(local.path, stem)
        if ending is not None and stem + ending != want.path:
            changed[local.id] = replace(want, path=stem + ending)
    return {**wants, **changed} if changed else wants
