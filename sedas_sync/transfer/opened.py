"""Answers from a source that is no URL: an archive opens it as a stream (`Download.open`).

The stream becomes an answer as a server would send it, so that ranges, resume, rate, stop and proof work as they do for
a link. A thread of its own reads the stream, because nothing else can end a read that hangs.
"""

import io
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import IO, BinaryIO, cast

import urllib3

from sedas_sync import errors
from sedas_sync.files.threads import DaemonThread
from sedas_sync.net.connections import OK, PARTIAL, UNSATISFIABLE, Answer, ConnectionFailed
from sedas_sync.net.policy import Origin
from sedas_sync.transfer.attempts import AttemptFailed

Opener = Callable[[int, int | None], BinaryIO]
"""See `Download.open`."""

_PIECE = 1 << 18
"""Bytes of one read."""
_AHEAD = 4
"""Pieces that are read before they are needed."""
_CHECK = 0.1
"""Seconds between two looks at the stop event."""
_ORIGIN = Origin("source", "", 0)
_REFUSED = frozenset({401, 403, 404, 410})
"""Statuses with which another source may help."""


def opened_answer(
    opener: Opener, start: int, end: int | None, *, size: int | None, stop: threading.Event, stall_timeout: float
) -> Answer:
    """Open a source and return its bytes as an answer: those that are asked for, or all if it cannot seek.

    Args:
        opener: Opens it.
        start: First byte.
        end: The byte after the last one; None for the rest.
        size: Of the whole file; None if unknown, and then the source is read from the start.
        stop: Ends every wait with `InterruptedError`.
        stall_timeout: Seconds without a byte after which the source has failed.

    Raises:
        AttemptFailed, ConnectionFailed: The source failed; another try may succeed.
        TransferError: It cannot be read. `relocate`: the archive may have another source.
        InterruptedError: The stop event was set.
    """
    if size is None:
        return _answer(OK, {}, _Reader(opener, 0, None, stop, stall_timeout), stop)
    if start >= size > 0:
        return _answer(UNSATISFIABLE, {"content-range": f"bytes */{size}"}, io.BytesIO(), stop)
    last = size if end is None else min(end, size)
    ranged = start > 0 or last < size
    if ranged:
        with suppress(io.UnsupportedOperation):
            reader = _Reader(opener, start, last - start, stop, stall_timeout)
            return _answer(PARTIAL, {"content-range": f"bytes {start}-{last - 1}/{size}"}, reader, stop, last - start)
    reader = _Reader(opener, 0, size, stop, stall_timeout)
    return _answer(OK, {} if ranged else {"accept-ranges": "bytes"}, reader, stop, size)


def _answer(
    status: int,
    headers: dict[str, str],
    body: "io.BytesIO | _Reader",
    stop: threading.Event,
    length: int | None = None,
) -> Answer:
    def failed(error: BaseException) -> Exception:
        return InterruptedError("stopped") if stop.is_set() else ConnectionFailed(f"the source failed: {error}")

    if length is not None:
        headers["content-length"] = str(length)
    response = urllib3.HTTPResponse(
        body=cast("IO[bytes]", body),
        headers=headers,
        status=status,
        preload_content=False,
        sock_shutdown=lambda _: body.close(),
    )
    return Answer(response, _ORIGIN, failed)


class _Reader:
    """Reads a stream in a thread. A constructor that returns has opened it."""

    def __init__(
        self, opener: Opener, start: int, length: int | None, stop: threading.Event, stall_timeout: float
    ) -> None:
        self._opener = opener
        self._left = length
        self._stop = stop
        self._stall_timeout = stall_timeout
        self._pieces: queue.Queue[bytes | BaseException] = queue.Queue(_AHEAD)
        self._rest = b""
        self._ended = threading.Event()
        self.closed = False
        DaemonThread(lambda: self._run(start))
        # The first piece is empty: the source is open.
        self._next()

    def read(self, most: int) -> bytes:
        """Return the next bytes; none at the end of the stream."""
        return self.read1(most)

    def read1(self, most: int) -> bytes:
        """Return the next bytes as soon as there are any; none at the end of the stream."""
        if not self._rest and not self.closed:
            self._rest = self._next()
        data, self._rest = self._rest[:most], self._rest[most:]
        return data

    def close(self) -> None:
        """End the thread, when its present read has ended."""
        self.closed = True
        self._ended.set()

    def _next(self) -> bytes:
        for _ in range(max(1, round(self._stall_timeout / _CHECK))):
            try:
                piece = self._pieces.get(timeout=_CHECK)
            except queue.Empty:
                if self._stop.is_set():
                    self.close()
                    raise InterruptedError from None
                if self.closed:
                    raise ConnectionFailed("the source was closed") from None
                continue
            if isinstance(piece, bytes):
                return piece
            self.close()
            raise _failure(piece) from piece
        self.close()
        raise ConnectionFailed(f"the source sent nothing for {self._stall_timeout:g} s")

    def _run(self, start: int) -> None:
        try:
            stream = self._opener(start, self._left)
            try:
                self._put(b"")
                while not self._ended.is_set() and self._left != 0:
                    piece = stream.read(_PIECE if self._left is None else min(_PIECE, self._left))
                    self._left = None if self._left is None else self._left - len(piece)
                    self._put(bytes(piece))
                    if not piece:
                        return
                self._put(b"")
            finally:
                stream.close()
        except BaseException as error:  # noqa: BLE001  # raised where the bytes are needed
            self._put(error)

    def _put(self, piece: bytes | BaseException) -> None:
        while not self._ended.is_set():
            with suppress(queue.Full):
                self._pieces.put(piece, timeout=_CHECK)
                return


def _failure(error: BaseException) -> Exception:
    """Return what to raise for an error of an archive's source."""
    text = str(error) or type(error).__name__
    if isinstance(error, errors.ArchiveError) and (error.retryable or error.retry_after is not None):
        return AttemptFailed(text, status=error.status, delay=error.retry_after)
    if isinstance(error, errors.ArchiveError | errors.AuthenticationError):
        status = getattr(error, "status", None)
        relocate = isinstance(error, errors.AuthenticationError) or status in _REFUSED
        return errors.TransferError(text, status=status, relocate=relocate)
    if isinstance(error, errors.SedasSyncError | io.UnsupportedOperation):
        return error
    if isinstance(error, FileNotFoundError | PermissionError):
        return errors.TransferError(f"the source cannot be opened: {text}", relocate=True)
    if isinstance(error, OSError | EOFError):
        return ConnectionFailed(f"the source failed: {text}")
    return errors.TransferError(f"the archive's source failed: {type(error).__name__}: {text}")
