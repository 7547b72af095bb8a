"""The manifest keys of an archive of type `cdse`. Values and checks only, cheap to import."""

from collections.abc import Iterator
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field

from sedas_sync.archives.cdse.filters import own_filter
from sedas_sync.archives.s3_config import S3Key
from sedas_sync.manifest import fields
from sedas_sync.manifest.archive_types import ArchiveType, Variables, filters_read_by
from sedas_sync.manifest.tables import ApiUrl, Mistake, TrustedHosts, WebArchiveConfig
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
"""The environment variable with the current code, for accounts with a second factor."""
TOTP_SECRET = Variables(("CDSE_TOTP_SECRET",), host=VARIABLES.host, hosts=VARIABLES.hosts)
"""The environment variable with the secret that codes are computed from, in base 32."""
S3_VARIABLES = Variables(
    ("CDSE_S3_ACCESS_KEY", "CDSE_S3_SECRET_KEY"), host=VARIABLES.host, hosts=("eodata.dataspace.copernicus.eu",)
)
"""The environment variables of the key for the buckets (S3 page of the documentation, 2025-03)."""
S3_URL = "https://eodata.dataspace.copernicus.eu"
"""The server of the bucket (S3 page, 2025-03)."""
_PORTAL = "dataspace.copernicus.eu"


def netrc_entries(url: str, login_url: str) -> tuple[str, ...]:
    """Return the hosts whose entries in netrc serve besides that of the catalogue: the login, and the portal's name."""
    hosts = [(urlsplit(one).hostname or "").lower() for one in (url, login_url)]
    official = all(matches(host, entry) for host in hosts for entry in TRUSTED_HOSTS)
    return (hosts[1], _PORTAL) if official else (hosts[1],)


class CdseConfig(WebArchiveConfig):
    """The table of an archive of type `cdse`."""

    LOCK_IGNORES = frozenset({"login_url", "s3"})

    url: ApiUrl = LIVE_URL
    trusted_hosts: TrustedHosts = TRUSTED_HOSTS
    collections: Annotated[
        fields.Names,
        Field(description="The collections to search, such as `SENTINEL-2`; by default those that match the dataset."),
    ] = ()
    access: Annotated[
        Literal["https", "s3"],
        fields.AnyCase(),
        Field(
            description="How products are downloaded: as zips, or from the bucket as folders of files. `s3` needs "
            "the extra `sedas-sync[s3]` and a key of its own."
        ),
    ] = "https"
    files: Annotated[
        fields.Names,
        Field(
            description="The files of a product to download from the bucket, as patterns of names or paths, such as "
            '`["*_B0[234]_10m.jp2", "MTD_*.xml"]`; by default all.'
        ),
    ] = ()
    s3: S3Key = None
    login_url: Annotated[
        fields.Address, Field(description="The token endpoint, if it is not the Copernicus Data Space's own.")
    ] = LOGIN_URL

    def mistakes(self) -> Iterator[Mistake]:
        """Yield a mistake if a catalogue elsewhere has no login of its own, or if keys of `access` have no effect."""
        for key in ("files", "s3"):
            if getattr(self, key) and self.access != "s3":
                yield key, 'has no effect: access is "https"; it needs access = "s3"'
        host = (urlsplit(self.url).hostname or "").lower()
        if self.login_url == LOGIN_URL and not any(matches(host, entry) for entry in TRUSTED_HOSTS):
            yield "login_url", f"missing; url is at {host}, and the Copernicus Data Space gives no tokens for it"


KIND = ArchiveType(
    name="cdse",
    opener="sedas_sync.archives.cdse.archive:open_archive",
    config=CdseConfig,
    variables=VARIABLES,
    filters=filters_read_by(own_filter),
    needs_aoi=False,
    has_orbits=True,
)
