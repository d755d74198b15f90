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


class DCGANGenerator(nn.Module):
    """The generator of DCGAN (arXiv 1511.06434): transposed convolutions from a latent vector to an image.

    For 64x64 images of 3 channels and 100 latent dimensions, the defaults give the reference network: feature maps of
    512, 256, 128 and 64 channels, each followed by BatchNorm and ReLU, tanh at the end, no biases; 3,576,704
    parameters. The image size determines the number of layers (`gankit.ImagePyramid`).

    With classes, an embedding of the label [n d] is concatenated with the latent vector.

    Args:
        image: the images to generate.
        latent_dim: the size d of the latents.
        width: channels of the largest feature map; each smaller one has twice as many.

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, width: PositiveInt = 64) -> None:
        super().__init__()
        base, widths = base_and_widths(image, width)
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
            ValueError: the network has classes and ``labels`` is None.
        """
        if self.embedding is not None:
            z = torch.cat([z, embed(self.embedding, labels)], dim=1)
        images: Tensor = self.layers(z[:, :, None, None])
        return images


class DCGANDiscriminator(nn.Module):
    """The discriminator of DCGAN (arXiv 1511.06434): strided convolutions from an image to one logit.

    For 64x64 images of 3 channels, the defaults give the reference network: feature maps of 64, 128, 256 and 512
    channels, BatchNorm on all but the first, LeakyReLU of slope 0.2, no biases; 2,765,568 parameters.

    With classes, it is a projection discriminator (arXiv 1802.05637, eq. 4): the dot product of the last feature map,
    summed over its pixels, and an embedding of the label is added to the logit.

    Args:
        image: the input images.
        width: channels of the largest feature map; each smaller one has twice as many.
        norm: ``batch`` as in the reference. Gradient penalties need ``layer`` or ``none``: they are defined per image,
            and with ``batch`` a logit depends on the other images of the batch (arXiv 1704.00028, sec. 4).

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """

    def __init__(
        self, image: gankit.ImageSpec, *, width: PositiveInt = 64, norm: Literal["batch", "layer", "none"] = "batch"
    ) -> None:
        super().__init__()
        base, widths = base_and_widths(image, width)
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
            ValueError: the network has classes and ``labels`` is None.
        """
        features: Tensor = self.features(images)  # [n f h w] of the base
        logits: Tensor = self.logit(features).flatten()
        if self.embedding is not None:
            logits = logits + (embed(self.embedding, labels) * features.sum(dim=(2, 3))).sum(dim=1)
        return logits


def base_and_widths(image: gankit.ImageSpec, width: int) -> tuple[tuple[int, int], list[int]]:
    """Size (h, w) of the smallest feature map, and the channels of all feature maps, from the smallest up.

    The largest feature map has half the height and width of the image and ``width`` channels.

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """
    base, *larger = gankit.ImagePyramid("dcgan").sizes(image)
    return base, [width << halvings for halvings in reversed(range(len(larger)))]


def embed(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Labels [n] to embeddings [n f]. Raises: ValueError: ``labels`` is None."""
    vectors: Tensor = embedding(gankit.require_labels(labels, "dcgan", embedding.num_embeddings))
    return vectors


def normalization(norm: Literal["batch", "layer", "none"], channels: int) -> list[nn.Module]:
    """The layer called ``norm``, if any. Layer normalization is over the channels and pixels of one image."""
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(1, channels)]


def initialize(module: nn.Module) -> None:
    """Initialize a layer as the reference does."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Embedding)):
        # with embeddings as large as the latents, G ignores the latents and generates one image per class
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
