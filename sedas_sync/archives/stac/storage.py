"""What a STAC item states about the storage of its files (storage extension, versions 1.0 and 2.0). Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sedas_sync.archives.s3_config import REGION, Place
from sedas_sync.net import policy

_BUCKETS = frozenset({"aws-s3", "custom-s3"})
"""Types of schemes that are buckets (version 2.0)."""
PLACES = "places"
"""The key of `Scene.extra` for the places of files that are not where the item's properties state, by key."""


class Storage(NamedTuple):
    """The storage of a file."""

    place: Place
    """The server and the region of its bucket."""
    requester_pays: bool | None
    """Whether who downloads it pays; None if that is not stated."""


def storage_of(properties: Mapping[str, Any], *parts: Mapping[str, Any]) -> Storage:
    """Return what an item states about the bucket of a file.

    Args:
        properties: Of the item.
        parts: The link and the asset that may state more: the first that states a value counts.
    """
    scheme = next(_schemes(properties, *parts), None)
    if scheme is not None:
        server = _address(scheme.get("platform")) if scheme["type"] == "custom-s3" else None
        return Storage(Place(server, _region(scheme.get("region"))), _flag(scheme.get("requester_pays")))
    where = (*parts, properties)
    region = next((found for part in where if (found := _region(part.get("storage:region")))), None)
    pays = (_flag(part.get("storage:requester_pays")) for part in where)
    return Storage(Place(None, region), next((flag for flag in pays if flag is not None), None))


def place_of(extra: Mapping[str, Any], key: str) -> Place:
    """Return where the bucket of a scene's file is.

    Args:
        extra: Of the scene.
        key: Of the file.
    """
    own = extra.get(PLACES, {}).get(key)
    return storage_of(extra).place if own is None else Place(*own)


def _schemes(properties: Mapping[str, Any], *parts: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the schemes of buckets that a file refers to, or all if it refers to none."""
    schemes = properties.get("storage:schemes")
    if not isinstance(schemes, Mapping):
        return
    refs = next((part["storage:refs"] for part in parts if isinstance(part.get("storage:refs"), list)), list(schemes))
    for ref in refs:
        scheme = schemes.get(ref) if isinstance(ref, str) else None
        if isinstance(scheme, Mapping) and scheme.get("type") in _BUCKETS:
            yield scheme


def _address(platform: Any) -> str | None:
    """Return the platform of a scheme if it is the address of a server, and not a template such as `https://{bucket}.…`."""
    try:
        policy.origin_of(platform)
    except ValueError:
        return None
    return None if any(sign in platform for sign in "?#{}") else str(platform)


def _region(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(REGION, value) else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
