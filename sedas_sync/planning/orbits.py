"""The orbit files that the Sentinel-1 scenes of a dataset need. Pure.

An orbit file is a scene of the dataset like the others. It is wanted because a scene is: `missing` says what to ask the
archives for, and `choose` takes one file for each scene. Rules:

1. A file covers a scene if it is of the same satellite and its period of validity begins a minute or more before the
   scene and ends a minute or more after it.
2. A file that begins an orbit before the scene, so that a node lies in between, is preferred, because processors start
   there.
3. Then the file that was made last.
4. `precise` takes a restituted file for a scene that no precise one covers yet. Precise files appear about 20 days
   after the acquisition, and restituted ones after a few hours (Sentinel-1 POD products, ESA).
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Literal

from msgspec import Struct

from sedas_sync.model.scene import Query, Scene, SceneId
from sedas_sync.planning.product_name import parse_name

Wish = Literal["precise", "restituted"]
PRECISE, RESTITUTED = "AUX_POEORB", "AUX_RESORB"
KINDS: Mapping[Wish, tuple[str, ...]] = {"precise": (PRECISE, RESTITUTED), "restituted": (RESTITUTED,)}
"""Types of orbit files, the best first."""

_MINUTE = timedelta(minutes=1)
_ORBIT = timedelta(days=12) / 175
"""Sentinel-1 repeats its orbit after 175 revolutions in 12 days."""
_LONGEST = {PRECISE: timedelta(hours=27), RESTITUTED: timedelta(hours=4)}
"""A little more than the periods of validity."""
_GAP = timedelta(days=2)
"""Scenes that are further apart are searched for separately."""
_AUXILIARY = ("AUX_", "MPL_")


class Need(Struct, frozen=True):
    """A scene that needs an orbit file."""

    id: SceneId
    satellite: str
    """As in names: `S1A`."""
    start: datetime
    stop: datetime


def type_of(scene: Scene) -> str:
    """Return the product type of a scene, by the catalogue or its name; empty if neither shows it."""
    return (scene.product_type or parse_name(scene.id).product_type or "").upper()


def is_orbit_file(scene: Scene) -> bool:
    """Return whether a scene is an orbit file, by the catalogue or its name."""
    return is_auxiliary(scene) and type_of(scene) in KINDS["precise"]


def is_auxiliary(scene: Scene) -> bool:
    """Return whether a scene is an orbit file or another auxiliary file, by the catalogue or its name."""
    # Names are not parsed: catalogues are long.
    return is_auxiliary_type(scene.product_type or "") or any(f"_{mark}" in scene.id[:16] for mark in _AUXILIARY)


def is_auxiliary_type(product_type: str) -> bool:
    """Return whether a product type is one of auxiliary files."""
    return product_type.upper().startswith(_AUXILIARY)


def choose(wish: Wish, scenes: Iterable[Scene], files: Iterable[Scene]) -> dict[SceneId, tuple[Scene, ...]]:
    """Choose an orbit file for each scene that needs one.

    Args:
        wish: The dataset's `orbits`.
        scenes: The chosen scenes of the dataset.
        files: The orbit files that the archives list.

    Returns:
        For each scene that needs one, the files that cover it, the best first; empty if there is none.
    """
    by_satellite: dict[str, list[Scene]] = {}
    for file in files:
        if type_of(file) in KINDS[wish] and (satellite := parse_name(file.id).mission):
            by_satellite.setdefault(satellite, []).append(file)
    chosen: dict[SceneId, tuple[Scene, ...]] = {}
    for need in _needs(scenes):
        covering = (file for file in by_satellite.get(need.satellite, ()) if _covers(file, need, _MINUTE))
        chosen[need.id] = tuple(sorted(covering, key=lambda file: _rank(wish, need, file), reverse=True))
    return chosen


def missing(wish: Wish, kind: str, scenes: Iterable[Scene], files: Iterable[Scene]) -> tuple[Query, ...]:
    """Return queries for orbit files of a kind that scenes need, if no file of this kind or a better one is known.

    Args:
        wish: The dataset's `orbits`.
        kind: `PRECISE` or `RESTITUTED`.
        scenes: The chosen scenes of the dataset.
        files: The orbit files that are known.
    """
    scenes = tuple(scenes)
    better = KINDS[wish][: KINDS[wish].index(kind) + 1]
    known = choose(wish, scenes, [file for file in files if type_of(file) in better])
    by_satellite: dict[str, list[Need]] = {}
    for need in _needs(scenes):
        if not known[need.id]:
            by_satellite.setdefault(need.satellite, []).append(need)
    return tuple(
        Query(
            aoi=None,
            start=group[0].start - _LONGEST[kind],
            stop=group[-1].start - _MINUTE,
            satellite=f"Sentinel-{satellite[1:]}",
            product_type=kind,
        )
        for satellite, needs in by_satellite.items()
        for group in _groups(needs)
    )


def _groups(needs: Iterable[Need]) -> Iterable[list[Need]]:
    """Divide scenes by time, so that a search spans no long gap."""
    groups: list[list[Need]] = []
    for need in sorted(needs, key=lambda need: need.start):
        if groups and need.start - groups[-1][-1].start <= _GAP:
            groups[-1].append(need)
        else:
            groups.append([need])
    return groups


def _needs(scenes: Iterable[Scene]) -> Iterable[Need]:
    """Return the Sentinel-1 scenes with a time; auxiliary files and planned acquisitions need no orbit file."""
    for scene in scenes:
        facts = parse_name(scene.id)
        satellite = facts.mission or ""
        if not satellite.startswith("S1") and (scene.satellite or "").lower().startswith("sentinel-1"):
            satellite = f"S{(scene.satellite or '')[9:].upper()}"
        if len(satellite) == len("S1A") and satellite.startswith("S1") and scene.start is not None:
            if scene.planned or is_auxiliary(scene):
                continue
            stop = scene.stop or _time(facts.stop) or scene.start
            yield Need(scene.id, satellite, scene.start, stop)


def _covers(file: Scene, need: Need, before: timedelta) -> bool:
    # The name states the period of validity, to the second; some catalogues state another one.
    facts = parse_name(file.id)
    start, stop = _time(facts.start) or file.start, _time(facts.stop) or file.stop
    return start is not None and stop is not None and start <= need.start - before and need.stop + _MINUTE <= stop


def _rank(wish: Wish, need: Need, file: Scene) -> tuple[int, bool, str]:
    kinds = KINDS[wish]
    return -kinds.index(type_of(file)), _covers(file, need, _ORBIT + _MINUTE), parse_name(file.id).made or ""


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
