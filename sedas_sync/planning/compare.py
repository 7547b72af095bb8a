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

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.model.assets import assets_differ
from sedas_sync.model.events import Failure
from sedas_sync.model.scene import Action, ActionKind, DesiredScene, LocalScene, Order, OrderState, Scene, SceneId
from sedas_sync.model.text import named, size

_UNDATED = datetime.min.replace(tzinfo=UTC)
"""Where a scene without a sensing time stands among the others."""

CHANGES = frozenset(
    {ActionKind.FETCH, ActionKind.RESUME, ActionKind.ORDER, ActionKind.REPLACE, ActionKind.ADOPT, ActionKind.PRUNE}
)
"""Actions that change something: what `plan --exit-code` answers 10 for."""
TRANSFERS = frozenset({ActionKind.FETCH, ActionKind.RESUME, ActionKind.REPLACE})
_FROM_AN_ARCHIVE = TRANSFERS | {ActionKind.ORDER, ActionKind.WAIT}
NEW = "not in the mirror"

LOST_AFTER = 3
"""Answers in a row without an order after which it counts as failed."""


class FileState(StrEnum):
    """What stands at a path, compared with what is known of it."""

    ABSENT = "absent"
    INTACT = "intact"
    """What the index says, or an untracked file that was checked and is the scene."""
    DAMAGED = "damaged"
    """Something else: other bytes, a damaged file, a symbolic link, a folder."""


class DiskState(Struct, frozen=True, kw_only=True, gc=False):
    """What the folder shows for one wanted scene."""

    held: LocalScene | None = None
    """From the index; for an untracked file that is right, what the index would say."""
    state: FileState = FileState.ABSENT
    """Of the held file, or else of what stands at the wanted path."""
    tracked: bool = False
    """Whether the index knows the file."""
    blocked: bool = False
    """Whether something that cannot be the scene stands at the wanted path, such as a folder."""
    partial: int = 0
    """Bytes of a download that can go on."""


NOTHING_ON_DISK = DiskState()


class Plan(Struct, frozen=True, kw_only=True):
    """What is to be done, whole: apply carries out this object and nothing else."""

    manifest: str
    mirror: str
    archive: Mapping[str, str | None]
    """Type and URL of the archive, the first where there are several."""
    actions: tuple[Action, ...]
    search_complete: bool = True
    failures: tuple[Failure, ...] = ()
    """Searches that failed or stayed incomplete, and named products that the archive does not know."""
    warnings: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    """The datasets it was narrowed to; all of the manifest's where empty."""
    archives: Mapping[str, Mapping[str, str | None]] = {}  # a struct makes each its own
    """Type and URL of each archive by its key, where the manifest has several."""
    refreshed: tuple[LocalScene, ...] = ()
    """Held files whose time, or the catalogue's digest, changed and whose bytes did not: to be remembered with it."""
    polled: tuple[Order, ...] = ()
    """Orders as the archive described them while planning."""
    identities: Mapping[str, str] = {}  # as above
    """What the archives that were asked call themselves, by their keys."""
    refused: bool = False
    """Whether files were to be removed or replaced and may not be: no scene failed, and yet not all was done."""
    spare: tuple[str, ...] = ()
    """Downloads under way of scenes that are not wanted any more, relative to the mirror: they go with what goes."""

    @property
    def changes(self) -> int:
        """How many actions change something."""
        return sum(action.kind in CHANGES for action in self.actions)

    @property
    def counts(self) -> dict[ActionKind, int]:
        """How many scenes each kind of action has, zeros included."""
        counted = Counter(action.kind for action in self.actions)
        return {kind: counted[kind] for kind in ActionKind}

    @property
    def bytes(self) -> int | None:
        """What is to be fetched now, in bytes; None where the archive does not say for every scene."""
        sizes = [action.size for action in self.actions if action.kind in TRANSFERS]
        known = [amount for amount in sizes if amount is not None]
        return sum(known) if len(known) == len(sizes) else None

    def to_json(self, *, everything: bool = False) -> dict[str, Any]:
        """Return the plan as JSON data; kept scenes are listed only with `everything`."""
        data = self.to_json_lazily(everything=everything)
        return {**data, "actions": list(data["actions"])}

    def to_json_lazily(self, *, everything: bool = False) -> dict[str, Any]:
        """As `to_json`, with an iterator for the actions: of 100,000 not all need be in memory at once."""
        return {
            "schema": 1,
            "manifest": self.manifest,
            "mirror": self.mirror,
            "archive": dict(self.archive),
            **({"archives": {key: dict(facts) for key, facts in self.archives.items()}} if self.archives else {}),
            "search_complete": self.search_complete,
            "summary": {**{kind.value: count for kind, count in self.counts.items()}, "bytes": self.bytes},
            "actions": (
                self._json(action) for action in self.actions if everything or action.kind is not ActionKind.KEEP
            ),
            "failures": [{"id": failure.id, "error": failure.error} for failure in self.failures],
            "warnings": list(self.warnings),
        }

    def _json(self, action: Action) -> dict[str, Any]:
        """An action as JSON data, with where its bytes come from where there is a choice."""
        data = action_json(action)
        if (key := self.source(action)) is not None:
            data["archive"] = key
        return data

    def source(self, action: Action) -> str | None:
        """The key of the archive that is to give a scene; None where nothing is to be given, or there is but one."""
        if self.archives and action.want is not None and action.kind in _FROM_AN_ARCHIVE:
            return action.want.archive
        return None


def kept_until(ids: Sequence[SceneId]) -> str:
    """Why the file of a superseded scene stays for now: these are not in the mirror."""
    return f"kept until {named(ids)} {'is' if len(ids) == 1 else 'are'} downloaded"


def differ_in_form(held: LocalScene, want: DesiredScene) -> bool:
    """Whether a scene is held as a folder of files and wanted as one file, or the other way round."""
    return bool(held.files) != bool(want.scene.assets)


def in_place(want: DesiredScene, here: DiskState) -> bool:
    """Whether all that a scene needs is here, so that its archive has nothing to be asked for."""
    return _kind(want, here, _LENIENT)[0] in (ActionKind.KEEP, ActionKind.ADOPT, ActionKind.SKIP)


def action_json(action: Action) -> dict[str, Any]:
    """An action as JSON data: what `plan --json` and a saved plan both say of it."""
    return {
        "action": action.kind.value,
        "id": action.id,
        "datasets": list(action.datasets),
        "path": action.path,
        "size": action.size,
        "reason": action.reason,
    }


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
