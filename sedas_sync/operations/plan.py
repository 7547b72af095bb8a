"""Plan: from the scenes that a mirror has to contain to the actions that make it so. Changes no scene.

Every plan is made in the same steps: `wants_from_…` finds the desired scenes, `look_at_disk` compares the folder with
the index, and `make_plan` chooses the actions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.lookup import archives_of, with_metadata
from sedas_sync.archives.protocol import Warn, orders_of
from sedas_sync.errors import AuthenticationError, ManifestError, SedasSyncError, StoppedError
from sedas_sync.files import tree_listing
from sedas_sync.model.arguments import one_or_more
from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.events import Failure
from sedas_sync.model.file_kind import ZIP, ending_of
from sedas_sync.model.files import form_differs, is_packed_product
from sedas_sync.model.local import UNTRUSTED_MTIME, LocalScene
from sedas_sync.model.order import Order
from sedas_sync.model.plan import NEEDS_ARCHIVE, TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.results import VerifyReport
from sedas_sync.model.scene import ArchiveIdentity, ArchiveKey, DesiredScene, Scene, SceneId
from sedas_sync.model.text import count
from sedas_sync.operations.context import (
    Listener,
    MirrorContext,
    all_archive_facts,
    check_choice,
    filehash_of,
    ignore,
)
from sedas_sync.operations.lock import matching_lock
from sedas_sync.operations.prune import add_prunes, add_prunes_by_lock, find_departures
from sedas_sync.operations.recheck import forget_earlier_searches
from sedas_sync.operations.search import search_archives
from sedas_sync.operations.wants import (
    Wants,
    wants_from_findings,
    wants_from_lock,
    wants_from_scenes,
    wants_from_search,
)
from sedas_sync.planning.compare import Comparison, choose_actions, failed_if_missing, restated
from sedas_sync.planning.drift import either_form
from sedas_sync.planning.limits import warn_of_replacements
from sedas_sync.planning.select import with_endings_on_disk
from sedas_sync.planning.sizes import typical_sizes
from sedas_sync.planning.sources import waits_for_order, with_orders
from sedas_sync.state.index import Index
from sedas_sync.state.inspect import Inspection, inspect_mirror, is_folder_of, reprove


class Disk(Struct, frozen=True, kw_only=True):
    """What the folder and the index show of the desired scenes."""

    inspection: Inspection
    wants: Mapping[SceneId, DesiredScene]
    """The desired scenes, with sizes that had to be requested to check their files."""
    orders: Mapping[SceneId, Order]
    indexed: int
    """How many scenes the index has."""
    unpacks: bool = False
    """Whether the last apply unpacked zips."""
    warnings: tuple[str, ...] = ()
    """Problems of the index."""


# -- the kinds of plans ----------------------------------------------------------------------------------------------


def plan_mirror(
    context: MirrorContext,
    *,
    datasets: str | Iterable[str] = (),
    sizes: bool = False,
    on_event: Listener = ignore,
    on_found: Callable[[int], None] | None = None,
    take_over: bool = False,
    locked: bool = False,
    prune: bool = False,
    relock: bool = False,
    refresh: bool = False,
) -> Plan:
    """Return what `apply` would do. Orders nothing and changes no scene; polls pending orders once.

    Under the mirror's lock it also forgets the complete searches that the plan contradicts.

    Args:
        context: The mirror.
        datasets: Plan only these datasets.
        sizes: Request the sizes of scenes to download that the catalogue does not state.
        on_event: Called with every event.
        on_found: Called with the number of scenes found, a few times a second.
        take_over: Take the mirror from the manifest it belongs to.
        locked: Do not search; take exactly the scenes of the lock file.
        prune: Also remove files of scenes that no longer match; with `locked`, of scenes that are not in the lock file
            and can be downloaded again.
        relock: The lock file is updated afterwards, so that a removal of its scenes needs no warning.
        refresh: Ask the archives for every dataset, also if the manifest's `recheck` spares it; so does `relock`.

    Raises:
        LockMismatch: The lock file does not match the manifest.
        ManifestError: The mirror belongs to another manifest, there is no lock file, or `prune` is set with
            `datasets`.
    """
    datasets = one_or_more(datasets)
    check_choice(context, datasets, prune=prune)
    with context.state.index(write=False) as index:
        warnings = index.warnings
        context.state.check_owner(index, take_over=take_over)
    if locked:
        wants = wants_from_lock(context, datasets)
        plan = make_plan(context, wants, look_at_disk(context, wants), sizes=sizes, earlier=warnings)
        plan = replace(plan, locked=True)
        return add_prunes_by_lock(context, plan, matching_lock(context)) if prune else plan
    # A prune needs no search of its own: it removes nothing that still matches a rule, whatever a search returned.
    found = search_archives(context, datasets=datasets, on_event=on_event, on_found=on_found, refresh=refresh or relock)
    wants = wants_from_search(found)
    disk = look_at_disk(context, wants)
    plan = make_plan(context, wants, disk, sizes=sizes, earlier=warnings)
    failures, left = _failures_of_missing(plan), find_departures(context, found, datasets)
    plan = replace(plan, datasets=datasets, failures=failures, left=left, searched=found.searched, made=found.time)
    if not disk.indexed:
        plan = replace(plan, warnings=(*plan.warnings, *_untracked_files(context, plan)))
    if context.state.is_locked:
        # This plan is about to be carried out.
        forget_earlier_searches(context, plan)
    return add_prunes(context, plan, found, relock=relock) if prune else plan


def _failures_of_missing(plan: Plan) -> tuple[Failure, ...]:
    """Return the failures of a plan, but not of scenes on disk: a named product there need not be in the catalogue."""
    on_disk = {action.id for action in plan.actions if action.local is not None}
    return tuple(failure for failure in plan.failures if failure.id not in on_disk)


def _untracked_files(context: MirrorContext, plan: Plan) -> list[str]:
    """Return a warning if a mirror whose index is empty has files: they may be scenes with other names."""
    # What cannot be read has its warning already.
    number = sum(entry.is_file for entry in tree_listing.scan(str(context.state.root), unreadable={}))
    number -= sum(len(action.local.files) for action in plan.actions if action.local is not None)
    if number <= 0:
        return []
    files = f"{count(number, 'file')} in the mirror {'is' if number == 1 else 'are'} not in the index"
    adopt = "`sedas-sync adopt` finds scenes among them, so that they are not downloaded again"
    return [f"{files}: {adopt}; with --all also those that no longer match"]


def plan_scenes(context: MirrorContext, scenes: Iterable[Scene]) -> Plan:
    """Plan the download of these scenes, whatever the manifest's rules are."""
    wants = wants_from_scenes(context, scenes)
    return make_plan(context, wants, look_at_disk(context, wants))


