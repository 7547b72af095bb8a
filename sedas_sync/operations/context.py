"""What the operations on one mirror share."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import IO

from msgspec import Struct
from msgspec.structs import replace

from sedas_sync.archives.lookup import SceneLookup
from sedas_sync.archives.pool import ArchivePool
from sedas_sync.archives.protocol import Archive
from sedas_sync.archives.remote_sizes import RemoteSizes
from sedas_sync.errors import ManifestError, MirrorLocked
from sedas_sync.files.integrity import Filehash
from sedas_sync.manifest import Manifest
from sedas_sync.model.arguments import one_or_more
from sedas_sync.model.events import Event, Step
from sedas_sync.model.scene import ArchiveIdentity, ArchiveKey
from sedas_sync.planning.compare import Comparison
from sedas_sync.planning.lock import Lock
from sedas_sync.state.mirror_state import MirrorState

Listener = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Ignore an event."""


class MirrorContext(Struct, kw_only=True):
    """A manifest, its mirror and its archives."""

    manifest: Manifest
    state: MirrorState
    archives: ArchivePool
    clock: Callable[[], datetime]
    """Returns the current time, UTC."""
    lock: Lock | None = None
    """The lock file once it was read and matches: a lock file of 100,000 scenes takes a second to read."""
    stopped_with: int | None = None
    """The exit code of the first `stop`."""
    stop_run: Callable[[int], None] | None = None
    """Ends the plan that is being carried out, if there is one."""

    def stop(self, exit_code: int) -> None:
        """End the running operation, and all later ones, in order; for signal handlers and other threads too."""
        # Another thread may end the run meanwhile.
        if (stop_run := self.stop_run) is not None:
            stop_run(exit_code)
        else:
            self.record_stop(exit_code)
            self.archives.stop()

    def record_stop(self, exit_code: int) -> None:
        """Record that the work has to stop; the first exit code counts."""
        if self.stopped_with is None:
            self.stopped_with = exit_code

    def step(self, what: str, count: int, unit: str = "scene") -> None:
        """Report that a step begins, and of how many scenes or orders."""
        self.state.on_step(Step(what, count, unit=unit))

    def look_up(self) -> SceneLookup:
        """Return a new look-up of scenes by id."""
        return SceneLookup(self.archives.__getitem__, self.manifest)

    @property
    def remote_sizes(self) -> RemoteSizes:
        """Requests sizes of files from the archives."""
        return RemoteSizes(self.archives.__getitem__, self.manifest.transfer, lambda: self.state.on_step)

    def comparison(self, identities: Mapping[ArchiveKey, ArchiveIdentity] | None = None) -> Comparison:
        """Return how local scenes are compared with the archives.

        Args:
            identities: Of archives that need not be open.
        """
        return Comparison(
            identities={**(identities or {}), **self.archives.identities},
            several=len(self.manifest.archives) > 1,
            now=self.clock(),
            unpack=self.manifest.mirror.unpack,
            ignored=frozenset(key for key, policy in filehash_of(self.manifest).items() if policy == "ignore"),
        )

    def narrowed(self, datasets: str | Iterable[str], *, prune: bool = False) -> Manifest:
        """Return the manifest with these datasets only; with all of them if none is given.

        Raises:
            ManifestError: A dataset is not in the manifest, or a prune would not judge the whole manifest.
        """
        names = one_or_more(datasets)
        if not names:
            return self.manifest
        known = self.manifest.datasets
        if unknown := [name for name in names if name not in known]:
            raise ManifestError(
                [f"{self.manifest.name} has no dataset {name!r}; it has {', '.join(known)}" for name in unknown]
            )
        if prune:
            raise ManifestError("--prune cannot be combined with --dataset")
        chosen = {name: dataset for name, dataset in known.items() if name in names}
        return replace(self.manifest, datasets=chosen)


def check_choice(context: MirrorContext, datasets: str | Iterable[str], *, prune: bool = False) -> None:
    """Check that `plan` accepts these arguments.

    Args:
        context: The mirror.
        datasets: One or more names of datasets; none for all.
        prune: As in `plan`.

    Raises:
        ManifestError: A dataset is not in the manifest, or `prune` is set with datasets.
    """
    context.narrowed(datasets, prune=prune)


def utc_now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def open_mirror(
    manifest: Manifest,
    archives: Mapping[str, Archive] | None = None,
    *,
    clock: Callable[[], datetime] = utc_now,
    prompt: bool = False,
    record: IO[str] | None = None,
) -> MirrorContext:
    """Return the context of a manifest; its archives have to be closed. See `Mirror`."""
    pool = ArchivePool(manifest, archives or {}, clock=clock, prompt=prompt, record=record)
    context = MirrorContext(manifest=manifest, state=MirrorState(manifest, clock), archives=pool, clock=clock)
    context.state.on_lost = lambda: context.stop(MirrorLocked.exit_code)
    return context


def filehash_of(manifest: Manifest) -> dict[str, Filehash]:
    """Return for each archive's key what to do if a file's checksum differs from the catalogue's."""
    return {key: config.filehash for key, config in manifest.archives.items()}


def all_archive_facts(manifest: Manifest) -> dict[str, dict[str, str | None]]:
    """Return type and URL of each archive by key; empty if the manifest has only one."""
    if len(manifest.archives) == 1:
        return {}
    return {key: {"type": config.type, "url": config.address} for key, config in manifest.archives.items()}
