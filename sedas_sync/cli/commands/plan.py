"""`sedas-sync plan`."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from sedas_sync.cli.options import (
    Globals,
    datasets_option,
    global_options,
    locked_option,
    manifest_argument,
    prune_option,
)
from sedas_sync.cli.session import (
    CHANGES_TO_MAKE,
    as_argument,
    end_with,
    event_view,
    interruptible,
    opened_file,
    opened_mirror,
    print_json,
    tell_failures,
    warn_all,
)
from sedas_sync.errors import ManifestError, SedasSyncError
from sedas_sync.model.events import exit_code_of
from sedas_sync.output.plan_text import plan as plan_text
from sedas_sync.output.style import look_of


@click.command()
@manifest_argument
@datasets_option
@click.option("--exit-code", "tell", is_flag=True, help="Exit with 10 where there are changes to make.")
@click.option("--all", "everything", is_flag=True, help="List kept scenes too.")
@click.option("--sizes", is_flag=True, help="Ask the archive for sizes.")
@prune_option
@click.option("--record", type=click.Path(dir_okay=False), help="Save every answer of the search in this file.")
@click.option("--replay", type=click.Path(dir_okay=False), help="Search in saved answers: no network, no account.")
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan in this file, for `apply --plan`.")
@click.option("--summary", type=click.Path(dir_okay=False), help="Write a Markdown summary to this file.")
@locked_option
@global_options
def plan(
    manifest: str,
    datasets: tuple[str, ...],
    tell: bool,
    everything: bool,
    sizes: bool,
    prune: bool,
    record: str | None,
    replay: str | None,
    out: str | None,
    summary: str | None,
    locked: bool,
    common: Globals,
) -> None:
    """Show what apply would do, and why; changes nothing."""
    if replay is not None and (record is not None or sizes):
        raise ManifestError("--replay asks nobody: it goes with neither --record nor --sizes")
    run_plan(
        manifest,
        common,
        datasets=datasets,
        tell=tell,
        everything=everything,
        sizes=sizes,
        prune=prune,
        record=record,
        replay=replay,
        out=out,
        summary=summary,
        locked=locked,
    )


def run_plan(
    manifest: str,
    common: Globals,
    *,
    datasets: tuple[str, ...],
    tell: bool = False,
    everything: bool = False,
    sizes: bool = False,
    prune: bool = False,
    record: str | None = None,
    replay: str | None = None,
    out: str | None = None,
    summary: str | None = None,
    locked: bool = False,
    take_over: bool = False,
) -> NoReturn:
    """Plan, show it, and end with the exit code; `apply --dry-run` is this too."""
    from sedas_sync.operations.lock_file import check_output  # noqa: PLC0415  # start-up is short

    if out is not None:
        _check_place(Path(out))
    opened = opened_mirror(manifest, common, record=record, replay=replay)
    with opened as mirror, event_view(common, json_lines=False) as view, interruptible(view):
        mirror.on_step = view.step
        for file in filter(None, (out, summary)):
            check_output(file, mirror.manifest)
        made = mirror.plan(
            datasets=datasets,
            sizes=sizes,
            on_event=view,
            on_found=view.found,
            take_over=take_over,
            locked=locked,
            prune=prune,
        )
        view.close()
        warn_all(made.warnings, common)
        command = f"sedas-sync apply{as_argument(manifest)}" + "".join(f" --dataset {name}" for name in datasets)
        command += (" --locked" if locked else "") + (" --prune" if prune else "")
        command += " --take-over" if take_over else ""
        order = tuple(mirror.manifest.datasets)
        if out is not None:
            _save_plan(mirror, made, datasets, out)
            command = f"sedas-sync apply{as_argument(manifest)} --plan {shlex.quote(out)}"
        if summary is not None:
            _write_summary(made, command, summary, order)
        if common.as_json:
            print_json(made.to_json_lazily(everything=everything))
        elif not common.quiet:
            click.echo(plan_text(made, everything=everything, command=command, look=look_of(sys.stdout), order=order))
        tell_failures(made.failures if common.as_json or common.quiet else ())
        if made.failures:
            end_with(exit_code_of(made.failures))
        if made.refused:
            end_with(SedasSyncError.exit_code)
        end_with(CHANGES_TO_MAKE if tell and made.changes else 0)


def _check_place(out: Path) -> None:
    """See to it that a plan can be saved, before a search that may take minutes."""
    if not out.parent.is_dir():
        raise ManifestError(f"--out {out}: there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK | os.X_OK):
        raise ManifestError(f"--out {out}: the folder {out.parent} cannot be written")


def _save_plan(mirror: Any, made: Any, datasets: tuple[str, ...], out: str) -> None:
    from sedas_sync.files.atomic import write_whole  # noqa: PLC0415  # only where a plan is saved
    from sedas_sync.planning.saved_plan import dumps  # noqa: PLC0415

    write_whole(Path(out), dumps(mirror.save(made, datasets=datasets)).encode())


def _write_summary(made: Any, command: str, file: str, order: tuple[str, ...]) -> None:
    from sedas_sync.output import markdown  # noqa: PLC0415  # only where it is needed: start-up is short

    # Not as a whole and renamed: it may be a device, or a file that somebody holds open.
    with opened_file(file, "w") as opened:
        opened.write(markdown.plan(made, command=command, order=order))
