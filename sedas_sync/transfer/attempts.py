"""Failed attempts of a download: which are repeated, how often, and after which pause.

An attempt that fails for a temporary reason is repeated `Policy.retries` times, after a pause that doubles, or after
the pause that the server asks for. The count starts again if the attempts since the last start have got at least
1 MiB or 1 % of the scene further than any attempt before: a link that breaks every few hundred megabytes delivers.
"""

import random

from sedas_sync import errors
from sedas_sync.net.retry import backoff
from sedas_sync.transfer.job import FetchJob
from sedas_sync.transfer.shared_state import SharedState

RETRY_AFTER_LIMIT = 3600.0
"""Seconds. If a server asks for a longer pause, the download fails."""

BUSY_LIMIT = 3600.0
"""Seconds that a download waits while others of the same account keep the service busy."""

_MAX_CHANGES = 2
_MAX_DAMAGED = 2
_PROGRESS = 1 << 20


class AttemptFailed(Exception):
    """This attempt has failed, another may succeed.

    `delay` is the pause that the server asks for, `relocate` whether a new link may help, and `busy` whether only
    other downloads of the account are in the way.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int | None = None,
        delay: float | None = None,
        relocate: bool = False,
        busy: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.delay = delay
        self.relocate = relocate
        self.busy = busy


class RemoteFileChanged(Exception):
    """The bytes on disk do not belong to the file that the server has now, and were discarded."""


class DamagedFile(Exception):
    """All bytes came, and they are not the scene; `checksum` if a checksum differs."""

    def __init__(self, text: str, *, checksum: bool) -> None:
        super().__init__(text)
        self.checksum = checksum


class Attempts:
    """Counts the failed attempts of one download, and waits between them.

    Args:
        job: The download.
        shared: What downloads share.
        downloaded: Bytes on disk at the start.
    """

    def __init__(self, job: FetchJob, shared: SharedState, downloaded: int) -> None:
        self._job = job
        self._shared = shared
        self._policy = job.policy
        self._failures = self._waits = 0
        self._busy_until = shared.clock() + BUSY_LIMIT
        self._farthest = self._mark = downloaded
        self._changes = self._damaged = 0
        self._joined_failed = False

    def changed(self) -> AttemptFailed | None:
        """Count a file that changed on the server; None: start again at once."""
        self._changes += 1
        return None if self._changes <= _MAX_CHANGES else AttemptFailed("the file at the server keeps changing")

    def damaged(self, error: DamagedFile, *, joined: bool) -> AttemptFailed | None:
        """Count a damaged file; None: start again at once.

        Args:
            error: The damage.
            joined: Whether the file was joined from several answers; the first time, the joints are to blame.

        Raises:
            IntegrityError: The file has been damaged too often.
        """
        if joined and not self._joined_failed:
            self._joined_failed = True
            return None
        self._damaged += 1
        if self._damaged > (1 if error.checksum else min(_MAX_DAMAGED, self._policy.retries)):
            raise errors.IntegrityError(f"the download is not the scene: {error}") from error
        if error.checksum and not self._policy.retries:
            # A wrong checksum gets one more attempt even with `retries = 0`.
            return None
        return AttemptFailed(f"the download is not the scene: {error}")

    def wait(self, failure: AttemptFailed, downloaded: int, total: int | None) -> None:
        """Wait for the next attempt.

        Args:
            failure: Why the last one failed.
            downloaded: Bytes on disk.
            total: Size of the file; None if unknown.

        Raises:
            TransferError: No attempt is left, or the server asks for too long a pause.
        """
        if self._progressed(downloaded, total):
            self._failures = self._waits = 0
            self._busy_until = self._shared.clock() + BUSY_LIMIT
        if failure.busy and self._shared.clock() + (failure.delay or 0.0) < self._busy_until:
            self._waits += 1
            self._pause(self._waits, failure)
            return
        self._failures += 1
        too_long = failure.delay is not None and failure.delay > RETRY_AFTER_LIMIT
        if self._failures > self._policy.retries or too_long:
            asked = f"; the server asks to wait {failure.delay:.0f} s" if too_long else ""
            count = f" (given up after {self._failures} tries)" if self._failures > 1 else ""
            raise errors.TransferError(
                f"{failure}{count}{asked}", status=failure.status, retryable=True, relocate=failure.relocate
            )
        self._pause(self._failures, failure)

    def _progressed(self, downloaded: int, total: int | None) -> bool:
        self._farthest = max(self._farthest, downloaded)
        enough = _PROGRESS if total is None else min(_PROGRESS, total // 100 + 1)
        if self._farthest - self._mark < enough:
            return False
        self._mark = self._farthest
        return True

    def _pause(self, number: int, failure: AttemptFailed) -> None:
        delay = failure.delay
        if delay is None:
            chance = random.random()  # noqa: S311  # spreads retries, protects nothing
            delay = backoff(number - 1, chance, self._policy.backoff, self._policy.backoff_max)
        if self._shared.on_retry is not None:
            self._shared.on_retry(self._job.id, number, str(failure), delay)
        if delay > 0:
            # Another download may use the connection meanwhile.
            self._shared.budget.release()
            try:
                self._shared.wait(delay)
            finally:
                self._shared.budget.acquire()
