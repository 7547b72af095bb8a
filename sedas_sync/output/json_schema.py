"""What every command prints with `--json`, as JSON Schema (2020-12), one for each command.

The words of enumerations come from the code that prints them. Everything that this program names is closed: a field
that nobody has documented is a mistake. Open are only the objects that carry an archive's own fields.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any

from sedas_sync.model.events import Summary
from sedas_sync.model.plan import ActionKind
from sedas_sync.model.scene import OrderState, ProofLevel
from sedas_sync.operations.adopt import Result
from sedas_sync.operations.verify import Finding
from sedas_sync.output.export import FORMATS
from sedas_sync.output.export.tables import COLUMNS

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

INSTANT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"
"""UTC, with milliseconds."""

RULES = ("date", "aoi", "coverage", "cloud", "exclude", "latest", "reprocessed", "footprint", "search", "products")
"""Rules that are not called after the dataset's key that set them."""


# -- making --------------------------------------------------------------------------------------------------------


def _text(description: str, **more: Any) -> Schema:
    return {"type": "string", "description": description, **more}


def _word(words: Iterable[str], description: str) -> Schema:
    return {"enum": [str(word) for word in words], "description": description}


def _count(description: str) -> Schema:
    return {"type": "integer", "minimum": 0, "description": description}


def _number(description: str) -> Schema:
    return {"type": "number", "description": description}


def _flag(description: str) -> Schema:
    return {"type": "boolean", "description": description}


def _instant(description: str) -> Schema:
    return {"type": "string", "format": "date-time", "pattern": INSTANT, "description": description}


def _list(items: Schema, description: str) -> Schema:
    return {"type": "array", "items": items, "description": description}


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    return {**schema, "type": [schema["type"], "null"]}


def _object(description: str, fields: Mapping[str, Schema], *, optional: Collection[str] = ()) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": dict(fields),
        "required": [name for name in fields if name not in optional],
        "additionalProperties": False,
    }


def _open(description: str, fields: Mapping[str, Schema] | None = None) -> Schema:
    return {**_object(description, fields or {}), "additionalProperties": True}


def _document(description: str, fields: Mapping[str, Schema], *, optional: Collection[str] = ()) -> Schema:
    version = {"const": 1, "description": "Version of this document's shape."}
    return _object(description, {"schema": version, **fields}, optional=optional)


# -- what several documents share ------------------------------------------------------------------------------------

_ID = _text("The scene's id.")
_DATASETS = _list({"type": "string"}, "Datasets that want it, in the order of the manifest.")
_PATH = _text("Path of its file below the mirror.")
_SIZE = _count("Bytes.")
_SHA256 = _text("Digest of the file.", pattern="^[0-9a-f]{64}$")
_LEVEL = _word(ProofLevel, "How far the bytes were proved: by a digest, every CRC, the zip's directory, the length.")
_REASON = _text("Why, as a sentence.")
_ORDER_ID = _text("The archive's id of the order.")
_STATE = _word(OrderState, "Where the order stands.")
_PLACED = _instant("When it was placed.")
_POLLS = _count("How often it has been asked for.")
_ERROR = _text("The last error.")

_MANIFEST = {"manifest": _text("The manifest's file.")}
_MIRROR = {"mirror": _text("The mirror's folder, absolute.")}
_ARCHIVE = {
    "archive": _object(
        "The archive; of several, the first.",
        {"type": _text("Its type."), "url": _or_null(_text("Its address."))},
    )
}
_ARCHIVES = {
    "archives": {
        "type": "object",
        "description": "All archives by name, where the manifest has several.",
        "additionalProperties": _ARCHIVE["archive"],
    }
}
_FROM = {"archive": _text("Name of the archive that gives it, where the manifest has several.")}
_COMPLETE = {"search_complete": _flag("Whether every search gave all there is.")}
_FAILURE = _object("One failure.", {"id": _text("A scene's id, or a dataset's name of a search."), "error": _ERROR})
_FAILURES = {"failures": _list(_FAILURE, "Scenes and searches that failed.")}
_WARNINGS = {"warnings": _list({"type": "string"}, "What looks wrong and stopped nothing.")}

