"""The order in which files move to the paths of the plan.

A state machine without I/O: see `sedas_sync.operations.apply.effects`. A file waits until another one has left its
new path. If all that are left wait for each other, they are a circle: one of them moves to the partial folder first.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from sedas_sync.model.plan import Action
from sedas_sync.operations.apply.effects import Effect, MachineEvent, Move, MoveAside, MovedAside, MoveFailed, Now


class FileMoves:
    """The moves of one run.

    Args:
        actions: The adoptions of a plan, each with the files that are on disk.
    """

    def __init__(self, actions: Iterable[Action]) -> None:
        self._waiting = list(actions)
        self._leaving = {action.local.path for action in self._waiting if action.local is not None}
        """Paths whose files will move."""

    @property
    def done(self) -> bool:
        """Whether every move was requested."""
        return not self._waiting

    def start(self) -> Iterator[Effect]:
        """Yield all moves that wait for no other; then, if there is a circle, what opens it."""
        while self._waiting:
            blocked = []
            for action in self._waiting:
                local = action.local
                if local is not None and local.path != action.path and action.path in self._leaving:
                    blocked.append(action)
                    continue
                yield Move(action)
                if local is not None:
                    self._leaving.discard(local.path)
            circle = len(blocked) == len(self._waiting)
            self._waiting = blocked
            if circle:
                yield MoveAside(blocked[0])
                return

    def handle(self, event: MachineEvent, _now: Now) -> Iterator[Effect]:
        """Yield what follows from an event."""
        match event:
            case MovedAside(action, local) if action in self._waiting[:1]:
                self._leave(action)
                self._waiting.insert(0, replace(action, local=local))
                yield from self.start()
            case MoveFailed(action) if action in self._waiting[:1]:
                self._leave(action)
                yield from self.start()
            case _:
                pass

    def _leave(self, action: Action) -> None:
        del self._waiting[0]
        if action.local is not None:
            self._leaving.discard(action.local.path)
