"""Carry out plans of one mirror."""

from collections.abc import Generator, Iterable
from concurrent.futures import Executor

from msgspec.structs import replace

from sedas_sync.model.events import Event, Summary
from sedas_sync.model.plan import NEEDS_ARCHIVE, Plan
from sedas_sync.operations.apply.options import kept_files, options, remember_awaited, remember_wanted
from sedas_sync.operations.apply.run import Run
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.plan import plan_repair
from sedas_sync.operations.verify import VerifyReport
from sedas_sync.planning.limits import Confirm, PruneLimit, limit_prunes, limit_replacements
from sedas_sync.state.index import Index
from sedas_sync.state.mirror_state import WILL_REBUILD


class PlanRunner:
    """Carries out plans, one at a time.

    Args:
        context: the mirror.
    """

    def __init__(self, context: MirrorContext) -> None:
        self._context = context
        self._run: Run | None = None
        self.stopped_with: int | None = None
        """The exit code of the first `stop`."""

    def stop(self, exit_code: int) -> None:
        """End the running plan in order; may be called from a signal handler or another thread."""
        self.stopped_with = exit_code if self.stopped_with is None else self.stopped_with
        if self._run is not None:
            self._run.stop(exit_code)
        else:
            self._context.archives.stop()

    def run(
        self,
        plan: Plan,
        *,
        command: str,
        take_over: bool,
        max_prune: PruneLimit,
        confirm: Confirm,
        confirm_replacing: Confirm,
        wait: bool,
        jobs: int | None,
        executor: Executor | None,
    ) -> Generator[Event]:
        """Carry out a plan of the manifest; the mirror's lock is held. See `Mirror.apply`."""
        context = self._context
        with context.state.index(write=True) as (index, warnings):
            context.state.check_owner(index, take_over=take_over)
            plan = limit_prunes(plan, max_prune, index.count(), confirm)
            plan = limit_replacements(plan, index.count(), confirm_replacing)
            index.forgiving = True
            index.on_rebuilt = lambda: index.put_files(kept_files(plan), context.clock())
            # Read now, so that damage is found before the run: it is written only after the summary.
            index.awaited()
            if warnings:
                # The index may have been rebuilt since the plan was made, or just now.
                index.put_files(kept_files(plan), context.clock())
            context.state.own(index)
            remember_wanted(index, plan, context.manifest.datasets)
            try:
                yield from self._carry_out(plan, index, warnings, command, wait=wait, jobs=jobs, executor=executor)
            finally:
                remember_awaited(index, plan)

    def repair(self, report: VerifyReport, *, wait: bool, jobs: int | None) -> Generator[Event]:
        """Download what `verify` found missing, changed or corrupt; the mirror's lock is held."""
        context = self._context
        plan = plan_repair(context, report)
        with context.state.index(write=True) as (index, warnings):
            context.state.check_owner(index)
            index.forgiving = True
            context.state.own(index)
            yield from self._carry_out(plan, index, warnings, "verify --repair", wait=wait, jobs=jobs)

    def _carry_out(
        self,
        plan: Plan,
        index: Index,
        warnings: Iterable[str],
        command: str,
        *,
        wait: bool,
        jobs: int | None,
        executor: Executor | None = None,
    ) -> Generator[Event]:
        context, now = self._context, self._context.clock
        earlier = plan.warnings
        if warnings := tuple(warnings):
            earlier = tuple(w for w in earlier if w not in warnings and not w.endswith(WILL_REBUILD))
        keys = {
            source.archive
            for action in plan.actions
            if action.want is not None and action.kind in NEEDS_ARCHIVE
            for source in action.want.sources
        }
        self._run = Run(
            replace(plan, warnings=(*earlier, *warnings)),
            root=context.state.root,
            archives={key: context.archives[key] for key in sorted(keys)},
            index=index,
            options=options(context.manifest, wait=wait, jobs=jobs),
            now=now,
            executor=executor,
        )
        if self.stopped_with is not None:
            self._run.stop(self.stopped_with)
        try:
            self._run.muster()
            number = index.begin_run(command, now())
            for event in self._run.events():
                if isinstance(event, Summary):
                    index.end_run(number, now(), event.exit_code, event.to_json())
                yield event
        finally:
            self._run = None