def plan_repair(context: MirrorContext, report: VerifyReport) -> Plan:
    """Plan the download of what `verify` found missing, changed or corrupt."""
    wants = wants_from_findings(context, report)
    disk = look_at_disk(context, wants)
    _distrust(disk.inspection.observed, report)
    return make_plan(context, wants, disk)


def _distrust(observed: dict[SceneId, DiskState], report: VerifyReport) -> None:
    """Mark scenes as damaged that look intact and are not: only reading every byte showed it."""
    wrong: dict[SceneId, set[str]] = {}
    for file in report.repairable:
        if file.id in observed:
            wrong.setdefault(file.id, set()).add(file.name)
    for scene_id, names in wrong.items():
        here = observed[scene_id]
        local, state = here.local, here.state
        if local is not None:
            members = tuple(
                replace(file, mtime_ns=UNTRUSTED_MTIME) if file.name in names else file for file in local.members
            )
            local = replace(local, members=members)
        state = FileState.DAMAGED if state is FileState.INTACT else state
        observed[scene_id] = replace(here, local=local, state=state)


def without_what_is_done(context: MirrorContext, plan: Plan) -> Plan:
    """Return a plan that keeps the scenes which another run has put in place since the plan was made.

    The mirror's process lock is held.
    """
    wants = {
        action.id: action.wanted for action in plan.of({*NEEDS_ARCHIVE, ActionKind.ADOPT}) if action.wanted is not None
    }
    if not wants:
        return plan
    before = {action.id: action.local for action in plan.actions}
    with context.state.index(write=False) as index:
        new = {key for key, local in index.local_scenes_of(wants).items() if not local.has_same_file(before[key])}
    if not new:
        return plan
    disk = look_at_disk(context, Wants(scenes={scene_id: wants[scene_id] for scene_id in new}))
    now = choose_actions(disk.wants, disk.inspection.observed, disk.orders, context.comparison(plan.identities))
    kept = {action.id: action for action in now if action.kind is ActionKind.KEEP}
    return replace(plan, actions=tuple(kept.get(action.id, action) for action in plan.actions))