_ORDER = _object(
    "One order from the long-term archive.",
    {
        "order": _ORDER_ID,
        "id": _ID,
        "state": _STATE,
        "placed": _PLACED,
        "age_seconds": _number("Its age."),
        "polls": _POLLS,
    },
)

_SUMMARY_FIELDS: dict[str, Schema] = {
    "fetched": _count("Scenes whose bytes were completed in this run."),
    "kept": _count("Scenes that were here."),
    "adopted": _count("Scenes whose files were taken in, or moved."),
    "ordered": _count("Orders placed in this run."),
    "pending": _count("Scenes that wait for the long-term archive."),
    "skipped": _count("Scenes that cannot be had yet."),
    "pruned": _count("Files removed."),
    "failed": _count("Scenes and searches that failed."),
    "warnings": _count("Warnings given."),
    "bytes": _count("Size of the scenes fetched."),
    "seconds": _number("How long it took."),
    **_FAILURES,
    "exit_code": {
        "type": "integer",
        "description": (
            "The command's exit code. It is 1 with no failure where files were to be removed and may not be: no scene "
            "failed by that, and a warning says why."
        ),
    },
}


def _event(kind: str, description: str, fields: Mapping[str, Schema], *, optional: Collection[str] = ()) -> Schema:
    head = {"event": {"const": kind, "description": "What happened."}, "time": _instant("When it happened.")}
    return _object(description, {**head, **fields}, optional=optional)


_SUMMARY = _event(Summary.event, "The end of the run: always the last line.", _SUMMARY_FIELDS)


def _counts(words: type[StrEnum] | Iterable[str], meanings: Mapping[str, str]) -> dict[str, Schema]:
    """A count for each word; a word without a meaning is an error."""
    return {str(word): _count(meanings[str(word)]) for word in words}


_KIND_MEANINGS = {
    "keep": "Scenes that are here and right.",
    "fetch": "Scenes that are not here and can be fetched.",
    "resume": "Scenes of which a part is here.",
    "order": "Scenes in the long-term archive that have no order yet.",
    "wait": "Scenes that are ordered and not ready.",
    "replace": "Scenes that changed in the archive, or are damaged here.",
    "adopt": "Scenes whose files are here and untracked, or at another path.",
    "prune": "Files that the manifest's rules no longer admit.",
    "skip": "Scenes that cannot be had.",
}
_FINDING_MEANINGS = {
    "missing": "Files that are gone.",
    "changed": "Files that are whole, and other ones.",
    "corrupt": "Files that are damaged.",
    "unknown": "Files that the index does not know.",
}
_RESULT_MEANINGS = {
    "adopted": "Files taken in.",
    "held": "Files of scenes that the mirror has.",
    "wrong": "Files that are not what their names say.",
    "unwanted": "Files of scenes that no dataset wants.",
    "failed": "Files that could not be read or placed.",
}


# -- the documents ---------------------------------------------------------------------------------------------------


def _plan() -> Schema:
    action = _object(
        "What is to be done about one scene.",
        {
            "action": _word(ActionKind, "What is to be done."),
            "id": _ID,
            "datasets": _DATASETS,
            "path": _PATH,
            "size": _or_null(_count("Bytes, where the archive says.")),
            "reason": _REASON,
            **_FROM,
        },
        optional=_FROM,
    )
    counts = _counts(ActionKind, _KIND_MEANINGS)
    counts["bytes"] = _or_null(_count("Bytes to fetch, where every size is known."))
    return _document(
        "`plan`, and `apply --dry-run`: what apply would do.",
        {
            **_MANIFEST,
            **_MIRROR,
            **_ARCHIVE,
            **_ARCHIVES,
            **_COMPLETE,
            "summary": _object("How many scenes each action has.", counts),
            "actions": _list(action, "One entry a scene; kept ones only with `--all`."),
            **_FAILURES,
            **_WARNINGS,
        },
        optional=_ARCHIVES,
    )


