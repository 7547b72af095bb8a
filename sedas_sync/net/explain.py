"""Failed requests in words: what went wrong, and what a person can do about it."""

import http.client
import re
import socket
import ssl
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import urllib3.exceptions

from sedas_sync.net import certificates
from sedas_sync.net.policy import Proxy
from sedas_sync.net.redact import shorten

PROXY_LOGIN = 407


class FailureKind(Enum):
    """What a failure means for a retry."""

    PERMANENT = "a retry does not help"
    UNSENT = "no connection was made, so that the server cannot have acted on the request"
    BROKEN = "the server may have acted on the request"


def explain(error: BaseException, url: str, proxy: Proxy | None = None) -> tuple[str, FailureKind]:
    """Explain in one sentence why a request to `url` failed, and what that means for a retry."""
    parts = urlsplit(url)
    host = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    chain = chain_of(error)

    def first(*kinds: type[BaseException]) -> BaseException | None:
        return next((item for item in chain if isinstance(item, kinds)), None)

    unsent = first(urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) is not None
    if proxy is not None and (first(urllib3.exceptions.ProxyError) or unsent or _tunnel_status(chain)):
        return _explain_proxy(chain, host, proxy)
    untrusted = first(ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return certificates.untrusted(host, untrusted), FailureKind.PERMANENT
    if first(ssl.SSLError, urllib3.exceptions.SSLError):
        cut = first(ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
        return (
            f"the TLS connection to {host} failed: {_innermost(chain)}",
            FailureKind.BROKEN if cut else FailureKind.PERMANENT,
        )
    if unsent:
        return f"{host} cannot be reached: {_why_unsent(chain, parts.hostname or '')}", FailureKind.UNSENT
    if first(urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return f"{host} stopped answering: try again later, or raise [transfer] stall_timeout", FailureKind.BROKEN
    if first(urllib3.exceptions.DecodeError):
        return f"the answer of {host} cannot be decompressed", FailureKind.BROKEN
    if first(http.client.IncompleteRead):
        return f"the connection to {host} ended in the middle of the body, or a chunk is not valid", FailureKind.BROKEN
    if first(http.client.RemoteDisconnected):
        return f"{host} closed the connection without an answer", FailureKind.BROKEN
    if first(http.client.BadStatusLine, http.client.UnknownProtocol):
        return f"{host} does not speak HTTP/1.1", FailureKind.BROKEN
    return f"the connection to {host} broke ({_innermost(chain)})", FailureKind.BROKEN


def _why_unsent(chain: list[BaseException], host: str) -> str:
    """Explain why no connection was made."""
    if any(isinstance(item, urllib3.exceptions.NameResolutionError) for item in chain):
        return f"{host} is not found; check the address and the network"
    if any(isinstance(item, ConnectionRefusedError) for item in chain):
        return "it refused the connection; is the address right, and the service running?"
    if any(isinstance(item, urllib3.exceptions.ConnectTimeoutError) for item in chain):
        return "it did not accept a connection in time; check the network, or raise [transfer] connect_timeout"
    return _innermost(chain)


def chain_of(error: BaseException) -> list[BaseException]:
    """List an exception with all exceptions that it wraps: arguments, reasons, causes."""
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and not any(item is other for other in found):
            found.append(item)
            queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def _tunnel_status(chain: list[BaseException]) -> int | None:
    """Return the status with which a proxy refused a tunnel."""
    matches = (re.search(r"^Tunnel connection failed: (\d+)", str(item)) for item in chain)
    return next((int(match[1]) for match in matches if match), None)


def _explain_proxy(chain: list[BaseException], host: str, proxy: Proxy) -> tuple[str, FailureKind]:
    """Explain why a host was not reached through a proxy."""
    status = _tunnel_status(chain)
    if status == PROXY_LOGIN:
        return proxy.login_error(), FailureKind.PERMANENT
    if status is not None:
        return f"{proxy} does not reach {host} (HTTP {status})", FailureKind.UNSENT
    unknown = next((item for item in chain if isinstance(item, socket.gaierror)), None)
    return proxy.connect_error(unknown or chain[0], _innermost(chain)), FailureKind.UNSENT


def _innermost(chain: list[BaseException]) -> str:
    """Return the message of the deepest exception that has one."""
    for item in reversed(chain):
        message = getattr(item, "strerror", None) or (str(item) if not isinstance(item, KeyError) else "")
        if message:
            return shorten(re.sub(r"^<[^>]*>:?\s*|\(_ssl\.c:\d+\)", "", str(message)).strip(), 160)
    return type(chain[0]).__name__
