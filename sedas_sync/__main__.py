"""`python -m sedas_sync` is `sedas-sync`."""

from sedas_sync.cli import main

main()
