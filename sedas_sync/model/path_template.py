"""The path of a scene's file in the mirror: a template, and paths that are safe for any value of a catalogue.

A template is fixed when the manifest is read; a path is a pure function of template and scene. Every
scene of one layout has the same number of path segments, so that no scene's file can be another scene's
folder.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from hashlib import sha256
from string import Formatter

from msgspec import Struct

from sedas_sync.model.scene import Scene
from sedas_sync.model.similar import nearest

FIELDS = (
    "id",
    "dataset",
    "archive",
    "sensor",
    "satellite",
    "source_group",
    "product_type",
    "start",
    "stop",
)
"""What a template may name."""
UNKNOWN = "unknown"
"""The text for a value that the catalogue does not state."""

MAX_NAME = 255
"""Bytes of a file name that all common file systems take."""
SUFFIX_ROOM = 20
"""Bytes of each name that are kept free for suffixes such as `.part`."""
MAX_PATH = 1000
"""Bytes of a path below the mirror, suffix room included."""
MAX_SEGMENTS = 16

_TIMES = frozenset({"start", "stop"})
_TIME_FORMAT = "%Y%m%dT%H%M%S"
_DIRECTIVES = frozenset("YymdHMSfjUWVGuwIpbBaA%")
"""The directives of strftime that are allowed: those whose text has no separators and needs no time zone."""
_FORBIDDEN = frozenset('<>:"|?*/\\')
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Blank, though Unicode counts them as letters, marks or symbols."""
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
"""Variation selectors: marks that show nothing."""
_HARMLESS = re.compile(r"[A-Za-z0-9_+=@,. -]*")
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])[ ]*(?:\.|$)", re.IGNORECASE)
"""Names of devices on Windows, with or without an extension."""
_PLAIN = re.compile(r"S[0-9][A-Z]_[A-Za-z0-9_]*[A-Za-z0-9]")
"""Ids that are file names as they are: no device on Windows is called so."""
_PLAIN_MOST = 200
_EXTENSION = re.compile(r"(?:\.[A-Za-z0-9]{1,8}){0,2}")
_ENDING = re.compile(r"(?:\.tar)?\.[A-Za-z][A-Za-z0-9]{0,9}$")
_MARK = "~"
"""Stands before the hash of a name that was changed; no unchanged name has it."""


class _Field(Struct, frozen=True):
    name: str
    format: str


_Piece = str | _Field
_Segment = tuple[_Piece, ...]


class Layout(Struct, frozen=True):
    """A template for paths below the mirror, as the manifest's `mirror.layout` gives it; made by `parse`."""

    template: str
    _segments: tuple[_Segment, ...]

    def __str__(self) -> str:
        return self.template

    @property
    def fields(self) -> frozenset[str]:
        """The fields that its paths are made of."""
        return frozenset(piece.name for segment in self._segments for piece in segment if isinstance(piece, _Field))

    @property
    def _is_plain(self) -> bool:
        return self.template == "{id}"

    @classmethod
    def parse(cls, template: str) -> "Layout":
        """Read a template: text with fields in braces.

        `start` and `stop` take a strftime format after a colon, in which a slash separates folders like any
        other. `{{` and `}}` are braces themselves.

        Raises:
            ValueError: A field is unknown, the id is missing, or paths could leave the mirror, hide in
            it, or not
                be stored everywhere.
        """
        pieces = _pieces(template)
        segments = _segments(pieces)
        if len(segments) > MAX_SEGMENTS:
            raise ValueError(f"it has {len(segments)} folders; at most {MAX_SEGMENTS} are possible")
        for segment in segments:
            _check_segment(segment)
        if not any(isinstance(piece, _Field) and piece.name == "id" for piece in pieces):
            raise ValueError("it must contain {id}, or different scenes would have the same path")
        return cls(template, segments)

    def path(self, scene: Scene, *, dataset: str, archive: str, extension: str = ".zip") -> str:
        """Return the path of a scene's file: relative to the mirror, with forward slashes.

        Values that are safe as file names stay as they are. What is not is replaced by `_`, overlong
        names are cut, and a name that had to be changed ends in `~` and a hash of what it came from, so
        that different ids never fall on one name. A value neither adds nor removes a segment. Each name
        leaves `SUFFIX_ROOM` for suffixes.

        Args:
            scene: Whose path it is.
            dataset: The first dataset in the manifest that matches the scene.
            archive: The archive's key in the manifest.
            extension: What the file's name ends in. An id that ends in it loses it.

        Raises:
            ValueError: The extension is none.
        """
        if not _is_extension(extension):
            raise ValueError(f"{extension!r} is not a file name extension")
        if self._is_plain and len(scene.id) <= _PLAIN_MOST and _PLAIN.fullmatch(scene.id):
            # Nearly every scene of nearly every manifest, and mirrors hold a hundred thousand.
            return scene.id + extension
        values = {
            "id": scene.id.removesuffix(extension),
            "dataset": dataset,
            "archive": archive,
            "sensor": scene.sensor,
            "satellite": scene.satellite,
            "source_group": scene.source_group,
            "product_type": scene.product_type,
        }
        times = {"start": scene.start, "stop": scene.stop}
        *folders, name = [[_text(piece, values, times) for piece in segment] for segment in self._segments]
        folder_room = (MAX_PATH - MAX_NAME) // max(1, len(folders)) - 1
        path = [_safe(parts, min(folder_room, MAX_NAME - SUFFIX_ROOM)) for parts in folders]
        path.append(_safe(name, MAX_NAME - SUFFIX_ROOM - len(extension)) + extension)
        return "/".join(path)


