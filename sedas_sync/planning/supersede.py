"""Which of several products of one acquisition match: the newest processing, and one of two formats. Pure.

`reprocessed = "newest"` compares products of one acquisition in this order:

============  =====================================================================================================
Sentinel-1    the time of processing, if the catalogue states it
Sentinel-2    the processing baseline, then the time of processing; N9999, of unofficial processing, is the lowest
Sentinel-3    NR, ST, NT; then the baseline of the processor; then the time of processing
Sentinel-5P   the collection; then NRTI, OFFL, RPRO; then the version of the processor; then the time of processing
Sentinel-6    NR, ST, NT; then the baseline; then the time of processing
============  =====================================================================================================

A near-real-time product (NR, NRTI) is a segment of the acquisition: a later product of the whole supersedes all of
them, and one segment never supersedes another one.

Sources: the naming conventions of the missions, see `product_name`; N9999: Sentinel-2 products of ESA's validation.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from msgspec import Struct

from sedas_sync.geometry import footprint
from sedas_sync.manifest import Dataset
from sedas_sync.model.reason import RuleName
from sedas_sync.model.scene import Scene, SceneId
from sedas_sync.planning.filters import is_cog, wants_cog
from sedas_sync.planning.match import Exclusion
from sedas_sync.planning.product_name import parse_name, parts_of

_UNOFFICIAL = 9999
_SAME_AREA = 0.9
"""Share of a footprint that a later product must cover: parts of one tile are products of their own."""
_DISCRIMINATOR = re.compile(r"_T\d{2}[A-Z]{3}_(\d{8}T\d{6})")
_CHECKSUM = re.compile(r"_[0-9A-F]{4}(?:_COG)?(?:\.SAFE)?$")
_TIMELINESS = {"NR": 0, "NRTI": 0, "ST": 1, "OFFL": 1, "NT": 2, "RPRO": 2}


class Processing(Struct, frozen=True):
    """How a product was made."""

    acquisition: str
    """The same for all products of one acquisition."""
    rank: tuple[int | str, ...]
    """A greater one is newer; its last item is the time of processing."""
    label: str = ""
    """The rank in words."""
    segment: str = ""
    """Which part of the acquisition it is; empty for the whole."""


def processing_of(scene: Scene) -> Processing | None:
    """Return how a product was made, by its name and the catalogue; None if its name is of no known convention."""
    facts, part = parse_name(scene.id), parts_of(scene.id)
    mission, kind = facts.mission or "", f"{facts.mission}_{facts.product_type}"
    made = part.get("made", "")
    if facts.acquisition is not None and facts.baseline is not None:
        found = _DISCRIMINATOR.search(scene.id)
        baseline = -1 if facts.baseline == _UNOFFICIAL else facts.baseline
        rank: tuple[int | str, ...] = (baseline, found[1] if found else "")
        return Processing(facts.acquisition, rank, f"baseline {facts.baseline:04d}")
    if mission.startswith("S1") and facts.orbit is not None:
        processed = "" if scene.processed is None else scene.processed.isoformat()
        return Processing(_CHECKSUM.sub("", scene.id) + ("_COG" if is_cog(scene) else ""), (processed,))
    timeliness = part.get("timeliness", "")
    segment = part.get("start", "") if _TIMELINESS.get(timeliness) == 0 else ""
    if mission == "S5P":
        rank = (int(part["collection"]), _TIMELINESS.get(timeliness, 1), part["processor"], made)
        return Processing(f"{kind}_{facts.orbit}", rank, f"{timeliness}, collection {part['collection']}", segment)
    if mission.startswith("S3") and "instance" in part:
        where = part["instance"][5:]
        # Without a frame a product is a stretch of the orbit, of which there may be several.
        where += "" if where.rstrip("_").count("_") > 1 else f"_{facts.start}"
        rank = (_TIMELINESS.get(timeliness, 1), part["baseline"], made)
        return Processing(f"{kind}_{where}", rank, f"{timeliness}, baseline {part['baseline']}", segment)
    if mission.startswith("S6"):
        rank = (_TIMELINESS.get(timeliness, 1), part["baseline"], made)
        where = f"{part['cycle']}_{part['passage']}"
        return Processing(f"{kind}_{where}", rank, f"{timeliness}, baseline {part['baseline']}", segment)
    return None


def superseded(dataset: Dataset, scenes: Iterable[Scene]) -> dict[SceneId, Exclusion]:
    """Return the scenes of a dataset that others supersede, with the reason."""
    scenes = tuple(scenes)
    excluded = _formats(dataset, scenes)
    if dataset.reprocessed != "newest":
        return excluded
    groups: defaultdict[str, list[tuple[Processing, Scene]]] = defaultdict(list)
    for scene in scenes:
        made = None if scene.id in excluded else processing_of(scene)
        if made is not None:
            groups[made.acquisition].append((made, scene))
    for group in groups.values():
        if len(group) > 1:
            excluded |= _older(group)
    return excluded


def _older(group: list[tuple[Processing, Scene]]) -> dict[SceneId, Exclusion]:
    excluded = {}
    for made, scene in group:
        # A segment is compared with the whole, or else with products of the same segment.
        whole = [one for one in group if not one[0].segment]
        rivals = whole or [one for one in group if one[0].segment == made.segment]
        newest, newer = max(rivals, key=lambda one: (one[0].rank, one[1].id))
        later = made.rank[:-1] == newest.rank[:-1]
        if made.rank < newest.rank and not (later and _elsewhere(scene, newer)):
            how = "processed later" if later else newest.label
            excluded[scene.id] = Exclusion(RuleName.REPROCESSED, f"superseded by {newer.id} ({how})", (newer.id,))
    return excluded


def _elsewhere(scene: Scene, newer: Scene) -> bool:
    """Whether a scene shows ground that the newer one does not: parts of a tile from two receiving stations do."""
    try:
        here, there = (footprint(one.footprint) if one.footprint else None for one in (scene, newer))
    except ValueError:
        return False
    if here is None or there is None or not here.area:
        return False
    return bool(here.intersection(there).area < _SAME_AREA * here.area)


def _formats(dataset: Dataset, scenes: Iterable[Scene]) -> dict[SceneId, Exclusion]:
    """Return the COGs of Sentinel-1 that are also there as SAFE, unless the dataset asks for COGs."""
    if wants_cog(dataset.product_type):
        return {}
    cogs = [scene for scene in scenes if is_cog(scene)]
    if not cogs:
        return {}
    safes = {_CHECKSUM.sub("", scene.id): scene.id for scene in scenes if not is_cog(scene)}
    twins = ((cog.id, safes.get(_CHECKSUM.sub("", cog.id))) for cog in cogs)
    return {
        cog: Exclusion(RuleName.COG, f'the COG of {safe}; product_type = "GRD-COG" asks for COGs', (safe,))
        for cog, safe in twins
        if safe is not None
    }