def _apply() -> Schema:
    transfer = _object(
        "A download under way.",
        {"id": _ID, "done": _count("Bytes that are here."), "total": _or_null(_count("Bytes in all."))},
    )
    worker = _object(
        "What a worker has done in this run.",
        {
            "worker": _text("Its name, or its host and process."),
            "scenes": _count("Scenes it has fetched."),
            "bytes": _count("Bytes it has received for them."),
            "rate": _count("Bytes a second since its first scene was begun."),
        },
    )
    kinds = _counts(ActionKind, _KIND_MEANINGS)
    events = (
        _event(
            "search",
            "A dataset has been searched.",
            {
                "dataset": _text("Its name."),
                "scenes": _count("Scenes that its rules admit."),
                "complete": _flag("Whether that is all there is."),
                "error": _or_null(_text("What went wrong.")),
            },
        ),
        _event(
            "start",
            "The plan is made, and begins to be carried out.",
            {
                **_MANIFEST,
                **_MIRROR,
                "todo": _object("How many scenes each action has.", kinds, optional=kinds),
                "bytes": _or_null(_count("Bytes to fetch, where every size is known.")),
                "free": _count("Free bytes of the mirror's file system."),
            },
        ),
        _event("order", "An order has been placed, and is on disk.", {"id": _ID, "order": _ORDER_ID}),
        _event(
            "order_ready",
            "An ordered scene can be fetched.",
            {"id": _ID, "order": _ORDER_ID, "age_seconds": _number("The order's age.")},
        ),
        _event(
            "progress",
            "How far the run is: once a second at most.",
            {
                "done": _count("Scenes finished, failed ones too."),
                "total": _count("Scenes in all."),
                "bytes": _count("Bytes received in this run."),
                "bytes_total": _or_null(_count("Bytes in all, where every size is known.")),
                "pending": _count("Orders that are waited for."),
                "oldest_order_seconds": _or_null(_number("Age of the oldest of them.")),
                "active": _list(transfer, "Downloads under way."),
                "workers": _list(worker, "The workers of an executor, where there is one."),
            },
            optional=("workers",),
        ),
        _event(
            "retry",
            "Something failed and is tried again.",
            {
                "id": _ID,
                "attempt": _count("Number of the try that failed, from 1."),
                "error": _ERROR,
                "delay_seconds": _number("How long it waits."),
            },
        ),
        _event(
            "fetched",
            "A scene is complete, checked and in place.",
            {
                "id": _ID,
                "path": _PATH,
                "size": _SIZE,
                "sha256": _SHA256,
                "level": _LEVEL,
                "received": _count("Bytes that came over the wire in this run."),
                "seconds": _number("How long it took."),
                "archive": _text("Name of the archive that gave it."),
                "worker": _text("Who fetched it, where an executor has workers."),
            },
            optional=("worker",),
        ),
        _event("adopted", "A file that was here has been taken in.", {"id": _ID, "path": _PATH, "size": _SIZE}),
        _event("skipped", "A scene cannot be had.", {"id": _ID, "reason": _REASON}),
        _event("failed", "A scene or a search has failed.", _FAILURE["properties"]),
        _event("pruned", "A file has been removed.", {"id": _ID, "path": _PATH, "size": _SIZE}),
        _event(
            "warning",
            "Something looks wrong, and stopped nothing.",
            {"message": _text("A sentence."), "id": _or_null(_ID)},
        ),
        _SUMMARY,
    )
    return {"description": "One line of `apply`: an event.", "oneOf": list(events)}


_SCENE_FIELDS: dict[str, Schema] = {
    "id": _ID,
    "datasets": _DATASETS,
    "start": _or_null(_instant("Sensing start.")),
    "stop": _or_null(_instant("Sensing stop.")),
    "sensor": _or_null(_word(("optical", "sar"), "Class of sensor.")),
    "satellite": _or_null(_text("Satellite.")),
    "instrument": _or_null(_text("Instrument.")),
    "mode": _or_null(_text("Mode of the instrument.")),
    "source_group": _or_null(_text("The archive's group of satellites.")),
    "product_type": _or_null(_text("Type of product.")),
    "orbit": _or_null({"type": "integer", "description": "Absolute orbit number."}),
    "orbit_direction": _or_null(_text("`ASCENDING` or `DESCENDING`.")),
    "polarisation": _or_null(_text("Channels, as the archive writes them.")),
    "cloud_cover": _or_null(_number("Percent.")),
    "resolution": _or_null(_number("Metres.")),
    "size": _or_null(_count("Bytes.")),
    "digest": _or_null(_text("Digest that the catalogue states; its length tells the algorithm.")),
    "online": _flag("Whether it can be fetched without an order."),
    "planned": _flag("Whether it is an acquisition of the future."),
    "footprint": _or_null(_text("WKT.")),
    "download_url": _or_null(_text("Where its bytes are now.")),
    "quicklook_url": _or_null(_text("A picture of it.")),
    "thumbnail_url": _or_null(_text("A small picture of it.")),
}


