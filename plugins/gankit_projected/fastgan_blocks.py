"""Blocks of the FastGAN generator.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``e`` dimensions of a label's embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

import gankit


def gated_linear_unit(maps: Tensor) -> Tensor:
    """Gated linear unit: [n 2c h w] to [n c h w]."""
    values, gates = maps.chunk(2, dim=1)  # F.glu has a slow derivative in channels_last
    return values * gates.sigmoid()


class UpsampleConv(nn.Module):
    """Nearest-neighbor upsampling by 2, then a 3x3 convolution with spectral norm and without bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = spectral_norm(nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        weight: Tensor = self.convolution.weight  # type: ignore[assignment]  # which mypy takes for a module
        return gankit.convolve_upsampled(maps, weight)


class Noise(nn.Module):
    """Adds normal noise, one value per pixel, times a learned strength that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor, scale: float) -> Tensor:
        """Feature maps [n c h w] to the same shape; ``scale`` is a further factor of the noise."""
        if scale == 0:
            return maps
        noise = torch.randn(maps.shape[0], 1, *maps.shape[2:], dtype=maps.dtype, device=maps.device)
        return maps + (scale * self.strength).to(maps.dtype) * noise


class ConditionalBatchNorm(nn.BatchNorm2d):
    """BatchNorm whose scale - 1 and shift are linear in the label's embedding (arXiv 1809.11096, appendix B).

    Args:
        channels: c.
        embedding: e, or 0 for plain BatchNorm.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__(channels, affine=not embedding)
        self.scale = spectral_norm(nn.Linear(embedding, channels)) if embedding else None
        self.shift = spectral_norm(nn.Linear(embedding, channels)) if embedding else None

    def forward(self, maps: Tensor, embedded: Tensor | None = None) -> Tensor:
        """Feature maps [n c h w] and embeddings [n e] to [n c h w]."""
        maps = super().forward(maps)
        if self.scale is None or self.shift is None or embedded is None:
            return maps
        scale, shift = 1 + self.scale(embedded), self.shift(embedded)
        return torch.addcmul(shift[:, :, None, None], maps, scale[:, :, None, None])


class UpBlock(nn.Module):
    """Upsamples by 2: convolution, batch normalization, gated linear unit; with ``deep``, two of each, and noise.

    Args:
        inputs: input channels.
        outputs: output channels.
        embedding: e, or 0 for plain BatchNorm.
        deep: see above.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, deep: bool) -> None:
        super().__init__()
        first = UpsampleConv(inputs, 2 * outputs)
        second = [spectral_norm(nn.Conv2d(outputs, 2 * outputs, kernel_size=3, padding=1, bias=False))] if deep else []
        self.convolutions = nn.ModuleList([first, *second])
        self.noises = nn.ModuleList(Noise() for _ in range(2 * deep))
        self.norms = nn.ModuleList(ConditionalBatchNorm(2 * outputs, embedding) for _ in self.convolutions)

    def forward(self, maps: Tensor, embedded: Tensor | None, noise: float) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            maps = convolution(maps)
            if self.noises:
                maps = self.noises[index](maps, noise)
            maps = gated_linear_unit(norm(maps, embedded))
        return maps


class SkipLayerExcitation(nn.Module):
    """Scales the channels of a large feature map by factors computed from a small one (arXiv 2101.04775, eq. 1).

    The small map has a sixteenth of the height and width.

    Args:
        small: channels of the small map.
        large: channels of the large map.
        base: height and width to which the small map is average-pooled.
    """

    def __init__(self, small: int, large: int, base: tuple[int, int]) -> None:
        super().__init__()
        self.base = base
        self.squeeze = spectral_norm(nn.Conv2d(small, large, kernel_size=base, bias=False))
        self.excite = spectral_norm(nn.Conv2d(large, large, kernel_size=1, bias=False))

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        """The small map [n small h/16 w/16] and the large map [n large h w] to [n large h w]."""
        averaged = F.avg_pool2d(small, small.shape[2] // self.base[0])
        scale: Tensor = self.excite(F.silu(self.squeeze(averaged))).sigmoid()
        return large * scale
