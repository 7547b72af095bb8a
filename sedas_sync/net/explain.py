"""Failed requests in words: what went wrong, and what a person can do about it."""

import re
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3.exceptions

from sedas_sync.net import certificates
from sedas_sync.net.policy import Proxy
from sedas_sync.net.redact import shorten

PROXY_LOGIN = 407


def never_connected(error: BaseException) -> bool:
    """Whether no connection was made, so that the server cannot have acted on the request."""
    return any(
        isinstance(item, urllib3.exceptions.NewConnectionError | urllib3.exceptions.ConnectTimeoutError)
        for item in _chain(error)
    )


def explain(error: BaseException, url: str, proxy: Proxy | None = None) -> str:
    """Explain in one sentence why a request to `url` failed."""
    host = urlsplit(url).netloc.rpartition("@")[2]
    chain = _chain(error)

    def first(*kinds: type[BaseException]) -> BaseException | None:
        return next((item for item in chain if isinstance(item, kinds)), None)

    if proxy is not None and (first(requests.exceptions.ProxyError) or never_connected(error)):
        return _explain_proxy(chain, host, proxy)
    untrusted = first(ssl.SSLCertVerificationError)
    if isinstance(untrusted, ssl.SSLCertVerificationError):
        return certificates.untrusted(host, untrusted)
    if first(requests.exceptions.SSLError, urllib3.exceptions.SSLError):
        return f"the TLS connection to {host} failed: {_innermost(chain)}"
    if first(urllib3.exceptions.NameResolutionError):
        return f"the host {host} is not found: check the address and the network"
    if first(ConnectionRefusedError):
        return f"{host} refused the connection: is the address right, and the service running?"
    if first(requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError):
        return f"{host} did not accept a connection in time: check the network, or raise [transfer] connect_timeout"
    if first(requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError):
        return f"{host} stopped answering: try again later, or raise [transfer] stall_timeout"
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return f"the answer of {host} cannot be decompressed"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return f"{shorten(url)!r} is not a valid http or https URL"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ConnectionError):
        return f"the connection to {host} broke ({_innermost(chain)})"
    return f"the request to {host} failed ({_innermost(chain)})"


def _chain(error: BaseException) -> list[BaseException]:
    """List an exception with all exceptions that it wraps: arguments, reasons, causes."""
    found: list[BaseException] = []
    queue: list[Any] = [error]
    while queue:
        item = queue.pop(0)
        if isinstance(item, BaseException) and not any(item is other for other in found):
            found.append(item)
            queue += [*item.args, getattr(item, "reason", None), item.__cause__, item.__context__]
    return found


def _explain_proxy(chain: list[BaseException], host: str, proxy: Proxy) -> str:
    """Explain why a host was not reached through a proxy."""
    answer = next(
        (match for item in chain if (match := re.search(r"^Tunnel connection failed: (\d+)", str(item)))), None
    )
    if answer is not None:
        status = int(answer[1])
        return proxy.login_error() if status == PROXY_LOGIN else f"{proxy} does not reach {host} (HTTP {status})"
    unknown = next((item for item in chain if isinstance(item, socket.gaierror)), None)
    return proxy.connect_error(unknown or chain[0], _innermost(chain))


def _innermost(chain: list[BaseException]) -> str:
    """Return the message of the deepest exception that has one."""
    for item in reversed(chain):
        message = getattr(item, "strerror", None) or (str(item) if not isinstance(item, KeyError) else "")
        if message:
            return shorten(re.sub(r"^<[^>]*>:?\s*|\(_ssl\.c:\d+\)", "", str(message)).strip(), 160)
    return type(chain[0]).__name__
