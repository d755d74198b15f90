"""The explorer: an interactive page for a trained generator."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..optional_imports import import_optional

if TYPE_CHECKING:
    from .page import build_page as build_page
    from .server import private_files as private_files
    from .server import serve as serve

STYLE = Path(__file__).with_name("page.css")
"""The style sheet of the page."""

_MODULE_OF = {"build_page": "page", "private_files": "server", "serve": "server"}

__all__ = ["STYLE", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gankit.explorer' has no attribute {name!r}")
    if name != "private_files":
        import_optional("gradio", "gradio", "gankit explore", "explore")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
