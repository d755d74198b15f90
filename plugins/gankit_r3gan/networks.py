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

from .blocks import ResidualBlock, initialize
from .precision import as_autocast, full_precision
from .resampling import Resampling, double, halve
from .stages import stages

PerStage = Annotated[
    Annotated[PositiveInt, Tag("<all>")]
    | Annotated[tuple[PositiveInt, ...], Field(min_length=1, max_length=16), Tag("<each>")],
    Discriminator(lambda value: "<each>" if isinstance(value, (list, tuple)) else "<all>"),
]
"""A number for all stages, or one for each, from the smallest map up."""


class R3GANGenerator(nn.Module):
    """The generator of R3GAN (arXiv 2501.05441): a learnt 4x4 basis, modulated by the latent, grown to an image.

    Each stage is a number of residual blocks without normalization, at twice the resolution of the one before; a 1x1
    convolution changes the width between stages where it differs, and another makes the colours, with no tanh. With
    its defaults, 64 latent dimensions and 10 classes at 32 px, it is the paper's for CIFAR-10: 20,781,952 parameters.

    With classes, an embedding of the label is joined to the latent.

    Args:
        image: what to generate.
        latent_dim: d.
        width: channels of all stages, or of each, from the smallest map up.
        blocks: residual blocks of all stages, or of each.
        expansion: how many times as many channels a block has inside.
        group_size: channels in each group of the 3x3 convolutions (the paper's 96 groups of 1536 channels are of 16);
            null for dense ones.
        resampling: ``bilinear`` filters with [1, 2, 1], as in the paper; ``box`` does not.
        embedding_dim: e, with classes.
        patch: side in pixels of the patches that one pixel of the largest map becomes: 2 saves the costliest stage.
        full_precision_stages: how many of the smallest maps are computed in fp32 also where the others are in bf16.

    Raises:
        ValueError: the image's size is no power of two times a small base, or numbers of stages or groups do not fit.
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
        if self.embedding is not None:  # a linear layer of the label's one-hot vector
            nn.init.normal_(self.embedding.weight, 0.0, 1 / math.sqrt(image.classes))

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w], about in [-1, 1].

        Raises:
            ValueError: there are classes and no labels.
        """
        if self.embedding is not None:
            z = torch.cat([z, embed(self.embedding, labels)], dim=1)
        with full_precision(z):
            features = self.basis * self.modulation(z)[:, :, None, None]
        for index, stage in enumerate(self.stages):
            if index:
                features = double(self.transitions[index - 1](features), self.resampling)
            features = run(stage, features, in_full=index < self.full_precision_stages)
        return F.pixel_shuffle(self.colours(features), self.patch)


class R3GANDiscriminator(nn.Module):
    """The discriminator of R3GAN (arXiv 2501.05441): the generator's mirror image.

    A 1x1 convolution takes the colours apart; each stage is a number of residual blocks, at half the resolution of the
    one before; the last map is weighted pixel by pixel (a depthwise convolution as large as the map) and summed to a
    vector, of which a linear layer makes the logit. With its defaults and 10 classes at 32 px, it is the paper's for
    CIFAR-10: 21,280,512 parameters.

    With classes, the linear layer gives e numbers, and the logit is their dot product with an embedding of the label.

    Args:
        image: what to judge.
        width: channels of all stages, or of each, from the smallest map up.
        blocks: residual blocks of all stages, or of each.
        expansion: how many times as many channels a block has inside.
        group_size: channels in each group of the 3x3 convolutions (the paper's 96 groups of 1536 channels are of 16);
            null for dense ones.
        resampling: ``bilinear`` filters with [1, 2, 1], as in the paper; ``box`` does not.
        embedding_dim: e, with classes; null for the width of the smallest map, as in the paper.
        patch: side in pixels of the patches that one pixel of the largest map stands for: 2 saves the costliest stage.
        full_precision_stages: how many of the smallest maps are computed in fp32 also where the others are in bf16.

    Raises:
        ValueError: the image's size is no power of two times a small base, or numbers of stages or groups do not fit.
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
            ValueError: there are classes and no labels.
        """
        features = self.colours(F.pixel_unshuffle(images, self.patch))
        for index in reversed(range(len(self.stages))):
            features = run(self.stages[index], features, in_full=index < self.full_precision_stages)
            if index:
                features = self.transitions[index - 1](halve(features, self.resampling))
        with full_precision(images):
            output: Tensor = self.head((features.to(self.basis.dtype) * self.basis).sum(dim=(2, 3)))
            if self.embedding is None:
                return output.flatten()
            return (output * embed(self.embedding, labels)).sum(dim=1)


def residual_blocks(channels: int, count: int, expansion: int, group_size: int | None, total: int) -> nn.Sequential:
    """``count`` of the network's ``total`` blocks."""
    return nn.Sequential(*(ResidualBlock(channels, expansion, group_size, total) for _ in range(count)))


def transition(inputs: int, outputs: int) -> nn.Module:
    """What changes the width between two stages, where it changes."""
    if inputs == outputs:
        return nn.Identity()
    layer = nn.Conv2d(inputs, outputs, 1, bias=False)
    initialize(layer)
    return layer


def run(stage: nn.Module, features: Tensor, in_full: bool) -> Tensor:
    """The stage's output, in the precision of its weights where ``in_full``."""
    if in_full:
        with full_precision(features):
            return stage(features.to(next(stage.parameters()).dtype))  # type: ignore[no-any-return]
    return stage(as_autocast(features))  # type: ignore[no-any-return]  # what is wider would stay so up to the image


def embed(embedding: nn.Embedding, labels: Tensor | None) -> Tensor:
    """Labels [n] to their embeddings [n e]. Raises: ValueError, without labels."""
    if labels is None:
        raise ValueError(f"this r3gan was built for {embedding.num_embeddings} classes: pass labels [n], one an image")
    vectors: Tensor = embedding(labels)
    return vectors
