"""Planning: from a manifest, what its archives offer and what its folder holds to a plan. Changes nothing."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sedas_sync.archives.lookup import UNKNOWN, SceneLookup, archives_of, desired_by_lock
from sedas_sync.archives.pool import ArchivePool
from sedas_sync.archives.remote_sizes import RemoteSizes
from sedas_sync.archives.search import DatasetSearch, search
from sedas_sync.errors import LockMismatch, ManifestError, SedasSyncError
from sedas_sync.files.integrity import Filehash
from sedas_sync.files.safe_tree import STATE
from sedas_sync.manifest import Manifest
from sedas_sync.model.assets import each_file
from sedas_sync.model.disk import DiskState, FileState
from sedas_sync.model.events import Event, Failure, Searched, Step
from sedas_sync.model.metadata import scene_from_metadata
from sedas_sync.model.plan import TRANSFERS, Action, ActionKind, Plan
from sedas_sync.model.scene import DesiredScene, LocalScene, Order, OrderState, Scene, SceneId, Source
from sedas_sync.model.text import size
from sedas_sync.operations.lock import LockFiles
from sedas_sync.planning import limits, prune
from sedas_sync.planning.compare import choose_actions, differ_in_form, restated, with_lost_as_failed
from sedas_sync.planning.explain import NOT_FOUND, Explanation, Pruning
from sedas_sync.planning.lock import Lock, differences, head_of
from sedas_sync.planning.saved_plan import SavedPlan, drift
from sedas_sync.planning.select import Refusal, Selection, extension_of, refusal, select
from sedas_sync.planning.sources import rank_sources, unique_sources, with_sources
from sedas_sync.state.inspect import Inspection, inspect_mirror, is_folder_of, reprove, state_of
from sedas_sync.state.mirror_state import MirrorState
from sedas_sync.state.staging import bytes_downloaded, partial_path, unwanted_downloads

if TYPE_CHECKING:
    from sedas_sync.operations.verify import VerifiedFile, VerifyReport

Listener = Callable[[Event], None]
Refresh = Callable[[Mapping[SceneId, DesiredScene], Mapping[SceneId, DiskState]], Mapping[SceneId, DesiredScene]]

_ANEW = "plan again, and apply what comes out"
_NOT_ALL = "the saved plan leaves out removals that were refused when it was made; make it anew once that is settled"
_CLOCKS_APART = timedelta(hours=1)


def ignore(_event: Event) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What the archives offer, after the manifest's rules."""

    wants: Mapping[SceneId, DesiredScene]
    offers: Mapping[str, DatasetSearch]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...]
    chosen: Selection

    @property
    def complete(self) -> bool:
        """Whether every dataset's search was shown to have found every match."""
        return all(offer.complete for offer in self.offers.values())

    @property
    def scenes(self) -> tuple[Scene, ...]:
        """The scenes admitted, oldest first."""
        found = (want.scene for want in self.wants.values())
        return tuple(sorted(found, key=lambda s: ("" if s.start is None else s.start.isoformat(), s.id)))


def filehash_of(manifest: Manifest) -> dict[str, Filehash]:
    """For each archive's key, what a scene is worth that differs from the catalogue's digest."""
    return {key: config.filehash for key, config in manifest.archives.items()}


def archive_facts(manifest: Manifest) -> dict[str, str | None]:
    """Type and URL of a manifest's first archive."""
    config = next(iter(manifest.archives.values()))
    return {"type": config.type, "url": config.url}


def all_archive_facts(manifest: Manifest) -> dict[str, dict[str, str | None]]:
    """Type and URL of each archive by its key, where a manifest has several."""
    if len(manifest.archives) == 1:
        return {}
    return {key: {"type": config.type, "url": config.url} for key, config in manifest.archives.items()}


