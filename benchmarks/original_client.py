"""Run the original client, `sedas_pyapi`, for a benchmark: search, then bulk download with 4 threads."""

import os
import sys
import time
from pathlib import Path

from sedas_pyapi.bulk_download import SeDASBulkDownload
from sedas_pyapi.sedas_api import SeDASAPI

THREADS = 4


def main() -> None:
    url, wkt, start, stop, folder, count = sys.argv[1:]
    api = SeDASAPI("sandbox", "sandbox")
    api.base_url = url
    api.authentication_url = f"{url}authentication"
    api.search_url = f"{url}search"
    api.sensor_url = f"{url}sensors"
    products = api.search_optical(wkt, start, stop)["products"]
    if len(products) != int(count):
        sys.exit(f"{len(products)} products were found, not {count}")
    bulk = SeDASBulkDownload(api, folder, parallel=THREADS)
    bulk.add(products)
    files = [Path(folder, f"{product['supplierId']}.zip") for product in products]
    while not (bulk.is_done() and all(file.exists() for file in files)):
        time.sleep(0.02)
    bulk.shutdown()
    os._exit(0)  # its threads sleep in an endless get()


if __name__ == "__main__":
    main()
