"""The diff: desired scenes, scenes on disk and orders → one action and one reason for each scene.

Pure. Decisions, in order:

=================================================  ======  =========
on disk                                            online  action
=================================================  ======  =========
the scene is a planned acquisition                 any     skip
intact, at its path                                any     keep
intact, at another path                            any     adopt
intact, but changed in the archive                 yes     replace
intact, but not what the lock requires             yes     replace
damaged                                            yes     replace
an untracked file at its path is the scene         any     adopt
a partial download                                 yes     resume
nothing                                            yes     fetch
an order that is ready                             no      as online
an order that is pending                           no      wait
no order, or one that failed                       no      order
offline, and the archive takes no order            no      wait
nothing of it can ever be downloaded               no      skip
=================================================  ======  =========
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.model.disk import NOTHING_ON_DISK, DiskState, FileState
from sedas_sync.model.files import files_differ
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind
from sedas_sync.model.scene import NOTHING, DesiredScene, LocalScene, Order, OrderState, Scene, SceneId
from sedas_sync.model.text import size
from sedas_sync.planning.sources import source_of

_UNDATED = datetime.min.replace(tzinfo=UTC)
"""Sorts scenes without an acquisition time first."""
_NEW = "not in the mirror"
_BLOCKED = "not in the mirror; what stands in its place is not this scene and will be set aside"

LOST_AFTER = 3
"""After so many polls in a row that do not know an order, it counts as failed."""


class Comparison(Struct, frozen=True, kw_only=True):
    """How a local scene is compared with the archives."""

    identities: Mapping[str, str] = NOTHING
    """`Archive.identity` by key, of the archives that are known."""
    several: bool = False
    """Whether the manifest has several archives, so that one that is not known can have delivered a scene."""
    trust_digest: bool = True
    """Whether another checksum in the catalogue means another file."""
    either_form: AbstractSet[SceneId] | None = None
    """Scenes that may stay a folder, or a file, although the archive has the other form; None for all."""

    def change(self, held: LocalScene, want: DesiredScene) -> str | None:
        """Return how an intact local scene differs from the desired one, as a clause; None if it does not."""
        if want.sha256 is not None:
            # A lock's requirement does not change with the catalogue.
            return None if held.sha256 == want.sha256 else f"differs from the lock: its sha256 here is {held.sha256}"
        form_differs = held.is_folder != want.scene.is_folder
        if form_differs and self.either_form is not None and held.id not in self.either_form:
            here, there = ("a folder", "one file") if held.is_folder else ("one file", "a folder")
            return f"held as {here}, the archive gives {there}"
        source = source_of(held, want, self.identities, several=self.several)
        return None if source is None else files_differ(held, source.scene, trust_digest=self.trust_digest)


_WITHOUT_ARCHIVES = Comparison(trust_digest=False)


def choose_actions(
    wants: Mapping[SceneId, DesiredScene],
    observed: Mapping[SceneId, DiskState],
    orders: Mapping[SceneId, Order],
    comparison: Comparison = Comparison(),  # noqa: B008  # immutable
) -> tuple[Action, ...]:
    """Choose the action for each desired scene.

    Args:
        wants: the desired scenes.
        observed: what the folder shows of them; a scene that is missing here has nothing on disk.
        orders: the current order of each scene.
        comparison: how local scenes are compared with the archives.

    Returns:
        One action for each scene, sorted by time of acquisition and id.
    """
    return tuple(
        _action(want, observed.get(want.scene.id, NOTHING_ON_DISK), orders.get(want.scene.id), comparison)
        for want in sorted(wants.values(), key=lambda want: (want.scene.start or _UNDATED, want.scene.id))
    )


def is_complete(want: DesiredScene, here: DiskState) -> bool:
    """Return whether a scene is on disk, so that its archive need not be asked."""
    return _if_online(want, here, _WITHOUT_ARCHIVES)[0] in (ActionKind.KEEP, ActionKind.ADOPT, ActionKind.SKIP)


def _action(want: DesiredScene, here: DiskState, order: Order | None, comparison: Comparison) -> Action:
    scene = want.scene
    kind, reason = _if_online(want, here, comparison)
    replaces = kind is ActionKind.REPLACE and here.state is FileState.INTACT
    if kind not in TRANSFERS or scene.online:
        order = None
    elif scene.never and scene.offline is not None:
        kind, reason, order, replaces = ActionKind.SKIP, scene.offline, None, False
    elif scene.offline is not None:
        kind, reason, order, replaces = ActionKind.WAIT, scene.offline, None, False
    else:
        kind, reason = _if_offline(kind, reason, order)
    kept = here.held if kind in (ActionKind.KEEP, ActionKind.ADOPT) else None
    return Action(
        kind=kind,
        id=scene.id,
        datasets=want.datasets,
        path=want.path,
        size=scene.size if kept is None else kept.size,
        reason=reason,
        want=want,
        held=here.held,
        order=order,
        blocked=here.blocked or here.state is FileState.DAMAGED,
        replaces=replaces,
    )


def _if_online(want: DesiredScene, here: DiskState, comparison: Comparison) -> tuple[ActionKind, str]:
    """Choose the action of a scene as if it were online."""
    held = here.held
    if want.scene.planned:
        return ActionKind.SKIP, "a planned acquisition"
    if held is not None and here.state is FileState.INTACT:
        if not here.tracked:
            return ActionKind.ADOPT, "an untracked file here is this scene"
        if change := comparison.change(held, want):
            return ActionKind.REPLACE, change
        if held.path != want.path:
            return ActionKind.ADOPT, f"held at {held.path}, the layout now puts it at {want.path}"
        return ActionKind.KEEP, "held and unchanged"
    if here.tracked and here.state is FileState.DAMAGED:
        if held is not None and held.is_folder:
            return ActionKind.REPLACE, "damaged here: a file of it is gone, or is not what was fetched"
        return ActionKind.REPLACE, "damaged here: the bytes are not those that were fetched"
    if here.blocked:
        return ActionKind.FETCH, _BLOCKED
    if here.partial:
        return ActionKind.RESUME, f"{size(here.partial)} of it are here"
    if here.tracked:
        return ActionKind.FETCH, "was held, its file is gone"
    return ActionKind.FETCH, _BLOCKED if here.state is FileState.DAMAGED else _NEW


def _if_offline(kind: ActionKind, reason: str, order: Order | None) -> tuple[ActionKind, str]:
    """Choose the action of a scene that has to be downloaded and is in the long-term archive."""
    if order is None:
        why = "in the long-term archive, no order yet"
        return ActionKind.ORDER, why if reason == _NEW else f"{reason}; {why}"
    if order.state is OrderState.READY:
        return kind, f"{reason}; order {order.order} is ready"
    if order.state is OrderState.PENDING:
        return ActionKind.WAIT, f"order {order.order} is not ready"
    return (
        ActionKind.ORDER,
        f"in the long-term archive; order {order.order} failed ({order.detail or 'no reason given'})",
    )


def with_lost_as_failed(order: Order) -> Order:
    """Return an order as failed if the archive has not known it for several polls in a row."""
    if order.missing < LOST_AFTER:
        return order
    return replace(order, state=OrderState.FAILED, detail=f"the archive has not known it for {order.missing} answers")


def restated(
    wants: Mapping[SceneId, DesiredScene], observed: Mapping[SceneId, DiskState], comparison: Comparison
) -> dict[SceneId, Scene]:
    """Return intact scenes whose archive states another checksum than before and no other difference.

    The same bytes can have got a checksum of another kind: only reading them can tell.

    Args:
        wants: the desired scenes.
        observed: what the folder shows.
        comparison: how local scenes are compared with the archives.

    Returns:
        The scenes as their archive describes them now, by id.
    """
    without_digests = replace(comparison, trust_digest=False)
    found = {}
    for scene_id, here in observed.items():
        want, held = wants.get(scene_id), here.held
        if want is None or held is None or not here.tracked or here.state is not FileState.INTACT:
            continue
        source = source_of(held, want, comparison.identities, several=comparison.several)
        if source is not None and comparison.change(held, want) and not without_digests.change(held, want):
            found[scene_id] = source.scene
    return found
