"""The public API: `Mirror`, a manifest with its folder. A thin layer over `sedas_sync.operations`."""

import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self, Unpack

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import ManifestError, MirrorLocked, SedasSyncError
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import Event, OnStep, Summary
from sedas_sync.model.plan import Plan
from sedas_sync.model.scene import Order, SceneId
from sedas_sync.operations import lock as locks
from sedas_sync.operations.adoption import adopt_files
from sedas_sync.operations.carry_out import PlanRunner, RunOptions
from sedas_sync.operations.check_mirror import verify_mirror
from sedas_sync.operations.context import Listener, ignore, open_mirror, utc_now
from sedas_sync.operations.load import load_manifest
from sedas_sync.operations.lock_file import matching_lock_or_warning
from sedas_sync.operations.plan import check_saved, plan_mirror, plan_saved
from sedas_sync.operations.search import SearchResult, search_archives
from sedas_sync.operations.status import Status, mirror_status
from sedas_sync.operations.why import explain_scene
from sedas_sync.planning.explain import Explanation
from sedas_sync.planning.lock import Lock
from sedas_sync.planning.lock_changes import LockUpdate
from sedas_sync.planning.saved_plan import SavedPlan

if TYPE_CHECKING:
    from sedas_sync.operations.adopt import Adoption, File, How
    from sedas_sync.operations.verify import VerifyReport
    from sedas_sync.output.export import Exported, Format
    from sedas_sync.output.report.write import WrittenReport

__all__ = ["Mirror", "SearchResult", "load_manifest"]


def _silent(_message: str) -> None:
    """Ignore a warning."""


