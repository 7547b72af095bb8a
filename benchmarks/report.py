"""Turn samples into a table with medians and ratios, a description of the machine, and a picture."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from contenders import Sample
from frame import Comparison, Prepared, Workload

Results = dict[str, Any]
"""The content of `results.json`: `machine`, and `workloads` by name."""


def compare(row: Comparison, samples: Mapping[str, Sequence[Sample]]) -> dict[str, Any]:
    """Return one row of the table as plain data: medians of both sides, and the ratios of the pairs."""
    ours = [row.measure(sample) for sample in samples[row.ours]]
    others = [
        min(row.measure(sample) for sample in turn)
        for turn in zip(*(samples[name] for name in row.others), strict=True)
    ]
    figures = [a / b for a, b in zip(ours, others, strict=True)] if others else ours
    value = median(figures)
    return {
        "against": row.against,
        "ours": median(ours),
        "other": median(others) if others else None,
        "unit": row.unit,
        "is_ratio": bool(others),
        "value": value,
        "least": min(figures),
        "most": max(figures),
        "reach": row.reach,
        "goal": row.goal,
        "note": row.margin,
        "verdict": "goal" if value <= row.goal else "reached" if value <= row.reach else "not reached",
    }


def outcome(
    work: Workload, prepared: Prepared, samples: Mapping[str, Sequence[Sample]], *, when: str, load: float
) -> dict[str, Any]:
    """Return the results of a workload; `load` is the load of the machine just before it started."""
    return {
        "title": work.title,
        "when": when,
        "load": load,
        "holds": work.holds,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "bytes": prepared.bytes,
        "rounds": min(map(len, samples.values())),
        "contenders": {
            name: {
                "seconds": [sample.seconds for sample in turns],
                "cpu": [sample.cpu for sample in turns],
                "peak": [sample.peak for sample in turns],
            }
            for name, turns in samples.items()
        },
        "comparisons": [compare(row, samples) for row in prepared.comparisons],
    }


# -- the machine -----------------------------------------------------------------------------------------------------


def machine(folder: Path) -> dict[str, str]:
    """Return the machine and the versions of the programs."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "file system": f"{_file_system(folder)}, served from and written to",
        "python": platform.python_version(),
        "sedas-sync": _installed("sedas-sync"),
        "inflate": f"isal {_installed('isal')}" if _installed("isal") != "none" else "zlib",
        "sedas_pyapi": _installed("sedas_pyapi"),
        "nginx": _first_line("nginx", "-v").rpartition("/")[2],
        "curl": " ".join(_first_line("curl", "--version").split()[1:4:2]),
        "aria2c": _first_line("aria2c", "--version").rpartition(" ")[2],
        "rclone": _first_line("rclone", "version").rpartition(" ")[2],
        "rsync": _first_line("rsync", "--version").partition("version ")[2].partition(" ")[0],
        "unzip": _first_line("unzip", "-v").partition(" of")[0].removeprefix("UnZip "),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _file_system(folder: Path) -> str:
    """Return the type of the file system of a folder."""
    best, kind = "", "unknown"
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return kind
    for line in mounts:
        _, point, found, *_ = line.split()
        if folder.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "none"
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return (ran.stdout or ran.stderr).partition("\n")[0].strip()


# -- the table ---------------------------------------------------------------------------------------------------------

_HEAD = """\
Written by `make bench`. A ratio is the time of sedas-sync divided by that of the other tool: the median of the rounds'
pairs, with the smallest and the largest. Smaller is better. Bytes come from nginx on loopback, the API from the
sandbox, each in its own process on the same machine. "reach" is the target, and "go for" is the next one."""

_VERDICTS = {"goal": "yes, and the next", "reached": "yes", "not reached": "**no**"}


