"""From a manifest and what the catalogue offers to what the folder shall hold.

Pure: the catalogue's answers come in, wants and refusals go out. Every rule of a dataset is applied here again,
whatever was asked of the archive, because services are known to ignore filters and an AOI may have been simplified for
the question.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from msgspec import Struct, field

from sedas_sync.geometry import Aoi, Polygonal, footprint, footprints
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.path_template import collisions
from sedas_sync.model.satellites import is_known_group, spelled
from sedas_sync.model.scene import DesiredScene, Query, Scene, SceneId, Source
from sedas_sync.planning.product_name import parse_name
from sedas_sync.planning.sources import product_id, unique_sources, with_sources

_FIRST = datetime(1950, 1, 1, tzinfo=UTC)
_LAST = datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Nothing was sensed outside; dates at the ends of the calendar have no neighbours to divide a search by."""


_UNREADABLE = "footprint"
_FOOTPRINTS_AT_ONCE = 5_000
_FACT_KEYS = (
    "satellite",
    "product_type",
    "orbit_direction",
    "relative_orbit",
    "tile",
    "source_group",
    "polarisation",
)
"""The rules of `_fact_rules`."""


class Refusal(Struct, frozen=True):
    """Why a dataset leaves a scene out."""

    rule: str
    """`date`, `aoi`, `coverage`, `cloud`, `exclude`, `latest`, `reprocessed`, `footprint`, or the dataset's key."""
    detail: str
    """One clause with the numbers."""
    by: tuple[SceneId, ...] = ()
    """The scenes that supersede it, where nothing else is against it."""


_UNDATED = Refusal("date", "the catalogue gives no sensing time")


class Selection(Struct):
    """What the manifest admits of what the archives offer."""

    wants: dict[SceneId, DesiredScene] = field(default_factory=dict)
    refused: dict[SceneId, dict[str, Refusal]] = field(default_factory=dict)
    """For each scene that a dataset leaves out, its reason, by the dataset's name. Filled only when asked for."""
    warnings: list[str] = field(default_factory=list)


def queries(manifest: Manifest, dataset: Dataset, now: datetime) -> tuple[Query, ...]:
    """The questions to ask a catalogue for one dataset: one per plain polygon of its AOIs."""
    start, stop = dataset.interval(now)
    start, stop = max(start, _FIRST), min(stop, _LAST)
    asked = []
    for name in dataset.aoi:
        polygons = manifest.aois[name].queries
        for polygon in polygons:
            whole = polygon.exact and len(polygons) == 1
            asked.append(
                Query(
                    aoi=polygon.wkt,
                    start=start,
                    stop=stop,
                    sensor=dataset.sensor,
                    satellite=dataset.satellite and spelled(dataset.satellite),
                    source_group=dataset.source_group and spelled(dataset.source_group),
                    product_type=dataset.product_type,
                    orbit_direction=dataset.orbit_direction,
                    polarisation=dataset.polarisation,
                    relative_orbit=dataset.relative_orbit,
                    tile=dataset.tile,
                    max_cloud_cover=dataset.max_cloud_cover,
                    min_aoi_coverage=dataset.min_aoi_coverage if whole else None,
                    filters=dataset.filters,
                )
            )
    return tuple(asked)


def refusal(dataset: Dataset, aois: Mapping[str, Aoi], scene: Scene, now: datetime) -> Refusal | None:
    """The first rule of a dataset that leaves this scene out, judged by the scene alone; None where all admit it."""
    return _facts_rule(dataset, now)(scene) or _by_footprint(dataset, aois, [scene])[0]


