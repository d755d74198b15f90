"""FastGAN's generator.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import gankit

from .fastgan_blocks import SkipLayerExcitation, UpBlock, gated_linear_unit

MULTIPLIERS = (16, 8, 4, 2, 2, 1, 0.5, 0.25, 0.125)  # channels by number of doublings, as multiples of the width
PYRAMID = gankit.ImagePyramid("fastgan", min_doublings=2, max_doublings=len(MULTIPLIERS) - 1)
SKIP = 4  # doublings from a feature map to the one whose channels it scales
EXCITED = range(SKIP, 8)  # numbers of doublings of the feature maps whose channels are scaled


class FastGANGenerator(nn.Module):
    """FastGAN's generator (arXiv 2101.04775), as Projected GAN uses it (arXiv 2111.01007).

    The latent is normalized to unit mean square and mapped to a small base, which is upsampled to the image size by
    convolutions with spectral norm, batch normalization and gated linear units. Every other block is twice as deep and
    adds noise. Skip-layer excitation: from 64 px on, small feature maps scale the channels of those 16 times larger.

    For 256x256 images of 3 channels and 256 latent dimensions, the defaults give the network of Projected GAN's public
    code: 99,708,873 parameters. That code supports 128 px or more; here, smaller images use fewer
    blocks. The last convolution is linear, so that pixels may lie slightly outside [-1, 1].

    With classes, the scale and shift of batch normalization are linear in an embedding of the label [n d].

    Args:
        image: the images to generate.
        latent_dim: the size d of the latents; 256 in both papers.
        width: channels of the feature map after five doublings (128 px if the base has 4 px). The base has 16 times as
            many. 128 in Projected GAN, 64 in FastGAN.

    Raises:
        ValueError: the image size is not a power of two times a small base, or it is too small or too large.
    """

    deterministic_options: ClassVar = {"noise": 0.0}

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, width: PositiveInt = 128) -> None:
        super().__init__()
        sizes = PYRAMID.sizes(image)
        base = sizes[0]
        widths = [max(int(width * multiplier), 1) for multiplier in MULTIPLIERS[: len(sizes)]]
        embedding = latent_dim if image.classes else 0
        self.embedding = nn.Embedding(image.classes, embedding) if image.classes else None
        self.project = spectral_norm(nn.ConvTranspose2d(latent_dim, 2 * widths[0], base, bias=False))
        self.norm = nn.BatchNorm2d(2 * widths[0])
        self.blocks = nn.ModuleList(
            UpBlock(*pair, embedding, deep=level % 2 == 0) for level, pair in enumerate(pairwise(widths))
        )
        levels = [level for level in EXCITED if level < len(sizes)]
        self.excitations = nn.ModuleDict(
            {str(level): SkipLayerExcitation(widths[level - SKIP], widths[level], base) for level in levels}
        )
        self.to_image = spectral_norm(nn.Conv2d(widths[-1], image.channels, kernel_size=3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None, *, noise: NonNegativeFloat = 1.0) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w], about in [-1, 1].

        Args:
            z: latents.
            labels: class labels.
            noise: factor of the noise in the blocks; with 0, images depend on latents and labels alone.

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        embedded = None
        if self.embedding is not None:
            embedded = self.embedding(gankit.require_labels(labels, "fastgan", self.embedding.num_embeddings))
        z = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        maps = [gated_linear_unit(self.norm(self.project(z[:, :, None, None])))]
        for level, block in enumerate(self.blocks, start=1):
            large = block(maps[-1], embedded, noise)
            excite = self.excitations[str(level)] if level in EXCITED else None
            maps.append(large if excite is None else excite(maps[level - SKIP], large))
        images: Tensor = self.to_image(maps[-1])
        return images
