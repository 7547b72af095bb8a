"""The manifest keys of an archive of type `stac`. Values and checks only, cheap to import."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field

from sedas_sync.archives.s3_config import S3Key
from sedas_sync.archives.stac.filters import conditions
from sedas_sync.manifest import fields
from sedas_sync.manifest.archive_types import ArchiveType, Variables, filters_read_by
from sedas_sync.manifest.tables import FileHash, Mistake, WebArchiveConfig

SIGN_URL = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
"""The endpoint for tokens of the Planetary Computer's storage (planetary_computer 1.0, `sas.py`)."""
FILES = (".json", ".geojson", ".parquet", ".geoparquet")
"""Endings of static catalogues."""
HOST_VARIABLE = "STAC_HOST"
VARIABLES = Variables(("STAC_USERNAME", "STAC_PASSWORD"), host=HOST_VARIABLE)
"""The environment variables of user name and password."""
SUBSCRIPTION = Variables(
    ("PC_SDK_SUBSCRIPTION_KEY",),
    hosts=("planetarycomputer.microsoft.com", "*.planetarycomputer.microsoft.com"),
)
"""The environment variable of a subscription to the Planetary Computer, whose SDK reads it too."""
EARTHDATA_LOGIN = "https://urs.earthdata.nasa.gov/api/users/find_or_create_token"
"""The endpoint of NASA's Earthdata Login that gives a token (User Token page, 2025-05)."""
EARTHDATA_HOSTS = ("*.earthdata.nasa.gov", "*.earthdatacloud.nasa.gov")
"""Hosts of NASA that get the token. The buckets that they lead to need none: such a link is signed."""
EARTHDATA_TOKEN = Variables(("EARTHDATA_TOKEN",), host="EARTHDATA_HOST", hosts=EARTHDATA_HOSTS)
"""The environment variable of a token, which the earthaccess package reads too."""
EARTHDATA_ACCOUNT = Variables(
    ("EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"), host=EARTHDATA_TOKEN.host, hosts=EARTHDATA_HOSTS
)
"""The environment variables of user name and password."""
Access = Literal["none", "bearer", "basic", "planetary-computer", "cdse", "earthdata"]
"""Ways to log in to the API and its assets."""


def token_variables(archive: str) -> tuple[Variables, ...]:
    """Return the environment variables for the token of an archive, given by its key in the manifest."""
    own = f"STAC_{re.sub('[^A-Za-z0-9]', '_', archive).upper()}"
    return Variables((f"{own}_TOKEN",), host=f"{own}_HOST"), Variables(("STAC_TOKEN",), host=HOST_VARIABLE)


class StacConfig(WebArchiveConfig):
    """The table of an archive of type `stac`."""

    LOCK_IGNORES = frozenset({"auth", "sign_url", "login_url", "rewrite", "s3"})
    REMOVED_KEYS = MappingProxyType(
        {
            "token_env": "the environment says which token is for which host: set STAC_TOKEN and STAC_HOST, or for one "
            "of [archives.NAME] STAC_<NAME>_TOKEN and STAC_<NAME>_HOST"
        }
    )

    filehash: FileHash = "enforce"
    collections: Annotated[
        fields.Names,
        Field(description="The collections to search, by their ids. May be left out if `url` is a static catalogue."),
    ] = ()
    assets: Annotated[
        fields.Names,
        Field(
            description="The assets that make up a scene, by name or pattern (`B0*`); by default all that contain data."
        ),
    ] = ()
    rewrite: Annotated[
        fields.Rewrite,
        Field(
            default_factory=lambda: MappingProxyType({}),
            description="Beginnings of links in the catalogue, each with what to use instead: the address of a mirror, "
            'or of a public bucket, as in `"s3://sentinel-cogs/" = "https://sentinel-cogs.s3.us-west-2.amazonaws.com/"`.',
        ),
    ]
    s3: S3Key = None
    auth: Annotated[Access, fields.AnyCase(), Field(description="How to log in to the API and its assets.")] = "none"
    sign_url: Annotated[
        fields.Address | None,
        Field(description='The token endpoint for auth = "planetary-computer"; by default the Planetary Computer\'s.'),
    ] = None

    login_url: Annotated[
        fields.Address | None,
        Field(
            description='The token endpoint for auth = "cdse" or "earthdata"; by default that of the Copernicus Data '
            "Space or of Earthdata."
        ),
    ] = None

    @property
    def lock_facts(self) -> Mapping[str, Any]:
        """Also whether files in buckets are downloaded, and which: those that have to be paid too, or not."""
        facts = super().lock_facts
        return facts if self.s3 is None else {**facts, "s3": {"requester_pays": self.s3.requester_pays}}

    def mistakes(self) -> Iterator[Mistake]:
        """Yield a mistake if a search has no collections, or if `sign_url` or `login_url` has no effect."""
        if not self.collections and not urlsplit(self.url).path.lower().endswith(FILES):
            yield "collections", "missing; only a static catalogue, such as .../catalog.json, can do without"
        if self.login_url is not None and self.auth not in ("cdse", "earthdata"):
            yield "login_url", f'has no effect: auth is "{self.auth}"; login_url needs auth = "cdse" or "earthdata"'
        if self.sign_url is not None and self.auth != "planetary-computer":
            yield "sign_url", f'has no effect: auth is "{self.auth}"; sign_url needs auth = "planetary-computer"'


KIND = ArchiveType(
    name="stac",
    opener="sedas_sync.archives.stac.archive:open_archive",
    config=StacConfig,
    variables=VARIABLES,
    filters=filters_read_by(lambda name, value: conditions({name: value})),
    needs_aoi=False,
)
