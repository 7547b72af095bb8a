"""The workloads that measure this machine alone: nothing to do, a plan, a cold start, and memory."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from contenders import PYTHON, SEDAS_SYNC, Sample, WrongError, check, empty, run, sedas_sync, write_manifest
from frame import GIB, MB, NONE, Bench, Comparison, Prepared, SkippedError, workload
from scenes import catalogue_rows, scene_id, write_scenes, write_zip
from servers import archive


def _nothing(bench: Bench, count: int, reach: float) -> Iterator[Prepared]:
    shown = subprocess.run([SEDAS_SYNC, "apply", "--help"], check=True, capture_output=True, text=True).stdout
    if "--locked" not in shown:
        raise SkippedError("apply has no --locked")
    one = bench.served("same.zip")
    size = write_zip(one, 0, 1000)
    files = dict.fromkeys((f"{scene_id(number)}.zip" for number in range(count)), size)
    where, copy = empty(bench.folder / "run"), bench.folder / "copy"
    with archive(bytes_url=f"{bench.nginx.url}/same/{{id}}.zip", online=count) as url:
        try:
            write_manifest(where, url, jobs=8)
            run([SEDAS_SYNC, "apply"], cwd=where)
            check(where / "scenes", files)
            run([SEDAS_SYNC, "lock"], cwd=where)
            shutil.copytree(where / "scenes", copy, ignore=shutil.ignore_patterns(".*"))

            def ours() -> Sample:
                sample = run([SEDAS_SYNC, "apply", "--locked", "--json"], cwd=where)
                summary = json.loads((where / "output").read_text().splitlines()[-1])
                if summary["kept"] != count:
                    raise WrongError(f"{summary['kept']} scenes were kept, not {count}")
                return sample

            yield Prepared(
                {
                    "sedas-sync": ours,
                    "rsync -a": lambda: run(["rsync", "-a", "--exclude=.*", f"{where}/scenes/", copy], cwd=where),
                },
                (Comparison("rsync -a doing nothing", "sedas-sync", ("rsync -a",), reach, 1.5),),
            )
        finally:
            one.unlink()
            shutil.rmtree(copy, ignore_errors=True)


@workload("nothing-20k", "nothing to do, 20,000 scenes, --locked", tools=("rsync",), holds=NONE)
def nothing_20k(bench: Bench) -> Iterator[Prepared]:
    """Measure the second apply."""
    yield from _nothing(bench, bench.size(20_000, 50), 3)


@workload("nothing-100k", "nothing to do, 100,000 scenes, --locked", tools=("rsync",), holds=NONE)
def nothing_100k(bench: Bench) -> Iterator[Prepared]:
    """Measure the second apply of a large mirror."""
    if bench.quick:
        raise SkippedError("the same as nothing-20k but larger")
    yield from _nothing(bench, 100_000, 2)


_LOADS = (
    "import json, sys, time; text = open(sys.argv[1]).read(); began = time.perf_counter(); rows = json.loads(text);"
    " print(time.perf_counter() - began)"
)


@workload("plan", "plan over 100,000 scenes behind a cap of 5,000", rounds=3, holds=NONE)
def plan(bench: Bench) -> Iterator[Prepared]:
    """Measure search, decision and output: `plan --json` with one dataset and an empty mirror."""
    count, few = bench.size(100_000, 300), bench.size(1000, 20)
    where = empty(bench.folder / "run")
    rows = bench.folder / "rows.json"
    rows.write_text(json.dumps(list(catalogue_rows(count))))
    base = f"{bench.nginx.url}/none/{{id}}.zip"
    with (
        archive(bytes_url=base, online=count, cap=bench.size(5000, 100)) as url,
        archive(bytes_url=base, online=few) as small_url,
    ):

        def planned(address: str, expected: int) -> Sample:
            write_manifest(where, address)
            sample = run([SEDAS_SYNC, "plan", "--json"], cwd=where, peak=True)
            found = json.loads((where / "output").read_text())["summary"]["fetch"]
            if found != expected:
                raise WrongError(f"{found} scenes are planned, not {expected}")
            return sample

        least = planned(small_url, few).peak or 0

        def loads() -> Sample:
            run([PYTHON, "-c", _LOADS, rows], cwd=where)
            return Sample(float((where / "output").read_text()))

        yield Prepared(
            {"sedas-sync": lambda: planned(url, count), "json.loads": loads},
            (
                Comparison("json.loads of the same rows once", "sedas-sync", ("json.loads",), 15, 8),
                Comparison(
                    "peak memory per scene",
                    "sedas-sync",
                    (),
                    2000,
                    1000,
                    lambda sample: ((sample.peak or 0) - least) / (count - few),
                    "B",
                ),
            ),
        )
    rows.unlink()


@workload("version", "sedas-sync --version", rounds=25, holds=NONE)
def version(bench: Bench) -> Iterator[Prepared]:
    """Measure a cold start."""
    where = empty(bench.folder / "run")
    yield Prepared(
        {
            "sedas-sync --version": lambda: run([SEDAS_SYNC, "--version"], cwd=where),
            "python -c pass": lambda: run([PYTHON, "-c", "pass"], cwd=where),
        },
        (Comparison("python -c pass", "sedas-sync --version", ("python -c pass",), 3, 1.55),),
    )


@workload("validate", "sedas-sync validate", rounds=25, holds=NONE)
def validate(bench: Bench) -> Iterator[Prepared]:
    """Measure a cold start that reads a manifest."""
    where = empty(bench.folder / "run")
    write_manifest(where, "http://127.0.0.1:9/api/")
    imports = "import requests, pydantic"
    yield Prepared(
        {
            "sedas-sync validate": lambda: run([SEDAS_SYNC, "validate"], cwd=where),
            f'python -c "{imports}"': lambda: run([PYTHON, "-c", imports], cwd=where),
        },
        (Comparison(f'python -c "{imports}"', "sedas-sync validate", (f'python -c "{imports}"',), 2, 1.3),),
    )


@dataclass
class _Space:
    """A folder with enough space for eight scenes and their source."""

    bench: Bench
    size: int
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.bench.folder / "run"
        memory = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if min(memory, shutil.disk_usage(self.bench.folder).free) < 15 * self.size:
            self.folder = self.bench.disk / "run"
        if shutil.disk_usage(self.folder.parent).free < 10 * self.size:
            raise SkippedError(f"{10 * self.size / GIB:.0f} GiB of free space are needed")


@workload("memory", "peak memory at 8 jobs, scenes of 20 MB and of 2 GB", rounds=1)
def memory(bench: Bench) -> Iterator[Prepared]:
    """Measure peak memory with eight scenes of each size; nginx serves one file under eight names.

    The large scenes are on disk if memory has too little space.
    """
    name, count = "memory", 8
    sizes = {"20 MB": bench.size(20 * MB, MB), "2 GB": bench.size(2000 * MB, 4 * MB)}
    root = bench.served(name)
    try:
        lengths = {}
        for label, size in sizes.items():
            first = root / label.replace(" ", "")
            write_scenes(first, 1, size)
            source = first / f"{scene_id(0)}.zip"
            lengths[label] = source.stat().st_size
            for number in range(1, count):
                (first / f"{scene_id(number)}.zip").hardlink_to(source)
        space = _Space(bench, sizes["2 GB"])

        def measured(label: str) -> Sample:
            base = f"{bench.nginx.url}/{name}/{label.replace(' ', '')}"
            files = dict.fromkeys((f"{scene_id(number)}.zip" for number in range(count)), lengths[label])
            with archive(bytes_url=f"{base}/{{id}}.zip", online=count) as url:
                try:
                    return sedas_sync(space.folder, url, files, peak=True, jobs=8)
                finally:
                    shutil.rmtree(space.folder, ignore_errors=True)

        def peak(sample: Sample) -> float:
            return (sample.peak or 0) / MB

        yield Prepared(
            {label: (lambda label=label: measured(label)) for label in sizes},
            (
                Comparison("2 GB over 20 MB", "2 GB", ("20 MB",), 1.1, 1.02, peak, "MB", "equal within a tenth"),
                Comparison("peak, 20 MB scenes", "20 MB", (), 100, 70, peak, "MB"),
                Comparison("peak, 2 GB scenes", "2 GB", (), 100, 70, peak, "MB"),
            ),
        )
    finally:
        shutil.rmtree(root, ignore_errors=True)
