"""Generate the parts of the reference that come from code: JSON schemas, and tables and help texts between markers.

`make reference` writes them. With `--check` nothing is written, and files that are out of date are listed.
"""

import ast
import functools
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import click
import tomli
from click_man.core import generate_man_page
from pydantic import BaseModel
from python_reference import python_modules, python_names

from sedas_sync._version import __version__
from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.cli.main import cli
from sedas_sync.manifest.schema import MODELS, keys_of, manifest_schema
from sedas_sync.manifest.words import in_words
from sedas_sync.model.reason import ReasonCode, RuleName
from sedas_sync.output import json_schema

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
_MARKED = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_WIDTH = 100
_CODES: dict[str, type[StrEnum]] = {"reasons": ReasonCode, "rules": RuleName}
"""Enums with a table of their own, by its name and heading."""


def pages() -> dict[Path, str]:
    """Return the text of every file that is generated, as a whole or in part."""
    generated = {
        REFERENCE / "schemas" / f"{name}.schema.json": _json(json_schema.schema_of(name))
        for name in json_schema.COMMANDS
    }
    generated[REFERENCE / "manifest.schema.json"] = _json(manifest_schema(BUILT_IN))
    generated |= _with_address() | _man_pages()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        text = page.read_text("utf-8")
        if _MARKED.search(text):
            generated[page] = _MARKED.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[3]}", text)
    return generated


def _with_address() -> dict[Path, str]:
    """Return the files that state the project's address and version, with those of the package."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    site, source = project["urls"]["Homepage"], project["urls"]["Source"]
    lines = {
        "zensical.toml": {r"^site_url = .*$": f'site_url = "{site}"', r"^repo_url = .*$": f'repo_url = "{source}"'},
        "CITATION.cff": {
            r"^repository-code: .*$": f"repository-code: {source}",
            r"^version: .*$": f"version: {__version__}",
        },
        "packaging/conda/recipe.yaml": {r'^  version: "[^"]*"$': f'  version: "{__version__}"'},
        "docs/README.md": {r"https://[^/]+/sedas-sync/example-report": f"{site}example-report"},
        "docs/how-to/ci.md": {
            r"https://github\.com/[^/]+/sedas-sync": source,
            r"uses: [^/ ]+/sedas-sync@": f"uses: {source.removeprefix('https://github.com/')}@",
        },
        "pyproject.toml": {
            r"^Issues = .*$": f'Issues = "{source}/issues"',
            r"^Changelog = .*$": f'Changelog = "{source}/blob/main/CHANGELOG.md"',
            r"https://github\.com/[^/]+/sedas-sync/blob/main/\\1": f"{source}/blob/main/\\\\1",
            r"https://raw\.githubusercontent\.com/[^/]+/sedas-sync": source.replace(
                "github.com", "raw.githubusercontent.com"
            ),
        },
    }
    texts = {}
    for name, replacements in lines.items():
        text = (ROOT / name).read_text("utf-8")
        for pattern, line in replacements.items():
            text = re.sub(pattern, line, text, flags=re.MULTILINE)
        texts[ROOT / name] = text
    return texts


def _man_pages() -> dict[Path, str]:
    """Return a page of the manual for the program and one for each command."""
    date = re.search(r'^date-released: "(.*)"$', (ROOT / "CITATION.cff").read_text("utf-8"), re.MULTILINE)[1]
    root = click.Context(cli, info_name="sedas-sync", **cli.context_settings)
    contexts = [root, *(click.Context(cli.commands[name], info_name=name, parent=root) for name in cli.commands)]
    pages = {}
    for context in contexts:
        page = generate_man_page(context, version=__version__, date=date)
        title, _, text = (context.command.epilog or "").lstrip("\b\n").partition(":\n")
        if text:
            escaped = text.replace("\\", r"\e").replace("-", r"\-")
            page += f".SH {title.upper()}\n.nf\n{escaped.rstrip()}\n.fi\n"
        name = context.command_path.replace(" ", "-")
        pages[ROOT / "packaging" / "man" / f"{name}.1"] = "\n".join(line.rstrip() for line in page.split("\n"))
    return pages


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# -- the manifest ----------------------------------------------------------------------------------------------------


def _keys() -> str:
    return "\n".join(part for table in MODELS for part in _table_of_keys(table))


def _table_of_keys(table: str) -> Iterator[str]:
    title = f"[{table}.NAME]" if table in ("aoi", "dataset") else f"[{table}]"
    yield f"### `{title}`\n"
    yield manifest_schema(BUILT_IN)["definitions"][table]["description"] + "\n"
    common = keys_of(MODELS[table])
    yield from _rows_of_keys(table, MODELS[table], common)
    if table == "archive":
        for kind in BUILT_IN.values():
            own = {name: key for name, key in keys_of(kind.config).items() if name not in common}
            if own:
                yield f'Only with `type = "{kind.name}"`:\n'
                yield from _rows_of_keys(f"{table}.{kind.name}", kind.config, own)


def _rows_of_keys(table: str, model: type[BaseModel], keys: dict[str, Any]) -> Iterator[str]:
    """Yield a table of keys, each with an anchor, by which `tools/site.py` makes the search find it."""
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for name, key in keys.items():
        default = f"`{json.dumps(key['default'])}`" if "default" in key else ""
        if model.model_fields[name].is_required() and name != "url":  # some types have a default for it
            default = "required"
        anchor = f'<a id="{table}.{name}"></a>'
        words = _cell(re.sub("^an? ", "", in_words(key)))
        yield f"| {anchor}`{name}` | {words} | {default} | {_cell(key['description'])} |"
    yield ""


# -- JSON ------------------------------------------------------------------------------------------------------------


def _documents() -> str:
    return "\n".join(part for name in json_schema.COMMANDS for part in _document(name))


def _codes(kind: type[StrEnum]) -> str:
    """Return the table of the codes of an enum, with their docstrings."""
    (definition,) = ast.parse(inspect.getsource(kind)).body
    rows = [
        f"| `{ast.literal_eval(member.value)}` | {ast.literal_eval(doc.value)} |"
        for member, doc in itertools.pairwise(definition.body)
        if isinstance(member, ast.Assign)
    ]
    return "\n".join(["| code | meaning |\n|---|---|", *rows, ""])


def _document(name: str) -> Iterator[str]:
    schema = json_schema.schema_of(name)
    yield f"## {name} --json\n"
    yield f"{schema['description']} Schema: [{name}.schema.json](schemas/{name}.schema.json).\n"
    if "oneOf" in schema:
        yield "| event | field | type | meaning |\n|---|---|---|---|"
        for event in schema["oneOf"]:
            kind = event["properties"]["event"]["const"]
            yield f"| `{kind}` | | | {_cell(event['description'])} |"
            yield from (f"| | {row}" for row in _rows(event, "", skip=("event",)))
    else:
        yield "| field | type | meaning |\n|---|---|---|"
        yield from (f"| {row}" for row in _rows(schema, ""))
    yield ""


def _rows(schema: dict[str, Any], prefix: str, skip: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield a row for each field, followed by the rows of the objects in it."""
    if schema.get("type") == "array":
        yield from _rows(schema["items"], f"{prefix}[].")
        return
    for name, field in schema.get("properties", {}).items():
        if name in skip:
            continue
        path = f"{prefix}{name}"
        yield f"`{path}` | {_kind(field)} | {_cell(field['description'])} |"
        inner = field.get("items", field)
        if path != "last_run.summary" and name != "repair":
            yield from _rows(inner, f"{path}[]." if inner is not field else f"{path}.")


