"""Callbacks that write the run directory: log, sample images, loss curves, checkpoints, scores, the report."""

import gankit

from .checkpoint import Checkpoint
from .evaluate import Evaluate
from .loss_curves import LossCurves
from .metrics_log import MetricsLog
from .report_page import ReportPage
from .sample_images import SampleImages


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register all callbacks."""
    registries.callbacks.add("checkpoint", Checkpoint)
    registries.callbacks.add("evaluate", Evaluate)
    registries.callbacks.add("loss_curves", LossCurves)
    registries.callbacks.add("metrics_log", MetricsLog)
    registries.callbacks.add("report", ReportPage)
    registries.callbacks.add("sample_images", SampleImages)


@gankit.hookimpl
def run_callbacks(recipe: gankit.Recipe) -> list[object]:
    """Add the log, the report unless the recipe says ``report: false``, and a figure if this is a notebook."""
    named = {callback.name for callback in recipe.callbacks}
    callbacks: list[object] = []
    if "metrics_log" not in named:
        callbacks.append(MetricsLog())
    if recipe.report and "report" not in named:
        callbacks.append(ReportPage())
    if gankit.in_notebook():
        callbacks.append(gankit.NotebookFigure())
    return callbacks
