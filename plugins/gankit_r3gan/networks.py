"""The two networks of R3GAN.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions, ``e`` of an embedding.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Discriminator, Field, NonNegativeInt, PositiveInt, Tag
from torch import Tensor, nn
from torch.nn import functional as F

import gankit

from .precision import run_stage
from .resampling import Resampling, downsample, upsample
from .residual_block import ResidualBlock, initialize
from .stages import stages

PerStage = Annotated[
    Annotated[PositiveInt, Tag("<all>")]
    | Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=16), Tag("<each>")],
    Discriminator(lambda value: "<each>" if isinstance(value, (list, tuple)) else "<all>"),
]
"""One number for all stages, or one for each stage, from the smallest feature map up."""


class R3GANGenerator(nn.Module):
    """The generator of R3GAN (arXiv 2501.05441): a learned basis scaled by the latent vector, upsampled to an image.

    The basis is a feature map of 4x4 pixels for square images of a power of two. Each stage has residual blocks without
    normalization and twice the resolution of the stage before. A 1x1 convolution between stages changes the number of
    channels if needed, and another one maps the last features to pixels, without tanh. With 64 latent dimensions and
    32x32 images of 10 classes, the defaults give the paper's network for CIFAR-10: 20,781,952 parameters.

    With classes, an embedding of the label is concatenated with the latent vector.

    Args:
        image: the images to generate.
        latent_dim: the size d of the latents.
        width: channels of all stages, or of each stage, from the smallest feature map up.
        blocks: residual blocks of all stages, or of each stage.
        expansion: channels of a block's 3x3 convolution, as a multiple of the stage's channels.
        group_size: channels in each group of the 3x3 convolutions (the paper: 1536 channels in 96 groups of 16); null
            for dense convolutions.
        resampling: ``bilinear`` filters with [1, 2, 1], as in the paper; ``box`` does not filter.
        embedding_dim: e; used with classes.
        patch: side in pixels of the image patch that one pixel of the largest feature map becomes. 2 saves the most
            expensive stage.
        full_precision_stages: number of stages, from the smallest feature map up, computed in fp32 under autocast.

    Raises:
        ValueError: the image size is not a power of two times a small base, the number of widths or blocks differs from
            the number of stages, or the channels are not a multiple of ``group_size``.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        latent_dim: int,
        *,
        width: PerStage = 768,
        blocks: PerStage = 2,
        expansion: PositiveInt = 2,
        group_size: PositiveInt | None = 16,
        resampling: Resampling = "bilinear",
        embedding_dim: PositiveInt = 64,
        patch: PositiveInt = 1,
        full_precision_stages: NonNegativeInt = 1,
    ) -> None:
        super().__init__()
        base, widths, counts = stages(image, patch, width, blocks)
        self.resampling: Resampling = resampling
        self.patch = patch
        self.full_precision_stages = full_precision_stages
        self.embedding = nn.Embedding(image.classes, embedding_dim) if image.classes else None
        self.modulation = nn.Linear(latent_dim + (embedding_dim if image.classes else 0), widths[0], bias=False)
        self.basis = nn.Parameter(torch.randn(widths[0], *base))
        self.stages = nn.ModuleList(
            residual_blocks(channels, count, expansion, group_size, sum(counts))
            for channels, count in zip(widths, counts, strict=True)
        )
        self.transitions = nn.ModuleList(map(transition, widths[:-1], widths[1:]))
        self.colours = nn.Conv2d(widths[-1], image.channels * patch**2, 1, bias=False)
        initialize(self.modulation)
        initialize(self.colours)
        if self.embedding is not None:  # as a linear layer of the one-hot label
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(image.classes))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w], about in [-1, 1].

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        if self.embedding is not None:
            z = torch.cat([z, embed(self.embedding, labels)], dim=1)
        with gankit.full_precision(z):
            features = self.basis * self.modulation(z)[:, :, None, None]
        for index, stage in enumerate(self.stages):
            if index:
                features = upsample(self.transitions[index - 1](features), self.resampling)
            features = run_stage(stage, features, in_full_precision=index < self.full_precision_stages)
        return F.pixel_shuffle(self.colours(features), self.patch)


