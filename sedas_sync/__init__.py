"""A declarative mirror for satellite scenes.

A TOML manifest states which scenes a folder has to contain. `Mirror.apply` downloads them, and does nothing if called
again::

    import sedas_sync as ss

    manifest = ss.load_manifest("manifest.toml")
    with ss.Mirror(manifest) as mirror:
        plan = mirror.plan()
        result = mirror.apply(plan, on_event=print)

The file `__init__.pyi` lists the names that this module exports, for type checkers and for this module. They are
public, and so are `sedas_sync.errors`, `sedas_sync.events`, `sedas_sync.results`, `sedas_sync.sandbox`,
`sedas_sync.compat`, `sedas_sync.testing`, `sedas_sync.archives.plugin` and `sedas_sync.workers.dask`. Everything else
may change.
"""

import re
from importlib import import_module
from pathlib import Path

from sedas_sync._version import __version__ as __version__

_IMPORT = re.compile(r"^from (\S+) import (\w+) as \2$", re.MULTILINE)
_homes: dict[str, str] = {}


def _home_of_each_name() -> dict[str, str]:
    """Return the module of each public name."""
    if not _homes:
        stub = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
        _homes.update((name, module) for module, name in _IMPORT.findall(stub))
    return _homes


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that a command loads only what it needs."""
    if name == "__all__":
        return sorted(_home_of_each_name())
    if name in _home_of_each_name():
        value = getattr(import_module(_homes[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(_home_of_each_name())
