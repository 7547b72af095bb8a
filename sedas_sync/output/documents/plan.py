"""Documents about decisions: plan, lock and why."""

from typing import Self

from msgspec import UNSET, UnsetType

from sedas_sync.model.events import Failure
from sedas_sync.model.local import ProofLevel
from sedas_sync.model.order import OrderState
from sedas_sync.model.plan import ActionKind, Plan, bytes_of
from sedas_sync.model.reason import ReasonCode, RuleName
from sedas_sync.model.results import Count
from sedas_sync.output.documents.base import ArchiveEntry, JsonDocument, JsonObject, Sha256, Time
from sedas_sync.output.reasons import reason_text
from sedas_sync.planning.explain import Explanation
from sedas_sync.planning.lock_changes import LockUpdate

# -- plan ------------------------------------------------------------------------------------------------------------


class ActionCounts(JsonObject, frozen=True, kw_only=True):
    """Number of scenes with each action."""

    keep: Count
    """Scenes that are on disk and right."""
    fetch: Count
    """Scenes that are not on disk and can be downloaded."""
    resume: Count
    """Scenes that are partly downloaded."""
    order: Count
    """Scenes in the long-term archive that have no order yet."""
    wait: Count
    """Scenes that are ordered and not ready."""
    replace: Count
    """Scenes that changed in the archive, or are damaged on disk."""
    adopt: Count
    """Scenes whose files are on disk and untracked, or at another path."""
    prune: Count
    """Files that no longer match the manifest."""
    skip: Count
    """Scenes that cannot be downloaded."""
    bytes: Count | None
    """Bytes to download; null if a size is not known."""
    billed_bytes: Count | UnsetType | None = UNSET
    """Those that your account pays for (`requester_pays`), if there are any; null if a size is not known."""
    expected_bytes: Count
    """Bytes to download, now and from orders, with estimates for scenes whose size is not stated."""


class ActionEntry(JsonObject, frozen=True, kw_only=True):
    """The action of one scene."""

    action: ActionKind
    """The action."""
    id: str
    datasets: tuple[str, ...]
    """Datasets that match it, in the order of the manifest."""
    path: str
    size: Count | None
    """Bytes; null if the archive does not state it."""
    reason: str
    reason_code: ReasonCode
    archive: str | UnsetType = UNSET
    """Name of the archive it comes from, if the manifest has several."""


class PlanDocument(JsonDocument, frozen=True, kw_only=True):
    """`plan`, and `apply --dry-run`: what apply would do."""

    manifest: str
    mirror: str
    archive: ArchiveEntry
    """The archive; of several, the first."""
    archives: dict[str, ArchiveEntry] | UnsetType = UNSET
    """All archives by name, if the manifest has several."""
    search_complete: bool
    not_asked: dict[str, float] | UnsetType = UNSET
    """Datasets for which the archives were not asked because of `recheck`, with the seconds since they were."""
    summary: ActionCounts
    """Number of scenes with each action."""
    actions: list[ActionEntry]
    """One entry a scene; kept scenes only with `--all`."""
    failures: list[Failure]
    warnings: tuple[str, ...]

    @classmethod
    def about(cls, plan: Plan, *, everything: bool = False) -> Self:
        """Return a plan; kept scenes are listed only with `everything`."""
        return cls.of(
            plan,
            archives=plan.archives or UNSET,
            failures=plan.failed,
            not_asked=plan.not_asked or UNSET,
            summary=ActionCounts(
                **{kind.value: count for kind, count in plan.counts.items()},
                bytes=plan.bytes,
                billed_bytes=bytes_of(plan.billed) if plan.billed else UNSET,
                expected_bytes=plan.expected_bytes,
            ),
            actions=[
                ActionEntry(
                    action=action.kind,
                    id=action.id,
                    datasets=action.datasets,
                    path=action.path,
                    size=action.size,
                    reason=reason_text(action.reason),
                    reason_code=action.reason.code,
                    archive=plan.source(action) or UNSET,
                )
                for action in plan.actions
                if everything or action.kind is not ActionKind.KEEP
            ],
        )


# -- lock ------------------------------------------------------------------------------------------------------------


class ChangedEntry(JsonObject, frozen=True, kw_only=True):
    """A scene that changed."""

    id: str
    change: str
    """What changed."""


