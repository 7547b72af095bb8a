"""The diff: what is wanted, what is held, what is ordered → exactly one action for every scene, with its reason.

Pure: the shell gathers what the folder holds (`DiskState`) before, and hands it over as values. Decisions, in order:

=================================================  ======  =========
what is here                                       online  action
=================================================  ======  =========
the scene is a planned acquisition                 any     skip
held, intact, at its path                          any     keep
held, intact, at another path                      any     adopt
held, intact, but changed in the archive           yes     replace
held, intact, but not what the lock demands        yes     replace
held, damaged                                      yes     replace
not held, an untracked file at its path is right   any     adopt
a partial download                                 yes     resume
nothing (gone, or never here)                      yes     fetch
an order that is ready                             no      as online
an order that is pending                           no      wait
no order, or one that failed                       no      order
not to be had by an order of ours                  no      wait
=================================================  ======  =========
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from msgspec.structs import replace

from sedas_sync.model.assets import assets_differ
from sedas_sync.model.disk import NOTHING_ON_DISK, DiskState, FileState
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind
from sedas_sync.model.scene import DesiredScene, LocalScene, Order, OrderState, Scene, SceneId
from sedas_sync.model.text import size

_UNDATED = datetime.min.replace(tzinfo=UTC)
"""Where a scene without a sensing time stands among the others."""

NEW = "not in the mirror"

LOST_AFTER = 3
"""After so many polls in a row that do not know an order, it counts as failed."""


def differ_in_form(held: LocalScene, want: DesiredScene) -> bool:
    """Whether a scene is held as a folder of files and wanted as one file, or the other way round."""
    return bool(held.files) != bool(want.scene.assets)


def in_place(want: DesiredScene, here: DiskState) -> bool:
    """Whether all that a scene needs is here, so that its archive has nothing to be asked for."""
    return _kind(want, here, _LENIENT)[0] in (ActionKind.KEEP, ActionKind.ADOPT, ActionKind.SKIP)


def with_lost_as_failed(order: Order) -> Order:
    """Call an order failed that the archive has not known for several answers in a row."""
    if order.missing < LOST_AFTER:
        return order
    return replace(order, state=OrderState.FAILED, detail=f"the archive has not known it for {order.missing} answers")


def choose_actions(
    wants: Mapping[SceneId, DesiredScene],
    observed: Mapping[SceneId, DiskState],
    orders: Mapping[SceneId, Order],
    *,
    sizes: Mapping[SceneId, int] | None = None,
    trust_digest: bool = True,
    identities: Mapping[str, str] | None = None,
    several: bool = False,
    unlike: AbstractSet[SceneId] | None = None,
) -> tuple[Action, ...]:
    """Give every wanted scene its one action, sorted by sensing time and id.

    Args:
        wants: the scenes that the manifest admits.
        observed: what the folder shows; a scene without a key has nothing there.
        orders: the newest order of a scene, brought up to date.
        sizes: sizes that were asked for, in bytes.
        trust_digest: whether a digest that the catalogue changed means a changed scene.
        identities: of the archives that are known, by their keys: what one says of a scene's bytes is no measure for a
            file that another of them gave.
        several: whether the manifest has several archives, of which one that is not known may have given a file.
        unlike: scenes that may stay the folder, or the one file, that they are, where their archive gives the other;
            None for all.
    """
    known = sizes or {}
    measure = _Measure(trust_digest=trust_digest, identities=identities or {}, several=several, unlike=unlike)
    return tuple(
        _action(
            want,
            observed.get(want.scene.id, NOTHING_ON_DISK),
            orders.get(want.scene.id),
            known,
            measure,
        )
        for want in sorted(wants.values(), key=_by_time)
    )


def _by_time(want: DesiredScene) -> tuple[datetime, SceneId]:
    return want.scene.start or _UNDATED, want.scene.id


class _Measure:
    """What a held file is measured by."""

    def __init__(
        self,
        *,
        trust_digest: bool,
        identities: Mapping[str, str],
        several: bool = False,
        unlike: AbstractSet[SceneId] | None = None,
    ) -> None:
        self.trust_digest = trust_digest
        self._identities = identities
        self._several = several
        self._unlike = unlike

    def refuses(self, held: LocalScene, want: DesiredScene) -> bool:
        """Whether what is held is no substitute for what is wanted: a folder for a file, or a file for a folder."""
        return self._unlike is not None and differ_in_form(held, want) and held.id not in self._unlike

    def of(self, held: LocalScene, want: DesiredScene) -> Scene | None:
        """What the archive that gave a file says of it now; None where that is not known."""
        for place in want.places:
            if self._identities.get(place.archive) == held.archive:
                return place.scene
        mine = self._identities.get(want.archive)
        # Two archives pack a product differently, or state digests of other kinds: what one says is no measure for what
        # the other gave, also where the other is not in the manifest any more.
        if want.places or (held.archive and (self._several if mine is None else held.archive != mine)):
            return None
        return want.scene


def _action(
    want: DesiredScene, here: DiskState, order: Order | None, sizes: Mapping[SceneId, int], measure: _Measure
) -> Action:
    scene = want.scene
    kind, reason = _kind(want, here, measure)
    replaces = kind is ActionKind.REPLACE and here.state is FileState.INTACT
    if kind in TRANSFERS and not scene.online and scene.offline is not None:
        kind, reason, order, replaces = ActionKind.WAIT, scene.offline, None, False
    elif kind in TRANSFERS and not scene.online:
        kind, reason = _without_a_link(kind, reason, order)
    else:
        order = None
    size = scene.size if scene.size is not None else sizes.get(scene.id)
    if here.held is not None and kind in (ActionKind.KEEP, ActionKind.ADOPT):
        size = here.held.size
    return Action(
        kind=kind,
        id=scene.id,
        datasets=want.datasets,
        path=want.path,
        size=size,
        reason=reason,
        want=want,
        held=here.held,
        order=order,
        blocked=here.blocked or here.state is FileState.DAMAGED,
        replaces=replaces,
    )


def _kind(want: DesiredScene, here: DiskState, measure: _Measure) -> tuple[ActionKind, str]:
    """What to do if the scene's bytes can be had now."""
    held = here.held
    if want.scene.planned:
        return ActionKind.SKIP, "a planned acquisition"
    if held is not None and here.state is FileState.INTACT:
        if not here.tracked:
            return ActionKind.ADOPT, "an untracked file here is this scene"
        if changed := _changed(held, want, measure):
            return ActionKind.REPLACE, changed
        if held.path != want.path:
            return ActionKind.ADOPT, f"held at {held.path}, the layout now puts it at {want.path}"
        return ActionKind.KEEP, "held and unchanged"
    if here.tracked and here.state is FileState.DAMAGED:
        if held is not None and held.files:
            return ActionKind.REPLACE, "damaged here: a file of it is gone, or is not what was fetched"
        return ActionKind.REPLACE, "damaged here: the bytes are not those that were fetched"
    if here.blocked:
        return ActionKind.FETCH, "not in the mirror; what stands in its place is not this scene and will be set aside"
    if here.partial:
        return ActionKind.RESUME, f"{size(here.partial)} of it are here"
    if here.tracked:
        return ActionKind.FETCH, "was held, its file is gone"
    if here.state is FileState.DAMAGED:
        return ActionKind.FETCH, "not in the mirror; what stands in its place is not this scene and will be set aside"
    return ActionKind.FETCH, NEW


