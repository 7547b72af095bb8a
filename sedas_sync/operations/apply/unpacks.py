"""Zips that are unpacked: which one is next, and what follows when one is unpacked or cannot be.

A state machine without I/O: see `sedas_sync.operations.apply.effects`.
"""

from collections import deque
from collections.abc import Iterator

from sedas_sync.model.files import is_packed_product
from sedas_sync.operations.apply.effects import (
    Answered,
    Effect,
    GiveUp,
    LeavePending,
    MachineEvent,
    Now,
    RecordScene,
    StopRequested,
    Task,
    Unpack,
    ZipReady,
)

AT_ONCE = 2
"""Unpacking is limited by the processor and the disk; downloads go on beside it."""


def must_be_unpacked(record: RecordScene, *, unpack: bool) -> bool:
    """Return whether a scene that has just been put in place as one file has to become a folder.

    Args:
        record: The scene.
        unpack: Whether the manifest wants folders. A folder that is downloaded again stays a folder without that.
    """
    local = record.task.action.local
    was_folder = local is not None and local.packed is not None
    return (unpack or was_folder) and not record.task.scene.is_folder and is_packed_product(record.local)


class UnpackQueue:
    """The zips of one run that are unpacked, or wait for it."""

    def __init__(self) -> None:
        self._waiting: deque[RecordScene] = deque()
        self._running: list[RecordScene] = []
        self._stopping = False

    @property
    def unfinished(self) -> tuple[Task, ...]:
        """Scenes whose zips are not unpacked yet."""
        return tuple(record.task for record in (*self._running, *self._waiting))

    def handle(self, event: MachineEvent, _now: Now) -> Iterator[Effect]:
        """Yield what follows from an event."""
        match event:
            case ZipReady(record):
                self._waiting.append(record)
            case Answered(Unpack(record), result, error):
                self._running.remove(record)
                if isinstance(result, RecordScene):
                    yield result
                elif isinstance(error, InterruptedError):
                    yield LeavePending(record.local.id)
                else:
                    yield GiveUp(record.local.id, error or "")
            case StopRequested():
                self._stopping = True
            case _:
                return
        while self._waiting and len(self._running) < AT_ONCE and not self._stopping:
            self._running.append(self._waiting.popleft())
            yield Unpack(self._running[-1])
