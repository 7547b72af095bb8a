"""Errors of commands: what is printed, and the exit code."""

import os
import sys

import click

from sedas_sync.cli.messages import print_error
from sedas_sync.errors import DISK_FULL, LockMismatch, ManifestError, SedasSyncError, is_disk_full
from sedas_sync.model.similar import did_you_mean
from sedas_sync.net.redact import logger_of, redact
from sedas_sync.output.documents.base import ErrorDocument, json_line

_HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""A command line without arguments: the message is the help. Older versions of click print it themselves."""


def report(error: Exception, *, as_json: bool = False) -> int:
    """Print an error to standard error, each mistake of a manifest on a line of its own; return the exit code.

    Args:
        error: What ended the command.
        as_json: Print it as a document to standard output too.
    """
    match error:
        case SedasSyncError():
            if as_json:
                problems = tuple(error.problems) if isinstance(error, ManifestError) else (str(error),)
                _print_document(str(error), problems, error.exit_code)
            for line in error.problems if isinstance(error, ManifestError) else (str(error),):
                print_error(line)
            if isinstance(error, LockMismatch) and error.hint:
                print_error(error.hint, prefix="next: ")
            return error.exit_code
        case click.ClickException() if isinstance(error, _HELP):
            error.show()
            return ManifestError.exit_code
        case click.ClickException():
            message = _message(error)
            print_error(message)
            if isinstance(error, click.UsageError) and error.ctx is not None:
                what = "commands" if isinstance(error.ctx.command, click.Group) else "options"
                print_error(f"`{error.ctx.command_path} --help` lists the {what}", prefix="next: ")
            # An option that is wrong may come before `--json`, which is then not read.
            if as_json or "--json" in sys.argv:
                _print_document(message, (message,), ManifestError.exit_code)
            return ManifestError.exit_code
        case BrokenPipeError():
            # The reader of the output is gone.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            full = is_disk_full(error)
            print_error(f"{where}{DISK_FULL if full else error.strerror or error}")
            logger_of(__name__).debug("error of the system", exc_info=error)
            if not where and not full:
                hint = "the system refused a call; `--log-file FILE` shows which, and everything that was done is kept"
                print_error(hint, prefix="next: ")
        case _:
            logger_of(__name__).debug("unexpected error", exc_info=error)
            print_error(f"unexpected error: {redact(f'{type(error).__name__}: {error}')}")
            click.echo("Everything that was done is kept. Run again with `--log-file FILE` for details.", err=True)
    return 1


def _message(error: click.ClickException) -> str:
    """Return a message of click as other errors are written."""
    message = error.message if isinstance(error, click.NoSuchOption) else error.format_message()
    message = f"{message[:1].lower()}{message[1:]}".removesuffix(".")
    if isinstance(error, click.NoSuchOption):
        message += did_you_mean(" or ".join(sorted(error.possibilities or ())))
    return message


def _print_document(error: str, problems: tuple[str, ...], exit_code: int) -> None:
    """Print an error as a document to standard output."""
    sys.stdout.write(json_line(ErrorDocument(error=error, problems=problems, exit_code=exit_code)))
