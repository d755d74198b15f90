"""Convolutions by matrix products, where oneDNN's own are slow in bf16.

Where a feature map has only a few pixels left, as in the deep layers of DCGAN, oneDNN's convolutions reach a third of
what its matrix product does: there, patches are unfolded and multiplied at once. Where an image of a few channels is
made by a strided transposed convolution, one without a stride makes a pixel's neighbours as further channels. Pointwise
and grouped convolutions are fast, but not torch's second derivatives of them: those are composed here of the same three
operations as the first ones.

Shapes: ``n`` images, ``c`` channels and ``H W`` pixels on the large side of a strided convolution, ``o`` channels and
``h w`` pixels on its small side, ``k l`` the kernel. The small side is the output of a convolution and the input of a
transposed one, so that three operations serve both and all of their derivatives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

Pair = tuple[int, int]
Gradients = tuple[Tensor | None, Tensor | None, None]

# Measured with AVX512-BF16 on channels_last tensors: up to so many pixels on the small side, patches pay.
FEW_PIXELS = 4 * 4
# Weight gradients are oneDNN's weakest: with a stride, which makes patches overlap less, they pay up to here.
FEW_PIXELS_OF_STRIDED_WEIGHT_GRADIENT = 8 * 8
PATCHES_BYTES = 16 * 2**20  # unfolded at once: more would leave the cache
FEW_CHANNELS = 4  # as images have


@dataclass(frozen=True)
class Geometry:
    """Sizes in pixels, each (height, width)."""

    large: Pair
    small: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    groups: int = 1

    @classmethod
    def of(
        cls,
        layer: nn.Conv2d | nn.ConvTranspose2d,
        large: Sequence[int] | None = None,
        small: Sequence[int] | None = None,
    ) -> Geometry:
        """That of a layer of which one side is given."""
        assert not isinstance(layer.padding, str)
        kernel, stride, padding = (_pair(size) for size in (layer.kernel_size, layer.stride, layer.padding))
        axes = range(2)
        if small is None:
            assert large is not None
            small = [(large[i] + 2 * padding[i] - kernel[i]) // stride[i] + 1 for i in axes]
        else:
            large = [(small[i] - 1) * stride[i] - 2 * padding[i] + kernel[i] for i in axes]
        return cls(_pair(large), _pair(small), kernel, stride, padding, layer.groups)

    @property
    def pointwise(self) -> bool:
        """Whether each pixel is a matrix product of its own, which nothing has to be unfolded for."""
        return self.kernel == self.stride == (1, 1) and self.padding == (0, 0) and self.groups == 1

    @property
    def by_patches(self) -> bool:
        """Whether unfolding pays for images."""
        return self.groups == 1 and self.small[0] * self.small[1] <= FEW_PIXELS

    @property
    def weight_gradient_by_patches(self) -> bool:
        """Whether unfolding pays for the weight's gradient."""
        limit = FEW_PIXELS_OF_STRIDED_WEIGHT_GRADIENT if min(self.stride) > 1 else FEW_PIXELS
        return self.groups == 1 and self.small[0] * self.small[1] <= limit

    def by_shuffling(self, channels: int) -> bool:
        """Whether an image of so many channels is better made without a stride."""
        whole = all(kernel % stride == 0 for kernel, stride in zip(self.kernel, self.stride, strict=True))
        covered = self.reached == self.large
        strided = self.groups == 1 and self.stride[0] == self.stride[1] > 1
        return channels <= FEW_CHANNELS and strided and whole and covered

    def pays(self, channels: int) -> bool:
        """Whether anything here is better done otherwise than torch does it."""
        # torch's second derivative takes kernels as large as the image, and the groups one by one
        return self.pointwise or self.groups > 1 or self.weight_gradient_by_patches or self.by_shuffling(channels)

    @property
    def reached(self) -> Pair:
        """The pixels of the large side that patches cover."""
        (height, width), (top, left) = self.small, self.padding
        return (
            (height - 1) * self.stride[0] + self.kernel[0] - 2 * top,
            (width - 1) * self.stride[1] + self.kernel[1] - 2 * left,
        )


def _pair(sizes: Sequence[int]) -> Pair:
    height, width = sizes
    return height, width


