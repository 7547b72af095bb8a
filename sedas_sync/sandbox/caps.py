"""Caps: searches that return fewer scenes than match, without a word about it."""

from collections.abc import Sequence
from hashlib import blake2b

from sedas_sync.sandbox.catalogue import Hit
from sedas_sync.sandbox.faults import Faults

_MISSING_SHARE = 0.3


def capped(hits: Sequence[Hit], faults: Faults) -> Sequence[Hit]:
    """Return the hits that the caps of `Faults` leave."""
    if faults.cap_per_satellite is not None:
        hits = list(hits)
        groups: dict[str, list[Hit]] = {}
        for hit in hits:
            groups.setdefault(hit.satellite, []).append(hit)
        cuts = (_cut(group, faults.cap_per_satellite, faults) for group in groups.values())
        kept = {id(hit) for cut in cuts for hit in cut}
        hits = [hit for hit in hits if id(hit) in kept]
    return hits if faults.cap is None else _cut(hits, faults.cap, faults)


def _cut(hits: Sequence[Hit], cap: int, faults: Faults) -> Sequence[Hit]:
    if len(hits) <= cap:
        return hits
    match faults.cap_rule:
        case "newest":
            return hits[:cap]
        case "arbitrary":
            kept = {hit.id for hit in sorted(hits, key=lambda hit: rank(hit.id))[:cap]}
            return [hit for hit in hits if hit.id in kept]
        case "missing":
            return [hit for hit in hits if rank(hit.id) >= _MISSING_SHARE * (1 << 32)]


def rank(scene: str) -> int:
    """Return the hash of an id by which the rules `arbitrary` and `missing` select rows."""
    return int.from_bytes(blake2b(f"cap {scene}".encode(), digest_size=4).digest(), "big")
