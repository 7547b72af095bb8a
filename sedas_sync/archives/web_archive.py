"""What all archives with an API have in common: their connections."""

from collections.abc import Mapping
from datetime import datetime
from types import TracebackType
from typing import Self

from sedas_sync.manifest import TransferConfig
from sedas_sync.model.scene import Reach
from sedas_sync.net import session


def api_for(transfer: TransferConfig, reach: Reach) -> session.Api:
    """Return what sends requests with the retries and timeouts of a manifest, to where `reach` allows."""
    return session.Api(
        retries=transfer.retries,
        connect_timeout=transfer.connect_timeout,
        stall_timeout=transfer.stall_timeout,
        reach=reach,
    )


class WebArchive:
    """An archive with an API. A context manager that closes its connections.

    Args:
        url: The address of the API.
        api: Sends its requests.
    """

    def __init__(self, url: str, api: session.Api) -> None:
        self._url = url
        self._api = api

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    @property
    def calls(self) -> Mapping[str, int]:
        """See `CountsCalls`."""
        return self._api.calls

    @property
    def retrying(self) -> str:
        """See `ReportsRetries`."""
        return self._api.retrying

    @property
    def server_time(self) -> datetime | None:
        """The current time of the server; None before its first answer."""
        return self._api.server_time

    def stop(self) -> None:
        """Make calls in other threads end early instead of waiting for their next try; later calls fail."""
        self._api.stop()

    def interrupt(self) -> None:
        """Make calls that run in other threads end early; later calls work."""
        self._api.interrupt()

    @property
    def stopped(self) -> bool:
        """Whether `stop` or `close` was called."""
        return self._api.stopped

    def close(self) -> None:
        """Close the connections. Calls in other threads end."""
        self._api.close()
