"""The past of a mirror, in its index: runs, when scenes were seen, and what changed.

What grows with time is bounded: runs and changes of the last 400 days, at most 1,000 runs, and scenes that were seen in
the last 400 days or are on disk.
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import Struct, convert, to_builtins

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.history import SUCCESS, Change, ChangeKind, Departure, RunRecord, SceneState
from sedas_sync.model.scene import SceneId
from sedas_sync.state.index import Index, WritableIndex

_KEEP = timedelta(days=400)
_RUNS = 1_000
_SPARE = f"{STATE}/spare"
"""A file that gives its space to the record of a run's end if the disk is full."""
_SPARE_BYTES, _SPARE_STEP = 1 << 17, 1 << 12
_FAILURES = 20
"""The failures that are recorded on a full disk."""
_SUCCESS = ", ".join(map(str, sorted(SUCCESS)))


# -- runs --------------------------------------------------------------------------------------------------------------


def runs(index: Index, since: datetime | None = None) -> list[RunRecord]:
    """Return the runs that began at or after a time, the last one first."""
    return _runs(index, "WHERE started >= ?", "" if since is None else since.isoformat())


def last_run(index: Index) -> RunRecord | None:
    """Return the run that began last."""
    return next(iter(_runs(index, "", limit=1)), None)


def last_success(index: Index) -> RunRecord | None:
    """Return the last `apply` that did all that could be done."""
    return next(iter(_runs(index, f"WHERE command LIKE 'apply%' AND exit_code IN ({_SUCCESS})", limit=1)), None)


def last_time(index: Index) -> datetime | None:
    """Return the latest time at which a run began or ended."""
    ((latest,),) = index.rows("SELECT max(max(started, coalesce(ended, started))) FROM runs") or ((None,),)
    return None if latest is None else datetime.fromisoformat(latest)


def _runs(index: Index, where: str, *values: object, limit: int = -1) -> list[RunRecord]:
    sql = f"SELECT command, started, ended, exit_code, summary FROM runs {where} ORDER BY number DESC LIMIT {limit}"  # noqa: S608  # our own clauses
    return [
        RunRecord(
            command=command,
            started=datetime.fromisoformat(started),
            ended=None if ended is None else datetime.fromisoformat(ended),
            exit_code=exit_code,
            summary=None if summary is None else json.loads(summary),
        )
        for command, started, ended, exit_code, summary in index.rows(sql, *values)
    ]


def begin_run(index: WritableIndex, command: str, now: datetime, *, clock_doubt: str | None = None) -> int:
    """Record that a run begins, and forget the oldest ones; return its number.

    Args:
        index: Open for writing.
        command: What the index stores for the run.
        now: The time of the run.
        clock_doubt: Why `now` may be wrong, so that nothing is forgotten for its age.
    """
    before = last_run(index)
    if clock_doubt is None and before is not None:
        # By the run before: a clock that is ahead for once makes nothing old.
        old = (min(now, before.started) - _KEEP).isoformat()
        index.execute("DELETE FROM changes WHERE at < ?", old)
        index.execute("DELETE FROM runs WHERE started < ?", old)
    index.execute("DELETE FROM runs WHERE number <= (SELECT max(number) FROM runs) - ?", _RUNS - 1)
    ((last,),) = index.rows("SELECT max(number) FROM runs")
    number = (last or 0) + 1
    index.execute("INSERT INTO runs (number, command, started) VALUES (?, ?, ?)", number, command, now.isoformat())
    _fill_spare(index.root)
    return number


def end_run(index: WritableIndex, number: int, now: datetime, exit_code: int, summary: Mapping[str, Any]) -> None:
    """Record how a run ended; on a full disk, in the space of the spare file and with the first failures only."""

    def record(summary: Mapping[str, Any]) -> bool:
        sql = "UPDATE runs SET ended = ?, exit_code = ?, summary = ? WHERE number = ?"
        return index.execute(sql, now.isoformat(), exit_code, json.dumps(summary), number)

    if not record(summary):
        with suppress(OSError, TransferError):
            safe_tree.drop(str(index.root), _SPARE)
        record({key: fact[:_FAILURES] if key == "failures" else fact for key, fact in summary.items()})


def _fill_spare(root: Path) -> None:
    """Write the spare file, or as much of it as fits on the disk."""
    with suppress(OSError, TransferError):
        file = safe_tree.open_file(str(root), _SPARE, os.O_WRONLY | os.O_CREAT)
        with open(file, "ab", buffering=0) as spare:  # noqa: PTH123  # a descriptor has no path
            while (missing := _SPARE_BYTES - spare.tell()) > 0:
                # Some file systems store zeros without using space.
                spare.write(os.urandom(min(missing, _SPARE_STEP)))


