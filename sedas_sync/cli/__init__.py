"""The command line: arguments, exit codes and signals. The work is done by `sedas_sync.api` and its operations."""

from sedas_sync.cli.main import cli, main

__all__ = ["cli", "main"]
