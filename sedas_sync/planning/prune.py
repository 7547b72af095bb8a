"""Which local scenes no longer match the manifest's rules.

Pure. A scene is judged by its entry in the catalogue, or else by the metadata that was stored with its file. So a scene
that is no longer in the catalogue is not mistaken for one that the rules exclude. If in doubt, a file is kept.
"""

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime
from types import MappingProxyType

from msgspec import Struct, field
from msgspec.structs import replace

from sedas_sync.manifest import Manifest
from sedas_sync.manifest.dates import DateSpec
from sedas_sync.model.local import LocalScene
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, kept_until
from sedas_sync.model.reason import Reason, ReasonCode, RuleName
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.model.text import named, product_id
from sedas_sync.model.times import UNDATED
from sedas_sync.planning.match import Exclusion, exclusion
from sedas_sync.planning.select import Selection, select

NO_TIMES: Mapping[str, datetime] = MappingProxyType({})
_ARRIVES = TRANSFERS | {ActionKind.KEEP, ActionKind.ADOPT}
"""Actions after which a scene is in the mirror if nothing fails."""


class PruneDecision(Struct):
    """What happens to local scenes that match no dataset, or that the search did not return."""

    prune: list[Action] = field(default_factory=list)
    keep: list[Action] = field(default_factory=list)
    """Scenes that match the rules although the search did not return them."""
    stay: list[Action] = field(default_factory=list)
    """Scenes that do not match the rules and must not be removed now."""
    refusal: str | None = None
    """Which of `stay` are there only because a clock may be wrong."""
    doubts: dict[SceneId, str] = field(default_factory=dict)
    """Scenes that cannot be judged, so that their files are kept; each with a warning."""
    warnings: list[str] = field(default_factory=list)
    """Other warnings."""

    @property
    def kept(self) -> list[Action]:
        """All actions that keep a file."""
        return [*self.keep, *self.stay]


# Longer than usual by its arguments and their description.
def judge(
    manifest: Manifest,
    wants: Mapping[SceneId, DesiredScene],
    offered: Mapping[SceneId, Scene],
    unwanted: Iterable[LocalScene],
    now: datetime,
    *,
    wrong_clock: str | None = None,
    since: Mapping[str, datetime] = NO_TIMES,
) -> PruneDecision:
    """Judge local scenes by the manifest's rules.

    Args:
        manifest: The rules.
        wants: The scenes of a complete search that match the manifest.
        offered: The unwanted scenes that the search returned, by id.
        unwanted: Local scenes that are not in `wants`.
        now: The time that relative dates count from.
        wrong_clock: Why `now` may be wrong, so that no relative date removes a file; None if it is right.
        since: Since when the start date of each dataset has been the same; empty if no archive confirms the clock.

    Returns:
        The decision; what is removed is in order of acquisition, the oldest first.
    """
    decision = PruneDecision()
    found: list[tuple[LocalScene, Scene]] = []
    for item in unwanted:
        try:
            found.append((item, offered.get(item.id) or scene_from_metadata(item.facts)))
        except (ValueError, TypeError):
            decision.doubts[item.id] = f"{item.path}: kept: no metadata to check it against the rules"
    if not found:
        return decision
    found.sort(key=lambda pair: (pair[1].start or UNDATED, pair[0].path))
    local = {item.id: item for item, _ in found}
    scenes = {item.id: scene for item, scene in found}
    verdict = _select_again(manifest, wants, scenes, now)
    superseding = _Superseding(wants, verdict.wants)
    doubted: list[SceneId] = []
    for scene_id, item in local.items():
        want, exclusions = verdict.wants.get(scene_id), verdict.excluded.get(scene_id, {})
        if want is not None:
            decision.keep.append(_action(ActionKind.KEEP, item, Reason(ReasonCode.NOT_LISTED), datasets=want.datasets))
        elif doubt := next((why.detail for why in exclusions.values() if why.unknown), None):
            decision.doubts[scene_id] = f"{item.path}: kept: it cannot be checked against the rules: {doubt}"
        elif wrong_clock is not None and _by_relative_date(manifest, scenes[scene_id], exclusions, now):
            reason = Reason(ReasonCode.WRONG_CLOCK, detail=wrong_clock)
            decision.stay.append(_action(ActionKind.KEEP, item, reason))
            doubted.append(scene_id)
        else:
            detail = "; ".join(f"{name}: {why.detail}" for name, why in exclusions.items())
            aged = any(_has_aged(manifest, scenes[scene_id], name, since, now) for name in exclusions)
            code = ReasonCode.AGED if aged else ReasonCode.NO_MATCH
            reason, after = Reason(code, detail=detail), superseding.ids(exclusions.values())
            decision.prune.append(_action(ActionKind.PRUNE, item, reason, after=after))
    if doubted:
        decision.refusal = (
            f"{named(doubted)}: kept, although a relative date excludes it: {wrong_clock}; correct the clock, or write "
            "fixed dates into the manifest"
        )
    return decision


