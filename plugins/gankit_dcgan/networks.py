"""The two networks of DCGAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions, ``f`` features.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

import gankit

from .stages import stages


class DCGANGenerator(nn.Module):
    """The generator of DCGAN (arXiv 1511.06434): transposed convolutions from a latent up to an image.

    At 64 px, with its defaults, 100 latent dimensions and 3 channels, it is the widespread reference: feature maps
    of 512, 256, 128 and 64 channels, BatchNorm and ReLU after each, tanh at the end, no biases; 3,576,704 parameters.
    Other sizes take as many doublings as they need (see `stages`).

    With classes, an embedding of the label, as long as the latent, is joined to the latent.

    Args:
        image: what to generate.
        latent_dim: d.
        width: channels of the largest feature map; each smaller one has twice as many as the next.

    Raises:
        ValueError: the image's size is no power of two times a small base.
    """

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, width: PositiveInt = 64) -> None:
        super().__init__()
        base, widths = stages(image, width)
        self.embedding = nn.Embedding(image.classes, latent_dim) if image.classes else None
        inputs = 2 * latent_dim if image.classes else latent_dim
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(inputs, widths[0], base, bias=False),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for wider, narrower in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(wider, narrower, kernel_size=4, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(narrower),
                nn.ReLU(inplace=True),
            ]
        layers += [
            nn.ConvTranspose2d(widths[-1], image.channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)
        self.apply(initialize)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w] in [-1, 1].

        Raises:
            ValueError: there are classes and no labels.
        """
        if self.embedding is not None:
            z = torch.cat([z, embed(self.embedding, labels)], dim=1)
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class DCGANDiscriminator(nn.Module):
    """The discriminator of DCGAN (arXiv 1511.06434): strided convolutions from an image down to one logit.

    At 64 px, with its defaults and 3 channels, it is the widespread reference: feature maps of 64, 128, 256 and 512
    channels, BatchNorm on all but the first, LeakyReLU of slope 0.2, no biases; 2,765,568 parameters.

    With classes, it is a projection discriminator (arXiv 1802.05637, eq. 4): the last feature map, summed over its
    pixels, is dotted with an embedding of the label and added to the logit.

    Args:
        image: what to judge.
        width: channels of the largest feature map; each smaller one has twice as many.
        norm: ``batch`` as in the reference; ``layer`` or ``none`` for penalties on single images, which batch
            statistics would make depend on each other (arXiv 1704.00028, sec. 4).

    Raises:
        ValueError: the image's size is no power of two times a small base.
    """

    def __init__(
        self, image: gankit.ImageSpec, *, width: PositiveInt = 64, norm: Literal["batch", "layer", "none"] = "batch"
    ) -> None:
        super().__init__()
        base, widths = stages(image, width)
        layers: list[nn.Module] = [
            nn.Conv2d(image.channels, widths[-1], kernel_size=4, stride=2, padding=1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for narrower, wider in pairwise(reversed(widths)):
            layers += [
                nn.Conv2d(narrower, wider, kernel_size=4, stride=2, padding=1, bias=False),
                *normalization(norm, wider),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        self.features = nn.Sequential(*layers)
        self.logit = nn.Conv2d(widths[0], 1, base, bias=False)
        self.embedding = nn.Embedding(image.classes, widths[0]) if image.classes else None
        self.apply(initialize)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to logits [n].

        Raises:
            ValueError: there are classes and no labels.
        """
        features: Tensor = self.features(images)  # [n f h w] of the base
        logits: Tensor = self.logit(features).flatten()
        if self.embedding is not None:
            logits = logits + (embed(self.embedding, labels) * features.sum(dim=(2, 3))).sum(dim=1)
        return logits


def embed(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Labels [n] to their embeddings [n f]. Raises: ValueError, without labels."""
    if labels is None:
        raise ValueError(f"this dcgan was built for {embedding.num_embeddings} classes: pass labels [n], one an image")
    vectors: Tensor = embedding(labels)
    return vectors


def normalization(norm: Literal["batch", "layer", "none"], channels: int) -> list[nn.Module]:
    """The layer that ``norm`` names; layer normalization is over channels and pixels of one image."""
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(1, channels)]


def initialize(module: nn.Module) -> None:
    """The reference's initial weights, by the type of layer."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
        # embeddings too: one that starts as large as the latent drowns it, and each class collapses to one image
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
