"""The shape and dtype of an operation's result, from running it on the CPU: on single elements, or on zeros."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

Shortcut = Callable[..., Tensor | None]
"""Has the arguments of an operation; returns the result on the meta device, or None to leave the call to torch."""
MAX_ELEMENTS = 2**23  # of the arguments of an operation that is run on zeros, and of the result of `_SQUARING`
MAX_GROWTH = 16  # of an interpolated image


def shortcuts_on_cpu() -> dict[Any, Shortcut]:
    """The shortcuts of elementwise operations and of others that take little time."""
    return {
        **{function: _elementwise(function) for function in _named(_ELEMENTWISE, *SPELLINGS)},
        **{function: _on_zeros(function) for function in _named(_OTHERS, "{}")},
        **{function: _on_zeros(function, math.isqrt(MAX_ELEMENTS)) for function in _named(_SQUARING, "{}")},
        F.interpolate: _interpolate,
    }


def without_gradient(tensor: Any) -> bool:
    """Whether this is a tensor on the meta device whose operations record no gradient."""
    return isinstance(tensor, Tensor) and tensor.is_meta and not (tensor.requires_grad and torch.is_grad_enabled())


def _elementwise(function: Callable[..., Any]) -> Shortcut:
    on_zeros = _on_zeros(function)

    def shortcut(*args: Any, **settings: Any) -> Tensor | None:
        tensors = _tensors_in((*args, *settings.values()))
        if not all(map(without_gradient, tensors)) or not tensors:
            return None
        # the strides of sides of length 1 matter if tensors are broadcast
        if not all(tensor.stride() == torch.empty(tensor.shape, device="meta").stride() for tensor in tensors):
            return on_zeros(*args, **settings)
        singles = {id(tensor): torch.ones((1,) * tensor.dim(), dtype=tensor.dtype) for tensor in tensors}
        result = function(*_replaced(args, singles), **_replaced(settings, singles))
        if not isinstance(result, Tensor):
            return None
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))  # torch's imports its compiler
        for tensor in tensors:
            if result is singles[id(tensor)]:  # in place
                return tensor if tensor.shape == shape else None
        return torch.empty(shape, dtype=result.dtype, device="meta")

    return shortcut


def _on_zeros(function: Callable[..., Any], max_elements: int = MAX_ELEMENTS) -> Shortcut:
    def shortcut(*args: Any, **settings: Any) -> Tensor | None:
        tensors = _tensors_in((*args, *settings.values()))
        if not all(map(without_gradient, tensors)) or not tensors:
            return None
        if sum(tensor.numel() for tensor in tensors) > max_elements:
            return None
        zeros = {id(tensor): _zeros(tensor) for tensor in tensors}
        result = function(*_replaced(args, zeros), **_replaced(settings, zeros))
        if not isinstance(result, Tensor) or any(result is tensor for tensor in zeros.values()):
            return None
        return torch.empty_strided(result.shape, result.stride(), dtype=result.dtype, device="meta")

    return shortcut


def _interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, **settings: Any) -> Tensor | None:
    """Not to a far larger size, which would need much memory."""
    small = torch.empty(1, 1, *input.shape[2:], device="meta")
    pixels = F.interpolate(small, size, scale_factor, "nearest").numel()  # of this mode, torch's kernel is quick
    if pixels > MAX_GROWTH * small.numel():
        return None
    return _on_zeros(F.interpolate)(input, size, scale_factor, **settings)


def _tensors_in(values: Sequence[Any]) -> list[Tensor]:
    """The tensors among the values, and in lists of them."""
    flat = [item for value in values for item in (value if isinstance(value, (list, tuple)) else (value,))]
    return [item for item in flat if isinstance(item, Tensor)]


def _replaced(values: Any, by: Mapping[int, Tensor]) -> Any:
    """The values with other tensors, by the id of the tensor."""
    if isinstance(values, dict):
        return {name: _replaced(value, by) for name, value in values.items()}
    if isinstance(values, (list, tuple)):
        return [_replaced(value, by) for value in values]
    return by.get(id(values), values)


def _zeros(tensor: Tensor) -> Tensor:
    """Zeros on the CPU with the strides of the tensor."""
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return torch.zeros(max(0, last) + 1, dtype=tensor.dtype).as_strided(tensor.shape, tensor.stride())


def _named(names: str, *spellings: str) -> Iterator[Any]:
    """torch's functions and methods with these names, which are spelt as in ``spellings``."""
    for owner in (torch, Tensor, F, torch.linalg):
        for name, spelling in product(names.split(), spellings):
            if (function := getattr(owner, spelling.format(name), None)) is not None:
                yield function


SPELLINGS = ("{}", "{}_", "__{}__", "__i{}__")  # also in place and as operators
_ELEMENTWISE = """
    abs add addcdiv addcmul and bitwise_and bitwise_not bitwise_or bitwise_xor ceil celu clamp clamp_max clamp_min
    clip cos cosh div divide elu eq erf exp exp2 expm1 floor floor_divide floordiv fmod frac ge gelu gt hardshrink
    hardsigmoid hardswish hardtanh hypot invert isfinite isinf isnan le leaky_relu lerp log log10 log1p log2
    logaddexp logical_and logical_not logical_or logical_xor logit logsigmoid lt masked_fill maximum minimum mish
    mul multiply nan_to_num ne neg negative or pow rdiv reciprocal relu relu6 remainder round rpow rsqrt rsub selu
    sigmoid sign silu sin sinc sinh softplus softshrink softsign sqrt square sub subtract tan tanh tanhshrink
    threshold true_divide truediv trunc where xor
"""
_OTHERS = """
    adaptive_avg_pool2d all amax amin any argmax argmin avg_pool2d binary_cross_entropy
    binary_cross_entropy_with_logits cat concat cosine_similarity cross_entropy cumprod cumsum diff flip fold
    gather glu instance_norm kl_div l1_loss layer_norm log_softmax logsumexp max_pool2d
    mean mse_loss norm prelu prod rms_norm roll smooth_l1_loss softmax stack std take_along_dim tril triu unfold
    var vector_norm
"""
_SQUARING = "diag_embed outer"
