"""The version, in a module that imports nothing: `sedas-sync --version` needs no more than this."""

__version__ = "0.2.0"
