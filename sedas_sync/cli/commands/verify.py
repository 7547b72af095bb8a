"""`sedas-sync verify`."""

from contextlib import nullcontext

import click

from sedas_sync.cli.options import Globals, global_options, lock_timeout_option, manifest_argument
from sedas_sync.cli.session import (
    end_with,
    event_view,
    interrupted,
    interruptible,
    opened_mirror,
    print_json,
    stopping,
    tell,
    warn_all,
)
from sedas_sync.output import text


@click.command()
@manifest_argument
@click.option("--repair", is_flag=True, help="Fetch anew what is missing, changed or corrupt.")
@click.option("--no-wait", is_flag=True, help="With --repair: do not wait for LTA orders that are not ready.")
@click.option("--jobs", type=click.IntRange(min=1), help="Files read (and with --repair, fetched) at once.")
@lock_timeout_option
@global_options
def verify(manifest: str, repair: bool, no_wait: bool, jobs: int | None, lock_timeout: float, common: Globals) -> None:
    """Read the mirror's bytes again, and name what is missing, changed, corrupt or unknown."""
    viewed = event_view(common, json_lines=False, summary=not common.as_json)
    with opened_mirror(manifest, common) as mirror, viewed as view, interruptible(view):
        mirror.on_step = view.step
        caught: list[int] = []
        with mirror.locked(timeout=lock_timeout) if repair else nullcontext():
            report = mirror.verify(jobs=jobs)
            view.close()
            warn_all(report.warnings, common)
            if not common.as_json and (not common.quiet or report.bad):
                click.echo(text.verified(report), err=common.quiet)
            if repair and report.bad:
                with stopping(mirror.stop, view) as caught:
                    report = mirror.repair(report, on_event=view, wait=not no_wait, jobs=jobs)
        if caught:
            tell(interrupted())
        if common.as_json:
            print_json(report.to_json())
        end_with(128 + caught[0] if caught else report.exit_code)