class R3GANDiscriminator(nn.Module):
    """The discriminator of R3GAN (arXiv 2501.05441), with the generator's stages in reverse order.

    A 1x1 convolution maps pixels to features. Each stage has residual blocks and half the resolution of the stage
    before. A depthwise convolution as large as the last feature map reduces it to a vector, and a linear layer maps the
    vector to the logit. For 32x32 images of 10 classes, the defaults give the paper's network for CIFAR-10: 21,280,512
    parameters.

    With classes, the linear layer has e outputs, and the logit is their dot product with an embedding of the label.

    Args:
        image: the input images.
        width: channels of all stages, or of each stage, from the smallest feature map up.
        blocks: residual blocks of all stages, or of each stage.
        expansion: channels of a block's 3x3 convolution, as a multiple of the stage's channels.
        group_size: channels in each group of the 3x3 convolutions (the paper: 1536 channels in 96 groups of 16); null
            for dense convolutions.
        resampling: ``bilinear`` filters with [1, 2, 1], as in the paper; ``box`` does not filter.
        embedding_dim: e; used with classes. Null for the channels of the smallest feature map, as in the paper.
        patch: side in pixels of the image patch that one pixel of the largest feature map stands for. 2 saves the most
            expensive stage.
        full_precision_stages: number of stages, from the smallest feature map up, computed in fp32 under autocast.

    Raises:
        ValueError: the image size is not a power of two times a small base, the number of widths or blocks differs from
            the number of stages, or the channels are not a multiple of ``group_size``.
    """

    def __init__(
        self,
        image: gankit.ImageSpec,
        *,
        width: PerStage = 768,
        blocks: PerStage = 2,
        expansion: PositiveInt = 2,
        group_size: PositiveInt | None = 16,
        resampling: Resampling = "bilinear",
        embedding_dim: PositiveInt | None = None,
        patch: PositiveInt = 1,
        full_precision_stages: NonNegativeInt = 1,
    ) -> None:
        super().__init__()
        base, widths, counts = stages(image, patch, width, blocks)
        self.resampling: Resampling = resampling
        self.patch = patch
        self.full_precision_stages = full_precision_stages
        self.colours = nn.Conv2d(image.channels * patch**2, widths[-1], 1, bias=False)
        self.stages = nn.ModuleList(
            residual_blocks(channels, count, expansion, group_size, sum(counts))
            for channels, count in zip(widths, counts, strict=True)
        )
        self.transitions = nn.ModuleList(map(transition, widths[1:], widths[:-1]))
        self.basis = nn.Parameter(torch.randn(widths[0], *base) / math.sqrt(base[0] * base[1]))
        outputs = (embedding_dim or widths[0]) if image.classes else 1
        self.head = nn.Linear(widths[0], outputs, bias=False)
        self.embedding = nn.Embedding(image.classes, outputs) if image.classes else None
        initialize(self.colours)
        initialize(self.head)
        if self.embedding is not None:
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(image.classes * outputs))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images [n c h w] in [-1, 1] and, with classes, labels [n] (int64) to logits [n].

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        features = self.colours(F.pixel_unshuffle(images, self.patch))
        for index in reversed(range(len(self.stages))):
            features = run_stage(self.stages[index], features, in_full_precision=index < self.full_precision_stages)
            if index:
                features = self.transitions[index - 1](downsample(features, self.resampling))
        with gankit.full_precision(images):
            output: Tensor = self.head((features.to(self.basis.dtype) * self.basis).sum(dim=(2, 3)))
            if self.embedding is None:
                return output.flatten()
            return (output * embed(self.embedding, labels)).sum(dim=1)


def residual_blocks(channels: int, count: int, expansion: int, group_size: int | None, total: int) -> nn.Sequential:
    """A stage of ``count`` blocks; the network has ``total`` blocks."""
    return nn.Sequential(*(ResidualBlock(channels, expansion, group_size, total) for _ in range(count)))


def transition(inputs: int, outputs: int) -> nn.Module:
    """A 1x1 convolution from ``inputs`` to ``outputs`` channels; the identity if they are equal."""
    if inputs == outputs:
        return nn.Identity()
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    initialize(layer)
    return layer


def embed(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Labels [n] to embeddings [n e]. Raises: ValueError: ``labels`` is None."""
    vectors: Tensor = embedding(gankit.require_labels(labels, "r3gan", embedding.num_embeddings))
    return vectors