def _search() -> Schema:
    fields = {column: _SCENE_FIELDS[column] for column in COLUMNS}
    scene = _object("One scene.", {**fields, "extra": _open("The archive's fields that this program does not know.")})
    return _document(
        "`search`: what the archive offers.",
        {**_MANIFEST, **_COMPLETE, "scenes": _list(scene, "The scenes found."), **_FAILURES, **_WARNINGS},
    )


def _status() -> Schema:
    summary = _object(
        "The mirror as a whole.",
        {
            "wanted": _count("Scenes of the lock, or that any dataset wanted when it was last applied."),
            "held": _count("Files of the index that are there."),
            "changed": _count("Of those, files that are not what the index remembers."),
            "refreshed": _count("Of those, files of another time and the same bytes, which were read to know."),
            "differs": _count("Of those, files that are other bytes than the lock demands."),
            "missing": _count("Wanted scenes that are not there."),
            "unwanted": _count("Held files that no dataset wanted."),
            "unknown": _count("Files that the index does not know."),
            "pending": _count("Orders."),
            "partials": _count("Downloads that were begun."),
            "failed": _count("Scenes that failed since they were last fetched."),
            "bytes": _count("Size of the held files."),
            "partial_bytes": _count("Bytes of downloads that were begun."),
            "free": _count("Free bytes of the mirror's file system."),
            "up_to_date": _flag(
                "Whether every dataset was applied, the last run without a failure, and nothing is missing or changed."
            ),
        },
    )
    dataset = _object(
        "One dataset.",
        {
            "dataset": _text("Its name."),
            "wanted": _or_null(_count("Scenes it has in the lock, or wanted when it was last applied; else null.")),
            "held": _count("Of those, files that are there."),
            "changed": _count("Of those, files that are not what the index remembers."),
            "differs": _count("Of those, files that are other bytes than the lock demands."),
            "missing": _count("Wanted scenes that are not there."),
            "pending": _count("Of the missing, how many are ordered."),
            "bytes": _count("Size of the held files."),
        },
    )
    partial = _object("A download that was begun.", {"path": _text("Its file below the mirror."), "size": _SIZE})
    run = _object(
        "The last run; null before the first.",
        {
            "command": _text("The command."),
            "started": _instant("When it began."),
            "ended": _or_null(_instant("When it ended; null while it runs, or where it was killed.")),
            "exit_code": _or_null({"type": "integer", "description": "Its exit code."}),
            "summary": {
                "anyOf": [_SUMMARY, _object("What `adopt` did.", _counts(Result, _RESULT_MEANINGS)), {"type": "null"}],
                "description": "What it did: apply's summary, or the counts of `adopt`.",
            },
        },
    )
    return _document(
        "`status`: what the mirror holds.",
        {
            **_MANIFEST,
            **_MIRROR,
            **_ARCHIVE,
            "lock": _or_null(_text("The lock that is counted against; null where it is the last apply.")),
            "summary": summary,
            "datasets": _list(dataset, "Each dataset of the manifest."),
            "orders": _list(_ORDER, "Orders, as in `orders`."),
            "partials": _list(partial, "Downloads that were begun."),
            **_FAILURES,
            "last_run": _or_null(run),
            **_WARNINGS,
        },
    )


