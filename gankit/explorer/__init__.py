"""The explorer: an interactive page for a trained generator."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..optional_imports import import_optional

if TYPE_CHECKING:
    from .page import build_page as build_page
    from .server import STYLE as STYLE
    from .server import private_files as private_files
    from .server import serve as serve

_MODULE_OF = {"STYLE": "server", "build_page": "page", "private_files": "server", "serve": "server"}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gankit.explorer' has no attribute {name!r}")
    if name == "build_page":
        import_optional("gradio", "gradio", "gankit explore", "explore")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
