"""Values that a shell can complete: manifests, datasets, scenes, orders and documents.

A shell asks at every press of a key, so nothing here parses a whole manifest, asks a server, waits for a lock or
reports an error. If nothing can be found out, there is nothing to complete.
"""

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import wraps
from pathlib import Path

import click
import tomli
from click.shell_completion import CompletionItem

from sedas_sync.files.paths import user_path
from sedas_sync.model.order import Order
from sedas_sync.state.connection import connect
from sedas_sync.state.order_journal import OrderJournal

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

MOST = 500
"""The largest number of values that are offered; more slow a shell down."""

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=./-]+")
"""File names that need no quoting in any shell."""


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
    """Complete TOML files. If there are folders or odd names too, the shell completes file names itself."""
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
    """Complete the manifest's datasets, without those already given."""
    given = context.params.get("datasets") or ()
    for name in _table(context, "dataset"):
        if name.startswith(incomplete) and name not in given:
            yield CompletionItem(name)


@_quietly
def scenes(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Complete the scenes that the index knows: downloaded, ordered, failed, or wanted by the last apply."""
    with closing(_index(context)) as index:
        known: set[str] = set()
        for table in ("files", "errors"):
            sql = f"SELECT id FROM {table} WHERE id >= ? AND id < ?"  # noqa: S608  # our own names
            known.update(row[0] for row in index.execute(sql, _between(incomplete)))
        for (ids,) in index.execute("SELECT ids FROM wanted"):
            known.update(scene_id for scene_id in json.loads(ids) if scene_id.startswith(incomplete))
    known.update(order.id for order in _orders(context) if order.id.startswith(incomplete))
    return _offered(known)


@_quietly
def orders(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Complete the orders of the mirror, each with its scene."""
    for order in _orders(context)[:MOST]:
        if order.order.startswith(incomplete):
            yield CompletionItem(order.order, help=order.id)
        elif incomplete and order.id.startswith(incomplete):
            yield CompletionItem(order.id)


@_quietly
def documents(context: click.Context, incomplete: str) -> Iterator[CompletionItem]:
    """Complete the documents that have a JSON Schema: the manifest, and what each command prints with `--json`."""
    group = context.find_root().command
    names = group.list_commands(context) if isinstance(group, click.Group) else []
    known = ["manifest", *(name for name in names if name != "schema")]
    return (CompletionItem(name) for name in known if name.startswith(incomplete))


def _offered(known: Iterable[str]) -> Iterator[CompletionItem]:
    """Return the first ones and the last one, so that the prefix that a shell finds common is common to all."""
    names = sorted(known)
    shown = names if len(names) <= MOST else [*names[: MOST - 1], names[-1]]
    return (CompletionItem(name) for name in shown)


def _between(start: str) -> tuple[str, str]:
    """Return the least text with this prefix, and one above all that have it."""
    return start, start + "\U0010ffff"


def _table(context: click.Context, name: str) -> dict[str, object]:
    """Return a table of the manifest; empty if there is none."""
    found = tomli.loads(_file(context).read_text("utf-8-sig")).get(name, {})
    return found if isinstance(found, dict) else {}


def _file(context: click.Context) -> Path:
    """Return the manifest of the line. While an option has no value yet, click has not read the arguments."""
    left = [word for word in context.args if not word.startswith("-")]
    return Path(left[0] if left else context.params.get("manifest") or "manifest.toml").expanduser()


def _root(context: click.Context) -> str:
    path = str(_table(context, "mirror").get("path", "scenes"))
    return os.path.realpath(user_path(_file(context).parent, path))


def _index(context: click.Context) -> sqlite3.Connection:
    """Open the mirror's index for reading, also during an apply."""
    return connect(_root(context), "ro", timeout=0.1)


def _orders(context: click.Context) -> list[Order]:
    """Return the mirror's orders."""
    return OrderJournal(Path(_root(context))).orders()