class Mirror:
    """A folder of scenes that a manifest describes.

    Use it as a context manager. Connections, and a sandbox if the manifest has one, live as long as it does.

    Several methods take the same arguments: `datasets` limits them to these datasets of the manifest; `on_event` is
    called with every event, from the calling thread; `on_found` with the number of scenes found, a few times a second;
    `warn` with problems of the mirror's index; `jobs` is the number of concurrent downloads, or of files that are read
    at once; `lock_timeout` is how many seconds to wait for another process in this mirror; `take_over` takes the mirror
    from the manifest it belongs to.

    Every method can raise `AuthenticationError` if it needs an archive that rejects the credentials or has none,
    `ManifestError` if the mirror belongs to another manifest, and `MirrorLocked` if it changes a mirror while another
    process works in it.

    Args:
        manifest: what the folder has to contain.
        archives: implementations to use instead of those of the manifest, by key.
        clock: returns the current time, UTC.
        prompt: ask for credentials on the terminal if none are found elsewhere.
        record: write every request to an archive and its answer to this file, for `sedas_sync.archives.replay`.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        archives: Mapping[str, Archive] | None = None,
        clock: Callable[[], datetime] = utc_now,
        prompt: bool = False,
        record: IO[str] | None = None,
    ) -> None:
        self.manifest = manifest
        self._context = open_mirror(manifest, archives, clock=clock, prompt=prompt, record=record)
        self._archives, self._state = self._context.archives, self._context.state
        self._state.on_lost = lambda: self.stop(MirrorLocked.exit_code)
        self.root = self._state.root
        self._runner = PlanRunner(self._context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close connections and a sandbox."""
        self._archives.close()

    def stop(self, exit_code: int = 130) -> None:
        """End the running operation in order; may be called from a signal handler or another thread.

        Args:
            exit_code: the exit code that the index stores for the run: 128 and the number of the signal.
        """
        self._runner.stop(exit_code)

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._runner.stopped_with is not None

    @property
    def on_step(self) -> OnStep:
        """Called with the progress of steps that take long and have no event. Does nothing until it is set."""
        return self._state.on_step

    @on_step.setter
    def on_step(self, on_step: OnStep) -> None:
        self._state.on_step = on_step

    def archive(self, key: str) -> Archive:
        """Return the archive of a key of the manifest."""
        return self._archives[key]

    # -- planning ----------------------------------------------------------------------------------------------------

    def search(
        self,
        *,
        datasets: Iterable[str] = (),
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
        explain: bool = False,
    ) -> SearchResult:
        """Search the archives and apply the manifest's rules.

        Args:
            explain: return why scenes do not match.
        """
        return search_archives(self._context, datasets=datasets, on_event=on_event, on_found=on_found, explain=explain)

    def plan(
        self,
        *,
        datasets: Iterable[str] = (),
        sizes: bool = False,
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
        take_over: bool = False,
        locked: bool = False,
        prune: bool = False,
    ) -> Plan:
        """Return what `apply` would do. Changes nothing and orders nothing; polls pending orders once.

        Args:
            sizes: request the sizes of scenes to download that the catalogue does not state.
            locked: do not search; take exactly the scenes of the lock.
            prune: also remove files of scenes that no longer match; with `locked`, of scenes that are not in the lock
                and can be downloaded again.

        Raises:
            LockMismatch: the lock does not match the manifest.
            ManifestError: the mirror belongs to another manifest, there is no lock file, or `prune` is set with
            `datasets`.
        """
        return plan_mirror(
            self._context,
            datasets=datasets,
            sizes=sizes,
            on_event=on_event,
            on_found=on_found,
            take_over=take_over,
            locked=locked,
            prune=prune,
        )

    def check_choice(self, datasets: Iterable[str], *, prune: bool = False) -> None:
        """Check that `plan` accepts these arguments.

        Raises:
            ManifestError: a dataset is not in the manifest, or `prune` is set with datasets.
        """
        self._context.narrowed(datasets, prune=prune)

    def save(self, plan: Plan, *, datasets: Iterable[str] = ()) -> SavedPlan:
        """Return a plan with what it was made from, to be written to a file.

        Args:
            plan: the plan.
            datasets: the datasets that it is limited to.
        """
        return locks.to_save(self._context, plan, datasets)

    def check_saved(self, saved: SavedPlan) -> None:
        """Check that a saved plan matches the manifest, and that its mirror still exists.

        Raises:
            LockMismatch: the manifest or the mirror has changed; the message says how.
        """
        check_saved(self._context, saved)

    def resume_plan(self, saved: SavedPlan, *, take_over: bool = False) -> Plan:
        """Make a saved plan ready to be applied: the same actions, with links that are valid now.

        A plan that was begun resumes if no other run came after it.

        Raises:
            LockMismatch: the manifest or the mirror has changed since the plan was made; the message says how.
            ManifestError: the mirror belongs to another manifest.
        """
        return plan_saved(self._context, saved, take_over=take_over)

    def why(
        self,
        scene_id: SceneId,
        *,
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
    ) -> Explanation:
        """Explain one scene: which datasets it matches or which rule excludes it, and what is on disk.

        Searches as `plan` does, and looks the scene up if no search returned it.
        """
        return explain_scene(self._context, scene_id, on_event=on_event, on_found=on_found)

    # -- the lock ----------------------------------------------------------------------------------------------------

    def checked_lock(self) -> Lock:
        """Return the manifest's lock.

        Raises:
            LockMismatch: the lock does not match the manifest; each difference is named.
            ManifestError: there is no lock file, or the file is not one.
        """
        return locks.matching_lock(self._context)

    def check_old_lock(self, *, write: bool = True) -> tuple[str, ...]:
        """Check that `relock` can update the lock; returns a warning if the file is not a lock and is replaced.

        Args:
            write: whether the lock is to be written; if not, a file that is not a lock is an error.

        Raises:
            ManifestError: the lock cannot be read, or was written by a newer version of this package.
        """
        return locks.check_old_lock(self._context, write=write)

    def relock(self, plan: Plan, *, applied: bool = False, write: bool = True) -> LockUpdate:
        """Lock the scenes of a plan, with the checksums of those on disk.

        A lock with the same content is not written again, whatever its relative dates meant. A file that is not a
        lock, such as one with merge conflicts, is replaced if `write`, and else an error.

        Args:
            plan: a plan of the whole manifest.
            applied: whether it was carried out, so that its downloads have checksums now.
            write: whether to write the lock; if not, only the changes are returned.

        Raises:
            SedasSyncError: the plan's search failed or is incomplete.
            ManifestError: the lock cannot be read or written.
        """
        return locks.update_lock(self._context, plan, applied=applied, write=write)

    # -- changing the mirror -----------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's process lock; creates the mirror if needed.

        Args:
            timeout: seconds to wait for another process.

        Raises:
            ManifestError: the folder cannot be created or written.
        """
        with self._state.locked(timeout=timeout):
            yield

    @contextmanager
    def locked_if_there(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's process lock if there is a mirror; creates nothing."""
        with self._state.locked_if_there(timeout=timeout):
            yield

    def apply(
        self,
        plan: Plan,
        *,
        on_event: Listener = ignore,
        lock_timeout: float = 0.0,
        **options: Unpack[RunOptions],
    ) -> Summary:
        """Carry out a plan, and nothing else.

        Args:
            plan: the plan.
            **options: see `RunOptions`.

        Returns:
            The summary, which is also the last event.
        """
        return _summary(self.run(plan, lock_timeout=lock_timeout, **options), on_event)

    def run(self, plan: Plan, *, lock_timeout: float = 0.0, **options: Unpack[RunOptions]) -> Generator[Event]:
        """Carry out a plan as a generator of events; closing it ends the run in order.

        Args:
            plan: the plan.
            **options: see `RunOptions`.
        """
        with self.locked(timeout=lock_timeout):
            yield from self._runner.run(plan, options)

    def repair(
        self,
        report: "VerifyReport",
        *,
        on_event: Listener = ignore,
        wait: bool = True,
        jobs: int | None = None,
        lock_timeout: float = 0.0,
    ) -> "VerifyReport":
        """Download what `verify` found missing, changed or corrupt, with orders if needed.

        Scenes are looked up by their ids, whatever the manifest's datasets are. A scene that no archive knows is a
        failure, and its files stay as they are.

        Returns:
            The report with the summary of the repair, or unchanged if there is nothing to repair.
        """
        if not report.bad:
            return report
        with self.locked(timeout=lock_timeout):
            summary = _summary(self._runner.repair(report, wait=wait, jobs=jobs), on_event)
        return dataclasses.replace(report, repair=summary)

    def adopt(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        how: "How" = "link",
        jobs: int | None = None,
        on_file: "Callable[[File], None] | None" = None,
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
        lock_timeout: float = 0.0,
        take_over: bool = False,
    ) -> "Adoption":
        """Check existing files and take them into the mirror and its index; downloads nothing.

        Args:
            source: the folder with the files; the mirror itself if None.
            how: `link` (a hard link, or a copy on another file system), `copy` or `move` files of another folder.
            on_file: called with the result for each file.

        Raises:
            ManifestError: the mirror belongs to another manifest, or `source` is not a folder.
        """
        return adopt_files(
            self._context,
            source,
            how=how,
            jobs=jobs,
            on_file=on_file,
            on_event=on_event,
            on_found=on_found,
            lock_timeout=lock_timeout,
            take_over=take_over,
            runner=self._runner,
        )

    def orders(self, *, warn: Callable[[str], None] = _silent) -> list[Order]:
        """Return the orders of this mirror, oldest first."""
        with self._state.index(write=False) as (index, warnings):
            self._state.check_owner(index)
            found = list(index.orders())
        for warning in warnings:
            warn(warning)
        return found

    def forget_order(self, order: str, *, warn: Callable[[str], None] = _silent) -> bool:
        """Forget an order; returns whether there was one.

        Args:
            order: its id, or the id of its scene.
        """
        with self.locked(), self._state.index(write=True) as (index, warnings):
            self._state.check_owner(index)
            found = [item for item in index.orders() if order in (item.order, item.id)]
            for item in found:
                index.drop_order(item.id)
        for warning in warnings:
            warn(warning)
        return bool(found)

    # -- looking at the mirror ---------------------------------------------------------------------------------------

    def status(self) -> Status:
        """Compare the mirror with its lock, or else with what its last `apply` required.

        Works offline, and while another process works in the mirror. A lock that does not match the manifest is ignored
        with a warning. A file with another time than in the index is read, as for a plan; if its bytes are right, the
        index stores the new time, unless another process works in the mirror.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
        """
        return mirror_status(self.manifest, self._state)

    def verify(
        self,
        *,
        jobs: int | None = None,
        on_file: Callable[[int, int, int, int], None] | None = None,
    ) -> "VerifyReport":
        """Read all files of the mirror and compare them with the index, and with the lock if there is one.

        Works offline and changes nothing. A lock that does not match the manifest is ignored with a warning.

        Args:
            on_file: called with the files and bytes that have been read, and the totals of both.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
        """
        return verify_mirror(self._context, jobs=jobs, on_file=on_file)

    def report(self, out: str | os.PathLike[str] | None = None) -> "WrittenReport":
        """Write one self-contained HTML page about the mirror. Works offline.

        Like `status`, it compares with the lock if there is one that matches, else with the last `apply`.

        Args:
            out: the file, which is replaced; `<manifest stem>.html` next to the manifest if None.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the file cannot be written, or is the manifest or
                its lock.
        """
        from sedas_sync.output.report.write import write  # noqa: PLC0415  # one command needs it

        with self._state.index(write=False) as (index, warnings):
            self._state.check_owner(index)
            lock = matching_lock_or_warning(self.manifest, warnings)
            return write(
                self.manifest,
                self.root,
                index,
                out=out,
                lock=lock,
                warnings=warnings,
                on_step=self._state.on_step,
            )

    def export(
        self,
        how: "Format",
        out: "str | os.PathLike[str] | IO[bytes] | None" = None,
        *,
        unless_fresh: bool = False,
    ) -> "Exported":
        """Export the index of the mirror for other tools; works while another process works in the mirror.

        Args:
            how: `stac` writes a folder; `geojson`, `csv`, `sha256sums` (for `sha256sum --check` inside the mirror) and
                `urls` (for aria2) write a file. Only `urls` asks the archives, because links expire.
            out: the folder or file, which is written completely or not at all; a file can also be an open binary file.
                For STAC, `stac` next to the manifest if None.
            unless_fresh: leave a STAC catalogue as it is if it is up to date.

        Raises:
            ManifestError: the mirror belongs to another manifest, `out` cannot be written or must not be replaced, or
                the extra `stac` is not installed.
            SedasSyncError: the index is damaged.
        """
        from sedas_sync.output.export import take_inventory  # noqa: PLC0415  # one command needs it
        from sedas_sync.output.export.job import ExportJob  # noqa: PLC0415  # as above

        with self._state.index(write=False) as (index, warnings):
            self._state.check_owner(index)
            inventory = take_inventory(self.root, index, self.manifest.datasets)
            if index.damaged:
                raise SedasSyncError(warnings[0])
        job = ExportJob(
            manifest=self.manifest,
            root=self.root,
            inventory=inventory,
            archive=self.archive,
            on_step=self._state.on_step,
        )
        if how == "stac":
            return job.to_catalogue(self.catalogue_folder(out), unless_fresh=unless_fresh)
        if out is None:
            raise ManifestError(f"an export as {how} needs a file to go to")
        return job.to_path(how, Path(out)) if isinstance(out, str | os.PathLike) else job.to_file(how, out)

    def catalogue_folder(self, out: "str | os.PathLike[str] | IO[bytes] | None" = None) -> Path:
        """Return the folder of a STAC catalogue after checking that it can be written.

        Args:
            out: the folder; `stac` next to the manifest if None.

        Raises:
            ManifestError: something else is at its path, or the extra `stac` is not installed.
        """
        from sedas_sync.output.export.job import check_stac  # noqa: PLC0415  # one command needs it

        if out is not None and not isinstance(out, str | os.PathLike):
            raise ManifestError("a STAC catalogue is a folder, not a file")
        folder = Path(self.manifest.source).parent / "stac" if out is None else Path(out)
        check_stac(folder, self.root)
        return folder

    def sources(self) -> list[dict[str, Any]]:
        """Return what this account may search at each archive of the manifest: satellites and source groups.

        Raises:
            ArchiveError: an archive did not answer.
        """
        found = []
        for key, archive in self._archives.of(self.manifest).items():
            satellites: Iterable[Any] = getattr(archive, "satellites", list)()
            groups: Iterable[Any] = getattr(archive, "source_groups", list)()
            found.append(
                {
                    "archive": key,
                    "type": self.manifest.archives[key].type,
                    "satellites": [{"name": item.name, **item.extra} for item in satellites],
                    "source_groups": [{"name": item.name, **item.extra} for item in groups],
                }
            )
        return found


def _summary(events: Iterable[Event], on_event: Listener) -> Summary:
    """Pass events on, and return the summary among them."""
    summary: Summary | None = None
    for event in events:
        on_event(event)
        if isinstance(event, Summary):
            summary = event
    if summary is None:
        raise SedasSyncError("the run ended without a summary")
    return summary
