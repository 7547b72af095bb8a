"""`sedas-sync verify`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import click

from sedas_sync.cli.options import Globals, global_options, lock_timeout_option, manifest_argument
from sedas_sync.cli.shared import (
    INTERRUPTED,
    end_with,
    event_view,
    interruptible,
    opened_mirror,
    print_json,
    stopping,
    warn_all,
)
from sedas_sync.render import text


@click.command()
@manifest_argument
@click.option("--repair", is_flag=True, help="Fetch anew what is missing, changed or corrupt.")
@click.option("--no-wait", is_flag=True, help="With --repair: do not wait for LTA orders that are not ready.")
@click.option("--jobs", type=click.IntRange(min=1), help="Files read (and with --repair, fetched) at once.")
@lock_timeout_option
@global_options
def verify(manifest: str, repair: bool, no_wait: bool, jobs: int | None, lock_timeout: float, common: Globals) -> None:
    """Read the mirror's bytes again, and name what is missing, changed, corrupt or unknown."""
    with opened_mirror(manifest, common) as mirror, interruptible():
        caught: list[int] = []
        with mirror.locked(timeout=lock_timeout) if repair else nullcontext():
            with reading(common) as told:
                report = mirror.verify(jobs=jobs, on_file=told)
            warn_all(report.warnings, common)
            if not common.as_json and (not common.quiet or report.bad):
                click.echo(text.verified(report), err=common.quiet)
            if repair and report.bad:
                view_of_repair = event_view(common, json_lines=False, summary=not common.as_json)
                with view_of_repair as view, stopping(mirror.stop) as caught:
                    report = mirror.repair(report, on_event=view, wait=not no_wait, jobs=jobs)
        if caught:
            click.echo(INTERRUPTED, err=True)
        if common.as_json:
            print_json(report.to_json())
        end_with(128 + caught[0] if caught else report.exit_code)


@contextmanager
def reading(common: Globals) -> Iterator[Callable[[int, int, int, int], None] | None]:
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
