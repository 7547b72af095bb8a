"""A Dask cluster as an executor, with the extra `sedas-sync[dask]`.

`Mirror.apply` also works with Dask's own `Client.get_executor(pure=False)`. This executor can also check every worker
before the run, and does not cancel calls that run.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from sedas_sync.errors import ManifestError
from sedas_sync.files.extras import load_extra
from sedas_sync.workers.claim import WorkerLost

CONNECT_TIMEOUT = 10.0
"""Seconds."""
_STEP = 0.05


@contextmanager
def dask_cluster(scheduler: str, *, timeout: float = CONNECT_TIMEOUT) -> Iterator["DaskExecutor"]:
    """Connect to a Dask scheduler. Dask's own log of the connection is silenced: errors are raised.

    Args:
        scheduler: Its address (`tcp://host:8786`, `tls://…`), or its scheduler file (`….json`).
        timeout: Of the connection, and of each reconnection, seconds.

    Raises:
        ManifestError: The extra `dask` is not installed, or no scheduler answers.
    """
    distributed = load_extra("distributed", "dask", "a run on a Dask cluster, here and on every worker,")
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        # Dask waits forever for a scheduler file that does not exist.
        address = scheduler
        if scheduler.endswith(".json"):
            address = json.loads(Path(scheduler).read_text("utf-8"))["address"]
        client = distributed.Client(address, timeout=timeout, set_as_default=False, name="sedas-sync")
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ManifestError(f"no Dask scheduler answers at {scheduler}: {reason}") from error
    with client:
        yield DaskExecutor(client)


def _killed(error: BaseException) -> WorkerLost | None:
    """Return a short error if Dask gave up because workers were lost too often."""
    last = getattr(error, "last_worker", None)
    return None if last is None else WorkerLost(f"its worker {last.name} was lost")


class DaskExecutor(Executor):
    """The workers of a Dask client, as an executor.

    A call cannot be cancelled: Dask forgets it, and its worker continues.

    Args:
        client: A `distributed.Client`; the caller closes it.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._futures: dict[Future[Any], Any] = {}

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function on a worker. The key of the task is random, so that it does not show the arguments.

        Raises:
            RuntimeError: The connection to the scheduler is lost.
        """
        while self._client.status == "connecting":
            # Dask's timeout ends this. Without a scheduler, a client would keep the call forever.
            time.sleep(_STEP)
        if self._client.status != "running":
            raise RuntimeError(f"the connection to Dask's scheduler is {self._client.status}")
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        dask_future = self._client.submit(fn, *args, key=f"sedas-sync-{uuid4().hex}", pure=False, **kwargs)
        # Dask cancels a task that no future refers to.
        self._futures[future] = dask_future
        dask_future.add_done_callback(lambda done: self._done(done, future))
        return future

    def _done(self, dask_future: Any, future: Future[Any]) -> None:
        try:
            result = dask_future.result()
        except BaseException as error:  # noqa: BLE001  # it belongs to the future
            cancelled = isinstance(error, CancelledError) or dask_future.status in ("cancelled", "lost")
            failed = WorkerLost(f"Dask did not finish the call: {dask_future.status}") if cancelled else error
            with suppress(InvalidStateError):
                future.set_exception(_killed(error) or failed)
        else:
            with suppress(InvalidStateError):
                future.set_result(result)
        finally:
            self._futures.pop(future, None)

    def everywhere(self, fn: Callable[..., Any], *args: Any) -> Mapping[str, Any]:
        """Call a function on every worker; return results and exceptions by worker."""
        answers: Mapping[str, Any] = self._client.run(fn, *args, on_error="return")
        return answers

    def workers(self) -> int:
        """Return the number of workers."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])
