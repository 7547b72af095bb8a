"""Carry out plans of one mirror."""

from collections.abc import Generator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from datetime import datetime

from msgspec.structs import replace

from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.manifest import Dataset, Manifest
from sedas_sync.model.events import Adopted, Event, Failure, Fetched, Summary
from sedas_sync.model.local import NO_FACTS, LocalScene
from sedas_sync.model.metadata import metadata_of
from sedas_sync.model.plan import NEEDS_ARCHIVE, ActionKind, Plan
from sedas_sync.model.results import VerifyReport
from sedas_sync.model.scene import SceneId
from sedas_sync.operations.apply.options import RunOptions
from sedas_sync.operations.apply.run import Run
from sedas_sync.operations.apply.searches import record_search
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.log import log_event
from sedas_sync.operations.plan import plan_repair, with_links, without_what_is_done
from sedas_sync.operations.recheck import forget_earlier_searches, unfinished_scenes
from sedas_sync.planning.limits import PruneLimit, check_download, limit_prunes, limit_replacements
from sedas_sync.planning.lock import hashes_of_rules
from sedas_sync.state.history import (
    CompleteSearch,
    DateRule,
    begin_run,
    date_rules,
    end_run,
    put_complete_searches,
    put_date_rules,
)
from sedas_sync.state.index import WritableIndex


def _nobody(_count: int, _held: int) -> None:
    """Nobody can be asked."""


