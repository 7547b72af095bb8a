"""`sedas-sync completion`."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from sedas_sync.cli.options import Globals
from sedas_sync.cli.session import print_document
from sedas_sync.output.documents.catalogue import CompletionDocument

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_SEDAS_SYNC_COMPLETE"
"""The variable that a shell sets to request completions; click derives it from the program's name."""


def run(shell: str, *, common: Globals) -> None:
    """Print the script of a shell."""
    script = script_for(shell)
    if common.as_json:
        print_document(CompletionDocument(shell=shell, script=script))
    else:
        click.echo(script)


def script_for(shell: str) -> str:
    """Return the script of a shell, whether or not that shell is installed."""
    kind = get_completion_class(shell)
    if kind is None:
        raise AssertionError(shell)
    return ShellComplete.source(kind(click.Command("sedas-sync"), {}, "sedas-sync", VARIABLE))
