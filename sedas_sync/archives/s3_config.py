"""The key `s3` of an archive's table: how files in S3 buckets are downloaded. Values and checks, cheap to import."""

from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sedas_sync.manifest import fields

REGION = r"^[a-z0-9-]{1,40}$"
"""A region, which becomes a part of a host's name."""


SCHEME = "s3://"
"""The beginning of a link to an object in a bucket."""


class Place(NamedTuple):
    """Where a catalogue states that a bucket is."""

    endpoint: str | None = None
    """The server; None for AWS."""
    region: str | None = None


class S3Config(BaseModel):
    """How files in S3 buckets are downloaded."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    endpoint: fields.Address | None = Field(
        default=None,
        description="The server of the buckets; by default what the catalogue, or else the environment, or else your "
        "AWS profile names, or AWS.",
    )
    region: Annotated[str, Field(pattern=REGION)] | None = Field(
        default=None,
        description="The region of the buckets; by default what the catalogue, or else the bucket names.",
    )
    requester_pays: bool = Field(
        default=False, description="Whether your account pays for transfers from buckets that require it."
    )
    profile: fields.Line | None = Field(
        default=None, description="The profile of your AWS configuration whose credentials are used."
    )
    anonymous: bool = Field(
        default=False, description="Whether requests are not signed, which is enough for public buckets."
    )


_PYDANTICS = frozenset({"anyOf", "default"})
_ALLOWED = "a table such as { requester_pays = true }, with the keys " + ", ".join(S3Config.model_fields)


def _schema() -> dict[str, Any]:
    """Return the JSON Schema of the table, without null, which TOML does not have."""
    properties = {
        name: {key: value for key, value in (schema | schema.get("anyOf", [{}])[0]).items() if key not in _PYDANTICS}
        for name, schema in S3Config.model_json_schema()["properties"].items()
    }
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _read(value: Any) -> S3Config:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004  # a wrong type in a file is not a programming error
    try:
        found = S3Config.model_validate(value)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        key = str(mistake["loc"][0])
        if key not in S3Config.model_fields:
            raise ValueError(f"it has the unknown key {key}; known here: {', '.join(S3Config.model_fields)}") from None
        reason = str(mistake.get("ctx", {}).get("error", "")) or mistake["msg"]
        raise ValueError(f"its {key} cannot be used: {reason}") from None
    if found.anonymous and (found.requester_pays or found.profile):
        raise ValueError("anonymous requests have no account: leave out anonymous, or requester_pays and profile")
    return found


S3Table = Annotated[S3Config, fields.Reader(_read, _ALLOWED, _schema)]
S3Key = Annotated[
    S3Table | None,
    Field(
        description="How files in S3 buckets (`s3://`) are downloaded; without it they are not, and `{}` is enough. "
        "`requester_pays = true`: your account pays for transfers. `anonymous = true`: no login, for public buckets. "
        "`profile`: of your AWS configuration. `endpoint`, `region`: used instead of what the catalogue, the "
        "environment or the bucket names. Needs the extra `sedas-sync[s3]`, except for public buckets."
    ),
]
"""None if files in buckets are not downloaded."""
