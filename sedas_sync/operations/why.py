"""Explain one scene."""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from fnmatch import fnmatchcase

from msgspec.structs import replace

from sedas_sync.archives.protocol import Warn
from sedas_sync.errors import ManifestError
from sedas_sync.model.local import LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.plan import Action
from sedas_sync.model.reason import Reason, ReasonCode, RuleName
from sedas_sync.model.scene import DesiredScene, Scene, SceneId, Source
from sedas_sync.model.text import is_unicode, product_id
from sedas_sync.operations.context import Listener, MirrorContext, ignore
from sedas_sync.operations.lock_file import matching_lock_or_warning
from sedas_sync.operations.plan import look_at_disk, make_plan
from sedas_sync.operations.prune import judge_unwanted, without_changed
from sedas_sync.operations.search import SearchResult, search_archives
from sedas_sync.operations.wants import Wants
from sedas_sync.planning import prune
from sedas_sync.planning.explain import Explanation, Pruning, Sibling, naming
from sedas_sync.planning.filters import FILTERS
from sedas_sync.planning.match import Exclusion, exclusion
from sedas_sync.planning.product_name import parse_name, tile_of
from sedas_sync.planning.sources import rank_sources, unique_sources

_LISTED = 20
"""Most ids that are listed if several fit."""


def explain_scene(
    context: MirrorContext,
    scene_id: SceneId,
    *,
    on_event: Listener = ignore,
    on_found: Callable[[int], None] | None = None,
) -> Explanation:
    """Explain one scene: which datasets it matches or which rule excludes it, and what is on disk.

    Searches as `plan` does, and looks the scene up if no search returned it.

    Args:
        context: The mirror.
        scene_id: The scene's id; or its beginning, a part of it, or a pattern such as `S2?_*_T30UXC_*`, if only one
            scene of the search or on disk has it.
        on_event: Called with every event.
        on_found: Called with the number of scenes found, a few times a second.

    Raises:
        ManifestError: Several scenes have this beginning or part; the message lists them.
    """
    with context.state.index(write=False) as index:
        warnings = index.warnings
        context.state.check_owner(index)
        local_scenes, placed = list(index.local_scenes()), list(index.orders())
        errors = index.last_errors()
    found = search_archives(context, on_event=on_event, on_found=on_found, explain=True)
    ids = {item.id for item in local_scenes}.union(*(offer.scenes for offer in found.offers.values()))
    scene_id = _resolved(scene_id, ids)
    local = next((item for item in local_scenes if item.id == scene_id), None)
    order = next((item for item in placed if item.id == scene_id), None)
    scene = next((offer.scenes[scene_id] for offer in found.offers.values() if scene_id in offer.scenes), None)
    reported = list(found.warnings)
    if scene is None:
        scene_id, scene = _beyond_the_search(context, scene_id, ids, reported.append)
    listed = scene is not None
    if scene is None and local is not None:
        scene = scene_from_metadata(local.facts)
    want, action = found.wants.get(scene_id), None
    if want is not None:
        action, warnings = _planned(context, want, warnings)
    return Explanation(
        id=scene_id,
        scene=scene,
        listed=listed,
        verdicts={} if scene is None else _verdicts(context, scene, found),
        action=action,
        local=local,
        order=order if action is None or action.order is None else action.order,
        last_error=errors.get(scene_id),
        sources=_sources(context, scene_id, want, found),
        local_from=_local_from(context, local),
        pruning=None if local is None or want is not None else _pruning(context, local, found),
        archive_warnings=naming(scene_id, reported),
        same_day=same_tile_and_day(scene or Scene(id=scene_id), found),
        in_lock=_in_lock(context, scene_id, warnings),
        warnings=tuple(warnings),
    )


def _planned(context: MirrorContext, want: DesiredScene, earlier: list[str]) -> tuple[Action, list[str]]:
    """Return what a plan does about one scene, and the warnings about it."""
    wants = Wants(scenes={want.scene.id: want})
    disk = look_at_disk(context, wants)
    plan = make_plan(context, wants, disk, earlier=earlier)
    (action,) = plan.actions
    return action, [warning for warning in plan.warnings if warning not in disk.inspection.warnings]


def _in_lock(context: MirrorContext, scene_id: SceneId, warnings: list[str]) -> bool | None:
    """Return whether the lock file has a scene; None, with a warning if it is of no use, if there is none."""
    try:
        lock = matching_lock_or_warning(context.manifest, warnings)
    except ManifestError as error:
        warnings.append(str(error))
        return None
    return None if lock is None else scene_id in lock.scenes


def _beyond_the_search(
    context: MirrorContext, scene_id: SceneId, ids: AbstractSet[SceneId], warn: Warn
) -> tuple[SceneId, Scene | None]:
    """Return a scene that no search returned, and its id; None if no archive has it."""
    scene = _look_up(context, scene_id, warn)
    if scene is not None or scene_id in ids:
        return scene_id, scene
    # An archive applies some rules itself, so that it does not return what they exclude.
    others = {other.id: other for other in _without_rules(context)}
    scene_id = _resolved(scene_id, others.keys())
    return scene_id, others.get(scene_id)


def _without_rules(context: MirrorContext) -> list[Scene]:
    """Search for all scenes over the areas and dates of the datasets, whatever their other rules are."""
    datasets = {
        name: dataset.model_copy(update={key: type(dataset).model_fields[key].get_default() for key in _RULES})
        for name, dataset in context.manifest.datasets.items()
        if not dataset.products
    }
    found = search_archives(replace(context, manifest=replace(context.manifest, datasets=datasets)))
    return [scene for offer in found.offers.values() for scene in offer.scenes.values()]


