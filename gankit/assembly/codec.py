"""The codec of a run, and the data as its networks see them: with encodings in place of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..calls import require_methods
from ..data.encodings.image_codec import ImageCodec, encoded_spec
from ..device.seeding import preserved_random_state
from ..interfaces import DataSpec
from ..messages import one_line
from ..recipe.checked_recipe import CheckedRecipe
from ..registered_component import Selected
from ..runs.checkpoint import Checkpoint
from ..runs.weights import MisfitError
from .dry_run import meta_device

PATH = ("codec",)
METHODS = {"encode": ("images",), "decode": ("encodings",)}
CODEC = "codec"  # the entry of the manifest


def data_of_networks(checked: CheckedRecipe, data: DataSpec) -> DataSpec:
    """The data with encodings in place of images, if the recipe has a codec. It runs on two black images.

    Args:
        checked: the recipe with its components.
        data: with images of the run's size.

    Raises:
        Exception: the codec cannot be built, or does not fit the images.
    """
    if PATH not in checked.components:
        return data
    try:
        with meta_device():
            return data.with_image(encoded_spec(frozen_codec(checked[PATH], data), data.image))
    except Exception:  # many codecs read weights, which fails on the meta device; other errors occur again
        with preserved_random_state():
            return data.with_image(encoded_spec(frozen_codec(checked[PATH], data), data.image))


def build_codec(
    checked: CheckedRecipe, data: DataSpec, device: torch.device, dtype: torch.dtype, resumed: Checkpoint | None
) -> ImageCodec | None:
    """The codec of a run that is new or resumed; None if the recipe has none.

    Raises:
        MisfitError: the run had another codec.
        RecipeError: its weights cannot be read.
    """
    if PATH not in checked.components:
        return None
    codec = frozen_codec(checked[PATH], data)
    try:
        prepare_codec(codec)
    except Exception as error:  # a plugin's method may raise anything
        message = f"prepare() fails: {type(error).__name__}: {one_line(error)}"
        raise checked.recipe.document.error(PATH, message) from error
    built = ImageCodec(codec, encoded_spec(codec, data.image), device, dtype, checked[PATH].params_without_paths())
    if resumed is not None:
        if CODEC not in resumed.manifest:
            raise MisfitError(f"{resumed.path}: was trained without a codec")
        try:
            built.read_standardization(resumed.manifest[CODEC])
        except (KeyError, TypeError, ValueError) as error:
            raise MisfitError(f"{resumed.path}: was trained with another codec: {one_line(error)}") from None
    return built


def frozen_codec(selected: Selected, data: DataSpec) -> Any:
    """The codec, never to be trained. Raises: ValueError: it lacks a method."""
    codec = selected.build(image=data.image, data=data)
    require_methods(codec, METHODS, "codec")
    if isinstance(codec, nn.Module):
        codec.eval().requires_grad_(False)
    return codec


def prepare_codec(codec: Any) -> None:
    """Let a codec read its weights, if it has such a method."""
    if hasattr(codec, "prepare"):
        with torch.no_grad():
            codec.prepare()


def describe_codec(checked: CheckedRecipe, codec: ImageCodec | None) -> Mapping[str, Any]:
    """The entry of a manifest; empty without a codec."""
    if codec is None:
        return {}
    selected = checked[PATH]
    return {CODEC: {"name": selected.entry.name, "params": selected.plain_params(), **codec.record()}}
