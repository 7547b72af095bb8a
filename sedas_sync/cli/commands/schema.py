"""`sedas-sync schema`."""

import json

import click

from sedas_sync.archives.registry import TYPES
from sedas_sync.cli.options import Globals
from sedas_sync.errors import ManifestError
from sedas_sync.manifest.schema import manifest_schema
from sedas_sync.output.json_schema import COMMANDS, schema_of


def run(name: str, *, common: Globals) -> None:
    """Print the JSON Schema of the manifest or of a command's JSON."""
    del common
    if name != "manifest" and name not in COMMANDS:
        raise ManifestError(f"{name}: has no schema; choose one of manifest, {', '.join(COMMANDS)}")
    schema = manifest_schema(TYPES) if name == "manifest" else schema_of(name)
    click.echo(json.dumps(schema, indent=2))
