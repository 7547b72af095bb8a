"""A Dask cluster as an executor, with the extra `sedas-sync[dask]`.

Dask's own `Client.get_executor(pure=False)` does as well for `Mirror.apply`. This one can also ask every worker at once
whether it can work for a mirror, and leaves calls that run to end by themselves.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

from sedas_sync.errors import ManifestError
from sedas_sync.workers.claim import WorkerLost

__all__ = ["DaskExecutor", "dask_cluster"]

CONNECT_TIMEOUT = 10.0
"""Seconds until a scheduler has to answer."""
_STEP = 0.05


@contextmanager
def dask_cluster(scheduler: str, *, timeout: float = CONNECT_TIMEOUT) -> Iterator["DaskExecutor"]:
    """Connect to a Dask scheduler. What Dask's client logs of the connection is silenced: errors are raised.

    Args:
        scheduler: its address (`tcp://host:8786`, `tls://…`), or its scheduler file (`….json`).
        timeout: seconds until it has to answer, and until one that was lost has to be back.

    Raises:
        ManifestError: `distributed` is not installed, or no scheduler answers.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise ManifestError(
            "Dask is not installed here: install the extra `sedas-sync[dask]`, on every worker too"
        ) from None
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        # Dask would wait for a scheduler file that is not there, for ever.
        address = _address_in(scheduler) if scheduler.endswith(".json") else scheduler
        client = distributed.Client(address, timeout=timeout, set_as_default=False, name="sedas-sync")
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ManifestError(f"no Dask scheduler answers at {scheduler}: {reason}") from error
    with client:
        yield DaskExecutor(client)


def _killed(error: BaseException) -> WorkerLost | None:
    """In few words what Dask says in many when a worker was lost more often than it allows."""
    last = getattr(error, "last_worker", None)
    return None if last is None else WorkerLost(f"its worker {last.name} was lost")


def _address_in(file: str) -> str:
    return str(json.loads(Path(file).read_text("utf-8"))["address"])


class DaskExecutor(Executor):
    """The workers of a Dask client, as an executor.

    A call cannot be taken back: Dask forgets one that is cancelled, and its worker goes on with it all the same.

    Args:
        client: a `distributed.Client`; it stays the caller's.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._theirs: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have a worker call a function. The task's key is a random one, and tells nothing of its arguments.

        Raises:
            RuntimeError: the scheduler is gone, and did not come back for a while.
        """
        self._await_scheduler()
        mine: Future[Any] = Future()
        mine.set_running_or_notify_cancel()
        theirs = self._client.submit(fn, *args, key=f"sedas-sync-{uuid4().hex}", pure=False, **kwargs)
        # Dask drops what nobody holds.
        self._theirs[mine] = theirs
        theirs.add_done_callback(lambda done: self._done(done, mine))
        return mine

    def _await_scheduler(self) -> None:
        """See to it that there is a scheduler: what a client is given without one, it keeps for ever."""
        while self._client.status == "connecting":
            # Dask ends this, after the client's timeout.
            time.sleep(_STEP)
        if self._client.status != "running":
            raise RuntimeError(f"the connection to Dask's scheduler is {self._client.status}")

    def _done(self, theirs: Any, mine: Future[Any]) -> None:
        try:
            result = theirs.result()
        except BaseException as error:  # noqa: BLE001  # whatever it is belongs to the future
            cancelled = isinstance(error, CancelledError) or theirs.status in ("cancelled", "lost")
            failed = WorkerLost(f"Dask has given it up: {theirs.status}") if cancelled else error
            with suppress(InvalidStateError):
                mine.set_exception(_killed(error) or failed)
        else:
            with suppress(InvalidStateError):
                mine.set_result(result)
        finally:
            self._theirs.pop(mine, None)

    def everywhere(self, fn: Callable[..., Any], *args: Any) -> Mapping[str, Any]:
        """Call a function in every worker that there is now; returns answers and exceptions by worker."""
        answers: Mapping[str, Any] = self._client.run(fn, *args, on_error="return")
        return answers

    def workers(self) -> int:
        """How many workers there are now."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])
