"""What happens during a run, as values. Text, JSON lines and progress bars are three listeners of one stream."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, ClassVar

from msgspec import Struct, to_builtins

from sedas_sync.errors import AuthenticationError, SedasSyncError, StoppedError, TransferError
from sedas_sync.model import html
from sedas_sync.model.reason import Reason
from sedas_sync.model.scene import ArchiveKey, SceneId
from sedas_sync.model.text import duration, size
from sedas_sync.model.times import to_iso

_SIGNALS = 128
"""Exit codes above are 128 and the number of a signal."""


class Event(Struct, frozen=True, kw_only=True):
    """Base of all events; `event` names the kind in JSON."""

    event: ClassVar[str] = "event"
    time: datetime
    """When it happened, UTC."""

    def to_json(self) -> dict[str, Any]:
        """Return the event as JSON data, `event` and `time` first."""
        return {"event": self.event, **to_builtins(self, builtin_types=(datetime,)), "time": iso(self.time)}


def iso(moment: datetime) -> str:
    """Format a time for JSON output: UTC, with milliseconds and `Z`."""
    return to_iso(moment, "milliseconds")


class Started(Event, frozen=True, kw_only=True):
    """A run starts to carry out a plan."""

    event: ClassVar[str] = "start"
    manifest: str
    mirror: str
    todo: dict[str, int]
    """How many scenes each kind of action has."""
    bytes: int | None
    """Bytes to download; null if a size is unknown."""
    free: int | None
    """Free space of the mirror's file system, bytes; null if it is not known."""


class Searched(Event, frozen=True, kw_only=True):
    """One dataset has been searched."""

    event: ClassVar[str] = "search"
    dataset: str
    scenes: int
    """Number of scenes found that match the dataset."""
    complete: bool
    error: str | None = None
    age_seconds: float = 0.0
    """Seconds since the archives were asked, if `recheck` spares a new search."""


class Ordered(Event, frozen=True, kw_only=True):
    """An order has been placed and is recorded on disk."""

    event: ClassVar[str] = "order"
    id: SceneId
    order: str


class OrderReady(Event, frozen=True, kw_only=True):
    """An ordered scene can be downloaded now."""

    event: ClassVar[str] = "order_ready"
    id: SceneId
    order: str
    age_seconds: float


class Transfer(Struct, frozen=True, kw_only=True):
    """One running download, for a progress bar."""

    id: SceneId
    done: int
    total: int | None


class Worker(Struct, frozen=True, kw_only=True):
    """What one worker of an executor has done in this run."""

    worker: str
    """Its name, or `host:pid`."""
    scenes: int
    """Scenes it has downloaded."""
    bytes: int
    """Bytes it has received for them."""
    rate: int
    """Bytes per second since its first download started."""


