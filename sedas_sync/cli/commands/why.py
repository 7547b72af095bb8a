"""`sedas-sync why`."""

import sys

import click

from sedas_sync.cli.messages import print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, print_document
from sedas_sync.model.text import product_id
from sedas_sync.operations.why import explain_scene
from sedas_sync.output import text
from sedas_sync.output.documents.plan import WhyDocument
from sedas_sync.output.style import look_of


def run(scene_id: str, *, manifest: str, common: Globals) -> None:
    """Explain one scene, named by its id, a part of it or the path of its file."""
    scene_id = product_id(scene_id.rpartition("/")[2])
    with shown_mirror(manifest, common) as (context, reporter):
        found = explain_scene(context, scene_id)
        reporter.close()
        print_warnings(found.warnings, common)
        if common.as_json:
            print_document(WhyDocument.about(found))
        else:
            click.echo(text.explanation(found, look_of(sys.stdout)))
        end_with(0 if found.known else 1)
