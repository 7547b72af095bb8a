"""`sedas-sync report`."""

import click

from sedas_sync.cli.messages import print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.model.text import count, printable, size
from sedas_sync.output.documents.catalogue import ReportDocument
from sedas_sync.output.report.write import write_report


def run(manifest: str, *, out: str | None, quicklooks: bool, common: Globals) -> None:
    """Write one HTML page about a mirror."""
    with shown_mirror(manifest, common, outputs={"--out": out}) as (context, reporter):
        written = write_report(context, out, quicklooks=quicklooks)
        reporter.close()
        print_warnings(written.warnings, common)
        if common.as_json:
            print_document(ReportDocument.of(written, report=written.path))
        elif not common.quiet:
            click.echo(f"Wrote {printable(written.path)}: {count(written.scenes, 'scene')}, {size(written.bytes)}.")
