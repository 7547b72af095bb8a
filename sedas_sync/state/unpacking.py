"""The zip of a scene on its way to be the folder that it contains.

The zip is in the mirror, complete and proved. `.sedas-sync/partial/<scene>.scene/` contains, until the index has the
folder::

    new/<file>      what was unpacked so far
    old/            the folder that is replaced, between two renames
    commit.json     the scene, its zip and the files of its folder, once all of them are unpacked

`new` is renamed to the scene's path, then the index gets its row, then the zip is removed. A kill before the rename
leaves the zip, and the next run unpacks it again. A kill after it leaves both, and the note proves the folder.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from zipfile import ZipInfo

from msgspec import convert, to_builtins

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree, tree_listing
from sedas_sync.files.unzip import CannotUnpackError, read_contents, read_unpacked, unpack
from sedas_sync.model.files import folder_path, local_scene
from sedas_sync.model.local import LocalFile, LocalScene, PackedFile, ProofLevel
from sedas_sync.model.scene import SceneId
from sedas_sync.model.text import product_id
from sedas_sync.state.staging import folder_place, is_in_the_way, note_of, put_in_place

_SAME = ("path", "size", "mtime_ns")
"""What shows that a zip is the one of a note."""


class ZipUnpacking:
    """Unpacks one scene.

    Args:
        root: The mirror's folder.
        zipped: The scene as its zip; it is on disk, complete and proved.
        path: Where the layout puts the zip. The folder gets the same name with the ending of the product's own folder.
        before: The scene in the index: this zip, or an older folder, which is replaced.

    Raises:
        CannotUnpackError: The zip cannot be unpacked.
        OSError, TransferError: it cannot be read.
    """

    def __init__(self, root: str, zipped: LocalScene, path: str, *, before: LocalScene | None) -> None:
        self._root = root
        self._zipped = zipped
        self._before = before
        self._place = folder_place(zipped.id)
        self._contents = read_contents(root, zipped.path)
        self._check_name()
        self.path = folder_path(path, self._contents.name)
        """Where the folder will be, relative to the root."""
        self._unpacked = self._by_killed_run()
        self._by_hand = not self._unpacked and self._looks_unpacked()
        """Whether the folder is there and may be what the zip contains, so that it is read before it is replaced."""

    def _check_name(self) -> None:
        """Compare the name of the product's folder with the scene's id, unless a checksum proved the zip.

        Raises:
            CannotUnpackError: It is another product.
        """
        zipped, name = self._zipped, self._contents.name
        other = name.endswith(".SAFE") and product_id(name) != product_id(zipped.id)
        if other and zipped.level is not ProofLevel.DIGEST:
            raise CannotUnpackError(f"{zipped.path} cannot be unpacked: it contains {product_id(name)}")

    def _by_killed_run(self) -> list[LocalFile]:
        """Return the files of the folder if an earlier run put it in place and was killed; else nothing."""
        note = note_of(self._root, self._place)
        zipped = note.get("zip", {})
        if note.get("path") != self.path or [zipped.get(key) for key in _SAME] != [
            getattr(self._zipped, key) for key in _SAME
        ]:
            return []
        files = convert(note["files"], list[LocalFile])
        there = (tree_listing.look(self._root, f"{self.path}/{file.name}") for file in files)
        return files if all(map(tree_listing.untouched, there, files)) else []

    def _looks_unpacked(self) -> bool:
        """Return whether somebody has unpacked the zip by hand: all files are there with their sizes."""
        if self._before is not None and self._before.is_folder:
            return False
        try:
            there = ((tree_listing.look(self._root, f"{self.path}/{name}"), info) for name, info in self._files)
            return all(one is not None and one.is_file and one.size == info.file_size for one, info in there)
        except TransferError:
            return False

    @property
    def _files(self) -> Iterable[tuple[str, ZipInfo]]:
        return self._contents.files.items()

    @property
    def in_the_way(self) -> bool:
        """Whether something else is at the path of the folder."""
        return not (self._unpacked or self._by_hand) and is_in_the_way(self._root, self.path, self._before)

    def run(self, stopped: Callable[[], bool]) -> tuple[LocalScene, list[str]]:
        """Unpack the zip and put the folder in place; the zip stays until `clean`.

        Args:
            stopped: Called now and then; a true result ends it.

        Returns:
            The folder as the index has to store it, and warnings about the folder that was replaced.

        Raises:
            CannotUnpackError: The zip is damaged.
            InterruptedError: `stopped` returned true.
            OSError, TransferError: the folder cannot be written.
        """
        warnings: list[str] = []
        if self._by_hand:
            self._unpacked = read_unpacked(self._root, self._contents, self.path, stopped)
            if not self._unpacked:
                kept = safe_tree.set_aside(self._root, self.path)
                warnings.append(f"{self.path}: something else stood in the scene's place; it is now {kept}")
        if not self._unpacked:
            safe_tree.discard(self._root, self._place)
            zipped, new = self._zipped, f"{self._place}/new"
            try:
                files = unpack(self._root, zipped.path, self._contents, new, level=zipped.level, stopped=stopped)
            except BaseException:
                # On a full disk its room is needed.
                with suppress(OSError, TransferError):
                    safe_tree.discard(self._root, self._place)
                raise
            note = {
                "id": zipped.id,
                "path": self.path,
                "zip": to_builtins(zipped.files[0]),
                "files": to_builtins(files),
            }
            warnings += put_in_place(self._root, self._place, note, self._before)
            self._unpacked = files
        return self._folder(), warnings

    def _folder(self) -> LocalScene:
        zipped = self._zipped
        packed = PackedFile(size=zipped.size, sha256=zipped.sha256, digest=zipped.digest)
        return local_scene(
            zipped.id, self.path, self._unpacked, archive=zipped.archive, facts=zipped.facts, packed=packed
        )

    def clean(self) -> None:
        """Remove the zip and the notes of a scene whose folder is in the index."""
        _clean(self._root, self._place, self._zipped)


def finish(root: str, place: str, local_of: Callable[[SceneId], LocalScene | None]) -> None:
    """Remove the zip of a scene whose folder is in the index, after a kill.

    Args:
        root: The mirror's folder.
        place: A folder below `partial/`, which may belong to any scene of several files.
        local_of: Returns the scene in the index.

    Raises:
        OSError, TransferError: it cannot be removed.
    """
    note = note_of(root, place)
    folder = local_of(note["id"]) if "zip" in note else None
    files = convert(note.get("files", ()), list[LocalFile])
    if folder is not None and folder.path == note["path"] and set(folder.members) == set(files):
        _clean(root, place, convert(note["zip"], LocalFile))


def _clean(root: str, place: str, zipped: LocalScene | LocalFile) -> None:
    with suppress(FileNotFoundError):
        if tree_listing.untouched(tree_listing.look(root, zipped.path), zipped):
            safe_tree.remove(root, zipped.path)
    safe_tree.discard(root, place)
