"""How many downloads a run may have at once: of all archives together, and of each service."""

from collections import Counter
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, connections_of
from sedas_sync.files.integrity import Filehash
from sedas_sync.transfer import Policy


class ConnectionLimits:
    """What the connections that services allow an account leave of what the manifest asks for.

    Args:
        archives: of the run, by their keys in the manifest. Two of them may be one service, whose account counts all
            its connections.
        jobs: downloads that are asked for at once.
        policy: how hard to try.
        filehash: for each archive's key, what a differing digest is worth.
        elsewhere: whether workers elsewhere download, whose connections nobody else counts.
    """

    def __init__(
        self,
        archives: Mapping[str, Archive],
        *,
        jobs: int,
        policy: Policy,
        filehash: Mapping[str, Filehash],
        elsewhere: bool,
    ) -> None:
        self._services = {key: archive.identity for key, archive in archives.items()}
        limits = {
            archive.identity: limit for archive in archives.values() if (limit := connections_of(archive)) is not None
        }
        allowed = sum(limits.values())
        bounded = bool(limits) and limits.keys() == set(self._services.values()) and jobs > allowed
        self.jobs = allowed if bounded else jobs
        """Downloads at once, over all archives."""
        self.said = tuple(self._sayings(limits, jobs, policy.segments or 1, bounded=bounded))
        """What the manifest asks for and does not get."""
        self.policies = {
            key: self._policy(replace(policy, filehash=filehash.get(key, "warn")), limits.get(service))
            for key, service in self._services.items()
        }
        """For each archive's key, how hard to try, and over how many connections at most."""
        self._at_once = {name: limit for name, limit in limits.items() if elsewhere or limit < self.jobs}
        """Downloads of one service at once, where they are fewer than may run."""

    def _sayings(self, limits: Mapping[str, int], jobs: int, segments: int, *, bounded: bool) -> Iterable[str]:
        keys = {name: [key for key, service in self._services.items() if service == name] for name in limits}
        names = ", ".join(
            f"{' and '.join(keys[name])} {'allow' if len(keys[name]) > 1 else 'allows'} {limit}"
            for name, limit in limits.items()
        )
        if bounded:
            yield f"{jobs} downloads at once are more than an account may have ({names}): {self.jobs} go on instead"
        if limits and segments > 1:
            yield f"scenes are split over {segments} connections only as far as an account may have them ({names})"

    def _policy(self, policy: Policy, limit: int | None) -> Policy:
        if limit is None:
            return policy
        # Unasked, a scene takes further connections out of those that no other download has, `jobs` in all.
        return replace(policy, segments=None if policy.segments != 1 and self.jobs <= limit else 1)

    def full(self, under_way: Iterable[str]) -> AbstractSet[str]:
        """The archives that allow no further download, by the archives of those that are under way."""
        if not self._at_once:
            return frozenset()
        busy = Counter(self._services[key] for key in under_way)
        full = {name for name, limit in self._at_once.items() if busy[name] >= limit}
        return {key for key, name in self._services.items() if name in full}

    def hold_to(self, key: str, allowed: int) -> str | None:
        """Allow an archive's service fewer downloads from now on.

        Returns:
            What to say of it; None where that is no news.
        """
        service = self._services[key]
        usual = self._at_once.get(service, 0)
        if allowed >= usual:
            return None
        self._at_once[service] = allowed
        return f"the account is held to {allowed} of {usual} connections, as after its transfer quota is used up"
