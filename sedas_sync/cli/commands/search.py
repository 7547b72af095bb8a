"""`sedas-sync search`."""

import sys
from typing import Literal

import click

from sedas_sync.cli.messages import print_warnings
from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, print_document, print_failures, write_lines
from sedas_sync.errors import ManifestError
from sedas_sync.model.events import exit_code_of
from sedas_sync.operations.search import search_archives
from sedas_sync.output import text
from sedas_sync.output.documents.catalogue import SceneEntry, SearchDocument
from sedas_sync.output.export import tables
from sedas_sync.output.style import look_of


def run(
    manifest: str,
    *,
    datasets: tuple[str, ...],
    how: Literal["table", "json", "geojson", "csv"] | None,
    common: Globals,
) -> None:
    """List the scenes that the archive offers for the manifest."""
    if common.as_json and how not in (None, "json"):
        raise ManifestError(f"--json means --format json: it cannot be combined with --format {how}")
    how = how or ("json" if common.as_json else "table")
    with shown_mirror(manifest, common) as (context, reporter):
        result = search_archives(context, datasets=datasets, on_event=reporter)
        reporter.close()
        print_warnings(result.warnings, common)
        wanted_by = {want.scene.id: want.datasets for want in result.wants.values()}
        if how == "json":
            document = SearchDocument(
                manifest=context.manifest.name,
                search_complete=result.complete,
                scenes=[SceneEntry.wanted_by(scene, wanted_by[scene.id]) for scene in result.scenes],
                failures=list(result.failures),
                warnings=tuple(result.warnings),
            )
            print_document(document)
        elif how == "geojson":
            write_lines(tables.as_geojson(tables.offered(result.scenes, wanted_by)))
        elif how == "csv":
            write_lines(tables.as_csv(tables.offered(result.scenes, wanted_by), tables.COLUMNS))
        else:
            click.echo(text.scenes(result.scenes, wanted_by, look_of(sys.stdout)))
        print_failures(result.failures)
        end_with(exit_code_of(result.failures))
