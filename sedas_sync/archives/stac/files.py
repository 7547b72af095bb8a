"""The files of a STAC item: assets selected by name, pattern or role, with safe file names.

Pure. A file has the same name whatever else is selected, because all assets of an item are named together.
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

_NOT_DATA = frozenset(
    {"thumbnail", "overview", "metadata", "visual-overview", "preview", "tiles", "tilejson", "iso-19115"}
)
"""Roles, or names of assets without roles, that are not data (STAC best practices, "list of asset roles")."""
_HTTP = ("https://", "http://")
_GLACIAL = frozenset({"archive", "coldarchive", "deeparchive", "glacier", "glacierdeeparchive",
                      "glacierflexibleretrieval"})  # fmt: skip
"""Storage tiers, without spaces and signs, that cannot be read at once (storage extension 1.0)."""
_ALWAYS_ONLINE = frozenset({"GCP", "GOOGLE"})
"""Platforms whose archive tiers can be read at once."""
_UNAVAILABLE = {
    "orderable": "it must be ordered",
    "ordered": "it has been ordered",
    "pending": "its order is pending",
    "shipping": "it is being delivered",
    "failed": "its order failed",
    "canceled": "its order was cancelled",
}
"""States of the order extension 1.1 in which a file cannot be downloaded."""


def selected(assets: Mapping[str, Any], patterns: Sequence[str]) -> list[str]:
    """Return the keys of the assets that are the files of a scene, sorted.

    Args:
        assets: The assets of the item, by key.
        patterns: Names or patterns, of which one must match. If there are none, assets with the role `data`, or else
            all assets except thumbnails, overviews and metadata.
    """
    linked = {key: asset for key, asset in assets.items() if _has_link(asset)}
    if patterns:
        return sorted(key for key in linked if any(fnmatchcase(key, pattern) for pattern in patterns))
    data = sorted(key for key, asset in linked.items() if "data" in _roles(asset))
    return data or sorted(key for key, asset in linked.items() if not _is_not_data(key, asset))


def _has_link(asset: Any) -> bool:
    return isinstance(asset, dict) and isinstance(asset.get("href"), str) and bool(asset["href"].strip())


def _roles(asset: Mapping[str, Any]) -> frozenset[str]:
    roles = asset.get("roles")
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else frozenset()


def _is_not_data(key: str, asset: Mapping[str, Any]) -> bool:
    roles = _roles(asset)
    return (
        bool(roles & _NOT_DATA) if roles else key.lower().replace("_", "-") in _NOT_DATA | {"rendered-preview", "info"}
    )


def files_of(item: Mapping[str, Any], base: str, patterns: Sequence[str]) -> tuple[RemoteFile, ...]:
    """Return the files of an item.

    Args:
        item: The item as the API sent it.
        base: URL that relative links are resolved against.
        patterns: See `selected`.

    Raises:
        ValueError: A link is not valid.
    """
    assets = item["assets"]
    names = _names(assets)
    files: dict[str, RemoteFile] = {}
    for key in selected(assets, patterns):
        asset = assets[key]
        size, url = asset.get("file:size"), _url(asset, base)
        files.setdefault(
            url,
            RemoteFile(
                # A catalogue has few different names: all scenes share them.
                name=intern(names[key]),
                key=intern(key),
                url=url,
                size=size if isinstance(size, int) and size > 0 else None,
                digest=digest_of(asset.get("file:checksum") or asset.get("checksum:multihash")),
            ),
        )
    return tuple(sorted(files.values(), key=lambda file: file.name))


def _url(asset: Mapping[str, Any], base: str) -> str:
    """Return the link of an asset: the first http(s) link (alternate-assets extension), or else its own."""
    own = joined(base, str(asset["href"]))
    if own.startswith(_HTTP):
        return own
    others = (joined(base, str(other["href"])) for other in _alternates(asset))
    return next((url for url in others if url.startswith(_HTTP)), own)


def joined(base: str, href: str) -> str:
    """Resolve a link as `urljoin` does; fast if it is absolute.

    Raises:
        ValueError: It is not valid.
    """
    absolute = href.startswith(_HTTP) and href.isascii() and href.isprintable()
    return href if absolute and not any(odd in href for odd in ("[", "]", "/.", " ")) else urljoin(base, href)


def _alternates(asset: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    others = asset.get("alternate")
    for other in others.values() if isinstance(others, dict) else ():
        if isinstance(other, dict) and isinstance(other.get("href"), str):
            yield other


def unavailable_reason(item: Mapping[str, Any], keys: Iterable[str]) -> str | None:
    """Explain why files cannot be downloaded now, by the order and storage extensions; None if they can."""
    properties = item["properties"]
    for key in keys:
        asset = item["assets"][key]
        state = asset.get("order:status", properties.get("order:status"))
        if isinstance(state, str) and state in _UNAVAILABLE:
            return f"{_UNAVAILABLE[state]} (order:status is {state})"
        tier = asset.get("storage:tier", properties.get("storage:tier"))
        platform = str(asset.get("storage:platform", properties.get("storage:platform", ""))).upper()
        plain = "".join(sign for sign in str(tier).lower() if sign.isalnum())
        if plain in _GLACIAL and platform not in _ALWAYS_ONLINE:
            return f"its files are in cold storage (storage:tier is {tier})"
    return None


def _names(assets: Mapping[str, Any]) -> dict[str, str]:
    """Return a path below the scene's folder for every asset; no two assets share a file."""
    wanted = {
        key: _local_path(asset) or _file_name(asset) or safe_name(key)
        for key, asset in assets.items()
        if _has_link(asset)
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
    """Return the path that the catalogue states for a file (file extension), if it is safe."""
    path = asset.get("file:local_path")
    if not isinstance(path, str) or not path or path.endswith("/"):
        return None
    path = path.removeprefix("./")
    return path if all(part and safe_name(part) == part for part in path.split("/")) else None


def _file_name(asset: Mapping[str, Any]) -> str | None:
    address = asset["href"].partition("#")[0].partition("?")[0]
    above, _, name = address.rpartition("/")
    # After two slashes comes a host.
    return safe_name(unquote(name)) if name and not above.endswith("/") else None
