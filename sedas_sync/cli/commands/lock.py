"""`sedas-sync lock`."""

import sys
from contextlib import nullcontext

import click

from sedas_sync.cli.mirror import opened_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import (
    CHANGES_TO_MAKE,
    end_with,
    interruptible,
    print_error,
    print_failures,
    print_warnings,
    reporting,
)
from sedas_sync.errors import AuthenticationError
from sedas_sync.output import text
from sedas_sync.output.documents.base import json_lines
from sedas_sync.output.documents.plan import LockDocument
from sedas_sync.output.style import look_of


def run(manifest: str, *, check: bool, lock_timeout: float, common: Globals) -> None:
    """Write the lock file, or print what would change in it."""
    with opened_mirror(manifest, common) as mirror, reporting(common) as reporter, interruptible(reporter):
        print_warnings(mirror.check_old_lock(write=not check), common)
        mirror.on_step = reporter.step
        with nullcontext() if check else mirror.locked_if_there(timeout=lock_timeout):
            plan = mirror.plan(on_event=reporter, on_found=reporter.found)
            reporter.close()
            print_warnings(plan.warnings, common)
            if plan.failures or not plan.search_complete:
                print_failures(plan.failures)
                if any(failure.refused for failure in plan.failures):
                    print_error("the lock file is not changed: the archive refused a search")
                    end_with(AuthenticationError.exit_code)
            update = mirror.relock(plan, write=not check)
        if common.as_json:
            document = LockDocument.about(update, manifest=mirror.manifest.source, check=check)
            sys.stdout.writelines(json_lines(document))
        elif not common.quiet:
            click.echo(text.lock_update(update, check=check, look=look_of(sys.stdout)))
        end_with(CHANGES_TO_MAKE if check and update.news else 0)
