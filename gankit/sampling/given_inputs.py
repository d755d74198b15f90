"""Inputs that a user gives to a generator in place of items of the data: images of any size, and vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..calls import described
from ..data.items import describe_value
from ..data.resize import to_float
from ..interfaces import ImageSpec, VectorSpec
from ..messages import did_you_mean
from .shared_statistics import shared_statistics
from .tiles import Side, run_in_tiles

MAX_FLOAT = 1.5  # in absolute value: images in [-1, 1] that were resized may go beyond
Specs = Mapping[str, ImageSpec | VectorSpec]


def read_inputs(given: Mapping[str, Any], specs: Specs) -> dict[str, Tensor]:
    """The given fields as floats: images [n c h w] in [-1, 1], vectors [n v].

    Args:
        given: by name; images are uint8, or floats in [-1, 1].
        specs: of the fields that the generator needs.

    Raises:
        ValueError: a field is missing, unknown, or of another type, shape or number of rows.
    """
    if not specs:
        raise ValueError("this generator takes latents only, and no inputs: it was not trained on fields of the data")
    for name in given:
        if name not in specs:
            raise ValueError(f"inputs: this generator has no input {name!r}{did_you_mean(name, specs)}")
    for name in specs:
        if name not in given:
            raise ValueError(f"inputs: the generator needs {name!r}, which is missing")
    fields = {name: _read_field(name, given[name], spec) for name, spec in specs.items()}
    counts = {name: len(values) for name, values in fields.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"inputs: {', '.join(f'{n} of {name}' for name, n in counts.items())}; expected equal numbers")
    return fields


def _read_field(name: str, values: Any, spec: ImageSpec | VectorSpec) -> Tensor:
    is_image, is_tensor = isinstance(spec, ImageSpec), isinstance(values, Tensor)
    is_uint8 = is_tensor and values.dtype == torch.uint8 and is_image
    is_number = is_uint8 or (is_tensor and values.is_floating_point())
    form = f"uint8 or floats in [-1, 1], [n {spec.shape[0]} h w]" if is_image else f"finite floats [n {spec.shape[0]}]"
    if not is_number or values.dim() != 1 + len(spec.shape) or values.shape[1] != spec.shape[0] or not values.numel():
        raise ValueError(f"inputs: {name!r} is {describe_value(values)}; expected {form}")
    field: Tensor = (to_float(values) if is_uint8 else values.float()).cpu()
    if not field.isfinite().all() or (is_image and field.abs().max() > MAX_FLOAT):
        low, high = float(field.min()), float(field.max())
        raise ValueError(f"inputs: {name!r} has values from {low:g} to {high:g}; expected {form}")
    return field


def image_in_any_size(
    network: nn.Module,
    generate: Callable[[Mapping[str, Tensor], ImageSpec], Tensor],
    fields: Mapping[str, Tensor],
    specs: Specs,
    image: ImageSpec,
) -> Tensor:
    """Generate one image from an input of another size than in training.

    The network runs on tiles of the size that it was trained on, or on larger ones if it declares ``size_multiple``.
    In all tiles, normalization layers use the same statistics.

    Args:
        network: the generator.
        generate: images [n c h w] in [-1, 1] from fields with n rows, and the images' spec.
        fields: with one row each.
        specs: of the fields.
        image: of the run.

    Returns:
        uint8 [c h w].

    Raises:
        ValueError: several images are given, or the network does not generate images of the size of its tiles.
    """
    images = [name for name, spec in specs.items() if isinstance(spec, ImageSpec)]
    if len(images) > 1:
        shapes = ", ".join(f"{name} {[*specs[name].shape]}" for name in images)
        raise ValueError(f"inputs: this generator takes several images, which need their size in training: {shapes}")
    name = images[0]
    spec = specs[name]
    assert isinstance(spec, ImageSpec)
    scale = Fraction(image.height, spec.height)
    multiple = getattr(network, "size_multiple", None)
    height, width = fields[name].shape[2:]
    rows, columns = (
        Side.divide(length, trained, multiple, scale)
        for length, trained in ((height, spec.height), (width, spec.width))
    )
    of_tile = replace(image, height=int(rows.tile * scale), width=int(columns.tile * scale))

    def run(tiles: Tensor) -> Tensor:
        others = {key: values.expand(len(tiles), *values.shape[1:]) for key, values in fields.items() if key != name}
        generated = generate({**others, name: tiles}, of_tile)
        if generated.shape[1:] != of_tile.shape:
            raise ValueError(
                f"{type(network).__name__} returns {described(generated)} for inputs {list(tiles.shape)}; expected "
                f"{[len(tiles), *of_tile.shape]}: correct its attribute `size_multiple`, or remove it"
            )
        return generated

    source = fields[name]
    if len(rows.starts) == len(columns.starts) == 1:
        return run_in_tiles(run, source[0], rows, columns, scale)
    thumbnail = F.interpolate(source, (rows.tile, columns.tile), mode="bilinear", antialias=True)
    with shared_statistics(network, lambda: run(thumbnail)):
        return run_in_tiles(run, source[0], rows, columns, scale)
