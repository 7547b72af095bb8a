"""`sedas-sync adopt`."""

from functools import partial
from typing import Any, Literal

import click

from sedas_sync.cli.options import Globals, global_options, lock_timeout_option, manifest_argument
from sedas_sync.cli.session import (
    end_with,
    event_view,
    interrupted,
    opened_mirror,
    print_json,
    stopping,
    tell,
    tell_failures,
    warn_all,
)
from sedas_sync.errors import ManifestError
from sedas_sync.output import text


@click.command()
@manifest_argument
@click.option("--from", "source", type=click.Path(file_okay=False), help="Take files from this folder.")
@click.option("--copy", is_flag=True, help="With --from: copy instead of linking.")
@click.option("--move", is_flag=True, help="With --from: move instead of linking.")
@click.option("--jobs", type=click.IntRange(min=1), help="Files read at once.")
@click.option("--take-over", is_flag=True, help="Take the mirror from the manifest it belongs to.")
@lock_timeout_option
@global_options
def adopt(
    manifest: str,
    source: str | None,
    copy: bool,
    move: bool,
    jobs: int | None,
    take_over: bool,
    lock_timeout: float,
    common: Globals,
) -> None:
    """Take files that are already there into the index, after checking them; fetches nothing."""
    if copy and move:
        raise ManifestError("--copy and --move exclude each other: files come out of --from in one way")
    how: Literal["link", "copy", "move"] = "copy" if copy else "move" if move else "link"
    if how != "link" and source is None:
        raise ManifestError(f"--{how} says how files come out of another folder: it goes with --from")

    def tell_file(view: Any, file: Any) -> None:
        bad = file.result.value in ("wrong", "failed")
        worth_a_line = file.result.value in ("adopted", "unwanted") or common.verbose
        if (bad or (worth_a_line and not common.quiet)) and not (common.as_json and not bad):
            view.say(text.adopted_file(file))

    with (
        opened_mirror(manifest, common) as mirror,
        event_view(common, json_lines=False) as view,
        stopping(mirror.stop, view) as caught,
    ):
        mirror.on_step = view.step
        done = mirror.adopt(
            source,
            how=how,
            jobs=jobs,
            on_file=partial(tell_file, view),
            on_event=view,
            on_found=view.found,
            lock_timeout=lock_timeout,
            take_over=take_over,
        )
        view.close()
        if caught:
            tell(interrupted())
        warn_all(done.warnings, common)
        tell_failures(done.failures)
        if common.as_json:
            print_json(done.to_json())
        elif not common.quiet:
            click.echo(text.adoption(done))
        end_with(128 + caught[0] if caught else done.exit_code)
