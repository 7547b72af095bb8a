"""The sizes of scenes whose archive does not state them, estimated by product type. Pure."""

from collections.abc import Iterable, Mapping
from statistics import median_low

from sedas_sync.model.plan import NEEDS_ARCHIVE, Action
from sedas_sync.model.product_types import typical_size


def typical_sizes(actions: Iterable[Action], of_archives: Mapping[str, int | None]) -> dict[str, int]:
    """Return the typical size of each product type for which a scene to download has no stated size.

    It is the median of the scenes of this type that were downloaded, else the archive's typical size, else that of the
    type.

    Args:
        actions: The actions of a plan.
        of_archives: The typical size of a scene by the archive's key; None if it depends on the product type.
    """
    archives: dict[str, str] = {}
    downloaded: dict[str, list[int]] = {}
    for action in actions:
        if action.wanted is None:
            continue
        product_type = action.wanted.scene.product_type or ""
        if action.local is not None:
            downloaded.setdefault(product_type, []).append(action.local.size)
        if action.size is None and action.kind in NEEDS_ARCHIVE:
            archives.setdefault(product_type, action.wanted.archive)
    found = {}
    for product_type, archive in archives.items():
        sizes = downloaded.get(product_type)
        size = median_low(sizes) if sizes else of_archives.get(archive) or typical_size(product_type)
        if size is not None:
            found[product_type] = size
    return found
