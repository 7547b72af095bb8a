"""Which hosts are asked, through which proxy, and which of them may see a token.

One policy for every request of the package, to an API or for a download:

- A loopback address is never asked through a proxy, and neither is a host that `no_proxy` names.
- A link of a catalogue never leads to a link-local address, to the metadata service of a cloud, or to a reserved
  address. It leads to a loopback or private address only if the archive's API is at such an address itself, or if
  `trusted_hosts` names the host. The address of the connection is checked, not the name, because a name may resolve to
  another address a moment later. A proxy resolves names itself, so behind a proxy only literal addresses are checked.
- A secret is sent over https or to a loopback address only, so that no proxy ever sees one. A token goes to the host of
  its API and to trusted hosts.
"""

import base64
import os
import re
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from sedas_sync.files.extras import load_extra
from sedas_sync.model.hosts import is_loopback, matches_any
from sedas_sync.model.scene import Reach
from sedas_sync.net import sockets

PORTS = {"http": 80, "https": 443}
"""Ports that a URL need not name."""
_PROXY_PORTS = {"http": 80, **dict.fromkeys(("socks4", "socks4a", "socks5", "socks5h"), 1080)}
_NUMERIC = re.compile(r"[0-9a-fx.]+")
_ORIGIN = re.compile(r"[A-Za-z]+://[^/?#]*(?=[/?#]|\Z)")
"""Scheme, host and port of a URL; thousands of links share them."""


class PermanentError(Exception):
    """The request cannot be carried out, and a retry does not help."""


def setting(environ: Mapping[str, str], *names: str) -> str | None:
    """Return the value of the first of these variables that is set and not blank."""
    found = variable(environ, *names)
    return None if found is None else found[1]


def variable(environ: Mapping[str, str], *names: str) -> tuple[str, str] | None:
    """Return name and value of the first of these variables that is set and not blank."""
    return next(((name, value) for name in names if (value := environ.get(name, "").strip())), None)


# --------------------------------------------------------------------------------------------------------------------
# Tokens


class Origin(NamedTuple):
    """Scheme, host and port of a URL."""

    scheme: str
    host: str
    port: int

    @property
    def may_carry_secret(self) -> bool:
        """Whether nobody can read a request on its way: https, or to this machine."""
        return self.scheme == "https" or is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == PORTS[self.scheme] else f":{self.port}")


def origin_of(url: str) -> Origin:
    """Return the origin of a URL.

    Raises:
        ValueError: It is not an http or https URL, or parsers may read it in different ways.
    """
    if not isinstance(url, str) or re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise ValueError("it has characters that are not allowed in a URL")
    origin = _ORIGIN.match(url)
    return _split_origin(url if origin is None else origin[0])


@lru_cache(maxsize=256)
def _split_origin(url: str) -> Origin:
    parts = urlsplit(url)
    if parts.scheme not in PORTS or not parts.hostname:
        raise ValueError("it is not an http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it contains a user name")
    if "%" in parts.netloc:
        # The zone of an IPv6 address may be any text, such as one that ends like a trusted host.
        raise ValueError("its host contains a percent sign")
    return Origin(parts.scheme, parts.hostname.lower().rstrip("."), parts.port or PORTS[parts.scheme])


def may_see_token(url: str, api: str, trusted_hosts: Iterable[str]) -> bool:
    """Whether a request to `url` may carry the token of the archive whose API is at `api`.

    Only over https, or to a loopback address. Only to the API's own host (on a loopback address also its own port,
    because other ports belong to other programs), or to a trusted host: an exact name, or `*.example.org` for every
    name below `example.org`, but not for `example.org` itself.
    """
    try:
        return _may_see_token(origin_of(url), origin_of(api), tuple(trusted_hosts))
    except ValueError:
        return False


@lru_cache(maxsize=256)
def _may_see_token(origin: Origin, api: Origin, trusted_hosts: tuple[str, ...]) -> bool:
    if not origin.may_carry_secret:
        return False
    if origin.host == api.host and (origin.port == api.port or not is_loopback(origin.host)):
        return True
    return matches_any(origin.host, trusted_hosts)


def token_withheld(url: str, name: str | None = None) -> str:
    """Explain why a host refused a request that carried no token, because the host is not trusted.

    Args:
        url: The URL of the request.
        name: The environment variable that must name the host too.
    """
    both = f", and in the environment variable {name}," if name else ""
    return f"{urlsplit(url).netloc} was asked without the token: name it in trusted_hosts{both} if it may see it"


