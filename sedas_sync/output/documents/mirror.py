"""Documents about the folder of a mirror: status, verify and adopt."""

from datetime import datetime
from typing import Any, Self

from msgspec import field

from sedas_sync.model.events import Failure
from sedas_sync.model.local import ProofLevel
from sedas_sync.model.results import Adoption, Count, Finding, Result, VerifiedFile, VerifyReport
from sedas_sync.operations.status import DatasetStatus, PartialDownload, Status
from sedas_sync.output.documents.base import ArchiveEntry, JsonDocument, JsonObject, OrderEntry, Sha256, Time

# -- status ----------------------------------------------------------------------------------------------------------


class StatusSummary(JsonObject, frozen=True, kw_only=True):
    """The mirror as a whole."""

    wanted: Count
    """Scenes of the lock file, or scenes that any dataset wanted when it was last applied."""
    held: Count
    """Files of the index that are on disk."""
    changed: Count
    """Of those, files that differ from the index."""
    refreshed: Count
    """Of those, files with another time and the same bytes, which were read to find out."""
    differs: Count
    """Of those, files with other bytes than in the lock file."""
    unreadable: Count
    """Of those, scenes that cannot be read, so that it is not known whether they are on disk."""
    missing: Count
    """Wanted scenes that are not on disk."""
    unwanted: Count
    """Files on disk that matched no dataset."""
    withdrawn: Count
    """Of those, files that match and that the catalogue no longer lists."""
    superseded: Count
    """Of those, files of which the catalogue has a later processing."""
    unknown: Count
    """Files that are not in the index."""
    pending: Count
    """Orders from which wanted scenes are to come."""
    partials: Count
    """Partial downloads."""
    failed: Count
    """Scenes that failed since they were last downloaded."""
    bytes: Count
    """Size of the files on disk."""
    partial_bytes: Count
    """Bytes of partial downloads."""
    replaced: Count
    """Files in `.sedas-sync/replaced/`."""
    replaced_bytes: Count
    """Their size."""
    free: Count | None
    """Free bytes of the mirror's file system; null if it does not state them."""
    up_to_date: bool
    """Whether every dataset was applied, the last run had no failure, and nothing is missing or changed."""


class RunEntry(JsonObject, frozen=True, kw_only=True):
    """The last run; null before the first."""

    command: str
    """The command."""
    started: Time
    """When it began."""
    ended: Time | None
    """When it ended; null while it runs, or if it was killed."""
    exit_code: int | None
    """Its exit code."""
    summary: dict[str, Any] | None
    """What it did: the summary of `apply`, or the counts of `adopt`."""


class StatusDocument(JsonDocument, frozen=True, kw_only=True):
    """`status`: how the mirror compares with its lock file or its last apply."""

    manifest: str
    mirror: str
    archive: ArchiveEntry
    """The archive; of several, the first."""
    lock: str | None
    """The lock file it is compared with; null if it is the last apply."""
    summary: StatusSummary
    """The mirror as a whole."""
    datasets: list[DatasetStatus]
    """Each dataset of the manifest."""
    orders: list[OrderEntry]
    """Orders, as in `orders`."""
    partials: list[PartialDownload]
    """Partial downloads."""
    failures: list[Failure]
    last_run: RunEntry | None
    """The last run; null before the first."""
    last_success: Time | None
    """When the last `apply` ended that did all that could be done (exit code 0 or 3); null if none did."""
    warnings: tuple[str, ...]

    @classmethod
    def at(cls, status: Status, now: datetime) -> Self:
        """Return a status; ages are counted to `now`."""
        run, (files, bytes_) = status.last_run, status.replaced
        return cls.of(
            status,
            summary=StatusSummary.of(
                status,
                refreshed=len(status.refreshed),
                pending=len(status.awaited),
                partials=len(status.partials),
                failed=len(status.failures),
                replaced=files,
                replaced_bytes=bytes_,
            ),
            orders=[OrderEntry.at(order, now) for order in status.orders],
            last_success=None if status.last_success is None else status.last_success.end,
            last_run=None if run is None else RunEntry.of(run),
        )


# -- verify ----------------------------------------------------------------------------------------------------------


class FindingCounts(JsonObject, frozen=True, kw_only=True):
    """Number of files with each finding."""

    ok: Count
    """Files that are right."""
    missing: Count
    """Files that are gone."""
    changed: Count
    """Files that are complete, and other ones."""
    corrupt: Count
    """Files that are damaged."""
    unreadable: Count
    """Files that cannot be read, so that it is not known what is there."""
    unknown: Count
    """Files that are not in the index."""
    bytes: Count
    """Bytes of the files of the index."""


