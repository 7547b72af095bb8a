"""`sedas-sync report`."""

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.session import event_view, interruptible, opened_mirror, print_json, warn_all


@click.command()
@manifest_argument
@click.option(
    "--out",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Where to.  [default: <manifest stem>.html beside it]",
)
@global_options
def report(manifest: str, out: str | None, common: Globals) -> None:
    """Write one HTML page of footprints, acquisitions, orders and failures; asks nobody."""
    viewed = event_view(common, json_lines=False)
    with opened_mirror(manifest, common) as mirror, viewed as view, interruptible(view):
        mirror.on_step = view.step
        written = mirror.report(out)
        view.close()
        warn_all(written.warnings, common)
        if common.as_json:
            print_json(written.to_json())
        elif not common.quiet:
            from sedas_sync.model.text import printable, size  # noqa: PLC0415  # only where it is needed

            noun = "scene" if written.scenes == 1 else "scenes"
            click.echo(f"Wrote {printable(written.path)}: {written.scenes:,} {noun}, {size(written.bytes)}.")
