"""Products of eodag as scenes.

eodag gives every provider's products the properties of STAC, so they are read as STAC items. A scene is one file if
eodag downloads it from one link, and a folder of the product's assets if it downloads these.
"""

from typing import Any

from eodag import EOProduct
from eodag.plugins.download.aws import AwsDownload
from eodag.plugins.download.http import HTTPDownload
from msgspec.structs import replace

from sedas_sync.archives.lenient import Report, size_of
from sedas_sync.archives.stac.items import scene_of_item
from sedas_sync.archives.stac.multihash import digest_of
from sedas_sync.model.files import total_size
from sedas_sync.model.scene import Scene
from sedas_sync.model.text import product_id

ONLINE = "succeeded"
"""The value of `order:status` of a product that can be downloaded."""
_HTTP = ("https://", "http://")
_S3 = "s3://"


def scene_of(product: EOProduct, base: str, patterns: tuple[str, ...], report: Report, *, pays: bool = False) -> Scene:
    """Return a product as a scene.

    Args:
        product: With its plug-ins.
        base: The address that relative links start from.
        patterns: Names or patterns of the assets that are wanted; none for all that are data.
        report: Called for each field that cannot be read and each asset that cannot be downloaded.
        pays: Whether the account pays for downloads from a bucket that bills its readers.
    """
    assets = {} if _is_one_file(product) else {key: dict(asset) for key, asset in product.assets.items()}
    properties = {name: value for name, value in product.properties.items() if name != "order:status"}
    item = {"id": product_id(str(product.properties["id"])), "properties": properties, "assets": assets}
    scene = scene_of_item({**item, "collection": product.collection}, base, patterns, report)
    scene = replace(
        scene,
        footprint=product.geometry.wkt,
        requester_pays=pays
        and bool(getattr(getattr(product.downloader_auth, "config", None), "requester_pays", False)),
        thumbnail_url=_link(properties.get("eodag:thumbnail")) or scene.thumbnail_url,
        quicklook_url=_link(properties.get("eodag:quicklook")) or scene.quicklook_url,
    )
    scene = _one_file(scene, product) if _is_one_file(product) else _with_links(scene, assets)
    problem = _never(product) or (scene.offline if scene.never else None)
    if problem is not None:
        return replace(scene, download_url=None, offline=problem, never=True)
    if is_online(product):
        return scene
    can_order = getattr(product.downloader.config, "order_enabled", False) and properties.get("eodag:order_link")
    offline = f"{product.provider} does not have it online, and eodag cannot order it: order it at the provider"
    return replace(scene, download_url=None, offline=None if can_order else offline)


def is_online(product: EOProduct) -> bool:
    """Whether a product can be downloaded without an order."""
    return bool(product.properties.get("order:status", ONLINE) == ONLINE)


def _is_one_file(product: EOProduct) -> bool:
    """Whether eodag downloads the product from one link, by the rules of its plug-in for HTTP."""
    config = product.downloader.config
    if not isinstance(product.downloader, HTTPDownload):
        return False
    own = getattr(config, "products", {}).get(product.collection, {})
    return not product.assets or bool(own.get("ignore_assets", getattr(config, "ignore_assets", False)))


def _never(product: EOProduct) -> str | None:
    """Explain why nothing of a product can be downloaded as its provider is configured; None if it can."""
    plugin = product.downloader
    if isinstance(plugin, AwsDownload):
        listed = not getattr(plugin.config, "ignore_assets", False) or all(
            str(asset.get("href")).startswith(product.remote_location) for asset in product.assets.values()
        )
        return None if product.assets and listed else "eodag lists no files of it, only the folder of a bucket"
    if not isinstance(plugin, HTTPDownload):
        return f"eodag downloads it with {type(plugin).__name__}, which nothing can resume or check"
    method = product.properties.get("eodag:download_method") or getattr(plugin.config, "method", "GET")
    return None if str(method).upper() == "GET" else f"it is sent as the answer to a {method} request"


def _one_file(scene: Scene, product: EOProduct) -> Scene:
    url = product.remote_location
    # What is stated of the asset with this link, if there is one, is stated of the file.
    stated = next((asset for asset in product.assets.values() if asset.get("href") == url), product.properties)
    size, digest = stated.get("file:size"), digest_of(stated.get("file:checksum"))
    usable = url.startswith(_HTTP)
    return replace(
        scene,
        assets=(),
        unselected=(),
        size=size_of(size),
        digest=digest,
        # Only a checksum shows that a provider means the file that it sends, not the product that is packed in it.
        nominal=digest is None,
        download_url=url if usable else None,
        never=is_online(product) and not usable,
        offline="its link is not http or https" if is_online(product) and not usable else None,
    )


def _with_links(scene: Scene, assets: dict[str, dict[str, Any]]) -> Scene:
    """Give the files in buckets their links, which no catalogue of web links has."""
    files = tuple(
        replace(file, url=link)
        if file.url is None and (link := str(assets[file.key]["href"])).startswith(_S3)
        else file
        for file in scene.assets
    )
    if not files or any(file.url is None for file in files):
        return scene
    scene = replace(scene, assets=files, download_url=files[0].url, offline=None, never=False)
    return replace(scene, size=total_size(scene))


def _link(value: Any) -> str | None:
    return value if isinstance(value, str) and value.startswith(_HTTP) else None
