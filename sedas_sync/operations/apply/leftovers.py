"""The beginning of a run: finish what earlier runs left in `partial/`, and remove what is not needed."""

from collections.abc import Container, Iterable

from sedas_sync.errors import SedasSyncError, TransferError, sentence
from sedas_sync.files import safe_tree
from sedas_sync.files.safe_tree import STATE
from sedas_sync.model.plan import Action
from sedas_sync.model.scene import SceneId
from sedas_sync.operations.apply.reports import Reports
from sedas_sync.state.index import Index
from sedas_sync.state.staging import folder_place, forget, left_over, partial_path, recover
from sedas_sync.state.unpacking import finish


def recover_folders(root: str, index: Index, reports: Reports) -> None:
    """Finish what a killed run left half done with folders.

    Args:
        root: The mirror's folder.
        index: Has the scenes as they were recorded.
        reports: Takes warnings.
    """
    for place in sorted(left_over(root)):
        try:
            for warning in recover(root, place, index.local_scene):
                reports.warn(warning)
            finish(root, place, index.local_scene)
        except (SedasSyncError, OSError) as error:
            reports.warn(f"{place}: cannot be finished, and is kept: {sentence(error)}")


def discard_partial(root: str, complete: Iterable[Action], unpacked: Container[SceneId]) -> None:
    """Remove partial downloads of scenes that are complete.

    Args:
        root: The mirror's folder.
        complete: Actions whose scenes are on disk.
        unpacked: Scenes of these whose zips are unpacked now: a note of a killed run may prove their folders.
    """
    try:
        found = {f"{STATE}/partial/{name}" for name in safe_tree.names(root, f"{STATE}/partial")}
    except (OSError, TransferError):
        return
    for action in complete if found else ():
        places = set() if action.wanted is None else {partial_path(action.wanted.scene)}
        if action.id not in unpacked:
            places.add(folder_place(action.id))
        for path in places & found:
            forget(root, path)