def with_links(context: MirrorContext, plan: Plan) -> Plan:
    """Return a plan from JSON with the links that its JSON left out. Scenes that no archive has become failures.

    Raises:
        AuthenticationError: An archive rejected the credentials, or there are none.
    """
    if not plan.of(NEEDS_ARCHIVE):
        return plan
    actions = tuple(map(_to_poll_again, plan.actions))
    needed = (action for action in actions if action.kind in NEEDS_ARCHIVE)
    wants = {action.id: action.wanted for action in needed if action.wanted is not None and action.wanted.lacks_links}
    if not wants:
        return replace(plan, actions=actions)
    context.step("looking up scenes", len(wants))
    look_up = context.look_up()
    now = look_up.refresh(wants, {})
    return replace(
        plan,
        actions=tuple(
            replace(action, wanted=now.get(action.id, action.wanted))
            for action in actions
            if action.id in now or action.id not in wants
        ),
        failures=(*plan.failures, *look_up.failures),
        warnings=(*plan.warnings, *look_up.warnings),
    )


def _to_poll_again(action: Action) -> Action:
    """Return an action that waits for its order if the order is ready and its link was left out."""
    lacks_link = action.kind in TRANSFERS and action.order is not None and action.order.download_url is None
    return replace(action, kind=ActionKind.WAIT) if lacks_link else action


# -- disk ------------------------------------------------------------------------------------------------------------


def look_at_disk(context: MirrorContext, wants: Wants) -> Disk:
    """Compare the folder and the index with the desired scenes."""
    with context.state.index(write=False) as index:
        warnings = index.warnings
        context.step("looking at the mirror", len(wants.scenes))
        local_scenes = index.local_scenes_of(wants.scenes)
        expected = with_endings_on_disk(wants.scenes, local_scenes.values())
        described = _with_index_metadata(context, index, expected, local_scenes) if wants.locked else expected
        sized = _with_remote_sizes(context, described, local_scenes)
        inspection = inspect(context, sized, local_scenes.values())
        scenes = with_endings_on_disk(sized, inspection.found)
        comparison = context.comparison(None if wants.saved is None else wants.saved.identities)
        changed = restated(scenes, inspection.observed, comparison)
        reprove(str(context.state.root), inspection, changed, context.state.on_step)
        return Disk(
            inspection=inspection,
            wants=scenes,
            orders={order.id: order for order in index.orders()},
            indexed=index.count(),
            unpacks=index.unpacks,
            warnings=tuple(warnings),
        )


def _with_index_metadata(
    context: MirrorContext,
    index: Index,
    scenes: Mapping[SceneId, DesiredScene],
    local_scenes: Mapping[SceneId, LocalScene],
) -> Mapping[SceneId, DesiredScene]:
    """Add the metadata of the index to scenes of a lock file that will be moved or unpacked, which writes it again."""
    unpack = context.manifest.mirror.unpack
    rewritten = [
        scene_id
        for scene_id, local in local_scenes.items()
        if local.path != scenes[scene_id].path or (unpack and is_packed_product(local))
    ]
    if not rewritten:
        return scenes
    facts = index.facts()
    return {**scenes, **{scene_id: with_metadata(scenes[scene_id], facts[scene_id]) for scene_id in rewritten}}


def _with_remote_sizes(
    context: MirrorContext, scenes: Mapping[SceneId, DesiredScene], local_scenes: Mapping[SceneId, LocalScene]
) -> Mapping[SceneId, DesiredScene]:
    """Request the sizes of the files of folders that are not in the index: nothing else can prove these files."""
    root = context.state.root
    untracked = [want for scene_id, want in scenes.items() if scene_id not in local_scenes and is_folder_of(root, want)]
    return {**scenes, **context.remote_sizes.complete(untracked)} if untracked else scenes


