"""Which held files the manifest's rules no longer admit, and how many of them may go at once. Removes nothing.

A scene is judged by what the catalogue says of it now, or else by the facts that were stored with its file, so that a
scene which the catalogue has lost is told from one that the rules leave out. In doubt a file stays.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from msgspec.structs import replace

from sedas_sync.bundle import spare
from sedas_sync.desired import Desired, desired
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.facts import scene_of
from sedas_sync.locked import LookUp
from sedas_sync.manifest import Manifest
from sedas_sync.model import Action, Holding, Kind, Scene, SceneId, Want
from sedas_sync.plan import FileState, Plan
from sedas_sync.survey import state_of
from sedas_sync.words import size

_LIMIT = re.compile(r"(\d+(?:\.\d+)?)(%?)")
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Limit:
    """How many files may be removed without a question."""

    number: float = 10.0
    percent: bool = True
    """Whether `number` is a share of the files that are held."""
    least: int = 5
    """Whatever the share comes to."""

    @classmethod
    def parse(cls, text: str) -> "Limit":
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


DEFAULT = Limit()


@dataclass(slots=True)
class Judged:
    """What is to become of held files that no dataset was found to want."""

    prune: list[Action] = field(default_factory=list)
    keep: list[Action] = field(default_factory=list)
    """Scenes that still fit the rules, though nothing was found to want them."""
    warnings: list[str] = field(default_factory=list)


def judge(
    manifest: Manifest,
    wants: Mapping[SceneId, Want],
    offered: Mapping[SceneId, Scene],
    unwanted: Iterable[Holding],
    now: datetime,
) -> Judged:
    """Judge held files by the manifest's rules.

    Args:
        manifest: the rules.
        wants: what the manifest admits of a complete search.
        offered: what the catalogue says now of the scenes that its search gave.
        unwanted: held files whose scenes are not among the wants.
        now: the instant that relative dates are counted from.
    """
    judged = Judged()
    held: dict[SceneId, Holding] = {}
    scenes: dict[SceneId, Scene] = {}
    for item in sorted(unwanted, key=lambda item: item.path):
        try:
            scenes[item.id] = offered.get(item.id) or scene_of(item.facts)
        except (ValueError, TypeError):
            judged.warnings.append(f"{item.path}: is kept, since nothing is known by which its scene could be judged")
            continue
        held[item.id] = item
    if not held:
        return judged
    verdict = _with_the_rest(manifest, wants, scenes, now)
    for scene_id, item in held.items():
        want = verdict.wants.get(scene_id)
        if want is not None:
            judged.keep.append(
                _action(Kind.KEEP, item, want.datasets, "still fits; the catalogue does not list it now")
            )
        elif doubt := _doubt(scenes[scene_id], verdict, scene_id):
            judged.warnings.append(f"{item.path}: is kept, since its scene cannot be judged: {doubt}")
        else:
            judged.prune.append(_action(Kind.PRUNE, item, (), _reason(verdict, scene_id)))
    return judged


def vanished(kept: Iterable[Action]) -> list[str]:
    """Say which scenes are kept that the catalogue has lost."""
    ids = [action.id for action in kept]
    if not ids:
        return []
    if len(ids) == 1:
        return [f"{ids[0]}: still fits the manifest's rules, though the catalogue does not list it any more; kept"]
    return [f"{_some(ids)}: still fit the manifest's rules, though the catalogue does not list them any more; kept"]


def outside_the_lock(judged: Judged, look_up: LookUp, keys: Mapping[SceneId, tuple[str, ...]]) -> Judged:
    """Judge files outside a lock once more: one whose scene can be had again goes, though the rules would admit it.

    What the archive does not know any more, or could not be asked about, stays: nobody could bring it back.

    Args:
        judged: by the manifest's rules.
        look_up: asks the archives.
        keys: of the archives of the scenes that still fit.

    Raises:
        AuthenticationError: the archive refused the credentials, or there are none.
    """
    look_up.ask({action.id: keys[action.id] for action in judged.keep})
    why = {failure.id: failure.error for failure in look_up.failures}
    result = Judged(prune=list(judged.prune), warnings=list(judged.warnings))
    for action in judged.keep:
        if action.id in why:
            result.warnings.append(f"{action.path}: is not in the lock, and is kept all the same: {why[action.id]}")
        else:
            reason = "not in the lock; the archive has it, should it be wanted again"
            result.prune.append(replace(action, kind=Kind.PRUNE, datasets=(), reason=reason))
    return result


def _with_the_rest(
    manifest: Manifest, wants: Mapping[SceneId, Want], scenes: Mapping[SceneId, Scene], now: datetime
) -> Desired:
    """Let every dataset choose again, from what it wants and these: `latest` and `reprocessed` judge sets."""
    found: dict[str, list[Scene]] = {name: list(scenes.values()) for name in manifest.datasets}
    for want in wants.values():
        for name in want.datasets:
            found[name].append(want.scene)
    return desired(manifest, found, now, explain=True)


def _doubt(scene: Scene, verdict: Desired, scene_id: SceneId) -> str | None:
    for why in verdict.refused.get(scene_id, {}).values():
        if why.rule == "footprint" or (why.rule == "date" and scene.start is None):
            return why.detail
    return None


def _reason(verdict: Desired, scene_id: SceneId) -> str:
    refusals = verdict.refused.get(scene_id, {})
    return "no longer wanted: " + "; ".join(f"{name}: {why.detail}" for name, why in refusals.items())


def _action(kind: Kind, held: Holding, datasets: tuple[str, ...], reason: str) -> Action:
    return Action(kind=kind, id=held.id, datasets=datasets, path=held.path, size=held.size, reason=reason, held=held)


def _some(ids: list[SceneId]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more


def without(plan: Plan, why: str) -> Plan:
    """The same plan with nothing to remove, and the reason among its warnings."""
    return replace(
        plan,
        actions=tuple(action for action in plan.actions if action.kind is not Kind.PRUNE),
        spare=(),
        warnings=(*plan.warnings, why),
    )


def spare_too(plan: Plan, root: Path, wanted: Iterable[Scene]) -> Plan:
    """The same plan, by which downloads under way of scenes that are not wanted go too, and that is said."""
    found, bytes_ = spare(str(root), wanted)
    if not found:
        return plan
    what = "1 download" if len(found) == 1 else f"{len(found)} downloads"
    said = f"{what} under way, {size(bytes_)}, of scenes that are not wanted any more will be removed"
    return replace(plan, spare=found, warnings=(*plan.warnings, said))


def within(plan: Plan, limit: Limit, held: int, confirm: Callable[[int, int], bool]) -> Plan:
    """The plan, where it removes no more than the limit or that is confirmed; else the same without removals.

    Args:
        plan: what is to be done.
        limit: how many files may go without a question.
        held: how many files the mirror holds.
        confirm: asked whether so many may be removed, of so many that are held.
    """
    count = plan.counts[Kind.PRUNE]
    if count <= limit.files(held) or confirm(count, held):
        return plan
    kept = without(
        plan,
        f"{count} of {held} files would be removed, and --max-prune allows {limit.files(held)}; none was: "
        "look at `plan --prune`, then confirm with --yes or allow more",
    )
    return replace(kept, prune_refused=True)


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
