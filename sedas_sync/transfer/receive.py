"""What happens to received bytes: they are written, proved and counted before more are read."""

import math

from sedas_sync.net.connections import Answer
from sedas_sync.transfer import prove
from sedas_sync.transfer.answers import FileRequests
from sedas_sync.transfer.incoming import IncomingFile
from sedas_sync.transfer.range_table import Range
from sedas_sync.transfer.shared_state import SharedState

_SMALL = 1 << 18
"""Bytes of the largest file that has no note until its download ends: the note costs a flush and a rename."""


class Receiver:
    """Writes the bytes of a file as they arrive, and proves them, in the same thread or in others.

    Args:
        incoming: The file.
        requests: Its requests.
        shared: What downloads share.
    """

    def __init__(self, incoming: IncomingFile, requests: FileRequests, shared: SharedState) -> None:
        self._incoming = incoming
        self._requests = requests
        self._shared = shared
        self._follower: prove.Follower | None = None
        self.split = False
        """Whether several connections send ranges of the file, in any order."""

    def take(self, data: bytes, start: int, answer: Answer) -> None:
        """Write bytes; any thread may call it after `split` was set.

        Args:
            data: The bytes, not empty.
            start: Their position in the file.
            answer: Where they come from.

        Raises:
            InterruptedError: The run stops. The bytes are written.
        """
        incoming, shared = self._incoming, self._shared
        if not start:
            incoming.set_kind(self._requests.kind(answer, data))
        if self.split:
            incoming.partial.write_at(data, start)
        else:
            # Only a kill loses the bytes of a small file; a stop writes the note.
            last = (not start and answer.ended) or (incoming.total or math.inf) <= _SMALL
            incoming.partial.append(data, last=last)
        if self._follower is not None:
            self._follower.notify()
        elif incoming.proof.position == start:
            incoming.proof.update(data)
        incoming.count(len(data))
        shared.throttle(len(data))
        if shared.stop.is_set():
            raise InterruptedError

    def follow(self) -> None:
        """Prove in threads from now on."""
        if self._follower is None and self._incoming.proof.digesters:
            self._follower = prove.Follower(self._incoming.partial, self._incoming.proof)

    def follow_if_worthwhile(self, one: Range) -> None:
        """Prove in threads if processors are idle, or if bytes of an earlier run must be read.

        Args:
            one: What is being fetched, behind the first bytes: these show what is to be proved.
        """
        proved = self._incoming.proof.position
        if self._follower is not None or math.isinf(one.end) or one.end - proved < prove.WORTHWHILE:
            return
        if proved != one.position or self._shared.budget.running * 2 <= prove.PROCESSORS:
            self.follow()

    def end(self, *, whole: bool) -> None:
        """End the threads that prove; if the file is whole, after its last byte."""
        if self._follower is None:
            return
        if whole:
            self._follower.finish()
        else:
            self._follower.stop()
