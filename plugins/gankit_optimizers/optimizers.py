"""Optimizers from torch: parameters that a recipe may set, their bounds, and defaults that suit GANs."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch.optim.optimizer import ParamsT

import gankit

from .memory_layout import keep_layouts

NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Rate = Annotated[gankit.Scheduled, Field(ge=0)]
Decay = Annotated[gankit.Scheduled, Field(ge=0, lt=1)]


def adam(
    parameters: ParamsT,
    *,
    lr: Rate = 2e-4,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.Adam:
    """Adam (arXiv 1412.6980), fused.

    Args:
        parameters: tensors, or parameter groups.
        lr: learning rate.
        betas: decay rates of the running means of the gradient and its square.
        eps: added to the root mean square for stability.
        weight_decay: L2 penalty, added to the gradient.
    """
    return keep_layouts(
        torch.optim.Adam(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
    )


def adamw(
    parameters: ParamsT,
    *,
    lr: Rate = 2e-4,
    betas: tuple[Decay, Decay] = (0.9, 0.999),
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
) -> torch.optim.AdamW:
    """Adam with decoupled weight decay (arXiv 1711.05101), fused.

    Args:
        parameters: tensors, or parameter groups.
        lr: learning rate.
        betas: decay rates of the running means of the gradient and its square.
        eps: added to the root mean square for stability.
        weight_decay: each step shrinks the weights by this share times ``lr``.
    """
    return keep_layouts(
        torch.optim.AdamW(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)
    )


def rmsprop(
    parameters: ParamsT,
    *,
    lr: Rate = 5e-5,
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.99,
    eps: Positive = 1e-8,
    momentum: NonNegative = 0.0,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.RMSprop:
    """RMSprop, by default with the learning rate of the first Wasserstein GAN (arXiv 1701.07875).

    Args:
        parameters: tensors, or parameter groups.
        lr: learning rate.
        alpha: decay rate of the running mean of the squared gradient.
        eps: added to the root mean square for stability.
        momentum: share of the last update that is added to the next.
        weight_decay: L2 penalty, added to the gradient.
    """
    return torch.optim.RMSprop(parameters, lr=lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay)


def sgd(
    parameters: ParamsT,
    *,
    lr: Rate = 1e-2,
    momentum: NonNegative = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
) -> torch.optim.SGD:
    """Stochastic gradient descent, optionally with momentum.

    Args:
        parameters: tensors, or parameter groups.
        lr: learning rate.
        momentum: share of the last update that is added to the next.
        nesterov: whether to use Nesterov momentum.
        weight_decay: L2 penalty, added to the gradient.

    Raises:
        ValueError: ``nesterov`` without momentum.
    """
    if nesterov and momentum == 0:
        raise ValueError("nesterov: true needs a momentum above 0, but momentum is 0; set momentum, for example to 0.9")
    return torch.optim.SGD(parameters, lr=lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay)
