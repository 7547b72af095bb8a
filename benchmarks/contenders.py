"""The contenders: sedas-sync and the tools it is compared with, as timed commands whose results are checked."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PYTHON = sys.executable
SEDAS_SYNC = str(Path(sys.executable).with_name("sedas-sync"))
HARWELL = "POLYGON ((-1.3295 51.5881, -1.3013 51.5872, -1.3020 51.5621, -1.3300 51.5622, -1.3295 51.5881))"
SPAN = ("2019-05-01T00:00:00Z", "2019-12-31T23:59:59Z")
"""Interval that contains the acquisition starts of all scenes of the benchmarks."""

_LAUNCH = """
import os, sys
child = os.fork()
if not child:
    os.execvp(sys.argv[2], sys.argv[2:])
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    file.write(str(usage.ru_maxrss * 1024))
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""A process inherits the peak memory of its parent. This small parent makes the process's own peak visible."""


class WrongError(Exception):
    """A contender did not do its work, so its time means nothing."""


@dataclass(frozen=True)
class Sample:
    """One run."""

    seconds: float
    cpu: float = 0.0
    """User and system time of the process, seconds."""
    peak: int | None = None
    """Largest resident set, bytes; None if it was not measured."""


def run(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str] | None = None, peak: bool = False
) -> Sample:
    """Run a command to its end and write its output to the file `output` in its folder.

    Raises:
        WrongError: The exit code is not 0.
    """
    mark = cwd / "peak"
    words = [str(word) for word in command]
    if peak:
        words = [PYTHON, "-I", "-S", "-c", _LAUNCH, str(mark), *words]
    with (cwd / "output").open("wb") as out, (cwd / "errors").open("wb") as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            words, cwd=cwd, env=environment(cwd, env), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        except BaseException:
            process.kill()
            process.wait()
            raise
        process.returncode = code = os.waitstatus_to_exitcode(status)
    if code:
        printed = (cwd / "errors").read_text(errors="replace")[-600:] + (cwd / "output").read_text(errors="replace")[
            -600:
        ]
        raise WrongError(f"{words[0]} ended with {code}: {printed.strip()}")
    return Sample(seconds, usage.ru_utime + usage.ru_stime, int(mark.read_text()) if peak else None)