class LockDocument(JsonDocument, frozen=True, kw_only=True):
    """`lock`: what is locked, and what changed."""

    manifest: str
    check: bool
    """Whether `--check` was given, so that nothing was written."""
    lock: str
    """The lock file."""
    up_to_date: bool
    """Whether nothing changed."""
    scenes: Count
    """Scenes in it."""
    digests: Count
    """Of those, scenes with a checksum."""
    differences: tuple[str, ...]
    """What in the manifest differs from the old lock file."""
    added: tuple[str, ...]
    """Scenes that are new in it."""
    removed: tuple[str, ...]
    """Scenes that are no longer in it."""
    changed: list[ChangedEntry]
    """Scenes that changed."""

    @classmethod
    def about(cls, update: LockUpdate, *, manifest: str, check: bool) -> Self:
        """Return the update of a lock file."""
        scenes, changes = update.lock.scenes.values(), update.changes
        return cls.of(
            update,
            manifest=manifest,
            check=check,
            lock=update.path,
            up_to_date=not update.news,
            scenes=len(scenes),
            digests=sum(scene.sha256 is not None for scene in scenes),
            added=changes.added,
            removed=changes.removed,
            changed=[ChangedEntry(id=scene_id, change=what) for scene_id, what in changes.changed],
        )


# -- why -------------------------------------------------------------------------------------------------------------


class OfferEntry(JsonObject, frozen=True, kw_only=True):
    """An archive that lists the scene."""

    archive: str
    """Its name in the manifest."""
    online: bool
    """Whether it can be downloaded there without an order."""


class VerdictEntry(JsonObject, frozen=True, kw_only=True):
    """What one dataset decides."""

    dataset: str
    wanted: bool
    """Whether it matches the scene."""
    rule: RuleName | None
    """The rule that excludes it, as a code."""
    detail: str | None
    """The rule and the numbers, as a sentence."""


class FileEntry(JsonObject, frozen=True, kw_only=True):
    """The scene's file."""

    path: str
    size: Count
    sha256: Sha256 | None
    level: ProofLevel
    """How far the bytes are proved: by a checksum, every CRC, the zip's directory, or the length."""
    archive: str | UnsetType = UNSET
    """Name of the archive it came from, if the manifest has several."""


class SceneOrder(JsonObject, frozen=True, kw_only=True):
    """The scene's order."""

    order: str
    state: OrderState
    """State of the order."""
    placed: Time
    """When it was placed."""
    polls: Count
    """How often its state was requested."""
    attempts: Count
    """How often the scene has been ordered."""


class PruneEntry(JsonObject, frozen=True, kw_only=True):
    """What `apply --prune` does with the file."""

    removes: bool
    """Whether it removes it."""
    reason: str
    reason_code: ReasonCode


class SiblingEntry(JsonObject, frozen=True, kw_only=True):
    """Another scene of the same tile and day."""

    id: str
    datasets: tuple[str, ...]
    """The datasets that match it."""
    exclusion: str | None
    """A dataset that excludes it, and why; null if one matches it."""


class WhyDocument(JsonDocument, frozen=True, kw_only=True):
    """`why`: one scene explained."""

    id: str
    known: bool
    """Whether an archive or the mirror has something about the scene."""
    listed: bool
    """Whether the catalogue lists it now."""
    archives: list[OfferEntry] | UnsetType = UNSET
    """Archives that list it, best first; only if the manifest has several archives."""
    datasets: list[VerdictEntry]
    """What each dataset decides."""
    archive_warnings: list[str]
    """Warnings of the archives that name the scene, such as that its row in the catalogue cannot be used."""
    action: ActionKind | None
    """What the next apply does about it."""
    reason: str | None
    reason_code: ReasonCode | None
    path: str | None
    file: FileEntry | None
    """Its file; null if there is none."""
    order: SceneOrder | None
    """Its order; null if there is none."""
    last_error: str | None
    """The last error."""
    prune: PruneEntry | None
    """What `apply --prune` does with a file that match no dataset; null if there is none."""
    same_day: list[SiblingEntry]
    """Other scenes of its tile on its day that the search returned."""
    in_lock: bool | None
    """Whether the lock file has it; null if there is no lock file that matches the manifest."""
    next: str
    """What comes next, as a sentence."""

    @classmethod
    def about(cls, found: Explanation) -> Self:
        """Return the explanation of a scene."""
        local, order, action = found.local, found.order, found.action
        offers = [OfferEntry(archive=source.archive, online=source.scene.online) for source in found.sources]
        return cls.of(
            found,
            archives=offers or UNSET,
            datasets=[
                VerdictEntry(
                    dataset=name,
                    wanted=why is None,
                    rule=None if why is None else why.rule,
                    detail=None if why is None else why.detail,
                )
                for name, why in found.verdicts.items()
            ],
            action=None if action is None else action.kind,
            **({"reason": None, "reason_code": None} if action is None else {"reason": action.reason}),
            path=action.path if action is not None else local.path if local is not None else None,
            file=None if local is None else FileEntry.of(local, archive=found.local_from or UNSET),
            order=None if order is None else SceneOrder.of(order),
            prune=None if found.pruning is None else PruneEntry.of(found.pruning),
        )
