"""gankit: train generative adversarial networks from plugins and recipes.

Public names are imported on first use (PEP 562), so that ``import gankit`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cli.progress import make_progress as make_progress
    from .data.datasets import classes_of as classes_of
    from .data.datasets import describe_dataset as describe_dataset
    from .data.datasets import labels_of as labels_of
    from .data.datasets import prepare_dataset as prepare_dataset
    from .data.datasets import spec_of as spec_of
    from .data.files.decoding import DecodeError as DecodeError
    from .data.files.decoding import decode_image as decode_image
    from .data.files.decoding import open_image as open_image
    from .data.files.decoding import upright_size as upright_size
    from .data.files.image_files import ImageFiles as ImageFiles
    from .data.files.image_files import open_image_files as open_image_files
    from .data.files.image_formats import IMAGE_SUFFIXES as IMAGE_SUFFIXES
    from .data.files.image_scan import ImageScan as ImageScan
    from .data.files.image_scan import is_nearly_black as is_nearly_black
    from .data.files.image_scan import scan_images as scan_images
    from .data.files.safe_zip import open_zip as open_zip
    from .data.fingerprint import data_fingerprint as data_fingerprint
    from .data.items import read_item as read_item
    from .data.items import read_tensors as read_tensors
    from .data.order import Blocks as Blocks
    from .data.resize import resize as resize
    from .device.memory import peak_memory as peak_memory
    from .device.precision import full_precision as full_precision
    from .device.seeding import preserved_random_state as preserved_random_state
    from .errors import CheckpointError as CheckpointError
    from .errors import DataError as DataError
    from .errors import GankitError as GankitError
    from .errors import PluginError as PluginError
    from .errors import RecipeError as RecipeError
    from .errors import RegistrationError as RegistrationError
    from .evaluation.evaluator import Evaluator as Evaluator
    from .evaluation.record import Evaluation as Evaluation
    from .evaluation.request import Request as Request
    from .events import Evaluated as Evaluated
    from .events import Event as Event
    from .events import Finding as Finding
    from .events import Notice as Notice
    from .events import NotSaved as NotSaved
    from .events import Recovered as Recovered
    from .files import data_root as data_root
    from .files import whole_file as whole_file
    from .files import whole_folder as whole_folder
    from .game.freezing import frozen as frozen
    from .game.game import Adversarial as Adversarial
    from .game.game import Game as Game
    from .game.outputs import all_logits as all_logits
    from .game.outputs import heads_of as heads_of
    from .hookspecs import hookimpl as hookimpl
    from .interfaces import GAME_KEYS as GAME_KEYS
    from .interfaces import Augmentation as Augmentation
    from .interfaces import Batch as Batch
    from .interfaces import Callback as Callback
    from .interfaces import Codec as Codec
    from .interfaces import Conversion as Conversion
    from .interfaces import Converted as Converted
    from .interfaces import DataDescription as DataDescription
    from .interfaces import Dataset as Dataset
    from .interfaces import DataSpec as DataSpec
    from .interfaces import Discriminator as Discriminator
    from .interfaces import Features as Features
    from .interfaces import ForeignNetwork as ForeignNetwork
    from .interfaces import Generator as Generator
    from .interfaces import ImageSpec as ImageSpec
    from .interfaces import Inputs as Inputs
    from .interfaces import Latent as Latent
    from .interfaces import Loss as Loss
    from .interfaces import Metric as Metric
    from .interfaces import NotFinite as NotFinite
    from .interfaces import Regularizer as Regularizer
    from .interfaces import Report as Report
    from .interfaces import Run as Run
    from .interfaces import Scalars as Scalars
    from .interfaces import State as State
    from .interfaces import Turn as Turn
    from .interfaces import VectorSpec as VectorSpec
    from .interfaces import WeightFormat as WeightFormat
    from .interfaces import Weights as Weights
    from .interfaces import no_report as no_report
    from .messages import did_you_mean as did_you_mean
    from .messages import one_line as one_line
    from .messages import truncate as truncate
    from .messages import warn as warn
    from .networks.batch_norm_fusion import without_batch_norms as without_batch_norms
    from .networks.class_labels import require_labels as require_labels
    from .networks.efficientnet_lite import load_efficientnet_lite0 as load_efficientnet_lite0
    from .networks.frozen import Frozen as Frozen
    from .networks.image_sizes import ImagePyramid as ImagePyramid
    from .networks.perceptual_distance import PerceptualDistance as PerceptualDistance
    from .networks.perceptual_distance import Reduction as Reduction
    from .networks.resampled_convolutions import convolve_downsampled as convolve_downsampled
    from .networks.resampled_convolutions import convolve_upsampled as convolve_upsampled
    from .networks.vision_transformer import load_vision_transformer as load_vision_transformer
    from .optional_imports import import_optional as import_optional
    from .optional_imports import require_optional as require_optional
    from .progress.notebook_figure import NotebookFigure as NotebookFigure
    from .progress.notebook_figure import in_notebook as in_notebook
    from .recipe.checked_recipe import CheckedRecipe as CheckedRecipe
    from .recipe.model import Recipe as Recipe
    from .registry import Registries as Registries
    from .reports.import_matplotlib import import_matplotlib as import_matplotlib
    from .reports.run_report import RunReport as RunReport
    from .runs.file_names import checkpoint_name as checkpoint_name
    from .runs.json_lines import JsonLines as JsonLines
    from .runtime import Runtime as Runtime
    from .runtime import load_generator as load_generator
    from .sampling.image_grid import make_grid as make_grid
    from .sampling.image_grid import save_grid as save_grid
    from .sampling.sample_grid import SampleGrid as SampleGrid
    from .schedule import Scheduled as Scheduled
    from .training.gradient_norms import GradientNorms as GradientNorms
    from .training.scalar_reader import ScalarReader as ScalarReader
    from .training.scalars_to_floats import scalars_to_floats as scalars_to_floats
    from .training.step_interval import StepInterval as StepInterval
    from .training.trainer import Trainer as Trainer

__version__ = "0.1.0"

_NAMES_BY_MODULE = {
    "cli.progress": "make_progress",
    "data.datasets": "classes_of describe_dataset labels_of prepare_dataset spec_of",
    "data.files.decoding": "DecodeError decode_image open_image upright_size",
    "data.files.image_files": "ImageFiles open_image_files",
    "data.files.image_formats": "IMAGE_SUFFIXES",
    "data.files.image_scan": "ImageScan is_nearly_black scan_images",
    "data.files.safe_zip": "open_zip",
    "data.fingerprint": "data_fingerprint",
    "data.items": "read_item read_tensors",
    "data.order": "Blocks",
    "data.resize": "resize",
    "device.memory": "peak_memory",
    "device.precision": "full_precision",
    "device.seeding": "preserved_random_state",
    "errors": "CheckpointError DataError GankitError PluginError RecipeError RegistrationError",
    "evaluation.evaluator": "Evaluator",
    "evaluation.record": "Evaluation",
    "evaluation.request": "Request",
    "events": "Evaluated Event Finding Notice NotSaved Recovered",
    "files": "data_root whole_file whole_folder",
    "game.freezing": "frozen",
    "game.game": "Adversarial Game",
    "game.outputs": "all_logits heads_of",
    "hookspecs": "hookimpl",
    "interfaces": "Augmentation Batch Callback Codec Conversion Converted DataDescription DataSpec Dataset "
    "Discriminator Features ForeignNetwork GAME_KEYS Generator ImageSpec Inputs Latent Loss Metric NotFinite "
    "Regularizer Report Run Scalars State Turn VectorSpec WeightFormat Weights no_report",
    "messages": "did_you_mean one_line truncate warn",
    "networks.batch_norm_fusion": "without_batch_norms",
    "networks.class_labels": "require_labels",
    "networks.efficientnet_lite": "load_efficientnet_lite0",
    "networks.frozen": "Frozen",
    "networks.image_sizes": "ImagePyramid",
    "networks.perceptual_distance": "PerceptualDistance Reduction",
    "networks.resampled_convolutions": "convolve_downsampled convolve_upsampled",
    "networks.vision_transformer": "load_vision_transformer",
    "optional_imports": "import_optional require_optional",
    "progress.notebook_figure": "NotebookFigure in_notebook",
    "recipe.checked_recipe": "CheckedRecipe",
    "recipe.model": "Recipe",
    "registry": "Registries",
    "reports.import_matplotlib": "import_matplotlib",
    "reports.run_report": "RunReport",
    "runs.file_names": "checkpoint_name",
    "runs.json_lines": "JsonLines",
    "runtime": "Runtime load_generator",
    "sampling.image_grid": "make_grid save_grid",
    "sampling.sample_grid": "SampleGrid",
    "schedule": "Scheduled",
    "training.gradient_norms": "GradientNorms",
    "training.scalar_reader": "ScalarReader",
    "training.scalars_to_floats": "scalars_to_floats",
    "training.step_interval": "StepInterval",
    "training.trainer": "Trainer",
}
_MODULE_OF = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}

__all__ = ["__version__", *sorted(_MODULE_OF)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gankit' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
