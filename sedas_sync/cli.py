"""The command line: options, exit codes, and which view shows what. All deeds are `sedas_sync.mirror`'s."""

import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import IO, Any, Literal, NoReturn

import click

from sedas_sync import __version__
from sedas_sync.errors import ManifestError, SedasSyncError

CHANGES_TO_MAKE = 10

_INTERRUPTED = "Interrupted: everything so far is kept, the same command goes on from here."

_EXIT_CODES = """
\b
Exit codes:
  0    done; the mirror is what the manifest says
  1    something failed; every failed scene is named, all others are done
  2    the manifest, a file it names or the command line is wrong
  3    done for now, LTA orders are pending: run it again later
  4    the archive refused the credentials, or there are none
  5    another process is at work in this mirror
  10   plan --exit-code, lock --check: there are changes to make
  130, 143  interrupted; the same command goes on where it stopped
"""


@dataclass(slots=True)
class Globals:
    """Options that stand before or after a command."""

    quiet: bool = False
    verbose: int = 0
    progress: bool = True
    log_file: str | None = None
    as_json: bool = False

    @property
    def level(self) -> int:
        """-1 quiet, 0 as usual, more is more."""
        return -1 if self.quiet else self.verbose

    @property
    def logs(self) -> bool:
        """Whether a log is wanted, in a file or with `-vv` on standard error."""
        return self.log_file is not None or self.verbose >= 2  # noqa: PLR2004  # -vv


