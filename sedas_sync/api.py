"""The public face: a manifest and its folder, and everything that can be done with them.

What looks and decides is `sedas_sync.operations.plan`'s, the folder's state `sedas_sync.state.mirror_state`'s, the lock
and saved plans are
`sedas_sync.operations.lock`'s, and `sedas_sync.archives.pool` gives the archives.
"""

import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from sedas_sync.archives.lookup import paths_by_lock
from sedas_sync.archives.pool import ArchivePool
from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import ManifestError, MirrorLocked, SedasSyncError
from sedas_sync.manifest import Manifest
from sedas_sync.model.events import Event, OnStep, Step, Summary
from sedas_sync.model.scene import LocalScene, Order, OrderState, Scene, SceneId
from sedas_sync.operations.apply.options import NEEDS_ARCHIVE, kept_files, options, remember_awaited, remember_wanted
from sedas_sync.operations.apply.run import Run
from sedas_sync.operations.load import load_manifest
from sedas_sync.operations.lock import LockFiles
from sedas_sync.operations.lock_file import lock_path
from sedas_sync.operations.noop import Made, made_from
from sedas_sync.operations.plan import Listener, Planner, SearchResult, archive_facts, filehash_of, ignore
from sedas_sync.planning import prune
from sedas_sync.planning.compare import Plan
from sedas_sync.planning.explain import Explanation
from sedas_sync.planning.lock import Lock, LockUpdate
from sedas_sync.planning.saved_plan import SavedPlan
from sedas_sync.state.index import Index, Ledger
from sedas_sync.state.mirror_state import WILL_REBUILD, MirrorState

if TYPE_CHECKING:
    from sedas_sync.operations.adopt import Adoption, File, How
    from sedas_sync.operations.status import Status
    from sedas_sync.operations.verify import VerifyReport
    from sedas_sync.output.export import Exported, Format
    from sedas_sync.output.report.write import WrittenReport

