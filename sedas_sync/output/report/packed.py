"""What the script of the page reads: the parts of a document that it shows, compressed.

Scenes are written by columns, each outline once, and positions as steps from the one before, because that is small.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sedas_sync.output.report.document import State
from sedas_sync.output.report.shapes import AOI_DECIMALS, DECIMALS, Rings, box_of
from sedas_sync.output.report.surroundings import LAND_STEPS, land, place_names

_STATES = [state.value for state in State]


def packed(document: Mapping[str, Any]) -> str:
    """Return the content of the page's data element: JSON, compressed by zlib, as base64."""
    text = json.dumps(_content(document), separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("ascii"), 9)).decode("ascii")


def _content(document: Mapping[str, Any]) -> dict[str, Any]:
    scenes, aois = document["scenes"], document["aois"]
    outlines: dict[str, int] = {}
    rows = [_row(scene, outlines) for scene in scenes]
    number = {scene["id"]: index for index, scene in enumerate(scenes)}
    boxes = [box_of(item["outline"]) for item in (*aois, *scenes) if item.get("outline")]
    return {
        "west": document["west"],
        "states": _STATES,
        "scales": {"scene": 10**DECIMALS, "aoi": 10**AOI_DECIMALS, "land": LAND_STEPS},
        "datasets": [dataset["dataset"] for dataset in document["datasets"]],
        "aois": [{"name": aoi["name"], "outline": _steps(aoi["outline"], 10**AOI_DECIMALS)} for aoi in aois],
        "outlines": [json.loads(outline) for outline in outlines],
        "scenes": _columns(rows),
        # A scene that the page does not list is named by its id.
        "orders": _columns([_of_scene(order, number, ("state",)) for order in document["orders"]]),
        "failures": _columns([_of_scene(failure, number, ()) for failure in document["failures"]]),
        "land": land(boxes),
        "places": place_names(boxes, document["west"]),
    }


def _row(scene: Mapping[str, Any], outlines: dict[str, int]) -> dict[str, Any]:
    row = {**scene, "state": _STATES.index(scene["state"])}
    if "path" in scene:
        row["path"] = scene["path"].replace(scene["id"], "*")
    if "outline" in scene:
        text = json.dumps(_steps(scene["outline"], 10**DECIMALS))
        row["outline"] = outlines.setdefault(text, len(outlines))
    return row


def _of_scene(item: Mapping[str, Any], number: Mapping[str, int], unread: Sequence[str]) -> dict[str, Any]:
    found = {key: value for key, value in item.items() if value is not None and key not in ("id", *unread)}
    if "detail" in item and not item["detail"]:
        found["detail"] = item["state"]
    return {"scene": number.get(item["id"], item["id"]), **found}


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _steps(outline: Iterable[Rings], scale: int) -> list[list[list[int]]]:
    """Return an outline in whole steps: each position as the difference from the one before."""
    return [[_ring_steps(ring, scale) for ring in rings] for rings in outline]


def _ring_steps(ring: Sequence[float], scale: int) -> list[int]:
    grid = [round(value * scale) for value in ring]
    return grid[:2] + [value - before for before, value in zip(grid, grid[2:], strict=False)]
