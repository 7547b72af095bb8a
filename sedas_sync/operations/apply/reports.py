"""What a run reports: its events in order, and the counts of them that its summary has."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from datetime import datetime
from time import monotonic

from sedas_sync.model.events import (
    Adopted,
    Event,
    Failed,
    Failure,
    Fetched,
    Ordered,
    Pruned,
    Skipped,
    Summary,
    Warned,
)
from sedas_sync.model.local import LocalScene
from sedas_sync.model.plan import ActionKind
from sedas_sync.operations.apply.effects import RecordScene


class Reports:
    """The events of one run.

    Args:
        kept: Scenes that the plan keeps.
        failures: Searches and look-ups that failed while planning.
        now: Returns the time, UTC.
    """

    def __init__(self, *, kept: int, failures: tuple[Failure, ...], now: Callable[[], datetime]) -> None:
        self.now = now
        self.failures = list(failures)
        self.pending = 0
        """Scenes that are left to a later run."""
        self.unfinished = 0
        """Of these, scenes whose download was not finished."""
        self.unordered = 0
        """Of these, scenes whose order was not placed."""
        self.done = 0
        """Scenes that were downloaded or failed."""
        self.bytes = 0
        """Size of the files that were downloaded."""
        self._kept = kept
        self._counts: Counter[type[Event]] = Counter()
        self._events: deque[Event] = deque()

    def emit(self, event: Event) -> None:
        """Report and count an event."""
        self._counts[type(event)] += 1
        self.done += isinstance(event, Fetched)
        self._events.append(event)

    def warn(self, message: str, scene_id: str | None = None) -> None:
        """Report a problem that stops nothing."""
        self.emit(Warned(time=self.now(), message=message, id=scene_id))

    def adopted(self, local: LocalScene) -> None:
        """Report a scene that was taken into the index, moved or unpacked."""
        self.emit(Adopted(time=self.now(), id=local.id, path=local.path, size=local.size))

    def recorded(self, record: RecordScene) -> None:
        """Report a scene that was downloaded, or only unpacked."""
        task, local = record.task, record.local
        for warning in record.warnings:
            self.warn(warning, local.id)
        if task.action.kind is ActionKind.ADOPT:
            self.adopted(local)
            return
        self.bytes += record.bytes
        self.emit(
            Fetched(
                time=self.now(),
                id=local.id,
                archive=task.archive,
                path=local.path,
                size=local.size,
                sha256=local.sha256,
                level=local.level.value,
                received=record.received,
                seconds=round(monotonic() - task.began, 3),
                worker=record.worker,
            )
        )

    def fail(self, scene_id: str, reason: str) -> None:
        """Report a scene that failed."""
        self.done += 1
        self.failures.append(Failure(id=scene_id, error=reason))
        self.emit(Failed(time=self.now(), id=scene_id, error=reason))

    def take(self) -> Iterator[Event]:
        """Yield events that were not yielded before."""
        while self._events:
            yield self._events.popleft()

    def summary(self, seconds: float, exit_code: int, calls: dict[str, int]) -> Summary:
        """Return the last event of the run."""
        return Summary(
            time=self.now(),
            fetched=self._counts[Fetched],
            kept=self._kept,
            adopted=self._counts[Adopted],
            ordered=self._counts[Ordered],
            pending=self.pending,
            unfinished=self.unfinished,
            unordered=self.unordered,
            skipped=self._counts[Skipped],
            pruned=self._counts[Pruned],
            failed=len(self.failures),
            warnings=self._counts[Warned],
            bytes=self.bytes,
            seconds=round(seconds, 3),
            calls=calls,
            failures=tuple(self.failures),
            exit_code=exit_code,
        )
