"""What a shell may complete: manifests, datasets, scenes and orders.

A shell asks at every press of a key: nothing here parses a whole manifest, asks a server, waits for a lock or says
what went wrong. Where nothing can be found out there is nothing to complete.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from sedas_sync.model.scene import Order

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

MOST = 500
"""Most values that are offered; a shell slows down with more."""

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=./-]+")
"""File names that every shell takes as they are."""


def _quietly(complete: Callable[[click.Context, str], Iterable[CompletionItem]]) -> Completer:
    @wraps(complete)
    def completed(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return list(complete(context, incomplete))
        except Exception:  # noqa: BLE001  # a shell must not show an error in the middle of a line
            return []

    return completed


@_quietly
def manifests(_context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """TOML files; what else there is, folders first of all, is left to the shell."""
    folder, _, start = incomplete.rpartition("/")
    place = Path(f"{folder}/" if "/" in incomplete else ".").expanduser()
    names = [entry.name for entry in os.scandir(place) if entry.name.startswith(start)]
    found = sorted(name for name in names if name.endswith(".toml"))
    others = any((place / name).is_dir() for name in names if start or not name.startswith("."))
    plain = all(_PLAIN.fullmatch(name) for name in found) and (not folder or _PLAIN.fullmatch(folder))
    if not found or not plain or (others and start):
        yield CompletionItem(incomplete, type="file")
        return
    prefix = incomplete[: len(incomplete) - len(start)]
    yield from (CompletionItem(prefix + name) for name in found[:MOST])


@_quietly
def datasets(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Datasets of the manifest that were not given yet."""
    given = context.params.get("datasets") or ()
    for name in _manifest(context).get("dataset", {}):
        if name.startswith(incomplete) and name not in given:
            yield CompletionItem(name)


@_quietly
def scenes(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Scenes that the mirror knows: held, ordered, failed, or wanted when it was last applied."""
    with closing(_index(context)) as index:
        known: set[str] = set()
        for table in ("files", "errors"):
            sql = f"SELECT id FROM {table} WHERE id >= ? AND id < ?"  # noqa: S608  # names of our own
            known.update(row[0] for row in index.execute(sql, _between(incomplete)))
        for (ids,) in index.execute("SELECT ids FROM wanted"):
            known.update(scene_id for scene_id in json.loads(ids) if scene_id.startswith(incomplete))
    known.update(order.id for order in _orders(context) if order.id.startswith(incomplete))
    return _offered(known)


@_quietly
def orders(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Orders of the mirror, each with its scene."""
    for order in _orders(context)[:MOST]:
        if order.order.startswith(incomplete):
            yield CompletionItem(order.order, help=order.id)
        elif incomplete and order.id.startswith(incomplete):
            yield CompletionItem(order.id)


@_quietly
def documents(_context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """What has a JSON Schema."""
    from sedas_sync.output.json_schema import COMMANDS  # noqa: PLC0415  # only where it is completed

    return (CompletionItem(name) for name in ("manifest", *COMMANDS) if name.startswith(incomplete))


def _offered(known: Iterable[str]) -> Iterator[CompletionItem]:
    """The first of them; the last too, so that the beginning that a shell finds common to them is common to all."""
    names = sorted(known)
    shown = names if len(names) <= MOST else [*names[: MOST - 1], names[-1]]
    return (CompletionItem(name) for name in shown)


def _between(start: str) -> tuple[str, str]:
    """The least text that begins like this, and one above all that do."""
    return start, start + "\U0010ffff"


def _manifest(context: click.Context) -> dict[str, Any]:
    import tomli  # noqa: PLC0415  # only where a value is completed

    found: dict[str, Any] = tomli.loads(_file(context).read_text("utf-8-sig"))
    return found


def _file(context: click.Context) -> Path:
    """The manifest of the line; while an option has no value yet, click leaves it among what it has not read."""
    left = [word for word in context.args if not word.startswith("-")]
    return Path(left[0] if left else context.params.get("manifest") or "manifest.toml").expanduser()


def _index(context: click.Context) -> Any:
    """The mirror's index, for reading beside a running apply."""
    from sedas_sync.state.connection import connect  # noqa: PLC0415  # as above

    return connect(_root(context), "ro", timeout=0.1)


def _orders(context: click.Context) -> "list[Order]":
    """Return the mirror's orders."""
    from sedas_sync.state.order_journal import OrderJournal  # noqa: PLC0415  # as above

    return OrderJournal(Path(_root(context))).orders()


def _root(context: click.Context) -> str:
    below: str = _manifest(context).get("mirror", {}).get("path", "scenes")
    return os.path.realpath(_file(context).parent / below)
