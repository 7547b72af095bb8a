"""The manifest that `sedas-sync init` writes."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from sedas_sync.errors import ManifestError
from sedas_sync.model.product_types import group_of_type
from sedas_sync.model.scene import NOTHING
from sedas_sync.model.text import either

OWN_AREA = "harwell"
"""The area of a manifest that is made without areas."""
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
"""A date of TOML, which needs no quotes."""

_HEAD = """\
# The scenes of this folder. `sedas-sync plan` shows what is missing, `sedas-sync apply` downloads it.
version = 1

[archive]
{archive}
[mirror]
path = {path}            # relative to this file
{unpack}# layout = "{{satellite}}/{{start:%Y/%m}}/{{id}}"

[transfer]
jobs = 4                   # downloads at once

"""

_HARWELL = """\
[aoi.harwell]
# exactly one of: wkt, file, bbox, point (+ radius_km)
bbox = [-1.33, 51.56, -1.30, 51.59]   # west south east north, degrees

"""

_NOTES = {
    "end": "inclusive: up to 23:59:59 UTC",
    "max_cloud_cover": "percent",
    "reprocessed": "of several processings of one acquisition",
}
"""Comments on keys of a dataset."""


class NewDataset(Struct, frozen=True, kw_only=True):
    """One dataset of a new manifest."""

    name: str
    """A valid name in a manifest."""
    values: Mapping[str, Any]
    """Its keys, in their order; one whose value is empty is left out."""
    comment: str = ""
    """One line."""


_EXAMPLE = (
    NewDataset(
        name="optical",
        values={"start": "2019-04-30", "end": "2019-05-12", "sensor": "optical", "max_cloud_cover": 50},
    ),
    NewDataset(
        name="radar",
        values={"start": "2019-04-30", "end": "2019-05-12", "sensor": "sar", "product_type": "GRD"},
    ),
)
"""Over an area and in days for which the sandbox has scenes."""


class Preset(Struct, frozen=True, kw_only=True):
    """An archive that `init --archive` knows."""

    table: str
    """The keys of `[archive]`, with `{collections}` if they depend on the sensors."""
    collections: Mapping[str, str] = NOTHING
    """By sensor, of a STAC API; a sensor that is missing has nothing that can be downloaded."""
    product_types: Mapping[str, str] = NOTHING
    """The product type that is written by default, by sensor."""

    def has_type(self, sensor: str, product_type: str) -> bool:
        """Return whether the archive may have a type. The name of a collection ends with the one that it has."""
        collection = self.collections.get(sensor)
        if collection is None:
            return True
        own = collection.rpartition("-")[2].upper()
        return product_type.upper() in _SAME_TYPES.get(own, (own,))

    @property
    def sensors(self) -> tuple[str, ...]:
        """The sensors whose scenes can be downloaded."""
        return tuple(self.collections or self.product_types)


_SAME_TYPES: Mapping[str, tuple[str, ...]] = {"L2A": ("L2A", "S2MSI2A"), "GRD": ("GRD", "GRDH", "GRDM", "GRDF")}
"""Names of the same product type, or of a part of it."""
_PRODUCTS = MappingProxyType({"optical": "L1C", "sar": "GRD"})
PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "sandbox": Preset(
            table="""\
# An embedded archive for trying things out: no account, no network.
# For the real service write "sedas", and set SEDAS_USERNAME and SEDAS_PASSWORD (or use ~/.netrc).
type = "sandbox"
""",
            product_types=_PRODUCTS,
        ),
        "sedas": Preset(
            table="""\
# User name and password: SEDAS_USERNAME and SEDAS_PASSWORD, ~/.netrc, the keyring, or a prompt.
type = "sedas"
""",
            product_types=_PRODUCTS,
        ),
        "cdse": Preset(
            table="""\
# User name and password: CDSE_USERNAME and CDSE_PASSWORD, ~/.netrc, the keyring, or a prompt. Searching needs neither.
type = "cdse"
""",
            product_types=MappingProxyType({"optical": "L2A", "sar": "GRD"}),
        ),
        "earth-search": Preset(
            table="""\
# Needs no account.
type = "stac"
url = "https://earth-search.aws.element84.com/v1"
collections = [{collections}]
""",
            collections=MappingProxyType({"optical": "sentinel-2-l2a"}),
        ),
        "planetary-computer": Preset(
            table="""\
