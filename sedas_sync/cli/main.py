"""The group of all commands, and the end of the process with the right exit code."""

import io
import os
import sys
import threading
from importlib import import_module
from typing import NoReturn

import click

from sedas_sync.cli.options import Globals, global_options
from sedas_sync.errors import TOO_LITTLE, LockMismatch, ManifestError, SedasSyncError, is_too_little

COMMANDS = (
    "adopt",
    "apply",
    "completion",
    "export",
    "init",
    "lock",
    "orders",
    "plan",
    "report",
    "sandbox",
    "schema",
    "search",
    "sources",
    "status",
    "validate",
    "verify",
    "why",
)
"""Each is a module of `sedas_sync.cli.commands`."""

_EXIT_CODES = """
\b
Exit codes:
  0    done; the mirror is what the manifest says
  1    something failed; every failed scene is named, all others are done
  2    the manifest, a file it names or the command line is wrong
  3    done for now, LTA orders are pending: run it again later
  4    the archive refused the credentials, or there are none
  5    another process is at work in this mirror
  10   plan --exit-code, lock --check: there are changes to make
  129, 130, 138, 143  interrupted; the same command goes on where it stopped
"""


class _Commands(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"sedas_sync.cli.commands.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not (args[0].startswith("-") or ctx.resilient_parsing):
            from difflib import get_close_matches  # noqa: PLC0415  # only mistakes need it

            near = get_close_matches(args[0], COMMANDS, n=1)
            ctx.fail(f"No such command {args[0]!r}" + (f"; did you mean {near[0]}?" if near else "."))
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Commands,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@global_options
def cli(common: Globals) -> None:
    """Keep a folder of satellite scenes as a TOML manifest says: plan, apply, and apply again to do nothing."""
    del common


def main() -> NoReturn:
    """Run the command line; ends the process with the contract's exit code and never shows a traceback."""
    code = 0
    # A name that the terminal's encoding lacks is no reason to fail.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    threading.excepthook = _note_unforeseen
    try:
        cli(prog_name="sedas-sync", standalone_mode=False)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = 2
    except SedasSyncError as error:
        _tell_error(error)
        code = error.exit_code
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _tell(f"{where}{error.strerror or error}")
        code = 1
    except Exception as error:  # noqa: BLE001  # the last line of defence: a user never sees a traceback
        _tell_unforeseen(error)
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    sys.stderr.flush()
    # Threads that wait on a slow server must not hold up the end of the process.
    os._exit(code)


def _tell_error(error: SedasSyncError) -> None:
    lines = error.problems if isinstance(error, ManifestError) else (str(error),)
    for line in lines:
        _tell(line)
    if isinstance(error, LockMismatch) and error.hint:
        _tell(error.hint, begin="to go on: ")


def _tell(line: str, begin: str = "error: ") -> None:
    from sedas_sync.cli.session import tell  # noqa: PLC0415  # only where it is needed: start-up is short

    tell(begin + line)


def _note_unforeseen(of: threading.ExceptHookArgs) -> None:
    """Put what ended a thread into the log: whoever waits for the thread says what it means."""
    import logging  # noqa: PLC0415  # only where it is needed: start-up is short

    logging.getLogger("sedas_sync").debug("a thread has ended", exc_info=of.exc_value)


def _tell_unforeseen(error: Exception) -> None:
    if is_too_little(error):
        _tell(TOO_LITTLE)
        return
    import logging  # noqa: PLC0415  # only where it is needed: start-up is short

    from sedas_sync.net.redact import redact  # noqa: PLC0415

    logging.getLogger("sedas_sync").debug("unforeseen error", exc_info=error)
    message = redact(f"{type(error).__name__}: {error}")
    _tell(f"something went wrong that sedas-sync did not foresee: {message}")
    click.echo("Everything that was done is kept. With `--log-file FILE` the details are written there.", err=True)
