"""`sedas-sync adopt`."""

import click

from sedas_sync.cli.messages import interrupted, print_message, print_warnings
from sedas_sync.cli.mirror import opened_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, print_document, print_failures, reporting, stopping
from sedas_sync.errors import ManifestError
from sedas_sync.model.results import File, How, Result
from sedas_sync.operations.adopt.run import adopt_files
from sedas_sync.output import text
from sedas_sync.output.documents.mirror import AdoptDocument


def run(
    manifest: str,
    *,
    source: str | None,
    copy: bool,
    move: bool,
    known: bool,
    dry_run: bool,
    jobs: int | None,
    take_over: bool,
    lock_timeout: float,
    common: Globals,
) -> None:
    """Add files that are already on disk to the index."""
    if copy and move:
        raise ManifestError("--copy and --move exclude each other: use one of them")
    how: How = "copy" if copy else "move" if move else "link"
    if how != "link" and source is None:
        raise ManifestError(f"--{how} applies to files of another folder: it needs --from")

    with (
        opened_mirror(manifest, common) as context,
        reporting(common) as reporter,
        stopping(context.stop, reporter) as caught,
    ):

        def show(file: File) -> None:
            if _is_shown(file, common):
                reporter.print(text.adopted_file(file))

        context.state.on_step = reporter.step
        done = adopt_files(
            context,
            source,
            how=how,
            known=known,
            dry_run=dry_run,
            jobs=jobs,
            on_file=show,
            on_event=reporter,
            lock_timeout=lock_timeout,
            take_over=take_over,
        )
        reporter.close()
        if caught:
            print_message(interrupted())
        print_warnings(done.warnings, common)
        print_failures(done.failures)
        if common.as_json:
            print_document(AdoptDocument.about(done))
        elif not common.quiet:
            click.echo(text.adoption(done))
        end_with(128 + caught[0] if caught else done.exit_code)


def _is_shown(file: File, common: Globals) -> bool:
    if file.result in (Result.WRONG, Result.INCOMPLETE, Result.FAILED):
        return True
    if common.quiet or common.as_json:
        return False
    return file.result in (Result.ADOPTED, Result.UNWANTED) or bool(common.verbose)
