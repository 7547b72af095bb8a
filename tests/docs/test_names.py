"""Every name of code in the documentation, the docstrings and the comments exists."""

import ast
import builtins
import pkgutil
import re
from collections import defaultdict
from functools import cache
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "sedas_sync"
PAGES = [path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")) if path.name != "CHANGELOG.md"]
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
COMMENT = re.compile(r"(?:^|(?<=\s))# .*")
"""A comment, or the part of a text that looks like one: Python's tokenizer takes as long as everything else here."""
DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
CLASS = re.compile(r"_?(?:[A-Z][a-z]+){2,}")
MODULE = re.compile(r"([a-z_]+)/[a-z_/]+")
FILE_ENDINGS = {
    "md",
    "safe",
    "py",
    "pyi",
    "toml",
    "json",
    "com",
    "org",
    "uk",
    "io",
    "typed",
    "zip",
    "lock",
    "jsonl",
    "html",
    "txt",
    "csv",
    "eu",
    "gov",
    "xml",
}
OTHERS = {
    # packages that are neither installed for the tests nor imported by the code, and types of other programs
    "sedas_pyapi",
    "ArchiveContract",
    "cluster.scheduler_address",
}


@cache
def sources():
    return {path: path.read_text() for path in PACKAGE.rglob("*.py")}


@cache
def trees():
    return {path: ast.parse(text) for path, text in sources().items()}


@cache
def nodes():
    """Every node of each module: they are walked once."""
    return {path: list(ast.walk(tree)) for path, tree in trees().items()}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_bound_by(node):
    """Yield the names that a statement of a module or a class binds, and the attributes that its methods set."""
    match node:
        case ast.ClassDef() | ast.FunctionDef():
            yield node.name
        case ast.Assign(targets=targets):
            yield from (name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in names)
        case ast.If(body=body):
            yield from (name for inner in body for name in names_bound_by(inner))
        case _:
            pass


def members_of(tree):
    bound = {name for node in tree.body for name in names_bound_by(node)}
    if isinstance(tree, ast.ClassDef):
        bound |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        }
    return bound


@cache
def members():
    """Return the names in each module and class: modules by their full names, classes by their own."""
    table = defaultdict(set)
    for path, tree in trees().items():
        module = module_of(path)
        table[module] |= members_of(tree)
        package, _, name = module.rpartition(".")
        table[package].add(name)
        for node in nodes()[path]:
            if isinstance(node, ast.ClassDef):
                table[node.name] |= members_of(node)
    for _, walked in sorted(nodes().items()):
        for node in walked:
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                table[node.name] |= table.get(ast.unparse(base).partition("[")[0], set())
    return dict(table)


@cache
def identifiers():
    """Return every name that the code uses, of its own or of a library, and the texts in it, such as JSON keys."""
    every = [node for walked in nodes().values() for node in walked]
    used = {node.id for node in every if isinstance(node, ast.Name)}
    used |= {node.attr for node in every if isinstance(node, ast.Attribute)}
    used |= {node.name for node in every if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.alias)}
    used |= {node.value for node in every if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return used | set(vars(builtins))


@cache
def exists(name):
    """Return whether a dotted name is one of the package, or of another package that is installed."""
    first, *rest = name.split(".")
    if first == "sedas_sync" or first in members():
        scope = first
        for part in rest:
            if part not in members().get(scope, ()):
                return False
            scope = f"{scope}.{part}" if f"{scope}.{part}" in members() else part
        return True
    if f"sedas_sync.{first}" in members():
        return exists(f"sedas_sync.{name}")
    if first[0].isupper():  # a class of a library, such as `HTTPResponse.read1`
        return all(part in identifiers() for part in (first, *rest))
    if find_spec(first) is None:
        return rest[-1] in identifiers()  # an attribute of something local, such as `order.archive`
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True


def wrong(text):
    """Yield the names of code in a text that do not exist."""
    for span in SPAN.findall(text):
        name = span.removesuffix("()")
        if name in OTHERS or re.split(r"[./]", name)[0] in OTHERS:
            continue
        if DOTTED.fullmatch(name) and name.rpartition(".")[2] not in FILE_ENDINGS:
            found = exists(name)
        elif CLASS.fullmatch(name):
            found = name in identifiers()
        elif (module := MODULE.fullmatch(name)) and (PACKAGE / module[1]).is_dir():
            found = (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()
        else:
            continue
        if not found:
            yield name


def read_texts():
    """Yield the place and the text of each page, docstring and comment."""
    for page in PAGES:
        yield page.relative_to(ROOT), FENCED.sub("", page.read_text())
    for path, text in sources().items():
        for node in nodes()[path]:
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value.value
        for number, line in enumerate(text.splitlines(), 1):
            if comment := COMMENT.search(line):
                yield f"{path.relative_to(ROOT)}:{number}", comment[0]


@cache
def texts():
    return list(read_texts())


def test_every_name_of_code_exists():
    assert [f"{place}: `{name}`" for place, text in texts() for name in wrong(text)] == []


def test_names_that_do_not_exist_are_found():
    text = (
        "`sedas_sync.planning.compare.decide` `Mirror.fly()` `planning/decide` `NoSuchClass` `concurrent.presents` "
        "`sedas_sync.planning.compare.choose_actions` `Mirror.plan()` `planning/compare` `DesiredScene` `json.loads`"
    )
    found = [
        "sedas_sync.planning.compare.decide",
        "Mirror.fly",
        "planning/decide",
        "NoSuchClass",
        "concurrent.presents",
    ]
    assert list(wrong(text)) == found


def test_no_docstring_starts_with_the_name_of_a_class():
    """Renaming a class must not change the verbs of docstrings."""
    starts = [(place, text.split()[:2]) for place, text in texts() if text.split()]
    assert [
        (place, *words) for place, words in starts if CLASS.fullmatch(words[0]) and words[1:] in (["a"], ["the"])
    ] == []


def test_the_architecture_page_lists_every_package():
    (drawing,) = re.findall(
        r"^```\n( cli .*?)^```$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE | re.DOTALL
    )
    listed = {name for line in drawing.splitlines() for name in re.findall(r"[a-z]+", line[:25])}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert packages - listed == set()
