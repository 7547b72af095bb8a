"""The workloads: what is done, by which contenders, and which ratio is the target.

A workload is a context manager: it creates its files and servers and yields a `Prepared`.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from contenders import (
    PYTHON,
    SEDAS_SYNC,
    Sample,
    WrongError,
    aria2c,
    check,
    curl,
    empty,
    rclone,
    run,
    sedas_pyapi,
    sedas_sync,
    write_manifest,
)
from scenes import catalogue_rows, scene_id, write_scenes, write_zip
from servers import Nginx, archive

MB = 1_000_000
MIB = 1 << 20
GIB = 1 << 30

Contender = Callable[[], Sample]


class SkippedError(Exception):
    """A workload cannot run on this machine; the message says why."""


@dataclass(frozen=True)
class Comparison:
    """One row of the table: sedas-sync divided by another tool, or a figure of sedas-sync alone."""

    against: str
    ours: str
    """Name of the contender that is sedas-sync."""
    others: tuple[str, ...] = ()
    """The divisor is the best of these in each round; if empty, the figure is not divided."""
    reach: float = 0.0
    goal: float = 0.0
    measure: Callable[[Sample], float] = lambda sample: sample.seconds
    unit: str = "s"
    margin: str = ""
    """What the targets mean if they are not simple bounds."""


@dataclass(frozen=True)
class Prepared:
    """A workload that is ready to run."""

    contenders: Mapping[str, Contender]
    comparisons: tuple[Comparison, ...]
    bytes: int = 0
    """Bytes that one run downloads; 0 if that does not matter."""


@dataclass(frozen=True)
class Bench:
    """Where the workloads run, and how large they are."""

    folder: Path
    """In memory if the machine has enough."""
    disk: Path
    """For files that are too large for memory."""
    nginx: Nginx
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return the size for this run: `quick` for a smoke test."""
        return quick if self.quick else full

    def served(self, name: str) -> Path:
        """Return the folder of a workload that nginx serves."""
        return self.nginx.root / name


@dataclass(frozen=True)
class Workload:
    """A workload in the list."""

    name: str
    title: str
    prepare: Callable[[Bench], AbstractContextManager[Prepared]]
    rounds: int = 5
    """Default number of rounds."""
    tools: tuple[str, ...] = ()
    """Programs that it needs besides nginx and curl."""


WORKLOADS: list[Workload] = []


def workload(
    name: str, title: str, *, rounds: int = 5, tools: tuple[str, ...] = ()
) -> Callable[[Callable[[Bench], Iterator[Prepared]]], Callable[[Bench], Iterator[Prepared]]]:
    """Register a generator that prepares a workload."""

    def enter(prepare: Callable[[Bench], Iterator[Prepared]]) -> Callable[[Bench], Iterator[Prepared]]:
        WORKLOADS.append(Workload(name, title, contextmanager(prepare), rounds, tools))
        return prepare

    return enter


@contextmanager
def _served(bench: Bench, name: str, count: int, size: int, *, stored: bool = False) -> Iterator[dict[str, int]]:
    """Write scenes that nginx serves below `/name/`; yield their lengths by file name."""
    try:
        yield write_scenes(bench.served(name), count, size, stored=stored)
    finally:
        shutil.rmtree(bench.served(name), ignore_errors=True)


def _large(bench: Bench, name: str, *, stored: bool) -> Iterator[Prepared]:
    count, size = 8, bench.size(256 * MIB, MIB)
    base = f"{bench.nginx.url}/{name}"
    with (
        _served(bench, name, count, size, stored=stored) as files,
        archive(bytes_url=f"{base}/{{id}}.zip", online=count) as url,
    ):
        where = bench.folder / "run"
        checks = "sha256sum *.zip > sums\nfor file in *.zip; do unzip -tq $file; done"
        contenders: dict[str, Contender] = {
            "sedas-sync": lambda: sedas_sync(where, url, files, jobs=8),
            "sedas-sync, integrity = size": lambda: sedas_sync(where, url, files, jobs=8, integrity="size"),
            "curl --parallel": lambda: curl(where, base, files, jobs=8),
            "aria2c -j8": lambda: aria2c(where, base, files, jobs=8),
        }
        rows = [
            Comparison("best of curl and aria2c", "sedas-sync", ("curl --parallel", "aria2c -j8"), 1.2, 0.8),
            Comparison(
                "integrity = size, best of curl and aria2c",
                "sedas-sync, integrity = size",
                ("curl --parallel", "aria2c -j8"),
                0.8,
                0.5,
            ),
        ]
        if not stored:
            contenders["rclone"] = lambda: rclone(where, base, files, jobs=8)
            contenders["curl, sha256sum, unzip -tq"] = lambda: curl(where, base, files, jobs=8, then=checks)
            rows.insert(
                1, Comparison("curl, sha256sum, unzip -tq", "sedas-sync", ("curl, sha256sum, unzip -tq",), 0.5, 0.3)
            )
            rows.append(Comparison("rclone", "sedas-sync", ("rclone",), 1.2, 0.8, margin="with the marks of curl"))
        yield Prepared(contenders, tuple(rows), sum(files.values()))


