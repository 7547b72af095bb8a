"""`sedas-sync export`."""

import sys
from dataclasses import replace

from sedas_sync.cli.mirror import shown_mirror
from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import end_with, print_document, print_exported
from sedas_sync.errors import ManifestError
from sedas_sync.output.documents.catalogue import ExportDocument
from sedas_sync.output.export import Format, LinkKind
from sedas_sync.output.export.job import export


def run(
    manifest: str, *, how: Format, out: str | None, self_contained: bool, links: LinkKind | None, common: Globals
) -> None:
    """Export the mirror's catalogue for other tools."""
    if links is not None and not self_contained:
        raise ManifestError("--links goes with --self-contained")
    to_stdout = out is None and how != "stac"
    if to_stdout and how == "geoparquet":
        raise ManifestError("--format geoparquet writes a file: name it with --out")
    if to_stdout and common.as_json:
        raise ManifestError(f"--json prints what was written: with --format {how} it needs --out FILE")
    # Progress bars would be mixed with the catalogue.
    common = replace(common, progress=False) if to_stdout and sys.stdout.isatty() else common
    with shown_mirror(manifest, common, outputs={"--out": out}) as (context, reporter):
        done = export(
            context, how, sys.stdout.buffer if to_stdout else out, self_contained=self_contained, links=links or "hard"
        )
        reporter.close()
        print_exported(done, common, to_stderr=to_stdout)
        if common.as_json:
            print_document(ExportDocument.about(done))
        end_with(done.exit_code)
