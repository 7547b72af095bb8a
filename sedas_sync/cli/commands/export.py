"""`sedas-sync export`."""

import sys
from dataclasses import replace

import click

from sedas_sync.cli.options import Globals, global_options, manifest_argument
from sedas_sync.cli.session import end_with, event_view, interruptible, opened_mirror, print_json, tell, tell_failures
from sedas_sync.errors import ManifestError
from sedas_sync.output.export import FORMATS, Exported, Format

_TOLD = 10


@click.command()
@manifest_argument
@click.option("--format", "how", type=click.Choice(FORMATS), required=True, help="How to write the catalogue.")
@click.option(
    "--out", type=click.Path(), help="The file, or the folder of a STAC catalogue.  [default: standard output; stac/]"
)
@global_options
def export(manifest: str, how: Format, out: str | None, common: Globals) -> None:
    """Write the mirror's catalogue for other tools."""
    to_stdout = out is None and how != "stac"
    if to_stdout and common.as_json:
        raise ManifestError(f"--json says what was written: with --format {how} it needs --out FILE")
    # Bars would stand in the middle of what is printed.
    common = replace(common, progress=False) if to_stdout and sys.stdout.isatty() else common
    viewed = event_view(common, json_lines=False)
    with opened_mirror(manifest, common) as mirror, viewed as view, interruptible(view):
        mirror.on_step = view.step
        done = mirror.export(how, sys.stdout.buffer if to_stdout else out)
        view.close()
        tell_exported(done, common, to_stderr=to_stdout)
        if common.as_json:
            print_json(done.to_json())
        end_with(done.exit_code)


def tell_exported(done: Exported, common: Globals, *, to_stderr: bool) -> None:
    """What was left out, and what was written where."""
    tell_failures(done.failures)
    if common.quiet:
        return
    for item in done.left_out[:_TOLD]:
        tell(f"warning: left out {item.id}: {item.error}")
    if len(done.left_out) > _TOLD:
        tell(f"warning: left out {len(done.left_out) - _TOLD} more; --json names all")
    if done.out is not None and not common.as_json:
        scenes = f"{done.scenes} scene{'' if done.scenes == 1 else 's'}"
        click.echo(
            f"Wrote {scenes} to {done.out}." if done.written else f"{done.out} is up to date: {scenes}.", err=to_stderr
        )
