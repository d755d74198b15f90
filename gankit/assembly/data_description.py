"""The data of a run in the manifest of its checkpoints, and the items of it that samples are generated for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from ..data.datasets import classes_of, spec_of, spec_of_run
from ..data.encodings.image_codec import ImageCodec
from ..data.image_cache import StreamedSource
from ..data.items import Item
from ..data.loader import Loader
from ..data.resize import to_float
from ..game.game import Game, has_own_generate
from ..injection import default_values, forward_names, positional_names
from ..interfaces import DataDescription, Dataset, DataSpec, ImageSpec, VectorSpec
from ..interfaces.data_spec import IMAGE, LABEL
from ..recipe.model import Recipe
from ..runs.sampling_items import MAX_BYTES, MAX_ITEMS, MIN_ITEMS

BOUNDS = {"height": (1, 16_384), "width": (1, 16_384), "channels": (1, 4), "classes": (0, 1_000_000)}
MAX_FIELDS, MAX_VECTOR = 100, 1_000_000


def data_of_run(recipe: Recipe, dataset: Dataset, description: DataDescription | None) -> DataSpec:
    """The data as the networks see it; it has labels only if the recipe is conditional. Raises: RecipeError."""
    classes = len(classes_of(dataset) or ())
    if recipe.conditional and not classes and spec_of(dataset).label is None:
        found = f" ({description.summary})" if description is not None else ""
        message = f"is true, but the data of '{recipe.dataset.name}' has no labels{found}; use labelled data or false"
        raise recipe.document.error(("conditional",), message)
    try:
        return spec_of_run(dataset, recipe.image.size, recipe.conditional, classes)
    except ValueError as error:
        raise recipe.document.error(("image", "size"), str(error)) from None


def describe_data(data: DataSpec) -> dict[str, Any]:
    """The entries ``image`` and, if there are further fields, ``fields`` of a manifest."""
    fields = {name: _describe(spec) for name, spec in data.items() if name != IMAGE}
    return {"image": _describe(data.image)} | ({"fields": fields} if fields else {})


def read_data(manifest: Mapping[str, Any]) -> DataSpec:
    """The data that `describe_data` has described. Raises: ValueError, TypeError, KeyError: the entries are invalid."""
    fields = manifest.get("fields", {})
    if not isinstance(fields, Mapping) or len(fields) > MAX_FIELDS:
        raise ValueError("fields are not a mapping of a few names")
    image = _read(manifest["image"])
    if not isinstance(image, ImageSpec):
        raise ValueError("image is not the description of images")
    specs: dict[str, Any] = {str(name): _read(description) for name, description in fields.items()}
    return DataSpec(image=image, **specs)


def sampling_fields(generator: nn.Module, data: DataSpec, game: Game) -> dict[str, str]:
    """The fields of real items that a sample needs: their names in the data, by the generator's own names for them.

    A game that generates images in its own way may ask for any field. The real image is needed only if G's ``forward``
    has no default for it.
    """
    if has_own_generate(game):
        names = (*data.fields, *(name for name in positional_names(generator.forward) if name == IMAGE))
    else:
        names = forward_names("generator", generator, [*data.fields])
    optional = default_values(generator.forward)
    wanted = {name: name for name in names if name in data.fields or (name == IMAGE and name not in optional)}
    return wanted | ({"labels": LABEL} if data.label is not None else {})


class SampledItems(NamedTuple):
    """The real items that samples are generated from.

    Attributes:
        fields: those that the generator asks for, each [m ...].
        specs: of these fields.
        targets: the real images [m c h w], if the fields belong to them.
    """

    fields: Mapping[str, Tensor]
    specs: Mapping[str, ImageSpec | VectorSpec]
    targets: Tensor | None


def items_for_sampling(generator: nn.Module, data: DataSpec, loader: Loader, game: Game) -> SampledItems:
    """Items of held-out data, or random items of training.

    A dataset may have a method ``held_out()``, which returns a prepared dataset of the same kind.
    """
    wanted = sampling_fields(generator, data, game)
    specs = {name: data[name] for name in wanted if name in data}
    if not wanted:
        return SampledItems({}, {}, None)
    fields = [*dict.fromkeys([*wanted.values(), *([] if {*wanted} & {*data.independent} else [IMAGE])])]
    size = sum(math.prod(loader.data.shape_of(name)) for name in fields)
    source: Any = loader.source
    count = max(MIN_ITEMS, min(MAX_ITEMS, MAX_BYTES // size))
    order = loader.order.at(0, min(count, loader.count)).indices
    if hasattr(loader.dataset, "held_out"):
        held_out = loader.dataset.held_out()
        source = StreamedSource(held_out, loader.data, loader.settings.fit)
        chosen = min(count, len(held_out))  # evenly, because files are often sorted by class
        order = np.arange(chosen) * len(held_out) // chosen
    items = source.read(order, fields)
    targets = to_inputs(items, {IMAGE: IMAGE}, None)[IMAGE] if IMAGE in fields else None
    return SampledItems(to_inputs(items, wanted, loader.codec), specs, targets)


def to_inputs(items: Item, wanted: Mapping[str, str], codec: ImageCodec | None) -> dict[str, Tensor]:
    """Items as samples are generated from them: images in [-1, 1] and vectors, fp32 on the CPU.

    Args:
        items: raw, as a source reads them.
        wanted: of `sampling_fields`.
        codec: encodes the real image; None without a codec.
    """
    found = {name: items[field].cpu() for name, field in wanted.items()}
    floats = {name: to_float(values) if values.dim() == 4 else values.float() for name, values in found.items()}
    if IMAGE in floats and codec is not None:
        floats[IMAGE] = codec.encode(floats[IMAGE]).float().cpu()
    return floats


def _describe(spec: ImageSpec | VectorSpec) -> dict[str, Any]:
    return {name: value for name, value in asdict(spec).items() if name != "scale"}


def _read(description: Any) -> ImageSpec | VectorSpec:
    """A spec from an untrusted file. Raises: ValueError or TypeError: it is invalid."""
    if isinstance(description, Mapping) and set(description) == {"size"}:
        size = description["size"]
        if type(size) is not int or not 1 <= size <= MAX_VECTOR:
            raise ValueError(f"a vector has the size {size!r}, not 1 to {MAX_VECTOR}")
        return VectorSpec(size)
    spec = ImageSpec(**description)
    for name, (low, high) in BOUNDS.items():
        value = getattr(spec, name)
        if not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"image.{name} is {value!r}, not {low} to {high}")
    if spec.scale != 1:
        raise ValueError(f"image.scale is {spec.scale!r}, not 1")
    return spec
