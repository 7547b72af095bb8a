"""What a search shows of the catalogue: which scenes came, went and came back since the search before."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta

from sedas_sync.model.history import Change, ChangeKind, Departure, SceneState
from sedas_sync.model.plan import Plan
from sedas_sync.model.scene import DesiredScene, Scene, SceneId
from sedas_sync.planning.supersede import processing_of
from sedas_sync.state.history import DateRule, add_changes, departed, listed, record_seen
from sedas_sync.state.index import WritableIndex

_LATE = timedelta(days=3)
"""A scene that a search this long after its acquisition did not return comes late."""


def record_search(index: WritableIndex, plan: Plan, rules: Mapping[str, DateRule], now: datetime) -> None:
    """Record which scenes the complete search of a plan has returned, and what changed since the one before.

    Args:
        index: Open for writing.
        plan: A plan of a search.
        rules: The rules that the search before had too, by dataset.
        now: The time of the run.
    """
    before = departed(index)
    known = before.keys() | listed(index)
    wants = {action.id: action.wanted for action in plan.actions if action.wanted is not None}
    changes = [
        Change(time=now, kind=ChangeKind.BACK, id=scene_id, detail=f"was {before[scene_id].value}")
        for scene_id in wants
        if scene_id in before
    ]
    successors = {newer for one in plan.left for newer in one.by}
    changes += _late_changes(wants, known | successors, rules, now)
    changes += _changes_of(plan.left, now)
    last = max((rule.last for rule in rules.values()), default=now)
    with index.together():
        record_seen(index, wants.keys() - known, wants.keys() & before.keys(), plan.left, last=last, now=now)
        add_changes(index, changes)


def _late_changes(
    wants: Mapping[SceneId, DesiredScene], known: AbstractSet[SceneId], rules: Mapping[str, DateRule], now: datetime
) -> Iterator[Change]:
    """Yield the scenes that an earlier search should have found, and later processings of scenes that are listed."""
    late: dict[SceneId, Scene] = {}
    for scene_id, want in wants.items():
        searched = max((rules[name].last for name in want.datasets if name in rules), default=None)
        acquired = want.scene.start
        if scene_id not in known and acquired and searched and searched - acquired > _LATE:
            late[scene_id] = want.scene
    days = {scene.start.date() for scene in late.values() if scene.start is not None}
    older = {
        made.acquisition: scene_id
        for scene_id, want in (wants.items() if days else ())
        if scene_id in known and want.scene.start is not None and want.scene.start.date() in days
        if (made := processing_of(want.scene)) is not None
    }
    for scene_id, scene in late.items():
        made = processing_of(scene)
        if made is not None and made.acquisition in older:
            yield Change(time=now, kind=ChangeKind.REPROCESSED, id=older[made.acquisition], detail=scene_id)
        else:
            yield Change(time=now, kind=ChangeKind.LATE, id=scene_id, detail=f"acquired {scene.start:%Y-%m-%d}")


def _changes_of(left: Iterable[Departure], now: datetime) -> Iterator[Change]:
    for one in left:
        if one.state is SceneState.WITHDRAWN:
            yield Change(time=now, kind=ChangeKind.WITHDRAWN, id=one.id)
        elif one.state is SceneState.SUPERSEDED:
            yield Change(time=now, kind=ChangeKind.REPROCESSED, id=one.id, detail=", ".join(one.by))