# -- scenes ------------------------------------------------------------------------------------------------------------


def departed(index: Index) -> dict[SceneId, SceneState]:
    """Return what became of the scenes that were wanted once and were not at the last search."""
    return {
        scene_id: SceneState(state)
        for scene_id, state in index.rows("SELECT id, state FROM seen WHERE last IS NOT NULL")
    }


def listed(index: Index) -> set[SceneId]:
    """Return the scenes that were wanted at the last search."""
    return {scene_id for (scene_id,) in index.rows("SELECT id FROM seen WHERE last IS NULL")}


def record_seen(
    index: WritableIndex,
    new: Iterable[SceneId],
    back: Iterable[SceneId],
    left: Iterable[Departure],
    *,
    last: datetime,
    now: datetime,
) -> None:
    """Record what a complete search returned.

    Args:
        index: Open for writing.
        new: Scenes that are wanted for the first time.
        back: Scenes that are wanted again.
        left: Scenes that are no longer wanted.
        last: The time of the search before.
        now: The time of the search.
    """
    with index.together():
        sql = "INSERT INTO seen VALUES (?, ?, NULL, 'listed')"
        index.execute_each(sql, ((scene_id, now.isoformat()) for scene_id in new))
        sql = "UPDATE seen SET last = NULL, state = 'listed' WHERE id = ?"
        index.execute_each(sql, ((scene_id,) for scene_id in back))
        sql = "UPDATE seen SET last = ?, state = ? WHERE id = ?"
        index.execute_each(sql, ((last.isoformat(), one.state.value, one.id) for one in left))
        sql = "DELETE FROM seen WHERE last < ? AND id NOT IN (SELECT id FROM files)"
        index.execute(sql, (min(last, now) - _KEEP).isoformat())


# -- searches ----------------------------------------------------------------------------------------------------------


class DateRule(Struct, frozen=True):
    """The rules of a dataset as they were applied, and for how long."""

    start: str
    """Its start date, as the manifest has it."""
    rules: str
    """A hash of all its rules and areas."""
    since: datetime
    """When this start date was first applied."""
    last: datetime
    """When the archives were last asked with these rules, and the search was complete."""


class CompleteSearch(NamedTuple):
    """A search for a dataset after which the mirror had all scenes that it returned and that match."""

    rules: str
    """A hash of the dataset's rules, areas and archives."""
    at: datetime
    """When the archives were asked."""


def date_rules(index: Index) -> dict[str, DateRule]:
    """Return the rules of each dataset as they were last applied, by the dataset's name."""
    return convert(json.loads(index.meta("dates") or "{}"), dict[str, DateRule])


def put_date_rules(index: WritableIndex, rules: Mapping[str, DateRule]) -> None:
    """Record the rules of datasets; those of other datasets are forgotten."""
    index.put_meta("dates", json.dumps(to_builtins(rules), ensure_ascii=False))


def complete_searches(index: Index) -> dict[str, CompleteSearch]:
    """Return the search that each dataset's wanted scenes come from, if it was complete; by the dataset's name."""
    return {
        name: CompleteSearch(rules, datetime.fromisoformat(asked))
        for name, rules, asked in index.rows("SELECT dataset, rules, asked FROM wanted WHERE asked IS NOT NULL")
    }


def put_complete_searches(index: WritableIndex, searches: Mapping[str, CompleteSearch]) -> None:
    """Record the complete searches of datasets whose wanted scenes are recorded."""
    for name, (rules, at) in searches.items():
        index.execute("UPDATE wanted SET rules = ?, asked = ? WHERE dataset = ?", rules, at.isoformat(), name)


def forget_complete_searches(index: WritableIndex, names: Iterable[str]) -> None:
    """Forget the complete searches of datasets, so that the archives are asked again."""
    with index.together():
        for name in names:
            index.execute("UPDATE wanted SET rules = NULL, asked = NULL WHERE dataset = ?", name)


# -- changes -----------------------------------------------------------------------------------------------------------


def changes(index: Index, since: datetime | None = None) -> list[Change]:
    """Return what changed at or after a time, the oldest first."""
    sql = "SELECT at, kind, id, detail FROM changes WHERE at >= ? ORDER BY number"
    return [
        Change(time=datetime.fromisoformat(at), kind=ChangeKind(kind), id=scene_id, detail=detail)
        for at, kind, scene_id, detail in index.rows(sql, "" if since is None else since.isoformat())
    ]


def add_changes(index: WritableIndex, new: Iterable[Change]) -> None:
    """Record what changed."""
    for one in new:
        sql = "INSERT INTO changes (at, kind, id, detail) VALUES (?, ?, ?, ?)"
        index.execute(sql, one.time.isoformat(), one.kind.value, one.id, one.detail)
