"""Mistakes of a manifest, gathered as finished sentences."""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from sedas_sync.manifest.hosts import CREDENTIALS

_Model = TypeVar("_Model", bound=BaseModel)

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_URL_WITH_SECRET = re.compile(r"://[^/\s]*@|://\S*[?#]")
_URL_WITH_USER = re.compile(r"://[^/\s]*@")
_SECRET = re.compile(
    r"(?:.+_)?(?:user|username|login|password|passwd|passphrase|pwd|token|api_?key|secret|credentials?|authorization)",
    re.IGNORECASE,
)
_NAMED = frozenset({"aoi", "archives", "dataset"})
"""Tables whose keys are names that the user chose."""
_LONGEST = 60
_HIDDEN = " (its value is not shown)"


class ProblemList:
    """Collects all mistakes of one manifest; `source` is the file's name in their sentences."""

    def __init__(self, source: str) -> None:
        self.problems: list[str] = []
        self._source = source

    def add(self, path: str, sentence: str) -> None:
        """Note a mistake at a dotted path, or of the whole file where the path is empty."""
        self.problems.append(f"{self._source}: {path}: {sentence}" if path else f"{self._source}: {sentence}")

    def unknown(self, path: str, what: str, known: Iterable[str]) -> None:
        """Note a key or name that is not known, with the nearest that is."""
        self.add(path, what + suggestion(path.rpartition(".")[2], known))

    def table(self, tree: Mapping[str, Any], key: str, path: str) -> dict[str, Any]:
        """The table at a key; an empty one where it is missing, or is something else, which is noted."""
        value = tree.get(key, {})
        if isinstance(value, dict):
            return value
        self.add(path, f"found {shown(value)}; must be a table")
        return {}

    def model(self, cls: type[_Model], table: Mapping[str, Any], path: str, **given: Any) -> _Model | None:
        """Make a model of a table; what is wrong is noted and left out, so that the rest can be checked.

        Args:
            cls: the model.
            table: what the manifest says.
            path: the table's dotted path.
            given: fields that no manifest sets.

        Returns:
            The model of all that is right, or None where nothing can be made of that.
        """
        keys = {key: value for key, value in table.items() if key not in given}
        for key in table.keys() & given.keys():
            self._unknown_key(cls, path, key, given)
        try:
            return cls.model_validate({**keys, **given})
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)
        for mistake in wrong:
            key = str(mistake["loc"][0])
            if mistake["type"] == "extra_forbidden":
                self._unknown_key(cls, path, key, given)
            else:
                reason = mistake.get("ctx", {}).get("error", mistake["msg"])
                self.add(dotted(path, key), f"found {shown(table.get(key))}; {reason}")
        left = {key: value for key, value in keys.items() if key not in {str(m["loc"][0]) for m in wrong}}
        try:
            return cls.model_validate({**left, **given})
        except ValidationError:
            return None

    def _unknown_key(self, cls: type[BaseModel], path: str, key: str, given: Mapping[str, Any]) -> None:
        known = [name for name in cls.model_fields if name not in given]
        self.add(dotted(path, key), "unknown key" + suggestion(key, known, show_all=True))

    def remove_secrets(self, tree: dict[str, Any], path: str = "") -> None:
        """Note every secret in a manifest and take it out, so that no later sentence can show it."""
        for key, value in list(tree.items()):
            where = dotted(path, key)
            is_name = path in _NAMED and isinstance(value, dict)
            if _SECRET.fullmatch(key.replace("-", "_")) and not is_name:
                del tree[key]
                self.add(where, f"a secret has no place in a manifest{_HIDDEN}; {CREDENTIALS}")
            elif any(_URL_WITH_USER.search(text) for text in _texts(value)):
                del tree[key]
                self.add(
                    where,
                    f"an address must not hold a user name or password{_HIDDEN}; {CREDENTIALS}",
                )
            for table in _tables(value):
                self.remove_secrets(table, where)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def dotted(path: str, key: str) -> str:
    """The dotted path of a key below a path, quoted where TOML would have it quoted."""
    if not _PLAIN_KEY.fullmatch(key):
        key = f'"{_escaped(key[:_LONGEST])}"'
    return f"{path}.{key}" if path else key


def suggestion(name: str, known: Iterable[str], *, show_all: bool = False) -> str:
    """The end of a sentence that names what was probably meant, or else all there is."""
    from difflib import get_close_matches  # noqa: PLC0415 - slow to import, and only mistakes need it

    names = list(known)
    folded = {candidate.casefold(): candidate for candidate in names}
    near = get_close_matches(name.casefold(), folded, n=1)
    if near:
        return f"; did you mean {folded[near[0]]}?"
    return f"; known here: {', '.join(names)}" if show_all and names else ""


def shown(value: Any) -> str:
    """A value as a sentence may quote it: short, on one line, without what may be a secret."""
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
    """A text between quotes as TOML has it, so that it can be searched for and steers no terminal."""
    return "".join(_escape(c) if c in '"\\' or not c.isprintable() else c for c in text)


def _escape(char: str) -> str:
    short = _ESCAPES.get(char)
    return short or (f"\\u{ord(char):04x}" if ord(char) <= 0xFFFF else f"\\U{ord(char):08x}")  # noqa: PLR2004


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