def gather(large: Tensor, weight: Tensor, shape: Geometry) -> Tensor:
    """Convolution of [n c H W] with a weight [o c k l] to [n o h w]."""
    if shape.pointwise:
        return _product(large, _matrix(weight).t())
    if not shape.by_patches:
        return torch.conv2d(large, weight, None, shape.stride, shape.padding, groups=shape.groups)
    matrix = _matrix(weight).t()
    rows = [unfold(part, shape) @ matrix for part in _parts(large, large.shape[1], shape)]
    return _image([part.view(-1, *shape.small, len(weight)) for part in rows])


def spread(small: Tensor, weight: Tensor, shape: Geometry) -> Tensor:
    """Transposed convolution of [n o h w] with a weight [o c k l] to [n c H W]: the gradient of `gather`'s image."""
    if shape.pointwise:
        return _product(small, _matrix(weight))
    if shape.by_patches:
        matrix = _matrix(weight)
        return _image([fold(_pixels(part) @ matrix, shape) for part in _parts(small, weight.shape[1], shape)])
    if shape.by_shuffling(weight.shape[1]):
        return _shuffled(small, weight, shape)
    rest = [wanted - reached for wanted, reached in zip(shape.large, shape.reached, strict=True)]
    return torch.conv_transpose2d(small, weight, None, shape.stride, shape.padding, rest, shape.groups)


def _product(images: Tensor, matrix: Tensor) -> Tensor:
    """Each pixel's channels times a matrix: [n c h w] times [c o] to [n o h w], which is no view either."""
    size = (len(images), matrix.shape[1], *images.shape[2:])
    product = torch.empty(size, dtype=images.dtype, device=images.device, memory_format=torch.channels_last)
    torch.mm(_pixels(images), matrix, out=product.permute(0, 2, 3, 1).view(-1, size[1]))
    return product


def _image(parts: Sequence[Tensor]) -> Tensor:
    """Batches of pixels [n h w c] as one of images [n c h w], which is no view: the next layer may work in place."""
    count, (height, width, channels) = sum(map(len, parts)), parts[0].shape[1:]
    size, like = (count, channels, height, width), parts[0]
    images = torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
    torch.cat(list(parts), out=images.permute(0, 2, 3, 1))
    return images


def _shuffled(small: Tensor, weight: Tensor, shape: Geometry) -> Tensor:
    """`spread` with each pixel of a block as large as the stride made as channels of its own."""
    stride, (height, width) = shape.stride[0], shape.padding
    blocks = weight.unflatten(3, (-1, stride)).unflatten(2, (-1, stride))  # [o c k/s s l/s s]
    kernel = blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3).contiguous(memory_format=torch.channels_last)
    image = F.pixel_shuffle(torch.conv_transpose2d(small, kernel), stride)
    inner = image[:, :, height : height + shape.large[0], width : width + shape.large[1]]
    return inner.clone(memory_format=torch.channels_last)


