"""`sedas-sync lock`."""

import sys
from contextlib import nullcontext

import click

from sedas_sync.cli.options import Globals, global_options, lock_timeout_option, manifest_argument
from sedas_sync.cli.session import (
    CHANGES_TO_MAKE,
    end_with,
    event_view,
    interruptible,
    opened_mirror,
    print_json,
    tell,
    tell_failures,
    warn_all,
)
from sedas_sync.errors import AuthenticationError
from sedas_sync.output import text
from sedas_sync.output.style import look_of


@click.command()
@manifest_argument
@click.option("--check", is_flag=True, help="Only say what would change; exit with 10 where anything would.")
@lock_timeout_option
@global_options
def lock(manifest: str, check: bool, lock_timeout: float, common: Globals) -> None:
    """Pin the scenes that the manifest stands for in its lock, digests of those in the mirror too."""
    with opened_mirror(manifest, common) as mirror, event_view(common, json_lines=False) as view, interruptible(view):
        warn_all(mirror.check_old_lock(write=not check), common)
        mirror.on_step = view.step
        with nullcontext() if check else mirror.locked_if_there(timeout=lock_timeout):
            made = mirror.plan(on_event=view, on_found=view.found)
            view.close()
            warn_all(made.warnings, common)
            if made.failures or not made.search_complete:
                tell_failures(made.failures)
                if any(failure.refused for failure in made.failures):
                    tell("error: the lock is left as it is, since a search was refused")
                    end_with(AuthenticationError.exit_code)
            locked = mirror.relock(made, write=not check)
        if common.as_json:
            print_json({"schema": 1, "manifest": mirror.manifest.source, "check": check, **locked.to_json()})
        elif not common.quiet:
            click.echo(text.relocked(locked, check=check, look=look_of(sys.stdout)))
        end_with(CHANGES_TO_MAKE if check and locked.news else 0)
