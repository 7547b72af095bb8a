"""Values as JSON that other processes, machines and versions of this package can read.

The JSON of a value has its fields by name, those with their default left out, and in front `schema` and `kind`, which
name the format. Times are ISO 8601 in UTC. A reader ignores fields that it does not know.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Self
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from sedas_sync.errors import ManifestError
from sedas_sync.model.arguments import checked
from sedas_sync.model.text import link_without_secrets

VERSION = 1
"""The version of the format that this package reads and writes."""

LINK_LEFT_OUT = ""
"""Replaces the link of something that is online. The archive is asked for it again."""

_SHORTEST_SIGNATURE = 16
_SECRET_NAME = re.compile("(?i)auth|cookie|credential|key|pass|policy|pwd|secret|session|sig|token")
_PARAMETER = re.compile("[?&;#]")
_LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s\"'<>\\]+")


class Portable(Struct, frozen=True):
    """A value with a JSON form."""

    json_kind: ClassVar[str] = ""
    """Names the value in its JSON."""

    def to_json(self) -> dict[str, Any]:
        """Return the value as JSON data, for `json.dump`.

        Links that may contain a signature, token or password are left out; the archive is asked for them again.
        Everything else can be read back exactly.
        """
        return {"schema": VERSION, "kind": self.json_kind, **as_data(self.without_secrets())}

    @classmethod
    @checked
    def from_json(cls, document: str | bytes | Mapping[str, Any]) -> Self:
        """Return the value of `to_json`.

        Args:
            document: JSON data, or its text. Fields that this version does not know are ignored.

        Raises:
            ManifestError: It is something else, or was written by a newer version of this package.
        """
        kind = cls.json_kind
        values = json_object(document, f"the document is not the JSON of a {kind}")
        if values.get("kind") != kind or not isinstance(version := values.get("schema"), int):
            found = values.get("kind", values.get("event"))
            also = f"; it is {found!r}" if isinstance(found, str) else ""
            raise ManifestError(f'the document is not the JSON of a {kind}: it has no `"kind": "{kind}"`{also}')
        if version > VERSION:
            raise ManifestError(
                f"this {kind} was written by a newer sedas-sync (format {version}, this program reads {VERSION}); "
                "update sedas-sync to use it"
            )
        try:
            return msgspec.convert(values, cls)
        except (msgspec.ValidationError, UnicodeError) as error:
            raise ManifestError(f"the JSON of this {kind} is damaged: {error}") from None

    def without_secrets(self) -> Self:
        """Return the value without links that may contain a secret."""
        return self


def json_object(document: str | bytes | Mapping[str, Any], problem: str, hint: str = "") -> Mapping[str, Any]:
    """Return a JSON object from its text, or as it is.

    Raises:
        ManifestError: It is not an object; the message starts with `problem` and ends with `hint`.
    """
    try:
        values = document if isinstance(document, Mapping) else json.loads(document)
    except (ValueError, RecursionError):
        raise ManifestError(f"{problem}: not JSON{hint}") from None
    if not isinstance(values, Mapping):
        raise ManifestError(f"{problem}{hint}")
    return values


def as_data(value: Struct) -> dict[str, Any]:
    """Return a value as JSON data."""
    # Not msgspec's own JSON: names of files can contain lone surrogates, which it cannot write.
    return dict(msgspec.to_builtins(value, enc_hook=dict))


def may_be_secret(link: str | None, scene_id: str) -> bool:
    """Return whether a link has a user name, or a parameter that may be a signature or token.

    A parameter is harmless if it is short, apart from the id of the scene, and its name is that of no secret.

    >>> may_be_secret("https://example.org/get?p=Default&scene=S2A_MSIL1C_20190501.zip", "S2A_MSIL1C_20190501")
    False
    >>> may_be_secret("https://example.org/a.zip?st=F3bq2pX8s1cLw0ZkR7", "S2A_MSIL1C_20190501")
    True
    """
    if link is None:
        return False
    address, *parameters = _PARAMETER.split(link)
    if link_without_secrets(address) != address:
        return True
    for name, _, value in (parameter.partition("=") for parameter in parameters):
        rest = unquote(value or name).replace(scene_id, "")
        if len(rest) >= _SHORTEST_SIGNATURE or _SECRET_NAME.search(name) is not None:
            return True
    return False


def cleaned(value: Any, scene_id: str) -> Any:
    """Return JSON data without the parameters and user names of links in its texts that may be secret."""
    if isinstance(value, str):
        return _LINK.sub(lambda link: _cleaned_link(link[0], scene_id), value) if "://" in value else value
    if isinstance(value, Mapping):
        return {key: cleaned(item, scene_id) for key, item in value.items()}
    return [cleaned(item, scene_id) for item in value] if isinstance(value, list | tuple) else value


def _cleaned_link(link: str, scene_id: str) -> str:
    return link_without_secrets(_PARAMETER.split(link)[0]) if may_be_secret(link, scene_id) else link


def repr_without_secrets(value: Struct) -> str:
    """Return the fields that are set, with links that show no token: notebooks and logs print these values."""
    shown = []
    for name in value.__struct_fields__:
        field = getattr(value, name)
        if field in (None, "", (), {}, False):
            continue
        text = repr(link_without_secrets(field) if name.endswith("url") else field)
        shown.append(f"{name}={text}")
    return f"{type(value).__name__}({', '.join(shown)})"
