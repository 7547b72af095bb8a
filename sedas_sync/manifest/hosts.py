"""Addresses of archives and host names in a manifest: which of them may receive credentials."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from publicsuffixlist import PublicSuffixList

from sedas_sync.model.hosts import is_loopback

_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_WILDCARD = re.compile(rf"\*\.{_LABEL}(?:\.{_LABEL})+", re.IGNORECASE)

CREDENTIALS = (
    "credentials come from SEDAS_USERNAME and SEDAS_PASSWORD, from netrc, or from the system keyring, "
    "never from a manifest"
)
"""Where credentials come from, in words."""


def url(text: str) -> str:
    """Check an archive's address: https, or http to a loopback address.

    Raises:
        ValueError: The text is not an address, contains credentials, or would send them unencrypted. The message
            does not repeat an address that may contain a secret.
    """
    parts = _split(text)
    if "@" in parts.netloc:
        raise ValueError(f"must not contain a user name or password (its value is not shown); {CREDENTIALS}")
    if parts.query or parts.fragment:
        raise ValueError("must be the address of the API alone, without '?' or '#' (its value is not shown)")
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not (_NAME.fullmatch(host) or _is_address(host)):
        raise ValueError("must be an address such as 'https://example.org/api/'")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"must use https: http is only allowed for loopback addresses, and {host} is not one")
    return text


def trusted_host(text: str) -> str:
    """Check one entry of `trusted_hosts`, and return it in lower case.

    Raises:
        ValueError: The entry is neither a host name nor `*.example.org`, or anyone can register a host below it.
    """
    if _WILDCARD.fullmatch(text):
        _check_one_owner(text[2:].lower())
    elif not (_NAME.fullmatch(text) or _is_address(text)):
        raise ValueError("must be a host name such as 'data.example.org', or '*.example.org' for all hosts below it")
    return text.lower()


def _check_one_owner(name: str) -> None:
    """Reject a public suffix: anyone can register a host below `co.uk` or `github.io`.

    Raises:
        ValueError: The name is a public suffix.
    """
    if PublicSuffixList().is_public(name):
        raise ValueError(f"must not be '*.{name}': anyone can register a host below {name}; list the hosts one by one")


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - reading it is its check
    except ValueError:
        raise ValueError("must be an address such as 'https://example.org/api/'") from None
    # urlsplit accepts these, and browsers and servers disagree about their meaning.
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