def _without_a_link(kind: ActionKind, reason: str, order: Order | None) -> tuple[ActionKind, str]:
    """What to do for a scene whose bytes are wanted and that is in the long-term archive."""
    if order is None:
        why = "in the long-term archive, no order yet"
        return ActionKind.ORDER, why if reason == NEW else f"{reason}; {why}"
    if order.state is OrderState.READY:
        return kind, f"{reason}; order {order.order} is ready"
    if order.state is OrderState.PENDING:
        return ActionKind.WAIT, f"order {order.order} is not ready"
    return (
        ActionKind.ORDER,
        f"in the long-term archive; order {order.order} failed ({order.detail or 'no reason given'})",
    )


def restated(
    wants: Mapping[SceneId, DesiredScene],
    observed: Mapping[SceneId, DiskState],
    *,
    identities: Mapping[str, str],
    several: bool = False,
) -> dict[SceneId, Scene]:
    """Intact scenes of which their archive states another digest than before, and nothing else that differs.

    The same bytes may have got a digest of another kind: only a look at them tells.

    Args:
        wants: the scenes that the manifest admits.
        observed: what the folder shows.
        identities: of the archives that are known, by their keys.
        several: whether the manifest has several archives.

    Returns:
        Each as its archive describes it now.
    """
    strict = _Measure(trust_digest=True, identities=identities, several=several)
    mild = _Measure(trust_digest=False, identities=identities, several=several)
    found = {}
    for scene_id, here in observed.items():
        want, held = wants.get(scene_id), here.held
        if want is None or held is None or not here.tracked or here.state is not FileState.INTACT:
            continue
        scene = strict.of(held, want)
        if scene is not None and _changed(held, want, strict) and not _changed(held, want, mild):
            found[scene_id] = scene
    return found


def _changed(held: LocalScene, want: DesiredScene, measure: _Measure) -> str | None:
    if want.sha256 is not None:
        # What a lock demands does not change with the catalogue.
        return None if held.sha256 == want.sha256 else f"differs from the lock: its sha256 here is {held.sha256}"
    if measure.refuses(held, want):
        here, there = ("a folder", "one file") if held.files else ("one file", "a folder")
        return f"held as {here}, the archive gives {there}"
    scene = measure.of(held, want)
    if scene is None:
        return None
    if scene.assets or held.files:
        return assets_differ(held, scene, trust_digest=measure.trust_digest)
    if scene.size is not None and not scene.nominal and scene.size != held.size:
        return f"changed in the archive: {scene.size} bytes there, {held.size} here"
    if measure.trust_digest and None not in (scene.digest, held.digest) and scene.digest != held.digest:
        return "changed in the archive: another digest than when it was fetched"
    return None


_LENIENT = _Measure(trust_digest=False, identities={})
