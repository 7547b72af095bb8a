"""Mirrors that were never filled: what they remember is made up here, and what a report tells of it is looked at."""

import base64
import json
import re
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from manifests import read_area
from msgspec.structs import replace

from sedas_sync.archives.registry import BUILT_IN
from sedas_sync.manifest import parse
from sedas_sync.model.history import RunRecord
from sedas_sync.model.local import LocalScene, ProofLevel
from sedas_sync.model.order import Order, OrderState
from sedas_sync.output.report import Memory, document, page

START = datetime(2019, 5, 1, 11, 6, 21, tzinfo=UTC)
RUN = RunRecord(
    command="apply",
    started=START + timedelta(days=30),
    ended=START + timedelta(days=30, hours=2),
    exit_code=3,
    summary={},
)
MANIFEST = """version = 1
[archive]
type = "sandbox"
[aoi.box]
bbox = [-2, 51, 1, 53]
[dataset.optical]
aoi = "box"
start = 2019-05-01
end = 2019-05-31
sensor = "optical"
max_cloud_cover = 50
[dataset.radar]
aoi = "box"
start = 2019-05-01
sensor = "sar"
"""


def box(west, south, wide=1.0, high=1.0):
    """WKT of a box; longitudes beyond 180 are written as catalogues do, from the west."""
    corners = [(west, south), (west + wide, south), (west + wide, south + high), (west, south + high), (west, south)]
    return f"POLYGON (({', '.join(f'{(x + 180) % 360 - 180:.4f} {y:.4f}' for x, y in corners)}))"


@dataclass
class Remembered:
    """What a mirror remembers, put together one scene at a time."""

    local_scenes: list = field(default_factory=list)
    wanted: dict = field(default_factory=dict)
    awaited: dict = field(default_factory=dict)
    orders: list = field(default_factory=list)
    errors: dict = field(default_factory=dict)

    def add(self, scene_id, *datasets, state="held", footprint=None, days=0, cloud=None, size=1000, **facts):
        facts |= {"id": scene_id, "start": (START + timedelta(days=days)).isoformat().replace("+00:00", "Z")}
        facts |= {} if cloud is None else {"cloud_cover": cloud}
        facts |= {} if footprint is None else {"footprint": footprint}
        for name in datasets:
            self.wanted.setdefault(name, []).append(scene_id)
        if state == "held":
            file = {"path": f"{scene_id}.zip", "size": size, "mtime_ns": 1, "sha256": "0" * 64, "level": ProofLevel.CRC}
            self.local_scenes.append(LocalScene(id=scene_id, archive="a", facts=json.dumps(facts), **file))
            return
        self.awaited[scene_id] = json.dumps(facts)
        if state == "pending":
            self.orders.append(Order(order=f"order-of-{scene_id}", id=scene_id, placed=RUN.started, polls=2))
        elif state == "refused":
            placed = {"placed": RUN.started, "state": OrderState.FAILED}
            self.orders.append(Order(order=f"order-of-{scene_id}", id=scene_id, **placed))
        elif state == "failed":
            self.errors[scene_id] = "HTTP 503 after 6 tries"

    def memory(self, **more):
        return Memory(
            local_scenes=self.local_scenes,
            wanted={name: tuple(ids) for name, ids in self.wanted.items()},
            awaited=self.awaited,
            orders=self.orders,
            errors=self.errors,
            **{"last_run": RUN, **more},
        )

    def document(self, manifest=MANIFEST, **more):
        return document(read(manifest), self.memory(**more), name="fields", text=manifest)

    def page(self, manifest=MANIFEST, **more):
        return page(self.document(manifest, **more))


def read(manifest=MANIFEST):
    return parse(manifest, source="fields.toml", read_area=read_area, types=BUILT_IN)


def embedded(written):
    """What the script of a written page reads."""
    text = re.search(r'<script type="text/plain" id="data">([^<]*)</script>', written)[1]
    return json.loads(zlib.decompress(base64.b64decode(text)))


FIELDS = {
    "harwell": (-1.32, 51.57),
    "north-farm": (-1.2, 51.75),
    "long-acre": (-0.95, 51.62),
    "east-anglia": (0.9, 52.4),
    "fen": (0.1, 52.6),
    "wye-valley": (-2.65, 51.9),
    "dartmoor": (-3.9, 50.6),
    "lothian": (-3.0, 55.9),
    "aberdeen": (-2.4, 57.3),
    "faro": (-7.93, 37.1),
    "nakuru": (36.07, -0.3),
    "harwell-west": (-1.35, 51.57),
}
"""Twelve fields, of which some are neighbours and two are far away."""


def fields_manifest():
    areas = "".join(
        f"[aoi.{name}]\nbbox = [{x - 0.01}, {y - 0.01}, {x + 0.01}, {y + 0.01}]\n" for name, (x, y) in FIELDS.items()
    )
    rules = f"aoi = {json.dumps(list(FIELDS))}\nstart = 2019-01-01\n"
    return f'version = 1\n[archive]\ntype = "sandbox"\n{areas}[dataset.optical]\n{rules}[dataset.radar]\n{rules}'


def twelve_fields(each=12, every=10):
    """Acquisitions of each field, in every state. Nakuru has the longest time without one: 50 days from 11 May 2019."""
    remembered = Remembered()
    for row, (name, (x, y)) in enumerate(FIELDS.items()):
        for step in range(each):
            days = step * every
            state = (
                "missing"
                if name == "nakuru" and days in (20, 30, 40, 50)
                else "failed"
                if (row, step) == (3, 4)
                else "pending"
                if step % 4 == 3 and name != "nakuru"
                else "held"
            )
            remembered.add(
                f"S2A_MSIL1C_201905{row:02d}T{step:06d}_N0207_R137_T30UXC_{name.upper()}",
                "radar" if step % 3 == 2 else "optical",
                state=state,
                footprint=box(x - 0.1 - 0.01 * step, y - 0.1, 0.2 + 0.02 * step, 0.2),
                days=days,
                cloud=None if step % 3 == 2 else 8 * step,
            )
    return remembered


def realistic(count):
    """Downloaded scenes whose outlines, ids and checksums are as different as those of an archive."""
    remembered = Remembered()
    for number in range(count):
        x, y = list(FIELDS.values())[number % len(FIELDS)]
        name = f"S2A_MSIL1C_20190511T110621_N0207_R137_T30UXC_20190511T{number:06d}"
        edge = ", ".join(f"{x + 0.6 - 0.1 * step:.5f} {y + 0.4 + (number * step) % 7 / 100:.5f}" for step in range(12))
        shape = (
            f"POLYGON (({x - 0.5} {y - 0.5}, {x + 0.6} {y - 0.5}, {edge}, {x - 0.5} {y + 0.4}, {x - 0.5} {y - 0.5}))"
        )
        days, name_of_dataset = number / 15, "optical" if number % 2 else "radar"
        remembered.add(name, name_of_dataset, footprint=shape, days=days, cloud=number % 101)
        digest = sha256(name.encode()).hexdigest()
        remembered.local_scenes[-1] = replace(remembered.local_scenes[-1], sha256=digest)
    return remembered
