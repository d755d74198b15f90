"""Fusing a 3x3 convolution with a 2x2 box filter into one 4x4 convolution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def box_filtered(kernel: Tensor) -> Tensor:
    """Convolve kernels [o c 3 3] with a 2x2 box of ones: kernels [o c 4 4].

    Nearest-neighbour upsampling and a convolution are one transposed convolution with this kernel and stride 2.
    A convolution and 2x2 average pooling are one convolution with a quarter of this kernel and stride 2. Both need 4/9
    of the multiplications.
    """
    rows = F.pad(kernel, (0, 0, 1, 0)) + F.pad(kernel, (0, 0, 0, 1))
    return F.pad(rows, (1, 0)) + F.pad(rows, (0, 1))