def _verify() -> Schema:
    file = _object(
        "One file.",
        {
            "id": _or_null(_text("The scene's id; null where neither index nor lock knows the file.")),
            "path": _or_null(_text("Its path below the mirror; null of a missing scene whose place nobody knows.")),
            "size": _SIZE,
            "sha256": _or_null(_text("Digest that the index remembers.", pattern="^[0-9a-f]{64}$")),
            "locked_sha256": _or_null(_text("Digest that the lock demands.", pattern="^[0-9a-f]{64}$")),
            "level": _or_null(_word(ProofLevel, "How far the bytes were proved now; null with a finding.")),
            "by_lock": _flag("Whether it is the lock's digest that proves it."),
            "finding": _or_null(_word(Finding, "What is wrong; null where nothing is.")),
            "detail": _or_null(_text("The finding, as a sentence.")),
        },
    )
    counts = {"ok": _count("Files that are right."), **_counts(Finding, _FINDING_MEANINGS)}
    return _document(
        "`verify`: what the mirror's bytes are.",
        {
            **_MANIFEST,
            **_MIRROR,
            "lock": _or_null(_text("The lock that files are judged by; null without one.")),
            "summary": _object("Files of each kind.", {**counts, "bytes": _count("Bytes of the files of the index.")}),
            "findings": _list(file, "Files with a finding."),
            "scenes": _list(file, "Every file of the index, and every scene of the lock."),
            **_WARNINGS,
            "repair": _or_null({**_SUMMARY, "description": "How the repair went; null without one."}),
        },
    )


def _adopt() -> Schema:
    file = _object(
        "One file.",
        {
            "file": _text("Where it was found, below the folder."),
            "result": _word(Result, "What became of it."),
            "id": _or_null(_ID),
            "path": _or_null(_text("Where it is in the mirror; null where it was left.")),
            "size": _SIZE,
            "level": _or_null(_LEVEL),
            "detail": _or_null(_text("Why, as a sentence.")),
        },
    )
    counts = _counts(Result, _RESULT_MEANINGS)
    return _document(
        "`adopt`: what became of the files that were there.",
        {
            **_MANIFEST,
            **_MIRROR,
            "from": _text("The folder whose files were looked at."),
            **_COMPLETE,
            "summary": _object("Files of each result.", {**counts, "bytes": _count("Bytes adopted.")}),
            "files": _list(file, "Each file."),
            **_FAILURES,
            **_WARNINGS,
        },
    )


def _orders() -> Schema:
    return _list(_ORDER, "`orders`: the orders of this mirror.")


def _sources() -> Schema:
    source = _open("One of them, with whatever else the archive says of it.", {"name": _text("Its name.")})
    archive = _object(
        "One archive of the manifest.",
        {
            "archive": _text("Its name in the manifest."),
            "type": _text("Its type."),
            "satellites": _list(source, "Satellites that may be searched."),
            "source_groups": _list(source, "Groups of satellites."),
        },
    )
    return _document("`sources`: what this account may search.", {"archives": _list(archive, "Each archive.")})


def _why() -> Schema:
    dataset = _object(
        "One dataset's verdict.",
        {
            "dataset": _text("Its name."),
            "wanted": _flag("Whether it wants the scene."),
            "rule": _or_null(
                _text("The rule that leaves it out: " + ", ".join(f"`{rule}`" for rule in RULES) + ", or the key.")
            ),
            "detail": _or_null(_text("The rule and the numbers, as a sentence.")),
        },
    )
    place = _object(
        "An archive that lists it.",
        {"archive": _text("Its name in the manifest."), "online": _flag("Whether it gives it without an order.")},
    )
    file = _object(
        "Its file; null where there is none.",
        {
            "path": _PATH,
            "size": _SIZE,
            "sha256": _SHA256,
            "level": _LEVEL,
            "archive": _text("Name of the archive that gave it, where the manifest has several."),
        },
        optional=("archive",),
    )
    order = _object(
        "Its order; null where there is none.",
        {
            "order": _ORDER_ID,
            "state": _STATE,
            "placed": _PLACED,
            "polls": _POLLS,
            "attempts": _count("How often the scene has been ordered."),
        },
    )
    pruning = _object(
        "What `apply --prune` does with a file that no dataset wants; null where there is none.",
        {"removes": _flag("Whether it removes it."), "reason": _REASON},
    )
    return _document(
        "`why`: one scene explained.",
        {
            "id": _ID,
            "known": _flag("Whether anybody knows the scene."),
            "listed": _flag("Whether the catalogue lists it now."),
            "archives": _list(place, "Where it can be had, best first; only where the manifest has several archives."),
            "datasets": _list(dataset, "Each dataset's verdict."),
            "action": _or_null(_word(ActionKind, "What the next apply does about it.")),
            "reason": _or_null(_REASON),
            "path": _or_null(_PATH),
            "file": _or_null(file),
            "order": _or_null(order),
            "last_error": _or_null(_ERROR),
            "prune": _or_null(pruning),
            "next": _text("What comes next, as a sentence."),
        },
        optional=("archives",),
    )


