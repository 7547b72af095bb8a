"""Plan, apply and apply again: the quickstart manifest on the sandbox. `make demo` runs this script."""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
MANIFEST = os.path.relpath(HERE / "quickstart.toml")
SCENES = HERE.parent / "demo" / "scenes"


def sedas_sync(*arguments: str, capture: bool = False) -> str:
    """Run a command as a user would, print it, and return its captured output; exit if it fails."""
    print(f"\n$ sedas-sync {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", "sedas_sync", *arguments]
    ran = subprocess.run(command, stdout=subprocess.PIPE if capture else None, text=True, check=False)  # noqa: S603  # our own command
    if ran.returncode:
        raise SystemExit(f"sedas-sync {arguments[0]} ended with exit code {ran.returncode}")
    return ran.stdout or ""


def main() -> None:
    """Run the demo."""
    sedas_sync("validate", MANIFEST)
    sedas_sync("plan", MANIFEST)
    sedas_sync("apply", MANIFEST)
    again = sedas_sync("apply", MANIFEST, "--json", capture=True)
    summary = json.loads(again.splitlines()[-1])
    print(f"  the second apply fetched {summary['fetched']}, ordered {summary['ordered']}, kept {summary['kept']}")
    if summary["fetched"] or summary["ordered"]:
        raise SystemExit("the second apply should have had nothing to do")
    files = sorted(SCENES.glob("*.zip"))
    print(f"\n{len(files)} scenes in {os.path.relpath(SCENES)}:")
    for file in files:
        print(f"  {file.stat().st_size:>9,} bytes  {file.name}")


if __name__ == "__main__":
    main()
