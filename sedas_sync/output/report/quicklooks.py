"""Small pictures of scenes on disk, from the quick-looks that are in the products.

Products of Sentinel-1 have `preview/quick-look.png`, those of Sentinel-2 a `…-ql.jpg`, those of Landsat a
`…_thumb_small.jpeg`, and scenes of STAC catalogues often an asset that is called thumbnail, preview or overview.
"""

import base64
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

from sedas_sync.errors import ManifestError, TransferError
from sedas_sync.files import safe_tree
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.model.local import LocalScene
from sedas_sync.model.scene import SceneId

WIDTH = 160
"""Pixels of the longer side of an embedded picture."""
_QUALITY = 60
_NAME = re.compile(
    r"(?:quick-?look|-ql|thumb(?:nail)?(?:_small|_large)?|preview|browse|overview)\.(?:jpe?g|png)$", re.IGNORECASE
)
_LARGEST = 20_000_000
"""Bytes of a quick-look that is read: those of Sentinel-1 have a few hundred thousand."""
_STEP = 20

Shrink = Callable[[bytes], bytes]


def quicklooks(root: str, scenes: Sequence[LocalScene], on_step: OnStep = ignore_step) -> Mapping[SceneId, str]:
    """Return a small picture of each scene that has a quick-look: WebP as base64.

    Args:
        root: the mirror.
        scenes: scenes on disk.
        on_step: called with the number of scenes read.

    Raises:
        ManifestError: the extra `quicklooks` is not installed.
    """
    shrink = _shrinker()
    found = {}
    for number, scene in enumerate(scenes):
        if number % _STEP == 0:
            on_step(Step("reading quick-looks", number, len(scenes)))
        picture = _picture(root, scene)
        if picture is None:
            continue
        try:
            found[scene.id] = base64.b64encode(shrink(picture)).decode("ascii")
        except (OSError, ValueError, SyntaxError):
            # Not a picture after all, or a damaged one. The report has the scene without it.
            continue
    return found


def _shrinker() -> Shrink:
    try:
        from PIL import Image, ImageOps  # noqa: PLC0415  # of an extra
    except ImportError:
        raise ManifestError(
            "quick-looks need the extra sedas-sync[quicklooks]: pip install 'sedas-sync[quicklooks]'"
        ) from None

    def shrink(content: bytes) -> bytes:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _LARGEST:
                raise ValueError("too large for a quick-look")
            small: Any = ImageOps.exif_transpose(picture).convert("RGB")
        small.thumbnail((WIDTH, WIDTH))
        out = io.BytesIO()
        small.save(out, "WEBP", quality=_QUALITY)
        return out.getvalue()

    return shrink


def _picture(root: str, scene: LocalScene) -> bytes | None:
    """Return the bytes of the smallest quick-look of a scene; None if there is none, or it cannot be read."""
    try:
        files = [file for file in scene.files if _NAME.search(file.path) and file.size <= _LARGEST]
        if files:
            with _opened(root, min(files, key=lambda file: file.size).path) as file:
                return file.read()
        if scene.is_folder:
            return None
        with _opened(root, scene.path) as file, zipfile.ZipFile(file) as product:
            entries = [
                entry for entry in product.infolist() if _NAME.search(entry.filename) and entry.file_size <= _LARGEST
            ]
            if not entries:
                return None
            with product.open(min(entries, key=lambda entry: entry.file_size)) as entry:
                return entry.read(_LARGEST)
    except (OSError, TransferError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        # A product that is no zip file, is encrypted, or has changed since it was listed.
        return None


@contextmanager
def _opened(root: str, relative: str) -> Iterator[IO[bytes]]:
    with os.fdopen(safe_tree.open_file(root, relative, os.O_RDONLY), "rb") as file:
        yield file