class PlanRunner:
    """Carries out plans, one at a time.

    Args:
        context: The mirror.
    """

    def __init__(self, context: MirrorContext) -> None:
        self._context = context
        self._number: int | None = None
        """The number of the run in the index, until its end is recorded."""

    @contextmanager
    def recording(self, command: str) -> Iterator[None]:
        """Record an error that ends the planning or the carrying out of a plan.

        So `history` has the runs too that could not log in or search.

        Args:
            command: What the index stores for the run.
        """
        self._number, started = None, self._context.clock()
        try:
            yield
        except SedasSyncError as error:
            # The error itself is what the user has to see.
            with suppress(SedasSyncError, OSError):
                if not isinstance(error, ManifestError) or self._is_owned():
                    self._record(error, command, started)
            raise

    def _is_owned(self) -> bool:
        """Return whether the mirror belongs to a manifest. A mistake of the user leaves no trace in one that is new."""
        with self._context.state.index(write=False) as index:
            return index.owner() is not None

    def _record(self, error: SedasSyncError, command: str, started: datetime) -> None:
        state, now = self._context.state, self._context.clock()
        failure = Failure(id=command, error=str(error))
        calls = self._context.archives.take_calls()
        summary = Summary(time=now, failed=1, failures=(failure,), exit_code=error.exit_code, calls=calls)
        with state.locked(), state.index(write=True) as index:
            state.check_owner(index)
            number = begin_run(index, command, started) if self._number is None else self._number
            end_run(index, number, now, error.exit_code, summary.to_json())

    def run(self, plan: Plan, options: RunOptions) -> Generator[Event]:
        """Carry out a plan of the manifest; the mirror's process lock is held."""
        confirm, confirm_replacing = options.get("confirm", _nobody), options.get("confirm_replacing", _nobody)
        max_prune = PruneLimit.parse(options.get("max_prune"))
        context = self._context
        plan = without_what_is_done(context, plan)
        forget_earlier_searches(context, plan)
        unfinished = unfinished_scenes(plan)
        limit = options.get("max_download")
        check_download(plan, context.manifest.transfer.max_download if limit is None else limit)
        plan = with_links(context, plan)
        with context.state.index(write=True) as index:
            context.state.check_owner(index, take_over=options.get("take_over", False))
            on_disk = index.count()
            plan = limit_prunes(plan, max_prune, on_disk, confirm)
            plan = limit_replacements(plan, on_disk, confirm_replacing)
            index.skip_when_full = True
            if index.warnings:
                # The index may have been rebuilt since the plan was made, or just now.
                index.put_files(_kept_files(plan, index.ids()), context.clock())
            if plan.actions:
                # A mistyped manifest that finds nothing does not take an empty folder.
                context.state.own(index)
            index.put_unpacks(unpack=context.manifest.mirror.unpack)
            rules = hashes_of_rules(context.manifest)
            _record_wanted(index, plan, context.manifest.datasets)
            _record_metadata(index, plan, context.manifest.datasets)
            if not plan.datasets:
                index.put_locked(locked=plan.locked)
            _record_errors(index, plan, context.manifest.datasets)
            if plan.search_complete and not plan.datasets:
                same = _record_rules(index, context.manifest, plan, rules, context.clock())
                if not plan.locked:
                    record_search(index, plan, same, context.clock())
            try:
                for event in self._carry_out(plan, index, options):
                    if isinstance(event, Fetched | Adopted):
                        for ids in unfinished.values():
                            ids.discard(event.id)
                    elif isinstance(event, Summary):
                        _record_searches(index, plan, rules, {name for name, ids in unfinished.items() if ids})
                    yield event
            finally:
                _record_absent(index, plan)

    def repair(self, report: VerifyReport, *, wait: bool, jobs: int | None) -> Generator[Event]:
        """Download what `verify` found missing, changed or corrupt; the mirror's lock is held."""
        context = self._context
        plan = plan_repair(context, report)
        with context.state.index(write=True) as index:
            context.state.check_owner(index)
            index.skip_when_full = True
            context.state.own(index)
            options: RunOptions = {"command": "verify --repair", "wait": wait, "jobs": jobs}
            yield from self._carry_out(plan, index, options)

    def _carry_out(self, plan: Plan, index: WritableIndex, options: RunOptions) -> Generator[Event]:
        context, now = self._context, self._context.clock
        earlier = plan.warnings
        if warnings := tuple(index.warnings):
            outdated = self._context.state.outdated_warnings.union(warnings)
            earlier = tuple(warning for warning in earlier if warning not in outdated)
        keys = {
            source.archive
            for action in plan.of(NEEDS_ARCHIVE)
            if action.wanted is not None
            for source in action.wanted.sources
        }
        run = Run(
            replace(plan, warnings=(*earlier, *warnings)),
            context,
            archives={key: context.archives[key] for key in sorted(keys)},
            index=index,
            options=options,
        )
        context.stop_run = run.stop
        if context.stopped_with is not None:
            run.stop()
        try:
            run.prepare()
            command, doubt = options.get("command", "apply"), run.clock_doubt
            number = self._number = begin_run(index, command, now(), clock_doubt=doubt)
            for event in run.events():
                if isinstance(event, Summary):
                    event = options["finish"](event) if "finish" in options else event  # noqa: PLW2901
                    end_run(index, number, now(), event.exit_code, event.to_json())
                    self._number = None
                log_event(event)
                yield event
        finally:
            context.stop_run = None


def _record_wanted(index: WritableIndex, plan: Plan, datasets: Mapping[str, Dataset]) -> None:
    """Write the scenes that each dataset wants to the index, for `status` and `recheck`."""
    names = plan.datasets or tuple(datasets)
    wanted: dict[str, list[SceneId]] = {name: [] for name in names}
    for action in plan.actions:
        # A file that is kept although the catalogue no longer lists its scene has no desired scene.
        skipped = action.wanted is None or (action.kind is ActionKind.SKIP and not action.is_unreadable)
        for name in () if skipped else action.datasets:
            if name in wanted:
                wanted[name].append(action.id)
    # After an incomplete search, scenes that matched before are still recorded as matching.
    failed_datasets = {failure.id for failure in plan.failures} & set(names)
    before = index.wanted() if failed_datasets else {}
    for name in failed_datasets:
        wanted[name] = list(dict.fromkeys((*wanted[name], *before.get(name, ()))))
        if not wanted[name] and name not in before:
            # It is not known what the dataset wants, which is different from no scenes.
            del wanted[name]
    index.put_wanted(wanted, only=not plan.datasets)


