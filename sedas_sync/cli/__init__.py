"""The command line: options, exit codes, and which view shows what. All deeds are `sedas_sync.api`'s."""

from sedas_sync.cli.main import cli, main

__all__ = ["cli", "main"]
