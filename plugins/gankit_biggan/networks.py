"""The two networks of BigGAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions, ``f`` features.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .blocks import BATCH_NORM_EPSILON, DiscriminatorBlock, GeneratorBlock, SelfAttention
from .layers import Conv2d, Embedding, Linear, full_precision
from .stages import attended, discriminator_stages, generator_stages
from .truncation import truncate

Multipliers = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class BigGANGenerator(nn.Module):
    """The generator of BigGAN (arXiv 1809.11096): residual blocks whose batch normalization knows the class and z.

    A linear layer makes the base of the first chunk of z, and each block doubles it; a block's normalization has its
    gain and bias from the next chunk of z and an embedding of the label that all blocks share.

    With its defaults, 32 px, 10 classes and 80 latent dimensions, 9,416,196 parameters, as in the public figures for
    CIFAR-10. At 128 px, with 1,000 classes and 120 latent dimensions, it is the paper's, 70,433,988 parameters.

    Samples are normalized by running statistics, of the average where there is one, in place of the paper's "standing
    statistics", which are collected in passes of their own.

    Without classes, the normalization has its gain and bias from the chunk of z alone; without ``hierarchical`` too,
    it learns them as plain batch normalization does.

    Args:
        image: what to generate.
        latent_dim: d; the chunks are equally long where d can be so divided, else the first are one longer.
        width: the channel multiplier, "ch" in the paper.
        multipliers: channels of the base and after each block, as multiples of ``width``; None for the paper's.
        attention: short sides of the feature maps that self-attention follows; None for half of the image's.
        embedding_dim: features of the shared embedding.
        hierarchical: split z over the blocks; otherwise the base has all of it.
        spectral_norm: normalize all weights spectrally but the embedding's.

    Raises:
        ValueError: the image's size is no power of two times a small base, z is too short for a chunk for each block,
            or ``multipliers`` or ``attention`` do not fit.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        latent_dim: int,
        *,
        width: PositiveInt = 96,
        multipliers: Multipliers | None = None,
        attention: tuple[PositiveInt, ...] | None = None,
        embedding_dim: PositiveInt = 128,
        hierarchical: bool = True,
        spectral_norm: bool = True,
    ) -> None:
        super().__init__()
        stages = generator_stages(image, width, multipliers)
        self.base, blocks = stages.base, len(stages.widths) - 1
        if hierarchical and latent_dim <= blocks:
            raise ValueError(
                f"a latent of {latent_dim} dimensions cannot be split into {blocks + 1} chunks, for the base and "
                f"{blocks} blocks; give it {blocks + 1} or more, or set hierarchical: false"
            )
        self.chunks = blocks + 1 if hierarchical else 1
        lengths = [len(chunk) for chunk in torch.arange(latent_dim, device="cpu").tensor_split(self.chunks)]
        shared = embedding_dim if image.classes else 0
        conditions = [shared + length for length in lengths[1:]] if hierarchical else [shared] * blocks
        self.embedding = Embedding(image.classes, embedding_dim) if image.classes else None
        self.linear = Linear(lengths[0], stages.widths[0] * self.base[0] * self.base[1], spectral=spectral_norm)
        self.blocks = nn.ModuleList(
            GeneratorBlock(*widths, condition, spectral_norm)
            for widths, condition in zip(pairwise(stages.widths), conditions, strict=True)
        )
        self.attention = nn.ModuleDict(
            {
                str(index): SelfAttention(stages.widths[index + 1], spectral_norm)
                for index in attended(stages, image, attention)
            }
        )
        self.norm = nn.BatchNorm2d(stages.widths[-1], eps=BATCH_NORM_EPSILON)
        self.out = Conv2d(stages.widths[-1], image.channels, 3, spectral=spectral_norm)

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: Annotated[float, Field(gt=0)] | None = None,
    ) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w] in [-1, 1].

        Args:
            z: standard normal.
            labels: of classes.
            truncation: cut the latents' distribution off at so many standard deviations: better images, less variety.

        Raises:
            ValueError: there are classes and no labels.
        """
        if truncation is not None:
            z = truncate(z, truncation)
        first, *rest = z.tensor_split(self.chunks, dim=1)
        known = [self.embedding(labels)] if self.embedding is not None else []
        features = self.linear(first).unflatten(1, (-1, *self.base))
        for index, block in enumerate(self.blocks):
            parts = [*known, *rest[index : index + 1]]
            features = block(features, torch.cat(parts, dim=1) if parts else None)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        images: Tensor = self.out(F.relu(self.norm(features), inplace=True))
        return images.to(torch.promote_types(images.dtype, torch.float32)).tanh()  # bf16 is too coarse for colours


class BigGANDiscriminator(nn.Module):
    """The discriminator of BigGAN (arXiv 1809.11096): residual blocks, then a projection (arXiv 1802.05637).

    The last feature map, summed over its pixels, gives the logit by a linear layer and, with classes, its product
    with an embedding of the label. All weights are spectrally normalized.

    With its defaults, 32 px and 10 classes, 2,415,170 parameters. At 128 px with 1,000 classes it is the paper's,
    87,982,370 parameters.

    Args:
        image: what to judge.
        width: the channel multiplier, "ch" in the paper.
        multipliers: channels after each block, as multiples of ``width``; None for the paper's.
        attention: short sides of the feature maps that self-attention follows; None for half of the image's.

    Raises:
        ValueError: the image's size is no power of two times a small base, or ``multipliers`` or ``attention`` do not
            fit.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PositiveInt = 96,
        multipliers: Multipliers | None = None,
        attention: tuple[PositiveInt, ...] | None = None,
    ) -> None:
        super().__init__()
        stages = discriminator_stages(image, width, multipliers)
        sizes = pairwise((min(image.height, image.width), *stages.sizes))
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(*widths, halve=before > after, first=index == 0)
            for index, (widths, (before, after)) in enumerate(
                zip(pairwise((image.channels, *stages.widths)), sizes, strict=True)
            )
        )
        self.attention = nn.ModuleDict(
            {str(index): SelfAttention(stages.widths[index], True) for index in attended(stages, image, attention)}
        )
        self.logit = Linear(stages.widths[-1], 1)
        self.embedding = Embedding(image.classes, stages.widths[-1], spectral=True) if image.classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to logits [n].

        Raises:
            ValueError: there are classes and no labels.
        """
        features = images
        for index, block in enumerate(self.blocks):
            features = block(features)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        with full_precision(images.device):
            features = F.relu(features)
            pooled = features.sum(dim=(2, 3), dtype=torch.promote_types(features.dtype, torch.float32))  # [n f]
            logits: Tensor = self.logit(pooled).squeeze(1)
            if self.embedding is not None:
                logits = logits + (self.embedding(labels) * pooled).sum(dim=1)
        return logits
