"""What FastGAN is made of.

Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width, ``e`` dimensions of a label's embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


def gated(maps: Tensor) -> Tensor:
    """The gated linear unit: [n 2c h w] to [n c h w]."""
    values, gates = maps.chunk(2, dim=1)  # torch's own has a slow derivative on channels_last
    return values * gates.sigmoid()


class Doubling(nn.Module):
    """A map doubled by repeating pixels, then a 3x3 convolution with spectral norm and no bias."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = spectral_norm(nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False))

    def forward(self, maps: Tensor) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        # Repeated pixels meet sums of the kernel's weights: the same as a transposed convolution, at 4/9 of the work.
        weight: Tensor = self.convolution.weight  # type: ignore[assignment]  # which torch takes for a module
        kernel = weight.flip(2, 3).transpose(0, 1)
        rows = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))
        sums = F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))
        return F.conv_transpose2d(maps, sums.contiguous(memory_format=torch.channels_last), stride=2, padding=1)


class Noise(nn.Module):
    """Normal noise, one value a pixel, added with a learnt strength that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor, scale: float) -> Tensor:
        """[n c h w] to the same shape."""
        noise = torch.randn(len(maps), 1, *maps.shape[2:], dtype=maps.dtype, device=maps.device)
        return maps + (scale * self.strength).to(maps.dtype) * noise


class Norm(nn.BatchNorm2d):
    """BatchNorm; where labels are embedded, scale and shift are linear in the embedding (arXiv 1809.11096, app. B).

    Args:
        channels: of the map.
        embedding: e, or 0 for plain BatchNorm.
    """

    def __init__(self, channels: int, embedding: int) -> None:
        super().__init__(channels, affine=not embedding)
        self.scale = spectral_norm(nn.Linear(embedding, channels)) if embedding else None
        self.shift = spectral_norm(nn.Linear(embedding, channels)) if embedding else None

    def forward(self, maps: Tensor, embedded: Tensor | None = None) -> Tensor:
        """[n c h w] and embeddings [n e] to [n c h w]."""
        maps = super().forward(maps)
        if self.scale is None or self.shift is None or embedded is None:
            return maps
        scale, shift = 1 + self.scale(embedded), self.shift(embedded)
        return torch.addcmul(shift[:, :, None, None], maps, scale[:, :, None, None])


class Up(nn.Module):
    """Doubles a map: convolution, norm, gated linear unit; where it is deep, all that twice, and with noise.

    Args:
        inputs: channels.
        outputs: channels.
        embedding: as for `Norm`.
        deep: see above.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, deep: bool) -> None:
        super().__init__()
        first = Doubling(inputs, 2 * outputs)
        second = [spectral_norm(nn.Conv2d(outputs, 2 * outputs, kernel_size=3, padding=1, bias=False))] if deep else []
        self.convolutions = nn.ModuleList([first, *second])
        self.noises = nn.ModuleList(Noise() for _ in range(2 * deep))
        self.norms = nn.ModuleList(Norm(2 * outputs, embedding) for _ in self.convolutions)

    def forward(self, maps: Tensor, embedded: Tensor | None, noise: float) -> Tensor:
        """[n c h w] to [n c 2h 2w]."""
        for index, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            maps = convolution(maps)
            if self.noises:
                maps = self.noises[index](maps, noise)
            maps = gated(norm(maps, embedded))
        return maps


class SkipLayerExcitation(nn.Module):
    """Scales the channels of a large map by what a map of a sixteenth of its size shows (arXiv 2101.04775, eq. 1).

    Args:
        small: channels of the small map.
        large: channels of the large one.
        base: pixels to which the small map is averaged.
    """

    def __init__(self, small: int, large: int, base: tuple[int, int]) -> None:
        super().__init__()
        self.base = base
        self.squeeze = spectral_norm(nn.Conv2d(small, large, kernel_size=base, bias=False))
        self.excite = spectral_norm(nn.Conv2d(large, large, kernel_size=1, bias=False))

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        """[n c h/16 w/16] and [n c h w] to [n c h w]."""
        averaged = F.avg_pool2d(small, small.shape[2] // self.base[0])
        scale: Tensor = self.excite(F.silu(self.squeeze(averaged))).sigmoid()
        return large * scale
