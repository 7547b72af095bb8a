"""Explain one scene."""

from collections.abc import Callable

from sedas_sync.archives.protocol import Warn
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.reason import Reason, ReasonCode, RuleName
from sedas_sync.model.scene import DesiredScene, LocalScene, Scene, SceneId, Source
from sedas_sync.model.text import product_id
from sedas_sync.operations.context import Listener, MirrorContext, ignore
from sedas_sync.operations.plan import look_at_disk, make_plan
from sedas_sync.operations.prune import find_wrong_clock, judge_unwanted, without_changed
from sedas_sync.operations.search import SearchResult, search_archives
from sedas_sync.operations.wants import Wants
from sedas_sync.planning import prune
from sedas_sync.planning.explain import Explanation, Pruning, naming
from sedas_sync.planning.match import Exclusion, exclusion
from sedas_sync.planning.sources import rank_sources, unique_sources


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
        context: the mirror.
        scene_id: the scene.
        on_event: called with every event.
        on_found: called with the number of scenes found, a few times a second.
    """
    with context.state.index(write=False) as (index, warnings):
        context.state.check_owner(index)
        local, placed = list(index.local_scenes()), list(index.orders())
        errors = index.last_errors()
    found = search_archives(context, on_event=on_event, on_found=on_found, explain=True)
    ids = {item.id for item in local}.union(*(offer.scenes for offer in found.offers.values()))
    if scene_id not in ids:
        # A file may be named without the ending of its id, or with another one.
        scene_id = {product_id(known): known for known in ids}.get(product_id(scene_id), scene_id)
    held = next((item for item in local if item.id == scene_id), None)
    order = next((item for item in placed if item.id == scene_id), None)
    last_error = errors.get(scene_id)
    scene = next((offer.scenes[scene_id] for offer in found.offers.values() if scene_id in offer.scenes), None)
    reported = list(found.warnings)
    scene = scene or _look_up(context, scene_id, reported.append)
    listed = scene is not None
    if scene is None and held is not None:
        scene = scene_from_metadata(held.facts)
    want, action = found.wants.get(scene_id), None
    if want is not None:
        wants = Wants(scenes={scene_id: want})
        disk = look_at_disk(context, wants)
        plan = make_plan(context, wants, disk, warnings=warnings)
        (action,) = plan.actions
        warnings = [warning for warning in plan.warnings if warning not in disk.inspection.warnings]
    return Explanation(
        id=scene_id,
        scene=scene,
        listed=listed,
        verdicts={} if scene is None else _verdicts(context, scene, found),
        action=action,
        held=held,
        order=order if action is None or action.order is None else action.order,
        last_error=last_error,
        sources=_sources(context, scene_id, want, found),
        held_from=_held_from(context, held),
        pruning=None if held is None or want is not None else _pruning(context, held, found),
        archive_warnings=naming(scene_id, reported),
        warnings=tuple(warnings),
    )


def _sources(
    context: MirrorContext, scene_id: SceneId, want: DesiredScene | None, found: SearchResult
) -> tuple[Source, ...]:
    if len(context.manifest.archives) == 1:
        return ()
    listed = unique_sources(offer.sources.get(scene_id, ()) for offer in found.offers.values())
    return rank_sources(listed or (() if want is None else want.sources))


def _held_from(context: MirrorContext, held: LocalScene | None) -> str | None:
    """Return the key of the archive that a scene was downloaded from, if the manifest has several."""
    if held is None or len(context.manifest.archives) == 1:
        return None
    return next((key for key, name in context.archives.identities.items() if name == held.archive), None)


def _pruning(context: MirrorContext, held: LocalScene, found: SearchResult) -> Pruning:
    """Return what `apply --prune` would do with a scene that matches no dataset."""
    if not found.complete:
        return Pruning(removes=False, reason=Reason(ReasonCode.SEARCH_INCOMPLETE))
    decision = judge_unwanted(context, found, find_wrong_clock(context))
    after = next((action.after for action in decision.prune if action.id == held.id), ())
    newer = Wants(scenes={scene_id: found.wants[scene_id] for scene_id in after if scene_id in found.wants})
    planned = make_plan(context, newer, look_at_disk(context, newer)).actions
    decision = prune.keep_until_superseded(decision, planned)
    removals, changed = without_changed(
        context.state.root, (action for action in decision.prune if action.id == held.id)
    )
    if removals:
        return Pruning(removes=True, reason=removals[0].reason)
    kept = next((action.reason for action in decision.kept if action.id == held.id), None)
    doubt = changed.get(held.id) or decision.doubts.get(held.id, "it is kept")
    return Pruning(removes=False, reason=kept or Reason(ReasonCode.IN_DOUBT, detail=doubt))


def _look_up(context: MirrorContext, scene_id: SceneId, warn: Warn) -> Scene | None:
    try:
        scene_id.encode()
    except UnicodeEncodeError:
        # A lone surrogate stands for a byte that is not text: it cannot be sent to an archive.
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
