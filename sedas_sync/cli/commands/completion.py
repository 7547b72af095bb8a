"""`sedas-sync completion`."""

import click
from click.shell_completion import ShellComplete, get_completion_class

from sedas_sync.cli.options import Globals, global_options
from sedas_sync.cli.session import print_json

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_SEDAS_SYNC_COMPLETE"
"""What tells the program that a shell asks; click makes it of the program's name."""


@click.command(
    epilog="""\b
bash: eval "$(sedas-sync completion bash)" in ~/.bashrc
zsh:  eval "$(sedas-sync completion zsh)" in ~/.zshrc, after compinit
fish: sedas-sync completion fish > ~/.config/fish/completions/sedas-sync.fish
"""
)
@click.argument("shell", type=click.Choice(SHELLS))
@global_options
def completion(shell: str, common: Globals) -> None:
    """Print the script that lets a shell complete commands, options, datasets and scenes."""
    script = script_for(shell)
    if common.as_json:
        print_json({"schema": 1, "shell": shell, "script": script})
    else:
        click.echo(script)


def script_for(shell: str) -> str:
    """The script of a shell; whether it is installed here is not asked."""
    kind = get_completion_class(shell)
    if kind is None:
        raise AssertionError(shell)
    made = kind(click.Command("sedas-sync"), {}, "sedas-sync", VARIABLE)
    return ShellComplete.source(made)
