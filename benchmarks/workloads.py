"""The workloads that download: what is done, by which contenders, and which ratio is the target.

A workload is a context manager: it creates its files and servers and yields a `Prepared`.
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from contenders import (
    Sample,
    aria2c,
    curl,
    list_with_aria2c,
    list_with_rclone,
    rclone,
    sedas_pyapi,
    sedas_sync,
    stac_assets,
)
from frame import GIB, MB, MIB, Bench, Comparison, Contender, Prepared, SkippedError, workload
from scenes import scene_id, write_scenes
from servers import archive, stac


@contextmanager
def _served(bench: Bench, name: str, count: int, size: int, *, stored: bool = False) -> Iterator[dict[str, int]]:
    """Write scenes that nginx serves below `/name/`; yield their lengths by file name."""
    try:
        yield write_scenes(bench.served(name), count, size, stored=stored)
    finally:
        shutil.rmtree(bench.served(name), ignore_errors=True)


def _digests(bench: Bench, name: str, files: Mapping[str, int]) -> list[str]:
    """Return the sha256 of each scene, for the catalogue."""
    digests = []
    for file in files:
        with (bench.served(name) / file).open("rb") as opened:
            digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return digests


def _large(
    bench: Bench, name: str, rows: Sequence[Comparison], *, stored: bool, stated: bool = False
) -> Iterator[Prepared]:
    """Prepare eight large scenes; only the contenders of the rows run."""
    count, size = 8, bench.size(256 * MIB, MIB)
    base = f"{bench.nginx.url}/{name}"
    with (
        _served(bench, name, count, size, stored=stored) as files,
        archive(
            bytes_url=f"{base}/{{id}}.zip",
            online=count,
            digests=_digests(bench, name, files) if stated else (),
        ) as url,
    ):
        where = bench.folder / "run"
        checks = "sha256sum *.zip > sums\nfor file in *.zip; do unzip -tq $file; done"
        filehash = "enforce" if stated else "warn"
        contenders: dict[str, Contender] = {
            "sedas-sync": lambda: sedas_sync(where, url, files, jobs=8, filehash=filehash),
            "sedas-sync, integrity = size": lambda: sedas_sync(where, url, files, jobs=8, integrity="size"),
            "curl --parallel": lambda: curl(where, base, files, jobs=8),
            "aria2c -j8": lambda: aria2c(where, base, files, jobs=8),
            "rclone": lambda: rclone(where, base, files, jobs=8),
            "curl, sha256sum, unzip -tq": lambda: curl(where, base, files, jobs=8, then=checks),
        }
        needed = {name for row in rows for name in (row.ours, *row.others)}
        chosen = {name: run for name, run in contenders.items() if name in needed}
        yield Prepared(chosen, tuple(rows), sum(files.values()))


@workload("large", "8 scenes of 256 MB, 8 jobs, no checksum stated", rounds=3, tools=("rclone", "unzip", "sha256sum"))
def large(bench: Bench) -> Iterator[Prepared]:
    """Measure large scenes whose only proof is the CRC."""
    rows = (
        Comparison("curl --parallel", "sedas-sync", ("curl --parallel",), 2.3, 2.0),
        Comparison("rclone", "sedas-sync", ("rclone",), 3.4, 3.0),
        Comparison("curl, sha256sum, unzip -tq", "sedas-sync", ("curl, sha256sum, unzip -tq",), 0.14, 0.1),
    )
    yield from _large(bench, "large", rows, stored=False)


@workload(
    "large-checksummed",
    "the same, the catalogue states sha256",
    rounds=3,
    tools=("rclone",),
    holds="half stored, half deflated; sha256",
)
def large_checksummed(bench: Bench) -> Iterator[Prepared]:
    """Measure large scenes that a checksum proves."""
    rows = (
        Comparison("curl --parallel", "sedas-sync", ("curl --parallel",), 1.6, 1.3),
        Comparison("rclone", "sedas-sync", ("rclone",), 2.5, 2.0),
    )
    yield from _large(bench, "checksummed", rows, stored=False, stated=True)


@workload(
    "large-stored", "8 scenes of 256 MB, every entry stored", rounds=3, tools=("rclone",), holds="stored; CRC, or size"
)
def large_stored(bench: Bench) -> Iterator[Prepared]:
    """Measure the cost that remains if nothing has to be inflated, and if nothing is hashed."""
    ours = "sedas-sync, integrity = size"
    rows = (
        Comparison("curl --parallel", "sedas-sync", ("curl --parallel",), 1.3, 1.1),
        Comparison("integrity = size, curl --parallel", ours, ("curl --parallel",), 1.1, 0.9),
        Comparison("integrity = size, rclone", ours, ("rclone",), 1.6, 1.3),
    )
    yield from _large(bench, "large-stored", rows, stored=True)


@workload("small", "1,500 scenes of 20 KB, 8 jobs", tools=("aria2c", "rclone"))
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
                "rclone": lambda: rclone(where, base, files, jobs=8),
            },
            (
                Comparison("aria2c -j8", "sedas-sync", ("aria2c -j8",), 5, 3),
                Comparison("curl --parallel", "sedas-sync", ("curl --parallel",), 14, 9),
                Comparison("rclone", "sedas-sync", ("rclone",), 5, 3, margin="with the marks of aria2c"),
            ),
            sum(files.values()),
        )


@workload("slow-wire", "one scene of 64 MB at 8 MB/s per connection, 8 jobs", rounds=3, tools=("rclone",))
def slow_wire(bench: Bench) -> Iterator[Prepared]:
    """Measure what a scene gains from several connections."""
    size, base = bench.size(64 * MB, 4 * MB), f"{bench.nginx.url}/limited/slow"
    with _served(bench, "slow", 1, size) as files, archive(bytes_url=f"{base}/{{id}}.zip", online=1) as url:
        where = bench.folder / "run"
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, jobs=8),
                "curl": lambda: curl(where, base, files, jobs=1),
                "rclone": lambda: rclone(where, base, files, jobs=8),
            },
            (
                Comparison("curl", "sedas-sync", ("curl",), 1 / 6, 1 / 7.5),
                Comparison("rclone", "sedas-sync", ("rclone",), 1 / 6, 1 / 7.5, margin="with the marks of curl"),
            ),
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
            (Comparison("max(bytes over rate, 5 s + last bytes)", "sedas-sync", ("the bound",), 1.05, 1.03),),
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
    yield from _original(bench, "original", online=bench.size(200, 4), lta=0, reach=1 / 50, goal=1 / 100)


@workload("original-lta", "40 scenes of 20 KB in the LTA, ready after 2 s", rounds=3)
def original_lta(bench: Bench) -> Iterator[Prepared]:
    """Compare with the original client."""
    if bench.quick:
        raise SkippedError("the original client sleeps for 5 s between its polls")
    yield from _original(bench, "original", online=0, lta=40, reach=1 / 10, goal=1 / 12)


def _tls(bench: Bench, name: str, reach: float, goal: float, *, stated: bool = False) -> Iterator[Prepared]:
    size, base = bench.size(GIB, 4 * MIB), f"{bench.nginx.tls_url}/{name}"
    ca = str(bench.nginx.certificate)
    with (
        _served(bench, name, 1, size) as files,
        archive(
            bytes_url=f"{base}/{{id}}.zip", online=1, digests=_digests(bench, name, files) if stated else ()
        ) as url,
    ):
        where = bench.folder / "run"
        trust, filehash = {"REQUESTS_CA_BUNDLE": ca}, "enforce" if stated else "warn"
        yield Prepared(
            {
                "sedas-sync": lambda: sedas_sync(where, url, files, env=trust, filehash=filehash),
                "curl": lambda: curl(where, base, files, jobs=1, options=("--cacert", ca)),
                "rclone": lambda: rclone(where, base, files, jobs=1, options=("--ca-cert", ca)),
            },
            (
                Comparison("curl", "sedas-sync", ("curl",), reach, goal),
                Comparison("rclone", "sedas-sync", ("rclone",), reach, goal, margin="with the marks of curl"),
            ),
            sum(files.values()),
        )


@workload("tls", "1 GiB over TLS, no checksum stated", rounds=3, tools=("rclone",))
def tls(bench: Bench) -> Iterator[Prepared]:
    """Measure one scene over TLS; the API uses plain http."""
    yield from _tls(bench, "tls", 2.5, 1.5)


@workload(
    "tls-checksummed",
    "the same, the catalogue states sha256",
    rounds=3,
    tools=("rclone",),
    holds="half stored, half deflated; sha256",
)
def tls_checksummed(bench: Bench) -> Iterator[Prepared]:
    """Measure one scene over TLS that a checksum proves."""
    yield from _tls(bench, "tls-checksummed", 1.5, 1.2, stated=True)


@workload(
    "stac-assets",
    "1,000 STAC items of 5 assets of 200 KB at 30 ms per request, 16 jobs",
    rounds=3,
    tools=("aria2c", "rclone"),
    holds="one TIFF file each; size",
)
def stac_of_assets(bench: Bench) -> Iterator[Prepared]:
    """Measure scenes of several files, against lists of the same files."""
    items, size, keys = bench.size(1000, 10), 200_000, [f"B{number:02}" for number in range(1, 6)]
    names = [f"S{number:05}/{key}.tif" for number in range(items) for key in keys]
    root, base = bench.served("assets"), f"{bench.nginx.url}/soon/assets"
    one = bench.served("asset.tif")
    one.write_bytes(b"II*\0" + bytes(size - 4))
    try:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).hardlink_to(one)
        where = bench.folder / "run"
        with stac(base=base, items=items, assets=keys, size=size) as url:
            others = ("aria2c -j16", "rclone")
            yield Prepared(
                {
                    "sedas-sync": lambda: stac_assets(where, url, names, size, jobs=16),
                    "aria2c -j16": lambda: list_with_aria2c(where, base, names, size, jobs=16),
                    "rclone": lambda: list_with_rclone(where, base, names, size, jobs=16),
                },
                (Comparison("best of aria2c and rclone", "sedas-sync", others, 1.2, 1.05),),
                size * len(names),
            )
    finally:
        shutil.rmtree(root, ignore_errors=True)
        one.unlink()


@workload("latency", "1,000 scenes of 64 KiB at 50 ms per request, 16 jobs", tools=("aria2c", "rclone"))
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
                "rclone": lambda: rclone(where, base, files, jobs=16),
            },
            (
                Comparison("curl --parallel-max 16", "sedas-sync", ("curl --parallel-max 16",), 1.15, 1.05),
                Comparison("rclone", "sedas-sync", ("rclone",), 1.15, 1.05, margin="with the marks of curl"),
            ),
            sum(files.values()),
        )