class Planner:
    """Makes plans for one mirror.

    Args:
        manifest: what the mirror shall hold.
        home: its folder.
        archives: opens the manifest's archives.
        pins: the manifest's lock.
        clock: gives the present instant, UTC.
    """

    def __init__(
        self,
        manifest: Manifest,
        home: MirrorState,
        archives: ArchivePool,
        pins: LockFiles,
        clock: Callable[[], datetime],
    ) -> None:
        self._manifest = manifest
        self._home = home
        self._archives = archives
        self._pins = pins
        self._clock = clock
        self.lengths = RemoteSizes(archives.__getitem__, manifest.transfer, lambda: home.on_step)

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
        manifest = self._narrowed(datasets)
        now = self._clock()
        offers = search(manifest, self._archives.of(manifest), now, on_found=on_found)
        self._home.on_step(Step("choosing scenes", sum(len(offer.scenes) for offer in offers.values())))
        chosen = select(
            manifest,
            {name: offer.scenes.values() for name, offer in offers.items()},
            now,
            places={name: offer.places for name, offer in offers.items()},
            explain=explain,
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
        datasets = tuple(datasets)
        self.check_choice(datasets, prune=prune)
        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index, take_over=take_over)
        if locked:
            plan = self._plan_locked(datasets, warnings, sizes=sizes)
            return self._with_prunes_of_lock(plan, self._pins.checked()) if prune else plan
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
            return limits.without_prunes(plan, "nothing is removed: the search failed or stayed incomplete")
        doubt = self._doubt()
        judged = prune.keep_until_superseded(self._judged(found, doubt), plan.actions)
        removals, changed = _without_changed(self._home.root, judged.prune)
        vouched = {action.id for action in judged.keep}
        if doubt is None:
            plan = _with_unwanted_downloads(plan, self._home.root, (want.scene for want in found.wants.values()))
        return replace(
            plan,
            actions=(*plan.actions, *judged.keep, *judged.stay, *removals),
            failures=tuple(failure for failure in plan.failures if failure.id not in vouched),
            warnings=(*plan.warnings, *judged.warnings, *prune.warn_of_lost(judged.keep), *changed),
            refused=plan.refused or judged.doubted,
        )

    def _doubt(self) -> str | None:
        """Why this machine's clock may be wrong, where the manifest has a relative date; None where nothing says so."""
        if not any(dataset.relative for dataset in self._manifest.datasets.values()):
            return None
        now = self._clock()
        clocks = self._archives.server_times
        for key, time in clocks.items():
            if abs(time - now) > _CLOCKS_APART:
                return f"this machine's clock shows {_second(now)}, that of archive {key} {_second(time)}"
        with self._home.index(write=False) as (index, _):
            run = index.last_run()
            # An older run counts too, since a clock that is wrong for long has dated the last one as well; not where an
            # archive's clock agrees, since then it was that run whose clock was wrong.
            last = (
                index.last_time() if not clocks else None if run is None else max(run.started, run.ended or run.started)
            )
        if last is not None and now < last:
            return f"this machine's clock shows {_second(now)}, and a run of this mirror was at {_second(last)}"
        return None

    def _judged(self, found: SearchResult, doubt: str | None) -> prune.PruneDecision:
        """What the rules say of held files that a complete search gave no reason to want."""
        with self._home.index(write=False) as (index, _):
            unwanted = [held for held in index.holdings() if held.id not in found.wants]
        offered: dict[SceneId, Scene] = {}
        for held in unwanted:
            scenes = (offer.scenes[held.id] for offer in found.offers.values() if held.id in offer.scenes)
            offered.update((scene.id, scene) for scene in scenes)
        return prune.judge(self._manifest, found.wants, offered, unwanted, self._clock(), wrong_clock=doubt)

    def _with_prunes_of_lock(self, plan: Plan, lock: Lock) -> Plan:
        if not plan.search_complete:
            return limits.without_prunes(plan, "nothing is removed: not every scene of the lock could be looked up")
        with self._home.index(write=False) as (index, _):
            unwanted = [held for held in index.holdings() if held.id not in lock.scenes]
        wants = {action.id: action.want for action in plan.actions if action.want is not None}
        look_up = SceneLookup(self._archives.__getitem__, self._manifest)
        if unwanted and any(dataset.relative for dataset in self._manifest.datasets.values()):
            # Whoever is to judge by the clock has to hear the archives' clocks first.
            everywhere = archives_of(self._manifest, self._manifest.datasets)
            look_up.ask(dict.fromkeys((held.id for held in unwanted), everywhere))
        judged = prune.judge(self._manifest, wants, {}, unwanted, self._clock(), wrong_clock=self._doubt())
        keys = {action.id: archives_of(self._manifest, action.datasets) for action in judged.keep}
        look_up.ask(keys)
        judged = prune.judge_by_lock(judged, {failure.id: failure.error for failure in look_up.failures}, wants)
        judged = prune.keep_until_superseded(judged, plan.actions)
        removals, changed = _without_changed(self._home.root, judged.prune)
        return replace(
            plan,
            actions=(*plan.actions, *judged.stay, *removals),
            warnings=(*plan.warnings, *judged.warnings, *changed),
            refused=plan.refused or judged.doubted,
        )

    def plan_for(self, scenes: Iterable[Scene]) -> Plan:
        """Work out what apply would do for just these scenes, whatever the manifest's datasets say."""
        dataset = next(iter(self._manifest.datasets))
        key = next(iter(self._manifest.archives))
        layout = self._manifest.mirror.layout
        wants = {
            scene.id: DesiredScene(
                scene=scene,
                datasets=(dataset,),
                archive=key,
                path=layout.path(scene, dataset=dataset, archive=key, extension=extension_of(scene)),
            )
            for scene in scenes
        }
        return self._plan(wants, [])

    def _plan_locked(self, datasets: Iterable[str], warnings: list[str], *, sizes: bool) -> Plan:
        manifest, lock = self._narrowed(datasets), self._pins.checked()
        with self._home.index(write=False) as (index, _):
            held = {holding.id: holding for holding in index.holdings() if holding.id in lock.scenes}
        look_up = SceneLookup(self._archives.__getitem__, self._manifest)
        self._home.on_step(Step("looking up the lock's scenes", len(lock.scenes)))
        wants = desired_by_lock(manifest, lock, held, look_up)
        plan = self._plan(wants, warnings, sizes=sizes, refresh=look_up.refresh, holdings=held.values())
        return replace(
            plan,
            search_complete=not look_up.failures,
            failures=tuple(look_up.failures),
            warnings=(*plan.warnings, *look_up.warnings),
        )

    def _plan(
        self,
        wants: Mapping[SceneId, DesiredScene],
        warnings: list[str],
        *,
        sizes: bool = False,
        refresh: Refresh | None = None,
        holdings: Iterable[LocalScene] | None = None,
        saved: Plan | None = None,
    ) -> Plan:
        with self._home.index(write=False) as (index, said):
            self._home.on_step(Step("looking at the mirror", len(wants)))
            holdings = list(index.holdings_of(wants) if holdings is None else holdings)
            wants = self._with_lengths(wants, holdings)
            seen = self._survey(wants, holdings)
            identities = {**({} if saved is None else saved.identities), **self._archives.identities}
            if self._trust:
                anew = restated(wants, seen.observed, identities=identities, several=self._several)
                reprove(str(self._home.root), seen, anew, self._home.on_step)
            held = index.count()
            orders = {order.id: order for order in index.orders()}
            warnings.extend(warning for warning in said if warning not in warnings)
        if refresh is not None:
            wants = refresh(wants, seen.observed)
        wants = self._where_ordered(wants, orders)
        unlike: AbstractSet[SceneId] | None = None
        if saved is not None:
            unlike = _of_either_kind(saved)
        elif refresh is None:
            # A lock says what there was, not what the archive gives.
            staying = self._unlike(wants, seen)
            unlike, wants = staying.keys(), {**wants, **staying}
        polled = self._poll(orders, wants, warnings)
        orders.update((order.id, order) for order in polled)
        self._home.on_step(Step("comparing", len(wants)))
        identities = {**({} if saved is None else saved.identities), **self._archives.identities}
        actions = choose_actions(
            wants,
            seen.observed,
            orders,
            trust_digest=self._trust,
            identities=identities,
            several=self._several,
            unlike=unlike,
        )
        if sizes:
            asked = [a.want for a in actions if a.want is not None and a.kind in TRANSFERS and a.size is None]
            known = self._sizes(asked)
            actions = tuple(replace(a, size=known.get(a.id)) if a.size is None else a for a in actions)
        warnings.extend(limits.warn_of_replacements(actions, held))
        return Plan(
            manifest=self._manifest.source,
            mirror=str(self._home.root),
            archive=archive_facts(self._manifest),
            archives=all_archive_facts(self._manifest),
            actions=actions,
            warnings=(*warnings, *seen.warnings),
            refreshed=tuple(seen.refreshed),
            polled=tuple(polled),
            identities=identities,
        )

    @property
    def _several(self) -> bool:
        return len(self._manifest.archives) > 1

    def _decide_again(
        self,
        saved: Plan,
        wants: Mapping[SceneId, DesiredScene],
        observed: Mapping[SceneId, DiskState],
        orders: Mapping[SceneId, Order],
    ) -> tuple[Action, ...]:
        """What a saved plan would be now, were its scenes in the archives as they were then."""
        return choose_actions(
            wants,
            observed,
            orders,
            trust_digest=self._trust,
            identities=saved.identities,
            several=self._several,
            unlike=_of_either_kind(saved),
        )

    def _unlike(self, wants: Mapping[SceneId, DesiredScene], seen: Inspection) -> dict[SceneId, DesiredScene]:
        """Let be the folders, or files, of scenes that another archive of the same dataset gave, at paths of their own.

        Which archive describes a scene may change from day to day with which of them can be asked.
        """
        if not self._several:
            return {}
        stay = {}
        identities = self._archives.identities
        for scene_id, here in seen.observed.items():
            want, held = wants.get(scene_id), here.held
            if want is None or held is None or not here.tracked or here.state is not FileState.INTACT:
                continue
            givers = {identities.get(key) for name in want.datasets for key in self._manifest.datasets[name].archive}
            if differ_in_form(held, want) and held.archive in givers:
                stem = want.path.removesuffix(extension_of(want.scene))
                stay[scene_id] = replace(want, path=stem if held.files else f"{stem}.zip")
        return stay

    def _with_lengths(
        self, wants: Mapping[SceneId, DesiredScene], holdings: Iterable[LocalScene]
    ) -> Mapping[SceneId, DesiredScene]:
        """Have it known how long the files of folders should be that stand here and that the index does not know."""
        held = {holding.id for holding in holdings}
        strangers = [want for key, want in wants.items() if key not in held and is_folder_of(self._home.root, want)]
        return {**wants, **self.lengths.added(strangers)} if strangers else wants

    def _survey(self, wants: Mapping[SceneId, DesiredScene], holdings: Iterable[LocalScene]) -> Inspection:
        return inspect_mirror(
            self._home.root,
            wants,
            holdings,
            level=self._manifest.transfer.integrity,
            filehash=filehash_of(self._manifest),
            partial_path=lambda want: partial_path(want.scene),
            on_step=self._home.on_step,
        )

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
        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index)
            held = next((item for item in index.holdings() if item.id == scene_id), None)
            order = next((item for item in index.orders() if item.id == scene_id), None)
            last_error = index.last_errors().get(scene_id)
        found = self.search(on_event=on_event, on_found=on_found, explain=True)
        scene = next((offer.scenes[scene_id] for offer in found.offers.values() if scene_id in offer.scenes), None)
        scene = scene or self._looked_up(scene_id)
        listed = scene is not None
        if scene is None and held is not None:
            scene = scene_from_metadata(held.facts)
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
            places=self._places(scene_id, want, found),
            held_from=self._giver(held),
            pruning=None if held is None or want is not None else self._pruning(held, found),
            warnings=tuple(warnings),
        )

    def _places(self, scene_id: SceneId, want: DesiredScene | None, found: SearchResult) -> tuple[Source, ...]:
        if len(self._manifest.archives) == 1:
            return ()
        listed = unique_sources(offer.places.get(scene_id, ()) for offer in found.offers.values())
        alone = () if want is None else (Source(archive=want.archive, scene=want.scene),)
        return rank_sources(listed or alone)

    def _giver(self, held: LocalScene | None) -> str | None:
        if held is None or len(self._manifest.archives) == 1:
            return None
        return next((key for key, name in self._archives.identities.items() if name == held.archive), None)

    def _pruning(self, held: LocalScene, found: SearchResult) -> Pruning:
        """What `apply --prune` would do with a file that no dataset wants."""
        if not found.complete:
            return Pruning(removes=False, reason="nothing is removed after a search that failed or stayed incomplete")
        judged = self._judged(found, self._doubt())
        newer = {
            i: found.wants[i]
            for action in judged.prune
            if action.id == held.id
            for i in action.after
            if i in found.wants
        }
        judged = prune.keep_until_superseded(judged, self._plan(newer, []).actions)
        removals, changed = _without_changed(
            self._home.root, (action for action in judged.prune if action.id == held.id)
        )
        for action in removals:
            return Pruning(removes=True, reason=action.reason)
        kept = (action.reason for action in (*judged.keep, *judged.stay) if action.id == held.id)
        doubts = (warning for warning in (*changed, *judged.warnings) if warning.startswith(f"{held.path}: "))
        return Pruning(removes=False, reason=next(iter((*kept, *doubts)), "it is kept"))

    def _looked_up(self, scene_id: SceneId) -> Scene | None:
        try:
            scene_id.encode()
        except UnicodeEncodeError:
            # Half a surrogate pair stands for a byte that was no text: no archive can be asked for that.
            return None
        for archive in self._archives.of(self._manifest).values():
            for scene in archive.look_up([scene_id], warn=lambda _: None):
                return scene
        return None

    def _verdicts(self, scene: Scene, found: SearchResult) -> dict[str, Refusal | None]:
        """What each dataset makes of a scene, by its set as a whole where its search gave the scene."""
        want = found.wants.get(scene.id)
        verdicts: dict[str, Refusal | None] = {}
        for name, dataset in self._manifest.datasets.items():
            if want is not None and name in want.datasets:
                verdicts[name] = None
                continue
            why = found.chosen.refused.get(scene.id, {}).get(name)
            why = why or refusal(dataset, self._manifest.aois, scene, self._clock())
            missed = "catalogue's search did not give it"
            if not found.offers[name].complete:
                missed = "search failed or stayed incomplete"
            verdicts[name] = why or Refusal(NOT_FOUND, f"it fits the rules, but the {missed}")
        return verdicts

    def check_saved(self, saved: SavedPlan) -> None:
        """See to it that a saved plan was made from what the manifest says, and is not of a mirror that is gone.

        Raises:
            LockMismatch: the manifest or the mirror has moved on since; says how.
        """
        said = list(differences(head_of(self._manifest, None), saved.head, called="the plan"))
        said += [
            f"mirror.{key} is {now}, the plan has {saved.mirror.get(key)}"
            for key, now in (("path", self._manifest.mirror.path), ("layout", str(self._manifest.mirror.layout)))
            if saved.mirror.get(key) != now
        ]
        if said:
            raise LockMismatch(
                [f"the manifest has moved on since the plan was made: {one}" for one in said], hint=_ANEW
            )
        if not (self._home.root / STATE).is_dir():
            # Found out only when the mirror is locked, a refusal would leave an empty mirror behind.
            seen = self._survey(saved.wants, [])
            now = self._decide_again(saved.plan, saved.wants, seen.observed, {})
            if moved := drift(saved.plan, now, {}):
                raise LockMismatch(
                    [f"the mirror has moved on since the plan was made: {one}" for one in moved], hint=_ANEW
                )

    def resume_plan(self, saved: SavedPlan, *, take_over: bool = False) -> Plan:
        """Make a saved plan ready to be applied: the same actions, with links that are valid now.

        One that was begun, and that nothing else came after, goes on where it stopped.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
            LockMismatch: the manifest or the mirror has moved on since the plan was made; says how.
            ManifestError: the mirror belongs to another manifest.
        """
        with self._home.index(write=False) as (index, warnings):
            self._home.check_owner(index, take_over=take_over)
            holdings = {holding.id: holding for holding in index.holdings()}
            remembered = {order.id: order for order in index.orders()}
            last = index.last_run()
            begun = last is not None and last.command == saved.command
        self.check_saved(saved)
        look_up = SceneLookup(self._archives.__getitem__, self._manifest)

        def refresh(
            wants: Mapping[SceneId, DesiredScene], observed: Mapping[SceneId, DiskState]
        ) -> Mapping[SceneId, DesiredScene]:
            # Planning asks for orders and remembers nothing of the answers: the plan knows them better than the index.
            orders = remembered | {
                order.id: order
                for order in saved.orders
                if order.id in remembered and remembered[order.id].order == order.order
            }
            if not begun and (
                moved := drift(saved.plan, self._decide_again(saved.plan, wants, observed, orders), holdings)
            ):
                raise LockMismatch(
                    [f"the mirror has moved on since the plan was made: {one}" for one in moved], hint=_ANEW
                )
            return look_up.refresh(wants, observed)

        plan = self._plan(saved.wants, warnings, refresh=refresh, saved=saved.plan)
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
            warnings=(*plan.warnings, *look_up.warnings, *([_NOT_ALL] if saved.plan.refused else ())),
            refused=plan.refused or saved.plan.refused,
        )

    def repair_plan(self, report: "VerifyReport") -> Plan:
        """Work out how to fetch anew what `verify` found missing, changed or corrupt.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
        """
        from sedas_sync.operations.verify import observed  # noqa: PLC0415  # one command needs it

        bad = {item.id: item for item in report.bad if item.id is not None}
        warnings: list[str] = []
        wants: dict[SceneId, DesiredScene] = {}
        with self._home.index(write=False) as (index, _):
            wanted = index.wanted()
            orders = {order.id: order for order in index.orders() if order.id in bad}
            held = {holding.id: holding for holding in index.holdings() if holding.id in bad}
        if report.lock is not None and (lock := self._pins.lock_that_fits(warnings)) is not None:
            wanted = {
                name: tuple(i for i in bad if i in lock.scenes and name in lock.scenes[i].datasets)
                for name in self._manifest.datasets
            }
        takers: dict[SceneId, list[str]] = {}
        for name, ids in wanted.items():
            for scene_id in ids:
                if scene_id in bad:
                    takers.setdefault(scene_id, []).append(name)
        look_up = SceneLookup(self._archives.__getitem__, self._manifest)
        everywhere = archives_of(self._manifest, self._manifest.datasets)
        self._home.on_step(Step("looking up scenes", len(bad)))
        look_up.ask(dict.fromkeys(bad, everywhere))
        for scene_id, item in bad.items():
            if (scene := look_up.found(scene_id)) is not None:
                want = self._repair_want(replace(scene, id=scene_id), everywhere[0], takers.get(scene_id, ()), item)
                wants[scene_id] = look_up.placed(want)
        why = "the archive does not know it any more; what is here of it stays as it is"
        failures = [
            replace(failure, error=why if failure.error == UNKNOWN else failure.error) for failure in look_up.failures
        ]
        warnings.extend(look_up.warnings)
        polled = self._poll(orders, wants, warnings)
        orders.update((order.id, order) for order in polled)
        partials = {}
        for scene_id, want in wants.items():
            partials[scene_id] = bytes_downloaded(str(self._home.root), partial_path(want.scene))
        return Plan(
            manifest=self._manifest.source,
            mirror=str(self._home.root),
            archive=archive_facts(self._manifest),
            archives=all_archive_facts(self._manifest),
            actions=choose_actions(wants, observed(report, held, partials), orders),
            failures=tuple(failures),
            warnings=tuple(warnings),
            polled=tuple(polled),
        )

    def _repair_want(self, scene: Scene, key: str, takers: Iterable[str], found: "VerifiedFile") -> DesiredScene:
        datasets = tuple(takers)
        path = found.scene_path
        if not path:
            first = next(iter(datasets or self._manifest.datasets))
            path = self._manifest.mirror.layout.path(scene, dataset=first, archive=key, extension=extension_of(scene))
        demand = found.demand
        return DesiredScene(
            scene=scene,
            datasets=datasets,
            archive=key,
            path=path,
            sha256=None if demand is None else demand.sha256,
            pinned={} if demand is None else {f.name: f.sha256 for f in demand.files if f.sha256 is not None},
        )

    def _narrowed(self, datasets: Iterable[str]) -> Manifest:
        names = tuple(datasets)
        if not names:
            return self._manifest
        unknown = [name for name in names if name not in self._manifest.datasets]
        if unknown:
            known = ", ".join(self._manifest.datasets)
            raise ManifestError(
                [f"there is no dataset {name!r} in {self._manifest.source}: it has {known}" for name in unknown]
            )
        chosen = {name: dataset for name, dataset in self._manifest.datasets.items() if name in names}
        return dataclasses.replace(self._manifest, datasets=chosen)

    @property
    def _trust(self) -> bool:
        """Whether a digest that the catalogue changed means a changed scene."""
        return any(policy != "ignore" for policy in filehash_of(self._manifest).values())

    def _where_ordered(
        self, wants: Mapping[SceneId, DesiredScene], orders: Mapping[SceneId, Order]
    ) -> Mapping[SceneId, DesiredScene]:
        """Prefer, of several archives that have a scene offline, the one that has an order of it."""
        keys = {identity: key for key, identity in self._archives.identities.items()}
        moved = {}
        for scene_id, order in orders.items():
            want = wants.get(scene_id)
            if want is not None and want.places and order.state is not OrderState.FAILED:
                moved[scene_id] = with_sources(want, want.places, keys.get(order.archive))
        return {**wants, **moved} if moved else wants

    def _poll(
        self, orders: Mapping[SceneId, Order], wants: Mapping[SceneId, DesiredScene], warnings: list[str]
    ) -> list[Order]:
        """Ask once for the orders of scenes that are still wanted and still offline."""
        asked: dict[str, list[Order]] = {}
        for scene_id, order in orders.items():
            want = wants.get(scene_id)
            if want is not None and not want.scene.online and order.state is not OrderState.FAILED:
                asked.setdefault(want.archive, []).append(order)
        answers: list[Order] = []
        for key, items in asked.items():
            service = self._archives[key].orders
            if service is None:
                continue
            self._home.on_step(Step("asking for orders", len(items), unit="order"))
            try:
                answers.extend(with_lost_as_failed(order) for order in service.poll(items))
            except SedasSyncError as error:
                # Credentials that are taken, and may not do this one deed, stop nothing else either.
                if error.exit_code != SedasSyncError.exit_code and not getattr(error, "forbidden", False):
                    raise
                warnings.append(f"orders could not be asked for: {error}")
        return answers

    def _sizes(self, wants: list[DesiredScene]) -> dict[SceneId, int]:
        files = {
            (want.scene.id, number): (want.archive, file)
            for want in wants
            if want.scene.online
            for number, file in enumerate(each_file(want.places[0].scene if want.places else want.scene))
        }
        known = self.lengths.ask({key: one for key, one in files.items() if one[1].size is None})
        sizes: dict[SceneId, int] = {}
        lacking: set[SceneId] = set()
        for key, (_, file) in files.items():
            size = file.size if file.size is not None else known.get(key)
            if size is None:
                lacking.add(key[0])
            else:
                sizes[key[0]] = sizes.get(key[0], 0) + size
        return {scene_id: size for scene_id, size in sizes.items() if scene_id not in lacking}


