"""`sedas-sync verify`."""

from contextlib import nullcontext

import click

from sedas_sync.cli.messages import interrupted, print_message, print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, print_document, stopping
from sedas_sync.output import text
from sedas_sync.output.documents.mirror import VerifyDocument


def run(manifest: str, *, repair: bool, no_wait: bool, jobs: int | None, lock_timeout: float, common: Globals) -> None:
    """Read the mirror's files again, list what is wrong, and with `repair` download it again."""
    with shown_mirror(manifest, common, summary=not common.as_json) as (mirror, reporter):
        caught: list[int] = []
        with mirror.locked(timeout=lock_timeout) if repair else nullcontext():
            report = mirror.verify(jobs=jobs)
            reporter.close()
            print_warnings(report.warnings, common)
            if not common.as_json and (not common.quiet or report.bad):
                click.echo(text.verified(report), err=common.quiet)
            if repair and report.repairable:
                with stopping(mirror.stop, reporter) as caught:
                    report = mirror.repair(report, on_event=reporter, wait=not no_wait, jobs=jobs)
        if caught:
            print_message(interrupted())
        if common.as_json:
            print_document(VerifyDocument.about(report))
        end_with(128 + caught[0] if caught else report.exit_code)