@cache
def _is_extension(text: str) -> bool:
    return _EXTENSION.fullmatch(text) is not None


def comparable(path: str) -> str:
    """A path in the form in which the most forgetful file systems compare it: without case or Unicode form."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())


def collisions(paths: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Find different scenes that would fall on one file.

    Names are compared as the most forgetful file systems do, without regard to case or Unicode form: ids
    that differ in nothing but case, or templates such as `{satellite}{id}`, may collide even though every
    path is safe.

    Args:
        paths: Scene ids and their paths.

    Returns:
        For each such path, as the first of its scenes has it, the ids that share it, in the order given.
    """
    # Nearly all paths are ASCII, and mirrors hold a hundred thousand.
    ascii_only = all(map(str.isascii, paths.values()))
    keys = [*map(str.lower if ascii_only else comparable, paths.values())]
    if len(set(keys)) == len(keys):
        return {}
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for scene, key in zip(paths, keys, strict=True):
        seen[key].append(scene)
    return {paths[ids[0]]: tuple(ids) for ids in seen.values() if len(ids) > 1}


def safe_name(text: str) -> str:
    """A file name as near to a text as is safe everywhere, with `SUFFIX_ROOM` for suffixes; see `Layout.path`.

    It keeps the text's ending, such as `.tif`, by which other programs know the file.
    """
    room = MAX_NAME - SUFFIX_ROOM
    name, ending = _safe([(text, False)], room), _ENDING.search(text)
    if name == text or ending is None:
        return name
    return _safe([(text[: ending.start()], False)], room - len(ending[0])) + ending[0]


def is_file_name(name: str) -> bool:
    """Return whether a name is possible for a file on every file system."""
    return (
        name[:1] not in {"", " "}
        and name[-1] not in " ."
        and len(name.encode("utf-8", "surrogatepass")) <= MAX_NAME
        and not any(c in _FORBIDDEN or not _is_visible(c) for c in name)
        and not _RESERVED.match(name)
    )


# -------------------------------------------------------------------------------------- reading a template


def _pieces(template: str) -> list[_Piece]:
    if not template.strip():
        raise ValueError("it is empty")
    if template.startswith("/") or re.match(r"[A-Za-z]:", template):
        raise ValueError("it is an absolute path; paths are relative to the mirror")
    if template.startswith("~"):
        raise ValueError("it begins with '~', which is not expanded; paths are relative to the mirror")
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"its braces do not match ({error}); {{{{ and }}}} are braces themselves") from None
    pieces: list[_Piece] = []
    for text, name, spec, conversion in parsed:
        if text:
            pieces.append(text)
        if name is not None:
            if conversion:
                raise ValueError(f"the field {{{name}!{conversion}}} has a conversion, which is not possible")
            pieces += _field(name, spec or "")
    return pieces


