"""`python -m sedas_sync` is `sedas-sync`."""

import gc
import os
import signal
import sys
from typing import NoReturn

from sedas_sync import __version__


def main() -> NoReturn:
    """Run the command line; the version is told without importing any of it."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        sys.stdout.write(f"sedas-sync {__version__}\n")
        sys.exit(0)
    # What is imported and what a plan is made of stays till the end: looking through it for cycles took an eighth of
    # the time to start, and as much of planning 100,000 scenes.
    gc.set_threshold(100_000, 20, 100)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Until a command knows better, there is nothing to bring to an end.
        signal.signal(number, lambda number, _frame: os._exit(128 + number))
    _open_what_is_closed()
    from sedas_sync.cli import main  # noqa: PLC0415  # see above

    main()


def _open_what_is_closed() -> None:
    """Give streams that the caller has closed an end that swallows everything, as supervisors expect."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  # open as long as the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # as above
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # as above


if __name__ == "__main__":
    main()