def markdown(results: Results) -> str:
    """Return the text of `RESULTS.md`."""
    done = {name: entry for name, entry in results["workloads"].items() if "comparisons" in entry}
    left = {name: entry for name, entry in results["workloads"].items() if "skipped" in entry}
    failed = {name: entry for name, entry in results["workloads"].items() if "failed" in entry}
    parts = [
        "# Results",
        _HEAD,
        "![ratios](ratios.svg)",
        _table(
            (
                "workload",
                "scenes hold; proof",
                "cores",
                "against",
                "ours",
                "other",
                "ratio",
                "reach",
                "go for",
                "reached",
            ),
            [
                (*_described(entry, first=not number), _against(row), *_figures(row), _VERDICTS[row["verdict"]])
                for entry in done.values()
                for number, row in enumerate(entry["comparisons"])
            ],
        ),
        "## Each contender",
        "Medians. CPU is the user and system time of the started process. The servers share the processors.",
        _table(
            ("workload", "who", "seconds", "CPU", "MB/s", "peak", "rounds", "load before"),
            [
                (entry["title"] if not number else "", name, *_alone(entry, found))
                for entry in done.values()
                for number, (name, found) in enumerate(entry["contenders"].items())
            ],
        ),
    ]
    if failed:
        parts += ["## Failed", "\n".join(f"- {entry['title']}: {entry['failed']}" for entry in failed.values())]
    if left:
        parts += ["## Left out", "\n".join(f"- {entry['title']}: {entry['skipped']}" for entry in left.values())]
    parts += ["## Machine", "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())]
    return "\n\n".join(parts) + "\n"


def _described(entry: Mapping[str, Any], *, first: bool) -> tuple[str, ...]:
    if not first:
        return "", "", ""
    return entry["title"], entry.get("holds", ""), str(entry.get("cores", ""))


def _against(row: Mapping[str, Any]) -> str:
    return f"{row['against']} ({row['note']})" if row["note"] else str(row["against"])


def _figures(row: Mapping[str, Any]) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return "" if value is None else f"{_rounded(value)} {row['unit']}"

    spread = f"{_rounded(row['least'])} … {_rounded(row['most'])}"
    if row["is_ratio"]:
        marks = [_rounded(row[name]) for name in ("reach", "goal")]
        ratio = f"{_rounded(row['value'])} ({spread})"
    else:
        marks = [shown(row[name]) for name in ("reach", "goal")]
        ratio = f"({spread})"
    return shown(row["ours"]), shown(row["other"]), ratio, *marks


def _alone(entry: Mapping[str, Any], found: Mapping[str, list[Any]]) -> tuple[str, ...]:
    seconds = median(found["seconds"])
    peaks = [peak for peak in found["peak"] if peak is not None]
    return (
        _rounded(seconds),
        _rounded(median(found["cpu"])),
        f"{entry['bytes'] / seconds / 1e6:.0f}" if entry["bytes"] else "",
        f"{median(peaks) / 1e6:.0f} MB" if peaks else "",
        str(len(found["seconds"])),
        f"{entry['load']:.1f}",
    )


def _rounded(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# -- files -------------------------------------------------------------------------------------------------------------


def load(folder: Path) -> Results:
    """Return earlier results, or empty ones."""
    try:
        found: Results = json.loads((folder / "results.json").read_text())
    except FileNotFoundError:
        return {"machine": {}, "workloads": {}}
    return found


def save(results: Results, folder: Path) -> None:
    """Write `results.json`, `RESULTS.md` and, with matplotlib, `ratios.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "RESULTS.md").write_text(markdown(results))
    try:
        draw(results, folder / "ratios.svg")
    except ImportError:
        print("no picture: matplotlib is not installed (dependency group `bench`)", file=sys.stderr)


def draw(results: Results, path: Path) -> None:
    """Draw the ratio of every row, in units of its target."""
    import matplotlib as mpl  # noqa: PLC0415  # only this function needs it, and it may be missing

    mpl.use("svg")
    mpl.rcParams.update(
        {"svg.hashsalt": "sedas-sync", "svg.fonttype": "none", "font.size": 9, "font.family": "sans-serif"}
    )
    import matplotlib.pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    rows = [
        (
            f"{entry['title']}\nagainst {row['against']}" if row["is_ratio"] else f"{entry['title']}\n{row['against']}",
            row,
        )
        for entry in results["workloads"].values()
        for row in entry.get("comparisons", ())
    ]
    if not rows:
        return
    rows.reverse()
    colours = {"goal": "#1a7f5a", "reached": "#4c78a8", "not reached": "#c44e52"}
    figure, axes = plt.subplots(figsize=(9.5, 0.8 + 0.46 * len(rows)), layout="constrained")
    for place, (_, row) in enumerate(rows):
        mark, colour = row["reach"], colours[row["verdict"]]
        axes.plot([row["least"] / mark, row["most"] / mark], [place, place], color=colour, linewidth=3, alpha=0.4)
        axes.plot(row["value"] / mark, place, "o", color=colour, markersize=6)
        axes.plot(row["goal"] / mark, place, "|", color="#333333", markersize=13, markeredgewidth=1.5)
        text = _rounded(row["value"]) + ("" if row["is_ratio"] else f" {row['unit']}")
        axes.annotate(text, (row["value"] / mark, place), (0, 6), textcoords="offset points", ha="center", fontsize=7)
    axes.axvline(1, color="#333333", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=7)
    axes.set_ylim(-0.7, len(rows) - 0.2)
    axes.set_xlabel("measured value divided by the target (line); the mark is the next target; left is better")
    axes.grid(axis="x", which="major", color="#dddddd")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
