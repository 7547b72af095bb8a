"""The mistakes of a manifest, as finished sentences."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sedas_sync.manifest.hosts import CREDENTIALS
from sedas_sync.manifest.schema import keys_of
from sedas_sync.manifest.words import in_words
from sedas_sync.model.scene import NOTHING
from sedas_sync.model.similar import did_you_mean, nearest

_Model = TypeVar("_Model", bound=BaseModel)

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_URL_WITH_SECRET = re.compile(r"://[^/\s]*@|://\S*[?#]")
_URL_WITH_USER = re.compile(r"://[^/\s]*@")
_SECRET = re.compile(
    r"(?:.+_)?(?:user|username|login|password|passwd|passphrase|pwd|token|api_?key|secret|credentials?|authorization)",
    re.IGNORECASE,
)
_NAMED = frozenset({"aoi", "archives", "dataset"})
"""Tables whose keys are names chosen by the user."""
_LONGEST = 60
_HIDDEN = " (its value is not shown)"


class ProblemList:
    """Collects all mistakes of one manifest; `source` is the file's name in their sentences."""

    def __init__(self, source: str) -> None:
        self.problems: list[str] = []
        self._source = source

    def add(self, path: str, sentence: str) -> None:
        """Add a mistake at a dotted path, or in the whole file if the path is empty."""
        self.problems.append(f"{self._source}: {path}: {sentence}" if path else f"{self._source}: {sentence}")

    def table(self, tree: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
        """Return the table at a key. If it is missing it is empty; if it is not a table, that is a mistake too."""
        value = tree.get(key, {})
        if isinstance(value, dict):
            return value
        self.add(path, f"found {shown(value)}; must be a table")
        return {}

    def model(
        self,
        cls: type[_Model],
        table: Mapping[str, Any],
        path: str,
        *,
        removed: Mapping[str, str] = NOTHING,
        **given: Any,
    ) -> _Model | None:
        """Make a model of a table. Wrong values are reported and left out, so that the rest can be checked.

        Args:
            cls: The model.
            table: The table of the manifest.
            path: The table's dotted path.
            removed: Keys of earlier versions, each with what to do instead.
            given: Fields that a manifest cannot set.

        Returns:
            The model of all right values, or None if a required value is wrong or missing.
        """
        for key in table.keys() & given.keys():
            self._unknown_key(cls, path, key, given, removed)
        values = {key: value for key, value in table.items() if key not in given}
        try:
            return cls.model_validate({**values, **given})
        except ValidationError as error:
            # A value may have several mistakes, for example one for each item of a list; one sentence is enough.
            wrong = {_key_of(mistake): mistake for mistake in reversed(error.errors(include_url=False))}
        for key, mistake in reversed(wrong.items()):
            if mistake["type"] == "extra_forbidden":
                self._unknown_key(cls, path, key, given, removed)
            elif mistake["type"] == "missing":
                about = cls.model_fields[key].description or "it has no default"
                self.add(dotted(path, key), f"missing, but required: {about.rstrip('.')}")
            else:
                reason = str(mistake.get("ctx", {}).get("error", ""))
                if key:
                    reason = f"found {shown(table.get(key))}; {reason or f'must be {in_words(keys_of(cls)[key])}'}"
                self.add(dotted(path, key) if key else path, reason or mistake["msg"])
        try:
            return cls.model_validate({**{key: values[key] for key in values if key not in wrong}, **given})
        except ValidationError:
            return None

    def _unknown_key(
        self, cls: type[BaseModel], path: str, key: str, given: Mapping[str, Any], removed: Mapping[str, str]
    ) -> None:
        known = [name for name in cls.model_fields if name not in given]
        instead = f"; {removed[key]}" if key in removed else suggestion(key, known, show_all=True)
        self.add(dotted(path, key), f"unknown key{instead}")

    def remove_secrets(self, tree: dict[str, Any], path: str = "") -> None:
        """Report every secret in a manifest and remove it, so that no later sentence can show it."""
        for key, value in list(tree.items()):
            key_path = dotted(path, key)
            is_name = path in _NAMED and isinstance(value, dict)
            if _SECRET.fullmatch(key.replace("-", "_")) and not is_name:
                del tree[key]
                self.add(key_path, f"a manifest must not contain secrets{_HIDDEN}; {CREDENTIALS}")
            elif any(_URL_WITH_USER.search(text) for text in _texts(value)):
                del tree[key]
                self.add(
                    key_path,
                    f"an address must not contain a user name or password{_HIDDEN}; {CREDENTIALS}",
                )
            for table in _tables(value):
                self.remove_secrets(table, key_path)


def _key_of(mistake: ErrorDetails) -> str:
    """Return the key of a mistake; empty for one of the whole table, which the model of a plug-in may find."""
    return str(mistake["loc"][0]) if mistake["loc"] else ""


def dotted(path: str, key: str) -> str:
    """Return the dotted path of a key below a path, quoted if TOML requires it."""
    if not _PLAIN_KEY.fullmatch(key):
        key = f'"{_escaped(key[:_LONGEST])}"'
    return f"{path}.{key}" if path else key


def suggestion(name: str, known: Iterable[str], *, show_all: bool = False) -> str:
    """Return the end of a sentence: the similar name, or else all known names if `show_all` is true."""
    names = list(known)
    if near := did_you_mean(nearest(name, names)):
        return near
    return f"; known here: {', '.join(names)}" if show_all and names else ""


def shown(value: Any) -> str:
    """Return a value as a message may quote it: short, on one line, without possible secrets."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        text = f"[{', '.join(shown(item) for item in value)}]"
    elif isinstance(value, str):
        if _URL_WITH_SECRET.search(value):
            return "an address (not shown)"
        text = f'"{_escaped(value)}"'
    else:
        text = value.isoformat() if isinstance(value, date) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _escaped(text: str) -> str:
    """Escape a text as TOML does, so that users can search for it and it cannot control a terminal."""
    return "".join(_escape(c) if c in '"\\' or not c.isprintable() else c for c in text)


def _escape(char: str) -> str:
    # JSON has no escape of eight digits.
    return f"\\U{ord(char):08x}" if ord(char) > 0xFFFF else json.dumps(char)[1:-1]  # noqa: PLR2004


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _tables(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _tables(item)