def select(
    manifest: Manifest,
    found: Mapping[str, Iterable[Scene]],
    now: datetime,
    *,
    places: Mapping[str, Mapping[SceneId, tuple[Source, ...]]] | None = None,
    explain: bool = False,
) -> Selection:
    """Choose from what was found for each dataset; one scene is wanted once, by all datasets that admit it.

    Args:
        manifest: the manifest.
        found: for each dataset's name, the scenes its search gave. A dataset without a key was not searched.
        now: the instant that relative dates are counted from.
        places: for each dataset that takes scenes from several archives, where each of its scenes can be had.
        explain: also say why each dataset leaves out what it does.
    """
    result = Selection()
    scenes: dict[SceneId, Scene] = {}
    takers: dict[SceneId, tuple[str, ...]] = {}
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}
    had: dict[SceneId, list[tuple[Source, ...]]] = defaultdict(list)
    several = len({key for dataset in manifest.datasets.values() for key in dataset.archive}) > 1
    ids: dict[str, SceneId] = {}
    for name, dataset in manifest.datasets.items():
        admitted, refused = _select(dataset, manifest.aois, found.get(name, ()), now, result.warnings.append)
        for scene in admitted:
            scene_id = scene.id
            if several:
                scene_id = ids.setdefault(product_id(scene_id), scene_id)
                here = (places or {}).get(name, {}).get(scene.id)
                had[scene_id].append(here or (Source(archive=dataset.archive[0], scene=scene),))
            scenes.setdefault(scene_id, scene)
            names = (*takers.get(scene_id, ()), name)
            takers[scene_id] = shared.setdefault(names, names)
        if explain:
            for scene_id, why in refused.items():
                result.refused.setdefault(scene_id, {})[name] = why
    paths = paths_of(manifest, scenes, takers)
    for scene_id, scene in scenes.items():
        datasets = takers[scene_id]
        archive = manifest.datasets[datasets[0]].archive[0]
        want = DesiredScene(scene=scene, datasets=datasets, archive=archive, path=paths[scene_id])
        result.wants[scene_id] = with_sources(want, unique_sources(had[scene_id])) if several else want
    return result


def _select(
    dataset: Dataset,
    aois: Mapping[str, Aoi],
    offered: Iterable[Scene],
    now: datetime,
    warn: Callable[[str], None],
) -> tuple[list[Scene], dict[SceneId, Refusal]]:
    refused: dict[SceneId, Refusal] = {}
    candidates: dict[SceneId, Scene] = {}
    by_facts = _facts_rule(dataset, now)
    for scene in offered:
        why = by_facts(scene)
        if why is None:
            candidates.setdefault(scene.id, scene)
        else:
            refused[scene.id] = why
            if why is _UNDATED:
                warn(f"{scene.id!r}: left out of dataset {dataset.name}: {why.detail}")
    scenes = list(candidates.values())
    for scene, why in zip(scenes, _by_footprint(dataset, aois, scenes), strict=True):
        if why is not None:
            refused[scene.id] = why
            del candidates[scene.id]
            if why.rule == _UNREADABLE:
                warn(f"{scene.id!r}: left out of dataset {dataset.name}: {why.detail}")
    blind = sum(scene.footprint is None for scene in candidates.values()) if dataset.aoi else 0
    if blind:
        warn(f"dataset {dataset.name}: {blind} of its scenes have no known footprint, and count as lying over its AOIs")
    older = _newest_baselines(dataset, candidates.values())
    for scene_id in older:
        del candidates[scene_id]
    late = _latest(dataset, candidates.values())
    for scene_id in late:
        del candidates[scene_id]
    for scene_id, why in older.items():
        # What supersedes it may be superseded in its turn, and never come.
        above = next((late[newer] for newer in why.by if newer in late), None)
        refused[scene_id] = why if above is None else Refusal(why.rule, why.detail, above.by)
    refused |= late
    return list(candidates.values()), refused


def _facts_rule(dataset: Dataset, now: datetime) -> Callable[[Scene], Refusal | None]:
    """What says the first rule that leaves a scene out by what its row says, the footprint aside."""
    named = {_bare(product) for product in dataset.products}
    interval = None if named else dataset.interval(now)
    # Names are taken apart only for rules that need it: catalogues are long.
    narrows = any(getattr(dataset, key) not in (None, ()) for key in _FACT_KEYS)

    def rule(scene: Scene) -> Refusal | None:
        for pattern in dataset.exclude:
            if fnmatchcase(scene.id, pattern):
                return Refusal("exclude", f"excluded by {pattern!r}")
        if interval is None:
            return None if _bare(scene.id) in named else Refusal("products", "not among the products named")
        return (
            _date_rule(interval, scene)
            or _sensor_rule(dataset, scene)
            or (_fact_rules(dataset, scene) if narrows else None)
            or _cloud_rule(dataset, scene)
        )

    return rule


