"""`python -m sedas_sync` is `sedas-sync`."""

import gc
import io
import os
import sys

from sedas_sync._version import __version__
from sedas_sync.cli import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def main() -> "NoReturn":
    """Run the command line; the version, and a locked run with nothing to do, without importing most of it."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        try:
            sys.stdout.write(f"sedas-sync {__version__}\n")
            sys.stdout.flush()
        except OSError:
            os._exit(1)
        sys.exit(0)
    # What is imported and what a plan is made of stays till the end: looking through it for cycles took an eighth of
    # the time to start, and as much of planning 100,000 scenes.
    gc.set_threshold(100_000, 20, 100)
    # Looking for plug-ins of pydantic, of which none would have anything to do here, reads every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    # Nothing here has numpy compute anything: threads that it would start ask for gigabytes of address space, and where
    # there are none it ends the process with a signal.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Until a command knows better, there is nothing to bring to an end.
    signals.handle(lambda number, _frame: os._exit(128 + number))
    _open_what_is_closed()
    _let_go_of_what_cannot_be_written()
    _be_quick(sys.argv[1:])
    try:
        from sedas_sync.cli import main  # noqa: PLC0415  # see above

        main()
    except (MemoryError, ImportError, OSError):
        # Not even the command line could be loaded: libraries say in different ways that memory is short.
        os.write(2, b"error: sedas-sync cannot be loaded: too little memory (`ulimit -v`), or a damaged installation\n")
        os._exit(1)


def _be_quick(arguments: list[str]) -> None:
    """End the process here where it is a locked run that plainly has nothing to do."""
    if "--locked" not in arguments:
        return
    from sedas_sync.operations.noop import is_plain, nothing_to_do  # noqa: PLC0415  # see above

    manifest = is_plain(arguments)
    told = None if manifest is None else nothing_to_do(manifest)
    if told is None:
        return
    try:
        if "--json" in arguments:
            from sedas_sync.model.text import as_json  # noqa: PLC0415  # see above

            sys.stdout.write(f"{as_json(told.start)}\n{as_json(told.summary)}\n")
        else:
            from sedas_sync.output.choose_reporter import view  # noqa: PLC0415  # see above

            quiet = bool({"-q", "--quiet"} & set(arguments))
            shown = view(json_lines=False, level=-1 if quiet else 0, progress=False)
            for event in told.events():
                shown(event)
            shown.close()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        # Whoever read the output has gone; there is nobody left to tell.
        os._exit(1)
    os._exit(0)


def _open_what_is_closed() -> None:
    """Give streams that the caller has closed an end that swallows everything, as supervisors expect."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  # open as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # as above
    if sys.stderr is None:
        # What wraps it below does not own it: closed with this object, its number would be the next file's.
        swallows = os.open(os.devnull, os.O_WRONLY)
        sys.stderr = open(swallows, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # as above


class _Lossy(io.FileIO):
    """A file that swallows what it cannot take: a log on a full disk, or one whose reader has gone, stops no run."""

    def write(self, data: "Any") -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return len(data) if written is None else written


def _let_go_of_what_cannot_be_written() -> None:
    """Have standard error drop what fails to be written, and standard output where it is a terminal that may go."""
    sys.stderr = _lossy(sys.stderr)
    if sys.stdout.isatty():
        sys.stdout = _lossy(sys.stdout)


def _lossy(stream: "Any") -> "Any":
    try:
        raw = _Lossy(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=True
    )


if __name__ == "__main__":
    main()
