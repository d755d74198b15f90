"""Layers with orthogonal initial weights and optional spectral norm (arXiv 1802.05957).

Spectral norm is computed in full precision, also under autocast.

Shapes: ``n`` images, ``c`` and ``o`` channels, ``h`` height, ``w`` width, ``f`` features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

import gankit

EPSILON = 1e-6


class Conv2d(nn.Conv2d):
    """A convolution padded to keep height and width.

    Args:
        channels: c.
        outputs: o.
        kernel: kernel size, 1 or 3.
        bias: whether to add a bias.
        spectral: whether to divide the weight by its largest singular value.
    """

    def __init__(self, channels: int, outputs: int, kernel: int, *, bias: bool = True, spectral: bool = True) -> None:
        super().__init__(channels, outputs, kernel, padding=kernel // 2, bias=bias)
        if spectral:
            spectral_norm(self, eps=EPSILON)

    def reset_parameters(self) -> None:
        _initialize(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """[n c h w] to [n o h w]."""
        return F.conv2d(input, full_weight(self, input.device), self.bias, padding=self.padding)

    def downsampled(self, input: Tensor) -> Tensor:
        """The convolution, with a 3x3 kernel, and 2x2 average pooling, as one: [n c 2h 2w] to [n o h w]."""
        return gankit.convolve_downsampled(input, full_weight(self, input.device), self.bias)

    def upsampled(self, input: Tensor) -> Tensor:
        """Nearest-neighbor upsampling and the convolution, with a 3x3 kernel: [n c h w] to [n o 2h 2w]."""
        if input.dtype == torch.bfloat16:  # in fp32, the results of earlier versions stay the same bit for bit
            return gankit.convolve_upsampled(input, full_weight(self, input.device), self.bias)
        return self(F.interpolate(input, scale_factor=2))  # type: ignore[no-any-return]


class Linear(nn.Linear):
    """A linear layer.

    Args:
        inputs: input features.
        outputs: output features.
        bias: whether to add a bias.
        spectral: whether to divide the weight by its largest singular value.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, spectral: bool = True) -> None:
        super().__init__(inputs, outputs, bias)
        if spectral:
            spectral_norm(self, eps=EPSILON)

    def reset_parameters(self) -> None:
        _initialize(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """[n inputs] to [n outputs]."""
        return F.linear(input, full_weight(self, input.device), self.bias)


class Embedding(nn.Embedding):
    """An embedding of class labels.

    Args:
        classes: number of classes.
        features: f.
        spectral: whether to divide the weight by its largest singular value.
    """

    def __init__(self, classes: int, features: int, *, spectral: bool = False) -> None:
        super().__init__(classes, features)
        if spectral:
            spectral_norm(self, eps=EPSILON)

    def reset_parameters(self) -> None:
        _initialize(self.weight, None)

    def forward(self, labels: Tensor | None) -> Tensor:
        """Labels [n] to [n f]. Raises: ValueError: ``labels`` is None."""
        labels = gankit.require_labels(labels, "biggan", self.num_embeddings)
        return F.embedding(labels, full_weight(self, labels.device))


def full_weight(layer: nn.Conv2d | nn.Linear | nn.Embedding, device: torch.device) -> Tensor:
    """The weight of the layer, with spectral norm if the layer has it, in the type of the parameter."""
    with gankit.full_precision(device):
        return layer.weight


def _initialize(weight: Tensor, bias: Tensor | None) -> None:
    nn.init.orthogonal_(weight)
    if bias is not None:
        nn.init.zeros_(bias)
