"""How a mirror has changed since a plan was saved."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from sedas_sync.model.local import LocalScene
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.scene import SceneId

_SAME = {ActionKind.RESUME: ActionKind.FETCH}
"""A download that was started counts as one that was not."""


def drift(plan: Plan, now: Iterable[Action], local_scenes: Mapping[SceneId, LocalScene]) -> tuple[str, ...]:
    """Return for each scene how the mirror has changed since a plan was made.

    Args:
        plan: The saved plan.
        now: The actions for the same scenes now, as if the archives had not changed.
        local_scenes: The scenes of the index now.
    """
    return tuple(_drifted(plan, {action.id: action for action in now}, local_scenes))


def _drifted(plan: Plan, now: Mapping[SceneId, Action], local_scenes: Mapping[SceneId, LocalScene]) -> Iterator[str]:
    for then in plan.actions:
        today = now.get(then.id)
        if then.wanted is None or today is None:
            if not _same_file(then.local, local_scenes.get(then.id)):
                yield f"{then.id}: the plan would {then.kind.value} {then.path}, but that file is gone"
        elif _comparable(then) != _comparable(today):
            yield (f"{then.id}: the plan has {_in_words(then)}, now it would be {_in_words(today)}")
        elif not _same_file(then.local, today.local):
            yield f"{then.id}: the file in the mirror has changed since the plan was saved"


def _in_words(action: Action) -> str:
    return f"{action.kind.value} ({action.reason.code.value.replace('_', ' ')})"


def _comparable(action: Action) -> tuple[object, ...]:
    kind = _SAME.get(action.kind, action.kind)
    order = action.order.order if action.order is not None and action.kind not in TRANSFERS else None
    return kind, action.path, order


def _same_file(then: LocalScene | None, now: LocalScene | None) -> bool:
    return now is None if then is None else then.has_same_file(now)


def either_form(saved: Plan) -> AbstractSet[SceneId]:
    """Return the scenes of a saved plan that stay the folder, or the file, that they are."""
    return {action.id for action in saved.actions if action.kind is not ActionKind.REPLACE}
