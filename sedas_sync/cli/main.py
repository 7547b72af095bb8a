"""The group of all commands, and the exit code of the process."""

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from sedas_sync.cli import signals
from sedas_sync.cli.arguments import COMMANDS
from sedas_sync.cli.options import GLOBAL_OPTIONS, Globals, take_globals, write_epilog
from sedas_sync.cli.streams import prepare_streams
from sedas_sync.errors import TOO_LITTLE, is_too_little
from sedas_sync.model.similar import did_you_mean, nearest

_HELP = "Keep a folder of satellite scenes in sync with a TOML manifest: plan, apply, and apply again to do nothing."
_EXIT_CODES = """
\b
Exit codes:
  0    done: the mirror matches the manifest
  1    something failed: every failed scene is named, all others are done
  2    the manifest, a file it names or the command line is wrong
  3    done for now, LTA orders are pending: run the command again later
  4    the archive refused the credentials, or there are none
  5    another process is working in this mirror
  10   plan --exit-code, lock --check: there are changes to make
  129, 130, 138, 143  interrupted: the same command continues where it stopped
"""


_OF_OTHER_TOOLS = {
    "check": "validate", "clean": "apply --prune", "delete": "apply --prune", "diff": "plan", "download": "apply",
    "fetch": "apply", "get": "apply", "import": "adopt", "info": "why", "list": "status", "ls": "status",
    "mirror": "apply", "new": "init", "prune": "apply --prune", "pull": "apply", "query": "search", "run": "apply",
    "show": "why", "sync": "apply", "up": "apply", "update": "apply",
}  # fmt: skip
"""What people who know other tools type, and the command that does it here."""


class _Commands(click.Group):
    """A group that suggests a command for a mistyped one."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """Write the exit codes."""
        write_epilog(self.epilog, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands and not (args[0].startswith("-") or ctx.resilient_parsing):
            meant = _OF_OTHER_TOOLS.get(args[0]) or nearest(args[0], self.commands)
            ctx.fail(f"No such command {args[0]!r}{did_you_mean(meant)}")
        return super().resolve_command(ctx, args)


cli = _Commands(
    "sedas-sync",
    commands=COMMANDS,
    callback=lambda **values: take_globals(values),
    params=list(GLOBAL_OPTIONS),
    help=_HELP,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> NoReturn:
    """Run the command line. Ends the process with the documented exit code; a user never sees a traceback."""
    # Until a command sets its own handlers, there is nothing to bring to an end.
    signals.handle(lambda number, _frame: os._exit(128 + number))
    # Looking for plug-ins of pydantic reads the metadata of every installed package, a twentieth of the start.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # OpenBLAS starts threads that reserve gigabytes of address space, and ends the process if there are none.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.unraisablehook = _unraisable
    prepare_streams()
    code = run_command()
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    sys.stderr.flush()
    # Not `sys.exit`, which waits for threads: some may wait for a slow server.
    os._exit(code)


def _unraisable(of: "sys.UnraisableHookArgs") -> None:
    """Report an error that no code can catch, except a thread without memory: the code that starts it reports that."""
    if not isinstance(of.exc_value, MemoryError):
        sys.__unraisablehook__(of)


def run_command() -> int:
    """Run the command, report its error, and return the exit code."""
    common = Globals()
    try:
        cli(prog_name="sedas-sync", standalone_mode=False, obj=common)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 1
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        return 130
    except Exception as error:  # noqa: BLE001  # a user never sees a traceback
        return _report(error, as_json=common.as_json)
    return 0


def _report(error: Exception, *, as_json: bool) -> int:
    """Print an error, and return the exit code."""
    with suppress(MemoryError):
        if not is_too_little(error):
            from sedas_sync.cli.errors import report  # noqa: PLC0415  # a third of `--help` and completion

            return report(error, as_json=as_json)
    # There may be no memory to import anything.
    click.echo(f"error: {TOO_LITTLE}", err=True)
    return 1