class VerifiedEntry(JsonObject, frozen=True, kw_only=True):
    """One file."""

    id: str | None
    """The scene's id; null if the file is in neither the index nor the lock file."""
    path: str | None
    """Its path below the mirror; null if a scene is missing and its path is not known."""
    size: Count
    sha256: Sha256 | None
    """Checksum in the index."""
    locked_sha256: Sha256 | None
    """Checksum in the lock file."""
    level: ProofLevel | None
    """How far the bytes are proved now; null with a finding."""
    by_lock: bool
    """Whether the checksum in the lock file proves it."""
    finding: Finding | None
    """What is wrong; null if nothing is."""
    detail: str | None
    """The finding, as a sentence."""

    @classmethod
    def about(cls, file: VerifiedFile) -> Self:
        """Return a file of a report."""
        return cls.of(
            file,
            path=file.path or None,
            sha256=None if file.recorded is None else file.recorded.sha256,
            detail=file.detail or None,
        )


class VerifyDocument(JsonDocument, frozen=True, kw_only=True):
    """`verify`: what the mirror's files are."""

    manifest: str
    mirror: str
    lock: str | None
    """The lock file that files are compared with; null without one."""
    summary: FindingCounts
    """Number of files with each finding."""
    findings: list[VerifiedEntry]
    """Files with a finding."""
    scenes: list[VerifiedEntry]
    """Every file of the index, and every scene of the lock file."""
    warnings: tuple[str, ...]
    repair: dict[str, Any] | None
    """The summary of the repair; null without one."""

    @classmethod
    def about(cls, report: VerifyReport) -> Self:
        """Return a report."""
        known = [file for file in report.files if file.id is not None]
        return cls.of(
            report,
            summary=FindingCounts(**report.counts, bytes=sum(file.size for file in known)),
            findings=[VerifiedEntry.about(file) for file in report.findings],
            scenes=[VerifiedEntry.about(file) for file in known],
            repair=None if report.repair is None else report.repair.to_json(),
        )


# -- adopt -----------------------------------------------------------------------------------------------------------


class ResultCounts(JsonObject, frozen=True, kw_only=True):
    """Number of files with each result. The folder of a scene counts as one."""

    adopted: Count
    """Files added to the index."""
    held: Count
    """Files of scenes that the mirror has already."""
    wrong: Count
    """Files that are not the scene of their name."""
    incomplete: Count
    """Folders of products that lack files."""
    unwanted: Count
    """Files of scenes that match no dataset."""
    failed: Count
    """Files that could not be read or moved."""


class AdoptSummary(ResultCounts, frozen=True, kw_only=True):
    """Number of files with each result, and their size."""

    bytes: Count
    """Bytes adopted."""
    bytes_by_result: dict[str, Count]
    """Bytes with each result."""


class AdoptedEntry(JsonObject, frozen=True, kw_only=True):
    """One file, or folder of a scene."""

    file: str
    """Where it was found, below the folder."""
    result: Result
    """What was done with it."""
    id: str | None
    path: str | None
    """Where it is in the mirror; null if it was left where it is."""
    size: Count
    level: ProofLevel | None
    """How far the bytes are proved: by a checksum, every CRC, the zip's directory, or the length."""
    detail: str | None
    """Why, as a sentence."""
    added: list[str]
    """Files in the folder of a product that the product does not list; they are left alone."""


class AdoptDocument(JsonDocument, frozen=True, kw_only=True):
    """`adopt`: what was done with the files that are on disk."""

    manifest: str
    mirror: str
    from_: str = field(name="from")
    """The folder that was searched for files."""
    search_complete: bool
    """Whether every search found all there is; if not, no file was looked at."""
    dry_run: bool
    """Whether nothing was changed; the result `adopted` then means that the file would be adopted."""
    summary: AdoptSummary
    """Number of files with each result."""
    files: list[AdoptedEntry]
    """Each file."""
    failures: list[Failure]
    warnings: tuple[str, ...]

    @classmethod
    def about(cls, done: Adoption) -> Self:
        """Return what was adopted."""
        return cls.of(
            done,
            from_=done.source,
            summary=AdoptSummary(**done.counts, bytes=done.bytes[Result.ADOPTED], bytes_by_result=done.bytes),
            files=[AdoptedEntry.of(file, detail=file.detail or None, added=list(file.added)) for file in done.files],
        )
