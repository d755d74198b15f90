"""The generator of StyleGAN2.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions, ``l`` layers, ``s`` features
of a style.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

import gankit

from .levels import levels
from .mapping import Mapping
from .synthesis import Architecture, Noise, Synthesis

Share = Annotated[float, Field(ge=0, le=1)]


class StyleGAN2Generator(nn.Module):
    """The generator of StyleGAN2 (arXiv 1912.04958): a mapping network, and a synthesis network that its styles steer.

    With its defaults, 512 latent dimensions and 32 px, it is StyleGAN2-ADA's for CIFAR-10 (arXiv 2006.06676, appendix
    D): 512 channels at every size, two mapping layers, no style mixing; 19,947,539 parameters, with ten classes
    20,215,315. With ``width: 32, mapping_layers: 8, style_mixing: 0.9`` at 1024 px it is StyleGAN2's for faces (config
    F), with 30,370,060. Images are not bounded: there is no tanh.

    With classes, an embedding of the label is joined to the latent.

    Args:
        image: what to generate.
        latent_dim: d.
        width: channels of the largest feature map; each smaller one has twice as many as the next.
        max_width: no feature map has more channels.
        style_dim: s.
        mapping_layers: fully connected layers from latent to style.
        mapping_learning_rate: multiplier of their learning rate.
        architecture: ``skip`` (the paper's choice), ``residual``, or ``original`` (neither); see fig. 7 there.
        style_mixing: share of the images in training that take a second latent's style from a random layer on
            (arXiv 1812.04948, sec. 3.1); the second latent is drawn from N(0, 1).
        average_decay: of the running average of styles, a step; truncation is towards it.
        clamp: bound of the absolute value of what each layer makes, for low precision (arXiv 2006.06676: 256).

    Raises:
        ValueError: the image's size is no power of two times a small base.
    """

    average: Tensor

    def __init__(
        self,
        image: gankit.ImageSpec,
        latent_dim: int,
        *,
        width: PositiveInt = 512,
        max_width: PositiveInt = 512,
        style_dim: PositiveInt = 512,
        mapping_layers: PositiveInt = 2,
        mapping_learning_rate: PositiveFloat = 0.01,
        architecture: Architecture = "skip",
        style_mixing: Share = 0.0,
        average_decay: Share = 0.995,
        clamp: PositiveFloat | None = None,
    ) -> None:
        super().__init__()
        self.style_mixing, self.average_decay = style_mixing, average_decay
        self.mapping = Mapping(latent_dim, image.classes, style_dim, mapping_layers, mapping_learning_rate)
        maps = levels(image, width, max_width)
        self.synthesis = Synthesis(maps, image.channels, style_dim, architecture, clamp)
        self.register_buffer("average", torch.zeros(style_dim))

    def forward(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float = 1.0,
        truncation_cutoff: NonNegativeInt | None = None,
        noise: Noise = "random",
    ) -> Tensor:
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w] about [-1, 1].

        Args:
            z: latents.
            labels: classes.
            truncation: psi: styles are drawn to their average, to fewer kinds of better images, up to 0 (arXiv
                1812.04948, appendix B); 1 leaves them.
            truncation_cutoff: truncate the styles of so many layers only, from the coarsest on.
            noise: of each pixel, drawn at ``random``, the same for all images (``const``), or ``none``.

        Raises:
            ValueError: there are classes and no labels.
        """
        styles = self.styles(z, labels)
        if truncation != 1:
            truncated = torch.lerp(self.average, styles, truncation)
            kept = self.synthesis.layers if truncation_cutoff is None else truncation_cutoff
            styles = torch.cat([truncated[:, :kept], styles[:, kept:]], dim=1)
        images: Tensor = self.synthesis(styles, noise)
        return images

    def styles(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        """Latents [n d] and labels [n] to the styles [n l s] of each layer; in training some are mixed."""
        styles: Tensor = self.mapping(z, labels)[:, None].expand(-1, self.synthesis.layers, -1)
        if not self.training or not self.style_mixing:
            return styles
        count, layers, device = len(z), self.synthesis.layers, z.device
        others = self.mapping(torch.randn_like(z), labels)[:, None]
        crossover = torch.randint(1, layers, (count, 1, 1), device=device)
        mixed = torch.rand(count, 1, 1, device=device) < self.style_mixing
        later = torch.arange(layers, device=device)[:, None] >= crossover
        return torch.where(mixed & later, others, styles)

    def after(self, turn: gankit.Turn) -> None:
        """Move the average of styles."""
        if turn.player == "generator":
            mean = turn.mean(self.mapping(turn.latents, turn.labels).mean(dim=0))
            self.average.lerp_(mean, 1 - self.average_decay)
