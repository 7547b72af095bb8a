"""Which files a STAC item is made of: assets chosen by name, pattern or role, with safe names of their own.

Pure. A file keeps its name whatever else is chosen, since names are given to all assets of an item alike.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from sys import intern
from typing import Any
from urllib.parse import unquote, urljoin

from sedas_sync.archives.stac.multihash import digest_of
from sedas_sync.model.path_template import safe_name as _safe_name
from sedas_sync.model.scene import RemoteFile

safe_name = lru_cache(maxsize=1024)(_safe_name)

_APART = frozenset(
    {"thumbnail", "overview", "metadata", "visual-overview", "preview", "tiles", "tilejson", "iso-19115"}
)
"""Roles, and names where roles are missing, of what is beside the data (STAC best practices, "list of asset roles")."""
_FETCHED = ("https://", "http://")
_GLACIAL = frozenset({"archive", "coldarchive", "deeparchive", "glacier", "glacierdeeparchive",
                      "glacierflexibleretrieval"})  # fmt: skip
"""Storage tiers, without spaces and signs, from which nothing is to be had at once (storage extension 1.0)."""
_ALWAYS_ONLINE = frozenset({"GCP", "GOOGLE"})
"""Platforms whose archive tiers are read like any other."""
_NOT_YET = {
    "orderable": "it has to be ordered",
    "ordered": "it is ordered",
    "pending": "its order is pending",
    "shipping": "it is being delivered",
    "failed": "its order failed",
    "canceled": "its order was cancelled",
}
"""States of the order extension 1.1 in which a file is not to be had."""


def chosen(assets: Mapping[str, Any], patterns: Sequence[str]) -> list[str]:
    """The keys of the assets that a scene is made of, sorted.

    Args:
        assets: of the item, by key.
        patterns: names or patterns, of which one has to fit; where empty, assets with the role `data` are taken, or,
            if there are none, all that are no thumbnail, overview or metadata.
    """
    real = {key: asset for key, asset in assets.items() if _is_somewhere(asset)}
    if patterns:
        return sorted(key for key in real if any(fnmatchcase(key, pattern) for pattern in patterns))
    data = sorted(key for key, asset in real.items() if "data" in _roles(asset))
    return data or sorted(key for key, asset in real.items() if not _is_apart(key, asset))


def _is_somewhere(asset: Any) -> bool:
    return isinstance(asset, dict) and isinstance(asset.get("href"), str) and bool(asset["href"].strip())


def _roles(asset: Mapping[str, Any]) -> frozenset[str]:
    roles = asset.get("roles")
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()


def _is_apart(key: str, asset: Mapping[str, Any]) -> bool:
    roles = _roles(asset)
    return bool(roles & _APART) if roles else key.lower().replace("_", "-") in _APART | {"rendered-preview", "info"}


def files_of(item: Mapping[str, Any], base: str, patterns: Sequence[str]) -> tuple[RemoteFile, ...]:
    """The files of an item.

    Args:
        item: as the API gave it.
        base: what relative addresses are relative to.
        patterns: see `chosen`.

    Raises:
        ValueError: an address is none.
    """
    assets = item["assets"]
    names = _names(assets)
    files: dict[str, RemoteFile] = {}
    for key in chosen(assets, patterns):
        asset = assets[key]
        size, url = asset.get("file:size"), _address(asset, base)
        files.setdefault(
            url,
            RemoteFile(
                # A catalogue has few different ones: all scenes share them.
                name=intern(names[key]),
                key=intern(key),
                url=url,
                size=size if isinstance(size, int) and size > 0 else None,
                digest=digest_of(asset.get("file:checksum") or asset.get("checksum:multihash")),
            ),
        )
    return tuple(sorted(files.values(), key=lambda file: file.name))


def _address(asset: Mapping[str, Any], base: str) -> str:
    """Where an asset is: the first of its places that can be asked (alternate-assets extension), else its own."""
    own = joined(base, str(asset["href"]))
    if own.startswith(_FETCHED):
        return own
    others = (joined(base, str(place["href"])) for place in _alternates(asset))
    return next((url for url in others if url.startswith(_FETCHED)), own)


def joined(base: str, href: str) -> str:
    """Resolve an address against another, as `urljoin` does; quickly where there is nothing to resolve.

    Raises:
        ValueError: it is none.
    """
    plain = href.startswith(_FETCHED) and href.isascii() and href.isprintable()
    return href if plain and not any(odd in href for odd in ("[", "]", "/.", " ")) else urljoin(base, href)


def _alternates(asset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    others = asset.get("alternate")
    for other in others.values() if isinstance(others, dict) else ():
        if isinstance(other, dict) and isinstance(other.get("href"), str):
            yield other


def not_yet(item: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """Why files of an item cannot be had now, by the order and storage extensions; None where they can."""
    properties = item["properties"]
    for key in keys:
        asset = item["assets"][key]
        state = asset.get("order:status", properties.get("order:status"))
        if isinstance(state, str) and state in _NOT_YET:
            return f"{_NOT_YET[state]} (order:status is {state})"
        tier = asset.get("storage:tier", properties.get("storage:tier"))
        platform = str(asset.get("storage:platform", properties.get("storage:platform", ""))).upper()
        plain = "".join(sign for sign in str(tier).lower() if sign.isalnum())
        if plain in _GLACIAL and platform not in _ALWAYS_ONLINE:
            return f"its files are in cold storage (storage:tier is {tier})"
    return None


def _names(assets: Mapping[str, Any]) -> dict[str, str]:
    """A path below the scene's folder for every asset, no two of them on one file."""
    wanted = {
        key: _local_path(asset) or _file_name(asset) or safe_name(key)
        for key, asset in assets.items()
        if _is_somewhere(asset)
    }
    same = {key: assets[key]["href"] for key in wanted}
    taken: Counter[str] = Counter()
    for plain, _ in {(_plain(name), same[key]) for key, name in wanted.items()}:
        taken[plain] += 1
        taken.update(_above(plain))
    names = {}
    for key, name in wanted.items():
        plain = _plain(name)
        alone = taken[plain] == 1 and not any(above in map(_plain, wanted.values()) for above in _above(plain))
        names[key] = name if alone else safe_name(f"{key}-{name.rpartition('/')[2]}")
    return names


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())


def _above(name: str) -> Iterator[str]:
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _local_path(asset: Mapping[str, Any]) -> str | None:
    """The path that the catalogue gives a file (file extension), where it is one that is safe as it is."""
    path = asset.get("file:local_path")
    if not isinstance(path, str) or not path or path.endswith("/"):
        return None
    path = path.removeprefix("./")
    return path if all(part and safe_name(part) == part for part in path.split("/")) else None


def _file_name(asset: Mapping[str, Any]) -> str | None:
    address = asset["href"].partition("#")[0].partition("?")[0]
    above, _, name = address.rpartition("/")
    # What follows two slashes is a host.
    return safe_name(unquote(name)) if name and not above.endswith("/") else None