def _global_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command take the global options, and merge them with those that stood before it."""
    options = (
        click.option("-q", "--quiet", is_flag=True, help="Only failures."),
        click.option("-v", "--verbose", count=True, help="Each scene; twice for HTTP."),
        click.option("--no-progress", is_flag=True, help="No bars."),
        click.option("--log-file", type=click.Path(dir_okay=False), help="Write a log there."),
        click.option("--json", "as_json", is_flag=True, help="JSON on standard output."),
        click.version_option(__version__, prog_name="sedas-sync", message="%(prog)s %(version)s"),
    )

    @wraps(command)
    def merged(
        *args: Any, quiet: bool, verbose: int, no_progress: bool, log_file: str | None, as_json: bool, **rest: Any
    ) -> Any:
        common = click.get_current_context().ensure_object(Globals)
        common.quiet |= quiet
        common.verbose += verbose
        common.progress &= not no_progress
        common.log_file = log_file or common.log_file
        common.as_json |= as_json
        return command(*args, common=common, **rest)

    for option in reversed(options):
        merged = option(merged)
    return merged


_manifest_argument = click.argument("manifest", default="manifest.toml", type=click.Path(dir_okay=False))
_lock_timeout = click.option(
    "--lock-timeout", type=click.FloatRange(min=0), default=0.0, metavar="SECONDS",
    help="Wait so long for another process in this mirror.",
)  # fmt: skip
_locked = click.option("--locked", is_flag=True, help="Do not search: exactly the scenes of the lock.")
_datasets = click.option("--dataset", "datasets", multiple=True, metavar="NAME", help="Only this dataset (repeatable).")


_prune = click.option("--prune", is_flag=True, help="Remove files of scenes that the manifest's rules no longer admit.")


@click.group(epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@_global_options
def cli(common: Globals) -> None:
    """Keep a folder of satellite scenes as a TOML manifest says: plan, apply, and apply again to do nothing."""
    del common


@cli.command()
@_manifest_argument
@_global_options
def init(manifest: str, common: Globals) -> None:
    """Write a commented manifest to begin with."""
    from sedas_sync.template import TEMPLATE  # noqa: PLC0415  # each command imports what it needs: start-up is short

    target = Path(manifest)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE)
    except FileExistsError:
        raise ManifestError(f"{target}: is already there, and is left as it is") from None
    except OSError as error:
        raise ManifestError(f"{target}: cannot be written: {error.strerror}") from None
    if common.as_json:
        _print_json({"schema": 1, "manifest": str(target)})
    else:
        click.echo(f"Wrote {target}. Next: `sedas-sync plan{_argument(manifest)}`.")


@cli.command()
@_manifest_argument
@_global_options
def validate(manifest: str, common: Globals) -> None:
    """Check a manifest without the network."""
    from sedas_sync.load import load_manifest  # noqa: PLC0415  # as above

    try:
        checked = load_manifest(manifest)
    except ManifestError as error:
        if common.as_json:
            _print_json({"schema": 1, "manifest": manifest, "valid": False, "problems": list(error.problems)})
        raise
    if common.as_json:
        _print_json(
            {"schema": 1, "manifest": manifest, "valid": True, "problems": [], "datasets": list(checked.datasets)}
        )
    elif not common.quiet:
        count = len(checked.datasets)
        click.echo(f"{manifest}: valid, {count} dataset{'' if count == 1 else 's'}")


@cli.command()
@_manifest_argument
@_datasets
@click.option(
    "--format", "how", type=click.Choice(["table", "json", "geojson", "csv"]), help="How to write the scenes."
)
@_global_options
def search(manifest: str, datasets: tuple[str, ...], how: str | None, common: Globals) -> None:
    """Show what the archive offers for the manifest."""
    from sedas_sync.render import tables, text  # noqa: PLC0415  # as above

    how = how or ("json" if common.as_json else "table")
    with _mirror(manifest, common) as mirror, _view(common, json_lines=False) as view, _interruptible():
        result = mirror.search(datasets=datasets, on_event=view, on_found=view.found)
        _warn_all(result.warnings, common)
        of = {want.scene.id: want.datasets for want in result.wants.values()}
        if how == "json":
            _print_json(
                {
                    "schema": 1,
                    "manifest": mirror.manifest.source,
                    "search_complete": result.complete,
                    "scenes": [tables.facts(scene, of[scene.id]) for scene in result.scenes],
                    "failures": [{"id": failure.id, "error": failure.error} for failure in result.failures],
                    "warnings": list(result.warnings),
                }
            )
        elif how == "geojson":
            click.echo(tables.as_geojson(result.scenes, of))
        elif how == "csv":
            click.echo(tables.as_csv(result.scenes, of), nl=False)
        else:
            click.echo(text.scenes(result.scenes, of))
        _failures_to_stderr(result.failures)
        _exit(1 if result.failures else 0)


@cli.command()
@_manifest_argument
@_datasets
@click.option("--exit-code", "tell", is_flag=True, help="Exit with 10 where there are changes to make.")
@click.option("--all", "everything", is_flag=True, help="List kept scenes too.")
@click.option("--sizes", is_flag=True, help="Ask the archive for sizes.")
@_prune
@click.option("--record", type=click.Path(dir_okay=False), help="Save every answer of the search in this file.")
@click.option("--replay", type=click.Path(dir_okay=False), help="Search in saved answers: no network, no account.")
@click.option("--out", type=click.Path(dir_okay=False), help="Save the plan in this file, for `apply --plan`.")
@_locked
@_global_options
def plan(
    manifest: str,
    datasets: tuple[str, ...],
    tell: bool,
    everything: bool,
    sizes: bool,
    prune: bool,
    record: str | None,
    replay: str | None,
    out: str | None,
    locked: bool,
    common: Globals,
) -> None:
    """Show what apply would do, and why; changes nothing."""
    if replay is not None and (record is not None or sizes):
        raise ManifestError("--replay asks nobody: it goes with neither --record nor --sizes")
    _plan(
        manifest,
        common,
        datasets=datasets,
        tell=tell,
        everything=everything,
        sizes=sizes,
        prune=prune,
        record=record,
        replay=replay,
        out=out,
        locked=locked,
    )


def _plan(
    manifest: str,
    common: Globals,
    *,
    datasets: tuple[str, ...],
    tell: bool = False,
    everything: bool = False,
    sizes: bool = False,
    prune: bool = False,
    record: str | None = None,
    replay: str | None = None,
    out: str | None = None,
    locked: bool = False,
) -> NoReturn:
    from sedas_sync.render import text  # noqa: PLC0415  # as above

    opened = _mirror(manifest, common, record=record, replay=replay)
    with opened as mirror, _view(common, json_lines=False) as view, _interruptible():
        made = mirror.plan(
            datasets=datasets, sizes=sizes, on_event=view, on_found=view.found, locked=locked, prune=prune
        )
        _warn_all(made.warnings, common)
        command = f"sedas-sync apply{_argument(manifest)}" + "".join(f" --dataset {name}" for name in datasets)
        command += (" --locked" if locked else "") + (" --prune" if prune else "")
        if out is not None:
            _save_plan(mirror, made, datasets, out)
            command = f"sedas-sync apply{_argument(manifest)} --plan {out}"
        if common.as_json:
            _print_json(made.to_json(everything=everything))
        elif not common.quiet:
            click.echo(text.plan(made, everything=everything, colour=_colour(), command=command))
        _failures_to_stderr(made.failures if common.as_json or common.quiet else ())
        if made.failures:
            _exit(1)
        _exit(CHANGES_TO_MAKE if tell and made.changes else 0)


@cli.command()
@_manifest_argument
@_datasets
@click.option("--dry-run", is_flag=True, help="Only plan.")
@click.option("--no-wait", is_flag=True, help="Do not wait for LTA orders that are not ready.")
@click.option("--jobs", type=click.IntRange(min=1), help="Downloads at once.")
@_prune
@click.option("--max-prune", metavar="N|N%", help="Ask before removing more files.  [default: 10%, at least 5]")
@click.option("--yes", is_flag=True, help="Answer yes to every question.")
@click.option("--take-over", is_flag=True, help="Take the mirror from the manifest it belongs to.")
@click.option("--plan", "saved", type=click.Path(dir_okay=False), help="Carry out exactly this plan of `plan --out`.")
@_locked
@click.option("--update-lock", is_flag=True, help="Bring the lock up to date afterwards, digests too.")
@_lock_timeout
@_global_options
def apply(
    manifest: str,
    datasets: tuple[str, ...],
    dry_run: bool,
    no_wait: bool,
    jobs: int | None,
    prune: bool,
    max_prune: str | None,
    yes: bool,
    take_over: bool,
    saved: str | None,
    locked: bool,
    update_lock: bool,
    lock_timeout: float,
    common: Globals,
) -> None:
    """Make the folder what the manifest says."""
    from sedas_sync.prune import DEFAULT, Limit  # noqa: PLC0415  # as above

    limit = DEFAULT if max_prune is None else Limit.parse(max_prune)
    if saved is not None and (datasets or dry_run or locked or update_lock or prune):
        raise ManifestError(
            "--plan is the whole plan: no --dataset, --dry-run, --locked, --update-lock or --prune goes with it"
        )
    if update_lock and (datasets or locked or dry_run):
        raise ManifestError("--update-lock needs a search of the whole manifest: no --dataset, --locked or --dry-run")
    if prune and locked:
        raise ManifestError("--prune judges by the manifest's rules, --locked by the lock: they do not go together")
    if dry_run:
        _plan(manifest, common, datasets=datasets, locked=locked, prune=prune)
    quickly = locked and not (datasets or take_over)
    if quickly and not common.logs and _nothing_to_do(manifest, common):
        _exit(0)
    with _mirror(manifest, common) as mirror, _view(common, json_lines=common.as_json) as view:
        made_from = _made_from(manifest) if quickly else None
        given = None if saved is None else _saved_plan(mirror, saved)
        if locked:
            mirror.checked_lock()
        with _interruptible(), mirror.locked(timeout=lock_timeout):
            command = "apply"
            if given is not None:
                made, command = mirror.resume_plan(given, take_over=take_over), given.command
            else:
                made = mirror.plan(
                    datasets=datasets,
                    on_event=view,
                    on_found=view.found,
                    take_over=take_over,
                    locked=locked,
                    prune=prune,
                )
            with _stopping(mirror.stop) as caught:
                summary = mirror.apply(
                    made,
                    on_event=view,
                    wait=not no_wait,
                    jobs=jobs,
                    take_over=take_over,
                    max_prune=limit,
                    confirm=_confirm_prune(yes=yes),
                    command=command,
                )
            if made_from is not None and summary.exit_code == 0 and not caught:
                mirror.stamp(made_from, len(made.actions))
            if update_lock and not caught:
                _update_lock(mirror, made, common)
        code = summary.exit_code
        if caught:
            code = 128 + caught[0]
            click.echo(_INTERRUPTED, err=True)
        elif code == 3 and not common.quiet:  # noqa: PLR2004  # the contract's number
            click.echo(f"{summary.pending} scenes wait for the long-term archive: run it again later.", err=True)
        _exit(code)


@cli.command()
@_manifest_argument
@click.option("--check", is_flag=True, help="Only say what would change; exit with 10 where anything would.")
@_lock_timeout
@_global_options
def lock(manifest: str, check: bool, lock_timeout: float, common: Globals) -> None:
    """Pin the scenes that the manifest stands for in its lock, digests of those in the mirror too."""
    from contextlib import nullcontext  # noqa: PLC0415  # as above

    from sedas_sync.render import text  # noqa: PLC0415  # as above

    with _mirror(manifest, common) as mirror, _view(common, json_lines=False) as view, _interruptible():
        with nullcontext() if check else mirror.locked_if_there(timeout=lock_timeout):
            made = mirror.plan(on_event=view, on_found=view.found)
            _warn_all(made.warnings, common)
            if made.failures or not made.search_complete:
                _failures_to_stderr(made.failures)
            locked = mirror.relock(made, write=not check)
        if common.as_json:
            _print_json({"schema": 1, "manifest": mirror.manifest.source, "check": check, **locked.to_json()})
        elif not common.quiet:
            click.echo(text.relocked(locked, check=check))
        _exit(CHANGES_TO_MAKE if check and locked.news else 0)


@cli.command()
@click.argument("scene_id", metavar="ID")
@_manifest_argument
@_global_options
def why(scene_id: str, manifest: str, common: Globals) -> None:
    """Explain one scene: who wants it or what leaves it out, what is here of it, what comes next."""
    from sedas_sync.render import text  # noqa: PLC0415  # as above

    with _mirror(manifest, common) as mirror, _interruptible():
        found = mirror.why(scene_id)
        if common.as_json:
            _print_json(found.to_json())
        else:
            click.echo(text.explanation(found))
        _exit(0 if found.known else 1)


@cli.command()
@_manifest_argument
@click.option("--forget", metavar="ID", help="Forget an order, by its id or its scene's.")
@_global_options
def orders(manifest: str, forget: str | None, common: Globals) -> None:
    """Show the LTA orders of this mirror."""
    from datetime import UTC, datetime  # noqa: PLC0415  # as above

    from sedas_sync.render import text  # noqa: PLC0415
    from sedas_sync.status import order_json  # noqa: PLC0415

    with _mirror(manifest, common) as mirror:
        if forget is not None:
            if not mirror.forget_order(forget):
                raise ManifestError(f"{mirror.root}: remembers no order {forget!r}")
            if not common.as_json and not common.quiet:
                click.echo(f"Forgot {forget}.")
                return
        known, now = mirror.orders(), datetime.now(UTC)
        if common.as_json:
            _print_json([order_json(order, now) for order in known])
        elif known:
            click.echo(text.orders(known, now))
        elif not common.quiet:
            click.echo("No orders.")


@cli.command()
@_manifest_argument
@_global_options
def status(manifest: str, common: Globals) -> None:
    """Show what the mirror holds against what the last apply wanted; asks nobody."""
    from datetime import UTC, datetime  # noqa: PLC0415  # as above

    from sedas_sync.render import text  # noqa: PLC0415

    with _mirror(manifest, common) as mirror:
        found, now = mirror.status(), datetime.now(UTC)
        _warn_all(found.warnings, common)
        if common.as_json:
            _print_json(found.to_json(now))
        elif not common.quiet:
            click.echo(text.status(found, now))


@cli.command()
@_manifest_argument
@click.option("--repair", is_flag=True, help="Fetch anew what is missing, changed or corrupt.")
@click.option("--no-wait", is_flag=True, help="With --repair: do not wait for LTA orders that are not ready.")
@click.option("--jobs", type=click.IntRange(min=1), help="Files read (and with --repair, fetched) at once.")
@_lock_timeout
@_global_options
def verify(manifest: str, repair: bool, no_wait: bool, jobs: int | None, lock_timeout: float, common: Globals) -> None:
    """Read the mirror's bytes again, and name what is missing, changed, corrupt or unknown."""
    from contextlib import nullcontext  # noqa: PLC0415  # as above

    from sedas_sync.render import text  # noqa: PLC0415

    with _mirror(manifest, common) as mirror, _interruptible():
        caught: list[int] = []
        with mirror.locked(timeout=lock_timeout) if repair else nullcontext():
            with _reading(common) as told:
                report = mirror.verify(jobs=jobs, on_file=told)
            _warn_all(report.warnings, common)
            if not common.as_json and (not common.quiet or report.bad):
                click.echo(text.verified(report), err=common.quiet)
            if repair and report.bad:
                view_of_repair = _view(common, json_lines=False, summary=not common.as_json)
                with view_of_repair as view, _stopping(mirror.stop) as caught:
                    report = mirror.repair(report, on_event=view, wait=not no_wait, jobs=jobs)
        if caught:
            click.echo(_INTERRUPTED, err=True)
        if common.as_json:
            _print_json(report.to_json())
        _exit(128 + caught[0] if caught else report.exit_code)


