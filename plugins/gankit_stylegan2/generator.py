"""The generator of StyleGAN2.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``d`` latent dimensions, ``l`` layers, ``s`` features
of a style.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

import gankit

from .feature_maps import feature_maps
from .mapping import Mapping
from .synthesis import Architecture, Noise, Synthesis

Share = Annotated[float, Field(ge=0, le=1)]


class StyleGAN2Generator(nn.Module):
    """The generator of StyleGAN2 (arXiv 1912.04958): a mapping network and a synthesis network controlled by styles.

    For 32x32 images and 512 latent dimensions, the defaults give StyleGAN2-ADA's network for CIFAR-10 (arXiv
    2006.06676, appendix D): 512 channels in all feature maps, two mapping layers, no style mixing; 19,947,539
    parameters, or 20,215,315 with ten classes. For 1024x1024 images, ``width: 32, mapping_layers: 8, style_mixing:
    0.9`` gives StyleGAN2's network for faces (config F) with 30,370,060 parameters. No tanh bounds the output.

    With classes, an embedding of the label is concatenated with the latent vector.

    Args:
        image: the images to generate.
        latent_dim: the size d of the latents.
        width: channels of the largest feature map; each smaller one has twice as many.
        max_width: largest number of channels.
        style_dim: the size s of the styles.
        mapping_layers: fully connected layers of the mapping network.
        mapping_learning_rate: factor of the mapping network's learning rate.
        architecture: ``skip`` (the paper's choice), ``residual``, or ``original`` (neither); see the paper's fig. 7.
        style_mixing: probability that a training image uses the style of a second latent, drawn from N(0, 1), from a
            random layer on (arXiv 1812.04948, sec. 3.1).
        average_decay: decay per step of the running average of styles, which truncation uses.
        clamp: bound of the absolute values of each layer's output, for low precision (arXiv 2006.06676: 256).

    Raises:
        ValueError: the image size is not a power of two times a small base.
    """

    average: Tensor
    deterministic_options: ClassVar = {"noise": "const"}

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
        maps = feature_maps(image, width, max_width)
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
        """Latents [n d] and, with classes, labels [n] (int64) to images [n c h w], about in [-1, 1].

        Args:
            z: latents.
            labels: class labels.
            truncation: psi, interpolates between the average style (0) and the image's own style (1): lower values give
                better images of less variety (arXiv 1812.04948, appendix B).
            truncation_cutoff: number of layers, from the coarsest on, whose styles are truncated; None for all.
            noise: noise per pixel: drawn for each image (``random``), the same for all images (``const``), or
                ``none``.

        Raises:
            ValueError: the network has classes and ``labels`` is None.
        """
        styles = self.styles(z, labels, truncation=truncation, truncation_cutoff=truncation_cutoff)
        return self.synthesize(styles, noise=noise)

    def styles(
        self,
        z: Tensor,
        labels: Tensor | None = None,
        *,
        truncation: float = 1.0,
        truncation_cutoff: NonNegativeInt | None = None,
    ) -> Tensor:
        """Latents [n d] and labels [n] to the styles of all layers [n l s], with style mixing in training mode.

        The arguments are those of `forward`.
        """
        styles: Tensor = self.mapping(z, labels)[:, None].expand(-1, self.synthesis.layers, -1)
        if isinstance(truncation, Tensor) or truncation != 1:  # an exported program receives a tensor
            truncated = torch.lerp(self.average, styles, truncation)
            cutoff = self.synthesis.layers if truncation_cutoff is None else truncation_cutoff
            styles = torch.cat([truncated[:, :cutoff], styles[:, cutoff:]], dim=1)
        if not self.training or not self.style_mixing:
            return styles
        count, layers, device = len(z), self.synthesis.layers, z.device
        others = self.mapping(torch.randn_like(z), labels)[:, None]
        crossover = torch.randint(1, layers, (count, 1, 1), device=device)
        mixed = torch.rand(count, 1, 1, device=device) < self.style_mixing
        later = torch.arange(layers, device=device)[:, None] >= crossover
        return torch.where(mixed & later, others, styles)

    def synthesize(self, styles: Tensor, *, noise: Noise = "random") -> Tensor:
        """The styles of all layers [n l s] to images [n c h w], about in [-1, 1]. ``noise`` is that of `forward`."""
        images: Tensor = self.synthesis(styles, noise)
        return images

    def after(self, turn: gankit.Turn) -> None:
        """Update the running average of styles."""
        if turn.player == "generator":
            mean = turn.mean(self.mapping(turn.latents, turn.labels).mean(dim=0))
            self.average.lerp_(mean, 1 - self.average_decay)
