"""The public face: a manifest and its folder, and everything that can be done with them.

The only module that picks implementations of the archive boundary.
"""

import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from msgspec.structs import replace

from sedas_sync import prune
from sedas_sync.apply import Options, Run, partial_path
from sedas_sync.archives import Archive
from sedas_sync.archives.recorded import Recorder, write_head
from sedas_sync.archives.registry import TYPES, Opening, open_archive
from sedas_sync.desired import Desired, Refusal, desired, refusal
from sedas_sync.errors import LockMismatch, ManifestError, SedasSyncError, TransferError
from sedas_sync.events import Adopted, Event, Failed, Failure, Fetched, Searched, Summary
from sedas_sync.facts import scene_of
from sedas_sync.index import Index, IndexDamagedError, lock
from sedas_sync.integrity import Filehash
from sedas_sync.load import load_manifest
from sedas_sync.lock import Lock, Relocked, changes, differences, head_of, mismatches, pinned
from sedas_sync.locked import LookUp, locked_wants, places
from sedas_sync.lockfile import lock_path, read_lock, write_lock
from sedas_sync.manifest import Manifest, parse
from sedas_sync.memory import STATE
from sedas_sync.model import Holding, Kind, Order, OrderState, Scene, SceneId, Want
from sedas_sync.plan import TRANSFERS, Observed, Plan, decide, settled
from sedas_sync.saved import SavedPlan, drift
from sedas_sync.search import Offer, search
from sedas_sync.survey import Survey, survey
from sedas_sync.transfer import Policy, partial_of
from sedas_sync.unchanged import Made, made_from
from sedas_sync.why import Explanation, Pruning

if TYPE_CHECKING:
    from sedas_sync.adopt import Adoption, File, How
    from sedas_sync.geometry import Polygonal
    from sedas_sync.status import Status
    from sedas_sync.verify import Report, Verified

_WILL_REBUILD = "; apply rebuilds it from the folder, without fetching what is here"

__all__ = ["Done", "Mirror", "SearchResult", "fetch", "load_manifest"]

Listener = Callable[[Event], None]
Refresh = Callable[[Mapping[SceneId, Want], Mapping[SceneId, Observed]], Mapping[SceneId, Want]]

_NEED_AN_ARCHIVE = TRANSFERS | {Kind.ORDER, Kind.WAIT}


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _ignore(_event: Event) -> None:
    """Listen to nothing."""


