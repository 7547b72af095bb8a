"""How servers are reached: through which proxy, at which addresses, trusting which certificates.

One policy for every request of the package, of an API as of a download:

- A loopback address is never asked through a proxy, nor is a host that `no_proxy` names.
- A link of a catalogue never leads to an address of the link, of a cloud's metadata service or of nobody. It leads to a
  loopback or private address only where the archive's API is at such an address itself, or `trusted_hosts` names the
  host. The address that is connected to is checked, not the name: a name may mean another address a moment later.
  Through a proxy it is the proxy that looks the name up, and only addresses that are written out are checked.
- A secret goes over https, or to a loopback address; so no proxy ever sees one.
"""

import base64
import os
import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from sedas_sync.model.scene import Reach

_PORTS = {"http": 80, "https": 443}
_NUMERIC = re.compile(r"[0-9a-fx.]+")
_CREDENTIALS = frozenset({"authorization", "cookie"})


class PermanentError(Exception):
    """It cannot be done, and will not be for trying again."""


def setting(environ: Mapping[str, str], *names: str) -> str | None:
    """Return the first of these variables that is set and not blank."""
    found = _variable(environ, *names)
    return None if found is None else found[1]


def _variable(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), None)


@lru_cache(maxsize=256)
def is_loopback(host: str | None) -> bool:
    """Whether a host name or address means this machine."""
    if not host:
        return False
    name = host.lower().rstrip(".").strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def takes_secrets(url: str) -> bool:
    """Whether a request to this URL is safe from being read on its way: https, or to this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname)


def safe_headers(url: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Leave out headers that hold credentials where others may read the request."""
    safe = takes_secrets(url)
    return {name: value for name, value in headers.items() if safe or name.lower() not in _CREDENTIALS}


# --------------------------------------------------------------------------------------------------------------------
# Proxies


class Proxy(NamedTuple):
    """A proxy that the environment names."""

    host: str
    port: int
    login: str | None
    """User name and password as they stand in the variable; never shown."""
    variable: str

    @property
    def url(self) -> str:
        """Its address with the login, for libraries."""
        return f"http://{self.login}@{self.authority}" if self.login is not None else f"http://{self.authority}"

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """What it is told about who asks."""
        if self.login is None:
            return None
        name, _, password = self.login.partition(":")
        return "Basic " + base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()

    def __str__(self) -> str:
        return f"the proxy {self.authority} (of {self.variable})"

    def __repr__(self) -> str:
        return f"Proxy({self.authority!r}, {self.variable!r})"

    def wants_login(self) -> str:
        """Say what a 407 means."""
        what = "wants to know who asks" if self.login is None else "refuses the user name and password"
        return f"{self} {what} (HTTP 407): write them into {self.variable}, as http://user:password@host:port"

    def unreachable(self, error: BaseException, reason: str) -> str:
        """Say that no connection to it could be made."""
        if isinstance(error, socket.gaierror):
            return f"{self} is not found: check its name in {self.variable}"
        return f"{self} cannot be reached ({reason}): check {self.variable}, or name the host in NO_PROXY"


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Say which proxy a URL is asked through; None for none.

    `https_proxy` or `http_proxy` by the URL's scheme, then `all_proxy`, lower case before upper case. A variable that
    is blank counts as not set. `no_proxy` names hosts (with all hosts below them), addresses and blocks of them, each
    with a port if it is meant for that alone, or `*` for every host.

    Raises:
        Refused: the variable holds no address of an http:// proxy.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    address = literal(host)
    names = (f"{parts.scheme}_proxy", "all_proxy")
    found = _variable(environ, *(form for name in names for form in (name, name.upper())))
    if found is None or is_loopback(host) or (address is not None and address.is_loopback):
        return None
    port = parts.port or _PORTS.get(parts.scheme, 0)
    if _is_exempt(host, address, port, setting(environ, "no_proxy", "NO_PROXY") or ""):
        return None
    return _proxy(*found)


def _proxy(variable: str, value: str) -> Proxy:
    front = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(front)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or re.search(r"[\s\x00-\x20\x7f]", value):
        raise PermanentError(f"{variable} holds no address of a proxy: write it as http://host:port")
    login = parts.netloc.rpartition("@")[0] or None
    proxy = Proxy(host, port or _PORTS["http"], login, variable)
    if parts.scheme.startswith("socks"):
        raise PermanentError(
            f"{proxy} is a SOCKS proxy, which is not supported: name an http:// proxy, or use NO_PROXY"
        )
    if parts.scheme != "http":
        raise PermanentError(
            f"{proxy} is named with {parts.scheme}://, and only http:// proxies are supported, which reach https "
            f"servers too: write http:// in {variable}"
        )
    return proxy


