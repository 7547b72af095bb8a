"""`sedas-sync validate`."""

import sys

import click

from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.errors import ManifestError
from sedas_sync.model.text import count
from sedas_sync.operations.load import load_manifest
from sedas_sync.output.areas import aoi_entry, aoi_line
from sedas_sync.output.documents.catalogue import ValidateDocument
from sedas_sync.output.style import look_of


def run(manifest: str, *, common: Globals) -> None:
    """Check a manifest without the network."""
    try:
        checked = load_manifest(manifest)
    except ManifestError as error:
        if common.as_json:
            print_document(ValidateDocument(manifest=manifest, valid=False, problems=error.problems))
            common.as_json = False  # the mistakes are in this document
        raise
    warnings = tuple(f"aoi {name}: {repair}" for name, aoi in checked.aois.items() for repair in aoi.repairs)
    if common.quiet and not common.as_json:
        return
    aois = tuple(aoi_entry(name, aoi) for name, aoi in checked.aois.items())
    if common.as_json:
        document = ValidateDocument(
            manifest=manifest,
            valid=True,
            problems=(),
            datasets=tuple(checked.datasets),
            warnings=warnings,
            aois=aois,
        )
        print_document(document)
    else:
        valid = f"{manifest}: valid, {count(len(checked.datasets), 'dataset')}"
        for line in (*warnings, *map(aoi_line, aois), valid):
            click.echo(look_of(sys.stdout).wrap(line, after="  "))
