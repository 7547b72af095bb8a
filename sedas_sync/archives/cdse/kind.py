"""The manifest keys of an archive of type `cdse`. Values and checks only, cheap to import."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from sedas_sync.manifest import fields, hosts
from sedas_sync.manifest.archive_types import ArchiveKey, ArchiveType, Mistake, Variables
from sedas_sync.manifest.tables import ArchiveConfig
from sedas_sync.model.hosts import matches

LIVE_URL = "https://catalogue.dataspace.copernicus.eu/odata/v1/"
"""The catalogue (OData page of the documentation, 2025-03)."""
LOGIN_URL = "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
"""The token endpoint (Access Token page, 2025-03)."""
TRUSTED_HOSTS = ("*.dataspace.copernicus.eu",)
"""Hosts that get the token: the catalogue redirects a download to another host."""
VARIABLES = Variables(("CDSE_USERNAME", "CDSE_PASSWORD"), host="CDSE_HOST", hosts=TRUSTED_HOSTS)
"""The environment variables of user name and password."""
TOTP = Variables(("CDSE_TOTP",), host=VARIABLES.host, hosts=VARIABLES.hosts)
"""The environment variable with the present code, for accounts with a second factor."""


def _address(value: Any) -> str:
    return hosts.url(fields.text(value))


def _check(config: ArchiveConfig) -> Iterator[Mistake]:
    """Demand a login URL for another catalogue. The environment decides whether it may see the password."""
    own = (urlsplit(config.url or "").hostname or "").lower()
    if config.options["login_url"] == LOGIN_URL and not any(matches(own, entry) for entry in TRUSTED_HOSTS):
        yield "login_url", f"missing; url is at {own}, which does not accept tokens of the Copernicus Data Space"


def _filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    from sedas_sync.archives.cdse.odata import own_filter  # noqa: PLC0415  # most manifests have no filters

    for name, value in filters.items():
        try:
            own_filter(name, value)
        except ValueError as error:
            yield name, str(error)


KIND = ArchiveType(
    name="cdse",
    opener="sedas_sync.archives.cdse.archive:open_archive",
    url=LIVE_URL,
    trusted_hosts=TRUSTED_HOSTS,
    check=_check,
    variables=VARIABLES,
    filters=_filters,
    keys={
        "collections": ArchiveKey(
            read=fields.names,
            default=(),
            about="the collections to search, e.g. SENTINEL-2; by default those that fit the dataset",
            schema={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]},
        ),
        "login_url": ArchiveKey(
            read=_address,
            default=LOGIN_URL,
            about="the token endpoint, if it is not that of the Copernicus Data Space",
            selects=False,
            schema={"type": "string", "format": "uri"},
        ),
    },
)
