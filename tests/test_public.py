"""What is public, and what of it the documents show."""

import inspect
import re
import subprocess
import sys

import sedas_sync as ss


def test_every_public_name_is_there():
    for name in ss.__all__:
        assert getattr(ss, name) is not None
    assert set(dir(ss)) == set(ss.__all__)


def test_what_is_imported_first_does_not_change_what_a_name_means():
    code = "import sedas_sync.api, sedas_sync as ss; print(callable(ss.fetch), ss.fetch.__module__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["True", "sedas_sync.operations.fetch"]


def test_importing_the_package_imports_nothing_slow():
    slow = ("pydantic", "urllib3", "shapely", "click", "tqdm")
    code = f"import sys, sedas_sync; print([name for name in {slow} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def handed_over():
    """The names in what public methods of `Mirror` return, and in what they take from a user besides plain values."""
    for name, method in inspect.getmembers(ss.Mirror, inspect.isfunction):
        if not name.startswith("_") and name != "archive":  # for those who carry out a run themselves
            hints = inspect.get_annotations(inspect.unwrap(method))
            for where in hints.keys() & {"return", "plan", "report", "saved", "max_prune"}:
                yield name, re.findall(r"[A-Z]\w+", re.sub(r"[\w.]+\.", "", str(hints[where])))


PLAIN = {"AbstractContextManager", "Any", "Generator", "Iterator", "None", "Path", "Self"}


def test_what_a_mirror_hands_over_can_be_named():
    """Whoever writes typed Python has to be able to name what a method gives or takes."""
    found = list(handed_over())
    assert {"plan", "search", "why", "status", "verify", "adopt", "apply", "relock"} <= {method for method, _ in found}
    for method, names in found:
        assert set(names) - PLAIN <= set(ss.__all__), method


def test_every_event_is_public():
    from sedas_sync.model import events

    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    assert len(kinds) == 14
    for kind in kinds:
        assert getattr(ss, kind.__name__) is kind
