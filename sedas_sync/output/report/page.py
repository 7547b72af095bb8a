"""The page: the data of a report as one HTML file that loads nothing from elsewhere.

All text from an archive or a person is escaped by the template. The page's content security policy allows only the
script that is inserted here, by its digest.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from sedas_sync._version import __version__
from sedas_sync.model.text import printable, size
from sedas_sync.output.report.packed import packed

COLOURS = 10
"""Number of colours of datasets; further datasets have the same colours with a pattern."""
PATTERNS = 4
_LIBRARIES = ("leaflet", "uplot")
_LICENCES = {
    "leaflet": "Leaflet 1.9.4, the map: BSD 2-Clause",
    "uplot": "uPlot 1.6.32, the timeline: MIT",
    "world-atlas": "world-atlas 2.0.2, coasts and borders of Natural Earth, which are in the public domain: ISC",
    "geonames": "Places of GeoNames: CC BY 4.0",
}
_STATES = {
    "held": "downloaded",
    "pending": "on order",
    "missing": "missing",
    "failed": "failed",
}
_ENDS = {
    0: "finished, all done",
    1: "finished with failures",
    3: "finished, orders pending",
    4: "refused by the archive",
    130: "interrupted",
    143: "interrupted",
}
_IMPORT = re.compile(r'^import (?:(\{[^}]*\}) from )?"\./(\w+)\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:const|function) )(\w+)", re.MULTILINE)


def page(document: Mapping[str, Any]) -> str:
    """Return a document as one self-contained HTML file: the same bytes for the same document."""
    # A page without scenes has no map and no timeline.
    libraries = _LIBRARIES if document["scenes"] else ()
    style = "\n".join(map(_asset, (*(f"{name}.css" for name in libraries), "report.css")))
    entry = "main" if document["scenes"] else "empty"
    script = "\n".join((*(_asset(f"{name}.js") for name in libraries), _bundle(entry)))
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    text: str = _template().render(
        document=document,
        summary=document["summary"],
        states=_STATES,
        absent=_absent(document["summary"]),
        facts=_facts(document),
        span=_span(document["datasets"]),
        oldest=min((order["placed"] for order in document["orders"]), default=None),
        unknown_datasets=[dataset["dataset"] for dataset in document["datasets"] if not dataset["known"]],
        licences=[(title, _asset(f"licenses/{name}.txt")) for name, title in _LICENCES.items()],
        data=packed(document) if document["scenes"] else "",
        policy=policy,
        style=style,
        script=script,
        version=__version__,
    )
    return text


@cache
def _template() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415  # 40 ms that only a report costs

    environment = Environment(
        loader=PackageLoader("sedas_sync.output.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = {"size": size, "printable": _lines, "number": "{:,}".format, "swatch": swatch, "bar": _bar}
    environment.filters.update(filters)
    return environment.get_template("page.html")


def _lines(text: str) -> str:
    """Escape characters that cannot be seen, but not the ends of lines."""
    return "\n".join(map(printable, text.expandtabs(4).splitlines()))


def _asset(name: str) -> str:
    return (files("sedas_sync.output.report") / "assets" / name).read_text("utf-8")


@cache
def _bundle(entry: str) -> str:
    """Return a module and all that it imports as one script: each module is a function that returns its exports."""
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        text = _asset(f"scripts/{name}.js")
        for _, other in _IMPORT.findall(text):
            if other not in parts:
                add(other)
        exports = ", ".join(name for _, name in _EXPORT.findall(text))
        body = _IMPORT.sub(lambda found: f"const {found[1]} = ${found[2]};\n" if found[1] else "", text)
        body = _EXPORT.sub(r"\1\2", body)
        parts[name] = f"const ${name} = await (async () => {{\n{body}return {{ {exports} }};\n}})();\n"

    add(entry)
    return f'(async () => {{\n"use strict";\n{"".join(parts.values())}}})();'


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def swatch(number: int) -> str:
    """Return the classes of the swatch of a dataset; a negative number is no dataset."""
    return f"swatch c{number % COLOURS} p{number // COLOURS % PATTERNS}" if number >= 0 else "swatch none"


def _absent(summary: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Return the states of scenes that are not in the mirror, with their numbers and words."""
    return [(state, summary[state], words) for state, words in _STATES.items() if state != "held" and summary[state]]


def _facts(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    archives, run = document["archives"], document["last_run"]
    facts = [("Archive" if len(archives) == 1 else "Archives", ", ".join(archives)), ("Mirror", document["mirror"])]
    if document["against"] == "lock":
        facts.append(("Counted against", "the lock file"))
    if run is not None:
        code = run["exit_code"]
        end = "under way, or killed" if code is None else _ENDS.get(code, f"ended with exit code {code}")
        moment = document["as_of"]
        facts += [("As of", f"{moment[:10]} {moment[11:16]} UTC"), ("Last run", f"{run['command']}: {end}")]
    return facts


def _span(datasets: Iterable[Mapping[str, Any]]) -> tuple[str, str] | None:
    known = [dataset for dataset in datasets if dataset["first"]]
    if not known:
        return None
    return min(dataset["first"] for dataset in known)[:10], max(dataset["last"] for dataset in known)[:10]


def _bar(number: Mapping[str, int]) -> list[tuple[str, float, float]]:
    """Return the shares of the states as state, start and width in percent."""
    whole = max(1, sum(number[state] for state in _STATES))
    pieces, x = [], 0.0
    for state in _STATES:
        width = 100 * number[state] / whole
        if width:
            pieces.append((state, round(x, 2), round(width, 2)))
        x += width
    return pieces