@workload(
    "large", "8 scenes of 256 MB, 8 jobs, sha256 and CRC", rounds=3, tools=("aria2c", "rclone", "unzip", "sha256sum")
)
def large(bench: Bench) -> Iterator[Prepared]:
    """Measure large scenes: half of the bytes are stored, half deflated."""
    yield from _large(bench, "large", stored=False)


@workload("large-stored", "the same, every entry stored", tools=("aria2c",))
def large_stored(bench: Bench) -> Iterator[Prepared]:
    """Measure the cost that remains if nothing has to be inflated."""
    if bench.quick:
        raise SkippedError("it differs from large only in the bytes")
    yield from _large(bench, "large-stored", stored=True)


@workload("small", "1,500 scenes of 20 KB, 8 jobs", tools=("aria2c",))
def small(bench: Bench) -> Iterator[Prepared]:
    """Measure the cost of a request and of a file."""
    count, base = bench.size(1500, 30), f"{bench.nginx.url}/small"
    with (
        _served(bench, "small", count, 20_000) as files,
        archive(bytes_url=f"{base}/{{id}}.zip", online=count) as url,
    ):
        where = bench.folder / "run"
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, jobs=8),
                "aria2c -j8": lambda: aria2c(where, base, files, jobs=8),
                "curl --parallel": lambda: curl(where, base, files, jobs=8),
            },
            (Comparison("aria2c -j8", "sedas-sync", ("aria2c -j8",), 5, 2),),
            sum(files.values()),
        )


@workload("slow-wire", "one scene of 64 MB at 8 MB/s per connection, 8 jobs", rounds=3)
def slow_wire(bench: Bench) -> Iterator[Prepared]:
    """Measure what a scene gains from several connections."""
    size, base = bench.size(64 * MB, 4 * MB), f"{bench.nginx.url}/limited/slow"
    with _served(bench, "slow", 1, size) as files, archive(bytes_url=f"{base}/{{id}}.zip", online=1) as url:
        where = bench.folder / "run"
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, jobs=8),
                "curl": lambda: curl(where, base, files, jobs=1),
            },
            (Comparison("curl", "sedas-sync", ("curl",), 1 / 5, 1 / 7.5),),
            sum(files.values()),
        )


@workload("orders", "40 scenes online at 20 MB/s and 40 in the LTA, ready after 5 s", rounds=3)
def orders(bench: Bench) -> Iterator[Prepared]:
    """Measure whether waiting for orders delays downloads: 3 MB per scene, 6 s of bytes in each half."""
    each, delay, rate = bench.size(40, 2), bench.size(5, 0), 20 * MB
    base = f"{bench.nginx.url}/orders"
    with (
        _served(bench, "orders", 2 * each, 3 * MB) as files,
        archive(bytes_url=f"{base}/{{id}}.zip", online=each, lta=each, order_delay=delay) as url,
    ):
        where = bench.folder / "run"
        last = sum(files[f"{scene_id(number)}.zip"] for number in range(each, 2 * each))
        bound = max(sum(files.values()) / rate, delay + last / rate)
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, jobs=8, max_rate="20MB"),
                "the bound": lambda: Sample(bound),
            },
            (Comparison("max(bytes over rate, 5 s + last bytes)", "sedas-sync", ("the bound",), 1.15, 1.03),),
            sum(files.values()),
        )


def _original(bench: Bench, name: str, *, online: int, lta: int, reach: float, goal: float) -> Iterator[Prepared]:
    base = f"{bench.nginx.url}/{name}"
    with (
        _served(bench, name, online + lta, 20_000) as files,
        archive(bytes_url=f"{base}/{{id}}.zip", online=online, lta=lta, order_delay=bench.size(2, 1)) as url,
    ):
        where = bench.folder / "run"
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files),
                "sedas_pyapi": lambda: sedas_pyapi(where, url, files),
            },
            (Comparison("sedas_pyapi, 4 threads", "sedas-sync", ("sedas_pyapi",), reach, goal),),
            sum(files.values()),
        )


