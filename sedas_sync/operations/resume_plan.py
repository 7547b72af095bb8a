"""Carry on with a saved plan: check that manifest and mirror are as they were, and get links that are valid now."""

from collections.abc import Mapping

from msgspec.structs import replace

from sedas_sync.errors import LockMismatch
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.local import LocalScene
from sedas_sync.model.plan import Plan
from sedas_sync.model.scene import SceneId
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.plan import Disk, inspect, look_at_disk, make_plan
from sedas_sync.operations.saved_plan import SavedPlan, mirror_settings
from sedas_sync.operations.wants import wants_from_saved_plan
from sedas_sync.planning.compare import choose_actions
from sedas_sync.planning.drift import drift, either_form
from sedas_sync.planning.lock import head_of
from sedas_sync.planning.lock_changes import differences
from sedas_sync.planning.sources import with_orders
from sedas_sync.state.history import last_run

_HINT = "create a new plan and apply it"


def plan_saved(context: MirrorContext, saved: SavedPlan, *, take_over: bool = False) -> Plan:
    """Make a saved plan ready to be applied: the same actions, with links that are valid now.

    A plan that was begun resumes if no other run came after it.

    Args:
        context: The mirror.
        saved: The saved plan.
        take_over: Take the mirror from the manifest it belongs to.

    Raises:
        LockMismatch: The manifest or the mirror has changed since the plan was made; the message says how.
        ManifestError: The mirror belongs to another manifest.
    """
    with context.state.index(write=False) as index:
        warnings = index.warnings
        context.state.check_owner(index, take_over=take_over)
        local_scenes = {local.id: local for local in index.local_scenes()}
        last = last_run(index)
        begun = last is not None and last.command == saved.command
    check_saved(context, saved)
    wants = wants_from_saved_plan(context, saved)
    disk = look_at_disk(context, wants)
    if not begun:
        # Planning polls orders and does not store the answers, so those of the plan are newer than those of the index.
        current = {
            order.id: order
            for order in saved.orders
            if order.id in disk.orders and disk.orders[order.id].order == order.order
        }
        then = replace(disk, orders={**disk.orders, **current})
        _check_drift(context, saved.plan, then, local_scenes)
    plan = make_plan(context, wants, disk, earlier=warnings)
    untouched = tuple(
        replace(action, local=local_scenes[action.id])
        for action in saved.plan.actions
        if action.wanted is None and action.id in local_scenes
    )
    return replace(
        plan,
        actions=plan.actions + untouched,
        refusals=(*plan.refusals, *saved.plan.refusals),
        locked=saved.plan.locked,
    )


def check_saved(context: MirrorContext, saved: SavedPlan) -> None:
    """Check that a saved plan matches the manifest, and that its mirror still exists.

    Args:
        context: The mirror.
        saved: The saved plan.

    Raises:
        LockMismatch: The manifest or the mirror has changed; the message says how.
    """
    found = list(differences(head_of(context.manifest, None), saved.head, called="the plan"))
    found += [
        f"mirror.{key} is {now}, the plan has {saved.mirror.get(key)}"
        for key, now in mirror_settings(context.manifest.mirror).items()
        if saved.mirror.get(key) != now
    ]
    if found:
        raise LockMismatch([f"the manifest has changed since the plan was saved: {one}" for one in found], hint=_HINT)
    if not (context.state.root / STATE).is_dir():
        # Checked before the mirror is locked, which would create it.
        inspection = inspect(context, saved.wants, [])
        _check_drift(context, saved.plan, Disk(inspection=inspection, wants=saved.wants, orders={}, indexed=0), {})


def _check_drift(context: MirrorContext, saved: Plan, disk: Disk, local_scenes: Mapping[SceneId, LocalScene]) -> None:
    """Check that a saved plan would be the same now if its scenes were in the archives as they were then."""
    comparison = replace(context.comparison(), identities=saved.identities, either_form=either_form(saved))
    keys = {identity: key for key, identity in saved.identities.items()}
    scenes, orders, _ = with_orders(disk.wants, disk.orders, keys)
    now = choose_actions(scenes, disk.inspection.observed, orders, comparison)
    if moved := drift(saved, now, local_scenes):
        raise LockMismatch([f"the mirror has changed since the plan was saved: {one}" for one in moved], hint=_HINT)
