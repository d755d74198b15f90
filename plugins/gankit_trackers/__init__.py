"""Callbacks that log a run to TensorBoard, Weights & Biases and MLflow."""

import gankit

from .mlflow import MLflow
from .tensorboard import TensorBoard
from .wandb import WeightsAndBiases


@gankit.hookimpl
def register(registries: gankit.Registries) -> None:
    """Register all trackers."""
    registries.callbacks.add("mlflow", MLflow)
    registries.callbacks.add("tensorboard", TensorBoard)
    registries.callbacks.add("wandb", WeightsAndBiases)
