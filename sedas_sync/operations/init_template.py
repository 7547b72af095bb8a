"""The manifest that `sedas-sync init` writes."""

from collections.abc import Sequence
from dataclasses import dataclass

OWN_AREA = "harwell"
"""The area of a manifest that is made without areas."""

_HEAD = """\
# The scenes of this folder. `sedas-sync plan` shows what is missing, `sedas-sync apply` downloads it.
version = 1

[archive]
# "sandbox" is an embedded archive for trying things out: no account, no network.
# For the real service write "sedas", and set SEDAS_USERNAME and SEDAS_PASSWORD (or use ~/.netrc).
type = "sandbox"

[mirror]
path = "scenes"            # relative to this file
# layout = "{satellite}/{start:%Y/%m}/{id}"

[transfer]
jobs = 4                   # downloads at once

"""

_HARWELL = """\
[aoi.harwell]
# exactly one of: wkt, file, bbox, point (+ radius_km)
bbox = [-1.33, 51.56, -1.30, 51.59]   # west south east north, degrees

"""

_DATASETS = """\
[dataset.optical]
aoi = {aoi}
start = 2019-04-30
end = 2019-05-12           # inclusive: up to 23:59:59 UTC
sensor = "optical"
max_cloud_cover = 50       # percent

[dataset.radar]
aoi = {aoi}
start = 2019-04-30
end = 2019-05-12
sensor = "sar"
product_type = "GRD"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One AOI of a new manifest."""

    name: str
    """A valid name in a manifest."""
    key: str
    """`file` or `wkt`."""
    value: str
    comment: str = ""
    """One line."""
    repair: bool = False
    """Whether its outlines have to be repaired."""


def toml_string(text: str) -> str:
    """Return a text as a basic string of TOML. Lone surrogates stay, which TOML does not allow."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(_escaped(c) for c in escaped) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04X}" if code < ord(" ") or code == 0x7F else character  # noqa: PLR2004  # DEL


def manifest_text(areas: Sequence[Area] = ()) -> str:
    """Return a commented manifest for these areas; without areas, for an example area."""
    if not areas:
        return _HEAD + _HARWELL + _DATASETS.format(aoi=toml_string(OWN_AREA))
    names = [toml_string(area.name) for area in areas]
    aoi = names[0] if len(names) == 1 else f"[{', '.join(names)}]   # a scene over any of them matches"
    return _HEAD + "".join(map(_table, areas)) + _DATASETS.format(aoi=aoi)


def _table(area: Area) -> str:
    comment = f"# {area.comment}\n" if area.comment else ""
    repair = "repair = true\n" if area.repair else ""
    return f"[aoi.{area.name}]\n{comment}{area.key} = {toml_string(area.value)}\n{repair}\n"
