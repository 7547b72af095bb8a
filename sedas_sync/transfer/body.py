"""One answer read from its first byte to its last, into the partial file."""

import time
from typing import TYPE_CHECKING

from sedas_sync.net import wire
from sedas_sync.transfer.attempts import AttemptFailed, DamagedFile
from sedas_sync.transfer.prove import StreamProof
from sedas_sync.transfer.ranges import MEASURE, MIN_RANGE, Meter

if TYPE_CHECKING:
    from sedas_sync.transfer.fetch import FetchRun


class BodyReader:
    """The body of an answer that continues the bytes on disk.

    Args:
        run: The download.
        response: The answer, its body unread.
    """

    def __init__(self, run: "FetchRun", response: wire.Response) -> None:
        self._run = run
        self._shared = run.shared
        self._response = response
        self._partial = run.incoming.partial
        self._total = run.incoming.total
        self._proof = StreamProof(self._partial, run.incoming.proof, run.shared)
        self._meter = Meter(run.shared.clock(), self._partial.contiguous)

    def read(self) -> bool:
        """Read the body.

        Returns:
            True if further connections are worthwhile. The rest of the body is then unread.

        Raises:
            AttemptFailed: The body is empty or not a scene.
            DamagedFile: The body is too long.
            ConnectionFailed: The connection broke or stalled.
            InterruptedError: The run stops.
        """
        shared, response, timer = self._shared, self._response, self._run.requests.stall_timer()
        own = shared.borrow()
        size = shared.read_size(len(own))
        try:
            while not response.ended:
                self._proof.adapt(self._total)
                view = self._proof.buffer(own)
                count = self._receive(view[:size])
                if count is None:
                    timer.check()
                elif count:
                    timer.reset()
                    self._write(view[:count])
                if self._run.splittable and self._is_split_worthwhile():
                    return True
        finally:
            self._proof.stop()
            shared.return_buffers(own)
        if not self._partial.contiguous:
            raise AttemptFailed("the server sent an empty body", relocate=True)
        return False

    def _receive(self, view: memoryview) -> int | None:
        clock = self._shared.clock
        began, busy = clock(), time.thread_time()
        count = self._response.read_into(view)
        # Time of the kernel and of TLS is not time spent waiting for bytes.
        self._meter.waited(clock() - began - (time.thread_time() - busy))
        return count

    def _write(self, view: memoryview) -> None:
        position = self._partial.contiguous
        if self._total is not None and position + len(view) > self._total:
            raise DamagedFile("the server sent more bytes than it stated", checksum=False)
        if not position:
            self._run.incoming.set_kind(self._run.requests.kind(self._response, view))
        self._partial.append(view, last=self._response.ended and not position)
        self._proof.update(view, position)
        self._run.count(len(view))
        self._shared.throttle(len(view))
        if self._shared.stop.is_set():
            raise InterruptedError

    def _is_split_worthwhile(self) -> bool:
        shared, position, total = self._shared, self._partial.contiguous, self._total
        pace = self._meter.pace(shared.clock(), position)
        if pace is not None:
            shared.report_pace(id(self._run), pace)
        if total is None or not position or total - position < 2 * MIN_RANGE:
            return False
        segments = self._run.policy.segments
        if not segments and (not shared.spare or shared.rate is not None):
            return False
        response = self._response
        if response.headers.get("accept-ranges", "").strip().lower() != "bytes" and response.status != wire.PARTIAL:
            return False
        if segments:
            return True
        response.connection.tick(MEASURE)
        return pace is not None and self._meter.is_slow(pace, shared.pace, total - position)
