"""The command line: arguments, exit codes and signals. The work is done by `sedas_sync.api` and its operations."""
