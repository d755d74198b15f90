"""Convolutions in bf16 on the CPU that are faster than torch's, where its own are slow.

`use_fast_convolutions` swaps the layers in place; parameters, state dicts and results stay. What they compute, and
when it pays, is in `convolutions`. Shapes as there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .patch_convolutions import Gather, Geometry, Spread


def use_fast_convolutions(network: nn.Module) -> None:
    """Let the network's convolutions take the faster way where there is one.

    Only layers of exactly torch's own type change: what a network derives from them, spectral norm included, stays.
    """
    for layer in network.modules():
        if type(layer) is nn.Conv2d and _plain(layer):
            layer.__class__ = FastConv2d
        elif type(layer) is nn.ConvTranspose2d and _plain(layer) and not any(layer.output_padding):
            layer.__class__ = FastConvTranspose2d


def _plain(layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    return (
        layer.groups < max(2, layer.in_channels)  # with a channel a group, nothing here is faster
        and tuple(layer.dilation) == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


class FastConv2d(nn.Conv2d):
    """`torch.nn.Conv2d`, whichever way is faster."""

    def forward(self, input: Tensor) -> Tensor:
        """[n c H W] to [n o h w]."""
        if not _applies(self, input):
            return super().forward(input)
        shape = Geometry.of(self, large=input.shape[2:])
        if not shape.pays(self.in_channels):
            return super().forward(input)
        output: Tensor = Gather.apply(input.bfloat16(), self.weight.bfloat16(), shape)
        return output if self.bias is None else output.add_(self.bias.bfloat16()[:, None, None])


class FastConvTranspose2d(nn.ConvTranspose2d):
    """`torch.nn.ConvTranspose2d`, whichever way is faster."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """[n o h w] to [n c H W]."""
        if output_size is not None or not _applies(self, input):
            return super().forward(input, output_size)
        shape = Geometry.of(self, small=input.shape[2:])
        if not shape.pays(self.out_channels):
            return super().forward(input)
        output: Tensor = Spread.apply(input.bfloat16(), self.weight.bfloat16(), shape)
        return output if self.bias is None else output.add_(self.bias.bfloat16()[:, None, None])


def _applies(layer: nn.Module, input: Tensor) -> bool:
    """Whether torch would convolve in bf16 on the CPU."""
    if input.device.type != "cpu" or input.dim() != 4:
        return False
    if torch.is_autocast_enabled("cpu"):
        return torch.get_autocast_dtype("cpu") == torch.bfloat16
    return input.dtype == torch.bfloat16 and layer.weight.dtype == torch.bfloat16
