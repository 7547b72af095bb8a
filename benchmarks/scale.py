"""Measure how time and memory grow with the number of scenes, next to rsync and rclone with nothing to do.

    python benchmarks/scale.py [--sizes 1000,10000,100000] [--million] [--rounds N] [--dir DIR] [--out DIR]

Writes `SCALE.md`, `scale.json` and `scale.svg`. A mirror consists of small files that `adopt` takes in, so the work per
scene is measured, not its bytes. A straight line in the picture grows by a power of the number of scenes, and the table
has its slope: 1 is proportional growth, and n log n between 10,000 and 100,000 is 1.1.

Both times are those of the process and its children, without the server of the archive. Elapsed time depends on what
else the machine does. Processor time depends on it much less, so the picture shows processor time.
"""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from contenders import HARWELL, PYTHON, SEDAS_SYNC, Sample, WrongError, empty, run
from scenes import FIRST, SPACING, scene_id, write_zip
from servers import archive, nginx

HERE = Path(__file__).parent
SIZES = (1000, 10_000, 100_000)
MILLION = 1_000_000
CAP = 5000
"""Maximum rows of an answer of the archive."""
BYTES = 1000
"""Size of a scene."""
SLACK = 1.15
"""Slope up to which a step counts as no worse than n log n, including its constant part and noise."""

Results = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """A step that is measured."""

    name: str
    run: Callable[["Site"], Sample]
    most: int = SIZES[-1]
    """Maximum number of scenes; beyond it, the preparation or the server takes too long."""
    needs: str | None = None
    """A command of sedas-sync or a program that may be missing."""


@dataclass(frozen=True)
class Site:
    """A mirror and the archive that has its scenes."""

    count: int
    folder: Path

    def ours(self, *arguments: str) -> Sample:
        """Run the command line in the manifest's folder."""
        return run([SEDAS_SYNC, *arguments], cwd=self.folder, peak=True)

    def printed(self) -> dict[str, Any]:
        """Return the JSON that the last command printed, or its last line."""
        text = (self.folder / "output").read_text()
        try:
            found: dict[str, Any] = json.loads(text)
        except ValueError:
            found = json.loads(text.splitlines()[-1])
        return found

    def expect(self, found: object, what: str) -> None:
        """Check that a step handled all scenes.

        Raises:
            WrongError: It did not.
        """
        if found != self.count:
            raise WrongError(f"{what}: {found}, not {self.count}")


def _planned(site: Site) -> Sample:
    aside = site.folder / "manifest.toml"
    other = site.folder / "fresh.toml"
    other.write_text(aside.read_text().replace('path = "scenes"', 'path = "fresh"'))
    sample = site.ours("plan", "--json", str(other))
    site.expect(site.printed()["summary"]["fetch"], "scenes to fetch")
    return sample


def _fetched(site: Site) -> Sample:
    other = site.folder / "fetched.toml"
    shutil.rmtree(site.folder / "fetched", ignore_errors=True)
    manifest = (site.folder / "manifest.toml").read_text()
    other.write_text(manifest.replace('path = "scenes"', 'path = "fetched"\n[transfer]\njobs = 8'))
    sample = site.ours("apply", "--json", str(other))
    site.expect(site.printed()["fetched"], "scenes fetched")
    shutil.rmtree(site.folder / "fetched")
    return sample


def _adopted(site: Site) -> Sample:
    shutil.rmtree(site.folder / "scenes" / ".sedas-sync", ignore_errors=True)
    sample = site.ours("adopt", "--json")
    site.expect(site.printed()["summary"]["adopted"], "files adopted")
    return sample


def _locked(site: Site) -> Sample:
    (site.folder / "manifest.lock").unlink(missing_ok=True)
    return site.ours("lock")


def _kept(*options: str) -> Callable[[Site], Sample]:
    def step(site: Site) -> Sample:
        sample = site.ours("apply", "--json", *options)
        site.expect(site.printed()["kept"], "scenes kept")
        return sample

    return step


def _verified(site: Site) -> Sample:
    sample = site.ours("verify", "--json")
    site.expect(site.printed()["summary"]["ok"], "files verified")
    return sample


_INDEX = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from sedas_sync.state.index import Index, WritableIndex
from sedas_sync.model.local import LocalScene, ProofLevel
root, count, mode = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
root.joinpath(".sedas-sync").mkdir(parents=True, exist_ok=True)
def held(number):
    return LocalScene(id=f"S2A_MSIL1C_{number:08}", path=f"S2A_MSIL1C_{number:08}.zip", size=1000,
                      mtime_ns=number, sha256=f"{number:064x}",
                      level=ProofLevel.CRC, archive="sedas", facts='{"sensor":"optical"}' + 500 * " ")
with WritableIndex(root) if mode == "write" else Index(root) as index:
    if mode == "write":
        with index.together():
            for start in range(0, count, 50):
                index.put_files([held(number) for number in range(start, min(start + 50, count))], datetime.now(UTC))
    else:
        assert sum(1 for _ in index.local_scenes()) == count
