"""Add removals to a plan: local scenes that no longer match the manifest or its lock file, if nothing is in doubt."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from msgspec.structs import replace

from sedas_sync.archives.lookup import archives_of
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.files import tree_listing
from sedas_sync.model.disk import FileState
from sedas_sync.model.events import Failure
from sedas_sync.model.history import Departure
from sedas_sync.model.local import LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.plan import Action, ActionKind, Plan
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.model.text import count, named, size
from sedas_sync.model.times import to_iso
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.lock_file import lock_path, matching_lock_or_warning
from sedas_sync.operations.search import SearchResult
from sedas_sync.planning import prune
from sedas_sync.planning.departures import departures, matches
from sedas_sync.planning.limits import warn_of_removals, without_prunes
from sedas_sync.planning.lock import Lock
from sedas_sync.state.history import date_rules, last_run, last_time, listed
from sedas_sync.state.index import Index
from sedas_sync.state.inspect import state_of
from sedas_sync.state.staging import unwanted_downloads

_CLOCKS_APART = timedelta(hours=1)
_ORDER_EXPIRES = timedelta(days=30)
"""Archives restore a scene in hours or days, and offer it for some weeks at most."""


def add_prunes(context: MirrorContext, plan: Plan, found: SearchResult, *, relock: bool = False) -> Plan:
    """Return the plan with the removal of local scenes that no longer match the manifest.

    Args:
        context: The mirror.
        plan: The plan.
        found: The search.
        relock: The lock file is updated afterwards.
    """
    if not found.complete:
        return without_prunes(plan, "nothing is removed: the search failed or is incomplete")
    if _wrong_clock(context) is None:
        plan = _with_unwanted_downloads(plan, context.state.root, (want.scene for want in found.wants.values()))
        plan = _with_unwanted_orders(plan, context, found)
    decision = judge_unwanted(context, found)
    plan, removals = _with_removals(context, plan, decision)
    kept = {action.id for action in decision.keep}
    return replace(
        plan,
        failures=tuple(failure for failure in plan.failures if failure.id not in kept),
        warnings=(*plan.warnings, *_warn_of_locked(context, () if relock else removals)),
    )


def _with_removals(context: MirrorContext, plan: Plan, decision: prune.PruneDecision) -> tuple[Plan, list[Action]]:
    """Return the plan with what was decided about scenes that it does not want, and its removals."""
    decision = prune.keep_until_superseded(decision, plan.actions)
    removals, changed = without_changed(context.state.root, decision.prune)
    with context.state.index(write=False) as index:
        many = warn_of_removals(removals, index.count())
    refusals = () if decision.refusal is None else (Failure(id=ActionKind.PRUNE.value, error=decision.refusal),)
    plan = replace(
        plan,
        actions=(*plan.actions, *decision.keep, *decision.stay, *removals),
        warnings=(
            *plan.warnings,
            *decision.doubts.values(),
            *decision.warnings,
            *prune.warn_of_unlisted(decision.keep),
            *changed.values(),
            *many,
        ),
        refusals=(*plan.refusals, *refusals),
    )
    return plan, removals


def _warn_of_locked(context: MirrorContext, removals: Iterable[Action]) -> Iterator[str]:
    """Yield a warning if scenes of the lock file are to be removed: without `--locked` the manifest decides."""
    ids, lock = [action.id for action in removals], None
    with suppress(ManifestError):
        lock = matching_lock_or_warning(context.manifest, []) if ids else None
    if lock is not None and (locked := [scene_id for scene_id in ids if scene_id in lock.scenes]):
        yield (
            f"{named(locked)}: to be removed, and in {lock_path(context.manifest.name)}: update the lock file with "
            "`apply --update-lock` or `sedas-sync lock`"
        )


def add_prunes_by_lock(context: MirrorContext, plan: Plan, lock: Lock) -> Plan:
    """Return the plan with the removal of local scenes that are not in the lock file and can be downloaded again."""
    if not plan.search_complete:
        return without_prunes(plan, "nothing is removed: not every scene of the lock file could be looked up")
    with context.state.index(write=False) as index:
        unwanted = [local for local in index.local_scenes() if local.id not in lock.scenes]
    wants = {action.id: action.wanted for action in plan.actions if action.wanted is not None}
    look_up = context.look_up()
    if unwanted and _has_relative_dates(context):
        # The archives' clocks are known only after a request.
        everywhere = archives_of(context.manifest, context.manifest.datasets)
        look_up.ask(dict.fromkeys((local.id for local in unwanted), everywhere))
    decision = _judge(context, wants, {}, unwanted)
    look_up.ask({action.id: archives_of(context.manifest, action.datasets) for action in decision.keep})
    lookup_errors = {failure.id: failure.error for failure in look_up.failures}
    return _with_removals(context, plan, prune.judge_by_lock(decision, lookup_errors, wants))[0]


def _unchanged_since(context: MirrorContext) -> dict[str, datetime]:
    """Return since when the start date of each dataset has been the same; empty if no archive's clock is known."""
    if not context.archives.server_times:
        return {}
    with context.state.index(write=False) as index:
        rules = date_rules(index)
    return {
        name: rules[name].since
        for name, dataset in context.manifest.datasets.items()
        if name in rules and dataset.start is not None and rules[name].start == dataset.start.text
    }