@cli.command()
@_manifest_argument
@click.option("--from", "source", type=click.Path(file_okay=False), help="Take files from this folder.")
@click.option("--copy", "how", flag_value="copy", help="With --from: copy instead of linking.")
@click.option("--move", "how", flag_value="move", help="With --from: move instead of linking.")
@click.option("--jobs", type=click.IntRange(min=1), help="Files read at once.")
@click.option("--take-over", is_flag=True, help="Take the mirror from the manifest it belongs to.")
@_lock_timeout
@_global_options
def adopt(
    manifest: str,
    source: str | None,
    how: Literal["copy", "move"] | None,
    jobs: int | None,
    take_over: bool,
    lock_timeout: float,
    common: Globals,
) -> None:
    """Take files that are already there into the index, after checking them; fetches nothing."""
    from sedas_sync.render import text  # noqa: PLC0415  # as above

    if how is not None and source is None:
        raise ManifestError(f"--{how} says how files come out of another folder: it goes with --from")

    def tell(file: Any) -> None:
        bad = file.result.value in ("wrong", "failed")
        worth_a_line = file.result.value in ("adopted", "unwanted") or common.verbose
        if (bad or (worth_a_line and not common.quiet)) and not (common.as_json and not bad):
            click.echo(text.adopted_file(file), err=True)

    with _mirror(manifest, common) as mirror, _view(common, json_lines=False) as view, _stopping(mirror.stop) as caught:
        done = mirror.adopt(
            source,
            how=how or "link",
            jobs=jobs,
            on_file=tell,
            on_event=view,
            on_found=view.found,
            lock_timeout=lock_timeout,
            take_over=take_over,
        )
        if caught:
            click.echo(_INTERRUPTED, err=True)
        _warn_all(done.warnings, common)
        _failures_to_stderr(done.failures)
        if common.as_json:
            _print_json(done.to_json())
        elif not common.quiet:
            click.echo(text.adoption(done))
        _exit(128 + caught[0] if caught else done.exit_code)


