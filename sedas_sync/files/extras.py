"""Packages that an extra of this package installs."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from sedas_sync.errors import ManifestError


def load_extra(module: str, extra: str, purpose: str, error: Callable[[str], Exception] = ManifestError) -> ModuleType:
    """Import a module that needs an extra.

    A module of this package imports such a package here, in the functions that use it. One whose every function uses
    it has a usual import at its top, and is itself imported here.

    Args:
        module: Its full name.
        extra: The extra, as in `pyproject.toml`.
        purpose: What needs it, as the subject of a sentence: `a STAC catalogue`.
        error: Makes the error from its message.

    Raises:
        Exception: `error`, if the module cannot be imported.
    """
    try:
        return import_module(module)
    except ImportError as missing:
        raise error(
            f"{purpose} needs the extra \"{extra}\": pip install 'sedas-sync[{extra}]' ({missing})"
        ) from missing
