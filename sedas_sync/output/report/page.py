"""The page: the data of a report as one HTML file that loads nothing from elsewhere.

All text from an archive or a person is escaped where it is inserted. The page's content security policy allows only the
scripts that are inserted here, by their digests.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from sedas_sync._version import __version__
from sedas_sync.model.text import duration, size
from sedas_sync.operations.countries import world_text
from sedas_sync.output.report.shapes import TURN, extent

COLOURS = 10
"""Number of colours of datasets; further datasets start again with the first."""
_PLACES = 1500
_SCRIPTS = ("leaflet.js", "uplot.js", "topojson-client.js", "report.js")
_STYLES = ("leaflet.css", "uplot.css", "report.css")
_LICENCES = {
    "leaflet": "Leaflet 1.9.4, the map: BSD 2-Clause",
    "uplot": "uPlot 1.6.32, the timeline: MIT",
    "topojson-client": "topojson-client 3.1.0: ISC",
    "world-atlas": "world-atlas 2.0.2, coasts and borders of Natural Earth, which are in the public domain: ISC",
    "geonames": "Places of GeoNames: CC BY 4.0",
}
_STATES = {
    "held": "held",
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

_UNKNOWN = "\N{EN DASH}"
_KEY = '<span><svg class="key {kind}" aria-hidden="true" focusable="false">{shape}</svg>{words}</span>'
_SHAPE = '<rect x="1" y="1" width="18" height="10"/>'

Cell = tuple[str, str]
"""Markup, and the class of its cell."""


def page(document: Mapping[str, Any]) -> str:
    """Return a document as one self-contained HTML file: the same bytes for the same document."""
    style, script = _joined(_STYLES), _joined(_SCRIPTS)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    summary = document["summary"]
    return Template(_asset("page.html")).substitute(
        policy=escape(policy),
        version=escape(__version__),
        name=escape(document["name"]),
        verdict=_verdict(document),
        facts=_facts(document),
        notice=_notice(document),
        cards=_cards(document),
        dataset_chips=_dataset_chips(document),
        state_chips="".join(
            _chip("state", state, f'<i class="mark {state}"></i>{words}', summary[state])
            for state, words in _STATES.items()
        ),
        map_legend=_map_legend(),
        datasets=_datasets(document),
        orders=_orders(document["orders"]),
        failures=_failures(document["failures"]),
        manifest=_manifest(document["manifest"]),
        licences=_licences(),
        data=_json({**document, "manifest": None, "places": _places(document)}),
        world=world_text().strip(),
        style=style,
        script=script,
    )


def _asset(name: str) -> str:
    return (files("sedas_sync.output.report") / "assets" / name).read_text("utf-8")


def _joined(names: Iterable[str]) -> str:
    return "\n".join(_asset(name) for name in names)


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that is safe inside a script element: ASCII, with HTML characters escaped."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _places(document: Mapping[str, Any]) -> dict[str, Any]:
    """Names to find one's way by: countries, and the largest cities around what is drawn."""
    drawn = [item["outline"] for item in (*document["aois"], *document["scenes"]) if "outline" in item]
    box = extent(polygon for outline in drawn for polygon in outline)
    countries = [[name, _on(x, document["west"]), y] for name, x, y, _ in json.loads(_asset("countries.json"))]
    if box is None:
        return {"countries": countries, "cities": []}
    west, south, east, north = box
    wide, high = max(2.0, (east - west) / 2), max(2.0, (north - south) / 2)
    near = []
    for name, x, y, _ in json.loads(_asset("cities.json")):
        there = _on(x, document["west"])
        if west - wide <= there <= east + wide and south - high <= y <= north + high:
            near.append([name, there, y])
            if len(near) == _PLACES:
                break
    return {"countries": countries, "cities": near}


def _on(longitude: float, west: float) -> float:
    return round(longitude + TURN if longitude < west else longitude, 2)


# ---------------------------------------------------------------------------------------------------------- head