_RULES = (*(one.key for one in FILTERS), "orbits")
"""Keys of a dataset that an archive may apply in its search."""


def _resolved(part: str, ids: AbstractSet[SceneId]) -> SceneId:
    """Return the id that a text stands for; the text itself if no known id has it as a part."""
    if part in ids:
        return part
    # A file may be named without the ending of its id, or with another one.
    if exact := {product_id(known): known for known in ids}.get(product_id(part)):
        return exact
    low = part.casefold()
    is_pattern = any(char in "*?" for char in part)
    matches = [known for known in ids if fnmatchcase(known.casefold(), low)] if is_pattern else []
    matches = matches or [known for known in ids if known.casefold().startswith(low)]
    matches = matches or [known for known in ids if low in known.casefold()]
    if len(matches) > 1:
        listed = sorted(matches)
        more = [f"and {len(listed) - _LISTED:,} more"] if len(listed) > _LISTED else []
        raise ManifestError([f"{len(listed):,} scenes have {part!r} in their ids; name one:", *listed[:_LISTED], *more])
    return matches[0] if matches else part


def same_tile_and_day(scene: Scene, found: SearchResult) -> tuple[Sibling, ...]:
    """Return the other scenes of the same tile and day that the search returned, each with what became of it."""
    place = _tile_and_day(scene)
    offered = {one.id: one for offer in found.offers.values() for one in offer.scenes.values() if one.id != scene.id}
    siblings = []
    for other in sorted(offered.values(), key=lambda one: one.id) if place is not None else ():
        if _tile_and_day(other) == place:
            want = found.wants.get(other.id)
            excluded = found.selection.excluded.get(other.id, {})
            why = next((f"{name} excludes it ({why.rule}): {why.detail}" for name, why in excluded.items()), None)
            datasets = () if want is None else want.datasets
            siblings.append(Sibling(id=other.id, datasets=datasets, exclusion=None if datasets else why))
    return tuple(siblings)


def _tile_and_day(scene: Scene) -> tuple[str, str] | None:
    """Return the tile and the day of a scene; None if one of them is not known."""
    tile = tile_of(scene)
    day = f"{scene.start:%Y%m%d}" if scene.start is not None else (parse_name(scene.id).start or "")[:8]
    return (tile, day) if tile and day else None


def _sources(
    context: MirrorContext, scene_id: SceneId, want: DesiredScene | None, found: SearchResult
) -> tuple[Source, ...]:
    if len(context.manifest.archives) == 1:
        return ()
    listed = unique_sources(offer.sources.get(scene_id, ()) for offer in found.offers.values())
    return rank_sources(listed or (() if want is None else want.sources))


def _local_from(context: MirrorContext, local: LocalScene | None) -> str | None:
    """Return the key of the archive that a scene was downloaded from, if the manifest has several."""
    if local is None or len(context.manifest.archives) == 1:
        return None
    return next((key for key, name in context.archives.identities.items() if name == local.archive), None)


def _pruning(context: MirrorContext, local: LocalScene, found: SearchResult) -> Pruning:
    """Return what `apply --prune` would do with a scene that matches no dataset."""
    if not found.complete:
        return Pruning(removes=False, reason=Reason(ReasonCode.SEARCH_INCOMPLETE))
    decision = judge_unwanted(context, found)
    after = next((action.after for action in decision.prune if action.id == local.id), ())
    newer = Wants(scenes={scene_id: found.wants[scene_id] for scene_id in after if scene_id in found.wants})
    planned = make_plan(context, newer, look_at_disk(context, newer)).actions
    decision = prune.keep_until_superseded(decision, planned)
    removals, changed = without_changed(
        context.state.root, (action for action in decision.prune if action.id == local.id)
    )
    if removals:
        return Pruning(removes=True, reason=removals[0].reason)
    kept = next((action.reason for action in decision.kept if action.id == local.id), None)
    doubt = changed.get(local.id) or decision.doubts.get(local.id, "it is kept")
    return Pruning(removes=False, reason=kept or Reason(ReasonCode.IN_DOUBT, detail=doubt))


def _look_up(context: MirrorContext, scene_id: SceneId, warn: Warn) -> Scene | None:
    if not is_unicode(scene_id):  # it cannot be sent to an archive
        return None
    for archive in context.archives.of(context.manifest).values():
        for scene in archive.look_up([scene_id], warn=warn):
            return scene
    return None


def _verdicts(context: MirrorContext, scene: Scene, found: SearchResult) -> dict[str, Exclusion | None]:
    """Return why each dataset does not match a scene, judged by the whole search if it returned the scene."""
    want = found.wants.get(scene.id)
    verdicts: dict[str, Exclusion | None] = {}
    for name, dataset in context.manifest.datasets.items():
        if want is not None and name in want.datasets:
            verdicts[name] = None
            continue
        why = found.selection.excluded.get(scene.id, {}).get(name)
        why = why or exclusion(dataset, context.manifest.aois, scene, context.clock())
        complete = found.offers[name].complete
        missed = "archive's search did not return it" if complete else "search failed or is incomplete"
        verdicts[name] = why or Exclusion(RuleName.SEARCH, f"it matches every rule, but the {missed}")
    return verdicts
