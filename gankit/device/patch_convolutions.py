"""Convolutions as matrix products of unfolded patches, for cases in which oneDNN's convolutions are slow in bf16.

- Feature maps of a few pixels, as in the deep layers of DCGAN: oneDNN's convolutions reach a third of the speed of its
  matrix product, so patches are unfolded and multiplied.
- Strided transposed convolutions to an image of a few channels: a convolution without stride computes each block of
  pixels as channels, followed by a pixel shuffle.
- Pointwise and grouped convolutions: torch's are fast, but their second derivatives are slow. These are composed of the
  same three operations as the first derivatives.

Shapes: ``n`` images. The large side of a strided convolution has ``c`` channels and ``H W`` pixels, the small side
``o`` channels and ``h w`` pixels; ``k l`` is the kernel. The small side is the output of a convolution and the input of
a transposed convolution, so three operations cover both and all of their derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

Pair = tuple[int, int]

# The largest small sides for which patches are faster, measured with AVX512-BF16 on channels_last tensors.
MAX_PIXELS = 4 * 4
MAX_PIXELS_OF_STRIDED_WEIGHT_GRADIENT = 8 * 8  # oneDNN is slower here, and strided patches overlap less
MAX_PATCHES_BYTES = 16 * 2**20  # unfolded at once, so that they stay in the cache
MAX_SHUFFLED_CHANNELS = 4  # those of an image


@dataclass(frozen=True)
class Geometry:
    """The sizes of a convolution in pixels, each (height, width).

    Attributes:
        large: of the large side, ``H W``.
        small: of the small side, ``h w``.
        kernel: ``k l``.
        stride: of the patches on the large side.
        padding: of the large side, on both ends of each axis.
        groups: of channels.
    """

    large: Pair
    small: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    groups: int = 1

    @classmethod
    def of(cls, layer: nn.Conv2d | nn.ConvTranspose2d, size: Sequence[int]) -> Geometry:
        """The geometry of a layer whose input has this size."""
        assert not isinstance(layer.padding, str)
        kernel, stride, padding = (_pair(pixels) for pixels in (layer.kernel_size, layer.stride, layer.padding))
        if isinstance(layer, nn.Conv2d):
            small = [(size[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in range(2)]
            return cls(_pair(size), _pair(small), kernel, stride, padding, layer.groups)
        large = [(size[i] - 1) * stride[i] - 2 * padding[i] + kernel[i] for i in range(2)]
        return cls(_pair(large), _pair(size), kernel, stride, padding, layer.groups)

    @property
    def pointwise(self) -> bool:
        """Whether the convolution is a matrix product over channels, without unfolding."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0) and self.groups == 1

    @property
    def uses_patches(self) -> bool:
        """Whether patches are faster for the images on both sides."""
        return self.groups == 1 and math.prod(self.small) <= MAX_PIXELS

    @property
    def weight_gradient_uses_patches(self) -> bool:
        """Whether patches are faster for the gradient of the weight."""
        limit = MAX_PIXELS_OF_STRIDED_WEIGHT_GRADIENT if min(self.stride) > 1 else MAX_PIXELS
        return self.groups == 1 and math.prod(self.small) <= limit

    def uses_pixel_shuffle(self, channels: int) -> bool:
        """Whether a pixel shuffle is faster for a transposed convolution to an image of this many channels."""
        whole_blocks = all(kernel % stride == 0 for kernel, stride in zip(self.kernel, self.stride, strict=True))
        strided = self.groups == 1 and self.stride[0] == self.stride[1] > 1
        return channels <= MAX_SHUFFLED_CHANNELS and strided and whole_blocks and self.covered == self.large

    def is_faster(self, channels: int) -> bool:
        """Whether any operation here is faster than torch's, for this many channels on the large side."""
        if self.pointwise or self.groups > 1:  # torch's second derivative uses kernels as large as the image
            return True
        return self.weight_gradient_uses_patches or self.uses_pixel_shuffle(channels)

    @property
    def covered(self) -> Pair:
        """The size of the part of the large side that the patches cover."""
        return _pair([(self.small[i] - 1) * self.stride[i] + self.kernel[i] - 2 * self.padding[i] for i in range(2)])


def _pair(sizes: Sequence[int]) -> Pair:
    height, width = sizes
    return height, width


def conv2d(large: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Convolve [n c H W] with a weight [o c k l] to [n o h w]."""
    if geometry.pointwise:
        return _product(large, weight_matrix(weight).t())
    if not geometry.uses_patches:
        return torch.conv2d(large, weight, None, geometry.stride, geometry.padding, groups=geometry.groups)
    matrix = weight_matrix(weight).t()
    rows = [unfold(part, geometry) @ matrix for part in _split(large, large.shape[1], geometry)]
    return _to_images([part.view(-1, *geometry.small, len(weight)) for part in rows])


def conv_transpose2d(small: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Convolve [n o h w] with a weight [o c k l] to [n c H W], transposed: the gradient of `conv2d`'s image."""
    if geometry.pointwise:
        return _product(small, weight_matrix(weight))
    if geometry.uses_patches:
        matrix = weight_matrix(weight)
        return _to_images([fold(_pixels(part) @ matrix, geometry) for part in _split(small, weight.shape[1], geometry)])
    if geometry.uses_pixel_shuffle(weight.shape[1]):
        return _pixel_shuffle(small, weight, geometry)
    output_padding = [size - covered for size, covered in zip(geometry.large, geometry.covered, strict=True)]
    return torch.conv_transpose2d(
        small, weight, None, geometry.stride, geometry.padding, output_padding, geometry.groups
    )


def _product(images: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the channels of [n c h w] by a matrix [c o] to [n o h w], which is not a view, as in `_to_images`."""
    size = (len(images), matrix.shape[1], *images.shape[2:])
    product = torch.empty(size, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
    torch.mm(_pixels(images), matrix, out=product.permute(0, 2, 3, 1).view(-1, size[1]))
    return product


def _to_images(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate [n h w c] to images [n c h w]. The result is not a view, as the next layer may work in place."""
    first = parts[0]
    height, width, channels = first.shape[1:]
    size = (sum(map(len, parts)), channels, height, width)
    images = torch.empty(size, dtype=first.dtype, device=first.device, memory_format=torch.channels_last)
    torch.cat(list(parts), out=images.permute(0, 2, 3, 1))
    return images


def _pixel_shuffle(small: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """`conv_transpose2d` that computes blocks as large as the stride as channels, followed by a pixel shuffle."""
    stride, (top, left) = geometry.stride[0], geometry.padding
    blocks = weight.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))  # [o c k/s s l/s s]
    kernel = blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)
    image = F.pixel_shuffle(torch.conv_transpose2d(small, kernel), stride)
    inner = image[:, :, top : top + geometry.large[0], left : left + geometry.large[1]]
    return inner.clone(memory_format=torch.channels_last)


