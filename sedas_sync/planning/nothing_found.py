"""Why a dataset has no scenes, in words. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

from sedas_sync.manifest import Dataset
from sedas_sync.model.product_types import nearest_type
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.model.similar import did_you_mean
from sedas_sync.model.text import count, named
from sedas_sync.planning.filters import given_filters
from sedas_sync.planning.match import Exclusion

_MOST_TYPES = 8
_STATED = ("product_type", "satellite", "source_group", "instrument")
"""Rules for which the values that were found are shown."""


def why_nothing(
    dataset: Dataset, offered: Iterable[Scene], excluded: Mapping[SceneId, Exclusion], now: datetime
) -> str | None:
    """Return a warning for a dataset whose complete search found no scene that matches; None if it names its scenes.

    Args:
        dataset: The dataset.
        offered: The scenes that its search returned.
        excluded: Why each of them does not match.
        now: The current time.
    """
    if dataset.products:
        return None
    start, stop = dataset.interval(now)
    where = f" over {named(dataset.aoi)}" if dataset.aoi else ""
    found = {scene.id: scene for scene in offered}
    if excluded:
        rules = Counter(why.rule for why in excluded.values())
        left = ", ".join(f"{rule} ({number:,})" for rule, number in rules.most_common())
        causes = [f"{count(len(excluded), 'scene')} found{where}, all left out by {left}"]
        for key in _STATED:
            if key in rules and (values := sorted({str(getattr(scene, key)) for scene in found.values()} - {"None"})):
                more = ", …" if len(values) > _MOST_TYPES else ""
                causes.append(f"{key} of the scenes found: {', '.join(values[:_MOST_TYPES])}{more}")
    elif start > now:
        causes = [f"it starts in the future, at {start:%Y-%m-%dT%H:%M:%SZ}"]
    else:
        causes = [f"the archive lists no scene from {start:%Y-%m-%d} to {stop:%Y-%m-%d}{where}{_with(dataset)}"]
    if dataset.product_type and (near := nearest_type(dataset.product_type)):
        causes.append(f'product_type = "{dataset.product_type}" is not a known type' + did_you_mean(f'"{near}"'))
    return f"dataset {dataset.name}: no scene matches: {'; '.join(causes)}"


def _with(dataset: Dataset) -> str:
    """Return the keys that narrow a search. Some archives apply them themselves, so that nothing is left to count."""
    given = [f"{one.key} = {wanted}" for one, wanted in given_filters(dataset)]
    return f" with {', '.join(given)}; without these keys it may have some" if given else ""
