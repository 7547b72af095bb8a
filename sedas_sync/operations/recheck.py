"""Datasets that need no search now: what the last one returned is on disk, and nothing has a reason to change.

The archives are not asked again for a dataset if all of this is true:

1. The manifest has `recheck` for it, and its interval ended more than 60 days ago.
2. Less than `recheck` ago, a complete search was made with the same rules, areas and archives, and all that the plan
   after it had to do for the dataset was done. No later plan for the dataset has anything left to do.
3. Each scene that it returned is on disk, with the size and the time of the index.
4. The index has the metadata of these scenes, and by them exactly these scenes match. `search_archives` checks this.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta

from msgspec.structs import replace

from sedas_sync.archives.search import DatasetSearch
from sedas_sync.files import tree_listing
from sedas_sync.manifest import Manifest
from sedas_sync.model.files import form_differs
from sedas_sync.model.local import LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.plan import ActionKind, Plan
from sedas_sync.model.portable import LINK_LEFT_OUT
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.operations.context import MirrorContext
from sedas_sync.planning.lock import hashes_of_rules
from sedas_sync.state.history import complete_searches, forget_complete_searches

_SETTLED_AFTER = timedelta(days=60)
"""Most scenes that come late or are processed again have come by then."""


def settled_searches(context: MirrorContext, manifest: Manifest, now: datetime) -> dict[str, DatasetSearch]:
    """Return the datasets for which the archives need not be asked, with the scenes of the last search.

    Args:
        context: The mirror.
        manifest: Has the datasets in question.
        now: The time that relative dates count from.
    """
    if not any(dataset.recheck for dataset in manifest.datasets.values()):
        return {}
    rules = hashes_of_rules(manifest)
    due: dict[str, DatasetSearch] = {}
    with context.state.index(write=False) as index:
        searches = complete_searches(index)
        for name, dataset in manifest.datasets.items():
            last = searches.get(name)
            if last is None or dataset.recheck is None or last.rules != rules[name]:
                continue
            ended = now - dataset.interval(now)[1]
            if ended > _SETTLED_AFTER and timedelta(0) <= now - last.at < timedelta(seconds=dataset.recheck):
                due[name] = DatasetSearch(name, asked=last.at)
        wanted = index.wanted() if due else {}
        ids = {scene_id for name in due for scene_id in wanted[name]}
        local = {scene.id: scene for scene in index.local_scenes() if scene.id in ids} if ids else {}
    scenes = dict(_unchanged(str(context.state.root), local))
    for name in list(due):
        if scenes.keys() >= set(wanted[name]):
            due[name].scenes = {scene_id: scenes[scene_id] for scene_id in wanted[name]}
        else:
            del due[name]
    return due


def _unchanged(root: str, local_scenes: Mapping[SceneId, LocalScene]) -> Iterator[tuple[SceneId, Scene]]:
    """Yield the scenes whose files need not be read, and that are on disk as the catalogue described them."""
    # What cannot be read is not unchanged.
    files = (
        tree_listing.listing(root, [path for scene in local_scenes.values() for path in scene.paths], unreadable={})
        if local_scenes
        else {}
    )
    for scene_id, local in local_scenes.items():
        if tree_listing.all_untouched(files, local):
            scene = _described(local)
            if scene is not None and form_differs(local, scene) is None:
                yield scene_id, scene


def _described(local: LocalScene) -> Scene | None:
    """Return a scene on disk as the catalogue described it; None if the index lacks its metadata.

    Sizes and checksums are those of the index, because another archive states others. Links are left out, so that they
    are looked up if a file disappears now.
    """
    try:
        scene = scene_from_metadata(local.facts)
    except (TypeError, ValueError):
        return None
    here = {file.name: file for file in local.files}
    files = tuple(
        replace(one, url=LINK_LEFT_OUT, size=here[one.name].size, digest=here[one.name].digest)
        for one in scene.assets
        if one.name in here
    )
    if len(files) < len(scene.assets):
        return None
    delivered = local.delivered
    return replace(
        scene, size=delivered.size, digest=delivered.digest, download_url=LINK_LEFT_OUT, offline=None, assets=files
    )


def take_descriptions(settled: Iterable[DatasetSearch], searched: Iterable[DatasetSearch]) -> None:
    """Describe scenes of settled datasets as searches of other datasets have just returned them."""
    others = list(searched)
    for offer in settled:
        for other in others:
            for scene_id in offer.scenes.keys() & other.scenes.keys():
                offer.scenes[scene_id] = other.scenes[scene_id]
                if scene_id in other.sources:
                    offer.sources[scene_id] = other.sources[scene_id]


def unfinished_scenes(plan: Plan) -> dict[str, set[SceneId]]:
    """Return the scenes of each dataset that the plan has something to do for, or that it cannot download."""
    todo: dict[str, set[SceneId]] = {}
    for action in plan.of({*ActionKind} - {ActionKind.KEEP, ActionKind.PRUNE}):
        for name in action.datasets:
            todo.setdefault(name, set()).add(action.id)
    return todo


def forget_earlier_searches(context: MirrorContext, plan: Plan) -> None:
    """Forget the complete searches of datasets that the plan has something to do for; the mirror's lock is held.

    It is done before anything else: a plan that is refused, cancelled or killed must not be forgotten by later runs.
    """
    with context.state.index(write=False) as index:
        known = complete_searches(index)
    if known and (names := unfinished_scenes(plan).keys() & known.keys()):
        with context.state.index(write=True) as index:
            index.skip_when_full = True
            forget_complete_searches(index, names)