@cli.command()
@_manifest_argument
@_global_options
def sources(manifest: str, common: Globals) -> None:
    """Show the satellites and source groups this account may search."""
    with _mirror(manifest, common) as mirror, _interruptible():
        found = mirror.sources()
        if common.as_json:
            _print_json({"schema": 1, "archives": found})
            return
        for archive in found:
            click.echo(f"{archive['archive']} ({archive['type']})")
            for title, key in (("satellites", "satellites"), ("source groups", "source_groups")):
                click.echo(f"  {title}: " + ", ".join(item["name"] for item in archive[key]))


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 takes a free one.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@_global_options
def sandbox(port: int, host: str, common: Globals) -> None:
    """Run the embedded archive on a local port (user and password: sandbox)."""
    from sedas_sync.sandbox import Sandbox  # noqa: PLC0415  # as above

    with _interruptible():
        try:
            server = Sandbox(host=host, port=port)
            server.start()
        except OSError as error:
            raise ManifestError(f"port {port} on {host} cannot be listened on: {error.strerror}") from None
        if common.as_json:
            _print_json({"schema": 1, "url": server.url, "username": "sandbox", "password": "sandbox"})
        else:
            click.echo(f"SeDAS sandbox at {server.url} (user sandbox, password sandbox); Ctrl-C ends it")
        sys.stdout.flush()
        signal.pause()


