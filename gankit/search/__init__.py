"""Hyperparameter search with Optuna: many runs of a recipe, with values drawn from a space."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ..optional_imports import import_optional

if TYPE_CHECKING:
    from .outcomes import TrialOutcome as TrialOutcome
    from .search_loop import SearchResult as SearchResult
    from .search_loop import run_search as run_search
    from .search_page import rewrite_page as rewrite_page
    from .space import Space as Space
    from .space_file import parse_space as parse_space
    from .space_file import read_space as read_space

_MODULE_OF = {
    "SearchResult": "search_loop",
    "Space": "space",
    "TrialOutcome": "outcomes",
    "parse_space": "space_file",
    "read_space": "space_file",
    "rewrite_page": "search_page",
    "run_search": "search_loop",
}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gankit.search' has no attribute {name!r}")
    if _MODULE_OF[name] in ("search_loop", "search_page", "outcomes"):
        import_optional("optuna", "optuna", "gankit search", "search")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
