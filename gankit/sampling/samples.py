"""Pictures from a generator: the same for the same seed, whatever trained or runs beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data.resize import to_uint8
from ..device.seeding import LABELS, SAMPLE, seeded
from ..interfaces import ImageSpec, Latent

CHUNK = 64


def sample_images(
    generator: nn.Module,
    latent: Latent,
    image: ImageSpec,
    count: int,
    seed: int,
    labels: Sequence[int] | None = None,
    frequencies: Sequence[float] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Tensor:
    """Generated images, uint8 [count c h w]: those of `generate_images`, quantised.

    Raises:
        ValueError: as `generate_images` does.
    """
    return to_uint8(generate_images(generator, latent, image, count, seed, labels, frequencies, options))


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
    """Images as the generator makes them, fp32 [count c h w] on the CPU.

    Latents are drawn on the CPU, and the generator runs in eval mode, so that neither the device nor the rest of the
    batch shows. Without labels a conditional generator follows the data's class frequencies.

    Raises:
        ValueError: labels that are not ``count`` many classes, or given to an unconditional generator.
    """
    return images_of(generator, *draw(latent, image, count, seed, labels, frequencies), seed, options)


def draw(
    latent: Latent,
    image: ImageSpec,
    count: int,
    seed: int,
    labels: Sequence[int] | None = None,
    frequencies: Sequence[float] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Latents [n d] and labels [n] of ``count`` images. Raises: ValueError: as `generate_images` does."""
    chosen = _labels(image, count, labels, frequencies, seed)
    return latent.sample(count, chosen, torch.Generator().manual_seed(seed)), chosen


def images_of(
    generator: nn.Module, z: Tensor, labels: Tensor | None, seed: int, options: Mapping[str, Any] | None = None
) -> Tensor:
    """What the generator makes of latents [n d] and labels [n]: fp32 [n c h w] on the CPU."""
    first = next(generator.parameters(), None)
    device, dtype = (first.device, first.dtype) if first is not None else (torch.device("cpu"), torch.float32)
    pictures = []
    entropy = np.random.SeedSequence(seed, spawn_key=(SAMPLE,))
    with evaluated(generator), torch.no_grad(), seeded(entropy, device):  # some generators draw noise of their own
        for start in range(0, len(z), CHUNK):
            part = slice(start, start + CHUNK)
            conditions = labels[part].to(device) if labels is not None else None
            pictures.append(generator(z[part].to(device, dtype), conditions, **(options or {})).float().cpu())
    return torch.cat(pictures).contiguous()


def _labels(
    image: ImageSpec,
    count: int,
    labels: Sequence[int] | None,
    frequencies: Sequence[float] | None,
    seed: int,
) -> Tensor | None:
    if not image.classes:
        if labels is not None:
            raise ValueError("this generator is unconditional: it takes no labels")
        return None
    if labels is None:
        # of a generator of their own, so that the latents are the same with labels and without
        random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LABELS,)))
        shares = np.asarray(frequencies or [1.0] * image.classes)
        return torch.from_numpy(random.choice(image.classes, count, p=shares / shares.sum()))
    if len(labels) != count or not all(0 <= label < image.classes for label in labels):
        raise ValueError(f"labels must be {count} numbers from 0 to {image.classes - 1}, one an image; got {labels!r}")
    return torch.tensor(list(labels), dtype=torch.int64)


@contextmanager
def evaluated(network: nn.Module) -> Iterator[None]:
    """The network in eval mode, and each of its modules as it was afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
