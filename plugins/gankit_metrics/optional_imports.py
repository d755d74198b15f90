"""Imports of the libraries in the extra ``metrics``."""

from __future__ import annotations

from types import ModuleType

import gankit


def import_optional(module: str, package: str, wanted_by: str) -> ModuleType:
    """Import ``module`` from the PyPI package ``package`` for ``wanted_by``, such as ``metric 'fd'``.

    Raises:
        gankit.GankitError: the package is not installed, or cannot be imported.
    """
    return gankit.import_optional(module, package, wanted_by, extra="metrics")