def _no(_count: int, _held: int) -> bool:
    """Nobody is there to be asked."""
    return False


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the archives offer, after the manifest's rules."""

    wants: Mapping[SceneId, Want]
    offers: Mapping[str, Offer]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    chosen: Desired

    @property
    def complete(self) -> bool:
        """Whether every dataset's search was shown to have found every match."""
        return all(offer.complete for offer in self.offers.values())

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes admitted, oldest first."""
        found = (want.scene for want in self.wants.values())
        return tuple(sorted(found, key=lambda s: ("" if s.start is None else s.start.isoformat(), s.id)))


class Mirror:
    """A folder of scenes that a manifest describes.

    Use it as a context manager; connections, and a sandbox where the manifest asks for one, live as long as it does.

    Args:
        manifest: what the folder shall hold.
        archives: implementations to use instead of those that the manifest names, by their keys in it.
        clock: gives the present instant, UTC.
        prompt: ask for credentials on the terminal when none are found elsewhere.
        record: write down every question to an archive and its answer, for `sedas_sync.archives.recorded`.
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
        source = Path(manifest.source)
        self.root = Path(os.path.realpath(source.parent / manifest.mirror.path))
        if self.root.exists() and not self.root.is_dir():
            raise ManifestError(f"{self.root}: the mirror has to be a folder, and this is a file")
        self._clock = clock
        self._prompt = prompt
        self._record = record
        if record is not None:
            write_head(record, clock())
        self._archives = dict(archives or {})
        self._stack = ExitStack()
        self._locked = False
        self._checked_lock: Lock | None = None
        self._run: Run | None = None
        self.stopped = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections and of a sandbox."""
        self._stack.close()

    def stop(self) -> None:
        """End what is under way in order; may be called from a signal handler or another thread."""
        self.stopped = True
        if self._run is not None:
            self._run.stop()
        else:
            for archive in tuple(self._archives.values()):
                archive.stop()

    # -- looking -----------------------------------------------------------------------------------------------------

    def archive(self, key: str) -> Archive:
        """The archive that the manifest names so, opened when it is first needed.

        Raises:
            AuthenticationError: there are no credentials for it.
        """
        if key not in self._archives:
            opened = open_archive(self._opening(key))
            self._archives[key] = opened if self._record is None else Recorder(opened, key, self._record)
        return self._archives[key]

    def _opening(self, key: str) -> Opening:
        config = self.manifest.archives[key]
        urls = {other.url for other in self.manifest.archives.values() if other.type == config.type}
        return Opening(
            config=config,
            kind=TYPES[config.type],
            key=key,
            base=Path(self.manifest.source).parent,
            transfer=self.manifest.transfer,
            clock=self._clock,
            prompt=self._prompt,
            alone=len({urlsplit(url or "").hostname for url in urls}) == 1,
            stack=self._stack,
        )

    def _archives_of(self, manifest: Manifest) -> dict[str, Archive]:
        keys = {key for dataset in manifest.datasets.values() for key in dataset.archive}
        return {key: self.archive(key) for key in sorted(keys)}

    def search(
        self,
        *,
        datasets: Iterable[str] = (),
        on_event: Listener = _ignore,
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
        manifest = self._narrowed(datasets)
        now = self._clock()
        offers = search(manifest, self._archives_of(manifest), now, on_found=on_found)
        chosen = desired(
            manifest, {name: offer.scenes.values() for name, offer in offers.items()}, now, explain=explain
        )
        failures = [failure for offer in offers.values() for failure in offer.failures]
        warnings = [warning for offer in offers.values() for warning in offer.warnings] + chosen.warnings
        for name, offer in offers.items():
            count = sum(name in want.datasets for want in chosen.wants.values())
            error = next((failure.error for failure in offer.failures), None)
            on_event(Searched(time=now, dataset=name, scenes=count, complete=offer.complete, error=error))
        return SearchResult(
            wants=chosen.wants,
            offers=offers,
            failures=tuple(failures),
            warnings=tuple(dict.fromkeys(warnings)),
            chosen=chosen,
        )

    def plan(
        self,
        *,
        datasets: Iterable[str] = (),
        sizes: bool = False,
        on_event: Listener = _ignore,
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
        datasets = tuple(datasets)
        self.check_choice(datasets, prune=prune)
        with self._index(write=False) as (index, warnings):
            self._check_owner(index, take_over=take_over)
        if locked:
            plan = self._plan_locked(datasets, warnings, sizes=sizes)
            return self._with_prunes_of_lock(plan, self.checked_lock()) if prune else plan
        found = self.search(datasets=datasets, on_event=on_event, on_found=on_found)
        plan = self._plan(found.wants, warnings, sizes=sizes)
        # A product that is held needs no catalogue to vouch for it.
        held = {action.id for action in plan.actions if action.held is not None}
        plan = replace(
            plan,
            datasets=datasets,
            search_complete=found.complete,
            failures=tuple(failure for failure in found.failures if failure.id not in held),
            warnings=(*plan.warnings, *found.warnings),
        )
        return self._with_prunes(plan, found) if prune else plan

    def check_choice(self, datasets: Iterable[str], *, prune: bool = False) -> None:
        """See to it that a plan can be narrowed so, before anything is touched.

        Raises:
            ManifestError: a dataset is not in the manifest, or `prune` goes with datasets.
        """
        chosen = tuple(datasets)
        self._narrowed(chosen)
        if prune and chosen:
            raise ManifestError("--prune judges the manifest as a whole: it does not go with --dataset")

    def _with_prunes(self, plan: Plan, found: SearchResult) -> Plan:
        if not found.complete:
            return prune.refuse(plan, "nothing is removed: the search failed or stayed incomplete")
        judged = self._judged(found)
        removals, changed = prune.still_ours(self.root, judged.prune)
        vouched = {action.id for action in judged.keep}
        return replace(
            plan,
            actions=(*plan.actions, *judged.keep, *removals),
            failures=tuple(failure for failure in plan.failures if failure.id not in vouched),
            warnings=(*plan.warnings, *judged.warnings, *prune.vanished(judged.keep), *changed),
        )

    def _judged(self, found: SearchResult) -> prune.Judged:
        """What the rules say of held files that a complete search gave no reason to want."""
        with self._index(write=False) as (index, _):
            unwanted = [held for held in index.holdings() if held.id not in found.wants]
        offered: dict[SceneId, Scene] = {}
        for held in unwanted:
            scenes = (offer.scenes[held.id] for offer in found.offers.values() if held.id in offer.scenes)
            offered.update((scene.id, scene) for scene in scenes)
        return prune.judge(self.manifest, found.wants, offered, unwanted, self._clock())

    def _with_prunes_of_lock(self, plan: Plan, lock: Lock) -> Plan:
        if not plan.search_complete:
            return prune.refuse(plan, "nothing is removed: not every scene of the lock could be looked up")
        with self._index(write=False) as (index, _):
            unwanted = [held for held in index.holdings() if held.id not in lock.scenes]
        wants = {action.id: action.want for action in plan.actions if action.want is not None}
        judged = prune.judge(self.manifest, wants, {}, unwanted, self._clock())
        keys = {action.id: self.manifest.datasets[action.datasets[0]].archive[0] for action in judged.keep}
        judged = prune.outside_the_lock(judged, LookUp(self.archive), keys)
        removals, changed = prune.still_ours(self.root, judged.prune)
        return replace(
            plan,
            actions=(*plan.actions, *removals),
            warnings=(*plan.warnings, *judged.warnings, *changed),
        )

    def plan_for(self, scenes: Iterable[Scene]) -> Plan:
        """Work out what apply would do for just these scenes, whatever the manifest's datasets say."""
        dataset = next(iter(self.manifest.datasets))
        key = next(iter(self.manifest.archives))
        layout = self.manifest.mirror.layout
        wants = {
            scene.id: Want(
                scene=scene, datasets=(dataset,), archive=key, path=layout.path(scene, dataset=dataset, archive=key)
            )
            for scene in scenes
        }
        return self._plan(wants, [])

    def _plan_locked(self, datasets: Iterable[str], warnings: list[str], *, sizes: bool) -> Plan:
        manifest, lock = self._narrowed(datasets), self.checked_lock()
        with self._index(write=False) as (index, _):
            held = {holding.id: holding for holding in index.holdings() if holding.id in lock.scenes}
        look_up = LookUp(self.archive)
        wants = locked_wants(manifest, lock, held, look_up)
        plan = self._plan(wants, warnings, sizes=sizes, refresh=look_up.refresh, holdings=held.values())
        return replace(
            plan,
            search_complete=not look_up.failures,
            failures=tuple(look_up.failures),
            warnings=(*plan.warnings, *look_up.warnings),
        )

    def _plan(
        self,
        wants: Mapping[SceneId, Want],
        warnings: list[str],
        *,
        sizes: bool = False,
        refresh: Refresh | None = None,
        holdings: Iterable[Holding] | None = None,
    ) -> Plan:
        with self._index(write=False) as (index, said):
            warnings.extend(warning for warning in said if warning not in warnings)
            seen = self._survey(wants, index.holdings() if holdings is None else holdings)
            orders = {order.id: order for order in index.orders()}
        if refresh is not None:
            wants = refresh(wants, seen.observed)
        polled = self._poll(orders, wants, warnings)
        orders.update((order.id, order) for order in polled)
        actions = decide(wants, seen.observed, orders, trust_digest=self._trust)
        if sizes:
            asked = [a.want for a in actions if a.want is not None and a.kind in TRANSFERS and a.size is None]
            known = self._sizes(asked)
            actions = tuple(replace(a, size=known.get(a.id)) if a.size is None else a for a in actions)
        return Plan(
            manifest=self.manifest.source,
            mirror=str(self.root),
            archive=self._archive_facts(),
            actions=actions,
            warnings=(*warnings, *seen.warnings),
            refreshed=tuple(seen.refreshed),
            polled=tuple(polled),
        )

    def _survey(self, wants: Mapping[SceneId, Want], holdings: Iterable[Holding]) -> Survey:
        return survey(
            self.root,
            wants,
            holdings,
            level=self.manifest.transfer.integrity,
            filehash=self._filehash,
            partial_path=lambda want: partial_path(want.scene),
        )

    def why(self, scene_id: SceneId, *, on_event: Listener = _ignore) -> Explanation:
        """Explain one scene: which datasets want it or which rule leaves it out, and what is here of it.

        Searches as `plan` does, and looks the scene up where no search gave it.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            ManifestError: the mirror belongs to another manifest.
        """
        with self._index(write=False) as (index, warnings):
            self._check_owner(index)
            held = next((item for item in index.holdings() if item.id == scene_id), None)
            order = next((item for item in index.orders() if item.id == scene_id), None)
            last_error = index.last_errors().get(scene_id)
        found = self.search(on_event=on_event, explain=True)
        scene = next((offer.scenes[scene_id] for offer in found.offers.values() if scene_id in offer.scenes), None)
        scene = scene or self._looked_up(scene_id)
        listed = scene is not None
        if scene is None and held is not None:
            scene = scene_of(held.facts)
        want = found.wants.get(scene_id)
        action = None
        if want is not None:
            (action,) = self._plan({scene_id: want}, warnings).actions
        return Explanation(
            id=scene_id,
            scene=scene,
            listed=listed,
            verdicts={} if scene is None else self._verdicts(scene, found),
            action=action,
            held=held,
            order=order if action is None or action.order is None else action.order,
            last_error=last_error,
            pruning=None if held is None or want is not None else self._pruning(held, found),
        )

    def _pruning(self, held: Holding, found: SearchResult) -> Pruning:
        """What `apply --prune` would do with a file that no dataset wants."""
        if not found.complete:
            return Pruning(removes=False, reason="nothing is removed after a search that failed or stayed incomplete")
        judged = self._judged(found)
        removals, changed = prune.still_ours(self.root, (action for action in judged.prune if action.id == held.id))
        for action in removals:
            return Pruning(removes=True, reason=action.reason)
        kept = (action.reason for action in judged.keep if action.id == held.id)
        doubts = (warning for warning in (*changed, *judged.warnings) if warning.startswith(f"{held.path}: "))
        return Pruning(removes=False, reason=next(iter((*kept, *doubts)), "it is kept"))

    def _looked_up(self, scene_id: SceneId) -> Scene | None:
        for archive in self._archives_of(self.manifest).values():
            for scene in archive.look_up([scene_id], warn=lambda _: None):
                return scene
        return None

    def _verdicts(self, scene: Scene, found: SearchResult) -> dict[str, Refusal | None]:
        """What each dataset makes of a scene, by its set as a whole where its search gave the scene."""
        want = found.wants.get(scene.id)
        verdicts: dict[str, Refusal | None] = {}
        for name, dataset in self.manifest.datasets.items():
            if want is not None and name in want.datasets:
                verdicts[name] = None
                continue
            why = found.chosen.refused.get(scene.id, {}).get(name)
            why = why or refusal(dataset, self.manifest.aois, scene, self._clock())
            verdicts[name] = why or Refusal("search", "it fits the rules, but the catalogue's search did not give it")
        return verdicts

    def orders(self) -> list[Order]:
        """The orders this mirror remembers, oldest first."""
        with self._index(write=False) as (index, _):
            self._check_owner(index)
            return list(index.orders())

    def status(self) -> "Status":
        """What the mirror holds against its lock, or else against what its last apply wanted.

        Offline, and beside a process at work. A lock that was made from something else than what the manifest says is
        left out of account, and a warning says so.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
        """
        from sedas_sync.status import status  # noqa: PLC0415  # one command needs it

        with self._index(write=False) as (index, warnings):
            self._check_owner(index)
            lock = self._lock_that_fits(warnings)
            return status(
                self.root,
                index,
                manifest=self.manifest.source,
                archive=self._archive_facts(),
                datasets=self.manifest.datasets,
                lock=None if lock is None else (str(lock_path(self.manifest.source)), lock),
                warnings=warnings,
            )

    def verify(
        self,
        *,
        jobs: int | None = None,
        on_file: Callable[[int, int, int, int], None] | None = None,
    ) -> "Report":
        """Read the mirror's bytes again and compare them with the index, and with the lock where there is one.

        Offline; changes nothing. A lock that was made from something else than what the manifest says is left out of
        account, and a warning says so.

        Args:
            jobs: files read at once; as many as there are processors where None.
            on_file: told how many files and bytes have been read, and how many there are.

        Raises:
            ManifestError: the mirror belongs to another manifest, or the lock cannot be read.
        """
        from sedas_sync.verify import Demand, Report, readers, verify  # noqa: PLC0415  # one command needs it

        with self._index(write=False) as (index, warnings):
            self._check_owner(index)
            holdings = list(index.holdings())
            ordered = {order.id for order in index.orders() if order.state is OrderState.PENDING}
        damaged = bool(warnings)
        lock = self._lock_that_fits(warnings)
        demands = {}
        if lock is not None:
            paths = places(self.manifest, lock)
            demands = {
                pin.id: Demand(paths.get(pin.id), pin.size, pin.sha256)
                for pin in lock.scenes.values()
                if not self.manifest.datasets.keys().isdisjoint(pin.datasets)
            }
        ignored = all(policy == "ignore" for policy in self._filehash.values())
        return Report(
            manifest=self.manifest.source,
            mirror=str(self.root),
            files=verify(
                self.root,
                holdings,
                jobs=jobs or readers(),
                filehash="ignore" if ignored else "warn",
                locked=demands,
                ordered=ordered,
                on_file=on_file,
            ),
            lock=None if lock is None else str(lock_path(self.manifest.source)),
            warnings=tuple(warnings),
            damaged_index=damaged,
        )

    def sources(self) -> list[dict[str, Any]]:
        """What this account may search, for each archive of the manifest: satellites and source groups by name.

        Raises:
            ArchiveError: the archive could not be asked.
            AuthenticationError: the archive refused the credentials, or there are none.
        """
        found = []
        for key, archive in self._archives_of(self.manifest).items():
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

    # -- changing ----------------------------------------------------------------------------------------------------

    @contextmanager
    def locked(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's lock, creating the mirror where there is none.

        Args:
            timeout: how long to wait for another process, seconds.

        Raises:
            MirrorLocked: another process is at work in this mirror.
            ManifestError: the folder cannot be made or written.
        """
        if self._locked:
            yield
            return
        state = self.root / STATE
        for path in (state, *(state / name for name in ("partial", "replaced", "index.db", "apply.lock"))):
            if path.is_symlink():
                raise ManifestError(f"{path}: is a symbolic link; nothing is written through it")
        try:
            for name in ("partial", "replaced"):
                (state / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ManifestError(f"{self.root}: the mirror cannot be made here: {error.strerror}") from None
        with lock(self.root, timeout=timeout, now=self._clock()):
            self._locked = True
            try:
                yield
            finally:
                self._locked = False

    def apply(
        self,
        plan: Plan,
        *,
        on_event: Listener = _ignore,
        wait: bool = True,
        jobs: int | None = None,
        executor: Executor | None = None,
        lock_timeout: float = 0.0,
        take_over: bool = False,
        max_prune: prune.Limit = prune.DEFAULT,
        confirm: Callable[[int, int], bool] = _no,
        command: str = "apply",
    ) -> Summary:
        """Carry out a plan, and nothing else.

        Args:
            plan: from `plan`.
            on_event: told of everything that happens, from the calling thread.
            wait: wait for orders, at most the manifest's `order_timeout`.
            jobs: downloads at once, instead of the manifest's.
            executor: runs the downloads; threads of this process where None.
            lock_timeout: how long to wait for another process in this mirror, seconds.
            take_over: take the mirror from the manifest it belongs to.
            max_prune: how many files may be removed without a question.
            confirm: asked whether so many may be removed, of so many that are held, where it is more than that.
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
        max_prune: prune.Limit = prune.DEFAULT,
        confirm: Callable[[int, int], bool] = _no,
        command: str = "apply",
    ) -> Generator[Event]:
        """Like `apply`, as a generator of what happens; closing it ends the run in order."""
        with self.locked(timeout=lock_timeout), self._index(write=True) as (index, warnings):
            self._check_owner(index, take_over=take_over)
            plan = prune.within(plan, max_prune, index.count(), confirm)
            index.set_owner(self._name_in_mirror())
            self._remember_wanted(index, plan)
            yield from self._carry_out(plan, index, warnings, command, wait=wait, jobs=jobs, executor=executor)

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
        said = plan.warnings if not warnings else tuple(w for w in plan.warnings if not w.endswith(_WILL_REBUILD))
        used = {a.want.archive for a in plan.actions if a.want is not None and a.kind in _NEED_AN_ARCHIVE}
        number = index.begin_run(command, self._clock())
        self._run = Run(
            replace(plan, warnings=(*said, *warnings)),
            root=self.root,
            archives={key: self.archive(key) for key in sorted(used)},
            index=index,
            options=self._options(wait=wait, jobs=jobs),
            now=self._clock,
            executor=executor,
        )
        if self.stopped:
            self._run.stop()
        try:
            for event in self._run.events():
                if isinstance(event, Summary):
                    index.end_run(number, self._clock(), event.exit_code, event.to_json())
                yield event
        finally:
            self._run = None

    def _remember_wanted(self, index: Index, plan: Plan) -> None:
        """Keep for `status` what this plan wants, dataset by dataset."""
        names = plan.datasets or tuple(self.manifest.datasets)
        wanted: dict[str, list[SceneId]] = {name: [] for name in names}
        for action in plan.actions:
            for name in action.datasets:
                if name in wanted and action.kind is not Kind.SKIP:
                    wanted[name].append(action.id)
        # What a search did not finish to find is no reason to forget what was wanted.
        unfinished = {failure.id for failure in plan.failures} & set(names)
        before = index.wanted() if unfinished else {}
        for name in unfinished:
            wanted[name] = list(dict.fromkeys((*wanted[name], *before.get(name, ()))))
        index.put_wanted(wanted, only=not plan.datasets)

    def repair(
        self,
        report: "Report",
        *,
        on_event: Listener = _ignore,
        wait: bool = True,
        jobs: int | None = None,
        lock_timeout: float = 0.0,
    ) -> "Report":
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
            plan = self._repair_plan(report)
            with self._index(write=True) as (index, warnings):
                self._check_owner(index)
                index.set_owner(self._name_in_mirror())
                for event in self._carry_out(plan, index, warnings, "verify --repair", wait=wait, jobs=jobs):
                    on_event(event)
                    if isinstance(event, Summary):
                        summary = event
        return dataclasses.replace(report, repair=summary)

    def _repair_plan(self, report: "Report") -> Plan:
        from sedas_sync.verify import observed  # noqa: PLC0415  # one command needs it

        bad = {item.id: item for item in report.bad if item.id is not None}
        warnings: list[str] = []
        wants: dict[SceneId, Want] = {}
        failures: list[Failure] = []
        with self._index(write=False) as (index, _):
            wanted = index.wanted()
            orders = {order.id: order for order in index.orders() if order.id in bad}
        if report.lock is not None and (lock := self._lock_that_fits(warnings)) is not None:
            wanted = {
                name: tuple(i for i in bad if i in lock.scenes and name in lock.scenes[i].datasets)
                for name in self.manifest.datasets
            }
        takers: dict[SceneId, list[str]] = {}
        for name, ids in wanted.items():
            for scene_id in ids:
                if scene_id in bad:
                    takers.setdefault(scene_id, []).append(name)
        for key, archive in self._archives_of(self.manifest).items():
            unfound = [scene_id for scene_id in bad if scene_id not in wants]
            try:
                found = list(archive.look_up(unfound, warn=warnings.append)) if unfound else []
            except SedasSyncError as error:
                if error.exit_code != SedasSyncError.exit_code:
                    raise
                failures.append(Failure(id=key, error=str(error)))
                continue
            for scene in found:
                if scene.id in bad:
                    wants[scene.id] = self._repair_want(scene, key, takers.get(scene.id, ()), bad[scene.id])
        why = "the archive does not know it any more; what is here of it stays as it is"
        failures.extend(Failure(id=scene_id, error=why) for scene_id in bad if scene_id not in wants)
        polled = self._poll(orders, wants, warnings)
        orders.update((order.id, order) for order in polled)
        partials = {}
        for scene_id, want in wants.items():
            part = partial_of(str(self.root), partial_path(want.scene))
            partials[scene_id] = 0 if part is None else part.bytes
        return Plan(
            manifest=self.manifest.source,
            mirror=str(self.root),
            archive=self._archive_facts(),
            actions=decide(wants, observed(report, partials), orders),
            failures=tuple(failures),
            warnings=tuple(warnings),
            polled=tuple(polled),
        )

    def _repair_want(self, scene: Scene, key: str, takers: Iterable[str], found: "Verified") -> Want:
        datasets = tuple(takers)
        path = found.path
        if not path:
            first = next(iter(datasets or self.manifest.datasets))
            path = self.manifest.mirror.layout.path(scene, dataset=first, archive=key)
        demanded = None if found.demand is None else found.demand.sha256
        return Want(scene=scene, datasets=datasets, archive=key, path=path, sha256=demanded)

    def adopt(
        self,
        source: str | os.PathLike[str] | None = None,
        *,
        how: "How" = "link",
        jobs: int | None = None,
        on_file: "Callable[[File], None] | None" = None,
        on_event: Listener = _ignore,
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
        from sedas_sync.adopt import Adopter, Adoption  # noqa: PLC0415  # one command needs it
        from sedas_sync.verify import readers  # noqa: PLC0415  # as above

        place = None if source is None else Path(source)
        if place is not None and not place.is_dir():
            raise ManifestError(f"{place}: there is no such folder to adopt from")
        if place is not None and place.resolve() == self.root:
            place = None
        with self.locked(timeout=lock_timeout), self._index(write=True) as (index, warnings):
            self._check_owner(index, take_over=take_over)
            found = self.search(on_event=on_event, on_found=on_found)
            index.set_owner(self._name_in_mirror())
            number = index.begin_run("adopt", self._clock())

            def record(held: Holding) -> None:
                index.put_files([held], self._clock())
                index.drop_order(held.id)

            adopter = Adopter(
                self.root,
                wants=found.wants,
                holdings=index.holdings(),
                level=self.manifest.transfer.integrity,
                filehash=self._filehash,
                jobs=jobs or readers(),
                record=record,
                stopped=lambda: self.stopped,
            )
            files = []
            for file in adopter.adopt(place, how=how):
                files.append(file)
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
            index.end_run(number, self._clock(), done.exit_code, done.counts)
            return done

    # -- the lock ----------------------------------------------------------------------------------------------------

    def checked_lock(self) -> Lock:
        """The manifest's lock, which says what the manifest says.

        Raises:
            LockMismatch: it was made from something else, each difference named.
            ManifestError: there is no lock, or the file is none.
        """
        if self._checked_lock is None:
            path, lock = lock_path(self.manifest.source), read_lock(self.manifest)
            if lock is None:
                raise ManifestError(f"{path}: there is no lock; `sedas-sync lock` writes it")
            if said := mismatches(self.manifest, lock):
                raise LockMismatch([f"{path}: {difference}" for difference in said])
            self._checked_lock = lock
        return self._checked_lock

    def _lock_that_fits(self, warnings: list[str]) -> Lock | None:
        """The manifest's lock for a look; None, with a warning, where it says something else than the manifest.

        Raises:
            ManifestError: the file is no lock, or cannot be read.
        """
        if Path(self.manifest.source).suffix == ".lock":
            return None
        lock = read_lock(self.manifest)
        if lock is None or not (said := mismatches(self.manifest, lock)):
            return lock
        more = f", and {len(said) - 1} more" if len(said) > 1 else ""
        warnings.append(
            f"{lock_path(self.manifest.source)}: is left out of account, since the manifest says something else by now "
            f"({said[0]}{more}); `sedas-sync lock` brings it up to date"
        )
        return None

    def stamp(self, made: Made, scenes: int) -> None:
        """Remember that all of the lock is held, so that the next locked run is a matter of a look.

        Args:
            made: what the run was made from, read before it.
            scenes: of the lock.
        """
        now = made_from(made.manifest)
        if now is not None and now.digest == made.digest:
            with self.locked(), self._index(write=True) as (index, _):
                index.stamp(made.digest, scenes)

    def relock(self, plan: Plan, *, applied: bool = False, write: bool = True) -> Relocked:
        """Pin the scenes of a plan in the lock, with the digests of those that the mirror holds.

        A lock that says the same already is left as it is, whenever its relative dates were made absolute.

        Args:
            plan: of the whole manifest.
            applied: whether it was carried out, so that what it fetched is pinned with its digest.
            write: without it, only say what would change.

        Raises:
            SedasSyncError: the plan's search failed or stayed incomplete.
            ManifestError: the lock cannot be read or written.
        """
        if plan.failures or not plan.search_complete:
            raise SedasSyncError("the lock is left as it is, since the search failed or stayed incomplete")
        before = read_lock(self.manifest)
        with self._index(write=False) as (index, _):
            held = {holding.id: holding for holding in index.holdings()}
        head = head_of(self.manifest, self._clock())
        after = pinned(head, plan.actions, _intact(plan, held if applied else {}), before)
        said = () if before is None else differences(head, before.head)
        moved = changes(Lock(head=head, scenes={}) if before is None else before, after)
        news = before is None or bool(said or moved)
        if news and write:
            write_lock(self.manifest, after)
        return Relocked(
            path=str(lock_path(self.manifest.source)), lock=after, differences=said, changes=moved, news=news
        )

    @contextmanager
    def locked_if_there(self, *, timeout: float = 0.0) -> Iterator[None]:
        """Hold the mirror's lock where there is a mirror; where there is none, make none.

        Raises:
            MirrorLocked: another process is at work in this mirror.
        """
        if (self.root / STATE).is_dir():
            with self.locked(timeout=timeout):
                yield
        else:
            yield

    # -- saved plans -------------------------------------------------------------------------------------------------

    def save(self, plan: Plan, *, datasets: Iterable[str] = ()) -> SavedPlan:
        """A plan with what it was made from, to be written to a file.

        Args:
            plan: from `plan`.
            datasets: those that it was narrowed to.
        """
        return SavedPlan(
            head=head_of(self.manifest, self._clock()),
            mirror={"path": self.manifest.mirror.path, "layout": str(self.manifest.mirror.layout)},
            datasets=tuple(datasets),
            plan=plan,
        )

    def check_saved(self, saved: SavedPlan) -> None:
        """See to it that a saved plan was made from what the manifest says, and is not of a mirror that is gone.

        Raises:
            LockMismatch: the manifest or the mirror has moved on since; says how.
        """
        said = list(differences(head_of(self.manifest, None), saved.head, called="the plan"))
        said += [
            f"mirror.{key} is {now}, the plan has {saved.mirror.get(key)}"
            for key, now in (("path", self.manifest.mirror.path), ("layout", str(self.manifest.mirror.layout)))
            if saved.mirror.get(key) != now
        ]
        if said:
            raise LockMismatch([f"the manifest has moved on since the plan was made: {one}" for one in said])
        if not (self.root / STATE).is_dir():
            # Found out only when the mirror is locked, a refusal would leave an empty mirror behind.
            seen = self._survey(saved.wants, [])
            now = decide(saved.wants, seen.observed, {}, trust_digest=self._trust)
            if moved := drift(saved.plan, now, {}):
                raise LockMismatch([f"the mirror has moved on since the plan was made: {one}" for one in moved])

    def resume_plan(self, saved: SavedPlan, *, take_over: bool = False) -> Plan:
        """Make a saved plan ready to be applied: the same actions, with links that are valid now.

        One that was begun, and that nothing else came after, goes on where it stopped.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            LockMismatch: the manifest or the mirror has moved on since the plan was made; says how.
            ManifestError: the mirror belongs to another manifest.
        """
        with self._index(write=False) as (index, warnings):
            self._check_owner(index, take_over=take_over)
            holdings = {holding.id: holding for holding in index.holdings()}
            remembered = {order.id: order for order in index.orders()}
            last = index.last_run()
            begun = last is not None and last.command == saved.command
        self.check_saved(saved)
        look_up = LookUp(self.archive)

        def refresh(wants: Mapping[SceneId, Want], observed: Mapping[SceneId, Observed]) -> Mapping[SceneId, Want]:
            # Planning asks for orders and remembers nothing of the answers: the plan knows them better than the index.
            orders = remembered | {
                order.id: order
                for order in saved.orders
                if order.id in remembered and remembered[order.id].order == order.order
            }
            if not begun and (
                moved := drift(saved.plan, decide(wants, observed, orders, trust_digest=self._trust), holdings)
            ):
                raise LockMismatch([f"the mirror has moved on since the plan was made: {one}" for one in moved])
            return look_up.refresh(wants, observed)

        plan = self._plan(saved.wants, warnings, refresh=refresh)
        untouched = tuple(
            replace(action, held=holdings[action.id])
            for action in saved.plan.actions
            if action.want is None and action.id in holdings
        )
        return replace(
            plan,
            actions=plan.actions + untouched,
            search_complete=saved.plan.search_complete,
            failures=(*saved.plan.failures, *look_up.failures),
            warnings=(*plan.warnings, *look_up.warnings),
        )

    def forget_order(self, order: str) -> bool:
        """Forget an order, by its own id or by its scene's; says whether there was one."""
        with self.locked(), self._index(write=True) as (index, _):
            self._check_owner(index)
            found = [item for item in index.orders() if order in (item.order, item.id)]
            for item in found:
                index.drop_order(item.id)
            return bool(found)

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _narrowed(self, datasets: Iterable[str]) -> Manifest:
        names = tuple(datasets)
        if not names:
            return self.manifest
        unknown = [name for name in names if name not in self.manifest.datasets]
        if unknown:
            known = ", ".join(self.manifest.datasets)
            raise ManifestError(
                [f"there is no dataset {name!r} in {self.manifest.source}: it has {known}" for name in unknown]
            )
        chosen = {name: dataset for name, dataset in self.manifest.datasets.items() if name in names}
        return dataclasses.replace(self.manifest, datasets=chosen)

    @contextmanager
    def _index(self, *, write: bool) -> Iterator[tuple[Index, list[str]]]:
        """Open the index. A damaged one is said; when writing it is put aside and begun anew, else taken as empty."""
        warnings: list[str] = []
        try:
            index = Index(self.root, write=write)
            list(index.orders())
        except IndexDamagedError as error:
            file = self.root / STATE / "index.db"
            if not write:
                warnings.append(f"{error}{_WILL_REBUILD}")
                index = Index(self.root / STATE / "none", write=False)
            else:
                kept = _put_aside(file)
                warnings.append(f"{error}; it was put aside as {kept.name} and is rebuilt from the folder")
                index = Index(self.root, write=True)
        with index:
            yield index, warnings

    def _name_in_mirror(self) -> str:
        return Path(os.path.relpath(os.path.realpath(self.manifest.source), self.root)).as_posix()

    def _check_owner(self, index: Index, *, take_over: bool = False) -> None:
        owner, mine = index.owner(), self._name_in_mirror()
        if owner in (None, mine) or take_over:
            return
        first = Path(os.path.normpath(self.root / str(owner)))
        gone = "" if first.exists() else " (which is not there any more)"
        raise ManifestError(
            f"{self.root}: this mirror belongs to another manifest, {first}{gone}; "
            "give this manifest a folder of its own ([mirror] path), or take it over with `apply --take-over`"
        )

    @property
    def _filehash(self) -> dict[str, Filehash]:
        return {key: config.filehash for key, config in self.manifest.archives.items()}

    @property
    def _trust(self) -> bool:
        """Whether a digest that the catalogue changed means a changed scene."""
        return any(policy != "ignore" for policy in self._filehash.values())

    def _options(self, *, wait: bool, jobs: int | None) -> Options:
        transfer = self.manifest.transfer
        return Options(
            jobs=jobs or transfer.jobs,
            policy=Policy(
                retries=transfer.retries,
                connect_timeout=transfer.connect_timeout,
                stall_timeout=transfer.stall_timeout,
                segments=transfer.segments,
                integrity=transfer.integrity,
            ),
            max_rate=transfer.max_rate,
            order_timeout=transfer.order_timeout,
            max_orders=transfer.max_orders,
            wait=wait,
            filehash=self._filehash,
        )

    def _archive_facts(self) -> dict[str, str | None]:
        config = next(iter(self.manifest.archives.values()))
        return {"type": config.type, "url": config.url}

    def _poll(self, orders: Mapping[SceneId, Order], wants: Mapping[SceneId, Want], warnings: list[str]) -> list[Order]:
        """Ask once for the orders of scenes that are still wanted and still offline."""
        asked: dict[str, list[Order]] = {}
        for scene_id, order in orders.items():
            want = wants.get(scene_id)
            if want is not None and not want.scene.online and order.state is not OrderState.FAILED:
                asked.setdefault(want.archive, []).append(order)
        answers: list[Order] = []
        for key, items in asked.items():
            service = self.archive(key).orders
            if service is None:
                continue
            try:
                answers.extend(settled(order) for order in service.poll(items))
            except SedasSyncError as error:
                if error.exit_code != SedasSyncError.exit_code:
                    raise
                warnings.append(f"orders could not be asked for: {error}")
        return answers

    def _sizes(self, wants: list[Want]) -> dict[SceneId, int]:
        from sedas_sync.sizes import remote_sizes  # noqa: PLC0415  # asked for by one option only

        transfer = self.manifest.transfer
        return remote_sizes(
            ((want.scene.id, self.archive(want.archive).locate(want.scene)) for want in wants if want.scene.online),
            jobs=transfer.jobs,
            connect_timeout=transfer.connect_timeout,
            stall_timeout=transfer.stall_timeout,
        )


def _intact(plan: Plan, held: Mapping[SceneId, Holding]) -> dict[SceneId, Holding]:
    """The files whose bytes are the scenes' of a plan, before or after it was applied."""
    intact = {}
    for action in plan.actions:
        now = held.get(action.id)
        if action.kind in (Kind.KEEP, Kind.ADOPT) and action.held is not None:
            intact[action.id] = action.held
        elif now is not None and now != action.held:
            # It was put in place since the plan was made.
            intact[action.id] = now
    return intact


def _put_aside(file: Path) -> Path:
    number = 1
    while (kept := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        part = file.with_name(file.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
    return kept


def _no_file(name: str) -> "Polygonal":
    raise FileNotFoundError(name)


@dataclass(frozen=True, slots=True)
class Done:
    """A scene that is in its folder now."""

    scene: Scene
    path: Path


def fetch(
    scenes: Iterable[Scene],
    folder: str | os.PathLike[str],
    *,
    archive: Archive,
    jobs: int = 4,
    on_event: Listener = _ignore,
) -> Iterator[Done]:
    """Download scenes into a folder, ordering those in the long-term archive and waiting for them.

    Yields each scene once its file is complete, checked and in place, as they complete; scenes that the folder holds
    already come first and are not fetched again. The folder remembers orders and partial downloads, so that the same
    call goes on after an interruption.

    Args:
        scenes: from a search.
        folder: created where it is not there; files are named `<scene id>.zip`.
        archive: where the scenes come from.
        jobs: downloads at once.
        on_event: told of everything that happens.

    Raises:
        TransferError: some scenes failed; raised when all others are done, and names each with its last error.
        MirrorLocked: another process is at work in this folder.
    """
    root = Path(folder)
    manifest = parse(
        'version = 1\n[mirror]\npath = "."\n[dataset.scenes]\nproducts = ["-"]\n',
        source=str(root / "sedas_sync.fetch"),
        read_aoi=_no_file,
        types=TYPES,
    )
    by_id = {scene.id: scene for scene in scenes}
    with Mirror(manifest, archives={"archive": archive}) as mirror:
        plan = mirror.plan_for(by_id.values())
        for action in plan.actions:
            if action.kind.value == "keep":
                yield Done(by_id[action.id], mirror.root / action.path)
        failures: list[str] = []
        for event in mirror.run(plan, jobs=jobs):
            on_event(event)
            if isinstance(event, Fetched | Adopted):
                yield Done(by_id[event.id], mirror.root / event.path)
            elif isinstance(event, Failed):
                failures.append(f"{event.id}: {event.error}")
    if failures:
        raise TransferError(f"{len(failures)} of {len(by_id)} scenes failed:\n" + "\n".join(failures))