def _select_again(
    manifest: Manifest, wants: Mapping[SceneId, DesiredScene], scenes: Mapping[SceneId, Scene], now: datetime
) -> Selection:
    """Select from the matches of each dataset and these scenes: `latest` and `reprocessed` judge sets."""
    found: dict[str, list[Scene]] = {name: list(scenes.values()) for name in manifest.datasets}
    for want in wants.values():
        for name in want.datasets:
            found[name].append(want.scene)
    return select(manifest, found, now, explain=True)


def _by_relative_date(manifest: Manifest, scene: Scene, exclusions: Mapping[str, Exclusion], now: datetime) -> bool:
    """Return whether a dataset excludes a scene by a date that changes every day."""
    start = scene.start
    return start is not None and any(
        why.rule is RuleName.DATE and manifest.datasets[name].bound(start, now).relative
        for name, why in exclusions.items()
    )


def _has_aged(manifest: Manifest, scene: Scene, name: str, since: Mapping[str, datetime], now: datetime) -> bool:
    """Return whether a scene matched a dataset until the relative start of its interval moved on."""
    dataset, then = manifest.datasets[name], since.get(name)
    start = dataset.start
    if then is None or start is None or not start.relative or scene.start is None or scene.start >= start.resolve(now):
        return False
    earlier = dataset.model_copy(update={"start": DateSpec("fixed", "start", fixed=start.resolve(then))})
    return exclusion(earlier, manifest.aois, scene, now) is None


class _Superseding:
    """Finds the scenes that must be downloaded before one that they supersede is removed.

    Thousands of old scenes can wait for the same thousands of new ones: their common tuple is made once.
    """

    def __init__(self, wants: Mapping[SceneId, DesiredScene], others: Mapping[SceneId, DesiredScene]) -> None:
        self._wants = wants
        self._others = others
        self._known: dict[tuple[int, ...], tuple[SceneId, ...]] = {}

    def ids(self, exclusions: Iterable[Exclusion]) -> tuple[SceneId, ...]:
        """Return the ids of the scenes that supersede one with these exclusions, as they are wanted."""
        by = [why.by for why in exclusions if why.by]
        key = tuple(map(id, by))  # The selection keeps the tuples, so their ids stay unique.
        if key not in self._known:
            self._known[key] = self._named_as_wanted(dict.fromkeys(scene_id for ids in by for scene_id in ids))
        return self._known[key]

    def _named_as_wanted(self, ids: Iterable[SceneId]) -> tuple[SceneId, ...]:
        if all(scene_id in self._wants for scene_id in ids):
            return tuple(ids)
        # Another archive can write the id of the same product differently.
        known = {product_id(scene_id): scene_id for scene_id in (*self._others, *self._wants)}
        return tuple(dict.fromkeys(known.get(product_id(scene_id), scene_id) for scene_id in ids))


