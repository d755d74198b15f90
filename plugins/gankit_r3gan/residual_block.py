"""The residual block and its initial weights. Shapes: ``n`` images, ``c`` channels, ``h`` height, ``w`` width."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
GAIN = math.sqrt(2 / (1 + SLOPE**2))  # keeps the variance through a leaky ReLU (arXiv 1502.01852, eq. 15)


class ResidualBlock(nn.Module):
    """An inverted bottleneck with a residual connection: 1x1, grouped 3x3, 1x1 (arXiv 2501.05441, sec. 4).

    Bias and leaky ReLU follow the first two convolutions. Nothing is normalized. The last convolution starts at
    zero, so that a block starts as the identity; the initial weights of the others decrease with the number of blocks,
    as in Fixup (arXiv 1901.09321).

    Args:
        channels: c.
        expansion: channels of the 3x3 convolution, as a multiple of c.
        group_size: channels in each group of the 3x3 convolution, a single group if it has no more channels than that;
            None for a dense convolution.
        count: number of residual blocks of the whole network.

    Raises:
        ValueError: the channels of the 3x3 convolution are not a multiple of the group size.
    """

    def __init__(self, channels: int, expansion: int, group_size: int | None, count: int) -> None:
        super().__init__()
        inner = channels * expansion
        size = min(group_size or inner, inner)
        if inner % size:
            raise ValueError(
                f"group_size: {inner} channels ({channels} of the stage, times an expansion of {expansion}) are not a "
                f"multiple of {group_size}; change one of them, or set group_size: null for a dense convolution"
            )
        self.expand = nn.Conv2d(channels, inner, 1)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=inner // size)
        self.project = nn.Conv2d(inner, channels, 1, bias=False)
        for layer in (self.expand, self.mix):
            initialize(layer, GAIN * count**-0.25)  # L ** (-1 / (2 m - 2)) for L blocks of m = 3 layers
        nn.init.zeros_(self.project.weight)

    def forward(self, features: Tensor) -> Tensor:
        """[n c h w] to the same shape."""
        inner = F.leaky_relu(self.expand(features), SLOPE, inplace=True)
        inner = F.leaky_relu(self.mix(inner), SLOPE, inplace=True)
        output: Tensor = features + self.project(inner)
        return output


def initialize(layer: nn.Conv2d | nn.Linear, gain: float = 1.0) -> None:
    """Initialize with normal weights of variance gain^2 / fan-in (arXiv 1502.01852) and zero biases."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