def may_carry_secret(url: str) -> bool:
    """Whether nobody can read a request to this URL on its way; see `Origin`."""
    try:
        return origin_of(url).may_carry_secret
    except ValueError:
        return False


# --------------------------------------------------------------------------------------------------------------------
# Proxies


class Proxy(NamedTuple):
    """A proxy that the environment names."""

    host: str
    port: int
    login: str | None
    """User name and password as the variable has them; never shown."""
    variable: str
    scheme: str = "http"

    @property
    def is_socks(self) -> bool:
        """Whether it is a SOCKS proxy."""
        return self.scheme != "http"

    @property
    def url(self) -> str:
        """The address with the login, for libraries."""
        return f"{self.scheme}://{self.authority if self.login is None else f'{self.login}@{self.authority}'}"

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What an http:// proxy gets with each request."""
        if self.login is None:
            return {}
        name, _, password = self.login.partition(":")
        login = base64.b64encode(f"{unquote(name)}:{unquote(password)}".encode()).decode()
        return {"Proxy-Authorization": f"Basic {login}"}

    def __str__(self) -> str:
        return f"the proxy {self.authority} (of {self.variable})"

    def __repr__(self) -> str:
        return f"Proxy({self.authority!r}, {self.variable!r})"

    def login_error(self) -> str:
        """Explain a status 407."""
        problem = "needs a user name and password" if self.login is None else "refuses the user name and password"
        return f"{self} {problem} (HTTP 407): set {self.variable} to http://user:password@host:port"

    def connect_error(self, error: BaseException, reason: str) -> str:
        """Explain why no connection to the proxy was made."""
        if isinstance(error, socket.gaierror):
            return f"{self} is not found: check its name in {self.variable}"
        return f"{self} cannot be reached ({reason}): check {self.variable}, or name the host in NO_PROXY"


