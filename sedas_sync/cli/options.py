"""Options that several commands take, and the global ones, which stand before or after a command."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import click

from sedas_sync._version import __version__


@dataclass(slots=True)
class Globals:
    """Options that stand before or after a command."""

    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    log_file: str | None = None
    as_json: bool = False

    @property
    def level(self) -> int:
        """-1 quiet, 0 as usual, more is more."""
        return -1 if self.quiet else self.verbose

    @property
    def logs(self) -> bool:
        """Whether a log is wanted, in a file or with `-vv` on standard error."""
        return self.log_file is not None or self.verbose >= 2  # noqa: PLR2004  # -vv


def completer(of: str) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """What completes a value in a shell: a function of `sedas_sync.cli.completion`, which only a shell ever needs."""

    def complete(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[Any]:
        from sedas_sync.cli import completion  # noqa: PLC0415  # see above

        found: list[Any] = getattr(completion, of)(context, parameter, incomplete)
        return found

    return complete


def global_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take the global options, and merge them with those that stood before it."""
    options = (
        click.option("-q", "--quiet", is_flag=True, help="Only failures."),
        click.option("-v", "--verbose", count=True, help="Each scene; twice for HTTP."),
        click.option("--no-progress", is_flag=True, help="No bars."),
        click.option("--log-file", type=click.Path(dir_okay=False), help="Write a log there."),
        click.option("--json", "as_json", is_flag=True, help="JSON on standard output."),
        click.version_option(__version__, prog_name="sedas-sync", message="%(prog)s %(version)s"),
    )

    @wraps(command)
    def merged(
        *args: Any, quiet: bool, verbose: int, no_progress: bool, log_file: str | None, as_json: bool, **rest: Any
    ) -> Any:
        common = click.get_current_context().ensure_object(Globals)
        common.quiet |= quiet
        common.verbose += verbose
        common.progress &= not no_progress
        common.log_file = log_file or common.log_file
        common.as_json |= as_json
        return command(*args, common=common, **rest)

    for option in reversed(options):
        merged = option(merged)
    return merged


manifest_argument = click.argument(
    "manifest", default="manifest.toml", type=click.Path(dir_okay=False), shell_complete=completer("manifests")
)


class _Seconds(click.FloatRange):
    """A number of seconds; what is no number is none of them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return seconds


lock_timeout_option = click.option(
    "--lock-timeout", type=_Seconds(min=0), default=0.0, metavar="SECONDS",
    help="Wait so long for another process in this mirror.",
)  # fmt: skip
locked_option = click.option("--locked", is_flag=True, help="Do not search: exactly the scenes of the lock.")
datasets_option = click.option(
    "--dataset", "datasets", multiple=True, metavar="NAME", help="Only this dataset (repeatable).",
    shell_complete=completer("datasets"),
)  # fmt: skip
prune_option = click.option(
    "--prune", is_flag=True, help="Remove files of scenes that the manifest's rules no longer admit."
)