@workload("original-online", "200 scenes of 20 KB online", rounds=3)
def original_online(bench: Bench) -> Iterator[Prepared]:
    """Compare with the original client."""
    yield from _original(bench, "original", online=bench.size(200, 4), lta=0, reach=1 / 30, goal=1 / 100)


@workload("original-lta", "40 scenes of 20 KB in the LTA, ready after 2 s", rounds=3)
def original_lta(bench: Bench) -> Iterator[Prepared]:
    """Compare with the original client."""
    if bench.quick:
        raise SkippedError("the original client sleeps for 5 s between its polls")
    yield from _original(bench, "original", online=0, lta=40, reach=1 / 8, goal=1 / 12)


@workload("tls", "1 GiB over TLS, sha256 and CRC")
def tls(bench: Bench) -> Iterator[Prepared]:
    """Measure one scene over TLS; the API uses plain http."""
    size, base = bench.size(GIB, 4 * MIB), f"{bench.nginx.tls_url}/tls"
    ca = str(bench.nginx.certificate)
    with _served(bench, "tls", 1, size) as files, archive(bytes_url=f"{base}/{{id}}.zip", online=1) as url:
        where = bench.folder / "run"
        trust = {"REQUESTS_CA_BUNDLE": ca}
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, env=trust),
                "curl": lambda: curl(where, base, files, jobs=1, options=("--cacert", ca)),
            },
            (Comparison("curl", "sedas-sync", ("curl",), 1.3, 1.0),),
            sum(files.values()),
        )


@workload("latency", "1,000 scenes of 64 KiB at 50 ms per request, 16 jobs", tools=("aria2c",))
def latency(bench: Bench) -> Iterator[Prepared]:
    """Measure whether every connection is always busy."""
    count, base = bench.size(1000, 32), f"{bench.nginx.url}/delayed/latency"
    with (
        _served(bench, "latency", count, 65536) as files,
        archive(bytes_url=f"{base}/{{id}}.zip", online=count) as url,
    ):
        where = bench.folder / "run"
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, jobs=16),
                "curl --parallel-max 16": lambda: curl(where, base, files, jobs=16),
                "aria2c -j16": lambda: aria2c(where, base, files, jobs=16),
            },
            (Comparison("curl --parallel-max 16", "sedas-sync", ("curl --parallel-max 16",), 1.2, 1.05),),
            sum(files.values()),
        )


def _nothing(bench: Bench, count: int) -> Iterator[Prepared]:
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
                (Comparison("rsync -a doing nothing", "sedas-sync", ("rsync -a",), 1.5, 1.0),),
            )
        finally:
            one.unlink()
            shutil.rmtree(copy, ignore_errors=True)


@workload("nothing-20k", "nothing to do, 20,000 scenes, --locked", tools=("rsync",))
def nothing_20k(bench: Bench) -> Iterator[Prepared]:
    """Measure the second apply."""
    yield from _nothing(bench, bench.size(20_000, 50))


@workload("nothing-100k", "nothing to do, 100,000 scenes, --locked", tools=("rsync",))
def nothing_100k(bench: Bench) -> Iterator[Prepared]:
    """Measure the second apply of a large mirror."""
    if bench.quick:
        raise SkippedError("the same as nothing-20k but larger")
    yield from _nothing(bench, 100_000)


_LOADS = (
    "import json, sys, time; text = open(sys.argv[1]).read(); began = time.perf_counter(); rows = json.loads(text);"
    " print(time.perf_counter() - began)"
)


@workload("plan", "plan over 100,000 scenes behind a cap of 5,000", rounds=3)
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
                Comparison("json.loads of the same rows once", "sedas-sync", ("json.loads",), 15, 6),
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


@workload("version", "sedas-sync --version", rounds=25)
def version(bench: Bench) -> Iterator[Prepared]:
    """Measure a cold start."""
    where = empty(bench.folder / "run")
    yield Prepared(
        {
            "sedas-sync --version": lambda: run([SEDAS_SYNC, "--version"], cwd=where),
            "python -c pass": lambda: run([PYTHON, "-c", "pass"], cwd=where),
        },
        (Comparison("python -c pass", "sedas-sync --version", ("python -c pass",), 6, 3),),
    )


@workload("validate", "sedas-sync validate", rounds=25)
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
        (Comparison(f'python -c "{imports}"', "sedas-sync validate", (f'python -c "{imports}"',), 2.2, 1.5),),
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
