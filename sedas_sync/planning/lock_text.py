"""The format of a lock file.

Pure: text and values in, text and values out. A lock file is JSON Lines. The first line, the head, states what the lock
file was made from: the archives, the AOIs by their outlines, and each dataset's rules with the interval that its dates
meant. Then comes one scene a line, sorted by id. It contains no time of writing and nothing of the machine, so that the
same content is the same bytes, and one more scene is one more line of a diff.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any

import msgspec

from sedas_sync.errors import ManifestError
from sedas_sync.model.files import listing_digest
from sedas_sync.model.scene import SceneId
from sedas_sync.planning.lock import Lock, LockedScene, LockHead

_PINS = msgspec.json.Decoder(LockedScene)
VERSION = 1
"""The version of the format that this package reads and writes."""


class LockDamagedError(ManifestError):
    """The file is not a valid lock file: a new one may replace it.

    `what` is the problem without the solution.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; `sedas-sync lock` writes a new one")
        self.what = what


def dumps(lock: Lock) -> str:
    """Return the text of a lock file: the same content is the same text."""
    return "".join(lines(lock))


def lines(lock: Lock) -> Iterator[str]:
    """Yield the text of a lock file line by line, so that 100,000 scenes need not be in memory as text."""
    yield f"{_line({'version': VERSION, **head_json(lock.head)})}\n"
    for scene_id in sorted(lock.scenes):
        yield f"{_line(_scene_json(lock.scenes[scene_id]))}\n"


def head_json(head: LockHead) -> dict[str, Any]:
    """Return a head as JSON data."""
    return {
        "archives": _sorted(head.archives),
        "aois": _sorted(head.aois),
        "datasets": {
            name: {**_sorted(rules), **({"interval": list(head.intervals[name])} if name in head.intervals else {})}
            for name, rules in sorted(head.datasets.items())
        },
    }


def _sorted(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _sorted(value) if isinstance(value, Mapping) and key != "filters" else value
        for key, value in sorted(values.items())
    }


def _scene_json(pin: LockedScene) -> dict[str, Any]:
    start = None if pin.start is None else pin.start.astimezone(UTC)
    values: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(pin, start=start))
    for key in {"files", "unpacked"} & values.keys():
        values[key] = dict(sorted(values[key].items()))
    return values


def _line(values: Any) -> str:
    text = json.dumps(values, ensure_ascii=False)
    # A lone surrogate, which JSON can contain and UTF-8 cannot, has to be escaped.
    return text if text.isascii() or _is_unicode(text) else json.dumps(values)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def loads(text: str, source: str) -> Lock:
    """Read a lock file.

    Args:
        text: The content of the file.
        source: Its name in messages.

    Raises:
        LockDamagedError: The text is not a lock file.
        ManifestError: It was written by a newer or older version of this package.
    """
    first, _, rest = text.partition("\n")
    head = _head(_object(first, source, 1), source)
    if "\r" in rest:
        rest = rest.replace("\r\n", "\n")
    count = rest.count("\n") + (rest[-1:] not in ("", "\n"))
    try:
        # All lines at once are read several times as fast as one by one.
        pins = _PINS.decode_lines(rest)
        _check(pins)
    except (ValueError, RecursionError):
        pins = []
    # To this decoder the end of a line is white space: it takes two scenes on one line, and a line without any.
    if len(pins) != count or rest.count("}\n{") + bool(pins) != count:
        lines = rest.removesuffix("\n").split("\n")
        pins = [_scene(_object(line, source, number), source, number) for number, line in enumerate(lines, 2)]
    scenes = {pin.id: pin for pin in pins}
    if len(scenes) < len(pins):
        seen: set[SceneId] = set()
        for number, pin in enumerate(pins, 2):
            if pin.id in seen:
                raise LockDamagedError(f"{source}: line {number}: duplicate entry for scene {pin.id}")
            seen.add(pin.id)
    return Lock(head=head, scenes=scenes)


def _object(line: str, source: str, number: int) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        hint = " (a merge that was not resolved?)" if line.startswith(("<<<<<<<", "=======", ">>>>>>>")) else ""
        raise LockDamagedError(f"{source}: line {number}: not JSON{hint}") from None


def _head(values: Any, source: str) -> LockHead:
    version = values.get("version") if isinstance(values, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise LockDamagedError(f"{source}: line 1: not a lock file header")
    if version > VERSION:
        raise ManifestError(
            f"{source}: written by a newer sedas-sync (lock format {version}, this program reads {VERSION}); "
            "update sedas-sync to use it"
        )
    try:
        return head_from(values)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise LockDamagedError(f"{source}: line 1: not a lock file header") from None


def head_from(values: Mapping[str, Any]) -> LockHead:
    """Read a head from JSON data.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the data is not a head.
    """
    intervals: dict[str, tuple[str, str]] = {}
    datasets = {}
    for name, rules in values["datasets"].items():
        datasets[name] = {key: value for key, value in rules.items() if key != "interval"}
        if "interval" in rules:
            first, last = rules["interval"]
            intervals[name] = (first, last)
    return LockHead(
        archives={key: dict(address) for key, address in values["archives"].items()},
        aois=dict(values["aois"]),
        datasets=datasets,
        intervals=intervals,
    )


def _scene(values: Any, source: str, number: int) -> LockedScene:
    try:
        pin = msgspec.convert(values, LockedScene)
        _check([pin])
    except ValueError:
        raise LockDamagedError(f"{source}: line {number}: not a valid scene entry") from None
    return pin


def _check(pins: Sequence[LockedScene]) -> None:
    """Check what the types do not.

    Raises:
        ValueError: A name leads out of the scene's folder, or a checksum is not hex or not that of the files.
    """
    digests = [digest for pin in pins for digest in (pin.sha256, pin.contents) if digest is not None]
    for pin in pins:
        if pin.files or pin.unpacked:
            files = {**pin.unpacked, **pin.files}
            if any({"", ".", ".."} & set(name.split("/")) for name in files):
                raise ValueError(files)
            digests += [file.sha256 for file in files.values() if file.sha256 is not None]
            # If the scene's checksum is known each file's is, and they have to agree.
            listed = listing_digest((name, file.sha256 or "") for name, file in pin.files.items())
            if pin.files and pin.sha256 not in (None, listed):
                raise ValueError(pin.sha256)
    text = "".join(digests)
    if bytes.fromhex(text).hex() != text:
        raise ValueError(text)
