"""`sedas-sync search`."""

import sys

import click

from sedas_sync.cli.options import Globals, datasets_option, global_options, manifest_argument
from sedas_sync.cli.session import (
    end_with,
    event_view,
    interruptible,
    opened_mirror,
    print_json,
    tell_failures,
    warn_all,
    write_lines,
)
from sedas_sync.errors import ManifestError
from sedas_sync.model.events import exit_code_of
from sedas_sync.output import text
from sedas_sync.output.export import tables
from sedas_sync.output.style import look_of


@click.command()
@manifest_argument
@datasets_option
@click.option(
    "--format", "how", type=click.Choice(["table", "json", "geojson", "csv"]), help="How to write the scenes."
)
@global_options
def search(manifest: str, datasets: tuple[str, ...], how: str | None, common: Globals) -> None:
    """Show what the archive offers for the manifest."""
    if common.as_json and how not in (None, "json"):
        raise ManifestError(f"--json means --format json: it does not go with --format {how}")
    how = how or ("json" if common.as_json else "table")
    with opened_mirror(manifest, common) as mirror, event_view(common, json_lines=False) as view, interruptible(view):
        mirror.on_step = view.step
        result = mirror.search(datasets=datasets, on_event=view, on_found=view.found)
        view.close()
        warn_all(result.warnings, common)
        of = {want.scene.id: want.datasets for want in result.wants.values()}
        if how == "json":
            print_json(
                {
                    "schema": 1,
                    "manifest": mirror.manifest.source,
                    "search_complete": result.complete,
                    "scenes": [tables.facts(scene, of[scene.id]) for scene in result.scenes],
                    "failures": [{"id": failure.id, "error": failure.error} for failure in result.failures],
                    "warnings": list(result.warnings),
                }
            )
        elif how == "geojson":
            write_lines(tables.as_geojson(tables.offered(result.scenes, of)))
        elif how == "csv":
            write_lines(tables.as_csv(tables.offered(result.scenes, of), tables.COLUMNS))
        else:
            click.echo(text.scenes(result.scenes, of, look_of(sys.stdout)))
        tell_failures(result.failures)
        end_with(exit_code_of(result.failures))
