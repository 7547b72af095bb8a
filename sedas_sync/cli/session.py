"""What commands share: an open mirror, a view of events, signals, and how things are printed."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal, NoReturn

import click

from sedas_sync.cli import signals
from sedas_sync.cli.options import Globals
from sedas_sync.errors import ManifestError

CHANGES_TO_MAKE = 10
"""The exit code of `plan --exit-code` and `lock --check` where there are changes to make."""


def interrupted() -> str:
    """What is said at the end of a run that was interrupted: how to go on."""
    return f"Interrupted: everything so far is kept; to go on, run `{shlex.join(['sedas-sync', *sys.argv[1:]])}`."


@contextmanager
def opened_mirror(
    manifest: str, common: Globals, *, record: str | None = None, replay: str | None = None
) -> Iterator[Any]:
    """A manifest's mirror, its archives recorded or answering from a record where that is asked for."""
    from sedas_sync.api import Mirror, load_manifest  # noqa: PLC0415  # only where it is needed: start-up is short

    _start_logging(common)
    checked = load_manifest(manifest)
    if record is not None:
        from sedas_sync.operations.lock_file import check_output  # noqa: PLC0415  # as above

        check_output(record, checked)
    if replay is not None:
        from sedas_sync.archives.replay import read_record  # noqa: PLC0415  # only where it is needed

        with opened_file(replay, "r") as file:
            saved = read_record(file, replay)
        answering = {key: saved.archive(key) for key in checked.archives}
        with Mirror(checked, archives=answering, clock=lambda: saved.now) as mirror:
            yield mirror
    elif record is not None:
        with opened_file(record, "w") as file, Mirror(checked, prompt=sys.stdin.isatty(), record=file) as mirror:
            yield mirror
    else:
        with Mirror(checked, prompt=sys.stdin.isatty()) as mirror:
            yield mirror


@contextmanager
def opened_file(path: str, mode: Literal["r", "w"]) -> Iterator[IO[str]]:
    """A text file; one that cannot be opened is the user's mistake."""
    try:
        file = Path(path).open(mode, encoding="utf-8")  # noqa: SIM115  # closed two lines below
    except OSError as error:
        raise ManifestError(f"{path}: cannot be opened: {error.strerror}") from None
    with file:
        yield file


@contextmanager
def event_view(common: Globals, *, json_lines: bool, summary: bool = True) -> Iterator[Any]:
    """What shows the events of a run: bars, plain lines or JSON."""
    from sedas_sync.output.choose_reporter import view  # noqa: PLC0415  # only where it is needed: start-up is short

    shown = view(json_lines=json_lines, level=common.level, progress=common.progress, summarise=summary)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def interruptible(view: Any = None) -> Iterator[None]:
    """While nothing is under way that would have to be brought to an end, a signal ends the process at once.

    Args:
        view: what shows how far it is; it leaves a clean line.
    """

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        _last_words("Interrupted: nothing was changed.", view)
        os._exit(128 + number)

    with _handling(leave):
        yield


@contextmanager
def stopping(stop: Callable[[int], None], view: Any = None) -> Iterator[list[int]]:
    """The first signal brings the run to an end in order, the second one ends the process at once.

    A terminal that goes away may hang up more than once: that alone does not count as the second.

    Args:
        stop: asks the run to end; told what the process will end with.
        view: what shows how far it is; it says that the run ends, and leaves a clean line.
    """
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if caught and number == signals.HANGUP:
            return
        if caught:
            _last_words(interrupted(), view)
            os._exit(128 + number)
        caught.append(number)
        if view is not None:
            view.stopping()
        stop(128 + number)

    with _handling(handle):
        yield caught


def _last_words(line: str, view: Any) -> None:
    """Write a line from within a signal's handler, which may have come in the middle of any other writing."""
    from sedas_sync.output.style import can_steer, look_of  # noqa: PLC0415  # only where it is needed: start-up is short

    with suppress(OSError, RuntimeError, ValueError):
        sys.stdout.flush()
    if view is not None:
        view.end()
    # The terminal has echoed `^C` in this line.
    wiped = "\r\x1b[J" if can_steer(sys.stderr) else "\n" if sys.stderr.isatty() else ""
    with suppress(OSError):
        os.write(2, f"{wiped}{look_of(sys.stderr).wrap(line)}\n".encode(errors="backslashreplace"))


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = signals.handle(handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _start_logging(common: Globals) -> None:
    if not common.logs:
        return
    from sedas_sync.output.logging import start_logging  # noqa: PLC0415  # only where it is needed: start-up is short

    try:
        start_logging(common.log_file, to_stderr=common.verbose >= 2)  # noqa: PLR2004  # -vv
    except OSError as error:
        raise ManifestError(f"--log-file {common.log_file}: cannot be written: {error.strerror}") from None


def as_argument(manifest: str) -> str:
    """The manifest as it stands in a command that is told to the user."""
    return "" if manifest == "manifest.toml" else f" {shlex.quote(manifest)}"


def print_json(document: Any) -> None:
    """One document on standard output, each item of its lists on a line of its own; they may be iterators."""
    sys.stdout.writelines(_json_lines(document))
    sys.stdout.write("\n")


def _json_lines(value: Any, indent: str = "") -> Iterator[str]:
    """JSON text in pieces. Lists are written item by item, since fast encoders know no such indentation."""
    if isinstance(value, dict) and not indent:
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield f"{',' if number else ''}\n {_json_of(key)}: "
            yield from _json_lines(item, " ")
        yield "\n}" if value else "}"
    elif isinstance(value, list | Iterator):
        empty = True
        for number, item in enumerate(value):
            yield f"{',' if number else '['}\n{indent} {_json_of(item)}"
            empty = False
        yield "[]" if empty else f"\n{indent}]"
    else:
        yield _json_of(value)


def _json_of(value: Any) -> str:
    """What `json.dumps` gives, several times as fast for a plan's many items."""
    import msgspec  # noqa: PLC0415  # only where it is needed: start-up is short

    from sedas_sync.model.text import as_json  # noqa: PLC0415  # as above

    try:
        text = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    except (TypeError, ValueError):
        return as_json(value)
    return text if text.isascii() and text.isprintable() else as_json(value)


def write_lines(lines: Iterable[str]) -> None:
    """A document for other tools on standard output: UTF-8, whatever the terminal speaks."""
    sys.stdout.buffer.writelines(line.encode("utf-8", "replace") for line in lines)


def warn_all(warnings: tuple[str, ...], common: Globals) -> None:
    """Each warning on standard error."""
    if not common.quiet:
        for warning in warnings:
            tell(f"warning: {warning}")


def tell_failures(failures: Any) -> None:
    """Each failure on standard error."""
    for failure in failures:
        tell(f"failed: {failure.id}: {failure.error}")


def tell(line: str) -> None:
    """A line on standard error; trouble (`warning: …`, `failed: …`) stands out where there is a terminal."""
    from sedas_sync.model.text import printable  # noqa: PLC0415
    from sedas_sync.output.style import look_of, marked  # noqa: PLC0415  # only where it is needed: start-up is short

    click.echo(marked(printable(line), look_of(sys.stderr)), err=True)


def end_with(code: int) -> NoReturn:
    """End the command with this exit code."""
    raise SystemExit(code)
