"""Imports of libraries that an extra of gankit installs."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

from .errors import GankitError


def require_optional(module: str, package: str, wanted_by: str, extra: str) -> None:
    """Require that a library is installed, without importing it. The arguments are those of `import_optional`.

    Raises:
        GankitError: it is not installed.
    """
    if find_spec(module.partition(".")[0]) is None:
        raise _missing(package, wanted_by, extra, "is not installed")


def import_optional(module: str, package: str, wanted_by: str, extra: str) -> ModuleType:
    """Import a module of a library that may not be installed.

    Args:
        module: the module, such as ``torchmetrics.image.fid``.
        package: its package on PyPI.
        wanted_by: the component that needs it, such as ``metric 'fd'``.
        extra: the extra of gankit that installs the package, such as ``metrics``.

    Raises:
        GankitError: the package is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        is_missing = isinstance(error, ModuleNotFoundError) and error.name in (top, module)
        fault = "is not installed" if is_missing else f"cannot be imported ({error})"
        raise _missing(package, wanted_by, extra, fault) from error


def _missing(package: str, wanted_by: str, extra: str, fault: str) -> GankitError:
    return GankitError(f"{wanted_by} needs the package '{package}', which {fault}; run: pip install 'gankit[{extra}]'")
