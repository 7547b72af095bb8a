"""What is public, and what of it the documents show."""

import subprocess
import sys

import sedas_sync as ss


def test_every_public_name_is_there():
    for name in ss.__all__:
        assert getattr(ss, name) is not None
    assert set(dir(ss)) == set(ss.__all__)


def test_what_is_imported_first_does_not_change_what_a_name_means():
    code = "import sedas_sync.mirror, sedas_sync as ss; print(callable(ss.fetch), ss.fetch.__module__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["True", "sedas_sync.mirror"]


def test_importing_the_package_imports_nothing_slow():
    slow = ("pydantic", "requests", "shapely", "click", "tqdm")
    code = f"import sys, sedas_sync; print([name for name in {slow} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
