"""The global options, which may stand before or after a command, and options that several commands share."""

import os
import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from sedas_sync._version import __version__
from sedas_sync.errors import ManifestError
from sedas_sync.files.paths import expanded
from sedas_sync.model.units import duration

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from sedas_sync.cli.completion import Completer


@dataclass
class Globals:
    """The values of the global options."""

    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    log_file: str | None = None
    as_json: bool = False

    @property
    def level(self) -> int:
        """-1 with `--quiet`, else the number of `-v`."""
        return -1 if self.quiet else self.verbose

    @property
    def logs(self) -> bool:
        """Whether a log is written, to a file or with `-vv` to standard error."""
        return self.log_file is not None or self.logs_to_terminal

    @property
    def logs_to_terminal(self) -> bool:
        """Whether the log goes to standard error: with `-vv`."""
        return self.verbose >= 2  # noqa: PLR2004  # -vv


def take_globals(values: dict[str, object]) -> Globals:
    """Remove the global options from the values of a command, and merge them with those before the command."""
    common = click.get_current_context().ensure_object(Globals)
    common.quiet |= bool(values.pop("quiet"))
    common.verbose += int(str(values.pop("verbose")))
    common.progress &= not values.pop("no_progress")
    log_file = values.pop("log_file")
    common.log_file = str(log_file) if log_file else common.log_file
    common.as_json |= bool(values.pop("as_json"))
    return common


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"sedas-sync {__version__}")
        context.exit()


class _Duration(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in newer versions only
    """A duration such as `26h` or `7d`, or a number of seconds, as seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value) if re.fullmatch(r"\d+(\.\d+)?", str(value)) else value
            return duration(seconds)
        except ValueError as error:
            self.fail(f"{value!r} {error}.", param, ctx)


class FilePath(click.Path):
    """A path in which `~` is the home folder; a shell leaves it alone in `--out=~/x`, and systemd does everywhere."""

    def convert(
        self, value: str | os.PathLike[str], param: click.Parameter | None, ctx: click.Context | None
    ) -> str | bytes | os.PathLike[str]:
        """Return the path with the home folder."""
        if str(value).startswith("~"):
            try:
                value = expanded(str(value))
            except ManifestError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


def completed_by(name: str) -> "Completer":
    """Return the function of `sedas_sync.cli.completion` with this name, which is imported when a shell asks."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        completer: Completer = getattr(import_module("sedas_sync.cli.completion"), name)
        return completer(context, parameter, incomplete)

    return complete


def write_epilog(epilog: str | None, formatter: click.HelpFormatter) -> None:
    r"""Write the last part of a help: a title, and lines of a word and its meaning or of a command and its comment.

    Args:
        epilog: In the form of click, which does not wrap it: `\b`, the title and the lines.
        formatter: Of the help. If it is too narrow, meanings are wrapped, and a comment precedes its command.
    """
    if not epilog:
        return
    title, *lines = epilog.strip("\b\n").splitlines()
    with formatter.section(title.rstrip(":")):
        pairs = [re.split(" {2,}", line.strip(), maxsplit=1) for line in lines]
        if max(map(len, lines)) <= formatter.width:
            formatter.write("".join(f"{line}\n" for line in lines))
        elif all(len(pair) > 1 and not pair[1].startswith("#") for pair in pairs):
            formatter.write_dl([(first, second) for first, second in pairs])
        else:
            examples = [reversed(re.split(" +(?=# )", line.strip(), maxsplit=1)) for line in lines]
            formatter.write("".join(f"  {part}\n" for example in examples for part in example))


GLOBAL_OPTIONS = (
    click.Option(["-q", "--quiet"], is_flag=True, help="Print failures only."),
    click.Option(["-v", "--verbose"], count=True, help="Print each scene; twice: log HTTP requests too."),
    click.Option(["--no-progress"], is_flag=True, help="Do not draw progress bars."),
    click.Option(["--log-file"], type=FilePath(dir_okay=False), help="Append a log to this file."),
    click.Option(["--json", "as_json"], is_flag=True, help="Print JSON to standard output."),
    click.Option(
        ["--version"],
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_show_version,
        help="Show the version and exit.",
    ),
)

manifest = click.Argument(
    ["manifest"], default="manifest.toml", type=FilePath(dir_okay=False), shell_complete=completed_by("manifests")
)
lock_timeout = click.Option(
    ["--lock-timeout"],
    type=_Duration(),
    default=0.0,
    metavar="TIME",
    help="How long to wait for another process in this mirror, such as 10m.",
)
locked = click.Option(["--locked"], is_flag=True, help="Do not search: use exactly the scenes of the lock file.")
datasets = click.Option(
    ["--dataset", "datasets"],
    multiple=True,
    metavar="NAME",
    help="Only this dataset (repeatable).",
    shell_complete=completed_by("datasets"),
)
prune = click.Option(["--prune"], is_flag=True, help="Remove files of scenes that no longer match the manifest.")
refresh = click.Option(["--refresh"], is_flag=True, help="Search also for datasets that their `recheck` spares.")
since = click.Option(["--since"], type=_Duration(), metavar="AGE", help="Only the last days or hours, such as 7d.")
max_age = click.Option(
    ["--max-age"],
    type=_Duration(),
    metavar="AGE",
    help="Exit with 1 if no apply has succeeded in this time, such as 26h.",
)
take_over = click.Option(["--take-over"], is_flag=True, help="Take the mirror from the manifest it belongs to.")