def find_departures(context: MirrorContext, found: SearchResult, datasets: Collection[str]) -> tuple[Departure, ...]:
    """Return what became of the scenes that were wanted at the last search and are not now.

    Args:
        context: The mirror.
        found: The search.
        datasets: Those that it was limited to; a limited search shows no departures.
    """
    if datasets or not found.complete:
        return ()
    offered = {scene_id: scene for offer in found.offers.values() for scene_id, scene in offer.scenes.items()}
    with context.state.index(write=False) as index:
        gone = listed(index) - found.wants.keys()
        known = _remembered(index, gone - offered.keys())
    scenes = {scene_id: offered.get(scene_id) or known.get(scene_id) for scene_id in sorted(gone)}
    return tuple(departures(context.manifest, found.wants, scenes, offered.keys(), context.clock()))


def _remembered(index: Index, ids: Collection[SceneId]) -> dict[SceneId, Scene]:
    """Return those of these scenes of which the index has metadata, whether they are on disk or not."""
    facts = {scene_id: known for scene_id, known in index.absent().items() if scene_id in ids} if ids else {}
    facts |= {scene.id: scene.facts for scene in map(index.local_scene, ids) if scene is not None}
    scenes = {}
    for scene_id, text in facts.items():
        with suppress(ValueError, TypeError):
            scenes[scene_id] = scene_from_metadata(text)
    return scenes


def judge_unwanted(context: MirrorContext, found: SearchResult) -> prune.PruneDecision:
    """Judge local scenes that are not among the matches of a complete search.

    Args:
        context: The mirror.
        found: The search.
    """
    with context.state.index(write=False) as index:
        unwanted = [local for local in index.local_scenes() if local.id not in found.wants]
    offered = {
        local.id: offer.scenes[local.id]
        for local in unwanted
        for offer in found.offers.values()
        if local.id in offer.scenes
    }
    return _judge(context, found.wants, offered, unwanted)


def _judge(
    context: MirrorContext,
    wants: Mapping[SceneId, DesiredScene],
    offered: Mapping[SceneId, Scene],
    unwanted: Iterable[LocalScene],
) -> prune.PruneDecision:
    """Judge local scenes that are not wanted; `offered` are those that the search returned."""
    decision = prune.judge(
        context.manifest,
        wants,
        offered,
        unwanted,
        context.clock(),
        wrong_clock=_wrong_clock(context),
        since=_unchanged_since(context),
    )
    return prune.remove_without_files(decision, _without_files(context, decision))


def _without_files(context: MirrorContext, decision: prune.PruneDecision) -> set[SceneId]:
    """Return the scenes that are kept only by the index: no file of them is on disk."""
    here = [action.local for action in decision.keep if action.local is not None]
    paths = [path for local in here for path in local.paths]
    unreadable: tree_listing.Unreadable = {}
    files = tree_listing.listing(str(context.state.root), paths, unreadable=unreadable) if paths else {}
    return {
        local.id
        for local in here
        if files.keys().isdisjoint(local.paths)
        and not any(tree_listing.hidden_by(path, unreadable) for path in local.paths)
    }