def weight_gradient(large: Tensor, small: Tensor, geometry: Geometry) -> Tensor:
    """The gradient [o c k l] of `conv2d`'s weight, from its images [n c H W] and its output's gradient [n o h w]."""
    size = (small.shape[1], large.shape[1] // geometry.groups, *geometry.kernel)
    if geometry.pointwise:
        return (_pixels(small).t() @ _pixels(large)).view(size)
    if not geometry.weight_gradient_uses_patches:
        return conv2d_weight(large, size, small, geometry.stride, geometry.padding, groups=geometry.groups)  # type: ignore[no-any-return]
    matrix = _pixels(small).t() @ unfold(large, geometry)
    return matrix.view(size[0], *geometry.kernel, size[1]).permute(0, 3, 1, 2)


def unfold(images: Tensor, geometry: Geometry) -> Tensor:
    """The patches of [n c H W] under the kernel, one per row: [n*h*w k*l*c]."""
    (top, left), (down, right) = geometry.padding, geometry.stride
    pixels = F.pad(images.permute(0, 2, 3, 1), (0, 0, left, left, top, top)).contiguous()
    image, row, column, _ = pixels.stride()
    channels = images.shape[1]
    patches = pixels.as_strided(
        (len(images), *geometry.small, geometry.kernel[0], geometry.kernel[1] * channels),
        (image, down * row, right * column, row, 1),  # pixels in a row of the kernel are adjacent in memory
    )
    return patches.reshape(-1, math.prod(geometry.kernel) * channels)


def fold(patches: Tensor, geometry: Geometry) -> Tensor:
    """Add up patches [n*h*w k*l*c] at their positions to [n H W c]: the adjoint of `unfold`."""
    (top, left), (down, right), (rows, columns) = geometry.padding, geometry.stride, geometry.small
    channels = patches.shape[1] // math.prod(geometry.kernel)
    blocks = patches.view(-1, *geometry.small, *geometry.kernel, channels)
    if geometry.small == (1, 1) and geometry.covered == geometry.large:
        pixels = blocks[:, 0, 0]
    else:
        # padded to whole blocks as large as the stride, as these do not overlap
        height = max(top + geometry.large[0], down * (rows - 1 - geometry.kernel[0] // -down))
        width = max(left + geometry.large[1], right * (columns - 1 - geometry.kernel[1] // -right))
        pixels = patches.new_zeros(len(blocks), height, width, channels)
        for row in range(0, geometry.kernel[0], down):
            for column in range(0, geometry.kernel[1], right):
                block = blocks[:, :, :, row : row + down, column : column + right]
                target = pixels[:, row : row + down * rows, column : column + right * columns]
                target = target.unflatten(2, (columns, right)).unflatten(1, (rows, down)).transpose(2, 3)
                target[:, :, :, : block.shape[3], : block.shape[4]].add_(block)
    return pixels[:, top : top + geometry.large[0], left : left + geometry.large[1]]


def weight_matrix(weight: Tensor) -> Tensor:
    """[o c k l] as [o k*l*c]: a view if channels_last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _pixels(images: Tensor) -> Tensor:
    """[n o h w] as [n*h*w o]: a view if channels_last."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _split(images: Tensor, channels: int, geometry: Geometry) -> tuple[Tensor, ...]:
    """Split a batch so that the patches of each part, with this many channels, stay in the cache."""
    values = math.prod(geometry.small) * math.prod(geometry.kernel) * channels
    bytes_per_image = values * images.element_size()
    return torch.split(images, max(1, MAX_PATCHES_BYTES // bytes_per_image))


class PatchConvolution(torch.autograd.Function):
    """`conv2d`, `conv_transpose2d` and `weight_gradient` as one function, differentiable any number of times.

    ``(conv2d(large, weight) * small).sum()`` is linear in each of its three tensors. Each operation is the derivative
    with respect to one of them, which is None in the arguments, and its own derivatives are the other two operations.
    """

    @staticmethod
    def forward(large: Tensor | None, small: Tensor | None, weight: Tensor | None, geometry: Geometry) -> Tensor:
        if large is None:
            assert small is not None
            assert weight is not None
            return conv_transpose2d(small, weight, geometry)
        if small is not None:
            return weight_gradient(large, small, geometry)
        assert weight is not None
        return conv2d(large, weight, geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.geometry = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors = [gradient if tensor is None else tensor for tensor in ctx.saved_tensors]
        gradients = [
            PatchConvolution.apply(*tensors[:index], None, *tensors[index + 1 :], ctx.geometry) if needed else None
            for index, needed in enumerate(ctx.needs_input_grad[:3])
        ]
        return *gradients, None
