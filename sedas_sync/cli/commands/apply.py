"""`sedas-sync apply`."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, Unpack

import click

from sedas_sync.cli.commands.plan import run as plan_only
from sedas_sync.cli.messages import interrupted, print_message, print_warnings
from sedas_sync.cli.mirror import opened_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.scene_commands import SceneCommands
from sedas_sync.cli.session import check_folder, end_with, interruptible, print_exported, reporting, stopping
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.files.atomic import write_whole
from sedas_sync.model.events import Summary
from sedas_sync.model.plan import ActionKind, Plan
from sedas_sync.model.text import count, printable
from sedas_sync.operations.apply.options import RunOptions
from sedas_sync.operations.apply.plan_runner import PlanRunner
from sedas_sync.operations.context import MirrorContext, check_choice
from sedas_sync.operations.lock import check_old_lock, matching_lock, update_lock
from sedas_sync.operations.plan import plan_mirror
from sedas_sync.operations.progress import summary_of
from sedas_sync.operations.resume_plan import check_saved, plan_saved
from sedas_sync.operations.saved_plan import SavedPlan
from sedas_sync.operations.status import mirror_status
from sedas_sync.output import text
from sedas_sync.output.export.job import catalogue_folder, export
from sedas_sync.output.metrics import metrics as text_of_metrics
from sedas_sync.output.plan_text import plan as plan_text
from sedas_sync.output.plan_text import total
from sedas_sync.output.reasons import reason_text
from sedas_sync.output.reporters import Reporter
from sedas_sync.output.style import look_of
from sedas_sync.planning.limits import Confirm, PruneLimit, check_download, download_limit
from sedas_sync.workers.dask import dask_cluster

_COMMANDS = 10
"""The number of failed commands that are printed at the end of a run."""
_REASONS = 3
"""The number of reasons for waiting that are printed at the end of a run."""


class Options(TypedDict):
    """The options of the command, as `sedas_sync.cli.arguments` defines them."""

    datasets: tuple[str, ...]
    dry_run: bool
    no_wait: bool
    jobs: int | None
    executor: Literal["threads", "dask"]
    scheduler: str | None
    prune: bool
    refresh: bool
    max_prune: str | None
    max_download: str | None
    yes: bool
    take_over: bool
    saved: str | None
    locked: bool
    update_lock: bool
    export: Literal["stac"] | None
    metrics: str | None
    command: str | None
    command_jobs: int | None
    lock_timeout: float


# One function, because the order in which these contexts begin and end is what counts.
def run(manifest: str, *, common: Globals, **options: Unpack[Options]) -> None:
    """Make the folder match the manifest."""
    _check_options(options)
    PruneLimit.parse(options["max_prune"])
    choice: RunOptions = {
        "wait": not options["no_wait"],
        "jobs": options["jobs"],
        "take_over": options["take_over"],
        "max_prune": options["max_prune"],
        "max_download": None if options["max_download"] is None else download_limit(options["max_download"]),
    }
    workers = _workers(options["executor"], options["scheduler"])
    if options["dry_run"]:
        plan_only(
            manifest,
            common=common,
            datasets=options["datasets"],
            locked=options["locked"],
            prune=options["prune"],
            refresh=options["refresh"],
            take_over=options["take_over"],
        )
    with (
        opened_mirror(
            manifest, common, outputs={"--metrics": options["metrics"]}, inputs={"--plan": options["saved"]}
        ) as context,
        workers as executor,
        reporting(common, json_lines=common.as_json) as reporter,
    ):
        commands = None
        if options["command"] is not None:
            jobs = options["command_jobs"] or 1
            commands = SceneCommands(options["command"], root=context.state.root, jobs=jobs, reporter=reporter)
            choice["finish"] = commands.finish
        saved = _check_before(context, options, common)
        context.state.on_step = reporter.step
        runner = PlanRunner(context)
        # The second of two first runs at once ends here. If a question comes, nothing is created before its answer.
        asks = not options["yes"] and saved is None and _may_ask(context, common)
        locked = context.state.locked_if_there if asks else context.state.locked
        with (
            interruptible(reporter),
            locked(timeout=options["lock_timeout"]),
            _metrics(context, options["metrics"]),
            runner.recording("apply" if saved is None else saved.command),
        ):
            plan = _plan(context, options, saved, reporter)
            if saved is not None:
                choice["command"] = saved.command
            approved = options["yes"] or (
                saved is None and _ask(plan, context, reporter, common, choice["max_download"])
            )
            choice["executor"] = executor
            choice["confirm"] = _confirm(reporter, "Remove {} of the {} files in the mirror?", yes=approved)
            choice["confirm_replacing"] = _confirm(reporter, "Replace {} of the {} scenes in the mirror?", yes=approved)
            # A new mirror is created here if its plan had to be approved.
            with context.state.locked(timeout=options["lock_timeout"]):
                with stopping(partial(_stop, context, commands), reporter) as caught:
                    summary = summary_of(runner.run(plan, choice), reporter if commands is None else commands)
                if options["update_lock"] and not caught:
                    _update_lock(context, plan, common)
                exported = options["export"] is None or bool(caught) or _export(context, common)
        code = summary.exit_code
        if caught:
            code = 128 + caught[0]
            print_message(interrupted())
        elif not common.quiet:
            _print_next(summary, plan, commands)
        end_with(code if exported or code not in (0, 3) else 1)


def _check_options(options: Options) -> None:
    """Check that the options can be combined."""
    narrowed = options["datasets"] or options["locked"] or options["dry_run"]
    if options["saved"] is not None and (narrowed or options["update_lock"] or options["prune"]):
        raise ManifestError("--plan cannot be combined with --dataset, --dry-run, --locked, --update-lock or --prune")
    if options["refresh"] and (options["locked"] or options["saved"] is not None):
        raise ManifestError("--refresh cannot be combined with --locked or --plan, which do not search")
    if options["update_lock"] and narrowed:
        raise ManifestError(
            "--update-lock cannot be combined with --dataset, --locked or --dry-run: it needs the whole manifest"
        )
    if options["max_prune"] is not None and not options["prune"] and options["saved"] is None:
        raise ManifestError("--max-prune needs --prune: nothing is removed without it")
    if options["command_jobs"] is not None and options["command"] is None:
        raise ManifestError("--exec-jobs needs --exec")
    after = (options["export"], options["command"], options["metrics"])
    if options["dry_run"] and any(choice is not None for choice in after):
        raise ManifestError(
            "--export, --exec and --metrics act after downloads: they cannot be combined with --dry-run"
        )


def _check_before(context: MirrorContext, options: Options, common: Globals) -> SavedPlan | None:
    """Check what can be checked before a search that may take minutes; return the saved plan, if one is given."""
    check_choice(context, options["datasets"], prune=options["prune"])
    saved = None
    if options["saved"] is not None:
        saved = SavedPlan.read(options["saved"])
        check_saved(context, saved)
    if options["locked"]:
        matching_lock(context)
    if options["update_lock"]:
        print_warnings(check_old_lock(context), common)
    if options["export"] is not None:
        catalogue_folder(context)
    return saved


def _plan(context: MirrorContext, options: Options, saved: SavedPlan | None, reporter: Reporter) -> Plan:
    if saved is not None:
        return plan_saved(context, saved, take_over=options["take_over"])
    return plan_mirror(
        context,
        datasets=options["datasets"],
        on_event=reporter,
        take_over=options["take_over"],
        locked=options["locked"],
        prune=options["prune"],
        relock=options["update_lock"],
        refresh=options["refresh"],
    )


def _stop(context: MirrorContext, commands: SceneCommands | None, exit_code: int) -> None:
    if commands is not None:
        commands.stop()
    context.stop(exit_code)


def _ask(plan: Plan, context: MirrorContext, reporter: Reporter, common: Globals, max_download: int | None) -> bool:
    """Show the plan on a terminal, and ask whether to carry it out; ends the command if the answer is no.

    Returns:
        Whether the plan was shown and confirmed; False if there is nothing to ask, or nobody.
    """
    transfer = context.manifest.transfer
    if not plan.changes or not _may_ask(context, common):
        return False
    reporter.close()
    check_download(plan, transfer.max_download if max_download is None else max_download)
    look = look_of(sys.stderr)
    shown = total(plan, look) if common.quiet else plan_text(plan, look=look, order=tuple(context.manifest.datasets))
    click.echo(shown, err=True)
    counts = {"removes": plan.counts[ActionKind.PRUNE], "replaces": sum(action.replaces for action in plan.actions)}
    harm = " and ".join(f"{verb} {count(number, 'scene')}" for verb, number in counts.items() if number)
    if not _answer(f"Carry out this plan{', which ' + harm if harm else ''}?"):
        click.echo("Cancelled: nothing was changed.", err=True)
        end_with(1)
    return True


def _may_ask(context: MirrorContext, common: Globals) -> bool:
    return context.manifest.transfer.confirm and _can_ask() and not common.as_json


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _answer(question: str) -> bool:
    try:
        return click.confirm(question, default=False, err=True)
    except click.Abort:
        # End of input counts as no. A signal has ended the process.
        click.echo(err=True)
        return False


def _workers(executor: Literal["threads", "dask"], scheduler: str | None) -> AbstractContextManager[Executor | None]:
    """Return what downloads: workers of Dask, or None for threads of this process."""
    if executor == "threads":
        if scheduler is not None:
            raise ManifestError("--scheduler needs --executor dask")
        return nullcontext()
    address = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise ManifestError("--executor dask needs --scheduler ADDRESS, or DASK_SCHEDULER_ADDRESS in the environment")
    return dask_cluster(address)


@contextmanager
def _metrics(context: MirrorContext, file: str | None) -> Iterator[None]:
    """Write metrics to a file after the run, also if an error ended it."""
    if file is None:
        yield
        return
    check_folder("--metrics", file)
    try:
        yield
    finally:
        status = mirror_status(context.state)
        try:
            write_whole(Path(file), text_of_metrics(status, datetime.now(UTC)).encode())
        except SedasSyncError as error:
            print_message(f"error: --metrics: {error}")


def _update_lock(context: MirrorContext, plan: Plan, common: Globals) -> None:
    if plan.failures or not plan.search_complete:
        click.echo("The lock file is not changed: the search failed or is incomplete.", err=True)
        return
    update = update_lock(context, plan, applied=True)
    if not common.quiet:
        click.echo(text.lock_update(update, check=False), err=True)


def _export(context: MirrorContext, common: Globals) -> bool:
    """Update the STAC catalogue. Prints an error, and returns False, if that fails."""
    try:
        print_exported(export(context, "stac", unless_fresh=True), common, to_stderr=True)
    except SedasSyncError as error:
        print_message(f"error: the catalogue was not written: {error}")
        return False
    return True


def _print_next(summary: Summary, plan: Plan, commands: SceneCommands | None) -> None:
    """Print what is left to do, if anything."""
    if commands is not None and commands.failures:
        print_message(
            f"{count(len(commands.failures), 'command')} failed. The scenes are downloaded, so a later run does not "
            "repeat them; run them yourself:"
        )
        for line in commands.failed[:_COMMANDS]:
            print_message(f"  {line}")
        if len(commands.failed) > _COMMANDS:
            print_message(f"  and {len(commands.failed) - _COMMANDS} more; --json has the path of each scene (fetched)")
    if summary.failed:
        print_message(
            f"{count(summary.failed, 'failure')}: run the same command to try again; "
            "`sedas-sync why ID` explains a scene."
        )
    # The user has to order these scenes elsewhere.
    alone = Counter(reason_text(action.reason) for action in plan.by_kind[ActionKind.WAIT] if action.order is None)
    for reason, number in alone.most_common(_REASONS):
        print_message(f"{count(number, 'scene')} {'waits' if number == 1 else 'wait'}: {printable(reason)}.")
    if ordered := max(0, summary.pending - alone.total()):
        print_message(
            f"{count(ordered, 'scene')} still to come from the long-term archive: run the same command again later."
        )


def _confirm(reporter: Reporter, question: str, *, yes: bool) -> Confirm:
    """Return a function that asks whether so many of so many may be removed or replaced."""

    def ask(number: int, total: int) -> bool | None:
        if yes:
            return True
        if not _can_ask():
            return None
        reporter.close()
        with interruptible():
            return _answer(question.format(number, total))

    return ask
