"""`sedas-sync plan`."""

import shlex
import sys
from typing import NoReturn

import click
from msgspec.structs import replace

from sedas_sync.cli.messages import as_argument, print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import CHANGES_TO_MAKE, check_folder, end_with, opened_file, print_document, print_failures
from sedas_sync.errors import ManifestError
from sedas_sync.model.events import exit_code_of
from sedas_sync.operations.lock import to_save
from sedas_sync.operations.plan import plan_mirror
from sedas_sync.output import markdown
from sedas_sync.output.documents.plan import PlanDocument
from sedas_sync.output.plan_text import plan as plan_text
from sedas_sync.output.style import look_of
from sedas_sync.planning.limits import too_large


def run(
    manifest: str,
    *,
    common: Globals,
    datasets: tuple[str, ...],
    exit_code: bool = False,
    everything: bool = False,
    sizes: bool = False,
    prune: bool = False,
    refresh: bool = False,
    record: str | None = None,
    replay: str | None = None,
    out: str | None = None,
    summary: str | None = None,
    locked: bool = False,
    take_over: bool = False,
) -> NoReturn:
    """Plan, show the plan, and end with the exit code. `apply --dry-run` does this too."""
    if replay is not None and (record is not None or sizes):
        raise ManifestError("--replay cannot be combined with --record or --sizes: it queries no archive")
    if refresh and locked:
        raise ManifestError("--refresh cannot be combined with --locked, which does not search")
    if out is not None:
        check_folder("--out", out)
    outputs = {"--out": out, "--summary": summary}
    with shown_mirror(manifest, common, record=record, replay=replay, outputs=outputs) as (context, reporter):
        plan = plan_mirror(
            context,
            datasets=datasets,
            sizes=sizes,
            on_event=reporter,
            take_over=take_over,
            locked=locked,
            prune=prune,
            # A record has all answers, and a replay none of the mirror.
            refresh=refresh or record is not None or replay is not None,
        )
        reporter.close()
        if large := too_large(plan, context.manifest.transfer.max_download):
            plan = replace(plan, warnings=(*plan.warnings, f"{large}: `apply` refuses this plan"))
        print_warnings(plan.warnings, common)
        command = f"sedas-sync apply{as_argument(manifest)}" + "".join(f" --dataset {name}" for name in datasets)
        command += (" --locked" if locked else "") + (" --prune" if prune else "")
        command += (" --refresh" if refresh else "") + (" --take-over" if take_over else "")
        order = tuple(context.manifest.datasets)
        if out is not None:
            to_save(context, plan, datasets=datasets).write(out)
            command = f"sedas-sync apply{as_argument(manifest)} --plan {shlex.quote(out)}"
        if summary is not None:
            # Written in place: it may be a device, or a file that another process has open.
            with opened_file(summary, "w") as file:
                file.write(markdown.plan(plan, command=command, order=order))
        if common.as_json:
            print_document(PlanDocument.about(plan, everything=everything))
        elif not common.quiet:
            click.echo(plan_text(plan, everything=everything, command=command, look=look_of(sys.stdout), order=order))
        print_failures(plan.failed if common.as_json or common.quiet else ())
        if plan.failed:
            end_with(exit_code_of(plan.failed))
        end_with(CHANGES_TO_MAKE if exit_code and plan.changes else 0)
