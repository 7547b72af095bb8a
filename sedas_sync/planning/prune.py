"""Which held files the manifest's rules no longer admit, and how many may go, or be replaced, at once. Removes nothing.

A scene is judged by what the catalogue says of it now, or else by the facts that were stored with its file, so that a
scene which the catalogue has lost is told from one that the rules leave out. In doubt a file stays.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from sedas_sync.archives.lookup import SceneLookup
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.manifest import Manifest
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.scene import Action, ActionKind, DesiredScene, LocalScene, Scene, SceneId
from sedas_sync.model.text import named, size
from sedas_sync.planning.compare import TRANSFERS, FileState, Plan, kept_until
from sedas_sync.planning.select import Refusal, Selection, select
from sedas_sync.planning.sources import product_id
from sedas_sync.state.inspect import state_of
from sedas_sync.state.staging import unwanted_downloads

_LIMIT = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_A_MIRROR = 20
"""Scenes that a mirror has to hold for a share of them to tell anything."""
_MANY_REPLACED = 0.2
"""The share of a mirror that may be replaced without a question."""
_ARRIVES = TRANSFERS | {ActionKind.KEEP, ActionKind.ADOPT}
"""Actions after which their scenes are in the mirror, where nothing fails."""


@dataclass(frozen=True, slots=True)
class PruneLimit:
    """How many files may be removed without a question."""

    number: float = 10.0
    percent: bool = True
    """Whether `number` is a share of the files that are held."""
    least: int = 5
    """Whatever the share comes to."""

    @classmethod
    def parse(cls, text: str) -> "PruneLimit":
        """Read `N` or `N%`, which are taken as they stand.

        Raises:
            ManifestError: it is neither.
        """
        match = _LIMIT.fullmatch(text.strip())
        if match is None or (not match[2] and "." in match[1]) or (match[2] and float(match[1]) > 100):  # noqa: PLR2004  # percent
            raise ManifestError(
                f"--max-prune {text!r}: a number of files such as 20, or a share such as 10%, is wanted"
            )
        return cls(float(match[1]), percent=bool(match[2]), least=0)

    def files(self, held: int) -> int:
        """The number of files, of so many that are held."""
        return max(self.least, int(held * self.number / 100)) if self.percent else int(self.number)


DEFAULT = PruneLimit()


@dataclass(slots=True)
class PruneDecision:
    """What is to become of held files that no dataset was found to want."""

    prune: list[Action] = field(default_factory=list)
    keep: list[Action] = field(default_factory=list)
    """Scenes that still fit the rules, though nothing was found to want them."""
    stay: list[Action] = field(default_factory=list)
    """Scenes that the rules refuse, and whose files may not go now."""
    doubted: bool = False
    """Whether some of these stay only because a clock is in doubt."""
    warnings: list[str] = field(default_factory=list)


def judge(
    manifest: Manifest,
    wants: Mapping[SceneId, DesiredScene],
    offered: Mapping[SceneId, Scene],
    unwanted: Iterable[LocalScene],
    now: datetime,
    *,
    wrong_clock: str | None = None,
) -> PruneDecision:
    """Judge held files by the manifest's rules.

    Args:
        manifest: the rules.
        wants: what the manifest admits of a complete search.
        offered: what the catalogue says now of the scenes that its search gave.
        unwanted: held files whose scenes are not among the wants.
        now: the instant that relative dates are counted from.
        wrong_clock: why that instant may be wrong, so that no relative date removes anything; None where it is not.
    """
    judged = PruneDecision()
    held: dict[SceneId, LocalScene] = {}
    scenes: dict[SceneId, Scene] = {}
    for item in sorted(unwanted, key=lambda item: item.path):
        try:
            scenes[item.id] = offered.get(item.id) or scene_from_metadata(item.facts)
        except (ValueError, TypeError):
            judged.warnings.append(f"{item.path}: is kept, since nothing is known by which its scene could be judged")
            continue
        held[item.id] = item
    if not held:
        return judged
    verdict = _with_the_rest(manifest, wants, scenes, now)
    newer = _Superseding(wants, verdict.wants)
    for scene_id, item in held.items():
        want = verdict.wants.get(scene_id)
        if want is not None:
            judged.keep.append(
                _action(ActionKind.KEEP, item, want.datasets, "still fits; the catalogue does not list it now")
            )
        elif doubt := _doubt(scenes[scene_id], verdict, scene_id):
            judged.warnings.append(f"{item.path}: is kept, since its scene cannot be judged: {doubt}")
        elif wrong_clock is not None and _by_the_clock(manifest, scenes[scene_id], verdict, now):
            why = f"kept, though a relative date leaves it out: {wrong_clock}"
            judged.stay.append(_action(ActionKind.KEEP, item, (), why))
            judged.doubted = True
        else:
            after = newer.of(verdict.refused.get(scene_id, {}).values())
            judged.prune.append(_action(ActionKind.PRUNE, item, (), _reason(verdict, scene_id), after=after))
    if judged.doubted:
        kept = named([action.id for action in judged.stay])
        judged.warnings.append(
            f"{kept}: kept, though a relative date leaves it out: {wrong_clock}; set the clock right, or write fixed "
            "dates into the manifest"
        )
    return judged


def _by_the_clock(manifest: Manifest, scene: Scene, verdict: Selection, now: datetime) -> bool:
    """Whether a dataset leaves a scene out by a date that is another one every day."""
    start = scene.start
    return start is not None and any(
        why.rule == "date" and manifest.datasets[name].bound(start, now).relative
        for name, why in verdict.refused.get(scene.id, {}).items()
    )


class _Superseding:
    """The scenes that have to be in the mirror before one that they supersede may go, by the ids they are wanted by.

    Thousands of old scenes may wait for the same thousands of new ones: what they have in common is kept once.
    """

    def __init__(self, wants: Mapping[SceneId, DesiredScene], others: Mapping[SceneId, DesiredScene]) -> None:
        self._wants = wants
        self._others = others
        self._known: dict[tuple[int, ...], tuple[SceneId, ...]] = {}

    def of(self, refusals: Iterable[Refusal]) -> tuple[SceneId, ...]:
        """Those of a scene that is left out so."""
        by = [why.by for why in refusals if why.by]
        key = tuple(map(id, by))
        if key not in self._known:
            self._known[key] = self._named_as_wanted(dict.fromkeys(scene_id for ids in by for scene_id in ids))
        return self._known[key]

    def _named_as_wanted(self, ids: Iterable[SceneId]) -> tuple[SceneId, ...]:
        if all(scene_id in self._wants for scene_id in ids):
            return tuple(ids)
        # Another archive may write the same product's id another way.
        known = {product_id(scene_id): scene_id for scene_id in (*self._others, *self._wants)}
        return tuple(dict.fromkeys(known.get(product_id(scene_id), scene_id) for scene_id in ids))


def settled(judged: PruneDecision, planned: Iterable[Action]) -> PruneDecision:
    """Keep the files of superseded scenes whose successors a plan does not bring: ordered, awaited, or not to be had.

    Args:
        judged: by the rules.
        planned: what is to be done about the scenes that are wanted.
    """
    coming = {action.id for action in (*planned, *judged.keep) if action.kind in _ARRIVES}
    result = PruneDecision(
        keep=judged.keep, stay=list(judged.stay), warnings=list(judged.warnings), doubted=judged.doubted
    )
    waiting: dict[tuple[SceneId, ...], list[SceneId]] = {}
    lacking: dict[int, tuple[SceneId, ...]] = {}
    for action in judged.prune:
        if id(action.after) not in lacking:
            lacking[id(action.after)] = tuple(scene_id for scene_id in action.after if scene_id not in coming)
        missing = lacking[id(action.after)]
        if not missing:
            result.prune.append(action)
            continue
        waiting.setdefault(missing, []).append(action.id)
        why = f"{kept_until(missing)}; then {action.reason}"
        result.stay.append(replace(action, kind=ActionKind.KEEP, reason=why, after=()))
    result.warnings += [f"{named(ids)}: {kept_until(missing)}" for missing, ids in waiting.items()]
    return result


def vanished(kept: Iterable[Action]) -> list[str]:
    """Say which scenes are kept that the catalogue has lost."""
    ids = [action.id for action in kept]
    if not ids:
        return []
    if len(ids) == 1:
        return [f"{ids[0]}: still fits the manifest's rules, though the catalogue does not list it any more; kept"]
    return [f"{named(ids)}: still fit the manifest's rules, though the catalogue does not list them any more; kept"]


def outside_the_lock(
    judged: PruneDecision,
    look_up: SceneLookup,
    keys: Mapping[SceneId, tuple[str, ...]],
    wants: Mapping[SceneId, DesiredScene],
) -> PruneDecision:
    """Judge files outside a lock once more: one whose scene can be had again goes, though the rules would admit it.

    What the archive does not know any more, or could not be asked about, stays: nobody could bring it back.

    Args:
        judged: by the manifest's rules.
        look_up: asks the archives.
        keys: of the archives of the scenes that still fit.
        wants: of the lock; nothing has to wait for a scene that is outside the lock too.

    Raises:
        AuthenticationError: the archive refused the credentials, or there are none.
    """
    look_up.ask({action.id: keys[action.id] for action in judged.keep})
    why = {failure.id: failure.error for failure in look_up.failures}
    lists = {id(action.after): action.after for action in judged.prune}
    within = {key: tuple(scene_id for scene_id in ids if scene_id in wants) for key, ids in lists.items()}
    result = PruneDecision(
        prune=[replace(one, after=within[id(one.after)]) for one in judged.prune],
        stay=judged.stay,
        warnings=list(judged.warnings),
        doubted=judged.doubted,
    )
    for action in judged.keep:
        if action.id in why:
            result.warnings.append(f"{action.path}: is not in the lock, and is kept all the same: {why[action.id]}")
        else:
            reason = "not in the lock; the archive has it, should it be wanted again"
            result.prune.append(replace(action, kind=ActionKind.PRUNE, datasets=(), reason=reason))
    return result


def _with_the_rest(
    manifest: Manifest, wants: Mapping[SceneId, DesiredScene], scenes: Mapping[SceneId, Scene], now: datetime
) -> Selection:
    """Let every dataset choose again, from what it wants and these: `latest` and `reprocessed` judge sets."""
    found: dict[str, list[Scene]] = {name: list(scenes.values()) for name in manifest.datasets}
    for want in wants.values():
        for name in want.datasets:
            found[name].append(want.scene)
    return select(manifest, found, now, explain=True)


def _doubt(scene: Scene, verdict: Selection, scene_id: SceneId) -> str | None:
    for why in verdict.refused.get(scene_id, {}).values():
        if why.rule == "footprint" or (why.rule == "date" and scene.start is None):
            return why.detail
    return None


def _reason(verdict: Selection, scene_id: SceneId) -> str:
    refusals = verdict.refused.get(scene_id, {})
    return "no longer wanted: " + "; ".join(f"{name}: {why.detail}" for name, why in refusals.items())


def _action(
    kind: ActionKind, held: LocalScene, datasets: tuple[str, ...], reason: str, *, after: tuple[SceneId, ...] = ()
) -> Action:
    return Action(
        kind=kind,
        id=held.id,
        datasets=datasets,
        path=held.path,
        size=held.size,
        reason=reason,
        held=held,
        after=after,
    )


def without(plan: Plan, why: str) -> Plan:
    """The same plan with nothing to remove, and the reason among its warnings."""
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if action.kind is not ActionKind.PRUNE),
        unwanted_downloads=(),
        warnings=(*plan.warnings, why),
    )


def spare_too(plan: Plan, root: Path, wanted: Iterable[Scene]) -> Plan:
    """The same plan, by which downloads under way of scenes that are not wanted go too, and that is said."""
    found, bytes_ = unwanted_downloads(str(root), wanted)
    if not found:
        return plan
    what = "1 download" if len(found) == 1 else f"{len(found)} downloads"
    said = f"{what} under way, {size(bytes_)}, of scenes that are not wanted any more will be removed"
    return replace(plan, spare=found, warnings=(*plan.warnings, said))


def within(plan: Plan, limit: PruneLimit, held: int, confirm: Callable[[int, int], bool]) -> Plan:
    """The plan, where it removes no more than the limit or that is confirmed; else the same without removals.

    Args:
        plan: what is to be done.
        limit: how many files may go without a question.
        held: how many files the mirror holds.
        confirm: asked whether so many may be removed, of so many that are held.
    """
    count = plan.counts[ActionKind.PRUNE]
    if count <= limit.files(held) or confirm(count, held):
        return plan
    kept = without(
        plan,
        f"{count} of {held} files would be removed, and --max-prune allows {limit.files(held)}; none was: "
        "look at `plan --prune`, then confirm with --yes or allow more",
    )
    return replace(kept, refused=True)


def _replaced(actions: Iterable[Action], held: int) -> int:
    """How many held scenes would be replaced, where they are too many to be so without a question; else 0."""
    count = sum(action.replaces for action in actions)
    return count if held >= _A_MIRROR and count > held * _MANY_REPLACED else 0


def _many(count: int, held: int) -> str:
    return f"{count} of {held} held scenes would be replaced at once, more than {_MANY_REPLACED:.0%} of the mirror"


def foretold(actions: Iterable[Action], held: int) -> list[str]:
    """What a plan says of the question that `apply` will ask about its replacements."""
    count = _replaced(actions, held)
    return [f"{_many(count, held)}: `apply` asks first, and without a terminal needs --yes"] if count else []


def replaced_within(plan: Plan, held: int, confirm: Callable[[int, int], bool]) -> Plan:
    """The plan, where it replaces no more than a fifth of a mirror or that is confirmed; else without replacements.

    Args:
        plan: what is to be done.
        held: how many scenes the mirror holds.
        confirm: asked whether so many may be replaced, of so many that are held.
    """
    count = _replaced(plan.actions, held)
    if not count or confirm(count, held):
        return plan
    said = foretold(plan.actions, held)
    refusal = f"{_many(count, held)}; none was: look at `plan`, then confirm with --yes"
    return replace(
        plan,
        actions=tuple(_let_be(action) if action.replaces else action for action in plan.actions),
        warnings=(*(warning for warning in plan.warnings if warning not in said), refusal),
        refused=True,
    )


def _let_be(action: Action) -> Action:
    held = action.held
    if held is None:
        return action
    return replace(
        action,
        kind=ActionKind.KEEP,
        path=held.path,
        size=held.size,
        reason=f"kept, since its replacement was not confirmed; {action.reason}",
        order=None,
        replaces=False,
    )


def still_ours(root: Path, removals: Iterable[Action]) -> tuple[list[Action], list[str]]:
    """Leave out removals of files that have been changed; returns the others, and what to say of the changed ones."""
    ours: list[Action] = []
    changed: list[str] = []
    for action in removals:
        try:
            if action.held is not None and state_of(str(root), action.held) is FileState.DAMAGED:
                changed.append(f"{action.path}: is no longer wanted, but has been changed since it was fetched; kept")
                continue
        except (OSError, SedasSyncError) as error:
            changed.append(f"{action.path}: is no longer wanted, but cannot be looked at; kept: {error}")
            continue
        ours.append(action)
    return ours, changed
