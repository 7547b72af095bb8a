"""Scenes on disk as rows of the index, and back."""

import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from msgspec.structs import astuple

from sedas_sync.model.local import NO_FACTS, LocalFile, LocalScene, PackedFile, ProofLevel

_FIELDS = tuple(name for name in LocalScene.__struct_fields__ if name not in {"facts", "members", "packed"})
_values_of = attrgetter(*_FIELDS)
_values_of_part = attrgetter(*(name for name in LocalFile.__struct_fields__ if name != "path"))
_PACKED = PackedFile.__struct_fields__
_LEVELS = {level.value: level for level in ProofLevel}

_COLUMNS = ", ".join((*_FIELDS, "parts", "packed"))
SELECT = f"SELECT {_COLUMNS}, facts FROM files"  # noqa: S608  # our own column names
SELECT_WITHOUT_FACTS = f"SELECT {_COLUMNS}, '{NO_FACTS}' FROM files"  # noqa: S608  # as above
PUT_FILE = (
    f"INSERT OR REPLACE INTO files ({_COLUMNS}, facts, recorded) "  # noqa: S608  # as above
    f"VALUES ({'?, ' * len(_FIELDS)}?, ?, ?, ?)"
)

PUT_WANTED = """
INSERT INTO wanted (dataset, ids) VALUES (?, ?) ON CONFLICT (dataset)
DO UPDATE SET ids = excluded.ids, rules = NULL, asked = NULL WHERE ids <> excluded.ids OR asked IS NOT NULL
"""
# An apply that has nothing to do does not write a hundred thousand ids again.


def row_of(scene: LocalScene, recorded: str) -> tuple[Any, ...]:
    """Return the values of `PUT_FILE`."""
    return (*_values_of(scene), parts_of(scene), packed_of(scene), scene.facts, recorded)


def parts_of(scene: LocalScene) -> str | None:
    """Return the files of a folder as JSON; None for a scene that is one file."""
    return json.dumps([list(_values_of_part(file)) for file in scene.members]) if scene.members else None


def packed_of(scene: LocalScene) -> str | None:
    """Return the zip of an unpacked folder as JSON; None for any other scene."""
    return None if scene.packed is None else json.dumps(list(astuple(scene.packed)))


def scene_of_row(row: tuple[Any, ...]) -> LocalScene:
    """Return a scene from the values of `SELECT`."""
    # Field by field: a mapping in between takes twice as long, and a mirror may have a hundred thousand scenes.
    scene_id, path, size, mtime_ns, sha256, level, archive, digest, parts, packed, facts = row
    return LocalScene(
        id=scene_id,
        path=path,
        size=size,
        mtime_ns=mtime_ns,
        sha256=sha256,
        level=_LEVELS[level],
        archive=archive,
        digest=digest,
        facts=facts,
        members=() if parts is None else tuple(_file_of_values(part) for part in json.loads(parts)),
        packed=None if packed is None else PackedFile(**dict(zip(_PACKED, json.loads(packed), strict=True))),
    )


def _file_of_values(values: Sequence[Any]) -> LocalFile:
    name, size, mtime_ns, sha256, level, digest, crc32 = values
    return LocalFile(
        name=name, size=size, mtime_ns=mtime_ns, sha256=sha256, level=_LEVELS[level], digest=digest, crc32=crc32
    )
