"""The Python examples of the documentation, and a process that runs one as users do: as a file."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Example:
    """A block of Python on a page; `heading` is the last one before it."""

    page: Path
    heading: str
    text: str


def python_examples():
    found = []
    for page in PAGES:
        text = page.read_text()
        for block in BLOCK.finditer(text):
            if block[1] == "python":
                heading = re.findall(r"^#+ (.*)$", text[: block.start()], re.MULTILINE)[-1]
                found.append(Example(page, heading.strip("`"), block[2]))
    return found


def run_example(text, workspace):
    """Run an example as a file in the workspace, whose sandbox takes the place of the live service."""
    settings = workspace.path / "site"
    settings.mkdir()
    (settings / "sitecustomize.py").write_text(
        f"from sedas_sync.archives.sedas import kind\nkind.LIVE_URL = {workspace.url!r}\n"
    )
    file = workspace.path / "example.py"
    file.write_text(text)
    return subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", str(file)],
        cwd=workspace.path,
        env=workspace.environment(PYTHONPATH=str(settings)),
        capture_output=True,
        text=True,
        timeout=100,
    )
