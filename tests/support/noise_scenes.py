"""Scenes of random bytes that a sandbox offers, so that sizes are known and nothing compresses."""

import random
import zipfile

from sedas_sync.sandbox import RowCatalogue, make_row

MAY = '[dataset.named]\naoi = "harwell"\nstart = 2019-05-01\nend = 2019-05-31\n'


def noise(folder, name, size):
    """A zip with so many bytes of noise, stored."""
    target = folder / f"{name}.noise"
    with zipfile.ZipFile(target, "w") as file:
        file.writestr(f"{name}.bin", random.Random(name).randbytes(size))
    return target


def offer(sandbox, folder, online, archived, size):
    """Offer scenes of so many bytes; returns what the files have to be."""
    names = [*(f"ON{n:03}" for n in range(online)), *(f"LTA{n:03}" for n in range(archived))]
    files = {name: noise(folder, name, size) for name in names}
    rows = [
        make_row(name, f"2019-05-{day % 28 + 1:02}T11:00:{day % 60:02}Z", online=name.startswith("ON"))
        for day, name in enumerate(names)
    ]
    sandbox._catalogue = RowCatalogue(rows, files=files)
    return {f"{name}.zip": file.read_bytes() for name, file in files.items()}