def inspect(
    context: MirrorContext, wants: Mapping[SceneId, DesiredScene], local_scenes: Iterable[LocalScene]
) -> Inspection:
    """Compare the files of desired scenes, and of scenes of the index, with the folder."""
    return inspect_mirror(
        context.state.root,
        wants,
        local_scenes,
        level=context.manifest.transfer.integrity,
        filehash=filehash_of(context.manifest),
        on_step=context.state.on_step,
    )


# -- the plan --------------------------------------------------------------------------------------------------------


def make_plan(
    context: MirrorContext, wants: Wants, disk: Disk, *, sizes: bool = False, earlier: Iterable[str] = ()
) -> Plan:
    """Choose the action of each desired scene.

    Asks the archives once for scenes that have to be looked up and for orders that are pending.

    Args:
        context: The mirror.
        wants: The desired scenes.
        disk: What is on disk.
        sizes: Request the sizes of scenes to download that the catalogue does not state.
        earlier: Earlier warnings.

    Raises:
        AuthenticationError: An archive rejected the credentials, or there are none.
    """
    observed = disk.inspection.observed
    warnings = list(dict.fromkeys((*earlier, *disk.warnings)))
    scenes = disk.wants if wants.look_up is None else wants.look_up.refresh(disk.wants, observed)
    keys = _archives_of_orders(context, scenes, disk.orders)
    scenes, orders, unknown_orders = with_orders(scenes, disk.orders, keys)
    warnings.extend(unknown_orders)
    comparison = context.comparison(None if wants.saved is None else wants.saved.identities)
    scenes, comparison = _with_kept_forms(context, wants, scenes, disk.inspection, comparison)
    polled = _poll(context, orders, scenes, warnings)
    orders.update((order.id, order) for order in polled)
    context.step("comparing", len(scenes))
    actions = choose_actions(scenes, observed, orders, comparison)
    if sizes:
        actions = _with_sizes(context, actions, warnings.append)
    warnings.extend(warn_of_replacements(actions, disk.indexed))
    if disk.unpacks and not context.manifest.mirror.unpack:
        warnings.extend(_staying_folders(actions))
    sizes_of_archives = {key: archive.SCENE_SIZE for key, archive in context.manifest.archives.items()}
    failures, later, complete = _look_up_results(wants)
    return Plan(
        manifest=context.manifest.name,
        mirror=str(context.state.root),
        archive=context.manifest.first_archive,
        archives=all_archive_facts(context.manifest),
        actions=actions,
        search_complete=complete,
        failures=failures,
        warnings=(*warnings, *disk.inspection.warnings, *later),
        refreshed=tuple(disk.inspection.refreshed),
        polled=tuple(polled),
        identities=comparison.identities,
        typical_sizes=typical_sizes(actions, sizes_of_archives),
    )


def _look_up_results(wants: Wants) -> tuple[tuple[Failure, ...], tuple[str, ...], bool]:
    """Return the failures and warnings of how the scenes were found, and whether these are all that match."""
    look_up = wants.look_up
    if look_up is None:
        return wants.failures, wants.warnings, wants.complete
    complete = wants.complete and (wants.saved is not None or not look_up.failures)
    return (*wants.failures, *look_up.failures), (*look_up.warnings, *wants.warnings), complete


def _staying_folders(actions: Iterable[Action]) -> Iterator[str]:
    """Yield a warning if scenes stay the folders that they were unpacked to."""
    kept = sum(action.local is not None and action.local.packed is not None for action in actions)
    if kept:
        yield f"{count(kept, 'scene')} on disk stay folders: `[mirror] unpack` is false now, and new scenes stay zips"


def _with_kept_forms(
    context: MirrorContext,
    wants: Wants,
    scenes: Mapping[SceneId, DesiredScene],
    inspection: Inspection,
    comparison: Comparison,
) -> tuple[Mapping[SceneId, DesiredScene], Comparison]:
    """Return the scenes and the comparison so that scenes which may stay a folder, or a file, stay it."""
    if wants.saved is not None:
        return scenes, replace(comparison, either_form=either_form(wants.saved))
    if wants.look_up is not None:
        # A lock file contains what there was, not the form that the archive delivers.
        return scenes, comparison
    staying = _of_other_form(context, scenes, inspection)
    return {**scenes, **staying} if staying else scenes, replace(comparison, either_form=staying.keys())


