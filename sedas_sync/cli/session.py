"""What commands share: JSON output, progress and signals."""

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO, TYPE_CHECKING, Literal, NoReturn

import click
from msgspec import Struct

from sedas_sync.cli import signals
from sedas_sync.cli.messages import interrupted, print_message
from sedas_sync.cli.options import Globals
from sedas_sync.errors import ManifestError
from sedas_sync.model.events import Failure
from sedas_sync.model.text import count
from sedas_sync.output.documents.base import JsonObject, json_lines
from sedas_sync.output.reporters import JsonLines, PlainLines, Reporter
from sedas_sync.output.style import can_draw_bars, can_steer, look_of

if TYPE_CHECKING:
    from sedas_sync.output.export import Exported

CHANGES_TO_MAKE = 10
"""The exit code of `plan --exit-code` and `lock --check` if there are changes to make."""
_AT_ONCE = 0.1
"""Seconds within which two signals count as one."""
_LISTED = 10
"""The number of scenes that are named of those that an export left out."""


# -- documents and failures --------------------------------------------------------------------------------------------


def print_document(document: JsonObject | Sequence[Struct]) -> None:
    """Print a document as JSON to standard output."""
    sys.stdout.writelines(json_lines(document))


def print_failures(failures: Iterable[Failure]) -> None:
    """Print each failure to standard error."""
    for failure in failures:
        print_message(f"failed: {failure.id}: {failure.error}")


def print_exported(done: "Exported", common: Globals, *, to_stderr: bool) -> None:
    """Print which scenes were left out, and what was written where."""
    print_failures(done.failures)
    if common.quiet:
        return
    for item in done.left_out[:_LISTED]:
        print_message(f"warning: left out {item.id}: {item.error}")
    if len(done.left_out) > _LISTED:
        print_message(f"warning: left out {len(done.left_out) - _LISTED} more; --json lists them all")
    if done.out is not None and not common.as_json:
        scenes = count(done.scenes, "scene")
        click.echo(
            f"Wrote {scenes} to {done.out}." if done.written else f"{done.out} is up to date: {scenes}.", err=to_stderr
        )


def write_lines(lines: Iterable[str]) -> None:
    """Write a document for other tools to standard output, as UTF-8 whatever the terminal's encoding."""
    sys.stdout.buffer.writelines(line.encode("utf-8", "replace") for line in lines)


def end_with(code: int) -> NoReturn:
    """End the command with this exit code."""
    raise SystemExit(code)


# -- files --------------------------------------------------------------------------------------------------


def check_folder(option: str, file: str) -> None:
    """Check that a file can be created, before a search that may take minutes.

    Raises:
        ManifestError: Its folder does not exist or cannot be written.
    """
    folder = Path(file).parent
    if not folder.is_dir():
        raise ManifestError(f"{option} {file}: the folder {folder} does not exist")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ManifestError(f"{option} {file}: the folder {folder} cannot be written")


@contextmanager
def opened_file(path: str, mode: Literal["r", "w"]) -> Iterator[IO[str]]:
    """Open a text file.

    Raises:
        ManifestError: The file cannot be opened.
    """
    try:
        file = Path(path).open(mode, encoding="utf-8")  # noqa: SIM115  # closed below
    except OSError as error:
        raise ManifestError(f"{path}: cannot be opened: {error.strerror}") from None
    with file:
        yield file


# -- progress and signals --------------------------------------------------------------------------------------------


@contextmanager
def reporting(common: Globals, *, json_lines: bool = False, summary: bool = True) -> Iterator[Reporter]:
    """Open the reporter that shows events and progress: bars if the terminal can show them, plain lines or JSON lines.

    Args:
        common: The global options.
        json_lines: Write JSON lines to standard output.
        summary: Write the summary to standard output, unless JSON lines are written.
    """
    reporter: Reporter
    # With a log on the terminal there is no place for bars.
    if json_lines:
        reporter = JsonLines()
    elif common.progress and common.level >= 0 and not common.logs_to_terminal and can_draw_bars(sys.stderr):
        from sedas_sync.output.progress import ProgressBars  # noqa: PLC0415  # tqdm takes 20 ms; only a terminal needs it

        reporter = ProgressBars(common.level, summarise=summary)
    else:
        reporter = PlainLines(common.level, summarise=summary)
    try:
        yield reporter
    finally:
        reporter.close()


@contextmanager
def interruptible(reporter: Reporter | None = None, line: str = "Interrupted: nothing was changed.") -> Iterator[None]:
    """Exit immediately on a signal; there is nothing to clean up.

    Args:
        reporter: The progress display to clear before exiting.
        line: What is printed.
    """

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        _leave(number, line, reporter)

    with _handling(leave):
        yield


@contextmanager
def stopping(stop: Callable[[int], None], reporter: Reporter) -> Iterator[list[int]]:
    """First signal: stop gracefully. Second signal: exit immediately.

    A terminal that goes away may hang up more than once: a hang-up does not count as the second signal. Nor does one
    that comes at once: `timeout` signals the process and then its group.

    Args:
        stop: Asks the run to stop. Called with the exit code of the process.
        reporter: The progress display; it shows that the run is stopping.

    Yields:
        The signals that have come.
    """
    caught: list[int] = []
    first = 0.0

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        if caught and (number == signals.HANGUP or monotonic() - first < _AT_ONCE):
            return
        if caught:
            _leave(number, interrupted(), reporter)
        caught.append(number)
        first = monotonic()
        reporter.stopping()
        stop(128 + number)

    with _handling(handle):
        yield caught


def _leave(number: int, line: str, reporter: Reporter | None) -> NoReturn:
    """End the process from a signal handler, which may have interrupted any other writing."""
    with suppress(OSError, RuntimeError, ValueError):
        sys.stdout.flush()
    if reporter is not None:
        reporter.end()
    # The terminal has echoed `^C` in this line.
    wiped = "\r\x1b[J" if can_steer(sys.stderr) else "\n" if sys.stderr.isatty() else ""
    with suppress(OSError):
        os.write(2, f"{wiped}{look_of(sys.stderr).wrap(line)}\n".encode(errors="backslashreplace"))
    os._exit(128 + number)


@contextmanager
def _handling(handler: signals.Handler) -> Iterator[None]:
    previous = signals.handle(handler)
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
