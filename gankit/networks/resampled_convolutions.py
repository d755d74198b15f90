"""3x3 convolutions fused with resampling by 2, which saves 5/9 of the multiplications.

Shapes: ``n`` images, ``c`` channels in, ``o`` channels out, ``h`` height, ``w`` width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def convolve_upsampled(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Nearest-neighbor upsampling, then a convolution padded by 1, as one transposed convolution.

    Args:
        images: [n c h w].
        weight: [o c 3 3].
        bias: [o].

    Returns:
        Images [n o 2h 2w].
    """
    transposed = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    kernel = _box_filtered(transposed, images.dtype)
    if bias is not None and images.device.type == "cpu" and images.dtype == torch.bfloat16:
        # the gradient of a transposed convolution's bias takes as long as that of its weight (torch 2.14)
        return F.conv_transpose2d(images, kernel, stride=2, padding=1).add_(bias.bfloat16()[:, None, None])
    return F.conv_transpose2d(images, kernel, bias, stride=2, padding=1)


def convolve_downsampled(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A convolution padded by 1, then 2x2 average pooling, as one convolution with stride 2.

    Args:
        images: [n c 2h 2w].
        weight: [o c 3 3].
        bias: [o].

    Returns:
        Images [n o h w].
    """
    return F.conv2d(images, _box_filtered(weight, images.dtype) / 4, bias, stride=2, padding=1)


def _box_filtered(kernel: Tensor, dtype: torch.dtype) -> Tensor:
    """Convolve kernels [o c 3 3] with a 2x2 box of ones: kernels [o c 4 4], for images of type ``dtype``."""
    if dtype == torch.bfloat16:
        return F.avg_pool2d(kernel, 2, stride=1, padding=1, divisor_override=1)
    # the order of the sums, and with it the last bit in fp32, is that of earlier versions
    rows = F.pad(kernel, (0, 0, 1, 0)) + F.pad(kernel, (0, 0, 0, 1))
    return F.pad(rows, (1, 0)) + F.pad(rows, (0, 1))
