"""Imports of the libraries in the extra ``metrics``."""

from __future__ import annotations

import importlib
from types import ModuleType

import gankit


def import_optional(module: str, package: str, wanted_by: str) -> ModuleType:
    """Import ``module`` from the PyPI package ``package`` for ``wanted_by``, such as ``metric 'fd'``.

    Raises:
        gankit.GankitError: the package is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        is_missing = isinstance(error, ModuleNotFoundError) and error.name in (top, module)
        fault = "is not installed" if is_missing else f"cannot be imported ({error})"
        raise gankit.GankitError(
            f"{wanted_by} needs the package '{package}', which {fault}; run: pip install 'gankit[metrics]'"
        ) from error
