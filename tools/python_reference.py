"""Write the reference of the Python API from signatures and docstrings: what `docs/reference/python.md` contains."""

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from html import escape
from typing import Any, get_args, is_typeddict

import griffe
from griffe import DocstringSectionKind as Kind

import sedas_sync as ss
from sedas_sync import events, results

GROUPS = {
    "Manifests and mirrors": ("load_manifest", "parse_manifest", "Manifest", "Mirror"),
    "Plans and results": (
        "Plan", "Action", "ActionKind", "reason_text", "SavedPlan", "Summary", "Status", "VerifyReport",
    ),
    "Archives without a manifest": ("SedasArchive", "fetch"),
    "Scenes and orders": ("Scene", "Order", "OrderState", "to_geojson", "to_geodataframe"),
    "Errors": (
        "SedasSyncError", "ManifestError", "AuthenticationError", "ArchiveError", "IncompleteSearch", "StoppedError",
        "TransferError", "MirrorLocked",
    ),
}  # fmt: skip
"""The headings, each with its names. Other public names come last."""
_SHOWN = {
    "Jobs": "int",
    "Seconds": "float",
    "SceneId": "str",
    "ArchiveKey": "str",
    "ArchiveIdentity": "str",
    "Listener": "Callable[[Event], None]",
    "Warn": "Callable[[str], None]",
    "OnStep": "Callable[[Step], None]",
    "Confirm": "Callable[[int, int], bool]",
    "Annotated[int, Meta(ge=0)]": "int",
    "Unpack[RunOptions]": "RunOptions",
}
"""What is shown instead of the name of a type that the package uses for itself."""
_ALIAS = re.compile("|".join(rf"\b{re.escape(name)}(?!\w)" for name in _SHOWN))


def python_names() -> str:
    """Return the reference of every public name, as Markdown."""
    listed = {name for names in GROUPS.values() for name in names}
    rest = tuple(name for name in ss.__all__ if name not in listed and name != "__version__")
    groups = {**GROUPS, "More": rest} if rest else GROUPS
    parts = [part for title, names in groups.items() for part in (f"## {title}\n", *map(_name, names))]
    return "\n".join(parts)


def python_modules() -> str:
    """Return the tables of the public modules that only have types."""
    parts = []
    for module in (events, results):
        rows = [f"| `{name}` | {_cell(_first_line(getattr(module, name)))} |" for name in module.__all__]
        about = _first_line(module)
        parts += [f"### `{module.__name__}`\n\n{about}\n\n| name | meaning |\n|---|---|", *rows, ""]
    return "\n".join(parts)


def _name(name: str) -> str:
    value = getattr(ss, name)
    lines = [f"### `{name}`\n"]
    if inspect.isclass(value):
        lines += _class(name, value)
    else:
        lines += [*_function(name, value), *_example(name, value)]
    return "\n".join(lines)


def _example(name: str, value: Any) -> Iterator[str]:
    found = re.search(r"^Example:\n((?:    .*\n?|\n)+)", f"{inspect.getdoc(value)}\n", re.MULTILINE)
    if found is None:
        raise SystemExit(f"{name}: its docstring has no example")
    yield f"```python\n{textwrap.dedent(found[1]).strip()}\n```\n"


# -- functions -------------------------------------------------------------------------------------------------------


def _function(title: str, function: Callable[..., Any], *, skip: int = 0) -> Iterator[str]:
    """Yield the signature, the text and the tables of a function, without its first `skip` parameters."""
    function = inspect.unwrap(function)
    node = _node(function)
    arguments = _arguments(node, skip)
    shown = [text for _, text, _ in arguments]
    returns = _type(node.returns)
    if any(ast.unparse(one) == "contextmanager" for one in node.decorator_list):
        returns = returns.replace("Iterator", "AbstractContextManager")
    line = f"{title}({', '.join(shown)}) -> {returns}"
    if len(line) > 100:  # noqa: PLR2004  # what a code block shows without scrolling
        line = f"{title}(\n" + "".join(f"    {text},\n" for text in shown) + f") -> {returns}"
    yield f"```text\n{line}\n```\n"
    types = {name: kind for name, _, kind in arguments}
    yield from _sections(function, title, types)


def _node(value: Any) -> Any:
    """Return the syntax tree of a class or a function."""
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(value))).body
    return node


def _arguments(node: ast.FunctionDef, skip: int) -> list[tuple[str, str, str]]:
    """Return the name, the text and the type of each parameter."""
    args = node.args
    found: list[tuple[str, str, str]] = []
    positional = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    for one, default in list(zip(positional, defaults, strict=True))[skip:]:
        found.append((one.arg, _argument(one, default), _type(one.annotation)))
    if args.kwonlyargs and not args.vararg:
        found.append(("*", "*", ""))
    found += [
        (one.arg, _argument(one, default), _type(one.annotation))
        for one, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
    ]
    if args.kwarg:
        found.append((f"**{args.kwarg.arg}", f"**{args.kwarg.arg}", _type(args.kwarg.annotation)))
    return found


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    text = f"{one.arg}: {_type(one.annotation)}"
    return text if default is None else f"{text} = {_SHORT.get(ast.unparse(default), ast.unparse(default))}"


_SHORT = {"lambda: datetime.now(UTC)": "…", "lambda _: None": "ignore", "utc_now": "…", "_silent": "ignore"}
"""Defaults that are functions of the package."""


def _type(annotation: ast.expr | None) -> str:
    if annotation is None:
        return "None"
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return _ALIAS.sub(lambda found: _SHOWN[found[0]], annotation.value)
    return _ALIAS.sub(lambda found: _SHOWN[found[0]], ast.unparse(annotation)).replace("'", "")


