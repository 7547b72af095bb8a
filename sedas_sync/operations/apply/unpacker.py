"""Effects on zips that become folders. The decisions are in `unpacks`."""

from collections.abc import Callable

from msgspec.structs import replace

from sedas_sync.errors import TransferError
from sedas_sync.operations.apply.effects import RecordScene, ZipReady
from sedas_sync.operations.apply.mirror_files import MirrorFiles
from sedas_sync.operations.apply.unpacks import must_be_unpacked
from sedas_sync.state.index import Index
from sedas_sync.state.unpacking import ZipUnpacking


class Unpacker:
    """The zips of one run that become folders.

    Args:
        root: The mirror's folder.
        index: Open for reading.
        files: The files of the mirror.
        unpack: Whether the manifest wants folders.
        stopped: Returns whether the run ends.
    """

    def __init__(
        self, root: str, index: Index, files: MirrorFiles, *, unpack: bool, stopped: Callable[[], bool]
    ) -> None:
        self._root = root
        self._index = index
        self._files = files
        self._unpack = unpack
        self._stopped = stopped

    def after_placing(self, record: RecordScene) -> RecordScene | ZipReady:
        """Return what follows when a scene that is one file is in place."""
        if not must_be_unpacked(record, unpack=self._unpack):
            return record
        local = record.task.action.local
        if local is None or local.packed is None:
            # Until it is unpacked the scene is its zip. The row of an older folder stays: it proves what is replaced.
            self._files.record(record)
        return ZipReady(record)

    def prepare(self, record: RecordScene) -> Callable[[], RecordScene]:
        """Return the call that unpacks the zip of a scene, after making the path of its folder free.

        The call runs in a thread of its own. It raises `InterruptedError` if the run ends.

        Raises:
            OSError, TransferError: the zip cannot be unpacked, or something is at the path and cannot be moved.
        """
        action, zipped = record.task.action, record.local
        before = self._index.local_scene(zipped.id)
        if action.local is not None and action.local.packed is not None:
            before = action.local
        unpacking = ZipUnpacking(self._root, zipped, action.path, before=before)
        if self._index.has_path(unpacking.path) and (before is None or before.path != unpacking.path):
            raise TransferError(f"{unpacking.path}: another scene is at the path of this scene's folder")
        if unpacking.in_the_way:
            self._files.make_way(unpacking.path)

        def run() -> RecordScene:
            local, warnings = unpacking.run(self._stopped)
            return replace(record, local=local, warnings=(*record.warnings, *warnings), unpacking=unpacking)

        return run
