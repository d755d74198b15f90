"""What the blocks are made of: prepared layers, convolutions that resample, and BatchNorm that knows the class.

Shapes: ``n`` images, ``c`` channels in, ``o`` channels out, ``h`` height, ``w`` width.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.Embedding)

RESIDUAL_GAIN = 2**0.5  # of the authors' Glorot initialization, where a ReLU goes before


def prepared(layer: Layer, spectral: bool, gain: float = 1.0) -> Layer:
    """The layer with Glorot-uniform weights and no bias to begin with; its largest singular value is kept at 1.

    That value is estimated by one power iteration at each forward in training mode (arXiv 1802.05957, algorithm 1).

    Args:
        layer: convolution, linear layer or embedding.
        spectral: whether to divide the weight by its largest singular value.
        gain: of the initial weights.
    """
    nn.init.xavier_uniform_(layer.weight, gain)
    if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    if spectral:
        spectral_norm(layer)
    return layer


def convolve_upsampled(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution of the nearest-neighbour upsampled map: [n c h w] to [n o 2h 2w].

    Computed in one transposed convolution, of 4 products where there were 9: upsampling is one with a 2x2 box, and two
    linear filters after another are one.
    """
    kernel = _boxed(layer.weight).flip(2, 3).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, layer.bias, stride=2, padding=1)


def convolve_downsampled(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """A 3x3 convolution, averaged over blocks of 2x2: [n c h w] to [n o h/2 w/2].

    Computed in one strided convolution, as `convolve_upsampled` is.
    """
    return F.conv2d(x, _boxed(layer.weight) / 4, layer.bias, stride=2, padding=1)


def _boxed(weight: Tensor) -> Tensor:
    """The kernel [o c 3 3] convolved with a box of ones [2 2], to [o c 4 4]."""
    rows = F.pad(weight, (0, 0, 1, 0)) + F.pad(weight, (0, 0, 0, 1))
    return F.pad(rows, (1, 0)) + F.pad(rows, (0, 1))


class BatchNorm(nn.BatchNorm2d):
    """BatchNorm; with classes, scale and shift are the label's (arXiv 1707.00683)."""

    def __init__(self, channels: int, classes: int = 0) -> None:
        super().__init__(channels, affine=not classes)
        self.scale = nn.Embedding(classes, channels) if classes else None
        self.shift = nn.Embedding(classes, channels) if classes else None
        if self.scale is not None and self.shift is not None:
            nn.init.ones_(self.scale.weight)
            nn.init.zeros_(self.shift.weight)

    def forward(self, input: Tensor, labels: Tensor | None = None) -> Tensor:
        """[n c h w] and, with classes, labels [n] to [n c h w]."""
        x = super().forward(input)
        if self.scale is None or self.shift is None:
            return x
        # of the map's own type, so that no larger one is made of it
        scale, shift = (of_class(labels)[:, :, None, None].to(x.dtype) for of_class in (self.scale, self.shift))
        return torch.addcmul(shift, scale, x)
