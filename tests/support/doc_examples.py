"""The Python examples of the documentation, and a process that runs them as users do: as files."""

import re
import subprocess
import sys
from dataclasses import dataclass, replace
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


RUN = """
import gc, os, runpy, sys
from multiprocessing import get_context
import geopandas, sedas_sync, sedas_sync.sandbox
for name in sedas_sync.__all__:
    getattr(sedas_sync, name)
gc.freeze()  # Otherwise the end of each process copies most of the memory that it shares.

def run(file):
    os.chdir(os.path.dirname(file))
    runpy.run_path(file, run_name="__main__")

for file in sys.argv[1:]:
    # Its processes end without deleting each module, which takes as long as an example.
    process = get_context("fork").Process(target=run, args=[file])
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(f"This example failed: {file}")
"""


def run_examples(examples, workspace):
    """Run each example as a file in a folder with a manifest, whose sandbox takes the place of the live service.

    Each has a process, forked from one that has imported everything: that takes longer than an example.
    """
    settings = workspace.path / "site"
    settings.mkdir()
    (settings / "sitecustomize.py").write_text(
        f"from sedas_sync.archives.sedas import kind\nkind.LIVE_URL = {workspace.url!r}\n"
        "from sedas_sync import compat\ncompat._POLL = 0.1\n"
    )
    files = []
    for number, example in enumerate(examples):
        folder = workspace.path / f"{example.page.stem}-{number}"
        folder.mkdir()
        replace(workspace, path=folder).write()
        files.append(folder / "example.py")
        files[-1].write_text(example.text)
    return subprocess.run(
        # odc-geo calls a function of shapely that is deprecated.
        [
            *(sys.executable, "-W", "error::DeprecationWarning", "-W", "ignore::DeprecationWarning:odc.geo.geom"),
            *("-c", RUN, *map(str, files)),
        ],
        cwd=workspace.path,
        env=workspace.environment(PYTHONPATH=str(settings)),
        capture_output=True,
        text=True,
        timeout=280,
    )
