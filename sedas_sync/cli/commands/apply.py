"""`sedas-sync apply`."""

import os
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import click

from sedas_sync.api import Mirror
from sedas_sync.cli.commands.plan import run as plan_only
from sedas_sync.cli.messages import interrupted, print_message, print_warnings
from sedas_sync.cli.mirror import opened_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, interruptible, opened_file, print_exported, reporting, stopping
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.model.events import Summary
from sedas_sync.model.plan import ActionKind, Plan
from sedas_sync.model.text import count, printable
from sedas_sync.output import text
from sedas_sync.output.reasons import reason_text
from sedas_sync.output.reporters import Reporter
from sedas_sync.planning.limits import PruneLimit
from sedas_sync.planning.saved_plan import SavedPlan, loads
from sedas_sync.workers.dask import dask_cluster

_REASONS = 3
"""The number of reasons for waiting that are printed at the end of a run."""


def run(
    manifest: str,
    *,
    datasets: tuple[str, ...],
    dry_run: bool,
    no_wait: bool,
    jobs: int | None,
    executor: Literal["threads", "dask"],
    scheduler: str | None,
    prune: bool,
    max_prune: str | None,
    yes: bool,
    take_over: bool,
    saved: str | None,
    locked: bool,
    update_lock: bool,
    export: Literal["stac"] | None,
    lock_timeout: float,
    common: Globals,
) -> None:
    """Make the folder match the manifest."""
    PruneLimit.parse(max_prune)
    address = _scheduler(executor, scheduler)
    if saved is not None and (datasets or dry_run or locked or update_lock or prune):
        raise ManifestError("--plan cannot be combined with --dataset, --dry-run, --locked, --update-lock or --prune")
    if update_lock and (datasets or locked or dry_run):
        raise ManifestError(
            "--update-lock cannot be combined with --dataset, --locked or --dry-run: it needs the whole manifest"
        )
    if export is not None and dry_run:
        raise ManifestError("--export writes the catalogue after the run: it cannot be combined with --dry-run")
    if dry_run:
        plan_only(manifest, common=common, datasets=datasets, locked=locked, prune=prune, take_over=take_over)
    with (
        opened_mirror(manifest, common) as mirror,
        _workers(address) as workers,
        reporting(common, json_lines=common.as_json) as reporter,
    ):
        mirror.check_choice(datasets, prune=prune)
        given = None if saved is None else _saved_plan(mirror, saved)
        if locked:
            mirror.checked_lock()
        if update_lock:
            print_warnings(mirror.check_old_lock(), common)
        if export is not None:
            mirror.catalogue_folder()
        mirror.on_step = reporter.step
        with interruptible(reporter), mirror.locked(timeout=lock_timeout):
            if given is not None:
                plan, command = mirror.resume_plan(given, take_over=take_over), given.command
            else:
                command = "apply"
                plan = mirror.plan(
                    datasets=datasets,
                    on_event=reporter,
                    on_found=reporter.found,
                    take_over=take_over,
                    locked=locked,
                    prune=prune,
                )
            with stopping(mirror.stop, reporter) as caught:
                summary = mirror.apply(
                    plan,
                    on_event=reporter,
                    wait=not no_wait,
                    jobs=jobs,
                    executor=workers,
                    take_over=take_over,
                    max_prune=max_prune,
                    confirm=_confirm(reporter, "Remove {} of the {} files in the mirror?", yes=yes),
                    confirm_replacing=_confirm(reporter, "Replace {} of the {} scenes in the mirror?", yes=yes),
                    command=command,
                )
            if update_lock and not caught:
                _update_lock(mirror, plan, common)
            exported = export is None or bool(caught) or _export(mirror, common)
        code = summary.exit_code
        if caught:
            code = 128 + caught[0]
            print_message(interrupted())
        elif not common.quiet:
            _print_next(summary, plan)
        end_with(code if exported or code not in (0, 3) else 1)


def _scheduler(executor: Literal["threads", "dask"], scheduler: str | None) -> str | None:
    """Return the address of Dask's scheduler; None if threads of this process download."""
    if executor == "threads":
        if scheduler is not None:
            raise ManifestError("--scheduler needs --executor dask")
        return None
    address = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise ManifestError("--executor dask needs --scheduler ADDRESS, or DASK_SCHEDULER_ADDRESS in the environment")
    return address


def _workers(address: str | None) -> AbstractContextManager[Executor | None]:
    return nullcontext() if address is None else dask_cluster(address)


def _saved_plan(mirror: Mirror, file: str) -> SavedPlan:
    """Read a plan from `plan --out` that was made from this manifest."""
    with opened_file(file, "r") as opened:
        try:
            saved = loads(opened.read(), file)
        except UnicodeDecodeError:
            raise ManifestError(f"{file}: not a saved plan: not UTF-8 text") from None
    mirror.check_saved(saved)
    return saved


def _update_lock(mirror: Mirror, plan: Plan, common: Globals) -> None:
    if plan.failures or not plan.search_complete:
        click.echo("The lock file is not changed: the search failed or is incomplete.", err=True)
        return
    update = mirror.relock(plan, applied=True)
    if not common.quiet:
        click.echo(text.lock_update(update, check=False), err=True)


def _export(mirror: Mirror, common: Globals) -> bool:
    """Update the STAC catalogue. Prints an error, and returns False, if that fails."""
    try:
        print_exported(mirror.export("stac", unless_fresh=True), common, to_stderr=True)
    except SedasSyncError as error:
        print_message(f"error: the catalogue was not written: {error}")
        return False
    return True


def _print_next(summary: Summary, plan: Plan) -> None:
    """Print what is left to do, if anything."""
    if summary.failed:
        print_message(
            f"{count(summary.failed, 'failure')}: run the same command to try again; "
            "`sedas-sync why ID` explains a scene."
        )
    # These scenes have to be ordered elsewhere, so tell the user why.
    alone = Counter(
        reason_text(action.reason) for action in plan.actions if action.kind is ActionKind.WAIT and action.order is None
    )
    for reason, number in alone.most_common(_REASONS):
        print_message(f"{count(number, 'scene')} {'waits' if number == 1 else 'wait'}: {printable(reason)}.")
    if ordered := max(0, summary.pending - alone.total()):
        print_message(
            f"{count(ordered, 'scene')} still to come from the long-term archive: run the same command again later."
        )


def _confirm(reporter: Reporter, question: str, *, yes: bool) -> Callable[[int, int], bool]:
    """Return a function that asks whether so many of so many may be removed or replaced."""

    def ask(number: int, total: int) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        reporter.close()
        try:
            with interruptible():
                return click.confirm(question.format(number, total), err=True)
        except click.Abort:
            # End of input counts as no. A signal has ended the process.
            click.echo(err=True)
            return False

    return ask