def environment(home: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of every contender: no proxy, no user configuration, the account of the sandbox."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    account = {"SEDAS_USERNAME": "sandbox", "SEDAS_PASSWORD": "sandbox"}
    return {**kept, **account, "HOME": str(home), "RCLONE_CONFIG": "/dev/null", **(more or {})}


def empty(folder: Path) -> Path:
    """Delete and create a folder, and return it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def check(folder: Path, files: Mapping[str, int]) -> None:
    """Check that a folder contains exactly these zips, by name and length.

    Raises:
        WrongError: It does not.
    """
    found = {entry.name: entry.stat().st_size for entry in os.scandir(folder) if entry.name.endswith(".zip")}
    if found != dict(files):
        raise WrongError(f"{folder} contains {len(found)} files of {sum(found.values())} bytes, not {len(files)} of "
                    f"{sum(files.values())}")  # fmt: skip


def write_manifest(
    folder: Path, url: str, *, mirror: Path | str = "scenes", filehash: str = "warn", **transfer: object
) -> Path:
    """Write a manifest for every scene of an archive."""
    settings = "\n".join(f"{name} = {json.dumps(value)}" for name, value in transfer.items())
    path = folder / "manifest.toml"
    path.write_text(
        f'version = 1\n[archive]\ntype = "sedas"\nurl = "{url}"\nfilehash = "{filehash}"\n[mirror]\npath = "{mirror}"\n'
        f'[transfer]\n{settings}\n[aoi.harwell]\nwkt = "{HARWELL}"\n'
        f'[dataset.all]\naoi = "harwell"\nstart = {SPAN[0]}\nend = {SPAN[1]}\nsensor = "optical"\n'
    )
    return path


def sedas_sync(
    folder: Path,
    url: str,
    files: Mapping[str, int],
    *,
    env: Mapping[str, str] | None = None,
    peak: bool = False,
    **transfer: object,
) -> Sample:
    """Apply a manifest to a new mirror; keywords are keys of its `[transfer]` table."""
    empty(folder)
    write_manifest(folder, url, **transfer)
    sample = run([SEDAS_SYNC, "apply"], cwd=folder, env=env, peak=peak)
    check(folder / "scenes", files)
    return sample


def curl(
    folder: Path, base: str, files: Mapping[str, int], *, jobs: int, options: Sequence[str] = (), then: str = ""
) -> Sample:
    """Download with one curl process, then run a shell command in the folder; both count."""
    empty(folder)
    lines = (f'url = "{base}/{name}"\noutput = "{name}"\n' for name in files)
    (folder / "list").write_text("".join(lines))
    command = ["curl", "-q", "--silent", "--show-error", "--fail", "--config", "list", *options]
    if jobs > 1:
        command += ["--parallel", "--parallel-max", str(jobs)]
    if then:
        command = ["sh", "-ec", f"{shlex.join(command)}\n{then}"]
    sample = run(command, cwd=folder)
    check(folder, files)
    return sample


def aria2c(folder: Path, base: str, files: Mapping[str, int], *, jobs: int, options: Sequence[str] = ()) -> Sample:
    """Download with aria2c, without allocation of files beforehand."""
    empty(folder)
    (folder / "list").write_text("".join(f"{base}/{name}\n  out={name}\n" for name in files))
    command = ["aria2c", "--no-conf", "--quiet", "--file-allocation=none", f"-j{jobs}", "-i", "list", *options]
    sample = run(command, cwd=folder)
    check(folder, files)
    return sample


def rclone(folder: Path, base: str, files: Mapping[str, int], *, jobs: int, options: Sequence[str] = ()) -> Sample:
    """Copy the server's folder with rclone."""
    empty(folder)
    command = ["rclone", "copy", "--quiet", "--transfers", str(jobs), "--checkers", str(jobs), "--http-url", f"{base}/"]
    sample = run([*command, *options, ":http:", "out"], cwd=folder)
    check(folder / "out", files)
    return sample


def stac_assets(folder: Path, url: str, names: Sequence[str], size: int, *, jobs: int) -> Sample:
    """Apply a manifest to a STAC API whose items have several files."""
    empty(folder)
    (folder / "manifest.toml").write_text(
        f'version = 1\n[archive]\ntype = "stac"\nurl = "{url}"\ncollections = "s2"\n[transfer]\njobs = {jobs}\n'
        f'[aoi.harwell]\nwkt = "{HARWELL}"\n[dataset.all]\naoi = "harwell"\nstart = 2023-05-01\nend = 2023-05-09\n'
    )
    sample = run([SEDAS_SYNC, "apply"], cwd=folder)
    _check_tree(folder / "scenes", names, size)
    return sample


def list_with_aria2c(folder: Path, base: str, names: Sequence[str], size: int, *, jobs: int) -> Sample:
    """Download a list of paths with aria2c."""
    empty(folder)
    (folder / "list").write_text("".join(f"{base}/{name}\n  out=out/{name}\n" for name in names))
    command = ["aria2c", "--no-conf", "--quiet", "--file-allocation=none", f"-j{jobs}", "-i", "list"]
    sample = run(command, cwd=folder)
    _check_tree(folder / "out", names, size)
    return sample


def list_with_rclone(folder: Path, base: str, names: Sequence[str], size: int, *, jobs: int) -> Sample:
    """Download a list of paths with rclone, without a look at the server's folders."""
    empty(folder)
    (folder / "list").write_text("".join(f"{name}\n" for name in names))
    command = ["rclone", "copy", "--quiet", "--transfers", str(jobs), "--checkers", str(jobs), "--http-url", f"{base}/"]
    command += ["--files-from-raw", "list", "--no-traverse", "--http-no-head"]
    sample = run([*command, ":http:", "out"], cwd=folder)
    _check_tree(folder / "out", names, size)
    return sample


def _check_tree(folder: Path, names: Sequence[str], size: int) -> None:
    found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*.tif")}
    if found != dict.fromkeys(names, size):
        raise WrongError(f"{folder} contains {len(found)} files of {sum(found.values())} bytes, not {len(names)}")


def sedas_pyapi(folder: Path, url: str, files: Mapping[str, int]) -> Sample:
    """Search and bulk-download with the original client."""
    empty(folder)
    out = empty(folder / "out")
    sample = run([PYTHON, HERE / "original_client.py", url, HARWELL, *SPAN, out, str(len(files))], cwd=folder)
    check(out, files)
    return sample
