"""Keeps weights, gradients and optimizer states in the same memory layout.

On the CPU, torch's fused kernels iterate over the memory of all of them without checking strides: if one is
channels_last and another is not, they silently update the wrong elements.
"""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import Tensor

OptimizerT = TypeVar("OptimizerT", bound=torch.optim.Optimizer)


def keep_layouts(optimizer: OptimizerT) -> OptimizerT:
    """Convert gradients to their weights' layout before each step, and the optimizer's state after it is loaded."""
    optimizer.register_step_pre_hook(_align_gradients)
    optimizer.register_load_state_dict_post_hook(_align_state)
    return optimizer


def _align_gradients(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    for weight in _weights(optimizer):
        if weight.grad is not None and weight.grad.stride() != weight.stride():
            weight.grad = _like(weight, weight.grad)


def _align_state(optimizer: torch.optim.Optimizer) -> None:
    for weight in _weights(optimizer):
        state = optimizer.state.get(weight, {})
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                state[name] = _like(weight, value)


def _weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def _like(weight: Tensor, value: Tensor) -> Tensor:
    return torch.empty_like(weight, requires_grad=False).copy_(value)
