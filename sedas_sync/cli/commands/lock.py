"""`sedas-sync lock`."""

import sys
from contextlib import nullcontext

import click

from sedas_sync.cli.messages import print_error, print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import CHANGES_TO_MAKE, end_with, print_document, print_failures
from sedas_sync.errors import AuthenticationError
from sedas_sync.operations.lock import check_old_lock, update_lock
from sedas_sync.operations.plan import plan_mirror
from sedas_sync.output import text
from sedas_sync.output.documents.plan import LockDocument
from sedas_sync.output.style import look_of


def run(manifest: str, *, check: bool, lock_timeout: float, common: Globals) -> None:
    """Write the lock file, or print what would change in it."""
    with shown_mirror(manifest, common) as (context, reporter):
        print_warnings(check_old_lock(context, write=not check), common)
        with nullcontext() if check else context.state.locked_if_there(timeout=lock_timeout):
            plan = plan_mirror(context, on_event=reporter, refresh=True)
            reporter.close()
            print_warnings(plan.warnings, common)
            if plan.failures or not plan.search_complete:
                print_failures(plan.failures)
                if any(failure.refused for failure in plan.failures):
                    print_error("the lock file is not changed: the archive refused a search")
                    end_with(AuthenticationError.exit_code)
            update = update_lock(context, plan, write=not check)
        if common.as_json:
            document = LockDocument.about(update, manifest=context.manifest.name, check=check)
            print_document(document)
        elif not common.quiet:
            click.echo(text.lock_update(update, check=check, look=look_of(sys.stdout)))
        end_with(CHANGES_TO_MAKE if check and update.news else 0)
