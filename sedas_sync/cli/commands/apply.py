"""`sedas-sync apply`."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import click

from sedas_sync.cli.options import (
    Globals,
    datasets_option,
    global_options,
    lock_timeout_option,
    locked_option,
    manifest_argument,
    prune_option,
)
from sedas_sync.cli.session import (
    end_with,
    event_view,
    interrupted,
    interruptible,
    opened_file,
    opened_mirror,
    stopping,
    tell,
    warn_all,
)
from sedas_sync.errors import ManifestError, SedasSyncError

_REASONS = 3
"""Reasons for waiting that are told at the end of a run, of those that are an archive's own."""


@click.command()
@manifest_argument
@datasets_option
@click.option("--dry-run", is_flag=True, help="Only plan.")
@click.option("--no-wait", is_flag=True, help="Do not wait for LTA orders that are not ready.")
@click.option("--jobs", type=click.IntRange(min=1), help="Downloads at once, over all workers.")
@click.option(
    "--executor", type=click.Choice(["threads", "dask"]), default="threads", help="Who downloads.  [default: threads]"
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Dask's scheduler, or its scheduler file.  [DASK_SCHEDULER_ADDRESS]"
)
@prune_option
@click.option("--max-prune", metavar="N|N%", help="Ask before removing more files.  [default: 10%, at least 5]")
@click.option("--yes", is_flag=True, help="Answer yes to every question.")
@click.option("--take-over", is_flag=True, help="Take the mirror from the manifest it belongs to.")
@click.option("--plan", "saved", type=click.Path(dir_okay=False), help="Carry out exactly this plan of `plan --out`.")
@locked_option
@click.option("--update-lock", is_flag=True, help="Bring the lock up to date afterwards, digests too.")
@click.option("--export", type=click.Choice(["stac"]), help="Afterwards bring this catalogue up to date, in stac/.")
@lock_timeout_option
@global_options
def apply(
    manifest: str,
    datasets: tuple[str, ...],
    dry_run: bool,
    no_wait: bool,
    jobs: int | None,
    executor: str,
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
    """Make the folder what the manifest says."""
    from sedas_sync.planning.limits import DEFAULT, PruneLimit  # noqa: PLC0415  # only where it is needed: start-up is short

    limit = DEFAULT if max_prune is None else PruneLimit.parse(max_prune)
    address = _scheduler(executor, scheduler)
    _refuse_mixtures(
        saved=saved,
        datasets=datasets,
        dry_run=dry_run,
        locked=locked,
        update_lock=update_lock,
        prune=prune,
        export=export,
    )
    if dry_run:
        from sedas_sync.cli.commands.plan import run_plan  # noqa: PLC0415  # only where it is needed: start-up is short

        run_plan(manifest, common, datasets=datasets, locked=locked, prune=prune, take_over=take_over)
    quickly = locked and not (datasets or take_over or prune)
    with (
        opened_mirror(manifest, common) as mirror,
        _workers(address) as workers,
        event_view(common, json_lines=common.as_json) as view,
    ):
        mirror.check_choice(datasets, prune=prune)
        made_from = _made_from(manifest) if quickly else None
        given = None if saved is None else _saved_plan(mirror, saved)
        if locked:
            mirror.checked_lock()
        if update_lock:
            warn_all(mirror.check_old_lock(), common)
        if export is not None:
            mirror.catalogue_folder()
        mirror.on_step = view.step
        with interruptible(view), mirror.locked(timeout=lock_timeout):
            command = "apply"
            if given is not None:
                made, command = mirror.resume_plan(given, take_over=take_over), given.command
            else:
                made = mirror.plan(
                    datasets=datasets,
                    on_event=view,
                    on_found=view.found,
                    take_over=take_over,
                    locked=locked,
                    prune=prune,
                )
            with stopping(mirror.stop, view) as caught:
                summary = mirror.apply(
                    made,
                    on_event=view,
                    wait=not no_wait,
                    jobs=jobs,
                    executor=workers,
                    take_over=take_over,
                    max_prune=limit,
                    confirm=_confirm(view, "Remove {} of the {} files that the mirror holds?", yes=yes),
                    confirm_replacing=_confirm(view, "Replace {} of the {} scenes that the mirror holds?", yes=yes),
                    command=command,
                )
            if made_from is not None and summary.exit_code == 0 and not caught:
                mirror.stamp(made_from, len(made.actions))
            if update_lock and not caught:
                _update_lock(mirror, made, common)
            exported = export is None or bool(caught) or _export(mirror, common)
        code = summary.exit_code
        if caught:
            code = 128 + caught[0]
            tell(interrupted())
        elif not common.quiet:
            _tell_next(summary, made)
        end_with(code if exported or code not in (0, 3) else 1)


def _refuse_mixtures(
    *,
    saved: str | None,
    datasets: tuple[str, ...],
    dry_run: bool,
    locked: bool,
    update_lock: bool,
    prune: bool,
    export: str | None,
) -> None:
    if saved is not None and (datasets or dry_run or locked or update_lock or prune):
        raise ManifestError(
            "--plan is the whole plan: no --dataset, --dry-run, --locked, --update-lock or --prune goes with it"
        )
    if update_lock and (datasets or locked or dry_run):
        raise ManifestError("--update-lock needs a search of the whole manifest: no --dataset, --locked or --dry-run")
    if export is not None and dry_run:
        raise ManifestError(
            "--export writes the catalogue of what is there after the run: it does not go with --dry-run"
        )


def _scheduler(executor: str, scheduler: str | None) -> str | None:
    """The address of Dask's scheduler; None where threads of this process do the work."""
    if executor == "threads":
        if scheduler is not None:
            raise ManifestError("--scheduler goes with --executor dask")
        return None
    address = scheduler or os.environ.get("DASK_SCHEDULER_ADDRESS")
    if not address:
        raise ManifestError("--executor dask needs --scheduler ADDRESS, or DASK_SCHEDULER_ADDRESS in the environment")
    return address


def _workers(address: str | None) -> AbstractContextManager[Any]:
    if address is None:
        return nullcontext()
    from sedas_sync.workers.dask import dask_cluster  # noqa: PLC0415  # only where it is needed: start-up is short

    return dask_cluster(address)


def _tell_next(summary: Any, made: Any) -> None:
    """What is left to be done, where something is."""
    from collections import Counter  # noqa: PLC0415  # only where it is needed: start-up is short

    from sedas_sync.model.plan import ActionKind  # noqa: PLC0415  # as above
    from sedas_sync.model.text import count, printable  # noqa: PLC0415  # as above

    if summary.failed:
        told = "the same command tries again; `sedas-sync why ID` tells what is known of a scene"
        tell(f"{count(summary.failed, 'failure')}: {told}.")
    # What no order brings comes by nothing that this program can do, so the reason has to be read.
    alone = Counter(action.reason for action in made.actions if action.kind is ActionKind.WAIT and action.order is None)
    for reason, number in alone.most_common(_REASONS):
        tell(f"{count(number, 'scene')} {'waits' if number == 1 else 'wait'}: {printable(reason)}.")
    if summary.pending > alone.total():
        told = "still to come from the long-term archive: run the same command again later"
        tell(f"{count(summary.pending - alone.total(), 'scene')} {told}.")


def _saved_plan(mirror: Any, file: str) -> Any:
    """A plan of `plan --out`, which was made from what the manifest says."""
    from sedas_sync.planning.saved_plan import loads  # noqa: PLC0415  # only where it is needed: start-up is short

    with opened_file(file, "r") as opened:
        try:
            saved = loads(opened.read(), file)
        except UnicodeDecodeError:
            raise ManifestError(f"{file}: is not UTF-8 text; a saved plan is") from None
    mirror.check_saved(saved)
    return saved


def _made_from(manifest: str) -> Any:
    from sedas_sync.operations.noop import made_from  # noqa: PLC0415  # only where it is needed: start-up is short

    return made_from(manifest)


def _update_lock(mirror: Any, made: Any, common: Globals) -> None:
    from sedas_sync.output import text  # noqa: PLC0415  # only where it is needed: start-up is short

    if made.failures or not made.search_complete:
        click.echo("The lock is left as it is: the search failed or stayed incomplete.", err=True)
        return
    locked = mirror.relock(made, applied=True)
    if not common.quiet:
        click.echo(text.relocked(locked, check=False), err=True)


def _export(mirror: Any, common: Globals) -> bool:
    """Bring the STAC catalogue up to date; says whether that went well, after telling why not."""
    from sedas_sync.cli.commands.export import tell_exported  # noqa: PLC0415  # only where it is needed

    try:
        tell_exported(mirror.export("stac", unless_fresh=True), common, to_stderr=True)
    except SedasSyncError as error:
        tell(f"error: the catalogue was not written: {error}")
        return False
    return True


def _confirm(view: Any, question: str, *, yes: bool) -> Callable[[int, int], bool]:
    """Ask whether so many may be removed, or replaced, of so many: more than is done without a question."""

    def ask(count: int, held: int) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        view.close()
        try:
            with interruptible():
                return click.confirm(question.format(count, held), err=True)
        except click.Abort:
            # The end of input, which is no consent; an interruption has ended the process.
            click.echo(err=True)
            return False

    return ask