# Needs no account: links are signed on request.
type = "stac"
url = "https://planetarycomputer.microsoft.com/api/stac/v1"
collections = [{collections}]
auth = "planetary-computer"
""",
            collections=MappingProxyType({"optical": "sentinel-2-l2a", "sar": "sentinel-1-grd"}),
        ),
    }
)


class Area(Struct, frozen=True, kw_only=True):
    """One AOI of a new manifest."""

    name: str
    """A valid name in a manifest."""
    key: str
    """`file`, `wkt` or `bbox`."""
    value: str
    """The text; of a `bbox`, its numbers."""
    comment: str = ""
    """One line."""
    repair: bool = False
    """Whether its outlines have to be repaired."""


def toml_string(text: str) -> str:
    """Return a text as a basic string of TOML. Lone surrogates stay, which TOML does not allow."""
    # JSON escapes as TOML does, except for DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


class Choices(Struct, frozen=True, kw_only=True):
    """What a first manifest has to select. The values were given on a command line, or are None."""

    archive: str = "sandbox"
    """One of `PRESETS`."""
    start: str | None = None
    end: str | None = None
    sensor: str | None = None
    """`optical` or `sar`."""
    product_type: str | None = None

    @property
    def is_example(self) -> bool:
        """Whether nothing is given, so that the datasets are those of the example."""
        return self == Choices()


def manifest_text(choices: Choices, areas: Sequence[Area] = ()) -> str:
    """Return a commented manifest for these areas; without areas, for an example area.

    Raises:
        ManifestError: The archive has nothing of this sensor that can be downloaded.
    """
    preset, sensors = PRESETS[choices.archive], _sensors(choices)
    if missing := [sensor for sensor in sensors if sensor not in preset.sensors]:
        raise ManifestError(
            f"--archive {choices.archive} has no {missing[0]} scenes that can be downloaded; take "
            f"{either([name for name, one in PRESETS.items() if missing[0] in one.sensors])}"
        )
    if choices.product_type and not all(preset.has_type(sensor, choices.product_type) for sensor in sensors):
        raise ManifestError(
            f"--archive {choices.archive} has no scenes of type {choices.product_type} that can be downloaded; take "
            f"{either(_archives_with(choices.product_type, sensors))}"
        )
    collections = [toml_string(preset.collections[sensor]) for sensor in sensors if preset.collections]
    head = _head(preset.table.format(collections=", ".join(collections)))
    aoi = [area.name for area in areas] or [OWN_AREA]
    datasets = _EXAMPLE if choices.is_example else [_chosen(choices, sensor) for sensor in sensors]
    text = "\n".join(_dataset(one, {"aoi": aoi if len(aoi) > 1 else aoi[0], **one.values}) for one in datasets)
    return head + ("".join(map(_table, areas)) or _HARWELL) + text


def _archives_with(product_type: str, sensors: Sequence[str]) -> list[str]:
    return [
        name
        for name, preset in PRESETS.items()
        if all(sensor in preset.sensors and preset.has_type(sensor, product_type) for sensor in sensors)
    ]


def _sensors(choices: Choices) -> tuple[str, ...]:
    """Return the sensors to write a dataset for: the wanted one, that of the product type, or all of the archive."""
    if choices.sensor is not None:
        return (choices.sensor,)
    if choices.product_type is not None:
        return ("sar",) if group_of_type(choices.product_type) == "S1" else ("optical",)
    return PRESETS[choices.archive].sensors


def folder_manifest_text(
    choices: Choices, path: str, areas: Sequence[Area], datasets: Sequence[NewDataset], *, unpack: bool
) -> str:
    """Return a manifest that describes the scenes of a folder, which becomes the mirror.

    Args:
        choices: The archive, and dates that replace those of the scenes.
        path: The folder, relative to the manifest.
        areas: The areas of the datasets.
        datasets: The datasets.
        unpack: Whether the scenes are extracted folders.

    Raises:
        ManifestError: The archive has no products in the form of their zips.
    """
    preset = PRESETS[choices.archive]
    if preset.collections:
        whole = either([name for name, one in PRESETS.items() if not one.collections])
        raise ManifestError(
            f"--archive {choices.archive} has no whole products, as a folder of products has; take {whole}"
        )
    dates = {key: given for key, given in (("start", choices.start), ("end", choices.end)) if given is not None}
    text = "\n".join(_dataset(one, {**one.values, **dates}) for one in datasets)
    return _head(preset.table, path, unpack=unpack) + "".join(map(_table, areas)) + text


def _head(archive: str, path: str = "scenes", *, unpack: bool = False) -> str:
    line = "unpack = true              # scenes are extracted folders\n" if unpack else ""
    return _HEAD.format(archive=archive, path=toml_string(path), unpack=line)


def _chosen(choices: Choices, sensor: str) -> NewDataset:
    sandbox = choices.archive == "sandbox"
    values = {
        "start": choices.start or ("2019-04-30" if sandbox else "-30d"),
        "end": choices.end or ("2019-05-12" if sandbox and choices.start is None else None),
        "sensor": sensor,
        "product_type": choices.product_type or PRESETS[choices.archive].product_types.get(sensor),
        "max_cloud_cover": 50 if sensor == "optical" else None,
        "reprocessed": "newest",
    }
    return NewDataset(name="radar" if sensor == "sar" else sensor, values=values)


def _dataset(dataset: NewDataset, values: Mapping[str, Any]) -> str:
    """Return the table of a dataset with these values."""
    lines = [f"[dataset.{dataset.name}]", *([f"# {dataset.comment}"] if dataset.comment else [])]
    for key, value in values.items():
        note = "30 days before each run" if value == "-30d" else _NOTES.get(key, "")
        if key == "aoi" and isinstance(value, list):
            note = "a scene over any of them matches"
        if value:
            line = f"{key} = {_date(value) if key in ('start', 'end') else _toml(value)}"
            lines.append(f"{line:<26} # {note}" if note else line)
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return toml_string(value) if isinstance(value, str) else str(value)


def _date(text: str) -> str:
    with suppress(ValueError):
        if _DATE.fullmatch(text):
            return date.fromisoformat(text).isoformat()
    return toml_string(text)


def _table(area: Area) -> str:
    comment = f"# {area.comment}\n" if area.comment else ""
    repair = "repair = true\n" if area.repair else ""
    value = f"[{area.value}]" if area.key == "bbox" else toml_string(area.value)
    return f"[aoi.{area.name}]\n{comment}{area.key} = {value}\n{repair}\n"
