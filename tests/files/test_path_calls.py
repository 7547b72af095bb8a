"""Files below a mirror are reached only through `sedas_sync.files.safe_tree`, which never follows symbolic links."""

import ast
from pathlib import Path

import pytest

import sedas_sync

PACKAGE = Path(sedas_sync.__file__).parent

PATH_METHODS = {
    "chmod", "glob", "hardlink_to", "iterdir", "mkdir", "open", "read_bytes", "read_text", "rename", "rglob", "rmdir",
    "symlink_to", "touch", "unlink", "walk", "write_bytes", "write_text",
}  # fmt: skip
OS_CALLS = {
    "chmod", "chown", "link", "listdir", "makedirs", "mkdir", "open", "remove", "removedirs", "rename", "renames",
    "replace", "rmdir", "scandir", "symlink", "truncate", "unlink", "utime", "walk",
}  # fmt: skip
MODULES = {"os", "shutil", "sqlite3", "tempfile", "filelock"}

LAYER = {
    "files/safe_tree.py": "it is the layer",
    "state/connection.py": "opens the index after it checked the state folder by descriptor; SQLite takes only a path",
}
ELSEWHERE = {
    "operations/adopt/adopter.py": ({".open"}, "reads a folder that the user names"),
    "operations/init_folder.py": ({".open"}, "an entry of a zip that is open"),
    "files/bring.py": ({"open"}, "copies a file of a folder that the user names, and checks the copy"),
    "operations/aoi_file.py": (None, "reads AOI files that the manifest names"),
    "operations/vector_file.py": (None, "reads AOI files that the manifest names"),
    "operations/countries.py": ({".read_text"}, "reads the outlines that the package has"),
    "archives/cdse/token_store.py": (None, "keeps a login in the user's own cache folder"),
    "archives/stac/document_cache.py": (None, "keeps documents of a catalogue in the user's own cache folder"),
    "archives/stac/static.py": ({".write_bytes"}, "gives a GeoParquet file to its reader in a temporary folder"),
    "archives/stac/archive.py": ({".walk"}, "walks the pages of a search"),
    "testing/__init__.py": ({".open"}, "opens a stream of an archive"),
    "compat": (None, "downloads one product to a file that the user names"),
    "cli": (None, "reads and writes files that the command line names"),
    "workers/dask.py": ({".read_text"}, "reads Dask's scheduler file"),
    "output/export": (
        None,
        "writes lists and catalogues where the user wants them; state folder and scenes are refused",
    ),
    "files/integrity.py": ({"os.open"}, "reads a file by its path where no root is given"),
    "operations/load.py": ({".read_bytes"}, "reads the manifest"),
    "files/atomic.py": (None, "writes the lock file, reports and exports, where the user wants them"),
    "operations/lock_file.py": (None, "reads the lock beside the manifest"),
    "output/report": ({".read_bytes", ".read_text"}, "reads the manifest and the page's own assets"),
    "files/unzip.py": ({".open"}, "opens entries of a zip that is open"),
    "output/report/quicklooks.py": ({".open"}, "opens pictures in memory"),
    "output/product_files.py": ({".open"}, "opens entries of a zip that is open"),
    "operations/saved_plan.py": ({".read_text"}, "reads a plan that the user names"),
    "__init__.py": ({".read_text"}, "reads the names that the package exports"),
    "sandbox": (None, "serves files of its own"),
    "state/soft_lock.py": (
        {"os.listdir", ".touch", ".read_text", ".read_bytes"},
        "lists and touches files by the folder's descriptor, and reads /proc",
    ),
}
"""Modules that reach files outside a mirror: by which calls (None: any), and why."""


def exception(path, what):
    """The entry of `ELSEWHERE` that allows a call."""
    for name, (calls, _) in ELSEWHERE.items():
        if (path == name or path.startswith(f"{name}/")) and (calls is None or what in calls):
            return name
    return None


def reaching(source):
    """Calls that reach a file by a path, so that links on the way are followed: line and what is called."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        keywords = {keyword.arg for keyword in call.keywords}
        match call.func:
            case ast.Name(id="open" | "FileLock" | "ZipFile" as name):
                # One that is given a descriptor or a file that is open says so by its name.
                if not (call.args and isinstance(call.args[0], ast.Name) and call.args[0].id == "file"):
                    yield call.lineno, name
            case ast.Attribute(value=ast.Name(id="os"), attr=attr) if attr in OS_CALLS:
                if not keywords & {"dir_fd", "src_dir_fd", "dst_dir_fd"} and not _is_descriptor(call.args[0]):
                    yield call.lineno, f"os.{attr}"
            case ast.Attribute(value=ast.Name(id=("shutil" | "tempfile" | "sqlite3") as module), attr=attr):
                if attr in ("connect", "rmtree", "move", "copy", "copy2", "copyfile", "copytree", "mkdtemp", "mkstemp"):
                    yield call.lineno, f"{module}.{attr}"
            case ast.Attribute(value=ast.Name(id=module)) if module in MODULES:
                pass
            case ast.Attribute(attr=attr) if attr in PATH_METHODS:
                yield call.lineno, f".{attr}"
            case ast.Attribute(attr="replace") if len(call.args) == 1 and not keywords:
                yield call.lineno, ".replace"


def _is_descriptor(argument):
    if isinstance(argument, ast.Call):
        return isinstance(argument.func, ast.Attribute) and argument.func.attr == "fileno"
    return isinstance(argument, ast.Name) and argument.id in ("file", "here", "there", "folder", "state")


@pytest.fixture(scope="module")
def calls():
    """Every such call of the package: its module, its line and what is called."""
    return [
        (path.relative_to(PACKAGE).as_posix(), line, what)
        for path in sorted(PACKAGE.rglob("*.py"))
        for line, what in reaching(path.read_text("utf-8"))
    ]


def test_nothing_but_the_folder_layer_reaches_files_of_a_mirror_by_their_paths(calls):
    found = [call for call in calls if call[0] not in LAYER and exception(call[0], call[2]) is None]
    assert not found, "use sedas_sync.files.safe_tree, or say in ELSEWHERE which files outside a mirror these are"


def test_every_exception_is_still_one(calls):
    assert {exception(path, what) for path, _, what in calls} - {None} == set(ELSEWHERE)
    assert {path for path, _, _ in calls} >= set(LAYER)


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("(root / 'a').unlink()", ".unlink"),
        ("place.write_bytes(b'')", ".write_bytes"),
        ("place.mkdir(exist_ok=True)", ".mkdir"),
        ("draft.rename(place)", ".rename"),
        ("draft.replace(place)", ".replace"),
        ("open(path)", "open"),
        ("os.open(place / name, 0)", "os.open"),
        ("os.scandir(place)", "os.scandir"),
        ("sqlite3.connect(path)", "sqlite3.connect"),
        ("FileLock(path)", "FileLock"),
        ("shutil.rmtree(path)", "shutil.rmtree"),
        ("os.open(name, 0, dir_fd=here)", None),
        ("text.replace('a', 'b')", None),
        ("safe_tree.names(root, 'a')", None),
    ],
)
def test_what_the_rule_sees(source, what):
    assert [name for _, name in reaching(source)] == ([] if what is None else [what])
