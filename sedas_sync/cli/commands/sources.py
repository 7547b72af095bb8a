"""`sedas-sync sources`."""

import sys

import click

from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.model.events import Step
from sedas_sync.operations.search import sources
from sedas_sync.output import text
from sedas_sync.output.documents.catalogue import SourcesDocument, SourcesEntry
from sedas_sync.output.style import look_of


def run(manifest: str, *, common: Globals) -> None:
    """List the satellites and source groups that this account may search."""
    with shown_mirror(manifest, common) as (context, reporter):
        reporter.step(Step("asking the archive"))
        found = [SourcesEntry(**archive) for archive in sources(context)]
        reporter.close()
        if common.as_json:
            print_document(SourcesDocument(archives=found))
        else:
            click.echo(text.sources(found, look_of(sys.stdout)))
