"""The diff: desired scenes, scenes on disk and orders → one action and one reason for each scene.

Pure. The first row that applies decides. The rows for a scene that is offline are about those that an online archive
would deliver: replace, fetch or resume.

=======================================================  ======  =========
on disk                                                  online  action
=======================================================  ======  =========
a planned acquisition                                    any     skip
something that cannot be read                            any     skip
intact, an untracked file or folder at the scene's path  any     adopt
intact, but not what the lock file requires              yes     replace
intact, but changed in the archive                       yes     replace
intact and unchanged, a zip that has to be unpacked      any     adopt
intact and unchanged, at another path                    any     adopt
intact and unchanged, at its path                        any     keep
damaged                                                  yes     replace
something that cannot be the scene, such as a folder     yes     fetch
a partial download                                       yes     resume
nothing, or another file at its path                     yes     fetch
any of these, and the archive can never deliver it       no      skip
any of these, and the archive takes no orders            no      wait
any of these, without an order                           no      order
any of these, with an order that is ready                no      as online
any of these, with an order that is pending              no      wait
any of these, with orders that failed again and again    no      wait
any of these, with an order that failed                  no      order
=======================================================  ======  =========
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.model.disk import NOTHING_ON_DISK, DiskState, FileState
from sedas_sync.model.files import contents_of, files_differ, form_differs, is_packed_product, meets_lock, place_of
from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import Order, OrderState
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind
from sedas_sync.model.reason import Reason, ReasonCode
from sedas_sync.model.scene import NOTHING, ArchiveIdentity, ArchiveKey, DesiredScene, Scene, SceneId
from sedas_sync.model.times import UNDATED
from sedas_sync.planning.order_pauses import paused_until
from sedas_sync.planning.sources import source_of

_NEW = Reason(ReasonCode.NOT_IN_MIRROR)
_UNCHANGED = Reason(ReasonCode.UNCHANGED)
"""One value for all scenes: a plan of 100,000 has little else."""

MISSING_POLLS_UNTIL_FAILED = 3
"""After so many answers in a row that do not contain an order, it counts as failed."""


class Comparison(Struct, frozen=True, kw_only=True):
    """How a local scene is compared with the archives."""

    identities: Mapping[ArchiveKey, ArchiveIdentity] = NOTHING
    """`Archive.identity` by key, of the archives that are known."""
    several: bool = False
    """Whether the manifest has several archives, so that one that is not known can have delivered a scene."""
    trust_digest: bool = True
    """Whether another checksum in the catalogue means another file."""
    ignored: AbstractSet[str] = frozenset()
    """Keys of the archives whose checksums are not trusted."""
    now: datetime | None = None
    """The time that the pauses of failing orders are compared with; without it there are none."""
    unpack: bool = False
    """Whether the zip of a product is unpacked."""
    either_form: AbstractSet[SceneId] | None = None
    """Scenes that may stay a folder, or a file, although the archive has the other form. None if the form counts only
    for the source that delivered a scene."""

    def change(self, local: LocalScene, want: DesiredScene) -> Reason | None:
        """Return how an intact local scene differs from the desired one; None if it does not."""
        right = meets_lock(local, want)
        if right is not None:
            # A lock file's requirement does not change with the catalogue.
            return None if right else Reason(ReasonCode.LOCK_DIFFERS, here=local.delivered.sha256)
        if (
            self.either_form is not None
            and local.id not in self.either_form
            and (change := form_differs(local, want.scene))
        ):
            return change
        source = source_of(local, want, self.identities, several=self.several)
        if source is None:
            return None
        trusted = self.trust_digest and source.archive not in self.ignored
        return files_differ(local, source.scene, trust_digest=trusted)


_WITHOUT_ARCHIVES = Comparison(trust_digest=False)


def choose_actions(
    wants: Mapping[SceneId, DesiredScene],
    observed: Mapping[SceneId, DiskState],
    orders: Mapping[SceneId, Order],
    comparison: Comparison = Comparison(),  # noqa: B008  # immutable
) -> tuple[Action, ...]:
    """Choose the action for each desired scene.

    Args:
        wants: The desired scenes.
        observed: What the folder shows of them; a scene that is missing here has nothing on disk.
        orders: The current order of each scene.
        comparison: How local scenes are compared with the archives.

    Returns:
        One action for each scene, sorted by time of acquisition and id.
    """
    # Sorted twice, because a pair of time and id for each scene would need memory.
    in_order = sorted(wants.values(), key=lambda want: want.scene.id)
    in_order.sort(key=lambda want: want.scene.start or UNDATED)
    return tuple(
        _action(want, observed.get(want.scene.id, NOTHING_ON_DISK), orders.get(want.scene.id), comparison)
        for want in in_order
    )


def needs_no_archive(want: DesiredScene, here: DiskState) -> bool:
    """Return whether the archive need not be asked for a scene: it is on disk, planned, or cannot be read."""
    return _if_online(want, here, _WITHOUT_ARCHIVES)[0] in (ActionKind.KEEP, ActionKind.ADOPT, ActionKind.SKIP)


def _action(want: DesiredScene, here: DiskState, order: Order | None, comparison: Comparison) -> Action:
    scene = want.scene
    kind, reason = _if_online(want, here, comparison)
    replaces = kind is ActionKind.REPLACE and here.state is FileState.INTACT
    if kind not in TRANSFERS or scene.online:
        order = None
    elif scene.offline is not None:
        kind, code = (
            (ActionKind.SKIP, ReasonCode.NOT_DOWNLOADABLE) if scene.never else (ActionKind.WAIT, ReasonCode.OFFLINE)
        )
        reason, order, replaces = Reason(code, detail=scene.offline), None, False
    else:
        failing = _paused(want, order, comparison)
        kind, reason = (ActionKind.WAIT, failing) if failing else _if_offline(kind, reason, order)
    kept = here.local if kind in (ActionKind.KEEP, ActionKind.ADOPT) else None
    return Action(
        kind=kind,
        id=scene.id,
        datasets=want.datasets,
        path=want.path if kept is None else place_of(want, kept),
        size=scene.size if kept is None else kept.size,
        reason=reason,
        wanted=want,
        local=here.local,
        order=order,
        blocked=here.path_taken or here.state is FileState.DAMAGED,
        replaces=replaces,
    )


def _if_online(want: DesiredScene, here: DiskState, comparison: Comparison) -> tuple[ActionKind, Reason]:
    """Choose the action of a scene as if it were online."""
    local = here.local
    if want.scene.planned:
        return ActionKind.SKIP, Reason(ReasonCode.PLANNED)
    if here.problem is not None:
        return ActionKind.SKIP, here.problem
    if local is not None and here.state is FileState.INTACT:
        if not here.tracked:
            return ActionKind.ADOPT, Reason(ReasonCode.UNTRACKED)
        if change := comparison.change(local, want):
            return ActionKind.REPLACE, change
        if comparison.unpack and not want.scene.is_folder and is_packed_product(local):
            return ActionKind.ADOPT, Reason(ReasonCode.PACKED)
        if local.path != (place := place_of(want, local)):
            return ActionKind.ADOPT, Reason(ReasonCode.OTHER_PATH, here=local.path, there=place)
        return ActionKind.KEEP, _UNCHANGED
    if here.tracked and here.state is FileState.DAMAGED:
        folder = local is not None and local.is_folder
        return ActionKind.REPLACE, Reason(ReasonCode.FILES_DAMAGED if folder else ReasonCode.DAMAGED)
    if here.path_taken:
        return ActionKind.FETCH, Reason(ReasonCode.PATH_TAKEN)
    if here.partial:
        return ActionKind.RESUME, Reason(ReasonCode.PARTLY_DOWNLOADED, here=here.partial)
    if here.tracked:
        return ActionKind.FETCH, Reason(ReasonCode.FILE_GONE)
    return ActionKind.FETCH, Reason(ReasonCode.PATH_TAKEN) if here.state is FileState.DAMAGED else _NEW


def _paused(want: DesiredScene, order: Order | None, comparison: Comparison) -> Reason | None:
    """Return why a scene is not ordered now; None if nothing delays its order."""
    again = None if order is None or comparison.now is None else paused_until(order, comparison.now)
    if order is None or again is None:
        return None
    if order.archive not in ("", comparison.identities.get(want.archive)):
        return None
    detail = f"{order.detail or 'no reason given'}; ordered {order.attempts} times"
    return Reason(ReasonCode.ORDER_FAILING, order=order.order, detail=detail, there=f"{again:%Y-%m-%d}")


def _if_offline(kind: ActionKind, reason: Reason, order: Order | None) -> tuple[ActionKind, Reason]:
    """Choose the action of a scene that has to be downloaded and is in the long-term archive."""
    if order is None:
        return ActionKind.ORDER, Reason(ReasonCode.NO_ORDER, cause=None if reason is _NEW else reason)
    if order.state is OrderState.READY:
        return kind, Reason(ReasonCode.ORDER_READY, order=order.order, cause=reason)
    if order.state is OrderState.PENDING:
        return ActionKind.WAIT, Reason(ReasonCode.ORDER_PENDING, order=order.order)
    detail = order.detail or "no reason given"
    return ActionKind.ORDER, Reason(ReasonCode.ORDER_FAILED, order=order.order, detail=detail)


def failed_if_missing(order: Order) -> Order:
    """Return an order as failed if several answers in a row did not contain it."""
    if order.missing < MISSING_POLLS_UNTIL_FAILED:
        return order
    return replace(order, state=OrderState.FAILED, detail=f"not found in the last {order.missing} responses")


def _is_unread(local: LocalScene, want: DesiredScene) -> bool:
    """Return whether a checksum that a lock file requires is not known yet: of a file, or the CRCs of a folder."""
    if local.packed is None:
        return want.sha256 is not None and local.sha256 is None
    return want.sha256 is not None and want.contents is not None and contents_of(local) is None


def restated(
    wants: Mapping[SceneId, DesiredScene], observed: Mapping[SceneId, DiskState], comparison: Comparison
) -> dict[SceneId, Scene]:
    """Return intact scenes whose archive states another checksum than before and no other difference.

    The same bytes can have got a checksum of another kind: only reading them can tell. So can it for scenes that were
    not hashed when they were downloaded, and for folders that were adopted, if a lock demands a checksum.

    Args:
        wants: The desired scenes.
        observed: What the folder shows.
        comparison: How local scenes are compared with the archives.

    Returns:
        The scenes as their archive describes them now, by id.
    """
    without_digests = replace(comparison, trust_digest=False)
    found = {}
    for scene_id, here in observed.items():
        want, local = wants.get(scene_id), here.local
        if want is None or local is None or not here.tracked or here.state is not FileState.INTACT:
            continue
        right = meets_lock(local, want)
        if right is not None:
            if not right and _is_unread(local, want):
                found[scene_id] = want.scene
            continue
        source = source_of(local, want, comparison.identities, several=comparison.several)
        if source is not None and comparison.change(local, want) and not without_digests.change(local, want):
            found[scene_id] = source.scene
    return found
