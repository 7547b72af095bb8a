"""Carry out plans of one mirror."""

from collections.abc import Generator, Iterable
from concurrent.futures import Executor
from typing import TypedDict

from msgspec.structs import replace

from sedas_sync.model.events import Event, Summary
from sedas_sync.model.plan import NEEDS_ARCHIVE, Plan
from sedas_sync.operations.apply.options import kept_files, remember_absent, remember_wanted
from sedas_sync.operations.apply.options import options as options_of
from sedas_sync.operations.apply.run import Run
from sedas_sync.operations.context import MirrorContext
from sedas_sync.operations.plan import plan_repair
from sedas_sync.operations.verify import VerifyReport
from sedas_sync.planning.limits import DEFAULT, Confirm, PruneLimit, limit_prunes, limit_replacements
from sedas_sync.state.index import WritableIndex
from sedas_sync.state.mirror_state import WILL_REBUILD


class RunOptions(TypedDict, total=False):
    """How a plan is carried out."""

    wait: bool
    """Wait for orders, at most the manifest's `order_timeout`; true by default."""
    jobs: int | None
    """Concurrent downloads, instead of the manifest's."""
    executor: Executor | None
    """Any of `concurrent.futures` whose workers see the mirror's folder under the same path. The caller shuts it down.
    By default threads of this process."""
    take_over: bool
    """Take the mirror from the manifest it belongs to."""
    max_prune: PruneLimit
    """How many files may be removed without a confirmation; a tenth of the mirror by default, at least 5."""
    confirm: Confirm
    """Called with the number of removals and of scenes on disk if there are more. By default the answer is no."""
    confirm_replacing: Confirm
    """The same for replacements, if they are more than a fifth of the mirror."""
    command: str
    """The command that the index stores for the run; `apply` by default."""


def _no(_count: int, _held: int) -> bool:
    """Do not confirm."""
    return False


class PlanRunner:
    """Carries out plans, one at a time.

    Args:
        context: the mirror.
    """

    def __init__(self, context: MirrorContext) -> None:
        self._context = context
        self._run: Run | None = None

    def stop(self, exit_code: int) -> None:
        """End the running plan in order; may be called from a signal handler or another thread."""
        context = self._context
        context.stopped_with = exit_code if context.stopped_with is None else context.stopped_with
        if self._run is not None:
            self._run.stop(exit_code)
        else:
            context.archives.stop()

    def run(self, plan: Plan, options: RunOptions) -> Generator[Event]:
        """Carry out a plan of the manifest; the mirror's process lock is held."""
        confirm, confirm_replacing = options.get("confirm", _no), options.get("confirm_replacing", _no)
        context = self._context
        with context.state.index(write=True) as (index, warnings):
            context.state.check_owner(index, take_over=options.get("take_over", False))
            plan = limit_prunes(plan, options.get("max_prune", DEFAULT), index.count(), confirm)
            plan = limit_replacements(plan, index.count(), confirm_replacing)
            index.skip_when_full = True
            if warnings:
                # The index may have been rebuilt since the plan was made, or just now.
                index.put_files(kept_files(plan), context.clock())
            context.state.own(index)
            remember_wanted(index, plan, context.manifest.datasets)
            try:
                yield from self._carry_out(plan, index, warnings, options)
            finally:
                remember_absent(index, plan)

    def repair(self, report: VerifyReport, *, wait: bool, jobs: int | None) -> Generator[Event]:
        """Download what `verify` found missing, changed or corrupt; the mirror's lock is held."""
        context = self._context
        plan = plan_repair(context, report)
        with context.state.index(write=True) as (index, warnings):
            context.state.check_owner(index)
            index.skip_when_full = True
            context.state.own(index)
            options: RunOptions = {"command": "verify --repair", "wait": wait, "jobs": jobs}
            yield from self._carry_out(plan, index, warnings, options)

    def _carry_out(
        self, plan: Plan, index: WritableIndex, warnings: Iterable[str], options: RunOptions
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
            options=options_of(context.manifest, wait=options.get("wait", True), jobs=options.get("jobs")),
            now=now,
            executor=options.get("executor"),
        )
        if context.stopped_with is not None:
            self._run.stop(context.stopped_with)
        try:
            self._run.prepare()
            number = index.begin_run(options.get("command", "apply"), now())
            for event in self._run.events():
                if isinstance(event, Summary):
                    index.end_run(number, now(), event.exit_code, event.to_json())
                yield event
        finally:
            self.stopped_with = self._run.stopped_with
            self._run = None
