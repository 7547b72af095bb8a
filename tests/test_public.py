"""What is public, and that the documents and type checkers know the same names."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import sedas_sync as ss
from sedas_sync import events, results

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "python.md"


def test_every_public_name_is_there():
    for name in ss.__all__:
        assert getattr(ss, name) is not None
    assert len(ss.__all__) <= 30


def test_all_lists_of_public_names_are_the_same():
    stub = (ROOT / "sedas_sync" / "__init__.pyi").read_text()
    seen_by_type_checkers = set(re.findall(r" as (\w+)$", stub, re.MULTILINE))
    shown = set(re.findall(r"^### `(\w+)`", PAGE.read_text(), re.MULTILINE))
    assert seen_by_type_checkers == set(ss.__all__) == set(dir(ss)) == shown | {"__version__"}
    assert stub.count("import") == len(ss.__all__), "one name a line"


def test_every_name_of_the_public_modules_is_on_the_page():
    for module in (events, results):
        for name in module.__all__:
            assert getattr(module, name) is not None
            assert f"`{name}`" in PAGE.read_text(), name


def test_what_is_imported_first_does_not_change_what_a_name_means():
    code = "import sedas_sync.api, sedas_sync as ss; print(callable(ss.fetch), ss.fetch.__module__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["True", "sedas_sync.operations.fetch"]


def test_importing_the_package_imports_nothing_slow():
    slow = ("pydantic", "urllib3", "shapely", "click", "tqdm", "msgspec", "typing")
    code = f"import sys, sedas_sync; print([name for name in {slow} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_public_names_are_imported_when_they_are_used():
    code = "import sys, sedas_sync as ss; ss.ManifestError; print('shapely' in sys.modules, 'msgspec' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def handed_over():
    """The names in what public methods of `Mirror` return, and in what they take from a user besides plain values."""
    for name, method in inspect.getmembers(ss.Mirror, inspect.isfunction):
        if not name.startswith("_") and name != "archive":  # for those who carry out a run themselves
            hints = inspect.get_annotations(inspect.unwrap(method))
            for where in hints.keys() & {"return", "plan", "report", "saved"}:
                yield name, re.findall(r"[A-Z]\w+", re.sub(r"[\w.]+\.", "", str(hints[where])))


PLAIN = {"AbstractContextManager", "Any", "Generator", "Iterator", "None", "Path", "Self"}


def test_what_a_mirror_hands_over_can_be_named():
    """Whoever writes typed Python has to be able to name what a method gives or takes."""
    found = list(handed_over())
    assert {"plan", "search", "why", "status", "verify", "adopt", "apply", "relock"} <= {method for method, _ in found}
    for method, names in found:
        assert set(names) - PLAIN <= {*ss.__all__, *results.__all__, *events.__all__}, method


def test_every_event_is_public():
    module = import_module("sedas_sync.model.events")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, module.Event)]
    assert len(kinds) == 14
    assert {kind.__name__ for kind in kinds} == set(events.__all__)
