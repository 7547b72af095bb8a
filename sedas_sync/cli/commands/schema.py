"""`sedas-sync schema`."""

import click

from sedas_sync.cli.options import Globals, completer, global_options
from sedas_sync.cli.session import print_json
from sedas_sync.errors import ManifestError


@click.command()
@click.argument("name", default="manifest", metavar="[COMMAND]", shell_complete=completer("documents"))
@global_options
def schema(name: str, common: Globals) -> None:
    """Print the JSON Schema of the manifest, for editors, or of what a command prints with --json."""
    del common
    if name == "manifest":
        from sedas_sync.archives.registry import TYPES  # noqa: PLC0415  # only what is asked for
        from sedas_sync.manifest.schema import manifest_schema  # noqa: PLC0415

        print_json(manifest_schema(TYPES))
        return
    from sedas_sync.output.json_schema import COMMANDS, schema_of  # noqa: PLC0415  # as above

    if name not in COMMANDS:
        raise ManifestError(f"{name}: has no schema; known here: manifest, {', '.join(COMMANDS)}")
    print_json(schema_of(name))
