"""`python -m sedas_sync` is the command `sedas-sync`."""

from sedas_sync.cli.main import main

if __name__ == "__main__":
    main()
