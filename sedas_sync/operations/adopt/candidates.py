"""Find files and folders that may be scenes, by the scene ids in their names. Pure."""

from collections.abc import Callable, Iterable, Mapping
from posixpath import basename

from msgspec import Struct

from sedas_sync.files.tree_listing import TreeEntry
from sedas_sync.model.file_kind import ZIP, ending_of, folder_ending, without_endings
from sedas_sync.model.files import above
from sedas_sync.model.product_listing import NAMES
from sedas_sync.model.scene import DesiredScene, SceneId

_LISTS = frozenset(name.lower() for name in NAMES)


class Names:
    """Finds the ids of scenes in the names of files and folders.

    Letter case counts only if ids differ in nothing else: some programs and file systems change it.

    Args:
        wants: The scenes. A name that was made safe, or cut, no longer has the id; such a scene is found by its path.
    """

    def __init__(self, wants: Mapping[SceneId, DesiredScene]) -> None:
        self._ids: dict[str, SceneId | None] = {}
        for scene_id in wants:
            self._ids[scene_id.lower()] = None if scene_id.lower() in self._ids else scene_id
        self._ids |= {scene_id: scene_id for scene_id in wants}
        self._lengths = sorted({len(scene_id) for scene_id in wants if scene_id}, reverse=True)
        self._at = {want.path: scene_id for scene_id, want in wants.items()}
        for path, scene_id in tuple(self._at.items()):
            name = basename(path)
            self._at.setdefault(name, scene_id)
            self._at.setdefault(without_endings(name), scene_id)

    def find(self, name: str) -> SceneId | None:
        """Return the longest id in a name that has no letter or digit directly before or after it."""
        for text in dict.fromkeys((name, name.lower())):
            for length in self._lengths:
                for start in range(len(text) - length + 1):
                    found = self._ids.get(text[start : start + length])
                    if found is not None and _is_whole_word(name, start, start + length):
                        return found
        return None

    def of(self, path: str) -> SceneId | None:
        """Return the scene of a file or folder: the one whose id is in its name, or whose path it has."""
        name = basename(path)
        return self._at.get(path) or self._at.get(name) or self.find(name) or self._at.get(without_endings(name))


def _is_whole_word(name: str, start: int, end: int) -> bool:
    return not (name[start - 1 : start].isalnum() or name[end : end + 1].isalnum())


class Candidate(Struct, frozen=True):
    """A file or folder that may be a scene."""

    path: str
    """Relative to the folder that is searched."""
    size: int
    """Bytes of the file, or of all files in the folder."""
    entry: TreeEntry | None = None
    """None for a folder."""


def find_candidates(entries: Iterable[TreeEntry], names: Names, several: Callable[[SceneId], bool]) -> list[Candidate]:
    """Return the folders that are scenes or have the name of one, and the files that are in none of them.

    Such a folder contains the list of a product's files; or it is the outermost one named after a scene of several
    files; or it has the ending of a product's folder or the id of a scene in its name, and no other candidate in it.

    Args:
        entries: The files.
        names: Finds scene ids.
        several: Returns whether a scene consists of several files.
    """
    files = list(entries)
    folders = sorted({folder for entry in files for folder in above(entry.path)})
    ids = {folder: names.of(folder) for folder in folders}
    roots: set[str] = set()

    def is_free(folder: str) -> bool:
        return folder not in roots and roots.isdisjoint(above(folder))

    # An outer folder is sorted before those in it.
    for folder in folders:
        if (scene_id := ids[folder]) is not None and several(scene_id) and is_free(folder):
            roots.add(folder)
    with_list = {entry.path.rpartition("/")[0] for entry in files if basename(entry.path).lower() in _LISTS} - {""}
    roots |= {folder for folder in with_list if is_free(folder)}
    outer = {folder for root in roots for folder in above(root)}
    for entry in files:
        if is_free(entry.path) and _is_named_product(basename(entry.path), names):
            outer.update(above(entry.path))
    for folder in folders:
        if folder_ending(basename(folder)) and folder not in outer and is_free(folder):
            roots.add(folder)
            outer.update(above(folder))
    roots |= {folder for folder in folders if ids[folder] is not None and folder not in outer and is_free(folder)}

    # A folder in another one comes first, because the outer one may be moved with all that is in it.
    sizes = dict.fromkeys(sorted(roots, key=lambda folder: (-folder.count("/"), folder)), 0)
    loose = []
    for entry in files:
        root = next((folder for folder in above(entry.path) if folder in sizes), None)
        if root is None:
            loose.append(Candidate(entry.path, entry.size, entry))
        else:
            sizes[root] += entry.size
    return [*(Candidate(path, size) for path, size in sizes.items()), *loose]


def _is_named_product(name: str, names: Names) -> bool:
    """Whether a file has the name of a scene and the ending of a product that is one file."""
    scene_id = names.find(name)
    return scene_id is not None and name.lower().endswith((ending_of(scene_id) or ZIP).lower())
