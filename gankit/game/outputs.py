"""Outputs of the networks: G's images, D's heads, and batches of outputs. Shapes: ``n`` images of the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..interfaces import DiscriminatorOutput, GeneratorOutput
from ..networks.nested_tensors import map_tensors, tensors_in

IMAGES = "images"  # of a generator that returns a mapping


def images_of(output: GeneratorOutput) -> Any:
    """The images [n c h w] in G's output."""
    return output[IMAGES] if isinstance(output, Mapping) and IMAGES in output else output


def heads_of(output: DiscriminatorOutput) -> list[Tensor]:
    """The logits [n ...] of each head, in fp32 at least."""
    logits = output["logits"] if isinstance(output, Mapping) else output
    heads = list(logits) if isinstance(logits, (list, tuple)) else [logits]
    return [head if head.dtype == torch.float64 else head.float() for head in heads]


def all_logits(output: DiscriminatorOutput) -> Tensor:
    """The logits of all heads, in fp32 at least: [n ...] of a single head, [n heads*...] of several, concatenated."""
    heads = heads_of(output)
    return heads[0] if len(heads) == 1 else torch.cat([head.reshape(len(head), -1) for head in heads], dim=1)


def total_of_logits(output: DiscriminatorOutput) -> Tensor:
    """The sum of all logits of all heads, a scalar: the function that gradient penalties differentiate."""
    return torch.stack([head.sum() for head in heads_of(output)]).sum()


def total_of_tensors(output: Any) -> Tensor:
    """The sum of all floating-point tensors in an output, a scalar in fp32 at least."""
    floats = [tensor for tensor in tensors_in(output) if tensor.is_floating_point()]
    return torch.stack([tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32)) for tensor in floats]).sum()


def in_full_precision(output: Any, dtype: torch.dtype) -> Any:
    """Tensors, or containers of tensors, with every floating-point tensor in ``dtype``."""
    return map_tensors(output, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


def concatenate(values: list[Any]) -> Any:
    """Tensors, or containers of tensors, concatenated along the batch and detached; the first of any other values."""
    first = values[0]
    if isinstance(first, Tensor):
        return torch.cat([value.detach() for value in values]) if first.dim() else first.detach()
    if isinstance(first, Mapping):
        return {key: concatenate([value[key] for value in values]) for key in first}
    if not isinstance(first, (list, tuple)):
        return first
    joined = [concatenate(list(items)) for items in zip(*values, strict=True)]
    return type(first)(*joined) if hasattr(first, "_fields") else joined
