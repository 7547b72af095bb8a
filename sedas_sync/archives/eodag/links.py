"""EodagLinks to the files of eodag's products, with the login of eodag's plug-ins.

A secret goes to the provider's own site only: to addresses that the plug-in's `matching_url` names, to hosts below the
registered name of the catalogue's host, and to those of `trusted_hosts` that the environment names too.
"""

import re
from datetime import UTC, datetime
from functools import cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from eodag import EOProduct
from msgspec.structs import replace
from publicsuffixlist import PublicSuffixList

from sedas_sync.archives.eodag.buckets import EodagBuckets, signer
from sedas_sync.archives.eodag.kind import VARIABLES, EodagConfig
from sedas_sync.archives.eodag.provider import Provider
from sedas_sync.archives.protocol import not_online
from sedas_sync.errors import ArchiveError
from sedas_sync.model.hosts import in_both, matches_any
from sedas_sync.model.scene import Download, Reach, RemoteFile, Scene
from sedas_sync.net.credentials import hosts_of
from sedas_sync.net.redact import remember_secret

_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_SECRET = frozenset({"user-agent", "accept", "accept-encoding", "connection", "content-length"})

_ANY_CHARACTER = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]|\.(?![*+?{])")
"""Finds the dots of a regular expression that stand for one character, and what must not be taken for one."""


class EodagLinks:
    """The links of one provider.

    Args:
        provider: The provider.
        config: The manifest's table.
    """

    def __init__(self, provider: Provider, config: EodagConfig) -> None:
        self._provider = provider
        self._config = config
        self._site = _site(urlsplit(provider.endpoint).hostname or "")
        self._trusted = in_both(config.trusted_hosts, hosts_of(VARIABLES))
        self._buckets = EodagBuckets()
        self._reach = Reach(api=provider.endpoint, trusted_hosts=config.trusted_hosts)

    def locate(self, scene: Scene, file: RemoteFile, refused: Download | None) -> Download:
        """Return a link to a file, signed or with the headers of the login.

        Raises:
            ArchiveError: The file is not online, or every link is refused.
            AuthenticationError: The login failed.
        """
        address = file.url
        if not scene.online or not address:
            raise not_online(scene)
        located = self._provider.ask(
            lambda: self._download(scene, file, address, renew=refused is not None), "the login"
        )
        same = refused is not None and signer(located.url) == signer(refused.url)
        if refused is not None and same and dict(located.headers) == dict(refused.headers):
            raise ArchiveError(f"{scene.id}: {self._advice(address)}")
        return replace(
            located,
            size=None if scene.nominal else located.size,
            trusted_hosts=self._trusted,
            reach=self._reach,
        )

    def _download(self, scene: Scene, file: RemoteFile, address: str, *, renew: bool) -> Download:
        product = self._provider.product({"eodag:download_link": address, "order:status": "succeeded"})
        if product.downloader_auth is not None and renew:
            _forget_login(product.downloader_auth)
        if address.startswith("s3://"):
            return self._buckets.locate(file, product.downloader_auth, pays=scene.requester_pays)
        url, headers = self._with_login(product, address)
        return Download(url=url, headers=headers, size=file.size, digest=file.digest)

    def _with_login(self, product: EOProduct, address: str) -> tuple[str, dict[str, str]]:
        plugin, settings = product.downloader_auth, product.downloader.config
        anonymous = getattr(settings, "no_auth_download", False) or not self._may_have_login(plugin, address)
        plain = requests.Request("GET", address, params=getattr(settings, "dl_url_params", {})).prepare()
        if plugin is None or anonymous:
            return str(plain.url), {}
        with_login = requests.Request("GET", plain.url, auth=plugin.authenticate()).prepare()
        if any(with_login.hooks.values()):
            raise ArchiveError(f"{self._provider.name} logs in with an exchange of requests, which is not supported")
        added = {
            name: value if isinstance(value, str) else value.decode("latin-1")
            for name, value in with_login.headers.items()
            if name.lower() not in _NOT_SECRET and plain.headers.get(name) != value
        }
        known = parse_qsl(urlsplit(str(plain.url)).query)
        for _, value in (pair for pair in parse_qsl(urlsplit(str(with_login.url)).query) if pair not in known):
            remember_secret(value)
        for value in added.values():
            remember_secret(value.rpartition(" ")[2])
        return str(with_login.url), added

    def _may_have_login(self, plugin: Any, address: str) -> bool:
        """Whether an address may see the login."""
        pattern = getattr(getattr(plugin, "config", None), "matching_url", None)
        host = urlsplit(address).hostname or ""
        named = isinstance(pattern, str) and _names(pattern, address)
        return named or _site(host) == self._site or matches_any(host, self._trusted)

    def _advice(self, address: str) -> str:
        if address.startswith("s3://"):
            pays = "" if self._config.requester_pays else "; if its readers pay, set requester_pays = true"
            return f"the bucket refused it{pays}"
        host = urlsplit(address).hostname or ""
        plugin = self._provider.product({"eodag:download_link": address}).downloader_auth
        if plugin is not None and not self._may_have_login(plugin, address):
            return (
                f"{host} is not {self._site} and was asked without the login: name it in trusted_hosts, and in the "
                f"environment variable {VARIABLES.host}, if it is theirs"
            )
        return f"{host} refused it, and eodag has no other link or login"


def _names(pattern: str, address: str) -> bool:
    """Whether a `matching_url` names an address."""
    # eodag compares only the beginning, and its authors write a dot of a host name without a backslash.
    exact = _ANY_CHARACTER.sub(lambda found: r"\." if found[0] == "." else found[0], pattern)
    if re.fullmatch(rf"(?:{exact})(?::\d+)?(?:/.*)?", address) is None:
        return False
    end = re.split(r"[:/]", pattern.partition("://")[2].replace("\\", ""))[0]
    end = re.split(r"[^\w.-]", end)[-1].lstrip(".")
    # A user's own configuration may name a suffix below which others register hosts, such as that of a cloud's buckets.
    return _site(urlsplit(address).hostname or "", private=False) == _site(end, private=False)


def _site(host: str, *, private: bool = True) -> str:
    """Return the registered name of a host: the last part that somebody owns, as cnes.fr of geodes-portal.cnes.fr.

    Args:
        host: A host name or an IP address, which is returned as it is.
        private: Whether the names that companies give to others are registered names too, as a.blob.core.windows.net.
    """
    try:
        return str(ip_address(host))
    except ValueError:
        return _suffixes(only_icann=not private).privatesuffix(host) or host


@cache
def _suffixes(*, only_icann: bool) -> PublicSuffixList:
    return PublicSuffixList(only_icann=only_icann)


def _forget_login(plugin: Any) -> None:
    """Make a plug-in get another token; eodag has no call for it."""
    if hasattr(plugin, "access_token_expiration"):
        plugin.access_token_expiration = _LONG_AGO
    if hasattr(plugin, "token_expiration"):
        # eodag compares it with a local time.
        plugin.token_expiration = _LONG_AGO.replace(tzinfo=None)
    for name in ("s3_session", "s3_resource"):
        if hasattr(plugin, name):
            setattr(plugin, name, None)
