"""`sedas-sync verify`."""

from contextlib import nullcontext

import click
from msgspec.structs import replace

from sedas_sync.cli.messages import interrupted, print_message, print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, print_document, stopping
from sedas_sync.operations.apply.plan_runner import PlanRunner
from sedas_sync.operations.progress import summary_of
from sedas_sync.operations.verify import verify_mirror
from sedas_sync.output import text
from sedas_sync.output.documents.mirror import VerifyDocument


def run(manifest: str, *, repair: bool, no_wait: bool, jobs: int | None, lock_timeout: float, common: Globals) -> None:
    """Read the mirror's files again, list what is wrong, and with `repair` download it again."""
    with shown_mirror(manifest, common, summary=not common.as_json) as (context, reporter):
        caught: list[int] = []
        with context.state.locked(timeout=lock_timeout) if repair else nullcontext():
            report = verify_mirror(context, jobs=jobs)
            reporter.close()
            print_warnings(report.warnings, common)
            if not common.as_json and (not common.quiet or report.bad):
                click.echo(text.verified(report), err=common.quiet)
            if repair and report.repairable:
                with stopping(context.stop, reporter) as caught:
                    events = PlanRunner(context).repair(report, wait=not no_wait, jobs=jobs)
                    report = replace(report, repair=summary_of(events, reporter))
        if caught:
            print_message(interrupted())
        if common.as_json:
            print_document(VerifyDocument.about(report))
        end_with(128 + caught[0] if caught else report.exit_code)
