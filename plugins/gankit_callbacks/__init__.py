"""Callbacks that write the run directory: log, sample images, loss curves, checkpoints, scores."""

import gankit

from .checkpoint import Checkpoint
from .evaluate import Evaluate
from .loss_curves import LossCurves
from .metrics_log import MetricsLog
from .sample_images import SampleImages


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register all callbacks."""
    registries.callbacks.add("checkpoint", Checkpoint)
    registries.callbacks.add("evaluate", Evaluate)
    registries.callbacks.add("loss_curves", LossCurves)
    registries.callbacks.add("metrics_log", MetricsLog)
    registries.callbacks.add("sample_images", SampleImages)


@gankit.hookimpl
def run_callbacks(recipe: gankit.Recipe) -> list[object]:
    """Add the log to every run whose recipe does not list it, and a figure to every run in a notebook."""
    named = any(callback.name == "metrics_log" for callback in recipe.callbacks)
    return [*([] if named else [MetricsLog()]), *([gankit.NotebookFigure()] if gankit.in_notebook() else [])]
