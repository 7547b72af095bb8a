"""The texts of a STAC catalogue: titles, descriptions, keywords, and who provides the scenes. Pure."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from sedas_sync.model.hosts import is_loopback
from sedas_sync.model.scene import ArchiveIdentity, Scene
from sedas_sync.model.text import count

_SENTINEL = re.compile(r"Sentinel-\d")
_COPERNICUS = {
    "name": "European Union / ESA / Copernicus",
    "roles": ["producer", "licensor"],
    "url": "https://www.copernicus.eu/",
}
LICENCE_OF_SENTINEL = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
"""The terms of use of Sentinel data."""
_ARCHIVES = {"sedas": "SeDAS", "cdse": "Copernicus Data Space Ecosystem"}
"""Names of archives, by the first word of their identity; others have the name of their host."""
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
"""In English, whatever the language of the process is: the same scenes give the same catalogue."""
_NAMED = 3
"""Names in a list before it ends with the number of the others."""


def title_of(
    scene: Scene, *, product_type: str | None, tile: str | None, relative_orbit: int | None, version: str | None
) -> str:
    """Return the title of a scene, such as `Sentinel-2A L1C, tile 30UXC, 2 May 2019, 11:06 UTC, version 02.07`.

    Args:
        scene: Its id is the title if no satellite is known.
        product_type: Such as `L1C`.
        tile: The MGRS tile, which says more than the orbit.
        relative_orbit: Its number.
        version: Of the processing: scenes that were processed again differ in nothing else.
    """
    if not scene.satellite:
        return scene.id
    parts = [" ".join(filter(None, (scene.satellite, product_type)))]
    if tile:
        parts.append(f"tile {tile}")
    elif relative_orbit:
        direction = f"{scene.orbit_direction.lower()} " if scene.orbit_direction else ""
        parts.append(f"{direction}orbit {relative_orbit}")
    when = scene.start or scene.stop
    if when is not None:
        parts += [_day(when), f"{when:%H:%M} UTC"]
    if version:
        parts.append(f"version {version}")
    return ", ".join(parts)


def keywords_of(scene: Scene, *, product_type: str | None, tile: str | None) -> list[str]:
    """Return what people search a scene by: mission, satellite, instrument, product type, sensor and tile."""
    mission = _SENTINEL.match(scene.satellite or "")
    words = [mission and mission[0], scene.satellite, scene.instrument, product_type, scene.sensor, tile]
    return list(dict.fromkeys(word for word in words if word))


def providers_of(scene: Scene, archive: ArchiveIdentity) -> list[dict[str, Any]]:
    """Return who made a scene and who hosts it, as STAC describes providers.

    Args:
        scene: The scene.
        archive: The archive it was downloaded from.
    """
    providers = [_COPERNICUS] if _SENTINEL.match(scene.satellite or "") else []
    kind, _, address = archive.partition(" ")
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:  # a plug-in names its archive as it likes
        return providers
    if parts.scheme in ("http", "https") and host and not is_loopback(host):
        site = f"{parts.scheme}://{host}/"
        providers.append({"name": _ARCHIVES.get(kind, host), "roles": ["host"], "url": site})
    return providers


def catalogue_title(areas: Sequence[str]) -> str:
    """Return the title of a catalogue, by the names of its areas."""
    return f"Satellite scenes of {listed(areas)}" if areas else "Satellite scenes"


def catalogue_description(scenes: int, products: Iterable[str], times: Sequence[datetime]) -> str:
    """Return what a catalogue has.

    Args:
        scenes: Their number.
        products: Satellites and product types, such as `Sentinel-2 L1C`.
        times: Start of the first and of the last acquisition; empty if there is no scene.
    """
    if not scenes:
        return "A mirror of satellite scenes. It has no scene yet."
    return (
        f"A mirror of {count(scenes, 'satellite scene')}: {listed(sorted(products))}. {_acquired(times)} "
        "Each dataset of the mirror's manifest is a collection."
    )


def collection_title(name: str, products: Iterable[str], areas: Sequence[str]) -> str:
    """Return the title of a dataset's collection, such as `optical: Sentinel-2 L1C of harwell`."""
    content = listed(sorted(products))
    title = f"{name}: {content}" if content else name
    return f"{title} of {listed(areas)}" if content and areas else title


def collection_description(
    name: str | None, scenes: int, products: Iterable[str], areas: Sequence[str], times: Sequence[datetime]
) -> str:
    """Return what a collection has.

    Args:
        name: The dataset; None for scenes of no dataset.
        scenes: Their number.
        products: As in `catalogue_description`.
        areas: The names of the dataset's areas.
        times: As in `catalogue_description`.
    """
    if name is None:
        rule = "No dataset of the manifest wanted them when it was last applied."
    else:
        rule = (
            f"They match the dataset `{name}` of the manifest. A scene that matches several datasets is in the "
            "collection of the first of them."
        )
    if not scenes:
        return f"The dataset `{name}` has no scene yet."
    over = f" over {listed(areas)}" if areas else ""
    what = listed(sorted(products))
    return f"{count(scenes, 'scene')}{over}{f': {what}' if what else ''}. {_acquired(times)} {rule}"


def mission_of(scene: Scene, product_type: str | None) -> str:
    """Return mission and product type, such as `Sentinel-2 L1C`; empty if neither is known."""
    satellite = scene.satellite or ""
    mission = _SENTINEL.match(satellite)
    return " ".join(filter(None, (mission[0] if mission else satellite, product_type)))


def listed(names: Sequence[str]) -> str:
    """Return names as people write a list: `a`, `a and b`, `a, b, c and 4 more`."""
    shown = [*names[:_NAMED]]
    if len(names) > _NAMED:
        shown.append(f"{len(names) - _NAMED} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), *shown[-1:])))


def _acquired(times: Sequence[datetime]) -> str:
    first, last = _day(min(times)), _day(max(times))
    return f"Acquired on {first}." if first == last else f"Acquired from {first} to {last}."


def _day(when: datetime) -> str:
    return f"{when.day} {_MONTHS[when.month - 1]} {when.year}"