def _date_rule(interval: tuple[datetime, datetime], scene: Scene) -> Refusal | None:
    if scene.start is None:
        return _UNDATED
    start, stop = interval
    if start <= scene.start <= stop:
        return None
    return Refusal(
        "date",
        f"sensed {scene.start:%Y-%m-%dT%H:%M:%SZ}, wanted {start:%Y-%m-%dT%H:%M:%SZ} to {stop:%Y-%m-%dT%H:%M:%SZ}",
    )


def _sensor_rule(dataset: Dataset, scene: Scene) -> Refusal | None:
    if dataset.sensor == "all" or scene.sensor is None or scene.sensor == dataset.sensor:
        return None
    return Refusal("sensor", f"sensor is {scene.sensor}, wanted {dataset.sensor}")


def _fact_rules(dataset: Dataset, scene: Scene) -> Refusal | None:
    name = parse_name(scene.id)
    checks = (
        ("satellite", dataset.satellite and spelled(dataset.satellite), scene.satellite and spelled(scene.satellite)),
        ("product_type", dataset.product_type, _product_type(dataset, scene.product_type, name.product_type)),
        ("orbit_direction", dataset.orbit_direction, scene.orbit_direction),
        ("relative_orbit", dataset.relative_orbit, scene.relative_orbit or name.relative_orbit),
    )
    for key, wanted, stated in checks:
        if wanted is not None and not _same(wanted, stated):
            return Refusal(key, f"{key} is {'unknown' if stated is None else stated}, wanted {wanted}")
    tile = scene.tile or name.tile
    if dataset.tile and tile not in dataset.tile:
        return Refusal("tile", f"tile is {tile or 'unknown'}, wanted {' or '.join(dataset.tile)}")
    group, stated = dataset.source_group, scene.source_group
    # Rows do not state their group; it is derived from the satellite, so only well-known groups can contradict.
    if (
        group is not None
        and stated is not None
        and not _same(group, stated)
        and is_known_group(group)
        and is_known_group(stated)
    ):
        return Refusal("source_group", f"source_group is {stated}, wanted {group}")
    if dataset.polarisation:
        channels = polarisations(scene)
        if not set(dataset.polarisation) <= set(channels):
            shown = "+".join(channels) or "unknown"
            return Refusal("polarisation", f"polarisation is {shown}, wanted {'+'.join(dataset.polarisation)}")
    return None


def _product_type(dataset: Dataset, stated: str | None, named: str | None) -> str | None:
    """The type that the archive states, or the one in the name where it is that which is asked for.

    Archives have names of their own for types (`S2MSI1C` for `L1C`), and either may stand in a manifest.
    """
    return named if stated is None or (named is not None and _same(dataset.product_type, named)) else stated


def polarisations(scene: Scene) -> tuple[str, ...]:
    """The channels of a SAR scene, from the catalogue or else from its name."""
    if scene.polarisation is None:
        return parse_name(scene.id).polarisation
    text = scene.polarisation.upper()
    for separator in "+/,;_":
        text = text.replace(separator, " ")
    return tuple(text.split())


def _cloud_rule(dataset: Dataset, scene: Scene) -> Refusal | None:
    limit = dataset.max_cloud_cover
    if limit is None or scene.cloud_cover is None or scene.sensor == "sar" or scene.cloud_cover <= limit:
        return None
    return Refusal("cloud", f"cloud cover is {scene.cloud_cover:g} %, at most {limit:g} % wanted")


def _by_footprint(dataset: Dataset, aois: Mapping[str, Aoi], scenes: Sequence[Scene]) -> list[Refusal | None]:
    """For each scene, the rule that leaves it out by its footprint; many at once, since that is much faster."""
    if dataset.products:
        return [None] * len(scenes)
    # Not all at once: the geometries of 100,000 footprints take as much memory as all that is kept of the scenes.
    return [
        why
        for first in range(0, len(scenes), _FOOTPRINTS_AT_ONCE)
        for why in _some_by_footprint(dataset, aois, scenes[first : first + _FOOTPRINTS_AT_ONCE])
    ]


