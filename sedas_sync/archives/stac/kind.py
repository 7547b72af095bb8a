"""What a manifest may say of an archive of type `stac`. Values and checks only, cheap to import."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sedas_sync.manifest import fields, hosts
from sedas_sync.manifest.kinds import ArchiveType, Key, Mistake
from sedas_sync.manifest.tables import ArchiveConfig

SIGN_URL = "https://planetarycomputer.microsoft.com/api/sas/v1/token"
"""Where the Planetary Computer gives tokens for its storage (planetary_computer 1.0, `sas.py`)."""
TOKEN_VARIABLE = "STAC_TOKEN"  # noqa: S105 - the name of a variable, not a token
VARIABLES = ("STAC_USERNAME", "STAC_PASSWORD")
"""The environment variables of user name and password."""
ACCESS = ("none", "bearer", "basic", "planetary-computer")
"""Ways to be let at the API and its assets."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


def _variable(value: Any) -> str:
    name = fields.text(value)
    if not _VARIABLE.fullmatch(name):
        raise ValueError("must be the name of an environment variable, such as STAC_TOKEN")
    return name


def _address(value: Any) -> str:
    return hosts.url(fields.text(value))


def _check(config: ArchiveConfig) -> Iterator[Mistake]:
    for key, access in (("token_env", "bearer"), ("sign_url", "planetary-computer")):
        if config.options[key] is not None and config.options["auth"] != access:
            yield key, f'is of no use: auth is "{config.options["auth"]}"; it belongs to auth = "{access}"'


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
    keys={
        "collections": Key(
            read=fields.names,
            required=True,
            about="the collections that are searched, by their ids",
            schema=_NAMES,
        ),
        "assets": Key(
            read=fields.names,
            default=(),
            about='the assets that a scene is made of, by name or pattern ("B0*"); by default all that are data',
            schema=_NAMES,
        ),
        "auth": Key(
            read=fields.choice(*ACCESS),
            default="none",
            about="how the API and its assets are asked: " + ", ".join(ACCESS),
            selects=False,
            schema={"enum": list(ACCESS)},
        ),
        "token_env": Key(
            read=_variable,
            about=f'the environment variable that holds the token of auth = "bearer"; {TOKEN_VARIABLE} by default',
            selects=False,
            schema={"type": "string"},
        ),
        "sign_url": Key(
            read=_address,
            about='where auth = "planetary-computer" gets its tokens, if not from the Planetary Computer itself',
            selects=False,
            schema={"type": "string", "format": "uri"},
        ),
    },
)
