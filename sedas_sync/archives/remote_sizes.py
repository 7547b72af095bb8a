"""Request the sizes of files that the catalogue does not state."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from sedas_sync.archives.head_sizes import remote_sizes
from sedas_sync.archives.lenient import once
from sedas_sync.archives.protocol import Archive, Warn, list_files, locate_file
from sedas_sync.errors import ArchiveError, AuthenticationError
from sedas_sync.files.integrity import algorithm
from sedas_sync.manifest.tables import TransferConfig
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.model.scene import DesiredScene, Download, RemoteFile, Scene, SceneId

Key = TypeVar("Key", bound=Hashable)
"""Identifies a file of a scene."""


class RemoteSizes:
    """Requests the sizes of files.

    Args:
        archive_of: Returns the archive of a key of the manifest.
        transfer: Timeouts and the number of concurrent requests.
        on_step: Returns the function to report progress to.
    """

    def __init__(
        self,
        archive_of: Callable[[str], Archive],
        transfer: TransferConfig,
        on_step: Callable[[], OnStep] = lambda: ignore_step,
    ) -> None:
        self._archive_of = archive_of
        self._transfer = transfer
        self._on_step = on_step

    def request(
        self, files: Mapping[Key, tuple[str, Scene, RemoteFile]], warn: Warn = lambda _: None
    ) -> dict[Key, int]:
        """Request the sizes of files that are online.

        Args:
            files: The key of the archive, the scene and the file.
            warn: Called once for each reason for which credentials are not sent to the server of a file.

        Returns:
            The sizes that are known now. Files that cannot be requested are left out.

        Raises:
            AuthenticationError: An archive rejected the credentials, or there are none.
        """
        report = once(warn)

        def located() -> Iterator[tuple[Key, Download]]:
            for key, (archive, scene, file) in files.items():
                if scene.online:
                    with suppress(ArchiveError):
                        try:
                            located = locate_file(self._archive_of(archive), scene, file)
                        except AuthenticationError as error:
                            if not error.forbidden:
                                raise
                            report(scene.id, f"its size is not known: {error}")
                            continue
                        if located.open is None:
                            yield key, located

        return remote_sizes(
            located(),
            jobs=self._transfer.jobs,
            connect_timeout=self._transfer.connect_timeout,
            stall_timeout=self._transfer.stall_timeout,
            on_done=lambda done: self._on_step()(Step("requesting sizes", done, len(files))),
        )

    def complete(self, wants: Iterable[DesiredScene]) -> dict[SceneId, DesiredScene]:
        """Request what proves the files of folders that this program did not download: their list, and their sizes.

        Returns:
            The scenes with a list or at least one new size, by id.
        """
        scenes = {want.scene.id: want for want in wants}
        listed = {scene_id: self._with_files(want) for scene_id, want in scenes.items() if want.scene.unlisted}
        scenes |= listed
        known = self.request(
            {
                (scene_id, file.name): (want.archive, want.scene, file)
                for scene_id, want in scenes.items()
                for file in want.scene.assets
                if file.size is None and algorithm(file.digest) is None and file.name not in want.pinned
            }
        )
        changed = listed.keys() | {scene_id for scene_id, _ in known}
        return {scene_id: _with_sizes(scenes[scene_id], known) for scene_id in changed}

    def _with_files(self, want: DesiredScene) -> DesiredScene:
        """Return a scene with its files; as it is if the archive does not list them."""
        with suppress(ArchiveError):
            scene = list_files(self._archive_of(want.archive), want.sources[0].scene)
            want = want.with_files(scene.assets)
        return want


def _with_sizes(want: DesiredScene, known: Mapping[tuple[SceneId, str], int]) -> DesiredScene:
    files = want.scene.assets
    return want.with_files(
        tuple(replace(file, size=known.get((want.scene.id, file.name), file.size)) for file in files)
    )