def correlate(large: Tensor, small: Tensor, shape: Geometry) -> Tensor:
    """The gradient [o c k l] of `gather`'s weight: of its image [n c H W] and its result's gradient [n o h w]."""
    size = (small.shape[1], large.shape[1] // shape.groups, *shape.kernel)
    if shape.pointwise:
        return (_pixels(small).t() @ _pixels(large)).view(size)
    if not shape.weight_gradient_by_patches:
        return conv2d_weight(large, size, small, shape.stride, shape.padding, groups=shape.groups)  # type: ignore[no-any-return]
    matrix = _pixels(small).t() @ unfold(large, shape)
    return matrix.view(size[0], *shape.kernel, size[1]).permute(0, 3, 1, 2)


def unfold(images: Tensor, shape: Geometry) -> Tensor:
    """The patches of [n c H W] under the kernel, one a row: [n*h*w k*l*c]."""
    (height, width), (down, right) = shape.padding, shape.stride
    pixels = F.pad(images.permute(0, 2, 3, 1), (0, 0, width, width, height, height)).contiguous()
    one, row, column, _ = pixels.stride()
    channels = images.shape[1]
    patches = pixels.as_strided(
        (len(images), *shape.small, shape.kernel[0], shape.kernel[1] * channels),
        (one, down * row, right * column, row, 1),  # within a row of the kernel, pixels lie side by side
    )
    return patches.reshape(-1, shape.kernel[0] * shape.kernel[1] * channels)


def fold(patches: Tensor, shape: Geometry) -> Tensor:
    """The sum [n H W c] of patches [n*h*w k*l*c] at their places: the adjoint of `unfold`."""
    (top, left), (down, right), (rows, columns) = shape.padding, shape.stride, shape.small
    blocks = patches.view(-1, *shape.small, *shape.kernel, patches.shape[1] // (shape.kernel[0] * shape.kernel[1]))
    if shape.small == (1, 1) and shape.reached == shape.large:
        pixels = blocks[:, 0, 0]
    else:
        # room for whole blocks as large as the stride, which do not overlap
        height = max(top + shape.large[0], down * (rows - 1 - shape.kernel[0] // -down))
        width = max(left + shape.large[1], right * (columns - 1 - shape.kernel[1] // -right))
        pixels = patches.new_zeros(len(blocks), height, width, blocks.shape[-1])
        for row in range(0, shape.kernel[0], down):
            for column in range(0, shape.kernel[1], right):
                block = blocks[:, :, :, row : row + down, column : column + right]
                places = pixels[:, row : row + down * rows, column : column + right * columns]
                cells = places.unflatten(2, (columns, right)).unflatten(1, (rows, down)).transpose(2, 3)
                cells[:, :, :, : block.shape[3], : block.shape[4]].add_(block)
    return pixels[:, top : top + shape.large[0], left : left + shape.large[1]]


def _matrix(weight: Tensor) -> Tensor:
    """[o c k l] as [o k*l*c]; free of cost in channels_last."""
    return weight.permute(0, 2, 3, 1).reshape(len(weight), -1)


def _pixels(images: Tensor) -> Tensor:
    """[n o h w] as [n*h*w o]; free of cost in channels_last."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _parts(images: Tensor, channels: int, shape: Geometry) -> tuple[Tensor, ...]:
    """The images in parts whose patches of so many channels stay in the cache."""
    patches = shape.small[0] * shape.small[1] * shape.kernel[0] * shape.kernel[1] * channels * images.element_size()
    return torch.split(images, max(1, PATCHES_BYTES // patches))


class _Bilinear(torch.autograd.Function):
    """A function of two tensors and a geometry, linear in each: both are kept for the other's gradient."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Geometry], output: Tensor) -> None:
        *tensors, ctx.shape = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def wanted(ctx: Any, of_first: Callable[[], Tensor], of_second: Callable[[], Tensor]) -> Gradients:
        """The gradients that anybody asks for."""
        first, second, _ = ctx.needs_input_grad
        return of_first() if first else None, of_second() if second else None, None


class Gather(_Bilinear):
    """`gather`, any number of times differentiable."""

    @staticmethod
    def forward(large: Tensor, weight: Tensor, shape: Geometry) -> Tensor:
        return gather(large, weight, shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        large, weight = ctx.saved_tensors
        return Gather.wanted(
            ctx,
            lambda: Spread.apply(gradient, weight, ctx.shape),
            lambda: Correlate.apply(large, gradient, ctx.shape),
        )


class Spread(_Bilinear):
    """`spread`, any number of times differentiable."""

    @staticmethod
    def forward(small: Tensor, weight: Tensor, shape: Geometry) -> Tensor:
        return spread(small, weight, shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        small, weight = ctx.saved_tensors
        return Spread.wanted(
            ctx,
            lambda: Gather.apply(gradient, weight, ctx.shape),
            lambda: Correlate.apply(gradient, small, ctx.shape),
        )


class Correlate(_Bilinear):
    """`correlate`, any number of times differentiable."""

    @staticmethod
    def forward(large: Tensor, small: Tensor, shape: Geometry) -> Tensor:
        return correlate(large, small, shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Gradients:
        large, small = ctx.saved_tensors
        return Correlate.wanted(
            ctx,
            lambda: Spread.apply(small, gradient, ctx.shape),
            lambda: Gather.apply(large, gradient, ctx.shape),
        )
