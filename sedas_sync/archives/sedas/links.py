"""Download links of scenes, and which of them get the token."""

from sedas_sync.archives.sedas.lookup import ProductLookup
from sedas_sync.archives.sedas.orders import SedasOrders
from sedas_sync.archives.shared_token import Login
from sedas_sync.errors import ArchiveError
from sedas_sync.model.scene import Download, Reach, Scene
from sedas_sync.net import redact
from sedas_sync.net.policy import origin_of

_FORBIDDEN = 403


class SedasLinks:
    """Gives the links of scenes, and renews them.

    Args:
        lookup: Looks up the current link of a scene.
        orders: Renews links of orders.
        reach: Where links may lead.
        login: Decides which links get the token.
    """

    def __init__(
        self,
        lookup: ProductLookup,
        orders: SedasOrders,
        *,
        reach: Reach,
        login: Login,
    ) -> None:
        self._lookup = lookup
        self._orders = orders
        self._reach = reach
        self._login = login

    def locate(self, scene: Scene, refused: Download | None) -> Download:
        """Return the current link of an online scene; see `Archive.locate`.

        If a download was refused, request the link again. That also tests the token, because the API client renews an
        expired one. If the link is the same, renew the token once even though the API accepts it, because the download
        server may judge tokens by itself.
        """
        if scene.download_url is None:
            raise ArchiveError(f"{scene.id} is not online")
        if refused is None:
            return self._download(scene, scene.download_url, None)
        url = self._orders.new_link(scene) or self._link(scene) or scene.download_url
        download = self._download(scene, url, refused if url == refused.url else None)
        if download.url == refused.url and dict(download.headers) == dict(refused.headers):
            why = "" if download.headers else f"; {self._login.advice(url)}"
            raise ArchiveError(
                f"{scene.id} is no longer online, or not for this account: its link is refused{why}",
                status=_FORBIDDEN,
            )
        return download

    def _link(self, scene: Scene) -> str | None:
        row = self._lookup.row(scene.id)
        link = row.get("downloadUrl") if row is not None else None
        return link if isinstance(link, str) and link else None

    def _download(self, scene: Scene, url: str, refused: Download | None) -> Download:
        try:
            origin_of(url)
        except ValueError as reason:
            shown = redact.shorten(url, 120)
            raise ArchiveError(f"the link of {scene.id} cannot be used: {reason}: {shown}") from None
        url, headers = self._login.link(url, refused)
        return Download(url=url, headers=headers, size=scene.size, digest=scene.digest, reach=self._reach)
