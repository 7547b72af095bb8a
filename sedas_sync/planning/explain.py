"""One scene explained: who wants it, which rule leaves it out, what is here of it, and what the next apply will do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sedas_sync.model.events import iso
from sedas_sync.model.plan import Action, ActionKind
from sedas_sync.model.scene import LocalScene, Order, Scene, SceneId, Source
from sedas_sync.planning.select import Refusal

NOT_FOUND = "search"
"""What is said for a rule where a scene fits all of them, and the search did not give it."""

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
    """What `apply --prune` would do with a file that no dataset wants."""

    removes: bool
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is known of one scene."""

    id: SceneId
    scene: Scene | None
    """As the catalogue has it now, or as it was when it was last seen; None where nobody knows it."""
    listed: bool
    """Whether the catalogue has it now."""
    verdicts: Mapping[str, Refusal | None]
    """For each dataset, the rule that leaves the scene out; None where it wants it."""
    action: Action | None
    """Its place in the plan; None where no dataset wants it."""
    held: LocalScene | None
    order: Order | None
    last_error: str | None
    places: tuple[Source, ...] = ()
    """Where it can be had, best first, where the manifest has several archives and one of them lists it."""
    held_from: str | None = None
    """The key of the archive that gave the file; None where the manifest has one archive, or that is not known."""
    pruning: Pruning | None = None
    """None where a dataset wants the scene, or no file of it is held."""
    warnings: tuple[str, ...] = ()
    """What is wrong with the mirror's index."""

    @property
    def known(self) -> bool:
        """Whether the catalogue or the mirror knows the scene."""
        return self.scene is not None or self.held is not None or self.order is not None

    @property
    def next(self) -> str:
        """What the next apply will do."""
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
        """The datasets whose rules the scene fits though their searches did not give it."""
        return ", ".join(name for name, why in self.verdicts.items() if why is not None and why.rule == NOT_FOUND)

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as JSON data."""
        held, order, action = self.held, self.order, self.action
        return {
            "schema": 1,
            "id": self.id,
            "known": self.known,
            "listed": self.listed,
            **(
                {"archives": [{"archive": place.archive, "online": place.scene.online} for place in self.places]}
                if self.places
                else {}
            ),
            "datasets": [
                {
                    "dataset": name,
                    "wanted": why is None,
                    "rule": None if why is None else why.rule,
                    "detail": None if why is None else why.detail,
                }
                for name, why in self.verdicts.items()
            ],
            "action": None if action is None else action.kind.value,
            "reason": None if action is None else action.reason,
            "path": action.path if action is not None else held.path if held is not None else None,
            "file": None
            if held is None
            else {
                "path": held.path,
                "size": held.size,
                "sha256": held.sha256,
                "level": held.level.value,
                **({} if self.held_from is None else {"archive": self.held_from}),
            },
            "order": None
            if order is None
            else {
                "order": order.order,
                "state": order.state.value,
                "placed": iso(order.placed),
                "polls": order.polls,
                "attempts": order.attempts,
            },
            "last_error": self.last_error,
            "prune": None if self.pruning is None else {"removes": self.pruning.removes, "reason": self.pruning.reason},
            "next": self.next,
        }