"""


def _index(mode: str) -> Callable[[Site], Sample]:
    def done(site: Site) -> Sample:
        root = site.folder / "index"
        if mode == "write":
            empty(root)
        return run([PYTHON, "-c", _INDEX, root, str(site.count), mode], cwd=site.folder, peak=True)

    return done


def _rsync(site: Site) -> Sample:
    return run(["rsync", "-a", "--exclude=.*", "scenes/", "copy"], cwd=site.folder, peak=True)


def _rclone(site: Site) -> Sample:
    return run(["rclone", "sync", "--quiet", "--exclude", ".*/**", "scenes", "copy"], cwd=site.folder, peak=True)


STEPS = (
    Step("index, written in batches of 50", _index("write"), MILLION),
    Step("index, read", _index("read"), MILLION),
    Step("plan, searching, empty mirror", _planned, MILLION),
    Step("apply, fetching files of 1 KB", _fetched),
    Step("adopt: search, read files, write index", _adopted),
    Step("lock", _locked),
    Step("apply, nothing to do, searching", _kept()),
    Step("apply --locked, nothing to do", _kept("--locked")),
    Step("status", lambda site: site.ours("status", "--json")),
    Step("verify, files of 1 KB", _verified),
    Step("report", lambda site: site.ours("report"), needs="report"),
    Step("export geojson", lambda site: site.ours("export", "--format", "geojson"), needs="export"),
    Step("export csv", lambda site: site.ours("export", "--format", "csv"), needs="export"),
    Step("export stac", lambda site: site.ours("export", "--format", "stac"), needs="export"),
    Step("rsync -a, nothing to do", _rsync, needs="rsync"),
    Step("rclone sync, nothing to do", _rclone, needs="rclone"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Measure how steps grow with the number of scenes.")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of scenes, separated by commas")
    parser.add_argument("--million", action="store_true", help="also a million scenes, for some steps")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each step; the median counts")
    parser.add_argument("--dir", type=Path, help="folder for the mirrors")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the results")
    options = parser.parse_args(arguments)
    sizes = sorted({int(size) for size in options.sizes.split(",")} | ({MILLION} if options.million else set()))
    measure(sizes, rounds=options.rounds, place=options.dir, out=options.out)
    return 0


def measure(sizes: Sequence[int], *, rounds: int, place: Path | None, out: Path | None) -> Results:
    """Measure every step at every size, smallest first, and save the results after each size."""
    steps = [step for step in STEPS if step.needs is None or _exists(step.needs)]
    results: Results = {"machine": _machine(), "rounds": rounds, "steps": {step.name: {} for step in steps}}
    for count in sizes:
        with (
            tempfile.TemporaryDirectory(prefix="sedas-scale-", dir=place) as folder,
            _site(Path(folder), count) as site,
        ):
            for step in steps:
                if count > step.most:
                    continue
                samples = []
                for turn in range(rounds if count < MILLION else 1):
                    samples.append(step.run(site))
                    print(f"{count:>9,} {step.name}: {turn + 1}: {samples[-1].cpu:.2f} s", flush=True)
                results["steps"][step.name][str(count)] = {
                    "seconds": median(sample.seconds for sample in samples),
                    "cpu": median(sample.cpu for sample in samples),
                    "peak": median(sample.peak or 0 for sample in samples),
                    "load": os.getloadavg()[0],
                }
        if out is not None:
            save(results, out)
    print(markdown(results))
    return results


def _exists(name: str) -> bool:
    if shutil.which(name) is not None:
        return True
    try:
        run([SEDAS_SYNC, name, "--help"], cwd=Path(tempfile.gettempdir()))
    except WrongError:
        return False
    return True


@contextmanager
def _site(folder: Path, count: int) -> Iterator[Site]:
    """Create a folder with a manifest, files and a copy of them, and run the archive."""
    with (
        nginx(folder / "nginx", limit_rate=0, delay=0) as served,
        archive(bytes_url=f"{served.url}/same/{{id}}.zip", online=count, cap=CAP) as url,
    ):
        write_zip(served.root / "same.zip", 0, BYTES)
        end = FIRST + count * SPACING + timedelta(days=1)
        (folder / "manifest.toml").write_text(
            f'version = 1\n[archive]\ntype = "sedas"\nurl = "{url}"\n[mirror]\npath = "scenes"\n'
            f'[aoi.harwell]\nwkt = "{HARWELL}"\n'
            f'[dataset.all]\naoi = "harwell"\nstart = {FIRST:%Y-%m-%d}\nend = {end:%Y-%m-%d}\nsensor = "optical"\n'
        )
        if count < MILLION:
            _fill(folder / "scenes", count)
            shutil.copytree(folder / "scenes", folder / "copy")
        yield Site(count, folder)


def _fill(scenes: Path, count: int) -> None:
    scenes.mkdir()
    first = scenes / f"{scene_id(0)}.zip"
    write_zip(first, 0, BYTES)
    data = first.read_bytes()
    for number in range(1, count):
        (scenes / f"{scene_id(number)}.zip").write_bytes(data)


def _machine() -> dict[str, str]:
    import report  # noqa: PLC0415  # only this function needs it

    return report.machine(Path(tempfile.gettempdir()))


# -- the table and the picture -----------------------------------------------------------------------------------------


def slope(points: Mapping[int, float]) -> float | None:
    """Return the exponent of growth between the two largest sizes."""
    sizes = sorted(points)[-2:]
    if len(sizes) < 2 or min(points[size] for size in sizes) <= 0:
        return None
    small, large = sizes
    return math.log(points[large] / points[small]) / math.log(large / small)


def rows(results: Results) -> Iterator[tuple[str, dict[int, Mapping[str, float]], float | None]]:
    """Yield each step with its figures by size and its slope."""
    for name, found in results["steps"].items():
        by_size = {int(size): figures for size, figures in found.items()}
        yield name, by_size, slope({size: figures["cpu"] for size, figures in by_size.items()})


def markdown(results: Results) -> str:
    """Return the text of `SCALE.md`."""
    sizes = sorted({size for _, found, _ in rows(results) for size in found})
    head = ["step", *(f"{size:,}" for size in sizes), "slope", "peak", "per scene"]
    table = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, found, grows in rows(results):
        cells = [_cell(found.get(size)) for size in sizes]
        last = found[max(found)] if found else None
        table.append([name, *cells, _slope(grows), f"{last['peak'] / 1e6:.0f} MB" if last else "", _each(found)])
    lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
    machine = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items() if "processor" in name
                        or name in ("memory", "kernel", "python", "rsync", "rclone"))  # fmt: skip
    return (
        f"# Scale\n\nSeconds of processor time, with elapsed time in brackets, by the number of scenes; medians of "
        f"{results['rounds']} rounds.\n\n{lines}\n\n![growth](scale.svg)\n\n{machine}\n- measured: "
        f"{datetime.now(UTC):%Y-%m-%d}, load {_load(results)}\n"
    )


def _cell(figures: Mapping[str, float] | None) -> str:
    return "" if figures is None else f"{figures['cpu']:.2f} ({figures['seconds']:.2f})"


def _slope(grows: float | None) -> str:
    if grows is None:
        return ""
    return f"{grows:.2f}" if grows <= SLACK else f"**{grows:.2f}**"


def _each(found: Mapping[int, Mapping[str, float]]) -> str:
    """Return the bytes that a scene adds to the largest resident set."""
    sizes = sorted(found)
    if len(sizes) < 2:
        return ""
    small, large = sizes[0], sizes[-1]
    return f"{(found[large]['peak'] - found[small]['peak']) / (large - small):.0f} B"


def _load(results: Results) -> str:
    loads = [figures["load"] for _, found, _ in rows(results) for figures in found.values()]
    return f"{min(loads):.0f} to {max(loads):.0f}" if loads else "unknown"


def save(results: Results, folder: Path) -> None:
    """Write `scale.json`, `SCALE.md` and, with matplotlib, `scale.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "scale.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "SCALE.md").write_text(markdown(results))
    try:
        draw(results, folder / "scale.svg")
    except ImportError:
        print("no picture: matplotlib is not installed (dependency group `bench`)", file=sys.stderr)


def draw(results: Results, path: Path) -> None:
    """Draw processor time against the number of scenes, both logarithmic, each line with its slope."""
    import matplotlib as mpl  # noqa: PLC0415  # only this function needs it, and it may be missing

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "sedas-sync", "svg.fonttype": "none", "font.size": 9})
    import matplotlib.pyplot as plt  # noqa: PLC0415  # after the backend is chosen

    figure, axes = plt.subplots(figsize=(9.5, 6), layout="constrained")
    colours = [*plt.get_cmap("Dark2").colors, *plt.get_cmap("tab10").colors]
    ends = []
    for (name, found, grows), colour in zip(rows(results), colours, strict=False):
        if not found:
            continue
        sizes = sorted(found)
        other = name.startswith(("rsync", "rclone"))
        times = [found[size]["cpu"] for size in sizes]
        axes.plot(sizes, times, marker="o", markersize=3.5, color=colour, linestyle="--" if other else "-")
        ends.append((times[-1], sizes[-1], name, grows, colour))
    _label(axes, ends)
    _, top = axes.get_ylim()
    axes.axline((1000, top / 3e3), (10_000, top / 3e2), color="#bbbbbb", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("scenes")
    axes.set_ylabel("processor time, seconds")
    axes.grid(which="major", color="#e5e5e5")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def _label(axes: Any, ends: list[tuple[float, int, str, float | None, Any]]) -> None:
    """Write the names at the right, in the order of the ends of the lines, without overlap."""
    ends = sorted(ends, reverse=True, key=lambda end: end[0])
    for place, (time_at, size, name, grows, colour) in enumerate(ends):
        high = 0.97 - place * 0.94 / max(1, len(ends) - 1)
        text = name if grows is None else f"{name}  (slope {grows:.2f})"
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.9, "relpos": (0, 0.5), "shrinkB": 3}
        axes.annotate(
            text, (size, time_at), (1.05, high), textcoords="axes fraction", fontsize=7.5, va="center", arrowprops=line
        )


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"{time.monotonic() - began:.0f} s")
    sys.exit(code)
