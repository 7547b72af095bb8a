"""`python -m sedas_sync` is `sedas-sync`."""

import sys
from typing import NoReturn

from sedas_sync import __version__


def main() -> NoReturn:
    """Run the command line; the version is told without importing any of it."""
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write(f"sedas-sync {__version__}\n")
        sys.exit(0)
    from sedas_sync.cli import main  # noqa: PLC0415  # see above

    main()


if __name__ == "__main__":
    main()
