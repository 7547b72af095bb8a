"""How long files are of which a catalogue says nothing: their servers are asked."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from sedas_sync.archives.protocol import Archive
from sedas_sync.errors import ArchiveError
from sedas_sync.files.integrity import algorithm
from sedas_sync.manifest.tables import TransferConfig
from sedas_sync.model.assets import scene_of_file
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.model.scene import DesiredScene, Download, RemoteFile, Scene, SceneId

Part = TypeVar("Part", str, int)
"""Tells one file of a scene from another."""


class RemoteSizes:
    """Asks for lengths.

    Args:
        archive_of: gives the archive of a key of the manifest.
        transfer: how servers are asked.
        on_step: told how far it is.
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

    def ask(self, files: Mapping[tuple[SceneId, Part], tuple[str, Scene]]) -> dict[tuple[SceneId, Part], int]:
        """Ask for files that are online, each given with the key of its archive.

        Returns:
            Those of which a length is known now. A file without a link that can be asked is none of them.

        Raises:
            AuthenticationError: an archive refused the credentials, or there are none.
        """
        from sedas_sync.archives.head_sizes import remote_sizes  # noqa: PLC0415  # seldom needed, and brings requests along

        def located() -> Iterator[tuple[tuple[SceneId, Part], Download]]:
            for key, (archive, file) in files.items():
                if file.online:
                    with suppress(ArchiveError):
                        yield key, self._archive_of(archive).locate(file)

        return remote_sizes(
            located(),
            jobs=self._transfer.jobs,
            connect_timeout=self._transfer.connect_timeout,
            stall_timeout=self._transfer.stall_timeout,
            on_done=lambda done: self._on_step()(Step("asking for sizes", done, len(files))),
        )

    def added(self, wants: Iterable[DesiredScene]) -> dict[SceneId, DesiredScene]:
        """Find out the lengths of files that nothing else can prove, when they were not fetched here.

        Returns:
            The scenes of several files of which a length was learnt, with it, by id.
        """
        scenes = {want.scene.id: want for want in wants}
        known = self.ask(
            {
                (scene_id, asset.name): (want.archive, scene_of_file(want.scene, asset))
                for scene_id, want in scenes.items()
                for asset in want.scene.assets
                if _proves_nothing(asset) and asset.name not in want.pinned
            }
        )
        return {scene_id: _with(scenes[scene_id], known) for scene_id in {scene_id for scene_id, _ in known}}


def _proves_nothing(asset: RemoteFile) -> bool:
    return asset.size is None and algorithm(asset.digest) is None


def _with(want: DesiredScene, known: Mapping[tuple[SceneId, str], int]) -> DesiredScene:
    assets = tuple(
        replace(asset, size=known.get((want.scene.id, asset.name), asset.size)) for asset in want.scene.assets
    )
    return replace(want, scene=replace(want.scene, assets=assets))
