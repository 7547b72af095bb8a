"""Small pictures of scenes on disk, from the quick-looks that are in the products."""

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sedas_sync.files.extras import load_extra
from sedas_sync.model.events import OnStep, Step, ignore_step
from sedas_sync.model.local import LocalScene
from sedas_sync.model.scene import SceneId
from sedas_sync.output.product_files import LARGEST_QUICKLOOK, UNREADABLE, open_product, quicklook_of

WIDTH = 160
"""Pixels of the longer side of an embedded picture."""
_QUALITY = 60
_LARGEST = 20_000_000
"""Pixels of a quick-look."""
_STEP = 20

Shrink = Callable[[bytes], bytes]


def quicklooks(root: str, scenes: Sequence[LocalScene], on_step: OnStep = ignore_step) -> Mapping[SceneId, str]:
    """Return a small picture of each scene that has a quick-look: WebP as base64.

    Args:
        root: The mirror.
        scenes: Scenes on disk.
        on_step: Called with the number of scenes read.

    Raises:
        ManifestError: The extra `quicklooks` is not installed.
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
    image, operations = (
        load_extra(name, "quicklooks", "a report with quick-looks") for name in ("PIL.Image", "PIL.ImageOps")
    )

    def shrink(content: bytes) -> bytes:
        with image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as picture:
            if picture.width * picture.height > _LARGEST:
                raise ValueError("too large for a quick-look")
            small: Any = operations.exif_transpose(picture).convert("RGB")
        small.thumbnail((WIDTH, WIDTH))
        out = io.BytesIO()
        small.save(out, "WEBP", quality=_QUALITY)
        return out.getvalue()

    return shrink


def _picture(root: str, scene: LocalScene) -> bytes | None:
    """Return the bytes of the smallest quick-look of a scene; None if there is none, or it cannot be read."""
    try:
        with open_product(root, scene) as product:
            name = quicklook_of(product.sizes)
            return None if name is None else product.read(name, LARGEST_QUICKLOOK)
    except UNREADABLE:
        return None