def _verdict(document: Mapping[str, Any]) -> str:
    number = document["summary"]
    if not any(dataset["known"] for dataset in document["datasets"]):
        return "Nothing has been applied yet."
    absent = number["wanted"] - number["held"]
    if not absent:
        return f"All {number['wanted']:,} scenes that match the manifest are in the mirror."
    parts = [f"{number[state]:,} {words}" for state, words in _STATES.items() if state != "held" and number[state]]
    return f"{absent:,} of {number['wanted']:,} scenes are not here yet: {_and(parts)}."


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _facts(document: Mapping[str, Any]) -> str:
    archives = ", ".join(archive["type"] for archive in document["archives"])
    run = document["last_run"]
    facts = [("Archive" if len(document["archives"]) == 1 else "Archives", escape(archives))]
    facts.append(("Mirror", f"<code>{escape(document['mirror'])}</code>"))
    if document["against"] == "lock":
        facts.append(("Counted against", "the lock"))
    if run is not None:
        code = run["exit_code"]
        end = "under way, or killed" if code is None else _ENDS.get(code, f"ended with exit code {code}")
        facts += [("As of", _time(document["as_of"])), ("Last run", f"{escape(run['command'])}: {end}")]
    return "".join(f"<div><dt>{term}</dt><dd>{text}</dd></div>" for term, text in facts)


def _notice(document: Mapping[str, Any]) -> str:
    names = [dataset["dataset"] for dataset in document["datasets"] if not dataset["known"]]
    if not names:
        return ""
    if len(names) == len(document["datasets"]):
        text = "This manifest has not been applied yet. Run <code>sedas-sync apply</code>."
    else:
        listed = _and([f"<b>{escape(name)}</b>" for name in names])
        text = f"Not applied yet: {listed}. Run <code>sedas-sync apply</code>."
    return f'<p class="notice">{text}</p>'


def _cards(document: Mapping[str, Any]) -> str:
    number = document["summary"]
    share = f"{100 * number['held'] // number['wanted']} %" if number["wanted"] else "none match"
    ages = [order["age_seconds"] for order in document["orders"] if order["age_seconds"] is not None]
    first, last = _span(document["datasets"])
    extra = [
        f"{number[key]:,} {words}"
        for key, words in (("unwanted", "no longer wanted"), ("changed", "changed since"), ("unknown", "unknown files"))
        if number[key]
    ]
    cards = [
        ("Scenes in the mirror", f"{number['held']:,}<small> of {number['wanted']:,}</small>", share, _bar(number)),
        ("On disk", escape(size(number["bytes"])), ", ".join(extra) or "all as it was fetched", ""),
        ("On order", f"{number['pending']:,}", f"oldest {duration(max(ages))}" if ages else "no orders open", ""),
        ("Missing", f"{number['missing']:,}", _some(number["missing"], "for the next apply"), ""),
        ("Failed", f"{number['failed']:,}", _some(number["failed"], "see failures below"), ""),
        (
            "Acquired",
            f'<span class="long">{first or _UNKNOWN}</span>',
            f"to {last}" if last else "",
            "",
        ),
    ]
    return "".join(
        f'<div class="card{_alarm(label, number)}"><h2>{label}</h2><p class="figure">{figure}</p>{bar}'
        f'<p class="note">{note}</p></div>'
        for label, figure, note, bar in cards
    )


def _some(number: int, text: str) -> str:
    return text if number else "nothing"


def _alarm(label: str, number: Mapping[str, int]) -> str:
    if label == "Failed" and number["failed"]:
        return " alarm"
    return " waiting" if label == "On order" and number["pending"] else ""


def _span(datasets: Iterable[Mapping[str, Any]]) -> tuple[str | None, str | None]:
    known = [dataset for dataset in datasets if dataset["first"]]
    first = min((dataset["first"] for dataset in known), default=None)
    last = max((dataset["last"] for dataset in known), default=None)
    return first and first[:10], last and last[:10]


def _bar(number: Mapping[str, int]) -> str:
    """Return a bar with the shares of the states; the numbers are printed beside it."""
    whole = max(1, sum(number[state] for state in _STATES))
    pieces, x = [], 0.0
    for state in _STATES:
        width = 100 * number[state] / whole
        if width:
            pieces.append(f'<rect class="{state}" x="{x:.2f}%" width="{width:.2f}%" height="100%"/>')
        x += width
    return f'<svg class="bar" aria-hidden="true" focusable="false">{"".join(pieces)}</svg>'


# ------------------------------------------------------------------------------------------------------ legend


def _chip(kind: str, value: object, label: str, count: int) -> str:
    return (
        f'<button type="button" class="chip" aria-pressed="true" data-{kind}="{value}">{label}'
        f'<span class="n">{count:,}</span></button>'
    )


def _swatch(number: int) -> str:
    return f'<i class="swatch c{number % COLOURS}"></i>' if number >= 0 else '<i class="swatch none"></i>'


