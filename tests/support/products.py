"""Products of the sandbox as other programs leave them on a disk: zips and extracted folders."""

import io
import zipfile

from sandbox_client import HARWELL, NOW
from workspaces import Workspace

import sedas_sync as ss
from sedas_sync.sandbox import Sandbox, SentinelCatalogue
from sedas_sync.sandbox.product import made
from sedas_sync.sandbox.search import parse_search


def over_harwell(start, stop, sensor="All"):
    """Return the zips of the scenes that the sandbox's archive has over Harwell on these dates, by id."""
    catalogue = SentinelCatalogue()
    search = parse_search(
        {
            "sensorFilters": {"type": sensor},
            "aoiWKT": HARWELL,
            "start": f"{start}T00:00:00Z",
            "stop": f"{stop}T23:59:59Z",
        }
    )
    return {hit.id: made(catalogue.spec(hit))[0] for hit in catalogue.find(search, NOW)}


def unzip(data, folder, *, without=(), name=None):
    """Unpack a product's zip into a folder; return the product's folder.

    Args:
        data: The zip.
        folder: Where it is unpacked.
        without: Ends of the names of files that are left out.
        name: The name of the product's folder, if it is not the one in the zip.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        top = archive.namelist()[0].partition("/")[0]
        for entry in archive.namelist():
            if not entry.endswith(tuple(without)):
                file = folder / (name or top) / entry.partition("/")[2]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(entry))
    return folder / (name or top)


def fill_from_sandbox(folder, datasets):
    """Make a workspace in a folder, and fill its mirror from a sandbox that ends then."""
    with Sandbox(order_delay=0.2) as sandbox:
        Workspace(folder, sandbox.url).write(datasets)
        credentials = {"username": "sandbox", "password": "sandbox", "url": sandbox.url}
        archives = {"archive": ss.SedasArchive(**credentials)}
        with archives["archive"], ss.Mirror(ss.load_manifest(folder / "manifest.toml"), archives=archives) as mirror:
            assert mirror.apply(mirror.plan()).exit_code == 0
