"""Layers with orthogonal first weights and, where asked for, spectral normalization (arXiv 1802.05957).

The normalized weight is computed in full precision, bf16 autocast or not. Shapes: ``n`` images, ``c`` and ``o``
channels, ``h w`` pixels.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

EPSILON = 1e-6


class Conv2d(nn.Conv2d):
    """A convolution that keeps its input's size, or halves it.

    Args:
        channels: c.
        outputs: o.
        kernel: 1 or 3.
        bias: whether it has one.
        spectral: whether its weight is divided by its largest singular value.
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

    def before_halving(self, input: Tensor) -> Tensor:
        """[n c 2h 2w], convolved with 3x3 and averaged over 2x2 pixels, to [n o h w].

        The two together are one convolution of 4x4 with stride 2: the same result, for 4/9 of the products.
        """
        return F.conv2d(input, _boxed(full_weight(self, input.device)) / 4, self.bias, stride=2, padding=1)


class Linear(nn.Linear):
    """A linear layer.

    Args:
        inputs: features given.
        outputs: features asked for.
        bias: whether it has one.
        spectral: whether its weight is divided by its largest singular value.
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
    """A vector for each class.

    Args:
        classes: how many.
        features: of each vector.
        spectral: whether the matrix of all vectors is divided by its largest singular value.
    """

    def __init__(self, classes: int, features: int, *, spectral: bool = False) -> None:
        super().__init__(classes, features)
        if spectral:
            spectral_norm(self, eps=EPSILON)

    def reset_parameters(self) -> None:
        _initialize(self.weight, None)

    def forward(self, labels: Tensor | None) -> Tensor:
        """Labels [n] to [n f]. Raises: ValueError, without labels."""
        if labels is None:
            raise ValueError(f"this biggan was built for {self.num_embeddings} classes: pass labels [n], one an image")
        return F.embedding(labels, full_weight(self, labels.device))


def full_weight(layer: nn.Conv2d | nn.Linear | nn.Embedding, device: torch.device) -> Tensor:
    """The layer's weight, spectrally normalized or not, in the precision that it is kept in."""
    with full_precision(device):
        return layer.weight


def full_precision(device: torch.device) -> AbstractContextManager[None]:
    """The way out of autocast."""
    if not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def _boxed(kernel: Tensor) -> Tensor:
    """Kernels [o c 3 3] convolved with a box of 2x2, [o c 4 4]."""
    rows = F.pad(kernel, (0, 0, 0, 1)) + F.pad(kernel, (0, 0, 1, 0))
    return F.pad(rows, (0, 1)) + F.pad(rows, (1, 0))


def _initialize(weight: Tensor, bias: Tensor | None) -> None:
    nn.init.orthogonal_(weight)
    if bias is not None:
        nn.init.zeros_(bias)
