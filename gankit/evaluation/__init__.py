"""Evaluation: features of real and generated images, metrics, and a record that says how each score was computed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .evaluate_source import evaluate as evaluate
    from .evaluator import Evaluator as Evaluator
    from .record import Evaluation as Evaluation
    from .request import Request as Request

_MODULE_OF = {"evaluate": "evaluate_source", "Evaluator": "evaluator", "Evaluation": "record", "Request": "request"}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gankit.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
