"""Shortcuts for operations whose kernels for the meta device are slow Python code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class MetaShortcuts(TorchFunctionMode):
    """Returns tensors of the right shape and dtype for the operations in `_SHORTCUTS`, without running them.

    A shortcut has the signature of the operation without rare arguments, and returns None for tensors that it does
    not expect: most take contiguous tensors of floating-point numbers on the meta device, without gradients. torch
    handles all other calls, and thus those that fail.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if (shortcut := _SHORTCUTS.get(func)) is not None:
            try:
                with torch._C.DisableTorchFunction():  # or each attribute of a tensor would be such a call
                    result = shortcut(*args, **kwargs)
            except TypeError:  # other arguments
                result = None
            if result is not None:
                return result
        return func(*args, **kwargs)


def _usual(*tensors: Any) -> bool:
    """Whether these are tensors that shortcuts take, all of one dtype."""
    return all(
        isinstance(tensor, Tensor)
        and tensor.is_meta
        and tensor.is_floating_point()
        and tensor.is_contiguous()
        and not (tensor.requires_grad and torch.is_grad_enabled())
        and tensor.dtype is tensors[0].dtype
        for tensor in tensors
    )


def _empty(shape: Sequence[int], like: Tensor) -> Tensor:
    return torch.empty(shape, dtype=like.dtype, device=like.device)  # quicker than `empty_like` and `new_empty`


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float))


def _activation(input: Any, *numbers: Any, inplace: bool = False, **settings: Any) -> Tensor | None:
    if not _usual(input) or not all(map(_is_number, (*numbers, *settings.values()))):
        return None
    return input if inplace else _empty(input.shape, input)


def _arithmetic(input: Any, other: Any) -> Tensor | None:
    if _is_number(other) and _usual(input):
        return _empty(input.shape, input)
    if not _usual(input, other):
        return None
    try:
        return _empty(torch.broadcast_shapes(input.shape, other.shape), input)
    except RuntimeError:
        return None


def _linear(input: Any, weight: Any, bias: Any = None) -> Tensor | None:
    if not _usual(input, weight, *([] if bias is None else [bias])) or weight.dim() != 2 or input.dim() < 2:
        return None
    fit = input.shape[-1] == weight.shape[1] and (bias is None or bias.shape == weight.shape[:1])
    return _empty((*input.shape[:-1], len(weight)), input) if fit else None


def _batch_norm(
    input: Any, running_mean: Any, running_var: Any, weight: Any = None, bias: Any = None, **settings: Any
) -> Tensor | None:
    channels = [tensor for tensor in (running_mean, running_var, weight, bias) if tensor is not None]
    if not _usual(input, *channels) or input.dim() < 2 or input.numel() <= input.shape[1]:
        return None  # torch refuses one value per channel
    return _empty(input.shape, input) if all(tensor.shape == input.shape[1:2] for tensor in channels) else None


def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor | None:
    channels = [tensor for tensor in (weight, bias) if tensor is not None]
    if not _usual(input, *channels) or input.dim() < 3 or input.shape[1] % num_groups or not input[0, 0].numel() > 1:
        return None
    return _empty(input.shape, input) if all(tensor.shape == input.shape[1:2] for tensor in channels) else None


def _mean(input: Any, *dims: Any, **settings: Any) -> Tensor | None:
    """A sum, which has the same shape and gradient: torch's mean imports its compiler first, which takes seconds."""
    usual = isinstance(input, Tensor) and input.is_meta and input.is_floating_point() and "dtype" not in settings
    return torch.sum(input, *dims, **settings) if usual else None


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


_SHORTCUTS: dict[Any, Callable[..., Tensor | None]] = {
    F.linear: _linear,
    torch.mean: _mean,
    Tensor.mean: _mean,
    F.batch_norm: _batch_norm,
    F.group_norm: _group_norm,
    # of spectral norm, which calls the first two 60 times for a layer
    torch.mv: _mv,
    F.normalize: _unchanged,
    torch.vdot: _vdot,
    Tensor.normal_: _unchanged,
    nn.init.normal_: _unchanged,
    nn.init.kaiming_uniform_: _kaiming_uniform,
    **dict.fromkeys((F.leaky_relu, F.relu, F.hardtanh, F.silu), _activation),
    **dict.fromkeys((torch.tanh, Tensor.tanh, torch.sigmoid, Tensor.sigmoid, Tensor.square), _activation),
    **dict.fromkeys((Tensor.add, Tensor.sub, Tensor.mul, Tensor.div), _arithmetic),
}
