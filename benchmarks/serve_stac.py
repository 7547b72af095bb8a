"""Run the STAC API of a benchmark, in its own process: the server of the tests, with items whose files nginx serves.

It takes its settings as JSON, prints its address, and serves until its standard input ends.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from stac_server import StacServer


def main() -> None:
    settings = json.loads(sys.argv[1])
    with StacServer() as stac:
        for number in range(settings["items"]):
            name = f"S{number:05}"
            item = stac.add(name, files=dict.fromkeys(settings["assets"], b""), checksums=False)
            for key, asset in item["assets"].items():
                asset["href"] = f"{settings['base']}/{name}/{key}.tif"
                asset["file:size"] = settings["size"]
        print(stac.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