def _of_other_form(
    context: MirrorContext, scenes: Mapping[SceneId, DesiredScene], inspection: Inspection
) -> dict[SceneId, DesiredScene]:
    """Return the scenes that stay a folder, or a file, because another archive of their datasets delivered them so.

    Which archive describes a scene can change from day to day with which of them answers. Their paths get the ending of
    their form.
    """
    manifest, identities = context.manifest, context.archives.identities
    staying: dict[SceneId, DesiredScene] = {}
    if len(manifest.archives) == 1:
        return staying
    for scene_id, here in inspection.observed.items():
        want, local = scenes.get(scene_id), here.local
        if want is None or local is None or not here.tracked or here.state is not FileState.INTACT:
            continue
        sources = {identities.get(key) for name in want.datasets for key in manifest.datasets[name].archive}
        if form_differs(local, want.scene) and local.archive in sources:
            stem = want.path.removesuffix(want.scene.ending)
            staying[scene_id] = replace(want, path=stem if local.is_folder else stem + (ending_of(local.path) or ZIP))
    return staying


def _archives_of_orders(
    context: MirrorContext, scenes: Mapping[SceneId, DesiredScene], orders: Mapping[SceneId, Order]
) -> dict[ArchiveIdentity, ArchiveKey]:
    """Return the keys of the archives that have orders of these scenes, by identity; opens no more than necessary."""
    known = {identity: key for key, identity in context.archives.identities.items()}
    for scene_id, order in orders.items():
        want = scenes.get(scene_id)
        if want is None or not waits_for_order(want, order):
            continue
        for key in dict.fromkeys(
            (*(source.archive for source in want.sources), *archives_of(context.manifest, want.datasets))
        ):
            if order.archive in known:
                break
            known.setdefault(context.archives[key].identity, key)
    return known


def _poll(
    context: MirrorContext,
    orders: Mapping[SceneId, Order],
    scenes: Mapping[SceneId, DesiredScene],
    warnings: list[str],
) -> list[Order]:
    """Poll once the orders of scenes that are still desired and offline, each at the archive that has it."""
    by_archive: dict[str, list[Order]] = {}
    for scene_id, order in orders.items():
        want = scenes.get(scene_id)
        if want is not None and waits_for_order(want, order):
            by_archive.setdefault(want.archive, []).append(order)
    answers: list[Order] = []
    for key, items in by_archive.items():
        service = orders_of(context.archives[key])
        if service is None:
            continue
        context.step("polling orders", len(items), "order")
        try:
            answers.extend(failed_if_missing(order) for order in service.poll(items))
        except SedasSyncError as error:
            # An account that may not poll orders can still do everything else.
            refused = isinstance(error, AuthenticationError) and not error.forbidden
            if refused or isinstance(error, StoppedError | ManifestError):
                raise
            warnings.append(f"orders could not be polled: {error}")
    return answers


def _with_sizes(context: MirrorContext, actions: tuple[Action, ...], warn: Warn) -> tuple[Action, ...]:
    """Request the sizes of scenes to download that the catalogue does not state."""
    wants = [a.wanted for a in actions if a.wanted is not None and a.kind in TRANSFERS and a.size is None]
    files = {
        (want.scene.id, number): (want.archive, want.sources[0].scene, file)
        for want in wants
        if want.scene.online
        for number, file in enumerate(want.sources[0].scene.files)
    }
    known = context.remote_sizes.request({key: one for key, one in files.items() if one[2].size is None}, warn)
    totals: dict[SceneId, int] = {}
    unknown: set[SceneId] = set()
    for key, (_, _, file) in files.items():
        size = file.size if file.size is not None else known.get(key)
        if size is None:
            unknown.add(key[0])
        else:
            totals[key[0]] = totals.get(key[0], 0) + size
    return tuple(
        replace(action, size=totals[action.id])
        if action.size is None and action.id in totals and action.id not in unknown
        else action
        for action in actions
    )
