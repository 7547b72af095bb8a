"""Names of hosts: which are this machine, and which are named by an entry such as `*.example.org`."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address


@lru_cache(maxsize=256)
def is_loopback(host: str | None) -> bool:
    """Whether a host is this machine: `localhost`, a name below it, or a loopback address in its usual form."""
    name = _plain(host or "")
    if "%" in name:
        return False
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def matches(host: str, entry: str) -> bool:
    """Whether an entry names a host: by its exact name, or as `*.example.org` for every name below `example.org`.

    The host may be such an entry itself: `*.example.org` covers `*.data.example.org`.
    """
    host, entry = _plain(host), _plain(entry)
    if "%" in host:
        # The zone of an IPv6 address may be any text, such as one that ends like a name.
        return False
    if entry.startswith("*."):
        return len(entry) > len("*.") and host.endswith(entry[1:])
    return bool(entry) and host == entry


def matches_any(host: str, entries: Iterable[str]) -> bool:
    """Whether one of these entries names a host."""
    return any(matches(host, entry) for entry in entries)


def in_both(entries: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts that two lists of entries have in common, as entries.

    Loopback hosts of the first list need no entry in the second.
    """
    entries, others = tuple(entries), tuple(others)
    found = [entry for entry in entries if is_loopback(entry) or matches_any(entry, others)]
    found += [other for other in others if matches_any(other, entries)]
    return tuple(dict.fromkeys(found))


def _plain(name: str) -> str:
    return name.strip().lower().rstrip(".").strip("[]")