def _some_by_footprint(dataset: Dataset, aois: Mapping[str, Aoi], scenes: Sequence[Scene]) -> list[Refusal | None]:
    shapes = footprints([scene.footprint for scene in scenes])
    meeting = [aois[name].intersects_each(shapes) for name in dataset.aoi]
    return [
        _one_footprint(dataset, aois, scene, shape, met=any(met))
        for scene, shape, *met in zip(scenes, shapes, *meeting, strict=True)
    ]


def _one_footprint(
    dataset: Dataset, aois: Mapping[str, Aoi], scene: Scene, shape: Polygonal | None, *, met: bool
) -> Refusal | None:
    least = dataset.min_aoi_coverage
    if scene.footprint is None:
        if least is None:
            return None
        return Refusal("coverage", f"the catalogue gives no footprint to measure, at least {least:g} % wanted")
    if shape is None:
        return Refusal(_UNREADABLE, _why_unreadable(scene.footprint))
    names = ", ".join(dataset.aoi)
    if not met:
        return Refusal("aoi", f"the footprint does not meet {names}")
    if least is None:
        return None
    best = max(aois[name].coverage(shape) for name in dataset.aoi)
    if best >= least:
        return None
    return Refusal("coverage", f"the footprint covers {best:.1f} % of {names}, at least {least:g} % wanted")


def _why_unreadable(wkt: str) -> str:
    try:
        footprint(wkt)
    except ValueError as error:
        return str(error)
    return "its footprint makes no sense"


def _newest_baselines(dataset: Dataset, scenes: Iterable[Scene]) -> dict[SceneId, Refusal]:
    if dataset.reprocessed != "newest":
        return {}
    newest: dict[str, tuple[int, SceneId]] = {}
    members: list[tuple[str, int, SceneId]] = []
    for scene in scenes:
        facts = parse_name(scene.id)
        if facts.acquisition is None or facts.baseline is None:
            continue
        members.append((facts.acquisition, facts.baseline, scene.id))
        newest[facts.acquisition] = max(newest.get(facts.acquisition, (-1, "")), (facts.baseline, scene.id))
    return {
        scene_id: Refusal(
            "reprocessed", f"superseded by {newest[key][1]} (baseline {newest[key][0]:04d})", (newest[key][1],)
        )
        for key, baseline, scene_id in members
        if baseline < newest[key][0]
    }


def _latest(dataset: Dataset, scenes: Iterable[Scene]) -> dict[SceneId, Refusal]:
    if dataset.latest is None:
        return {}
    # Planned acquisitions are newer than anything that can be had; they must not take its place.
    dated = [(scene.start, scene.id) for scene in scenes if scene.start is not None and not scene.planned]
    dated.sort(reverse=True)
    newest = tuple(scene_id for _, scene_id in dated[: dataset.latest])
    return {
        scene_id: Refusal("latest", f"number {place} by age, the newest {dataset.latest} wanted", newest)
        for place, (_, scene_id) in enumerate(dated, start=1)
        if place > dataset.latest
    }


def paths_of(
    manifest: Manifest, scenes: Mapping[SceneId, Scene], takers: Mapping[SceneId, Sequence[str]]
) -> dict[SceneId, str]:
    """Where each scene's file belongs, given the datasets that want it: no two scenes share a path."""
    layout = manifest.mirror.layout
    paths = {
        scene_id: layout.path(
            scene,
            dataset=takers[scene_id][0],
            archive=manifest.datasets[takers[scene_id][0]].archive[0],
            extension=extension_of(scene),
        )
        for scene_id, scene in scenes.items()
    }
    for scene_ids in collisions(paths).values():
        for scene_id in scene_ids:
            extension = extension_of(scenes[scene_id])
            mark = hashlib.sha256(scene_id.encode()).hexdigest()[:10]
            paths[scene_id] = f"{paths[scene_id].removesuffix(extension)}-{mark}{extension}"
    return paths


def extension_of(scene: Scene) -> str:
    """What a scene's path ends in: a zip's ending, or nothing where it is a folder."""
    return "" if scene.assets else ".zip"


def _same(wanted: object, stated: object) -> bool:
    if isinstance(wanted, str) and isinstance(stated, str):
        return wanted.casefold() == stated.casefold()
    return wanted == stated


def _bare(product: str) -> str:
    return product.removesuffix(".zip").removesuffix(".SAFE")