def _lock() -> Schema:
    change = _object("A scene that changed.", {"id": _ID, "change": _text("What changed.")})
    ids = {"type": "string"}
    return _document(
        "`lock`: what is pinned, and what changed.",
        {
            **_MANIFEST,
            "check": _flag("Whether it was only asked for, with `--check`."),
            "lock": _text("The lock's file."),
            "up_to_date": _flag("Whether nothing changed."),
            "scenes": _count("Scenes it pins."),
            "digests": _count("Of those, how many with a digest."),
            "differences": _list({"type": "string"}, "What the manifest says otherwise than the lock there was."),
            "added": _list(ids, "Scenes that are new in it."),
            "removed": _list(ids, "Scenes that are not in it any more."),
            "changed": _list(change, "Scenes that are others now."),
        },
    )


def _validate() -> Schema:
    return _document(
        "`validate`: what is wrong with a manifest.",
        {
            **_MANIFEST,
            "valid": _flag("Whether nothing is."),
            "problems": _list({"type": "string"}, "Every mistake, as a sentence."),
            "datasets": _list({"type": "string"}, "Names of its datasets; only of a valid manifest."),
        },
        optional=("datasets",),
    )


def _init() -> Schema:
    return _document(
        "`init`: the manifest that was written.",
        {**_MANIFEST, "aois": _list({"type": "string"}, "Names of its areas.")},
    )


def _report() -> Schema:
    return _document(
        "`report`: the page that was written.",
        {
            **_MANIFEST,
            **_MIRROR,
            "report": _text("The page's file."),
            "bytes": _SIZE,
            "scenes": _count("Scenes in it, wanted or held."),
            **_WARNINGS,
        },
    )


def _sandbox() -> Schema:
    return _document(
        "`sandbox`: where the embedded archive listens.",
        {"url": _text("Address of its API."), "username": _text("User."), "password": _text("Password.")},
    )


def _completion() -> Schema:
    return _document(
        "`completion`: a script for a shell.",
        {"shell": _text("The shell."), "script": _text("What the shell has to run.")},
    )


def _export() -> Schema:
    left_out = _object("One scene.", {"id": _ID, "reason": _REASON})
    failure = _object("One archive.", {"id": _text("Its key in the manifest."), "error": _ERROR})
    return _document(
        "`export`: what was written. It goes with `--out`, or with `--format stac`.",
        {
            **_MANIFEST,
            "format": _word(FORMATS, "What the catalogue was written as."),
            "out": _text("The file, or the folder of a STAC catalogue."),
            "scenes": _count("Scenes that are in it."),
            "written": _flag("Whether anything had to be written."),
            "left_out": _list(left_out, "Scenes that are not in it."),
            "failures": _list(failure, "Archives that could not be asked for links."),
        },
    )


_MAKERS: Mapping[str, Callable[[], Schema]] = {
    "init": _init,
    "validate": _validate,
    "search": _search,
    "plan": _plan,
    "apply": _apply,
    "lock": _lock,
    "why": _why,
    "status": _status,
    "orders": _orders,
    "verify": _verify,
    "adopt": _adopt,
    "report": _report,
    "export": _export,
    "sources": _sources,
    "sandbox": _sandbox,
    "completion": _completion,
}

COMMANDS = tuple(_MAKERS)
"""Commands whose `--json` has a schema, in the order of the reference page."""


def schema_of(command: str) -> Schema:
    """The JSON Schema of what a command prints with `--json`; of `apply`, of each line.

    Raises:
        KeyError: there is no such command, or it prints no JSON.
    """
    return {"$schema": DIALECT, "title": f"sedas-sync {command} --json", **_MAKERS[command]()}