def _dataset_chips(document: Mapping[str, Any]) -> str:
    chips = []
    for number, dataset in enumerate(document["datasets"]):
        count = sum(number in scene["datasets"] for scene in document["scenes"])
        chips.append(_chip("dataset", number, _swatch(number) + escape(dataset["dataset"]), count))
    if document["summary"]["unwanted"]:
        chips.append(_chip("dataset", -1, f"{_swatch(-1)}no longer wanted", document["summary"]["unwanted"]))
    return "".join(chips)


def _map_legend() -> str:
    return "".join(
        _KEY.format(kind=kind, shape=_SHAPE, words=words) for kind, words in (*_STATES.items(), ("aoi", "AOI"))
    )


# -------------------------------------------------------------------------------------------------------- tables


def _table(caption: str, head: Sequence[Cell], rows: Iterable[Sequence[Cell]]) -> str:
    titles = "".join(f'<th scope="col"{_class(kind)}>{text}</th>' for text, kind in head)
    body = []
    for first, *rest in rows:
        cells = "".join(
            f'<td{_class(kind)} data-label="{title}">{text}</td>'
            for (text, kind), (title, _) in zip(rest, head[1:], strict=True)
        )
        body.append(f'<tr><th scope="row"{_class(first[1])}>{first[0]}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table>'
        f'<caption class="hidden">{caption}</caption>'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _datasets(document: Mapping[str, Any]) -> str:
    head = [
        ("Dataset", ""),
        ("Held", "wide"),
        *((title, "number") for title in ("On order", "Missing", "Failed", "Size")),
    ]
    head += [("Acquired", ""), ("Rules", "")]
    rows = []
    for number, dataset in enumerate(document["datasets"]):
        name = f"{_swatch(number)}{escape(dataset['dataset'])}"
        rules = " ".join(
            f"<span class='rule'>{escape(key)} <b>{escape(value)}</b></span>" for key, value in dataset["rules"]
        )
        counts = [
            (f"{dataset[key]:,}", f"number {key if dataset[key] else 'zero'}")
            for key in ("pending", "missing", "failed")
        ]
        held = f"{_bar(dataset)}{dataset['held']:,} of {dataset['wanted']:,}" if dataset["known"] else "not applied yet"
        first, last = _span([dataset])
        span = f"{first} to {last}" if first else _UNKNOWN
        rows.append(
            [
                (name, ""),
                (held, "wide"),
                *counts,
                (escape(size(dataset["bytes"])), "number"),
                (span, ""),
                (rules, "rules"),
            ]
        )
    return _table("Datasets", head, rows)


def _orders(orders: Sequence[Mapping[str, Any]]) -> str:
    if not orders:
        return '<p class="none">No orders are open.</p>'
    head = [("Scene", ""), ("State", ""), ("Placed (UTC)", ""), ("Age", "number"), ("Asked", "number"), ("Order", "")]
    rows = [
        [
            (_scene(order["id"]), ""),
            (escape(order["detail"] or order["state"]), ""),
            (_time(order["placed"]), "when"),
            ("" if order["age_seconds"] is None else duration(order["age_seconds"]), "number"),
            (f"{order['polls']:,}", "number"),
            (f"<code>{escape(order['order'])}</code>", "id"),
        ]
        for order in orders
    ]
    return _table("Orders", head, rows)


def _failures(failures: Sequence[Mapping[str, str]]) -> str:
    if not failures:
        return '<p class="none">Nothing has failed.</p>'
    rows = [[(_scene(failure["id"]), ""), (escape(failure["error"]), "error")] for failure in failures]
    return _table("Failures", [("Scene", ""), ("Last error", "")], rows)


def _scene(scene_id: str) -> str:
    return f'<code class="go" data-scene="{escape(scene_id)}">{escape(scene_id)}</code>'


def _time(text: str) -> str:
    return f'<time datetime="{escape(text)}">{escape(text[:10])} {escape(text[11:16])}</time>'


def _manifest(text: str | None) -> str:
    if text is None:
        return ""
    return (
        '<section class="panel" aria-labelledby="manifest-title"><h2 id="manifest-title">Manifest</h2>'
        f'<pre tabindex="0" role="region" aria-labelledby="manifest-title"><code>{escape(text)}</code></pre></section>'
    )


def _licences() -> str:
    return "".join(
        f"<details><summary>{escape(title)}</summary><pre>{escape(_asset(f'licenses/{name}.txt'))}</pre></details>"
        for name, title in _LICENCES.items()
    )