__all__ = ["Mirror", "SearchResult", "load_manifest"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _silent(_message: str) -> None:
    """Nobody wants to know."""


def _no(_count: int, _held: int) -> bool:
    """Nobody is there to be asked."""
    return False


def _is_same_file(one: LocalScene, other: LocalScene) -> bool:
    return (one.path, one.sha256, one.digest) == (other.path, other.sha256, other.digest)


class Mirror:
    """A folder of scenes that a manifest describes.

    Use it as a context manager; connections, and a sandbox where the manifest asks for one, live as long as it does.

    Args:
        manifest: what the folder shall hold.
        archives: implementations to use instead of those that the manifest names, by their keys in it.
        clock: gives the present instant, UTC.
        prompt: ask for credentials on the terminal when none are found elsewhere.
        record: write down every question to an archive and its answer, for `sedas_sync.archives.replay`.
    """

    def __init__(
        self,
        manifest: Manifest,
        *,
        archives: Mapping[str, Archive] | None = None,
        clock: Callable[[], datetime] = _utc_now,
        prompt: bool = False,
        record: IO[str] | None = None,
    ) -> None:
        self.manifest = manifest
        self._clock = clock
        self._home = MirrorState(manifest, clock)
        self._home.on_lost = lambda: self.stop(MirrorLocked.exit_code)
        self.root = self._home.root
        self._archives = ArchivePool(manifest, archives or {}, clock=clock, prompt=prompt, record=record)
        self._pins = LockFiles(manifest, self._home, clock)
        self._planner = Planner(manifest, self._home, self._archives, self._pins, clock)
        self._run: Run | None = None
        self._stopped_with: int | None = None

    @property
    def stopped(self) -> bool:
        """Whether what is under way was asked to end."""
        return self._stopped_with is not None

    @property
    def on_step(self) -> OnStep:
        """Told how far steps are that may take a while and that no event tells of; nobody is, until it is set."""
        return self._home.on_step

    @on_step.setter
    def on_step(self, told: OnStep) -> None:
        self._home.on_step = told

    def _reading(self, done: int, read: int, files: int, total: int) -> None:
        self.on_step(Step("reading files", read, total, "bytes", f"{done:,}/{files:,}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections and of a sandbox."""
        self._archives.close()

    def stop(self, exit_code: int = 130) -> None:
        """End what is under way in order; may be called from a signal handler or another thread.

        Args:
            exit_code: what the run is remembered to have ended with: 128 and the number of the signal.
        """
        self._stopped_with = exit_code if self._stopped_with is None else self._stopped_with
        if self._run is not None:
            self._run.stop(exit_code)
        else:
            self._archives.stop()

    def archive(self, key: str) -> Archive:
        """The archive that the manifest names so, opened when it is first needed.

        Raises:
            AuthenticationError: there are no credentials for it.
        """
        return self._archives[key]

    def search(
        self,
        *,
        datasets: Iterable[str] = (),
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
        explain: bool = False,
    ) -> SearchResult:
        """Ask the archives, and apply the manifest's rules to what they offer.

        Args:
            datasets: only these; all where empty.
            on_event: told of each dataset's search.
            on_found: told how many scenes have been found so far, a few times a second.
            explain: keep the reason of each scene that was left out.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
        """
        return self._planner.search(datasets=datasets, on_event=on_event, on_found=on_found, explain=explain)

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
        """Work out what apply would do. Changes nothing, orders nothing; asks once for the orders that are pending.

        Args:
            datasets: only these; all where empty.
            sizes: ask the archive for the size of every scene that is to be fetched.
            on_event: told of each dataset's search.
            on_found: told how many scenes have been found so far, a few times a second.
            take_over: plan as if the mirror belonged to this manifest.
            locked: do not search, but take exactly the scenes of the lock.
            prune: also remove files of scenes that the manifest's rules no longer admit; with `locked`, of all that
                are not in the lock and could be fetched again.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            LockMismatch: the lock was made from something else than what the manifest says.
            ManifestError: the mirror belongs to another manifest, there is no lock, or `prune` goes with `datasets`.
        """
        return self._planner.plan(
            datasets=datasets,
            sizes=sizes,
            on_event=on_event,
            on_found=on_found,
            take_over=take_over,
            locked=locked,
            prune=prune,
        )

    def check_choice(self, datasets: Iterable[str], *, prune: bool = False) -> None:
        """See to it that a plan can be narrowed so, before anything is touched.

        Raises:
            ManifestError: a dataset is not in the manifest, or `prune` goes with datasets.
        """
        self._planner.check_choice(datasets, prune=prune)

    def plan_for(self, scenes: Iterable[Scene]) -> Plan:
        """Work out what apply would do for just these scenes, whatever the manifest's datasets say."""
        return self._planner.plan_for(scenes)

    def why(
        self,
        scene_id: SceneId,
        *,
        on_event: Listener = ignore,
        on_found: Callable[[int], None] | None = None,
    ) -> Explanation:
        """Explain one scene: which datasets want it or which rule leaves it out, and what is here of it.

        Searches as `plan` does, and looks the scene up where no search gave it.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            ManifestError: the mirror belongs to another manifest.
        """
        return self._planner.why(scene_id, on_event=on_event, on_found=on_found)

    def orders(self, *, warn: Callable[[str], None] = _silent) -> list[Order]:
        """The orders this mirror remembers, oldest first.

        Args:
            warn: told what is wrong with the mirror's index.
        """
        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index)
            found = list(index.orders())
        for warning in warnings:
            warn(warning)
        return found

    def status(self) -> "Status":
        """What the mirror holds against its lock, or else against what its last apply wanted.

        Offline, and beside a process at work. A lock that was made from something else than what the manifest says is
        left out of account, and a warning says so. A file of another time than the index remembers is read, as a plan
        does; where its bytes are right, the index takes its time in, unless another process is at work in the mirror.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
        """
        from sedas_sync.operations.status import status  # noqa: PLC0415  # one command needs it

        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index)
            damaged = bool(warnings)
            self.on_step(Step("looking at the mirror", index.count()))
            lock = self._pins.lock_that_fits(warnings)
            found = status(
                self.root,
                index,
                manifest=self.manifest.source,
                archive=archive_facts(self.manifest),
                datasets=self.manifest.datasets,
                lock=None if lock is None else (str(lock_path(self.manifest.source)), lock),
                warnings=warnings,
                on_step=self._home.on_step,
            )
        if found.refreshed and not damaged:
            self._remember_times(found.refreshed)
        return found

    def _remember_times(self, refreshed: Iterable[LocalScene]) -> None:
        """Have the index know files by their times of now, so that the next look need not read them again.

        Nothing depends on it: it is left out where the mirror cannot be written, or another process is at work in it.
        """
        with suppress(SedasSyncError, OSError), self.locked(), self._home.index(write=True) as (index, _):
            known = ((item, index.holding(item.id)) for item in refreshed)
            index.put_times([item for item, now in known if now is not None and _is_same_file(item, now)])

    def report(self, out: str | os.PathLike[str] | None = None) -> "WrittenReport":
        """Write one self-contained HTML page of what the mirror holds, wants and waits for. Offline.

        As `status`, it counts against the lock where there is one that fits, else against the last apply.

        Args:
            out: where to; `<manifest stem>.html` beside the manifest where None. A file that is there is replaced.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the file cannot be written, or is the manifest or
                its lock.
        """
        from sedas_sync.output.report.write import write  # noqa: PLC0415  # one command needs it

        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index)
            lock = self._pins.lock_that_fits(warnings)
            return write(
                self.manifest,
                self.root,
                index,
                out=out,
                lock=lock,
                warnings=warnings,
                on_step=self._home.on_step,
            )

    def verify(
        self,
        *,
        jobs: int | None = None,
        on_file: Callable[[int, int, int, int], None] | None = None,
    ) -> "VerifyReport":
        """Read the mirror's bytes again and compare them with the index, and with the lock where there is one.

        Offline; changes nothing. A lock that was made from something else than what the manifest says is left out of
        account, and a warning says so.

        Args:
            jobs: files read at once; as many as there are processors where None.
            on_file: told how many files and bytes have been read, and how many there are.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
        """
        from sedas_sync.operations.verify import LockedChecksums, VerifyReport, readers, verify  # noqa: PLC0415  # one command needs it

        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index)
            holdings = list(index.holdings())
            ordered = {order.id for order in index.orders() if order.state is OrderState.PENDING}
        damaged = bool(warnings)
        lock = self._pins.lock_that_fits(warnings)
        demands = {}
        if lock is not None:
            paths = paths_by_lock(self.manifest, lock)
            demands = {
                pin.id: LockedChecksums(paths.get(pin.id), pin.size, pin.sha256, pin.files)
                for pin in lock.scenes.values()
                if not self.manifest.datasets.keys().isdisjoint(pin.datasets)
            }
        ignored = all(policy == "ignore" for policy in filehash_of(self.manifest).values())
        return VerifyReport(
            manifest=self.manifest.source,
            mirror=str(self.root),
            files=verify(
                self.root,
                holdings,
                jobs=jobs or readers(),
                filehash="ignore" if ignored else "warn",
                locked=demands,
                ordered=ordered,
                on_file=on_file or self._reading,
            ),
            lock=None if lock is None else str(lock_path(self.manifest.source)),
            warnings=tuple(warnings),
            damaged_index=damaged,
        )

    def export(
        self,
        how: "Format",
        out: "str | os.PathLike[str] | IO[bytes] | None" = None,
        *,
        unless_fresh: bool = False,
    ) -> "Exported":
        """Write the mirror's catalogue for other tools, from what the index remembers, beside a process at work.

        Args:
            how: `stac` writes a folder; `geojson`, `csv`, `sha256sums` (for `sha256sum --check` inside the mirror) and
                `urls` (for aria2) a file. Nobody is asked for anything but `urls`, since links do not last.
            out: the folder or file, which is there as a whole or as it was; a list may also go to an open binary file.
                A STAC catalogue's folder is `stac` beside the manifest where this is None.
            unless_fresh: leave a STAC catalogue as it is that was made from the same.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            ManifestError: the mirror belongs to another manifest, `out` cannot be written or is not to be written
                over, or the extra `stac` is not installed.
            SedasSyncError: the index is damaged.
        """
        from sedas_sync.output.export import take_inventory  # noqa: PLC0415  # one command needs it
        from sedas_sync.output.export.job import ExportJob  # noqa: PLC0415  # as above

        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index)
            inventory = take_inventory(self.root, index, self.manifest.datasets)
            if warnings:
                raise SedasSyncError(warnings[0])
        job = ExportJob(
            manifest=self.manifest,
            root=self.root,
            inventory=inventory,
            archive=self.archive,
            on_step=self._home.on_step,
        )
        if how == "stac":
            return job.to_catalogue(self.catalogue_folder(out), unless_fresh=unless_fresh)
        if out is None:
            raise ManifestError(f"an export as {how} needs a file to go to")
        return job.to_path(how, Path(out)) if isinstance(out, str | os.PathLike) else job.to_file(how, out)

    def catalogue_folder(self, out: "str | os.PathLike[str] | IO[bytes] | None" = None) -> Path:
        """The folder of a STAC catalogue, which may be written there.

        Args:
            out: the folder; `stac` beside the manifest where this is None.

        Raises:
            ManifestError: something else is in its place, or the extra `stac` is not installed.
        """
        from sedas_sync.output.export.job import check_stac  # noqa: PLC0415  # one command needs it

        if out is not None and not isinstance(out, str | os.PathLike):
            raise ManifestError("a STAC catalogue is a folder, not a file")
        folder = Path(self.manifest.source).parent / "stac" if out is None else Path(out)
        check_stac(folder, self.root)
        return folder

    def sources(self) -> list[dict[str, Any]]:
        """What this account may search, for each archive of the manifest: satellites and source groups by name.

        Raises:
            ArchiveError: the archive could not be asked.
            AuthenticationError: the archive refused the credentials, or there are none.
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

    @contextmanager
    def locked(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's lock, creating the mirror where there is none.

        Args:
            timeout: how long to wait for another process, seconds.

        Raises:
            MirrorLocked: another process is at work in this mirror.
            ManifestError: the folder cannot be made or written.
        """
        with self._home.locked(timeout=timeout):
            yield

    def apply(
        self,
        plan: Plan,
        *,
        on_event: Listener = ignore,
        wait: bool = True,
        jobs: int | None = None,
        executor: Executor | None = None,
        lock_timeout: float = 0.0,
        take_over: bool = False,
        max_prune: prune.PruneLimit = prune.DEFAULT,
        confirm: Callable[[int, int], bool] = _no,
        confirm_replacing: Callable[[int, int], bool] = _no,
        command: str = "apply",
    ) -> Summary:
        """Carry out a plan, and nothing else.

        Args:
            plan: from `plan`.
            on_event: told of everything that happens, from the calling thread.
            wait: wait for orders, at most the manifest's `order_timeout`.
            jobs: downloads at once, instead of the manifest's.
            executor: whose workers fetch, each seeing the mirror's folder under the same path; any of
                `concurrent.futures`, and the caller's to shut down. Threads of this process where None.
            lock_timeout: how long to wait for another process in this mirror, seconds.
            take_over: take the mirror from the manifest it belongs to.
            max_prune: how many files may be removed without a question.
            confirm: asked whether so many may be removed, of so many that are held, where it is more than that.
            confirm_replacing: asked the same of scenes that would be replaced, where they are more than a fifth.
            command: what the mirror remembers the run as.

        Returns:
            The summary, which has also been told as the last event.

        Raises:
            MirrorLocked: another process is at work in this mirror.
            ManifestError: the mirror belongs to another manifest.
        """
        summary: Summary | None = None
        for event in self.run(
            plan,
            wait=wait,
            jobs=jobs,
            executor=executor,
            lock_timeout=lock_timeout,
            take_over=take_over,
            max_prune=max_prune,
            confirm=confirm,
            confirm_replacing=confirm_replacing,
            command=command,
        ):
            on_event(event)
            if isinstance(event, Summary):
                summary = event
        if summary is None:
            raise SedasSyncError("the run ended without a summary")
        return summary

    def run(
        self,
        plan: Plan,
        *,
        wait: bool = True,
        jobs: int | None = None,
        executor: Executor | None = None,
        lock_timeout: float = 0.0,
        take_over: bool = False,
        max_prune: prune.PruneLimit = prune.DEFAULT,
        confirm: Callable[[int, int], bool] = _no,
        confirm_replacing: Callable[[int, int], bool] = _no,
        command: str = "apply",
    ) -> Generator[Event]:
        """Like `apply`, as a generator of what happens; closing it ends the run in order."""
        with self.locked(timeout=lock_timeout), self._home.index(write=True) as (index, warnings):
            self._home.check_owner(index, take_over=take_over)
            plan = prune.within(plan, max_prune, index.count(), confirm)
            plan = prune.replaced_within(plan, index.count(), confirm_replacing)
            index.forgiving = True
            index.on_rebuilt = lambda: index.put_files(kept_files(plan), self._clock())
            # Written only when the summary has been told: damage there is to be found before.
            index.awaited()
            if warnings:
                # It may have been begun anew since the plan was made, or just now.
                index.put_files(kept_files(plan), self._clock())
            self._home.own(index)
            remember_wanted(index, plan, self.manifest.datasets)
            try:
                yield from self._carry_out(plan, index, warnings, command, wait=wait, jobs=jobs, executor=executor)
            finally:
                remember_awaited(index, plan)

    def _carry_out(
        self,
        plan: Plan,
        index: Index,
        warnings: list[str],
        command: str,
        *,
        wait: bool,
        jobs: int | None,
        executor: Executor | None = None,
    ) -> Generator[Event]:
        """Carry a plan out; the index is open for writing, and the mirror's lock is held."""
        said = plan.warnings
        if warnings:
            said = tuple(w for w in said if w not in warnings and not w.endswith(WILL_REBUILD))
        used = {
            key
            for action in plan.actions
            if action.want is not None and action.kind in NEEDS_ARCHIVE
            for key in (action.want.archive, *(place.archive for place in action.want.places))
        }
        self._run = Run(
            replace(plan, warnings=(*said, *warnings)),
            root=self.root,
            archives={key: self._archives[key] for key in sorted(used)},
            index=index,
            options=options(self.manifest, wait=wait, jobs=jobs),
            now=self._clock,
            executor=executor,
        )
        if self._stopped_with is not None:
            self._run.stop(self._stopped_with)
        try:
            self._run.muster()
            number = index.begin_run(command, self._clock())
            for event in self._run.events():
                if isinstance(event, Summary):
                    index.end_run(number, self._clock(), event.exit_code, event.to_json())
                yield event
        finally:
            self._run = None

    def repair(
        self,
        report: "VerifyReport",
        *,
        on_event: Listener = ignore,
        wait: bool = True,
        jobs: int | None = None,
        lock_timeout: float = 0.0,
    ) -> "VerifyReport":
        """Fetch anew what `verify` found missing, changed or corrupt, ordering what is in the long-term archive.

        Scenes are looked up by their ids, whatever the manifest's datasets say now. One that no archive knows any more
        is a failure, and what is here of it stays as it is.

        Returns:
            The report with the summary of the repair; as it was where there is nothing to repair.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            MirrorLocked: another process is at work in this mirror.
            ManifestError: the mirror belongs to another manifest.
        """
        if not report.bad:
            return report
        summary: Summary | None = None
        with self.locked(timeout=lock_timeout):
            plan = self._planner.repair_plan(report)
            with self._home.index(write=True) as (index, warnings):
                self._home.check_owner(index)
                index.forgiving = True
                self._home.own(index)
                for event in self._carry_out(plan, index, warnings, "verify --repair", wait=wait, jobs=jobs):
                    on_event(event)
                    if isinstance(event, Summary):
                        summary = event
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
        """Take files that are already there into the mirror and its index, after checking them; fetches nothing.

        Args:
            source: a folder to take them from; the mirror's own files where None.
            how: by hard link (a copy where file systems differ), `copy` or `move`, out of another folder.
            jobs: files read at once; as many as there are processors where None.
            on_file: told what becomes of each file, as it does.
            on_event: told of each dataset's search.
            on_found: told how many scenes the search has found so far.
            lock_timeout: how long to wait for another process in this mirror, seconds.
            take_over: take the mirror from the manifest it belongs to.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            MirrorLocked: another process is at work in this mirror.
            ManifestError: the mirror belongs to another manifest, or `source` is no folder.
        """
        from sedas_sync.operations.adopt import Adopter, Adoption  # noqa: PLC0415  # one command needs it
        from sedas_sync.operations.verify import readers  # noqa: PLC0415  # as above

        place = None if source is None else Path(source)
        if place is not None and not place.is_dir():
            raise ManifestError(f"{place}: there is no such folder to adopt from")
        if place is not None and place.resolve() == self.root:
            place = None
        with self.locked(timeout=lock_timeout), self._home.index(write=True) as (index, warnings):
            self._home.check_owner(index, take_over=take_over)
            found = self.search(on_event=on_event, on_found=on_found)
            self._home.own(index)
            number = index.begin_run("adopt", self._clock())

            ledger = Ledger(index, self._clock)
            adopter = Adopter(
                self.root,
                wants=found.wants,
                holdings=index.holdings(),
                level=self.manifest.transfer.integrity,
                filehash=filehash_of(self.manifest),
                jobs=jobs or readers(),
                record=ledger.add,
                stopped=lambda: self.stopped,
                with_lengths=self._planner.lengths.added,
            )
            files: list[File] = []
            self.on_step(Step("checking files", unit="file"))
            with ledger:
                for file in adopter.adopt(place, how=how):
                    files.append(file)
                    self.on_step(Step("checking files", len(files), unit="file"))
                    if on_file is not None:
                        on_file(file)
            done = Adoption(
                manifest=self.manifest.source,
                mirror=str(self.root),
                source=str(place or self.root),
                search_complete=found.complete,
                files=tuple(files),
                failures=found.failures if not found.complete else (),
                warnings=(*warnings, *found.warnings, *adopter.warnings),
            )
            code = done.exit_code if self._stopped_with is None else self._stopped_with
            index.end_run(number, self._clock(), code, done.counts)
            return done

    def checked_lock(self) -> Lock:
        """The manifest's lock, which says what the manifest says.

        Raises:
            LockMismatch: it was made from something else, each difference named.
            ManifestError: there is no lock, or the file is none.
        """
        return self._pins.checked()

    def stamp(self, made: Made, scenes: int) -> None:
        """Remember that all of the lock is held, so that the next locked run is a matter of a look.

        Args:
            made: what the run was made from, read before it.
            scenes: of the lock.
        """
        now = made_from(made.manifest)
        if now is not None and now.digest == made.digest:
            with self.locked(), self._home.index(write=True) as (index, _):
                index.forgiving = True
                index.stamp(made.digest, scenes)

    def check_old_lock(self, *, write: bool = True) -> tuple[str, ...]:
        """See that `relock` can bring the lock up to date; gives a warning where the file is none, and is replaced.

        Args:
            write: without it, only what would change is asked for, and a file that is no lock is a mistake.

        Raises:
            ManifestError: it cannot be read, or is of a newer version of this package.
        """
        return self._pins.check_old(write=write)

    def relock(self, plan: Plan, *, applied: bool = False, write: bool = True) -> LockUpdate:
        """Pin the scenes of a plan in the lock, with the digests of those that the mirror holds.

        A lock that says the same already is left as it is, whenever its relative dates were made absolute. A file that
        is no lock, such as one with the marks of a merge, is replaced where `write`, and else a mistake.

        Args:
            plan: of the whole manifest.
            applied: whether it was carried out, so that what it fetched is pinned with its digest.
            write: without it, only say what would change.

        Raises:
            SedasSyncError: the plan's search failed or stayed incomplete.
            ManifestError: the lock cannot be read or written.
        """
        return self._pins.relock(plan, applied=applied, write=write)

    @contextmanager
    def locked_if_there(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's lock where there is a mirror; where there is none, make none.

        Raises:
            MirrorLocked: another process is at work in this mirror.
        """
        with self._home.locked_if_there(timeout=timeout):
            yield

    def save(self, plan: Plan, *, datasets: Iterable[str] = ()) -> SavedPlan:
        """A plan with what it was made from, to be written to a file.

        Args:
            plan: from `plan`.
            datasets: those that it was narrowed to.
        """
        return self._pins.save(plan, datasets=datasets)

    def check_saved(self, saved: SavedPlan) -> None:
        """See to it that a saved plan was made from what the manifest says, and is not of a mirror that is gone.

        Raises:
            LockMismatch: the manifest or the mirror has moved on since; says how.
        """
        self._planner.check_saved(saved)

    def resume_plan(self, saved: SavedPlan, *, take_over: bool = False) -> Plan:
        """Make a saved plan ready to be applied: the same actions, with links that are valid now.

        One that was begun, and that nothing else came after, goes on where it stopped.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            LockMismatch: the manifest or the mirror has moved on since the plan was made; says how.
            ManifestError: the mirror belongs to another manifest.
        """
        return self._planner.resume_plan(saved, take_over=take_over)

    def forget_order(self, order: str, *, warn: Callable[[str], None] = _silent) -> bool:
        """Forget an order, by its own id or by its scene's; says whether there was one.

        Args:
            order: its id, or its scene's.
            warn: told what is wrong with the mirror's index.
        """
        with self.locked(), self._home.index(write=True) as (index, warnings):
            self._home.check_owner(index)
            found = [item for item in index.orders() if order in (item.order, item.id)]
            for item in found:
                index.drop_order(item.id)
        for warning in warnings:
            warn(warning)
        return bool(found)
