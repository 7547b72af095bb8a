"""The sandbox's log: one entry per request, and counts of them."""

from dataclasses import dataclass
from typing import Any

from sedas_sync.sandbox.faults import Endpoint, SandboxRequest


@dataclass(slots=True)
class LoggedRequest:
    """One request in the sandbox's log."""

    method: str
    path: str
    endpoint: Endpoint
    query: Any
    """The decoded JSON body or the query parameters, without the password."""
    status: int
    authorised: bool
    """Whether the request had an Authorization header, valid or not."""
    sent: int = 0
    """Bytes of the body that were sent."""
    user_agent: str = ""
    range: str | None = None


class RequestCounts:
    """Counts of the requests in a log."""

    log: list[LoggedRequest]
    """Other threads append to it, so it is copied before it is read."""

    @property
    def searches(self) -> int:
        """Number of searches so far."""
        return self._count("search")

    @property
    def logins(self) -> int:
        """Number of logins so far, failed ones included."""
        return self._count("login")

    @property
    def orders(self) -> int:
        """Number of orders so far, refused ones not included."""
        return sum(entry.endpoint == "order" and entry.status == 200 for entry in tuple(self.log))  # noqa: PLR2004

    @property
    def downloads(self) -> int:
        """Number of GET requests for a product so far."""
        return sum(entry.endpoint == "download" and entry.method == "GET" for entry in tuple(self.log))

    @property
    def bytes_sent(self) -> int:
        """Bytes of products sent so far."""
        return sum(entry.sent for entry in tuple(self.log) if entry.endpoint == "download")

    def _count(self, endpoint: Endpoint) -> int:
        return sum(entry.endpoint == endpoint for entry in tuple(self.log))


def entry_of(request: SandboxRequest, status: int) -> LoggedRequest:
    """Return the log entry of a request."""
    return LoggedRequest(
        request.method,
        request.path,
        request.endpoint,
        _shown(request),
        status,
        "authorization" in request.headers,
        user_agent=request.headers.get("user-agent", ""),
        range=request.headers.get("range"),
    )


def _shown(request: SandboxRequest) -> Any:
    """Return the parameters of a request for the log, without the password."""
    if isinstance(request.json, dict):
        return {key: value for key, value in request.json.items() if key != "password"}
    return dict(request.query) if request.json is None else request.json
