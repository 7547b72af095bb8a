"""The public API: `Mirror`, a manifest with its folder. A thin layer over `sedas_sync.operations`."""

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, Self, TypeVar, Unpack

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import ManifestError, SedasSyncError, StoppedError
from sedas_sync.manifest import Manifest
from sedas_sync.model import html
from sedas_sync.model.arguments import Jobs, Seconds, check_arguments, checked
from sedas_sync.model.events import Event, OnStep, Summary
from sedas_sync.model.plan import Plan
from sedas_sync.model.results import VerifyReport
from sedas_sync.model.scene import ArchiveKey
from sedas_sync.operations import lock as locks
from sedas_sync.operations.adopt.run import adopt_files
from sedas_sync.operations.apply.options import RunOptions
from sedas_sync.operations.apply.plan_runner import PlanRunner
from sedas_sync.operations.context import Listener, MirrorContext, check_choice, ignore, open_mirror, utc_now
from sedas_sync.operations.load import load_manifest
from sedas_sync.operations.orders import forget_order, forget_unwanted_orders, orders
from sedas_sync.operations.past import past_changes, past_runs
from sedas_sync.operations.plan import plan_mirror
from sedas_sync.operations.progress import summary_of
from sedas_sync.operations.resume_plan import check_saved, plan_saved
from sedas_sync.operations.search import SearchResult, search_archives, sources
from sedas_sync.operations.status import mirror_status
from sedas_sync.operations.verify import verify_mirror
from sedas_sync.operations.why import explain_scene
from sedas_sync.output.export.job import catalogue_folder, export
from sedas_sync.output.report.write import write_report
from sedas_sync.state.mirror_state import MirrorState

__all__ = ["Mirror", "SearchResult", "load_manifest"]

_Options = ParamSpec("_Options")
_Result = TypeVar("_Result")
_Part = TypeVar("_Part")


def _method(
    operation: Callable[Concatenate[MirrorContext, _Options], _Result],
) -> "Callable[Concatenate[Mirror, _Options], _Result]":
    """Return an operation on a mirror as a method, with the docstring and the arguments of the operation."""
    return _method_of(operation, lambda context: context)


def _state_method(
    operation: Callable[Concatenate[MirrorState, _Options], _Result],
) -> "Callable[Concatenate[Mirror, _Options], _Result]":
    """Return an operation on the state of a mirror as a method in the same way."""
    return _method_of(operation, lambda context: context.state)


def _method_of(
    operation: Callable[Concatenate[_Part, _Options], _Result], part: Callable[[MirrorContext], _Part]
) -> "Callable[Concatenate[Mirror, _Options], _Result]":
    @wraps(operation)
    def method(self: "Mirror", /, *args: _Options.args, **options: _Options.kwargs) -> _Result:
        first = part(self._context)
        check_arguments(operation, (first, *args), options)
        return operation(first, *args, **options)

    return method


