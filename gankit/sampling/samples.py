"""Samples from a generator. They depend only on its weights and the seed, not on the state of a training run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..device.seeding import LABELS, SAMPLE, seeded
from ..interfaces import ImageSpec, Latent
from ..messages import quote

BATCH_SIZE = 64


@dataclass(frozen=True)
class GeneratorInputs:
    """Draws the inputs of a generator on the CPU, so that they do not depend on the device.

    Attributes:
        latent: the distribution of the latents.
        image: the images of the generator; with ``classes`` it is conditional.
        frequencies: the share of each class in the data, not necessarily normalized. None means uniform.
    """

    latent: Latent
    image: ImageSpec
    frequencies: Sequence[float] | None = None

    def draw(self, count: int, seed: int, labels: Sequence[int] | None = None) -> tuple[Tensor, Tensor | None]:
        """Draw latents [n d] and labels [n], which are None for an unconditional generator.

        Args:
            count: the number of images, ``n``.
            seed: of the latents and labels.
            labels: one class index per image. None draws them from ``frequencies``.

        Raises:
            ValueError: ``labels`` are not ``count`` class indices, or the generator is unconditional.
        """
        chosen = self._choose_labels(count, seed, labels)
        return self.latent.sample(count, chosen, torch.Generator().manual_seed(seed)), chosen

    def _choose_labels(self, count: int, seed: int, labels: Sequence[int] | None) -> Tensor | None:
        classes = self.image.classes
        if not classes:
            if labels is not None:
                raise ValueError("this generator is unconditional and takes no labels")
            return None
        if labels is None:
            # from a separate generator, so that the latents are the same with given labels
            random = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(LABELS,)))
            shares = np.asarray(self.frequencies or [1.0] * classes)
            return torch.from_numpy(random.choice(classes, count, p=shares / shares.sum()))
        if len(labels) != count or not all(0 <= label < classes for label in labels):
            raise ValueError(
                f"labels must be {count} integers from 0 to {classes - 1}, one per image; got {quote(labels)}"
            )
        return torch.tensor(list(labels), dtype=torch.int64)


def generate_images(
    generator: nn.Module, z: Tensor, labels: Tensor | None, seed: int, options: Mapping[str, Any]
) -> Tensor:
    """Generate images in eval mode.

    Args:
        generator: the network.
        z: latents [n d].
        labels: [n], or None.
        seed: of the random numbers that the network draws.
        options: keyword arguments of its ``forward``.

    Returns:
        fp32 [n c h w] in [-1, 1] on the CPU.
    """
    first = next(generator.parameters(), torch.empty(0, dtype=torch.float32))
    images = []
    entropy = np.random.SeedSequence(seed, spawn_key=(SAMPLE,))
    # `seeded` comes first: it waits for a step that another thread runs
    with seeded(entropy, first.device), eval_mode(generator), torch.no_grad():
        for start in range(0, len(z), BATCH_SIZE):
            part = slice(start, start + BATCH_SIZE)
            conditions = None if labels is None else labels[part].to(first.device)
            images.append(generator(z[part].to(first), conditions, **options).float().cpu())
    return torch.cat(images).contiguous()


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
