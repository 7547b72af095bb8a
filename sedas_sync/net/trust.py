"""Which host may see an archive's token."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from sedas_sync.net import policy

_FRONT = re.compile(r"[A-Za-z]+://[^/?#]*(?=[/?#]|\Z)")
"""All of a URL that says where it leads to; thousands of links share it."""


def host_and_port(url: str) -> tuple[str, str, int | None]:
    """Split a URL into scheme, host and port.

    Raises:
        ValueError: it is no http(s) URL, or one that is written so that parsers may read it differently.
    """
    if not isinstance(url, str) or re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise ValueError("it holds characters that no URL has")
    front = _FRONT.match(url)
    return _front_parts(url if front is None else front[0])


@lru_cache(maxsize=256)
def _front_parts(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("it is no http or https URL")
    if "@" in parts.netloc:
        raise ValueError("it holds a user name")
    if "%" in parts.netloc:
        # The zone of an IPv6 address may be any text, such as one that ends like a trusted host.
        raise ValueError("its host holds a percent sign")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname.lower().rstrip("."), port


def without_token(url: str, variable: str | None = None) -> str:
    """What to say where a host refused a request that carried no token, since it is not trusted with it.

    Args:
        url: what was asked for.
        variable: the environment variable that has to name the host too.
    """
    both = f", and in the environment variable {variable}," if variable else ""
    return f"{urlsplit(url).netloc} was asked without the token: name it in trusted_hosts{both} if it may see it"


def may_see_token(url: str, api: str, trusted_hosts: Iterable[str]) -> bool:
    """Whether a request to `url` may carry the token of the archive whose API is at `api`.

    Only over https, or to a loopback address. Only to the API's own host (on a loopback address its own port too,
    since other ports are other people's servers), or to a trusted host: an exact name, or `*.example.org` for every
    name below `example.org`, which is not `example.org` itself.
    """
    try:
        scheme, host, port = host_and_port(url)
        _, own_host, own_port = host_and_port(api)
    except ValueError:
        return False
    return _trusts(scheme, host, port, own_host, own_port, tuple(trusted_hosts))


@lru_cache(maxsize=256)
def _trusts(  # what it is decided from, and nothing else
    scheme: str, host: str, port: int | None, own_host: str, own_port: int | None, trusted_hosts: tuple[str, ...]
) -> bool:
    loopback = policy.is_loopback(host)
    if scheme != "https" and not loopback:
        return False
    if host == own_host and (port == own_port or not loopback):
        return True
    for trusted in trusted_hosts:
        name = trusted.strip().lower().rstrip(".")
        if name.startswith("*."):
            if len(name) > len("*.") and host.endswith(name[1:]) and host != name[2:]:
                return True
        elif name and host == name:
            return True
    return False
