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
    """A convolution that keeps its input's size, joined with a change of that size where asked for.

    A 3x3 convolution after nearest neighbours' doubling is a transposed one of 4x4 with stride 2, and before the
    mean of 2x2 pixels it is one of 4x4 with stride 2: each result is the same, for 4/9 of the products.

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
        return F.conv2d(input, self._full_weight(), self.bias, padding=self.padding)

    def after_doubling(self, input: Tensor) -> Tensor:
        """[n c h w], doubled by nearest neighbours and convolved with 3x3, to [n o 2h 2w]."""
        kernel = _boxed(self._full_weight().flip(2, 3)).transpose(0, 1)
        return F.conv_transpose2d(input, kernel, self.bias, stride=2, padding=1)

    def before_halving(self, input: Tensor) -> Tensor:
        """[n c 2h 2w], convolved with 3x3 and averaged over 2x2 pixels, to [n o h w]."""
        return F.conv2d(input, _boxed(self._full_weight()) / 4, self.bias, stride=2, padding=1)

    def _full_weight(self) -> Tensor:
        with full_precision(self.weight_device):
            return self.weight

    @property
    def weight_device(self) -> torch.device:
        """Where its parameters are; asking for the weight itself would normalize it."""
        return next(self.parameters()).device


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
        with full_precision(input.device):
            weight = self.weight
        return F.linear(input, weight, self.bias)


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
        with full_precision(labels.device):
            weight = self.weight
        return F.embedding(labels, weight)


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