def _field(name: str, spec: str) -> list[_Piece]:
    if name not in FIELDS:
        near = nearest(name, FIELDS)
        meant = "" if near is None else f" (did you mean {{{near}}}?)"
        raise ValueError(f"unknown field {{{name}}}{meant}; the fields are {', '.join(FIELDS)}")
    if name not in _TIMES:
        if spec:
            raise ValueError(f"the field {{{name}}} takes no format; only start and stop do")
        return [_Field(name, "")]
    for directive in re.findall(r"%(.?)", spec or _TIME_FORMAT, re.DOTALL):
        if directive not in _DIRECTIVES:
            raise ValueError(f"the format of {{{name}}} has %{directive}, which is not possible in a path")
    if spec and "%" not in spec:
        raise ValueError(f"the format {spec!r} of {{{name}}} has no directive such as %Y")
    pieces: list[_Piece] = []
    for part in re.split("(/)", spec or _TIME_FORMAT):
        pieces += [part] if part == "/" or "%" not in part else [_Field(name, part)]
    return [piece for piece in pieces if piece]


def _segments(pieces: list[_Piece]) -> tuple[_Segment, ...]:
    segments: list[list[_Piece]] = [[]]
    for piece in pieces:
        if isinstance(piece, _Field):
            segments[-1].append(piece)
            continue
        first, *others = piece.split("/")
        segments[-1] += [first] if first else []
        segments += [[text] if text else [] for text in others]
    return tuple(tuple(segment) for segment in segments)


def _check_segment(segment: _Segment) -> None:
    texts = [piece if isinstance(piece, str) else piece.format.replace("%%", "") for piece in segment]
    shown = "".join(piece if isinstance(piece, str) else f"{{{piece.name}}}" for piece in segment)
    if not segment:
        raise ValueError("it has an empty folder or file name")
    if shown == "..":
        raise ValueError("it leaves the mirror with '..'")
    for text in texts:
        bad = next((c for c in text if c in _FORBIDDEN or not _is_visible(c)), None)
        if bad is not None:
            raise ValueError(f"the character {bad!r} in {shown!r} cannot be in a file name everywhere")
    if texts[0].startswith("."):
        raise ValueError(f"the name {shown!r} begins with a dot, and hidden names are the mirror's own")
    if texts[0].startswith(" ") or texts[-1].endswith((" ", ".")):
        raise ValueError(f"the name {shown!r} begins with a space, or ends in a space or dot")
    if all(isinstance(piece, str) for piece in segment):
        if _RESERVED.match(shown):
            raise ValueError(f"the name {shown!r} is reserved on Windows")
        if unicodedata.normalize("NFC", shown) != shown or len(shown.encode()) > MAX_NAME - SUFFIX_ROOM:
            raise ValueError(f"the name {shown[:40]!r} is too long, or not in Unicode's composed form")


# ---------------------------------------------------------------------------------------- making names safe


def _text(piece: _Piece, values: Mapping[str, str | None], times: Mapping[str, datetime | None]) -> tuple[str, bool]:
    """The text of a piece of a template, and whether it came from the template itself."""
    if isinstance(piece, str):
        return piece, True
    if piece.name in _TIMES:
        time = times[piece.name]
        return (UNKNOWN if time is None else time.strftime(piece.format)), False
    value = values[piece.name]
    return (UNKNOWN if value is None else value), False


def _safe(parts: list[tuple[str, bool]], room: int) -> str:
    raw = "".join(text for text, _ in parts)
    name = unicodedata.normalize("NFC", "".join(t if fixed else _replaced(t) for t, fixed in parts))
    name = _trimmed(name)
    if _RESERVED.match(name):
        name = f"_{name}"
    if name == raw and len(name.encode()) <= room:
        return name
    tail = _MARK + sha256(raw.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    short = name.encode()[: room - len(tail)].decode(errors="ignore")
    return short + tail


def _replaced(value: str) -> str:
    if _HARMLESS.fullmatch(value):  # nearly every value there is, and a character by character look is slow
        return value
    composed = unicodedata.normalize("NFC", value)
    return "".join("_" if c in _FORBIDDEN or c == _MARK or not _is_visible(c) else c for c in composed)


def _trimmed(name: str) -> str:
    """Without a dot or space in front, nor a dot or space at the end, and never empty."""
    if not name or name[0] in ". ":
        name = f"_{name[1:]}"
    return f"{name[:-1]}_" if name[-1] in ". " else name


def _is_visible(character: str) -> bool:
    """Not a control, format, surrogate, private or unassigned character, and no space but the plain one."""
    if character == " ":
        return True
    if character in _INVISIBLE or _SELECTORS.match(character):
        return False
    return unicodedata.category(character)[0] not in "CZ"
