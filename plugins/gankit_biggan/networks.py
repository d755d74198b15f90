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

from .attention import SelfAttention
from .feature_maps import attended_blocks, discriminator_feature_maps, generator_feature_maps
from .layers import Conv2d, Embedding, Linear
from .residual_blocks import BATCH_NORM_EPSILON, DiscriminatorBlock, GeneratorBlock
from .truncation import truncate

Multipliers = Annotated[tuple[PositiveInt, ...], Field(min_length=1)]


class BigGANGenerator(nn.Module):
    """The generator of BigGAN (arXiv 1809.11096): residual blocks with batch normalization conditional on class and z.

    z is split into chunks. A linear layer maps the first chunk to the smallest feature map, and each block doubles its
    height and width. The gain and bias of a block's batch normalization are linear in the next chunk and an embedding
    of the label shared by all blocks.

    For 32x32 images of 10 classes and 80 latent dimensions, the defaults give 9,416,196 parameters, as published for
    CIFAR-10. For 128x128 images of 1,000 classes and 120 latent dimensions, they give the paper's network with
    70,433,988 parameters.

    Sampling uses the running statistics of batch normalization (those of the average if there is one), not the paper's
    "standing statistics", which need additional forward passes.

    Without classes, gain and bias depend only on the chunk. Without classes and ``hierarchical``, they are learned
    parameters as in plain batch normalization.

    Args:
        image: the images to generate.
        latent_dim: size of z. The chunks have equal lengths or differ by one, the first ones being longer.
        width: the channel multiplier, "ch" in the paper.
        multipliers: channels of the smallest feature map and after each block, as multiples of ``width``; None for the
            paper's.
        attention: short sides in pixels of the feature maps after which self-attention follows; None for half of the
            image's.
        embedding_dim: size of the shared embedding.
        hierarchical: split z over the blocks; otherwise only the linear layer uses z.
        spectral_norm: apply spectral norm to all weights except the embedding.

    Raises:
        ValueError: the image size is not a power of two times a small base, ``latent_dim`` is smaller than the number
            of chunks, or ``multipliers`` or ``attention`` do not match the feature maps.
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
        maps = generator_feature_maps(image, width, multipliers)
        self.base, blocks = maps.base, len(maps.widths) - 1
        if hierarchical and latent_dim <= blocks:
            raise ValueError(
                f"a latent of {latent_dim} dimensions cannot be split into {blocks + 1} chunks, one for the smallest "
                f"feature map and one for each of {blocks} blocks; use {blocks + 1} or more, or set hierarchical: false"
            )
        self.chunks = blocks + 1 if hierarchical else 1
        lengths = [len(chunk) for chunk in torch.arange(latent_dim, device="cpu").tensor_split(self.chunks)]
        embedded = embedding_dim if image.classes else 0
        conditions = [embedded + length for length in lengths[1:]] if hierarchical else [embedded] * blocks
        self.embedding = Embedding(image.classes, embedding_dim) if image.classes else None
        self.linear = Linear(lengths[0], maps.widths[0] * self.base[0] * self.base[1], spectral=spectral_norm)
        self.blocks = nn.ModuleList(
            GeneratorBlock(*widths, condition, spectral_norm)
            for widths, condition in zip(pairwise(maps.widths), conditions, strict=True)
        )
        attended = attended_blocks(maps, image, attention)
        self.attention = nn.ModuleDict({str(i): SelfAttention(maps.widths[i + 1], spectral_norm) for i in attended})
        self.norm = nn.BatchNorm2d(maps.widths[-1], eps=BATCH_NORM_EPSILON)
        self.out = Conv2d(maps.widths[-1], image.channels, 3, spectral=spectral_norm)

    def forward(
        self, z: Tensor, labels: Tensor | None = None, *, truncation: Annotated[float, Field(gt=0)] | None = None
    ) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w] in [-1, 1].

        Args:
            z: standard normal latents.
            labels: class labels.
            truncation: truncate the distribution of z at this many standard deviations, for better images of less
                variety (`truncate`); None for no truncation.

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        if truncation is not None:
            z = truncate(z, truncation)
        first, *rest = z.tensor_split(self.chunks, dim=1)
        embedded = [self.embedding(labels)] if self.embedding is not None else []
        features = self.linear(first).unflatten(1, (-1, *self.base))
        for index, block in enumerate(self.blocks):
            condition = [*embedded, *rest[index : index + 1]]
            features = block(features, torch.cat(condition, dim=1) if condition else None)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        images: Tensor = self.out(F.relu(self.norm(features), inplace=True))
        return images.to(torch.promote_types(images.dtype, torch.float32)).tanh()  # bf16 is too coarse for pixels


class BigGANDiscriminator(nn.Module):
    """The discriminator of BigGAN (arXiv 1809.11096): residual blocks, then a projection (arXiv 1802.05637).

    A linear layer maps the last feature map, summed over its pixels, to the logit. With classes, the dot product of the
    same features and an embedding of the label is added. All weights have spectral norm.

    For 32x32 images of 10 classes, the defaults give 2,415,170 parameters. For 128x128 images of 1,000 classes, they
    give the paper's network with 87,982,370 parameters.

    Args:
        image: the input images.
        width: the channel multiplier, "ch" in the paper.
        multipliers: channels after each block, as multiples of ``width``; None for the paper's.
        attention: short sides in pixels of the feature maps after which self-attention follows; None for half of the
            image's.
        rectified_shortcut: apply the ReLU at the start of a block to its shortcut as well. Implementations with an
            in-place ReLU, such as StudioGAN, compute this.

    Raises:
        ValueError: the image size is not a power of two times a small base, or ``multipliers`` or ``attention`` do not
            match the feature maps.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PositiveInt = 96,
        multipliers: Multipliers | None = None,
        attention: tuple[PositiveInt, ...] | None = None,
        rectified_shortcut: bool = False,
    ) -> None:
        super().__init__()
        maps = discriminator_feature_maps(image, width, multipliers)
        short_sides = pairwise((min(image.height, image.width), *maps.short_sides))
        self.blocks = nn.ModuleList(
            DiscriminatorBlock(*widths, halve=before > after, first=index == 0, rectified_shortcut=rectified_shortcut)
            for index, (widths, (before, after)) in enumerate(
                zip(pairwise((image.channels, *maps.widths)), short_sides, strict=True)
            )
        )
        attended = attended_blocks(maps, image, attention)
        self.attention = nn.ModuleDict({str(i): SelfAttention(maps.widths[i], True) for i in attended})
        self.logit = Linear(maps.widths[-1], 1)
        self.embedding = Embedding(image.classes, maps.widths[-1], spectral=True) if image.classes else None

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to logits [n].

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        features = images
        for index, block in enumerate(self.blocks):
            features = block(features)
            if str(index) in self.attention:
                features = self.attention[str(index)](features)
        with gankit.full_precision(images):
            features = F.relu(features)
            pooled = features.sum(dim=(2, 3), dtype=torch.promote_types(features.dtype, torch.float32))  # [n f]
            logits: Tensor = self.logit(pooled).squeeze(1)
            if self.embedding is not None:
                logits = logits + (self.embedding(labels) * pooled).sum(dim=1)
        return logits
