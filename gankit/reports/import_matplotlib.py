"""Imports matplotlib whatever the environment says about its backends, which gankit does not use."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

VARIABLE = "MPLBACKEND"


def import_matplotlib() -> ModuleType:
    """Import matplotlib. Call this before importing anything from it.

    Its import fails if ``MPLBACKEND`` names a backend that is not installed. Every child of a Jupyter server inherits
    such a value, even in an environment of its own. If the import succeeds, the variable has its usual effect on
    `pyplot`.
    """
    try:
        return importlib.import_module("matplotlib")
    except ValueError:
        backend = os.environ.pop(VARIABLE, None)
        if backend is None:
            raise
        for name in [name for name in sys.modules if name.startswith("matplotlib.")]:
            del sys.modules[name]  # parts of the import that failed, which do not fit another one
        try:
            return importlib.import_module("matplotlib")
        finally:
            os.environ[VARIABLE] = backend