class Progress(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Progress of a run. Sent at most a few times per second."""

    event: ClassVar[str] = "progress"
    done: int
    """Scenes finished in this run, failed ones included."""
    total: int
    bytes: int
    """Received in this run."""
    bytes_total: int | None
    pending: int
    """Orders that are pending or still to be placed."""
    oldest_order_seconds: float | None
    active: tuple[Transfer, ...]
    workers: tuple[Worker, ...] = ()
    """Left out if downloads run in threads of this process."""


class Step(Struct, frozen=True):
    """Progress of work outside the run loop, such as a search. Displayed only; not an event."""

    what: str
    """What is being done, for display."""
    done: int = 0
    total: int | None = None
    unit: str = "scene"
    """What is counted, in the singular; `bytes` for bytes."""
    note: str = ""
    """Optional note shown with the progress."""


OnStep = Callable[[Step], None]
"""Progress callback. Called at most a few times per second, on the calling thread."""


def ignore_step(_step: Step) -> None:
    """Default `OnStep` callback: does nothing."""


class Retried(Event, frozen=True, kw_only=True):
    """Something failed and is tried again."""

    event: ClassVar[str] = "retry"
    id: SceneId
    attempt: int
    """Number of the failed attempt, counted from 1."""
    error: str
    delay_seconds: float


class Fetched(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A scene was downloaded in this run; its file is checked and in place."""

    event: ClassVar[str] = "fetched"
    id: SceneId
    path: str
    size: int
    sha256: str | None
    """Null if nothing needed it: `integrity = "size"`, and no checksum is stated."""
    level: str
    """How the bytes were checked: digest, crc, structure or size."""
    received: int
    """Bytes received over the network in this run."""
    seconds: float
    archive: ArchiveKey
    """Key of the archive it was downloaded from."""
    worker: str | None = None
    """Name of the worker that downloaded it; omitted if this process did."""


class Adopted(Event, frozen=True, kw_only=True):
    """A file that was already there was recorded in the index."""

    event: ClassVar[str] = "adopted"
    id: SceneId
    path: str
    size: int


class Skipped(Event, frozen=True, kw_only=True):
    """A scene was skipped because it cannot be downloaded."""

    event: ClassVar[str] = "skipped"
    id: SceneId
    reason: Reason


class Failed(Event, frozen=True, kw_only=True):
    """A scene, a dataset's search, or the run's removals (`prune`) or replacements (`replace`) failed for this run."""

    event: ClassVar[str] = "failed"
    id: str
    error: str


class Pruned(Event, frozen=True, kw_only=True):
    """A file was removed."""

    event: ClassVar[str] = "pruned"
    id: SceneId
    path: str
    size: int


class Warned(Event, frozen=True, kw_only=True):
    """A problem that did not stop the run."""

    event: ClassVar[str] = "warning"
    message: str
    id: str | None = None


class Failure(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One failure, with its last error."""

    id: str
    """A scene's id, the name of a dataset whose search failed, `prune` or `replace` for files that were not removed or
    replaced, the path of what could not be read, or `index.db` if the index could not be written."""
    error: str
    refused: bool = False
    """True if the archive denied this account access, so that the exit code is 4; otherwise omitted."""


def exit_code_of(failures: Iterable[Failure]) -> int:
    """Return the exit code for these failures."""
    codes = [AuthenticationError.exit_code if failure.refused else SedasSyncError.exit_code for failure in failures]
    return max(codes, default=0)


class Summary(Event, frozen=True, kw_only=True):
    """The end of a run.

    Each matching scene is counted exactly once: as fetched, kept, adopted, pending, skipped or failed.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            summary = mirror.sync(wait=False)
            print(summary.fetched, summary.pending, summary.exit_code)
            summary.raise_for_failures()
    """

    event: ClassVar[str] = "summary"
    fetched: int = 0
    """Scenes whose download was completed in this run."""
    kept: int = 0
    """Scenes that were on disk."""
    adopted: int = 0
    """Scenes whose files were adopted or moved."""
    ordered: int = 0
    """Number of orders placed in this run. A scene may need more than one."""
    pending: int = 0
    """Scenes whose orders are pending, or that were left when the run was interrupted."""
    unfinished: int = 0
    """Of the pending scenes, those that can be downloaded and were left when the run was interrupted."""
    unordered: int = 0
    """Of the pending scenes, those whose orders were not placed: a limit, or an interruption."""
    skipped: int = 0
    """Scenes that cannot be downloaded yet."""
    pruned: int = 0
    """Files removed."""
    failed: int = 0
    """Scenes and searches that failed."""
    warnings: int = 0
    """Number of warnings."""
    bytes: int = 0
    """Total size of the downloaded scenes."""
    seconds: float = 0.0
    """How long it took, in seconds."""
    calls: dict[str, int] = {}  # a struct copies it for each instance
    """Requests to the archives' interfaces, planning and repetitions included, by kind."""
    failures: tuple[Failure, ...] = ()
    """Scenes and searches that failed, with the last error of each."""
    exit_code: int = 0
    """The command's exit code. It is 1 without a failure if files were to be removed and must not be: no scene failed
    by that, and a warning says why."""

    @property
    def ok(self) -> bool:
        """Whether everything is on disk that the plan required: nothing failed, and nothing is pending."""
        return self.exit_code == 0

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its end, by a signal or by `stop`."""
        return self.exit_code > _SIGNALS

    def _repr_html_(self) -> str:
        """Return the summary for a notebook."""
        names = ("fetched", "kept", "adopted", "pending", "skipped", "pruned", "failed")
        counts = html.table(names, [[getattr(self, name) for name in names]])
        took = html.paragraph(f"{size(self.bytes)} in {duration(self.seconds)}, exit code {self.exit_code}")
        failures = html.table(["scene or dataset", "error"], [[f.id, f.error] for f in self.failures])
        return counts + took + html.listed("failure", failures, len(self.failures))

    def raise_for_failures(self) -> None:
        """Do nothing if nothing failed; orders that are pending are not failures.

        Raises:
            StoppedError: The run was stopped.
            AuthenticationError: An archive refused the credentials.
            TransferError: Scenes or searches failed; the message has the last error of each.
        """
        if self.interrupted:
            raise StoppedError("the run was stopped before its end; the same plan continues")
        if self.failures or self.exit_code in (SedasSyncError.exit_code, AuthenticationError.exit_code):
            lines = "\n".join(f"{failure.id}: {failure.error}" for failure in self.failures)
            message = f"{len(self.failures)} failed:\n{lines}" if lines else "the run did not succeed; see its warnings"
            if self.exit_code == AuthenticationError.exit_code:
                raise AuthenticationError(message)
            raise TransferError(message)
