"""Documents about the past of a mirror: history and changes."""

from collections.abc import Iterable
from typing import Self

from sedas_sync.model.history import Change, ChangeKind, RunRecord
from sedas_sync.model.results import Count
from sedas_sync.output.documents.base import JsonDocument, JsonObject, Time

_COUNTS = ("fetched", "adopted", "ordered", "pending", "unfinished", "unordered", "pruned", "failed", "bytes")


class HistoryEntry(JsonObject, frozen=True, kw_only=True):
    """One run."""

    command: str
    """The command."""
    started: Time
    """When it began."""
    ended: Time | None
    """When it ended; null while it runs, or if it was killed."""
    seconds: float | None
    """How long it took; null if it has not ended."""
    exit_code: int | None
    """Its exit code."""
    fetched: Count
    """Scenes whose download was completed."""
    adopted: Count
    """Scenes whose files were adopted or moved."""
    ordered: Count
    """Orders placed."""
    pending: Count
    """Scenes left to a later run."""
    unfinished: Count
    """Of the pending scenes, those that can be downloaded and were left when the run was interrupted."""
    unordered: Count
    """Of the pending scenes, those whose orders were not placed."""
    pruned: Count
    """Files removed."""
    failed: Count
    """Scenes, searches and removals that failed."""
    failed_commands: Count
    """Commands of `--exec` that failed."""
    bytes: Count
    """Size of the downloaded scenes."""
    calls: dict[str, int]
    """Requests to the archives' interfaces, by kind."""
    reason: str | None
    """The first failure."""

    @classmethod
    def about(cls, run: RunRecord) -> Self:
        """Return a run."""
        did = dict(run.summary or {})
        counts = {name: did.get(name, 0) for name in _COUNTS}
        failures = did.get("failures", ())
        first = next(iter(failures), None)
        return cls.of(
            run,
            seconds=None if run.ended is None else round((run.ended - run.started).total_seconds(), 3),
            # `failed` has no commands; after a full disk, not every failure is recorded.
            failed_commands=max(0, len(failures) - counts["failed"]),
            calls=did.get("calls", {}),
            reason=None if first is None else f"{first['id']}: {first['error']}",
            **counts,
        )


class HistoryDocument(JsonDocument, frozen=True, kw_only=True):
    """`history`: the runs of this mirror."""

    manifest: str
    mirror: str
    runs: list[HistoryEntry]
    """Each run, the last one first."""

    @classmethod
    def about(cls, runs: Iterable[RunRecord], *, manifest: str, mirror: str) -> Self:
        """Return runs."""
        return cls(manifest=manifest, mirror=mirror, runs=[HistoryEntry.about(run) for run in runs])


class ChangeEntry(JsonObject, frozen=True, kw_only=True):
    """One change."""

    time: Time
    """When a run noticed it or did it."""
    kind: ChangeKind
    """What happened."""
    id: str
    detail: str
    """When a late scene was acquired, the ids of the scenes that supersede it, or what it was before; often empty."""


class ChangesDocument(JsonDocument, frozen=True, kw_only=True):
    """`changes`: what changed in the catalogue and in this mirror."""

    manifest: str
    mirror: str
    changes: list[ChangeEntry]
    """Each change, the oldest first."""

    @classmethod
    def about(cls, changes: Iterable[Change], *, manifest: str, mirror: str) -> Self:
        """Return changes."""
        return cls(manifest=manifest, mirror=mirror, changes=[ChangeEntry.of(change) for change in changes])
