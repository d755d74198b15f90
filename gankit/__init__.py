"""gankit: train generative adversarial networks from plugins and recipes.

Names load when first used (PEP 562), so that ``import gankit`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .box_filter import box_filtered as box_filtered
    from .class_labels import require_labels as require_labels
    from .data.archive import open_zip as open_zip
    from .data.decode import DecodeError as DecodeError
    from .data.decode import decode_image as decode_image
    from .data.decode import open_image as open_image
    from .data.image_files import IMAGE_SUFFIXES as IMAGE_SUFFIXES
    from .data.image_files import ImageFiles as ImageFiles
    from .data.image_files import open_image_files as open_image_files
    from .device.precision import full_precision as full_precision
    from .errors import CheckpointError as CheckpointError
    from .errors import DataError as DataError
    from .errors import GankitError as GankitError
    from .errors import PluginError as PluginError
    from .errors import RecipeError as RecipeError
    from .errors import RegistrationError as RegistrationError
    from .evaluation.record import Evaluation as Evaluation
    from .files import data_root as data_root
    from .files import whole_file as whole_file
    from .generator import load_generator as load_generator
    from .hookspecs import hookimpl as hookimpl
    from .image_sizes import ImagePyramid as ImagePyramid
    from .interfaces import Augmentation as Augmentation
    from .interfaces import Batch as Batch
    from .interfaces import Callback as Callback
    from .interfaces import Dataset as Dataset
    from .interfaces import Discriminator as Discriminator
    from .interfaces import Features as Features
    from .interfaces import Generator as Generator
    from .interfaces import ImageSpec as ImageSpec
    from .interfaces import Latent as Latent
    from .interfaces import Loss as Loss
    from .interfaces import Metric as Metric
    from .interfaces import NotFinite as NotFinite
    from .interfaces import Regularizer as Regularizer
    from .interfaces import Run as Run
    from .interfaces import Scalars as Scalars
    from .interfaces import State as State
    from .interfaces import Turn as Turn
    from .jsonl import JsonLines as JsonLines
    from .pictures import save_grid as save_grid
    from .recipe import Recipe as Recipe
    from .registry import Registries as Registries
    from .runtime import Runtime as Runtime
    from .schedule import Scheduled as Scheduled
    from .scoring.live import Evaluator as Evaluator
    from .scoring.request import Request as Request
    from .training.game import adversarial_step as adversarial_step
    from .training.game import frozen as frozen
    from .training.game import take_turn as take_turn
    from .training.trainer import Trainer as Trainer

__version__ = "0.1.0"

_HOME = {
    "box_filter": ("box_filtered",),
    "class_labels": ("require_labels",),
    "data.archive": ("open_zip",),
    "data.decode": ("DecodeError", "decode_image", "open_image"),
    "data.image_files": ("IMAGE_SUFFIXES", "ImageFiles", "open_image_files"),
    "device.precision": ("full_precision",),
    "errors": ("CheckpointError", "DataError", "GankitError", "PluginError", "RecipeError", "RegistrationError"),
    "evaluation.record": ("Evaluation",),
    "files": ("data_root", "whole_file"),
    "generator": ("load_generator",),
    "hookspecs": ("hookimpl",),
    "image_sizes": ("ImagePyramid",),
    "interfaces": (
        "Augmentation",
        "Batch",
        "Callback",
        "Dataset",
        "Discriminator",
        "Features",
        "Generator",
        "ImageSpec",
        "Latent",
        "Loss",
        "Metric",
        "NotFinite",
        "Regularizer",
        "Run",
        "Scalars",
        "State",
        "Turn",
    ),
    "jsonl": ("JsonLines",),
    "pictures": ("save_grid",),
    "recipe": ("Recipe",),
    "registry": ("Registries",),
    "runtime": ("Runtime",),
    "schedule": ("Scheduled",),
    "scoring.live": ("Evaluator",),
    "scoring.request": ("Request",),
    "training.game": ("adversarial_step", "frozen", "take_turn"),
    "training.trainer": ("Trainer",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gankit' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
