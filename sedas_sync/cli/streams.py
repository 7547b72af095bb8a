"""Standard streams that do not stop a run: closed ones, terminals and readers that are gone, and full disks."""

import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def prepare_streams() -> None:
    """Open closed streams, and let standard error drop what cannot be written.

    Standard output does so only if it is a terminal: a file or a pipe that cannot be written is an error.
    """
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123  # it stays open
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123  # it stays open
    if sys.stderr is None:
        # The lossy stream does not own the descriptor: if this object closed it, the next file would get its number.
        null = os.open(os.devnull, os.O_WRONLY)
        sys.stderr = open(null, "w", encoding="utf-8", closefd=False)  # noqa: SIM115  # it stays open
    sys.stderr = _lossy(sys.stderr)
    if sys.stdout.isatty():
        sys.stdout = _lossy(sys.stdout)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's encoding lacks is not a reason to fail.
            stream.reconfigure(errors="backslashreplace")


class _LossyFile(io.FileIO):
    """A file that drops data that cannot be written."""

    def write(self, data: "ReadableBuffer") -> int:
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


def _lossy(stream: TextIO) -> TextIO:
    try:
        raw = _LossyFile(stream.fileno(), "w", closefd=False)
    except (OSError, ValueError):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=stream.encoding, errors="backslashreplace", line_buffering=True
    )
