"""The files inside a product on disk: the entries of a zip, or the files of a folder."""

import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from sedas_sync.errors import TransferError
from sedas_sync.files import safe_tree
from sedas_sync.model.local import LocalScene

UNREADABLE = (OSError, TransferError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError)
"""Errors of a product that is no zip file, is encrypted, or has changed since it was listed."""

_QUICKLOOK = re.compile(
    r"(?:quick-?look|-ql|thumb(?:nail)?(?:_small|_large)?|preview|browse|overview)\.(?:jpe?g|png)$", re.IGNORECASE
)
LARGEST_QUICKLOOK = 20_000_000
"""Bytes: those of Sentinel-1 have a few hundred thousand."""


class OpenProduct:
    """The files of one product, while it is open."""

    def __init__(self, root: str, scene: LocalScene, archive: zipfile.ZipFile | None) -> None:
        self._root = root
        self._archive = archive
        self.in_zip = archive is not None
        """Whether they are entries of a zip."""
        self.sizes: Mapping[str, int]
        """Bytes of each file, by its path inside the product."""
        if archive is not None:
            self.sizes = {entry.filename: entry.file_size for entry in archive.infolist() if not entry.is_dir()}
            return
        self._paths = {file.name or file.path: file.path for file in scene.files}
        self.sizes = {file.name or file.path: file.size for file in scene.files}

    def read(self, name: str, limit: int) -> bytes:
        """Return the content of a file, or its first bytes if it is longer than the limit.

        Raises:
            OSError, TransferError, zipfile.BadZipFile, ...: see `UNREADABLE`.
        """
        if self._archive is not None:
            with self._archive.open(name) as entry:
                return entry.read(limit)
        with safe_tree.reading(self._root, self._paths[name]) as file:
            return file.read(limit)


def quicklook_of(sizes: Mapping[str, int]) -> str | None:
    """Return the name of the smallest quick-look of a product; None if there is none.

    Products of Sentinel-1 have `preview/quick-look.png`, those of Sentinel-2 a `…-ql.jpg`, those of Landsat a
    `…_thumb_small.jpeg`, and scenes of STAC catalogues often an asset that is called thumbnail, preview or overview.

    Args:
        sizes: Bytes of each file.
    """
    found = [name for name, size in sizes.items() if size <= LARGEST_QUICKLOOK and _QUICKLOOK.search(name)]
    return min(found, key=sizes.__getitem__, default=None)


@contextmanager
def open_product(root: str, scene: LocalScene) -> Iterator[OpenProduct]:
    """Open a product of the mirror.

    Args:
        root: The mirror.
        scene: The product; a scene that is one file and no zip has that file.

    Raises:
        OSError, TransferError, zipfile.BadZipFile, ...: see `UNREADABLE`.
    """
    if scene.is_folder or not scene.path.lower().endswith(".zip"):
        yield OpenProduct(root, scene, None)
        return
    with safe_tree.reading(root, scene.path) as file, zipfile.ZipFile(file) as archive:
        yield OpenProduct(root, scene, archive)
