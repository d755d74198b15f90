"""Shortcuts for operations whose kernels for the meta device are slow Python code.

Most of these kernels also import torch's compiler when they are called for the first time, which takes over a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from .shapes_from_cpu import Shortcut, shortcuts_on_cpu, without_gradient


class MetaShortcuts(TorchFunctionMode):
    """Returns tensors of the right shape and dtype for some operations, without running them on the meta device.

    There are three kinds of them:

    - Operations in `_SHORTCUTS` have a function that computes the shape. It has the signature of the operation without
      rare arguments.
    - Elementwise operations are run with a single element on the CPU, which determines the dtype. The shape is the
      broadcast one.
    - Other operations of `shortcuts_on_cpu` are run on the CPU with zeros, unless the tensors are large.

    A shortcut returns None for tensors that it does not expect: most take contiguous tensors on the meta device,
    without gradients. torch handles all other calls, and thus those that fail.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (shortcut := _SHORTCUTS.get(func)) is not None:
            try:
                with torch._C.DisableTorchFunction():  # or each attribute of a tensor would be such a call
                    result = shortcut(*args, **kwargs)
            except (TypeError, ValueError, RuntimeError, IndexError):  # other arguments, or those that torch refuses
                result = None
            if result is not None:
                return result
        return func(*args, **kwargs)


def _usual(*tensors: Any) -> bool:
    """Whether these are tensors that shortcuts take, all of one dtype."""
    return all(
        without_gradient(tensor)
        and tensor.is_floating_point()
        and tensor.is_contiguous()
        and tensor.dtype is tensors[0].dtype
        for tensor in tensors
    )


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device)  # quicker than `empty_like` and `new_empty`


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _linear(input: Any, weight: Any, bias: Any = None) -> Tensor | None:
    if without_gradient(input):
        input = _empty(input.shape, input)  # contiguous, as the result always is
    if not _usual(input, weight, *([] if bias is None else [bias])) or weight.dim() != 2 or input.dim() < 2:
        return None
    fit = input.shape[-1] == weight.shape[1] and (bias is None or bias.shape == weight.shape[:1])
    return _empty((*input.shape[:-1], len(weight)), input) if fit else None


def _batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, *settings: Any, **more: Any
) -> Tensor | None:
    channels = [tensor for tensor in (running_mean, running_var, weight, bias) if tensor is not None]
    result = _empty(input.shape, input)
    if input.dim() == 4 and not input.is_contiguous() and input.is_contiguous(memory_format=torch.channels_last):
        result = result.to(memory_format=torch.channels_last)
    elif not input.is_contiguous():
        return None
    if not without_gradient(input) or not _usual(_empty(input.shape, input), *channels) or input.dim() < 2:
        return None
    if input.numel() <= input.shape[1]:
        return None  # torch refuses one value per channel
    return result if all(tensor.shape == input.shape[1:2] for tensor in channels) else None


def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor | None:
    channels = [tensor for tensor in (weight, bias) if tensor is not None]
    if not _usual(input, *channels) or input.dim() < 3 or input.shape[1] % num_groups or not input[0, 0].numel() > 1:
        return None
    return _empty(input.shape, input) if all(tensor.shape == input.shape[1:2] for tensor in channels) else None


def _grid_sample(input: Any, grid: Any, *settings: Any, **more: Any) -> Tensor | None:
    if not _usual(input, grid) or input.dim() != 4 or grid.shape[:1] + grid.shape[3:] != (len(input), 2):
        return None
    single = F.grid_sample(torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 2), *settings, **more)  # checks the settings
    return _empty((*input.shape[:2], *grid.shape[1:3]), input) if input.numel() and single.numel() else None


def _eye(n: int, m: int | None = None, *, dtype: torch.dtype | None = None, device: Any = "meta") -> Tensor | None:
    return torch.empty(n, n if m is None else m, dtype=dtype, device="meta") if _is_meta(device) else None


def _arange(*bounds: Any, dtype: torch.dtype | None = None, device: Any = "meta") -> Tensor | None:
    """With whole numbers only."""
    return torch.empty(len(range(*bounds)), dtype=dtype or torch.int64, device="meta") if _is_meta(device) else None


def _is_meta(device: Any) -> bool:
    """Whether an operation with this argument returns a tensor on the meta device, under `meta_device`."""
    return device is None or torch.device(device).type == "meta"


def _one_hot(tensor: Tensor, num_classes: int) -> Tensor | None:
    if num_classes < 1 or not tensor.is_meta or tensor.dtype is not torch.int64:
        return None
    return torch.empty((*tensor.shape, num_classes), dtype=torch.int64, device="meta")


def _random_like(input: Tensor, *, dtype: torch.dtype | None = None) -> Tensor | None:
    return torch.empty_like(input, dtype=dtype) if without_gradient(input) else None


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor | None:
    if not _usual(input) or not 0 <= p <= 1:
        return None
    return input if inplace else _empty(input.shape, input)


def _mv(input: Tensor, vec: Tensor) -> Tensor | None:
    return _empty(input.shape[:1], input) if input.is_meta else None


def _vdot(input: Any, other: Any) -> Tensor | None:
    return _empty((), input) if _usual(input, other) and input.dim() == 1 and input.shape == other.shape else None


def _unchanged(tensor: Tensor, *settings: Any, out: Tensor | None = None, **more: Any) -> Tensor | None:
    return (tensor if out is None else out) if tensor.is_meta else None


def _kaiming_uniform(
    tensor: Any, a: Any = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Tensor | None:
    """The initialization of torch's linear and convolutional layers."""
    if not _usual(tensor) or tensor.dim() < 2 or not tensor.numel() or not _is_number(a):
        return None
    return tensor if (mode, nonlinearity) == ("fan_in", "leaky_relu") else None


_SHORTCUTS: dict[Any, Shortcut] = {
    **shortcuts_on_cpu(),
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.group_norm: _group_norm,
    F.grid_sample: _grid_sample,
    F.dropout: _dropout,
    F.one_hot: _one_hot,
    torch.arange: _arange,
    torch.eye: _eye,
    **dict.fromkeys((torch.rand_like, torch.randn_like), _random_like),
    # of spectral norm, which calls the first two 60 times for a layer
    torch.mv: _mv,
    F.normalize: _unchanged,
    torch.vdot: _vdot,
    Tensor.normal_: _unchanged,
    nn.init.normal_: _unchanged,
    nn.init.kaiming_uniform_: _kaiming_uniform,
}
