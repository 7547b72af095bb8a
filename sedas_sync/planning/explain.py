"""Explain one scene: which datasets it matches, what is on disk, and what the next apply does."""

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from sedas_sync.model.local import LocalScene
from sedas_sync.model.order import Order
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.reason import Reason, ReasonCode, RuleName
from sedas_sync.model.scene import Scene, SceneId, Source
from sedas_sync.planning.match import Exclusion

_NEXT = {
    ActionKind.KEEP: "nothing: it is in the mirror, unchanged",
    ActionKind.FETCH: "download it",
    ActionKind.RESUME: "resume the download",
    ActionKind.ORDER: "order it from the long-term archive",
    ActionKind.WAIT: "poll its order again",
    ActionKind.REPLACE: "download it again and replace the file",
    ActionKind.ADOPT: "record the file in the index",
    ActionKind.PRUNE: "remove the file",
    ActionKind.SKIP: "skip it: it cannot be downloaded yet",
}


class Pruning(Struct, frozen=True, kw_only=True):
    """What `apply --prune` would do with a scene that matches no dataset."""

    removes: bool
    reason: Reason


class Sibling(Struct, frozen=True, kw_only=True):
    """Another scene of the same tile and day."""

    id: SceneId
    datasets: tuple[str, ...]
    """The datasets that it matches."""
    exclusion: str | None
    """A dataset that excludes it, and why; None if it matches one."""


class Explanation(Struct, frozen=True, kw_only=True):
    """Everything that is known of one scene."""

    id: SceneId
    scene: Scene | None
    """As the catalogue describes it now, or as the index remembers it; None if it is unknown."""
    listed: bool
    """Whether the catalogue lists it now."""
    verdicts: Mapping[str, Exclusion | None]
    """For each dataset, why the scene does not match it; None if it does."""
    action: Action | None
    """Its action in the plan; None if it matches no dataset."""
    local: LocalScene | None
    order: Order | None
    last_error: str | None
    sources: tuple[Source, ...] = ()
    """Its sources, best first, if the manifest has several archives."""
    local_from: str | None = None
    """Key of the archive that the file was downloaded from; None if it is unknown or there is only one archive."""
    pruning: Pruning | None = None
    """None if the scene matches a dataset or is not on disk."""
    archive_warnings: tuple[str, ...] = ()
    """Warnings of the archives that name the scene, such as that its row could not be used."""
    same_day: tuple[Sibling, ...] = ()
    """Other scenes of its tile on its day, if its tile is known."""
    in_lock: bool | None = None
    """Whether the lock file has it; None if there is no lock file that matches the manifest."""
    warnings: tuple[str, ...] = ()
    """Problems of the mirror's index."""

    @property
    def known(self) -> bool:
        """Whether an archive or the mirror has something about the scene."""
        return bool(self.scene or self.local or self.order or self.archive_warnings)

    @property
    def next(self) -> str:
        """What the next apply does."""
        if self.action is not None and self.action.kind is ActionKind.WAIT and self.action.order is None:
            return "download it when it is online again"
        if self.action is not None and self.action.is_unreadable:
            return "nothing, until it can be read"
        if self.action is not None:
            return _NEXT[self.action.kind]
        if self.local is not None:
            goes = self.pruning is not None and self.pruning.removes
            if self.pruning is not None and self.pruning.reason.code is ReasonCode.LOST:
                return (
                    "nothing: its file is missing and no search returns it; `apply --prune` removes it from the index"
                )
            if fits := self._fitting:
                return f"nothing: the file is kept. It matches {fits}, but the search for {fits} did not return it"
            return "nothing: the file is kept; it matches no dataset" + ("; `apply --prune` removes it" if goes else "")
        if not self.known:
            return "nothing: no archive and no local file has this id"
        if fits := self._fitting:
            return f"nothing until the search for {fits} returns it"
        if self.scene is None and self.archive_warnings:
            return "nothing: an archive has it, but what it states cannot be used"
        return "nothing: it matches no dataset"

    @property
    def _fitting(self) -> str:
        """The datasets whose rules the scene matches although their searches did not return it."""
        return ", ".join(name for name, why in self.verdicts.items() if why is not None and why.rule is RuleName.SEARCH)


def naming(scene_id: SceneId, warnings: Iterable[str]) -> tuple[str, ...]:
    """Return the warnings that name a scene, each once; a warning about one scene contains its id."""
    name = re.compile(rf"(?<![\w-]){re.escape(scene_id)}(?![\w-])")
    return tuple(dict.fromkeys(warning for warning in warnings if name.search(warning)))
