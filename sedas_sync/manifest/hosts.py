"""Addresses of archives and names of hosts in a manifest: what may be trusted with credentials."""

import re
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_WILDCARD = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)

CREDENTIALS = (
    "credentials come from SEDAS_USERNAME and SEDAS_PASSWORD, from netrc, or from the system keyring, "
    "never from a manifest"
)
"""Where credentials belong, in words."""


def url(text: str) -> str:
    """Check an archive's address: https, or http to a loopback address.

    Raises:
        ValueError: it is no address, holds credentials, or would send them in the clear. The message does
        not repeat
            the address where it may hold a secret.
    """
    parts = _split(text)
    if "@" in parts.netloc:
        raise ValueError(f"must not hold a user name or password (its value is not shown); {CREDENTIALS}")
    if parts.query or parts.fragment:
        raise ValueError("must be the address of the API alone, without '?' or '#' (its value is not shown)")
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not (_NAME.fullmatch(host) or _is_address(host)):
        raise ValueError("must be an address such as 'https://example.org/api/'")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"is plain http to {host}; only https is safe there (http is for loopback addresses)")
    return text


def trusted_host(text: str) -> str:
    """Check one entry of `trusted_hosts`, and give it in lower case.

    Raises:
        ValueError: it is neither an exact host name nor `*.example.org`, or anybody can have a host below it.
    """
    if _WILDCARD.fullmatch(text):
        _check_one_owner(text[2:].lower())
    elif not (_NAME.fullmatch(text) or _is_address(text)):
        raise ValueError("must be a host name such as 'data.example.org', or '*.example.org' for all hosts below it")
    return text.lower()


def _check_one_owner(name: str) -> None:
    """Refuse a public suffix: the hosts below `co.uk` or `github.io` belong to anybody who asks for one.

    Raises:
        ValueError: it is one.
    """
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415  # slow to read, and few manifests have a wildcard

    if PublicSuffixList().is_public(name):
        raise ValueError(f"must not be '*.{name}': anybody can have a host below {name}; name the hosts one by one")


def matches(host: str, entry: str) -> bool:
    """Say whether a host, or all hosts of an entry such as `*.a.example.org`, are meant by another entry."""
    return host == entry or (entry.startswith("*.") and len(entry) > len("*.") and host.endswith(entry[1:]))


def in_both(ones: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """The hosts that two lists of entries have in common, as entries; loopback hosts of the first need no other."""
    ones, others = tuple(ones), tuple(others)
    found = [one for one in ones if is_loopback(one) or any(matches(one, other) for other in others)]
    found += [other for other in others if any(matches(other, one) for one in ones)]
    return tuple(dict.fromkeys(found))


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine: `localhost`, or a loopback address in its usual form."""
    if host.lower() == "localhost":
        return True
    return _is_address(host) and ip_address(host).is_loopback


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is its check
    except ValueError:
        raise ValueError("must be an address such as 'https://example.org/api/'") from None
    # urlsplit passes over what browsers and servers read in different ways
    if re.search(r"[\x00-\x20\x7f\\]", text):
        raise ValueError("must be an address without spaces, backslashes and control characters")
    return parts


def _is_address(host: str) -> bool:
    """Whether a host is an address; one with a zone is none, since any text may stand there."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return "%" not in host
