"""FastGAN's generator.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

import gankit

from .blocks import SkipLayerExcitation, Up, gated
from .stages import stages

WIDTHS = (16, 8, 4, 2, 2, 1, 0.5, 0.25, 0.125)  # of the maps, by their number of doublings
REACH = 4  # doublings from a map to the one whose channels it scales
EXCITED = range(REACH, 8)


class FastGANGenerator(nn.Module):
    """FastGAN's generator (arXiv 2101.04775), as Projected GAN uses it (arXiv 2111.01007).

    The latent, normalized to a sphere, becomes a map of the base size, which doubles until it is as large as the image:
    convolutions with spectral norm, BatchNorm and gated linear units, every other block twice as deep and with noise;
    from 64 px on, small maps scale the channels of those sixteen times their size (skip-layer excitation).

    With its defaults, 256 latent dimensions and 3 channels: 99,708,873 parameters at 256 px as in the public
    implementation of Projected GAN, whose smallest images have 128 px; smaller ones end earlier here. The last
    convolution is linear: images may leave [-1, 1] a little.

    With classes, BatchNorm's scale and shift follow an embedding of the label, as long as the latent.

    Args:
        image: what to generate.
        latent_dim: d; 256 in both papers.
        width: channels of the map after five doublings, of 128 px for square powers of two; the base has 16 times as
            many. 128 is Projected GAN's, 64 FastGAN's.

    Raises:
        ValueError: the image's size is no power of two times a small base, or too small or large.
    """

    def __init__(self, image: gankit.ImageSpec, latent_dim: int, *, width: PositiveInt = 128) -> None:
        super().__init__()
        base, doublings = stages(image)
        widths = [max(int(width * times), 1) for times in WIDTHS[: doublings + 1]]
        embedding = latent_dim if image.classes else 0
        self.embedding = nn.Embedding(image.classes, embedding) if image.classes else None
        self.project = spectral_norm(nn.ConvTranspose2d(latent_dim, 2 * widths[0], base, bias=False))
        self.norm = nn.BatchNorm2d(2 * widths[0])
        self.blocks = nn.ModuleList(
            Up(*pair, embedding, deep=level % 2 == 0) for level, pair in enumerate(pairwise(widths))
        )
        self.excitations = nn.ModuleDict(
            {
                str(level): SkipLayerExcitation(widths[level - REACH], widths[level], base)
                for level in EXCITED
                if level <= doublings
            }
        )
        self.to_image = spectral_norm(nn.Conv2d(widths[-1], image.channels, kernel_size=3, padding=1))

    def forward(self, z: Tensor, labels: Tensor | None = None, *, noise: NonNegativeFloat = 1.0) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w], about in [-1, 1].

        Args:
            z: latents.
            labels: of the images.
            noise: factor of the noise in the blocks; 0 for images that the latent alone decides.

        Raises:
            ValueError: there are classes and no labels.
        """
        embedded = None
        if self.embedding is not None:
            if labels is None:
                count = self.embedding.num_embeddings
                raise ValueError(f"this fastgan was built for {count} classes: pass labels [n], one an image")
            embedded = self.embedding(labels)
        z = z * torch.rsqrt(z.square().mean(dim=1, keepdim=True) + 1e-8)
        maps = [gated(self.norm(self.project(z[:, :, None, None])))]
        for level, block in enumerate(self.blocks, start=1):
            large = block(maps[-1], embedded, noise)
            excite = self.excitations[str(level)] if level in EXCITED else None
            maps.append(large if excite is None else excite(maps[level - REACH], large))
        images: Tensor = self.to_image(maps[-1])
        return images
