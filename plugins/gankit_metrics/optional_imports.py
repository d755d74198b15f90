"""Libraries of the extra ``metrics``: there, or missed by name."""

from __future__ import annotations

import importlib
from types import ModuleType

import gankit


def import_optional(module: str, package: str, wanted_by: str) -> ModuleType:
    """Import ``module`` of ``package`` (as pip calls it) for ``wanted_by``, such as ``metric 'fd'``.

    Raises:
        gankit.GankitError: it is not installed, or fails to import.
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
