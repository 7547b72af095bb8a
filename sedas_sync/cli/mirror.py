"""Open the mirror of a manifest for a command."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext

from sedas_sync.archives.replay import read_record
from sedas_sync.cli.manifest import checked_manifest
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import interruptible, opened_file, reporting
from sedas_sync.manifest import Manifest
from sedas_sync.model.scene import NOTHING
from sedas_sync.operations.context import MirrorContext, open_mirror
from sedas_sync.output.reporters import Reporter


@contextmanager
def opened_mirror(
    manifest: str,
    common: Globals,
    *,
    record: str | None = None,
    replay: str | None = None,
    outputs: Mapping[str, str | None] = NOTHING,
    inputs: Mapping[str, str | None] = NOTHING,
) -> Iterator[MirrorContext]:
    """Open the mirror of a manifest.

    Args:
        manifest: The manifest's file.
        common: The global options.
        record: Write all answers of the archives to this file.
        replay: Take the answers from this file instead of asking the archives.
        outputs: The other files that the command writes, by their options.
        inputs: The other files that it reads.
    """
    checked = checked_manifest(manifest, common, {**outputs, "--record": record}, {**inputs, "--replay": replay})
    with nullcontext() if record is None else opened_file(record, "w") as answers:
        if replay is None:
            context = open_mirror(checked, prompt=sys.stdin.isatty(), record=answers)
        else:
            context = _replayed(checked, replay)
        with closing(context.archives):
            yield context


def _replayed(manifest: Manifest, replay: str) -> MirrorContext:
    """Return the context of a manifest whose archives answer as they did when a file was recorded."""
    with opened_file(replay, "r") as file:
        saved = read_record(file, replay)
    answering = {key: saved.archive(key) for key in manifest.archives}
    return open_mirror(manifest, answering, clock=lambda: saved.now)


@contextmanager
def shown_mirror(
    manifest: str,
    common: Globals,
    *,
    summary: bool = True,
    record: str | None = None,
    replay: str | None = None,
    outputs: Mapping[str, str | None] = NOTHING,
) -> Iterator[tuple[MirrorContext, Reporter]]:
    """Open the mirror of a manifest for a command that shows its progress, and that a signal ends at once.

    Args:
        manifest: The manifest's file.
        common: The global options.
        summary: See `reporting`.
        record: See `opened_mirror`.
        replay: See `opened_mirror`.
        outputs: See `opened_mirror`.
    """
    opened = opened_mirror(manifest, common, record=record, replay=replay, outputs=outputs)
    with opened as context, reporting(common, summary=summary) as reporter, interruptible(reporter):
        context.state.on_step = reporter.step
        yield context, reporter
