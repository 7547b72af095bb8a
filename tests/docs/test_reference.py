"""The generated parts of the reference are up to date."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_schemas_tables_and_help_texts_are_up_to_date():
    check = [sys.executable, str(ROOT / "tools" / "reference.py"), "--check"]
    ran = subprocess.run(check, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