# -- what commands share ---------------------------------------------------------------------------------------------


@contextmanager
def _mirror(manifest: str, common: Globals, *, record: str | None = None, replay: str | None = None) -> Iterator[Any]:
    from sedas_sync.mirror import Mirror, load_manifest  # noqa: PLC0415  # as above

    _start_logging(common)
    checked = load_manifest(manifest)
    if replay is not None:
        from sedas_sync.archives.recorded import read_record  # noqa: PLC0415  # as above

        with _opened(replay, "r") as file:
            saved = read_record(file, replay)
        answering = {key: saved.archive(key) for key in checked.archives}
        with Mirror(checked, archives=answering, clock=lambda: saved.now) as mirror:
            yield mirror
    elif record is not None:
        with _opened(record, "w") as file, Mirror(checked, prompt=sys.stdin.isatty(), record=file) as mirror:
            yield mirror
    else:
        with Mirror(checked, prompt=sys.stdin.isatty()) as mirror:
            yield mirror


@contextmanager
def _opened(path: str, mode: Literal["r", "w"]) -> Iterator[IO[str]]:
    try:
        file = Path(path).open(mode, encoding="utf-8")  # noqa: SIM115  # closed two lines below
    except OSError as error:
        raise ManifestError(f"{path}: cannot be opened: {error.strerror}") from None
    with file:
        yield file


