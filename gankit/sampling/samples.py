"""Samples from a generator. They depend only on its weights and the seed, not on the state of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..device.seeding import LABELS, SAMPLE, seeded
from ..interfaces import ImageSpec, Latent

BATCH_SIZE = 64


def generate_images(
    generator: nn.Module,
    latent: Latent,
    image: ImageSpec,
    count: int,
    seed: int,
    labels: Sequence[int] | None = None,
    frequencies: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Tensor:
    """Generate images in eval mode from latents drawn on the CPU, so that they do not depend on the device.

    Args:
        generator: the network.
        latent: the distribution of its input.
        image: the images that it makes; with ``classes`` it is conditional.
        count: the number of images, ``n``.
        seed: of all random numbers.
        labels: one class index per image. None draws them from ``frequencies``.
        frequencies: the share of each class in the data, not necessarily normalized. None means uniform.
        options: keyword arguments of the generator's ``forward``.

    Returns:
        fp32 [n c h w] in [-1, 1] on the CPU.

    Raises:
        ValueError: ``labels`` are not ``count`` class indices, or the generator is unconditional.
    """
    z, chosen = sample_latents(latent, image, count, seed, labels, frequencies)
    return generate_from_latents(generator, z, chosen, seed, options)


def sample_latents(
    latent: Latent,
    image: ImageSpec,
    count: int,
    seed: int,
    labels: Sequence[int] | None = None,
    frequencies: Sequence[float] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Draw latents [n d] and labels [n], which are None for an unconditional generator.

    Raises:
        ValueError: as in `generate_images`.
    """
    chosen = _choose_labels(image, count, labels, frequencies, seed)
    return latent.sample(count, chosen, torch.Generator().manual_seed(seed)), chosen


def generate_from_latents(
    generator: nn.Module, z: Tensor, labels: Tensor | None, seed: int, options: Mapping[str, Any] | None = None
) -> Tensor:
    """Generate images from latents [n d] and labels [n]: fp32 [n c h w] on the CPU."""
    first = next(generator.parameters(), None)
    device, dtype = (first.device, first.dtype) if first is not None else (torch.device("cpu"), torch.float32)
    images = []
    entropy = np.random.SeedSequence(seed, spawn_key=(SAMPLE,))
    with eval_mode(generator), torch.no_grad(), seeded(entropy, device):  # some generators draw noise in forward
        for start in range(0, len(z), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            conditions = labels[part].to(device) if labels is not None else None
            images.append(generator(z[part].to(device, dtype), conditions, **(options or {})).float().cpu())
    return torch.cat(images).contiguous()


def _choose_labels(
    image: ImageSpec,
    count: int,
    labels: Sequence[int] | None,
    frequencies: Sequence[float] | None,
    seed: int,
) -> Tensor | None:
    """Validate given labels, or draw them. Raises: ValueError: as in `generate_images`."""
    if not image.classes:
        if labels is not None:
            raise ValueError("this generator is unconditional and takes no labels")
        return None
    if labels is None:
        # from a separate generator, so that the latents are the same with given labels
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LABELS,)))
        shares = np.asarray(frequencies or [1.0] * image.classes)
        return torch.from_numpy(random.choice(image.classes, count, p=shares / shares.sum()))
    if len(labels) != count or not all(0 <= label < image.classes for label in labels):
        raise ValueError(
            f"labels must be {count} integers from 0 to {image.classes - 1}, one per image; got {labels!r}"
        )
    return torch.tensor(list(labels), dtype=torch.int64)


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Set the network to eval mode inside the block, and restore the mode of each module afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