def _second(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _of_either_kind(saved: Plan) -> AbstractSet[SceneId]:
    """The scenes of a saved plan that it leaves as the folder, or the file, that they are."""
    return {action.id for action in saved.actions if action.kind is not ActionKind.REPLACE}


def _with_unwanted_downloads(plan: Plan, root: Path, wanted: Iterable[Scene]) -> Plan:
    """Return the plan with the removal of partial downloads of scenes that are no longer wanted, and a warning."""
    found, bytes_ = unwanted_downloads(str(root), wanted)
    if not found:
        return plan
    what = "1 download" if len(found) == 1 else f"{len(found)} downloads"
    warning = f"{what} under way, {size(bytes_)}, of scenes that are not wanted any more will be removed"
    return replace(plan, unwanted_downloads=found, warnings=(*plan.warnings, warning))


def _without_changed(root: Path, removals: Iterable[Action]) -> tuple[list[Action], list[str]]:
    """Leave out removals of files that a user has changed; returns the others, and warnings of the changed ones."""
    ours: list[Action] = []
    warnings: list[str] = []
    for action in removals:
        try:
            if action.held is not None and state_of(str(root), action.held) is FileState.DAMAGED:
                warnings.append(f"{action.path}: is no longer wanted, but has been changed since it was fetched; kept")
                continue
        except (OSError, SedasSyncError) as error:
            warnings.append(f"{action.path}: is no longer wanted, but cannot be looked at; kept: {error}")
            continue
        ours.append(action)
    return ours, warnings