def _save_plan(mirror: Any, made: Any, datasets: tuple[str, ...], out: str) -> None:
    from sedas_sync.lockfile import write_whole  # noqa: PLC0415  # as above
    from sedas_sync.saved import dumps  # noqa: PLC0415

    write_whole(Path(out), dumps(mirror.save(made, datasets=datasets)).encode())


def _saved_plan(mirror: Any, file: str) -> Any:
    """A plan of `plan --out`, which was made from what the manifest says."""
    from sedas_sync.saved import loads  # noqa: PLC0415  # as above

    with _opened(file, "r") as opened:
        try:
            saved = loads(opened.read(), file)
        except UnicodeDecodeError:
            raise ManifestError(f"{file}: is not UTF-8 text; a saved plan is") from None
    mirror.check_saved(saved)
    return saved


def _made_from(manifest: str) -> Any:
    from sedas_sync.unchanged import made_from  # noqa: PLC0415  # as above

    return made_from(manifest)


def _nothing_to_do(manifest: str, common: Globals) -> bool:
    """Whether a locked run was plainly one with nothing to do, and has been told of."""
    from datetime import UTC, datetime  # noqa: PLC0415  # as above

    from sedas_sync.unchanged import nothing_to_do  # noqa: PLC0415

    with _interruptible():
        events = nothing_to_do(manifest, lambda: datetime.now(UTC))
    if events is None:
        return False
    with _view(common, json_lines=common.as_json) as view:
        for event in events:
            view(event)
    return True


def _update_lock(mirror: Any, made: Any, common: Globals) -> None:
    from sedas_sync.render import text  # noqa: PLC0415  # as above

    if made.failures or not made.search_complete:
        click.echo("The lock is left as it is: the search failed or stayed incomplete.", err=True)
        return
    locked = mirror.relock(made, applied=True)
    if not common.quiet:
        click.echo(text.relocked(locked, check=False), err=True)


@contextmanager
def _view(common: Globals, *, json_lines: bool, summary: bool = True) -> Iterator[Any]:
    from sedas_sync.render.live import view  # noqa: PLC0415  # as above

    shown = view(json_lines=json_lines, level=common.level, progress=common.progress, summarise=summary)
    try:
        yield shown
    finally:
        shown.close()


