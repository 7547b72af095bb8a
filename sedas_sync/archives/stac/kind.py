"""The manifest keys of an archive of type `stac`. Values and checks only, cheap to import."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sedas_sync.manifest import fields, hosts
from sedas_sync.manifest.archive_types import ArchiveKey, ArchiveType, Mistake, Variables
from sedas_sync.manifest.tables import ArchiveConfig

SIGN_URL = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
"""The endpoint for tokens of the Planetary Computer's storage (planetary_computer 1.0, `sas.py`)."""
HOST_VARIABLE = "STAC_HOST"
VARIABLES = Variables(("STAC_USERNAME", "STAC_PASSWORD"), host=HOST_VARIABLE)
"""The environment variables of user name and password."""
SUBSCRIPTION = Variables(
    ("PC_SDK_SUBSCRIPTION_KEY",),
    hosts=("planetarycomputer.microsoft.com", "*.planetarycomputer.microsoft.com"),
)
"""The environment variable of a subscription to the Planetary Computer; its SDK reads it too."""
ACCESS = ("none", "bearer", "basic", "planetary-computer")
"""Ways to access the API and its assets."""

_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


def token_variables(archive: str) -> tuple[Variables, ...]:
    """Return the environment variables for the token of an archive, given by its key in the manifest."""
    own = f"STAC_{re.sub('[^A-Za-z0-9]', '_', archive).upper()}"
    return Variables((f"{own}_TOKEN",), host=f"{own}_HOST"), Variables(("STAC_TOKEN",), host=HOST_VARIABLE)


def _address(value: Any) -> str:
    return hosts.url(fields.text(value))


def _check(config: ArchiveConfig) -> Iterator[Mistake]:
    if config.options["sign_url"] is not None and config.options["auth"] != "planetary-computer":
        yield (
            "sign_url",
            f'has no effect with auth = "{config.options["auth"]}"; it belongs to auth = "planetary-computer"',
        )


def _filters(filters: Mapping[str, Any]) -> Iterator[Mistake]:
    from sedas_sync.archives.stac.filters import conditions  # noqa: PLC0415  # most manifests have no filters

    for name, value in filters.items():
        try:
            conditions({name: value})
        except ValueError as error:
            yield name, str(error)


KIND = ArchiveType(
    name="stac",
    opener="sedas_sync.archives.stac.archive:open_archive",
    variables=VARIABLES,
    filters=_filters,
    check=_check,
    filehash="enforce",
    gone={
        "token_env": "the environment says which token is for which host: set STAC_TOKEN and STAC_HOST, or for one of "
        "[archives.NAME] STAC_<NAME>_TOKEN and STAC_<NAME>_HOST",
    },
    keys={
        "collections": ArchiveKey(
            read=fields.names,
            required=True,
            about="ids of the collections to search",
            schema=_NAMES,
        ),
        "assets": ArchiveKey(
            read=fields.names,
            default=(),
            about='the assets that are the files of a scene, by name or pattern ("B0*"); by default all data assets',
            schema=_NAMES,
        ),
        "auth": ArchiveKey(
            read=fields.choice(*ACCESS),
            default="none",
            about="how to access the API and its assets: " + ", ".join(ACCESS),
            selects=False,
            schema={"enum": list(ACCESS)},
        ),
        "sign_url": ArchiveKey(
            read=_address,
            about='the token endpoint for auth = "planetary-computer", if it is not that of the Planetary Computer',
            selects=False,
            schema={"type": "string", "format": "uri"},
        ),
    },
)