def _is_exempt(host: str, address: IPv4Address | IPv6Address | None, port: int, entries: str) -> bool:
    return any(_exempts(entry, host, address, port) for entry in re.split(r"[\s,]+", entries.lower()))


def _exempts(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
    if entry == "*":
        return True
    name, _, only = entry.rpartition(":")
    if name and only.isdecimal() and (":" not in name or name.endswith("]")):
        if int(only) != port:
            return False
    else:
        name = entry
    if address is not None:
        try:
            return address in ip_network(name.strip("[]"), strict=False)
        except ValueError:
            return False
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


# --------------------------------------------------------------------------------------------------------------------
# Addresses

_METADATA = frozenset(ip_address(text) for text in ("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
"""Where clouds tell their machines secrets, besides 169.254.0.0/16 (AWS, Alibaba, Azure, Oracle)."""
_NOBODY = (ip_network("0.0.0.0/8"), ip_network("240.0.0.0/4"))
_WRAPPED = (ip_network("::/96"), ip_network("64:ff9b::/96"))
"""Blocks of IPv6 whose last 32 bits are an address of IPv4 that the packet may go to."""


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Read a host that is an address, in every form that the system takes: `0xa9.254.43518` too; None for a name."""
    try:
        text = host if host.isascii() else host.encode("idna").decode()
    except UnicodeError:
        return None
    text = text.strip("[]").partition("%")[0].rstrip(".").lower()
    with suppress(ValueError):
        return ip_address(text)
    if not _NUMERIC.fullmatch(text):
        return None
    try:
        return IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The address of IPv4 that one of IPv6 stands for."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    wrapped = any(isinstance(block, IPv6Network) and address in block for block in _WRAPPED)
    if inner is None and wrapped and int(address) > 1:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _kind(address: IPv4Address | IPv6Address) -> tuple[str, bool] | None:
    """What an address is, and whether a link may ever lead there; None for one of the public internet."""
    address = _plain(address)
    if address.is_link_local:
        return "a link-local address", False
    if address in _METADATA:
        return "the address of a cloud's metadata service", False
    if address.is_multicast:
        return "a multicast address", False
    if address.is_unspecified or any(address.version == block.version and address in block for block in _NOBODY):
        return "an address of nobody", False
    if address.is_loopback:
        return "a loopback address", True
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return None if address.is_global and not site_local else ("a private address", True)


_local_apis: dict[str, bool] = {}
"""By host, as its first look-up said: who answers for the name later on cannot change it."""


def _is_local(api: str) -> bool:
    """Whether an API is on this machine or its private network."""
    try:
        host = urlsplit(api).hostname or ""
        written = literal(host)
        if written is not None or is_loopback(host):
            return written is None or _kind(written) is not None
        if not host or proxy_for(api) is not None:
            return False
    except (ValueError, PermanentError):
        return False
    if host not in _local_apis:
        try:
            found = [ip_address(entry[4][0].partition("%")[0]) for entry in _look_up(host, 443)]
        except OSError:
            return False
        _note_api(host, found)
    return _local_apis[host]


def _note_api(host: str, addresses: list[IPv4Address | IPv6Address]) -> None:
    local = [(kind := _kind(address)) is not None and kind[1] for address in addresses]
    _local_apis.setdefault(host, bool(local) and all(local))


def check_address(host: str, address: IPv4Address | IPv6Address, reach: Reach) -> None:
    """Make sure that a request to `host` may go to this address.

    Raises:
        Refused: it may not; the message says why, and how to allow it.
    """
    shown = f"{host} is" if host == str(address) else f"{host} is at {address},"
    if is_loopback(host) and not _plain(address).is_loopback:
        raise PermanentError(f"{shown} which is not this machine")
    kind = _kind(address)
    if kind is None:
        return
    what, possible = kind
    if not possible:
        raise PermanentError(f"{shown} {what}, which no link of a catalogue may lead to")
    if not (names(host, reach.trusted_hosts) or _is_local(reach.api)):
        raise PermanentError(
            f"{shown} {what}, and the archive is not on this network: it is not asked; if it may be, name {host} in "
            "trusted_hosts"
        )


def names(host: str, hosts: tuple[str, ...]) -> bool:
    """Whether a host is one of these: exact names, or `*.example.org` for every name below `example.org`."""
    host = host.lower().rstrip(".").strip("[]")
    # The zone of an IPv6 address may be any text, such as one that ends like a name.
    return "%" not in host and any(
        host == name or (name.startswith("*.") and len(name) > len("*.") and host.endswith(name[1:]))
        for name in (one.strip().lower().rstrip(".") for one in hosts)
    )


def check_link(url: str, reach: Reach) -> None:
    """Make sure of a URL that is asked through a proxy, as far as its host is an address.

    Raises:
        Refused: see `check_address`.
    """
    host = urlsplit(url).hostname or ""
    address = literal(host)
    if address is not None:
        check_address(host, address, reach)


def connect(host: str, port: int, timeout: float | None, reach: Reach | None) -> socket.socket:
    """Connect to the first address of a host that answers and may be asked; without `reach` every one may.

    Raises:
        Refused: none of them may be asked; nothing was sent.
        OSError: none of them answers.
    """
    host = host.strip("[]")
    entries = _look_up(host, port)
    if reach is not None and host == urlsplit(reach.api).hostname:
        _note_api(host, [ip_address(entry[4][0].partition("%")[0]) for entry in entries])
    trouble: Exception | None = None
    for family, kind, protocol, _, place in entries:
        sock = None
        try:
            if reach is not None:
                check_address(host, ip_address(place[0].partition("%")[0]), reach)
            sock = socket.socket(family, kind, protocol)
            sock.settimeout(timeout)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.connect(place)
            return sock
        except (OSError, PermanentError) as error:
            if sock is not None:
                sock.close()
            # What failed for a reason that may pass says more than what is never asked.
            trouble = trouble if isinstance(error, PermanentError) and trouble is not None else error
    raise trouble or OSError("the name has no address")


def _look_up(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "the name is no host's") from error


# --------------------------------------------------------------------------------------------------------------------
# Certificates

_CA_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_UNKNOWN_ISSUER = frozenset({18, 19, 20, 21})
"""What OpenSSL says of a certificate that nobody who is trusted has signed."""


class _Socket(ssl.SSLSocket):
    """One that tells who issued a certificate that is not trusted."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLCertVerificationError as error:
            error.issuer = _issuer(self)  # type: ignore[attr-defined]
            raise


def _issuer(sock: ssl.SSLSocket) -> str | None:
    """The issuer of the other side's certificate, where this Python can tell it of one that is not trusted."""
    try:
        chain = getattr(sock, "_sslobj").get_unverified_chain()  # noqa: B009  # public from Python 3.13 on, as bytes
        issuer = dict(pair for group in chain[0].get_info()["issuer"] for pair in group)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, ssl.SSLError):
        return None
    named = issuer.get("commonName") or issuer.get("organizationName")
    return "".join(char for char in named if char.isprintable())[:80] if named else None


def ca_bundle(environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Say which certificate authorities are trusted: a variable and its value; None for those of `certifi`.

    The first of `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`, `SSL_CERT_FILE` and `SSL_CERT_DIR` that is not blank. The first
    two may name a folder too, the last one several, as OpenSSL takes them.
    """
    return _variable(environ, *_CA_FILES, "SSL_CERT_DIR")


def tls_context(environ: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """What TLS connections are made with.

    Raises:
        Refused: the certificate authorities cannot be read.
    """
    return _tls_context(ca_bundle(environ))


@lru_cache(maxsize=8)
def _tls_context(bundle: tuple[str, str] | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Socket
    context.set_alpn_protocols(["http/1.1"])
    if bundle is None:
        import certifi  # noqa: PLC0415 - slow to import and seldom needed

        context.load_verify_locations(cafile=certifi.where())
        return context
    for place in _places(*bundle):
        try:
            if os.path.isdir(place):  # noqa: PTH112 - strings all through
                context.load_verify_locations(capath=place)
            else:
                context.load_verify_locations(cafile=place)
        except (OSError, ssl.SSLError) as error:
            raise PermanentError(f"the CA certificates of {bundle[0]} cannot be read: {place}") from error
    return context


def _places(variable: str, value: str) -> list[str]:
    if variable != "SSL_CERT_DIR":
        return [value]
    return [place for place in value.split(os.pathsep) if os.path.isdir(place)] or [value]  # noqa: PTH112


def untrusted(host: str, error: ssl.SSLCertVerificationError) -> str:
    """Say why a certificate is not trusted, and what to do where it is a company's proxy that has issued it."""
    issuer = getattr(error, "issuer", None)
    by = f"; it was issued by {issuer}" if issuer else ""
    text = f"the certificate of {host} is not trusted ({error.verify_message}{by})"
    if error.verify_code not in _UNKNOWN_ISSUER:
        return text
    return (
        f"{text}: where a company's proxy or a private authority has issued it, name the file of its CA certificate "
        "in REQUESTS_CA_BUNDLE or SSL_CERT_FILE"
    )