class Mirror:
    """A folder of scenes that a manifest describes.

    Use it as a context manager. Connections, and a sandbox if the manifest has one, live as long as it does.

    Every method can raise `AuthenticationError` if it needs an archive that rejects the credentials or has none,
    `ManifestError` if the mirror belongs to another manifest, and `MirrorLocked` if it changes a mirror while another
    process works in it.

    Args:
        manifest: What the folder has to contain.
        archives: Implementations to use instead of those of the manifest, by key.
        clock: Returns the current time, UTC.
        prompt: Ask for credentials on the terminal if none are found elsewhere.
        record: Write every request to an archive and its answer to this file, for `sedas_sync.archives.replay`.

    Example:
        import sedas_sync as ss

        with ss.Mirror(ss.load_manifest("manifest.toml")) as mirror:
            plan = mirror.plan()
            summary = mirror.apply(plan, on_event=print)
            print(summary.fetched, mirror.status().up_to_date, mirror.verify().counts)
            mirror.relock(plan, applied=True)
            mirror.export("geojson", "scenes.geojson")
    """

    @checked
    def __init__(
        self,
        manifest: Manifest,
        *,
        archives: Mapping[str, Archive] | None = None,
        clock: Callable[[], datetime] = utc_now,
        prompt: bool = False,
        record: IO[str] | None = None,
    ) -> None:
        for key in archives or ():
            _check_key(manifest, key)
        self._manifest = manifest
        self._closed = False
        self._opened = open_mirror(manifest, archives, clock=clock, prompt=prompt, record=record)
        self._state = self._opened.state
        self._runner = PlanRunner(self._opened)

    @property
    def manifest(self) -> Manifest:
        """What the folder has to contain."""
        return self._manifest

    @property
    def root(self) -> Path:
        """The folder: an absolute path without symbolic links."""
        return self._state.root

    @property
    def _context(self) -> MirrorContext:
        if self._closed:
            raise SedasSyncError("this Mirror is closed; open another one")
        return self._opened

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.root)!r})"

    def _repr_html_(self) -> str:
        """Return the mirror for a notebook: its folder and its datasets. Reads neither network nor disk."""
        rows = (
            [name, ", ".join(of.aoi), of.start and of.start.text, of.end.text, ", ".join(of.archive)]
            for name, of in self.manifest.datasets.items()
        )
        return html.paragraph(f"{self.root}, by {self.manifest.name}") + html.table(
            ["dataset", "aoi", "start", "end", "archives"], rows
        )

    def close(self) -> None:
        """End a run of another thread, and close connections and a sandbox. Later calls raise `SedasSyncError`."""
        if not self._closed:
            self._closed = True
            if self._opened.stop_run is not None:
                self._opened.stop(StoppedError.exit_code)
            self._opened.archives.close()

    @checked
    def stop(self, exit_code: int = 130) -> None:
        """End the running operation, and all later ones, in order.

        May be called before the first operation, from a signal handler or from another thread.

        Args:
            exit_code: The exit code that the index stores for the run: 128 and the number of the signal.
        """
        self._opened.stop(exit_code)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._opened.stopped_with is not None

    @property
    def on_step(self) -> OnStep:
        """Called with the progress of steps that take long and have no event. Does nothing until it is set."""
        return self._state.on_step

    @on_step.setter
    def on_step(self, on_step: OnStep) -> None:
        self._state.on_step = on_step

    @checked
    def archive(self, key: ArchiveKey) -> Archive:
        """Return an archive of the manifest, opened if it is not.

        Args:
            key: Its key in `[archives]`; `archive` if the manifest has one `[archive]`.

        Raises:
            ManifestError: The manifest has no archive with this key.
        """
        context = self._context
        _check_key(context.manifest, key)
        return context.archives[key]

    search = _method(search_archives)
    sources = _method(sources)
    why = _method(explain_scene)

    plan = _method(plan_mirror)
    check_choice = _method(check_choice)
    save = _method(locks.to_save)
    check_saved = _method(check_saved)
    resume_plan = _method(plan_saved)

    checked_lock = _method(locks.matching_lock)
    check_old_lock = _method(locks.check_old_lock)
    relock = _method(locks.update_lock)

    adopt = _method(adopt_files)
    verify = _method(verify_mirror)
    orders = _method(orders)
    forget_order = _method(forget_order)
    forget_unwanted_orders = _method(forget_unwanted_orders)

    export = _method(export)
    catalogue_folder = _method(catalogue_folder)
    report = _method(write_report)

    status = _state_method(mirror_status)
    history = _state_method(past_runs)
    changes = _state_method(past_changes)
    locked = _state_method(MirrorState.locked)
    locked_if_there = _state_method(MirrorState.locked_if_there)

    @checked
    def recording(self, command: str) -> AbstractContextManager[None]:
        """Record an error in this context for `history`; `sync` does it by itself.

        Args:
            command: What the index stores for the run.
        """
        return self._runner.recording(command)

    @checked
    def apply(
        self,
        plan: Plan,
        *,
        on_event: Listener = ignore,
        lock_timeout: Seconds = 0.0,
        progress: bool | None = None,
        **options: Unpack[RunOptions],
    ) -> Summary:
        """Carry out a plan, and nothing else.

        A scene that fails is no error: it is in the summary's `failures`.

        Args:
            plan: The plan.
            on_event: Called with every event, from the calling thread.
            lock_timeout: Seconds to wait for another process in this mirror.
            progress: Show a progress bar; by default in notebooks only.
            **options: How the plan is carried out.

        Returns:
            The summary, which is also the last event.

        Raises:
            MirrorLocked: Another process works in the mirror.
            ManifestError: The mirror belongs to another manifest, or its folder cannot be written.
            AuthenticationError: An archive refused the credentials, or there are none.
        """
        return summary_of(self.run(plan, lock_timeout=lock_timeout, **options), on_event, progress=progress)

    @checked
    def sync(
        self,
        *,
        datasets: str | Iterable[str] = (),
        locked: bool = False,
        prune: bool = False,
        refresh: bool = False,
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
        lock_timeout: Seconds = 0.0,
        progress: bool | None = None,
        **options: Unpack[RunOptions],
    ) -> Summary:
        """Plan and apply while holding the mirror's process lock, so that nothing changes in between.

        Args:
            datasets: One or more names of datasets; none for all.
            locked: Take exactly the scenes of the lock file, as in `plan`.
            prune: Also remove files of scenes that no longer match, as in `plan`.
            refresh: Ask the archives for every dataset, as in `plan`.
            on_event: Called with every event, from the calling thread.
            on_found: Called with the number of scenes found, a few times a second.
            lock_timeout: Seconds to wait for another process in this mirror.
            progress: Show a progress bar; by default in notebooks only.
            **options: How the plan is carried out.

        Returns:
            The summary, which is also the last event.

        Raises:
            MirrorLocked: Another process works in the mirror.
            ManifestError: As in `plan`, or the mirror's folder cannot be written.
            AuthenticationError: An archive refused the credentials, or there are none.
        """
        with self.locked(timeout=lock_timeout), self.recording(options.get("command", "apply")):
            plan = plan_mirror(
                self._context,
                datasets=datasets,
                on_event=on_event,
                on_found=on_found,
                take_over=options.get("take_over", False),
                locked=locked,
                prune=prune,
                refresh=refresh,
            )
            return summary_of(self._runner.run(plan, options), on_event, progress=progress)

    @checked
    def run(self, plan: Plan, *, lock_timeout: Seconds = 0.0, **options: Unpack[RunOptions]) -> Generator[Event]:
        """Carry out a plan as a generator of events; closing it ends the run in order.

        Args:
            plan: The plan.
            lock_timeout: Seconds to wait for another process in this mirror.
            **options: How the plan is carried out.

        Yields:
            The events; the last one is a `Summary`.

        Raises:
            MirrorLocked: Another process works in the mirror.
            ManifestError: The mirror belongs to another manifest, or its folder cannot be written.
        """
        with self.locked(timeout=lock_timeout):
            yield from self._runner.run(plan, options)

    @checked
    def repair(
        self,
        report: VerifyReport,
        *,
        on_event: Listener = ignore,
        wait: bool = True,
        jobs: Jobs | None = None,
        lock_timeout: Seconds = 0.0,
    ) -> VerifyReport:
        """Download what `verify` found missing, changed or corrupt, with orders if needed.

        Scenes are looked up by their ids, whatever the manifest's datasets are. A scene that no archive has is a
        failure, and its files stay as they are.

        Args:
            report: From `verify`.
            on_event: Called with every event, from the calling thread.
            wait: Wait for orders.
            jobs: Concurrent downloads, instead of the manifest's.
            lock_timeout: Seconds to wait for another process in this mirror.

        Returns:
            The report with the summary of the repair, or unchanged if there is nothing to repair.

        Raises:
            MirrorLocked: Another process works in the mirror.
        """
        if not report.repairable:
            return report
        with self.locked(timeout=lock_timeout):
            summary = summary_of(self._runner.repair(report, wait=wait, jobs=jobs), on_event, progress=False)
        return replace(report, repair=summary)


def _check_key(manifest: Manifest, key: str) -> None:
    """Check that a manifest has an archive with this key.

    Raises:
        ManifestError: It has not.
    """
    if key not in manifest.archives:
        raise ManifestError(f"{manifest.name} has no archive {key!r}; it has {', '.join(manifest.archives)}")
