"""The archives of one manifest, each opened when it is first needed and recorded if required."""

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from sedas_sync.archives.opening import Opening, open_archive
from sedas_sync.archives.protocol import Archive, calls_of, server_time_of
from sedas_sync.archives.registry import TYPES
from sedas_sync.archives.replay import Recorder, write_head
from sedas_sync.files.paths import user_path
from sedas_sync.manifest import Manifest
from sedas_sync.model.scene import ArchiveIdentity, ArchiveKey


class ArchivePool:
    """The archives of a manifest by their keys.

    Args:
        manifest: Configures them.
        given: Implementations to use instead of those that the manifest configures.
        clock: Returns the current time, UTC.
        prompt: Prompt for credentials on the terminal if none are found elsewhere.
        record: Write every request to an archive and its answer to this file.
    """

    def __init__(
        self,
        manifest: Manifest,
        given: Mapping[str, Archive],
        *,
        clock: Callable[[], datetime],
        prompt: bool,
        record: IO[str] | None,
    ) -> None:
        self._manifest = manifest
        self._open = dict(given)
        self._clock = clock
        self._prompt = prompt
        self._record = record
        self._stopped = False
        self._calls: Counter[str] = Counter()
        self._stack = ExitStack()
        if record is not None:
            write_head(record, clock())

    def __getitem__(self, key: ArchiveKey) -> Archive:
        """Return the archive of a key.

        Raises:
            AuthenticationError: There are no credentials for it.
        """
        if key not in self._open:
            opened = open_archive(self._opening(key))
            self._open[key] = opened if self._record is None else Recorder(opened, key, self._record)
            if self._stopped:
                opened.stop()
        return self._open[key]

    def of(self, manifest: Manifest) -> dict[str, Archive]:
        """Return the archives of a manifest's datasets, which may be part of the whole manifest."""
        keys = {key for dataset in manifest.datasets.values() for key in dataset.archive}
        return {key: self[key] for key in sorted(keys)}

    @property
    def identities(self) -> dict[ArchiveKey, ArchiveIdentity]:
        """`Archive.identity` of the archives that are open, by key."""
        return {key: archive.identity for key, archive in self._open.items()}

    @property
    def server_times(self) -> dict[str, datetime]:
        """The current time of the servers' clocks, by key, of the archives that were asked and report it."""
        times = {key: server_time_of(archive) for key, archive in self._open.items()}
        return {key: time for key, time in times.items() if time is not None}

    def take_calls(self) -> dict[str, int]:
        """Return how many requests were sent to the archives since this was last called, by kind."""
        total: Counter[str] = Counter()
        for archive in self._open.values():
            total.update(calls_of(archive))
        new, self._calls = total - self._calls, total
        return dict(sorted(new.items()))

    def stop(self) -> None:
        """Make running calls and all later ones end early; may be called from a signal handler."""
        self._stopped = True
        for archive in tuple(self._open.values()):
            archive.stop()

    def close(self) -> None:
        """Close connections and a sandbox."""
        self._stack.close()

    def _opening(self, key: ArchiveKey) -> Opening:
        config = self._manifest.archives[key]
        urls = {other.address for other in self._manifest.archives.values() if other.type == config.type}
        return Opening(
            config=config,
            kind=TYPES[config.type],
            key=key,
            base=Path(self._manifest.source).parent,
            transfer=self._manifest.transfer,
            mirror=user_path(Path(self._manifest.source).parent, self._manifest.mirror.path),
            clock=self._clock,
            prompt=self._prompt,
            alone=len({urlsplit(url or "").hostname for url in urls}) == 1,
            stack=self._stack,
        )