def _record_metadata(index: WritableIndex, plan: Plan, datasets: Mapping[str, Dataset]) -> None:
    """Write the metadata of scenes on disk as the catalogue has them now to the index, for `recheck`."""
    asked = {name for name in plan.searched.keys() - plan.not_asked.keys() if datasets[name].recheck is not None}
    kept = (a for a in plan.by_kind[ActionKind.KEEP] if asked.intersection(a.datasets)) if asked else ()
    index.put_facts({action.id: metadata_of(action.wanted.scene) for action in kept if action.wanted is not None})


def _record_errors(index: WritableIndex, plan: Plan, datasets: Mapping[str, Dataset]) -> None:
    """Write the searches and look-ups that failed to the index; drop errors of scenes that no dataset wants."""
    if plan.search_complete and index.has_errors and (known := index.wanted()).keys() >= datasets.keys():
        index.drop_errors(but={scene_id for ids in known.values() for scene_id in ids})
    products = {product for name in plan.datasets for product in datasets[name].products}
    errors: dict[str, str] = {}
    for failure in plan.failed:
        # Several archives of a dataset may have failed.
        errors[failure.id] = f"{errors[failure.id]}; {failure.error}" if failure.id in errors else failure.error
    index.put_failures(errors, of=products.union(plan.datasets) if plan.datasets else None)


def _record_searches(index: WritableIndex, plan: Plan, rules: Mapping[str, str], unfinished: AbstractSet[str]) -> None:
    """Write the complete searches of datasets for which all is done to the index, for `recheck`."""
    unfinished = unfinished | {failure.id for failure in plan.failures}
    searches = {n: CompleteSearch(rules[n], asked) for n, asked in plan.searched.items() if n not in unfinished}
    put_complete_searches(index, searches)


def _record_rules(
    index: WritableIndex, manifest: Manifest, plan: Plan, hashes: Mapping[str, str], now: datetime
) -> Mapping[str, DateRule]:
    """Write the rules of the datasets to the index; return those of the last apply that are still the same.

    Args:
        index: Open for writing.
        manifest: Has the datasets.
        plan: The plan that is carried out.
        hashes: Of the rules of each dataset.
        now: The time of the run.
    """
    before, rules = date_rules(index), {}
    for name, dataset in manifest.datasets.items():
        if dataset.start is not None:
            start, old = dataset.start.text, before.get(name)
            since = old.since if old is not None and old.start == start else now
            rules[name] = DateRule(start, hashes[name], since=since, last=plan.searched.get(name, now))
    put_date_rules(index, rules)
    return {name: old for name, old in before.items() if name in rules and rules[name].rules == old.rules}


def _record_absent(index: WritableIndex, plan: Plan) -> None:
    """Write the metadata of scenes that are wanted or on order and not downloaded to the index."""
    wants = {action.id: action.wanted.scene for action in plan.of(NEEDS_ARCHIVE) if action.wanted is not None}
    on_disk = index.ids() if wants else set()
    metadata = {scene_id: metadata_of(scene) for scene_id, scene in wants.items() if scene_id not in on_disk}
    if orders := {order.id for order in index.orders()} - metadata.keys():
        # What is known of a scene on order shows later whether it still matches.
        metadata |= {scene_id: facts for scene_id, facts in index.absent().items() if scene_id in orders}
    index.put_absent(metadata, only=plan.search_complete and not plan.datasets)


def _kept_files(plan: Plan, known: AbstractSet[SceneId]) -> list[LocalScene]:
    """Return the scenes that a plan keeps and the index lacks, each with its metadata.

    A plan by a lock file has little metadata, which must not replace that of the index.
    """
    return [
        local
        if local.facts != NO_FACTS or action.wanted is None
        else replace(local, facts=metadata_of(action.wanted.scene))
        for action in plan.by_kind[ActionKind.KEEP]
        if (local := action.local) is not None and local.id not in known
    ]
