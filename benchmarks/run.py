"""Measure sedas-sync against other tools, in turns, on one machine.

    python benchmarks/run.py [--list] [--only NAME ...] [--rounds N] [--quick]

Writes `RESULTS.md`, `results.json` and `ratios.svg` to its own folder. With `--only`, the rows of other workloads stay
as they are. It stops everything that it starts, and removes its temporary files.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import report
import scale
from contenders import SEDAS_SYNC, Sample, WrongError
from frame import WORKLOADS, Bench, Prepared, SkippedError, Workload
from servers import nginx

for _module in ("workloads", "local_workloads"):
    # Each adds its workloads to the list.
    import_module(_module)

HERE = Path(__file__).parent
SCALE = "scale"
MEMORY = Path("/dev/shm")
ROOM = 8 << 30
"""Bytes that the largest workload in memory needs."""
LIMIT_RATE = 8_000_000
DELAY = 0.05
SOON = 0.03


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.list:
        for work in WORKLOADS:
            print(f"{work.name:16} {work.title}")
        print(f"{SCALE:16} how time and memory grow with the number of scenes (scale.py)")
        return 0
    chosen = [work for work in WORKLOADS if not options.only or work.name in options.only]
    missing = _missing(chosen)
    if missing:
        print(f"Missing: {', '.join(missing)}.", file=sys.stderr)
        return 2
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, _end)
    out = options.out or (None if options.quick else HERE)
    try:
        code = _measure(chosen, options.rounds, quick=options.quick, place=options.dir, out=out) if chosen else 0
        if not options.only or SCALE in options.only:
            sizes = (100, 300) if options.quick else scale.SIZES
            place = options.dir or _memory(quick=options.quick)
            scale.measure(sizes, rounds=options.rounds or (1 if options.quick else 3), place=place, out=out)
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure sedas-sync against other tools, in turns.")
    names = [*(work.name for work in WORKLOADS), SCALE]
    parser.add_argument("--list", action="store_true", help="list the workloads and exit")
    parser.add_argument(
        "--only", action="append", choices=names, metavar="NAME", help="only this workload (repeatable)"
    )
    parser.add_argument(
        "--rounds", type=_positive, metavar="N", help="rounds of each workload (default: 5, fewer for long ones)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and one round, to check that everything works"
    )
    parser.add_argument("--dir", type=Path, metavar="DIR", help="folder for served and written files")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the results (with --quick: none)")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _missing(chosen: Sequence[Workload]) -> list[str]:
    """Return the programs that the workloads need and that are not installed."""
    programs = {"nginx", "curl", "openssl", *(tool for work in chosen for tool in work.tools)}
    packages = {"aria2c": "aria2c (aria2)", "nginx": "nginx (nginx-light)"}
    missing = [packages.get(name, name) for name in sorted(programs) if shutil.which(name) is None]
    if not Path(SEDAS_SYNC).exists():
        missing.append(f"sedas-sync beside {sys.executable}")
    if find_spec("sedas_pyapi") is None:
        missing.append("sedas_pyapi (dependency group `bench`)")
    return missing


def _end(signum: int, frame: object) -> NoReturn:  # noqa: ARG001  # the signature of a handler
    raise KeyboardInterrupt


def _measure(
    chosen: Sequence[Workload], rounds: int | None, *, quick: bool, place: Path | None, out: Path | None
) -> int:
    results = report.load(out) if out else {"machine": {}, "workloads": {}}
    with (
        tempfile.TemporaryDirectory(prefix="sedas-bench-", dir=place or _memory(quick=quick)) as folder,
        tempfile.TemporaryDirectory(prefix="sedas-bench-") as disk,
        nginx(Path(folder, "nginx"), limit_rate=LIMIT_RATE, delay=DELAY, soon=SOON) as server,
    ):
        results["machine"] = report.machine(Path(folder))
        bench = Bench(Path(folder), Path(disk), server, quick)
        for work in chosen:
            results["workloads"][work.name] = _entry(work, bench, rounds or (1 if quick else work.rounds))
            results = _in_order(results)
            shutil.rmtree(bench.folder / "run", ignore_errors=True)
            if out:
                report.save(results, out)
    print(report.markdown(results))
    if quick:
        print("These were small sizes: they show that everything works, not how fast it is.")
    return int(any("failed" in results["workloads"][work.name] for work in chosen))


def _entry(work: Workload, bench: Bench, rounds: int) -> dict[str, object]:
    """Run a workload; return its entry in the results, or the reason why it has none."""
    when, load = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}", os.getloadavg()[0]
    try:
        with work.prepare(bench) as prepared:
            return report.outcome(work, prepared, _rounds(work, prepared, rounds), when=when, load=load)
    except SkippedError as reason:
        print(f"{work.name}: left out, {reason}", flush=True)
        return {"title": work.title, "when": when, "skipped": str(reason)}
    except WrongError as error:
        print(f"{work.name}: {error}", file=sys.stderr, flush=True)
        return {"title": work.title, "when": when, "failed": str(error)}


def _in_order(results: report.Results) -> report.Results:
    found = results["workloads"]
    return {**results, "workloads": {work.name: found[work.name] for work in WORKLOADS if work.name in found}}


def _memory(*, quick: bool) -> Path | None:
    """Return the file system in memory if it has enough space, else None."""
    if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > (ROOM >> 5 if quick else ROOM):
        return MEMORY
    return None


def _rounds(work: Workload, prepared: Prepared, rounds: int) -> dict[str, list[Sample]]:
    """Run every contender once per round, in another order each round."""
    names = list(prepared.contenders)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            sample = prepared.contenders[name]()
            samples[name].append(sample)
            print(f"{work.name}: {turn + 1}/{rounds} {name}: {sample.seconds:.3f} s", flush=True)
    return samples


if __name__ == "__main__":
    sys.exit(main())
