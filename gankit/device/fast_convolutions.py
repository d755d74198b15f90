"""Convolution layers that are faster than torch's in bf16 on the CPU, where torch's are slow.

`use_fast_convolutions` replaces the layers of a network in place. Parameters and state dicts stay the same.
`patch_convolutions` has the operations and their shape legend.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .patch_convolutions import Geometry, PatchConvolution

Casts = dict[tuple[int, bool], tuple[Tensor, Tensor]]
"""Weights and their casts to bf16, by the identity of the weight and whether gradients flow to it.

The weight is held: otherwise, a tensor that spectral norm computes anew in each call could get the same identity.
"""

_casts: ContextVar[Casts | None] = ContextVar("casts", default=None)


@contextmanager
def shared_casts() -> Iterator[None]:
    """Cast each weight of `FastConv2d` and `FastConvTranspose2d` once inside the block, as `torch.autocast` does.

    Weights must not change inside it. An inner block belongs to the outer one.
    """
    if _casts.get() is not None:
        yield
        return
    token = _casts.set({})
    try:
        yield
    finally:
        _casts.reset(token)


def use_fast_convolutions(network: nn.Module) -> None:
    """Replace the network's convolutions by `FastConv2d` and `FastConvTranspose2d` where these can be faster.

    Only layers of exactly torch's types are replaced, not subclasses, such as layers with spectral norm.
    """
    for layer in network.modules():
        if type(layer) is nn.Conv2d and _is_supported(layer):
            layer.__class__ = FastConv2d
        elif type(layer) is nn.ConvTranspose2d and _is_supported(layer) and not any(layer.output_padding):
            layer.__class__ = FastConvTranspose2d


def _is_supported(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return (
        layer.groups < max(2, layer.in_channels)  # depthwise convolutions are not faster here
        and tuple(layer.dilation) == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class FastConv2d(nn.Conv2d):
    """`torch.nn.Conv2d` that uses `patch_convolutions` where they are faster."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve images [n c H W] to [n o h w]."""
        if not _is_cpu_bf16(self, input):
            return super().forward(input)
        geometry = Geometry.of(self, input.shape[2:])
        if not geometry.is_faster(self.in_channels):
            return super().forward(input)
        output: Tensor = PatchConvolution.apply(input.bfloat16(), None, _bf16(self.weight), geometry)
        return output if self.bias is None else output.add_(self.bias.bfloat16()[:, None, None])


class FastConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d` that uses `patch_convolutions` where they are faster."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Convolve images [n o h w] to [n c H W], transposed."""
        if output_size is not None or not _is_cpu_bf16(self, input):
            return super().forward(input, output_size)
        geometry = Geometry.of(self, input.shape[2:])
        output: Tensor
        if geometry.is_faster(self.out_channels):
            output = PatchConvolution.apply(None, input.bfloat16(), _bf16(self.weight), geometry)
        else:
            # torch's gradient of the bias takes as long as that of the weight (torch 2.14), so it is added below
            output = F.conv_transpose2d(
                input, self.weight, None, geometry.stride, geometry.padding, groups=geometry.groups
            )
        return output if self.bias is None else output.add_(self.bias.bfloat16()[:, None, None])


def _bf16(weight: Tensor) -> Tensor:
    casts = _casts.get()
    if casts is None:
        return weight.bfloat16()
    key = id(weight), weight.requires_grad and torch.is_grad_enabled()
    if key not in casts:
        casts[key] = weight, weight.bfloat16()
    return casts[key][1]


def _is_cpu_bf16(layer: nn.Module, input: Tensor) -> bool:
    """Whether the layer computes in bf16 on the CPU."""
    if input.device.type != "cpu" or input.dim() != 4:
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return input.dtype == torch.bfloat16 and layer.weight.dtype == torch.bfloat16