@contextmanager
def _reading(common: Globals) -> Iterator[Callable[[int, int, int, int], None] | None]:
    """A bar over the bytes that are read again, on a terminal."""
    if common.quiet or not common.progress or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm  # noqa: PLC0415  # only where there is a terminal to draw on

    with tqdm(unit="B", unit_scale=True, desc="verify", leave=False, file=sys.stderr, dynamic_ncols=True) as bar:

        def show(done: int, read: int, files: int, total: int) -> None:
            bar.total, bar.n = total, read
            bar.set_postfix_str(f"{done}/{files} files", refresh=False)
            bar.refresh()

        yield show


@contextmanager
def _interruptible() -> Iterator[None]:
    """While nothing is under way that would have to be brought to an end, a signal ends the process at once."""

    def leave(number: int, _frame: FrameType | None) -> NoReturn:
        sys.stdout.flush()
        sys.stderr.write("\nInterrupted: nothing was changed.\n")
        sys.stderr.flush()
        os._exit(128 + number)

    with _handling(leave):
        yield


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[list[int]]:
    """The first signal brings the run to an end in order, the second one ends the process at once."""
    caught: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(number)
        stop()

    with _handling(handle):
        yield caught


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _confirm_prune(*, yes: bool) -> Callable[[int, int], bool]:
    """The one question there is: whether more files may be removed than `--max-prune` allows."""

    def ask(count: int, held: int) -> bool:
        if yes:
            return True
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            return False
        with _interruptible():
            return click.confirm(f"Remove {count} of the {held} files that the mirror holds?", err=True)

    return ask


def _start_logging(common: Globals) -> None:
    if not common.logs:
        return
    from sedas_sync.log import start_logging  # noqa: PLC0415  # as above

    try:
        start_logging(common.log_file, to_stderr=common.verbose >= 2)  # noqa: PLR2004  # -vv
    except OSError as error:
        raise ManifestError(f"--log-file {common.log_file}: cannot be written: {error.strerror}") from None


def _colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _argument(manifest: str) -> str:
    return "" if manifest == "manifest.toml" else f" {shlex.quote(manifest)}"


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=1))


def _warn_all(warnings: tuple[str, ...], common: Globals) -> None:
    from sedas_sync.render.text import printable  # noqa: PLC0415  # as above

    if not common.quiet:
        for warning in warnings:
            click.echo(f"warning: {printable(warning)}", err=True)


def _failures_to_stderr(failures: Any) -> None:
    from sedas_sync.render.text import printable  # noqa: PLC0415  # as above

    for failure in failures:
        click.echo(f"failed: {printable(failure.id)}: {printable(failure.error)}", err=True)


def _exit(code: int) -> NoReturn:
    raise SystemExit(code)


def main() -> NoReturn:
    """Run the command line; ends the process with the contract's exit code and never shows a traceback."""
    code = 0
    try:
        cli(prog_name="sedas-sync", standalone_mode=False)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = 2
    except SedasSyncError as error:
        _tell_error(error)
        code = error.exit_code
    except BrokenPipeError:
        # Whoever read the output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        code = 1
    except Exception as error:  # noqa: BLE001  # the last line of defence: a user never sees a traceback
        _tell_unforeseen(error)
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    sys.stderr.flush()
    # Threads that wait on a slow server must not hold up the end of the process.
    os._exit(code)


def _tell_error(error: SedasSyncError) -> None:
    from sedas_sync.render.text import printable  # noqa: PLC0415  # as above

    lines = error.problems if isinstance(error, ManifestError) else (str(error),)
    for line in lines:
        click.echo(f"error: {printable(line)}", err=True)


def _tell_unforeseen(error: Exception) -> None:
    import logging  # noqa: PLC0415  # as above

    from sedas_sync.http import redact  # noqa: PLC0415

    logging.getLogger("sedas_sync").debug("unforeseen error", exc_info=error)
    message = redact(f"{type(error).__name__}: {error}")
    click.echo(f"error: something went wrong that sedas-sync did not foresee: {message}", err=True)
    click.echo("Everything that was done is kept. With `--log-file FILE` the details are written there.", err=True)
