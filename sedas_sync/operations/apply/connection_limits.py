"""How many downloads a run may have at once: over all archives, and with each service."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive, connections_of
from sedas_sync.files.integrity import Filehash
from sedas_sync.transfer.job import Policy


class ConnectionLimits:
    """How many downloads run at once: as the manifest says, within the connections that services allow an account.

    Args:
        archives: Of the run, by their keys in the manifest. Two of them may be one service, which counts the
            connections of its account for both.
        jobs: Wanted downloads at once.
        policy: Of every download.
        filehash: For each archive's key, what to do if a checksum differs from the catalogue's.
        remote: Whether workers download, so that this process cannot count their connections.
    """

    def __init__(
        self,
        archives: Mapping[str, Archive],
        *,
        jobs: int,
        policy: Policy,
        filehash: Mapping[str, Filehash],
        remote: bool,
    ) -> None:
        self._services = {key: archive.identity for key, archive in archives.items()}
        limits = {
            archive.identity: limit for archive in archives.values() if (limit := connections_of(archive)) is not None
        }
        allowed = sum(limits.values())
        bounded = bool(limits) and limits.keys() == set(self._services.values()) and jobs > allowed
        self.jobs = allowed if bounded else jobs
        """Downloads at once, over all archives."""
        self.warnings = tuple(self._warnings(limits, jobs, policy.segments or 1, bounded=bounded))
        """Settings of the manifest that a service does not allow."""
        self.policies = {
            key: self._policy(replace(policy, filehash=filehash.get(key, "warn")), limits.get(service))
            for key, service in self._services.items()
        }
        """For each archive's key, the policy of its downloads."""
        self._limits = {name: limit for name, limit in limits.items() if remote or limit < self.jobs}
        """Downloads at once with a service, if they are fewer than `jobs`."""

    def _warnings(self, limits: Mapping[str, int], jobs: int, segments: int, *, bounded: bool) -> Iterator[str]:
        keys = {name: [key for key, service in self._services.items() if service == name] for name in limits}
        names = ", ".join(
            f"{' and '.join(keys[name])} {'allow' if len(keys[name]) > 1 else 'allows'} {limit}"
            for name, limit in limits.items()
        )
        if bounded:
            yield f"jobs = {jobs} is limited to {self.jobs} by the account's connections ({names})"
        if limits and segments > 1:
            yield f"segments = {segments} is limited by the account's connections ({names})"

    def _policy(self, policy: Policy, limit: int | None) -> Policy:
        if limit is None:
            return policy
        # By default a scene takes further connections from those that no other download uses, `jobs` in all.
        return replace(policy, segments=None if policy.segments != 1 and self.jobs <= limit else 1)

    def full(self, running: Iterable[str]) -> AbstractSet[str]:
        """Return the archives that allow no further download, given the archives of the running ones."""
        if not self._limits:
            return frozenset()
        busy = Counter(self._services[key] for key in running)
        full = {name for name, limit in self._limits.items() if busy[name] >= limit}
        return {key for key, name in self._services.items() if name in full}

    def reduce(self, key: str, allowed: int) -> str | None:
        """Allow an archive's service fewer downloads from now on.

        Returns:
            A warning; None if it was reduced before.
        """
        service = self._services[key]
        usual = self._limits.get(service, 0)
        if allowed >= usual:
            return None
        self._limits[service] = allowed
        return f"the account is limited to {allowed} of {usual} connections, as after its transfer quota is used up"
