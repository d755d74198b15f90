"""Normalization of the tiles of an image with the statistics of the whole image.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``g`` groups of channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


@contextmanager
def shared_statistics(network: nn.Module, run_thumbnail: Callable[[], object]) -> Iterator[None]:
    """A block in which layers normalize with their statistics of a thumbnail of the image (arXiv 2103.11784, sec. 3.2).

    Instance and group normalization use the mean and the variance of each feature map. Those of a tile differ from
    those of the whole image, so that tiles would differ in color and contrast, and flat ones would be all noise.

    Args:
        network: which has the layers `torch.nn.GroupNorm` and `torch.nn.InstanceNorm2d`. Others stay as they are.
        run_thumbnail: runs the network once, on one image of the size of a tile that shows the whole image.
    """
    layers = [part for part in network.modules() if _uses_statistics_of_images(part)]
    recorded: list[tuple[Tensor, Tensor]] = []

    def record(layer: Any, given: tuple[Any, ...], output: Tensor) -> None:
        recorded.append(torch.var_mean(_grouped(layer, given[0]), dim=(2, 3, 4), correction=0, keepdim=True))

    def normalize(layer: Any, given: tuple[Any, ...], output: Tensor) -> Tensor:
        variance, mean = next(following)
        normalized: Tensor = ((_grouped(layer, given[0]) - mean) / (variance + layer.eps).sqrt()).flatten(1, 2)
        if layer.weight is not None:
            normalized = normalized * layer.weight[:, None, None]
        if layer.bias is not None:
            normalized = normalized + layer.bias[:, None, None]
        return normalized.to(output.dtype)

    if layers:
        with _hooks(layers, record):
            run_thumbnail()
    following = cycle(recorded)  # the layers are called in the same order for each tile
    with _hooks(layers, normalize):
        yield


def _uses_statistics_of_images(part: nn.Module) -> bool:
    return isinstance(part, nn.GroupNorm) or (isinstance(part, nn.InstanceNorm2d) and not part.track_running_stats)


def _grouped(layer: nn.Module, features: Tensor) -> Tensor:
    """Feature maps [n c h w] as [n g c/g h w], in fp32 or fp64."""
    groups = layer.num_groups if isinstance(layer, nn.GroupNorm) else features.shape[1]
    precise = features.to(torch.promote_types(features.dtype, torch.float32))
    return precise.reshape(len(features), groups, -1, *features.shape[2:])


@contextmanager
def _hooks(layers: list[nn.Module], hook: Callable[..., Tensor | None]) -> Iterator[None]:
    with ExitStack() as stack:
        for layer in layers:
            handle: RemovableHandle = layer.register_forward_hook(hook)
            stack.callback(handle.remove)
        yield
