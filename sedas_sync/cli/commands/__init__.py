"""One module for each command: its function `run` is called with the arguments in `sedas_sync.cli.arguments`."""
