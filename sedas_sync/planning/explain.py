"""Explain one scene: which datasets it matches, what is on disk, and what the next apply does."""

from collections.abc import Mapping
from dataclasses import dataclass

from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.reason import Reason
from sedas_sync.model.scene import LocalScene, Order, Scene, SceneId, Source
from sedas_sync.planning.match import Refusal

NOT_FOUND = "search"
"""The rule of a scene that matches all rules and that the search did not return."""

_NEXT = {
    ActionKind.KEEP: "nothing: it is held and unchanged",
    ActionKind.FETCH: "fetch it",
    ActionKind.RESUME: "go on with its download",
    ActionKind.ORDER: "order it from the long-term archive",
    ActionKind.WAIT: "ask for its order again",
    ActionKind.REPLACE: "fetch it anew and replace the file",
    ActionKind.ADOPT: "take the file into the index",
    ActionKind.PRUNE: "remove the file",
    ActionKind.SKIP: "skip it: it cannot be had",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What `apply --prune` would do with a scene that matches no dataset."""

    removes: bool
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Everything that is known of one scene."""

    id: SceneId
    scene: Scene | None
    """As the catalogue describes it now, or as the index remembers it; None if it is unknown."""
    listed: bool
    """Whether the catalogue lists it now."""
    verdicts: Mapping[str, Refusal | None]
    """For each dataset, why the scene does not match it; None if it does."""
    action: Action | None
    """Its action in the plan; None if it matches no dataset."""
    held: LocalScene | None
    order: Order | None
    last_error: str | None
    sources: tuple[Source, ...] = ()
    """Its sources, best first, if the manifest has several archives."""
    held_from: str | None = None
    """Key of the archive that the file was downloaded from; None if it is unknown or there is only one archive."""
    pruning: Pruning | None = None
    """None if the scene matches a dataset or is not on disk."""
    warnings: tuple[str, ...] = ()
    """Problems of the mirror's index."""

    @property
    def known(self) -> bool:
        """Whether the catalogue or the mirror knows the scene."""
        return self.scene is not None or self.held is not None or self.order is not None

    @property
    def next(self) -> str:
        """What the next apply does."""
        if self.action is not None and self.action.kind is ActionKind.WAIT and self.action.order is None:
            return "fetch it, once it is online again"
        if self.action is not None:
            return _NEXT[self.action.kind]
        if self.held is not None:
            goes = self.pruning is not None and self.pruning.removes
            if fits := self._fitting:
                return f"nothing: the file stays; it fits the rules of {fits}, whose search did not give it"
            return "nothing: the file stays; no dataset wants it" + ("; `apply --prune` removes it" if goes else "")
        if not self.known:
            return "nothing: nobody knows it"
        if fits := self._fitting:
            return f"nothing, until the search of {fits} gives it"
        return "nothing: no dataset wants it"

    @property
    def _fitting(self) -> str:
        """The datasets whose rules the scene matches although their searches did not return it."""
        return ", ".join(name for name, why in self.verdicts.items() if why is not None and why.rule == NOT_FOUND)
