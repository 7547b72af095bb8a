"""Run the archive of a benchmark: the sandbox with generated rows, in its own process.

It takes its settings as JSON, prints its address, and serves until its standard input ends. So it ends with the
benchmark.
"""

import json
import sys

from scenes import catalogue_rows

from sedas_sync.sandbox import Faults, RowCatalogue, Sandbox


def main() -> None:
    settings = json.loads(sys.argv[1])
    catalogue = RowCatalogue(catalogue_rows(settings["online"], settings["lta"], settings["digests"]))
    with Sandbox(
        catalogue=catalogue,
        faults=Faults(cap=settings["cap"]),
        order_delay=settings["order_delay"],
        bytes_url=settings["bytes_url"],
    ) as sandbox:
        print(sandbox.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