def proxy_for(url: str, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy for a URL; None if it is asked directly.

    `https_proxy` or `http_proxy` by the URL's scheme, then `all_proxy`, lower case before upper case. A blank variable
    counts as not set. `no_proxy` names hosts (with all hosts below them), addresses and blocks of addresses, each with
    a port if only that port is meant, or `*` for every host.

    Raises:
        PermanentError: The variable is not the address of an http:// or SOCKS proxy.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    address = read_address(host)
    names = (f"{parts.scheme}_proxy", "all_proxy")
    found = variable(environ, *(form for name in names for form in (name, name.upper())))
    if found is None or is_loopback(host) or (address is not None and address.is_loopback):
        return None
    port = parts.port or PORTS.get(parts.scheme, 0)
    exempt = re.split(r"[\s,]+", (setting(environ, "no_proxy", "NO_PROXY") or "").lower())
    if any(_entry_matches(entry, host, address, port) for entry in exempt):
        return None
    return _proxy(*found)


def _proxy(name: str, value: str) -> Proxy:
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or re.search(r"[\s\x00-\x20\x7f]", value):
        raise PermanentError(f"{name} is not the address of a proxy: write it as http://host:port")
    login = parts.netloc.rpartition("@")[0] or None
    proxy = Proxy(host, port or _PROXY_PORTS.get(parts.scheme, 0), login, name, parts.scheme)
    if parts.scheme not in _PROXY_PORTS:
        raise PermanentError(
            f"{proxy} has the scheme {parts.scheme}://, and only http:// and SOCKS proxies are supported (they reach "
            f"https servers too): write http:// in {name}"
        )
    if proxy.is_socks:
        load_extra("socks", "socks", f"{proxy}, a SOCKS proxy,", PermanentError)
    return proxy


def _entry_matches(entry: str, host: str, address: IPv4Address | IPv6Address | None, port: int) -> bool:
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
"""Metadata services of clouds (AWS, Alibaba, Azure, Oracle) besides 169.254.0.0/16; they return secrets."""
_RESERVED = (ip_network("0.0.0.0/8"), ip_network("240.0.0.0/4"))
_WRAPPED = (ip_network("::/96"), ip_network("64:ff9b::/96"))
"""IPv6 blocks whose last 32 bits are the IPv4 address to which a packet may go."""


def read_address(host: str) -> IPv4Address | IPv6Address | None:
    """Read a host that is an address in any form that the system accepts, such as `0xa9.254.43518`; None for a name."""
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


def _ipv4_of(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return the IPv4 address that is written as an IPv6 address; any other address as it is."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    wrapped = any(isinstance(block, IPv6Network) and address in block for block in _WRAPPED)
    if inner is None and wrapped and int(address) > 1:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _special(address: IPv4Address | IPv6Address) -> tuple[str, bool] | None:
    """Describe an address, and whether a link may ever lead to it; None for an address of the public internet."""
    address = _ipv4_of(address)
    if address.is_link_local:
        return "a link-local address", False
    if address in _METADATA:
        return "the address of a cloud's metadata service", False
    if address.is_multicast:
        return "a multicast address", False
    if address.is_unspecified or any(address.version == block.version and address in block for block in _RESERVED):
        return "a reserved address", False
    if address.is_loopback:
        return "a loopback address", True
    site_local = isinstance(address, IPv6Address) and address.is_site_local
    return None if address.is_global and not site_local else ("a private address", True)


_local_apis: dict[str, bool] = {}
"""By host, from its first look-up, so that a later answer for the name cannot change it."""


def _is_local(api: str) -> bool:
    """Whether an API is on this machine or its private network."""
    try:
        host = urlsplit(api).hostname or ""
        address = read_address(host)
        if address is not None or is_loopback(host):
            return address is None or _special(address) is not None
        if not host or proxy_for(api) is not None:
            return False
    except (ValueError, PermanentError):
        return False
    if host not in _local_apis:
        try:
            found = [_address_of(entry) for entry in _look_up(host, 443)]
        except OSError:
            return False
        _remember_api(host, found)
    return _local_apis[host]


def _remember_api(host: str, addresses: list[IPv4Address | IPv6Address]) -> None:
    local = [(special := _special(address)) is not None and special[1] for address in addresses]
    _local_apis.setdefault(host, bool(local) and all(local))


def check_address(host: str, address: IPv4Address | IPv6Address, reach: Reach) -> None:
    """Check that a request to `host` may go to this address.

    Raises:
        PermanentError: It may not; the message says why, and how to allow it.
    """
    shown = f"{host} is" if host == str(address) else f"{host} is at {address},"
    if is_loopback(host) and not _ipv4_of(address).is_loopback:
        raise PermanentError(f"{shown} which is not this machine")
    special = _special(address)
    if special is None:
        return
    description, allowable = special
    if not allowable:
        raise PermanentError(f"{shown} {description}, and no link of a catalogue may lead to one")
    if not (matches_any(host, reach.trusted_hosts) or _is_local(reach.api)):
        raise PermanentError(
            f"{shown} {description}, and the archive is not on this network: no request is sent; to allow it, name "
            f"{host} in trusted_hosts"
        )


def check_url(url: str, reach: Reach) -> None:
    """Check a URL that is asked through a proxy, if its host is an address.

    Raises:
        PermanentError: See `check_address`.
    """
    host = urlsplit(url).hostname or ""
    address = read_address(host)
    if address is not None:
        check_address(host, address, reach)


def connect(
    host: str, port: int, timeout: float | None, reach: Reach | None, stop: threading.Event
) -> sockets.StoppableSocket:
    """Connect to the first address of a host that answers and is allowed; without `reach` every address is allowed.

    Raises:
        PermanentError: None of the addresses is allowed; nothing was sent.
        RequestStopped: `stop` was set.
        OSError: None of them answers.
    """
    host = host.strip("[]")
    if read_address(host) is not None:
        entries = _look_up(host, port)
    else:
        # A look-up cannot be interrupted, and takes long without a network.
        entries = sockets.call_stoppable(lambda: _look_up(host, port), timeout, stop)
    if reach is None:
        return sockets.connect(entries, timeout, stop)
    if host == urlsplit(reach.api).hostname:
        _remember_api(host, [_address_of(entry) for entry in entries])
    allowed, refusal = [], None
    for entry in entries:
        try:
            check_address(host, _address_of(entry), reach)
            allowed.append(entry)
        except PermanentError as error:
            refusal = error
    if refusal is not None and not allowed:
        raise refusal
    return sockets.connect(allowed, timeout, stop)


def _address_of(entry: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    return ip_address(entry[4][0].partition("%")[0])


def _look_up(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise socket.gaierror(socket.EAI_NONAME, "not a valid host name") from error