def keep_until_superseded(decision: PruneDecision, planned: Iterable[Action]) -> PruneDecision:
    """Keep superseded scenes whose successors are not downloaded by the plan: they are on order or not available.

    Args:
        decision: Of `judge`.
        planned: The actions for the desired scenes.
    """
    coming = {action.id for action in (*planned, *decision.keep) if action.kind in _ARRIVES}
    result = replace(decision, prune=[], stay=list(decision.stay), warnings=list(decision.warnings))
    waiting: dict[tuple[SceneId, ...], list[SceneId]] = {}
    lacking = once_per_tuple(lambda after: tuple(scene_id for scene_id in after if scene_id not in coming))
    for action in decision.prune:
        missing = lacking(action.after)
        if not missing:
            result.prune.append(action)
            continue
        waiting.setdefault(missing, []).append(action.id)
        why = Reason(ReasonCode.SUCCESSOR_MISSING, names=missing, cause=action.reason)
        result.stay.append(replace(action, kind=ActionKind.KEEP, reason=why, after=()))
    result.warnings += [f"{named(ids)}: {kept_until(missing)}" for missing, ids in waiting.items()]
    return result


def remove_without_files(decision: PruneDecision, without_files: AbstractSet[SceneId]) -> PruneDecision:
    """Remove the scenes without files that the search did not return although they match: nothing is left to keep.

    Args:
        decision: Of `judge`.
        without_files: The scenes of which no file is on disk.
    """
    reason = Reason(ReasonCode.LOST)
    gone = [
        replace(a, kind=ActionKind.PRUNE, datasets=(), size=0, reason=reason)
        for a in decision.keep
        if a.id in without_files
    ]
    kept = [action for action in decision.keep if action.id not in without_files]
    return replace(decision, keep=kept, prune=[*decision.prune, *gone])


def judge_by_lock(
    decision: PruneDecision, lookup_errors: Mapping[SceneId, str], wants: Mapping[SceneId, DesiredScene]
) -> PruneDecision:
    """Remove scenes outside a lock file that the archive can provide again, although they match the rules.

    A scene that is in no archive now, or that could not be looked up, is kept: it could not be downloaded again.

    Args:
        decision: Of `judge`.
        lookup_errors: Why the look-up of a scene failed, by id.
        wants: The scenes of the lock file; no removal has to wait for other scenes.
    """
    within = once_per_tuple(lambda ids: tuple(scene_id for scene_id in ids if scene_id in wants))
    result = replace(
        decision,
        prune=[replace(action, after=within(action.after)) for action in decision.prune],
        keep=[],
        warnings=list(decision.warnings),
    )
    for action in decision.keep:
        if action.id in lookup_errors:
            result.warnings.append(
                f"{action.path}: kept although it is not in the lock file: {lookup_errors[action.id]}"
            )
        else:
            reason = Reason(ReasonCode.NOT_IN_LOCK)
            result.prune.append(replace(action, kind=ActionKind.PRUNE, datasets=(), reason=reason))
    return result


def once_per_tuple(
    change: Callable[[tuple[SceneId, ...]], tuple[SceneId, ...]],
) -> Callable[[tuple[SceneId, ...]], tuple[SceneId, ...]]:
    """Return the same function, but computed once for each tuple object.

    Thousands of actions share one `Action.after` with thousands of ids. A dictionary with such tuples as keys would
    hash all of their ids for each action, so the keys are the `id()`s of the tuples. The tuples are kept, so that no
    `id()` is used twice.
    """
    known: dict[int, tuple[tuple[SceneId, ...], tuple[SceneId, ...]]] = {}

    def changed(ids: tuple[SceneId, ...]) -> tuple[SceneId, ...]:
        if id(ids) not in known:
            known[id(ids)] = (ids, change(ids))
        return known[id(ids)][1]

    return changed


def warn_of_unlisted(kept: Iterable[Action]) -> list[str]:
    """Return a warning that names the scenes that are kept although the catalogue no longer lists them."""
    ids = [action.id for action in kept]
    if not ids:
        return []
    if len(ids) == 1:
        return [f"{ids[0]}: kept: matches the manifest, but is no longer in the catalogue"]
    return [f"{named(ids)}: kept: they match the manifest, but are no longer in the catalogue"]


def _action(
    kind: ActionKind,
    local: LocalScene,
    reason: Reason,
    *,
    datasets: tuple[str, ...] = (),
    after: tuple[SceneId, ...] = (),
) -> Action:
    return Action(
        kind=kind,
        id=local.id,
        datasets=datasets,
        path=local.path,
        size=local.size,
        reason=reason,
        local=local,
        after=after,
    )
