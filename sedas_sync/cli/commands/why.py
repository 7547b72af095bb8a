"""`sedas-sync why`."""

import sys

import click

from sedas_sync.cli.options import Globals, completer, global_options, manifest_argument
from sedas_sync.cli.session import end_with, event_view, interruptible, opened_mirror, print_json, warn_all
from sedas_sync.model.text import product_id
from sedas_sync.output import text
from sedas_sync.output.style import look_of


@click.command()
@click.argument("scene_id", metavar="ID", shell_complete=completer("scenes"))
@manifest_argument
@global_options
def why(scene_id: str, manifest: str, common: Globals) -> None:
    """Explain one scene: who wants it or what leaves it out, what is here of it, what comes next.

    ID may be the path of its file, or end in .SAFE.
    """
    scene_id = product_id(scene_id.rpartition("/")[2])
    with opened_mirror(manifest, common) as mirror, event_view(common, json_lines=False) as view, interruptible(view):
        mirror.on_step = view.step
        found = mirror.why(scene_id, on_found=view.found)
        view.close()
        warn_all(found.warnings, common)
        if common.as_json:
            print_json(found.to_json())
        else:
            click.echo(text.explanation(found, look_of(sys.stdout)))
        end_with(0 if found.known else 1)