def _kind(schema: dict[str, Any]) -> str:
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    for part, kind in _CODES.items():
        if {*kind} <= {*schema.get("enum", ())}:
            return f"[code](#{part})" + (" or null" if None in schema["enum"] else "")
    if "enum" in schema:
        return ", ".join("null" if word is None else f"`{word}`" for word in schema["enum"])
    if "anyOf" in schema:
        return "object or null"
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    words = {"string": "text", "integer": "whole number", "boolean": "true or false"}
    named = [words.get(kind, kind) for kind in kinds]
    if schema.get("format") == "date-time":
        named[0] = "time"
    if kinds[0] == "array":
        named[0] = f"list of {_plural(schema['items'])}"
    return " or ".join(named)


def _plural(items: dict[str, Any]) -> str:
    return "objects" if items.get("type") == "object" else "texts"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# -- commands --------------------------------------------------------------------------------------------------------


def _commands() -> str:
    parts = [_help("", cli)]
    context = click.Context(cli, info_name="sedas-sync")
    parts += [
        _help(name, command) for name in cli.list_commands(context) if (command := cli.get_command(context, name))
    ]
    return "\n".join(parts)


def _help(name: str, command: click.Command) -> str:
    words = f"sedas-sync {name}".strip()
    context = click.Context(command, info_name=words, terminal_width=_WIDTH, max_content_width=_WIDTH)
    context.help_option_names = ["-h", "--help"]
    return f"### {words}\n\n```text\n{command.get_help(context)}\n```\n"


# -- examples --------------------------------------------------------------------------------------------------------


def _examples() -> str:
    files = [file for file in sorted((ROOT / "examples").glob("*.toml")) if file.stem != "quickstart"]
    return "\n".join(f"## {file.stem}\n\n```toml\n{file.read_text('utf-8')}```\n" for file in files)


def _plugin(module: str) -> str:
    file = ROOT / "examples" / module
    return f"```python\n{file.read_text('utf-8')}```\n"


PARTS: dict[str, Callable[[], str]] = {
    "keys": _keys,
    "documents": _documents,
    **{part: functools.partial(_codes, kind) for part, kind in _CODES.items()},
    "commands": _commands,
    "examples": _examples,
    "small_plugin": functools.partial(_plugin, "plugin/sedas_sync_json_index.py"),
    "plugin": functools.partial(_plugin, "plugin_orders/sedas_sync_ground_station.py"),
    "python": python_names,
    "modules": python_modules,
}
"""Functions that generate the text between markers, by name."""


def main() -> None:
    """Write the files, or with `--check` list those that are out of date."""
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"{path} is out of date: run `make reference`")
        sys.exit(1 if stale else 0)
    (REFERENCE / "schemas").mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, "utf-8")
    print(f"{len(stale)} files written")


if __name__ == "__main__":
    main()