def _sections(value: Any, title: str, types: dict[str, str]) -> Iterator[str]:
    """Yield the text, the arguments, the result and the errors of a docstring."""
    text = re.sub(r"^Example:\n(?:    .*\n?|\n)+", "", f"{inspect.getdoc(value)}\n", flags=re.MULTILINE)
    described: set[str] = set()
    for section in griffe.Docstring(text).parse("google", warnings=False):
        if section.kind is Kind.text:
            yield f"{_text(section.value)}\n"
        elif section.kind is Kind.parameters:
            known = [item for item in section.value if item.name in types]
            described |= {item.name for item in known}
            rows = [f"| `{item.name}` | {_code(types[item.name])} | {_sentence(item.description)} |" for item in known]
            rows += list(_options(value)) if "**options" in types else []
            if rows:
                yield "\n".join(["| argument | type | meaning |\n|---|---|---|", *rows, ""])
        elif section.kind in (Kind.returns, Kind.yields):
            about = " ".join(_sentence(item.description) for item in section.value)
            yield f"{section.kind.value.capitalize()}: {about}\n"
        elif section.kind is Kind.raises:
            rows = [f"- `{item.annotation}`: {_sentence(item.description)}" for item in section.value]
            yield "\n".join(["Raises:\n", *rows, ""])
    if missing := {name for name in types if "*" not in name} - described:
        raise SystemExit(f"{title}: the docstring does not describe {', '.join(sorted(missing))}")


def _options(function: Callable[..., Any]) -> Iterator[str]:
    """Yield a row for each option of a function that takes `**options: Unpack[SomeOptions]`."""
    hint = function.__annotations__.get("options")
    if hint is not None and get_args(hint) and is_typeddict(table := get_args(hint)[0]):
        for name, kind, about in _fields(table):
            yield f"| `{name}` | {_code(kind)} | {_sentence(about)} |"


# -- classes ---------------------------------------------------------------------------------------------------------


def _class(name: str, cls: type) -> Iterator[str]:
    constructor = vars(cls).get("__init__")
    if inspect.isfunction(constructor) and not is_dataclass(cls) and not issubclass(cls, ss.SedasSyncError):
        arguments = _arguments(_node(inspect.unwrap(constructor)), 1)
        yield f"```text\n{name}(\n" + "".join(f"    {text},\n" for _, text, _ in arguments) + ")\n```\n"
        yield from _sections(cls, name, {arg: kind for arg, _, kind in arguments})
    else:
        yield from _sections(cls, name, {})
    bases = [base for base in reversed(cls.__mro__) if base.__module__.startswith("sedas_sync")]
    fields = {field: (kind, about) for field, kind, about in _fields(cls)}
    # Other bases have a section of their own.
    shared = [base for base in bases if base.__module__.startswith("sedas_sync.archives")]
    fields |= {field: of for base in shared for field, *of in _fields(base) if field not in fields}
    rows = [f"| `{field}` | {_code(kind)} | {_sentence(about)} |" for field, (kind, about) in fields.items()]
    if any(row.endswith("|  |") for row in rows):
        raise SystemExit(f"{name}: an attribute has no docstring: {rows}")
    if rows:
        yield "\n".join(["| attribute | type | meaning |\n|---|---|---|", *rows, ""])
    yield from _example(name, cls)
    for method, function in {name: value for base in bases for name, value in vars(base).items()}.items():
        static = function.__func__ if isinstance(function, classmethod) else function
        if not method.startswith("_") and inspect.isfunction(static):
            yield f"#### `{name}.{method}`\n"
            yield from _function(f"{name}.{method}", static, skip=1)


def _fields(cls: type) -> Iterator[tuple[str, str, str]]:
    """Yield the name, the type and the meaning of each attribute: a field, a member of an enum or a property."""
    for member, following in itertools.pairwise([*_node(cls).body, ast.Pass()]):
        about = following.value if isinstance(following, ast.Expr) else None
        text = _flat(about.value) if isinstance(about, ast.Constant) and isinstance(about.value, str) else ""
        match member:
            case ast.AnnAssign(target=ast.Name(id=field), annotation=kind) if not field.startswith("_"):
                if "ClassVar" not in _type(kind):
                    yield field, _type(kind), text
            case ast.Assign(targets=[ast.Name(id=field)], value=ast.Constant(value=value)) if field.isupper():
                yield field, repr(value), text
            case ast.FunctionDef(name=field, decorator_list=[ast.Name(id="property"), *_]) if not field.startswith("_"):
                yield field, _type(member.returns), _flat(ast.get_docstring(member) or "")


# -- text ------------------------------------------------------------------------------------------------------------


def _first_line(value: Any) -> str:
    return (inspect.getdoc(value) or "").partition("\n")[0]


def _text(text: str) -> str:
    """Return the paragraphs of a docstring, each literal block as a code block."""
    return re.sub(r"::\n\n((?:    .*\n?)+)", lambda found: f":\n\n```text\n{textwrap.dedent(found[1])}\n```\n", text)


def _flat(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _flat(text).replace("|", "\\|")


def _code(text: str) -> str:
    r"""Return code for a cell of a table. A bar is an entity there: some readers show the backslash of `\|` in code."""
    flat = _flat(text)
    return f"<code>{escape(flat, quote=False).replace('|', '&#124;')}</code>" if "|" in flat else f"`{flat}`"


def _sentence(text: str) -> str:
    """Return a description with a capital letter and a full stop."""
    flat = _cell(text)
    return flat[:1].upper() + flat[1:]
