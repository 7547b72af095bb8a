"""Types of archives: the built-in ones and those of other packages."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from sedas_sync import load_manifest
from sedas_sync.archives import registry
from sedas_sync.archives.opening import Opening, open_archive
from sedas_sync.archives.registry import BUILT_IN, GROUP, Types
from sedas_sync.errors import ManifestError
from sedas_sync.manifest import ArchiveConfig
from sedas_sync.manifest.archive_types import ArchiveType, BrokenTypeError

GOOD = ArchiveType(name="good", opener="-")
MISNAMED = ArchiveType(name="other", opener="-")


def types(*values):
    points = [EntryPoint(name, value, GROUP) for name, value in values]
    return Types({"sedas": BUILT_IN["sedas"]}, lambda: points)


def test_built_in_type_is_found_without_searching_packages():
    def never():
        raise AssertionError("packages were searched")

    assert Types(BUILT_IN, never)["sedas"] is BUILT_IN["sedas"]


def test_package_provides_a_type():
    found = types(("good", f"{__name__}:GOOD"))
    assert found["good"] is GOOD
    assert found.get("bad") is None
    assert list(found) == ["good", "sedas"]
    assert len(found) == 2


def test_package_cannot_replace_a_built_in_type():
    assert types(("sedas", f"{__name__}:MISNAMED"))["sedas"] is BUILT_IN["sedas"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:KIND", r"cannot be imported: ModuleNotFoundError: No module named 'no_such_module'"),
        (f"{__name__}:NO_SUCH_NAME", r"cannot be imported: AttributeError"),
        (f"{__name__}:types", r"is not an ArchiveType but function"),
        (f"{__name__}:MISNAMED", r"whose ArchiveType is named 'other'"),
    ],
)
def test_package_that_cannot_be_used_is_an_error(value, message):
    with pytest.raises(BrokenTypeError, match=message):
        types(("good", value))["good"]


def test_two_packages_with_one_type_are_an_error():
    with pytest.raises(
        BrokenTypeError, match=r"is provided by a package \(a:X\) and by a package \(b:X\); uninstall all but one"
    ):
        types(("good", "a:X"), ("good", "b:X"))["good"]


def test_broken_package_is_a_manifest_error(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_entry_points", lambda: [EntryPoint("good", "no_such_module:KIND", GROUP)])
    monkeypatch.setattr("sedas_sync.operations.load.TYPES", Types())
    file = tmp_path / "m.toml"
    file.write_text('version = 1\n[archive]\ntype = "good"\n[dataset.d]\nproducts = ["X"]\n')
    with pytest.raises(ManifestError) as caught:
        load_manifest(file)
    (problem,) = caught.value.problems
    assert "archive.type: found" in problem
    assert "no_such_module" in problem


@pytest.mark.parametrize(
    ("opener", "message"),
    [
        (lambda _: SimpleNamespace(identity="x", find=1), r"lacks look_up, locate, stop, close"),
        ("no_such_module:open", r"cannot be opened: No module named"),
        ("json:no_such_name", r"cannot be opened: module 'json' has no attribute"),
    ],
)
def test_opener_must_return_an_archive(opener, message):
    kind = ArchiveType(name="odd", opener=opener)
    with pytest.raises(ManifestError, match=message):
        open_archive(Opening(config=ArchiveConfig(type="odd"), kind=kind))


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_type_can_be_imported(name):
    module, _, function = str(BUILT_IN[name].opener).partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_reading_a_manifest_imports_no_archive(tmp_path):
    file = tmp_path / "m.toml"
    tables = "".join(f'[archives.{name}]\ntype = "{name}"\n' for name in ("sedas", "sandbox"))
    file.write_text(f'version = 1\n{tables}[dataset.d]\narchive = "sedas"\nproducts = ["X"]\n')
    heavy = ("urllib3", "ssl", "shapely", "sqlite3", "sedas_sync.archives.sedas.archive", "sedas_sync.sandbox")
    code = (
        "import sys; import pydantic; before = set(sys.modules); from sedas_sync.operations.load import load_manifest; "
        f"load_manifest(sys.argv[1]); print(sorted((set(sys.modules) - before) & set({heavy!r})))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.own_process
def test_a_manifest_is_read_without_the_libraries_of_its_types():
    program = (
        "import sys, sedas_sync.operations.load\n"
        "from sedas_sync.archives.registry import TYPES\n"
        "TYPES['eodag'], TYPES['stac']\n"
        "assert not {'eodag', 'botocore', 'boto3', 'requests'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_cache_of_a_type_is_in_the_cache_folder_of_the_user(monkeypatch, tmp_path):
    opening = Opening(config=ArchiveConfig(type="good"), kind=GOOD)
    monkeypatch.setenv("SEDAS_SYNC_CACHE", str(tmp_path))
    assert opening.cache == tmp_path / "archives" / "good"
    monkeypatch.setenv("SEDAS_SYNC_CACHE", "off")
    assert opening.cache is None
    monkeypatch.delenv("SEDAS_SYNC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert opening.cache == tmp_path / "xdg" / "sedas-sync" / "archives" / "good"
