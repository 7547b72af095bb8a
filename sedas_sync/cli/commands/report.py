"""`sedas-sync report`."""

import sys

import click

from sedas_sync.cli.mirror import opened_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import interruptible, print_warnings, reporting
from sedas_sync.model.text import count, printable, size
from sedas_sync.output.documents.base import json_lines
from sedas_sync.output.documents.catalogue import ReportDocument


def run(manifest: str, *, out: str | None, common: Globals) -> None:
    """Write one HTML page about a mirror."""
    with opened_mirror(manifest, common) as mirror, reporting(common) as reporter, interruptible(reporter):
        mirror.on_step = reporter.step
        written = mirror.report(out)
        reporter.close()
        print_warnings(written.warnings, common)
        if common.as_json:
            sys.stdout.writelines(json_lines(ReportDocument.of(written, report=written.path)))
        elif not common.quiet:
            click.echo(f"Wrote {printable(written.path)}: {count(written.scenes, 'scene')}, {size(written.bytes)}.")
