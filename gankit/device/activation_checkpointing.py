"""Activation checkpointing (arXiv 1604.06174): the backward computes the activations of a module again.

`checkpoint_activations` replaces the class of a module. Parameters, buffers and state dicts stay the same.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Buffers = list[tuple[nn.Module, str, Tensor]]
"""Submodules, and the names and values of their buffers."""


def checkpoint_activations(module: nn.Module) -> None:
    """Keep only the inputs and outputs of calls of the module for the backward, which runs the module again.

    The results are the same bit for bit, also of second derivatives: the module is run again with the random numbers,
    the precision and the buffers (such as the statistics of BatchNorm and the vectors of spectral norm) of its call.
    """
    own = type(module)
    names = {"__module__": own.__module__, "__qualname__": own.__qualname__}
    module.__class__ = type(own.__name__, (_Checkpointed, own), names)


class _Checkpointed(nn.Module):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return super().__call__(*args, **kwargs)
        # with its hooks, in which older kinds of spectral norm compute the weight
        call = super().__call__
        return checkpoint(call, *args, use_reentrant=False, context_fn=partial(_contexts, self), **kwargs)


def _contexts(module: nn.Module) -> tuple[nullcontext[None], _BuffersOfCall]:
    """The contexts of a call and of its repetition."""
    return nullcontext(), _BuffersOfCall(module)


class _BuffersOfCall:
    """A context in which the buffers of a module have their present values. It leaves the current buffers unchanged."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._values = [(part, name, value.clone()) for part, name, value in _buffers(module)]
        self._before: Buffers = []

    def __enter__(self) -> None:
        self._before = _buffers(self._module)
        # copies, because the backward may run the module several times
        _set_buffers([(part, name, value.clone()) for part, name, value in self._values])

    def __exit__(self, *error: object) -> None:
        _set_buffers(self._before)


def _buffers(module: nn.Module) -> Buffers:
    return [(part, *named) for part in module.modules() for named in part.named_buffers(recurse=False)]


def _set_buffers(buffers: Buffers) -> None:
    for part, name, value in buffers:
        setattr(part, name, value)