def _has_relative_dates(context: MirrorContext) -> bool:
    return any(dataset.relative for dataset in context.manifest.datasets.values())


def _wrong_clock(context: MirrorContext) -> str | None:
    """Return why this machine's clock may be wrong; None if nothing suggests it or no date is relative."""
    return clock_doubt(context) if _has_relative_dates(context) else None


def clock_doubt(context: MirrorContext) -> str | None:
    """Return why this machine's clock may be wrong; None if nothing suggests it."""
    now = context.clock()
    clocks = context.archives.server_times
    for key, time in clocks.items():
        if abs(time - now) > _CLOCKS_APART:
            return f"this machine's clock shows {_second(now)}, that of archive {key} {_second(time)}"
    with context.state.index(write=False) as index:
        run = last_run(index)
        # Without an archive's clock an older run counts too, because a clock that is wrong for long has also dated the
        # last run. If an archive's clock agrees, the clock was wrong in that run.
        last = last_time(index) if not clocks else None if run is None else max(run.started, run.ended or run.started)
    if last is not None and now < last:
        return f"this machine's clock shows {_second(now)}, and a run of this mirror was at {_second(last)}"
    return None


def _second(time: datetime) -> str:
    return to_iso(time.replace(microsecond=0))


def _with_unwanted_downloads(plan: Plan, root: Path, wanted: Iterable[Scene]) -> Plan:
    """Return the plan with the removal of partial downloads of scenes that no longer match, and a warning."""
    found, bytes_ = unwanted_downloads(str(root), wanted)
    if not found:
        return plan
    warning = f"{count(len(found), 'partial download')} ({size(bytes_)}) of scenes that no longer match will be removed"
    return replace(plan, unwanted_downloads=found, warnings=(*plan.warnings, warning))


def _with_unwanted_orders(plan: Plan, context: MirrorContext, found: SearchResult) -> Plan:
    """Return the plan with the orders to forget: those of scenes that the manifest's rules exclude.

    The order of a scene that has only disappeared from the catalogue stays for a while, because it may come back.
    """
    listed = {scene_id for offer in found.offers.values() for scene_id in offer.scenes}
    with context.state.index(write=False) as index:
        orders = [order for order in index.orders() if order.id not in found.wants]
        others = [order.id for order in orders]
        known = _remembered(index, others)
    old = {order.id for order in orders if context.clock() - order.placed > _ORDER_EXPIRES}
    if forgotten := [scene_id for scene_id in others if scene_id not in known.keys() | listed | old]:
        # The index was lost after they were ordered.
        look_up = context.look_up()
        look_up.ask(dict.fromkeys(forgotten, archives_of(context.manifest, context.manifest.datasets)))
        found_now = {scene_id: look_up.found(scene_id) for scene_id in forgotten}
        known |= {scene_id: scene for scene_id, scene in found_now.items() if scene is not None}
    unwanted = [
        scene_id
        for scene_id in others
        if scene_id in listed | old
        or (scene_id in known and not matches(context.manifest, known[scene_id], context.clock()))
    ]
    if not unwanted:
        return plan
    warning = f"{count(len(unwanted), 'order')} of scenes that no longer match will be forgotten: {named(unwanted)}"
    return replace(plan, unwanted_orders=tuple(unwanted), warnings=(*plan.warnings, warning))


def without_changed(root: Path, removals: Iterable[Action]) -> tuple[list[Action], dict[SceneId, str]]:
    """Leave out removals of files that a user has changed; return the others, and a warning for each one left out."""
    ours: list[Action] = []
    warnings: dict[SceneId, str] = {}
    for action in removals:
        try:
            if action.local is not None and state_of(str(root), action.local) is FileState.DAMAGED:
                why = "no longer matches, but was changed since it was downloaded; kept"
                warnings[action.id] = f"{action.path}: {why}"
                continue
        except (OSError, SedasSyncError) as error:
            warnings[action.id] = f"{action.path}: no longer matches, but cannot be read; kept: {error}"
            continue
        ours.append(action)
    return ours, warnings
