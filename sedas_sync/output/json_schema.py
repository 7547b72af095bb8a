"""JSON Schemas (2020-12) of what every command prints with `--json`.

msgspec makes them from the classes in `sedas_sync.output.documents` and the events in `sedas_sync.model.events`; the
docstring of an attribute is the description of the field. Objects are closed: a field that is not in the schema is a
mistake. Only objects with an archive's own fields are open.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from sedas_sync.model.events import Event, Skipped, Summary
from sedas_sync.model.local import ProofLevel
from sedas_sync.model.plan import ActionKind
from sedas_sync.output.documents.base import ErrorDocument, OrderEntry, Time
from sedas_sync.output.documents.catalogue import (
    CompletionDocument,
    ExportDocument,
    InitDocument,
    ReportDocument,
    SandboxDocument,
    SearchDocument,
    SourcesDocument,
    ValidateDocument,
)
from sedas_sync.output.documents.event import SkippedEntry
from sedas_sync.output.documents.mirror import AdoptDocument, ResultCounts, StatusDocument, VerifyDocument
from sedas_sync.output.documents.past import ChangesDocument, HistoryDocument
from sedas_sync.output.documents.plan import LockDocument, PlanDocument, WhyDocument

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_PRINTED: dict[str, type[Struct]] = {
    "init": InitDocument,
    "validate": ValidateDocument,
    "search": SearchDocument,
    "plan": PlanDocument,
    "apply": Event,
    "lock": LockDocument,
    "why": WhyDocument,
    "status": StatusDocument,
    "history": HistoryDocument,
    "changes": ChangesDocument,
    "orders": OrderEntry,
    "verify": VerifyDocument,
    "adopt": AdoptDocument,
    "report": ReportDocument,
    "export": ExportDocument,
    "sources": SourcesDocument,
    "sandbox": SandboxDocument,
    "completion": CompletionDocument,
    "error": ErrorDocument,
}
"""What is printed, in the order of the reference page: a document, or `orders` a list and `apply` a line for each."""

COMMANDS = tuple(_PRINTED)
"""Commands whose `--json` has a schema, and the error of any of them."""

_FIELDS = {
    "id": "The scene's id.",
    "path": "Path of its file below the mirror.",
    "size": "Bytes.",
    "sha256": "Checksum of the file.",
    "reason": "Why, as a sentence.",
    "reason_code": "Why, as a code.",
    "error": "The last error.",
    "manifest": "The manifest's file.",
    "mirror": "The mirror's folder, absolute.",
    "dataset": "Its name.",
    "time": "When it happened.",
    "order": "The archive's id of the order.",
    "failures": "Scenes and searches that failed.",
    "complete": "Whether that is all there is.",
    "age_seconds": "The order's age.",
    "attempt": "Number of the failed attempt, from 1.",
    "delay_seconds": "How long it waits before the next attempt.",
    "message": "A sentence.",
    "done": "Bytes on disk.",
    "total": "Scenes or bytes in all.",
    "bytes_total": "Bytes in all; null if a size is not known.",
    "oldest_order_seconds": "Age of the oldest order.",
    "active": "Downloads under way.",
    "seconds": "How long it took.",
    "kept": "Scenes that were on disk.",
    "adopted": "Scenes whose files were adopted or moved.",
    "failed": "Scenes and searches that failed.",
    "warnings": "Problems that did not stop the command.",
    "search_complete": "Whether every search found all there is.",
}
"""Descriptions of fields that many objects have, or that have no docstring."""


def schema_of(command: str) -> Schema:
    """Return the JSON Schema of what a command prints with `--json`; for `apply`, of each line.

    Raises:
        KeyError: There is no such command, or it prints no JSON.
    """
    title = "sedas-sync --json, after an error" if command == "error" else f"sedas-sync {command} --json"
    return {"$schema": DIALECT, "title": title, **_document(command)}


def _document(command: str) -> Schema:
    if command == "apply":
        events = [_event(kind) for kind in Event.__subclasses__()]
        return {"description": "One line of `apply`: an event.", "oneOf": events}
    if command == "orders":
        return {"type": "array", "items": _object(OrderEntry), "description": "`orders`: the orders of this mirror."}
    schema = _object(_PRINTED[command])
    fields = schema["properties"]
    # These are stored or built as JSON data, so that their classes do not say what is in them.
    if command == "status":
        run = fields["last_run"]["properties"]
        run["summary"] = {
            "anyOf": [_event(Summary), _object(ResultCounts), {"type": "null"}],
            "description": run["summary"]["description"],
        }
    if command == "verify":
        fields["repair"] = {
            **_event(Summary),
            "type": ["object", "null"],
            "description": fields["repair"]["description"],
        }
    return schema


def _event(kind: type[Event]) -> Schema:
    schema = _object(SkippedEntry if kind is Skipped else kind)
    head = {
        "event": {"const": kind.event, "description": "What happened."},
        "time": {**_field_type(Time), "description": _FIELDS["time"]},
    }
    fields = {**head, **{name: field for name, field in schema["properties"].items() if name != "time"}}
    if "level" in fields:
        fields["level"] = {**_field_type(ProofLevel), "description": fields["level"]["description"]}
    if "todo" in fields:
        fields["todo"]["propertyNames"] = _field_type(ActionKind)
    return {**schema, "properties": fields, "required": ["event", *schema["required"]]}


def _object(cls: type[Struct]) -> Schema:
    """Return the schema of a class with all others that it refers to in their places."""
    (reference,), parts = msgspec.json.schema_components([cls], ref_template="{name}")
    return _inlined(reference, parts)


def _field_type(kind: object) -> Schema:
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="{name}")
    return _inlined(schema, parts)


def _inlined(schema: Schema, parts: dict[str, Schema]) -> Schema:
    """Replace references, and write `null` as one more type or value instead of as an alternative."""
    if "$ref" in schema:
        name = schema["$ref"]
        found = {key: value for key, value in parts[name].items() if key != "title"}
        if "enum" in found:
            return {"enum": [str(member) for member in _subclasses(StrEnum)[name]]}
        return _closed(_subclasses(Struct)[name], found, parts)
    if "anyOf" in schema:
        inner = _inlined(schema["anyOf"][0], parts)
        if "enum" in inner:
            return {**inner, "enum": [*inner["enum"], None]}
        return {**inner, "type": [inner["type"], "null"]}
    if "enum" in schema and len(schema["enum"]) == 1:
        return {"const": schema["enum"][0]}
    kept = {key: value for key, value in schema.items() if key not in ("title", "default")}
    for key in ("items", "additionalProperties"):
        if isinstance(kept.get(key), dict):
            kept[key] = _inlined(kept[key], parts)
    if kept == {"type": "object"}:
        kept |= {"description": "Fields as the archive states them.", "properties": {}, "additionalProperties": True}
    return kept


def _closed(cls: type[Struct], schema: Schema, parts: dict[str, Schema]) -> Schema:
    docs = _attribute_docs(cls)
    fields: dict[str, Schema] = {}
    optional: set[str] = set()
    for field in msgspec.structs.fields(cls):
        fields[field.encode_name] = {**_inlined(schema["properties"][field.encode_name], parts), **docs[field.name]}
        if field.default is UNSET or (cls.__struct_config__.omit_defaults and not field.required):
            optional.add(field.encode_name)
    return {
        "type": "object",
        "description": schema["description"].partition("\n\nExample:")[0],
        "properties": fields,
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def _attribute_docs(cls: type) -> dict[str, Schema]:
    """Return a description for each attribute: its docstring, in the class or in one that it is derived from."""
    found = {name: {"description": text} for name, text in _FIELDS.items()}
    for base in reversed([base for base in cls.__mro__ if issubclass(base, Struct) and base is not Struct]):
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        found |= dict(_documented(definition))
    return found


def _documented(definition: ast.stmt) -> Iterator[tuple[str, Schema]]:
    body = definition.body if isinstance(definition, ast.ClassDef) else []
    for before, after in itertools.pairwise(body):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(after, ast.Expr):
            text = ast.literal_eval(after.value)
            yield before.target.id, {"description": " ".join(inspect.cleandoc(text).split())}


def _subclasses(base: type) -> dict[str, type[Any]]:
    """Return all classes that are derived from a class, by name."""
    found: dict[str, type[Any]] = {}
    subclasses: list[type[Any]] = base.__subclasses__()
    for cls in subclasses:
        found |= {cls.__name__: cls, **_subclasses(cls)}
    return found
